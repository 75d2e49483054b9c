//! The order that rpm 4.18 gave for each pair, and the shapes that are refused.

use super::RpmVersion;
use crate::version::check_order;

#[rustfmt::skip]
const ORDERED: &[(&str, char, &str)] = &[
    ("2.0.1a", '>', "2.0.1"),
    ("5.5p1", '<', "5.5p10"),
    ("10xyz", '<', "10.1xyz"),
    ("xyz.4", '<', "8"),
    ("6.0.rc1", '>', "6.0"),
    ("10b2", '>', "10a1"),
    ("1.0a", '<', "1.0aa"),
    ("10.0001", '=', "10.1"),
    ("10.0001", '<', "10.0039"),
    ("4.999.9", '<', "5.0"),
    ("2.0", '=', "2_0"),
    ("a+", '=', "a_"),
    ("+", '=', "_"),
    ("1.0", '=', "1.0."),
    ("1.0~rc1", '<', "1.0"),
    ("1.0~rc1~git123", '<', "1.0~rc1"),
    ("1.0~~", '<', "1.0~"),
    ("1.0^", '>', "1.0"),
    ("1.0^git1", '>', "1.0"),
    ("1.0^git1", '<', "1.0^git2"),
    ("1.0^git1", '<', "1.01"),
    ("1.0^20160101", '<', "1.0.1"),
    ("1.0^20160101^git1", '<', "1.0^20160102"),
    ("1.0~rc1^git1", '>', "1.0~rc1"),
    ("1.0~rc1^git1", '<', "1.0"),
    ("1.0^git1~pre", '<', "1.0^git1"),
    ("1.0^git1~pre", '>', "1.0"),
    ("1.0^", '<', "1.0a"),
    ("1b.fc17", '<', "1.fc17"),
    ("1g.fc17", '>', "1.fc17"),
    ("1.0-1", '>', "1.0"),
    ("1.0-0", '>', "1.0"),
    ("0:1.0-1", '=', "1.0-1"),
    ("1:1.0-1", '>', "2.0-1"),
    ("1:1.0-1", '>', "0:2.0-9"),
    ("4.18.0-513.5.1.el8_9", '<', "4.18.0-513.11.1.el8_9"),
    ("1.5.4-2.el7", '<', "1.5.4-2.el7_9"),
    ("3.0.7-27.el9", '<', "3.0.7-27.el9.0.2"),
    ("1.1.1k-9.el8_7", '<', "1.1.1k-12.el8_9"),
    ("5.14.21-150500.55.7", '<', "5.14.21-150500.55.12.1"),
    ("1.0-1.fc40", '<', "1.0-1.fc41"),
    ("99999999999999999999.1-1", '>', "1.0-1"),
    ("1.0A-1", '<', "1.0a-1"),
];

fn version(text: &str) -> RpmVersion {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn the_order_is_that_of_rpm() {
    check_order::<RpmVersion>(ORDERED);
}

#[test]
fn malformed_versions_are_refused_with_their_reason() {
    for (text, why) in [
        ("", "empty"),
        (" \t", "empty"),
        ("0:", "version part is empty"),
        ("1.0-", "nothing follows"),
        ("-1", "version part is empty"),
        ("1:-1", "version part is empty"),
        ("a:1", "not a number"),
        (":1", "not a number"),
        ("+1:1", "not a number"),
        ("4294967296:1", "4294967295"),
        ("1.0-1-1", "only letters"),
        ("1.0 1", "only letters"),
        ("1.0-1:1", "not a number"),
        ("1:1.0-1:1", "only letters"),
        ("1.0\n", "only letters"),
        ("1.0ä", "only letters"),
    ] {
        let refusal = text.parse::<RpmVersion>().expect_err(text).to_string();
        assert!(refusal.contains(why), "{text:?}: {refusal}");
    }
    assert!("1".repeat(513).parse::<RpmVersion>().is_err());
}

#[test]
fn the_parts_and_the_text_are_kept() {
    for (text, epoch, upstream, release) in [
        ("1.0", 0, "1.0", None),
        ("4294967295:1.0-1", 4_294_967_295, "1.0", Some("1")),
        ("1:5.14.0-427.13.1.el9_4", 1, "5.14.0", Some("427.13.1.el9_4")),
        ("1.0^20240101git~pre+x-0.1", 0, "1.0^20240101git~pre+x", Some("0.1")),
    ] {
        let parsed = version(&format!(" \t{text} "));
        assert_eq!((parsed.epoch(), parsed.version(), parsed.release()), (epoch, upstream, release));
        assert_eq!(parsed.to_string(), text);
        assert_eq!(serde_json::to_string(&parsed).unwrap(), format!("{text:?}"));
    }
    assert!(serde_json::from_str::<RpmVersion>("\"1.0-\"").is_err());
}
