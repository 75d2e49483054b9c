//! Checks of the ledger against published vectors, its own definition and forgers.

mod proofs;
mod texts;
mod tree;

use super::{Checkpoint, Frontier, KeyName, VerifierKey, merkle};
use crate::digest::Digest;
use crate::keys::SigningKey;
use std::collections::BTreeMap;

/// The hash of a leaf with the text `leaf <index>`.
fn leaf(index: u64) -> Digest {
    merkle::leaf_hash(format!("leaf {index}").as_bytes())
}

/// The root after the recursive definition of RFC 6962 §2.1, to judge the other ways by.
fn defined_root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of(b""),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(many.len().next_power_of_two() / 2);
            merkle::node_hash(&defined_root(left), &defined_root(right))
        }
    }
}

/// A log as its store holds it.
struct Log {
    leaves: Vec<Digest>,
    frontier: Frontier,
    nodes: BTreeMap<(u8, u64), Digest>,
}

impl Log {
    fn of(leaves: impl IntoIterator<Item = Digest>) -> Self {
        let mut log = Self { leaves: Vec::new(), frontier: Frontier::default(), nodes: BTreeMap::new() };
        for leaf in leaves {
            for node in log.frontier.append(leaf) {
                let before = log.nodes.insert((node.level, node.index), node.digest);
                assert_eq!(before, None, "a stored node is written once");
            }
            log.leaves.push(leaf);
        }
        log
    }

    fn with_size(size: u64) -> Self {
        Self::of((0..size).map(leaf))
    }

    fn root_at(&self, size: u64) -> Digest {
        defined_root(&self.leaves[..size as usize])
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint { origin: origin(), size: self.frontier.size(), root: self.frontier.root() }
    }
}

fn origin() -> KeyName {
    "assent.example.org/ledger".parse().unwrap()
}

fn log_key() -> SigningKey {
    SigningKey::from_seed(&[9; 32])
}

fn verifier() -> VerifierKey {
    VerifierKey::new(origin(), log_key().public())
}

fn flipped(digest: &Digest, bit: usize) -> Digest {
    let mut bytes = digest.0;
    bytes[bit / 8 % 32] ^= 1 << (bit % 8);
    Digest(bytes)
}
