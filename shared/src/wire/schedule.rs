//! What happens when: who waits for what, and times in which nothing is planned.

use crate::change::Gate;
use crate::ids::{BudgetName, ChangeId};
use crate::time::{Interval, Timestamp};
use serde::{Deserialize, Serialize};

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

/// A wave of a change: where its hosts stand, and when it may begin. Its hosts are `waiting`, `refused`, `running`, `succeeded`,
/// `failed` or `pending`, each one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WaveLine {
    /// From 1 on, as people count them.
    pub wave: u32,
    pub targets: u32,
    /// How many of them have sent a plan.
    pub planned: u32,
    pub waiting: u32,
    pub refused: u32,
    pub running: u32,
    pub succeeded: u32,
    pub failed: u32,
    /// Done but for a reboot.
    pub pending: u32,
    /// What has to hold before it begins; none of the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// Whether the gate lets its hosts begin now; absent where nothing may begin anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
    /// What the gate waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the gate opens by itself, if nothing else happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens: Option<Timestamp>,
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
    /// Calendars whose times all of it lies in: those of windows in whose reach the hosts are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<String>,
    /// Budgets that let fewer of these hosts change at once than there are: a change takes several turns there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub short: Vec<ShortBudget>,
}

/// A disruption budget with fewer slots than hosts that it covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ShortBudget {
    pub budget: BudgetName,
    pub slots: u32,
    /// Of those that were looked at.
    pub hosts: u32,
}
