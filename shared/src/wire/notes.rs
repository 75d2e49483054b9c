//! What people say of a change beside their approvals.

use crate::digest::Digest;
use crate::note::{ChangeNote, LinkKind, Said};
use serde::{Deserialize, Serialize};

/// Notes on a change, and links of other changes to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChangeNotes {
    /// All of them, by number.
    pub notes: Vec<ChangeNote>,
    /// Notes on other changes that link to this one and hold, by change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub linked_from: Vec<ChangeNote>,
}

/// What everybody may say who sees the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Remark {
    Comment {
        text: String,
    },
    /// Somebody who is affected does not want it so; it stays open until it is answered.
    Objection {
        text: String,
        /// The CMDB entry for which the person speaks, such as `service:shop`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        speaks_for: Option<String>,
    },
    /// An objection was dealt with, or is taken back.
    Answer {
        /// Number of the objection.
        to: u32,
        text: String,
    },
}

impl From<Remark> for Said {
    fn from(remark: Remark) -> Self {
        match remark {
            Remark::Comment { text } => Self::Comment { text },
            Remark::Objection { text, speaks_for } => Self::Objection { text, speaks_for },
            Remark::Answer { to, text } => Self::Answer { to, text },
        }
    }
}

/// What belongs to a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Addition {
    Link {
        relation: LinkKind,
        /// Number of a change, or what names the record elsewhere.
        to: String,
    },
    /// A link does not hold any more.
    Unlink {
        /// Number of the link.
        link: u32,
        text: String,
    },
    /// A file that was uploaded before.
    Attachment { name: String, sha256: Digest },
}
