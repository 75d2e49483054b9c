//! Configuration items, their history and their as-recorded state.

use crate::kernel::error::Error;
use shared::digest::Digest;
use shared::health::{HealthResult, HealthState};
use shared::ids::{AgentId, ChangeId, HostClass, PersonId, ResourceId};
use shared::plan::Verb;
use shared::plugin::Metric;
use shared::receipt::StepStatus;
use shared::time::Timestamp;
use std::fmt;
use std::str::FromStr;

/// A configuration item: `CI-` and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CiId(pub i64);

impl fmt::Display for CiId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CI-{}", self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a configuration item, such as CI-7")]
pub struct NotACi;

impl FromStr for CiId {
    type Err = NotACi;
    fn from_str(text: &str) -> Result<Self, NotACi> {
        let number = text.strip_prefix("CI-").and_then(|number| number.parse().ok());
        number.map(Self).filter(|id| id.0 > 0 && id.to_string() == text).ok_or(NotACi)
    }
}

impl<'de> serde::Deserialize<'de> for CiId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a history entry tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Enrolled,
    Disabled,
    Enabled,
    Labelled,
    /// Two machines speak as this host: it gets no new work until someone looks.
    Held,
    /// Operating system, kernel or machine type differ from before.
    Facts,
    Applied,
    Unchanged,
    RolledBack,
    Failed,
    /// Applied, and a part of it only works after the next boot.
    PendingReboot,
    Refused,
    /// The host is not as it was approved.
    Differs,
    /// A difference is gone.
    AsApproved,
    /// The host was changed or restarted, and not by an approved change.
    ByOthers,
    /// A health check says something else than before.
    Health,
    /// The host has put back what an approved change had brought.
    Corrected,
    /// It has tried to, and it is as it was found.
    NotCorrected,
    /// A person has said something else of it, or related it otherwise.
    Declared,
    /// A finding of the host was accepted by a retroactive change.
    Accepted,
    /// What is declared and what is observed do not fit together, or do again.
    Mismatch,
    /// The host has left for another site.
    TrustReset,
    /// A change has taken the host out of the register.
    Retired,
    /// A change says that the machine goes on with another key.
    Succeeded,
}

impl EventKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::Labelled => "labelled",
            Self::Held => "held",
            Self::Facts => "facts",
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
            Self::PendingReboot => "pending_reboot",
            Self::Refused => "refused",
            Self::Differs => "differs",
            Self::AsApproved => "as_approved",
            Self::ByOthers => "by_others",
            Self::Health => "health",
            Self::Corrected => "corrected",
            Self::NotCorrected => "not_corrected",
            Self::Declared => "declared",
            Self::Accepted => "accepted",
            Self::Mismatch => "mismatch",
            Self::TrustReset => "trust_reset",
            Self::Retired => "retired",
            Self::Succeeded => "succeeded",
        }
    }
}

/// A history entry to be added; entries are never changed or removed.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub ci: CiId,
    pub at: Timestamp,
    pub kind: EventKind,
    /// One line in the words of the statement or the person; may be empty.
    pub summary: String,
    pub by: Option<PersonId>,
    pub change: Option<(ChangeId, u32)>,
    /// Digest and ledger index of the statement that this follows from.
    pub statement: Option<(Digest, u64)>,
}

impl NewEvent {
    pub fn new(ci: CiId, at: Timestamp, kind: EventKind, summary: impl Into<String>) -> Self {
        Self { ci, at, kind, summary: summary.into(), by: None, change: None, statement: None }
    }
}

/// What a receipt says about one resource.
#[derive(Debug, Clone)]
pub struct NewState {
    /// The entry that its host got when it joined.
    pub ci: CiId,
    pub resource: ResourceId,
    /// Absent when the host could not say what is there now.
    pub state: Option<Digest>,
    pub verb: Verb,
    pub outcome: StepStatus,
    pub summary: String,
    pub change: (ChangeId, u32),
    pub approved_by: Vec<PersonId>,
    pub applied_at: Timestamp,
    pub receipt: Digest,
    pub ledger_index: u64,
    /// Its place in the host's chain.
    pub seq: u64,
    /// `team/name@version` of those that the change had.
    pub manifests: Vec<String>,
    /// Of software: when it was installed, and since when it is in effect and verified.
    pub software: Option<(Timestamp, Option<Timestamp>, Option<Timestamp>)>,
}

/// A receipt says since when the software of an earlier one is in effect.
#[derive(Debug, Clone)]
pub struct NewEffect {
    /// The entry that its host got when it joined.
    pub ci: CiId,
    /// The earlier one.
    pub receipt: Digest,
    /// The place of the later one in the host's chain, and when it was made.
    pub seq: u64,
    pub at: Timestamp,
    pub effective: Option<Timestamp>,
    pub verified: Option<Timestamp>,
}

/// What a host says about one of its health checks.
#[derive(Debug, Clone)]
pub struct NewHealth {
    pub name: String,
    pub state: HealthState,
    pub at: Timestamp,
    pub output: String,
    pub metrics: Vec<Metric>,
}

impl NewHealth {
    pub fn of(result: &HealthResult, at: Timestamp) -> Self {
        let HealthResult { name, output, metrics, .. } = result.clone();
        Self { name, state: result.state(), at, output, metrics }
    }
}

/// A managed host that becomes a configuration item.
#[derive(Debug, Clone)]
pub struct NewHost {
    pub name: String,
    pub agent: AgentId,
    pub host_class: HostClass,
}

/// The change from which something in the register follows, and its words.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    pub author: &'a PersonId,
    pub change: (ChangeId, u32),
    pub title: &'a str,
}

/// A machine goes on under its entry with another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Succession {
    pub entry: CiId,
    /// The entry that the successor got when it joined.
    pub former: CiId,
    pub predecessor: AgentId,
    pub successor: AgentId,
}

/// Texts of hosts as they may stand in a line and in a database: no control characters, of bounded length.
pub fn one_line(text: &str) -> String {
    const LONGEST: usize = 300;
    let mut line: String = text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

/// A word stored by this program that it does not know any more.
pub(super) fn unknown(what: &str, text: &str) -> Error {
    Error::fault("reading the CMDB", format!("{what} {text:?} in the database is not valid"))
}
