//! Witnesses: parties outside of the server who sign that a log has only grown since they last looked.
//!
//! Owns their keys, what they sign, and the wire form of what they signed. Never: which of them count; the policy says that.
//!
//! Source: C2SP tlog-cosignature, version 1 (ed25519, type 0x04).

use super::note::{COSIGNATURE, KeyName, NamedKey, NoteError, SignedNote};
use super::proof::ConsistencyProof;
use crate::keys::SigningKey;
use crate::strict;
use crate::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A witness's named ed25519 key.
pub type WitnessKey = NamedKey<COSIGNATURE>;

strict::text_serde!(WitnessKey);

/// A checkpoint that witnesses have signed, and how the log went on from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Witnessed {
    /// Signed note of the log with lines of its witnesses (C2SP tlog-cosignature).
    pub checkpoint: String,
    /// From this checkpoint to the one that everything else is proven to.
    pub consistency: ConsistencyProof,
}

/// What a witness signs: the time of its look, in seconds since 1970, above the text of the checkpoint.
fn message(time: u64, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

impl SignedNote {
    /// Adds the line of a witness who looked at `at`. Whoever calls this has checked that the log only grew, and has
    /// noted this checkpoint where it is found again.
    pub fn cosign(&mut self, name: &KeyName, key: &SigningKey, at: Timestamp) {
        let time = at.0.max(1).cast_unsigned();
        let signature = key.sign(&message(time, self.unverified_text()));
        let line = [time.to_be_bytes().as_slice(), &signature].concat();
        self.add_line(WitnessKey::new(name.clone(), key.public()), line);
    }

    /// When this witness last signed the note; `None` if it did not.
    ///
    /// # Errors
    /// A line in its name that is wrong, even beside one that is right.
    pub fn cosigned(&self, key: &WitnessKey) -> Result<Option<Timestamp>, NoteError> {
        let mut last = None;
        for line in self.lines(key) {
            let wrong = || NoteError::WrongSignature(key.name().clone());
            let (time, signature) = line.split_first_chunk::<8>().ok_or_else(wrong)?;
            let time = u64::from_be_bytes(*time);
            let at = i64::try_from(time)
                .ok()
                .filter(|at| (1..=Timestamp::MAX.0).contains(at))
                .ok_or_else(wrong)?;
            if !key.public().verifies(&message(time, self.unverified_text()), signature) {
                return Err(wrong());
            }
            last = last.max(Some(Timestamp(at)));
        }
        Ok(last)
    }
}
