//! Disruption budgets between server and command line.

use crate::budgets::Holder;
use crate::ids::{AgentId, BudgetName, PersonId};
use crate::strict::Map;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A disruption budget, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Budget {
    /// Why no more of them at once, in one line.
    pub title: String,
    /// How many of its hosts may be changing at once; with 0 none may begin.
    pub slots: u32,
    /// It covers hosts that have all these labels. Without labels, hosts and search it covers all.
    #[serde(default)]
    pub labels: Map<String, String>,
    /// It covers these hosts as well.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hosts: BTreeSet<AgentId>,
    /// And the hosts that this search of the CMDB finds, such as `serves:shop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// Seconds after which the slot of a host that is not heard of any more is free again.
    pub lease_s: u32,
}

impl Budget {
    /// Long enough for a machine to start again.
    pub const LEASE_S: u32 = 1_800;
}

/// Stores the next revision of a budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PutBudget {
    /// The revision that it follows, 0 for the first: another one in between is not overwritten.
    pub after: u32,
    /// Why it is made or changed.
    pub reason: String,
    /// Absent: it ends, and nobody is held by it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

/// A budget in lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BudgetLine {
    pub name: BudgetName,
    pub revision: u32,
    pub title: String,
    pub slots: u32,
    pub taken: u32,
    /// How many hosts it covers now; absent when it covers all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<u32>,
}

/// One revision in the history of a budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BudgetStep {
    pub revision: u32,
    pub at: Timestamp,
    pub by: PersonId,
    pub reason: String,
    /// Absent: it ended then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

/// A budget with its history and whoever has a slot of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BudgetFile {
    pub name: BudgetName,
    /// Newest first.
    pub history: Vec<BudgetStep>,
    pub holders: Vec<Holder>,
}
