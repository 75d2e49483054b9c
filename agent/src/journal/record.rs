//! One line a record: length, checksum, JSON. A line that does not check out can only be the last one.

use crate::resource::Found;
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::health::HealthResult;
use shared::ids::ResourceId;
use shared::manifest::HealthCheck;
use shared::plan::{Action, HealthProgram, Verb};
use shared::receipt::{HostOutcome, Patched, StepResult, StepStatus};
use shared::strict;
use shared::time::{Interval, Timestamp};
use std::io;

/// Place of a step in the plan, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Step(pub usize);

/// Everything that a resumer needs besides the records that follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Digest of the change's statement.
    pub change: Digest,
    /// Digest of the approved plan's statement.
    pub plan: Digest,
    /// The number of a correction; absent when the change itself runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<u64>,
    pub actions: Vec<Action>,
    /// No step starts after its end.
    pub interval: Interval,
    /// Whether a failed run is taken back by the host itself.
    pub automatic_undo: bool,
    /// Health checks with their templates rendered.
    pub health: Vec<HealthCheck>,
    /// What those that run programs were approved to run.
    #[serde(default)]
    pub health_programs: Vec<HealthProgram>,
    pub started: Timestamp,
    /// Why the machine should have been rebooted before the run already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reboot_reasons: Vec<String>,
}

/// What a step ends with, as approvals bind it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    pub resource: ResourceId,
    pub verb: Verb,
    pub after: Digest,
}

impl Effect {
    pub fn of(action: &Action) -> Self {
        Self { resource: action.resource.clone(), verb: action.verb, after: action.after }
    }
}

/// What is looked at again while something of the run is not in effect yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lasting {
    /// The run, with its packages and health checks only.
    pub start: Start,
    /// The boot in which the run ended.
    pub boot_id: String,
}

/// How a run ended; the part of the receipt that the run itself decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    pub results: Vec<StepResult>,
    pub health: Vec<HealthResult>,
    pub outcome: HostOutcome,
    /// One line for people: what failed, or empty.
    pub note: String,
    /// Present when software was to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patched: Option<Patched>,
    /// Present while `patched` is not in effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasting: Option<Lasting>,
    /// What failed and was undone: together it does not come back by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantine: Vec<Effect>,
}

impl Outcome {
    /// One without steps.
    pub fn bare(outcome: HostOutcome, note: String) -> Self {
        Self {
            results: Vec::new(),
            health: Vec::new(),
            outcome,
            note,
            patched: None,
            lasting: None,
            quarantine: Vec::new(),
        }
    }
}

/// One thing that is durable before or after something happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// Nothing is done yet. Resumer: `apply::resume`.
    Start(Box<Start>),
    /// The step may be done, half done or not done. Resumer: `apply::resume` looks.
    Before(Step, Found),
    /// The step has ended (status, milliseconds, note). Resumer: `apply::resume`.
    After(Step, StepStatus, u64, String),
    /// The packages are in place since then. Resumer: `apply::resume`.
    Installed(Timestamp),
    /// Units that were restarted because they used replaced files. Resumer: `apply::resume`.
    Restarted(Vec<String>),
    /// Why the machine is not rebooted in this run; everything else goes on. Resumer: `apply::resume`.
    Deferred(String),
    /// Why the run is taken back or left as it is. Resumer: `apply::resume` goes on undoing.
    Failure(String),
    /// The step may be undone. Resumer: `apply::resume` undoes states again, commands never twice.
    UndoBefore(Step),
    /// The step is undone, or why not. Resumer: `apply::resume`.
    UndoAfter(Step, Option<String>),
    /// Checks have run. Resumer: `apply::resume`, which runs them again.
    Health(Vec<HealthResult>),
    /// The run has ended. Resumer: whoever makes receipts.
    Finished(Box<Outcome>),
    /// The receipt is signed and spooled. Resumer: none.
    ReceiptMade(Digest),
}

const CHECK_BYTES: usize = 16;

/// The line of a record.
pub fn line(record: &Record) -> Vec<u8> {
    let json = strict::to_json(record);
    let check = Digest::of(&json).hex();
    let mut line = format!("{} {} ", json.len(), &check[..CHECK_BYTES]).into_bytes();
    line.extend_from_slice(&json);
    line.push(b'\n');
    line
}

/// The records of a file and how many of its bytes they fill; what follows is one torn record.
///
/// # Errors
/// A damaged record that is followed by a whole one: the file was changed by something else than a crash.
pub fn read(bytes: &[u8]) -> io::Result<(Vec<Record>, usize)> {
    let mut records = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match one(&bytes[at..]) {
            Some((record, length)) => {
                records.push(record);
                at += length;
            }
            None => {
                // A torn record is the last one; a whole one behind it means damage.
                if (at + 1..bytes.len()).any(|later| one(&bytes[later..]).is_some()) {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("it is damaged at byte {at}"),
                    ));
                }
                break;
            }
        }
    }
    Ok((records, at))
}

fn one(bytes: &[u8]) -> Option<(Record, usize)> {
    let space = bytes.iter().take(12).position(|b| *b == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let start = space + 1 + CHECK_BYTES + 1;
    let end = start.checked_add(length)?;
    let (check, json) = (bytes.get(space + 1..start - 1)?, bytes.get(start..end)?);
    if bytes.get(end) != Some(&b'\n')
        || bytes.get(start - 1) != Some(&b' ')
        || Digest::of(json).hex().as_bytes()[..CHECK_BYTES] != *check
    {
        return None;
    }
    Some((serde_json::from_slice(json).ok()?, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_end_is_dropped_and_a_damaged_middle_is_an_error() {
        let records: Vec<Record> = (0..3).map(|n| Record::Failure(format!("why {n}\n"))).collect();
        let lines: Vec<Vec<u8>> = records.iter().map(line).collect();
        let all = lines.concat();
        assert_eq!(read(&all).unwrap(), (records.clone(), all.len()));
        let two = lines[0].len() + lines[1].len();
        for cut in two..all.len() {
            assert_eq!(read(&all[..cut]).unwrap(), (records[..2].to_vec(), two), "cut at {cut}");
        }
        for at in 0..two {
            let mut bad = all.clone();
            bad[at] ^= 1;
            assert!(read(&bad).is_err(), "byte {at}");
        }
    }
}
