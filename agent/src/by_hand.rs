//! `assent-agent glass`: what a person brings by hand is handed to the agent, and its end is waited for.
//!
//! Never: a judgement of what is brought; the agent makes that, and signs it.

use super::{Ended, Failure, Log, Start, lock, not_joined, open, work};
use agent::config::Paths;
use agent::disk::{Disk as _, RealDisk};
use agent::run::{CARRIED, Report, Said, open_state};
use agent::say;
use agent::state::Executed;
use agent::status::Status;
use shared::bundle::Bundle;
use shared::carried::Carried;
use shared::digest::Digest;
use shared::ids::ChangeId;
use shared::limits;
use shared::receipt::HostOutcome;
use shared::time::Timestamp;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// The service hears of the file within seconds; a tick that waits for a server that does not answer takes longer.
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(500);
/// For the reason of a refusal: ten seconds.
const LOOKS: u32 = 20;
/// Files that wait at once; a person brings one after the other.
const WAITING: usize = 8;

type Key = (ChangeId, u32);

pub fn run(file: &Path, root: &Path) -> Result<(), Failure> {
    let paths = Paths::new(root);
    let state = open_state(&paths, Box::new(RealDisk)).map_err(not_joined)?;
    let bytes = read(file)?;
    let carried = Carried::parse(&bytes);
    let carried = carried.map_err(|why| Failure::Refused(format!("{}: {why}", file.display())))?;
    let key = show(&carried.bundle);
    let before = Before {
        ran: state.seen().executed(&key.0, key.1).is_some(),
        status: status(&paths)?.map_or(Timestamp(i64::MIN), |status| status.at),
    };
    drop(state);
    let waiting = hand_over(&paths, &bytes)?;
    match lock(&paths) {
        // Nobody works here, so this process does; its own lock is taken anew.
        Ok(free) => {
            drop(free);
            work(root, Log::None, take)
        }
        Err(Failure::Refused(_)) => wait(&paths, &waiting, &key, &before),
        Err(fault) => Err(fault),
    }
}

/// What was there before the file was handed over.
struct Before {
    /// The change has run on this host.
    ran: bool,
    /// The moment of the agent's last status.
    status: Timestamp,
}

fn status(paths: &Paths) -> Result<Option<Status>, Failure> {
    Status::load(&RealDisk, &paths.state()).map_err(Failure::fault)
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
    // What was refused is said once, at the end.
    let refused: Vec<String> = report.refusals.iter().map(Said::line).collect();
    report.lines.iter().filter(|line| !refused.contains(line)).for_each(|line| say::line(line));
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

/// The agent that works here takes it at its next tick. What has run before does not run again, so its end is a no.
fn wait(paths: &Paths, waiting: &str, key: &Key, before: &Before) -> Result<(), Failure> {
    say::line("handed to the agent that runs here; waiting for its end");
    let (file, since) = (paths.state().join(CARRIED).join(waiting), Instant::now());
    while since.elapsed() < PATIENCE {
        std::thread::sleep(PAUSE);
        if file.exists() {
            continue;
        }
        let state = open_state(paths, Box::new(RealDisk)).map_err(not_joined)?;
        match state.seen().executed(&key.0, key.1).filter(|_| !before.ran) {
            None => return Err(Failure::Refused(refusal(paths, key, before.status)?)),
            Some(Executed { outcome: Some(outcome), .. }) => {
                say::line(&format!("{} revision {}: {}", key.0, key.1, outcome.as_str()));
                return ended(key, *outcome);
            }
            Some(Executed { outcome: None, .. }) => {}
        }
    }
    Err(Failure::Refused("it has not come to its end yet; see assent-agent status".into()))
}

/// Why the agent said no: it writes that down at the end of its tick, which may go on for a moment.
fn refusal(paths: &Paths, (id, revision): &Key, before: Timestamp) -> Result<String, Failure> {
    for _ in 0..LOOKS {
        let changes =
            status(paths)?.filter(|status| status.at > before).map_or_else(Vec::new, |status| status.changes);
        let told = changes.into_iter().find(|told| told.change_id == *id && told.revision == *revision);
        if let Some((code, message)) = told.and_then(|told| Some((told.code?, told.message))) {
            return Ok(format!("{code}: {message}"));
        }
        std::thread::sleep(PAUSE);
    }
    Ok("the agent refused it; see assent-agent status".into())
}
