//! Hashes, roots, proofs and the frontier.

use super::{Log, defined_root, flipped, leaf};
use crate::digest::Digest;
use crate::ledger::merkle::{self, ProofError, verify_consistency, verify_inclusion};
use crate::ledger::tile::write_hashes;
use crate::ledger::tree::{self, NodeRange, TreeError};
use crate::ledger::{Frontier, Nodes};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Leaves, roots and proofs of the Certificate Transparency reference implementation.
const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];
const LEAF_1: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const LEAF_4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const LEAVES_2_3: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const LEAVES_4_5: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
const LEAVES_6_7: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const LEAVES_4_7: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";

fn hex(text: &str) -> Digest {
    text.parse().unwrap()
}

fn published() -> Log {
    Log::of(LEAVES.map(merkle::leaf_hash))
}

#[test]
fn roots_are_the_published_ones() {
    let leaves = LEAVES.map(merkle::leaf_hash);
    assert_eq!(merkle::empty_root(), hex(ROOTS[0]));
    for (size, root) in ROOTS.iter().enumerate() {
        let log = Log::of(leaves[..size].iter().copied());
        assert_eq!(log.frontier.root(), hex(root), "frontier of {size}");
        assert_eq!(merkle::root_of(&leaves[..size]), hex(root), "root of {size}");
        assert_eq!(tree::root(size as u64, &published().nodes), Ok(hex(root)), "stored {size}");
    }
}

#[test]
fn proofs_are_the_published_ones() {
    let log = published();
    for (index, hashes) in [(0, [LEAF_1, LEAVES_2_3, LEAVES_4_7]), (5, [LEAF_4, LEAVES_6_7, ROOTS[4]])] {
        let proof = tree::inclusion_proof(index, 8, &log.nodes).unwrap();
        assert_eq!(proof, hashes.map(hex));
        verify_inclusion(&log.leaves[index as usize], index, 8, &proof, &hex(ROOTS[8])).unwrap();
    }
    for (old, new, hashes) in [
        (1, 8, vec![LEAF_1, LEAVES_2_3, LEAVES_4_7]),
        (6, 8, vec![LEAVES_4_5, LEAVES_6_7, ROOTS[4]]),
        (2, 5, vec![LEAVES_2_3, LEAF_4]),
        (4, 8, vec![LEAVES_4_7]),
        (8, 8, vec![]),
        (0, 8, vec![]),
    ] {
        let proof = tree::consistency_proof(old, new, &log.nodes).unwrap();
        assert_eq!(proof, hashes.into_iter().map(hex).collect::<Vec<_>>(), "{old} to {new}");
        let (old_root, new_root) = (hex(ROOTS[old as usize]), hex(ROOTS[new as usize]));
        verify_consistency(old, &old_root, new, &new_root, &proof).unwrap();
    }
}

#[test]
fn an_empty_log_precedes_every_log_but_only_with_its_own_root() {
    let (empty, root) = (merkle::empty_root(), leaf(0));
    verify_consistency(0, &empty, 1, &root, &[]).unwrap();
    verify_consistency(0, &empty, 0, &empty, &[]).unwrap();
    assert_eq!(verify_consistency(0, &root, 1, &root, &[]), Err(ProofError::WrongOldRoot { size: 0 }));
    assert_eq!(verify_consistency(0, &empty, 0, &root, &[]), Err(ProofError::WrongRoot { size: 0 }));
    let extra = verify_consistency(0, &empty, 1, &root, &[root]);
    assert_eq!(extra, Err(ProofError::WrongLength { got: 1, size: 1 }));
    assert_eq!(verify_consistency(2, &root, 1, &root, &[]), Err(ProofError::Shrunk { old: 2, new: 1 }));
}

/// Above 65,536 leaves the tree has stored nodes of levels 8 and 16.
#[test]
fn a_log_with_three_stored_levels_proves_its_leaves() {
    let size = 70_000;
    let log = Log::with_size(size);
    let root = defined_root(&log.leaves);
    assert_eq!(log.frontier.root(), root);
    let stored = |level| log.nodes.keys().filter(|(l, _)| *l == level).count();
    assert_eq!([0, 8, 16, 24].map(stored), [70_000, 273, 1, 0]);
    for index in [0, 255, 256, 65_535, 65_536, 69_999] {
        let proof = tree::inclusion_proof(index, size, &log.nodes).unwrap();
        verify_inclusion(&log.leaves[index as usize], index, size, &proof, &root).unwrap();
    }
    for old in [1, 256, 65_535, 65_536, 65_537, 69_999] {
        let proof = tree::consistency_proof(old, size, &log.nodes).unwrap();
        verify_consistency(old, &log.root_at(old), size, &root, &proof).unwrap();
    }
    assert_eq!(Frontier::load(size, &log.nodes), Ok(log.frontier));
}

#[test]
fn a_missing_node_is_named() {
    let mut log = Log::with_size(600);
    log.nodes.remove(&(8, 1));
    let missing = Err(TreeError::Missing { level: 8, index: 1 });
    assert_eq!(tree::root(600, &log.nodes), missing);
    assert_eq!(tree::inclusion_proof(0, 600, &log.nodes), Err(TreeError::Missing { level: 8, index: 1 }));
    assert_eq!(tree::root_nodes(600)[0], NodeRange { level: 8, start: 0, count: 2 });
}

/// Nothing but the nodes that were announced.
fn only(ranges: &[NodeRange], nodes: &BTreeMap<(u8, u64), Digest>) -> BTreeMap<(u8, u64), Digest> {
    let keys = ranges.iter().flat_map(|r| (r.start..r.start + r.count).map(|index| (r.level, index)));
    keys.map(|(level, index)| ((level, index), nodes.node(level, index).unwrap())).collect()
}

proptest! {
    #[test]
    fn every_inclusion_proof_holds_and_every_forged_one_fails(
        size in 1..2_000_u64, pick in any::<prop::sample::Index>(), bit in 0..256_usize,
        other in 0..2_000_u64, extra in any::<[u8; 32]>(),
    ) {
        let (index, log) = (pick.index(size as usize) as u64, Log::with_size(size));
        let (leaf, root) = (log.leaves[index as usize], log.root_at(size));
        let announced = only(&tree::inclusion_nodes(index, size).unwrap(), &log.nodes);
        let proof = tree::inclusion_proof(index, size, &announced).unwrap();
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root), Ok(()));

        let fails = |leaf: &Digest, index, size, proof: &[Digest], root: &Digest| {
            verify_inclusion(leaf, index, size, proof, root).is_err()
        };
        prop_assert!(fails(&flipped(&leaf, bit), index, size, &proof, &root));
        prop_assert!(fails(&leaf, index, size, &proof, &flipped(&root, bit)));
        prop_assert!(fails(&leaf, size, size, &proof, &root));
        if other % size != index {
            prop_assert!(fails(&leaf, other % size, size, &proof, &root));
        }
        if other != size {
            let grown = Log::with_size(other);
            prop_assert!(fails(&leaf, index, other, &proof, &grown.frontier.root()));
        }
        prop_assert!(fails(&leaf, index, size, &[proof.as_slice(), &[Digest(extra)]].concat(), &root));
        prop_assert!(fails(&leaf, index, size, &[&[Digest(extra)], proof.as_slice()].concat(), &root));
        for at in 0..proof.len() {
            let mut changed = proof.clone();
            changed[at] = flipped(&changed[at], bit);
            prop_assert!(fails(&leaf, index, size, &changed, &root));
            changed.remove(at);
            prop_assert!(fails(&leaf, index, size, &changed, &root));
        }
    }

    #[test]
    fn every_consistency_proof_holds_and_every_forged_one_fails(
        new in 1..2_000_u64, pick in any::<prop::sample::Index>(), bit in 0..256_usize,
        other in any::<prop::sample::Index>(), extra in any::<[u8; 32]>(),
    ) {
        let (old, log) = (pick.index(new as usize + 1) as u64, Log::with_size(new));
        let (old_root, new_root) = (log.root_at(old), log.root_at(new));
        let announced = only(&tree::consistency_nodes(old, new).unwrap(), &log.nodes);
        let proof = tree::consistency_proof(old, new, &announced).unwrap();
        prop_assert_eq!(verify_consistency(old, &old_root, new, &new_root, &proof), Ok(()));

        let fails = |old, old_root: &Digest, new, new_root: &Digest, proof: &[Digest]| {
            verify_consistency(old, old_root, new, new_root, proof).is_err()
        };
        prop_assert!(fails(old, &flipped(&old_root, bit), new, &new_root, &proof));
        // The empty log is a prefix of anything, so there the new root is not judged.
        prop_assert!(old == 0 || fails(old, &old_root, new, &flipped(&new_root, bit), &proof));
        prop_assert!(fails(new + 1, &old_root, new, &new_root, &proof));
        prop_assert!(fails(old, &old_root, new, &new_root, &[proof.as_slice(), &[Digest(extra)]].concat()));
        let other = other.index(new as usize + 1) as u64;
        if other != old && other != 0 {
            prop_assert!(fails(other, &old_root, new, &new_root, &proof));
            let same = other == new && proof.is_empty();
            prop_assert!(same || fails(other, &log.root_at(other), new, &new_root, &proof));
        }
        for at in 0..proof.len() {
            let mut changed = proof.clone();
            changed[at] = flipped(&changed[at], bit);
            prop_assert!(fails(old, &old_root, new, &new_root, &changed));
            changed.remove(at);
            prop_assert!(fails(old, &old_root, new, &new_root, &changed));
        }
    }

    #[test]
    fn the_frontier_has_the_root_of_the_definition_and_survives_its_bytes(size in 0..2_000_u64) {
        let log = Log::with_size(size);
        prop_assert_eq!(log.frontier.root(), defined_root(&log.leaves));
        prop_assert_eq!(merkle::root_of(&log.leaves), defined_root(&log.leaves));
        let announced = only(&tree::root_nodes(size), &log.nodes);
        prop_assert_eq!(tree::root(size, &announced).unwrap(), log.frontier.root());
        prop_assert_eq!(Frontier::load(size, &announced).unwrap(), log.frontier.clone());
        for ((level, index), digest) in &log.nodes {
            let (from, to) = ((index << level) as usize, ((index + 1) << level) as usize);
            prop_assert_eq!(*digest, defined_root(&log.leaves[from..to]));
        }
        let bytes = log.frontier.to_bytes();
        prop_assert_eq!(Frontier::from_bytes(&bytes), Ok(log.frontier));
        prop_assert!(Frontier::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        prop_assert!(Frontier::from_bytes(&[bytes.as_slice(), &[0; 32]].concat()).is_err());
    }

    #[test]
    fn hostile_sizes_and_proofs_are_refused_without_a_panic(
        a in hostile_number(), b in hostile_number(), bytes in vec(any::<[u8; 32]>(), 0..130),
    ) {
        let hashes: Vec<_> = bytes.into_iter().map(Digest).collect();
        let (one, two) = (leaf(1), leaf(2));
        prop_assert!(verify_inclusion(&one, a, b, &hashes, &two).is_err());
        prop_assert!(verify_consistency(a, &one, b, &two, &hashes).is_err());
        let none = BTreeMap::new();
        prop_assert!(tree::inclusion_proof(a, b, &none).is_err() || (a, b) == (0, 1));
        prop_assert!(tree::consistency_proof(a, b, &none).is_err() || a == 0 || a == b);
        prop_assert!(tree::root(b, &none).is_err() || b == 0);
        prop_assert!(tree::root_nodes(b).len() <= 64);
        prop_assert!(Frontier::load(b, &none).is_err() || b == 0);
        let frontier = [a.to_be_bytes().as_slice(), &write_hashes(&hashes)].concat();
        if let Ok(read) = Frontier::from_bytes(&frontier) {
            prop_assert_eq!(read.to_bytes(), frontier);
        }
    }
}

fn hostile_number() -> impl Strategy<Value = u64> {
    let power = (0..64_u32, 0..3_u64).prop_map(|(bit, by)| (1_u64 << bit).wrapping_sub(1).wrapping_add(by));
    prop_oneof![0..4_u64, any::<u64>(), power, Just(u64::MAX), Just(u64::MAX - 1)]
}
