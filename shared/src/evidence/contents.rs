//! Reads a bundle's files into typed statements. Each is parsed strictly and filed under its true digest.

use super::{ChangeEvent, Files, Flaw, Query, ServerWord};
use crate::approval::Approval;
use crate::audit::AuditRecord;
use crate::change::Change;
use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::finding::Finding;
use crate::ledger::{ConsistencyProof, TlogProof, Witnessed};
use crate::limits;
use crate::note::ChangeNote;
use crate::plan::{Plan, PlanSet, open_plan};
use crate::policy::Policy;
use crate::publication::Publication;
use crate::receipt::{Chained, Enrolment, Receipt, Refusal, open_chained};
use crate::reset::TrustReset;
use crate::statement::{self, Predicate, Statement};
use crate::strict;
use std::collections::BTreeMap;

/// Proofs by statement digest, and the checkpoint that they lead to.
#[derive(Debug, Default)]
pub struct Proofs {
    pub checkpoint: String,
    pub inclusion: BTreeMap<Digest, TlogProof>,
    pub consistency: Vec<ConsistencyProof>,
    /// What witnesses of the policy have seen of the ledger.
    pub witnessed: Vec<Witnessed>,
}

/// A bundle's files as typed values. Host statements are already checked to be signed by the host's own key;
/// nothing else about trust is decided here.
#[derive(Debug)]
pub struct Contents {
    pub query: Query,
    pub changes: BTreeMap<Digest, Statement<Change>>,
    pub plans: BTreeMap<Digest, Statement<Plan>>,
    pub approvals: BTreeMap<Digest, Statement<Approval>>,
    pub enrolments: BTreeMap<Digest, Statement<Enrolment>>,
    pub receipts: BTreeMap<Digest, Statement<Receipt>>,
    pub refusals: BTreeMap<Digest, Statement<Refusal>>,
    pub findings: BTreeMap<Digest, Statement<Finding>>,
    /// Last words of hosts that left for another site.
    pub departures: BTreeMap<Digest, Statement<TrustReset>>,
    /// By statement digest: the target name and the file as published.
    pub manifests: BTreeMap<Digest, (String, Vec<u8>, Statement<Publication>)>,
    pub plan_sets: BTreeMap<Digest, PlanSet>,
    /// By digest of the document.
    pub events: BTreeMap<Digest, ChangeEvent>,
    /// By digest of the document.
    pub notes: BTreeMap<Digest, ChangeNote>,
    /// By digest of the document.
    pub audit: BTreeMap<Digest, AuditRecord>,
    /// By digest of the document.
    pub policies: BTreeMap<Digest, Policy>,
    pub keys: BTreeMap<String, Vec<u8>>,
    pub proofs: Proofs,
    pub server: ServerWord,
}

impl Contents {
    /// Reads all files; the first one that does not fit its place is the flaw.
    pub fn read(files: &Files) -> Result<Self, Flaw> {
        let query = json(files, "query.json")?;
        let mut contents = Self {
            query,
            changes: BTreeMap::new(),
            plans: BTreeMap::new(),
            approvals: BTreeMap::new(),
            enrolments: BTreeMap::new(),
            receipts: BTreeMap::new(),
            refusals: BTreeMap::new(),
            findings: BTreeMap::new(),
            departures: BTreeMap::new(),
            manifests: BTreeMap::new(),
            plan_sets: BTreeMap::new(),
            events: BTreeMap::new(),
            notes: BTreeMap::new(),
            audit: BTreeMap::new(),
            policies: BTreeMap::new(),
            keys: BTreeMap::new(),
            proofs: Proofs::default(),
            server: json(files, "data/server.json")?,
        };
        for (path, bytes) in files {
            contents.file(path, bytes)?;
        }
        Ok(contents)
    }

    fn file(&mut self, path: &str, bytes: &[u8]) -> Result<(), Flaw> {
        let flaw = |e: &dyn std::fmt::Display| Flaw::at(path, e);
        match path.split_once('/') {
            Some(("statements", name)) => self.statement(path, name, bytes)?,
            Some(("plan_sets", name)) => {
                let set: PlanSet =
                    strict::from_json("the plan set", bytes, limits::BUNDLE_BYTES).map_err(|e| flaw(&e))?;
                let digest = named(path, name, Digest::of(bytes))?;
                self.plan_sets.insert(digest, set);
            }
            Some(("events", name)) => {
                let event: ChangeEvent =
                    strict::from_json("the step", bytes, limits::ENVELOPE_BYTES).map_err(|e| flaw(&e))?;
                self.events.insert(named(path, name, Digest::of(bytes))?, event);
            }
            Some(("notes", name)) => {
                let note = ChangeNote::parse(bytes).map_err(|e| flaw(&e))?;
                self.notes.insert(named(path, name, Digest::of(bytes))?, note);
            }
            Some(("audit", name)) => {
                let record = AuditRecord::parse(bytes).map_err(|e| flaw(&e))?;
                self.audit.insert(named(path, name, Digest::of(bytes))?, record);
            }
            Some(("manifests", name)) => {
                let statement = Statement::<Publication>::parse(bytes).map_err(|e| flaw(&e))?;
                if statement.body.target_name() != name {
                    return Err(flaw(&"is filed under another manifest's name"));
                }
                self.manifests.insert(statement.digest, (name.to_owned(), bytes.to_vec(), statement));
            }
            Some(("policy", _)) => {
                let policy = Policy::parse(bytes).map_err(|e| flaw(&e))?;
                self.policies.insert(Digest::of(bytes), policy);
            }
            Some(("keys", name)) => {
                self.keys.insert(name.to_owned(), bytes.to_vec());
            }
            Some(("proofs", name)) => self.proof(path, name, bytes)?,
            _ => {}
        }
        Ok(())
    }

    fn statement(&mut self, path: &str, name: &str, bytes: &[u8]) -> Result<(), Flaw> {
        let flaw = |e: &dyn std::fmt::Display| Flaw::at(path, e);
        let envelope = Envelope::parse(bytes).map_err(|e| flaw(&e))?;
        let digest = named(path, name, envelope.digest())?;
        let kind = statement::type_of(&envelope).map_err(|e| flaw(&e))?;
        let site = &self.query.site;
        match kind.as_str() {
            Change::TYPE => {
                self.changes.insert(digest, Statement::open(envelope).map_err(|e| flaw(&e))?);
            }
            Approval::TYPE => {
                self.approvals.insert(digest, Statement::open(envelope).map_err(|e| flaw(&e))?);
            }
            Plan::TYPE => {
                self.plans.insert(digest, open_plan(bytes).map_err(|e| flaw(&e))?);
            }
            Enrolment::TYPE => {
                self.enrolments.insert(digest, open_chained(bytes, site).map_err(|e| flaw(&e))?);
            }
            Receipt::TYPE => {
                self.receipts.insert(digest, open_chained(bytes, site).map_err(|e| flaw(&e))?);
            }
            Refusal::TYPE => {
                self.refusals.insert(digest, open_chained(bytes, site).map_err(|e| flaw(&e))?);
            }
            Finding::TYPE => {
                let finding = open_chained::<Finding>(bytes, site).map_err(|e| flaw(&e))?;
                finding.body.check().map_err(|e| flaw(&e))?;
                self.findings.insert(digest, finding);
            }
            TrustReset::TYPE => {
                self.departures.insert(digest, open_chained(bytes, site).map_err(|e| flaw(&e))?);
            }
            other => return Err(flaw(&format!("is of the unknown type {:?}", strict::shorten(other)))),
        }
        Ok(())
    }

    fn proof(&mut self, path: &str, name: &str, bytes: &[u8]) -> Result<(), Flaw> {
        let text = std::str::from_utf8(bytes).map_err(|_| Flaw::at(path, "is not text"))?;
        if name == "checkpoint" {
            self.proofs.checkpoint = text.to_owned();
        } else if let Some(stem) = name.strip_suffix(".tlog-proof") {
            let digest: Digest = stem.parse().map_err(|e| Flaw::at(path, e))?;
            let proof: TlogProof = text.parse().map_err(|e| Flaw::at(path, e))?;
            self.proofs.inclusion.insert(digest, proof);
        } else if name == "witnessed.json" {
            let most = limits::POLICY_WITNESSES * limits::TLOG_PROOF_BYTES;
            self.proofs.witnessed =
                strict::from_json("what witnesses saw", bytes, most).map_err(|e| Flaw::at(path, e))?;
        } else {
            let proof = strict::from_json("the proof", bytes, limits::ENVELOPE_BYTES)
                .map_err(|e| Flaw::at(path, e))?;
            self.proofs.consistency.push(proof);
        }
        Ok(())
    }

    /// Everything that hosts signed into their chains: agent, place, predecessor, digest.
    pub(crate) fn chain(&self) -> Vec<(&crate::receipt::Header, Digest)> {
        fn heads<P: Chained>(
            map: &BTreeMap<Digest, Statement<P>>,
        ) -> impl Iterator<Item = (&crate::receipt::Header, Digest)> {
            map.iter().map(|(digest, statement)| (statement.body.header(), *digest))
        }
        let all = heads(&self.enrolments).chain(heads(&self.receipts)).chain(heads(&self.refusals));
        let all = all.chain(heads(&self.departures));
        let mut all: Vec<_> = all.chain(heads(&self.findings)).collect();
        all.sort_by_key(|(header, digest)| (header.agent_id, header.seq, *digest));
        all
    }
}

fn json<T: serde::de::DeserializeOwned>(files: &Files, path: &'static str) -> Result<T, Flaw> {
    let bytes = files.get(path).ok_or_else(|| Flaw::at(path, "is missing"))?;
    strict::from_json(path, bytes, 64 << 20).map_err(|e| Flaw::at(path, e))
}

fn named(path: &str, name: &str, digest: Digest) -> Result<Digest, Flaw> {
    if name.strip_suffix(".json") == Some(digest.hex().as_str()) {
        return Ok(digest);
    }
    Err(Flaw::at(path, format!("is filed under another digest than its own, {digest}")))
}
