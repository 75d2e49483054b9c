//! Evidence bundles: what an auditor takes away, and its offline check. Pure: files are a map in memory.
//!
//! Owns: the layout, the tables, the outer seal (checksums and signatures) and the verification of everything
//! inside. Never: trust in the server's word; what only the server says stands apart in `data/server.json`.

mod accepted;
mod columns;
mod contents;
mod derived;
mod editions;
mod ledger;
mod notes;
mod rules;
mod seal;
mod standing;
mod tables;
#[cfg(test)]
mod tests;
mod verify;

pub use contents::{Contents, Proofs};
pub use ledger::follows;
pub use seal::{check_seal, seal};
pub use tables::{Table, tables};
pub use verify::{Report, verify};

use crate::bundle::Bundle;
use crate::digest::Digest;
use crate::ids::{ChangeId, PersonId, SiteId};
use crate::ledger::{ConsistencyProof, InclusionProof, Witnessed};
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

/// What was asked for. The same query at the same log size, and with the same looks of witnesses, gives the same bytes.
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
    /// Size of the ledger at the last export before; `proofs/consistency/` leads from there to here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_log_size: Option<u64>,
    /// Who took it, by the server's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<PersonId>,
    pub software: String,
    /// The tables in `data/`, by name.
    #[serde(default)]
    pub tables: TableFacts,
}

/// How many rows each table has, and the digests of its two forms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableFacts(pub Map<String, TableFact>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableFact {
    pub rows: u64,
    pub csv_sha256: Digest,
    pub json_sha256: Digest,
}

impl TableFacts {
    fn of(tables: &[Table]) -> Self {
        let fact = |table: &Table| TableFact {
            rows: table.rows.len() as u64,
            csv_sha256: Digest::of(&table.to_csv()),
            json_sha256: Digest::of(&table.to_json()),
        };
        Self(tables.iter().map(|table| (table.name.to_owned(), fact(table))).collect())
    }
}

impl Query {
    pub const SCHEMA: &'static str = "assent-evidence/1";

    /// Stable name of the export: equal questions at equal log sizes have equal ids, whoever asks.
    pub fn export_id(&self) -> String {
        let asked =
            Self { previous_log_size: None, user: None, tables: TableFacts::default(), ..self.clone() };
        crate::digest::hex(&Digest::of(&crate::strict::to_json(&asked)).0[..8])
    }
}

/// One step of a change's course: no signature, but its bytes have a leaf in the ledger, so that nobody can take it
/// back unnoticed. Server and verifier write the same bytes for the same step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeEvent {
    /// Always [`ChangeEvent::SCHEMA`].
    pub schema: String,
    pub change: ChangeId,
    /// Grows with every step of the change.
    pub version: u64,
    /// The revision that took the step; 0 before the first.
    pub revision: u32,
    pub event: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonId>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Afterwards.
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    pub at: Timestamp,
    /// With the first submission: the number of the year that the change got by it, such as `N-2026-0014`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub register: Option<String>,
}

impl ChangeEvent {
    pub const SCHEMA: &'static str = "assent-change-event/1";
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
    /// Changes, plans, approvals, enrolments, receipts, refusals, findings: envelopes by statement digest.
    pub statements: BTreeMap<Digest, Vec<u8>>,
    /// Published manifests by target name.
    pub manifests: BTreeMap<String, Vec<u8>>,
    pub plan_sets: BTreeMap<Digest, Vec<u8>>,
    /// Steps of changes ([`ChangeEvent`]) by digest.
    pub events: BTreeMap<Digest, Vec<u8>>,
    /// Notes on changes ([`crate::note::ChangeNote`]) by digest.
    pub notes: BTreeMap<Digest, Vec<u8>>,
    /// Records of the server's audit trail, of a period, by digest.
    pub audit: BTreeMap<Digest, Vec<u8>>,
    /// Policy documents by version.
    pub policies: BTreeMap<u64, Vec<u8>>,
    /// `<n>.root.json`, `<n>.targets.json`, `<n>.content.<team>.json`.
    pub keys: BTreeMap<String, Vec<u8>>,
    /// The signed checkpoint that all proofs lead to.
    pub checkpoint: String,
    pub proofs: BTreeMap<Digest, InclusionProof>,
    /// From each smaller checkpoint that a host has seen.
    pub consistency: Vec<ConsistencyProof>,
    /// What witnesses of the policy have seen of the ledger.
    pub witnessed: Vec<Witnessed>,
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
    for (digest, bytes) in &material.events {
        files.insert(format!("events/{digest}.json"), bytes.clone());
    }
    for (digest, bytes) in &material.notes {
        files.insert(format!("notes/{digest}.json"), bytes.clone());
    }
    for (digest, bytes) in &material.audit {
        files.insert(format!("audit/{digest}.json"), bytes.clone());
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
    if !material.witnessed.is_empty() {
        files.insert("proofs/witnessed.json".into(), crate::strict::to_json(&material.witnessed));
    }
    files.insert("proofs/checkpoint".into(), material.checkpoint.clone().into_bytes());
    files.insert("data/server.json".into(), crate::strict::to_json(&material.server));
    files.insert("query.json".into(), crate::strict::to_json(&material.query));
    let contents = Contents::read(&files)?;
    let tables = tables(&contents);
    let query = Query { tables: TableFacts::of(&tables), ..material.query.clone() };
    files.insert("query.json".into(), crate::strict::to_json(&query));
    for table in tables {
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
    Some(Bundle { change, plan_set, approvals })
}
