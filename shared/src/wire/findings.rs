//! Findings between server and command line: lists, judgements, rules.

use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::finding::{About, Presence, Transaction};
use crate::ids::{AgentId, ChangeId, ChangeRef, PersonId};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What people made of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Disposition {
    /// Nobody has said anything yet.
    Open,
    /// It stays: a change makes it the approved state afterwards.
    Accepted,
    /// Somebody brings the approved state back.
    Reverted,
    /// It does not matter, for a reason and until a time.
    Ignored,
    /// Somebody changed what nobody had approved: an incident.
    Confirmed,
}

impl Disposition {
    pub const ALL: [Self; 5] = [Self::Open, Self::Accepted, Self::Reverted, Self::Ignored, Self::Confirmed];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Reverted => "reverted",
            Self::Ignored => "ignored",
            Self::Confirmed => "confirmed",
        }
    }
}

/// A finding in lists, as its host said it last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FindingLine {
    pub id: u64,
    pub ci: String,
    pub hostname: String,
    pub agent: AgentId,
    /// The approved state that the host differs from, or what was done.
    pub about: About,
    /// What others did to packages that has brought it about; of one that is gone, what has ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Transaction>,
    /// The resources in one line.
    pub what: String,
    /// Equal findings of several hosts have the same.
    pub fingerprint: Digest,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub count: u32,
    pub flapping: bool,
    pub presence: Presence,
    pub disposition: Disposition,
    /// When an ignored finding is open again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The rule by which it is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u64>,
    /// The change that makes it the approved state, or brings that back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeId>,
    /// The retroactive change that is to accept it, as long as nobody has decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed: Option<Proposed>,
    /// Digest of the host's newest statement about it.
    pub statement: Digest,
}

/// A retroactive change that is not decided yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Proposed {
    pub change: ChangeId,
    /// `draft` or `review`.
    pub state: String,
}

/// A page of findings, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FindingPage {
    pub findings: Vec<FindingLine>,
    /// What to give as `before` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// One finding with the host's own words and everything that was made of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FindingFile {
    pub line: FindingLine,
    /// The host's newest signed statement about it.
    pub statement: Envelope,
    /// Oldest first.
    pub history: Vec<FindingStep>,
}

/// What somebody, or a rule, made of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FindingStep {
    pub at: Timestamp,
    /// Absent where the server did it: by a rule, or because the finding looked otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_person: Option<PersonId>,
    pub disposition: Disposition,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u64>,
}

/// One finding as the person saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SeenFinding {
    pub id: u64,
    /// Its digest then: a finding that looks otherwise by now is not judged.
    pub fingerprint: Digest,
}

/// Judges findings, all or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Dispose {
    /// 1 to 1,000.
    pub findings: Vec<SeenFinding>,
    pub disposition: Disposition,
    pub reason: String,
    /// Needed for `accepted`; allowed for `reverted` and `confirmed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeRef>,
    /// Needed for `ignored`, within a year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Dispose {
    /// Findings of one request.
    pub const MOST: usize = 1_000;
}

/// Asks for a rule by which findings are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewIgnoreRule {
    /// `team/name`; of all manifests when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// A resource id, or its beginning followed by `*`. A finding is ignored when all its resources fit.
    pub resource: String,
    pub reason: String,
    /// Within a year.
    pub until: Timestamp,
}

/// A rule by which findings are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IgnoreRule {
    pub id: u64,
    pub rule: NewIgnoreRule,
    pub made_by: PersonId,
    pub made_at: Timestamp,
}
