//! What waits for a person, and where mail about it goes.

use crate::digest::Digest;
use crate::ids::{ChangeId, PersonId};
use crate::time::Timestamp;
use crate::windows::CalendarName;
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
    /// What was read for it would open closed times, and waits for a word.
    CalendarWaits,
}

impl InboxKind {
    pub const ALL: &'static [Self] = &[
        Self::Approve,
        Self::Review,
        Self::Objection,
        Self::Departed,
        Self::Expired,
        Self::CalendarOld,
        Self::CalendarWaits,
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
    /// Until when it is of use, when it ended, or since when somebody objects, hosts refuse, or a calendar is old or waits.
    pub due: Timestamp,
    /// When hosts could begin next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Timestamp>,
}

impl InboxItem {
    /// About neither a change nor a calendar yet, and not urgent.
    pub fn new(kind: InboxKind, title: String, due: Timestamp) -> Self {
        let (change, revision, calendar, register, class, hosts, starts) = Default::default();
        let urgent = false;
        Self { kind, change, revision, calendar, register, title, urgent, class, hosts, due, starts }
    }

    /// An emergency that the person's word is missing for.
    pub fn is_pressing(&self) -> bool {
        self.urgent && self.kind == InboxKind::Approve
    }

    /// What it is about, with what tells it from another time: `C-7 2` with the class of hosts if it is about one, or
    /// `freeze` and since when.
    pub fn subject(&self) -> String {
        match (&self.change, &self.calendar) {
            (Some(change), _) if self.class.is_some() => {
                let class = self.class.map(|class| class.hex()).unwrap_or_default();
                format!("{change} {} {class}", self.revision.unwrap_or_default())
            }
            (Some(change), _) => format!("{change} {}", self.revision.unwrap_or_default()),
            (None, Some(calendar)) => format!("{calendar} {}", self.due),
            (None, None) => self.due.to_string(),
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
