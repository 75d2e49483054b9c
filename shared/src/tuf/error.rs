//! Why site metadata was refused: one enum, stable codes, whole sentences.

use super::names::Role;
use crate::time::Timestamp as Time;

/// A refusal of the TUF client or writer. [`TufError::code`] is stable and goes into refusals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TufError {
    #[error("the {role} metadata expired at {at}; nothing new starts until its holder signs it again")]
    Expired { role: Role, at: Time },
    #[error("{what} went back from version {trusted} to {offered}; this looks like a rollback")]
    Rollback { what: String, trusted: u64, offered: u64 },
    #[error("the {role} metadata is not signed by enough of its keys: {why}")]
    Signature { role: Role, why: String },
    #[error("{file} is not the file that signed metadata names: {why}")]
    Hash { file: String, why: String },
    #[error("{file} has {size} bytes; at most {limit} are accepted")]
    Size { file: String, size: u64, limit: u64 },
    #[error("the {role} metadata breaks the rules of a site repository: {why}")]
    Profile { role: Role, why: String },
    #[error("the {role} metadata cannot be read: {why}")]
    Parse { role: Role, why: String },
    #[error("the root must go from version {trusted} to the next one, not to {offered}")]
    RootVersion { trusted: u64, offered: u64 },
    #[error("the repository does not have {file}, which it must have; try another source")]
    Missing { file: String },
    #[error("there are more than {0} new roots; the ones checked are kept, refresh again")]
    Rotations(u32),
    #[error(
        "the stored {role} metadata is damaged ({why}); it protects against rollback, so restore it from \
         a backup or enrol this host again"
    )]
    Store { role: Role, why: String },
    #[error("{0:?} is not a file name of a site repository")]
    Name(String),
    #[error("the signature library was set up by somebody else in this process; start it again")]
    Backend,
}

impl TufError {
    /// The stable short code, for refusals and message catalogues.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "tuf.expired",
            Self::Rollback { .. } => "tuf.rollback",
            Self::Signature { .. } => "tuf.signature",
            Self::Hash { .. } => "tuf.hash",
            Self::Size { .. } => "tuf.size",
            Self::Profile { .. } => "tuf.profile",
            Self::Parse { .. } => "tuf.parse",
            Self::RootVersion { .. } => "tuf.root_version",
            Self::Missing { .. } => "tuf.missing",
            Self::Rotations(_) => "tuf.rotations",
            Self::Store { .. } => "tuf.store",
            Self::Name(_) => "tuf.name",
            Self::Backend => "tuf.backend",
        }
    }

    pub(super) fn profile(role: &Role, why: impl Into<String>) -> Self {
        Self::Profile { role: role.clone(), why: why.into() }
    }
}
