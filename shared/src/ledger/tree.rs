//! Roots and proofs made from stored nodes. Stored are only levels 0, 8, 16, …: what tiles hold.
//!
//! Everything between is hashed again from at most 128 stored nodes, so a log of any size costs its
//! leaves and 1/255 more. The store is asked through `Nodes`; `*_nodes` say beforehand what will be
//! read, so that a database answers in a few range queries.
//!
//! Source: RFC 6962 §2.1.1 (PATH), §2.1.2 (PROOF), C2SP tlog-tiles.

use super::merkle::{empty_root, node_hash};
use crate::digest::Digest;
use std::collections::BTreeMap;

/// Where stored nodes are read.
pub trait Nodes {
    /// The root of leaves `index * 2^level` until `(index + 1) * 2^level`; `level` is a multiple of 8.
    fn node(&self, level: u8, index: u64) -> Option<Digest>;
}

impl Nodes for BTreeMap<(u8, u64), Digest> {
    fn node(&self, level: u8, index: u64) -> Option<Digest> {
        self.get(&(level, index)).copied()
    }
}

/// Why a root or proof could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    #[error("ledger node {index} of level {level} is not stored; restore the ledger's nodes from a backup")]
    Missing { level: u8, index: u64 },
    #[error("leaf {index} lies outside a log of {size} leaves")]
    OutsideLog { index: u64, size: u64 },
    #[error("a log of {new} leaves holds no older log of {old} leaves")]
    Shrunk { old: u64, new: u64 },
}

/// `count` stored nodes of one level, from node `start` on. `count` is a power of two, at most 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeRange {
    pub level: u8,
    pub start: u64,
    pub count: u64,
}

/// Root of the log's first `size` leaves.
pub fn root<N: Nodes + ?Sized>(size: u64, source: &N) -> Result<Digest, TreeError> {
    span_root(Span { start: 0, end: size }, source)
}

/// Inclusion proof of leaf `index` in the log's first `size` leaves, in the order of RFC 6962 §2.1.1.
pub fn inclusion_proof<N: Nodes + ?Sized>(
    index: u64,
    size: u64,
    source: &N,
) -> Result<Vec<Digest>, TreeError> {
    inclusion_spans(index, size)?.into_iter().map(|span| span_root(span, source)).collect()
}

/// Proof that the first `old` leaves are a prefix of the first `new` leaves, as RFC 6962 §2.1.2.
///
/// Empty when `old` is 0 or equals `new`.
pub fn consistency_proof<N: Nodes + ?Sized>(
    old: u64,
    new: u64,
    source: &N,
) -> Result<Vec<Digest>, TreeError> {
    consistency_spans(old, new)?.into_iter().map(|span| span_root(span, source)).collect()
}

/// What `root` reads.
pub fn root_nodes(size: u64) -> Vec<NodeRange> {
    ranges(&[Span { start: 0, end: size }])
}

/// What `inclusion_proof` reads.
pub fn inclusion_nodes(index: u64, size: u64) -> Result<Vec<NodeRange>, TreeError> {
    Ok(ranges(&inclusion_spans(index, size)?))
}

/// What `consistency_proof` reads.
pub fn consistency_nodes(old: u64, new: u64) -> Result<Vec<NodeRange>, TreeError> {
    Ok(ranges(&consistency_spans(old, new)?))
}

/// Roots of the complete subtrees that make up the first `size` leaves, largest first.
pub(super) fn peaks<N: Nodes + ?Sized>(size: u64, source: &N) -> Result<Vec<Digest>, TreeError> {
    subtrees(Span { start: 0, end: size }).map(|range| range_root(range, source)).collect()
}

/// Root of complete subtrees, largest first: the right edge is joined from its small end.
pub(super) fn join_peaks(peaks: &[Digest]) -> Digest {
    peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
}

/// The leaves from `start` until `end` (exclusive). Its start is aligned to a power of two that is at
/// least its length, as in every split of RFC 6962.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
}

impl Span {
    /// At the largest power of two below the length; the span has at least two leaves.
    fn split(self) -> (Self, Self) {
        let middle = self.start + (1 << (self.end - self.start - 1).ilog2());
        (Self { end: middle, ..self }, Self { start: middle, ..self })
    }

    fn len(self) -> u64 {
        self.end - self.start
    }
}

fn inclusion_spans(index: u64, size: u64) -> Result<Vec<Span>, TreeError> {
    if index >= size {
        return Err(TreeError::OutsideLog { index, size });
    }
    let mut siblings = Vec::new();
    let mut here = Span { start: 0, end: size };
    while here.len() > 1 {
        let (left, right) = here.split();
        let (next, sibling) = if index < left.end { (left, right) } else { (right, left) };
        siblings.push(sibling);
        here = next;
    }
    siblings.reverse();
    Ok(siblings)
}

fn consistency_spans(old: u64, new: u64) -> Result<Vec<Span>, TreeError> {
    if old > new {
        return Err(TreeError::Shrunk { old, new });
    }
    let mut siblings = Vec::new();
    if old == 0 || old == new {
        return Ok(siblings);
    }
    let mut here = Span { start: 0, end: new };
    while here.end != old {
        let (left, right) = here.split();
        let (next, sibling) = if old <= left.end { (left, right) } else { (right, left) };
        siblings.push(sibling);
        here = next;
    }
    // The verifier knows the old root; it needs the meeting point only when that is another subtree.
    if here.start != 0 {
        siblings.push(here);
    }
    siblings.reverse();
    Ok(siblings)
}

/// The complete subtrees of a span, largest first, each as the stored nodes below it.
fn subtrees(span: Span) -> impl Iterator<Item = NodeRange> {
    let mut at = span.start;
    std::iter::from_fn(move || {
        let height = (span.end - at).checked_ilog2()?;
        let above = height % 8;
        let range =
            NodeRange { level: (height - above) as u8, start: (at >> height) << above, count: 1 << above };
        at += 1 << height;
        Some(range)
    })
}

fn ranges(spans: &[Span]) -> Vec<NodeRange> {
    spans.iter().flat_map(|span| subtrees(*span)).collect()
}

fn span_root<N: Nodes + ?Sized>(span: Span, source: &N) -> Result<Digest, TreeError> {
    let peaks: Vec<_> = subtrees(span).map(|range| range_root(range, source)).collect::<Result<_, _>>()?;
    Ok(join_peaks(&peaks))
}

fn range_root<N: Nodes + ?Sized>(range: NodeRange, source: &N) -> Result<Digest, TreeError> {
    let level = range.level;
    let row: Vec<_> = (range.start..range.start + range.count)
        .map(|index| source.node(level, index).ok_or(TreeError::Missing { level, index }))
        .collect::<Result<_, _>>()?;
    Ok(super::merkle::root_of(&row))
}
