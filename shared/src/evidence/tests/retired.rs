//! A change in a bundle that retires hosts: who left, who goes on, and who said so is judged offline.

use super::record::{Said, decided};
use super::*;
use crate::change::Change;

/// What a test bends before it is signed.
struct Story {
    change: fn(&mut Change),
    /// Class with which the successor joined.
    class: &'static str,
    /// Who approves, with which key.
    approver: (&'static str, u8),
    outcome: &'static str,
    /// The enrolment of the successor is left out of the bundle.
    without_successor: bool,
}

const GOOD: Story = Story {
    change: |_| (),
    class: "production",
    approver: ("first", 2),
    outcome: "successful",
    without_successor: false,
};

/// The machine of the host goes on under key 21.
fn told(story: &Story) -> Files {
    let (site, log_key) = site();
    let old = enrolled(&site);
    let mut new = fix::enrolment(&key(21), "web1").body;
    (new.header.site, new.header.host_class) = (site.id.clone(), story.class.parse().unwrap());
    let new = Statement::sign(new, &key(21));
    let mut change = fix::retiring(&[(&old, Some(&new))]);
    change.site = site.id.clone();
    (story.change)(&mut change);
    let said =
        Said { kind: LeafKind::Enrolment, by: key(21), seq: 1, digest: new.digest, bytes: new.to_bytes() };
    let said = (!story.without_successor).then_some(said);
    decided((site, log_key), change, (story.approver, 0, story.outcome), said)
}

#[test]
fn who_left_and_who_goes_on_is_told_apart_with_who_said_so() {
    let files = told(&GOOD);
    let report = verify(&files, None);
    assert_eq!((flaws(&files).as_str(), report.remarks), ("", vec![]));
    assert!(report.checked.iter().any(|(n, what)| *n == 1 && what.starts_with("changes that retire")));
    let (old, new) = (host().public().agent_id(), key(21).public().agent_id());
    let row = row(&files, "changes");
    for (column, value) in [
        ("type", "normal"),
        ("result", "accepted"),
        ("retires", format!("{old}>{new}").as_str()),
        ("approvers", "first"),
        ("approvals_required", "1"),
        ("sod_ok", "true"),
        ("self_approved", "false"),
        ("targets_pending", "0"),
        ("manifests", ""),
        ("waves", ""),
    ] {
        assert_eq!(row[column], value, "{column}");
    }
    assert_eq!(files["data/applications.csv"].split(|b| *b == b'\n').count(), 2, "only the heads");
}

#[test]
fn a_host_that_leaves_without_a_second_person_or_its_enrolment_is_a_flaw() {
    for (story, why) in [
        (Story { approver: ("author", 1), ..GOOD }, "is called successful, but approval.quorum"),
        (Story { approver: ("first", 9), ..GOOD }, "is called successful"),
        (Story { without_successor: true, ..GOOD }, "is missing"),
        (Story { class: "lab", ..GOOD }, "join it again with that class"),
        (Story { change: |c| c.retires[0].host.enrolment = Digest::of(b"another"), ..GOOD }, "is missing"),
        (
            Story {
                change: |c| c.targets.iter_mut().for_each(|target| target.key = Digest::of(b"another")),
                ..GOOD
            },
            "with another key",
        ),
    ] {
        let bent = told(&story);
        assert!(flaws(&bent).contains(why), "{why}: {}", flaws(&bent));
        assert_ne!((why, &*row(&bent, "changes")["result"]), (why, "accepted"));
    }
    // The same is no lie where the server says that it failed.
    assert_eq!(flaws(&told(&Story { approver: ("author", 1), outcome: "failed", ..GOOD })), "");
}
