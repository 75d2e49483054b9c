//! Why a change counted as approved, in the words of the hosts' own judgement; and the cap of models that no host can check.

use super::editions::{is_accepted, policy_at};
use super::verify::sources;
use super::{Contents, Flaw, Report, accepted};
use crate::admit::Sources;
use crate::approval::Decision;
use crate::change::Change;
use crate::ids::{AgentId, ModelName};
use crate::plan::Plan;
use crate::policy::{Case, DAY_SECS, Hearing, Policy, Purpose, judge};
use crate::risk::risk_of;
use crate::statement::Statement;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// The lines of the judgement of each planned host, each once: when the first one started, or else when the last approval
/// was signed.
pub(super) fn decision(contents: &Contents, change: &Statement<Change>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut add = |all: Vec<String>| {
        for line in all {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    };
    if change.body.is_record() {
        add(accepted::decision(contents, change));
        return lines;
    }
    let of_this = contents.receipts.values().filter(|r| r.body.change == change.digest);
    let first = of_this.filter(|r| r.body.corrects.is_none()).min_by_key(|r| (r.body.started, r.digest));
    let said: Vec<_> = contents.approvals.values().filter(|a| a.body.change == change.digest).collect();
    let last = said.iter().filter(|a| a.body.decision == Decision::Approve).map(|a| a.body.at).max();
    let at = first.map(|r| r.body.started).or(last).unwrap_or(change.body.created);
    let named = first.and_then(|r| contents.policies.get(&r.body.policy));
    let Some(policy) = named.or_else(|| policy_at(contents, at)) else { return lines };
    let said = said.into_iter().filter(|a| a.body.at <= at && is_accepted(contents, a));
    let heard = Hearing::of(policy, change, said, at);
    for all in each_plan(contents, policy, change, at, |case| judge(policy, case, &heard, at).lines) {
        add(all);
    }
    lines
}

/// Asks about every host of the change that has planned, with what it brings to its judgement at `at`.
pub(super) fn each_plan<T>(
    contents: &Contents,
    policy: &Policy,
    change: &Statement<Change>,
    at: Timestamp,
    ask: impl Fn(&Case<'_>) -> T,
) -> Vec<T> {
    let sources = sources(contents, policy, &change.body, at).unwrap_or_else(|_| Sources::default());
    let of_this: BTreeMap<_, _> =
        contents.plan_sets.iter().filter(|(_, set)| set.change == change.digest).collect();
    let ask = |plan: &Statement<Plan>| {
        let classes = sources.classes_with(plan.body.classes());
        let holds = |set: &crate::plan::PlanSet| set.plans.get(&plan.body.agent_id) == Some(&plan.digest);
        let plan_set = of_this.iter().find(|(_, set)| holds(set)).map(|(digest, _)| **digest);
        ask(&Case {
            purpose: Purpose::Start,
            change: &change.body,
            publishers: sources.publishers(),
            agent: plan.body.agent_id,
            host_class: &plan.body.host_class,
            classes: &classes,
            risk: risk_of(&classes),
            plan_set: plan_set.unwrap_or(change.digest),
        })
    };
    contents.plans.values().filter(|plan| plan.body.change == change.digest).map(ask).collect()
}

/// Hosts that changes of one model were started on within a day, against the policy that the hosts named.
pub(super) fn check_models(contents: &Contents, report: &mut Report) {
    let mut starts: BTreeMap<&ModelName, Vec<Start>> = BTreeMap::new();
    for receipt in contents.receipts.values().filter(|receipt| receipt.body.corrects.is_none()) {
        let body = &receipt.body;
        let named = contents.changes.get(&body.change).and_then(|change| change.body.model.as_ref());
        let Some(name) = named else { continue };
        let model = contents.policies.get(&body.policy).and_then(|policy| policy.model(name));
        let most = model.map_or(0, |model| model.hosts_per_day);
        starts.entry(name).or_default().push((body.started, body.header.agent_id, most));
    }
    let count = starts.values().map(Vec::len).sum();
    for (name, of_model) in starts {
        if let Some((from, hosts, most)) = crowded(&of_model) {
            let why = format!(
                "model {name} allows {most} hosts a day; {hosts} started in the 24 hours from {from}"
            );
            report.flaws.push(Flaw::at("statements", why));
        }
    }
    report.checked.push((count, "starts without an approval, within their model's hosts a day"));
}

/// When a host started, and how many its policy allowed in a day.
type Start = (Timestamp, AgentId, u32);

/// The first start whose following day has more hosts than it allowed, with both numbers.
fn crowded(starts: &[Start]) -> Option<(Timestamp, usize, u32)> {
    let of_day = |from: Timestamp| {
        let day = starts.iter().filter(|(at, ..)| *at >= from && at.since(from) < DAY_SECS);
        day.map(|(_, agent, _)| agent).collect::<BTreeSet<_>>().len()
    };
    let over = starts.iter().map(|(from, _, most)| (*from, of_day(*from), *most));
    over.filter(|(_, hosts, most)| *hosts > *most as usize).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_any_24_hours_and_a_host_is_counted_once() {
        let start = |at: i64, host: u8, most| (Timestamp(at), AgentId::of_key(&[host; 32]), most);
        assert_eq!(crowded(&[start(0, 1, 1), start(10, 1, 1), start(DAY_SECS + 10, 2, 1)]), None);
        let close = [start(20, 1, 1), start(DAY_SECS + 19, 2, 1)];
        assert_eq!(crowded(&close), Some((Timestamp(20), 2, 1)));
        assert_eq!(crowded(&close.map(|(at, host, _)| (at, host, 2))), None);
    }
}
