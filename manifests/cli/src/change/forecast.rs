//! What each host would decide now, computed with the hosts' own checks; and the lines that explain it.

use super::review::Review;
use shared::acceptance::{Acceptance, judge_acceptance};
use shared::admit::{self, Me};
use shared::approval::Approval;
use shared::bundle::Bundle;
use shared::ids::AgentId;
use shared::plan::Plan;
use shared::policy::{self, Case, Hearing, Policy, Purpose, judge};
use shared::refusal::Refused;
use shared::risk::risk_of;
use shared::statement::Statement;
use shared::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// For every host of the plan set: approved, or why not.
pub struct Forecast {
    pub hosts: BTreeMap<AgentId, Result<(), Refused>>,
    /// Explanations of the policy, each once.
    pub lines: Vec<String>,
}

impl Forecast {
    /// `new` is a statement that the server may not have yet.
    pub fn of(policy: &Policy, review: &Review, new: Option<&Statement<Approval>>, now: Timestamp) -> Self {
        let mut approvals: Vec<_> = review.approvals.iter().map(|spoken| spoken.statement.clone()).collect();
        approvals.extend(new.filter(|new| approvals.iter().all(|a| a.digest != new.digest)).cloned());
        let bundle = Bundle { change: review.change.clone(), plan_set: review.set.clone(), approvals };
        let mut forecast = Self { hosts: BTreeMap::new(), lines: Vec::new() };
        for plan in review.set.plans.keys().filter_map(|id| review.plans.get(id)) {
            let verdict = admitted(policy, review, &bundle, plan, now);
            forecast.hosts.insert(plan.body.agent_id, verdict);
            for line in explained(policy, review, &bundle, plan, now) {
                if !forecast.lines.contains(&line) {
                    forecast.lines.push(line);
                }
            }
        }
        forecast
    }

    pub fn allowed(&self) -> usize {
        self.hosts.values().filter(|verdict| verdict.is_ok()).count()
    }

    /// Why hosts are not allowed, each reason once, as far as the lines do not say it.
    pub fn reasons(&self) -> BTreeSet<String> {
        let refused = self.hosts.values().filter_map(|verdict| verdict.as_ref().err());
        refused.filter(|why| !self.lines.contains(&why.message)).map(ToString::to_string).collect()
    }
}

/// What the approvals would come to of a change that brings nothing to hosts, with a statement that the server may not have yet.
pub fn acceptance(policy: &Policy, review: &Review, new: &Statement<Approval>, now: Timestamp) -> Acceptance {
    let known = review.approvals.iter().map(|spoken| &spoken.statement);
    let all = known.filter(|known| known.digest != new.digest).chain([new]);
    let heard = Hearing::of(policy, &review.change, all, now);
    judge_acceptance(policy, &review.change, &review.grounds, &heard, now)
}

fn admitted(
    policy: &Policy,
    review: &Review,
    bundle: &Bundle,
    plan: &Statement<Plan>,
    now: Timestamp,
) -> Result<(), Refused> {
    let me = Me { key: plan.body.key, host_class: &plan.body.host_class };
    let addressed = admit::address(policy, review.change.clone(), &me, now)?;
    admit::approve(policy, &addressed, bundle, plan, &review.sources(), &me, now).map(|_| ())
}

fn explained(
    policy: &Policy,
    review: &Review,
    bundle: &Bundle,
    plan: &Statement<Plan>,
    now: Timestamp,
) -> Vec<String> {
    let heard = Hearing::of(policy, &review.change, &bundle.approvals, now);
    with_case(review, plan, |case| judge(policy, case, &heard, now).lines)
}

/// Until when an approval that is signed now covers that this host corrects; `None` when the policy does not let it.
pub fn corrections_until(
    policy: &Policy,
    review: &Review,
    plan: &Statement<Plan>,
    now: Timestamp,
) -> Option<Timestamp> {
    with_case(review, plan, |case| policy::corrections_until(policy, case, now))
}

fn with_case<T>(review: &Review, plan: &Statement<Plan>, ask: impl FnOnce(&Case<'_>) -> T) -> T {
    let sources = review.sources();
    let classes = sources.classes_with(plan.body.classes());
    ask(&Case {
        purpose: Purpose::Start,
        change: &review.change.body,
        publishers: sources.publishers(),
        agent: plan.body.agent_id,
        host_class: &plan.body.host_class,
        classes: &classes,
        risk: risk_of(&classes),
        plan_set: review.set.digest(),
    })
}
