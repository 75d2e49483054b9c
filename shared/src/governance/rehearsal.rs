//! A rehearsal: the recovery key, typed in from its print-out, signs that it works. It changes nothing.

use crate::digest::Digest;
use crate::ids::SiteId;
use crate::keys::PublicKey;
use crate::statement::{Predicate, Statement, Subject};
use crate::time::Timestamp;
use crate::tuf::Root;
use crate::tuf::metadata::Key;
use serde::{Deserialize, Serialize};

/// Quarterly, with some days to do it in.
pub const REHEARSAL_DAYS: i64 = 100;

/// What the key signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rehearsal {
    pub site: SiteId,
    /// The governance key that was typed in.
    pub key: PublicKey,
    /// Version of the root in which it was found.
    pub root: u64,
    pub at: Timestamp,
}

impl Predicate for Rehearsal {
    const TYPE: &'static str = "urn:assent:rehearsal:v1";

    fn subjects(&self) -> Vec<Subject> {
        vec![Subject::new(format!("governance:{}", self.key), Digest::of(self.key.as_bytes()))]
    }
}

impl Rehearsal {
    /// Whether the statement proves that a key which governs by `root` was at hand.
    pub fn proves(statement: &Statement<Self>, site: &SiteId, root: &Root) -> bool {
        let key = &statement.body.key;
        let governs = root.roles.root.keyids.contains(&Key::new(*key).id());
        statement.body.site == *site && governs && statement.is_signed_by(key)
    }

    /// When the next one is due.
    pub fn due(&self) -> Timestamp {
        self.at.plus(REHEARSAL_DAYS * 86_400)
    }
}
