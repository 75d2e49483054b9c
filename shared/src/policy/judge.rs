//! Judging a change: pure, the same on host, server, command line and in the auditor's hands.

use super::tally::{Tally, Voice, needed};
use super::{Hearing, Model, Policy, Rule, glass};
use crate::change::Change;
use crate::digest::Digest;
use crate::ids::{AgentId, HostClass, ModelName, PersonId};
use crate::refusal::{Code, Refused};
use crate::risk::{ActionClass, Risk};
use crate::time::{Interval, Timestamp};
use std::collections::BTreeSet;

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
    pub change: &'a Change,
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
    /// One line for each rule, with who counted and who did not; or one for the model.
    pub lines: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `voices` counted; `approvals` are the digests of their statements. Both are empty where a model allows it.
    /// `glass` is present when one person stands for all of it, and is the time in which it may start then.
    Allowed { voices: BTreeSet<Voice>, approvals: Vec<Digest>, glass: Option<Interval> },
    /// Not yet, or not at all.
    Denied(Refused),
}

/// Judges a case against the policy: a no stops it; then a model that it names must cover it; or else every matching rule
/// must be satisfied, or one person have broken the glass, and every action class needs a rule.
pub fn judge(policy: &Policy, case: &Case<'_>, hearing: &Hearing, now: Timestamp) -> Judgement {
    if let Some(refused) = hearing.stopped() {
        return Judgement { lines: vec![refused.message.clone()], verdict: Verdict::Denied(refused) };
    }
    if let Some(name) = &case.change.model {
        return by_model(policy, case, name, now);
    }
    let rules = match rules_for(policy, case) {
        Ok(rules) => rules,
        Err(refused) => return Judgement { verdict: Verdict::Denied(refused), lines: Vec::new() },
    };
    if let Some(broken) = glass::broken(&rules, case, hearing) {
        return broken;
    }
    let tallies = Tally::of_all(policy, &rules, case, hearing, now);
    let lines = tallies.iter().map(Tally::line).collect();
    if let Some(short) = tallies.iter().find(|tally| !tally.suffices()) {
        let refused = Refused::new(too_few(hearing), short.line());
        return Judgement { verdict: Verdict::Denied(refused), lines };
    }
    let mut voices = BTreeSet::new();
    let mut used = Vec::new();
    for (voice, digest) in tallies.into_iter().flat_map(|tally| tally.counted) {
        if !used.contains(&digest) {
            used.push(digest);
        }
        voices.insert(voice);
    }
    Judgement { verdict: Verdict::Allowed { voices, approvals: used, glass: None }, lines }
}

/// What is wrong with an approval that was given says more than that there are too few.
fn too_few(hearing: &Hearing) -> Code {
    let said = if hearing.words().next().is_some() { Code::ApprovalQuorum } else { Code::ApprovalMissing };
    hearing.unheard().values().next().map_or(said, |why| why.code)
}

fn by_model(policy: &Policy, case: &Case<'_>, name: &ModelName, now: Timestamp) -> Judgement {
    match policy.kept(name, |model| model.broken(case, now)) {
        Ok(model) => Judgement {
            verdict: Verdict::Allowed { voices: BTreeSet::new(), approvals: Vec::new(), glass: None },
            lines: vec![format!("model {name} allows it without an approval: {}", model.shown())],
        },
        Err(why) => Judgement {
            lines: vec![why.clone()],
            verdict: Verdict::Denied(Refused::new(Code::PolicyModel, why)),
        },
    }
}

impl Policy {
    /// The model, unless it is missing or the caps that `broken` names are not kept; then a sentence.
    fn kept(&self, name: &ModelName, broken: impl FnOnce(&Model) -> Vec<String>) -> Result<&Model, String> {
        let model = self.model(name);
        let model = model.ok_or_else(|| format!("model {name} is not in policy version {}", self.version))?;
        match broken(model) {
            broken if broken.is_empty() => Ok(model),
            broken => Err(format!("model {name} does not allow it: {}", broken.join("; "))),
        }
    }

    /// Why no host would take the change for one of the model that it names; `None` when some may, or when it names none.
    pub fn not_standard(&self, change: &Change, now: Timestamp) -> Option<String> {
        self.kept(change.model.as_ref()?, |model| model.broken_by(change, now)).err()
    }
}

/// How many distinct persons the strictest matching rule asks for, none where a model allows it; `None` when nothing
/// allows the case at all.
pub fn required(policy: &Policy, case: &Case<'_>) -> Option<u32> {
    if let Some(name) = &case.change.model {
        return policy.model(name).map(|_| 0);
    }
    rules_for(policy, case).ok()?.into_iter().map(|rule| needed(policy, rule, case)).max()
}

/// Until when an approval that is signed at `now` covers corrections of this case; `None` when a rule does not let it.
pub fn corrections_until(policy: &Policy, case: &Case<'_>, now: Timestamp) -> Option<Timestamp> {
    let hours = rules_for(policy, case).ok()?.into_iter().map(|rule| rule.require.max_correction_h).min()?;
    (hours > 0).then(|| now.plus(i64::from(hours) * 3_600))
}

/// The matching rules, at least one for each action class.
pub(super) fn rules_for<'p>(policy: &'p Policy, case: &Case<'_>) -> Result<Vec<&'p Rule>, Refused> {
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

fn matches(rule: &Rule, case: &Case<'_>) -> bool {
    let m = &rule.matches;
    m.change_types.as_ref().is_none_or(|set| set.contains(&case.change.change_type))
        && m.host_classes.as_ref().is_none_or(|set| set.contains(case.host_class))
        && m.min_risk.is_none_or(|least| case.risk >= least)
        && m.action_classes
            .as_ref()
            .is_none_or(|set| !set.is_disjoint(case.classes) || case.classes.is_empty())
}
