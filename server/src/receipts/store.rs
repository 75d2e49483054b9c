//! All SQL of receipts, refusals and alarms.

use super::model::{Alarm, Incoming, NewAlarm, ReceiptLine, RefusalLine};
use crate::cmdb::{CiId, one_line};
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::kernel::news;
use diesel::prelude::*;
use shared::digest::Digest;
use shared::finding::Finding;
use shared::ids::{AgentId, ChangeId};
use shared::news::{About, NewsKind};
use shared::receipt::{HostOutcome, Receipt, Refusal};
use shared::statement::Statement;
use shared::time::{Interval, Timestamp};
use std::str::FromStr;

diesel::table! {
    receipt (statement) {
        statement -> Binary,
        agent -> Text,
        ci -> BigInt,
        seq -> BigInt,
        change_id -> Text,
        revision -> BigInt,
        change_sha256 -> Binary,
        wave -> BigInt,
        outcome -> Text,
        self_approved -> Bool,
        started -> BigInt,
        finished -> BigInt,
        received -> BigInt,
        ledger_index -> BigInt,
        corrects -> Nullable<BigInt>,
    }
}

diesel::table! {
    refusal (statement) {
        statement -> Binary,
        agent -> Text,
        ci -> BigInt,
        seq -> BigInt,
        change_id -> Nullable<Text>,
        revision -> Nullable<BigInt>,
        code -> Text,
        message -> Text,
        retry_at -> Nullable<BigInt>,
        at -> BigInt,
        received -> BigInt,
        ledger_index -> BigInt,
    }
}

diesel::table! {
    finding_said (statement) {
        statement -> Binary,
        agent -> Text,
        ci -> BigInt,
        seq -> BigInt,
        change_id -> Nullable<Text>,
        at -> BigInt,
        ledger_index -> BigInt,
    }
}

diesel::table! {
    alarm (id) {
        id -> BigInt,
        at -> BigInt,
        kind -> Text,
        agent -> Text,
        detail -> Text,
        evidence -> Binary,
        body -> Nullable<Binary>,
    }
}

diesel::table! {
    chain_gap (agent) {
        agent -> Text,
        place -> BigInt,
        since -> BigInt,
    }
}

/// Newest alarms in a list.
const ALARMS: i64 = 500;
/// Alarms of one kind about one host; it has long been looked at then.
const ALARMS_OF_HOST: i64 = 100;
/// Those of them that keep what the host sent, whole.
const HELD_OF_HOST: i64 = 4;

#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = receipt, treat_none_as_default_value = false)]
struct ReceiptRow {
    statement: Vec<u8>,
    agent: String,
    ci: i64,
    seq: i64,
    change_id: String,
    revision: i64,
    change_sha256: Vec<u8>,
    wave: i64,
    outcome: String,
    self_approved: bool,
    started: i64,
    finished: i64,
    received: i64,
    ledger_index: i64,
    /// Number of the finding that a correction answers.
    corrects: Option<i64>,
}

#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = refusal, treat_none_as_default_value = false)]
struct RefusalRow {
    statement: Vec<u8>,
    agent: String,
    ci: i64,
    seq: i64,
    change_id: Option<String>,
    revision: Option<i64>,
    code: String,
    message: String,
    retry_at: Option<i64>,
    at: i64,
    received: i64,
    ledger_index: i64,
}

/// That a host said something about a finding; what it is now is kept by the slice of findings.
#[derive(Insertable)]
#[diesel(table_name = finding_said, treat_none_as_default_value = false)]
struct FindingRow {
    statement: Vec<u8>,
    agent: String,
    ci: i64,
    seq: i64,
    change_id: Option<String>,
    at: i64,
    ledger_index: i64,
}

/// A statement that was just recorded: its CI and its place in the ledger.
pub(super) struct Recorded<'a> {
    pub incoming: &'a Incoming,
    pub ci: CiId,
    /// The entry that its host got when it joined.
    pub joined_as: CiId,
    pub index: u64,
}

pub(super) fn insert(tx: &mut Conn, all: &[Recorded<'_>], now: Timestamp) -> QueryResult<()> {
    let (mut receipts, mut refusals, mut findings) = (Vec::new(), Vec::new(), Vec::new());
    for recorded in all {
        match recorded.incoming {
            Incoming::Receipt(statement, _) => receipts.push(receipt_row(statement, recorded, now)),
            Incoming::Refusal(statement) => refusals.push(refusal_row(statement, recorded, now)),
            Incoming::Finding(statement) => findings.push(finding_row(statement, recorded)),
            // Its place in the chain and the host's history say all of it.
            Incoming::TrustReset(_) => {}
        }
    }
    if !receipts.is_empty() {
        each!(tx, |c| diesel::insert_into(receipt::table).values(&receipts).execute(c))?;
    }
    if !refusals.is_empty() {
        each!(tx, |c| diesel::insert_into(refusal::table).values(&refusals).execute(c))?;
    }
    if !findings.is_empty() {
        each!(tx, |c| diesel::insert_into(finding_said::table).values(&findings).execute(c))?;
    }
    Ok(())
}

fn receipt_row(statement: &Statement<Receipt>, recorded: &Recorded<'_>, now: Timestamp) -> ReceiptRow {
    let body = &statement.body;
    ReceiptRow {
        statement: statement.digest.0.to_vec(),
        agent: body.header.agent_id.to_string(),
        ci: recorded.ci.0,
        seq: body.header.seq.cast_signed(),
        change_id: body.change_id.to_string(),
        revision: i64::from(body.revision),
        change_sha256: body.change.0.to_vec(),
        wave: i64::from(body.wave),
        outcome: body.outcome.as_str().to_owned(),
        self_approved: body.self_approved,
        started: body.started.0,
        finished: body.finished.0,
        received: now.0,
        ledger_index: recorded.index.cast_signed(),
        corrects: body.corrects.map(u64::cast_signed),
    }
}

fn refusal_row(statement: &Statement<Refusal>, recorded: &Recorded<'_>, now: Timestamp) -> RefusalRow {
    let body = &statement.body;
    RefusalRow {
        statement: statement.digest.0.to_vec(),
        agent: body.header.agent_id.to_string(),
        ci: recorded.ci.0,
        seq: body.header.seq.cast_signed(),
        change_id: body.change_id.as_ref().map(ChangeId::to_string),
        revision: body.revision.map(i64::from),
        code: body.reason.code.as_str().to_owned(),
        message: one_line(&body.reason.message),
        retry_at: body.reason.retry_at.map(|at| at.0),
        at: body.header.at.0,
        received: now.0,
        ledger_index: recorded.index.cast_signed(),
    }
}

fn finding_row(statement: &Statement<Finding>, recorded: &Recorded<'_>) -> FindingRow {
    let body = &statement.body;
    FindingRow {
        statement: statement.digest.0.to_vec(),
        agent: body.header.agent_id.to_string(),
        ci: recorded.ci.0,
        seq: body.header.seq.cast_signed(),
        change_id: body.about.state().map(|expected| expected.change_id.to_string()),
        at: body.header.at.0,
        ledger_index: recorded.index.cast_signed(),
    }
}

/// Notes that `place` of a host's chain is missing; since when it has been.
pub(super) fn record_gap(
    tx: &mut Conn,
    agent: AgentId,
    place: u64,
    now: Timestamp,
) -> QueryResult<Timestamp> {
    let (agent, place) = (agent.to_string(), place.cast_signed());
    let known = chain_gap::table.find(&agent).filter(chain_gap::place.eq(place)).select(chain_gap::since);
    if let Some(since) = known.first(tx).optional()? {
        return Ok(Timestamp(since));
    }
    let missing = (chain_gap::place.eq(place), chain_gap::since.eq(now.0));
    each!(tx, |c| diesel::insert_into(chain_gap::table)
        .values((chain_gap::agent.eq(&agent), missing))
        .on_conflict(chain_gap::agent)
        .do_update()
        .set(missing)
        .execute(c))?;
    Ok(now)
}

/// The same alarm about the same thing is kept once. True the first time. A host that floods fills its own share:
/// what it said first is kept.
pub(super) fn record_alarm(tx: &mut Conn, new: &NewAlarm, now: Timestamp) -> QueryResult<bool> {
    let of_host = alarm::table.filter(alarm::agent.eq(new.agent.to_string()));
    let there: i64 = of_host.filter(alarm::kind.eq(new.kind.as_str())).count().get_result(tx)?;
    if there >= ALARMS_OF_HOST {
        return Ok(false);
    }
    let held = new.held.as_deref().filter(|_| there < HELD_OF_HOST);
    let row = (
        alarm::at.eq(now.0),
        alarm::kind.eq(new.kind.as_str()),
        alarm::agent.eq(new.agent.to_string()),
        alarm::detail.eq(one_line(&new.detail)),
        alarm::evidence.eq(new.evidence.0.as_slice()),
        alarm::body.eq(held),
    );
    let inserted =
        each!(tx, |c| diesel::insert_into(alarm::table).values(row).on_conflict_do_nothing().execute(c))?;
    if inserted == 1 {
        let alarm = Some(new.kind.as_str().to_owned());
        news::tell(
            tx,
            NewsKind::AlarmRaised,
            About { alarm, agent: Some(new.agent), ..About::default() },
            now,
        )?;
    }
    Ok(inserted == 1)
}

/// Newest first.
pub fn list_alarms(tx: &mut Conn) -> Result<Vec<Alarm>, Error> {
    let columns = (alarm::id, alarm::at, alarm::kind, alarm::agent, alarm::detail, alarm::evidence);
    let rows: Vec<(i64, i64, String, String, String, Vec<u8>)> =
        alarm::table.order(alarm::id.desc()).limit(ALARMS).select(columns).load(tx)?;
    let read = |(id, at, kind, agent, detail, evidence): (i64, i64, String, String, String, Vec<u8>)| {
        Ok(Alarm { id, at: Timestamp(at), kind, agent, detail, evidence: digest(&evidence)? })
    };
    rows.into_iter().map(read).collect()
}

/// Receipts about a change, in the order of the ledger.
pub fn list_by_change(tx: &mut Conn, change: &ChangeId) -> Result<Vec<ReceiptLine>, Error> {
    let rows = receipt::table.filter(receipt::change_id.eq(change.as_str())).order(receipt::ledger_index);
    rows.select(ReceiptRow::as_select()).load(tx)?.into_iter().map(read_receipt).collect()
}

/// Receipts of runs that finished in the interval, in the order of the ledger.
pub fn list_by_time(tx: &mut Conn, interval: Interval) -> Result<Vec<ReceiptLine>, Error> {
    let rows = receipt::table.filter(receipt::finished.ge(interval.from.0));
    let rows = rows.filter(receipt::finished.lt(interval.until.0)).order(receipt::ledger_index);
    rows.select(ReceiptRow::as_select()).load(tx)?.into_iter().map(read_receipt).collect()
}

/// Refusals about a change, in the order of the ledger.
pub fn list_refusals(tx: &mut Conn, change: &ChangeId) -> Result<Vec<RefusalLine>, Error> {
    let rows = refusal::table.filter(refusal::change_id.eq(change.as_str())).order(refusal::ledger_index);
    rows.select(RefusalRow::as_select()).load(tx)?.into_iter().map(read_refusal).collect()
}

/// Statements about findings that differ from what a change approved, with their hosts, in the order of the ledger.
pub fn list_findings(tx: &mut Conn, change: &ChangeId) -> Result<Vec<(AgentId, Digest)>, Error> {
    let rows = finding_said::table
        .filter(finding_said::change_id.eq(change.as_str()))
        .order(finding_said::ledger_index)
        .select((finding_said::agent, finding_said::statement));
    let rows: Vec<(String, Vec<u8>)> = rows.load(tx)?;
    rows.into_iter().map(|(agent, statement)| Ok((parse(&agent)?, digest(&statement)?))).collect()
}

/// Why the host does not do the change: its newest refusal, unless it has reported a run since.
pub fn find_standing(tx: &mut Conn, agent: AgentId, change: &ChangeId) -> Result<Option<RefusalLine>, Error> {
    let refused = refusal::table
        .filter(refusal::change_id.eq(change.as_str()))
        .filter(refusal::agent.eq(agent.to_string()))
        .order(refusal::seq.desc());
    let newest: Option<RefusalRow> = refused.select(RefusalRow::as_select()).first(tx).optional()?;
    let Some(newest) = newest else { return Ok(None) };
    let ran: Option<i64> = receipt::table
        .filter(receipt::corrects.is_null())
        .filter(receipt::change_id.eq(change.as_str()))
        .filter(receipt::agent.eq(agent.to_string()))
        .select(diesel::dsl::max(receipt::seq))
        .first(tx)?;
    if ran.is_some_and(|seq| seq > newest.seq) {
        return Ok(None);
    }
    read_refusal(newest).map(Some)
}

fn read_receipt(row: ReceiptRow) -> Result<ReceiptLine, Error> {
    let outcome = HostOutcome::ALL.into_iter().find(|outcome| outcome.as_str() == row.outcome);
    Ok(ReceiptLine {
        statement: digest(&row.statement)?,
        agent: parse(&row.agent)?,
        ci: CiId(row.ci),
        seq: row.seq.cast_unsigned(),
        change_id: parse(&row.change_id)?,
        revision: number(row.revision)?,
        wave: number(row.wave)?,
        outcome: outcome.ok_or_else(|| damaged(&row.outcome))?,
        self_approved: row.self_approved,
        started: Timestamp(row.started),
        finished: Timestamp(row.finished),
        received: Timestamp(row.received),
        ledger_index: row.ledger_index.cast_unsigned(),
    })
}

fn read_refusal(row: RefusalRow) -> Result<RefusalLine, Error> {
    Ok(RefusalLine {
        statement: digest(&row.statement)?,
        agent: parse(&row.agent)?,
        seq: row.seq.cast_unsigned(),
        change_id: row.change_id.as_deref().map(parse).transpose()?,
        revision: row.revision.map(number).transpose()?,
        code: row.code,
        message: row.message,
        retry_at: row.retry_at.map(Timestamp),
        at: Timestamp(row.at),
        ledger_index: row.ledger_index.cast_unsigned(),
    })
}

fn damaged(text: &str) -> Error {
    Error::fault("reading receipts", format!("{text:?} in the database is not valid"))
}

fn parse<T: FromStr>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| damaged(text))
}

fn number(n: i64) -> Result<u32, Error> {
    u32::try_from(n).map_err(|_| damaged(&n.to_string()))
}

fn digest(bytes: &[u8]) -> Result<Digest, Error> {
    bytes.try_into().map(Digest).map_err(|_| damaged(&shared::digest::hex(bytes)))
}
