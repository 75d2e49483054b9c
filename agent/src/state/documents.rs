//! The documents of the state directory. Each says who goes on with it after a crash.

use crate::journal::{Effect, Lasting};
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::ids::{AgentId, BudgetName, ChangeId, SiteId};
use shared::plan::Action;
use shared::receipt::{HostOutcome, Patched, TufVersions};
use shared::refusal::Code;
use shared::strict::Map;
use shared::time::{Interval, Timestamp};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The site that this host belongs to; written last when joining, so its presence means "joined".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    pub site: SiteId,
    pub agent: AgentId,
    /// The name under which the host joined and people know it; the machine's own may differ.
    pub hostname: String,
    /// SHA-256 of the first root, from the join command.
    pub root_sha256: Digest,
    /// SHA-256 of the server's SubjectPublicKeyInfo on the people port, from the join command; none behind a proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Digest>,
    /// TLS ends in a proxy before the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
    /// `host:port` of the people port (joining, renewal).
    pub server: String,
    /// `host:port` of the agent port.
    pub agent_address: String,
}

/// By whose certificates the proxy is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// A file of certificate authorities; the machine's own ones when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<PathBuf>,
}

/// The head of the host's own chain of statements. After a crash the spool may be one ahead; `State::open`
/// takes that statement over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    pub seq: u64,
    pub prev: Digest,
}

/// Highest revision of a change that was admitted, and which statement it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenRevision {
    pub revision: u32,
    pub change: Digest,
    pub not_after: Timestamp,
}

/// A change that was started here. It never starts again, whatever is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Executed {
    pub change_id: ChangeId,
    pub revision: u32,
    pub change: Digest,
    pub interval: Interval,
    pub not_after: Timestamp,
    pub started: Timestamp,
    /// Absent while it runs; the resumed run sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<HostOutcome>,
    /// The repository has not stopped listing it since. When it comes back later, that is a replay.
    pub listed: bool,
    /// It was brought by hand: the repository lists it later, or never, and that is no replay.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
}

/// What must not be forgotten about the past (`seen.json`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    pub policy_version: u64,
    pub revisions: Map<ChangeId, SeenRevision>,
    pub executed: Vec<Executed>,
    /// Last applied version by `team/name`.
    pub applied: Map<String, semver::Version>,
}

impl Seen {
    pub fn executed(&self, change_id: &ChangeId, revision: u32) -> Option<&Executed> {
        self.executed.iter().find(|e| e.change_id == *change_id && e.revision == revision)
    }

    /// Forgets changes that ended so long ago that the clock's floor alone refuses them.
    pub(super) fn prune(&mut self, floor: Timestamp) {
        let over = |not_after: Timestamp| not_after.plus(7 * 86_400) < floor;
        self.executed.retain(|e| !over(e.not_after));
        self.revisions.0.retain(|_, r| !over(r.not_after));
    }
}

/// Times that bound the clock and the offline grace (`contact.json`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// The clock was at least here.
    pub floor: Timestamp,
    /// When the server last answered.
    pub last: Timestamp,
}

/// A run that has begun (`running.json`): everything its receipt needs besides the journal. Written before
/// the change counts as executed; whoever finds it at start resumes the journal and makes the receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Running {
    pub change_id: ChangeId,
    pub revision: u32,
    pub change: Digest,
    pub not_after: Timestamp,
    pub wave: u32,
    pub interval: Interval,
    pub plan: Digest,
    pub plan_set: Digest,
    pub approvals: Vec<Digest>,
    pub policy: Digest,
    pub policy_version: u64,
    pub self_approved: bool,
    /// One person broke the glass for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub breakglass: bool,
    /// A person brought it here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
    pub tuf: TufVersions,
    pub started: Timestamp,
    /// `team/name` and version of each manifest, noted as applied when the run succeeds.
    pub manifests: Vec<(String, semver::Version)>,
    /// Which start of the agent within the run this is, from 1.
    #[serde(default = "first_part")]
    pub part: u32,
    /// The budgets of which the host has a slot while it runs.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub slots: BTreeSet<BudgetName>,
    /// Present when the run only puts back what the change brought before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<Correcting>,
}

fn first_part() -> u32 {
    1
}

/// Which correction a run is, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correcting {
    /// The host's own count of its corrections.
    pub number: u64,
    /// The number of the finding that it answers.
    pub finding: u64,
}

/// A run whose software is not in effect yet (`open.json`): what its second receipt needs. Written before the run
/// is let go of; whoever finds it looks at each check-in whether the wait is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    pub running: Running,
    /// The receipt that is to be continued.
    pub receipt: Digest,
    pub outcome: HostOutcome,
    pub patched: Patched,
    pub lasting: Lasting,
}

/// What failed on this host and was undone (`quarantine.json`): together it is not done again until an approved
/// change lifts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quarantined {
    pub effects: BTreeSet<Effect>,
    pub change_id: ChangeId,
    pub revision: u32,
    pub at: Timestamp,
    /// The receipt that tells of it.
    pub receipt: Digest,
    /// Why it failed.
    pub why: String,
}

impl Quarantined {
    /// Whether a plan would do all of this again.
    pub fn is_in(&self, actions: &[Action]) -> bool {
        let planned: BTreeSet<Effect> = actions.iter().map(Effect::of).collect();
        self.effects.is_subset(&planned)
    }
}

/// One refusal that was signed, for its rate limit (`refused.json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedBefore {
    pub code: Code,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_id: Option<ChangeId>,
    /// Digest of the message.
    pub message: Digest,
    pub at: Timestamp,
}
