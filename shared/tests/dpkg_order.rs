//! The order of Debian versions against the real `dpkg --compare-versions`, on pairs made to be nasty.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use shared::version::DebVersion;
use std::io::Write;
use std::process::{Command, Stdio};

const PAIRS: usize = 600;

/// One line of verdict per pair: exit codes of `lt` and `eq`, and whether dpkg complained of either text.
const ASK: &str = r#"
while IFS=, read -r a b; do
    complaint=$(dpkg --compare-versions -- "$a" lt "$b" 2>&1); lt=$?
    dpkg --compare-versions -- "$a" eq "$b" 2>/dev/null; eq=$?
    echo "$lt $eq ${complaint:+complains}"
done
"#;

/// Texts of few characters, so that equal beginnings, long zeros and tildes meet often. No comma (the
/// separator) and nothing that is blank only (dpkg gives those a meaning of their own).
fn nasty() -> impl Strategy<Value = String> {
    let part = "[0129aZ.+~]{1,8}";
    prop_oneof![
        4 => part,
        2 => (part, part).prop_map(|(a, b)| format!("{a}-{b}")),
        2 => ("[0-2]{1,2}", part, part).prop_map(|(e, a, b)| format!("{e}:{a}-{b}")),
        2 => "[0129azAZ.+~:-]{1,10}",
        1 => ("[0-9]{1,12}", part).prop_map(|(e, a)| format!("{e}:{a}")),
        1 => "[01a][01a_~ :.-]{0,6}",
        1 => part.prop_map(|a| format!(" \t{a} ")),
        1 => ("[0-9]{15,30}", "[0-9]{15,30}").prop_map(|(a, b)| format!("{a}.{b}")),
    ]
}

/// Two texts of their own, or one text and the same after one small change.
fn pairs() -> impl Strategy<Value = (String, String)> {
    let change = (nasty(), any::<prop::sample::Index>(), "[0a.~+-]{0,2}");
    prop_oneof![
        (nasty(), nasty()),
        change.prop_map(|(text, at, piece)| {
            let mut changed = text.clone();
            changed.insert_str(at.index(text.len()), &piece);
            (text, changed)
        }),
    ]
}

fn ask_dpkg(pairs: &[(String, String)]) -> Vec<String> {
    let mut shell = Command::new("sh")
        .args(["-c", ASK])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh runs");
    let mut stdin = shell.stdin.take().expect("stdin is piped");
    let lines: String = pairs.iter().map(|(a, b)| format!("{a},{b}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = shell.wait_with_output().expect("sh ends");
    writer.join().expect("the writer ends").expect("sh reads all");
    String::from_utf8(output.stdout).expect("verdicts are ASCII").lines().map(str::to_owned).collect()
}

/// dpkg only warns of a first character that is no digit, and so do we not refuse it.
fn starts_oddly(text: &str) -> bool {
    let text = text.trim_matches([' ', '\t']);
    let upstream = text.split_once(':').map_or(text, |(_, upstream)| upstream);
    !upstream.starts_with(|c: char| c.is_ascii_digit())
}

/// dpkg reads epochs with `strtol`, so `+1:1` and `-0:1` pass there; the manual wants an unsigned number.
fn has_signed_epoch(text: &str) -> bool {
    let epoch = text.trim_matches([' ', '\t']).split_once(':').map(|(epoch, _)| epoch);
    epoch.is_some_and(|epoch| epoch.starts_with(['+', '-']))
}

#[test]
fn versions_are_ordered_and_refused_as_by_dpkg() {
    let mut runner = TestRunner::default();
    let strategy = pairs();
    let pairs: Vec<_> = (0..PAIRS).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    let verdicts = ask_dpkg(&pairs);
    assert_eq!(verdicts.len(), PAIRS);
    let (mut compared, mut refused) = (0, 0);
    for ((a, b), verdict) in pairs.iter().zip(&verdicts) {
        let (Ok(left), Ok(right)) = (a.parse::<DebVersion>(), b.parse::<DebVersion>()) else {
            let signed = has_signed_epoch(a) || has_signed_epoch(b);
            assert!(signed || verdict.ends_with("complains"), "only we refuse one of {a:?} and {b:?}");
            refused += 1;
            continue;
        };
        let order = match verdict.split(' ').take(2).collect::<Vec<_>>()[..] {
            ["0", "1"] => std::cmp::Ordering::Less,
            ["1", "0"] => std::cmp::Ordering::Equal,
            ["1", "1"] => std::cmp::Ordering::Greater,
            _ => panic!("dpkg refuses {a:?} or {b:?}, or is not installed ({verdict})"),
        };
        assert_eq!(left.cmp(&right), order, "{a:?} against {b:?}");
        assert_eq!(left == right, order.is_eq(), "equality of {a:?} and {b:?}");
        let odd = starts_oddly(a) || starts_oddly(b);
        assert!(odd || !verdict.ends_with("complains"), "dpkg complains of {a:?} or {b:?}, we do not");
        compared += 1;
    }
    assert!(compared > PAIRS / 3 && refused > PAIRS / 50, "{compared} compared, {refused} refused");
}
