//! A retroactive change in a bundle: who accepted what is judged offline, whatever the server says.

use super::*;
use crate::change::Change;
use crate::plan::PlanSet;

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
pub(super) fn told_at((mut site, log_key): (Site, SigningKey), story: &Story) -> Files {
    let enrolment = enrolled(&site);
    let mut found = fix::finding(&host(), 2).body;
    (found.header.site, found.header.prev) = (site.id.clone(), Some(enrolment.digest));
    let found = Statement::sign(found, &host());
    let mut change = fix::accepting(std::slice::from_ref(&found));
    change.site = site.id.clone();
    (story.change)(&mut change);
    let mut case = Case::of(change);
    case.bundle.plan_set = PlanSet::empty(case.bundle.change.digest);
    let (person, number) = story.approver;
    let mut approval = case.approval(person);
    approval.site = site.id.clone();
    (approval.at, approval.expires) = (approval.at.plus(story.later), approval.expires.plus(story.later));
    case.add(approval, number);
    let Bundle { change, plan_set, approvals, .. } = case.bundle;
    let approval = &approvals[0];
    let mut log = Log::default();
    log.add(LeafKind::Manifest, publication(site.id.clone()).digest, None);
    log.add(LeafKind::Enrolment, enrolment.digest, Some(1));
    log.add(LeafKind::Change, change.digest, None);
    log.add(LeafKind::PlanSet, plan_set.digest(), None);
    log.add(LeafKind::Approval, approval.digest, None);
    let mut keep = vec![
        (enrolment.digest, enrolment.to_bytes()),
        (change.digest, change.to_bytes()),
        (approval.digest, approval.to_bytes()),
    ];
    if !story.without_finding {
        log.add(LeafKind::Finding, found.digest, Some(2));
        keep.push((found.digest, found.to_bytes()));
    }
    site.material.statements.extend(keep);
    site.material.plan_sets.insert(plan_set.digest(), plan_set.to_bytes());
    let server =
        ServerChange { state: "closed".into(), outcome: Some(story.outcome.into()), ..Default::default() };
    site.material.server.changes.insert("C-1".parse().unwrap(), server);
    sealed(site, (&log, 2), &[], &log_key)
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
