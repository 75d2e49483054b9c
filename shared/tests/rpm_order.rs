//! The order of rpm versions against the real `rpm`, on pairs made to be nasty.

mod order;

use order::{judge, pairs};
use proptest::prelude::*;
use shared::version::RpmVersion;
use std::cmp::Ordering;
use std::io::Write;

const PAIRS: usize = 20_000;

/// One number per pair, in one process.
const ASK: &str = "%{lua: for line in io.lines('/dev/stdin') do \
                   local a, b = line:match('^(.*),(.*)$'); io.write(rpm.vercmp(a, b), '\\n') end}";

/// Texts of few characters, so that equal beginnings, long zeros, tildes and carets meet often.
fn nasty() -> impl Strategy<Value = String> + Clone {
    let part = "[0129aZ.+~^_]{1,8}";
    prop_oneof![
        4 => part,
        4 => (part, part).prop_map(|(a, b)| format!("{a}-{b}")),
        2 => ("0{0,2}[0-2]{1,2}", part, part).prop_map(|(e, a, b)| format!("{e}:{a}-{b}")),
        2 => "[0129azAZ.+~^_-]{1,10}",
        1 => ("[0-9]{1,9}", part).prop_map(|(e, a)| format!("{e}:{a}")),
        1 => ("[0-9]{15,30}", "[0-9]{15,30}").prop_map(|(a, b)| format!("{a}.{b}")),
        2 => ("[1-9]\\.[0-9]{1,2}", "[1-9][0-9]?", "(\\.el[89](_[0-9])?|\\.fc4[01]|)")
            .prop_map(|(v, r, dist)| format!("{v}-{r}{dist}")),
    ]
}

#[test]
fn versions_are_ordered_as_by_rpm() {
    let pairs = pairs(nasty(), "[0a.~^+_-]{0,2}", PAIRS);
    let Some(verdicts) = judge("rpm", &["--eval", ASK], &pairs) else {
        skip("versions_are_ordered_as_by_rpm", "rpm is not installed");
        return;
    };
    assert_eq!(verdicts.len(), PAIRS);
    let mut seen = [0; 3];
    for ((a, b), verdict) in pairs.iter().zip(&verdicts) {
        let (Ok(left), Ok(right)) = (a.parse::<RpmVersion>(), b.parse::<RpmVersion>()) else { continue };
        let order = match verdict.as_str() {
            "-1" => Ordering::Less,
            "0" => Ordering::Equal,
            "1" => Ordering::Greater,
            _ => panic!("rpm said {verdict:?} of {a:?} and {b:?}"),
        };
        assert_eq!(left.cmp(&right), order, "{a:?} against {b:?}");
        assert_eq!(left == right, order.is_eq(), "equality of {a:?} and {b:?}");
        seen[(order as i8 + 1) as usize] += 1;
    }
    assert!(seen.iter().all(|count| *count > PAIRS / 50), "less, equal, greater: {seen:?}");
}

/// Noted where `tests/run` looks; what CI skips is not tested anywhere.
fn skip(name: &str, why: &str) {
    assert!(!std::env::var("CI").is_ok_and(|value| value == "true"), "{name}: {why}");
    let Some(file) = std::env::var_os("ASSENT_TEST_SKIPS") else { return };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).expect("it opens");
    writeln!(file, "{name}: {why}").expect("it is written");
}
