//! A change with steps of many kinds, interrupted at every system call by which the agent writes: killed there, or
//! told that the disk is full or broken. Each course is played on a copy of the same host.
//!
//! In every run a sample of the places is visited; with `ASSENT_TEST_SWEEP=all` all of them are.

use shared::receipt::{Receipt, StepStatus};
use shared::statement::Statement;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tests::apt::{Package, Repository};
use tests::programs::{has_tool, own};
use tests::root::{self, Snapshot};
use tests::world::{CLOCK, Host};
use tests::{Database, Said, World, check};

const STEPS: &str = "resources:
  - directory: {path: /etc/app}
  - file: {path: /etc/app/app.conf, content: \"x=1\\n\", requires: [\"directory:/etc/app\"]}
  - file: {path: /etc/motd, content: \"after\\n\"}
  - file: {path: /etc/gone, state: absent}
  - symlink: {path: /etc/app/link, target: app.conf, requires: [\"directory:/etc/app\"]}
  - line: {path: /etc/hosts, name: app, line: \"192.0.2.1 app\"}
  - package: {name: alpha, version: \"1.0\"}
  - command: {name: count, run: [/bin/sh, -c, \"echo run >> var/lib/lab/runs\"], needed: always, requires: [\"package:alpha\", \"file:/etc/motd\"]}
  - acl: {path: /etc/shared, access: [\"user:app:rw-\"]}
  - acl: {path: /etc/old, purge: true}
  - file: {path: /etc/last, content: \"last\\n\", requires: [\"command:count\"]}
health:
  - {name: all there, command: {run: [/usr/bin/test, -e, etc/last]}}
";

/// Calls by which something is written, renamed, removed or made durable.
const CALLS: &str = "write,pwrite64,writev,copy_file_range,rename,renameat,renameat2,link,linkat,symlink,symlinkat,\
                     unlink,unlinkat,rmdir,fsync,fdatasync,sync_file_range,mkdir,mkdirat,openat,truncate,ftruncate,\
                     fallocate,chmod,fchmod,fchmodat,chown,lchown,fchown,fchownat,utimensat,setxattr,lsetxattr,\
                     fsetxattr,removexattr,lremovexattr,fremovexattr,sendto,sendmsg";
/// Places that a sample visits of each kind of call that is not visited at all of its places.
const SAMPLE: usize = 8;
/// The same of calls that only the programs make which the agent starts: package managers.
const SAMPLE_OF_OTHERS: usize = 3;
/// One of those programs dies, and the agent lives.
const OTHER: &str = "another program: KILL";
/// As many copies are worked on at a time as there are processors here.
const HANDS: usize = 2;

/// One interruption: the call, which one of it, and what happens there.
#[derive(Clone, Debug)]
struct Place {
    call: String,
    number: usize,
    what: &'static str,
}

/// A host that has everything it needs, whose window is open, and whose server is away.
struct Course {
    world: World,
    change: String,
    /// What is there before the change, and after all of it.
    before: Snapshot,
    applied: Snapshot,
    next: AtomicUsize,
}

/// A call as strace saw it: the process by its number, name, whether it is about a file below the host's root, and
/// whether it makes one.
struct Seen {
    process: usize,
    call: String,
    own: bool,
    makes: bool,
}

#[test]
fn an_agent_interrupted_at_any_write_ends_the_change_truly_and_once() {
    if !has_tool(module_path!(), "strace") || !has_tool(module_path!(), "setfacl") {
        return;
    }
    let Some((mut course, calls, _repository)) = prepared() else { return };
    let all = std::env::var("ASSENT_TEST_SWEEP").is_ok_and(|all| all == "all");
    // The agent's own process was there first.
    let (own, others): (Vec<Seen>, _) = calls.into_iter().partition(|seen| seen.process == 0);
    let mut places = places(&own, all);
    places.extend(places_of_others(&own, &others, all));
    let ends: Mutex<BTreeMap<String, usize>> = Mutex::default();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(place) = places.get(next.fetch_add(1, Ordering::SeqCst)) {
            let end = course.play(place);
            *ends.lock().unwrap().entry(format!("{} {end}", place.what)).or_default() += 1;
        }
    };
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..HANDS).map(|_| scope.spawn(work)).collect();
        hands.into_iter().for_each(|hand| hand.join().unwrap());
    });
    let ends = ends.into_inner().unwrap();
    eprintln!("{} places: {ends:?}", places.len());
    let count = |what: &str| ends.iter().filter(|(end, _)| end.contains(what)).map(|(_, n)| n).sum::<usize>();
    assert!(count("KILL rolled_back") > 5 && count("KILL applied") > 1, "{ends:?}");
    assert!(count("EIO") > 5 && count("ENOSPC") > 5, "{ends:?}");
    assert!(count(OTHER) > 5, "{ends:?}");

    // The original is untouched and does the whole change when it is its turn.
    course.world.start_server();
    course.world.proxy.through();
    let id = course.change.clone();
    assert_eq!(course.world.tick_until_receipt("a1", &id).body.outcome.as_str(), "applied");
}

/// The course, the calls of one that is not interrupted, and the repository that it uses.
fn prepared() -> Option<(Course, Vec<Seen>, Repository)> {
    let alpha = Package { suite: "stable", name: "alpha", version: "1.0", postinst: "" };
    let repository = Repository::new(&[alpha]);
    let mut world = World::new(module_path!(), Database::Sqlite)?;
    world.join_with_packages("a1", &repository, &[]);
    for (file, text) in [("motd", "before\n"), ("gone", "remove me\n"), ("hosts", "127.0.0.1 localhost\n")] {
        std::fs::write(world.hosts["a1"].path(&format!("/etc/{file}")), text).unwrap();
    }
    for (arguments, path) in [(["-m", "u:4711:r"], "/etc/shared"), (["-dm", "u:4711:rw"], "/etc/old")] {
        let path = world.hosts["a1"].path(path);
        match arguments[0] {
            "-m" => std::fs::write(&path, "shared\n").unwrap(),
            _ => std::fs::create_dir(&path).unwrap(),
        }
        Said::of(Command::new("setfacl").args(arguments).arg(&path)).ok();
    }
    // Or the package, when it goes, takes directories with it that are empty without it.
    std::fs::write(world.hosts["a1"].path("/usr/share/other"), "other\n").unwrap();
    check::accept(&mut world, "a1");
    let change = world.pull_without_running(STEPS);
    let before = root::snapshot(&world.hosts["a1"].root);
    let mut course = Course { world, change, before, applied: Snapshot::new(), next: AtomicUsize::new(0) };
    let host = course.copy();
    let log = course.world.path("calls");
    let trace = format!("trace={CALLS}");
    let status = course.strace(&host, &["-f", "-y", "-o", log.to_str().unwrap(), "-e", &trace]);
    assert!(status.signal.is_none(), "{}", status.err);
    assert_eq!(host.receipt(&course.change).unwrap().body.outcome.as_str(), "applied", "{}", status.err);
    course.applied = root::snapshot(&host.root);
    let calls = read_calls(&std::fs::read_to_string(&log).unwrap(), &host.root);
    std::fs::remove_dir_all(&host.root).unwrap();
    Some((course, calls, repository))
}

/// Processes are numbered as they come; the first one is the agent's own.
fn read_calls(log: &str, root: &Path) -> Vec<Seen> {
    let root = root.to_str().unwrap();
    let (mut processes, mut calls): (BTreeMap<&str, usize>, Vec<Seen>) = Default::default();
    for (pid, rest) in log.lines().filter_map(|line| line.split_once(' ')) {
        let next = processes.len();
        let process = *processes.entry(pid).or_insert(next);
        let Some((call, about)) = rest.trim_start().split_once('(') else { continue };
        if call.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') {
            let (own, makes) = (about.contains(root), about.contains("O_CREAT"));
            calls.push(Seen { process, call: call.to_owned(), own, makes });
        }
    }
    calls
}

/// Where one of the programs dies that the agent starts: at calls that the agent itself does not make, since a number
/// counts for each process.
fn places_of_others(own: &[Seen], others: &[Seen], all: bool) -> Vec<Place> {
    let mut most: BTreeMap<&str, BTreeMap<usize, usize>> = BTreeMap::new();
    for seen in others.iter().filter(|seen| own.iter().all(|mine| mine.call != seen.call)) {
        *most.entry(&seen.call).or_default().entry(seen.process).or_default() += 1;
    }
    let mut places = Vec::new();
    for (call, processes) in most {
        let most = processes.into_values().max().unwrap_or_default();
        let some = if all { most } else { most.min(SAMPLE_OF_OTHERS) };
        places.extend((1..=some).map(|number| Place { call: call.to_owned(), number, what: OTHER }));
    }
    places
}

/// Where to interrupt: all places, or all renames and syncs of the run and some of the others.
fn places(calls: &[Seen], all: bool) -> Vec<Place> {
    let mut numbered: BTreeMap<&str, Vec<(usize, &Seen)>> = BTreeMap::new();
    for seen in calls {
        let of_kind = numbered.entry(&seen.call).or_default();
        of_kind.push((of_kind.len() + 1, seen));
    }
    let mut places = Vec::new();
    for (call, seen) in numbered {
        let pick = |fits: &dyn Fn(&Seen) -> bool, some: usize, what| {
            let all_of: Vec<usize> = seen.iter().filter(|(_, s)| fits(s)).map(|(n, _)| *n).collect();
            let step = if all { 1 } else { all_of.len().div_ceil(some).max(1) };
            let place = move |number| Place { call: call.to_owned(), number, what };
            // The end of a run is where most is decided.
            all_of.into_iter().rev().step_by(step).map(place).collect::<Vec<_>>()
        };
        let opens = call == "openat";
        let many =
            if call.starts_with("rename") || call == "fsync" || call == "fdatasync" { 24 } else { SAMPLE };
        places.extend(pick(&|s| !opens || s.makes, many, "KILL"));
        match call {
            "fsync" | "fdatasync" => {
                places.extend(pick(&|s| s.own, SAMPLE, "EIO"));
                places.extend(pick(&|s| s.own, SAMPLE, "EIO from there on"));
            }
            "write" => places.extend(pick(&|s| s.own, SAMPLE, "ENOSPC")),
            "openat" => places.extend(pick(&|s| s.own && s.makes, SAMPLE, "ENOSPC")),
            _ => {}
        }
    }
    places
}

struct Ended {
    signal: Option<i32>,
    code: i32,
    err: String,
}

impl Course {
    fn copy(&self) -> Host {
        let mut host = self.world.hosts["a1"].clone();
        let original = std::mem::replace(
            &mut host.root,
            self.world.path(&format!("copy-{}", self.next.fetch_add(1, Ordering::SeqCst))),
        );
        Said::of(Command::new("cp").arg("-a").arg(original).arg(&host.root)).ok();
        host
    }

    /// The agent itself under strace; with `-f` also its network process, package managers and commands.
    fn strace(&self, host: &Host, what: &[&str]) -> Ended {
        use std::os::unix::process::ExitStatusExt as _;
        let mut strace = Command::new("strace");
        strace.arg("-qq").args(what).arg(own("assent-agent")).args(["once", "--root"]).arg(&host.root);
        strace.env(CLOCK, self.world.offset.to_string()).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        let output = strace.output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        Ended { signal: output.status.signal(), code: output.status.code().unwrap_or(-1), err }
    }

    /// Plays one course and answers how it ended.
    fn play(&self, place: &Place) -> String {
        let what = format!("{place:?}");
        let host = self.copy();
        let Place { call, number, what: how } = place;
        let how = match *how {
            "KILL" | OTHER => format!("signal=KILL:when={number}"),
            "EIO" => format!("error=EIO:when={number}"),
            "EIO from there on" => format!("error=EIO:when={number}+"),
            _ => format!("error=ENOSPC:when={number}"),
        };
        let inject = format!("inject={call}:{how}");
        let trace = format!("trace={call}");
        let mut arguments = vec!["-o", "/dev/null", "-e", &trace, "-e", &inject];
        arguments.extend((place.what == OTHER).then_some("-f"));
        let ended = self.strace(&host, &arguments);
        assert!(!ended.err.contains("panicked") && ended.code != 101, "{what}: {}", ended.err);
        if place.what != "KILL" {
            assert_eq!(ended.signal, None, "{what}: {}", ended.err);
        }
        let end = self.end_of(&host, &what);
        std::fs::remove_dir_all(&host.root).unwrap();
        end
    }

    /// The disk works and the agent starts again: one true receipt, and nothing more ever after.
    fn end_of(&self, host: &Host, what: &str) -> String {
        let again = || Said::of(&mut self.world.agent(host, &["once"]));
        let said = again();
        assert!(!said.err.contains("panicked"), "{what}: {said}");
        let receipts = host.statements().receipts;
        assert_eq!(receipts.len(), 1, "{what}: {said}");
        let receipt = receipts.into_values().next().unwrap();
        assert_eq!(receipt.body.change_id.as_str(), self.change, "{what}");
        let now = root::snapshot(&host.root);
        self.is_true(&receipt, host, &now, what);
        check::chain(host, what);
        check::no_leftovers(host, what);
        let said = again();
        assert_eq!(host.statements().receipts.len(), 1, "{what}: {said}");
        let later = root::differences(&now, &root::snapshot(&host.root));
        assert_eq!(later, Vec::<String>::new(), "{what}: it went on later: {said}");
        receipt.body.outcome.as_str().to_owned()
    }

    fn is_true(&self, receipt: &Statement<Receipt>, host: &Host, now: &Snapshot, what: &str) {
        let body = &receipt.body;
        let status = |path: &str| {
            let about = body.results.iter().filter(|r| is_about(r.resource.as_str(), path));
            about.map(|r| r.status).collect::<Vec<_>>()
        };
        for path in root::differences(&self.before, &self.applied) {
            let (was, wanted, is) = (self.before.get(&path), self.applied.get(&path), now.get(&path));
            let told = status(&path);
            let explained = match (is == was, is == wanted) {
                (false, true) => {
                    told.iter().any(|s| !matches!(s, StepStatus::Undone | StepStatus::NotStarted))
                }
                (true, _) => told.iter().all(|s| *s != StepStatus::Done),
                (false, false) => {
                    told.contains(&StepStatus::Unknown) || told.contains(&StepStatus::UndoFailed)
                }
            };
            assert!(explained, "{what}: {path} is {is:?}, the receipt says {told:?}: {body:#?}");
        }
        for path in root::differences(&self.before, now) {
            assert!(!status(&path).is_empty(), "{what}: {path} changed, which no step explains: {body:#?}");
        }
        let runs = host.lines("/var/lib/lab/runs");
        assert!(runs <= 1, "{what}: the command ran {runs} times");
        let done = body.results.iter().all(|r| matches!(r.status, StepStatus::Done | StepStatus::Unneeded));
        match body.outcome.as_str() {
            "applied" => assert!(done && runs == 1, "{what}: {body:#?}"),
            "rolled_back" => assert_eq!(runs, 0, "{what}: {body:#?}"),
            _ => assert!(!body.note.is_empty(), "{what}: {body:#?}"),
        }
    }
}

/// Whether a step is about what lies at a path of the snapshot.
fn is_about(resource: &str, path: &str) -> bool {
    match resource.split_once(':') {
        Some(("package", name)) => path == format!("dpkg:{name}") || path.starts_with(check::PACKAGES_WRITE),
        Some(("command", _)) => path.starts_with(check::COMMANDS_WRITE),
        Some((_, place)) => {
            place == path || place.strip_prefix(path).is_some_and(|rest| !rest.starts_with('/'))
        }
        None => false,
    }
}
