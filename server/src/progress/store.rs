//! All SQL of progress.

use crate::changes;
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use diesel::dsl::{count_star, sql};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ids::{AgentId, ChangeId};
use shared::progress::Progress;
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::wire::{ProgressHost, ProgressLine, ProgressPage};

diesel::table! {
    progress (change, place) {
        change -> Binary,
        place -> BigInt,
        agent -> Text,
        started -> BigInt,
        part -> BigInt,
        number -> BigInt,
        received -> BigInt,
        bytes -> BigInt,
        statement -> Binary,
    }
}

diesel::table! {
    progress_end (change) {
        change -> Binary,
        place -> BigInt,
    }
}

/// Messages and their bytes that are kept of one host of a revision; the oldest ones go first.
const KEPT_MESSAGES: i64 = 1_000;
const KEPT_BYTES: i64 = 4 << 20;
/// Messages of a page, and about so many bytes.
const PAGE: i64 = 100;
const PAGE_BYTES: usize = 2 << 20;
/// Messages that one transaction lets go of.
const PURGED: i64 = 2_000;

/// Keeps a message; false when it is here already. The caller has verified who signed it.
///
/// # Errors
/// No change of this server expects this host to run it.
pub(super) fn record(tx: &mut Conn, message: &Statement<Progress>, now: Timestamp) -> Result<bool, Error> {
    let body = &message.body;
    let unexpected = || Refusal::not_found("progress.not_expected").with("change", &body.change_id);
    let row = changes::find_by_statement(tx, &body.change)?.ok_or_else(unexpected)?;
    if row.change_id()? != body.change_id || changes::find_target(tx, &body.change, body.agent_id)?.is_none()
    {
        return Err(unexpected().into());
    }
    let key = body.change.0.as_slice();
    let place = next_place(tx, key)?;
    let bytes = message.to_bytes();
    let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let new = (
        progress::change.eq(key),
        progress::place.eq(place),
        progress::agent.eq(body.agent_id.to_string()),
        progress::started.eq(body.started.0),
        progress::part.eq(i64::from(body.part)),
        progress::number.eq(body.number.cast_signed()),
        progress::received.eq(now.0),
        progress::bytes.eq(length),
        progress::statement.eq(&bytes),
    );
    let stored =
        each!(tx, |c| diesel::insert_into(progress::table).values(new).on_conflict_do_nothing().execute(c))?;
    if stored == 0 {
        return Ok(false);
    }
    trim(tx, key, body.agent_id)?;
    Ok(true)
}

/// The next place of a revision. Its row is locked until the transaction ends, so that places become visible in their
/// order: who asks for what comes after a place misses nothing.
fn next_place(tx: &mut Conn, change: &[u8]) -> QueryResult<i64> {
    each!(tx, |c| diesel::insert_into(progress_end::table)
        .values((progress_end::change.eq(change), progress_end::place.eq(1)))
        .on_conflict(progress_end::change)
        .do_update()
        .set(progress_end::place.eq(progress_end::place + 1))
        .execute(c))?;
    progress_end::table.find(change).select(progress_end::place).first(tx)
}

/// Lets go of the oldest messages of a host beyond its share.
fn trim(tx: &mut Conn, change: &[u8], agent: AgentId) -> QueryResult<()> {
    let of_host = || {
        let rows = progress::table.filter(progress::change.eq(change));
        rows.filter(progress::agent.eq(agent.to_string()))
    };
    let bytes = sql::<Nullable<BigInt>>("CAST(SUM(bytes) AS BIGINT)");
    let (count, bytes): (i64, Option<i64>) = of_host().select((count_star(), bytes)).first(tx)?;
    let beyond = (count - KEPT_MESSAGES).max(if bytes.unwrap_or(0) > KEPT_BYTES { count / 8 } else { 0 });
    if beyond <= 0 {
        return Ok(());
    }
    let places: Vec<i64> = of_host().order(progress::place).limit(beyond).select(progress::place).load(tx)?;
    let gone = progress::table.filter(progress::change.eq(change)).filter(progress::place.eq_any(places));
    diesel::delete(gone).execute(tx).map(drop)
}

/// Messages of a change's present revision behind a place, of all hosts or of one, and where its hosts stand.
pub(super) fn page(
    tx: &mut Conn,
    id: &ChangeId,
    after: u64,
    host: Option<AgentId>,
) -> Result<ProgressPage, Error> {
    let row = changes::get(tx, id)?;
    let (revision, state, outcome) = (row.revision(), row.state.clone(), row.outcome.clone());
    let mut page =
        ProgressPage { messages: Vec::new(), hosts: Vec::new(), revision, state, outcome, more: false };
    if row.statement.is_none() {
        return Ok(page);
    }
    let change = row.statement()?;
    let of_host = |agent: &AgentId| host.is_none_or(|wanted| wanted == *agent);
    for target in changes::list_targets(tx, &change)? {
        let agent = target.agent()?;
        if of_host(&agent) {
            let receipt = target.report.as_deref().map(digest).transpose()?;
            page.hosts.push(ProgressHost { agent, receipt, succeeded: target.succeeded });
        }
    }
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let rows =
        progress::table.filter(progress::change.eq(change.0.as_slice())).filter(progress::place.gt(after));
    let mut rows = rows
        .order(progress::place)
        .select((progress::place, progress::statement))
        .limit(PAGE + 1)
        .into_boxed();
    if let Some(agent) = host {
        rows = rows.filter(progress::agent.eq(agent.to_string()));
    }
    let found: Vec<(i64, Vec<u8>)> = rows.load(tx)?;
    let mut bytes = 0;
    for (place, statement) in found {
        bytes += statement.len();
        if page.messages.len() as i64 == PAGE || (bytes > PAGE_BYTES && !page.messages.is_empty()) {
            page.more = true;
            break;
        }
        let statement =
            Envelope::parse(&statement).map_err(|e| Error::fault("reading a stored message", e))?;
        page.messages.push(ProgressLine { place: place.cast_unsigned(), statement });
    }
    Ok(page)
}

/// Lets go of messages that arrived before then, a part of them at once.
pub(super) fn purge(tx: &mut Conn, before: Timestamp) -> Result<(), Error> {
    let old = progress::table.filter(progress::received.lt(before.0));
    let old = old.order(progress::received).limit(PURGED).select((progress::change, progress::place));
    let rows: Vec<(Vec<u8>, i64)> = old.load(tx)?;
    for (change, place) in rows {
        diesel::delete(progress::table.find((change, place))).execute(tx)?;
    }
    Ok(())
}

fn digest(bytes: &[u8]) -> Result<Digest, Error> {
    let damaged = |_| Error::fault("reading a digest", "it has another length");
    bytes.try_into().map(Digest).map_err(damaged)
}
