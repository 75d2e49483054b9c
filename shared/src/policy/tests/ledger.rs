//! What a host takes for proven, and what it begins by that: the good case, and everything bent once.

use super::*;
use crate::admit::{Approved, Sources, address, approve, logged};
use crate::fixtures::me;
use crate::keys::SigningKey;
use crate::ledger::{
    Checkpoint, ConsistencyProof, Frontier, InclusionProof, Leaf, LeafKind, VerifierKey, WitnessKey,
    Witnessed, tree,
};
use crate::receipt::LogSeen;
use crate::wire::Proofs;
use std::collections::BTreeMap;

const NAME: &str = "assent.test";

/// A ledger with some leaves of others, and what it proves of the rest.
struct Log {
    name: &'static str,
    key: SigningKey,
    frontier: Frontier,
    nodes: BTreeMap<(u8, u64), Digest>,
    leaves: Vec<Leaf>,
}

impl Log {
    fn of(leaves: Vec<Leaf>) -> Self {
        let mut log =
            Self { name: NAME, key: key(40), frontier: Frontier::default(), nodes: BTreeMap::new(), leaves };
        for leaf in &log.leaves {
            log.nodes
                .extend(log.frontier.append(leaf.hash()).into_iter().map(|n| ((n.level, n.index), n.digest)));
        }
        log
    }

    fn checkpoint(&self, size: u64) -> Checkpoint {
        Checkpoint { origin: self.name.parse().unwrap(), size, root: tree::root(size, &self.nodes).unwrap() }
    }

    fn seen(&self, size: u64) -> LogSeen {
        LogSeen::from(&self.checkpoint(size))
    }

    /// Proofs of everything, from a checkpoint of this size.
    fn proofs(&self, since: u64) -> Proofs {
        let size = self.frontier.size();
        let inclusion = (0..).zip(&self.leaves).map(|(index, leaf)| InclusionProof {
            leaf: String::from_utf8(leaf.to_bytes()).unwrap(),
            index,
            hashes: tree::inclusion_proof(index, size, &self.nodes).unwrap(),
        });
        Proofs {
            inclusion: inclusion.collect(),
            checkpoint: self.checkpoint(size).sign(&self.key).unwrap().to_string(),
            witnessed: Vec::new(),
            consistency: Some(ConsistencyProof {
                old_size: since,
                new_size: size,
                hashes: tree::consistency_proof(since, size, &self.nodes).unwrap(),
            }),
        }
    }
}

fn of_change(kind: LeafKind, digest: Digest) -> Leaf {
    Leaf::new(kind, digest, None, None, Some("C-1".parse().unwrap())).unwrap()
}

fn others(count: u8) -> Vec<Leaf> {
    (0..count).map(|n| of_change(LeafKind::PlanSet, Digest::of(&[n]))).collect()
}

fn demanding() -> Policy {
    let mut policy = policy(1);
    policy.log = LogRules::new(vec![VerifierKey::new(NAME.parse().unwrap(), key(40).public()).to_string()]);
    policy.log.proof_before_start = true;
    policy
}

/// An approved change, with what stands for it in a ledger.
fn approved(policy: &Policy) -> (Approved, Vec<Leaf>) {
    let (case, class) = (said(&[("first", 2)]), host_class());
    let bundle = &case.bundle;
    let addressed = address(policy, bundle.change.clone(), &me(&class), NOW).unwrap();
    let approved =
        approve(policy, &addressed, bundle, &case.plan, &Sources::default(), &me(&class), NOW).unwrap();
    let leaves = approved.logged_as().map(|(digest, kind)| of_change(kind, digest)).collect();
    (approved, leaves)
}

fn begins(policy: &Policy, approved: &Approved, held: &Held) -> Result<(), Code> {
    logged(policy, approved, held).map(drop).map_err(|refused| refused.code)
}

#[test]
fn a_host_begins_what_the_ledger_is_proven_to_hold_and_nothing_else() {
    let policy = demanding();
    let (approved, leaves) = approved(&policy);
    let none = Held::default();
    assert_eq!(begins(&policy, &approved, &none), Err(Code::LogUnproven));
    let mut relaxed = policy.clone();
    relaxed.log.proof_before_start = false;
    assert_eq!(begins(&relaxed, &approved, &none), Ok(()));

    let take = |leaves: Vec<Leaf>| {
        let log = Log::of(others(5).into_iter().chain(leaves).collect());
        none.with(&policy.log, Some(&log.seen(3)), &log.proofs(3)).unwrap().0
    };
    let all = take(leaves.clone());
    assert_eq!(begins(&policy, &approved, &all), Ok(()));
    let kept: Held = serde_json::from_slice(&strict::to_json(&all)).unwrap();
    assert_eq!(begins(&policy, &approved, &kept), Ok(()), "also after a restart, and without the server");
    assert_eq!(
        begins(&policy, &approved, &take(leaves[..1].to_vec())),
        Err(Code::LogUnproven),
        "no approval"
    );
    assert_eq!(begins(&policy, &approved, &take(leaves[1..].to_vec())), Err(Code::LogUnproven), "no change");
    let as_another = |digest| of_change(LeafKind::PlanSet, digest);
    let hidden = vec![leaves[0].clone(), as_another(leaves[1].sha256)];
    assert_eq!(begins(&policy, &approved, &take(hidden)), Err(Code::LogUnproven), "under another kind");
    let mut other_log = policy.clone();
    other_log
        .log
        .vkeys
        .insert(0, VerifierKey::new("assent.new".parse().unwrap(), key(41).public()).to_string());
    assert_eq!(
        begins(&other_log, &approved, &all),
        Err(Code::LogUnproven),
        "after a restore it is proven anew"
    );
}

#[test]
fn proofs_of_another_tree_key_or_time_are_not_taken() {
    let policy = demanding();
    let (_, leaves) = approved(&policy);
    let log = Log::of(others(5).into_iter().chain(leaves.clone()).collect());
    let seen = log.seen(3);
    let take = |seen: Option<&LogSeen>, proofs: &Proofs| Held::default().with(&policy.log, seen, proofs);
    let (_, after) = take(Some(&seen), &log.proofs(3)).unwrap();
    assert_eq!(after, log.seen(7), "what was followed is the last one seen now");
    assert!(take(None, &Proofs { consistency: None, ..log.proofs(3) }).is_ok(), "nothing was seen before");
    assert!(
        take(Some(&log.seen(7)), &Proofs { consistency: None, ..log.proofs(3) }).is_ok(),
        "the same again"
    );

    let forked = Log::of(others(4).into_iter().skip(1).chain(others(2)).chain(leaves.clone()).collect());
    let mut bent = log.proofs(3);
    bent.inclusion[6].hashes[0] = Digest::of(b"x");
    let mut moved = log.proofs(3);
    moved.inclusion[6].index = 5;
    let mut swapped = log.proofs(3);
    swapped.inclusion[6].leaf = swapped.inclusion[5].leaf.clone();
    let resigned = Log { key: key(41), ..Log::of(log.leaves.clone()) };
    let renamed = Log { name: "assent.other", ..Log::of(log.leaves.clone()) };
    for (what, proofs) in [
        ("a forked tree", forked.proofs(3)),
        ("no consistency", Proofs { consistency: None, ..log.proofs(3) }),
        ("consistency from elsewhere", log.proofs(2)),
        ("a changed hash", bent),
        ("another place", moved),
        ("another leaf", swapped),
        ("another key", resigned.proofs(3)),
        ("another name", renamed.proofs(3)),
    ] {
        assert!(matches!(take(Some(&seen), &proofs), Err(Doubt::Fork(_))), "{what}");
    }
    let cut = Log::of(others(2));
    let proofs = Proofs { consistency: None, ..cut.proofs(1) };
    assert_eq!(take(Some(&seen), &proofs).unwrap_err(), Doubt::Behind { now: 2, seen: 3 });

    // A ledger that governance has left proves nothing more, though its key is still in the policy.
    let mut moved_on = policy.log.clone();
    let name = VerifierKey::new("assent.new".parse().unwrap(), key(41).public());
    moved_on.vkeys.insert(0, name.to_string());
    assert!(Held::default().with(&moved_on, Some(&seen), &log.proofs(3)).is_err());
    let new = Log { name: "assent.new", key: key(41), ..Log::of(log.leaves.clone()) };
    let proofs = Proofs { consistency: None, ..new.proofs(3) };
    assert!(Held::default().with(&moved_on, Some(&seen), &proofs).is_ok(), "the new one does");
}

fn witness(n: u8) -> WitnessKey {
    WitnessKey::new(format!("w{n}.test").parse().unwrap(), key(50 + n).public())
}

impl Log {
    /// What a witness signed when the ledger had this size.
    fn looked(&self, n: u8, at: u64) -> Witnessed {
        let mut note = self.checkpoint(at).sign(&self.key).unwrap();
        note.cosign(witness(n).name(), &key(50 + n), NOW);
        let size = self.frontier.size();
        let hashes = tree::consistency_proof(at, size, &self.nodes).unwrap();
        let consistency = ConsistencyProof { old_size: at, new_size: size, hashes };
        Witnessed { checkpoint: note.to_string(), consistency }
    }
}

#[test]
fn what_too_few_witnesses_have_seen_is_not_proven() {
    let mut policy = demanding();
    policy.log.witnesses = vec![witness(0), witness(1), witness(2)];
    policy.log.quorum = 2;
    assert_eq!(policy.problems(), Vec::<String>::new());
    let (approved, leaves) = approved(&policy);
    let log = Log::of(others(5).into_iter().chain(leaves).chain(others(2)).collect());
    let take = |witnessed: Vec<Witnessed>| {
        let proofs = Proofs { witnessed, ..log.proofs(3) };
        Held::default().with(&policy.log, Some(&log.seen(3)), &proofs)
    };
    let begun = |witnessed| begins(&policy, &approved, &take(witnessed).unwrap().0);
    // The leaves that matter are 5 and 6; each witness looked at another time.
    assert_eq!(begun(vec![log.looked(0, 7), log.looked(1, 8)]), Ok(()));
    assert_eq!(begun(vec![log.looked(2, 9), log.looked(0, 2), log.looked(1, 7)]), Ok(()));
    for (what, witnessed) in [
        ("nobody", vec![]),
        ("one", vec![log.looked(0, 9)]),
        ("one before the approval", vec![log.looked(0, 6), log.looked(1, 9)]),
        ("one, twice", vec![log.looked(0, 8), log.looked(0, 9)]),
        ("one and a stranger", vec![log.looked(0, 9), log.looked(3, 9)]),
    ] {
        assert_eq!(begun(witnessed), Err(Code::LogUnproven), "{what}");
    }
    // A ledger for this host alone, that no witness saw: theirs is not a beginning of it.
    let hidden = Log::of(others(5).into_iter().skip(1).chain(others(4)).collect());
    let mut lent = log.looked(1, 9);
    lent.checkpoint = lent.checkpoint.replace("w1.test", "w2.test");
    let unsigned = Witnessed { checkpoint: log.checkpoint(9).text() + "\n", ..log.looked(1, 9) };
    let theirs = Log { key: key(41), ..Log::of(log.leaves.clone()) };
    let mut cut = log.looked(1, 8);
    cut.consistency.hashes.pop();
    for (what, witnessed) in [
        ("another tree", hidden.looked(1, 8)),
        (
            "the proof of another size",
            Witnessed { consistency: log.looked(1, 7).consistency, ..log.looked(1, 8) },
        ),
        ("a proof that is cut", cut),
        ("no signature of the ledger", unsigned),
        ("the key of another ledger", theirs.looked(1, 9)),
    ] {
        assert!(matches!(take(vec![log.looked(0, 9), witnessed]), Err(Doubt::Fork(_))), "{what}");
    }
    assert_eq!(begun(vec![log.looked(0, 9), lent]), Err(Code::LogUnproven), "the line of another witness");
    let mut none = policy.clone();
    none.log.quorum = 0;
    let (held, _) = Held::default().with(&none.log, Some(&log.seen(3)), &log.proofs(3)).unwrap();
    assert_eq!(begins(&none, &approved, &held), Ok(()));
    assert_eq!(
        begins(&policy, &approved, &held),
        Err(Code::LogUnproven),
        "under other rules it is proven anew"
    );
}

#[test]
fn a_policy_asks_only_for_witnesses_that_there_are() {
    let good = || {
        let mut policy = demanding();
        policy.log.witnesses = vec![witness(0), witness(1)];
        policy.log.quorum = 2;
        policy
    };
    assert_eq!(good().problems(), Vec::<String>::new());
    let again = WitnessKey::new("w9.test".parse().unwrap(), key(50).public());
    let person = WitnessKey::new("w9.test".parse().unwrap(), key(2).public());
    type Bend<'b> = (&'b str, &'b dyn Fn(&mut LogRules));
    let bends: [Bend<'_>; 5] = [
        ("asks for 3 witnesses of 2", &|log| log.quorum = 3),
        ("twice", &|log| log.witnesses.push(again.clone())),
        ("twice", &|log| log.witnesses.push(witness(1))),
        ("the key of a person", &|log| log.witnesses.push(person.clone())),
        ("at most 8", &|log| log.witnesses.extend((2..9).map(witness))),
    ];
    for (why, bend) in bends {
        let mut policy = good();
        bend(&mut policy.log);
        let problems = policy.problems();
        assert!(problems.len() == 1 && problems[0].contains(why), "{why}: {problems:?}");
    }
}
