//! A relay between host and server that does its worst: with the server's TLS key, as whoever terminates TLS has it,
//! and without any key. The host changes nothing, is soon done with it, holds little memory, and goes on afterwards.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tests::http::Message;
use tests::programs::Said;
use tests::proxy::{Delivery, Hook};
use tests::world::NewChange;
use tests::{Database, World, check};

/// Longest tick: the few requests that it makes may each take `request_timeout_secs`.
const TICK: Duration = Duration::from_secs(30);
/// Above what a tick with an honest server needs; the largest answer that a host takes is 16 MiB.
const MEMORY_KIB: u64 = 48 << 10;
const SETTINGS: &str = "connect_timeout_secs = 2\nrequest_timeout_secs = 3\n";

const TUF: &str = "/agent/v1/tuf/";
const ALL: &str = "/agent/v1/";

/// The most memory that the agent and its network process have held at one time, in KiB, until the agent ends. A network
/// process that is started anew, as with a new certificate, takes the place of the one before.
fn peak(agent: &mut Child) -> u64 {
    let held = |pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let mut most = 0;
    while agent.try_wait().unwrap().is_none() {
        let pid = agent.id();
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let all = children.split_whitespace().filter_map(|pid| pid.parse().ok()).chain([pid]);
        most = all.filter_map(held).sum::<u64>().max(most);
        std::thread::sleep(Duration::from_millis(20));
    }
    most
}

/// A tick with every invariant, how long it took, and its peak of memory in KiB.
fn tick(world: &mut World) -> (Said, Duration, u64) {
    world.settle();
    let mut agent = world.agent(&world.hosts["a1"], &["once"]);
    let started = Instant::now();
    let mut agent = agent.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let memory = peak(&mut agent);
    let took = started.elapsed();
    let said = Said::from("tick", &agent.wait_with_output().unwrap());
    check::host(world, "a1");
    world.check();
    (said, took, memory)
}

/// Passes everything on, and lets `bend` change what the server answered.
fn bending(bend: impl Fn(&str, Message) -> Message + Send + Sync + 'static) -> Arc<Hook> {
    Arc::new(move |request: Message, ask: &dyn Fn(Message) -> Message| {
        let path = request.path().to_owned();
        Some(bend(&path, ask(request)))
    })
}

fn flip(mut reply: Message) -> Message {
    let middle = reply.body.len() / 2;
    if let Some(byte) = reply.body.get_mut(middle) {
        *byte ^= 1;
    }
    reply
}

fn halve(reply: Message) -> Message {
    let half = reply.body.len() / 2;
    let body = reply.body[..half].to_vec();
    reply.carrying(&body)
}

/// A host, and changes that it would apply at its next tick, once they are approved.
struct Stage<'w> {
    world: &'w mut World,
    /// Number, path, and what is in it.
    changes: Vec<(String, String, String)>,
    /// Peak of a tick with an honest server, KiB.
    honest: u64,
    most: (Duration, u64),
}

impl<'w> Stage<'w> {
    fn new(world: &'w mut World, changes: usize) -> Self {
        Self::of(world, changes, |_, _| ("content: \"x\\n\"".to_owned(), "x\n".to_owned()))
    }

    /// `content` says how each file is described, and what it is then.
    fn of(world: &'w mut World, changes: usize, content: fn(&World, usize) -> (String, String)) -> Self {
        world.join("a1", "production");
        std::fs::write(world.hosts["a1"].path("/etc/assent/agent.toml"), SETTINGS).unwrap();
        check::accept(world, "a1");
        let mut all = Vec::new();
        for number in 0..changes {
            let (name, path) = (format!("base-{number}"), format!("/etc/relay-{number}"));
            let (described, text) = content(world, number);
            let body = format!("resources:\n  - file: {{path: {path}, {described}}}\n");
            world.publish(&name, "1.0.0", &body).ok();
            let manifest = format!("{name}@1.0.0");
            let id = world.draft(&NewChange { manifests: &[&manifest], ..NewChange::default() });
            world.submit(&id);
            all.push((id, path, text));
        }
        let (said, _, honest) = tick(world);
        said.ok();
        Self { world, changes: all, honest, most: (Duration::ZERO, 0) }
    }

    /// The next change is approved, and the relay does its worst with the tick that would apply it.
    fn attack(&mut self, what: &str, code: Option<&str>, words: &str, worst: impl FnOnce(&World)) {
        let (id, path, text) = self.changes.pop().unwrap();
        self.world.approve(&id).ok();
        let before = self.world.hosts["a1"].statements().refusals.len();
        worst(self.world);
        let (said, took, memory) = tick(self.world);
        let host = &self.world.hosts["a1"];
        assert!(
            !host.path(&path).exists() && host.receipt(&id).is_none(),
            "{what}: the change was run: {said}"
        );
        assert!(said.all().contains(words), "{what}: not a word of {words:?}: {said}");
        assert!(took < TICK, "{what}: the tick took {took:?}");
        assert!(
            memory < self.honest + MEMORY_KIB,
            "{what}: {memory} KiB, {} with an honest server",
            self.honest
        );
        self.most = (self.most.0.max(took), self.most.1.max(memory));
        let refusals = host.statements().refusals;
        let codes: Vec<&str> = refusals.values().skip(before).map(|r| r.body.reason.code.as_str()).collect();
        assert_eq!(codes, code.into_iter().collect::<Vec<_>>(), "{what}: {said}");
        self.world.proxy.through();
        // Heard of again, its refusal on record, and what was not done was not done for this one fault.
        let receipt = self.world.tick_until_receipt("a1", &id);
        assert_eq!(receipt.body.outcome.as_str(), "applied", "{what}");
        self.world.settle_spool("a1");
        let host = &self.world.hosts["a1"];
        assert_eq!((host.spooled(), host.read(&path).as_deref()), (0, Some(text.as_str())), "{what}");
    }

    fn delivers(&mut self, what: &str, words: &str, path: &'static str, how: Delivery) {
        let honest: Arc<Hook> = bending(|_, reply| reply);
        let deliver = move |request: &Message| match request.path().starts_with(path) {
            true => how,
            false => Delivery::Whole,
        };
        self.attack(what, None, words, |world| world.relay(honest, Arc::new(deliver)));
    }
}

/// What the relay hands on may look like anything, as long as it is whole.
fn changes_what_it_hands_on(stage: &mut Stage<'_>, old: BTreeMap<String, Message>) {
    let of = |path: &'static str, change: fn(Message) -> Message| {
        bending(move |asked, reply| if asked.starts_with(path) { change(reply) } else { reply })
    };
    stage.attack("a bit of each file", Some("tuf.invalid"), "", |world| world.hook(of(TUF, flip)));
    stage.attack("half of each file", Some("tuf.invalid"), "", |world| world.hook(of(TUF, halve)));
    let nothing = |reply: Message| reply.carrying(b"");
    stage.attack("nothing of each file", Some("tuf.invalid"), "", |world| world.hook(of(TUF, nothing)));
    let replay = bending(move |asked, reply| old.get(asked).cloned().unwrap_or(reply));
    stage.attack("files of an hour ago", Some("tuf.rollback"), "", |world| world.hook(replay));
    let page = bending(|_, _| Message::reply(200, b"<html>Please log in</html>"));
    stage.attack(
        "a page for every answer",
        Some("tuf.invalid"),
        "/agent/v1/work breaks the protocol",
        |world| world.hook(page),
    );
}

/// Without the files a host goes on with those that it has; without anything it says why.
fn is_slow_or_without_end(stage: &mut Stage<'_>) {
    for (how, words) in [
        (Delivery::Half, "cannot be reached"),
        (Delivery::Silence, "longer than 3 seconds"),
        (Delivery::Stall, "longer than 3 seconds"),
        (Delivery::Drip, "longer than 3 seconds"),
        (Delivery::Endless, "larger than"),
    ] {
        stage.delivers(&format!("files: {how:?}"), "", TUF, how);
        stage.delivers(&format!("everything: {how:?}"), words, ALL, how);
    }
}

#[test]
fn whatever_a_relay_does_with_the_answers_the_host_stays_as_it_is_and_goes_on_afterwards() {
    let name = concat!(module_path!(), "::whatever_a_relay_does");
    let Some(mut world) = World::new(name, Database::Sqlite) else { return };
    let mut stage = Stage::new(&mut world, 17);
    // What it saw of the repository before anything was approved.
    let seen = Arc::<Mutex<BTreeMap<String, Message>>>::default();
    let memory = seen.clone();
    let watching = bending(move |asked, reply| {
        if asked.starts_with(TUF) && reply.status() == 200 {
            memory.lock().unwrap().insert(asked.to_owned(), reply.clone());
        }
        reply
    });
    stage.world.hook(watching);
    // Something new, so that the host asks for all of it.
    let (first, ..) = stage.changes.pop().unwrap();
    stage.world.approve(&first).ok();
    stage.world.tick_until_receipt("a1", &first);
    let old = std::mem::take(&mut *seen.lock().unwrap());
    assert!(old.contains_key("/agent/v1/tuf/timestamp.json"), "{:?}", old.keys());
    changes_what_it_hands_on(&mut stage, old);
    is_slow_or_without_end(&mut stage);
    println!("honest tick {} KiB; worst {:?}, {} KiB", stage.honest, stage.most.0, stage.most.1);
}

/// An artifact of its own for each change, too long to be dripped in time.
fn artifact(world: &World, number: usize) -> (String, String) {
    let text = format!("artifact {number}\n").repeat(1_000);
    let file = world.file(&format!("artifact-{number}"), &text);
    world.assent(&["artifact", "put", file.to_str().unwrap()]).ok();
    let sha256 = shared::digest::Digest::of(text.as_bytes());
    (format!("artifact: {{sha256: {sha256}, length: {}}}", text.len()), text)
}

/// 6, 7, 40: what a host fetches last, when everything else about the change is right.
#[test]
fn an_artifact_that_is_bent_never_ends_or_never_comes_is_given_up_and_fetched_later() {
    const ARTIFACTS: &str = "/agent/v1/artifacts/";
    let name = concat!(module_path!(), "::an_artifact");
    let Some(mut world) = World::new(name, Database::Sqlite) else { return };
    let mut stage = Stage::of(&mut world, 9, artifact);
    let left = |world: &World| -> u64 {
        let entries = std::fs::read_dir(world.hosts["a1"].state().join("artifacts")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    };
    let of = |change: fn(Message) -> Message| {
        bending(move |asked, reply| if asked.starts_with(ARTIFACTS) { change(reply) } else { reply })
    };
    let longer = |reply: Message| {
        let body = [&reply.body[..], b"more"].concat();
        reply.carrying(&body)
    };
    let nothing = |reply: Message| reply.carrying(b"");
    for (what, code, change) in [
        ("a bit", Some("artifact.digest"), flip as fn(Message) -> Message),
        ("half", Some("artifact.digest"), halve),
        ("nothing", Some("artifact.digest"), nothing),
        // What a broken wire could have done as well is told and not signed.
        ("more", None, longer),
    ] {
        stage.attack(what, code, "artifact", |world| world.hook(of(change)));
        assert_eq!(left(stage.world), 0, "{what}: nothing is kept when the change has run");
    }
    for how in [Delivery::Half, Delivery::Silence, Delivery::Stall, Delivery::Drip, Delivery::Endless] {
        let deliver = move |request: &Message| match request.path().starts_with(ARTIFACTS) {
            true => how,
            false => Delivery::Whole,
        };
        let honest: Arc<Hook> = bending(|_, reply| reply);
        let worst = |world: &World| world.relay(honest, Arc::new(deliver));
        stage.attack(&format!("{how:?}"), None, "artifact.missing", worst);
        assert_eq!(left(stage.world), 0, "{how:?}: nothing is kept when the change has run");
    }
    println!("honest tick {} KiB; worst {:?}, {} KiB", stage.honest, stage.most.0, stage.most.1);
}

#[test]
fn without_a_key_a_relay_can_only_keep_the_host_from_being_heard() {
    let name = concat!(module_path!(), "::without_a_key");
    let Some(mut world) = World::new(name, Database::Sqlite) else { return };
    let mut stage = Stage::new(&mut world, 5);
    // In the handshake, in its certificates, and in what comes after it.
    for after in [10, 300, 1_500, 4_000] {
        stage.attack(&format!("a bit after {after} bytes"), None, "", |world| world.proxy.bend(after));
    }
    stage.attack("nobody there", None, "cannot be reached", |world| world.proxy.cut());
}

/// 7: a host that knows another address of its server goes on there, in the same tick, and does there what it would have done.
#[test]
fn a_host_with_another_address_of_its_server_goes_on_there() {
    let name = concat!(module_path!(), "::another_address");
    let Some(mut world) = World::new(name, Database::Sqlite) else { return };
    let mut stage = Stage::new(&mut world, 5);
    let direct = format!("127.0.0.1:{}", stage.world.nodes[0].agents);
    let settings = format!("{SETTINGS}nodes = [\"{direct}\"]\n");
    std::fs::write(stage.world.hosts["a1"].path("/etc/assent/agent.toml"), settings).unwrap();
    check::accept(stage.world, "a1");
    let mut applies = |what: &str, worst: &dyn Fn(&World), there: bool| {
        let (id, path, text) = stage.changes.pop().unwrap();
        stage.world.approve(&id).ok();
        worst(stage.world);
        let (said, took, _) = tick(stage.world);
        let host = &stage.world.hosts["a1"];
        assert_eq!(host.read(&path).as_deref(), Some(text.as_str()), "{what}: {said}");
        assert!(host.receipt(&id).is_some() && took < TICK, "{what}: {took:?}: {said}");
        assert_eq!(host.statements().refusals.len(), 0, "{what}");
        let status = Said::of(&mut stage.world.agent(host, &["status"])).ok();
        let line = status.out.lines().find(|line| line.starts_with("server ")).unwrap_or_default();
        assert_eq!(line.ends_with(&direct), there, "{what}: {status}");
        stage.world.proxy.through();
        stage.world.settle_spool("a1");
    };
    applies("all is well", &|_| (), false);
    applies("nobody there", &|world| world.proxy.cut(), true);
    for how in [Delivery::Silence, Delivery::Stall, Delivery::Drip] {
        let deliver = move |request: &Message| match request.path().starts_with(ALL) {
            true => how,
            false => Delivery::Whole,
        };
        let honest: Arc<Hook> = bending(|_, reply| reply);
        applies(&format!("{how:?}"), &|world| world.relay(honest.clone(), Arc::new(deliver)), true);
    }
}
