//! Entries of the CMDB as lists and commands show them: what hosts reported, what receipts put there, and what was before.

use super::cmdb::{CiThen, DeclaredFile, RelationLine};
use crate::digest::Digest;
use crate::facts::Facts;
use crate::health::HealthState;
use crate::ids::{AgentId, ChangeId, HostClass, PersonId, ResourceId};
use crate::plan::Verb;
use crate::plugin::Metric;
use crate::receipt::StepStatus;
use crate::strict::Map;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// An entry of the CMDB in lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CiLine {
    /// Such as `CI-7`.
    pub ci: String,
    /// Its class: `service`, `host`, `software`, `device` or `data`.
    pub kind: String,
    pub name: String,
    pub created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_class: Option<HostClass>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// When the host last reported facts, and their digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Digest>,
    /// In a list that was asked for by facts: what fits, such as `tcp 0.0.0.0:22 sshd`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matched: Vec<String>,
}

/// One entry of the CMDB with everything recorded about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CiFile {
    pub line: CiLine,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
    /// What people declared of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<DeclaredFile>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relations: Vec<RelationLine>,
    /// As recorded by receipts, by resource.
    pub states: Vec<CiState>,
    /// What its health checks said last, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<CiHealth>,
    /// Newest first; older entries are left out beyond a limit.
    pub history: Vec<CiEvent>,
    /// Of an entry as it was at a time: what its host had reported by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<CiThen>,
}

/// What the last receipt said about one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CiState {
    pub resource: ResourceId,
    /// Digest of the state; absent when the host could not say what is there now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Digest>,
    pub verb: Verb,
    pub outcome: StepStatus,
    pub summary: String,
    pub change_id: ChangeId,
    pub revision: u32,
    /// `team/name@version` of the manifests that the change had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<String>,
    /// Persons whose approvals the host counted.
    pub approved_by: Vec<PersonId>,
    pub applied_at: Timestamp,
    pub receipt: Digest,
    pub ledger_index: u64,
    /// Of software: when it was installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_at: Option<Timestamp>,
    /// Of software: since when nothing on the host runs what it replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<Timestamp>,
    /// Of software: when it was looked at again and all checks passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Timestamp>,
}

/// What a health check of a CI said last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CiHealth {
    pub name: String,
    pub state: HealthState,
    /// Since when it says so.
    pub since: Timestamp,
    pub at: Timestamp,
    pub output: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// Digest of the host's statement that says so.
    pub statement: Digest,
}

/// What a health check of a CI said at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HealthPoint {
    pub at: Timestamp,
    pub state: HealthState,
    /// By label: value and unit as the check wrote them, such as `6MB`; `U` where it could not tell.
    #[serde(default, skip_serializing_if = "crate::strict::Map::is_empty")]
    pub values: Map<String, String>,
}

/// One entry of a CI's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CiEvent {
    pub at: Timestamp,
    /// `enrolled`, `disabled`, `enabled`, `labelled`, `held`, `facts`, `applied`, `unchanged`, `rolled_back`,
    /// `failed`, `pending_reboot`, `refused`, `differs`, `as_approved`, `by_others`, `health`, `corrected`,
    /// `not_corrected`, `accepted`, `mismatch`, `trust_reset`, `retired` or `succeeded`.
    pub kind: String,
    pub summary: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_person: Option<PersonId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_id: Option<ChangeId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    /// Digest of the statement that this entry follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_index: Option<u64>,
}
