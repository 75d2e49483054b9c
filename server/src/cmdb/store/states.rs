//! The as-recorded state of CIs: what the newest receipts say, and what they said at any time.

use super::succession::{filed_under, told_of};
use super::{ROWS, number, parse, read_digest, word};
use crate::cmdb::model::{CiId, NewEffect, NewState, one_line};
use crate::cmdb::search::{self, Field, Known};
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use diesel::prelude::*;
use diesel::upsert::excluded;
use shared::ids::PersonId;
use shared::time::Timestamp;
use shared::wire::CiState;
use std::collections::{BTreeMap, BTreeSet};

diesel::table! {
    ci_state (ci, resource) {
        ci -> BigInt,
        resource -> Text,
        state -> Nullable<Binary>,
        verb -> Text,
        outcome -> Text,
        summary -> Text,
        change_id -> Text,
        revision -> BigInt,
        approved_by -> Text,
        applied_at -> BigInt,
        receipt -> Binary,
        ledger_index -> BigInt,
        installed_at -> Nullable<BigInt>,
        effective_at -> Nullable<BigInt>,
        verified_at -> Nullable<BigInt>,
        manifests -> Text,
    }
}

diesel::table! {
    ci_state_past (ci, resource, seq) {
        ci -> BigInt,
        resource -> Text,
        seq -> BigInt,
        state -> Nullable<Binary>,
        verb -> Text,
        outcome -> Text,
        summary -> Text,
        change_id -> Text,
        revision -> BigInt,
        approved_by -> Text,
        applied_at -> BigInt,
        receipt -> Binary,
        ledger_index -> BigInt,
        installed_at -> Nullable<BigInt>,
        effective_at -> Nullable<BigInt>,
        verified_at -> Nullable<BigInt>,
        manifests -> Text,
    }
}

diesel::table! {
    ci_effect_past (ci, receipt, seq) {
        ci -> BigInt,
        receipt -> Binary,
        seq -> BigInt,
        at -> BigInt,
        effective_at -> Nullable<BigInt>,
        verified_at -> Nullable<BigInt>,
    }
}

/// A state, of either table: in that of all times its place in the chain stands beside it.
#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = ci_state, treat_none_as_default_value = false)]
struct StateRow {
    ci: i64,
    resource: String,
    state: Option<Vec<u8>>,
    verb: String,
    outcome: String,
    summary: String,
    change_id: String,
    revision: i64,
    approved_by: String,
    applied_at: i64,
    receipt: Vec<u8>,
    ledger_index: i64,
    installed_at: Option<i64>,
    effective_at: Option<i64>,
    verified_at: Option<i64>,
    manifests: String,
}

diesel::allow_tables_to_appear_in_same_query!(ci_state, ci_state_past);

/// Keeps what receipts say, each filed under the entry that its host got when it joined: the newest for each resource of a CI,
/// and all of it by its place in the host's chain. What is kept already stays as it is.
pub fn record_states(tx: &mut Conn, states: &[NewState], now: Timestamp) -> Result<(), Error> {
    // One statement must not touch a row twice.
    let last: BTreeMap<_, _> = states.iter().map(|state| ((state.ci, &state.resource), state)).collect();
    let rows: Vec<StateRow> = last.into_values().map(row).collect();
    for some in rows.chunks(ROWS) {
        each!(tx, |c| diesel::insert_into(ci_state::table)
            .values(some)
            .on_conflict((ci_state::ci, ci_state::resource))
            .do_update()
            .set((
                ci_state::state.eq(excluded(ci_state::state)),
                ci_state::verb.eq(excluded(ci_state::verb)),
                ci_state::outcome.eq(excluded(ci_state::outcome)),
                ci_state::summary.eq(excluded(ci_state::summary)),
                ci_state::change_id.eq(excluded(ci_state::change_id)),
                ci_state::revision.eq(excluded(ci_state::revision)),
                ci_state::approved_by.eq(excluded(ci_state::approved_by)),
                ci_state::applied_at.eq(excluded(ci_state::applied_at)),
                ci_state::receipt.eq(excluded(ci_state::receipt)),
                ci_state::ledger_index.eq(excluded(ci_state::ledger_index)),
                ci_state::installed_at.eq(excluded(ci_state::installed_at)),
                ci_state::effective_at.eq(excluded(ci_state::effective_at)),
                ci_state::verified_at.eq(excluded(ci_state::verified_at)),
                ci_state::manifests.eq(excluded(ci_state::manifests)),
            ))
            .execute(c))?;
    }
    let past: Vec<_> = states
        .iter()
        .map(|state| {
            let row = row(state);
            (
                (ci_state_past::ci.eq(row.ci), ci_state_past::resource.eq(row.resource)),
                (ci_state_past::seq.eq(state.seq.cast_signed()), ci_state_past::state.eq(row.state)),
                (ci_state_past::verb.eq(row.verb), ci_state_past::outcome.eq(row.outcome)),
                (ci_state_past::summary.eq(row.summary), ci_state_past::change_id.eq(row.change_id)),
                (ci_state_past::revision.eq(row.revision), ci_state_past::approved_by.eq(row.approved_by)),
                (ci_state_past::applied_at.eq(row.applied_at), ci_state_past::receipt.eq(row.receipt)),
                ci_state_past::ledger_index.eq(row.ledger_index),
                ci_state_past::installed_at.eq(row.installed_at),
                ci_state_past::effective_at.eq(row.effective_at),
                ci_state_past::verified_at.eq(row.verified_at),
                ci_state_past::manifests.eq(row.manifests),
            )
        })
        .collect();
    for some in past.chunks(ROWS) {
        each!(tx, |c| diesel::insert_into(ci_state_past::table)
            .values(some)
            .on_conflict_do_nothing()
            .execute(c))?;
    }
    for ci in states.iter().map(|state| state.ci).collect::<BTreeSet<_>>() {
        let entry = told_of(tx, ci)?;
        record_manifests(tx, entry, now)?;
    }
    Ok(())
}

/// The manifests of which something is on record, for searches.
pub(super) fn record_manifests(tx: &mut Conn, id: CiId, now: Timestamp) -> Result<(), Error> {
    let filed = filed_under(tx, id, Timestamp(i64::MAX))?;
    let all =
        ci_state::table.filter(ci_state::ci.nullable().eq(filed)).select(ci_state::manifests).distinct();
    let all: Vec<String> = all.load(tx)?;
    let pairs = all.iter().flat_map(|some| some.split(' ')).filter_map(|one| one.split_once('@'));
    let known = pairs.map(|(name, version)| Known::new(Field::Manifest, name, version)).collect();
    search::record(tx, id, &[Field::Manifest], &known, now)
}

fn row(state: &NewState) -> StateRow {
    let persons: Vec<_> = state.approved_by.iter().map(PersonId::as_str).collect();
    StateRow {
        ci: state.ci.0,
        resource: state.resource.to_string(),
        state: state.state.map(|digest| digest.0.to_vec()),
        verb: state.verb.as_str().to_owned(),
        outcome: state.outcome.as_str().to_owned(),
        summary: one_line(&state.summary),
        change_id: state.change.0.to_string(),
        revision: i64::from(state.change.1),
        approved_by: persons.join(" "),
        applied_at: state.applied_at.0,
        receipt: state.receipt.0.to_vec(),
        ledger_index: state.ledger_index.cast_signed(),
        installed_at: state.software.map(|(installed, ..)| installed.0),
        effective_at: state.software.and_then(|(_, effective, _)| effective).map(|at| at.0),
        verified_at: state.software.and_then(|(.., verified)| verified).map(|at| at.0),
        manifests: state.manifests.join(" "),
    }
}

/// A later receipt says that the software of an earlier one is in effect now.
pub fn record_effect(tx: &mut Conn, effect: &NewEffect) -> QueryResult<()> {
    let NewEffect { ci, receipt, seq, at, effective, verified } = effect;
    let times = (effective.map(|at| at.0), verified.map(|at| at.0));
    let rows = ci_state::table.filter(ci_state::receipt.eq(receipt.0.as_slice()));
    let rows = rows.filter(ci_state::ci.eq(ci.0)).filter(ci_state::installed_at.is_not_null());
    let set = (ci_state::effective_at.eq(times.0), ci_state::verified_at.eq(times.1));
    diesel::update(rows).set(set).execute(tx)?;
    let past = (
        ci_effect_past::ci.eq(ci.0),
        ci_effect_past::receipt.eq(receipt.0.as_slice()),
        ci_effect_past::seq.eq(seq.cast_signed()),
        ci_effect_past::at.eq(at.0),
        ci_effect_past::effective_at.eq(times.0),
        ci_effect_past::verified_at.eq(times.1),
    );
    each!(tx, |c| diesel::insert_into(ci_effect_past::table).values(past).on_conflict_do_nothing().execute(c))
        .map(drop)
}

/// As recorded by receipts, by resource.
pub fn list_states(tx: &mut Conn, id: CiId) -> Result<Vec<CiState>, Error> {
    let Some(filed) = filed_under(tx, id, Timestamp(i64::MAX))? else { return Ok(Vec::new()) };
    let rows = ci_state::table.filter(ci_state::ci.eq(filed)).order(ci_state::resource);
    rows.select(StateRow::as_select()).load(tx)?.into_iter().map(read).collect()
}

/// As receipts say that it was at a time: for each resource the last one of the host's chain that was done by then.
pub fn states_at(tx: &mut Conn, id: CiId, at: Timestamp) -> Result<Vec<CiState>, Error> {
    let Some(filed) = filed_under(tx, id, at)? else { return Ok(Vec::new()) };
    let rows = ci_state_past::table.filter(ci_state_past::ci.eq(filed));
    let rows = rows.filter(ci_state_past::applied_at.le(at.0)).order(ci_state_past::seq);
    let columns = (
        ci_state_past::ci,
        ci_state_past::resource,
        ci_state_past::state,
        ci_state_past::verb,
        ci_state_past::outcome,
        ci_state_past::summary,
        ci_state_past::change_id,
        ci_state_past::revision,
        ci_state_past::approved_by,
        ci_state_past::applied_at,
        ci_state_past::receipt,
        ci_state_past::ledger_index,
        ci_state_past::installed_at,
        ci_state_past::effective_at,
        ci_state_past::verified_at,
        ci_state_past::manifests,
    );
    let rows: Vec<StateRow> = rows.select(columns).load(tx)?;
    let mut last: BTreeMap<String, StateRow> =
        rows.into_iter().map(|row| (row.resource.clone(), row)).collect();
    let effects = ci_effect_past::table.filter(ci_effect_past::ci.eq(filed));
    let effects = effects.filter(ci_effect_past::at.le(at.0)).order(ci_effect_past::seq);
    let columns = (ci_effect_past::receipt, ci_effect_past::effective_at, ci_effect_past::verified_at);
    for (receipt, effective, verified) in
        effects.select(columns).load::<(Vec<u8>, Option<i64>, Option<i64>)>(tx)?
    {
        let brought = last.values_mut().filter(|row| row.receipt == receipt && row.installed_at.is_some());
        brought.for_each(|row| (row.effective_at, row.verified_at) = (effective, verified));
    }
    last.into_values().map(read).collect()
}

/// Whether every state on record is among those that are kept for all times.
pub fn states_are_kept(tx: &mut Conn) -> QueryResult<bool> {
    let kept = ci_state_past::table.filter(
        ci_state_past::ci
            .eq(ci_state::ci)
            .and(ci_state_past::resource.eq(ci_state::resource))
            .and(ci_state_past::receipt.eq(ci_state::receipt)),
    );
    let lost = ci_state::table.filter(diesel::dsl::not(diesel::dsl::exists(kept)));
    diesel::select(diesel::dsl::not(diesel::dsl::exists(lost))).get_result(tx)
}

/// Removes all states, to make them again from the ledger.
pub fn forget_states(tx: &mut Conn) -> QueryResult<()> {
    diesel::delete(ci_state::table).execute(tx)?;
    diesel::delete(ci_state_past::table).execute(tx)?;
    diesel::delete(ci_effect_past::table).execute(tx).map(drop)
}

fn read(row: StateRow) -> Result<CiState, Error> {
    let persons = row.approved_by.split(' ').filter(|id| !id.is_empty());
    let manifests = row.manifests.split(' ').filter(|manifest| !manifest.is_empty());
    Ok(CiState {
        resource: parse("resource id", &row.resource)?,
        state: row.state.as_deref().map(read_digest).transpose()?,
        verb: word("verb", &row.verb)?,
        outcome: word("outcome", &row.outcome)?,
        manifests: manifests.map(str::to_owned).collect(),
        summary: row.summary,
        change_id: parse("change id", &row.change_id)?,
        revision: number("revision", row.revision)?,
        approved_by: persons.map(|id| parse("person id", id)).collect::<Result<_, _>>()?,
        applied_at: Timestamp(row.applied_at),
        receipt: read_digest(&row.receipt)?,
        ledger_index: row.ledger_index.cast_unsigned(),
        installed_at: row.installed_at.map(Timestamp),
        effective_at: row.effective_at.map(Timestamp),
        verified_at: row.verified_at.map(Timestamp),
    })
}
