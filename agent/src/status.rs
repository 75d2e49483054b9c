//! What an operator on the host sees without asking the server: the result of the last tick, as written by it.
//!
//! Never: a source of decisions; losing the file costs nothing.

use crate::drift::Entry;
use crate::run::Told;
use crate::state::{Open, Quarantined, State, StateError};
use serde::{Deserialize, Serialize};
use shared::finding::{About, Expected, Transaction};
use shared::ids::{AgentId, ChangeId, HostClass, SiteId};
use shared::strict;
use shared::time::Timestamp;

/// Name below the state directory.
pub const FILE: &str = "status.json";

/// The last tick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    pub at: Timestamp,
    pub site: SiteId,
    pub agent: AgentId,
    pub host_class: HostClass,
    pub agent_version: semver::Version,
    pub last_contact: Timestamp,
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
    /// What failed here, was undone and is not done again by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantine: Vec<Quarantined>,
    /// Where the host differs from what was approved for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Entry>,
    pub problems: Vec<String>,
    pub next: Timestamp,
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

    /// The status that the last tick left; `None` before the first one.
    ///
    /// # Errors
    /// Unreadable or damaged.
    pub fn load(state: &State) -> Result<Option<Self>, StateError> {
        let Some(bytes) = state.read_file(FILE)? else { return Ok(None) };
        let damaged =
            |e: strict::ReadError| StateError::Damaged { path: state.dir().join(FILE), why: e.to_string() };
        strict::from_json("the status", &bytes, bytes.len()).map(Some).map_err(damaged)
    }

    /// As lines for people.
    pub fn text(&self, now: Timestamp) -> String {
        let mut text = String::new();
        let mut line = |label: &str, value: &str| {
            text.push_str(&format!("{label:<14}{}\n", shared::visible::line(value)));
        };
        line("site", &self.site.to_string());
        line("agent", &format!("{} ({})", self.agent, self.agent_version));
        line("host class", &self.host_class.to_string());
        line("last tick", &format!("{} ({} s ago), next {}", self.at, now.since(self.at), self.next));
        line("last contact", &format!("{} ({} s ago)", self.last_contact, now.since(self.last_contact)));
        line("policy", &format!("version {}", self.policy_version));
        let log = self.log_size.map(|size| format!(", ledger seen up to {size} leaves")).unwrap_or_default();
        line("statements", &format!("{} made, {} not proven yet{log}", self.seq, self.spooled));
        for (what, at) in &self.expiries {
            let left = at.since(now);
            let state = if left <= 0 { "EXPIRED".into() } else { format!("{} days left", left / 86_400) };
            line("expiry", &format!("{what} {at} ({state})"));
        }
        for told in &self.changes {
            let code = told.code.map(|code| format!(" {code}")).unwrap_or_default();
            let message = if told.message.is_empty() { String::new() } else { format!(": {}", told.message) };
            line(
                "change",
                &format!("{} revision {} {}{code}{message}", told.change_id, told.revision, told.standing),
            );
        }
        for Pending { change_id, revision, installed, waits_for } in &self.pending {
            let what = if waits_for.is_empty() { "a reboot".to_owned() } else { waits_for.join("; ") };
            line(
                "pending",
                &format!(
                    "{change_id} revision {revision} is installed since {installed}, not in effect: {what}"
                ),
            );
        }
        for Quarantined { effects, change_id, revision, at, why, .. } in &self.quarantine {
            let what: Vec<&str> = effects.iter().map(|effect| effect.resource.as_str()).collect();
            let what = what.join(", ");
            line("quarantine", &format!("{what} of {change_id} revision {revision} since {at}: {why}"));
        }
        for Entry { number, about, differences, more, first_seen, .. } in &self.findings {
            let what: Vec<&str> = differences.iter().take(5).map(|d| d.resource.as_str()).collect();
            let rest = differences.len() - what.len() + *more as usize;
            let rest = if rest == 0 { String::new() } else { format!(" and {rest} more") };
            let how = match about {
                About::State(Expected { manifest, version, change_id, .. }) => {
                    format!("differ from {manifest} {version} ({change_id}) since {first_seen}")
                }
                About::Packages(Transaction { when, .. }) => format!("were changed by others at {when}"),
            };
            line("finding", &format!("{number}: {}{rest} {how}", what.join(", ")));
        }
        for problem in &self.problems {
            line("problem", problem);
        }
        text
    }
}
