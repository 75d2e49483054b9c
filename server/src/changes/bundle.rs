//! Bundles in the repository: what hosts pull to run a change. Nothing gets there by a column of a table:
//! before a bundle is listed, every signature in it is verified again, and one host's admission is gone through.

use super::course::{is_listed, stands};
use super::judging::{Papers, judge_hosts, plan_set};
use super::revise::refused;
use super::store::{self, Row};
use crate::budgets;
use crate::calendars;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::ledger;
use crate::manifests::{self, Online};
use shared::admit::{self, Me};
use shared::approval::{Approval, Decision, last_words};
use shared::bundle::{Bundle, Control};
use shared::envelope::Envelope;
use shared::ids::AgentId;
use shared::lifecycle::State;
use shared::limits;
use shared::plan::open_plan;
use shared::policy::Purpose;
use shared::statement::Statement;
use shared::strict;
use shared::time::Timestamp;
use shared::tuf::TargetName;

/// Room for receipts of earlier waves in a bundle: half of what hosts accept.
const GATE_BYTES: usize = limits::BUNDLE_BYTES / 2;

/// Brings the repository in line with these changes. The caller holds the locks.
///
/// A change whose approvals do not carry it is not listed, whatever its row says.
pub(super) fn refresh(tx: &mut Conn, online: &Online, rows: &mut [Row], now: Timestamp) -> Result<(), Error> {
    let mut updates = Vec::new();
    for row in rows.iter_mut().filter(|row| row.unpublished) {
        let id = row.change_id()?;
        let wanted = is_listed(row.state()?) || stands(row, now)?;
        let listed = if wanted { assemble(tx, row, now)? } else { None };
        for revision in 1..=row.revision() {
            let bytes = listed.clone().filter(|_| revision == row.revision());
            updates.push((TargetName::Change { id: id.clone(), revision }, bytes));
        }
        store::update_published(tx, &row.id)?;
        row.unpublished = false;
    }
    if updates.is_empty() {
        return Ok(());
    }
    updates.push((TargetName::Control, Some(control(tx, now)?)));
    manifests::set_changes(tx, online, &updates, now)
}

/// Brings only the control file in line: a blackout begins to count, or another day has come.
pub(super) fn refresh_control(tx: &mut Conn, online: &Online, now: Timestamp) -> Result<(), Error> {
    let control = control(tx, now)?;
    manifests::set_changes(tx, online, &[(TargetName::Control, Some(control))], now)
}

/// What the control file has to say now.
pub(super) fn control(tx: &mut Conn, now: Timestamp) -> Result<Vec<u8>, Error> {
    let halted = store::list_in(tx, &[State::Halted])?;
    let halted = halted.iter().map(Row::change_id).collect::<Result<_, _>>()?;
    let (blackouts, budgets) = (calendars::published(tx, now)?, budgets::published(tx)?);
    let control = strict::to_json(&Control { halted, blackouts, budgets });
    if control.len() > limits::ENVELOPE_BYTES {
        let why = format!("it has {} bytes, and hosts read {}", control.len(), limits::ENVELOPE_BYTES);
        return Err(Error::fault(
            "writing the control file; let calendars and budgets be about all hosts instead of many by label",
            why,
        ));
    }
    Ok(control)
}

/// The bundle, if at least one host would accept it; the reason why not is logged.
fn assemble(tx: &mut Conn, row: &Row, now: Timestamp) -> Result<Option<Vec<u8>>, Error> {
    match verified(tx, row, now) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Error::Refusal(refusal)) => {
            tracing::warn!(change = row.id, code = refusal.code, facts = ?refusal.with, "the change is not listed");
            Ok(None)
        }
        Err(other) => Err(other),
    }
}

fn verified(tx: &mut Conn, row: &Row, now: Timestamp) -> Result<Vec<u8>, Error> {
    let papers = Papers::load(tx, row)?;
    admit::check_author(&papers.policy, &papers.change, now).map_err(refused)?;
    let nobody = || Refusal::conflict("change.not_carried").with("change", &row.id);
    let digest = row.plan_set()?.ok_or_else(nobody)?;
    let set = plan_set(tx, &digest)?;
    // Where nobody may start any more, hosts may still have to put something back.
    let runs = is_listed(row.state()?).then_some(Purpose::Start);
    let corrects = row.correct_until.filter(|end| now.0 < *end).map(|_| Purpose::Correction);
    let mut carried = None;
    for purpose in runs.into_iter().chain(corrects) {
        let allowed = judge_hosts(tx, &papers, &set, purpose, now)?.allowed;
        carried = carried.or(allowed.first().map(|host| (*host, purpose)));
    }
    let (first, purpose) = carried.ok_or_else(nobody)?;
    let mut bundle = Bundle {
        change: papers.change.clone(),
        plan_set: set,
        approvals: latest(&papers.approvals),
        gate_receipts: Vec::new(),
    };
    as_host(tx, &papers, &bundle, (first, purpose), now)?;
    if row.gated {
        bundle.gate_receipts = gate_receipts(tx, &bundle)?;
    }
    let bytes = bundle.to_bytes();
    if bytes.len() > limits::BUNDLE_BYTES {
        let refusal = Refusal::too_large("change.bundle_too_large").with("size", bytes.len());
        return Err(refusal.with("limit", limits::BUNDLE_BYTES).into());
    }
    Ok(bytes)
}

/// The last word of each person, refusals before approvals: what is judged, within the limit of a bundle.
fn latest(approvals: &[Statement<Approval>]) -> Vec<Statement<Approval>> {
    let read = |a: &Statement<Approval>| (a.body.person.clone(), a.body.at, a.body.decision, a.digest);
    let mut kept: Vec<_> = last_words(approvals, read).into_values().cloned().collect();
    kept.sort_by_key(|a| (a.body.decision == Decision::Approve, std::cmp::Reverse(a.body.at), a.digest));
    kept.truncate(limits::BUNDLE_APPROVALS);
    kept
}

/// Goes through the admission of one host with its own signed plan.
fn as_host(
    tx: &mut Conn,
    papers: &Papers,
    bundle: &Bundle,
    (agent, purpose): (AgentId, Purpose),
    now: Timestamp,
) -> Result<(), Error> {
    let digest = bundle.plan_set.plans.get(&agent).copied();
    let digest = digest.ok_or_else(|| store::damaged("a plan set"))?;
    let bytes = ledger::find_statement(tx, &digest)?.ok_or_else(|| store::damaged("a plan"))?;
    let plan = open_plan(&bytes).map_err(|_| store::damaged("a plan"))?;
    let me = Me { key: plan.body.key, host_class: &plan.body.host_class };
    let addressed = admit::address(&papers.policy, bundle.change.clone(), &me, now).map_err(refused)?;
    let sources = papers.sources(tx, now)?;
    let judge = match purpose {
        Purpose::Start => admit::approve,
        Purpose::Correction => admit::stand,
    };
    judge(&papers.policy, &addressed, bundle, &plan, &sources, &me, now).map_err(refused)?;
    Ok(())
}

/// Receipts of all waves but the last: failures first, then successes, the newest first, as long as there is room.
fn gate_receipts(tx: &mut Conn, bundle: &Bundle) -> Result<Vec<Envelope>, Error> {
    let last = i32::try_from(bundle.change.body.waves.len().saturating_sub(1)).unwrap_or(i32::MAX);
    let targets = store::list_targets(tx, &bundle.change.digest)?;
    let mut digests = Vec::new();
    for target in targets.iter().filter(|target| target.wave < last) {
        if let Some(report) = target.report.as_deref() {
            digests.push((target.succeeded.unwrap_or_default(), store::digest(report)?));
        }
    }
    let all: Vec<_> = digests.iter().map(|(_, digest)| *digest).collect();
    let bodies = ledger::find_statements(tx, &all)?;
    let mut receipts = Vec::new();
    for (good, digest) in digests {
        let bytes = bodies.get(&digest).ok_or_else(|| store::damaged("a receipt"))?;
        let read =
            Statement::<shared::receipt::Receipt>::parse(bytes).map_err(|_| store::damaged("a receipt"))?;
        receipts.push((good, std::cmp::Reverse(read.body.finished), digest, read.envelope));
    }
    receipts.sort_by_key(|(good, finished, digest, _)| (*good, *finished, *digest));
    let mut room = GATE_BYTES.saturating_sub(bundle.to_bytes().len());
    let (count, mut kept) = (receipts.len(), Vec::new());
    for (.., envelope) in receipts {
        let Some(left) = room.checked_sub(envelope.to_bytes().len() + 1) else { break };
        room = left;
        kept.push(envelope);
    }
    if kept.len() < count {
        tracing::warn!(change = %bundle.change.body.change_id, kept = kept.len(), count, "not all receipts fit the bundle");
    }
    Ok(kept)
}
