//! The agent's process is killed while it applies, on a real disk, at moments that nobody chose.

use super::support::site::{Site, manifest};
use super::support::tree::{Tree, snapshot};
use agent::disk::RealDisk;
use agent::host::Machine;
use agent::journal::Journal;
use serde_json::json;
use shared::receipt::HostOutcome;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CHILD: &str = "ASSENT_TEST_KILLED_ROOT";
const FILES: usize = 150;

fn site() -> Site {
    let file = |n| json!({ "file": { "path": format!("/srv/{n}"), "content": format!("new {n}\n"), "mode": "0600" } });
    Site::new(vec![manifest("many", (0..FILES).map(file).collect())])
}

fn open(root: &Path) -> (Machine, Journal<RealDisk>) {
    let state = root.join("var/lib/assent");
    (Machine::open(root, &state).unwrap(), Journal::open(RealDisk, &state.join("journal")).unwrap())
}

/// Not a test of its own: the process that `a_killed_run_is_done_or_undone` kills.
#[test]
fn child() {
    if let Some(root) = std::env::var_os(CHILD) {
        let (mut machine, mut journal) = open(Path::new(&root));
        site().apply(&mut machine, &mut journal).unwrap();
    }
}

fn prepare(root: &Path) -> Tree {
    for dir in ["etc", "srv", "var/lib/assent"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    // Every other file is there before, with other contents.
    for n in (0..FILES).step_by(2) {
        fs::write(root.join(format!("srv/{n}")), format!("old {n}\n")).unwrap();
    }
    snapshot(root, &["/var/lib/assent"])
}

fn start(root: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::child"])
        .env(CHILD, root)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_run_is_done_or_undone() {
    let calm = tempfile::tempdir().unwrap();
    prepare(calm.path());
    let started = Instant::now();
    assert!(start(calm.path()).wait().unwrap().success());
    let whole = started.elapsed();
    let applied = snapshot(calm.path(), &["/var/lib/assent"]);
    let mut rolled_back = 0;
    for round in 0..24 {
        let dir = tempfile::tempdir().unwrap();
        let before = prepare(dir.path());
        let mut child = start(dir.path());
        std::thread::sleep(whole.max(Duration::from_millis(24)) * round / 24);
        child.kill().unwrap();
        child.wait().unwrap();
        let (mut machine, mut journal) = open(dir.path());
        let outcome = site().resume(&mut machine, &mut journal).unwrap();
        let after = snapshot(dir.path(), &["/var/lib/assent"]);
        match outcome.map(|o| (o.outcome, o.note)) {
            None => assert_eq!(after, before, "round {round}"),
            Some((HostOutcome::Applied, _)) => assert_eq!(after, applied, "round {round}"),
            Some((HostOutcome::RolledBack, note)) => {
                assert!(note.contains("unfinished"), "{note}");
                assert_eq!(after, before, "round {round}: {note}");
                rolled_back += 1;
            }
            other => panic!("round {round}: {other:?}"),
        }
    }
    assert!(rolled_back > 0, "no round hit the middle of the run");
}
