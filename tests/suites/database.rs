//! Somebody writes into the database by hand. Pages may lie then; hosts do not follow (research/trust.md §7, 36).

use shared::digest::Digest;
use shared::keys::SigningKey;
use shared::ledger::{KeyName, Leaf, LeafKind};
use shared::receipt::{Receipt, Refusal};
use shared::refusal::Code;
use shared::statement::Statement;
use shared::wire::{Record, Recorded};
use std::sync::Arc;
use tests::http::Message;
use tests::own_ledger::OwnLedger;
use tests::world::NewChange;
use tests::{Database, World};

const MOTD: &str = "resources:\n  - file: {path: /etc/motd, content: \"Welcome\\n\"}\n";

/// A submitted change that both hosts have planned.
fn planned(world: &mut World, targets: &[&str]) -> String {
    for host in ["a1", "a2"] {
        world.join(host, "production");
    }
    world.publish("base", "1.0.0", MOTD).ok();
    world.request(&NewChange { manifests: &["base@1.0.0"], targets, ..NewChange::default() })
}

/// Writes while the server is down, so that nothing it remembers hides the edit.
fn edit(world: &mut World, statements: &[String]) {
    world.stop_server();
    for sql in statements {
        world.sql(sql);
    }
    world.start_server();
}

fn untouched(world: &World, host: &str) {
    assert!(!world.hosts[host].path("/etc/motd").exists(), "{host} followed the database");
}

on_both! {
    fn a_change_set_to_approved_by_hand_runs_nowhere(world) {
        let id = planned(world, &[]);
        edit(world, &[format!("UPDATE change SET state = 'approved', unpublished = true WHERE id = '{id}'")]);
        world.tick_all();
        world.tick_all();
        untouched(world, "a1");
        untouched(world, "a2");
        assert!(world.hosts["a1"].receipt(&id).is_none());
    }
}

on_both! {
    fn a_host_mapped_to_another_ones_change_does_not_run_it(world) {
        let id = planned(world, &["a1"]);
        world.approve(&id).ok();
        let (a1, a2) = (world.hosts["a1"].agent(), world.hosts["a2"].agent());
        let key = world.hosts["a2"].key().public();
        edit(world, &[
            format!("UPDATE change_target SET agent = '{a2}' WHERE agent = '{a1}'"),
            format!("UPDATE change_plan SET agent = '{a2}' WHERE agent = '{a1}'"),
            format!("UPDATE host SET hostname = 'a1', labels = '{{\"name\":\"a1\"}}' WHERE agent = '{a2}'"),
            format!("UPDATE host SET hostname = 'a2' WHERE agent = '{a1}'"),
            format!("UPDATE host SET public_key = '{key}' WHERE agent = '{a1}'"),
        ]);
        world.tick_all();
        world.tick_all();
        untouched(world, "a2");
        // The command line takes no host whose key is not the one that its id is made of.
        let said = world.try_draft(&NewChange { manifests: &["base@1.0.0"], targets: &["a2"], ..NewChange::default() });
        assert!(said.code != 0, "{said}");
    }
}

on_both! {
    fn an_approver_written_into_the_database_approves_nothing(world) {
        let id = planned(world, &[]);
        let token = "stranger".repeat(9);
        let sha = Digest::of(token.as_bytes()).hex();
        let blob = match world.database {
            Database::Sqlite => format!("x'{sha}'"),
            Database::Postgresql => format!("'\\x{sha}'::bytea"),
        };
        edit(world, &[
            "INSERT INTO person (id, access, created) VALUES ('stranger', 'admin', 0)".to_owned(),
            format!("INSERT INTO person_token (sha256, person, created) VALUES ({blob}, 'stranger', 0)"),
        ]);
        let file = world.change_file(&id);
        let plans = tests::forge::plan_set(&file);
        let change = Statement::open(file.change).unwrap();
        let stranger = SigningKey::from_seed(&[66; 32]);
        let approval = world.sign_approval(&change, &plans, "stranger", &stranger, |_| {});
        let body = shared::wire::Approve { plan_set: plans, approval: approval.envelope.clone() };
        let request = Message::request("POST", &format!("/v1/changes/{id}/approvals"), &serde_json::to_vec(&body).unwrap());
        let reply = world.people().send(request.with("authorization", &format!("Bearer {token}")));
        assert!((400..500).contains(&reply.status()), "{}", reply.text());
        assert_eq!(world.state(&id).0, "in_review");
        let blob = |digest: Digest| match world.database {
            Database::Sqlite => format!("x'{digest}'"),
            Database::Postgresql => format!("'\\x{digest}'::bytea"),
        };
        let text = blob(Digest::of(b"")).replace(&Digest::of(b"").hex(), &shared::digest::hex(&approval.to_bytes()));
        edit(world, &[
            format!("INSERT INTO statement (digest, kind, body, received) VALUES ({}, 'approval', {text}, 0)", blob(approval.digest)),
            format!(
                "INSERT INTO change_approval (statement, change, person, decision, plan_set, at, stored) \
                 VALUES ({}, {}, 'stranger', 'approve', {}, 0, 0)",
                blob(approval.digest), blob(change.digest), blob(body.plan_set.digest())
            ),
            format!("UPDATE change SET state = 'approved', unpublished = true WHERE id = '{id}'"),
        ]);
        world.tick_all();
        world.tick_all();
        untouched(world, "a1");
        untouched(world, "a2");
    }
}

on_both! {
    /// 36 under a server that runs: what it remembers and what it reads differ, and hosts follow neither
    fn a_hand_in_the_database_of_a_running_server_moves_no_host(world) {
        let id = planned(world, &[]);
        // The true change of one host: everything that is edited below is about it as well.
        let other = world.request(&NewChange { manifests: &["base@1.0.0"], targets: &["a1"], ..NewChange::default() });
        let (a1, a2) = (world.hosts["a1"].agent(), world.hosts["a2"].agent());
        let edits = [
            format!("UPDATE change SET state = 'approved', unpublished = true WHERE id = '{id}'"),
            format!("UPDATE change SET state = 'running', unpublished = true WHERE id = '{other}'"),
            "UPDATE host SET labels = '{\"name\":\"a1\"}'".to_owned(),
            "INSERT INTO person (id, access, created) VALUES ('stranger', 'admin', 0)".to_owned(),
            format!("UPDATE host SET public_key = '{}' WHERE agent = '{a2}'", world.hosts["a1"].key().public()),
        ];
        for sql in &edits {
            world.sql(sql);
            world.tick_all();
            untouched(world, "a1");
            untouched(world, "a2");
        }
        assert!(world.hosts.values().all(|host| host.statements().receipts.is_empty()));
        // Another host's number in the rows of an approved change: it is not the host that was approved.
        world.sql(&format!("UPDATE change SET state = 'in_review', unpublished = true WHERE id = '{other}'"));
        world.approve(&other).ok();
        world.settle();
        world.sql(&format!(
            "UPDATE change_target SET agent = '{a2}' WHERE agent = '{a1}' \
             AND statement NOT IN (SELECT statement FROM change_target WHERE agent = '{a2}')"
        ));
        world.sql(&format!("UPDATE change SET unpublished = true WHERE id = '{other}'"));
        world.tick("a2");
        untouched(world, "a2");
        // Nothing but the approval was missing.
        world.tick_until_receipt("a1", &other);
        assert_eq!(world.hosts["a1"].read("/etc/motd").as_deref(), Some("Welcome\n"));
        untouched(world, "a2");
    }
}

/// How long a ledger that is kept for one host is before the host's statement, for a size that the host has seen, and whether
/// it proves that it has grown from there.
type Story = (&'static str, fn(u64) -> u64, bool);

const STORIES: [Story; 4] = [
    ("begun anew", |_| 0, false),
    ("cut", |seen| seen - 2, false),
    ("as long, and another", |seen| seen - 1, false),
    ("rewritten and gone on", |seen| seen, true),
];

on_both! {
    /// 46: a log of its own for one host, correctly signed, that does not continue what the host has seen
    fn a_host_does_not_accept_a_log_that_tells_it_another_story(world) {
        let id = planned(world, &[]);
        world.approve(&id).ok();
        world.tick("a2");
        let log = Arc::new(world.server_key("log"));
        let origin: KeyName = format!("assent/{}", world.hosts["a1"].site).parse().unwrap();
        let kept = world.hosts["a1"].state().join("log_seen.json");
        let seen = std::fs::read(&kept).unwrap();
        for story in STORIES {
            let (log, origin) = (log.clone(), origin.clone());
            world.hook(Arc::new(move |request: Message, ask: &dyn Fn(Message) -> Message| {
                if request.path() != "/agent/v1/statements" {
                    return Some(ask(request));
                }
                let record: Record = serde_json::from_slice(&request.body).unwrap();
                Some(Message::reply(200, &serde_json::to_vec(&told(&record, story, &origin, &log)).unwrap()))
            }));
            let said = world.tick("a1");
            assert!(said.all().contains("log.fork"), "{}: {said}", story.0);
            assert!(world.hosts["a1"].spooled() > 0, "{}: the statement waits for a true proof", story.0);
            assert_eq!(std::fs::read(&kept).unwrap(), seen, "{}", story.0);
        }
        world.proxy.through();
        world.settle_spool("a1");
        assert_eq!(world.hosts["a1"].spooled(), 0);
        let refusals = world.hosts["a1"].statements().refusals;
        assert!(refusals.values().any(|refusal| refusal.body.reason.code == Code::LogFork), "it is on record");
    }
}

/// What a server answers that tells this story to the host.
fn told(record: &Record, (_, before, grown): Story, origin: &KeyName, key: &SigningKey) -> Recorded {
    let bytes = record.statement.to_bytes();
    let kind = shared::statement::type_of(&record.statement).unwrap();
    let (kind, header, change) = if kind.contains("receipt") {
        let body = Statement::<Receipt>::parse(&bytes).unwrap().body;
        (LeafKind::Receipt, body.header, Some(body.change_id))
    } else {
        let body = Statement::<Refusal>::parse(&bytes).unwrap().body;
        (LeafKind::Refusal, body.header, body.change_id)
    };
    let digest = record.statement.digest();
    let leaf = Leaf::new(kind, digest, Some(header.agent_id), Some(header.seq), change).unwrap();
    let seen = record.log_size.expect("it says what it has seen");
    let own = OwnLedger::new(before(seen), [leaf]);
    Recorded {
        inclusion: own.inclusion(own.size() - 1),
        checkpoint: own.checkpoint(origin, key),
        consistency: grown.then(|| own.consistency(seen)),
    }
}
