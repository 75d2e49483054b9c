//! Which sets of governance keys are proposed, whose signatures a proposal needs, and what a person or a key says of itself.

use super::*;
use crate::fixtures::{self as fix, NOW, key, person_id};
use crate::ids::Team;
use crate::keys::SigningKey;
use crate::policy::{DistinctFrom, Policy, Role as PolicyRole};
use crate::statement::Statement;
use crate::strict;
use crate::tuf::history::verify_root_chain;
use crate::tuf::writer::{self, KeySet};
use crate::tuf::{Root, Signed, Targets};
use std::collections::BTreeMap;

const DAY: i64 = 86_400;
/// Governance keys: the first person's, the one on paper, and the second person's.
const LEAD: u8 = 101;
const PAPER: u8 = 102;
const PEER: u8 = 103;
const ONLINE: u8 = 110;

fn set(keys: &[u8], threshold: u32) -> KeySet {
    KeySet { keys: keys.iter().map(|n| key(*n).public()).collect(), threshold }
}

fn by(number: u8, name: &str) -> Holder {
    Holder { public: key(number).public(), keeper: Keeper::Person(person_id(name)) }
}

fn paper(number: u8) -> Holder {
    Holder { public: key(number).public(), keeper: Keeper::Paper }
}

fn first_holders() -> Vec<Holder> {
    vec![by(LEAD, "author"), paper(PAPER)]
}

fn root(version: u64, governance: &KeySet) -> Root {
    writer::new_root(version, NOW.plus(400 * DAY), governance, &KeySet::one(key(ONLINE).public())).unwrap()
}

fn targets(version: u64, policy: &Policy) -> Targets {
    let teams = BTreeMap::from([("main".parse::<Team>().unwrap(), KeySet::one(key(120).public()))]);
    let online = KeySet::one(key(ONLINE).public());
    writer::targets_with_policy(version, NOW.plus(400 * DAY), &strict::to_json(policy), &teams, &online)
        .unwrap()
}

fn proposal(root: Option<Root>, targets: Targets, policy: &Policy) -> Proposal {
    let text = String::from_utf8(strict::to_json(policy)).unwrap();
    Proposal::new(person_id("author"), NOW, root, targets, text)
}

/// What the next edition is proposed from: 1 of 2 keys, policy 5, targets 3, root 1.
struct Before {
    root: Root,
    targets: Targets,
    policy: Policy,
}

impl Before {
    fn new() -> Self {
        let policy = Policy { governance: first_holders(), ..fix::policy(1) };
        Self { root: root(1, &set(&[LEAD, PAPER], 1)), targets: targets(3, &policy), policy }
    }

    fn base(&self) -> Base<'_> {
        Base { root: &self.root, targets: &self.targets, policy: &self.policy }
    }

    fn next_policy(&self) -> Policy {
        Policy { version: self.policy.version + 1, ..self.policy.clone() }
    }

    /// Two of three keys from now on.
    fn growth(&self) -> Proposal {
        let wish = Wish { add: vec![by(PEER, "second")], threshold: Some(2), ..Wish::default() };
        let now = keys_of(&self.root, &self.root.roles.root);
        let (next, holders) = next_set(&now, &self.policy.governance, &wish).unwrap();
        let policy = Policy { governance: holders, ..self.next_policy() };
        proposal(Some(root(2, &next)), targets(4, &policy), &policy)
    }
}

#[test]
fn governance_grows_shrinks_and_turns_over_but_never_into_a_set_that_nobody_can_change() {
    let (one_of_two, two_of_three) = (set(&[LEAD, PAPER], 1), set(&[LEAD, PAPER, PEER], 2));
    let three = || [first_holders(), vec![by(PEER, "second")]].concat();
    let wish = |add: &[Holder], remove: &[u8], threshold| Wish {
        add: add.to_vec(),
        remove: remove.iter().map(|n| key(*n).public()).collect(),
        threshold,
        without_recovery: false,
    };
    let sure = |wish: Wish| Wish { without_recovery: true, ..wish };
    let grown = next_set(&one_of_two, &first_holders(), &wish(&[by(PEER, "second")], &[], Some(2)));
    assert_eq!(grown, Ok((two_of_three.clone(), three())));
    let shrunk = next_set(&two_of_three, &three(), &wish(&[], &[PEER], Some(1)));
    assert_eq!(shrunk, Ok((one_of_two.clone(), first_holders())));
    let (turned, held) =
        next_set(&two_of_three, &three(), &wish(&[by(104, "author")], &[LEAD], None)).unwrap();
    assert_eq!((turned, held[2].clone()), (set(&[PAPER, PEER, 104], 2), by(104, "author")));

    let public = |n| key(n).public();
    for (now, held, wish, expected) in [
        (&one_of_two, first_holders(), wish(&[], &[], None), NoSet::Same),
        (&one_of_two, first_holders(), wish(&[], &[], Some(1)), NoSet::Same),
        (&one_of_two, first_holders(), wish(&[], &[], Some(0)), NoSet::Zero),
        (&one_of_two, first_holders(), wish(&[], &[], Some(3)), NoSet::Unreachable { threshold: 3, keys: 2 }),
        (
            &two_of_three,
            three(),
            wish(&[], &[PEER, LEAD], None),
            NoSet::Unreachable { threshold: 2, keys: 1 },
        ),
        (&one_of_two, first_holders(), wish(&[], &[PEER], None), NoSet::Stranger(Box::new(public(PEER)))),
        // One key under a second name, or twice at once.
        (
            &one_of_two,
            first_holders(),
            wish(&[by(LEAD, "second")], &[], Some(2)),
            NoSet::Already(Box::new(public(LEAD))),
        ),
        (
            &one_of_two,
            first_holders(),
            wish(&[by(PEER, "second"), paper(PEER)], &[], Some(2)),
            NoSet::Already(Box::new(public(PEER))),
        ),
        (&two_of_three, three(), wish(&[by(104, "first")], &[PAPER], None), NoSet::NoPaper),
        (&one_of_two, first_holders(), wish(&[], &[], Some(2)), NoSet::NoSpare(2)),
        (&two_of_three, three(), wish(&[], &[PEER], None), NoSet::NoSpare(2)),
    ] {
        assert_eq!(next_set(now, &held, &wish), Err(expected), "{wish:?}");
    }
    // Who says so may give up the way back; a threshold that nobody reaches stays refused.
    let without = sure(wish(&[by(104, "first")], &[PAPER], None));
    assert!(next_set(&two_of_three, &three(), &without).is_ok());
    assert!(next_set(&one_of_two, &first_holders(), &sure(wish(&[], &[], Some(2)))).is_ok());
    let unreachable = NoSet::Unreachable { threshold: 3, keys: 2 };
    assert_eq!(next_set(&one_of_two, &first_holders(), &sure(wish(&[], &[], Some(3)))), Err(unreachable));
}

fn parts(proposal: &Proposal, base: &Root) -> Vec<(Part, usize)> {
    proposal.standing(base).iter().map(|standing| (standing.part, standing.signed.len())).collect()
}

#[test]
fn a_new_root_needs_those_who_govern_now_and_those_who_govern_then() {
    let before = Before::new();
    let outcome = |signers: &[u8]| {
        let mut next = before.growth();
        signers.iter().for_each(|n| assert!(next.sign(&before.root, &key(*n)), "{n}"));
        // What is complete here is exactly what hosts and server accept.
        let first = Signed::by(before.root.clone(), &[&key(LEAD)]).to_bytes();
        let chain = verify_root_chain(&[first, next.root.as_ref().unwrap().to_bytes()]);
        let targets = chain.and_then(|chain| chain[1].targets(&next.targets.to_bytes()).map(drop));
        assert_eq!(next.is_complete(&before.root), targets.is_ok(), "{signers:?} {targets:?}");
        (next.is_complete(&before.root), parts(&next, &before.root))
    };
    use Part::{Root as New, RootBefore as Old, Targets as Top};
    assert_eq!(outcome(&[]), (false, vec![(Old, 0), (New, 0), (Top, 0)]));
    assert_eq!(outcome(&[LEAD]), (false, vec![(Old, 1), (New, 1), (Top, 1)]), "the old threshold alone");
    assert_eq!(outcome(&[PEER]), (false, vec![(Old, 0), (New, 1), (Top, 1)]), "a new key alone");
    assert_eq!(outcome(&[LEAD, PEER]), (true, vec![(Old, 1), (New, 2), (Top, 2)]));
    assert_eq!(
        outcome(&[PAPER, PEER]),
        (true, vec![(Old, 1), (New, 2), (Top, 2)]),
        "the recovery key is one of them"
    );
    assert_eq!(outcome(&[LEAD, LEAD]), (false, vec![(Old, 1), (New, 1), (Top, 1)]), "twice is once");

    // A turn to two keys that did not govern before: the new threshold alone does not do.
    let all_new = root(2, &set(&[PEER, 104, PAPER], 2));
    let mut next = proposal(Some(all_new), targets(4, &before.next_policy()), &before.next_policy());
    assert!(next.sign(&before.root, &key(PEER)) && next.sign(&before.root, &key(104)));
    assert_eq!(parts(&next, &before.root), [(Old, 0), (New, 2), (Top, 2)]);
    assert!(!next.is_complete(&before.root));
    // The key that goes signs the root and nothing else.
    assert!(next.sign(&before.root, &key(LEAD)));
    assert_eq!(parts(&next, &before.root), [(Old, 1), (New, 2), (Top, 2)]);
    assert!(next.is_complete(&before.root));
    // A stranger signs nothing, and a signature is lost with any change.
    let complete = next.clone();
    assert!(!next.sign(&before.root, &key(ONLINE)));
    assert_eq!(next, complete);
    next.root.as_mut().unwrap().signed.version = 3;
    assert_eq!(parts(&next, &before.root), [(Old, 0), (New, 0), (Top, 2)]);
    next = complete;
    next.targets.signed.version = 5;
    assert_eq!(parts(&next, &before.root), [(Old, 1), (New, 2), (Top, 0)]);
}

#[test]
fn a_proposal_must_be_the_next_step_from_what_was_seen_here() {
    let before = Before::new();
    let check = |next: &Proposal| next.check(before.base(), NOW).map(|policy| policy.version);
    let good = before.growth();
    assert_eq!(check(&good), Ok(6));
    let read = Proposal::parse(&good.to_bytes()).unwrap();
    assert_eq!((read.digest(), &read), (good.digest(), &good));
    // The same policy again, as a renewal has it.
    let renewal =
        proposal(Some(root(2, &set(&[LEAD, PAPER], 1))), targets(4, &before.policy), &before.policy);
    assert_eq!(check(&renewal), Ok(5));
    assert_ne!(renewal.digest(), good.digest());

    let not_next = |what, known, offered| Err(Misfit::NotNext { what, known, offered });
    let with_policy = |policy: &Policy| proposal(None, targets(4, policy), policy);
    for version in [1, 3] {
        let mut skips = good.clone();
        skips.root = Some(Signed::unsigned(root(version, &set(&[LEAD, PAPER], 1))));
        assert_eq!(check(&skips), not_next("root", 1, version));
    }
    let again = proposal(None, targets(3, &before.next_policy()), &before.next_policy());
    assert_eq!(check(&again), not_next("targets", 3, 3));
    for version in [4, 5, 7] {
        // Version 5 with other contents: what was approved under it would get another meaning.
        let other = Policy { version, one_person: !before.policy.one_person, ..before.policy.clone() };
        assert_eq!(check(&with_policy(&other)), not_next("policy", 5, version));
    }
    let foreign = Policy { site: "ffffffffffffffff".parse().unwrap(), ..before.next_policy() };
    assert_eq!(check(&with_policy(&foreign)), Err(Misfit::OtherSite));
    let mut swapped = good.clone();
    swapped.policy = swapped.policy.replace("second", "zecond");
    assert_eq!(check(&swapped), Err(Misfit::OtherPolicy));
    let mut rules = before.next_policy();
    rules.rules[0].require.approvals = 0;
    assert!(matches!(check(&with_policy(&rules)), Err(Misfit::Policy(_))));
    assert!(matches!(good.check(before.base(), NOW.plus(400 * DAY)), Err(Misfit::Over { what: "root", .. })));
}

#[test]
fn a_file_that_is_no_proposal_or_breaks_the_profile_is_refused() {
    let good = String::from_utf8(Before::new().growth().to_bytes()).unwrap();
    let refused = |text: String| Proposal::parse(text.as_bytes()).unwrap_err().to_string();
    assert!(refused(good.replace("assent-proposal/1", "assent-proposal/2")).contains("schema"));
    assert!(refused(good.replacen('{', "{\"more\":1,", 1)).contains("unknown field"));
    assert!(
        refused(good.replacen("\"threshold\":2", "\"threshold\":4", 1)).contains("asks for 4 signatures")
    );
    assert!(
        refused(good.replace("\"consistent_snapshot\":true", "\"consistent_snapshot\":false"))
            .contains("snapshot")
    );
    assert!(refused(good[..good.len() - 1].to_owned()).contains("not valid"));
    assert!(refused(" ".repeat(crate::limits::PROPOSAL_BYTES + 1)).contains("at most"));
}

#[test]
fn the_policy_names_each_holder_once_and_no_key_of_another_purpose() {
    let policy = Before::new().policy;
    assert_eq!(policy.problems(), Vec::<String>::new());
    for (holder, problem) in [
        (paper(LEAD), "twice"),
        (by(PEER, "nobody"), "not a person of the policy"),
        (by(2, "first"), "one key has one purpose"),
    ] {
        let mut bent = policy.clone();
        bent.governance.push(holder);
        assert!(
            bent.problems().iter().any(|found| found.contains(problem)),
            "{problem}: {:?}",
            bent.problems()
        );
    }
    let text = String::from_utf8(strict::to_json(&policy.governance)).unwrap();
    assert!(
        text.contains("\"keeper\":{\"person\":\"author\"}") && text.contains("\"keeper\":\"paper\""),
        "{text}"
    );
}

#[test]
fn a_rule_that_too_few_persons_could_satisfy_is_told() {
    let out = |bend: &dyn Fn(&mut Policy)| {
        let mut policy = fix::policy(3);
        bend(&mut policy);
        policy.rules_out_of_reach(NOW).len()
    };
    // Four persons approve, one of them is the only author.
    assert_eq!(out(&|_| ()), 0);
    assert_eq!(out(&|policy| policy.rules[0].require.approvals = 4), 1);
    assert_eq!(
        out(&|policy| {
            policy.rules[0].require.approvals = 4;
            policy.rules[0].require.distinct_from.remove(&DistinctFrom::Author);
        }),
        0
    );
    assert_eq!(out(&|policy| policy.persons.retain(|person| person.id.as_str() != "second")), 1);
    let no_author = |policy: &mut Policy| {
        policy.persons.iter_mut().flat_map(|person| &mut person.keys).for_each(|key| {
            key.roles.remove(&PolicyRole::Author);
        });
    };
    assert_eq!(out(&no_author), 1);
    let ended =
        |policy: &mut Policy| policy.persons[2].keys.iter_mut().for_each(|key| key.not_after = Some(NOW));
    assert_eq!(out(&ended), 1, "a key whose end has come approves nothing");
}

fn introduction() -> Introduction {
    let new = |n: u8, role| NewKey { public: key(n).public(), roles: [role].into() };
    Introduction {
        site: fix::policy(1).site,
        root: crate::digest::Digest::of(b"root"),
        person: person_id("peer"),
        name: "Second Approver".into(),
        keys: vec![new(61, PolicyRole::Approver), new(62, PolicyRole::Publisher)],
        token: crate::digest::Digest::of(b"token"),
    }
}

#[test]
fn a_person_is_introduced_by_all_of_their_keys() {
    let judge = |body: Introduction, signers: &[u8]| {
        let (site, root) = (fix::policy(1).site, crate::digest::Digest::of(b"root"));
        let mut statement = Statement::unsigned(body);
        signers.iter().for_each(|n| statement.envelope.add_signature(&key(*n)));
        Introduction::check(&statement, &site, &root)
    };
    let good = introduction();
    assert_eq!(judge(good.clone(), &[61, 62]), Ok(()));
    assert_eq!(judge(good.clone(), &[61]), Err(NoIntroduction::Unsigned));
    assert_eq!(judge(good.clone(), &[61, 63]), Err(NoIntroduction::Unsigned));
    let other = Introduction { site: "ffffffffffffffff".parse().unwrap(), ..good.clone() };
    assert_eq!(judge(other, &[61, 62]), Err(NoIntroduction::OtherSite));
    let other = Introduction { root: crate::digest::Digest::of(b"another"), ..good.clone() };
    assert_eq!(judge(other, &[61, 62]), Err(NoIntroduction::OtherSite));
    assert_eq!(judge(Introduction { keys: vec![], ..good.clone() }, &[61]), Err(NoIntroduction::Keys));
    assert_eq!(
        judge(Introduction { name: " ".into(), ..good.clone() }, &[61, 62]),
        Err(NoIntroduction::Name)
    );
    let mut bare = good.clone();
    bare.keys[0].roles.clear();
    assert_eq!(judge(bare, &[61, 62]), Err(NoIntroduction::NoRole));
    assert_eq!(good.person_keys()[0].roles, [PolicyRole::Approver].into());
}

#[test]
fn only_a_key_that_governs_proves_a_rehearsal() {
    let root = root(4, &set(&[LEAD, PAPER, PEER], 2));
    let site = fix::policy(1).site;
    let body = |n: u8| Rehearsal { site: site.clone(), key: key(n).public(), root: 4, at: NOW };
    let proves = |body: Rehearsal, signer: &SigningKey| {
        Rehearsal::proves(&Statement::sign(body, signer), &site, &root)
    };
    assert!(proves(body(PAPER), &key(PAPER)));
    assert!(!proves(body(PAPER), &key(LEAD)), "another key signed");
    assert!(!proves(body(104), &key(104)), "the key does not govern");
    let elsewhere = Rehearsal { site: "ffffffffffffffff".parse().unwrap(), ..body(PAPER) };
    assert!(!proves(elsewhere, &key(PAPER)));
    assert_eq!(body(PAPER).due(), NOW.plus(100 * DAY));
}
