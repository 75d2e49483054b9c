//! All SQL of the CMDB. History is only ever added to.

mod facts;
mod health;
mod past;
mod states;
mod succession;

pub use facts::{facts_digests, find_facts, fitting, record_facts};
pub use health::{record_health, record_report};
pub use past::file_at;
pub use states::{forget_states, list_states, record_effect, record_states, states_are_kept, states_at};
pub(super) use succession::living;
pub use succession::{check_unfollowed, retire, succeed};

use super::model::{CiId, EventKind, NewEvent, NewHost, one_line, unknown};
use super::{declared, search};
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use diesel::prelude::*;
use serde::de::DeserializeOwned;
use shared::digest::Digest;
use shared::ids::PersonId;
use shared::search::folded;
use shared::time::Timestamp;
use shared::wire::{CiEvent, CiFile, CiLine, Declared, HealthPoint};
use std::collections::{BTreeMap, HashMap};

diesel::table! {
    ci (id) {
        id -> BigInt,
        kind -> Text,
        name -> Text,
        created -> BigInt,
        agent -> Nullable<Text>,
        host_class -> Nullable<Text>,
        facts_at -> Nullable<BigInt>,
        facts_sha256 -> Nullable<Binary>,
        os -> Nullable<Text>,
        os_version -> Nullable<Text>,
        kernel -> Nullable<Text>,
        arch -> Nullable<Text>,
        agent_version -> Nullable<Text>,
        sought -> Text,
        ended -> Nullable<BigInt>,
    }
}

diesel::table! {
    ci_mark (ci, kind, word) {
        ci -> BigInt,
        kind -> Text,
        word -> Text,
        number -> Nullable<BigInt>,
    }
}

diesel::table! {
    ci_facts (ci) {
        ci -> BigInt,
        body -> Text,
    }
}

diesel::table! {
    ci_history (id) {
        id -> BigInt,
        ci -> BigInt,
        at -> BigInt,
        kind -> Text,
        summary -> Text,
        by_person -> Nullable<Text>,
        change_id -> Nullable<Text>,
        revision -> Nullable<BigInt>,
        statement -> Nullable<Binary>,
        ledger_index -> Nullable<BigInt>,
    }
}

/// Newest history entries shown with a CI.
const HISTORY: i64 = 500;
/// Rows per statement: below SQLite's 32,766 variables.
pub(super) const ROWS: usize = 1_000;

#[derive(Queryable, Selectable)]
#[diesel(table_name = ci)]
pub(super) struct CiRow {
    id: i64,
    kind: String,
    name: String,
    created: i64,
    agent: Option<String>,
    host_class: Option<String>,
    facts_at: Option<i64>,
    facts_sha256: Option<Vec<u8>>,
    os: Option<String>,
    os_version: Option<String>,
    kernel: Option<String>,
    arch: Option<String>,
    agent_version: Option<String>,
    ended: Option<i64>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = ci_history)]
struct EventRow {
    at: i64,
    kind: String,
    summary: String,
    by_person: Option<String>,
    change_id: Option<String>,
    revision: Option<i64>,
    statement: Option<Vec<u8>>,
    ledger_index: Option<i64>,
}

#[derive(Insertable)]
#[diesel(table_name = ci_history, treat_none_as_default_value = false)]
struct NewEventRow {
    ci: i64,
    at: i64,
    kind: &'static str,
    summary: String,
    by_person: Option<String>,
    change_id: Option<String>,
    revision: Option<i64>,
    statement: Option<Vec<u8>>,
    ledger_index: Option<i64>,
}

pub fn insert_host(tx: &mut Conn, host: &NewHost, now: Timestamp) -> Result<CiId, Error> {
    let name = one_line(&host.name);
    let row = (
        ci::kind.eq("host"),
        ci::name.eq(&name),
        ci::sought.eq(folded(&name)),
        ci::created.eq(now.0),
        ci::agent.eq(host.agent.to_string()),
        ci::host_class.eq(host.host_class.as_str()),
    );
    let id = diesel::insert_into(ci::table).values(row).returning(ci::id).get_result(tx).map(CiId)?;
    let (fields, known) = search::of_declared(&Declared::default(), true);
    search::record(tx, id, &fields, &known, now)?;
    Ok(id)
}

/// Adds to histories, in the order given.
pub fn insert_events(tx: &mut Conn, events: &[NewEvent]) -> QueryResult<()> {
    for some in events.chunks(ROWS) {
        let rows: Vec<_> = some.iter().map(event_row).collect();
        each!(tx, |c| diesel::insert_into(ci_history::table).values(&rows).execute(c))?;
    }
    Ok(())
}

fn event_row(event: &NewEvent) -> NewEventRow {
    NewEventRow {
        ci: event.ci.0,
        at: event.at.0,
        kind: event.kind.as_str(),
        summary: one_line(&event.summary),
        by_person: event.by.as_ref().map(PersonId::to_string),
        change_id: event.change.as_ref().map(|(id, _)| id.to_string()),
        revision: event.change.as_ref().map(|(_, revision)| i64::from(*revision)),
        statement: event.statement.map(|(digest, _)| digest.0.to_vec()),
        ledger_index: event.statement.map(|(_, index)| index.cast_signed()),
    }
}

/// Where an entry stands in the order of lists.
///
/// # Errors
/// `ci.not_found`.
pub fn place(tx: &mut Conn, id: CiId) -> Result<(String, i64), Error> {
    let found: Option<String> = ci::table.find(id.0).select(ci::name).first(tx).optional()?;
    let name = found.ok_or_else(|| Refusal::not_found("ci.not_found").with("name", id))?;
    Ok((name, id.0))
}

/// The CI with this id or this name; of those that have the name, one that has not ended. A name that several have is
/// refused with their ids.
pub fn get(tx: &mut Conn, name: &str) -> Result<CiLine, Error> {
    let rows: Vec<CiRow> = match name.parse::<CiId>() {
        Ok(id) => ci::table.find(id.0).select(CiRow::as_select()).load(tx)?,
        Err(_) => {
            let named = ci::table.filter(ci::name.eq(name)).order(ci::id);
            named.limit(20).select(CiRow::as_select()).load(tx)?
        }
    };
    let rows = succession::living(rows, |row| row.ended.is_some());
    let shown = shared::strict::shorten(name);
    if rows.len() > 1 {
        let ids: Vec<_> = rows.iter().map(|row| CiId(row.id).to_string()).collect();
        let refusal = Refusal::conflict("ci.ambiguous").with("name", shown).with("ids", ids.join(", "));
        return Err(refusal.into());
    }
    let row =
        rows.into_iter().next().ok_or_else(|| Refusal::not_found("ci.not_found").with("name", shown))?;
    line(row)
}

pub fn get_file(tx: &mut Conn, name: &str) -> Result<CiFile, Error> {
    let line = get(tx, name)?;
    let id: CiId = line.ci.parse().map_err(|_| unknown("id", &line.ci))?;
    let facts = find_facts(tx, id)?;
    let declared = declared::find(tx, id.0)?;
    let relations = declared::relations(tx, id.0)?;
    let states = list_states(tx, id)?;
    let health = health::list(tx, id)?;
    let history = list_history(tx, id, Timestamp(i64::MAX))?;
    Ok(CiFile { line, facts, declared, relations, states, health, history, then: None })
}

/// The course of one of its health checks, the oldest first.
pub fn get_course(tx: &mut Conn, name: &str, check: &str) -> Result<Vec<HealthPoint>, Error> {
    let line = get(tx, name)?;
    let id: CiId = line.ci.parse().map_err(|_| unknown("id", &line.ci))?;
    health::find_course(tx, id, check)?.ok_or_else(|| {
        Refusal::not_found("ci.check_unknown").with("name", &line.name).with("check", check).into()
    })
}

/// Newest first, up to a time.
pub fn list_history(tx: &mut Conn, id: CiId, until: Timestamp) -> Result<Vec<CiEvent>, Error> {
    let rows = ci_history::table.filter(ci_history::ci.eq(id.0)).filter(ci_history::at.le(until.0));
    let rows = rows.order(ci_history::id.desc()).limit(HISTORY);
    rows.select(EventRow::as_select()).load(tx)?.into_iter().map(event).collect()
}

/// The last words of hosts that left for another site.
pub fn list_departures(tx: &mut Conn) -> Result<BTreeMap<CiId, Vec<Digest>>, Error> {
    let rows = ci_history::table.filter(ci_history::kind.eq(EventKind::TrustReset.as_str()));
    let rows = rows.order(ci_history::id).select((ci_history::ci, ci_history::statement));
    let mut found = BTreeMap::<CiId, Vec<Digest>>::new();
    for (ci, statement) in rows.load::<(i64, Option<Vec<u8>>)>(tx)? {
        let damaged = |_| Error::fault("reading the history", "a statement in it is no digest");
        let statement = statement.map(|bytes| bytes.as_slice().try_into().map(Digest).map_err(damaged));
        found.entry(CiId(ci)).or_default().extend(statement.transpose()?);
    }
    Ok(found)
}

pub(super) fn line(row: CiRow) -> Result<CiLine, Error> {
    Ok(CiLine {
        ci: CiId(row.id).to_string(),
        kind: row.kind,
        name: row.name,
        created: Timestamp(row.created),
        agent: row.agent.map(|text| parse("agent id", &text)).transpose()?,
        host_class: row.host_class.map(|text| parse("host class", &text)).transpose()?,
        os: row.os,
        os_version: row.os_version,
        kernel: row.kernel,
        arch: row.arch,
        agent_version: row.agent_version,
        facts_at: row.facts_at.map(Timestamp),
        facts: row.facts_sha256.as_deref().map(read_digest).transpose()?,
        matched: Vec::new(),
    })
}

fn event(row: EventRow) -> Result<CiEvent, Error> {
    Ok(CiEvent {
        at: Timestamp(row.at),
        kind: row.kind,
        summary: row.summary,
        by_person: row.by_person.map(|text| parse("person id", &text)).transpose()?,
        change_id: row.change_id.map(|text| parse("change id", &text)).transpose()?,
        revision: row.revision.map(|n| number("revision", n)).transpose()?,
        statement: row.statement.as_deref().map(read_digest).transpose()?,
        ledger_index: row.ledger_index.map(i64::cast_unsigned),
    })
}

/// What these CIs are called.
pub fn names(tx: &mut Conn, ids: &[CiId]) -> QueryResult<HashMap<i64, String>> {
    let mut names = HashMap::new();
    for part in ids.chunks(ROWS) {
        let wanted: Vec<i64> = part.iter().map(|id| id.0).collect();
        let rows = ci::table.filter(ci::id.eq_any(wanted)).select((ci::id, ci::name));
        names.extend(rows.load::<(i64, String)>(tx)?);
    }
    Ok(names)
}

fn parse<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| unknown(what, text))
}

/// A word of an enumeration as serde writes it.
fn word<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Error> {
    serde_json::from_value(serde_json::Value::from(text)).map_err(|_| unknown(what, text))
}

fn number(what: &str, n: i64) -> Result<u32, Error> {
    u32::try_from(n).map_err(|_| unknown(what, &n.to_string()))
}

fn read_digest(bytes: &[u8]) -> Result<Digest, Error> {
    bytes.try_into().map(Digest).map_err(|_| unknown("digest", &shared::digest::hex(bytes)))
}
