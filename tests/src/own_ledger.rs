//! A ledger that a server in foreign hands keeps for one host alone, signed with the key of the true one.

use shared::digest::Digest;
use shared::keys::SigningKey;
use shared::ledger::{Checkpoint, ConsistencyProof, Frontier, InclusionProof, KeyName, Leaf, LeafKind, tree};
use std::collections::BTreeMap;

pub struct OwnLedger {
    leaves: Vec<Leaf>,
    frontier: Frontier,
    nodes: BTreeMap<(u8, u64), Digest>,
}

impl OwnLedger {
    /// So many entries about nothing, and these after them.
    pub fn new(before: u64, leaves: impl IntoIterator<Item = Leaf>) -> Self {
        let filler = |n: u64| {
            Leaf::new(LeafKind::PlanSet, Digest::of(&n.to_be_bytes()), None, None, "C-1".parse().ok())
        };
        let leaves: Vec<Leaf> = (0..before).map(|n| filler(n).unwrap()).chain(leaves).collect();
        let (mut frontier, mut nodes) = (Frontier::default(), BTreeMap::new());
        for leaf in &leaves {
            let new = frontier.append(leaf.hash());
            nodes.extend(new.into_iter().map(|node| ((node.level, node.index), node.digest)));
        }
        Self { leaves, frontier, nodes }
    }

    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The signed note of its head.
    pub fn checkpoint(&self, origin: &KeyName, key: &SigningKey) -> String {
        let head = Checkpoint { origin: origin.clone(), size: self.size(), root: self.frontier.root() };
        head.sign(key).unwrap().to_string()
    }

    pub fn inclusion(&self, index: u64) -> InclusionProof {
        let leaf = self.leaves[usize::try_from(index).unwrap()].to_bytes();
        let hashes = tree::inclusion_proof(index, self.size(), &self.nodes).unwrap();
        InclusionProof { leaf: String::from_utf8(leaf).unwrap(), index, hashes }
    }

    /// That it has grown from this size.
    pub fn consistency(&self, old_size: u64) -> ConsistencyProof {
        let hashes = tree::consistency_proof(old_size, self.size(), &self.nodes).unwrap();
        ConsistencyProof { old_size, new_size: self.size(), hashes }
    }
}
