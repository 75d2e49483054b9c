//! The order that dpkg 1.21 gave for each pair, and the shapes that it refuses.

use super::DebVersion;
use crate::version::check_order;

#[rustfmt::skip]
const ORDERED: &[(&str, char, &str)] = &[
    ("1.0", '=', "1.0-0"),
    ("1.0", '<', "1.0-1"),
    ("0:1.0-1", '=', "1.0-1"),
    ("1:0.1", '>', "2.0"),
    ("1.0~rc1", '<', "1.0"),
    ("1.0~~", '<', "1.0~"),
    ("1.0~~a", '<', "1.0~"),
    ("1.0~", '<', "1.0"),
    ("1.0+b1", '>', "1.0"),
    ("1.0-1+b1", '>', "1.0-1"),
    ("1.0-1~bpo12+1", '<', "1.0-1"),
    ("1.0-1+deb12u1", '>', "1.0-1"),
    ("1.0-1+deb12u10", '>', "1.0-1+deb12u9"),
    ("1.0-1+deb11u5", '<', "1.0-1+deb12u1"),
    ("3.0.16-1~deb12u1", '<', "3.0.16-1"),
    ("3.0.16-1~deb12u1", '>', "3.0.15-1~deb12u1"),
    ("1:9.2p1-2+deb12u6", '>', "9.9p1-1"),
    ("2:9.0.1378-2", '>', "8.3.2"),
    ("1.2.3-4ubuntu0.1", '>', "1.2.3-4"),
    ("1.2.3-4ubuntu0.1", '<', "1.2.3-4ubuntu1"),
    ("1.2.3-4build1", '<', "1.2.3-4ubuntu1"),
    ("1.18.3~beta+dfsg1-5", '<', "1.18.3~beta+dfsg1-5.1"),
    ("20240203", '>', "20240203~deb12u1"),
    ("00", '=', "0"),
    ("1.09", '=', "1.9"),
    ("1.010", '>', "1.9"),
    ("1a", '<', "1."),
    ("1.", '>', "1"),
    ("1+", '>', "1"),
    ("1.0a", '<', "1.0+"),
    ("1.0A", '<', "1.0a"),
    ("1.0Z", '<', "1.0a"),
    ("1.0.0", '>', "1.0"),
    ("2.0", '=', "2."),
    ("02+", '=', "02+0"),
    ("6.1.37-1", '<', "6.5"),
    ("5.10.0-28", '>', "5.10.0-9"),
    ("4.19.316-1", '>', "4.19.316-1~deb10u1"),
    ("1.0-1.1", '>', "1.0-1"),
    ("1.0-1-1", '>', "1.0-1"),
    ("9999999999999999999999", '>', "1"),
    ("0.0.0~git20190101.abc-1", '<', "0.0.0-1"),
    ("7.88.1-10+deb12u12", '>', "7.88.1-10+deb12u5"),
    ("1.0+really0.9-1", '>', "1.0-1"),
    // Order of the manual's own example: "~~", "~~a", "~", the empty part, "a".
    ("1~~", '<', "1~~a"),
    ("1~~a", '<', "1~"),
    ("1~", '<', "1"),
    ("1", '<', "1a"),
    // A binary rebuild has the number of its source plus a suffix; epochs of both differ at times.
    ("5.2.15-2+b13", '>', "5.2.15-2"),
    ("1:2.38.1-5+deb12u3", '>', "2.38.1-5+deb12u3"),
    ("2:1.02.185-2", '>', "2.03.16-2"),
    ("1:2.66-4+deb12u3+b1", '>', "1:2.66-4+deb12u3"),
    ("00:1", '=', "1"),
];

fn version(text: &str) -> DebVersion {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn the_order_is_that_of_dpkg() {
    check_order::<DebVersion>(ORDERED);
}

#[test]
fn malformed_versions_are_refused_with_their_reason() {
    for (text, why) in [
        ("", "empty"),
        (" \t", "empty"),
        ("0:", "upstream part is empty"),
        ("1.0-", "nothing follows"),
        ("1:-1", "upstream part is empty"),
        ("-1", "upstream part is empty"),
        ("a:1", "not a number"),
        (":1", "not a number"),
        ("+1:1", "not a number"),
        ("-1:0-1", "not a number"),
        ("2147483648:1", "2147483647"),
        ("99999999999999999999:1", "2147483647"),
        ("1.0 1", "only letters"),
        ("1. 0-1", "only letters"),
        ("1.0-1 a", "only letters"),
        ("1.0_1", "only letters"),
        ("1.0-1_1", "only letters"),
        ("1.0\n", "only letters"),
        ("1.0ä", "only letters"),
        ("1.0-1:1", "not a number"),
        ("1:1.0-1:1", "revision may hold"),
    ] {
        let refusal = text.parse::<DebVersion>().expect_err(text).to_string();
        assert!(refusal.contains(why), "{text:?}: {refusal}");
    }
    assert!("1".repeat(513).parse::<DebVersion>().is_err());
}

#[test]
fn the_parts_and_the_text_are_kept() {
    for (text, epoch, upstream, revision) in [
        ("1.0", 0, "1.0", None),
        ("2147483647:1.0-1", 2_147_483_647, "1.0", Some("1")),
        ("0000000000000000000001:1", 1, "1", None),
        ("1:1:1-1", 1, "1:1", Some("1")),
        ("1.0-1-2", 0, "1.0-1", Some("2")),
        ("abc", 0, "abc", None),
        ("1.18.3~beta+dfsg1-5.1", 0, "1.18.3~beta+dfsg1", Some("5.1")),
    ] {
        let parsed = version(&format!(" \t{text} "));
        assert_eq!((parsed.epoch(), parsed.upstream(), parsed.revision()), (epoch, upstream, revision));
        assert_eq!(parsed.to_string(), text);
        assert_eq!(serde_json::to_string(&parsed).unwrap(), format!("{text:?}"));
    }
    assert!(serde_json::from_str::<DebVersion>("\"1.0-\"").is_err());
}
