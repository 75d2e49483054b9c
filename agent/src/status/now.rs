//! What goes on at this moment, read from the files of an agent at work.

use crate::disk::Disk;
use crate::journal::{self, Log};
use crate::state::{Running, StateError, read_own};
use serde::{Deserialize, Serialize};
use shared::ids::ChangeId;
use shared::time::Timestamp;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const LOCKS: &str = "/proc/locks";

/// Whether an agent works here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Process {
    Works,
    Absent,
    /// The kernel does not tell.
    #[default]
    Unknown,
}

/// A run that has begun and has no receipt yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunningNow {
    pub change_id: ChangeId,
    pub revision: u32,
    pub started: Timestamp,
    /// Steps that have ended, and all of them; both 0 before the first one is written down.
    pub done: u32,
    pub steps: u32,
    /// The step that is under way, or comes next, in words; empty when there is none any more.
    pub doing: String,
    /// Why it is being taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoing: Option<String>,
}

/// Whether somebody holds the lock of the state directory. It is not tried: whoever tried it would keep an agent that
/// starts at that moment from starting.
pub fn process(lock: &Path) -> Process {
    let (Ok(file), Ok(locks)) = (lock.metadata(), std::fs::read_to_string(LOCKS)) else {
        return if lock.exists() { Process::Unknown } else { Process::Absent };
    };
    if is_held(&locks, file.ino()) { Process::Works } else { Process::Absent }
}

/// `1: FLOCK  ADVISORY  WRITE 1234 08:01:131 0 EOF` (proc_locks(5)).
fn is_held(locks: &str, inode: u64) -> bool {
    locks.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.nth(1) == Some("FLOCK")
            && words.nth(3).and_then(|place| place.rsplit(':').next()?.parse().ok()) == Some(inode)
    })
}

/// The run that is going on, or was broken off.
pub fn running(disk: &dyn Disk, dir: &Path) -> Result<Option<RunningNow>, StateError> {
    let Some(running) = read_own::<Running>(disk, &dir.join("running.json"))? else { return Ok(None) };
    let path = dir.join("journal");
    let damaged = |why: std::io::Error| StateError::Io { action: "read", path: path.clone(), source: why };
    // The journal may still be about the run before.
    let correction = running.correction.map(|correcting| correcting.number);
    let this = |log: &Log| (log.start.change, log.start.correction) == (running.change, correction);
    let log = journal::glance(disk, &path).map_err(damaged)?.filter(this);
    Ok(Some(tell(&running, log.as_ref())))
}

fn tell(running: &Running, log: Option<&Log>) -> RunningNow {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let ended = |log: &Log| log.steps.iter().filter(|step| step.after.is_some()).count();
    let under_way = |log: &Log| {
        let place = log.steps.iter().position(|step| step.before.is_some() && step.after.is_none());
        let place = place.or_else(|| log.steps.iter().position(|step| step.after.is_none()))?;
        log.start.actions.get(place).map(|action| action.summary.clone())
    };
    let doing = match log {
        None => "preparing the first step".to_owned(),
        Some(log) if log.outcome.is_some() => "making the receipt".to_owned(),
        Some(log) if log.failure.is_some() => "taking back what was done".to_owned(),
        Some(log) => under_way(log).unwrap_or_else(|| "health checks".to_owned()),
    };
    RunningNow {
        change_id: running.change_id.clone(),
        revision: running.revision,
        started: running.started,
        done: count(log.map_or(0, ended)),
        steps: count(log.map_or(0, |log| log.steps.len())),
        doing,
        undoing: log.and_then(|log| log.failure.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_without_being_tried() {
        let locks =
            "1: POSIX  ADVISORY  WRITE 12 08:01:131 0 EOF\n2: FLOCK  ADVISORY  WRITE 34 08:01:132 0 EOF\nx\n";
        assert_eq!((is_held(locks, 131), is_held(locks, 132), is_held("", 132)), (false, true, false));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert_eq!(process(&path), Process::Absent);
        let file = std::fs::File::options().create(true).append(true).open(&path).unwrap();
        assert_eq!(process(&path), Process::Absent);
        file.try_lock().unwrap();
        assert_eq!(process(&path), Process::Works);
        drop(file);
        assert_eq!(process(&path), Process::Absent);
    }
}
