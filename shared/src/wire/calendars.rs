//! Calendars between server and command line: times in which nothing starts, which people are warned of, or which are meant for
//! changes.

use crate::change::ChangeType;
use crate::digest::Digest;
use crate::ids::{AgentId, PersonId};
use crate::strict::Map;
use crate::time::{Interval, Timestamp};
use crate::windows::{CalendarName, WindowRule, ZoneName};
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
    /// Hosts are meant to be changed then: windows of changes that lie elsewhere are conflicts. Hosts are not told.
    Window,
}

impl CalendarMode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Warn => "warn",
            Self::Window => "window",
        }
    }
}

/// A calendar, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Calendar {
    /// Why nothing starts then, or what the times are for, in one line.
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

impl Calendar {
    /// Whether `new` says nothing else: times and exceptions that are over by now make no difference.
    pub fn says_the_same(&self, new: &Self, now: Timestamp) -> bool {
        let coming = |calendar: &Self| {
            let mut calendar = calendar.clone();
            calendar.times.retain(|time| time.until > now);
            calendar.rules = calendar.rules.into_iter().map(|rule| rule.coming(now)).collect();
            calendar
        };
        coming(self) == coming(new)
    }
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

/// From where the server reads a calendar, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PutSubscription {
    /// `https://…` of an iCalendar file, with `user:password@` before the host where it asks for that.
    pub url: String,
    /// Seconds between two readings.
    pub every_s: u32,
    /// Of whole days and of times that name none.
    pub zone: ZoneName,
    /// Why it is subscribed to.
    pub reason: String,
    /// Whom it holds and how; rules and times come from the address.
    pub calendar: Calendar,
}

/// Takes what waits for a person's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AcceptCalendar {
    /// Of what the person has seen waiting.
    pub sha256: Digest,
    pub reason: String,
}

/// How reading a calendar from its address goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subscription {
    /// The host of the address, and whether it has a login; path and password are secrets of many calendars.
    pub from: String,
    pub every_s: u32,
    pub zone: ZoneName,
    pub by: PersonId,
    pub since: Timestamp,
    pub reason: String,
    /// When it was last read without an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Timestamp>,
    /// When a reading last changed the calendar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Timestamp>,
    /// When it is read next.
    pub next: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Not read for four of its intervals, and a day: what it says may be old.
    pub stale: bool,
    /// What was read and is not taken without a person's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingCalendar>,
}

/// What was read from an address and would leave times open that are closed now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WaitingCalendar {
    /// Names it when it is accepted.
    pub sha256: Digest,
    /// When it was first read.
    pub since: Timestamp,
    /// So many times of the coming 400 days are closed now.
    pub of: u32,
    /// So many of them would be open, wholly or in part.
    pub lost: u32,
    /// The first of these, at most 50.
    pub first: Vec<Interval>,
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
    /// Present where the server reads it from an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<Subscription>,
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
    /// Present where the server reads it from an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<Subscription>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_file_again_says_nothing_new_also_when_some_of_it_is_over() {
        let time = |from: i64| Interval { from: Timestamp(from), until: Timestamp(from + 100) };
        let calendar = |times: &[i64]| Calendar {
            title: "x".into(),
            mode: CalendarMode::Hard,
            labels: [].into_iter().collect(),
            hosts: [].into(),
            search: None,
            holds: [ChangeType::Normal].into(),
            rules: vec![],
            times: times.iter().map(|from| time(*from)).collect(),
        };
        let same =
            |old: &[i64], new: &[i64], now| calendar(old).says_the_same(&calendar(new), Timestamp(now));
        assert!(same(&[0, 500], &[0, 500], 50));
        assert!(same(&[0, 500], &[500], 100), "what is over makes no difference");
        assert!(!same(&[0, 500], &[500], 99) && !same(&[500], &[500, 900], 100));
        let other = Calendar { title: "y".into(), ..calendar(&[500]) };
        assert!(!calendar(&[500]).says_the_same(&other, Timestamp(0)));
    }
}
