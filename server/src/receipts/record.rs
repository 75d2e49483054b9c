//! One transaction for a batch of statements: chain, ledger, CMDB, change, news.
//!
//! Everything that follows from a statement happens with it or not at all. A statement that comes again
//! changes nothing; one that contradicts the chain is kept as evidence beside it and raises an alarm.

use super::model::{AlarmKind, Incoming, NewAlarm, Verdict, judge};
use super::states::{self, Context};
use super::store::{self, Recorded};
use crate::budgets;
use crate::changes;
use crate::cmdb::{self, EventKind, NewEvent, NewHealth};
use crate::fleet::{self, ChainHead};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::kernel::outbox;
use crate::ledger::{self, Document};
use shared::digest::Digest;
use shared::finding::Presence;
use shared::ids::AgentId;
use shared::receipt::{HostOutcome, Receipt, StepStatus};
use shared::time::Timestamp;
use std::collections::{BTreeMap, HashSet};

/// Hosts fill a gap with what they kept, a minute later. One that lasts this long means that a statement is lost, or held back.
const LASTING_GAP_SECS: i64 = 600;

/// Outbox topics of slices further up; each gets a message with the digest of the new statement as key.
#[derive(Debug, Clone, Copy)]
pub struct Topics {
    pub receipts: &'static [&'static str],
    pub findings: &'static [&'static str],
    /// Hear of receipts that say that a host has put something back.
    pub corrections: &'static [&'static str],
}

/// Judges and records a batch; the verdicts are in its order.
pub(super) fn record(
    tx: &mut Conn,
    batch: &[&Incoming],
    topics: Topics,
    now: Timestamp,
) -> Result<Vec<Verdict>, Error> {
    ledger::lock(tx)?;
    let mut chains = Chains::load(tx, batch)?;
    let mut verdicts = Vec::with_capacity(batch.len());
    for incoming in batch {
        verdicts.push(chains.place(tx, incoming, now)?);
    }
    let taken: Vec<&Incoming> = batch
        .iter()
        .zip(&verdicts)
        .filter(|(_, v)| matches!(v, Verdict::Next | Verdict::NextAfterLoss { .. } | Verdict::Again))
        .map(|(incoming, _)| *incoming)
        .collect();
    if taken.is_empty() {
        return Ok(verdicts);
    }
    let documents: Vec<Document> = taken
        .iter()
        .map(|incoming| incoming.document())
        .collect::<Result<_, _>>()
        .map_err(|error| Error::fault("recording a statement", error))?;
    let placed = ledger::record(tx, &documents, now)?;
    if !chains.links.is_empty() {
        fleet::extend_chains(tx, &chains.links)?;
    }
    let fresh: Vec<Recorded<'_>> = taken
        .into_iter()
        .zip(placed)
        .filter(|(_, placed)| placed.fresh)
        .filter_map(|(incoming, placed)| {
            let head = chains.heads.get(&incoming.header().agent_id)?;
            let (ci, joined_as) = (head.ci, head.joined_as);
            Some(Recorded { incoming, ci, joined_as, index: placed.index })
        })
        .collect();
    follow(tx, &fresh, topics, now)?;
    Ok(verdicts)
}

/// The ends of the chains of a batch, as they grow while the batch is judged.
struct Chains {
    heads: BTreeMap<AgentId, ChainHead>,
    known: HashSet<Digest>,
    links: Vec<(AgentId, u64, Digest)>,
}

impl Chains {
    fn load(tx: &mut Conn, batch: &[&Incoming]) -> Result<Self, Error> {
        let digests: Vec<Digest> = batch.iter().map(|incoming| incoming.digest()).collect();
        let agents: Vec<AgentId> = batch.iter().map(|incoming| incoming.header().agent_id).collect();
        let known = ledger::known(tx, &digests)?;
        Ok(Self { heads: fleet::chain_heads(tx, &agents)?, known, links: Vec::new() })
    }

    fn place(&mut self, tx: &mut Conn, incoming: &Incoming, now: Timestamp) -> Result<Verdict, Error> {
        let (header, digest) = (incoming.header(), incoming.digest());
        let agent = header.agent_id;
        let known = self.known.contains(&digest);
        let mut verdict = judge(self.heads.get(&agent), header, known);
        // Links of this batch are not stored yet, so only a head that is as stored can be compared.
        let untouched = self.links.iter().all(|(linked, ..)| *linked != agent);
        if matches!(verdict, Verdict::Gap { .. } | Verdict::Fork)
            && untouched
            && fleet::repair_head(tx, agent)?
        {
            let detail = "the end of this host's chain was changed in the database; it was set right";
            alarm(tx, AlarmKind::ChainEdited, incoming, detail.into(), None, now)?;
            self.heads.extend(fleet::chain_heads(tx, &[agent])?);
            verdict = judge(self.heads.get(&agent), header, known);
        }
        match &verdict {
            Verdict::Next => self.link(incoming),
            Verdict::NextAfterLoss { lost } => {
                let detail =
                    format!("{lost} statements before {} are not in the restored database", header.seq);
                alarm(tx, AlarmKind::ChainLoss, incoming, detail, None, now)?;
                self.link(incoming);
            }
            // Recorded, but its link was lost by hand: it is put back where it fits.
            Verdict::Again if judge(self.heads.get(&agent), header, false) == Verdict::Next => {
                self.link(incoming)
            }
            Verdict::Fork => {
                let detail = format!("two statements claim place {} of this host's chain", header.seq);
                alarm(tx, AlarmKind::ChainFork, incoming, detail.clone(), Some(incoming.to_bytes()), now)?;
                fleet::hold(tx, agent, &detail, now)?;
            }
            Verdict::Gap { expected } => {
                let since = store::record_gap(tx, agent, *expected, now)?;
                if now.since(since) >= LASTING_GAP_SECS {
                    let detail = format!(
                        "it goes on at {}, and statement {expected} has been missing since {since}",
                        header.seq
                    );
                    // Once for each place, whatever comes after it.
                    let evidence = Digest::of(format!("{agent} {expected}").as_bytes());
                    let kind = AlarmKind::ChainGap;
                    raise(tx, &NewAlarm { kind, agent, detail, evidence, held: None }, now)?;
                }
            }
            Verdict::Again | Verdict::Unknown => {}
        }
        Ok(verdict)
    }

    fn link(&mut self, incoming: &Incoming) {
        let (header, digest) = (incoming.header(), incoming.digest());
        if let Some(head) = self.heads.get_mut(&header.agent_id) {
            (head.seq, head.last, head.gap_allowed) = (header.seq, digest, false);
            self.links.push((header.agent_id, header.seq, digest));
            self.known.insert(digest);
        }
    }
}

fn alarm(
    tx: &mut Conn,
    kind: AlarmKind,
    incoming: &Incoming,
    detail: String,
    held: Option<Vec<u8>>,
    now: Timestamp,
) -> Result<(), Error> {
    let agent = incoming.header().agent_id;
    let new = NewAlarm { kind, agent, detail, evidence: incoming.digest(), held };
    raise(tx, &new, now)
}

/// Keeps an alarm; the same one is kept once.
pub(super) fn raise(tx: &mut Conn, new: &NewAlarm, now: Timestamp) -> Result<(), Error> {
    if store::record_alarm(tx, new, now)? {
        tracing::warn!(kind = new.kind.as_str(), agent = %new.agent, detail = new.detail, "alarm");
    }
    Ok(())
}

/// Everything that follows from statements that are here for the first time.
fn follow(tx: &mut Conn, fresh: &[Recorded<'_>], topics: Topics, now: Timestamp) -> Result<(), Error> {
    if fresh.is_empty() {
        return Ok(());
    }
    store::insert(tx, fresh, now)?;
    let bodies = fresh.iter().filter_map(|recorded| match recorded.incoming {
        Incoming::Receipt(statement, _) => Some(&statement.body),
        Incoming::Refusal(_) | Incoming::Finding(_) | Incoming::TrustReset(_) => None,
    });
    let context = Context::load(tx, bodies)?;
    let events: Vec<NewEvent> = fresh.iter().map(event).collect();
    cmdb::insert_events(tx, &events)?;
    let receipts = fresh.iter().filter_map(|recorded| match recorded.incoming {
        Incoming::Receipt(statement, _) => Some((&**statement, recorded.joined_as, recorded.index)),
        Incoming::Refusal(_) | Incoming::Finding(_) | Incoming::TrustReset(_) => None,
    });
    let receipts: Vec<_> = receipts.collect();
    states::record(tx, &context, &receipts, now)?;
    for recorded in fresh {
        if let Incoming::Receipt(statement, _) = recorded.incoming {
            health(tx, recorded, &statement.body)?;
            budgets::returned(tx, statement.body.header.agent_id, &statement.body.change)?;
        }
    }
    for recorded in fresh {
        match recorded.incoming {
            Incoming::Receipt(statement, _) if statement.body.corrects.is_some() => {
                tell(tx, topics.corrections, statement.digest, now)?;
            }
            Incoming::Receipt(statement, summary) => {
                fleet::supersede_hindrance(tx, &statement.body.header)?;
                if let Some(detail) = changes::doubt(tx, &statement.body)? {
                    alarm(tx, AlarmKind::Unapproved, recorded.incoming, detail, None, now)?;
                }
                changes::on_receipt(tx, statement, summary.as_ref(), now)?;
                if statement.body.breakglass && statement.body.follows.is_none() {
                    let detail = context.broken_glass(&statement.body);
                    alarm(tx, AlarmKind::BrokenGlass, recorded.incoming, detail, None, now)?;
                }
                tell(tx, topics.receipts, statement.digest, now)?;
            }
            Incoming::Refusal(statement) if statement.body.change_id.is_some() => {
                fleet::supersede_hindrance(tx, &statement.body.header)?;
                changes::on_refusal(tx, statement)?;
            }
            Incoming::Refusal(statement) => fleet::record_hindrance(tx, statement, now)?,
            Incoming::Finding(statement) => tell(tx, topics.findings, statement.digest, now)?,
            Incoming::TrustReset(_) => {}
        }
    }
    Ok(())
}

/// What the checks said of a host that is as the change wants it; those of a run that was taken back tell of a state that
/// is gone.
fn health(tx: &mut Conn, recorded: &Recorded<'_>, receipt: &Receipt) -> Result<(), Error> {
    if receipt.outcome.succeeded() == Some(false) || receipt.health.is_empty() {
        return Ok(());
    }
    let said: Vec<NewHealth> =
        receipt.health.iter().map(|result| NewHealth::of(result, receipt.finished)).collect();
    let statement = (recorded.incoming.digest(), Some(recorded.index));
    cmdb::record_health(
        tx,
        recorded.ci,
        &said,
        statement,
        Some(&(receipt.change_id.clone(), receipt.revision)),
    )
}

fn tell(tx: &mut Conn, topics: &[&str], statement: Digest, now: Timestamp) -> Result<(), Error> {
    for topic in topics {
        outbox::put(tx, topic, &statement.hex(), "{}", now)?;
    }
    Ok(())
}

fn event(recorded: &Recorded<'_>) -> NewEvent {
    let statement = Some((recorded.incoming.digest(), recorded.index));
    let (at, kind, summary) = match recorded.incoming {
        Incoming::Receipt(receipt, _) if receipt.body.corrects.is_some() => {
            let good = receipt.body.outcome.is_success();
            let kind = if good { EventKind::Corrected } else { EventKind::NotCorrected };
            (receipt.body.finished, kind, summary(&receipt.body))
        }
        Incoming::Receipt(receipt, _) => {
            let kind = match receipt.body.outcome {
                HostOutcome::Applied => EventKind::Applied,
                HostOutcome::Unchanged => EventKind::Unchanged,
                HostOutcome::RolledBack => EventKind::RolledBack,
                HostOutcome::Failed => EventKind::Failed,
                HostOutcome::PendingReboot => EventKind::PendingReboot,
            };
            (receipt.body.finished, kind, summary(&receipt.body))
        }
        Incoming::Refusal(refusal) => {
            (refusal.body.header.at, EventKind::Refused, refusal.body.reason.to_string())
        }
        Incoming::Finding(finding) => {
            let kind = match finding.body.presence {
                Presence::There => EventKind::Differs,
                Presence::Gone => EventKind::AsApproved,
                Presence::Happened => EventKind::ByOthers,
            };
            (finding.body.header.at, kind, finding.body.named())
        }
        Incoming::TrustReset(reset) => {
            let to = format!("site {}, first root {}", reset.body.new_site, reset.body.new_root);
            (reset.body.header.at, EventKind::TrustReset, to)
        }
    };
    let change = recorded.incoming.change().and_then(|(id, revision)| Some((id, revision?)));
    NewEvent { change, statement, ..NewEvent::new(recorded.ci, at, kind, summary) }
}

/// What failed, in the host's words, or else what was touched.
fn summary(receipt: &Receipt) -> String {
    const NAMED: usize = 3;
    if !receipt.note.is_empty() {
        return receipt.note.clone();
    }
    if let (Some(_), Some(at)) = (receipt.follows, receipt.patched.as_ref().and_then(|p| p.effective)) {
        return format!("in effect since {at}");
    }
    let touched: Vec<&str> = receipt
        .results
        .iter()
        .filter(|step| step.status == StepStatus::Done)
        .map(|step| step.resource.as_str())
        .collect();
    let mut text = touched.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if touched.len() > NAMED {
        text.push_str(&format!(" +{}", touched.len() - NAMED));
    }
    text
}
