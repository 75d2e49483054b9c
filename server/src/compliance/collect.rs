//! Collects everything that a bundle needs, byte for byte as stored, in one consistent reading.

use super::model::{Exporter, Scope, Wish};
use super::store;
use crate::audit;
use crate::changes::{self, Dossier};
use crate::cmdb;
use crate::fleet;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::ledger::{self, Question};
use crate::manifests;
use crate::receipts;
use shared::change::{Change, Retirement};
use shared::digest::Digest;
use shared::evidence::{Material, Query, Received, ServerChange, ServerWord, TableFacts};
use shared::finding::Finding;
use shared::ids::{AgentId, ChangeId, PersonId};
use shared::ledger::{Checkpoint, ConsistencyProof, InclusionProof};
use shared::plan::PlanSet;
use shared::receipt::{Chained, Enrolment, LogSeen, Receipt, Refusal};
use shared::reset::TrustReset;
use shared::statement::Statement;
use shared::strict;
use shared::time::Interval;
use std::collections::{BTreeMap, BTreeSet};

/// Proofs asked for at once.
const PROOFS: usize = 1_000;

fn missing(what: &str) -> Error {
    Error::fault("collecting evidence", format!("{what} is missing; restore the database from a backup"))
}

pub(super) fn material(
    tx: &mut Conn,
    exporter: &Exporter,
    wish: &Wish,
    user: &PersonId,
) -> Result<Material, Error> {
    let scope = wish.scope()?;
    let ids = changes_of(tx, &scope)?;
    let head = exporter.log.settled(tx)?;
    let mut server = ServerWord::default();
    let mut found = Found::default();
    for id in &ids {
        let dossier = changes::dossier(tx, id)?;
        server.changes.insert(id.clone(), server_change(&dossier));
        found.change(tx, id, dossier, &mut server)?;
    }
    found.enrolments_and_departures(tx)?;
    if let Scope::Period(from, to) = &scope {
        let later = ledger::head(tx)?.size - head.size;
        let trail = audit::list_between(tx, (*from, *to), later)?;
        found.trail(tx, &trail)?;
    }
    let logged: Vec<Digest> = found.logged.iter().copied().collect();
    let proofs = proofs(tx, (exporter, &head), &logged)?;
    let previous = store::find_previous(tx, &head)?;
    let mut sizes = found.seen(&head);
    sizes.extend(previous);
    let consistency = consistency(tx, (exporter, &head), proofs.keys().next(), &sizes)?;
    let repository = manifests::evidence(tx)?;
    Ok(Material {
        query: Query {
            previous_log_size: previous,
            user: Some(user.clone()),
            ..query(exporter, &scope, head.size)
        },
        statements: found.statements,
        manifests: found.manifests,
        plan_sets: found.plan_sets,
        events: found.events,
        notes: found.notes,
        audit: found.audit,
        policies: repository.policies,
        keys: repository.keys,
        checkpoint: exporter.log.sign(&head)?,
        proofs,
        consistency,
        witnessed: exporter.log.witnessed(tx, &head)?,
        server,
    })
}

fn query(exporter: &Exporter, scope: &Scope, log_size: u64) -> Query {
    let (change, from, to) = match scope {
        Scope::Change(id) => (Some(id.clone()), None, None),
        Scope::Period(from, to) => (None, Some(*from), Some(*to)),
    };
    Query {
        schema: Query::SCHEMA.into(),
        site: exporter.site.clone(),
        change,
        from,
        to,
        log_size,
        previous_log_size: None,
        user: None,
        tables: TableFacts::default(),
        software: format!("assent-server {}", env!("CARGO_PKG_VERSION")),
    }
}

/// The changes of the scope, by number.
fn changes_of(tx: &mut Conn, scope: &Scope) -> Result<Vec<ChangeId>, Error> {
    let (from, to) = match scope {
        Scope::Change(id) => return Ok(vec![id.clone()]),
        Scope::Period(from, to) => (*from, *to),
    };
    let mut ids = BTreeSet::new();
    for id in changes::list_created(tx, from, to)? {
        ids.insert(id.parse().map_err(|_| missing("the id of a change"))?);
    }
    ids.extend(
        receipts::list_by_time(tx, Interval { from, until: to })?.into_iter().map(|line| line.change_id),
    );
    Ok(ids.into_iter().collect())
}

fn server_change(dossier: &Dossier) -> ServerChange {
    ServerChange {
        state: dossier.state.clone(),
        outcome: dossier.outcome.clone(),
        submitted_at: dossier.submitted,
        closed_at: dossier.closed,
    }
}

/// What has been collected so far.
#[derive(Default)]
struct Found {
    statements: BTreeMap<Digest, Vec<u8>>,
    manifests: BTreeMap<String, Vec<u8>>,
    plan_sets: BTreeMap<Digest, Vec<u8>>,
    events: BTreeMap<Digest, Vec<u8>>,
    notes: BTreeMap<Digest, Vec<u8>>,
    audit: BTreeMap<Digest, Vec<u8>>,
    /// What has a leaf of its own; plans are in the ledger through their plan sets.
    logged: BTreeSet<Digest>,
    hosts: BTreeSet<AgentId>,
    seen: Vec<LogSeen>,
}

impl Found {
    fn change(
        &mut self,
        tx: &mut Conn,
        id: &ChangeId,
        dossier: Dossier,
        server: &mut ServerWord,
    ) -> Result<(), Error> {
        let mut targets = BTreeSet::new();
        for bytes in self.add(tx, &dossier.revisions)? {
            let change = Statement::<Change>::parse(&bytes).map_err(|_| missing("a readable revision"))?;
            targets.extend(change.body.targets.iter().map(|target| target.agent));
            self.hosts.extend(change.body.retires.iter().flat_map(Retirement::hosts).map(|host| host.agent));
            let accepted: Vec<Digest> = change.body.accepts.iter().map(|accepted| accepted.finding).collect();
            for bytes in self.add(tx, &accepted)? {
                self.host::<Finding>(&bytes)?;
            }
            self.publications(tx, &change.body)?;
        }
        // A host that the change does not name can claim what it likes; that is no evidence of this change.
        let mut received = receipts::list_by_change(tx, id)?;
        received.retain(|line| targets.contains(&line.agent));
        let receipts: BTreeSet<Digest> =
            received.iter().map(|line| line.statement).chain(dossier.receipts).collect();
        for line in received {
            let hostname = fleet::find(tx, line.agent)?.map(|host| host.hostname).unwrap_or_default();
            let said = Received { at: line.received, ci: line.ci.to_string(), hostname };
            server.received.insert(line.statement, said);
        }
        let refusals: BTreeSet<Digest> = receipts::list_refusals(tx, id)?
            .into_iter()
            .map(|line| line.statement)
            .chain(dossier.refusals)
            .collect();
        self.plans(tx, &dossier.plan_sets)?;
        self.steps(tx, &dossier.events)?;
        self.notes(tx, &dossier.notes)?;
        self.add(tx, &dossier.approvals)?;
        let receipts: Vec<Digest> = receipts.into_iter().collect();
        for bytes in self.add(tx, &receipts)? {
            self.host::<Receipt>(&bytes)?;
        }
        let refusals: Vec<Digest> = refusals.into_iter().collect();
        for bytes in self.add(tx, &refusals)? {
            self.host::<Refusal>(&bytes)?;
        }
        // As with receipts: only hosts that the change names can differ from it.
        let mut findings = receipts::list_findings(tx, id)?;
        findings.retain(|(agent, _)| targets.contains(agent));
        let findings: Vec<Digest> = findings.into_iter().map(|(_, statement)| statement).collect();
        for bytes in self.add(tx, &findings)? {
            self.host::<Finding>(&bytes)?;
        }
        Ok(())
    }

    /// Takes statements that have leaves; returns their bytes in the order asked for.
    fn add(&mut self, tx: &mut Conn, digests: &[Digest]) -> Result<Vec<Vec<u8>>, Error> {
        let found = self.take(tx, digests)?;
        self.logged.extend(digests);
        Ok(found)
    }

    fn take(&mut self, tx: &mut Conn, digests: &[Digest]) -> Result<Vec<Vec<u8>>, Error> {
        let found = ledger::find_statements(tx, digests)?;
        let mut all = Vec::with_capacity(digests.len());
        for digest in digests {
            let bytes = found.get(digest).ok_or_else(|| missing("a signed statement"))?;
            self.statements.insert(*digest, bytes.clone());
            all.push(bytes.clone());
        }
        Ok(all)
    }

    /// Plan sets and the plans that they name.
    fn plans(&mut self, tx: &mut Conn, sets: &[Digest]) -> Result<(), Error> {
        for digest in sets {
            let bytes = ledger::find_statement(tx, digest)?.ok_or_else(|| missing("a plan set"))?;
            let set: PlanSet = strict::from_json("the plan set", &bytes, shared::limits::BUNDLE_BYTES)
                .map_err(|_| missing("a readable plan set"))?;
            let plans: Vec<Digest> = set.plans.values().copied().collect();
            self.take(tx, &plans)?;
            self.hosts.extend(set.plans.keys());
            self.plan_sets.insert(*digest, bytes);
            self.logged.insert(*digest);
        }
        Ok(())
    }

    /// Steps of the change's course, as documents of the ledger.
    fn steps(&mut self, tx: &mut Conn, digests: &[Digest]) -> Result<(), Error> {
        let found = self.documents(tx, digests, "a step of a change")?;
        self.events.extend(found);
        Ok(())
    }

    /// What people said of the change, as documents of the ledger.
    fn notes(&mut self, tx: &mut Conn, digests: &[Digest]) -> Result<(), Error> {
        let found = self.documents(tx, digests, "a note on a change")?;
        self.notes.extend(found);
        Ok(())
    }

    /// Records of the audit trail.
    fn trail(&mut self, tx: &mut Conn, digests: &[Digest]) -> Result<(), Error> {
        let found = self.documents(tx, digests, "a record of the audit trail")?;
        self.audit.extend(found);
        Ok(())
    }

    /// The server's own documents with these digests, all of them, with their leaves.
    fn documents(
        &mut self,
        tx: &mut Conn,
        digests: &[Digest],
        what: &str,
    ) -> Result<BTreeMap<Digest, Vec<u8>>, Error> {
        let found = ledger::find_statements(tx, digests)?;
        if digests.iter().any(|digest| !found.contains_key(digest)) {
            return Err(missing(what));
        }
        self.logged.extend(digests);
        Ok(found)
    }

    fn publications(&mut self, tx: &mut Conn, change: &Change) -> Result<(), Error> {
        for named in &change.manifests {
            let published = manifests::find_published(tx, &named.sha256)?;
            let published = published.ok_or_else(|| missing("a published manifest"))?;
            self.logged.insert(published.statement);
            self.manifests.insert(published.target, published.bytes);
        }
        Ok(())
    }

    /// Notes which host signed a statement and what it had seen of the ledger.
    fn host<P: Chained>(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let statement =
            Statement::<P>::parse(bytes).map_err(|_| missing("a readable statement of a host"))?;
        let header = statement.body.header();
        self.hosts.insert(header.agent_id);
        self.seen.extend(header.log_seen.clone());
        Ok(())
    }

    /// How each host came to belong to the site, and its word when it left for another one.
    fn enrolments_and_departures(&mut self, tx: &mut Conn) -> Result<(), Error> {
        let hosts = std::mem::take(&mut self.hosts);
        let mut digests = Vec::with_capacity(hosts.len());
        let mut all = cmdb::list_departures(tx)?;
        let mut departures = Vec::new();
        for agent in hosts {
            let Some(host) = fleet::find(tx, agent)? else { continue };
            digests.push(host.enrolment);
            departures.extend(all.remove(&host.ci).unwrap_or_default());
        }
        for bytes in self.add(tx, &digests)? {
            self.host::<Enrolment>(&bytes)?;
        }
        for bytes in self.add(tx, &departures)? {
            self.host::<TrustReset>(&bytes)?;
        }
        Ok(())
    }

    /// Sizes of this log that hosts have seen and that are smaller than now.
    fn seen(&self, head: &Checkpoint) -> BTreeSet<u64> {
        let ours = self.seen.iter().filter(|seen| seen.origin == head.origin.as_str());
        ours.map(|seen| seen.size).filter(|size| *size < head.size).collect()
    }
}

fn proofs(
    tx: &mut Conn,
    (exporter, head): (&Exporter, &Checkpoint),
    logged: &[Digest],
) -> Result<BTreeMap<Digest, InclusionProof>, Error> {
    let mut proofs = BTreeMap::new();
    for some in logged.chunks(PROOFS) {
        let questions: Vec<_> =
            some.iter().map(|digest| Question { statement: *digest, since: None, seen: None }).collect();
        for (digest, answer) in some.iter().zip(exporter.log.prove_to(tx, head, &questions)?) {
            // A statement of a log before a restore has no leaf here; whoever verifies will say so.
            proofs.extend(answer.map(|answer| (*digest, answer.recorded.inclusion)));
        }
    }
    Ok(proofs)
}

/// From each smaller size to now; `known` is any statement that the log has.
fn consistency(
    tx: &mut Conn,
    (exporter, head): (&Exporter, &Checkpoint),
    known: Option<&Digest>,
    sizes: &BTreeSet<u64>,
) -> Result<Vec<ConsistencyProof>, Error> {
    let Some(known) = known.copied() else { return Ok(Vec::new()) };
    let questions: Vec<_> =
        sizes.iter().map(|size| Question { statement: known, since: Some(*size), seen: None }).collect();
    let answers = exporter.log.prove_to(tx, head, &questions)?;
    Ok(answers.into_iter().flatten().filter_map(|answer| answer.recorded.consistency).collect())
}
