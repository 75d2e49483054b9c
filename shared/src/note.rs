//! Notes on a change: what people say of it beside their approvals, and the review at its end.
//!
//! A note has no signature, but its bytes have a leaf in the ledger, so that nobody can take it back unnoticed. Server and
//! verifier write the same bytes for the same note. Nothing in a note lets anything start.

use crate::digest::Digest;
use crate::ids::{AgentId, ChangeId, PersonId};
use crate::lifecycle::Outcome;
use crate::limits;
use crate::strict::{self, Map, ReadError};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

const WHAT: &str = "the note";

/// How a change belongs to another record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum LinkKind {
    /// The other one came of this change: a change, or a record elsewhere such as an incident.
    Causes,
    /// This change puts right what the other one is about: a change, or a record elsewhere.
    Fixes,
    /// This change takes the other one's place.
    Replaces,
    /// The other one is to be done because of what the review of this one found.
    FollowUp,
    Relates,
    /// A record elsewhere: a ticket, a document, an address.
    External,
}

impl LinkKind {
    /// To a record that is no change: a ticket, a document, an address.
    pub fn may_lead_elsewhere(self) -> bool {
        matches!(self, Self::External | Self::Causes | Self::Fixes)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Causes => "causes",
            Self::Fixes => "fixes",
            Self::Replaces => "replaces",
            Self::FollowUp => "follow_up",
            Self::Relates => "relates",
            Self::External => "external",
        }
    }
}

/// What a review found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Review {
    pub outcome: Outcome,
    /// What the review found, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub found: String,
    /// What went otherwise than planned.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub deviation: String,
    /// What is done differently the next time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lessons: String,
    /// Hosts that did not succeed, and why the change counts as successful all the same.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub waived: Map<AgentId, String>,
}

/// What a note says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Said {
    Comment {
        text: String,
    },
    /// Somebody who is affected does not want it so.
    Objection {
        text: String,
        /// The CMDB entry for which the person speaks, such as a service.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        speaks_for: Option<String>,
    },
    /// An objection was dealt with, or is taken back.
    Answer {
        /// Number of the objection.
        to: u32,
        text: String,
    },
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
    /// A file that belongs to the change, such as the record of a test; the server keeps it by its digest.
    Attachment {
        name: String,
        sha256: Digest,
        /// In bytes.
        length: u64,
    },
    Review(Review),
}

impl Said {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Comment { .. } => "comment",
            Self::Objection { .. } => "objection",
            Self::Answer { .. } => "answer",
            Self::Link { .. } => "link",
            Self::Unlink { .. } => "unlink",
            Self::Attachment { .. } => "attachment",
            Self::Review(_) => "review",
        }
    }

    /// The note that this one settles: an objection that is answered, a link that ends.
    pub fn settles(&self) -> Option<u32> {
        match self {
            Self::Answer { to, .. } => Some(*to),
            Self::Unlink { link, .. } => Some(*link),
            Self::Comment { .. }
            | Self::Objection { .. }
            | Self::Link { .. }
            | Self::Attachment { .. }
            | Self::Review(_) => None,
        }
    }

    /// What is wrong with it as it stands, with the field; `None` when nothing is.
    pub fn problem(&self) -> Option<(&'static str, String)> {
        let text = |field, text: &str| {
            (!limits::is_text(text))
                .then(|| (field, format!("needs words, at most {} bytes", limits::TEXT_BYTES)))
        };
        let long = |field, text: &str| {
            (text.len() > limits::TEXT_BYTES)
                .then(|| (field, format!("is longer than {} bytes", limits::TEXT_BYTES)))
        };
        let line = |field, text: &str| {
            let fits = !text.trim().is_empty()
                && text.len() <= limits::REFERENCE_BYTES
                && !text.chars().any(char::is_control);
            (!fits).then(|| (field, format!("needs one line of at most {} bytes", limits::REFERENCE_BYTES)))
        };
        match self {
            Self::Comment { text: said } => text("text", said),
            Self::Objection { text: said, speaks_for } => {
                text("text", said).or_else(|| line("speaks_for", speaks_for.as_deref()?))
            }
            Self::Answer { text: said, .. } | Self::Unlink { text: said, .. } => text("text", said),
            // What came of a change, or what it puts right, may be a ticket somewhere else.
            Self::Link { relation, to } if relation.may_lead_elsewhere() => line("to", to),
            Self::Link { to, .. } => to
                .parse::<ChangeId>()
                .err()
                .map(|_| ("to", "is no change, such as C-114 or N-2026-0014".to_owned())),
            Self::Attachment { name, .. } => line("name", name).or_else(|| {
                name.contains(['/', '\\']).then(|| ("name", "is a file's name without a folder".to_owned()))
            }),
            Self::Review(Review { found, deviation, lessons, waived, .. }) => long("note", found)
                .or_else(|| long("deviation", deviation))
                .or_else(|| long("lessons", lessons))
                .or_else(|| waived.iter().find_map(|(_, reason)| line("waived", reason))),
        }
    }
}

/// One note on a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChangeNote {
    /// Always [`ChangeNote::SCHEMA`].
    pub schema: String,
    pub change: ChangeId,
    /// Place among the notes of the change, from 1, without gaps.
    pub number: u32,
    pub person: PersonId,
    pub at: Timestamp,
    pub said: Said,
}

impl ChangeNote {
    pub const SCHEMA: &'static str = "assent-change-note/1";

    /// The document as it is stored and hashed.
    pub fn to_bytes(&self) -> Vec<u8> {
        strict::to_json(self)
    }

    /// Reads a document that [`ChangeNote::to_bytes`] could have written.
    ///
    /// # Errors
    /// Another schema, unknown fields, a text that breaks a limit, or another text for the same note.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        let note: Self = strict::from_json(WHAT, bytes, limits::CHANGE_NOTE_BYTES)?;
        let invalid = |why: String| Err(ReadError::Invalid { what: WHAT, why });
        if note.schema != Self::SCHEMA {
            return invalid("it is of another schema; update the verifier".into());
        }
        if let Some((field, why)) = note.said.problem() {
            return invalid(format!("{field} {why}"));
        }
        if note.to_bytes() != bytes {
            return invalid("it is not written as the server writes it".into());
        }
        Ok(note)
    }
}

/// Objections that nobody has answered, by number.
pub fn open_objections(notes: &[ChangeNote]) -> Vec<&ChangeNote> {
    standing(notes).filter(|note| matches!(note.said, Said::Objection { .. })).collect()
}

/// Links that hold, by number.
pub fn links(notes: &[ChangeNote]) -> Vec<&ChangeNote> {
    standing(notes).filter(|note| matches!(note.said, Said::Link { .. })).collect()
}

/// Whether an objection was answered, or a link has ended.
pub fn is_settled(notes: &[ChangeNote], number: u32) -> bool {
    notes.iter().any(|note| note.said.settles() == Some(number))
}

fn standing(notes: &[ChangeNote]) -> impl Iterator<Item = &ChangeNote> {
    notes.iter().filter(|note| !is_settled(notes, note.number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(number: u32, said: Said) -> ChangeNote {
        ChangeNote {
            schema: ChangeNote::SCHEMA.into(),
            change: "C-7".parse().unwrap(),
            number,
            person: "lead".parse().unwrap(),
            at: Timestamp(1_800_000_000),
            said,
        }
    }

    fn objection(text: &str) -> Said {
        Said::Objection { text: text.into(), speaks_for: Some("service:shop".into()) }
    }

    #[test]
    fn a_note_has_one_text_and_nothing_else_is_read() {
        let all = [
            Said::Comment { text: "x".into() },
            objection("x"),
            Said::Answer { to: 1, text: "x".into() },
            Said::Link { relation: LinkKind::Fixes, to: "C-3".into() },
            Said::Link { relation: LinkKind::External, to: "INC-1 in the other system".into() },
            Said::Unlink { link: 2, text: "x".into() },
            Said::Attachment { name: "test.txt".into(), sha256: Digest::of(b"x"), length: 1 },
            Said::Review(Review {
                outcome: Outcome::Successful,
                found: "all sites answer".into(),
                deviation: String::new(),
                lessons: String::new(),
                waived: [(AgentId::of_key(&[1; 32]), "broken disk".to_owned())].into_iter().collect(),
            }),
        ];
        for said in all {
            let note = note(1, said);
            let text = String::from_utf8(note.to_bytes()).unwrap();
            assert_eq!(ChangeNote::parse(text.as_bytes()).unwrap(), note);
            for (what, bent) in [
                ("another schema", text.replace("note/1", "note/2")),
                ("an unknown field", text.replace("\"number\":1", "\"number\":1,\"by\":\"x\"")),
                ("an unknown field inside", text.replace("\"kind\":", "\"by\":\"x\",\"kind\":")),
                ("an unknown kind", text.replace(&format!("\"{}\"", note.said.kind()), "\"poem\"")),
                ("a blank", text.replace("\"number\":1", "\"number\": 1")),
            ] {
                assert!(ChangeNote::parse(bent.as_bytes()).is_err(), "{what}: {bent}");
            }
        }
    }

    #[test]
    fn words_are_needed_and_have_limits() {
        let long = "a".repeat(limits::TEXT_BYTES + 1);
        let wide = "a".repeat(limits::REFERENCE_BYTES + 1);
        let link = |relation, to: &str| Said::Link { relation, to: to.into() };
        let file = |name: &str| Said::Attachment { name: name.into(), sha256: Digest::of(b"x"), length: 1 };
        for bad in [
            Said::Comment { text: " \n".into() },
            Said::Comment { text: long.clone() },
            objection(""),
            Said::Objection { text: "x".into(), speaks_for: Some("a\nb".into()) },
            Said::Answer { to: 1, text: String::new() },
            Said::Unlink { link: 1, text: String::new() },
            link(LinkKind::Replaces, "INC-1"),
            link(LinkKind::Causes, " "),
            link(LinkKind::External, ""),
            link(LinkKind::External, &wide),
            file("../../etc/passwd"),
            file("a\u{7}"),
            file(""),
        ] {
            assert!(bad.problem().is_some(), "{bad:?}");
            assert!(ChangeNote::parse(&note(1, bad.clone()).to_bytes()).is_err(), "{bad:?}");
        }
        let review = Review {
            outcome: Outcome::Failed,
            found: String::new(),
            deviation: long,
            lessons: String::new(),
            waived: Map::default(),
        };
        assert!(Said::Review(review).problem().is_some());
    }

    #[test]
    fn what_is_answered_does_not_stand_open() {
        let notes = [
            note(1, objection("not on a Friday")),
            note(2, objection("not without a test")),
            note(3, Said::Answer { to: 1, text: "moved to Monday".into() }),
            note(4, Said::Link { relation: LinkKind::Fixes, to: "C-3".into() }),
            note(5, Said::Link { relation: LinkKind::Relates, to: "C-4".into() }),
            note(6, Said::Unlink { link: 4, text: "was another one".into() }),
        ];
        let numbers = |notes: Vec<&ChangeNote>| notes.iter().map(|note| note.number).collect::<Vec<_>>();
        assert_eq!(numbers(open_objections(&notes)), [2]);
        assert_eq!(numbers(links(&notes)), [5]);
    }
}
