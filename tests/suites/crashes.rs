//! Processes that die at the worst moment, replies that get lost, statements that come twice or too early.

use shared::receipt::{Receipt, Refusal, StepStatus};
use shared::statement::Statement;
use shared::wire::Record;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tests::http::Message;
use tests::programs::{has_tool, own};
use tests::world::{CLOCK, NewChange};
use tests::{Database, Said, World, check};

/// Steps of every kind; the command leaves one line each time it runs.
const STEPS: &str = "resources:
  - directory: {path: /etc/app}
  - file: {path: /etc/app/app.conf, content: \"x=1\\n\"}
  - file: {path: /etc/motd, content: \"after\\n\", requires: [\"file:/etc/app/app.conf\"]}
  - command: {name: count, run: [/bin/sh, -c, \"echo run >> var/lib/lab/runs\"], needed: always, requires: [\"file:/etc/motd\"]}
  - file: {path: /etc/last, content: \"last\\n\", requires: [\"command:count\"]}
health:
  - {name: all there, command: {run: [/usr/bin/test, -e, etc/last]}}
";

fn approved(world: &mut World, body: &str) -> String {
    world.publish("steps", "1.0.0", body).ok();
    world.request_and_approve(&NewChange { manifests: &["steps@1.0.0"], ..NewChange::default() })
}

/// Runs the agent on a root of its own under strace, which kills it at the N-th call of one kind.
fn killed_at(world: &World, root: &std::path::Path, call: &str, n: usize) -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:signal=KILL:when={n}")]);
    strace.arg(own("assent-agent")).args(["once", "--root"]).arg(root).env(CLOCK, world.offset.to_string());
    let status = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    use std::os::unix::process::ExitStatusExt as _;
    status.signal() == Some(9) || status.code() == Some(137)
}

/// Kills the agent at every write of one run, each time on a copy of the same host, and lets it recover.
///
/// The server is away, so each copy is a possible course of the same history, and no database plays a part; what
/// recovered hosts hand in is the next test.
#[test]
fn an_agent_killed_at_any_write_repeats_nothing_and_tells_the_truth() {
    if !has_tool(module_path!(), "strace") {
        return;
    }
    let Some(mut world) = World::new(module_path!(), Database::Sqlite) else { return };
    world.join("a1", "production");
    let before = "before\n";
    std::fs::write(world.hosts["a1"].path("/etc/motd"), before).unwrap();
    check::accept(&mut world, "a1");
    let change = world.pull_without_running(STEPS);
    let original = world.hosts["a1"].root.clone();
    let mut points = 0;
    for call in ["fsync", "fdatasync", "rename,renameat,renameat2", "unlink,unlinkat", "mkdir,mkdirat"] {
        for n in 1.. {
            let copy = world.path(&format!("copy-{points}"));
            Said::of(Command::new("cp").arg("-a").arg(&original).arg(&copy)).ok();
            let killed = killed_at(&world, &copy, call, n);
            recovered(&world, "a1", &copy, &change, &format!("killed at {call} number {n}"), before);
            std::fs::remove_dir_all(&copy).unwrap();
            if !killed {
                break;
            }
            points += 1;
        }
    }
    assert!(points >= 20, "only {points} places to be killed at were found");
}

/// After a crash the agent comes back, ends the run and signs what is true.
fn recovered(world: &World, name: &str, copy: &std::path::Path, change: &str, what: &str, before: &str) {
    let mut host = world.hosts[name].clone();
    host.root = copy.to_owned();
    let mut said = None;
    for _ in 0..3 {
        said = Some(Said::of(&mut world.agent(&host, &["once"])));
    }
    let said = said.unwrap();
    assert!(!said.err.contains("panicked"), "{what}: {said}");
    let receipt = host.receipt(change).unwrap_or_else(|| panic!("{what}: no receipt: {said}"));
    let all = host.statements().receipts.len();
    assert_eq!(all, 1, "{what}: {all} receipts");
    let lines = host.lines("/var/lib/lab/runs");
    let status = |id: &str| receipt.body.results.iter().find(|r| r.resource.as_str() == id).map(|r| r.status);
    let (motd, conf) = (host.read("/etc/motd"), host.path("/etc/app/app.conf").exists());
    match receipt.body.outcome.as_str() {
        "applied" => {
            assert_eq!(lines, 1, "{what}: the command ran {lines} times");
            assert_eq!((motd.as_deref(), conf), (Some("after\n"), true), "{what}");
        }
        "rolled_back" => {
            assert_eq!((motd.as_deref(), conf), (Some(before), false), "{what}");
            assert_eq!(lines, 0, "{what}: a command without undo ran, so not everything is undone");
        }
        "failed" => {
            assert!(lines <= 1, "{what}: the command ran {lines} times");
            let command = status("command:count");
            assert!(
                lines == 0
                    || matches!(
                        command,
                        Some(StepStatus::Unknown | StepStatus::Done | StepStatus::UndoFailed)
                    ),
                "{what}: the command ran, the receipt says {command:?}"
            );
        }
        other => panic!("{what}: {other}"),
    }
    let said = Said::of(&mut world.agent(&host, &["once"]));
    assert_eq!(host.lines("/var/lib/lab/runs"), lines, "{what}: it ran again later: {said}");
}

on_both! {
    fn hosts_that_were_killed_at_different_writes_hand_in_one_true_receipt_each(world) {
        if !has_tool(module_path!(), "strace") {
            return;
        }
        let (hosts, before) = (["k1", "k2", "k3", "k4", "k5", "k6"], "before\n");
        for host in hosts {
            world.join(host, "production");
            std::fs::write(world.hosts[host].path("/etc/motd"), before).unwrap();
            check::accept(world, host);
        }
        let change = world.pull_without_running(STEPS);
        for (n, host) in (1..).zip(hosts) {
            let root = world.hosts[host].root.clone();
            assert!(killed_at(world, &root, "fsync", 4 * n), "{host} ended before write {}", 4 * n);
            recovered(world, host, &root, &change, &format!("{host} killed at write {}", 4 * n), before);
        }
        world.start_server();
        world.proxy.through();
        world.tick_all();
        world.tick_all();
        let receipts = world.change_file(&change).receipts;
        let known: Vec<_> = receipts.iter().map(shared::envelope::Envelope::digest).collect();
        assert_eq!(known.len(), hosts.len());
        for host in world.hosts.values() {
            assert_eq!(host.spooled(), 0, "{}", host.name);
            assert!(known.contains(&host.receipt(&change).unwrap().digest), "{}", host.name);
        }
    }
}

on_both! {
    /// 44, 45: the reply is lost after the server has made the statement durable
    fn a_receipt_whose_answer_is_lost_is_on_record_once(world) {
        world.join("a1", "production");
        let id = approved(world, STEPS);
        let lost = Arc::new(AtomicUsize::new(0));
        let count = lost.clone();
        world.hook(Arc::new(move |request: Message, ask: &dyn Fn(Message) -> Message| {
            let statement = request.path() == "/agent/v1/statements";
            let reply = ask(request);
            if statement && count.fetch_add(1, Ordering::SeqCst) < 3 {
                return None;
            }
            Some(reply)
        }));
        for _ in 0..4 {
            world.tick("a1");
        }
        assert!(lost.load(Ordering::SeqCst) > 3, "the receipt was sent again until it was proven");
        world.proxy.through();
        world.tick("a1");
        assert_eq!(world.hosts["a1"].spooled(), 0);
        assert_eq!(world.hosts["a1"].receipt(&id).unwrap().body.outcome.as_str(), "applied");
        assert_eq!(world.change_file(&id).receipts.len(), 1);
        assert_eq!(world.hosts["a1"].lines("/var/lib/lab/runs"), 1);
    }
}

on_both! {
    /// 44: a host that has lost a statement of its own chain
    fn a_gap_in_a_hosts_chain_is_an_alarm_and_what_follows_it_counts_when_it_is_filled(world) {
        world.join("a1", "production");
        let first = approved(world, STEPS);
        world.hook(Arc::new(|request: Message, ask: &dyn Fn(Message) -> Message| {
            (request.path() != "/agent/v1/statements").then(|| ask(request))
        }));
        world.publish("more", "1.0.0", "resources:\n  - file: {path: /etc/more, content: \"more\\n\"}\n").ok();
        let second = world.request_and_approve(&NewChange { manifests: &["more@1.0.0"], ..NewChange::default() });
        let spool = world.hosts["a1"].path("/var/lib/assent/spool");
        let waiting: Vec<_> = std::fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().path()).collect();
        let ([gone], aside) = (&*waiting, world.hosts["a1"].path("/aside.json")) else { panic!("{waiting:?}") };
        let next = 1 + gone.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
        std::fs::rename(gone, &aside).unwrap();
        world.proxy.through();
        for (minutes, alarms) in [(0, 0), (9, 0), (3, 1), (5, 1)] {
            world.shift_clock(minutes * 60);
            let said = world.tick_unchecked("a1");
            assert!(said.all().contains(&format!("the server misses statements before {next}")), "{said}");
            let told = world.assent(&["site", "alarms"]).ok().out;
            assert_eq!(told.matches("chain_gap  ").count(), alarms, "{told}");
            assert!(alarms == 0 || told.contains("a1"), "{told}");
            assert!(world.change_file(&second).receipts.is_empty(), "nothing counts that comes too early");
        }
        std::fs::rename(&aside, gone).unwrap();
        world.tick("a1");
        world.tick("a1");
        assert_eq!(world.hosts["a1"].spooled(), 0);
        for id in [&first, &second] {
            assert_eq!(world.change_file(id).receipts.len(), 1);
        }
        assert!(world.assent(&["site", "alarms"]).ok().out.contains("chain_gap"), "it stays on record");
        world.check();
    }
}

on_both! {
    fn a_server_that_is_killed_again_and_again_loses_and_doubles_nothing(world) {
        for host in ["a1", "a2", "a3"] {
            world.join(host, "production");
        }
        let id = approved(world, STEPS);
        for round in 0..6u64 {
            let children: Vec<_> = world.hosts.values().map(|host| {
                let mut agent = world.agent(host, &["once"]);
                agent.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
            }).collect();
            std::thread::sleep(Duration::from_millis(25 + 45 * round));
            world.kill_server();
            for mut child in children {
                child.wait().unwrap();
            }
            world.start_server();
            for host in ["a1", "a2", "a3"] {
                check::host(world, host);
            }
            world.check();
        }
        world.tick_all();
        world.tick_all();
        assert_eq!(world.change_file(&id).receipts.len(), 3);
        for host in world.hosts.values() {
            assert_eq!((host.spooled(), host.lines("/var/lib/lab/runs")), (0, 1), "{}", host.name);
        }
    }
}

on_both! {
    /// 43, 44, 47
    fn statements_twice_too_early_or_forked_are_answered_and_never_counted_twice(world) {
        world.join("a1", "production");
        world.join("a2", "production");
        let id = approved(world, STEPS);
        let receipt = world.tick_until_receipt("a1", &id);
        world.tick("a1");
        let host = world.as_host("a1");
        let send = |statement: &shared::envelope::Envelope| {
            let record = Record { statement: statement.clone(), summary: None, log_size: None };
            host.send(Message::request("POST", "/agent/v1/statements", &serde_json::to_vec(&record).unwrap()))
        };
        let size = check::read_ledger(world).len();
        let (once, twice) = (send(&receipt.envelope), send(&receipt.envelope));
        assert_eq!((once.status(), twice.status()), (200, 200), "{}", twice.text());
        assert_eq!(once.json()["inclusion"], twice.json()["inclusion"]);
        assert_eq!(check::read_ledger(world).len(), size, "a replay adds nothing");

        let key = world.hosts["a1"].key();
        let bent = |bend: &dyn Fn(&mut Receipt)| {
            let mut body = receipt.body.clone();
            bend(&mut body);
            Statement::sign(body, &key).envelope
        };
        // All that the host ever said, the newest first: it is in the ledger where it was.
        let statements = world.hosts["a1"].statements();
        let all = statements.receipts.into_values().map(|s| s.envelope).chain(statements.refusals.into_values().map(|s| s.envelope));
        let all: Vec<_> = all.collect();
        for statement in all.iter().rev() {
            assert_eq!(send(statement).status(), 200);
        }
        assert_eq!(check::read_ledger(world).len(), size, "another order adds nothing");
        for missing in [1, 5, 1_000] {
            let early = send(&bent(&|r| r.header.seq += 1 + missing));
            assert_eq!((early.status(), early.json()["code"].as_str()), (409, Some("chain.gap")), "{}", early.text());
        }
        let forked = send(&bent(&|r| r.note = "another story".into()));
        assert_eq!((forked.status(), forked.json()["code"].as_str()), (409, Some("chain.fork")), "{}", forked.text());

        // Another host's statement, and one that another key signed.
        let foreign = world.as_host("a2").send(Message::request(
            "POST",
            "/agent/v1/statements",
            &serde_json::to_vec(&Record { statement: receipt.envelope.clone(), summary: None, log_size: None }).unwrap(),
        ));
        assert!((400..500).contains(&foreign.status()), "{}", foreign.text());
        let stranger = shared::keys::SigningKey::from_seed(&[66; 32]);
        let mut body = receipt.body.clone();
        body.header.seq += 1;
        body.header.prev = Some(receipt.digest);
        let unsigned = send(&Statement::sign(body, &stranger).envelope);
        assert!((400..500).contains(&unsigned.status()), "{}", unsigned.text());
        world.check();
        assert_eq!(world.change_file(&id).receipts.len(), 1);
    }
}

/// Only PostgreSQL serves several nodes.
#[test]
fn two_servers_on_one_database_are_one_site() {
    let Some(mut world) = World::new(module_path!(), Database::Postgresql) else { return };
    world.add_node();
    let hosts = ["a1", "a2", "a3", "a4"];
    for host in hosts {
        world.join(host, "production");
    }
    let id = approved(&mut world, STEPS);
    // A node may be a second behind the other; what it asks for again is answered as the first time.
    for _ in 0..10 {
        world.tick_all();
        if world.hosts.values().all(|host| host.spooled() == 0 && host.receipt(&id).is_some()) {
            break;
        }
    }
    assert_eq!(world.change_file(&id).receipts.len(), 4);
    let other = world.people_of(1).send(
        Message::request("GET", &format!("/v1/changes/{id}"), b"")
            .with("authorization", &format!("Bearer {}", world.token())),
    );
    assert_eq!(other.json()["line"]["reported"], 4, "{}", other.text());
    for host in hosts {
        assert_eq!(world.hosts[host].lines("/var/lib/lab/runs"), 1);
        assert_eq!(world.hosts[host].spooled(), 0);
    }
    for (node, pause) in [(0, Duration::from_millis(2)), (1, Duration::from_millis(12))] {
        dies_with_receipts_in_flight(&mut world, node, pause);
    }
    // One of them dies for good; the other goes on alone.
    world.nodes[0].kill();
    let alone = world.nodes[1].agents;
    world.proxy.set_backends(&[([127, 0, 0, 1], alone).into()]);
    for host in hosts {
        world.tick_unchecked(host).ok();
    }
}

/// Four receipts arrive at the same moment, and a little later one of the two nodes is killed.
fn dies_with_receipts_in_flight(world: &mut World, node: usize, pause: Duration) {
    let id = world.request_and_approve(&NewChange { manifests: &["steps@1.0.0"], ..NewChange::default() });
    world.settle();
    let gate = Arc::new((Mutex::new((0, false)), Condvar::new()));
    let (door, answered) = (gate.clone(), Arc::new(AtomicUsize::new(0)));
    let count = answered.clone();
    world.hook(Arc::new(move |request: Message, ask: &dyn Fn(Message) -> Message| {
        let statement = request.path() == "/agent/v1/statements";
        if statement {
            let mut state = door.0.lock().unwrap();
            state.0 += 1;
            door.1.notify_all();
            while !state.1 {
                state = door.1.wait(state).unwrap();
            }
        }
        let reply = ask(request);
        if statement && reply.status() == 200 {
            count.fetch_add(1, Ordering::SeqCst);
        }
        Some(reply)
    }));
    let spawn = |host| {
        let mut agent = world.agent(host, &["once"]);
        agent.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let agents: Vec<_> = world.hosts.values().map(spawn).collect();
    let arrived = gate.1.wait_timeout_while(gate.0.lock().unwrap(), Duration::from_secs(60), |s| s.0 < 4);
    let (mut state, waited) = arrived.unwrap();
    state.1 = true;
    gate.1.notify_all();
    drop(state);
    std::thread::sleep(pause);
    let before = answered.load(Ordering::SeqCst);
    world.nodes[node].kill();
    assert!(!waited.timed_out() && before < 4, "{before} were answered before node {node} was killed");
    for mut agent in agents {
        agent.wait().unwrap();
    }
    world.proxy.through();
    let ca = world.site().join("ca.crt");
    let offset = world.offset;
    world.nodes[node].start(offset, &ca);
    for _ in 0..10 {
        world.tick_all();
        if world.hosts.values().all(|host| host.spooled() == 0) {
            break;
        }
    }
    let receipts = world.change_file(&id).receipts;
    assert_eq!(receipts.len(), 4, "after node {node} was killed");
    let known: Vec<_> = receipts.iter().map(shared::envelope::Envelope::digest).collect();
    for host in world.hosts.values() {
        assert!(known.contains(&host.receipt(&id).unwrap().digest), "{}", host.name);
    }
    world.check();
}

/// State that is damaged holds the agent with a clear word; it never begins anew by itself. The agent stops before
/// it asks the server anything, so one database is enough.
#[test]
fn damaged_state_holds_the_agent_and_says_which_file() {
    let Some(mut world) = World::new(module_path!(), Database::Sqlite) else { return };
    world.join("a1", "production");
    approved(&mut world, STEPS);
    let original = world.hosts["a1"].root.clone();
    let files = ["identity.pem", "site.json", "chain.json", "seen.json", "contact.json", "log_seen.json"];
    let wrong: [&[u8]; 5] = [b"", b"{", b"\xff\xfe\x00", b"[1,2,3]", b"{\"seq\":1,\"seq\":2}"];
    for file in files {
        for (n, bytes) in wrong.iter().enumerate() {
            let mut host = world.hosts["a1"].clone();
            host.root = world.path(&format!("damaged-{n}-{}", file.replace('/', "-")));
            Said::of(Command::new("cp").arg("-a").arg(&original).arg(&host.root)).ok();
            std::fs::write(host.state().join(file), bytes).unwrap();
            let said = Said::of(&mut world.agent(&host, &["once"]));
            assert!(said.code != 0 && !said.err.contains("panicked"), "{file} {n}: {said}");
            assert!(said.all().contains(file.rsplit('/').next().unwrap()), "{file} {n} is not named: {said}");
            assert!(!host.path("/etc/last").exists(), "{file} {n}: it ran");
            std::fs::remove_dir_all(&host.root).unwrap();
        }
    }
    let said = world.tick("a1").ok();
    assert!(world.hosts["a1"].path("/etc/last").exists(), "the untouched host goes on: {said}");
    let refusals = world.hosts["a1"].statements().refusals;
    let codes: Vec<&Statement<Refusal>> = refusals.values().collect();
    assert!(codes.is_empty(), "{codes:?}");
}
