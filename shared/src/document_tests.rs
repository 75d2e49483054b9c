//! Signed documents of every type that have two meanings, or are of another type than they are taken for.

use crate::approval::Approval;
use crate::change::Change;
use crate::envelope::{Envelope, IN_TOTO};
use crate::finding::Finding;
use crate::fixtures::{self as fix, Case, NOW, change_body, key};
use crate::plan::Plan;
use crate::receipt::{HostOutcome, Receipt};
use crate::statement::{Predicate, Statement};

/// One good statement of each kind that decides something: approval, change, plan, receipt, finding.
fn payloads() -> [Vec<u8>; 5] {
    let mut case = Case::of(change_body());
    let word = case.approval("first");
    case.add(word, 2);
    let receipt = fix::receipt(&fix::host(), &case.bundle.change, NOW, HostOutcome::Applied);
    [
        case.bundle.approvals[0].envelope.payload.clone(),
        case.bundle.change.envelope.payload.clone(),
        case.plan.envelope.payload.clone(),
        receipt.envelope.payload,
        fix::finding(&fix::host(), 3).envelope.payload,
    ]
}

/// Which types take these bytes, in the order of [`payloads`]; each is properly signed.
fn taken_as(payload: &[u8]) -> [bool; 5] {
    fn one<P: Predicate>(payload: &[u8]) -> bool {
        Statement::<P>::open(Envelope::sign(payload.to_vec(), &key(1))).is_ok()
    }
    [
        one::<Approval>(payload),
        one::<Change>(payload),
        one::<Plan>(payload),
        one::<Receipt>(payload),
        one::<Finding>(payload),
    ]
}

/// The first number that is a value is another one.
fn with_number(text: &str, bend: impl Fn(&str) -> String) -> Option<String> {
    text.match_indices("\":").find_map(|(at, _)| {
        let (before, after) = text.split_at(at + 2);
        let (number, rest) = after.split_at(after.find(|c: char| !c.is_ascii_digit())?);
        let is_whole = !number.is_empty() && rest.starts_with([',', '}']);
        is_whole.then(|| format!("{before}{}{rest}", bend(number)))
    })
}

#[test]
fn case_13_a_signed_document_with_two_meanings_is_refused() {
    for (kind, payload) in payloads().into_iter().enumerate() {
        let good = String::from_utf8(payload).unwrap();
        let own = [0, 1, 2, 3, 4].map(|other| other == kind);
        assert_eq!(taken_as(good.as_bytes()), own, "{good}");
        let (head, predicate) = good.split_once("\"predicate\":{").unwrap();
        let first = &predicate[..=predicate.find(',').unwrap()];
        let into = |more: &str| format!("{head}\"predicate\":{{{more}{predicate}");
        let deep = format!("\"x\":{}{},", "[".repeat(10_000), "]".repeat(10_000));
        let mut bad = vec![
            ("a key of the statement twice", good.replacen('{', "{\"_type\":\"x\",", 1)),
            ("an unknown key", into("\"x\":1,")),
            ("an unknown key in another normal form", into("\"sit\u{65}\u{301}\":1,")),
            ("ten thousand levels", into(&deep)),
            ("something after it", format!("{good}{{}}")),
            ("two documents", format!("{good}{good}")),
            ("a mark of byte order", format!("\u{feff}{good}")),
            ("its end is missing", good[..good.len() - 1].to_owned()),
            ("another type of statement", good.replacen("Statement/v1", "Statement/v0.1", 1)),
        ];
        if first.matches('{').count() == 0 {
            bad.push(("a key of the predicate twice", into(first)));
        }
        bad.extend(with_number(&good, |n| format!("{n}.0")).map(|text| ("a fraction", text)));
        bad.extend(with_number(&good, |n| format!("{n}e0")).map(|text| ("an exponent", text)));
        bad.extend(with_number(&good, |n| format!("-{n}")).map(|text| ("a number below zero", text)));
        for (why, text) in bad {
            assert_ne!(text, good, "{why}");
            assert_eq!(taken_as(text.as_bytes()), [false; 5], "{why}: {text}");
        }
        let mut broken = good.clone().into_bytes();
        broken[head.len() / 2] = 0xff;
        assert_eq!(taken_as(&broken), [false; 5], "bytes that are no text");
    }
}

#[test]
fn case_32_no_document_is_taken_for_one_of_another_type() {
    for (kind, payload) in payloads().into_iter().enumerate() {
        let text = String::from_utf8(payload.clone()).unwrap();
        let own = text.split_once("\"predicateType\":\"").unwrap().1.split('"').next().unwrap().to_owned();
        for other in [Approval::TYPE, Change::TYPE, Plan::TYPE, Receipt::TYPE, Finding::TYPE] {
            let posing = text.replacen(&own, other, 1);
            let expected = if own == other { [0, 1, 2, 3, 4].map(|one| one == kind) } else { [false; 5] };
            assert_eq!(taken_as(posing.as_bytes()), expected, "{own} as {other}");
        }
        // The signature covers the type of the payload as well.
        let good = Envelope::sign(payload, &key(1)).to_bytes();
        assert!(Envelope::parse(&good).is_ok_and(|envelope| envelope.is_signed_by(&key(1).public())));
        let text = String::from_utf8(good).unwrap();
        for other in ["text/plain", "application/vnd.in-toto+json ", "application/json", ""] {
            assert!(Envelope::parse(text.replacen(IN_TOTO, other, 1).as_bytes()).is_err(), "{other:?}");
        }
        let twice = text.replacen('{', "{\"payload\":\"\",", 1);
        assert!(Envelope::parse(twice.as_bytes()).is_err(), "a payload twice");
    }
}
