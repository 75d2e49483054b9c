//! What gets in the way of a change, and which of it keeps the change from being approved.

use crate::change::ChangeType;
use crate::ids::AgentId;
use crate::time::Interval;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What gets in the way of a change, or of the hosts that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ConflictKind {
    /// A blackout leaves hosts nothing of the change's windows.
    Closed,
    /// A blackout takes a part of the windows.
    Blackout,
    /// A calendar that only warns.
    Warning,
    /// Another change may run on the same hosts at the same time.
    SameHosts,
    /// Another change may run at the same time on what hosts of this one stand on, or on what relies on them.
    Related,
    /// A disruption budget lets fewer hosts change at once than there are of the change.
    Slots,
}

/// One conflict of a change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Conflict {
    pub kind: ConflictKind,
    /// The calendar, the other change or the budget.
    pub with: String,
    pub title: String,
    /// The first time at which both are.
    pub at: Interval,
    /// How many hosts of the change it is about.
    pub hosts: u32,
    /// Some of them.
    pub some: Vec<AgentId>,
    /// By the policy the change is not approved while this stands.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blocks: bool,
}

impl ConflictKind {
    /// As documents write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Blackout => "blackout",
            Self::Warning => "warning",
            Self::SameHosts => "same_hosts",
            Self::Related => "related",
            Self::Slots => "slots",
        }
    }
}

/// Which conflicts keep a change from being approved; all others only warn. The server sees to it, for no host knows of other
/// changes, and so it protects against oversight and not against a taken-over server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConflictRules {
    pub block: BTreeSet<ConflictKind>,
    /// Types of changes that are approved all the same.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub except: BTreeSet<ChangeType>,
}

impl ConflictRules {
    pub fn blocks(&self, of: ChangeType, kind: ConflictKind) -> bool {
        self.block.contains(&kind) && !self.except.contains(&of)
    }
}
