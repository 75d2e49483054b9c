//! Findings and the retroactive changes that accept them: what a revision claims, and what becomes of that.

use super::{Row, Step, digest, finding, parse, step, word};
use crate::changes::{self, Claim, Claimed};
use crate::cmdb::{self, CiId, EventKind, NewEvent};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::ledger;
use diesel::prelude::*;
use shared::change::{Accepted, Change};
use shared::digest::Digest;
use shared::finding::Finding;
use shared::ids::{AgentId, ChangeId, PersonId};
use shared::lifecycle::{Outcome, State};
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::wire::{Disposition, Proposed};
use std::collections::HashMap;

/// Stores a revision of a retroactive change, if each finding that it accepts is on record for that very host, looks as
/// it did, and nobody has made anything of it. The same statement again changes nothing.
///
/// # Errors
/// `finding.*` about the first one that does not fit, and everything that a revision can be refused for.
pub(in crate::findings) fn revise(
    tx: &mut Conn,
    place: (&ChangeId, u32),
    change: &Statement<Change>,
    person: &PersonId,
    now: Timestamp,
) -> Result<changes::Row, Error> {
    if !change.body.is_retroactive() {
        return Err(Refusal::unprocessable("change.retroactive").with("change", place.0).into());
    }
    changes::lock(tx)?;
    tx.lock("findings")?;
    // What was claimed when it was stored may look otherwise by now.
    let known = changes::find_by_statement(tx, &change.digest)?.is_some();
    let claims = if known { Vec::new() } else { claims(tx, &change.body)? };
    changes::revise(tx, place, change, &claims, person, now)
}

fn claims(tx: &mut Conn, change: &Change) -> Result<Vec<Claim>, Error> {
    let digests: Vec<Digest> = change.accepts.iter().map(|accepted| accepted.finding).collect();
    let recorded = ledger::find_statements(tx, &digests)?;
    let claim = |accepted: &Accepted| claim(tx, accepted, recorded.get(&accepted.finding));
    change.accepts.iter().map(claim).collect()
}

fn claim(tx: &mut Conn, accepted: &Accepted, recorded: Option<&Vec<u8>>) -> Result<Claim, Error> {
    let refuse = |refusal: Refusal| refusal.with("digest", accepted.finding).with("agent", accepted.agent);
    let unknown = || refuse(Refusal::unprocessable("finding.not_recorded"));
    let said = recorded.and_then(|bytes| Statement::<Finding>::parse(bytes).ok()).ok_or_else(unknown)?;
    let agent = said.body.header.agent_id;
    if agent != accepted.agent {
        return Err(refuse(Refusal::unprocessable("finding.other_host")).into());
    }
    let claim = Claim {
        agent,
        number: said.body.number,
        finding: accepted.finding,
        fingerprint: said.body.fingerprint(),
    };
    let row = find(tx, &claim)?.ok_or_else(unknown)?;
    if digest(&row.said.fingerprint)? != claim.fingerprint {
        return Err(Refusal::conflict("finding.moved").with("finding", row.id).into());
    }
    if word(&row.disposition)? != Disposition::Open {
        let refusal = Refusal::conflict("finding.disposed").with("finding", row.id);
        return Err(refusal.with("disposition", &row.disposition).into());
    }
    Ok(claim)
}

fn find(tx: &mut Conn, claim: &Claim) -> QueryResult<Option<Row>> {
    let rows = finding::table.filter(finding::agent.eq(claim.agent.to_string()));
    let rows = rows.filter(finding::number.eq(claim.number.cast_signed()));
    rows.select(Row::as_select()).first(tx).optional()
}

/// A retroactive change was accepted: its findings are disposed of, except where they look otherwise by now or somebody,
/// or the host itself, has said something else of them since.
pub(in crate::findings) fn accepted(tx: &mut Conn, id: &str, now: Timestamp) -> Result<(), Error> {
    tx.lock("findings")?;
    let id: ChangeId = parse(id)?;
    let change = changes::get(tx, &id)?;
    if change.state()? != State::Closed(Outcome::Successful) {
        return Ok(());
    }
    let statement = change.statement()?;
    let author: PersonId = parse(&change.author)?;
    let approvers = changes::approvers(tx, &statement)?.join(", ");
    let reason = format!("{} (approved by {approvers})", change.title);
    for claim in changes::claims_of(tx, &statement)? {
        let Some(row) = find(tx, &claim)? else { continue };
        let open = matches!(word(&row.disposition)?, Disposition::Open | Disposition::Ignored);
        if !open || digest(&row.said.fingerprint)? != claim.fingerprint {
            continue;
        }
        let disposition = Disposition::Accepted;
        let by = Some(&author);
        let made = Step { by, disposition, reason: &reason, change: Some(&id), until: None, rule: None };
        step(tx, row.id, &made, now)?;
        let event = NewEvent {
            by: Some(author.clone()),
            change: Some((id.clone(), change.revision())),
            ..NewEvent::new(CiId(row.ci), now, EventKind::Accepted, row.said.what)
        };
        cmdb::insert_events(tx, &[event])?;
    }
    Ok(())
}

/// By row: the retroactive change that is to accept the finding as it looks now, while nobody has decided.
pub(super) fn proposed(tx: &mut Conn, rows: &[Row]) -> Result<HashMap<i64, Proposed>, Error> {
    let mut by_place = HashMap::with_capacity(rows.len());
    for row in rows {
        by_place.insert((parse::<AgentId>(&row.agent)?, row.number.cast_unsigned()), row);
    }
    let places = by_place.keys().copied().collect();
    let mut proposed = HashMap::new();
    for claimed in changes::claims_on(tx, &places)?.into_iter().filter(Claimed::is_open) {
        let Claimed { claim, change, state } = claimed;
        let row = by_place.get(&(claim.agent, claim.number));
        if let Some(row) = row.filter(|row| row.said.fingerprint == claim.fingerprint.0) {
            proposed.insert(row.id, Proposed { change, state: state.to_string() });
        }
    }
    Ok(proposed)
}

/// What is under review is not judged beside it.
pub(super) fn check_unproposed(tx: &mut Conn, rows: &[Row]) -> Result<(), Error> {
    let proposed = proposed(tx, rows)?;
    match rows.iter().find_map(|row| Some((row.id, proposed.get(&row.id)?))) {
        None => Ok(()),
        Some((id, Proposed { change, state })) => {
            let refusal = Refusal::conflict("finding.in_review").with("finding", id);
            Err(refusal.with("change", change).with("state", state).into())
        }
    }
}
