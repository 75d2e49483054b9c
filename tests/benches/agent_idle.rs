//! What an agent costs that has nothing to do: memory of its two processes between polls, after ticks over a tree of
//! approved files, and how often something wakes them.
//!
//! The reference of the same run is two processes that only sleep. Resident memory counts the pages of the program that
//! both map twice; the proportional share counts them once.

#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise, with its place")]

#[path = "measure/built.rs"]
mod built;

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;
use tests::programs::sleeps;
use tests::world::NewChange;
use tests::{Database, World};

/// Approved files, which each tick compares.
const FILES: usize = 1_000;
/// Between two polls.
const POLL_SECS: u64 = 20;
/// Ticks before anything is measured: memory has settled then.
const TICKS: u32 = 4;

fn main() {
    built::require(&["assent", "assent-agent", "assent-server"]);
    let mut world = World::new("bench agent_idle", Database::Sqlite).unwrap();
    world.join("a1", "production");
    let mut body = "resources:\n".to_owned();
    for number in 0..FILES {
        writeln!(body, "  - file: {{path: /f{number:04}, content: \"key = value {number}\\n\"}}").unwrap();
    }
    world.publish("many", "1.0.0", &body).ok();
    let id = world.request_and_approve(&NewChange { manifests: &["many@1.0.0"], ..NewChange::default() });
    world.tick_until_receipt("a1", &id);
    let host = world.hosts["a1"].clone();
    let settings = format!("poll_secs = {POLL_SECS}\ncheck_secs = 60\n");
    fs::write(host.path("/etc/assent/agent.toml"), settings).unwrap();
    let mut agent = world.agent(&host, &["run"]);
    let mut agent = agent.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(POLL_SECS) * TICKS);
    let both = family(agent.id());
    assert_eq!(both.len(), 2, "the process that acts and the one that talks: {both:?}");
    let (resident, shared) = (sum(&both, "Rss"), sum(&both, "Pss"));
    let before: u64 = both.iter().map(|pid| sleeps(*pid)).sum();
    std::thread::sleep(Duration::from_secs(POLL_SECS) * TICKS);
    let woken = both.iter().map(|pid| sleeps(*pid)).sum::<u64>() - before;
    agent.kill().unwrap();
    agent.wait().unwrap();
    let mut sleepers = [(); 2].map(|()| Command::new("sleep").arg("60").spawn().unwrap());
    std::thread::sleep(Duration::from_millis(200));
    let least = sum(&sleepers.each_ref().map(std::process::Child::id), "Rss");
    sleepers.iter_mut().for_each(|one| one.kill().and_then(|()| one.wait().map(drop)).unwrap());
    println!(
        "agent_idle {FILES} approved files: resident {resident:.1} MiB in both processes, {:.1} x two that only sleep \
         ({least:.1} MiB); proportional {shared:.1} MiB; fell asleep {:.0} times a poll",
        resident / least,
        woken as f64 / f64::from(TICKS)
    );
}

/// A process and what it started.
fn family(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    std::iter::once(pid).chain(children.split_whitespace().map(|pid| pid.parse().unwrap())).collect()
}

/// MiB of this kind that the processes hold together (`proc_pid_smaps_rollup(5)`).
fn sum(pids: &[u32], kind: &str) -> f64 {
    let of = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(':')).unwrap().trim();
        line.trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    };
    pids.iter().map(of).sum()
}
