//! Proofs as they travel, and the one place that says "this statement is in that log".
//!
//! Owns the wire forms of inclusion and consistency proofs and the proof token `Proven`.
//! Never: which log key is trusted; the policy says that.

use super::checkpoint::{Checkpoint, CheckpointError};
use super::leaf::Leaf;
use super::merkle::{self, ProofError};
use super::note::{KeyName, VerifierKey};
use crate::digest::Digest;
use crate::strict::ReadError;
use serde::{Deserialize, Serialize};

/// That one leaf is at one place of a log; which log, its checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InclusionProof {
    /// The entry of the log, byte for byte (leaves are JSON text).
    pub leaf: String,
    /// Place of the leaf, from 0.
    pub index: u64,
    /// From the leaf's sibling to the child of the root.
    pub hashes: Vec<Digest>,
}

/// That the log with `old_size` leaves is a prefix of the one with `new_size` leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConsistencyProof {
    pub old_size: u64,
    pub new_size: u64,
    pub hashes: Vec<Digest>,
}

/// Why something is not proven to be in the log.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Leaf(#[from] ReadError),
    #[error("the leaf stands for the document {got}, expected is {expected}")]
    OtherDocument { got: Digest, expected: Digest },
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error("the older checkpoint is of the log {old}, the newer one of {new}")]
    OtherLog { old: KeyName, new: KeyName },
    #[error("the proof is about {proof} leaves, the checkpoint about {checkpoint}")]
    OtherSize { proof: u64, checkpoint: u64 },
}

/// A leaf that is proven to be in a log whose checkpoint is signed. Made only by `Proven::check` and
/// `Proven::within`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    leaf: Leaf,
    index: u64,
    checkpoint: Checkpoint,
}

impl Proven {
    /// Checks signature and name of the checkpoint `note`, that the leaf stands for `document`
    /// (see `Leaf::sha256`), and that the leaf is in the tree of that checkpoint.
    pub fn check(
        proof: &InclusionProof,
        note: &str,
        key: &VerifierKey,
        document: &Digest,
    ) -> Result<Self, Unproven> {
        let checkpoint = Checkpoint::open(note, key)?;
        let proven = Self::within(proof, &checkpoint)?;
        let got = proven.leaf.sha256;
        if got != *document {
            return Err(Unproven::OtherDocument { got, expected: *document });
        }
        Ok(proven)
    }

    /// Checks that the leaf is in the tree of a checkpoint that the caller has already accepted.
    pub fn within(proof: &InclusionProof, checkpoint: &Checkpoint) -> Result<Self, Unproven> {
        let leaf = Leaf::parse(proof.leaf.as_bytes())?;
        proof.check(checkpoint)?;
        Ok(Self { leaf, index: proof.index, checkpoint: checkpoint.clone() })
    }

    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// Place of the leaf in the log, from 0.
    pub fn index(&self) -> u64 {
        self.index
    }

    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

impl InclusionProof {
    /// Checks the entry against a checkpoint that the caller has already accepted.
    pub fn check(&self, checkpoint: &Checkpoint) -> Result<(), ProofError> {
        let leaf = merkle::leaf_hash(self.leaf.as_bytes());
        merkle::verify_inclusion(&leaf, self.index, checkpoint.size, &self.hashes, &checkpoint.root)
    }
}

impl ConsistencyProof {
    /// Checks that `old` is an earlier state of the same log as `new`; both are already accepted.
    pub fn check(&self, old: &Checkpoint, new: &Checkpoint) -> Result<(), Unproven> {
        if old.origin != new.origin {
            return Err(Unproven::OtherLog { old: old.origin.clone(), new: new.origin.clone() });
        }
        for (proof, checkpoint) in [(self.old_size, old.size), (self.new_size, new.size)] {
            if proof != checkpoint {
                return Err(Unproven::OtherSize { proof, checkpoint });
            }
        }
        Ok(merkle::verify_consistency(old.size, &old.root, new.size, &new.root, &self.hashes)?)
    }
}
