//! What an operator on the host sees without asking the server: the result of the last tick, as written by it, and the
//! run that is going on, as its files tell it.
//!
//! Never: a source of decisions; losing the file costs nothing. Never a lock or a write: an agent at work is not
//! disturbed.

mod now;
mod screen;

pub use now::{Process, RunningNow};

use crate::disk::Disk;
use crate::drift::{Entry, Upheld};
use crate::run::Told;
use crate::slots::Place;
use crate::state::{Open, Quarantined, Seen, StateError, read_own};
use serde::{Deserialize, Serialize};
use shared::ids::{AgentId, ChangeId, HostClass, SiteId};
use shared::strict;
use shared::time::Timestamp;
use std::path::Path;

/// Name below the state directory.
pub const FILE: &str = "status.json";

/// The last tick; `process` and `running` are of the moment in which it is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    pub at: Timestamp,
    pub site: SiteId,
    pub agent: AgentId,
    pub host_class: HostClass,
    pub agent_version: semver::Version,
    /// Which of the agent's programs runs.
    #[serde(default)]
    pub program: Place,
    /// The name under which the host joined.
    #[serde(default)]
    pub hostname: String,
    #[serde(default)]
    pub process: Process,
    /// The run that has begun and has no receipt yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<RunningNow>,
    /// What is applied here by approved changes, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved: Vec<Approved>,
    pub last_contact: Timestamp,
    /// Which address of the server is in use, where the host has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// 0 before the first policy.
    pub policy_version: u64,
    /// Last place in the host's chain of statements.
    pub seq: u64,
    /// Statements that the ledger has not proven yet.
    pub spooled: u64,
    /// Leaves of the ledger at the last verified checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_size: Option<u64>,
    /// What ends when: metadata roles and the TLS certificate.
    pub expiries: Vec<(String, Timestamp)>,
    pub changes: Vec<Told>,
    /// What is installed and not in effect yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Pending>,
    /// Why the machine should be rebooted, whoever changed it, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reboot: Vec<String>,
    /// What failed here, was undone and is not done again by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantine: Vec<Quarantined>,
    /// Where the host differs from what was approved for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Entry>,
    pub problems: Vec<String>,
    /// Facts that could not be found out, and local facts that are not used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fact_notes: Vec<String>,
    pub next: Timestamp,
}

/// A manifest as it was applied last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approved {
    /// `team/name`.
    pub manifest: String,
    pub version: semver::Version,
    /// The change that brought it; absent for a patch run, which leaves no state to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_id: Option<ChangeId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

impl Approved {
    pub(crate) fn all(seen: &Seen, upheld: &Upheld) -> Vec<Self> {
        let one = |(manifest, version): (&String, &semver::Version)| {
            let fits = |state: &&crate::drift::ApprovedState| {
                state.expected.manifest == *manifest && state.expected.version == *version
            };
            let state = upheld.states.iter().find(fits);
            Self {
                manifest: manifest.clone(),
                version: version.clone(),
                change_id: state.map(|state| state.expected.change_id.clone()),
                since: state.map(|state| state.since),
            }
        };
        seen.applied.iter().map(one).collect()
    }
}

/// A run whose software still waits for something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    pub change_id: ChangeId,
    pub revision: u32,
    pub installed: Timestamp,
    /// Reasons for a reboot and programs that use replaced files.
    pub waits_for: Vec<String>,
}

impl Pending {
    pub(crate) fn of(open: &Open) -> Self {
        let Open { running, patched, .. } = open;
        Self {
            change_id: running.change_id.clone(),
            revision: running.revision,
            installed: patched.installed,
            waits_for: patched.reboot.iter().chain(&patched.outdated).cloned().collect(),
        }
    }
}

impl Status {
    pub fn to_bytes(&self) -> Vec<u8> {
        strict::to_json(self)
    }

    /// The status that the last tick left, with what goes on now; `None` before the first tick.
    ///
    /// # Errors
    /// Unreadable or damaged.
    pub fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, StateError> {
        let Some(status) = read_own::<Self>(disk, &dir.join(FILE))? else { return Ok(None) };
        let (process, running) = (now::process(&dir.join("lock")), now::running(disk, dir)?);
        Ok(Some(Self { process, running, ..status }))
    }

    /// One screen for people: 24 lines of 80 columns at most.
    pub fn text(&self, now: Timestamp) -> String {
        screen::lines(self, now)
    }
}
