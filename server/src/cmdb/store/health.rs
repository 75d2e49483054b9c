//! Health: what each check of a CI said last. What it said before is in the history, where it changed.

use super::{insert_events, read_digest, word};
use crate::cmdb::model::{CiId, EventKind, NewEvent, NewHealth, one_line, unknown};
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use diesel::prelude::*;
use diesel::upsert::excluded;
use shared::digest::Digest;
use shared::health::{HealthReport, HealthState};
use shared::ids::ChangeId;
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::wire::CiHealth;
use std::collections::HashMap;

diesel::table! {
    ci_health (ci, name) {
        ci -> BigInt,
        name -> Text,
        state -> Text,
        since -> BigInt,
        at -> BigInt,
        output -> Text,
        metrics -> Text,
        statement -> Binary,
    }
}

/// What no manifest of the host names any more.
const FORGOTTEN_SECS: i64 = 7 * 86_400;

#[derive(Queryable, Selectable)]
#[diesel(table_name = ci_health)]
struct Row {
    name: String,
    state: String,
    since: i64,
    at: i64,
    output: String,
    metrics: String,
    statement: Vec<u8>,
}

/// Sets what checks say now, and adds what is otherwise than before to the history. An older word than the one that is
/// here changes nothing.
pub fn record_health(
    tx: &mut Conn,
    ci: CiId,
    said: &[NewHealth],
    statement: (Digest, Option<u64>),
    change: Option<&(ChangeId, u32)>,
) -> Result<(), Error> {
    let names: Vec<String> = said.iter().map(|health| one_line(&health.name)).collect();
    let known = ci_health::table.filter(ci_health::ci.eq(ci.0)).filter(ci_health::name.eq_any(&names));
    let known: Vec<Row> = known.select(Row::as_select()).load(tx)?;
    let mut known: HashMap<String, Row> = known.into_iter().map(|row| (row.name.clone(), row)).collect();
    for (name, health) in names.into_iter().zip(said) {
        let before = known.get(&name);
        if before.is_some_and(|before| before.at > health.at.0) {
            continue;
        }
        let was = before.map_or(HealthState::Ok.as_str(), |before| before.state.as_str());
        let same = was == health.state.as_str();
        if !same {
            let summary = format!("{name}: {was} → {}: {}", health.state.as_str(), health.output);
            let mut event = NewEvent::new(ci, health.at, EventKind::Health, summary);
            event.statement = statement.1.map(|index| (statement.0, index));
            event.change = change.cloned();
            insert_events(tx, &[event])?;
        }
        let since = before.filter(|_| same).map_or(health.at.0, |before| before.since);
        let row = row(name.clone(), health, since, &statement.0)?;
        upsert(tx, ci, &row)?;
        known.insert(name, row);
    }
    Ok(())
}

/// Takes over what a host says outside of runs. Checks that it has not named for a week are forgotten.
pub fn record_report(tx: &mut Conn, ci: CiId, report: &Statement<HealthReport>) -> Result<(), Error> {
    let at = report.body.at;
    let said: Vec<NewHealth> = report.body.checks.iter().map(|check| NewHealth::of(check, at)).collect();
    record_health(tx, ci, &said, (report.digest, None), None)?;
    let gone =
        ci_health::table.filter(ci_health::ci.eq(ci.0)).filter(ci_health::at.lt(at.plus(-FORGOTTEN_SECS).0));
    diesel::delete(gone).execute(tx)?;
    Ok(())
}

fn row(name: String, health: &NewHealth, since: i64, statement: &Digest) -> Result<Row, Error> {
    let metrics =
        serde_json::to_string(&health.metrics).map_err(|error| Error::fault("storing health", error))?;
    let (state, output) = (health.state.as_str().to_owned(), one_line(&health.output));
    Ok(Row { name, state, since, at: health.at.0, output, metrics, statement: statement.0.to_vec() })
}

fn upsert(tx: &mut Conn, ci: CiId, row: &Row) -> QueryResult<()> {
    each!(tx, |c| diesel::insert_into(ci_health::table)
        .values((
            ci_health::ci.eq(ci.0),
            ci_health::name.eq(&row.name),
            ci_health::state.eq(&row.state),
            ci_health::since.eq(row.since),
            ci_health::at.eq(row.at),
            ci_health::output.eq(&row.output),
            ci_health::metrics.eq(&row.metrics),
            ci_health::statement.eq(&row.statement),
        ))
        .on_conflict((ci_health::ci, ci_health::name))
        .do_update()
        .set((
            ci_health::state.eq(excluded(ci_health::state)),
            ci_health::since.eq(excluded(ci_health::since)),
            ci_health::at.eq(excluded(ci_health::at)),
            ci_health::output.eq(excluded(ci_health::output)),
            ci_health::metrics.eq(excluded(ci_health::metrics)),
            ci_health::statement.eq(excluded(ci_health::statement)),
        ))
        .execute(c))
    .map(drop)
}

/// The checks of the host that goes on as `entry` are the ones of that entry now.
pub(super) fn hand_over(tx: &mut Conn, former: CiId, entry: CiId) -> QueryResult<()> {
    diesel::delete(ci_health::table.filter(ci_health::ci.eq(entry.0))).execute(tx)?;
    let checks = ci_health::table.filter(ci_health::ci.eq(former.0));
    diesel::update(checks).set(ci_health::ci.eq(entry.0)).execute(tx).map(drop)
}

/// What the checks of a CI said last, by name.
pub(super) fn list(tx: &mut Conn, ci: CiId) -> Result<Vec<CiHealth>, Error> {
    let rows = ci_health::table.filter(ci_health::ci.eq(ci.0)).order(ci_health::name);
    let rows: Vec<Row> = rows.select(Row::as_select()).load(tx)?;
    let read = |row: Row| {
        Ok(CiHealth {
            state: word("health", &row.state)?,
            since: Timestamp(row.since),
            at: Timestamp(row.at),
            output: row.output,
            metrics: serde_json::from_str(&row.metrics)
                .map_err(|_| unknown("performance data", &row.metrics))?,
            statement: read_digest(&row.statement)?,
            name: row.name,
        })
    };
    rows.into_iter().map(read).collect()
}
