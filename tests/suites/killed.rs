//! A server that is killed at each moment between a receipt's arrival and its answer.
//!
//! strace kills it at the n-th call of one kind; every course begins at the same database, and ends with the host
//! asking again.

use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::wire::Record;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::http::Message;
use tests::programs::has_tool;
use tests::world::{NewChange, Saved};
use tests::{World, check};

/// What a server does to keep something and to tell somebody: SQLite's log and its way to the disk, PostgreSQL's
/// and the agent's connections, and the wake-ups between its threads.
const CALLS: [&str; 6] = ["pwrite64", "fdatasync", "fsync", "sendto", "writev", "write"];
/// After this no further course begins; the courses with the most to tell come first.
const ENOUGH: Duration = Duration::from_secs(45);

/// How far the server came before it was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    NotStored,
    StoredNotAnswered,
    Answered,
}

/// Whether the server was killed both before it had the receipt and between having and answering it.
fn saw_enough(phases: &[(&&str, &usize, Came)]) -> bool {
    let count = |wanted| phases.iter().filter(|(_, _, came)| *came == wanted).count();
    count(Came::NotStored) >= 3 && count(Came::StoredNotAnswered) >= 1
}

on_both! {
    fn a_server_killed_anywhere_between_receipt_and_answer_has_it_once_or_not_at_all(world) {
        if !has_tool(module_path!(), "strace") {
            return;
        }
        let (receipt, id) = spooled_receipt(world);
        world.stop_server();
        let saved = world.save();
        let places = places(&unharmed(world, &saved, &receipt));
        let (begun, mut phases) = (Instant::now(), Vec::new());
        for (call, n) in &places {
            // A slow machine takes longer and sees as much.
            if begun.elapsed() >= ENOUGH && saw_enough(&phases) {
                break;
            }
            phases.push((call, n, course(world, &saved, (call, *n), &receipt, &id)));
        }
        eprintln!("{:?}: {phases:?}", world.database);
        assert!(saw_enough(&phases), "{phases:?}");
    }
}

/// A receipt that its host has signed and could not hand in yet.
fn spooled_receipt(world: &mut World) -> (Envelope, String) {
    world.join("a1", "production");
    world.publish("base", "1.0.0", "resources:\n  - file: {path: /etc/motd, content: x}\n").ok();
    let id = world.request_and_approve(&NewChange { manifests: &["base@1.0.0"], ..NewChange::default() });
    world.hook(Arc::new(|request: Message, ask: &dyn Fn(Message) -> Message| {
        (request.path() != "/agent/v1/statements").then(|| ask(request))
    }));
    let receipt = world.tick_until_receipt("a1", &id);
    world.proxy.through();
    assert_eq!(world.hosts["a1"].spooled(), 1);
    (receipt.envelope, id)
}

/// How often each kind of call is made by one thread from the receipt's arrival to its answer.
fn unharmed(world: &mut World, saved: &Saved, receipt: &Envelope) -> Vec<(&'static str, usize)> {
    world.restore(saved);
    world.start_server();
    let log = world.path("calls");
    let calls = format!("trace={}", CALLS.join(","));
    let mut strace = attach(world.nodes[0].pid().unwrap(), &["-o", log.to_str().unwrap(), "-e", &calls]);
    assert_eq!(post(world, receipt), Some(200));
    world.kill_server();
    strace.wait().unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    let mut made: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (thread, call) in log.lines().filter_map(|line| line.split_once(char::is_whitespace)) {
        *made.entry((thread, call.trim_start().split('(').next().unwrap_or_default())).or_default() += 1;
    }
    let most = |call| made.iter().filter(|((_, name), _)| *name == call).map(|(_, times)| *times).max();
    CALLS.into_iter().filter_map(|call| Some((call, most(call)?))).collect()
}

/// The last call of each kind first, then the middle one, the first one, and others between them.
fn places(made: &[(&'static str, usize)]) -> Vec<(&'static str, usize)> {
    let mut places = Vec::new();
    for part in
        [|n| n, |n| n / 2, |_| 1, |n| n - 1, |n| n * 3 / 4, |n| n / 4, |n| n + 1] as [fn(usize) -> usize; 7]
    {
        for (call, times) in made {
            let place = (*call, part(*times).max(1));
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    places
}

/// One course: from the kept database until the host has its proof.
fn course(world: &mut World, saved: &Saved, (call, n): (&str, usize), receipt: &Envelope, id: &str) -> Came {
    let what = format!("{:?} killed at {call} number {n}", world.database);
    world.restore(saved);
    world.start_server();
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={n}"));
    let pid = world.nodes[0].pid().unwrap();
    let mut strace = attach(pid, &["-o", "/dev/null", "-e", &trace, "-e", &inject]);
    let answer = post(world, receipt);
    world.kill_server();
    strace.wait().unwrap();
    if answer == Some(200) {
        return Came::Answered;
    }
    world.start_server();
    let digest = receipt.digest();
    let before = on_record(world, &digest);
    world.check();
    assert_eq!(post(world, receipt), Some(200), "{what}: the host asks again");
    assert!(on_record(world, &digest), "{what}");
    world.check();
    let leaves = check::read_ledger(world).into_iter().filter(|leaf| leaf.sha256 == digest).count();
    assert_eq!((leaves, world.change_file(id).receipts.len()), (1, 1), "{what}");
    let applied = "SELECT count(*) FROM ci_history WHERE kind = 'applied'";
    assert_eq!(world.sql(applied).trim(), "1", "{what}: the host's history");
    world.kill_server();
    if before { Came::StoredNotAnswered } else { Came::NotStored }
}

fn post(world: &World, receipt: &Envelope) -> Option<u16> {
    let record = Record { statement: receipt.clone(), summary: None, log_size: None };
    let body = serde_json::to_vec(&record).unwrap();
    let reply = world.as_host("a1").try_send(Message::request("POST", "/agent/v1/statements", &body));
    reply.ok().map(|reply| reply.status())
}

fn on_record(world: &World, digest: &Digest) -> bool {
    world.api("GET", &format!("/v1/log/proof?digest={digest}"), b"").status() == 200
}

/// Lets strace do this with every thread of the server; it counts calls from now on, for each thread by itself.
fn attach(pid: u32, what: &[&str]) -> Child {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-p", &pid.to_string()]).args(what);
    let strace = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    // It may be dead already: its own jobs write as well.
    while threads(pid).iter().any(|task| !is_traced(task)) {
        assert!(Instant::now() < deadline, "strace does not get hold of the server");
        std::thread::sleep(Duration::from_millis(5));
    }
    strace
}

fn threads(pid: u32) -> Vec<PathBuf> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks.flatten().map(|task| task.path()).collect()
}

fn is_traced(task: &std::path::Path) -> bool {
    let Ok(status) = std::fs::read_to_string(task.join("status")) else { return true };
    let dead = status.lines().any(|line| line.starts_with("State:") && line.contains('Z'));
    dead || !status.lines().any(|line| line.split_whitespace().eq(["TracerPid:", "0"]))
}
