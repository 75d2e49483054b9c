//! Bundles about one change that brings nothing to hosts, and who decided about it.

use super::*;
use crate::change::Change;
use crate::plan::PlanSet;

/// What a host has signed that the change is about, beside its enrolment.
pub(super) struct Said {
    pub(super) kind: LeafKind,
    pub(super) by: SigningKey,
    pub(super) seq: u64,
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
}

/// One person approves the change with a key, so many seconds later than usual; the server says that it is closed with this
/// outcome.
pub(super) fn decided(
    (mut site, log_key): (Site, SigningKey),
    change: Change,
    ((person, number), later, outcome): ((&str, u8), i64, &str),
    said: Option<Said>,
) -> Files {
    let enrolment = enrolled(&site);
    let mut case = Case::of(change);
    case.bundle.plan_set = PlanSet::empty(case.bundle.change.digest);
    let mut approval = case.approval(person);
    approval.site = site.id.clone();
    (approval.at, approval.expires) = (approval.at.plus(later), approval.expires.plus(later));
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
    if let Some(said) = said {
        log.add_of(&said.by, said.kind, said.digest, Some(said.seq));
        keep.push((said.digest, said.bytes));
    }
    site.material.statements.extend(keep);
    site.material.plan_sets.insert(plan_set.digest(), plan_set.to_bytes());
    let server = ServerChange { state: "closed".into(), outcome: Some(outcome.into()), ..Default::default() };
    site.material.server.changes.insert("C-1".parse().unwrap(), server);
    sealed(site, (&log, 2), &[], &log_key)
}
