//! What a policy says of the ledger: whose checkpoints count, how one goes on from another, and whether a host begins
//! only what the ledger is proven to hold.
//!
//! Owns the one check of proofs that hosts, the command and the verifier of evidence make. Never: fetches or keeps any.

use crate::digest::Digest;
use crate::ledger::{
    Checkpoint, CheckpointError, ConsistencyProof, InclusionProof, LeafKind, NoteError, Proven, Unproven,
    VerifierKey, WitnessKey,
};
use crate::receipt::LogSeen;
use crate::strict;
use crate::wire::Proofs;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogRules {
    /// Verifier keys of the ledger (signed-note form); the first is the current one.
    pub vkeys: Vec<String>,
    /// A host begins a change only when the ledger is proven to hold it and the approvals that count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proof_before_start: bool,
    /// Who looks at the ledger from outside of the server, and signs what they saw.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witnesses: Vec<WitnessKey>,
    /// How many of them must have seen a leaf before it counts as proven; 0 asks for none.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub quorum: u32,
}

/// Why what a server says of the ledger is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// It is not the ledger that was seen before, or the proof is wrong.
    #[error("{0}")]
    Fork(String),
    /// It is smaller than the one that was seen before.
    #[error(
        "the ledger has {now} leaves, one of {seen} was seen before; was the server restored from a backup?"
    )]
    Behind { now: u64, seen: u64 },
}

pub(super) fn fork(why: impl ToString) -> Doubt {
    Doubt::Fork(why.to_string())
}

impl LogRules {
    /// Nothing but keys: what a new site begins with.
    pub fn new(vkeys: Vec<String>) -> Self {
        Self { vkeys, proof_before_start: false, witnesses: Vec::new(), quorum: 0 }
    }

    /// The key of the ledger that grows.
    ///
    /// # Errors
    /// The policy names none, or a text that is no key.
    pub fn current(&self) -> Result<VerifierKey, NoteError> {
        self.vkeys.first().map(String::as_str).unwrap_or_default().parse()
    }

    /// Opens a signed checkpoint under one of the keys, and says whether that is the current one.
    ///
    /// # Errors
    /// [`Doubt::Fork`]: no key of the policy signed it.
    pub fn open(&self, note: &str) -> Result<(Checkpoint, bool), Doubt> {
        let mut first = None;
        for (place, vkey) in self.vkeys.iter().enumerate() {
            let key: VerifierKey = vkey.parse().map_err(|e| fork(format!("the policy's log key: {e}")))?;
            match Checkpoint::open(note, &key) {
                Ok(checkpoint) => return Ok((checkpoint, place == 0)),
                Err(e @ (CheckpointError::Note(_) | CheckpointError::OtherLog { .. })) => {
                    first = first.or(Some(e));
                }
                Err(e) => return Err(fork(e)),
            }
        }
        Err(first.map_or_else(|| fork("the policy names no log key"), fork))
    }

    /// The checkpoint of `note`, which goes on from the one that was `seen` before, and whether it is of the current key.
    ///
    /// # Errors
    /// A checkpoint that nobody of the policy signed, of a rewritten, cut or left ledger, or without proof.
    pub fn follow(
        &self,
        seen: Option<&LogSeen>,
        note: &str,
        consistency: Option<&ConsistencyProof>,
    ) -> Result<(Checkpoint, bool), Doubt> {
        let (new, current) = self.open(note)?;
        let Some(old) = seen.map(earlier).transpose()? else { return Ok((new, current)) };
        if old.origin != new.origin {
            // After a restore the site starts a new log; governance says so by putting its key first.
            return match current {
                true => Ok((new, current)),
                false => {
                    Err(fork(format!("it is in the old log {}, {} was seen before", new.origin, old.origin)))
                }
            };
        }
        if new.size < old.size {
            return Err(Doubt::Behind { now: new.size, seen: old.size });
        }
        if old.size == new.size && old.root == new.root {
            return Ok((new, current));
        }
        let Some(consistency) = consistency else {
            return Err(fork(format!(
                "no proof that the log of {} leaves continues the one of {}",
                new.size, old.size
            )));
        };
        consistency.check(&old, &new).map_err(fork)?;
        Ok((new, current))
    }

    fn digest(&self) -> Digest {
        Digest::of(&strict::to_json(self))
    }
}

fn earlier(seen: &LogSeen) -> Result<Checkpoint, Doubt> {
    let origin = seen.origin.parse().map_err(|e| fork(format!("the checkpoint seen before: {e}")))?;
    Ok(Checkpoint { origin, size: seen.size, root: seen.root })
}

impl From<&Checkpoint> for LogSeen {
    fn from(new: &Checkpoint) -> Self {
        Self { origin: new.origin.to_string(), size: new.size, root: new.root }
    }
}

/// Which statements of changes the ledger was proven to hold, under which rules. What a ledger holds it keeps, so a proof
/// is needed once, and what was proven may begin while the server is away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// Digest of the rules; with others, such as after a restore, everything is proven anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rules: Option<Digest>,
    statements: strict::Map<Digest, LeafKind>,
}

impl Held {
    /// More are not kept: what is needed again is proven again.
    const MOST: usize = 4_096;

    /// Whether the ledger was proven to hold this statement, as this kind of statement.
    pub fn has(&self, rules: &LogRules, statement: &Digest, kind: LeafKind) -> bool {
        self.rules == Some(rules.digest()) && self.statements.get(statement) == Some(&kind)
    }

    /// With what `proofs` prove in addition, and the checkpoint that is now the last one seen.
    ///
    /// What too few witnesses have seen is left out.
    ///
    /// # Errors
    /// As [`LogRules::follow`]; a proof that does not hold; a ledger that the policy does not name first, or that is not
    /// the one which a witness has seen.
    pub fn with(
        &self,
        rules: &LogRules,
        seen: Option<&LogSeen>,
        proofs: &Proofs,
    ) -> Result<(Self, LogSeen), Doubt> {
        let (checkpoint, current) = rules.follow(seen, &proofs.checkpoint, proofs.consistency.as_ref())?;
        if !current {
            return Err(fork(format!("{} is not the ledger that the policy names first", checkpoint.origin)));
        }
        let goes_on = self.rules == Some(rules.digest()) && self.statements.len() < Self::MOST;
        let mut held = if goes_on { self.clone() } else { Self::default() };
        held.rules = Some(rules.digest());
        let reach = rules.reach(&rules.witnessed(&checkpoint, &proofs.witnessed)?);
        for proof in &proofs.inclusion {
            let proven = proven(proof, &checkpoint)?;
            if proven.index() >= reach {
                continue;
            }
            held.statements.insert(proven.leaf().sha256, proven.leaf().kind);
        }
        Ok((held, LogSeen::from(&checkpoint)))
    }
}

fn proven(proof: &InclusionProof, checkpoint: &Checkpoint) -> Result<Proven, Doubt> {
    let proven = Proven::within(proof, checkpoint);
    proven.map_err(|e: Unproven| fork(format!("leaf {} of the ledger: {e}", proof.index)))
}
