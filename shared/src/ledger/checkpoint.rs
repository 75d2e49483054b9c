//! Checkpoints: a log's signed statement of its size and root.
//!
//! Owns the body's text form and the rule that a log signs under its own origin: another origin means
//! another log, so a key never speaks for two. Extension lines are refused, nobody could audit them.
//!
//! Source: C2SP tlog-checkpoint.

use super::note::{KeyName, NoteError, SignedNote, VerifierKey};
use crate::digest::Digest;
use crate::keys::SigningKey;
use crate::limits;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Deserializer, Serialize};

/// A log's name, number of leaves and root. As JSON it is what receipts carry as `log_seen`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    pub origin: KeyName,
    #[serde(deserialize_with = "tree_size")]
    pub size: u64,
    pub root: Digest,
}

/// Why a checkpoint is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error("the checkpoint is malformed: {0}")]
    Malformed(&'static str),
    #[error("this is a checkpoint of the log {got}, expected is {expected}")]
    OtherLog { got: KeyName, expected: KeyName },
}

impl Checkpoint {
    /// The note text: origin, size and base64 root, one a line.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root.0))
    }

    /// The signed note, under the origin as key name.
    pub fn sign(&self, key: &SigningKey) -> Result<SignedNote, NoteError> {
        SignedNote::sign(&self.text(), &self.origin, key)
    }

    /// Reads a note text that `text` could have written.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let bad = CheckpointError::Malformed;
        let lines: Vec<_> = text.split('\n').collect();
        let [origin, size, root, ""] = lines.as_slice() else {
            return Err(bad("it is not exactly origin, size and root, one a line"));
        };
        let digits = size.parse::<u64>().ok().filter(|number| number.to_string() == *size);
        let size =
            digits.filter(|size| *size <= limits::LEDGER_LEAVES).ok_or(bad("the size is not a number"))?;
        let root = BASE64.decode(root).ok().and_then(|raw| raw.try_into().ok());
        let root = root.map(Digest).ok_or(bad("the root is not base64 of 32 bytes"))?;
        Ok(Self { origin: origin.parse()?, size, root })
    }

    /// Reads a signed checkpoint and accepts it only with a right signature of `key`, under its name.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse(SignedNote::parse(note)?.verify(key)?)?;
        if checkpoint.origin != *key.name() {
            let expected = key.name().clone();
            return Err(CheckpointError::OtherLog { got: checkpoint.origin, expected });
        }
        Ok(checkpoint)
    }
}

fn tree_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = u64::deserialize(deserializer)?;
    if size > limits::LEDGER_LEAVES {
        return Err(serde::de::Error::custom("a log of this size cannot exist"));
    }
    Ok(size)
}
