//! What is recorded, and what becomes of it.

use shared::digest::Digest;
use shared::ids::{AgentId, ChangeId};
use shared::ledger::leaf::NotALeaf;
use shared::ledger::{Leaf, LeafKind};

/// A verified document that deserves a leaf: its bytes as they were signed, and what the leaf says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub leaf: Leaf,
    /// A DSSE envelope's JSON, or the document itself where it is not a DSSE statement.
    pub bytes: Vec<u8>,
}

impl Document {
    /// A statement of a host's chain.
    pub fn of_host(
        kind: LeafKind,
        digest: Digest,
        (agent, seq): (AgentId, u64),
        change: Option<ChangeId>,
        bytes: Vec<u8>,
    ) -> Result<Self, NotALeaf> {
        Ok(Self { leaf: Leaf::new(kind, digest, Some(agent), Some(seq), change)?, bytes })
    }

    /// Anything else: about a change, or about the site.
    pub fn of_site(
        kind: LeafKind,
        digest: Digest,
        change: Option<ChangeId>,
        bytes: Vec<u8>,
    ) -> Result<Self, NotALeaf> {
        Ok(Self { leaf: Leaf::new(kind, digest, None, None, change)?, bytes })
    }
}

/// Where a document is in the current log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    pub index: u64,
    /// False if some log of this database already had it: whatever follows from it has happened.
    pub fresh: bool,
}

/// The kind's word in tables, the same as in the leaf.
pub(super) fn kind_text(kind: LeafKind) -> &'static str {
    match kind {
        LeafKind::Root => "root",
        LeafKind::Policy => "policy",
        LeafKind::Manifest => "manifest",
        LeafKind::Change => "change",
        LeafKind::PlanSet => "plan_set",
        LeafKind::Approval => "approval",
        LeafKind::Enrolment => "enrolment",
        LeafKind::Receipt => "receipt",
        LeafKind::Refusal => "refusal",
        LeafKind::Finding => "finding",
        LeafKind::Origin => "origin",
        LeafKind::Export => "export",
        LeafKind::Audit => "audit",
        LeafKind::TrustReset => "trust_reset",
    }
}
