//! Facts of CIs: the newest ones, what of them is looked for, and what changed.

use super::{CiRow, ROWS, ci, ci_facts, ci_mark, insert_events, read_digest};
use crate::cmdb::differences::differences;
use crate::cmdb::marks::{Mark, Wanted, marks};
use crate::cmdb::model::{CiId, EventKind, NewEvent};
use crate::cmdb::search;
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use diesel::prelude::*;
use shared::digest::Digest;
use shared::facts::Facts;
use shared::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Insertable)]
#[diesel(table_name = ci_mark, treat_none_as_default_value = false)]
struct MarkRow<'a> {
    ci: i64,
    kind: &'static str,
    word: &'a str,
    number: Option<i64>,
}

/// Replaces the facts of a CI. What changed in it goes into the history.
/// False if these facts are the ones already here.
pub fn record_facts(
    tx: &mut Conn,
    id: CiId,
    at: Timestamp,
    facts: &Facts,
    now: Timestamp,
) -> Result<bool, Error> {
    let body = facts.to_json();
    let sha256 = Digest::of(&body);
    let row: CiRow = ci::table.find(id.0).select(CiRow::as_select()).first(tx)?;
    if row.facts_sha256.as_deref() == Some(sha256.0.as_slice()) {
        return Ok(false);
    }
    let old = find_facts(tx, id)?;
    let system = (
        ci::facts_at.eq(at.0),
        ci::facts_sha256.eq(sha256.0.as_slice()),
        ci::os.eq(&facts.os.id),
        ci::os_version.eq(&facts.os.version),
        ci::kernel.eq(&facts.kernel.release),
        ci::arch.eq(&facts.arch),
        ci::agent_version.eq(facts.agent_version.to_string()),
    );
    diesel::update(ci::table.find(id.0)).set(system).execute(tx)?;
    let text = String::from_utf8(body).map_err(|error| Error::fault("writing facts as text", error))?;
    each!(tx, |c| diesel::insert_into(ci_facts::table)
        .values((ci_facts::ci.eq(id.0), ci_facts::body.eq(&text)))
        .on_conflict(ci_facts::ci)
        .do_update()
        .set(ci_facts::body.eq(&text))
        .execute(c))?;
    record_marks(tx, id, old.as_ref().map(marks), marks(facts))?;
    let (fields, known) = search::of_facts(facts);
    search::record(tx, id, fields, &known, now)?;
    let changed = old.map(|old| differences(&old, facts)).unwrap_or_default();
    if !changed.is_empty() {
        insert_events(tx, &[NewEvent::new(id, now, EventKind::Facts, changed.join("; "))])?;
    }
    Ok(true)
}

fn record_marks(
    tx: &mut Conn,
    id: CiId,
    old: Option<BTreeSet<Mark>>,
    new: BTreeSet<Mark>,
) -> Result<(), Error> {
    if old.as_ref() == Some(&new) {
        return Ok(());
    }
    diesel::delete(ci_mark::table.filter(ci_mark::ci.eq(id.0))).execute(tx)?;
    let rows: Vec<MarkRow<'_>> = new
        .iter()
        .map(|Mark { kind, word, number }| MarkRow { ci: id.0, kind: kind.as_str(), word, number: *number })
        .collect();
    for some in rows.chunks(ROWS) {
        each!(tx, |c| diesel::insert_into(ci_mark::table).values(some).execute(c))?;
    }
    Ok(())
}

/// Which of these CIs fit, with what fits in words.
pub fn fitting(
    tx: &mut Conn,
    wanted: &Wanted,
    ids: &[i64],
    now: Timestamp,
) -> Result<BTreeMap<CiId, Vec<String>>, Error> {
    let kind = wanted.kind();
    let all = ci_mark::table.filter(ci_mark::kind.eq(kind.as_str())).filter(ci_mark::ci.eq_any(ids));
    let all = all.order((ci_mark::ci, ci_mark::word));
    let all = all.select((ci_mark::ci, ci_mark::word, ci_mark::number));
    let rows: Vec<(i64, String, Option<i64>)> = match wanted {
        Wanted::OutdatedOs => all.filter(ci_mark::number.lt(now.0)).load(tx)?,
        Wanted::CertificateEnds { within_s } => {
            all.filter(ci_mark::number.lt(now.plus(*within_s).0)).load(tx)?
        }
        Wanted::Listening { port } => all.filter(ci_mark::number.eq(i64::from(*port))).load(tx)?,
        Wanted::Updater { name } => all.filter(ci_mark::word.eq(name)).load(tx)?,
        Wanted::RebootNeeded | Wanted::ClockWrong => all.load(tx)?,
    };
    let mut fitting: BTreeMap<CiId, Vec<String>> = BTreeMap::new();
    for (ci, word, number) in rows {
        fitting.entry(CiId(ci)).or_default().push(kind.told(&word, number));
    }
    Ok(fitting)
}

/// Digests of the facts that are here, for those that reported any.
pub fn facts_digests(tx: &mut Conn, ids: &[CiId]) -> Result<BTreeMap<CiId, Digest>, Error> {
    let mut all = BTreeMap::new();
    for some in ids.chunks(ROWS) {
        let found = ci::table.filter(ci::id.eq_any(some.iter().map(|id| id.0).collect::<Vec<_>>()));
        let rows: Vec<(i64, Option<Vec<u8>>)> = found.select((ci::id, ci::facts_sha256)).load(tx)?;
        for (id, digest) in rows {
            if let Some(digest) = digest {
                all.insert(CiId(id), read_digest(&digest)?);
            }
        }
    }
    Ok(all)
}

/// The facts that a CI last reported.
pub fn find_facts(tx: &mut Conn, id: CiId) -> Result<Option<Facts>, Error> {
    let body: Option<String> = ci_facts::table.find(id.0).select(ci_facts::body).first(tx).optional()?;
    let read = |body: String| {
        Facts::from_json(body.as_bytes()).map_err(|error| Error::fault("reading stored facts", error))
    };
    body.map(read).transpose()
}
