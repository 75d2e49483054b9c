//! Hosts that are there twice, hosts that were put back to an old state, and a server that was.

use shared::governance::keys_of;
use shared::keys::SigningKey;
use shared::ledger::VerifierKey;
use shared::tuf::metadata::{Root, Targets};
use shared::tuf::writer::{self, KeySet};
use shared::tuf::{Role, Signed, Snapshot};
use std::path::Path;
use std::process::Command;
use tests::forge::target;
use tests::world::{Host, NewChange};
use tests::{Said, World, root};

const STEPS: &str = "resources:
  - file: {path: /etc/motd, content: \"after\\n\"}
  - command: {name: count, run: [/bin/sh, -c, \"echo run >> var/lib/lab/runs\"], needed: always, requires: [\"file:/etc/motd\"]}
";

fn copy(from: &Path, to: &Path) {
    Said::of(Command::new("cp").arg("-a").arg(from).arg(to)).ok();
}

/// A host with a change that it may begin, because its window has just opened.
fn ready(world: &mut World) -> String {
    world.join("a1", "production");
    planned(world)
}

fn planned(world: &mut World) -> String {
    world.publish("steps", "1.0.0", STEPS).ok();
    let new = NewChange { manifests: &["steps@1.0.0"], window: "now+1h..+4h", ..NewChange::default() };
    let id = world.request_and_approve(&new);
    world.tick_all();
    id
}

/// It says what is wrong and what to do, and does nothing else.
fn is_held(world: &World, host: &Host) {
    let before = root::snapshot(&host.root);
    let said = Said::of(&mut world.agent(host, &["once"]));
    for part in ["Nothing starts here", "move the directory away", "assent agent token"] {
        assert!(said.code == 3 && said.all().contains(part), "{part}: {said}");
    }
    let changed = root::differences(&before, &root::snapshot(&host.root));
    assert_eq!(changed, Vec::<String>::new(), "{said}");
}

/// What the message says: the directory goes away, and the host joins as a new one.
fn join_again(world: &mut World, old: &Host, name: &str) {
    std::fs::rename(old.state(), old.root.join("var/lib/assent.old")).unwrap();
    world.hosts.insert(name.into(), Host { name: name.into(), ..old.clone() });
    world.enrol(name, "production");
}

fn ci_of(world: &World, host: &Host) -> String {
    let hosts: Vec<shared::wire::HostLine> = serde_json::from_slice(&world.get("/v1/hosts").body).unwrap();
    hosts.into_iter().find(|line| line.agent == host.agent()).unwrap().ci
}

on_both! {
    /// 47: a copy of the machine's disk, both of them online.
    fn a_cloned_host_is_noticed_held_and_joins_again(world) {
        let id = ready(world);
        let mut clone = world.hosts["a1"].clone();
        clone.root = world.path("clone");
        copy(&world.hosts["a1"].root, &clone.root);
        world.shift_clock(2 * 3_600);
        assert_eq!(world.tick_until_receipt("a1", &id).body.outcome.as_str(), "applied");
        world.tick("a1");
        for _ in 0..3 {
            is_held(world, &clone);
        }
        assert_eq!(world.change_file(&id).receipts.len(), 1);

        // People see it, and the host that uses the key as well gets no new work until they have looked.
        let alarms = world.assent(&["site", "alarms"]).ok().out;
        assert!(alarms.contains("chain_fork") && alarms.contains("a1"), "{alarms}");
        assert!(alarms.contains("move its state directory away"), "{alarms}");
        assert_eq!(alarms.matches("chain_fork  ").count(), 1, "once, however often it comes back: {alarms}");
        let hosts = world.assent(&["ci", "list"]).ok().out;
        assert!(hosts.contains("HELD") && hosts.contains("assent ci enable"), "{hosts}");
        let shown = world.assent(&["ci", "show", "a1"]).ok().out;
        assert!(shown.contains("held") && shown.contains("two statements claim place"), "{shown}");
        let next = world.draft(&NewChange { manifests: &["steps@1.0.0"], ..NewChange::default() });
        world.submit(&next);
        world.tick("a1");
        assert_eq!(world.why("a1", &next), ("waiting".into(), "host.held".into()));

        // The way out, as the messages say it.
        let ci = ci_of(world, &world.hosts["a1"]);
        join_again(world, &clone, "a2");
        world.assent(&["ci", "enable", &ci, "--reason", "test"]).ok();
        let hosts = world.assent(&["ci", "list"]).ok().out;
        assert!(!hosts.contains("HELD"), "{hosts}");
        std::fs::remove_file(world.hosts["a1"].path("/etc/motd")).unwrap();
        tests::check::accept(world, "a1");
        world.assent(&["change", "withdraw", &next]).ok();
        let both = world.request_and_approve(&NewChange { manifests: &["steps@1.0.0"], ..NewChange::default() });
        for host in ["a1", "a2"] {
            assert_eq!(world.tick_until_receipt(host, &both).body.outcome.as_str(), "applied", "{host}");
        }
        world.tick_all();
        assert_eq!(world.change_file(&both).receipts.len(), 2);
        assert_eq!((world.hosts["a1"].lines("/var/lib/lab/runs"), world.hosts["a2"].lines("/var/lib/lab/runs")), (2, 1));
    }
}

on_both! {
    /// 47: from before it was approved, and from the day when it had just joined
    fn a_state_directory_from_an_old_backup_runs_nothing_a_second_time(world) {
        world.join("a1", "production");
        let (state, backup, young) = (world.hosts["a1"].state(), world.path("backup"), world.path("young"));
        copy(&state, &young);
        let id = planned(world);
        copy(&state, &backup);
        world.shift_clock(2 * 3_600);
        assert_eq!(world.tick_until_receipt("a1", &id).body.outcome.as_str(), "applied");
        world.tick("a1");
        for old in [&young, &backup] {
            std::fs::remove_dir_all(&state).unwrap();
            copy(old, &state);
            for _ in 0..3 {
                is_held(world, &world.hosts["a1"]);
            }
        }
        assert_eq!(world.hosts["a1"].lines("/var/lib/lab/runs"), 1);
        let status = Said::of(&mut world.agent(&world.hosts["a1"], &["status"])).ok().out;
        let words = status.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("Nothing starts here"), "{status}");
        let alarms = world.assent(&["site", "alarms"]).ok().out;
        assert!(alarms.contains("chain_fork") && alarms.contains("came from a backup"), "{alarms}");

        let (old, ci) = (world.hosts["a1"].clone(), ci_of(world, &world.hosts["a1"]));
        join_again(world, &old, "a2");
        world.hosts.remove("a1");
        world.assent(&["ci", "disable", &ci, "--reason", "test"]).ok();
        world.tick("a2");
        assert_eq!(world.hosts["a2"].lines("/var/lib/lab/runs"), 1, "what was approved for the old one is not for the new");
        world.publish("again", "1.0.0", "resources:\n  - file: {path: /etc/again, content: x}\n").ok();
        let new = NewChange { manifests: &["again@1.0.0"], targets: &["a2"], ..NewChange::default() };
        let next = world.request_and_approve(&new);
        assert_eq!(world.tick_until_receipt("a2", &next).body.outcome.as_str(), "applied");
    }
}

on_both! {
    /// The database is put back to before the receipt arrived; what hosts make of its other ledger is theirs to say.
    fn a_server_from_an_old_backup_gets_the_receipts_again_and_nothing_runs_twice(world) {
        let id = ready(world);
        world.settle();
        world.stop_server();
        let saved = world.save();
        world.offset += 2 * 3_600;
        world.start_server();
        assert_eq!(world.tick_until_receipt("a1", &id).body.outcome.as_str(), "applied");
        world.tick("a1");
        assert_eq!(world.hosts["a1"].spooled(), 0);
        world.stop_server();
        world.restore(&saved);
        world.start_server();
        assert_eq!(world.change_file(&id).receipts.len(), 0, "it is lost on the server");
        let said: Vec<_> = (0..3).map(|_| world.tick("a1")).collect();
        assert_eq!(world.change_file(&id).receipts.len(), 1, "and is there again");
        let host = &world.hosts["a1"];
        assert_eq!(host.lines("/var/lib/lab/runs"), 1, "{said:#?}");
        // The server has begun its day with entries of its own: it is another ledger, and the host says so.
        assert!(host.spooled() > 0 && said[2].all().contains("log.fork"), "{said:#?}");
    }
}

/// A backup has the server's keys and no other: none of them is a person's.
fn starts_nothing(opened: &Path) {
    let data = opened.join("data");
    let mut keys = Vec::new();
    for dir in [".", "keys", "tls", "site"] {
        for entry in std::fs::read_dir(data.join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file()
                && String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains("PRIVATE KEY")
            {
                keys.push(path);
            }
        }
    }
    keys.sort();
    let names = ["keys/log.key", "keys/online.key", "tls/agents.key", "tls/ca.key", "tls/people.key"];
    assert_eq!(keys, names.map(|name| data.join(name)));
    let policy = std::fs::read_to_string(data.join("site/policy.json")).unwrap();
    for key in &keys[..2] {
        let key = SigningKey::from_pem(&std::fs::read_to_string(key).unwrap(), None).unwrap();
        assert!(policy.contains("\"approver\"") && !policy.contains(&key.public().to_string()), "{policy}");
    }
}

/// Whoever has the repository's keys, or an approver's, cannot put a ledger or a repository key of his own in place. What
/// hosts saw last is passed off as listed, so that nothing else is wrong.
fn others_say_that_it_goes_on(world: &World, newest: &Snapshot) {
    let [online, approver] = [world.server_key("online"), world.own_key("approver")];
    let own = SigningKey::from_seed(&[66; 32]);
    let site = &world.hosts["a1"].site;
    let vkey = VerifierKey::new(format!("assent/{site}/own").parse().unwrap(), own.public());
    let mut policy = world.policy();
    policy.version += 50;
    policy.log.vkeys.insert(0, vkey.to_string());
    let (targets, policy) = world.targets_with(&policy, &online);
    let targets = Targets { version: targets.signed.version + 50, ..targets.signed };
    let edition = world.forge_with(&[], Some((&Signed::by(targets, &[&online]), &policy)));
    let edition = world.reseal(edition, |snapshot| {
        let content = newest.meta.iter().filter(|(name, _)| matches!(name.0, Role::Content(_)));
        snapshot.meta.extend(content.map(|(name, pin)| (name.clone(), *pin)));
    });
    let trusted = std::fs::read(world.hosts["a1"].state().join("tuf/root.json")).unwrap();
    let trusted = Signed::<Root>::parse(&Role::Root, &trusted).unwrap().signed;
    let (version, governance) = (trusted.version + 1, keys_of(&trusted, &trusted.roles.root));
    let next = |signers: &[&SigningKey]| {
        let until = world.now().plus(400 * 86_400);
        let root = writer::new_root(version, until, &governance, &KeySet::one(own.public())).unwrap();
        let mut forged = world.forge(&[]);
        forged.files.insert(Role::Root.file(version), Signed::by(root, signers).to_bytes());
        forged
    };
    for (what, forged) in [
        ("an edition by the repository's key", edition),
        ("a root by the repository's key, the old one and the new one", next(&[&online, &own])),
        ("a root by an approver", next(&[&approver])),
    ] {
        world.take_over(forged);
        let said = world.tick_unchecked("a1");
        assert!(said.all().contains("tuf.invalid"), "{what}: {said}");
    }
    world.proxy.through();
}

/// Exported and verified offline.
fn is_proven(world: &World, change: &str) -> String {
    let tar = world.path(&format!("evidence-{change}.tar"));
    world.assent(&["export", "--change", change, "--out", tar.to_str().unwrap()]).ok();
    world.assent(&["verify", tar.to_str().unwrap()]).ok().out
}

on_both! {
    /// 52: what happened since the backup is lost on the server, a root and a policy edition among it.
    fn a_server_from_an_old_backup_goes_on_when_governance_says_so_and_the_gap_stays_visible(world) {
        // Hosts begin only what the ledger proves: after the restore, what the new one does.
        world.assent(&["policy", "ledger", "--proof-before-start", "yes", "--yes"]).ok();
        let id = ready(world);
        world.publish("later", "1.0.0", "resources:\n  - file: {path: /etc/later, content: x}\n").ok();
        let new = NewChange { manifests: &["later@1.0.0"], window: "now+5h..+9h", ..NewChange::default() };
        let withdrawn = world.request_and_approve(&new);
        world.settle();
        world.assent(&["log", "verify"]).ok();
        let backup = world.back_up();
        world.shift_clock(2 * 3_600);
        assert_eq!(world.tick_until_receipt("a1", &id).body.outcome.as_str(), "applied");
        world.assent(&["change", "withdraw", &withdrawn]).ok();
        world.assent(&["renew"]).ok();
        world.publish("between", "1.0.0", "resources:\n  - file: {path: /etc/between, content: x}\n").ok();
        let new = NewChange { manifests: &["between@1.0.0"], ..NewChange::default() };
        let lost = world.request_and_approve(&new);
        world.tick_until_receipt("a1", &lost);
        world.tick("a1");
        world.assent(&["log", "verify"]).ok();
        assert_eq!(world.hosts["a1"].spooled(), 0);

        let newest = world.current_snapshot();

        // The backup comes back. Nobody believes such a server by itself, neither hosts nor people.
        world.stop_server();
        let opened = world.open_backup(&backup);
        starts_nothing(&opened);
        world.put_back(&opened);
        let said = world.nodes[0].restored(world.offset).ok().out;
        assert!(said.contains("assent site restore") && said.contains(&withdrawn), "{said}");
        let key = |said: &str, name: &str| {
            let line = said.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {said}"));
            line.split_whitespace().last().unwrap().to_owned()
        };
        let again = world.nodes[0].restored(world.offset).ok().out;
        for name in ["new repository key", "new ledger key"] {
            assert_eq!(key(&said, name), key(&again, name), "a second time the same keys wait");
        }
        world.start_server();
        let ticked = world.tick_unchecked("a1");
        assert!(ticked.all().contains("log.fork") || ticked.all().contains("tuf.rollback"), "{ticked}");
        others_say_that_it_goes_on(world, &newest);
        // What was approved in the backup and withdrawn afterwards, by the repository key of the backup.
        let of_the_backup = world.forge(&[target(&world.bundle(&withdrawn))]);
        world.assent(&["site", "show"]).refused("assent site restore");
        let log = world.assent(&["log", "verify"]);
        assert_ne!(log.code, 0, "{log}");

        let told = world.assent(&["site", "restore", "--yes"]).ok().out;
        for name in ["new repository key", "new ledger key"] {
            assert_eq!(key(&told, name), key(&said, name), "both sides show the same");
        }
        world.assent(&["site", "restore", "--yes"]).refused("has no new keys");
        world.memory.leaves.clear();

        // Hosts go on by themselves: what was lost is there again, in the new ledger.
        for _ in 0..3 {
            world.tick_unchecked("a1");
        }
        world.tick("a1");
        assert_eq!(world.hosts["a1"].spooled(), 0);
        assert_eq!(world.change_file(&id).receipts.len(), 1);
        let verified = world.assent(&["log", "verify"]).ok().out;
        assert!(verified.contains("after a restore it goes on from") && verified.contains("fewer than were seen here"), "{verified}");
        let verified = world.assent(&["log", "verify"]).ok().out;
        assert!(verified.contains("it has only grown"), "{verified}");
        let alarms = world.assent(&["site", "alarms"]).ok().out;
        assert!(alarms.contains("log_contradiction"), "the gap stays visible: {alarms}");
        let shown = is_proven(world, &id);
        assert!(shown.contains("saw an earlier ledger"), "{shown}");

        // What was withdrawn after the backup is approved in it: it is held, and its window passes.
        world.shift_clock(4 * 3_600);
        world.tick("a1");
        assert_eq!(world.why("a1", &withdrawn).1, "change.halted");
        assert_eq!(world.hosts["a1"].read("etc/later"), None);
        world.take_over(of_the_backup);
        let said = world.tick("a1");
        assert!(said.all().contains("tuf.invalid"), "the old repository key counts no more: {said}");
        assert_eq!((world.hosts["a1"].read("etc/later"), world.hosts["a1"].spooled()), (None, 0));
        world.proxy.through();

        // Everyday work, with numbers that were never given away before.
        world.publish("again", "1.0.0", "resources:\n  - file: {path: /etc/again, content: x}\n").ok();
        let next = world.request_and_approve(&NewChange { manifests: &["again@1.0.0"], ..NewChange::default() });
        let number = |id: &str| id.trim_start_matches("C-").parse::<u32>().unwrap();
        assert!(number(&next) > number(&lost), "{next} {lost}");
        assert_eq!(world.tick_until_receipt("a1", &next).body.outcome.as_str(), "applied");
        assert_eq!(world.hosts["a1"].lines("/var/lib/lab/runs"), 1);
        assert!(!is_proven(world, &next).contains("FLAW"));
        world.stop_server();
        world.start_server();
        world.tick("a1");
        world.check();
    }
}
