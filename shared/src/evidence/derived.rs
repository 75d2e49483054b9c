//! Columns that are judged from several statements at once: quorum, services, waves, signers, the server's steps.
//!
//! Never: a value that no document of the bundle gives. What has no source yet stays empty.

use super::editions::policy_at;
use super::tables::text;
use super::{ChangeEvent, Contents, accepted, standing};
use crate::acceptance::required_persons;
use crate::admit;
use crate::approval::{Approval, Decision};
use crate::change::{Change, ChangeType};
use crate::manifest::Manifest;
use crate::policy::{REVIEW_SECS, required};
use crate::receipt::{HostOutcome, Receipt};
use crate::statement::Statement;
use crate::time::Timestamp;
use std::collections::BTreeSet;

/// Distinct persons that the strictest of the hosts needed, by the policy at the time of the last approval.
pub(super) fn approvals_required(contents: &Contents, change: &Statement<Change>) -> String {
    let body = &change.body;
    let approvals = contents.approvals.values().map(|a| &a.body);
    let approvals = approvals.filter(|a| a.change == change.digest && a.decision == Decision::Approve);
    let at = approvals.map(|a| a.at).max().unwrap_or(body.created);
    let Some(policy) = policy_at(contents, at) else { return String::new() };
    if body.is_record() {
        let grounds = accepted::grounds(contents, body);
        return text(grounds.ok().and_then(|found| required_persons(policy, change, &found)));
    }
    let needed = standing::each_plan(contents, policy, change, at, |case| required(policy, case));
    let needed = needed.into_iter().flatten();
    text(needed.max())
}

/// Services of the hosts that the plans touch.
pub(super) fn affected_services(contents: &Contents, change: &Statement<Change>) -> String {
    let plans = contents.plans.values().filter(|p| p.body.change == change.digest);
    let resources = plans.flat_map(|p| &p.body.actions).map(|action| action.resource.as_str());
    let services: BTreeSet<_> = resources.filter_map(|id| id.strip_prefix("service:")).collect();
    services.into_iter().collect::<Vec<_>>().join(" ")
}

/// `1:n=2 2:n=8,min_success=2,max_fail=0,soak_s=600`: how many hosts, and what must hold before.
pub(super) fn waves(change: &Change) -> String {
    if change.is_record() {
        return String::new();
    }
    if change.waves.is_empty() {
        return format!("1:n={}", change.targets.len());
    }
    let wave = |(number, wave): (usize, &crate::change::Wave)| {
        let gate = wave.gate.map_or(String::new(), |gate| {
            format!(",min_success={},max_fail={},soak_s={}", gate.min_success, gate.max_fail, gate.soak_s)
        });
        format!("{}:n={}{gate}", number + 1, wave.agents.len())
    };
    change.waves.iter().enumerate().map(wave).collect::<Vec<_>>().join(" ")
}

/// When the last host was back where it had been.
pub(super) fn rolled_back_at(receipts: &[&Statement<Receipt>]) -> String {
    let back = receipts.iter().filter(|r| r.body.outcome == HostOutcome::RolledBack);
    text(back.map(|r| r.body.finished).max())
}

pub(super) fn emergency_reason(change: &Change) -> String {
    match change.change_type {
        ChangeType::Emergency => change.reason.clone(),
        ChangeType::Standard | ChangeType::Normal | ChangeType::Retroactive => String::new(),
    }
}

/// Until when people had to look at what was done: because somebody broke the glass, it was an emergency, or a host failed.
pub(super) fn review_due(
    contents: &Contents,
    change: &Change,
    receipts: &[&Statement<Receipt>],
) -> Option<Timestamp> {
    let broken = receipts.iter().filter(|r| r.body.breakglass).map(|r| r.body.started);
    let failed = receipts.iter().any(|r| r.body.outcome.succeeded() == Some(false));
    let asked = change.change_type == ChangeType::Emergency || failed;
    let finished = last_step(contents, change, "finish").filter(|_| asked).map(|step| step.at);
    broken.chain(finished).min().map(|at| at.plus(REVIEW_SECS))
}

/// The number of the year that the change got when it was submitted first.
pub(super) fn register(contents: &Contents, change: &Change) -> String {
    let steps = contents.events.values().filter(|step| step.change == change.change_id);
    text(steps.filter_map(|step| step.register.clone()).next())
}

/// The last step of this kind that a revision took.
pub(super) fn last_step<'c>(contents: &'c Contents, change: &Change, event: &str) -> Option<&'c ChangeEvent> {
    let of_this =
        |e: &&ChangeEvent| e.change == change.change_id && e.revision == change.revision && e.event == event;
    contents.events.values().filter(of_this).max_by_key(|e| e.version)
}

/// The step with which people said how it went: they close a change, or the last one needed accepts one that brings nothing
/// to hosts.
pub(super) fn review<'c>(contents: &'c Contents, change: &Change) -> Option<&'c ChangeEvent> {
    let quorum = || last_step(contents, change, "the quorum").filter(|_| change.is_record());
    last_step(contents, change, "close").or_else(quorum)
}

/// Publishers whose manifest brought the resource of a step, and whether the policy of the receipt accepts them all.
///
/// A patch names packages by rules, not one by one; then every manifest of the change vouches for the step.
pub(super) fn signers(contents: &Contents, receipt: &Receipt, resource: &str) -> (String, String) {
    let (Some(change), Some(policy)) =
        (contents.changes.get(&receipt.change), contents.policies.get(&receipt.policy))
    else {
        return (false.to_string(), String::new());
    };
    let names = |m: &Manifest| m.resources().iter().any(|wanted| wanted.id().as_str() == resource);
    let used: Vec<_> = change
        .body
        .manifests
        .iter()
        .filter_map(|named| {
            contents.manifests.get(&named.sha256).map(|(_, bytes, published)| (named, bytes, &published.body))
        })
        .collect();
    let named: Vec<_> = used.iter().filter(|(.., p)| names(&p.manifest)).copied().collect();
    let used = if named.is_empty() { used } else { named };
    let verified = |(use_of, bytes): (_, &Vec<u8>)| {
        admit::verify_manifest(policy, bytes, use_of, receipt.started).is_ok()
    };
    let good = !used.is_empty() && used.iter().all(|(use_of, bytes, _)| verified((*use_of, *bytes)));
    let who: BTreeSet<_> = used.iter().map(|(.., published)| published.publisher.as_str()).collect();
    (good.to_string(), who.into_iter().collect::<Vec<_>>().join(" "))
}

/// The approver's name as the policy of the day has it.
pub(super) fn person_ref(contents: &Contents, approval: &Approval) -> String {
    let person = policy_at(contents, approval.at).and_then(|policy| policy.person(&approval.person));
    person.map(|person| person.name.clone()).unwrap_or_default()
}
