//! What happens when: conflicts of a change, and times in which nothing is planned.

use crate::ids::{AgentId, ChangeId};
use crate::time::{Interval, Timestamp};
use serde::{Deserialize, Serialize};

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
}

/// Hosts of a change that wait for the same, or are done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Waiting {
    pub change_id: ChangeId,
    /// `waiting`, `refused`, `running`, `reported` or `not_targeted`.
    pub standing: String,
    pub code: String,
    /// The words of one of them, or the server's.
    pub message: String,
    pub hosts: u32,
    /// Names of some of them.
    pub some: Vec<String>,
    /// The next moment at which the answer of one of them may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
}

/// Times in which hosts are closed by no blackout and no open change is planned on them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FreeTimes {
    /// The hosts that were looked at.
    pub hosts: u32,
    /// Ascending, with nothing in between that is free as well.
    pub free: Vec<Interval>,
}
