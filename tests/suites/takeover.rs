//! Somebody has the server whole: its database with every document in it, its online and ledger keys, the key of its
//! certificate authority, and one of two votes. For a while he tries whatever he can think of, alone and combined.
//!
//! `ASSENT_TEST_TAKEOVER_SECS` lets him try for longer; `ASSENT_TEST_TAKEOVER_SEED` repeats one run.

use serde_json::{Value, json};
use shared::bundle::{Bundle, GateFile};
use shared::change::{ChangeType, PlanBinding};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::keys::{AnyKey, SigningKey};
use shared::plan::PlanSet;
use shared::statement::Statement;
use shared::time::Interval;
use shared::tuf::{Signed, TargetName, writer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::World;
use tests::forge::{Forged, serving, target};
use tests::http::Message;
use tests::proxy::Delivery;
use tests::world::NewChange;

const MOTD: &str = "resources:\n  - file: {path: /etc/motd, content: \"Welcome\\n\"}\n";
const DONE: &str = "resources:\n  - file: {path: /etc/done, content: \"x\\n\"}\n";
const HOSTS: [&str; 3] = ["a1", "a2", "a3"];

/// Attempts of several moves together that are always made, however slow the machine is.
const COMBINED: usize = 20;

/// Numbers that are the same for one seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let given = std::env::var("ASSENT_TEST_TAKEOVER_SEED").ok();
        let own = || u64::from(std::process::id()) ^ 0x9e37_79b9_7f4a_7c15;
        let seed = given.map_or_else(own, |text| text.parse().unwrap());
        println!("ASSENT_TEST_TAKEOVER_SEED={seed}");
        Self(seed.max(1))
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % bound.max(1)
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// What he found on the server.
struct Loot {
    online: SigningKey,
    log: SigningKey,
    /// The vote of one of two approvers.
    vote: SigningKey,
    /// Changes as the database holds them, with all that was said about them.
    bundles: Vec<Bundle>,
    /// Every other signed document: plans, receipts.
    documents: Vec<Envelope>,
}

/// One attempt: a bundle, how its file is called, and what is done to its bytes.
struct Attempt {
    bundle: Bundle,
    name: TargetName,
    what: Vec<&'static str>,
    /// Documents of other kinds that are passed off as approvals.
    posing: Vec<Envelope>,
    /// What the gates of its waves are judged by.
    ends: Vec<Envelope>,
}

impl Attempt {
    fn files(&self, dice: &mut Dice) -> Vec<(TargetName, Vec<u8>)> {
        let mut files = vec![(self.name.clone(), self.bytes(dice))];
        let body = &self.bundle.change.body;
        for wave in 0..3 {
            let gate = TargetName::Gate { id: body.change_id.clone(), revision: body.revision, wave };
            files.push((gate, GateFile { ends: self.ends.clone() }.to_bytes()));
        }
        files
    }

    fn bytes(&self, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.bundle.to_bytes();
        if !self.posing.is_empty() {
            let mut document: Value = serde_json::from_slice(&bytes).unwrap();
            let approvals = document["approvals"].as_array_mut().unwrap();
            approvals.extend(self.posing.iter().map(|one| json!(one)));
            bytes = serde_json::to_vec(&document).unwrap();
        }
        if self.what.contains(&"a flipped bit") {
            let at = dice.below(bytes.len());
            bytes[at] ^= 1 << dice.below(8);
        }
        if self.what.contains(&"an end that is missing") {
            bytes.truncate(dice.below(bytes.len()));
        }
        bytes
    }
}

type Move = (&'static str, fn(&mut Attempt, &Loot, &World, &mut Dice));

/// All that can be done to a bundle, each alone a case of its own.
const MOVES: &[Move] = &[
    ("as it is", |_, _, _, _| {}),
    ("without approvals", |a, _, _, _| a.bundle.approvals.clear()),
    ("approvals of another change", |a, loot, _, dice| {
        a.bundle.approvals.clone_from(&dice.one(&loot.bundles).approvals);
    }),
    ("every approval there ever was", |a, loot, _, _| {
        a.bundle.approvals = loot.bundles.iter().flat_map(|bundle| bundle.approvals.clone()).collect();
    }),
    ("an approval by the key of the server", |a, loot, world, _| {
        let forged = world.sign_approval(&a.bundle.change, &a.bundle.plan_set, "lead", &loot.online, |_| {});
        a.bundle.approvals.push(forged);
    }),
    ("an approval with the signature of another one", |a, loot, world, dice| {
        let mut forged =
            world.sign_approval(&a.bundle.change, &a.bundle.plan_set, "lead", &loot.log, |_| {}).envelope;
        let others = &dice.one(&loot.bundles).approvals;
        forged.signatures.extend(others.iter().flat_map(|other| other.envelope.signatures.clone()));
        a.bundle.approvals.push(Statement::open(forged).unwrap());
    }),
    ("one vote, many times", |a, loot, world, dice| {
        for _ in 0..1 + dice.below(3) {
            let nonce = format!("{:032x}", dice.below(1 << 30));
            let vote = world.sign_approval(&a.bundle.change, &a.bundle.plan_set, "second", &loot.vote, |v| {
                v.nonce = nonce
            });
            a.bundle.approvals.push(vote);
        }
    }),
    ("one vote in the name of the other person", |a, loot, world, _| {
        let vote = world.sign_approval(&a.bundle.change, &a.bundle.plan_set, "lead", &loot.vote, |_| {});
        a.bundle.approvals.push(vote);
    }),
    ("a document of another kind as an approval", |a, loot, _, dice| {
        a.posing.push(dice.one(&loot.documents).clone());
        a.posing.push(a.bundle.change.envelope.clone());
    }),
    ("a window that is open now", |a, loot, world, _| {
        let now = world.now();
        rewrite(a, loot, |change| {
            change.intervals = vec![Interval { from: now.plus(-3_600), until: now.plus(3_600) }];
            change.not_after = now.plus(7_200);
        });
    }),
    ("all hosts", |a, loot, _, _| {
        let all: BTreeSet<_> = loot.bundles.iter().flat_map(|b| b.change.body.targets.clone()).collect();
        rewrite(a, loot, |change| {
            change.targets = all.into_iter().collect();
            change.waves.clear();
        });
    }),
    ("a kind of change with fewer rules", |a, loot, _, dice| {
        let kind = *dice.one(&[ChangeType::Standard, ChangeType::Emergency, ChangeType::Retroactive]);
        rewrite(a, loot, |change| change.change_type = kind);
    }),
    ("a looser plan", |a, loot, _, dice| {
        let binding = *dice.one(&[PlanBinding::Within, PlanBinding::Exact]);
        rewrite(a, loot, |change| {
            change.plan_binding = binding;
            change.downgrade = true;
        });
    }),
    ("another manifest", |a, loot, _, dice| {
        let other = dice.one(&loot.bundles).change.body.manifests.clone();
        rewrite(a, loot, |change| change.manifests = other);
    }),
    ("the next revision", |a, loot, _, _| rewrite(a, loot, |change| change.revision += 1)),
    ("plans of other hosts", |a, _, _, dice| {
        let plans: Vec<Digest> = a.bundle.plan_set.plans.values().copied().collect();
        for plan in a.bundle.plan_set.plans.values_mut() {
            *plan = *dice.one(&plans);
        }
    }),
    ("plans of another change", |a, loot, _, dice| {
        let plans = dice.one(&loot.bundles).plan_set.plans.clone();
        a.bundle.plan_set = PlanSet { change: a.bundle.change.digest, plans };
    }),
    ("the author's words of another change", |a, loot, _, dice| {
        a.bundle.change = dice.one(&loot.bundles).change.clone();
    }),
    ("everything for the gate", |a, loot, _, _| a.ends.clone_from(&loot.documents)),
    ("the name of another change", |a, loot, _, dice| {
        let body = &dice.one(&loot.bundles).change.body;
        a.name = TargetName::Change { id: body.change_id.clone(), revision: body.revision };
    }),
    ("the name of another revision", |a, _, _, dice| {
        let id = a.bundle.change.body.change_id.clone();
        a.name = TargetName::Change { id, revision: 1 + u32::try_from(dice.below(9)).unwrap() };
    }),
    ("a flipped bit", |_, _, _, _| {}),
    ("an end that is missing", |_, _, _, _| {}),
];

/// The author's words with something else in them; he has no author's key, so he signs with what he has and adds the
/// author's signature.
fn rewrite(attempt: &mut Attempt, loot: &Loot, bend: impl FnOnce(&mut shared::change::Change)) {
    let mut body = attempt.bundle.change.body.clone();
    bend(&mut body);
    let mut envelope = Statement::sign(body, &loot.online).envelope;
    envelope.signatures.extend(attempt.bundle.change.envelope.signatures.clone());
    let Ok(change) = Statement::open(envelope) else { return };
    attempt.bundle.change = change;
    attempt.bundle.plan_set.change = attempt.bundle.change.digest;
}

const TRUE: &str = "the true policy";

/// The repository around the bundle: as it is, or with a policy that makes approvers of his own.
fn repository(
    world: &World,
    loot: &Loot,
    dice: &mut Dice,
    files: &[(TargetName, Vec<u8>)],
) -> (&'static str, Forged) {
    if dice.below(8) > 0 {
        return (TRUE, world.forge(files));
    }
    let mut policy = world.policy();
    policy.version += 1;
    for person in &mut policy.persons {
        person.keys.iter_mut().for_each(|key| key.public = AnyKey::Ed25519(loot.online.public()));
    }
    policy.rules.iter_mut().for_each(|rule| rule.require.approvals = 1);
    let bytes = shared::strict::to_json(&policy);
    let online = writer::KeySet::one(loot.online.public());
    let teams = BTreeMap::from([("main".parse().unwrap(), writer::KeySet::one(loot.log.public()))]);
    let version = world.current_targets().version + 1;
    let top =
        writer::targets_with_policy(version, world.now().plus(86_400), &bytes, &teams, &online).unwrap();
    ("a policy of his own", world.forge_with(files, Some((&Signed::by(top, &[&loot.online]), &bytes))))
}

/// Three hosts, changes in every state, and everything that a server has of them.
fn loot(world: &mut World) -> Loot {
    let vote = world.add_second_person().key;
    // Hosts of this class need two persons.
    HOSTS.iter().for_each(|name| world.join(name, "vault"));
    world.publish("base", "1.0.0", MOTD).ok();
    world.publish("done", "1.0.0", DONE).ok();
    let draft = |manifest: &str, window: &str, more: &[&str]| {
        let id = world.draft(&NewChange { manifests: &[manifest], window, more, ..NewChange::default() });
        world.submit(&id);
        id
    };
    let (now, later) = ("now..+2h", "now+3h..+1h");
    let done = draft("done@1.0.0", now, &[]);
    let mut ids = vec![done.clone()];
    ids.extend((0..3).map(|_| draft("base@1.0.0", now, &[])));
    ids.push(draft("base@1.0.0", later, &[]));
    ids.push(draft("base@1.0.0", now, &["--canary", "a1", "--soak", "1s"]));
    world.tick_all();
    // Both have approved the one that has run, one of them another one, for later.
    for id in [&done, &ids[4]] {
        world.approve(id).ok();
    }
    let asked = world.bundle(&done);
    let yes = world.sign_approval(&asked.change, &asked.plan_set, "second", &vote, |_| {});
    assert!(world.send_approval(&done, &asked.plan_set, &yes).status() < 300);
    HOSTS.iter().for_each(|name| drop(world.tick_until_receipt(name, &done)));
    let bundles: Vec<Bundle> = ids.iter().map(|id| world.bundle(id)).collect();
    let plans = ids.iter().flat_map(|id| world.change_file(id).plans);
    let receipts = HOSTS.iter().flat_map(|name| world.hosts[*name].statements().receipts.into_values());
    let documents = plans.chain(receipts.map(|receipt| receipt.envelope)).collect();
    Loot { online: world.server_key("online"), log: world.server_key("log"), vote, bundles, documents }
}

/// Also lies about what is to be done and planned.
fn lying(forged: Forged, wish: Option<Envelope>) -> Arc<tests::proxy::Hook> {
    let serve = serving(forged);
    Arc::new(move |request: Message, ask: &dyn Fn(Message) -> Message| {
        let to_work = request.path().starts_with("/agent/v1/work");
        let reply = serve(request, ask)?;
        let Some(wish) = wish.as_ref().filter(|_| to_work && reply.status() == 200) else {
            return Some(reply);
        };
        let mut work = reply.json();
        work["plan_wishes"] = json!([wish]);
        Some(reply.carrying(work.to_string().as_bytes()))
    })
}

on_both! {
    fn whoever_has_the_whole_server_makes_no_host_do_anything(world) {
        let loot = loot(world);
        let address = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let (certificate, key) = world.mint("minted", address);
        let before: Vec<usize> = HOSTS.iter().map(|name| world.hosts[*name].statements().receipts.len()).collect();
        let bound = std::env::var("ASSENT_TEST_TAKEOVER_SECS").map_or(45, |text| text.parse().unwrap());
        let (started, mut dice) = (Instant::now(), Dice::new());
        let mut number = 0;
        while number < MOVES.len() + COMBINED || started.elapsed() < Duration::from_secs(bound) {
            // First each move alone, then several together.
            let moves: Vec<&Move> = match MOVES.get(number) {
                Some(alone) => vec![alone],
                None => (0..2 + dice.below(3)).map(|_| dice.one(MOVES)).collect(),
            };
            // Nothing but what is neither approved nor done, unless several are combined.
            let base = if number < MOVES.len() { 1 + number % 3 } else { dice.below(loot.bundles.len()) };
            let bundle = loot.bundles[base].clone();
            let (name, _) = target(&bundle);
            let mut attempt = Attempt { bundle, name, what: Vec::new(), posing: Vec::new(), ends: Vec::new() };
            for (what, bend) in moves {
                bend(&mut attempt, &loot, world, &mut dice);
                attempt.what.push(what);
            }
            let files = attempt.files(&mut dice);
            let (policy, forged) = repository(world, &loot, &mut dice, &files);
            let own = policy != TRUE;
            let wish = (dice.below(2) == 0).then(|| attempt.bundle.change.envelope.clone());
            world.proxy.take_over(&certificate, &key, lying(forged, wish), Arc::new(|_| Delivery::Whole));
            world.tick_all();
            number += 1;
            if own {
                // A version number is what is left of it; the next true edition is not below it.
                let mut policy = world.policy();
                policy.version += 1;
                world.publish_policy(&policy);
            }
            for (name, receipts) in HOSTS.iter().zip(&before) {
                let host = &world.hosts[*name];
                let ran = host.statements().receipts.len() != *receipts || host.path("/etc/motd").exists();
                assert!(!ran, "attempt {number} on {name}: {:?} of {base} with {policy}", attempt.what);
            }
        }
        let mut codes = BTreeMap::<String, usize>::new();
        for name in HOSTS {
            for refusal in world.hosts[name].statements().refusals.values() {
                *codes.entry(refusal.body.reason.code.to_string()).or_default() += 1;
            }
        }
        println!("{number} attempts in {:?} on {:?}: {codes:?}", started.elapsed(), world.database);
        assert!(codes.len() >= 6, "each attempt fails for its own reason: {codes:?}");
        // The same server with what both have approved: the hosts can still act, and do.
        let mut good = loot.bundles[1].clone();
        let lead = world.own_key("approver");
        good.approvals = [("lead", &lead), ("second", &loot.vote)]
            .map(|(person, key)| world.sign_approval(&good.change, &good.plan_set, person, key, |_| {}))
            .into();
        let forged = world.forge(&[target(&good)]);
        world.proxy.take_over(&certificate, &key, serving(forged), Arc::new(|_| Delivery::Whole));
        for name in HOSTS {
            let receipt = world.tick_until_receipt(name, good.change.body.change_id.as_str());
            assert_eq!(receipt.body.outcome.as_str(), "applied", "{name}");
            world.settle_spool(name);
            assert_eq!((world.hosts[name].spooled(), world.hosts[name].read("/etc/motd").as_deref()), (0, Some("Welcome\n")));
        }
    }
}
