//! The order of rpm versions against the real `rpm`, on pairs made to be nasty.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use shared::version::RpmVersion;
use std::cmp::Ordering;
use std::io::Write;
use std::process::{Command, Stdio};

const PAIRS: usize = 20_000;

/// One number per pair, in one process.
const ASK: &str = "%{lua: for line in io.lines('/dev/stdin') do \
                   local a, b = line:match('^(.*),(.*)$'); io.write(rpm.vercmp(a, b), '\\n') end}";

/// Texts of few characters, so that equal beginnings, long zeros, tildes and carets meet often.
fn nasty() -> impl Strategy<Value = String> {
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

/// Two texts of their own, or one text and the same after one small change.
fn pairs() -> impl Strategy<Value = (String, String)> {
    let change = (nasty(), any::<prop::sample::Index>(), "[0a.~^+_-]{0,2}");
    prop_oneof![
        (nasty(), nasty()),
        change.prop_map(|(text, at, piece)| {
            let mut changed = text.clone();
            changed.insert_str(at.index(text.len()), &piece);
            (text, changed)
        }),
    ]
}

/// What rpm says of each pair; `None` where there is no rpm.
fn ask_rpm(pairs: &[(String, String)]) -> Option<Vec<String>> {
    let mut rpm = Command::new("rpm")
        .args(["--eval", ASK])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = rpm.stdin.take().expect("stdin is piped");
    let lines: String = pairs.iter().map(|(a, b)| format!("{a},{b}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = rpm.wait_with_output().expect("rpm ends");
    writer.join().expect("the writer ends").expect("rpm reads all");
    let text = String::from_utf8(output.stdout).expect("verdicts are ASCII");
    Some(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

#[test]
fn versions_are_ordered_as_by_rpm() {
    let mut runner = TestRunner::default();
    let strategy = pairs();
    let pairs: Vec<_> = (0..PAIRS).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    let Some(verdicts) = ask_rpm(&pairs) else {
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
