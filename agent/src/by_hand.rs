//! `assent-agent glass`: what a person brings by hand is handed to the agent, and its end is waited for.
//!
//! Never: a judgement of what is brought; the agent makes that, and signs it.

use super::{Ended, Failure, Log, Start, lock, not_joined, open, print, work};
use agent::config::Paths;
use agent::disk::{Disk as _, RealDisk};
use agent::run::{CARRIED, Report, open_state};
use agent::say;
use agent::state::Executed;
use shared::bundle::Bundle;
use shared::carried::Carried;
use shared::digest::Digest;
use shared::ids::ChangeId;
use shared::limits;
use shared::receipt::HostOutcome;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// The service hears of the file within seconds; a tick that waits for a server that does not answer takes longer.
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(500);
/// Files that wait at once; a person brings one after the other.
const WAITING: usize = 8;

type Key = (ChangeId, u32);

pub fn run(file: &Path, root: &Path) -> Result<(), Failure> {
    let paths = Paths::new(root);
    drop(open_state(&paths, Box::new(RealDisk)).map_err(not_joined)?);
    let bytes = read(file)?;
    let carried = Carried::parse(&bytes);
    let carried = carried.map_err(|why| Failure::Refused(format!("{}: {why}", file.display())))?;
    let key = show(&carried.bundle);
    let waiting = hand_over(&paths, &bytes)?;
    match lock(&paths) {
        // Nobody works here, so this process does; its own lock is taken anew.
        Ok(free) => {
            drop(free);
            work(root, Log::None, take)
        }
        Err(Failure::Refused(_)) => wait(&paths, &waiting, &key),
        Err(fault) => Err(fault),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let most = limits::CARRIED_BYTES as u64 + 1;
    let read = File::open(file).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(|e| Failure::Refused(format!("cannot read {}: {e}", file.display())))?;
    Ok(bytes)
}

/// What it says of itself, before anybody has verified it.
fn show(bundle: &Bundle) -> Key {
    let change = &bundle.change.body;
    say::line(&format!("{} revision {}: {}", change.change_id, change.revision, change.title));
    for word in bundle.approvals.iter().map(|word| &word.body) {
        if let Some(glass) = &word.breakglass {
            say::line(&format!(
                "{} breaks the glass from {} to {}: {}",
                word.person, word.at, word.expires, glass.reason
            ));
        }
    }
    (change.change_id.clone(), change.revision)
}

/// Puts the file where the agent looks for it; the name of the same file is the same.
fn hand_over(paths: &Paths, bytes: &[u8]) -> Result<String, Failure> {
    let (dir, name) = (paths.state().join(CARRIED), format!("{}.json", Digest::of(bytes)));
    let failed = |e| Failure::Fault(format!("cannot hand it over in {}: {e}", dir.display()));
    if RealDisk.list(&dir).map_err(failed)?.len() >= WAITING {
        let message = format!("{WAITING} files wait in {} already; see assent-agent status", dir.display());
        return Err(Failure::Refused(message));
    }
    RealDisk.write(&dir.join(&name), bytes).map_err(failed)?;
    Ok(name)
}

fn take(root: &Path, start: Start) -> Result<Ended, Failure> {
    let (agent, _lock) = open(&Paths::new(root), RealDisk, lock)?;
    let report = agent.troubled(start.trouble).stuck(start.stuck).carried();
    print(&report);
    match report.leaving {
        true => Ok(Ended::Leaving),
        false => judged(&report).map(|()| Ended::Done),
    }
}

fn judged(report: &Report) -> Result<(), Failure> {
    if let Some(fault) = report.faults.first() {
        return Err(Failure::Fault(fault.clone()));
    }
    match (report.ran.last(), report.refusals.last()) {
        (Some((id, revision, outcome)), None) => ended(&(id.clone(), *revision), *outcome),
        (_, Some(said)) => Err(Failure::Refused(said.reason.to_string())),
        (None, None) => Err(Failure::Refused("nothing was begun; see assent-agent status".into())),
    }
}

fn ended((id, revision): &Key, outcome: HostOutcome) -> Result<(), Failure> {
    match outcome.succeeded() {
        Some(false) => Err(Failure::Refused(format!("{id} revision {revision} ended: {}", outcome.as_str()))),
        Some(true) | None => Ok(()),
    }
}

/// The agent that works here takes it at its next tick.
fn wait(paths: &Paths, waiting: &str, key: &Key) -> Result<(), Failure> {
    say::line("handed to the agent that runs here; waiting for its end");
    let (file, since) = (paths.state().join(CARRIED).join(waiting), Instant::now());
    while since.elapsed() < PATIENCE {
        std::thread::sleep(PAUSE);
        if file.exists() {
            continue;
        }
        let state = open_state(paths, Box::new(RealDisk)).map_err(not_joined)?;
        match state.seen().executed(&key.0, key.1) {
            None => return Err(Failure::Refused("the agent refused it; see assent-agent status".into())),
            Some(Executed { outcome: Some(outcome), .. }) => {
                say::line(&format!("{} revision {}: {}", key.0, key.1, outcome.as_str()));
                return ended(key, *outcome);
            }
            Some(Executed { outcome: None, .. }) => {}
        }
    }
    Err(Failure::Refused("it has not come to its end yet; see assent-agent status".into()))
}
