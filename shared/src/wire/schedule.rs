//! What happens when: who waits for what, and times in which nothing is planned.

use crate::ids::ChangeId;
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
