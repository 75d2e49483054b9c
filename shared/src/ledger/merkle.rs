//! Tree hashes and the verification of proofs. The makers of proofs are in `tree`.
//!
//! Source: RFC 6962 §2.1 (hashes), RFC 9162 §2.1.3.2 and §2.1.4.2 (verification).

use crate::digest::Digest;

/// Why a proof does not show what it is said to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("leaf {index} lies outside a log of {size} leaves")]
    OutsideLog { index: u64, size: u64 },
    #[error("the log has shrunk from {old} to {new} leaves")]
    Shrunk { old: u64, new: u64 },
    #[error("a proof of {got} hashes does not fit a log of {size} leaves")]
    WrongLength { got: usize, size: u64 },
    #[error("the hashes do not lead to the root of the older log of {size} leaves")]
    WrongOldRoot { size: u64 },
    #[error("the hashes do not lead to the root of the log of {size} leaves")]
    WrongRoot { size: u64 },
}

/// Hash of one entry: SHA-256 of 0x00 and the entry.
pub fn leaf_hash(entry: &[u8]) -> Digest {
    Digest::of_parts(&[&[0], entry])
}

/// Hash of two subtrees: SHA-256 of 0x01, left and right.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of_parts(&[&[1], &left.0, &right.0])
}

/// Root of a log without leaves: SHA-256 of nothing.
pub fn empty_root() -> Digest {
    Digest::of(b"")
}

/// Root over `leaves` (leaf hashes, in order). Linear; a store uses `Frontier` or `tree::root`.
pub fn root_of(leaves: &[Digest]) -> Digest {
    let mut row = leaves.to_vec();
    while row.len() > 1 {
        // A last node without a partner moves up unchanged, which gives the tree of RFC 6962 §2.1.
        row = row
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => node_hash(left, right),
                _ => pair[0],
            })
            .collect();
    }
    row.first().copied().unwrap_or_else(empty_root)
}

/// Checks that `leaf` (a leaf hash) is leaf number `index` of the log with `size` leaves and `root`.
///
/// `hashes` run from the leaf's sibling to the child of the root (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    hashes: &[Digest],
    root: &Digest,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutsideLog { index, size });
    }
    let mut climb = Climb { node: index, last: size - 1 };
    let mut computed = *leaf;
    for hash in hashes {
        computed = match climb.step() {
            Step::JoinLeft => node_hash(hash, &computed),
            Step::JoinRight => node_hash(&computed, hash),
            Step::AtRoot => return Err(ProofError::WrongLength { got: hashes.len(), size }),
        };
    }
    if climb.last != 0 {
        return Err(ProofError::WrongLength { got: hashes.len(), size });
    }
    if computed == *root { Ok(()) } else { Err(ProofError::WrongRoot { size }) }
}

/// Checks that the log with `old_size` leaves and `old_root` is a prefix of the one with `new_size`
/// leaves and `new_root` (RFC 9162 §2.1.4.2).
///
/// RFC 9162 leaves old size 0 open: here the empty log is a prefix of every log, its root must be the
/// empty root and the proof has no hashes.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Digest,
    new_size: u64,
    new_root: &Digest,
    hashes: &[Digest],
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::Shrunk { old: old_size, new: new_size });
    }
    let wrong_length = || ProofError::WrongLength { got: hashes.len(), size: new_size };
    let wrong_old = || ProofError::WrongOldRoot { size: old_size };
    let wrong_new = || ProofError::WrongRoot { size: new_size };
    if old_size == 0 || old_size == new_size {
        if !hashes.is_empty() {
            return Err(wrong_length());
        }
        if old_size == 0 && *old_root != empty_root() {
            return Err(wrong_old());
        }
        return if old_size < new_size || old_root == new_root { Ok(()) } else { Err(wrong_new()) };
    }
    let (first, rest) = if old_size.is_power_of_two() {
        (old_root, hashes)
    } else {
        hashes.split_first().ok_or_else(wrong_length)?
    };
    let mut climb = Climb { node: old_size - 1, last: new_size - 1 };
    climb.up(climb.node.trailing_ones());
    let (mut old, mut new) = (*first, *first);
    for hash in rest {
        match climb.step() {
            Step::JoinLeft => (old, new) = (node_hash(hash, &old), node_hash(hash, &new)),
            Step::JoinRight => new = node_hash(&new, hash),
            Step::AtRoot => return Err(wrong_length()),
        }
    }
    if climb.last != 0 {
        return Err(wrong_length());
    }
    if old != *old_root {
        return Err(wrong_old());
    }
    if new == *new_root { Ok(()) } else { Err(wrong_new()) }
}

/// The way from a node to the root: `fn` and `sn` of RFC 9162.
struct Climb {
    node: u64,
    last: u64,
}

enum Step {
    JoinLeft,
    JoinRight,
    AtRoot,
}

impl Climb {
    fn up(&mut self, levels: u32) {
        self.node = self.node.checked_shr(levels).unwrap_or(0);
        self.last = self.last.checked_shr(levels).unwrap_or(0);
    }

    /// Which side the next hash joins; afterwards the climb stands at the joined node.
    fn step(&mut self) -> Step {
        if self.last == 0 {
            return Step::AtRoot;
        }
        let side = if self.node & 1 == 1 || self.node == self.last {
            // The right edge has no partner on the levels where its number is even: skip them.
            self.up(self.node.trailing_zeros());
            Step::JoinLeft
        } else {
            Step::JoinRight
        };
        self.up(1);
        side
    }
}
