//! A retroactive change in a bundle: who accepted what is judged offline, whatever the server says.

use super::record::{Said, decided};
use super::*;
use crate::change::Change;

/// What a test bends before it is signed.
pub(super) struct Story {
    pub(super) change: fn(&mut Change),
    /// Who approves, with which key.
    pub(super) approver: (&'static str, u8),
    /// When that one signs, in seconds after what is usual.
    pub(super) later: i64,
    pub(super) outcome: &'static str,
    /// The finding is left out of the bundle.
    pub(super) without_finding: bool,
}

pub(super) const GOOD: Story =
    Story { change: |_| (), approver: ("first", 2), later: 0, outcome: "successful", without_finding: false };

fn told(story: &Story) -> Files {
    told_at(site(), story)
}

/// The same at a site that the test has made.
pub(super) fn told_at((site, log_key): (Site, SigningKey), story: &Story) -> Files {
    let enrolment = enrolled(&site);
    let mut found = fix::finding(&host(), 2).body;
    (found.header.site, found.header.prev) = (site.id.clone(), Some(enrolment.digest));
    let found = Statement::sign(found, &host());
    let mut change = fix::accepting(std::slice::from_ref(&found));
    change.site = site.id.clone();
    (story.change)(&mut change);
    let said =
        Said { kind: LeafKind::Finding, by: host(), seq: 2, digest: found.digest, bytes: found.to_bytes() };
    let said = (!story.without_finding).then_some(said);
    decided((site, log_key), change, (story.approver, story.later, story.outcome), said)
}

#[test]
fn a_retroactive_change_is_told_apart_with_what_it_accepts_and_who_accepted_it() {
    let files = told(&GOOD);
    let report = verify(&files, None);
    assert_eq!((flaws(&files).as_str(), report.remarks), ("", vec![]));
    assert!(report.checked.iter().any(|(n, what)| *n == 1 && what.starts_with("retroactive")));
    let row = row(&files, "changes");
    let finding = files.keys().filter_map(|path| path.strip_prefix("statements/")?.strip_suffix(".json"));
    assert!(finding.into_iter().any(|digest| digest == row["accepts_findings"]));
    for (column, value) in [
        ("type", "retroactive"),
        ("result", "accepted"),
        ("approvers", "first"),
        ("approvals_required", "1"),
        ("sod_ok", "true"),
        ("self_approved", "false"),
        ("targets_pending", "0"),
        ("manifests", ""),
        ("window_intervals", ""),
        ("waves", ""),
    ] {
        assert_eq!(row[column], value, "{column}");
    }
    assert_eq!(files["data/applications.csv"].split(|b| *b == b'\n').count(), 2, "only the heads");
}

#[test]
fn what_nobody_else_accepted_is_a_flaw_where_the_server_calls_it_successful() {
    let alone = told(&Story { approver: ("author", 1), ..GOOD });
    assert!(flaws(&alone).contains("is called successful, but approval.quorum"), "{}", flaws(&alone));
    assert_eq!(
        (&*row(&alone, "changes")["result"], &*row(&alone, "changes")["sod_ok"]),
        ("not_accepted", "false")
    );
    // The same is no lie where the server says that it failed.
    let failed = told(&Story { approver: ("author", 1), outcome: "failed", ..GOOD });
    assert_eq!(flaws(&failed), "");
    let stranger = told(&Story { approver: ("first", 9), ..GOOD });
    assert!(flaws(&stranger).contains("is called successful"), "{}", flaws(&stranger));
}

#[test]
fn a_finding_that_is_missing_or_of_another_host_is_a_flaw() {
    let without = told(&Story { without_finding: true, ..GOOD });
    assert!(flaws(&without).contains("is missing"), "{}", flaws(&without));
    let other = told(&Story {
        change: |change| {
            let other = key(21).public();
            change.accepts[0].agent = other.agent_id();
            change.targets = vec![crate::change::Target { agent: other.agent_id(), key: other.digest() }];
        },
        ..GOOD
    });
    assert!(flaws(&other).contains("is not one of host"), "{}", flaws(&other));
}
