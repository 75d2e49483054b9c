//! What a host says of itself: enrolment, receipts, refusals. Each carries the host's key, so that anybody
//! can check it (the agent id is the hash of the key), and a place in the host's own chain (`seq`, `prev`).

use crate::digest::Digest;
use crate::health::HealthResult;
use crate::ids::{AgentId, ChangeId, HostClass, ResourceId, SiteId};
use crate::keys::PublicKey;
use crate::plan::Verb;
use crate::refusal::Refused;
use crate::reset::CameFrom;
use crate::secret::Recipient;
use crate::statement::{Predicate, Statement, Subject};
use crate::strict::ReadError;
use crate::time::{Interval, Timestamp};
use serde::{Deserialize, Serialize};

/// The last checkpoint of the ledger that the host has verified: each host is a witness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSeen {
    pub origin: String,
    pub size: u64,
    pub root: Digest,
}

/// The common head of everything that a host signs into its chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub site: SiteId,
    pub agent_id: AgentId,
    pub key: PublicKey,
    pub host_class: HostClass,
    /// Place in the host's chain, from 1 (the enrolment).
    pub seq: u64,
    /// Digest of the statement before; absent only at 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Digest>,
    pub at: Timestamp,
    /// Changes with each boot of the host.
    pub boot_id: String,
    pub agent_version: semver::Version,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_seen: Option<LogSeen>,
}

/// A host asks to belong to the site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    pub header: Header,
    pub hostname: String,
    /// SHA-256 of the one-time secret of the join command.
    pub token: Digest,
    /// Certificate signing request, PEM (RFC 2986); only its public key is used.
    pub csr: String,
    /// Public part of the host's own X25519 key, for secrets; absent where an older agent joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Recipient>,
    /// Where the host was before, when it changed sites.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came_from: Option<CameFrom>,
}

impl Predicate for Enrolment {
    const TYPE: &'static str = "urn:assent:enrolment:v1";

    fn subjects(&self) -> Vec<Subject> {
        vec![Subject::new(format!("agent:{}", self.header.agent_id), self.header.key.digest())]
    }
}

/// A host asks for a new certificate; authorised by its own key, so it works after expiry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    pub site: SiteId,
    pub agent_id: AgentId,
    pub key: PublicKey,
    pub at: Timestamp,
    pub csr: String,
}

impl Predicate for Renewal {
    const TYPE: &'static str = "urn:assent:renewal:v1";

    fn subjects(&self) -> Vec<Subject> {
        vec![Subject::new(format!("agent:{}", self.agent_id), self.key.digest())]
    }
}

/// How one step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum StepStatus {
    Done,
    /// Planned, but at its turn there was nothing left to do.
    Unneeded,
    Failed,
    /// Not started because an earlier step failed, the window closed or an operator halted.
    NotStarted,
    Undone,
    UndoFailed,
    /// The agent was stopped in the middle and cannot tell whether the step took effect.
    Unknown,
}

impl StepStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unneeded => "unneeded",
            Self::Failed => "failed",
            Self::NotStarted => "not_started",
            Self::Undone => "undone",
            Self::UndoFailed => "undo_failed",
            Self::Unknown => "unknown",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepResult {
    pub resource: ResourceId,
    pub verb: Verb,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
    pub after: Digest,
    pub status: StepStatus,
    /// Milliseconds by the monotonic clock.
    pub ms: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// How the change ended on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostOutcome {
    /// Every step done and every health check passed.
    Applied,
    /// The host already was as the change wants it; health checks passed.
    Unchanged,
    /// Failed, and everything done was undone.
    RolledBack,
    /// Failed, and something done remains.
    Failed,
    /// Every step done and every health check passed, but a part of it only works after the next boot: neither
    /// success nor failure. A second receipt follows when that is over.
    PendingReboot,
}

impl HostOutcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
            Self::PendingReboot => "pending_reboot",
        }
    }

    pub const ALL: [Self; 5] =
        [Self::Applied, Self::Unchanged, Self::RolledBack, Self::Failed, Self::PendingReboot];

    pub fn is_success(self) -> bool {
        self.succeeded() == Some(true)
    }

    /// `None` while that is not decided.
    pub fn succeeded(self) -> Option<bool> {
        match self {
            Self::Applied | Self::Unchanged => Some(true),
            Self::RolledBack | Self::Failed => Some(false),
            Self::PendingReboot => None,
        }
    }
}

/// Versions of the repository metadata that the decision was made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TufVersions {
    pub root: u64,
    pub timestamp: u64,
    pub snapshot: u64,
    pub targets: u64,
}

/// The times of new software, and what stood between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patched {
    /// The package manager was done with it.
    pub installed: Timestamp,
    /// Since when nothing on the host runs replaced files or an older kernel; absent while something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<Timestamp>,
    /// Since then the versions were looked at again and all health checks passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Timestamp>,
    /// Units that were restarted because they used replaced files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarted: Vec<String>,
    /// Units and programs that still use replaced files, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outdated: Vec<String>,
    /// Why the host has to be rebooted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reboot: Vec<String>,
}

/// What the host did for one change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    pub header: Header,
    pub change_id: ChangeId,
    pub revision: u32,
    /// Digest of the change's statement.
    pub change: Digest,
    pub wave: u32,
    pub interval: Interval,
    /// Digest of the approved plan's statement.
    pub plan: Digest,
    pub plan_set: Digest,
    pub approvals: Vec<Digest>,
    /// Digest of the policy document that the approvals were judged by.
    pub policy: Digest,
    pub policy_version: u64,
    /// Persons that counted include the author: nobody else looked.
    pub self_approved: bool,
    pub tuf: TufVersions,
    pub started: Timestamp,
    pub finished: Timestamp,
    pub results: Vec<StepResult>,
    pub health: Vec<HealthResult>,
    pub outcome: HostOutcome,
    /// Present when software was to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patched: Option<Patched>,
    /// The receipt that this one continues: nothing more was done, but what was pending is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Digest>,
    /// Corrective: the host's own number of the finding that it answers. The host has put back what the change had
    /// brought before, under its standing approval; nothing else was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects: Option<u64>,
    /// One person broke the glass for this run: no quorum, no window.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub breakglass: bool,
    /// One line for people: what failed, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Predicate for Receipt {
    const TYPE: &'static str = "urn:assent:receipt:v1";

    fn subjects(&self) -> Vec<Subject> {
        vec![Subject::new(format!("change:{}.{}", self.change_id, self.revision), self.change)]
    }
}

/// What the host did not do, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    pub header: Header,
    /// What was refused, as far as it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_id: Option<ChangeId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    /// Digest of the refused bytes or statement.
    pub evidence: Digest,
    pub reason: Refused,
    /// What was refused came with the word of somebody who breaks the glass.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub breakglass: bool,
}

impl Predicate for Refusal {
    const TYPE: &'static str = "urn:assent:refusal:v1";

    fn subjects(&self) -> Vec<Subject> {
        vec![Subject::new("refused", self.evidence)]
    }
}

/// A statement of a host's chain.
pub trait Chained: Predicate {
    fn header(&self) -> &Header;
}

impl Chained for Enrolment {
    fn header(&self) -> &Header {
        &self.header
    }
}

impl Chained for Receipt {
    fn header(&self) -> &Header {
        &self.header
    }
}

impl Chained for Refusal {
    fn header(&self) -> &Header {
        &self.header
    }
}

/// Reads a statement of a host's chain: right site, key belongs to the id, signed by that key, chain well-formed.
pub fn open_chained<P: Chained>(bytes: &[u8], site: &SiteId) -> Result<Statement<P>, ReadError> {
    let statement = Statement::<P>::parse(bytes)?;
    let header = statement.body.header();
    let invalid = |why: &str| Err(ReadError::Invalid { what: P::TYPE, why: why.into() });
    if header.site != *site {
        return invalid("it belongs to another site");
    }
    if header.key.agent_id() != header.agent_id {
        return invalid("its key does not belong to its agent id");
    }
    if !statement.is_signed_by(&header.key) {
        return invalid("it is not signed by the host's key");
    }
    if header.seq == 0 || (header.seq == 1) != header.prev.is_none() {
        return invalid("seq and prev do not form a chain");
    }
    Ok(statement)
}
