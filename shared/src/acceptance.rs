//! Retroactive changes: what stands between a finding and the word that it may stay. Server, command line and auditor run
//! the same checks.
//!
//! What is signed: the author signs the revision, and with it the digest of every host's own statement; approvers sign
//! that revision's digest and the set without plans. Never: anything that a host would act on.

use crate::change::Change;
use crate::digest::Digest;
use crate::finding::Finding;
use crate::ids::{AgentId, HostClass, PersonId};
use crate::plan::PlanSet;
use crate::policy::{Case, DistinctFrom, Hearing, Policy, Purpose, Verdict, judge, required};
use crate::receipt::open_chained;
use crate::refusal::Refused;
use crate::risk::Risk;
use crate::statement::Statement;
use std::collections::{BTreeMap, BTreeSet};

/// What the approvals of a retroactive change come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// The persons that counted, or what is missing.
    pub verdict: Result<BTreeSet<PersonId>, Refused>,
    /// What counted and what did not, each once.
    pub lines: Vec<String>,
}

/// The findings that a change accepts, in its order. `find` gives a recorded statement by its digest, as bytes.
///
/// # Errors
/// A sentence about the first one that is not there, or that is not the word of the host that the change names.
pub fn findings(
    change: &Change,
    mut find: impl FnMut(&Digest) -> Option<Vec<u8>>,
) -> Result<Vec<Statement<Finding>>, String> {
    let keys: BTreeMap<AgentId, Digest> = change.targets.iter().map(|t| (t.agent, t.key)).collect();
    let open = |accepted: &crate::change::Accepted| {
        let (agent, digest) = (accepted.agent, accepted.finding);
        let bytes =
            find(&digest).ok_or_else(|| format!("the finding {digest} of host {agent} is missing"))?;
        let finding = open_chained::<Finding>(&bytes, &change.site)
            .map_err(|e| format!("{digest} of host {agent} is no finding: {e}"))?;
        finding.body.check().map_err(|e| format!("the finding {digest} of host {agent}: {e}"))?;
        let header = &finding.body.header;
        if finding.digest != digest || header.agent_id != agent {
            return Err(format!("the finding {digest} is not one of host {agent}"));
        }
        match keys.get(&agent) {
            Some(key) if *key == header.key.digest() => Ok(finding),
            _ => Err(format!("host {agent} signed {digest} with another key than the change names")),
        }
    };
    change.accepts.iter().map(open).collect()
}

/// Judges a retroactive change: each host that it is about needs what every matching rule asks for.
///
/// No plan tells what is at stake, so rules for any action class and any risk match. Beyond the rules, the author's own
/// approval counts only at a one-person site: no host checks this change again.
pub fn judge_acceptance(
    policy: &Policy,
    change: &Statement<Change>,
    findings: &[Statement<Finding>],
    hearing: &Hearing,
    now: crate::time::Timestamp,
) -> Acceptance {
    let policy = four_eyes(policy);
    let mut acceptance = Acceptance { verdict: Ok(BTreeSet::new()), lines: Vec::new() };
    for (agent, class) in hosts(findings) {
        let judgement = case(change, agent, &class, |case| judge(&policy, case, hearing, now));
        for line in judgement.lines {
            if !acceptance.lines.contains(&line) {
                acceptance.lines.push(line);
            }
        }
        match (judgement.verdict, &mut acceptance.verdict) {
            (Verdict::Allowed { voices, .. }, Ok(all)) => all.extend(voices.into_iter().map(|v| v.person)),
            (Verdict::Denied(refused), verdict @ Ok(_)) => *verdict = Err(refused),
            (_, Err(_)) => {}
        }
    }
    acceptance
}

/// How many distinct persons the strictest matching rule asks for; `None` when no rule allows it at all.
pub fn required_persons(
    policy: &Policy,
    change: &Statement<Change>,
    findings: &[Statement<Finding>],
) -> Option<u32> {
    let needed = hosts(findings)
        .into_iter()
        .map(|(agent, class)| case(change, agent, &class, |case| required(policy, case)));
    needed.collect::<Option<Vec<u32>>>()?.into_iter().max()
}

/// The hosts, with the class that each signed with its finding.
fn hosts(findings: &[Statement<Finding>]) -> BTreeSet<(AgentId, HostClass)> {
    let header = |finding: &Statement<Finding>| {
        let header = &finding.body.header;
        (header.agent_id, header.host_class.clone())
    };
    findings.iter().map(header).collect()
}

fn four_eyes(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    if !policy.one_person {
        for rule in &mut policy.rules {
            rule.require.distinct_from.insert(DistinctFrom::Author);
        }
    }
    policy
}

fn case<T>(
    change: &Statement<Change>,
    agent: AgentId,
    host_class: &HostClass,
    ask: impl FnOnce(&Case<'_>) -> T,
) -> T {
    ask(&Case {
        purpose: Purpose::Start,
        change: &change.body,
        publishers: &BTreeSet::new(),
        agent,
        host_class,
        classes: &BTreeSet::new(),
        risk: Risk::High,
        plan_set: PlanSet::empty(change.digest).digest(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::address;
    use crate::approval::{Approval, Decision};
    use crate::fixtures::{self as fix, Case as Fixture, NOW, key, policy};
    use crate::policy::{Match, verify_approval};
    use crate::refusal::Code;

    fn accepting() -> (Statement<Change>, Vec<Statement<Finding>>) {
        let found = fix::finding(&fix::host(), 2);
        let change = Statement::sign(fix::accepting(std::slice::from_ref(&found)), &key(1));
        (change, vec![found])
    }

    fn yes(change: &Statement<Change>, person: &str, number: u8) -> Statement<Approval> {
        let mut case = Fixture::of(change.body.clone());
        case.bundle.plan_set = PlanSet::empty(change.digest);
        Statement::sign(case.approval(person), &key(number))
    }

    fn verdict(policy: &Policy, approvals: &[(&str, u8)]) -> Result<usize, Code> {
        let (change, findings) = accepting();
        let approvals: Vec<_> =
            approvals.iter().map(|(person, number)| yes(&change, person, *number)).collect();
        let hearing = Hearing::of(policy, &change, &approvals, NOW);
        let acceptance = judge_acceptance(policy, &change, &findings, &hearing, NOW);
        acceptance.verdict.map(|persons| persons.len()).map_err(|refused| refused.code)
    }

    #[test]
    fn a_host_refuses_a_retroactive_change_whoever_signed_it() {
        let (change, _) = accepting();
        assert_eq!(change.body.problems(), Vec::<String>::new());
        let class = fix::host_class();
        let refused = address(&policy(1), change.clone(), &fix::me(&class), NOW).unwrap_err();
        assert_eq!(refused.code, Code::ChangeRetroactive);
        // The same with everything that a host would run.
        let mut body = fix::change_body();
        body.change_type = crate::change::ChangeType::Retroactive;
        let refused = address(&policy(1), Statement::sign(body, &key(1)), &fix::me(&class), NOW).unwrap_err();
        assert_eq!(refused.code, Code::ChangeRetroactive);
    }

    #[test]
    fn a_retroactive_change_names_findings_and_nothing_to_run() {
        type Bend = fn(&mut Change);
        let bends: [(Bend, &str); 13] = [
            (|c| c.accepts.clear(), "accepts 1 to 1000"),
            (|c| c.accepts.push(c.accepts[0]), "sorted, each once"),
            (|c| c.accepts[0].agent = AgentId::of_key(&[9; 32]), "exactly the hosts"),
            (|c| c.manifests = fix::change_body().manifests, "no manifests"),
            (|c| c.intervals = fix::change_body().intervals, "no intervals"),
            (|c| c.waves = vec![crate::change::Wave { agents: vec![], gate: None }], "no waves"),
            (|c| c.correct_until = Some(c.not_after), "no corrections"),
            (|c| c.action_classes = fix::change_body().action_classes, "allows hosts nothing"),
            (|c| c.reboot = crate::change::Reboot::Always, "allows hosts nothing"),
            (|c| c.undo.automatic = true, "allows hosts nothing"),
            (|c| c.missed = crate::change::Missed::Next, "missed skip"),
            (|c| c.reason = " ".into(), "reason"),
            (|c| c.not_after = c.created.plus(91 * 86_400), "90 days"),
        ];
        for (bend, why) in bends {
            let mut body = accepting().0.body;
            bend(&mut body);
            assert!(body.problems().iter().any(|p| p.contains(why)), "{why}: {:?}", body.problems());
        }
        let mut normal = fix::change_body();
        normal.accepts = accepting().0.body.accepts;
        assert_eq!(normal.problems(), ["only a retroactive change accepts findings"]);
    }

    #[test]
    fn somebody_else_than_the_author_must_accept() {
        assert_eq!(verdict(&policy(1), &[]), Err(Code::ApprovalMissing));
        assert_eq!(verdict(&policy(1), &[("first", 2)]), Ok(1));
        assert_eq!(verdict(&policy(1), &[("author", 1)]), Err(Code::ApprovalQuorum));
        // A rule that would let authors approve runs does not let them accept.
        let mut lax = policy(1);
        lax.rules[0].require.distinct_from.clear();
        assert_eq!(verdict(&lax, &[("author", 1)]), Err(Code::ApprovalQuorum));
        lax.one_person = true;
        assert_eq!(verdict(&lax, &[("author", 1)]), Ok(1));
        assert_eq!(verdict(&policy(2), &[("first", 2)]), Err(Code::ApprovalQuorum));
        assert_eq!(verdict(&policy(2), &[("first", 2), ("second", 4)]), Ok(2));
    }

    /// Nothing tells how much was changed, so rules for what is dangerous hold as well.
    #[test]
    fn the_strictest_rule_counts() {
        let mut strict = policy(1);
        let mut rule = strict.rules[0].clone();
        rule.matches = Match { min_risk: Some(Risk::High), ..Match::default() };
        rule.require.approvals = 2;
        strict.rules.push(rule);
        assert_eq!(verdict(&strict, &[("first", 2)]), Err(Code::ApprovalQuorum));
        let (change, findings) = accepting();
        assert_eq!(required_persons(&strict, &change, &findings), Some(2));
        strict.rules.iter_mut().for_each(|r| r.matches.change_types = Some(Default::default()));
        assert_eq!(verdict(&strict, &[("first", 2), ("second", 4)]), Err(Code::PolicyRule));
    }

    #[test]
    fn a_rejection_and_another_revision_do_not_accept() {
        let (change, findings) = accepting();
        let mut no = yes(&change, "second", 4).body;
        no.decision = Decision::Reject;
        let no = Statement::sign(no, &key(4));
        let both = [yes(&change, "first", 2), no];
        let hearing = Hearing::of(&policy(1), &change, &both, NOW);
        let acceptance = judge_acceptance(&policy(1), &change, &findings, &hearing, NOW);
        assert_eq!(acceptance.verdict.unwrap_err().code, Code::ApprovalWithdrawn);
        let mut later = change.body.clone();
        later.revision = 2;
        let later = Statement::sign(later, &key(1));
        assert!(verify_approval(&policy(1), &change, &yes(&later, "first", 2), NOW).is_err());
    }

    #[test]
    fn each_finding_is_the_word_of_the_host_that_the_change_names() {
        let (change, known) = accepting();
        let bytes = |of: &Statement<Finding>| of.to_bytes();
        assert_eq!(findings(&change.body, |_| Some(bytes(&known[0]))).unwrap(), known);
        let missing = findings(&change.body, |_| None).unwrap_err();
        assert!(missing.contains("is missing"), "{missing}");
        let other = fix::finding(&key(21), 2);
        let foreign = findings(&change.body, |_| Some(bytes(&other))).unwrap_err();
        assert!(foreign.contains("is not one of host"), "{foreign}");
        let mut key_of_other = change.body.clone();
        key_of_other.targets[0].key = Digest::of(b"another");
        let why = findings(&key_of_other, |_| Some(bytes(&known[0]))).unwrap_err();
        assert!(why.contains("another key"), "{why}");
        let why = findings(&change.body, |_| Some(change.to_bytes())).unwrap_err();
        assert!(why.contains("is no finding"), "{why}");
    }
}
