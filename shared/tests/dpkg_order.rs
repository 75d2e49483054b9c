//! The order of Debian versions against the real `dpkg --compare-versions`, on pairs made to be nasty.

mod order;

use order::{judge, pairs};
use proptest::prelude::*;
use shared::version::DebVersion;

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
fn nasty() -> impl Strategy<Value = String> + Clone {
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
    let pairs = pairs(nasty(), "[0a.~+-]{0,2}", PAIRS);
    let verdicts = judge("sh", &["-c", ASK], &pairs).expect("sh runs");
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
