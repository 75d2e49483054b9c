//! The right edge of a growing log: the roots of its complete subtrees, one per set bit of its size.
//!
//! Owns how a log grows. It is small (at most 63 hashes), so the sequencer keeps it beside the head and
//! needs no stored node to append. Never: the nodes themselves; `append` hands them out to be stored.

use super::merkle::node_hash;
use super::tree::{self, Nodes, TreeError};
use crate::digest::Digest;
use crate::limits;

/// A node that the store keeps: level 0 (leaf hashes), 8, 16, …, complete for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    pub level: u8,
    pub index: u64,
    pub digest: Digest,
}

/// A log's size and the roots of its complete subtrees, largest first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Digest>,
}

/// Why bytes are not a frontier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{got} bytes are not a ledger frontier: 8 bytes of size, then 32 bytes per set bit of the size")]
pub struct NotAFrontier {
    got: usize,
}

impl Frontier {
    /// Rebuilt from the stored nodes of the first `size` leaves.
    pub fn load<N: Nodes + ?Sized>(size: u64, source: &N) -> Result<Self, TreeError> {
        Ok(Self { size, peaks: tree::peaks(size, source)? })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root over all leaves so far.
    pub fn root(&self) -> Digest {
        tree::join_peaks(&self.peaks)
    }

    /// Adds one leaf hash. Returns every node that is to be stored now: the leaf itself and each root of
    /// a 256^k subtree that the leaf completes.
    pub fn append(&mut self, leaf: Digest) -> Vec<Node> {
        let mut stored = vec![Node { level: 0, index: self.size, digest: leaf }];
        let mut digest = leaf;
        let mut level = 0;
        while (self.size >> level) & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            digest = node_hash(&left, &digest);
            level += 1;
            if level % 8 == 0 {
                stored.push(Node { level, index: self.size >> level, digest });
            }
        }
        self.peaks.push(digest);
        self.size += 1;
        stored
    }

    /// Size (8 bytes, big-endian), then the hashes, largest subtree first.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_be_bytes().to_vec();
        for peak in &self.peaks {
            bytes.extend_from_slice(&peak.0);
        }
        bytes
    }

    /// Reads what `to_bytes` wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotAFrontier> {
        let bad = NotAFrontier { got: bytes.len() };
        let Some((size, rest)) = bytes.split_first_chunk::<8>() else { return Err(bad) };
        let size = u64::from_be_bytes(*size);
        let (peaks, []) = rest.as_chunks::<32>() else { return Err(bad) };
        if size > limits::LEDGER_LEAVES || peaks.len() != size.count_ones() as usize {
            return Err(bad);
        }
        Ok(Self { size, peaks: peaks.iter().copied().map(Digest).collect() })
    }
}
