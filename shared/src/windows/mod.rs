//! Windows by rule: how an author says when, kept beside the UTC intervals that came of it.
//!
//! Only intervals are executed; a rule is for people, and to see whether it means something else by now. Finding the
//! intervals of a rule needs a zone, which is an argument here as time is.

mod blackout;
#[cfg(feature = "authoring")]
mod expand;
#[cfg(feature = "authoring")]
pub mod ics;
#[cfg(feature = "authoring")]
mod phrase;
#[cfg(test)]
mod tests;

pub use blackout::{Blackout, CalendarName, Closed, NotACalendar};
#[cfg(feature = "authoring")]
pub use expand::{Clocks, NoWindows, Occurrence, all};
#[cfg(feature = "authoring")]
pub use phrase::{FORMS, NotARule, Phrase};

use crate::limits;
use crate::strict;
use crate::time::{Interval, Timestamp};
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Windows that come again and again: what is put into a calendar, with the zone whose clocks count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WindowRule {
    pub rrule: Recurrence,
    /// DTSTART: from when on the rule counts; its time of day is that of every window.
    pub first: WallTime,
    pub end: RuleEnd,
    pub zone: ZoneName,
    /// Starts, as the rule has them on the wall, at which there is no window.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub except: BTreeSet<WallTime>,
    /// No window starts later on the wall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<WallTime>,
}

/// When each window of a rule ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RuleEnd {
    /// So many seconds after its start, whatever the clocks do.
    AfterS(u32),
    /// When the clocks on the wall next show this time.
    At(TimeOfDay),
}

/// Why a text is no part of a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}")]
pub struct NotAPart {
    text: String,
    what: &'static str,
}

fn bad(text: &str, what: &'static str) -> NotAPart {
    NotAPart { text: strict::shorten(text), what }
}

/// A recurrence rule (RFC 5545 §3.3.10) of whole days: FREQ is DAILY, WEEKLY, MONTHLY or YEARLY, without COUNT and
/// UNTIL (how many windows there are is said elsewhere) and without times of day, which DTSTART gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recurrence(String);

const RECURRENCE: &str = "a recurrence rule of whole days, such as FREQ=MONTHLY;BYDAY=2TU (of RFC 5545: FREQ, INTERVAL, \
     BYMONTH, BYMONTHDAY, BYDAY, BYSETPOS, WKST)";

impl Recurrence {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Recurrence {
    type Err = NotAPart;
    fn from_str(text: &str) -> Result<Self, NotAPart> {
        let mut keys = BTreeSet::new();
        let fits = text.len() <= limits::RECURRENCE_BYTES
            && text.starts_with("FREQ=")
            && text.split(';').all(|part| {
                part.split_once('=').is_some_and(|(key, value)| keys.insert(key) && part_fits(key, value))
            });
        if fits { Ok(Self(text.to_owned())) } else { Err(bad(text, RECURRENCE)) }
    }
}

fn part_fits(key: &str, value: &str) -> bool {
    const DAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
    let number = |text: &str, most: u16| {
        let canonical = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        canonical && text.parse().is_ok_and(|n: u16| n <= most)
    };
    let from_either_end = |text: &str, most| number(text.strip_prefix('-').unwrap_or(text), most);
    let day = |text: &str| {
        let day = DAYS.iter().find_map(|day| text.strip_suffix(day));
        day.is_some_and(|nth| nth.is_empty() || from_either_end(nth, 53))
    };
    let each = |fits: &dyn Fn(&str) -> bool| value.split(',').all(fits);
    match key {
        "FREQ" => ["DAILY", "WEEKLY", "MONTHLY", "YEARLY"].contains(&value),
        "INTERVAL" => number(value, 99),
        "BYMONTH" => each(&|text| number(text, 12)),
        "BYMONTHDAY" => each(&|text| from_either_end(text, 31)),
        "BYSETPOS" => each(&|text| from_either_end(text, 366)),
        "BYDAY" => each(&day),
        "WKST" => DAYS.contains(&value),
        _ => false,
    }
}

/// What clocks on a wall show: date and minute, `2026-12-08T22:00`, without a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime(DateTime);

impl WallTime {
    pub fn civil(self) -> DateTime {
        self.0
    }
}

impl From<DateTime> for WallTime {
    /// Without its seconds.
    fn from(at: DateTime) -> Self {
        Self(at.date().at(at.hour(), at.minute(), 0, 0))
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%dT%H:%M"))
    }
}

impl FromStr for WallTime {
    type Err = NotAPart;
    fn from_str(text: &str) -> Result<Self, NotAPart> {
        let not = || bad(text, "a local date and time such as 2026-12-08T22:00");
        if text.len() != 16 || text.as_bytes().get(10) != Some(&b'T') {
            return Err(not());
        }
        let at: DateTime = text.parse().map_err(|_| not())?;
        // Far from both ends of the calendar, so that nothing that is computed from it can leave it.
        if (1970..=9000).contains(&at.year()) { Ok(Self(at)) } else { Err(not()) }
    }
}

/// A time of day, `22:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(Time);

impl TimeOfDay {
    pub fn civil(self) -> Time {
        self.0
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%H:%M"))
    }
}

impl FromStr for TimeOfDay {
    type Err = NotAPart;
    fn from_str(text: &str) -> Result<Self, NotAPart> {
        let not = || bad(text, "a time of day such as 22:00");
        let shape = text.len() == 5 && text.as_bytes().get(2) == Some(&b':');
        if shape { text.parse().map(Self).map_err(|_| not()) } else { Err(not()) }
    }
}

/// A zone of the time zone database, `Europe/Berlin`. Whether there is one of that name is not known here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ZoneName(String);

impl ZoneName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ZoneName {
    type Err = NotAPart;
    fn from_str(text: &str) -> Result<Self, NotAPart> {
        let part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphabetic())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b))
        };
        if text.len() <= limits::ZONE_BYTES && text.split('/').all(part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(bad(text, "the name of a time zone such as Europe/Berlin"))
        }
    }
}

strict::text_serde!(Recurrence);
strict::text_serde!(WallTime);
strict::text_serde!(TimeOfDay);
strict::text_serde!(ZoneName);
strict::text_schema!(Recurrence, "RFC 5545 recurrence rule of whole days.", { "maxLength": 256 });
strict::text_schema!(WallTime, "Local date and minute, without a zone.", { "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}$" });
strict::text_schema!(TimeOfDay, "Local time of day.", { "pattern": "^[0-9]{2}:[0-9]{2}$" });
strict::text_schema!(ZoneName, "Name of the time zone database.", { "maxLength": 64 });

impl WindowRule {
    /// Whether its length is one that a window may have.
    pub fn length_fits(&self) -> bool {
        match self.end {
            RuleEnd::AfterS(seconds) => (60..=limits::WINDOW_SECONDS).contains(&seconds),
            RuleEnd::At(_) => true,
        }
    }

    /// Seconds that none of its windows is longer than.
    pub fn longest_s(&self) -> i64 {
        match self.end {
            RuleEnd::AfterS(seconds) => i64::from(seconds),
            // A day, and what clocks may be put back.
            RuleEnd::At(_) => 86_400 + 3 * 3_600,
        }
    }

    /// Whether it has neither exceptions nor an end, as authors of changes write them.
    pub fn is_plain(&self) -> bool {
        self.except.is_empty() && self.last.is_none()
    }

    /// Without the exceptions that are over, which make no difference any more.
    #[must_use]
    pub fn coming(mut self, now: Timestamp) -> Self {
        // No zone is further from UTC than a day.
        let still = now.plus(-self.longest_s() - 86_400);
        let in_utc =
            |at: &WallTime| TimeZone::UTC.to_timestamp(at.civil()).map(|at| Timestamp(at.as_second()));
        self.except.retain(|at| in_utc(at).is_ok_and(|at| at > still));
        self
    }
}

/// Signed windows that are not those of their rules any more: the database of time zones has changed since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "WindowsDiffer"))]
pub struct Differs {
    /// Signed, and no rule gives them now.
    pub signed: Vec<Interval>,
    /// What the rules give now, and nobody signed.
    pub now: Vec<Interval>,
}

impl Differs {
    /// Without what is over; `None` where nothing is left.
    #[must_use]
    pub fn coming(mut self, now: Timestamp) -> Option<Self> {
        for times in [&mut self.signed, &mut self.now] {
            times.retain(|time| time.until > now);
        }
        (!self.signed.is_empty() || !self.now.is_empty()).then_some(self)
    }
}
