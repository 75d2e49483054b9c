//! The ledger's mathematics: an append-only Merkle log in the C2SP tlog-tiles form.
//!
//! Owns: tree hashes and proofs, the frontier that grows a log, tiles, signed notes, checkpoints,
//! leaves and the proofs that travel. Never: where nodes are stored, or which statement deserves a leaf.
//!
//! Source: RFC 6962 §2.1, RFC 9162 §2.1, C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-tiles, tlog-proof.

pub mod checkpoint;
pub mod frontier;
pub mod leaf;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod tile;
pub mod tlog_proof;
pub mod tree;
pub mod witness;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use frontier::{Frontier, Node};
pub use leaf::{Leaf, LeafKind, Opening};
pub use merkle::ProofError;
pub use note::{KeyName, NoteError, SignedNote, VerifierKey};
pub use proof::{ConsistencyProof, InclusionProof, Proven, Unproven};
pub use tile::{Tile, TileKind};
pub use tlog_proof::TlogProof;
pub use tree::{NodeRange, Nodes, TreeError};
pub use witness::{WitnessKey, Witnessed};

#[cfg(test)]
mod tests;
