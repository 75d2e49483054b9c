//! What waits for a person, and where mail about it goes.

use crate::ids::{ChangeId, PersonId};
use crate::time::Timestamp;
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
}

impl InboxKind {
    pub const ALL: &'static [Self] = &[Self::Approve, Self::Review, Self::Expired];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Review => "review",
            Self::Expired => "expired",
        }
    }
}

/// One thing that waits for somebody, or that somebody should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InboxItem {
    pub kind: InboxKind,
    pub change: ChangeId,
    pub revision: u32,
    /// Its number of the year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub register: Option<String>,
    pub title: String,
    /// An emergency.
    pub urgent: bool,
    /// Until when it is of use, or when it ended.
    pub due: Timestamp,
    /// When hosts could begin next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Timestamp>,
}

impl InboxItem {
    /// An emergency that the person's word is missing for.
    pub fn is_pressing(&self) -> bool {
        self.urgent && self.kind == InboxKind::Approve
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
