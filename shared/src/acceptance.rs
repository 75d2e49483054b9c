//! Changes that bring nothing to hosts: what stands between what hosts have signed and the word of people about it, that a
//! finding may stay or that a host leaves. Server, command line and auditor run the same checks.
//!
//! What is signed: the author signs the revision, and with it the digest of every host's own statement; approvers sign
//! that revision's digest and the set without plans. Never: anything that a host would act on.

use crate::change::{Accepted, Change, Enrolled};
use crate::digest::Digest;
use crate::finding::Finding;
use crate::ids::{AgentId, HostClass, PersonId};
use crate::plan::PlanSet;
use crate::policy::{self, Case, DistinctFrom, Hearing, Policy, Purpose, Verdict, judge, required};
use crate::receipt::{Chained, Enrolment, open_chained};
use crate::refusal::Refused;
use crate::risk::Risk;
use crate::statement::Statement;
use std::collections::BTreeSet;

/// What the approvals of such a change come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// The persons that counted, or what is missing.
    pub verdict: Result<BTreeSet<PersonId>, Refused>,
    /// What counted and what did not, each once.
    pub lines: Vec<String>,
}

/// What hosts have signed that such a change is about, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grounds {
    /// That it accepts.
    pub findings: Vec<Statement<Finding>>,
    /// Of the hosts that leave, each before that of its successor.
    pub enrolments: Vec<Statement<Enrolment>>,
}

impl Grounds {
    /// `find` gives a recorded statement by its digest, as bytes.
    ///
    /// # Errors
    /// A sentence about the first one that is not there, that is not the word of the host that the change names, or about
    /// the first host that has another class than the one it follows.
    pub fn of(change: &Change, mut find: impl FnMut(&Digest) -> Option<Vec<u8>>) -> Result<Self, String> {
        let finding = |accepted: &Accepted| {
            let finding: Statement<Finding> =
                open(change, "finding", (accepted.agent, accepted.finding), &mut find)?;
            finding
                .body
                .check()
                .map_err(|e| format!("the finding {} of host {}: {e}", accepted.finding, accepted.agent))?;
            Ok(finding)
        };
        let findings = change.accepts.iter().map(finding).collect::<Result<_, String>>()?;
        let mut enrolments: Vec<Statement<Enrolment>> = Vec::new();
        for retirement in &change.retires {
            let mut joined = |host: Enrolled| {
                open::<Enrolment>(change, "enrolment", (host.agent, host.enrolment), &mut find)
            };
            let leaves = joined(retirement.host)?;
            let follows = retirement.successor.map(joined).transpose()?;
            if let Some(follows) = &follows {
                fits(&leaves.body, &follows.body)?;
            }
            enrolments.extend(std::iter::once(leaves).chain(follows));
        }
        Ok(Self { findings, enrolments })
    }

    /// The hosts, with the class that each has signed.
    fn hosts(&self) -> BTreeSet<(AgentId, HostClass)> {
        let found = self.findings.iter().map(|finding| &finding.body.header);
        let joined = self.enrolments.iter().map(|enrolment| &enrolment.body.header);
        found.chain(joined).map(|header| (header.agent_id, header.host_class.clone())).collect()
    }
}

/// A statement that the host itself has signed, with the key that the change names.
fn open<P: Chained>(
    change: &Change,
    what: &str,
    (agent, digest): (AgentId, Digest),
    find: &mut impl FnMut(&Digest) -> Option<Vec<u8>>,
) -> Result<Statement<P>, String> {
    let bytes = find(&digest).ok_or_else(|| format!("the {what} {digest} of host {agent} is missing"))?;
    let said = open_chained::<P>(&bytes, &change.site)
        .map_err(|e| format!("{digest} of host {agent} is no {what}: {e}"))?;
    let header = said.body.header();
    if said.digest != digest || header.agent_id != agent {
        return Err(format!("the {what} {digest} is not one of host {agent}"));
    }
    match change.targets.iter().find(|target| target.agent == agent) {
        Some(target) if target.key == header.key.digest() => Ok(said),
        _ => Err(format!("host {agent} signed {digest} with another key than the change names")),
    }
}

/// A host of another class would come under rules that it never had, without a word of its own.
fn fits(leaves: &Enrolment, follows: &Enrolment) -> Result<(), String> {
    let (before, after) = (&leaves.header, &follows.header);
    match before.host_class == after.host_class {
        true => Ok(()),
        false => Err(format!(
            "host {} is of class {}, and {}, which it is to follow, of class {}; join it again with that class",
            after.agent_id, after.host_class, before.agent_id, before.host_class
        )),
    }
}

/// Judges such a change: each host that it is about needs what every matching rule asks for.
///
/// No plan tells what is at stake, so rules for any action class and any risk match. Beyond the rules, the author's own
/// approval counts only at a one-person site: no host checks this change again.
pub fn judge_acceptance(
    policy: &Policy,
    change: &Statement<Change>,
    grounds: &Grounds,
    hearing: &Hearing,
    now: crate::time::Timestamp,
) -> Acceptance {
    let policy = four_eyes(policy);
    let mut acceptance = Acceptance { verdict: Ok(BTreeSet::new()), lines: Vec::new() };
    for (agent, class) in grounds.hosts() {
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
pub fn required_persons(policy: &Policy, change: &Statement<Change>, grounds: &Grounds) -> Option<u32> {
    let needed = grounds
        .hosts()
        .into_iter()
        .map(|(agent, class)| case(change, agent, &class, |case| required(policy, case)));
    needed.collect::<Option<Vec<u32>>>()?.into_iter().max()
}

/// Whose approval would count now.
pub fn asked(
    policy: &Policy,
    change: &Statement<Change>,
    grounds: &Grounds,
    hearing: &Hearing,
    now: crate::time::Timestamp,
) -> BTreeSet<PersonId> {
    let policy = four_eyes(policy);
    let of_one = |(agent, class): (AgentId, HostClass)| {
        case(change, agent, &class, |case| policy::asked(&policy, case, hearing, now))
    };
    grounds.hosts().into_iter().flat_map(of_one).collect()
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
    use std::collections::BTreeMap;

    fn accepting() -> (Statement<Change>, Grounds) {
        let found = fix::finding(&fix::host(), 2);
        let change = Statement::sign(fix::accepting(std::slice::from_ref(&found)), &key(1));
        (change, Grounds { findings: vec![found], enrolments: vec![] })
    }

    /// The machine of host 20 goes on as host 21, and host 22 is gone.
    fn retiring() -> (Statement<Change>, Grounds) {
        let [old, new, gone] = [20, 21, 22].map(|n| fix::enrolment(&key(n), "web1"));
        let change = Statement::sign(fix::retiring(&[(&old, Some(&new)), (&gone, None)]), &key(1));
        let enrolments = if old.body.header.agent_id < gone.body.header.agent_id {
            vec![old, new, gone]
        } else {
            vec![gone, old, new]
        };
        (change, Grounds { findings: vec![], enrolments })
    }

    fn known(grounds: &Grounds) -> impl Fn(&Digest) -> Option<Vec<u8>> {
        let all = grounds.findings.iter().map(|one| (one.digest, one.to_bytes()));
        let all = all.chain(grounds.enrolments.iter().map(|one| (one.digest, one.to_bytes())));
        let all: BTreeMap<_, _> = all.collect();
        move |digest| all.get(digest).cloned()
    }

    fn yes(change: &Statement<Change>, person: &str, number: u8) -> Statement<Approval> {
        let mut case = Fixture::of(change.body.clone());
        case.bundle.plan_set = PlanSet::empty(change.digest);
        Statement::sign(case.approval(person), &key(number))
    }

    /// The same of a change that accepts findings and of one that retires hosts.
    fn verdict(policy: &Policy, approvals: &[(&str, u8)]) -> Result<usize, Code> {
        let [accepts, retires] = [accepting(), retiring()].map(|(change, grounds)| {
            let approvals: Vec<_> =
                approvals.iter().map(|(person, number)| yes(&change, person, *number)).collect();
            let hearing = Hearing::of(policy, &change, &approvals, NOW);
            let acceptance = judge_acceptance(policy, &change, &grounds, &hearing, NOW);
            acceptance.verdict.map(|persons| persons.len()).map_err(|refused| refused.code)
        });
        assert_eq!(accepts, retires);
        retires
    }

    #[test]
    fn a_host_refuses_what_brings_it_nothing_whoever_signed_it() {
        let class = fix::host_class();
        for change in [accepting().0, retiring().0] {
            assert_eq!(change.body.problems(), Vec::<String>::new());
            let refused = address(&policy(1), change.clone(), &fix::me(&class), NOW).unwrap_err();
            assert_eq!(refused.code, Code::ChangeRetroactive);
        }
        let mut body = fix::change_body();
        body.retires = retiring().0.body.retires;
        let refused = address(&policy(1), Statement::sign(body, &key(1)), &fix::me(&class), NOW).unwrap_err();
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
    fn a_change_that_retires_hosts_names_them_and_nothing_to_run() {
        type Bend = fn(&mut Change);
        let bends: [(Bend, &str); 14] = [
            (|c| c.retires.reverse(), "must be sorted"),
            (|c| c.retires.push(c.retires[1]), "named once"),
            (|c| c.retires[0].successor = Some(c.retires[1].host), "named once"),
            (|c| c.retires[0].successor = c.retires[1].successor.or(Some(c.retires[0].host)), "named once"),
            (|c| c.targets.truncate(1), "exactly these hosts"),
            (|c| c.retires.truncate(1), "exactly these hosts"),
            (|c| c.change_type = crate::change::ChangeType::Emergency, "only a normal change retires"),
            (|c| c.change_type = crate::change::ChangeType::Standard, "only a normal change retires"),
            (|c| c.accepts = accepting().0.body.accepts, "accepts no findings"),
            (|c| c.manifests = fix::change_body().manifests, "no manifests"),
            (|c| c.intervals = fix::change_body().intervals, "no intervals"),
            (|c| c.undo.automatic = true, "allows hosts nothing"),
            (|c| c.model = Some("m".parse().unwrap()), "names no model"),
            (|c| c.halt_above = Some(0), "halts nowhere"),
        ];
        for (bend, why) in bends {
            let mut body = retiring().0.body;
            bend(&mut body);
            assert!(body.problems().iter().any(|p| p.contains(why)), "{why}: {:?}", body.problems());
        }
        let mut retroactive = accepting().0.body;
        retroactive.retires = retiring().0.body.retires;
        assert!(!retroactive.problems().is_empty());
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
        // Those are asked whose word would count and is not there yet; the author is none of them.
        for (change, grounds) in [accepting(), retiring()] {
            let said = [yes(&change, "first", 2)];
            let hearing = Hearing::of(&policy(2), &change, &said, NOW);
            let missing = asked(&policy(2), &change, &grounds, &hearing, NOW);
            assert_eq!(missing, ["publisher", "second"].map(fix::person_id).into());
        }
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
        for (change, grounds) in [accepting(), retiring()] {
            assert_eq!(required_persons(&strict, &change, &grounds), Some(2));
        }
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
        assert_eq!(asked(&policy(1), &change, &findings, &hearing, NOW), BTreeSet::new());
        let mut later = change.body.clone();
        later.revision = 2;
        let later = Statement::sign(later, &key(1));
        assert!(verify_approval(&policy(1), &change, &yes(&later, "first", 2), NOW).is_err());
    }

    #[test]
    fn each_finding_is_the_word_of_the_host_that_the_change_names() {
        let (change, said) = accepting();
        let bytes = said.findings[0].to_bytes();
        assert_eq!(Grounds::of(&change.body, known(&said)).unwrap(), said);
        let missing = Grounds::of(&change.body, |_| None).unwrap_err();
        assert!(missing.contains("is missing"), "{missing}");
        let other = fix::finding(&key(21), 2);
        let foreign = Grounds::of(&change.body, |_| Some(other.to_bytes())).unwrap_err();
        assert!(foreign.contains("is not one of host"), "{foreign}");
        let mut key_of_other = change.body.clone();
        key_of_other.targets[0].key = Digest::of(b"another");
        let why = Grounds::of(&key_of_other, |_| Some(bytes.clone())).unwrap_err();
        assert!(why.contains("another key"), "{why}");
        let why = Grounds::of(&change.body, |_| Some(change.to_bytes())).unwrap_err();
        assert!(why.contains("is no finding"), "{why}");
    }

    /// Its class there decides whose word is needed: no column of a table, and no other statement of the host, can say it.
    #[test]
    fn each_host_that_leaves_is_known_by_the_enrolment_that_the_author_signed() {
        let (change, said) = retiring();
        assert_eq!(Grounds::of(&change.body, known(&said)).unwrap(), said);
        let missing = Grounds::of(&change.body, |_| None).unwrap_err();
        assert!(missing.contains("the enrolment") && missing.contains("is missing"), "{missing}");
        let foreign = fix::enrolment(&key(29), "web1").to_bytes();
        let why = Grounds::of(&change.body, |_| Some(foreign.clone())).unwrap_err();
        assert!(why.contains("is not one of host"), "{why}");
        let finding = fix::finding(&fix::host(), 2).to_bytes();
        let why = Grounds::of(&change.body, |_| Some(finding.clone())).unwrap_err();
        assert!(why.contains("is no enrolment"), "{why}");
        // The same host has signed another one, with a class of weaker rules.
        let mut weaker = fix::enrolment(&key(22), "web1").body;
        weaker.header.host_class = "lab".parse().unwrap();
        let weaker = Statement::sign(weaker, &key(22)).to_bytes();
        let find = known(&said);
        let gone = fix::enrolment(&key(22), "web1").digest;
        let why =
            Grounds::of(
                &change.body,
                |digest| {
                    if *digest == gone { Some(weaker.clone()) } else { find(digest) }
                },
            );
        assert!(why.unwrap_err().contains("is not one of host"));
        let mut key_of_other = change.body.clone();
        key_of_other.targets.iter_mut().for_each(|target| target.key = Digest::of(b"another"));
        let why = Grounds::of(&key_of_other, known(&said)).unwrap_err();
        assert!(why.contains("another key"), "{why}");
    }

    #[test]
    fn a_successor_has_the_class_of_the_host_that_it_follows() {
        let old = fix::enrolment(&fix::host(), "web1");
        let mut new = fix::enrolment(&key(21), "web1").body;
        new.header.host_class = "lab".parse().unwrap();
        let new = Statement::sign(new, &key(21));
        let change = fix::retiring(&[(&old, Some(&new))]);
        assert_eq!(change.problems(), Vec::<String>::new());
        let said = Grounds { findings: vec![], enrolments: vec![old, new] };
        let why = Grounds::of(&change, known(&said)).unwrap_err();
        assert!(why.contains("join it again with that class"), "{why}");
    }
}
