//! A server that has been taken over tries to make hosts change what nobody approved. Each attempt is a case of
//! `research/trust.md` §7 with its number; every one must end in a signed refusal and an untouched host.

use super::stage::{MOTD, Stage};
use shared::approval::Decision;
use shared::bundle::{Bundle, GateFile};
use shared::change::{Change, ChangeType};
use shared::envelope::Envelope;
use shared::keys::{PublicKey, SigningKey};
use shared::plan::PlanSet;
use shared::receipt::HostOutcome;
use shared::statement::Statement;
use shared::summary::Summary;
use shared::tuf::metadata::MetaFile;
use shared::tuf::names::MetaName;
use shared::tuf::{Role, TargetName};
use std::sync::Arc;
use tests::forge::{Forged, target};
use tests::http::Message;
use tests::world::NewChange;
use tests::{World, check};

on_both! {
    /// 15–20, 22, 23, 26, 30, 37
    fn a_server_with_all_its_keys_cannot_start_an_unapproved_change(world) {
        let mut stage = Stage::new(world, 21);
        approvals_that_do_not_count(&mut stage);
        approvals_of_something_else(&mut stage);
        changes_that_were_altered(&mut stage);
        changes_that_their_author_altered(&mut stage);
        let good = stage.next();
        stage.applied("a1", &good);
        stage.applied("v1", &good);
        again_after_it_was_run(&mut stage, &good);
    }
}

fn approvals_that_do_not_count(stage: &mut Stage<'_>) {
    let mut bundle = stage.next();
    bundle.approvals.clear();
    stage.refused("a1", &bundle, "approval.missing");

    let mut bundle = stage.next();
    bundle.approvals = vec![stage.yes("lead", &bundle, |a| a.expires = a.at.plus(-1))];
    stage.refused("a1", &bundle, "approval.expired");

    let mut bundle = stage.next();
    bundle.approvals = vec![stage.yes("lead", &bundle, |a| a.at = a.at.plus(3_600))];
    stage.refused("a1", &bundle, "approval.invalid");

    let mut bundle = stage.next();
    let stranger = SigningKey::from_seed(&[66; 32]);
    let signed = stage.world.sign_approval(&bundle.change, &bundle.plan_set, "stranger", &stranger, |_| {});
    let posing = stage.world.sign_approval(&bundle.change, &bundle.plan_set, "lead", &stranger, |_| {});
    bundle.approvals = vec![signed, posing];
    stage.refused("a1", &bundle, "approval.unknown_key");

    let mut bundle = stage.next();
    let (one, two) =
        (stage.yes("lead", &bundle, |_| {}), stage.yes("lead", &bundle, |a| a.nonce = "0".repeat(32)));
    bundle.approvals = vec![one.clone(), two, one];
    stage.refused("v1", &bundle, "approval.quorum");

    let mut bundle = stage.next();
    let no = stage.yes("second", &bundle, |a| a.decision = Decision::Withdraw);
    bundle.approvals = vec![stage.yes("lead", &bundle, |_| {}), no];
    stage.refused("a1", &bundle, "approval.withdrawn");
}

fn approvals_of_something_else(stage: &mut Stage<'_>) {
    let (mut bundle, other) = (stage.next(), stage.next());
    bundle.approvals = other.approvals.clone();
    stage.refused("a1", &bundle, "approval.other_change");

    let mut bundle = other;
    bundle.approvals = vec![stage.yes("lead", &bundle, |a| a.revision = 2)];
    stage.refused("a1", &bundle, "approval.other_change");

    let mut bundle = stage.next();
    bundle.approvals = vec![stage.yes("lead", &bundle, |a| a.site = "00112233aabbccdd".parse().unwrap())];
    stage.refused("a1", &bundle, "approval.other_change");

    let mut bundle = stage.next();
    let vault = stage.world.hosts["v1"].agent();
    bundle.approvals = vec![stage.yes("lead", &bundle, |a| a.agents = Some(vec![vault]))];
    stage.refused("a1", &bundle, "approval.quorum");

    // A plan set in which the host's plan is another host's: signed as if it were this one's.
    let mut bundle = stage.next();
    let mut plans = bundle.plan_set.plans.clone();
    let own = stage.world.hosts["a1"].agent();
    let swapped = *plans.get(&vault).unwrap();
    plans.insert(own, swapped);
    bundle.plan_set = PlanSet { change: bundle.change.digest, plans };
    bundle.approvals = vec![stage.yes("lead", &bundle, |_| {})];
    stage.refused("a1", &bundle, "plan.missing");
}

/// The attacker has no author key, so an altered change carries the old signature or one of his own.
fn changes_that_were_altered(stage: &mut Stage<'_>) {
    let stranger = SigningKey::from_seed(&[66; 32]);
    let bends: [fn(&mut Change); 3] = [
        |change| change.manifests[0].version = semver::Version::new(1, 4, 3),
        |change| change.intervals[0].from = change.intervals[0].from.plus(-7_200),
        |change| change.manifests[0].sha256 = shared::digest::Digest::of(b"another manifest"),
    ];
    for bend in bends {
        let mut bundle = stage.next();
        let mut body = bundle.change.body.clone();
        bend(&mut body);
        let forged = Statement::sign(body, &stranger);
        let mut envelope = forged.envelope.clone();
        envelope.signatures.extend(bundle.change.envelope.signatures.clone());
        bundle.plan_set.change = forged.digest;
        bundle.change = Statement::open(envelope).unwrap();
        stage.refused("a1", &bundle, "change.author");
    }
    // Somebody who may author at this site and at another signs for the other one.
    let mut bundle = stage.next();
    let mut body = bundle.change.body.clone();
    body.site = "00112233aabbccdd".parse().unwrap();
    bundle.change = Statement::sign(body, &stage.lead);
    stage.refused("a1", &bundle, "change.site");
    // The file of one revision under the name of another.
    let bundle = stage.next();
    let (_, bytes) = target(&bundle);
    let id = bundle.change.body.change_id.clone();
    stage.refused_file("a1", TargetName::Change { id, revision: 7 }, bytes, "change.invalid");
}

/// 15, 16: the author is in with the server. What was approved is another statement, and not for this host's key.
fn changes_that_their_author_altered(stage: &mut Stage<'_>) {
    let [a1, v1] = ["a1", "v1"].map(|host| stage.world.hosts[host].key().public());
    let key_of = |change: &mut Change, host: PublicKey, key: PublicKey| {
        let mut targets = change.targets.iter_mut();
        targets.find(|target| target.agent == host.agent_id()).unwrap().key = key.digest();
    };
    type Bend<'a> = Box<dyn Fn(&mut Change) + 'a>;
    let stranger = SigningKey::from_seed(&[66; 32]).public();
    let bends: [(&str, Bend<'_>); 3] = [
        ("change.revision", Box::new(|c| c.manifests[0].version = semver::Version::new(1, 4, 3))),
        ("change.not_for_me", Box::new(|c| key_of(c, a1, stranger))),
        ("change.not_for_me", Box::new(|c| (key_of(c, a1, v1), key_of(c, v1, a1)).0)),
    ];
    for (code, bend) in bends {
        let mut bundle = stage.next();
        let mut body = bundle.change.body.clone();
        bend(&mut body);
        bundle.change = Statement::sign(body, &stage.lead);
        bundle.plan_set.change = bundle.change.digest;
        stage.refused("a1", &bundle, code);
    }
    // Approved by everybody, for the other host.
    let mut bundle = stage.next();
    let mut body = bundle.change.body.clone();
    body.targets.retain(|target| target.agent == v1.agent_id());
    approved_anew(stage, &mut bundle, body);
    stage.refused("a1", &bundle, "change.not_for_me");
}

/// 18: the bundle disappears and comes back, also with other words of the same persons; each tick is a new process.
fn again_after_it_was_run(stage: &mut Stage<'_>, bundle: &Bundle) {
    let id = bundle.change.body.change_id.to_string();
    std::fs::remove_file(stage.world.hosts["a1"].path("/etc/motd")).unwrap();
    check::accept(stage.world, "a1");
    let anew = |person: &str| stage.yes(person, bundle, |a| a.nonce = "9".repeat(32));
    let (lead, second) = (anew("lead"), anew("second"));
    let more = [&bundle.approvals[..], &[lead.clone(), second.clone()]].concat();
    for approvals in [bundle.approvals.clone(), vec![second, lead], more] {
        let nothing = stage.world.forge(&[]);
        stage.world.take_over(nothing);
        stage.world.tick("a1");
        let forged = stage.world.forge(&[target(&Bundle { approvals, ..bundle.clone() })]);
        stage.world.take_over(forged);
        let said = stage.world.tick("a1");
        let host = &stage.world.hosts["a1"];
        assert!(!host.path("/etc/motd").exists(), "it ran twice: {said}");
        assert!(host.refusal_codes(&id).contains(&"change.replay".to_owned()), "{said}");
        assert_eq!(host.spooled(), 0, "the refusal is on record");
    }
}

on_both! {
    /// 1, 2, 29: what was good once and is old now; 28: a policy that nobody with a governance key signed
    fn an_edited_or_older_repository_is_refused_and_the_host_stays_as_it_is(world) {
        let old = honest_files(world);
        let mut stage = Stage::new(world, 2);
        let (bundle, good) = (stage.next(), stage.next());
        edited_policy(&mut stage, &bundle);
        // What is left of that attempt is a version number; the next true edition is above it.
        let mut policy = stage.world.policy();
        policy.version += 1;
        stage.world.publish_policy(&policy);
        older_policy(&mut stage, &bundle, &old);
        superseded_edition(&mut stage, &bundle);
        for _ in 0..2 {
            policy.version += 1;
            stage.world.publish_policy(&policy);
        }
        // A repository of yesterday, whole and once correctly signed.
        nothing_happens(&mut stage, Forged { timestamp_version: 3_000_000, ..old }, "tuf.rollback");
        stage.applied("a1", &good);
    }
}

on_both! {
    /// A standing approval lets a host put back what was approved: nothing else, and not after it has ended
    fn what_a_host_puts_back_is_what_was_approved_whatever_the_server_shows(world) {
        world.let_corrections_stand(240);
        let manifest = format!("on_drift: correct\n{MOTD}");
        let mut stage = Stage::of(world, 2, &manifest, &["--correct-until", "9d"]);
        let (other, good) = (stage.next(), stage.next());
        stage.applied("a1", &good);
        let motd = stage.world.hosts["a1"].path("/etc/motd");
        std::fs::write(&motd, "by hand\n").unwrap();
        check::accept(stage.world, "a1");
        let stranger = SigningKey::from_seed(&[66; 32]);
        let mut longer = good.clone();
        let mut body = good.change.body.clone();
        body.correct_until = body.correct_until.map(|end| end.plus(30 * 86_400));
        longer.change = Statement::sign(body, &stranger);
        let mut fewer = good.clone();
        fewer.approvals.clear();
        let mut withdrawn = good.clone();
        withdrawn.approvals = vec![stage.yes("lead", &good, |a| a.decision = Decision::Withdraw)];
        let mut of_another = good.clone();
        of_another.approvals = other.approvals.clone();
        let (name, _) = target(&good);
        let attempts = [
            ("a longer time", longer.to_bytes()),
            ("no approval", fewer.to_bytes()),
            ("a withdrawn one", withdrawn.to_bytes()),
            ("approvals of another change", of_another.to_bytes()),
            ("another change under its name", other.to_bytes()),
        ];
        for (what, bytes) in attempts {
            let forged = stage.world.forge(&[(name.clone(), bytes)]);
            stage.world.take_over(forged);
            let said = stage.world.tick("a1");
            assert_eq!(std::fs::read_to_string(&motd).unwrap(), "by hand\n", "{what}: {said}");
        }
        // What was refused was refused for its one fault.
        let forged = stage.world.forge(&[target(&good)]);
        stage.world.take_over(forged);
        let said = stage.world.tick("a1");
        assert_eq!(std::fs::read_to_string(&motd).unwrap(), "Welcome\n", "{said}");
        let receipts = stage.world.hosts["a1"].statements().receipts;
        let corrective = receipts.values().filter(|r| r.body.corrects.is_some()).count();
        assert_eq!((receipts.len(), corrective), (2, 1));
        // Once it was not listed it stands no more, however often it is shown again.
        let nothing = stage.world.forge(&[]);
        stage.world.take_over(nothing);
        stage.world.tick("a1");
        std::fs::write(&motd, "by hand\n").unwrap();
        check::accept(stage.world, "a1");
        let again = stage.world.forge(&[target(&good)]);
        stage.world.take_over(again);
        let said = stage.world.tick("a1");
        assert_eq!(std::fs::read_to_string(&motd).unwrap(), "by hand\n", "{said}");
    }
}

on_both! {
    /// Who may accept afterwards what was found must not get anything applied by that, however many have approved it
    fn a_retroactive_change_is_no_way_to_apply_something(world) {
        let mut stage = Stage::new(world, 5);
        // Not even a plan is made for one.
        let id = stage.changes.pop().unwrap();
        let asked = stage.world.bundle(&id).change.body;
        let body = Change { revision: 2, ..retroactive(&asked) };
        let wish = Statement::sign(body, &stage.lead).envelope;
        stage.world.hook(Arc::new(move |request: Message, ask: &dyn Fn(Message) -> Message| {
            let to_work = request.path().starts_with("/agent/v1/work");
            let reply = ask(if to_work { request.without("if-none-match") } else { request });
            if !to_work {
                return Some(reply);
            }
            let mut work = reply.json();
            work["plan_wishes"] = serde_json::json!([wish]);
            Some(reply.carrying(work.to_string().as_bytes()).without("etag"))
        }));
        let said = stage.world.tick("a1");
        let codes = stage.world.hosts["a1"].refusal_codes(&id);
        assert!(codes.contains(&"change.retroactive".to_owned()), "{codes:?}: {said}");
        // Everything that a host would run, under the other word.
        let mut bundle = stage.next();
        let body = Change { change_type: ChangeType::Retroactive, ..bundle.change.body.clone() };
        approved_anew(&mut stage, &mut bundle, body);
        stage.refused("a1", &bundle, "change.retroactive");
        // One as the rules want it: the same answer.
        let mut bundle = stage.next();
        let body = retroactive(&bundle.change.body);
        assert_eq!(body.problems(), Vec::<String>::new());
        bundle.plan_set.plans.clear();
        approved_anew(&mut stage, &mut bundle, body);
        stage.refused("a1", &bundle, "change.retroactive");
        // Nor is one that retires hosts, whatever else is in it.
        let mut bundle = stage.next();
        let leaving = retiring(&bundle.change.body);
        assert_eq!(leaving.problems(), Vec::<String>::new());
        let body = Change { retires: leaving.retires.clone(), ..bundle.change.body.clone() };
        approved_anew(&mut stage, &mut bundle, body);
        stage.refused("a1", &bundle, "change.retroactive");
        bundle.plan_set.plans.clear();
        approved_anew(&mut stage, &mut bundle, leaving);
        stage.refused("a1", &bundle, "change.retroactive");
        // What was refused was refused for its one fault.
        let good = stage.next();
        stage.applied("a1", &good);
    }
}

/// Another body in place of the change's, signed by its author and approved by everybody.
fn approved_anew(stage: &mut Stage<'_>, bundle: &mut Bundle, body: Change) {
    bundle.change = Statement::sign(body, &stage.lead);
    bundle.plan_set.change = bundle.change.digest;
    bundle.approvals = vec![stage.yes("lead", bundle, |_| {}), stage.yes("second", bundle, |_| {})];
}

/// A change for the same hosts that accepts something of each.
fn retroactive(change: &Change) -> Change {
    let finding = shared::digest::Digest::of(b"what a host found");
    change.clone().accepting(change.targets.iter().map(|target| (*target, finding)))
}

/// A change that retires the same hosts.
fn retiring(change: &Change) -> Change {
    let enrolment = shared::digest::Digest::of(b"how a host joined");
    change.clone().retiring(change.targets.iter().map(|target| ((*target, enrolment), None)))
}

/// Every metadata file that the server serves now.
fn honest_files(world: &World) -> Forged {
    let mut forged = Forged::default();
    let get = |name: &str| world.get(&format!("/v1/tuf/{name}")).body;
    forged.files.insert("timestamp.json".into(), get("timestamp.json"));
    let snapshot = world.current_snapshot();
    let name = Role::Snapshot.file(snapshot.version);
    forged.files.insert(name.clone(), get(&name));
    for (meta, pin) in snapshot.meta.iter() {
        let name = meta.0.file(pin.version);
        forged.files.insert(name.clone(), get(&name));
    }
    forged
}

/// The online key adds an approver of its own to the policy.
fn edited_policy(stage: &mut Stage<'_>, bundle: &Bundle) {
    let world = &*stage.world;
    let mut policy = world.policy();
    policy.version += 1;
    policy.persons.retain(|p| p.id.as_str() != "second");
    let (targets, bytes) = world.targets_with(&policy, &world.server_key("online"));
    let forged = world.forge_with(&[target(bundle)], Some((&targets, &bytes)));
    nothing_happens(stage, forged, "tuf.invalid");
}

/// The first edition of the policy, signed by governance, put back in place of the second: as it was, and under the number of
/// the second.
fn older_policy(stage: &mut Stage<'_>, bundle: &Bundle, old: &Forged) {
    let first = old.files.get("1.targets.json").expect("the site began with version 1");
    let number = stage.world.current_targets().version;
    for (pinned, code) in [(1, "tuf.rollback"), (number, "tuf.invalid")] {
        let forged = pinning(stage.world, bundle, pinned, first);
        nothing_happens(stage, forged, code);
    }
}

/// A repository with the bundle whose snapshot pins these bytes as targets of that number.
fn pinning(world: &World, bundle: &Bundle, pinned: u64, targets: &[u8]) -> Forged {
    let pin = MetaFile::of(pinned, targets);
    let mut forged = world.reseal(world.forge(&[target(bundle)]), |snapshot| {
        snapshot.meta.insert(MetaName(Role::Targets), pin);
    });
    forged.files.insert(Role::Targets.file(pinned), targets.to_vec());
    forged
}

/// 29: governance signs an edition again that was superseded, as whoever has an old draft might make it do.
fn superseded_edition(stage: &mut Stage<'_>, bundle: &Bundle) {
    let world = &*stage.world;
    let mut policy = world.policy();
    // The host has used the second one already.
    policy.version = 1;
    let (targets, bytes) = world.targets_with(&policy, &world.own_key("governance"));
    let forged = world.forge_with(&[target(bundle)], Some((&targets, &bytes)));
    nothing_happens(stage, forged, "policy.rollback");
}

/// The host signs exactly one refusal of the repository, with this code, and the true server has it on record.
fn nothing_happens(stage: &mut Stage<'_>, forged: Forged, code: &str) {
    let before = stage.world.hosts["a1"].statements().refusals.len();
    stage.world.take_over(forged);
    let said = stage.world.tick("a1");
    let host = &stage.world.hosts["a1"];
    assert!(!host.path("/etc/motd").exists());
    let refusals = host.statements().refusals;
    let codes: Vec<&str> = refusals.values().skip(before).map(|r| r.body.reason.code.as_str()).collect();
    assert_eq!(codes, [code], "{said}");
    assert_eq!(host.spooled(), 0, "the refusal is on record");
}

on_both! {
    /// 40: bytes change on the way, of the manifest and of an artifact
    fn bytes_that_differ_from_what_was_signed_never_reach_the_disk(world) {
        world.join("a1", "production");
        let file = world.file("tool", "#!/bin/sh\necho tool\n");
        let said = world.assent(&["artifact", "put", file.to_str().unwrap()]).ok();
        let sha256 = shared::digest::Digest::of(&std::fs::read(&file).unwrap());
        assert!(said.out.contains(&sha256.hex()), "{said}");
        let body = format!("resources:\n  - file: {{path: /opt/tool, mode: \"0755\", artifact: {{sha256: {sha256}, length: 20}}}}\n");
        world.publish("tools", "1.0.0", &body).ok();
        let id = world.request_and_approve(&NewChange { manifests: &["tools@1.0.0"], ..NewChange::default() });
        let flip = Arc::new(|request: Message, ask: &dyn Fn(Message) -> Message| {
            let wanted = request.path().starts_with("/agent/v1/artifacts/");
            let mut reply = ask(request);
            if wanted && let Some(last) = reply.body.last_mut() {
                *last ^= 1;
            }
            Some(reply)
        });
        world.hook(flip);
        world.tick("a1");
        assert!(!world.hosts["a1"].path("/opt/tool").exists());
        assert!(world.hosts["a1"].refusal_codes(&id).contains(&"artifact.digest".to_owned()), "{:?}", world.hosts["a1"].refusal_codes(&id));
        world.proxy.through();
        let receipt = world.tick_until_receipt("a1", &id);
        assert_eq!(receipt.body.outcome.as_str(), "applied");
        assert_eq!(world.hosts["a1"].read("/opt/tool").as_deref(), Some("#!/bin/sh\necho tool\n"));
    }
}

on_both! {
    fn a_manifest_with_a_changed_byte_is_not_even_planned(world) {
        world.join("a1", "production");
        world.publish("base", "1.0.0", MOTD).ok();
        let id = world.draft(&NewChange { manifests: &["base@1.0.0"], ..NewChange::default() });
        world.submit(&id);
        let flip = Arc::new(|request: Message, ask: &dyn Fn(Message) -> Message| {
            let wanted = request.path().contains(".manifest.main.base.");
            let mut reply = ask(request);
            if wanted && let Some(byte) = reply.body.get_mut(40) {
                *byte ^= 1;
            }
            Some(reply)
        });
        world.hook(flip);
        world.tick("a1");
        assert_eq!(world.change_file(&id).plans.len(), 0);
        let codes = world.hosts["a1"].refusal_codes(&id);
        assert!(!codes.is_empty(), "the host says why it does not plan");
        let (standing, code) = world.why("a1", &id);
        assert_eq!((standing.as_str(), code.as_str()), ("refused", codes[0].as_str()));
        world.proxy.through();
        world.tick("a1");
        assert_eq!(world.change_file(&id).plans.len(), 1, "with the true bytes it plans");
    }
}

on_both! {
    /// 38: receipts of a canary that another key signed, that are about another change, or that tell of a failure
    fn a_later_wave_does_not_start_on_receipts_that_do_not_count(world) {
        world.join("a1", "production");
        world.join("a2", "production");
        world.publish("base", "1.0.0", MOTD).ok();
        let waves = &["--canary", "a1", "--soak", "1s"];
        let new = NewChange { manifests: &["base@1.0.0"], more: waves, ..NewChange::default() };
        let ids = [world.request(&new), world.request(&new)];
        let lead = world.own_key("approver");
        let [bundle, other] = ids.map(|id| {
            let mut bundle = world.bundle(&id);
            bundle.approvals = vec![world.sign_approval(&bundle.change, &bundle.plan_set, "lead", &lead, |_| {})];
            bundle
        });
        let forged = world.forge(&[target(&other)]);
        world.take_over(forged);
        let true_receipt = world.tick_until_receipt("a1", other.change.body.change_id.as_str());
        let canary = world.hosts["a1"].key();
        let about_this = |outcome: HostOutcome, key: &SigningKey| {
            let mut body = true_receipt.body.clone();
            body.change_id = bundle.change.body.change_id.clone();
            body.change = bundle.change.digest;
            body.finished = body.finished.plus(-60);
            body.outcome = outcome;
            Statement::sign(body, key)
        };
        let brief = |outcome, key: &SigningKey| Summary::signed(&about_this(outcome, key), key).unwrap();
        let about_this = |outcome, key: &SigningKey| about_this(outcome, key).envelope;
        let gate = |ends: Vec<Envelope>| {
            let (id, revision) = (bundle.change.body.change_id.clone(), 1);
            (TargetName::Gate { id, revision, wave: 1 }, GateFile { ends }.to_bytes())
        };
        let stranger = SigningKey::from_seed(&[66; 32]);
        let mut edited = Summary::of(&true_receipt).unwrap();
        edited.change = bundle.change.digest;
        for receipts in [
            vec![],
            vec![true_receipt.envelope.clone()],
            vec![about_this(HostOutcome::Applied, &stranger)],
            vec![about_this(HostOutcome::RolledBack, &canary)],
            vec![about_this(HostOutcome::Applied, &canary), about_this(HostOutcome::Failed, &canary)],
            vec![Summary::signed(&true_receipt, &canary).unwrap()],
            vec![Statement::sign(edited, &stranger).envelope],
            vec![brief(HostOutcome::RolledBack, &canary)],
            vec![brief(HostOutcome::Applied, &canary), brief(HostOutcome::Failed, &canary)],
            vec![brief(HostOutcome::Applied, &canary), about_this(HostOutcome::Failed, &canary)],
        ] {
            let count = receipts.len();
            let forged = world.forge(&[target(&bundle), gate(receipts)]);
            world.take_over(forged);
            world.tick("a2");
            let codes = world.hosts["a2"].refusal_codes(bundle.change.body.change_id.as_str());
            assert!(codes.iter().all(|code| code == "wave.gate") && !codes.is_empty(), "{codes:?}");
            let ran = world.hosts["a2"].path("/etc/motd").exists();
            assert!(!ran, "it started on {count}");
            assert_eq!(world.hosts["a2"].spooled(), 0, "the refusal is on record");
        }
        let good = gate(vec![brief(HostOutcome::Applied, &canary)]);
        let forged = world.forge(&[target(&bundle), good]);
        world.take_over(forged);
        world.tick_until_receipt("a2", bundle.change.body.change_id.as_str());
    }
}

on_both! {
    /// 17: the old revision comes back, with its approvals
    fn an_older_revision_of_a_change_is_refused(world) {
        world.join("a1", "production");
        world.publish("base", "1.0.0", MOTD).ok();
        let id = world.request(&NewChange { manifests: &["base@1.0.0"], ..NewChange::default() });
        let lead = world.own_key("approver");
        let mut old = world.bundle(&id);
        old.approvals = vec![world.sign_approval(&old.change, &old.plan_set, "lead", &lead, |_| {})];
        world.assent(&["change", "new", "--revise", &id, "--reason", "second thoughts"]).ok();
        world.submit(&id);
        world.tick("a1");
        let forged = world.forge(&[target(&old)]);
        world.take_over(forged);
        world.tick("a1");
        assert!(!world.hosts["a1"].path("/etc/motd").exists());
        assert!(world.hosts["a1"].refusal_codes(&id).contains(&"change.revision".to_owned()));
    }
}
