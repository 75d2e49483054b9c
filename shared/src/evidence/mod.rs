//! Evidence bundles: what an auditor takes away, and its offline check. Pure: files are a map in memory.
//!
//! Owns: the layout, the tables, the outer seal (checksums and signatures) and the verification of everything
//! inside. Never: trust in the server's word; what only the server says stands apart in `data/server.json`.

mod contents;
mod seal;
mod sshsig;
mod tables;
#[cfg(test)]
mod tests;
mod verify;

pub use contents::{Contents, Proofs};
pub use seal::{check_seal, seal};
pub use tables::{Table, tables};
pub use verify::{Report, verify};

use crate::bundle::Bundle;
use crate::digest::Digest;
use crate::ids::{ChangeId, SiteId};
use crate::ledger::{ConsistencyProof, InclusionProof};
use crate::strict::Map;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All files of a bundle by their path within it, `/`-separated.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Something in a bundle is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Flaw {
    pub path: String,
    pub message: String,
}

impl Flaw {
    pub(crate) fn at(path: impl Into<String>, message: impl ToString) -> Self {
        Self { path: path.into(), message: message.to_string() }
    }
}

/// What was asked for. The same query at the same log size gives the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    pub schema: String,
    pub site: SiteId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Leaves of the ledger when the bundle was made.
    pub log_size: u64,
    pub software: String,
}

impl Query {
    pub const SCHEMA: &'static str = "assent-evidence/1";

    /// Stable name of the export: equal queries at equal log sizes have equal ids.
    pub fn export_id(&self) -> String {
        crate::digest::hex(&Digest::of(&crate::strict::to_json(self)).0[..8])
    }
}

/// What the server says of a change without anybody's signature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerChange {
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitted_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
}

/// When and for which CMDB entry the server took a host's statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Received {
    pub at: Timestamp,
    pub ci: String,
    pub hostname: String,
}

/// The server's own word, kept apart from everything that is signed by others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerWord {
    pub changes: Map<ChangeId, ServerChange>,
    pub received: Map<Digest, Received>,
}

/// Everything that goes into a bundle, byte-exact as stored.
#[derive(Clone, Debug)]
pub struct Material {
    pub query: Query,
    /// Changes, plans, approvals, enrolments, receipts, refusals: envelopes by statement digest.
    pub statements: BTreeMap<Digest, Vec<u8>>,
    /// Published manifests by target name.
    pub manifests: BTreeMap<String, Vec<u8>>,
    pub plan_sets: BTreeMap<Digest, Vec<u8>>,
    /// Policy documents by version.
    pub policies: BTreeMap<u64, Vec<u8>>,
    /// `<n>.root.json`, `<n>.targets.json`, `<n>.content.<team>.json`.
    pub keys: BTreeMap<String, Vec<u8>>,
    /// The signed checkpoint that all proofs lead to.
    pub checkpoint: String,
    pub proofs: BTreeMap<Digest, InclusionProof>,
    /// From each smaller checkpoint that a host has seen.
    pub consistency: Vec<ConsistencyProof>,
    pub server: ServerWord,
}

/// Lays out the files and computes the tables; the seal is put on by [`seal`].
pub fn assemble(material: &Material) -> Result<Files, Flaw> {
    let mut files = Files::new();
    for (digest, bytes) in &material.statements {
        files.insert(format!("statements/{digest}.json"), bytes.clone());
    }
    for (digest, bytes) in &material.plan_sets {
        files.insert(format!("plan_sets/{digest}.json"), bytes.clone());
    }
    for (name, bytes) in &material.manifests {
        files.insert(format!("manifests/{name}"), bytes.clone());
    }
    for (version, bytes) in &material.policies {
        files.insert(format!("policy/{version}.json"), bytes.clone());
    }
    for (name, bytes) in &material.keys {
        files.insert(format!("keys/{name}"), bytes.clone());
    }
    for (digest, proof) in &material.proofs {
        let text = crate::ledger::TlogProof { proof: proof.clone(), checkpoint: material.checkpoint.clone() };
        files.insert(format!("proofs/{digest}.tlog-proof"), text.to_string().into_bytes());
    }
    for proof in &material.consistency {
        files.insert(format!("proofs/consistency/{}.json", proof.old_size), crate::strict::to_json(proof));
    }
    files.insert("proofs/checkpoint".into(), material.checkpoint.clone().into_bytes());
    files.insert("data/server.json".into(), crate::strict::to_json(&material.server));
    files.insert("query.json".into(), crate::strict::to_json(&material.query));
    let contents = Contents::read(&files)?;
    for table in tables(&contents) {
        files.insert(format!("data/{}.csv", table.name), table.to_csv());
        files.insert(format!("data/{}.json", table.name), table.to_json());
    }
    files.insert("README.txt".into(), include_bytes!("README.txt").to_vec());
    Ok(files)
}

/// The bundle that a receipt was run from, put together again from single statements.
pub(crate) fn rebuild(contents: &Contents, change: &Digest, plan_set: &Digest) -> Option<Bundle> {
    let change = contents.changes.get(change)?.clone();
    let plan_set = contents.plan_sets.get(plan_set)?.clone();
    let approvals = contents.approvals.values().filter(|a| a.body.change == change.digest).cloned().collect();
    Some(Bundle { change, plan_set, approvals, gate_receipts: Vec::new() })
}
