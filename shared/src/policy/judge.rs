//! Judging approvals: pure, the same on host, server, command line and in the auditor's hands.

use super::{Assurance, DistinctFrom, Policy, Role, Rule};
use crate::approval::{Approval, Decision};
use crate::change::{Change, ChangeType};
use crate::digest::Digest;
use crate::ids::{AgentId, HostClass, PersonId};
use crate::limits;
use crate::refusal::{Code, Refused};
use crate::risk::{ActionClass, Risk};
use crate::statement::Statement;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// An approval whose signature, key, person, times and object were checked. Made only by [`verify_approval`].
#[derive(Clone, Debug)]
pub struct VerifiedApproval {
    digest: Digest,
    body: Approval,
    assurance: Assurance,
}

impl VerifiedApproval {
    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub fn body(&self) -> &Approval {
        &self.body
    }
}

/// Checks one approval for the change with `digest` at `now` (seconds UTC).
///
/// # Errors
/// `approval.*` with the reason; the approval then counts for nothing.
pub fn verify_approval(
    policy: &Policy,
    change: &Statement<Change>,
    approval: &Statement<Approval>,
    now: Timestamp,
) -> Result<VerifiedApproval, Refused> {
    let body = &approval.body;
    let no = |code, message: String| Err(Refused::new(code, message));
    let same = body.change == change.digest
        && body.change_id == change.body.change_id
        && body.revision == change.body.revision
        && body.site == policy.site;
    if !same {
        let message = format!(
            "the approval of {} is for {} revision {} or another site",
            body.person, body.change_id, body.revision
        );
        return no(Code::ApprovalOther, message);
    }
    let keys = policy.keys_for(&body.person, Role::Approver, now);
    let Some(key) = keys.iter().find(|k| approval.is_signed_by(&k.public)) else {
        let message = format!(
            "no current approver key of {} in policy version {} made this signature",
            body.person, policy.version
        );
        return no(Code::ApprovalUnknownKey, message);
    };
    let skew = i64::from(policy.clock.max_skew_s).min(limits::CLOCK_SKEW_SECS);
    if body.at > now.plus(skew) || body.at.plus(skew) < change.body.created {
        return no(
            Code::ApprovalInvalid,
            format!("it was signed at {}, in the future or before the change", body.at),
        );
    }
    if body.decision == Decision::Approve && body.expires <= now {
        return no(
            Code::ApprovalExpired,
            format!("the approval of {} expired at {}", body.person, body.expires),
        );
    }
    Ok(VerifiedApproval { digest: approval.digest, body: body.clone(), assurance: key.assurance })
}

/// What approvals are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// That the change starts.
    Start,
    /// That a host puts back what the change brought before.
    Correction,
}

/// What is to be decided, for one host.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    pub purpose: Purpose,
    pub change_type: ChangeType,
    pub author: &'a PersonId,
    pub publishers: &'a BTreeSet<PersonId>,
    pub agent: AgentId,
    pub host_class: &'a HostClass,
    /// From the host's own plan.
    pub classes: &'a BTreeSet<ActionClass>,
    pub risk: Risk,
    pub plan_set: Digest,
}

/// A decision that explains itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// One line for each rule and each approval that did not count.
    pub lines: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `persons` counted; `approvals` are the digests of their statements.
    Allowed { persons: BTreeSet<PersonId>, approvals: Vec<Digest> },
    /// Not yet, or not at all.
    Denied(Refused),
}

/// Judges a case against the policy: every matching rule must be satisfied, every action class needs a rule.
pub fn judge(policy: &Policy, case: &Case<'_>, approvals: &[VerifiedApproval], now: Timestamp) -> Judgement {
    let mut lines = Vec::new();
    if let Some(refused) = stopped(approvals) {
        return Judgement { verdict: Verdict::Denied(refused), lines };
    }
    let rules = match rules_for(policy, case) {
        Ok(rules) => rules,
        Err(refused) => return Judgement { verdict: Verdict::Denied(refused), lines },
    };
    let mut persons = BTreeSet::new();
    let mut used = Vec::new();
    for rule in rules {
        let counted = count(rule, case, approvals, now, &mut lines);
        let need = rule.require.approvals as usize;
        lines.push(format!("rule {:?}: {} of {need} counted", rule.name, counted.len()));
        if counted.len() < need {
            let message = format!("{} of {need} approvals counted for rule {:?}", counted.len(), rule.name);
            return Judgement {
                verdict: Verdict::Denied(Refused::new(Code::ApprovalQuorum, message)),
                lines,
            };
        }
        for (person, digest) in counted {
            if persons.insert(person) {
                used.push(digest);
            }
        }
    }
    Judgement { verdict: Verdict::Allowed { persons, approvals: used }, lines }
}

/// How many distinct persons the strictest matching rule asks for; `None` when no rule allows the case at all.
pub fn required(policy: &Policy, case: &Case<'_>) -> Option<u32> {
    rules_for(policy, case).ok()?.into_iter().map(|rule| rule.require.approvals).max()
}

/// Until when an approval that is signed at `now` covers corrections of this case; `None` when a rule does not let it.
pub fn corrections_until(policy: &Policy, case: &Case<'_>, now: Timestamp) -> Option<Timestamp> {
    let hours = rules_for(policy, case).ok()?.into_iter().map(|rule| rule.require.max_correction_h).min()?;
    (hours > 0).then(|| now.plus(i64::from(hours) * 3_600))
}

/// The matching rules, at least one for each action class.
fn rules_for<'p>(policy: &'p Policy, case: &Case<'_>) -> Result<Vec<&'p Rule>, Refused> {
    let rules: Vec<&Rule> = policy.rules.iter().filter(|r| matches(r, case)).collect();
    let covered = |class: &ActionClass| {
        rules.iter().any(|r| r.matches.action_classes.as_ref().is_none_or(|set| set.contains(class)))
    };
    if let Some(class) = case.classes.iter().find(|c| !covered(c)) {
        let message = format!(
            "no rule of policy version {} allows {class} for host class {}",
            policy.version, case.host_class
        );
        return Err(Refused::new(Code::PolicyRule, message));
    }
    if rules.is_empty() {
        let message = format!("no rule of policy version {} matches this change", policy.version);
        return Err(Refused::new(Code::PolicyRule, message));
    }
    Ok(rules)
}

/// A rejection stands until its person approves later; a withdrawal ends that person's approval.
fn stopped(approvals: &[VerifiedApproval]) -> Option<Refused> {
    let latest = latest_by_person(approvals);
    let stop = latest.values().find(|a| a.body.decision != Decision::Approve)?;
    let what = match stop.body.decision {
        Decision::Withdraw => "withdrew the approval",
        _ => "rejected the change",
    };
    Some(Refused::new(Code::ApprovalWithdrawn, format!("{} {what} at {}", stop.body.person, stop.body.at)))
}

/// The last word of each person; at equal times the stricter one.
fn latest_by_person(approvals: &[VerifiedApproval]) -> BTreeMap<&PersonId, &VerifiedApproval> {
    let mut latest: BTreeMap<&PersonId, &VerifiedApproval> = BTreeMap::new();
    let rank = |a: &VerifiedApproval| (a.body.at, a.body.decision != Decision::Approve);
    for approval in approvals {
        let slot = latest.entry(&approval.body.person).or_insert(approval);
        if rank(approval) >= rank(slot) {
            *slot = approval;
        }
    }
    latest
}

fn matches(rule: &Rule, case: &Case<'_>) -> bool {
    let m = &rule.matches;
    m.change_types.as_ref().is_none_or(|set| set.contains(&case.change_type))
        && m.host_classes.as_ref().is_none_or(|set| set.contains(case.host_class))
        && m.min_risk.is_none_or(|least| case.risk >= least)
        && m.action_classes
            .as_ref()
            .is_none_or(|set| !set.is_disjoint(case.classes) || case.classes.is_empty())
}

/// The distinct persons whose approval counts for one rule; says of the others why not.
fn count(
    rule: &Rule,
    case: &Case<'_>,
    approvals: &[VerifiedApproval],
    now: Timestamp,
    lines: &mut Vec<String>,
) -> Vec<(PersonId, Digest)> {
    let mut counted = Vec::new();
    for (person, approval) in latest_by_person(approvals) {
        match why_not(rule, case, approval, now) {
            Some(why) => lines.push(format!("person {person} not counted: {why}")),
            None => counted.push((person.clone(), approval.digest)),
        }
    }
    counted
}

fn why_not(rule: &Rule, case: &Case<'_>, approval: &VerifiedApproval, now: Timestamp) -> Option<String> {
    let body = &approval.body;
    let distinct = &rule.require.distinct_from;
    if distinct.contains(&DistinctFrom::Author) && body.person == *case.author {
        return Some("is the author".into());
    }
    if distinct.contains(&DistinctFrom::Publisher) && case.publishers.contains(&body.person) {
        return Some("published one of the manifests".into());
    }
    if body.saw.plan_set != case.plan_set {
        return Some("approved another plan set".into());
    }
    if body.agents.as_ref().is_some_and(|agents| !agents.contains(&case.agent)) {
        return Some("approved other hosts only".into());
    }
    if approval.assurance < rule.require.min_assurance {
        return Some("the key's assurance is too low for this rule".into());
    }
    let (hours, what) = match case.purpose {
        Purpose::Start => (rule.require.max_validity_h, "is good"),
        Purpose::Correction => (rule.require.max_correction_h, "covers corrections"),
    };
    if case.purpose == Purpose::Correction && hours == 0 {
        return Some(format!("rule {:?} lets no approval stand for corrections", rule.name));
    }
    let end = body.at.plus(i64::from(hours) * 3_600);
    if now >= end {
        return Some(format!("an approval {what} for {hours} hours; this one was until {end}"));
    }
    None
}
