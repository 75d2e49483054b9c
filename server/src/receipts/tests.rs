use super::*;
use crate::cmdb;
use crate::kernel::error::Error;
use crate::ledger::{self, Document};
use crate::testfleet::{Host, NOW, Node, World, code, step};
use shared::approval::{Approval, Decision, Saw};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::health::{HealthResult, HealthState};
use shared::ledger::{LeafKind, Proven};
use shared::plan::{Action, Plan, Reversibility, UndoContract, Verb};
use shared::receipt::{HostOutcome, LogSeen, Receipt, StepStatus};
use shared::risk::ActionClass;
use shared::statement::Statement;
use shared::strict::Map;
use shared::summary::Summary;
use shared::time::Interval;
use shared::wire::{CiFile, Recorded};
use std::collections::BTreeSet;

/// Checks the answer as the host does, and gives the index.
fn verify(node: &Node, envelope: &Envelope, recorded: &Recorded) -> u64 {
    let digest = envelope.digest();
    let Recorded { inclusion, checkpoint, .. } = recorded;
    Proven::check(inclusion, checkpoint, &node.log.vkey(), &digest).unwrap().index()
}

async fn alarms(world: &World) -> Vec<String> {
    let all = world.node.db.read("alarms", list_alarms).await.unwrap();
    all.into_iter().map(|alarm| alarm.kind).collect()
}

async fn file(world: &World, name: &'static str) -> CiFile {
    world.node.db.read("file", move |tx| cmdb::get_file(tx, name)).await.unwrap()
}

async fn receipts(world: &World) -> Vec<ReceiptLine> {
    let all = Interval { from: NOW.plus(-1_000_000), until: NOW.plus(1_000_000) };
    world.node.db.read("receipts", move |tx| list_by_time(tx, all)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_counts_once_and_every_answer_proves_it() {
    for world in World::each().await {
        let (node, mut host) = (&world.node, Host::new(1));
        world.enrol(&mut host).await;
        let receipt = host.receipt(|_| {});
        // The host goes away before the answer: it is recorded all the same.
        let lost = node.send(&receipt);
        assert!(tokio::time::timeout(std::time::Duration::ZERO, lost).await.is_err());
        let mut indexes = BTreeSet::new();
        for size in [None, Some(1), Some(3)] {
            let recorded = node.send_with(&receipt, size).await.unwrap();
            indexes.insert(verify(node, &receipt, &recorded));
            assert_eq!(recorded.consistency.is_some(), size.is_some(), "{}", world.engine);
        }
        assert_eq!(indexes, BTreeSet::from([3]), "{}", world.engine);
        let ci = file(&world, "host1").await;
        let kinds: Vec<_> = ci.history.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, ["applied", "enrolled"]);
        assert_eq!((ci.history[0].statement, ci.history[0].ledger_index), (Some(receipt.digest()), Some(3)));
        assert_eq!(receipts(&world).await.len(), 1);
        world.check().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_health_checks_say_is_kept_and_each_change_of_it_is_in_the_history() {
    for world in World::each().await {
        let (node, mut host) = (&world.node, Host::new(1));
        world.enrol(&mut host).await;
        for (minute, state, outcome) in [
            (1, HealthState::Ok, HostOutcome::Applied),
            (2, HealthState::Warning, HostOutcome::Applied),
            (3, HealthState::Warning, HostOutcome::Unchanged),
            // What a run that was taken back said is no more.
            (4, HealthState::Critical, HostOutcome::RolledBack),
        ] {
            let said = format!("DISK|/={minute}MB;2;3");
            let read = shared::plugin::read(&said);
            let check = HealthResult {
                name: "disk".into(),
                ok: true,
                state: Some(state),
                output: format!("{} {}", state.as_str(), read.text),
                long: String::new(),
                metrics: read.metrics,
                unread: String::new(),
                ms: 1,
            };
            let receipt = host.receipt(|body| {
                (body.health, body.outcome, body.finished) = (vec![check], outcome, NOW.plus(60 * minute));
            });
            node.send(&receipt).await.unwrap();
        }
        let ci = file(&world, "host1").await;
        let [disk] = ci.health.as_slice() else { panic!("{:?}", ci.health) };
        assert_eq!((disk.state, disk.since, disk.at), (HealthState::Warning, NOW.plus(120), NOW.plus(180)));
        assert_eq!(
            (disk.output.as_str(), disk.metrics[0].to_string().as_str()),
            ("warning DISK", "/=3MB;2;3")
        );
        let told: Vec<_> = ci.history.iter().filter(|event| event.kind == "health").collect();
        let [told] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(told.summary, "disk: ok → warning: warning DISK | /=2MB;2;3");
        assert!(told.ledger_index.is_some() && told.change_id.is_some());
        let read = |tx: &mut _| crate::cmdb::get_course(tx, "host1", "disk");
        let course = node.db.read("test.course", read).await.unwrap();
        let points: Vec<_> = course.iter().map(|p| (p.at, p.state, p.values["/"].as_str())).collect();
        assert_eq!(
            points,
            [
                (NOW.plus(60), HealthState::Ok, "1MB"),
                (NOW.plus(120), HealthState::Warning, "2MB"),
                (NOW.plus(180), HealthState::Warning, "3MB")
            ]
        );
        world.check().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_named_and_filled_from_there() {
    for world in World::each().await {
        let (node, mut host) = (&world.node, Host::new(1));
        world.enrol(&mut host).await;
        let all: Vec<_> = (0..4).map(|_| host.receipt(|_| {})).collect();
        for early in [&all[1], &all[3]] {
            let Err(Error::Refusal(refusal)) = node.send(early).await else {
                panic!("{} is early", world.engine)
            };
            assert_eq!((refusal.code, refusal.with[0].1.as_str()), ("chain.gap", "2"));
        }
        for (index, receipt) in all.iter().enumerate() {
            let recorded = node.send(receipt).await.unwrap();
            assert_eq!(verify(node, receipt, &recorded), index as u64 + 3, "{}", world.engine);
        }
        assert_eq!(alarms(&world).await, [""; 0], "a gap that is filled is no alarm");

        // One that stays is: after a while, and once, however often the host says what comes after it, and to whom.
        let (missing, later) = (host.receipt(|_| {}), [host.receipt(|_| {}), host.receipt(|_| {})]);
        let other = world.second_node().await;
        for (minute, asked, expected) in [(0, node, 0), (9, node, 0), (11, &other, 1), (12, node, 1)] {
            world.clock.set(NOW.plus(minute * 60));
            assert_eq!(code(asked.send(&later[0]).await), "chain.gap");
            assert_eq!(code(asked.send(&later[1]).await), "chain.gap");
            assert_eq!(alarms(&world).await.len(), expected, "{}: minute {minute}", world.engine);
        }
        assert_eq!(alarms(&world).await, ["chain_gap"], "{}", world.engine);
        node.send(&missing).await.unwrap();
        node.send(&later[0]).await.unwrap();
        assert_eq!(alarms(&world).await, ["chain_gap"], "{}: it stays on record", world.engine);
        world.check().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_host_shows_both_statements_are_kept_and_it_gets_no_new_work() {
    for world in World::each().await {
        let (node, mut host) = (&world.node, Host::new(1));
        world.enrol(&mut host).await;
        let mut copy = host.copied();
        let (ours, theirs) = (host.receipt(|_| {}), copy.receipt(|body| body.note = "the other one".into()));
        node.send(&ours).await.unwrap();
        for _ in 0..2 {
            assert_eq!(code(node.send(&theirs).await), "chain.fork", "{}", world.engine);
        }
        assert_eq!(alarms(&world).await, ["chain_fork"], "once, however often it is sent");
        let next_of_copy = copy.receipt(|_| {});
        assert_eq!(code(node.send(&next_of_copy).await), "chain.fork", "its predecessor is another");
        let next = host.receipt(|_| {});
        node.send(&next).await.unwrap();
        let held = node.db.read("host", |tx| crate::fleet::get(tx, "host1")).await.unwrap().held.unwrap();
        assert!(held.contains("place 2"), "{held}");
        assert_eq!(
            file(&world, "host1").await.history.iter().filter(|event| event.kind == "held").count(),
            1
        );
        let body = blob(&world, &theirs.to_bytes());
        let kept = world.count(format!("SELECT count(*) AS n FROM alarm WHERE body = {body}")).await;
        assert_eq!(kept, 1, "the statement that was not recorded is evidence");
        world.check().await;
    }
}

/// 47: however the statements of two hosts with one key differ, the second one is not recorded, is an alarm once, and the
/// host is held; the same statement again is no second host.
#[tokio::test(flavor = "multi_thread")]
async fn each_way_in_which_two_hosts_with_one_key_differ_is_noticed() {
    type Bend = fn(&mut Receipt);
    let ways: [(&str, Bend, bool); 5] = [
        ("the same", |_| (), false),
        ("another boot", |body| body.header.boot_id = "of the copy".into(), true),
        ("another time", |body| body.header.at = body.header.at.plus(1), true),
        ("another end", |body| body.outcome = HostOutcome::RolledBack, true),
        ("another program", |body| body.header.agent_version = semver::Version::new(9, 9, 9), true),
    ];
    for world in World::each().await {
        let node = &world.node;
        for (n, (what, bend, copied)) in (1..).zip(ways) {
            let mut host = Host::new(n);
            world.enrol(&mut host).await;
            let mut copy = host.copied();
            let before = alarms(&world).await.len();
            node.send(&host.receipt(|_| {})).await.unwrap();
            let theirs = copy.receipt(bend);
            let sent = node.send(&theirs).await;
            let name = host.name.clone();
            let held = node.db.read("host", move |tx| crate::fleet::get(tx, &name)).await.unwrap().held;
            assert_eq!(held.is_some(), copied, "{}: {what}: {held:?}", world.engine);
            if !copied {
                sent.unwrap();
                continue;
            }
            assert_eq!(code(sent), "chain.fork", "{}: {what}", world.engine);
            assert_eq!(code(node.send(&theirs).await), "chain.fork", "{}: {what}", world.engine);
            assert_eq!(alarms(&world).await.len(), before + 1, "{}: {what}", world.engine);
            node.send(&host.receipt(|_| {})).await.unwrap();
        }
        assert!(alarms(&world).await.iter().all(|kind| kind == "chain_fork"));
        world.check().await;
    }
}

fn blob(world: &World, bytes: &[u8]) -> String {
    let hex = shared::digest::hex(bytes);
    if world.engine == "sqlite" { format!("X'{hex}'") } else { format!("'\\x{hex}'") }
}

#[test]
fn only_what_the_connected_host_signed_for_this_site_is_read() {
    let mut host = Host::new(1);
    let (site, agent) = (Host::site(), host.agent());
    let open =
        |envelope: &Envelope, connected| Incoming::open(envelope, &site, connected).map(|s| s.digest());
    host.joined();
    host.prev = Some(Digest::of(b"enrolment"));
    let good = host.receipt(|_| {});
    assert_eq!(open(&good, agent).unwrap(), good.digest());
    assert_eq!(code(open(&good, Host::new(2).agent())), "statement.other_host");

    let mut edited = good.clone();
    edited.payload =
        String::from_utf8(edited.payload).unwrap().replace("\"wave\":0", "\"wave\":1").into_bytes();
    assert_ne!(edited.digest(), good.digest());
    let resigned = |edit: fn(&mut shared::receipt::Receipt), signer: u8| {
        let mut body = Statement::<shared::receipt::Receipt>::open(good.clone()).unwrap().body;
        edit(&mut body);
        Statement::sign(body, &Host::new(signer).key).envelope
    };
    let renewal = host.renewal(NOW);
    for (what, bad) in [
        ("an edited body", edited),
        ("another key", resigned(|_| {}, 2)),
        ("another key under the same id", resigned(|body| body.header.key = Host::new(2).key.public(), 2)),
        ("another site", resigned(|body| body.header.site = "ffffffffffffffff".parse().unwrap(), 1)),
        ("no predecessor", resigned(|body| body.header.prev = None, 1)),
        ("place 0", resigned(|body| body.header.seq = 0, 1)),
        ("another kind of statement", renewal),
    ] {
        assert_eq!(code(open(&bad, agent)), "statement.invalid", "{what}");
    }

    // What is said to gates is the very receipt's, and its host's.
    let receipt = Statement::<shared::receipt::Receipt>::open(good.clone()).unwrap();
    let summary = |edit: fn(&mut Summary), signer: u8| {
        let mut body = Summary::of(&receipt).unwrap();
        edit(&mut body);
        Some(Statement::sign(body, &Host::new(signer).key).envelope)
    };
    let with = |statement: &Envelope, summary| {
        Incoming::open(statement, &site, agent).and_then(|incoming| incoming.with_summary(summary))
    };
    assert!(with(&good, summary(|_| {}, 1)).is_ok());
    for (what, bad) in [
        ("another end", summary(|body| body.outcome = shared::receipt::HostOutcome::Unchanged, 1)),
        ("another change", summary(|body| body.change = Digest::of(b"other"), 1)),
        ("another receipt", summary(|body| body.receipt = Digest::of(b"other"), 1)),
        ("an earlier end", summary(|body| body.finished = body.finished.plus(-1), 1)),
        ("another key", summary(|_| {}, 2)),
        ("the receipt itself", Some(good.clone())),
    ] {
        assert_eq!(code(with(&good, bad)), "statement.invalid", "{what}");
    }
    let refusal = host.refusal(|_| {});
    assert_eq!(code(with(&refusal, summary(|_| {}, 1))), "statement.invalid");
}

/// Two server processes on one database, every statement sent to both, many hosts at once.
#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_and_many_hosts_make_one_chain_without_duplicates() {
    const HOSTS: u8 = 8;
    const EACH: usize = 12;
    for world in World::each().await {
        let two = world.second_node().await;
        let mut tasks = Vec::new();
        for n in 1..=HOSTS {
            let mut host = Host::new(n);
            world.enrol(&mut host).await;
            let (one, two) = (world.node.clone(), two.clone());
            tasks.push(tokio::spawn(async move {
                for k in 0..EACH {
                    let envelope = match k % 3 {
                        0 => host.refusal(|_| {}),
                        _ => host.receipt(|body| body.results[0].after = Digest::of(&[k as u8])),
                    };
                    let (a, b) = tokio::join!(one.send(&envelope), two.send(&envelope));
                    let (a, b) = (verify(&one, &envelope, &a.unwrap()), verify(&two, &envelope, &b.unwrap()));
                    assert_eq!(a, b, "both nodes name one leaf");
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let size = world.node.db.read("head", ledger::head).await.unwrap().size;
        let (hosts, each) = (u64::from(HOSTS), EACH as u64);
        assert_eq!(size, 1 + 2 * hosts + hosts * each, "{}", world.engine);
        assert_eq!(receipts(&world).await.len() as u64, hosts * each * 2 / 3);
        for n in 1..=HOSTS {
            let name = format!("host{n}");
            let ci = world.node.db.read("file", move |tx| cmdb::get_file(tx, &name)).await.unwrap();
            assert_eq!(ci.history.len(), 1 + EACH, "{}", world.engine);
            assert_eq!(ci.states.len(), 1);
            assert_eq!(ci.states[0].state, Some(Digest::of(&[EACH as u8 - 1])), "the last receipt counts");
        }
        world.check().await;
        tokio::task::spawn_blocking(move || drop(two)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recorded_state_follows_the_steps_and_names_change_and_approvers() {
    for world in World::each().await {
        let (node, mut host) = (&world.node, Host::new(1));
        world.enrol(&mut host).await;
        let (approvals, plan) = papers(&host);
        let stored = (approvals.clone(), plan.clone());
        node.db
            .write("papers", move |tx| {
                for approval in &stored.0 {
                    let change = Some("C-1".parse().unwrap());
                    let bytes = approval.to_bytes();
                    let document =
                        Document::of_site(LeafKind::Approval, approval.digest, change, bytes).unwrap();
                    ledger::record_one(tx, &document, NOW)?;
                }
                Ok::<_, Error>(ledger::keep_statement(
                    tx,
                    "plan",
                    &stored.1.digest,
                    &stored.1.to_bytes(),
                    NOW,
                )?)
            })
            .await
            .unwrap();
        let first = host.receipt(|body| {
            body.approvals = approvals.iter().map(|approval| approval.digest).collect();
            body.plan = plan.digest;
            body.results = vec![
                step("file:/a", "a1", StepStatus::Done),
                step("file:/b", "b1", StepStatus::Unneeded),
                step("file:/c", "c1", StepStatus::Done),
                step("file:/d", "d1", StepStatus::NotStarted),
            ];
        });
        node.send(&first).await.unwrap();
        let second = host.receipt(|body| {
            body.change_id = "C-2".parse().unwrap();
            body.outcome = HostOutcome::RolledBack;
            body.note = "health check web: status 500".into();
            body.results = vec![
                step("file:/a", "a2", StepStatus::Undone),
                step("file:/c", "c2", StepStatus::UndoFailed),
                step("file:/d", "d2", StepStatus::NotStarted),
            ];
        });
        node.send(&second).await.unwrap();

        let ci = file(&world, "host1").await;
        let states: Vec<_> = ci
            .states
            .iter()
            .map(|s| (s.resource.as_str(), s.state, s.outcome, s.change_id.as_str(), s.summary.as_str()))
            .collect();
        let is = |text: &str| Some(Digest::of(text.as_bytes()));
        assert_eq!(
            states,
            [
                ("file:/a", is("a1"), StepStatus::Done, "C-1", "write the first file"),
                ("file:/b", is("b1"), StepStatus::Unneeded, "C-1", "update file:/b"),
                ("file:/c", None, StepStatus::UndoFailed, "C-2", "update file:/c"),
            ],
            "{}",
            world.engine
        );
        let persons: Vec<_> = ci.states[0].approved_by.iter().map(|person| person.as_str()).collect();
        assert_eq!((persons, ci.states[0].receipt), (vec!["lead", "peer"], first.digest()));
        assert!(ci.states[2].approved_by.is_empty());
        let told: Vec<_> = ci.history.iter().map(|e| (e.kind.as_str(), e.summary.as_str())).collect();
        let expected = [
            ("rolled_back", "health check web: status 500"),
            ("applied", "file:/a, file:/c"),
            ("enrolled", "host1"),
        ];
        assert_eq!(told, expected);
    }
}

fn papers(host: &Host) -> (Vec<Statement<Approval>>, Statement<Plan>) {
    let approval = |person: &str| Approval {
        site: Host::site(),
        change_id: "C-1".parse().unwrap(),
        revision: 1,
        change: Digest::of(b"change"),
        decision: Decision::Approve,
        person: person.parse().unwrap(),
        at: NOW,
        expires: NOW.plus(3_600),
        saw: Saw { plan_set: Digest::of(b"plan set"), renderer: "test".into() },
        agents: None,
        nonce: "00".into(),
        comment: String::new(),
        breakglass: None,
    };
    let approvals =
        ["peer", "lead"].map(|person| Statement::sign(approval(person), &Host::new(50).key)).into();
    let plan = Plan {
        site: Host::site(),
        agent_id: host.agent(),
        key: host.key.public(),
        hostname: host.name.clone(),
        host_class: host.class.parse().unwrap(),
        change_id: "C-1".parse().unwrap(),
        revision: 1,
        change: Digest::of(b"change"),
        at: NOW,
        upholds: Vec::new(),
        notes: Vec::new(),
        actions: vec![Action {
            resource: "file:/a".parse().unwrap(),
            verb: Verb::Update,
            class: ActionClass::File,
            before: None,
            after: Digest::of(b"a1"),
            summary: "write the first file".into(),
            diff: None,
            undo: Reversibility { undo: UndoContract::Yes, why: String::new() },
            content: None,
            package: None,
            programs: Map::default(),
            satisfies: Vec::new(),
        }],
        health: Vec::new(),
        agent_version: semver::Version::new(0, 1, 0),
    };
    (approvals, Statement::sign(plan, &host.key))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_leaves_for_another_site_says_so_in_its_chain() {
    for world in World::each().await {
        let (node, mut host) = (&world.node, Host::new(1));
        world.enrol(&mut host).await;
        let left = host.leave();
        for _ in 0..2 {
            node.send(&left).await.unwrap();
        }
        let ci = file(&world, "host1").await;
        let event = &ci.history[0];
        assert_eq!((event.kind.as_str(), event.statement), ("trust_reset", Some(left.digest())));
        assert!(event.summary.starts_with("site ffeeddccbbaa0099, first root "), "{}", event.summary);
        node.send(&host.receipt(|_| {})).await.unwrap();
        world.check().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_refusal_stands_until_the_host_has_run_the_change() {
    for world in World::each().await {
        let (node, mut host) = (&world.node, Host::new(1));
        world.enrol(&mut host).await;
        let agent = host.agent();
        let standing = async || {
            let change = "C-1".parse().unwrap();
            node.db.read("standing", move |tx| find_standing(tx, agent, &change)).await.unwrap()
        };
        assert_eq!(standing().await, None);
        node.send(&host.refusal(|_| {})).await.unwrap();
        let newest = host.refusal(|body| body.reason.message = "still\u{0}\noutside".into());
        node.send(&newest).await.unwrap();
        node.send(&host.refusal(|body| body.change_id = None)).await.unwrap();
        let found = standing().await.unwrap();
        assert_eq!((found.statement, found.message.as_str()), (newest.digest(), "still  outside"));
        assert_eq!((found.code.as_str(), found.retry_at), ("time.window", Some(NOW.plus(600))));
        node.send(&host.receipt(|_| {})).await.unwrap();
        assert_eq!(standing().await, None, "{}", world.engine);
        world.check().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_edited_in_the_database_is_set_right_and_said() {
    let other = "(SELECT hash FROM ledger_leaf WHERE idx = 0)";
    for edit in [
        "UPDATE host_head SET seq = 1".to_owned(),
        "UPDATE host_head SET seq = 9".to_owned(),
        format!("UPDATE host_head SET statement = {other}"),
    ] {
        for world in World::each().await {
            let (node, mut host) = (&world.node, Host::new(1));
            world.enrol(&mut host).await;
            for _ in 0..2 {
                node.send(&host.receipt(|_| {})).await.unwrap();
            }
            world.sql(edit.clone()).await;
            for _ in 0..2 {
                node.send(&host.receipt(|_| {})).await.unwrap();
            }
            assert_eq!(receipts(&world).await.len(), 4, "{}: {edit}", world.engine);
            assert_eq!(alarms(&world).await, ["chain_edited"], "{}: {edit}", world.engine);
            world.check().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_removed_from_the_database_is_asked_for_and_put_back() {
    for world in World::each().await {
        let (node, mut host) = (&world.node, Host::new(1));
        world.enrol(&mut host).await;
        let sent: Vec<_> = (0..2).map(|_| host.receipt(|_| {})).collect();
        for receipt in &sent {
            node.send(receipt).await.unwrap();
        }
        world.sql("DELETE FROM host_chain WHERE seq = 3").await;
        let last = "(SELECT statement FROM host_chain WHERE seq = 2)";
        world.sql(format!("UPDATE host_head SET seq = 2, statement = {last}")).await;
        let next = host.receipt(|_| {});
        let Err(Error::Refusal(refusal)) = node.send(&next).await else { panic!("{}", world.engine) };
        assert_eq!((refusal.code, refusal.with[0].1.as_str()), ("chain.gap", "3"));
        node.send(&sent[1]).await.unwrap();
        node.send(&next).await.unwrap();
        let links = world.count("SELECT count(*) AS n FROM host_chain").await;
        assert_eq!((links, receipts(&world).await.len()), (4, 3), "{}: nothing is there twice", world.engine);
        world.check().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_saw_otherwise_is_an_alarm_and_the_answer_stays_true() {
    for world in World::each().await {
        let (node, mut host) = (&world.node, Host::new(1));
        world.enrol(&mut host).await;
        let head = node.db.read("head", ledger::head).await.unwrap();
        host.log_seen = Some(LogSeen { origin: head.origin.to_string(), size: head.size, root: head.root });
        node.send(&host.receipt(|_| {})).await.unwrap();
        assert_eq!(alarms(&world).await, [""; 0]);
        host.log_seen =
            Some(LogSeen { origin: head.origin.to_string(), size: head.size, root: Digest::of(b"fork") });
        let receipt = host.receipt(|_| {});
        for _ in 0..2 {
            let recorded = node.send_with(&receipt, Some(head.size)).await.unwrap();
            verify(node, &receipt, &recorded);
            let newest = shared::ledger::Checkpoint::open(&recorded.checkpoint, &node.log.vkey()).unwrap();
            recorded.consistency.unwrap().check(&head, &newest).unwrap();
        }
        assert_eq!(alarms(&world).await, ["log_contradiction"], "{}", world.engine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_a_host_may_go_on_once_and_the_loss_is_said() {
    for world in World::each().await {
        let (node, mut host) = (&world.node, Host::new(1));
        world.enrol(&mut host).await;
        node.send(&host.receipt(|_| {})).await.unwrap();
        // Two statements that only the lost part of the database had.
        let lost = [host.receipt(|_| {}), host.receipt(|_| {})];
        let (next, after) = (host.receipt(|_| {}), [host.receipt(|_| {}), host.receipt(|_| {})]);
        assert_eq!(code(node.send(&next).await), "chain.gap");
        node.db.write("restore", |tx| Ok::<_, Error>(crate::fleet::allow_gaps(tx)?)).await.unwrap();
        node.send(&next).await.unwrap();
        assert_eq!(alarms(&world).await, ["chain_loss"], "{}", world.engine);
        assert_eq!(code(node.send(&after[1]).await), "chain.gap", "once only");
        node.send(&after[0]).await.unwrap();
        assert_eq!(code(node.send(&lost[0]).await), "chain.fork", "it comes too late to be believed");
        world.check().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_statement_that_cannot_be_stored_does_not_stop_the_others() {
    for world in World::each().await {
        let (node, mut broken) = (&world.node, Host::new(1));
        world.enrol(&mut broken).await;
        let mut hosts: Vec<Host> = (2..20).map(Host::new).collect();
        for host in &mut hosts {
            world.enrol(host).await;
        }
        let agent = broken.agent();
        let damage = blob(&world, b"no digest");
        world.sql(format!("UPDATE host_head SET statement = {damage} WHERE agent = '{agent}'")).await;
        let mut tasks = vec![];
        for host in std::iter::once(&mut broken).chain(&mut hosts) {
            let (node, receipt) = (node.clone(), host.receipt(|_| {}));
            tasks.push(tokio::spawn(async move { node.send(&receipt).await }));
        }
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.unwrap());
        }
        assert!(matches!(results.remove(0), Err(Error::Fault(_))), "{}", world.engine);
        assert!(results.iter().all(Result::is_ok), "{}: {results:?}", world.engine);
        world.check().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_with_a_well_signed_statement_is_not_recorded() {
    for world in World::each().await {
        let mut host = Host::new(1);
        host.joined();
        host.prev = Some(Digest::of(b"an enrolment elsewhere"));
        assert_eq!(
            code(world.node.send(&host.receipt(|_| {})).await),
            "agent.not_enabled",
            "{}",
            world.engine
        );
        assert_eq!(world.node.db.read("head", ledger::head).await.unwrap().size, 1);
    }
}
