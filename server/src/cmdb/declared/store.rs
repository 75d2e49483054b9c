//! All SQL of declarations and relations.

use super::graph::Edge;
use crate::cmdb::model::{CiId, unknown};
use crate::cmdb::search::{self, FOREVER};
use crate::cmdb::store::{ROWS, ci, living};
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use diesel::prelude::*;
use diesel::upsert::excluded;
use shared::ids::PersonId;
use shared::search::folded;
use shared::strict;
use shared::time::Timestamp;
use shared::wire::{CiClass, CiRef, Declared, DeclaredFile, RelationKind, RelationLine};
use std::collections::{BTreeMap, BTreeSet};

diesel::table! {
    ci_declared (id) {
        id -> BigInt,
        ci -> BigInt,
        newest -> Bool,
        at -> BigInt,
        person -> Text,
        reason -> Text,
        body -> Text,
    }
}

diesel::table! {
    ci_relation (source, kind, target) {
        source -> BigInt,
        kind -> Text,
        target -> BigInt,
    }
}

diesel::table! {
    ci_relation_past (source, kind, target, since) {
        source -> BigInt,
        kind -> Text,
        target -> BigInt,
        since -> BigInt,
        until -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(ci_declared, ci_relation, ci);

fn reference((id, kind, name): (i64, String, String)) -> Result<(i64, CiRef), Error> {
    let class = CiClass::parse(&kind).ok_or_else(|| unknown("the class", &kind))?;
    Ok((id, CiRef { class, name }))
}

/// Items by class and name, as far as they are there: of several with one name those that have not ended.
///
/// # Errors
/// `ci.ambiguous` for a host whose name another one has as well.
pub(super) fn resolve(tx: &mut Conn, wanted: &BTreeSet<&CiRef>) -> Result<BTreeMap<CiRef, i64>, Error> {
    let names: Vec<&str> = wanted.iter().map(|item| item.name.as_str()).collect();
    let mut all: BTreeMap<CiRef, Vec<(i64, bool)>> = BTreeMap::new();
    for some in names.chunks(ROWS) {
        let rows = ci::table.filter(ci::name.eq_any(some)).order(ci::id);
        let rows = rows.select(((ci::id, ci::kind, ci::name), ci::ended.is_not_null()));
        for (row, ended) in rows.load::<((i64, String, String), bool)>(tx)? {
            let (id, item) = reference(row)?;
            if wanted.contains(&item) {
                all.entry(item).or_default().push((id, ended));
            }
        }
    }
    let mut found = BTreeMap::new();
    for (item, ids) in all {
        for (id, _) in living(ids, |(_, ended)| *ended) {
            if let Some(first) = found.insert(item.clone(), id) {
                let refusal = Refusal::conflict("ci.ambiguous").with("name", item);
                return Err(refusal.with("ids", format!("CI-{first}, CI-{id}")).into());
            }
        }
    }
    Ok(found)
}

/// Class and name of each of these.
pub(super) fn references(
    tx: &mut Conn,
    ids: impl IntoIterator<Item = i64>,
) -> Result<BTreeMap<i64, CiRef>, Error> {
    let ids: Vec<i64> = ids.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    let mut found = BTreeMap::new();
    for some in ids.chunks(ROWS) {
        let rows = ci::table.filter(ci::id.eq_any(some)).select((ci::id, ci::kind, ci::name));
        for row in rows.load::<(i64, String, String)>(tx)? {
            let (id, item) = reference(row)?;
            found.insert(id, item);
        }
    }
    Ok(found)
}

pub(super) fn insert_item(tx: &mut Conn, item: &CiRef, now: Timestamp) -> Result<i64, Error> {
    let row = (
        ci::kind.eq(item.class.as_str()),
        ci::name.eq(&item.name),
        ci::sought.eq(folded(&item.name)),
        ci::created.eq(now.0),
    );
    let id = diesel::insert_into(ci::table).values(row).returning(ci::id).get_result(tx)?;
    record_words(tx, id, &Declared::default(), item.class, now)?;
    Ok(id)
}

/// What is declared, as it is looked for.
fn record_words(
    tx: &mut Conn,
    id: i64,
    declared: &Declared,
    class: CiClass,
    now: Timestamp,
) -> Result<(), Error> {
    let (fields, known) = search::of_declared(declared, class == CiClass::Host);
    search::record(tx, CiId(id), &fields, &known, now)
}

fn declared(body: &str) -> Result<Declared, Error> {
    serde_json::from_str(body).map_err(|_| unknown("what is declared", body))
}

/// What is declared of these now, with the number of the record.
pub(super) fn newest(tx: &mut Conn, ids: &[i64]) -> Result<BTreeMap<i64, (u64, Declared)>, Error> {
    let mut found = BTreeMap::new();
    for some in ids.chunks(ROWS) {
        let rows =
            ci_declared::table.filter(ci_declared::newest.eq(true)).filter(ci_declared::ci.eq_any(some));
        let rows = rows.select((ci_declared::ci, ci_declared::id, ci_declared::body));
        for (ci, id, body) in rows.load::<(i64, i64, String)>(tx)? {
            found.insert(ci, (id.cast_unsigned(), declared(&body)?));
        }
    }
    Ok(found)
}

/// The number of the newest record of all, 0 before the first.
pub(super) fn newest_number(tx: &mut Conn) -> QueryResult<u64> {
    let last = ci_declared::table.select(diesel::dsl::max(ci_declared::id)).first::<Option<i64>>(tx)?;
    Ok(last.map_or(0, i64::cast_unsigned))
}

pub(in crate::cmdb) fn insert(
    tx: &mut Conn,
    ci: i64,
    body: &Declared,
    (person, reason): (&PersonId, &str),
    now: Timestamp,
) -> Result<(), Error> {
    let kind: String = ci::table.find(ci).select(ci::kind).first(tx)?;
    let class = CiClass::parse(&kind).ok_or_else(|| unknown("the class", &kind))?;
    record_words(tx, ci, body, class, now)?;
    let before = ci_declared::table.filter(ci_declared::ci.eq(ci)).filter(ci_declared::newest.eq(true));
    diesel::update(before).set(ci_declared::newest.eq(false)).execute(tx)?;
    let body = strict::to_text(body);
    diesel::insert_into(ci_declared::table)
        .values((
            ci_declared::ci.eq(ci),
            ci_declared::newest.eq(true),
            ci_declared::at.eq(now.0),
            ci_declared::person.eq(person.as_str()),
            ci_declared::reason.eq(reason),
            ci_declared::body.eq(body),
        ))
        .execute(tx)?;
    Ok(())
}

/// What is declared of one item, if anything is.
pub fn find(tx: &mut Conn, ci: i64) -> Result<Option<DeclaredFile>, Error> {
    find_at(tx, ci, Timestamp(i64::MAX))
}

/// What was declared of it then.
pub fn find_at(tx: &mut Conn, ci: i64, at: Timestamp) -> Result<Option<DeclaredFile>, Error> {
    let row = ci_declared::table
        .filter(ci_declared::ci.eq(ci))
        .filter(ci_declared::at.le(at.0))
        .order(ci_declared::id.desc())
        .select((ci_declared::at, ci_declared::person, ci_declared::reason, ci_declared::body))
        .first::<(i64, String, String, String)>(tx)
        .optional()?;
    let file = |(at, person, reason, body): (i64, String, String, String)| {
        let by = person.parse().map_err(|_| unknown("the person", &person))?;
        Ok(DeclaredFile { declared: declared(&body)?, at: Timestamp(at), by, reason })
    };
    row.map(file).transpose()
}

/// A host, what is declared of it, and what it is said to run on.
pub type DeclaredHost = (i64, Option<Declared>, Vec<String>);

/// Hosts of which something is declared, or that are said to run on something.
pub fn hosts(tx: &mut Conn) -> Result<Vec<DeclaredHost>, Error> {
    let mut all: BTreeMap<i64, (Option<Declared>, Vec<String>)> = BTreeMap::new();
    let is_host = || ci::table.filter(ci::kind.eq(CiClass::Host.as_str())).select(ci::id);
    let said = ci_declared::table.filter(ci_declared::newest.eq(true));
    let said = said.filter(ci_declared::ci.eq_any(is_host())).select((ci_declared::ci, ci_declared::body));
    for (ci, body) in said.load::<(i64, String)>(tx)? {
        all.entry(ci).or_default().0 = Some(declared(&body)?);
    }
    let runs = ci_relation::table.filter(ci_relation::kind.eq(RelationKind::RunsOn.as_str()));
    let runs = runs.filter(ci_relation::source.eq_any(is_host()));
    let runs: Vec<(i64, i64)> = runs.select((ci_relation::source, ci_relation::target)).load(tx)?;
    let names = references(tx, runs.iter().map(|(_, target)| *target))?;
    for (source, target) in runs {
        all.entry(source).or_default().1.extend(names.get(&target).map(ToString::to_string));
    }
    Ok(all.into_iter().map(|(ci, (declared, runs_on))| (ci, declared, runs_on)).collect())
}

fn edge((source, kind, target): (i64, String, i64)) -> Result<Edge, Error> {
    let kind = RelationKind::parse(&kind).ok_or_else(|| unknown("the relation", &kind))?;
    Ok(Edge { source, kind, target })
}

/// Relations that begin or end at one of these.
pub(super) fn edges(tx: &mut Conn, ids: &[i64]) -> Result<Vec<Edge>, Error> {
    let mut found = BTreeSet::new();
    for some in ids.chunks(ROWS / 2) {
        let touching = ci_relation::source.eq_any(some).or(ci_relation::target.eq_any(some));
        for row in ci_relation::table.filter(touching).load::<(i64, String, i64)>(tx)? {
            found.insert(edge(row)?);
        }
    }
    Ok(found.into_iter().collect())
}

pub(super) fn insert_edges(tx: &mut Conn, edges: &[Edge], now: Timestamp) -> QueryResult<()> {
    let past = |edge: &Edge| {
        let Edge { source, kind, target } = *edge;
        let place = (ci_relation_past::source.eq(source), ci_relation_past::kind.eq(kind.as_str()));
        let since = (ci_relation_past::since.eq(now.0), ci_relation_past::until.eq(FOREVER));
        (place, ci_relation_past::target.eq(target), since)
    };
    let row = |edge: &Edge| {
        let Edge { source, kind, target } = *edge;
        (ci_relation::source.eq(source), ci_relation::kind.eq(kind.as_str()), ci_relation::target.eq(target))
    };
    for some in edges.chunks(ROWS) {
        let rows: Vec<_> = some.iter().map(row).collect();
        each!(tx, |c| diesel::insert_into(ci_relation::table).values(&rows).execute(c))?;
        let rows: Vec<_> = some.iter().map(past).collect();
        let (place, until) = (ci_relation_past::table.primary_key(), ci_relation_past::until);
        each!(tx, |c| diesel::insert_into(ci_relation_past::table)
            .values(&rows)
            .on_conflict(place)
            .do_update()
            .set(until.eq(excluded(until)))
            .execute(c))?;
    }
    Ok(())
}

pub(super) fn delete_edge(tx: &mut Conn, edge: &Edge, now: Timestamp) -> QueryResult<()> {
    let past = ci_relation_past::table.filter(ci_relation_past::source.eq(edge.source));
    let past = past.filter(ci_relation_past::kind.eq(edge.kind.as_str()));
    let past =
        past.filter(ci_relation_past::target.eq(edge.target)).filter(ci_relation_past::until.eq(FOREVER));
    diesel::update(past).set(ci_relation_past::until.eq(now.0)).execute(tx)?;
    diesel::delete(ci_relation::table.find((edge.source, edge.kind.as_str(), edge.target)))
        .execute(tx)
        .map(drop)
}

/// Relations of one item, from its side.
pub fn relations(tx: &mut Conn, ci: i64) -> Result<Vec<RelationLine>, Error> {
    let edges = edges(tx, &[ci])?;
    told(tx, ci, &edges)
}

/// Those that it had then.
pub fn relations_at(tx: &mut Conn, ci: i64, at: Timestamp) -> Result<Vec<RelationLine>, Error> {
    let touching = ci_relation_past::source.eq(ci).or(ci_relation_past::target.eq(ci));
    let rows = ci_relation_past::table.filter(touching).filter(ci_relation_past::since.le(at.0));
    let rows = rows.filter(ci_relation_past::until.gt(at.0));
    let columns = (ci_relation_past::source, ci_relation_past::kind, ci_relation_past::target);
    let rows: Vec<(i64, String, i64)> = rows.select(columns).load(tx)?;
    let edges = rows.into_iter().map(edge).collect::<Result<Vec<_>, _>>()?;
    told(tx, ci, &edges)
}

fn told(tx: &mut Conn, ci: i64, edges: &[Edge]) -> Result<Vec<RelationLine>, Error> {
    let names = references(tx, edges.iter().flat_map(|edge| [edge.source, edge.target]))?;
    let line = |edge: &Edge| {
        let inward = edge.target == ci;
        let other = names.get(if inward { &edge.source } else { &edge.target })?.clone();
        Some(RelationLine { kind: edge.kind, inward, other })
    };
    let mut lines: Vec<_> = edges.iter().filter_map(line).collect();
    lines.sort();
    Ok(lines)
}

/// Ids of items of which something is declared, be it only what they run on, or that are no hosts, from this one on; one more
/// than `most` if there are more.
pub(super) fn page(tx: &mut Conn, from: u64, most: i64) -> QueryResult<Vec<i64>> {
    let from = i64::try_from(from).unwrap_or(i64::MAX);
    let said = ci_declared::table.filter(ci_declared::newest.eq(true)).select(ci_declared::ci);
    let related = ci_relation::table.select(ci_relation::source);
    let wanted = ci::kind.ne(CiClass::Host.as_str()).or(ci::id.eq_any(said)).or(ci::id.eq_any(related));
    ci::table.filter(ci::id.ge(from)).filter(wanted).order(ci::id).limit(most + 1).select(ci::id).load(tx)
}
