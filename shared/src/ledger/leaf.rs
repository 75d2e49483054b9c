//! Leaves: what the ledger says about one document. Digests and pseudonyms only, no personal data.
//!
//! Never: the document itself. It is stored beside the log under its digest and can be erased without
//! breaking the tree.

use super::merkle;
use super::note::KeyName;
use crate::digest::Digest;
use crate::ids::{AgentId, ChangeId};
use crate::limits;
use crate::strict::{self, ReadError};
use serde::{Deserialize, Deserializer, Serialize};

const WHAT: &str = "the ledger leaf";
const VERSION: u8 = 1;

/// What kind of document a leaf stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeafKind {
    /// A TUF root: the site's keys.
    Root,
    /// A version of the policy.
    Policy,
    Manifest,
    /// One revision of a change.
    Change,
    /// The agent-signed plans of one revision, as approvers saw them.
    PlanSet,
    /// An approval, rejection or withdrawal.
    Approval,
    Enrolment,
    Receipt,
    Refusal,
    /// An agent's signed finding.
    Finding,
    /// First leaf of every log; its document is an `Opening`.
    Origin,
    /// An evidence bundle that left the server.
    Export,
    /// A digest over a stretch of the server's audit trail.
    Audit,
    /// A host has left for another site.
    TrustReset,
}

/// One leaf. Its JSON bytes are the entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Wire", try_from = "Wire")]
#[non_exhaustive]
pub struct Leaf {
    pub kind: LeafKind,
    /// Of an envelope: `Envelope::digest` (what its signatures cover). Of anything else: of its bytes.
    pub sha256: Digest,
    pub agent: Option<AgentId>,
    /// The agent's own count of its statements.
    pub seq: Option<u64>,
    pub change: Option<ChangeId>,
}

/// Why these fields do not make a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a ledger leaf of kind {kind:?} {rule}")]
pub struct NotALeaf {
    kind: LeafKind,
    rule: &'static str,
}

impl Leaf {
    /// A leaf with the fields that its kind needs; see `NotALeaf` for what is refused.
    pub fn new(
        kind: LeafKind,
        sha256: Digest,
        agent: Option<AgentId>,
        seq: Option<u64>,
        change: Option<ChangeId>,
    ) -> Result<Self, NotALeaf> {
        use LeafKind::{Approval, Change, Enrolment, Finding, PlanSet, Receipt, Refusal, TrustReset};
        let broken = match kind {
            _ if seq.is_some() && agent.is_none() => Some("has a seq but no agent"),
            Receipt | Refusal | Finding | TrustReset if seq.is_none() => Some("needs agent and seq"),
            Enrolment if agent.is_none() => Some("needs an agent"),
            Change | PlanSet | Approval | Receipt if change.is_none() => Some("needs a change"),
            _ => None,
        };
        match broken {
            Some(rule) => Err(NotALeaf { kind, rule }),
            None => Ok(Self { kind, sha256, agent, seq, change }),
        }
    }

    /// The entry bytes, at most `LEAF_BYTES`.
    pub fn to_bytes(&self) -> Vec<u8> {
        strict::to_json(self)
    }

    /// Reads entry bytes; refuses unknown, repeated and null fields and versions other than 1.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        strict::from_json(WHAT, bytes, limits::LEAF_BYTES)
    }

    /// The hash under which this leaf is in the tree.
    pub fn hash(&self) -> Digest {
        merkle::leaf_hash(&self.to_bytes())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    v: u8,
    t: LeafKind,
    sha256: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    agent: Option<AgentId>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    seq: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    change: Option<ChangeId>,
}

impl From<Leaf> for Wire {
    fn from(leaf: Leaf) -> Self {
        let Leaf { kind: t, sha256, agent, seq, change } = leaf;
        Self { v: VERSION, t, sha256, agent, seq, change }
    }
}

impl TryFrom<Wire> for Leaf {
    type Error = String;
    fn try_from(wire: Wire) -> Result<Self, String> {
        if wire.v != VERSION {
            return Err(format!("version {} is not known here, only {VERSION}; update the verifier", wire.v));
        }
        Self::new(wire.t, wire.sha256, wire.agent, wire.seq, wire.change).map_err(|e| e.to_string())
    }
}

/// A field that may be absent, but not null: one meaning, one text.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The document of a log's first leaf: its own name, and the last known checkpoint of the log before it.
///
/// A restored server starts a new origin and names here what is known of the old one, so that the two
/// can be told apart and put in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    pub origin: KeyName,
    /// The signed note of the older checkpoint, word for word.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub previous: Option<String>,
}

impl Opening {
    pub fn to_bytes(&self) -> Vec<u8> {
        strict::to_json(self)
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        // A note may grow a little when it is written as a JSON text (its newlines are escaped).
        strict::from_json("the opening of the ledger", bytes, 2 * limits::NOTE_BYTES)
    }

    /// The first leaf of the log.
    pub fn leaf(&self) -> Leaf {
        let sha256 = Digest::of(&self.to_bytes());
        Leaf { kind: LeafKind::Origin, sha256, agent: None, seq: None, change: None }
    }
}
