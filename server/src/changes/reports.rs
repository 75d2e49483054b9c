//! What hosts report: receipts move a change on, refusals are kept for whoever asks why.

use super::course::{By, step};
use super::review;
use super::store::{self, Row, papers};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::envelope::Envelope;
use shared::lifecycle::{Event, State};
use shared::receipt::{Receipt, Refusal};
use shared::statement::Statement;
use shared::time::Timestamp;

/// Takes note of a receipt that is recorded already, with what its host says to gates. The caller holds the ledger's lock.
///
/// Never refuses: what a host did is a fact, whatever state the change is in. True when a change of this
/// server is meant.
pub fn on_receipt(
    tx: &mut Conn,
    receipt: &Statement<Receipt>,
    summary: Option<&Envelope>,
    now: Timestamp,
) -> Result<bool, Error> {
    let body = &receipt.body;
    let Some(mut row) = store::find_by_statement(tx, &body.change)? else { return Ok(false) };
    let agent = body.header.agent_id;
    let success = body.outcome.succeeded();
    let unhealthy = success == Some(false) && body.health.iter().any(|check| !check.ok);
    let end = (success, unhealthy, summary.map(Envelope::to_bytes));
    if store::update_report(tx, &body.change, agent, &receipt.digest, end)? == 0 {
        tracing::warn!(change = row.id, %agent, "a receipt of a host that is no target");
        return Ok(false);
    }
    if body.breakglass {
        review::call(tx, &mut row, body, now)?;
    }
    if row.statement()? != body.change {
        return Ok(true);
    }
    if row.state()? == State::Approved {
        step(tx, &mut row, Event::Started, By::default(), now)?;
    }
    let all = is_done(tx, &row)?;
    let too_many = if success == Some(false) { too_many_failed(tx, &row)? } else { None };
    match (row.state()?, too_many) {
        (State::Running | State::Halted, _) if all => {
            step(tx, &mut row, Event::Finished, By::default(), now)?
        }
        (State::Running, Some(note)) => {
            step(tx, &mut row, Event::Halt, By { person: None, note: &note }, now)?
        }
        (State::Running | State::Halted, _) if row.gated => {
            // The next wave waits for this receipt; the publishing job hands it on.
            row.unpublished = true;
            store::update(tx, &mut row)?;
        }
        (State::Running | State::Halted, _) => {}
        (State::Review, _) if success == Some(false) && row.review_due.is_none() => {
            review::demand(tx, &mut row, now)?;
            store::update(tx, &mut row)?;
        }
        (State::Draft | State::InReview | State::Approved | State::Review | State::Closed(_), _) => {
            tracing::info!(change = row.id, state = row.state, %agent, "a receipt for a change that does not wait for it");
        }
    }
    Ok(true)
}

/// Why a run that a host reports is not what was approved here, in words; nothing where it is, or where the change is none
/// of this server's. Whoever broke the glass has an alarm of their own.
///
/// What is known of plans here is compared; whether the approvals carried it, evidence judges from the signatures.
pub fn doubt(tx: &mut Conn, receipt: &Receipt) -> Result<Option<String>, Error> {
    if receipt.breakglass {
        return Ok(None);
    }
    let Some(row) = store::find_by_statement(tx, &receipt.change)? else { return Ok(None) };
    let (id, revision) = (&row.id, receipt.revision);
    let Some(target) = store::find_target(tx, &receipt.change, receipt.header.agent_id)? else {
        return Ok(Some(format!(
            "it reports a run of {id} revision {revision}, which does not name this host"
        )));
    };
    let why = match papers::find_plan_set_time(tx, &receipt.change, &receipt.plan_set)? {
        None => "a plan set that nobody approved",
        Some(_) if target.plan.as_deref() != Some(receipt.plan.0.as_slice()) => {
            "another plan than the one that stood for approval"
        }
        // What came later is in no set that was approved before.
        Some(at) if papers::find_plan_time(tx, &receipt.plan)?.is_none_or(|stored| stored > at) => {
            "a plan that was not approved"
        }
        Some(_) => return Ok(None),
    };
    Ok(Some(format!("it reports a run of {id} revision {revision} by {why}")))
}

/// Whether all hosts have reported that are waited for.
pub(super) fn is_done(tx: &mut Conn, row: &Row) -> Result<bool, Error> {
    let reported = store::count_reports(tx, &row.statement()?)?;
    Ok(row.planned > 0 && i64::from(reported) >= i64::from(row.planned))
}

/// Why the change halts, when more hosts have failed than its author lets fail, those aside that whoever resumed it knew of.
fn too_many_failed(tx: &mut Conn, row: &Row) -> Result<Option<String>, Error> {
    let Some(most) = row.halt_above else { return Ok(None) };
    let failed = store::count_failed(tx, &row.statement()?)?;
    let fresh = failed.saturating_sub(row.failed_known);
    if fresh <= most {
        return Ok(None);
    }
    let known =
        if fresh < failed { format!(" since it was resumed, {failed} in all") } else { String::new() };
    Ok(Some(format!("{fresh} hosts have failed{known}; the change halts by itself above {most}")))
}

/// Takes note of a refusal that is recorded already, if it is about a revision of this server's.
pub fn on_refusal(tx: &mut Conn, refusal: &Statement<Refusal>) -> Result<(), Error> {
    let body = &refusal.body;
    let (Some(id), Some(revision)) = (&body.change_id, body.revision) else { return Ok(()) };
    let Some(change) = store::find_revision(tx, id, revision)? else { return Ok(()) };
    if store::find_target(tx, &change, body.header.agent_id)?.is_some() {
        papers::record_refusal(tx, &change, refusal)?;
    }
    Ok(())
}
