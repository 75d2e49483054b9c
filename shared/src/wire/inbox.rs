//! What waits for a person, and where mail about it goes.

use crate::digest::Digest;
use crate::ids::{ChangeId, PersonId, SeriesName};
use crate::strict;
use crate::time::Timestamp;
use crate::windows::{CalendarName, Differs, ZoneName};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum InboxKind {
    /// The policy asks for this person's word.
    Approve,
    /// A change that ran has to be reviewed and closed.
    Review,
    /// The person's own change has ended, because nobody approved it in time.
    Expired,
    /// Somebody objects to the person's own change, and nobody has answered.
    Objection,
    /// Hosts refuse at run time what was approved for them.
    Departed,
    /// A calendar that the person has subscribed to was not read for long.
    CalendarOld,
    /// What was read for it would open closed times or end its windows, and waits for a word.
    CalendarWaits,
    /// Windows of the person's own change lie outside of those of a calendar that was changed since.
    OutsideWindow,
    /// The rules behind the windows of the person's own change give others by now.
    WindowsDiffer,
    /// The last occurrence of a series is near, and the person made it.
    SeriesEnds,
    /// The last time of a calendar is near, and the person changed it last.
    CalendarEnds,
}

impl InboxKind {
    pub const ALL: &'static [Self] = &[
        Self::Approve,
        Self::Review,
        Self::Objection,
        Self::Departed,
        Self::Expired,
        Self::WindowsDiffer,
        Self::OutsideWindow,
        Self::SeriesEnds,
        Self::CalendarOld,
        Self::CalendarWaits,
        Self::CalendarEnds,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Review => "review",
            Self::Objection => "objection",
            Self::Departed => "departed",
            Self::Expired => "expired",
            Self::CalendarOld => "calendar_old",
            Self::CalendarWaits => "calendar_waits",
            Self::OutsideWindow => "outside_window",
            Self::WindowsDiffer => "windows_differ",
            Self::SeriesEnds => "series_ends",
            Self::CalendarEnds => "calendar_ends",
        }
    }
}

/// One thing that waits for somebody, or that somebody should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InboxItem {
    pub kind: InboxKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<CalendarName>,
    /// The series whose occurrences end; the change is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<SeriesName>,
    /// Its number of the year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub register: Option<String>,
    pub title: String,
    /// An emergency.
    pub urgent: bool,
    /// Which hosts refuse: the class of their approved plans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Digest>,
    /// How many hosts of that class do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<u32>,
    /// The windows that are signed, and those that their rules give by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Differs>,
    /// The zone of these rules; of several the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<ZoneName>,
    /// Until when it is of use, when it ended or ends, since when somebody objects, hosts refuse, or a calendar is old or waits, or the
    /// first moment outside.
    pub due: Timestamp,
    /// When hosts could begin next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Timestamp>,
}

impl InboxItem {
    /// About neither a change nor a calendar yet, and not urgent.
    pub fn new(kind: InboxKind, title: String, due: Timestamp) -> Self {
        let (change, revision, calendar, series, register) = Default::default();
        let (class, hosts, windows, zone, starts) = Default::default();
        let urgent = false;
        Self {
            kind,
            change,
            revision,
            calendar,
            series,
            register,
            title,
            urgent,
            class,
            hosts,
            windows,
            zone,
            due,
            starts,
        }
    }

    /// An emergency that the person's word is missing for.
    pub fn is_pressing(&self) -> bool {
        self.urgent && self.kind == InboxKind::Approve
    }

    /// What people call it by: the series, the change or the calendar.
    pub fn named(&self) -> Option<String> {
        let series = self.series.as_ref().map(ToString::to_string);
        let change = || self.change.as_ref().map(ToString::to_string);
        series.or_else(change).or_else(|| self.calendar.as_ref().map(ToString::to_string))
    }

    /// What it is about, with what tells it from another time: `C-7 2`, with the class of hosts or the new windows if it is about
    /// them, or `freeze` and since or until when.
    pub fn subject(&self) -> String {
        let (revision, due) = (self.revision.unwrap_or_default(), self.due);
        let about = match (&self.series, &self.change, &self.calendar) {
            (Some(series), ..) => format!("{series} {due}"),
            (None, Some(change), _) => format!("{change} {revision}"),
            (None, None, Some(calendar)) => format!("{calendar} {due}"),
            (None, None, None) => due.to_string(),
        };
        match (&self.class, &self.windows) {
            (Some(class), _) => format!("{about} {}", class.hex()),
            (None, Some(windows)) => format!("{about} {}", Digest::of(&strict::to_json(windows)).hex()),
            (None, None) => about,
        }
    }
}

/// Where a person's reminders go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MailLine {
    pub person: PersonId,
    pub address: String,
    /// `de` or `en`.
    pub language: String,
    /// Why the last letter did not go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}
