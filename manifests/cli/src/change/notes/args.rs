//! Options of what people say of changes.

use crate::args::AsJson;
use clap::{Subcommand, ValueEnum};
use shared::ids::ChangeRef;
use shared::note::LinkKind;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum NoteCommand {
    /// What people said of a change: comments, objections, links, attached files, reviews
    #[command(after_help = "Example: assent change notes C-114")]
    Notes {
        /// The change, such as C-114 or N-2026-0014
        change: ChangeRef,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Say something about a change
    #[command(after_help = "Example: assent change comment C-114 \"tested on the reference host\"")]
    Comment {
        /// The change, such as C-114 or N-2026-0014
        change: ChangeRef,
        /// What is said
        text: String,
        #[command(flatten)]
        json: AsJson,
    },
    /// Object to a change; approvers see it until somebody answers, and it stays on record
    #[command(
        after_help = "Example: assent change object C-114 \"the shop has its sale then\" --for service:shop"
    )]
    Object {
        /// The change, such as C-114 or N-2026-0014
        change: ChangeRef,
        /// Why it should not be so
        text: String,
        /// The CMDB entry, or the team that owns one, for which you speak: of the change's hosts, or standing on them
        #[arg(long = "for", value_name = "CLASS:NAME|TEAM")]
        speaks_for: Option<String>,
        #[command(flatten)]
        json: AsJson,
    },
    /// Answer an objection: it was dealt with, or is taken back
    #[command(after_help = "Example: assent change answer C-114 2 \"moved to the next window\"")]
    Answer {
        /// The change, such as C-114 or N-2026-0014
        change: ChangeRef,
        /// Number of the objection, as `assent change notes` shows it
        objection: u32,
        /// What became of it
        text: String,
        #[command(flatten)]
        json: AsJson,
    },
    /// Link a change with another one, or with a record elsewhere
    #[command(
        after_help = "Example: assent change link C-114 fixes C-101\n         assent change link C-114 causes INC-2026-0815\n         assent change link C-114 external https://tickets.example.org/4711"
    )]
    Link {
        /// The change, such as C-114 or N-2026-0014
        change: ChangeRef,
        /// How it belongs to the other one
        #[arg(value_enum)]
        relation: RelationArg,
        /// Another change; of `external`, `causes` and `fixes` also what names a record elsewhere, such as a ticket
        to: String,
        #[command(flatten)]
        json: AsJson,
    },
    /// End a link
    #[command(after_help = "Example: assent change unlink C-114 3 \"was another ticket\"")]
    Unlink {
        /// The change, such as C-114 or N-2026-0014
        change: ChangeRef,
        /// Number of the link, as `assent change notes` shows it
        link: u32,
        /// Why it does not hold any more
        text: String,
        #[command(flatten)]
        json: AsJson,
    },
    /// Attach a file, such as the record of a test, at most 10 MiB; its digest goes into the ledger
    #[command(after_help = "Example: assent change attach C-114 test-report.pdf")]
    Attach {
        /// The change, such as C-114 or N-2026-0014
        change: ChangeRef,
        /// The file
        file: PathBuf,
        #[command(flatten)]
        json: AsJson,
    },
    /// Fetch an attached file, checked against its digest
    #[command(after_help = "Example: assent change attachment C-114 4 --out test-report.pdf")]
    Attachment {
        /// The change, such as C-114 or N-2026-0014
        change: ChangeRef,
        /// Number of the note, as `assent change notes` shows it
        number: u32,
        /// New file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

impl NoteCommand {
    /// Whether what is written is told to a program.
    pub fn json(&self) -> bool {
        match self {
            Self::Notes { json, .. } => *json,
            Self::Comment { json, .. }
            | Self::Object { json, .. }
            | Self::Answer { json, .. }
            | Self::Link { json, .. }
            | Self::Unlink { json, .. }
            | Self::Attach { json, .. } => json.json,
            Self::Attachment { .. } => false,
        }
    }

    /// The change that it is about.
    pub fn change(&self) -> &ChangeRef {
        match self {
            Self::Notes { change, .. }
            | Self::Comment { change, .. }
            | Self::Object { change, .. }
            | Self::Answer { change, .. }
            | Self::Link { change, .. }
            | Self::Unlink { change, .. }
            | Self::Attach { change, .. }
            | Self::Attachment { change, .. } => change,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum RelationArg {
    /// The other one came of this change
    Causes,
    /// This change puts right what the other one is about
    Fixes,
    /// This change takes the other one's place
    Replaces,
    /// The other one is to be done because of what the review of this one found
    FollowUp,
    Relates,
    /// A record elsewhere
    External,
}

impl From<RelationArg> for LinkKind {
    fn from(arg: RelationArg) -> Self {
        match arg {
            RelationArg::Causes => Self::Causes,
            RelationArg::Fixes => Self::Fixes,
            RelationArg::Replaces => Self::Replaces,
            RelationArg::FollowUp => Self::FollowUp,
            RelationArg::Relates => Self::Relates,
            RelationArg::External => Self::External,
        }
    }
}
