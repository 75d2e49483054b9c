//! SQL of words: which entry had which from when until when. A word is stored once, for however many entries.

mod condition;
mod saved;

pub(in crate::cmdb) use condition::{matching, page};
pub(super) use saved::{delete_saved, find_saved, list_saved, record_saved};

use super::model::{Field, Known};
use crate::cmdb::model::CiId;
use crate::cmdb::store::{ROWS, ci, ci_history, ci_mark};
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use diesel::prelude::*;
use diesel::upsert::excluded;
use shared::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

diesel::table! {
    term (id) {
        id -> BigInt,
        field -> Text,
        word -> Text,
        detail -> Text,
        source -> Text,
        source_detail -> Text,
    }
}

diesel::table! {
    ci_term (ci, term, since) {
        ci -> BigInt,
        term -> BigInt,
        since -> BigInt,
        until -> BigInt,
    }
}

diesel::joinable!(ci_term -> term (term));
diesel::allow_tables_to_appear_in_same_query!(ci_term, term, ci, ci_history, ci_mark);

/// The end of what holds.
pub(in crate::cmdb) const FOREVER: i64 = i64::MAX;

type Row = (i64, String, String, String, String, String);

fn known((id, field, word, detail, source, source_detail): Row) -> Result<(Known, i64), Error> {
    Ok((Known { field: Field::parse(&field)?, word, detail, source, source_detail }, id))
}

/// Brings the words of an entry in these fields to what is known now: only what differs is written.
pub fn record(
    tx: &mut Conn,
    id: CiId,
    fields: &[Field],
    wanted: &BTreeSet<Known>,
    now: Timestamp,
) -> Result<(), Error> {
    let mut has = BTreeMap::new();
    for row in current(tx, id, fields)? {
        let (known, term) = known(row)?;
        has.insert(known, term);
    }
    let gone: Vec<i64> =
        has.iter().filter(|(known, _)| !wanted.contains(*known)).map(|(_, term)| *term).collect();
    for some in gone.chunks(ROWS) {
        let ended = ci_term::table.filter(ci_term::ci.eq(id.0)).filter(ci_term::until.eq(FOREVER));
        let ended = ended.filter(ci_term::term.eq_any(some));
        diesel::update(ended).set(ci_term::until.eq(now.0)).execute(tx)?;
    }
    let new: BTreeSet<&Known> = wanted.iter().filter(|known| !has.contains_key(*known)).collect();
    let terms = ids(tx, &new)?;
    let rows: Vec<_> = terms
        .iter()
        .map(|term| {
            (
                ci_term::ci.eq(id.0),
                ci_term::term.eq(*term),
                ci_term::since.eq(now.0),
                ci_term::until.eq(FOREVER),
            )
        })
        .collect();
    for some in rows.chunks(ROWS) {
        // What came, went and came again within one second never went.
        each!(tx, |c| diesel::insert_into(ci_term::table)
            .values(some)
            .on_conflict((ci_term::ci, ci_term::term, ci_term::since))
            .do_update()
            .set(ci_term::until.eq(excluded(ci_term::until)))
            .execute(c))?;
    }
    Ok(())
}

fn current(tx: &mut Conn, id: CiId, fields: &[Field]) -> QueryResult<Vec<Row>> {
    let names: Vec<&str> = fields.iter().map(|field| field.as_str()).collect();
    let rows = ci_term::table.inner_join(term::table).filter(ci_term::ci.eq(id.0));
    let rows = rows.filter(ci_term::until.eq(FOREVER)).filter(term::field.eq_any(names));
    rows.select((term::id, term::field, term::word, term::detail, term::source, term::source_detail)).load(tx)
}

/// What hosts report that declarations are compared with.
#[derive(Debug, Default)]
pub struct Observed {
    pub serial: Option<String>,
    pub virtualisation: Option<String>,
    /// By name, both in small letters.
    pub local: BTreeMap<String, String>,
}

/// Of all hosts that report any of it.
pub fn observed(tx: &mut Conn) -> Result<BTreeMap<i64, Observed>, Error> {
    let fields = [Field::Local, Field::Serial, Field::Virtualisation];
    let names = fields.map(Field::as_str);
    let rows = ci_term::table.inner_join(term::table).filter(ci_term::until.eq(FOREVER));
    let rows = rows.filter(term::field.eq_any(names));
    let rows = rows.select((ci_term::ci, term::field, term::word, term::detail));
    let mut all: BTreeMap<i64, Observed> = BTreeMap::new();
    for (ci, field, word, detail) in rows.load::<(i64, String, String, String)>(tx)? {
        let one = all.entry(ci).or_default();
        match Field::parse(&field)? {
            Field::Serial => one.serial = Some(word),
            Field::Virtualisation => one.virtualisation = Some(word),
            _ => drop(one.local.insert(word, detail)),
        }
    }
    Ok(all)
}

/// What was known of an entry at a time, in these fields.
pub(in crate::cmdb) fn past(
    tx: &mut Conn,
    id: CiId,
    fields: &[Field],
    at: Timestamp,
) -> Result<BTreeSet<Known>, Error> {
    let names: Vec<&str> = fields.iter().map(|field| field.as_str()).collect();
    let rows = ci_term::table.inner_join(term::table).filter(ci_term::ci.eq(id.0));
    let rows = rows.filter(ci_term::since.le(at.0)).filter(ci_term::until.gt(at.0));
    let rows = rows.filter(term::field.eq_any(names));
    let columns = (term::id, term::field, term::word, term::detail, term::source, term::source_detail);
    rows.select(columns).load(tx)?.into_iter().map(|row| Ok(known(row)?.0)).collect()
}

/// Words by their numbers, those that are not stored yet as well.
fn ids(tx: &mut Conn, wanted: &BTreeSet<&Known>) -> Result<Vec<i64>, Error> {
    let mut found = find(tx, wanted)?;
    let missing: BTreeSet<&Known> =
        wanted.iter().copied().filter(|known| !found.contains_key(*known)).collect();
    let rows: Vec<_> = missing
        .iter()
        .map(|known| {
            (
                term::field.eq(known.field.as_str()),
                term::word.eq(&known.word),
                term::detail.eq(&known.detail),
                term::source.eq(&known.source),
                term::source_detail.eq(&known.source_detail),
            )
        })
        .collect();
    for some in rows.chunks(ROWS) {
        each!(tx, |c| diesel::insert_into(term::table).values(some).on_conflict_do_nothing().execute(c))?;
    }
    if !missing.is_empty() {
        found.extend(find(tx, &missing)?);
    }
    Ok(found.into_values().collect())
}

fn find(tx: &mut Conn, wanted: &BTreeSet<&Known>) -> Result<BTreeMap<Known, i64>, Error> {
    let mut found = BTreeMap::new();
    for field in Field::ALL {
        let words: BTreeSet<&str> =
            wanted.iter().filter(|known| known.field == field).map(|known| known.word.as_str()).collect();
        let words: Vec<&str> = words.into_iter().collect();
        for some in words.chunks(ROWS) {
            let rows = term::table.filter(term::field.eq(field.as_str())).filter(term::word.eq_any(some));
            for row in rows.load::<Row>(tx)? {
                let (known, id) = known(row)?;
                if wanted.contains(&known) {
                    found.insert(known, id);
                }
            }
        }
    }
    Ok(found)
}
