//! Mismatches between server and command line: where what is declared and what is observed do not fit together.

use super::Disposition;
use crate::finding::Presence;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum MismatchKind {
    /// Declared as planned or retired, and its agent checks in.
    Lifecycle,
    /// In use, and not heard of for a week.
    Silent,
    /// Of other hosts something is declared, of this one nothing.
    Undeclared,
    /// The host's local fact `environment` says something else.
    Environment,
    /// The host's local fact `owner` says something else.
    Owner,
    /// Said to run on something, and the host runs on bare metal.
    RunsOn,
    /// Two hosts report the serial number of one machine.
    SameHardware,
    /// Two hosts have one name.
    SameName,
}

impl MismatchKind {
    pub const ALL: [Self; 8] = [
        Self::Lifecycle,
        Self::Silent,
        Self::Undeclared,
        Self::Environment,
        Self::Owner,
        Self::RunsOn,
        Self::SameHardware,
        Self::SameName,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lifecycle => "lifecycle",
            Self::Silent => "silent",
            Self::Undeclared => "undeclared",
            Self::Environment => "environment",
            Self::Owner => "owner",
            Self::RunsOn => "runs_on",
            Self::SameHardware => "same_hardware",
            Self::SameName => "same_name",
        }
    }
}

/// A mismatch in lists. The server finds it; no host signs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MismatchLine {
    pub id: u64,
    pub ci: String,
    pub name: String,
    pub kind: MismatchKind,
    pub declared: String,
    pub observed: String,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// How often it appeared or came to look otherwise.
    pub count: u32,
    pub presence: Presence,
    pub disposition: Disposition,
    /// Why it was judged so last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When an ignored one is open again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A page of mismatches, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MismatchPage {
    pub mismatches: Vec<MismatchLine>,
    /// What to give as `before` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// One mismatch as the person saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SeenMismatch {
    pub id: u64,
    /// Its count then: one that looks otherwise by now is not judged.
    pub count: u32,
}

/// Judges mismatches, all or none. There is nothing to accept or revert: whoever declares what is so, or changes the host,
/// makes it go away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DisposeMismatches {
    /// 1 to 1,000.
    pub mismatches: Vec<SeenMismatch>,
    /// `open`, `ignored` or `confirmed`.
    pub disposition: Disposition,
    pub reason: String,
    /// Needed for `ignored`, within a year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}
