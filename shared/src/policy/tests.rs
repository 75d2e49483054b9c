//! What the policy makes of approvals, delegations and models: laws over any of them, and the words in which it is told.

mod glass;
mod kinds;
mod ledger;
mod steps;

use super::*;
use crate::approval::{Approval, Decision};
use crate::change::Change;
use crate::fixtures::{self as fix, Case as Fixture, NOW, change_body, host_class, key, person_id, policy};
use crate::refusal::Code;
use crate::statement::Statement;
use proptest::prelude::*;

const DAY: i64 = 86_400;

/// A case on the fixture's host: what `change` is judged by, with these classes.
fn judged(policy: &Policy, fixture: &Fixture, classes: &[ActionClass], now: Timestamp) -> Judgement {
    let class = host_class();
    judged_on(policy, fixture, classes, &class, Purpose::Start, now)
}

fn judged_on(
    policy: &Policy,
    fixture: &Fixture,
    classes: &[ActionClass],
    class: &HostClass,
    purpose: Purpose,
    now: Timestamp,
) -> Judgement {
    on_case(policy, fixture, classes, (class, purpose), now, judge)
}

fn on_case<T>(
    policy: &Policy,
    fixture: &Fixture,
    classes: &[ActionClass],
    (class, purpose): (&HostClass, Purpose),
    now: Timestamp,
    then: impl FnOnce(&Policy, &Case<'_>, &Hearing, Timestamp) -> T,
) -> T {
    let bundle = &fixture.bundle;
    let hearing = Hearing::of(policy, &bundle.change, &bundle.approvals, now);
    let classes = classes.iter().copied().collect();
    let case = Case {
        purpose,
        change: &bundle.change.body,
        publishers: &[person_id("publisher")].into(),
        agent: fix::host().public().agent_id(),
        host_class: class,
        classes: &classes,
        risk: crate::risk::risk_of(&classes),
        plan_set: bundle.plan_set.digest(),
    };
    then(policy, &case, &hearing, now)
}

fn said(words: &[(&str, u8)]) -> Fixture {
    let mut fixture = Fixture::of(change_body());
    for (person, number) in words {
        let approval = fixture.approval(person);
        fixture.add(approval, *number);
    }
    fixture
}

fn code(judgement: &Judgement) -> Result<usize, Code> {
    match &judgement.verdict {
        Verdict::Allowed { voices, .. } => Ok(voices.len()),
        Verdict::Denied(refused) => Err(refused.code),
    }
}

#[test]
fn a_decision_tells_who_counted_and_who_did_not() {
    let words = [("first", 2), ("author", 1), ("publisher", 6), ("second", 5), ("stranger", 9)];
    let judgement = judged(&policy(2), &said(&words), &[ActionClass::File], NOW);
    let line = "rule \"normal\": 1 of 2 counted: person first; person author not counted, is the author; \
                person publisher not counted, published one of the manifests; \
                person second not counted, the key's assurance is too low for this rule; \
                person stranger not counted, no current key of policy version 5 made the signature";
    assert_eq!(judgement.lines, [line]);
    let Verdict::Denied(refused) = judgement.verdict else { panic!("one is not two") };
    assert_eq!((refused.code, refused.message.as_str()), (Code::ApprovalUnknownKey, line));
    let many: Vec<String> = (0..60).map(|n| format!("p{n}")).collect();
    let many: Vec<(&str, u8)> = many.iter().map(|name| (name.as_str(), 9)).collect();
    let line = judged(&policy(2), &said(&many), &[ActionClass::File], NOW).lines.remove(0);
    assert!(line.ends_with("; 52 more not counted") && line.len() < 1_000, "{line}");
}

/// `deputy` (key 7, no role) stands in for `first`.
fn delegated() -> Policy {
    let mut policy = policy(1);
    policy.persons.push(Person {
        id: person_id("deputy"),
        name: "Deputy".into(),
        keys: vec![PersonKey::file(key(7).public(), &[])],
    });
    policy.delegations.push(Delegation {
        by: person_id("first"),
        to: person_id("deputy"),
        from: NOW.plus(-DAY),
        until: NOW.plus(DAY),
    });
    policy
}

#[test]
fn a_delegate_gives_the_word_of_one_other_person_for_a_while() {
    let good = delegated();
    assert_eq!(good.problems(), Vec::<String>::new());
    let deputy = said(&[("deputy", 7)]);
    let judgement = judged(&good, &deputy, &[ActionClass::File], NOW);
    assert_eq!(judgement.lines, ["rule \"normal\": 1 of 1 counted: person deputy for first"]);
    assert_eq!(code(&judgement), Ok(1));
    assert!(
        good.may_approve(&person_id("deputy"), NOW) && !good.may_approve(&person_id("deputy"), NOW.plus(DAY))
    );
    type Bend = fn(&mut Policy);
    let bends: [(&str, Bend); 6] = [
        ("none", |p| p.delegations.clear()),
        ("not yet when it was signed", |p| p.delegations[0].from = NOW.plus(-29)),
        ("over by now", |p| p.delegations[0].until = NOW),
        ("of somebody who is no approver any more", |p| p.persons[1].keys.clear()),
        ("to another person", |p| p.delegations[0].to = person_id("second")),
        ("a key that only publishes", |p| p.persons[4].keys[0].roles = [Role::Publisher].into()),
    ];
    for (why, bend) in bends {
        let mut bent = delegated();
        bend(&mut bent);
        assert_eq!(
            code(&judged(&bent, &deputy, &[ActionClass::File], NOW)),
            Err(Code::ApprovalUnknownKey),
            "{why}"
        );
    }
    // Before it ends the word counts, afterwards it does not, as with a key that was taken out.
    assert_eq!(code(&judged(&good, &deputy, &[ActionClass::File], NOW.plus(DAY - 1))), Ok(1));
    let over = judged(&good, &deputy, &[ActionClass::File], NOW.plus(DAY));
    assert_eq!(code(&over), Err(Code::ApprovalUnknownKey));
    let no = {
        let mut fixture = said(&[("second", 4)]);
        let mut no = fixture.approval("deputy");
        no.decision = Decision::Reject;
        fixture.add(no, 7);
        fixture
    };
    assert_eq!(code(&judged(&good, &no, &[ActionClass::File], NOW)), Err(Code::ApprovalWithdrawn));
}

#[test]
fn nobody_counts_twice_by_a_delegation_and_no_chain_holds() {
    let mut two = delegated();
    two.rules[0].require.approvals = 2;
    let counted = |policy: &Policy, words: &[(&str, u8)]| {
        let judgement = judged(policy, &said(words), &[ActionClass::File], NOW);
        (code(&judgement), judgement.lines.join("\n"))
    };
    assert_eq!(counted(&two, &[("deputy", 7), ("second", 4)]).0, Ok(2));
    let (both, line) = counted(&two, &[("deputy", 7), ("first", 2)]);
    assert_eq!(both, Err(Code::ApprovalQuorum), "the word of first counts once");
    assert!(
        line.ends_with("person deputy not counted, gives the word of first, which counts already"),
        "{line}"
    );
    // Who stands in for two persons is one signer.
    let mut also = two.clone();
    also.delegations.push(Delegation { by: person_id("second"), ..two.delegations[0].clone() });
    assert_eq!(counted(&also, &[("deputy", 7)]).0, Err(Code::ApprovalQuorum));
    assert_eq!(counted(&also, &[("deputy", 7), ("second", 4)]).0, Ok(2), "then it is first's word");
    assert_eq!(counted(&also, &[("deputy", 7), ("first", 2)]).0, Ok(2), "then it is second's word");
    // An approver who stands in for another one is one person.
    let mut own = two.clone();
    own.delegations[0].to = person_id("second");
    assert_eq!(counted(&own, &[("second", 4)]).0, Err(Code::ApprovalQuorum));
    // Deputy of a deputy: the second one has nobody's word.
    let mut chain = two.clone();
    chain.rules[0].require.approvals = 1;
    let mut far = chain.persons[4].clone();
    (far.id, far.keys[0].public) = (person_id("far"), key(8).public().into());
    chain.persons.push(far);
    chain.delegations.push(Delegation {
        by: person_id("deputy"),
        to: person_id("far"),
        ..two.delegations[0].clone()
    });
    assert!(chain.problems().iter().any(|p| p.contains("is no approver")), "{:?}", chain.problems());
    assert_eq!(counted(&chain, &[("far", 8)]).0, Err(Code::ApprovalUnknownKey));
}

#[test]
fn who_may_not_approve_cannot_do_so_through_a_delegation() {
    let line = |by: &str, to: &str, number: u8| {
        let mut bent = delegated();
        bent.delegations[0].by = person_id(by);
        bent.delegations[0].to = person_id(to);
        let judgement = judged(&bent, &said(&[(to, number)]), &[ActionClass::File], NOW);
        (code(&judgement), judgement.lines.join("\n"))
    };
    let (of_author, why) = line("author", "deputy", 7);
    assert_eq!(of_author, Err(Code::ApprovalQuorum));
    assert!(why.ends_with("person deputy not counted, stands in for author, who is the author"), "{why}");
    assert_eq!(line("publisher", "deputy", 7).0, Err(Code::ApprovalQuorum));
    assert_eq!(line("first", "author", 1).0, Err(Code::ApprovalQuorum), "the author for somebody else");
    assert_eq!(line("first", "publisher", 6).0, Err(Code::ApprovalQuorum));
    assert_eq!(line("first", "deputy", 7).0, Ok(1));
}

#[test]
fn a_policy_with_a_bad_delegation_or_model_is_refused() {
    type Bend = fn(&mut Policy);
    let bends: [(Bend, &str); 13] = [
        (|p| p.delegations[0].to = person_id("first"), "names one person twice"),
        (|p| p.delegations[0].until = p.delegations[0].from, "ends before it begins"),
        (|p| p.delegations[0].until = NOW.plus(90 * DAY), "longer than 90 days"),
        (|p| p.delegations[0].by = person_id("nobody"), "is no approver"),
        (|p| p.delegations[0].to = person_id("nobody"), "without a key"),
        (|p| p.models.push(p.models[0].clone()), "listed twice"),
        (|p| p.models[0].manifests = "*".into(), "manifests is"),
        (|p| p.models[0].versions = semver::VersionReq::STAR, "every version"),
        (|p| p.models[0].action_classes.clear(), "action_classes is empty"),
        (|p| p.models[0].action_classes = [ActionClass::Trust].into(), "always needs an approval"),
        (|p| p.models[0].host_classes.clear(), "host_classes is empty"),
        (|p| p.models[0].hosts_per_day = 0, "hosts_per_day"),
        (|p| p.models[0].expires = p.issued.plus(90 * DAY + 1), "90 days"),
    ];
    let good = Policy { models: with_model().models, ..delegated() };
    assert_eq!(Policy::parse(&strict::to_json(&good)).unwrap(), good);
    for (bend, why) in bends {
        let mut bent = good.clone();
        bend(&mut bent);
        assert!(bent.problems().iter().any(|p| p.contains(why)), "{why}: {:?}", bent.problems());
    }
}

fn with_model() -> Policy {
    let mut policy = policy(2);
    policy.models.push(Model {
        name: "web-patches".parse().unwrap(),
        team: "main".parse().unwrap(),
        manifests: "web-*".into(),
        versions: "~1.2".parse().unwrap(),
        action_classes: [ActionClass::File, ActionClass::Service].into(),
        host_classes: [host_class()].into(),
        hosts_per_day: 1,
        expires: NOW.plus(30 * DAY),
    });
    policy
}

fn standard() -> Change {
    let mut change = change_body();
    change.change_type = ChangeType::Standard;
    change.model = Some("web-patches".parse().unwrap());
    change.intervals.truncate(1);
    change.not_after = change.intervals[0].until;
    change
}

#[test]
fn a_standard_change_starts_within_every_cap_of_its_model() {
    let policy = with_model();
    assert_eq!(policy.problems(), Vec::<String>::new());
    assert_eq!(standard().problems(), Vec::<String>::new());
    let judgement = judged(&policy, &Fixture::of(standard()), &[ActionClass::File], NOW);
    assert_eq!(judgement.lines, ["model web-patches allows it without an approval: main/web-* ~1.2"]);
    assert_eq!(code(&judgement), Ok(0));
    assert_eq!(policy.not_standard(&standard(), NOW), None);
    type Bend = fn(&mut Change);
    let bends: [(Bend, &str); 11] = [
        (|c| c.model = Some("other".parse().unwrap()), "is not in policy version 5"),
        (|c| c.change_type = ChangeType::Normal, "not a standard change"),
        (|c| c.manifests[0].version = semver::Version::new(1, 3, 0), "is not main/web-* ~1.2"),
        (|c| c.manifests[0].version = "1.2.1-rc.1".parse().unwrap(), "is not main/web-* ~1.2"),
        (|c| c.manifests[0].name = "base-web".parse().unwrap(), "is not main/web-*"),
        (|c| c.manifests[0].team = "other".parse().unwrap(), "is not main/web-*"),
        (
            |c| c.targets.push(crate::change::Target { agent: key(21).public().agent_id(), ..c.targets[0] }),
            "2 hosts",
        ),
        (|c| c.not_after = c.intervals[0].from.plus(DAY + 1), "more than 24 hours"),
        (|c| c.downgrade = true, "downgrade"),
        (|c| c.lift_quarantine = true, "quarantine"),
        (|c| c.correct_until = Some(c.not_after), "corrections"),
    ];
    for (bend, why) in bends {
        let mut change = standard();
        bend(&mut change);
        assert!(policy.not_standard(&change, NOW).is_some_and(|text| text.contains(why)), "{why}");
        let judgement = judged(&policy, &Fixture::of(change), &[ActionClass::File], NOW);
        assert_eq!(code(&judgement), Err(Code::PolicyModel), "{why}");
        assert!(judgement.lines[0].contains(why), "{why}: {:?}", judgement.lines);
    }
}

#[test]
fn a_host_holds_a_model_to_its_own_plan_its_own_class_and_its_end() {
    let (policy, fixture) = (with_model(), Fixture::of(standard()));
    let refused = |classes: &[ActionClass], class: &str, purpose, now| {
        let class = class.parse().unwrap();
        let judgement = judged_on(&policy, &fixture, classes, &class, purpose, now);
        (code(&judgement), judgement.lines.join("\n"))
    };
    let file = [ActionClass::File];
    assert_eq!(refused(&file, "production", Purpose::Start, NOW).0, Ok(0));
    for ((got, line), why) in [
        (
            refused(&[ActionClass::File, ActionClass::Package], "production", Purpose::Start, NOW),
            "run package",
        ),
        (refused(&file, "lab", Purpose::Start, NOW), "not for host class lab"),
        (refused(&file, "production", Purpose::Correction, NOW), "no corrections"),
        (refused(&file, "production", Purpose::Start, NOW.plus(30 * DAY)), "it expired"),
    ] {
        assert_eq!(got, Err(Code::PolicyModel), "{why}");
        assert!(line.contains(why), "{why}: {line}");
    }
    // A person may still say no, and yes of persons does not widen the model.
    let mut no = Fixture::of(standard());
    let mut word = no.approval("first");
    word.decision = Decision::Reject;
    no.add(word, 2);
    assert_eq!(code(&judged(&policy, &no, &file, NOW)), Err(Code::ApprovalWithdrawn));
    let mut yes = Fixture::of(standard());
    for (person, number) in [("first", 2), ("second", 4)] {
        let word = yes.approval(person);
        yes.add(word, number);
    }
    assert_eq!(code(&judged(&policy, &yes, &[ActionClass::Command], NOW)), Err(Code::PolicyModel));
    let mut normal = standard();
    normal.change_type = ChangeType::Normal;
    assert_eq!(normal.problems(), ["only a standard change names a model"]);
}

/// A statement of one of the five persons of [`delegated`], with one of their keys, bent at random.
fn word() -> impl Strategy<Value = (usize, bool, Decision, i64, bool)> {
    let decision =
        prop_oneof![6 => Just(Decision::Approve), 1 => Just(Decision::Reject), 1 => Just(Decision::Withdraw)];
    (0..5usize, any::<bool>(), decision, -90_000..-1i64, prop::bool::weighted(0.8))
}

const SIGNERS: [(&str, u8, u8); 5] =
    [("author", 1, 1), ("first", 2, 3), ("second", 4, 5), ("publisher", 6, 6), ("deputy", 7, 7)];

fn spoken(words: &[(usize, bool, Decision, i64, bool)]) -> Fixture {
    let mut change = change_body();
    change.created = NOW.plus(-100_000);
    let mut fixture = Fixture::of(change);
    for (n, (who, other, decision, at, this_set)) in words.iter().enumerate() {
        let (name, one, two) = SIGNERS[*who];
        let mut approval: Approval = fixture.approval(name);
        (approval.decision, approval.at, approval.nonce) = (*decision, NOW.plus(*at), n.to_string());
        if !this_set {
            approval.saw.plan_set = crate::digest::Digest::of(b"another");
        }
        let number = if *other { two } else { one };
        fixture.bundle.approvals.push(Statement::sign(approval, &key(number)));
    }
    fixture
}

fn rule() -> impl Strategy<Value = Rule> {
    let class = prop::sample::select(vec![ActionClass::File, ActionClass::Package, ActionClass::Command]);
    let classes = prop::option::of(prop::collection::btree_set(class, 1..3));
    let distinct = prop::sample::subsequence(vec![DistinctFrom::Author, DistinctFrom::Publisher], 0..=2);
    let low = any::<bool>();
    (classes, 1..4u32, distinct, low, 1..40u32, any::<bool>()).prop_map(
        |(action_classes, approvals, distinct_from, low, max_validity_h, here)| Rule {
            name: "any".into(),
            matches: Match {
                action_classes,
                host_classes: (!here).then(|| ["lab".parse().unwrap()].into()),
                ..Match::default()
            },
            require: Require {
                approvals,
                distinct_from: distinct_from.into_iter().collect(),
                min_assurance: if low { Assurance::ServerRendered } else { Assurance::Independent },
                max_validity_h,
                ..Require::of(1, 1)
            },
        },
    )
}

fn delegation() -> impl Strategy<Value = Delegation> {
    (0..5usize, 0..5usize, -100_000..0i64, 0..50_000i64).prop_map(|(by, to, from, until)| Delegation {
        by: person_id(SIGNERS[by].0),
        to: person_id(SIGNERS[to].0),
        from: NOW.plus(from),
        until: NOW.plus(until),
    })
}

fn site() -> impl Strategy<Value = Policy> {
    (prop::collection::vec(rule(), 0..4), prop::collection::vec(delegation(), 0..5))
        .prop_map(|(rules, delegations)| Policy { rules, delegations, ..delegated() })
}

const BOTH: [ActionClass; 2] = [ActionClass::File, ActionClass::Package];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The order of statements, rules, persons and delegations changes neither the verdict nor who counts.
    #[test]
    fn no_order_changes_a_verdict(policy in site(), words in prop::collection::vec(word(), 0..8)) {
        let fixture = spoken(&words);
        let before = judged(&policy, &fixture, &BOTH, NOW);
        let mut turned = fixture;
        turned.bundle.approvals.reverse();
        let mut other = policy;
        other.rules.reverse();
        other.delegations.reverse();
        other.persons.reverse();
        let after = judged(&other, &turned, &BOTH, NOW);
        prop_assert_eq!(code(&before).is_ok(), code(&after).is_ok());
        let mut lines = after.lines;
        lines.reverse();
        prop_assert_eq!(before.lines, lines);
    }

    /// Without the words of one person who said yes nothing is allowed that was not.
    #[test]
    fn fewer_approvals_allow_no_more(policy in site(), words in prop::collection::vec(word(), 1..8), gone in 0..5usize) {
        let last_no = words.iter().any(|(who, _, decision, ..)| *who == gone && *decision != Decision::Approve);
        prop_assume!(!last_no);
        let fewer: Vec<_> = words.iter().filter(|(who, ..)| *who != gone).copied().collect();
        let before = judged(&policy, &spoken(&words), &BOTH, NOW);
        let after = judged(&policy, &spoken(&fewer), &BOTH, NOW);
        prop_assert!(code(&before).is_ok() || code(&after).is_err());
    }

    /// Where rules cover a case already, one more rule only asks for more.
    #[test]
    fn one_more_rule_allows_no_more(policy in site(), words in prop::collection::vec(word(), 0..8), rule in rule()) {
        let fixture = spoken(&words);
        let before = judged(&policy, &fixture, &BOTH, NOW);
        let mut more = policy;
        more.rules.push(rule);
        let after = judged(&more, &fixture, &BOTH, NOW);
        prop_assert!(code(&before).is_ok() || code(&before) == Err(Code::PolicyRule) || code(&after).is_err());
    }

    /// Never more voices than signers, nor than persons who are approvers; each in one pair.
    #[test]
    fn everybody_counts_once(policy in site(), words in prop::collection::vec(word(), 0..8)) {
        let fixture = spoken(&words);
        let hearing = Hearing::of(&policy, &fixture.bundle.change, &fixture.bundle.approvals, NOW);
        let classes = BOTH.into();
        let class = host_class();
        let case = Case {
            purpose: Purpose::Start,
            change: &fixture.bundle.change.body,
            publishers: &[person_id("publisher")].into(),
            agent: fix::host().public().agent_id(),
            host_class: &class,
            classes: &classes,
            risk: Risk::Medium,
            plan_set: fixture.bundle.plan_set.digest(),
        };
        let rules: Vec<&Rule> = policy.rules.iter().collect();
        let tallies = tally::Tally::of_all(&policy, &rules, &case, &hearing, NOW);
        for (rule, tally) in policy.rules.iter().zip(tallies) {
            let counted = tally.counted;
            let signers: BTreeSet<_> = counted.keys().map(|voice| &voice.person).collect();
            let whom: BTreeSet<_> = counted.keys().map(|voice| &voice.stands_for).collect();
            prop_assert_eq!((signers.len(), whom.len()), (counted.len(), counted.len()));
            for whom in whom {
                prop_assert!(!policy.keys_for(whom, Role::Approver, NOW).is_empty());
                let barred = rule.require.distinct_from.contains(&DistinctFrom::Author);
                prop_assert!(!barred || *whom != person_id("author"));
            }
        }
    }
}
