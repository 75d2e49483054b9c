//! Calendars between server and command line: times in which nothing starts, or which people are warned of.

use crate::change::ChangeType;
use crate::ids::{AgentId, PersonId};
use crate::strict::Map;
use crate::time::{Interval, Timestamp};
use crate::windows::{CalendarName, WindowRule};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What the times of a calendar do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum CalendarMode {
    /// Hosts start nothing then.
    Hard,
    /// People are told, hosts are not.
    Warn,
}

impl CalendarMode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Warn => "warn",
        }
    }
}

/// A blackout calendar, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Calendar {
    /// Why nothing starts then, in one line.
    pub title: String,
    pub mode: CalendarMode,
    /// It holds hosts that have all these labels. Without labels, hosts and search it holds all.
    #[serde(default)]
    pub labels: Map<String, String>,
    /// It holds these hosts as well.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hosts: BTreeSet<AgentId>,
    /// And the hosts that this search of the CMDB finds, such as `serves:shop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// The types of changes that it holds; never retroactive ones, which no host runs.
    pub holds: BTreeSet<ChangeType>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<WindowRule>,
    /// Single times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<Interval>,
}

/// Stores the next revision of a calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PutCalendar {
    /// The revision that it follows, 0 for the first: another one in between is not overwritten.
    pub after: u32,
    /// Why it is made or changed.
    pub reason: String,
    /// Absent: it ends, and nothing is held by it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<Calendar>,
}

/// A calendar in lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CalendarLine {
    pub name: CalendarName,
    pub revision: u32,
    pub title: String,
    pub mode: CalendarMode,
    /// How many hosts it holds now; absent when it holds all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<u32>,
    /// The time that is now, or the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Interval>,
}

/// One revision in the history of a calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CalendarStep {
    pub revision: u32,
    pub at: Timestamp,
    pub by: PersonId,
    pub reason: String,
    /// Absent: it ended then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<Calendar>,
}

/// A calendar with its history and the times that come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CalendarFile {
    pub name: CalendarName,
    /// Newest first.
    pub history: Vec<CalendarStep>,
    /// The next times, at most 50.
    pub upcoming: Vec<Interval>,
}
