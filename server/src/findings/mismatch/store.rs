//! All SQL of mismatches. Steps are only ever added to.

use super::model::{self, Entry, Mismatches};
use crate::cmdb::{self, CiId, EventKind, NewEvent};
use crate::each;
use crate::fleet;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::{Error, Refusal};
use diesel::prelude::*;
use shared::finding::Presence;
use shared::ids::PersonId;
use shared::time::Timestamp;
use shared::wire::{DisposeMismatches, Disposition, MismatchKind, MismatchLine, MismatchPage};
use std::collections::BTreeMap;

diesel::table! {
    mismatch (id) {
        id -> BigInt,
        ci -> BigInt,
        kind -> Text,
        declared -> Text,
        observed -> Text,
        first_seen -> BigInt,
        last_seen -> BigInt,
        count -> BigInt,
        presence -> Text,
        disposition -> Text,
        until -> Nullable<BigInt>,
    }
}

diesel::table! {
    mismatch_step (id) {
        id -> BigInt,
        mismatch -> BigInt,
        at -> BigInt,
        by_person -> Nullable<Text>,
        disposition -> Text,
        reason -> Text,
        until -> Nullable<BigInt>,
    }
}

/// Mismatches on a page.
const PAGE: usize = 200;

#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = mismatch)]
struct Row {
    id: i64,
    ci: i64,
    kind: String,
    declared: String,
    observed: String,
    first_seen: i64,
    last_seen: i64,
    count: i64,
    presence: String,
    disposition: String,
    until: Option<i64>,
}

/// Which ones are listed; all conditions hold together.
#[derive(Debug, Clone, Default)]
pub(super) struct Listed {
    pub disposition: Option<Disposition>,
    pub current: bool,
    pub ci: Option<CiId>,
    pub before: Option<u64>,
}

fn damaged(text: &str) -> Error {
    Error::fault("reading mismatches", format!("{text:?} in the database is not valid"))
}

fn kind(text: &str) -> Result<MismatchKind, Error> {
    MismatchKind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| damaged(text))
}

/// Compares what is declared with what is observed, and keeps what is new, otherwise or gone. The whole fleet is read without
/// keeping anybody from writing; what changes meanwhile is for the next look.
pub async fn look(db: &Db, now: Timestamp) -> Result<(), Error> {
    let compare = move |tx: &mut Conn| Ok::<_, Error>(model::compare(&entries(tx)?, now));
    let found = db.read("findings.compare", compare).await?;
    db.write("findings.look", move |tx| keep(tx, found.clone(), now)).await
}

fn keep(tx: &mut Conn, found: Mismatches, now: Timestamp) -> Result<(), Error> {
    tx.lock("mismatches")?;
    reconcile(tx, found, now)?;
    let ended = mismatch::table
        .filter(mismatch::disposition.eq(Disposition::Ignored.as_str()))
        .filter(mismatch::until.le(now.0));
    for id in ended.select(mismatch::id).load::<i64>(tx)? {
        step(tx, id, (None, Disposition::Open, "the time for which it was ignored is over", None), now)?;
    }
    Ok(())
}

fn entries(tx: &mut Conn) -> Result<BTreeMap<i64, Entry>, Error> {
    let mut entries = BTreeMap::new();
    // Who has left for good is nobody's double, and is missed by nobody.
    for host in fleet::list(tx)?.into_iter().filter(|host| host.retired.is_none()) {
        let entry = Entry {
            name: host.hostname,
            enabled: host.enabled,
            enrolled: host.enrolled.0,
            last_seen: host.last_seen,
            ..Entry::default()
        };
        entries.insert(host.ci.0, entry);
    }
    for (ci, observed) in cmdb::observed(tx)? {
        if let Some(entry) = entries.get_mut(&ci) {
            (entry.serial, entry.virtualisation, entry.local) =
                (observed.serial, observed.virtualisation, observed.local);
        }
    }
    for (ci, declared, runs_on) in cmdb::declared_hosts(tx)? {
        if let Some(entry) = entries.get_mut(&ci) {
            (entry.declared, entry.runs_on) = (declared, runs_on);
        }
    }
    Ok(entries)
}

fn reconcile(tx: &mut Conn, mut found: Mismatches, now: Timestamp) -> Result<(), Error> {
    let rows: Vec<Row> = mismatch::table.select(Row::as_select()).load(tx)?;
    for row in rows {
        let there = row.presence == Presence::There.as_str();
        match found.remove(&(row.ci, kind(&row.kind)?)) {
            None if there => {
                let gone = mismatch::presence.eq(Presence::Gone.as_str());
                let set = (gone, mismatch::last_seen.eq(now.0));
                diesel::update(mismatch::table.find(row.id)).set(set).execute(tx)?;
                tell(tx, &row, "gone", now)?;
            }
            None => {}
            Some((declared, observed)) => {
                let same = (&declared, &observed) == (&row.declared, &row.observed);
                if there && same {
                    continue;
                }
                let set = (
                    mismatch::declared.eq(&declared),
                    mismatch::observed.eq(&observed),
                    mismatch::last_seen.eq(now.0),
                    mismatch::count.eq(row.count + 1),
                    mismatch::presence.eq(Presence::There.as_str()),
                );
                diesel::update(mismatch::table.find(row.id)).set(set).execute(tx)?;
                let ignored = row.disposition == Disposition::Ignored.as_str();
                if row.disposition != Disposition::Open.as_str() && !(same && ignored) {
                    let reason =
                        if same { "it was gone and is there again" } else { "it looks otherwise than then" };
                    step(tx, row.id, (None, Disposition::Open, reason, None), now)?;
                }
                tell(tx, &Row { declared, observed, ..row }, "there", now)?;
            }
        }
    }
    for ((ci, kind), (declared, observed)) in found {
        let row = (
            mismatch::ci.eq(ci),
            mismatch::kind.eq(kind.as_str()),
            mismatch::declared.eq(&declared),
            mismatch::observed.eq(&observed),
            mismatch::first_seen.eq(now.0),
            mismatch::last_seen.eq(now.0),
            mismatch::count.eq(1),
            mismatch::presence.eq(Presence::There.as_str()),
            mismatch::disposition.eq(Disposition::Open.as_str()),
        );
        each!(tx, |c| diesel::insert_into(mismatch::table).values(row).execute(c))?;
        event(tx, ci, format!("{}: declared {declared}, observed {observed}", kind.as_str()), now)?;
    }
    Ok(())
}

fn tell(tx: &mut Conn, row: &Row, how: &str, now: Timestamp) -> Result<(), Error> {
    let Row { ci, kind, declared, observed, .. } = row;
    event(tx, *ci, format!("{kind} {how}: declared {declared}, observed {observed}"), now)
}

fn event(tx: &mut Conn, ci: i64, what: String, now: Timestamp) -> Result<(), Error> {
    Ok(cmdb::insert_events(tx, &[NewEvent::new(CiId(ci), now, EventKind::Mismatch, what)])?)
}

type Step<'a> = (Option<&'a PersonId>, Disposition, &'a str, Option<Timestamp>);

fn step(
    tx: &mut Conn,
    id: i64,
    (by, disposition, reason, until): Step<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    let until = until.map(|at| at.0);
    let set = (mismatch::disposition.eq(disposition.as_str()), mismatch::until.eq(until));
    diesel::update(mismatch::table.find(id)).set(set).execute(tx)?;
    let row = (
        mismatch_step::mismatch.eq(id),
        mismatch_step::at.eq(now.0),
        mismatch_step::by_person.eq(by.map(PersonId::as_str)),
        mismatch_step::disposition.eq(disposition.as_str()),
        mismatch_step::reason.eq(reason),
        mismatch_step::until.eq(until),
    );
    each!(tx, |c| diesel::insert_into(mismatch_step::table).values(row).execute(c))?;
    Ok(())
}

/// Judges mismatches as they were seen, all or none.
///
/// # Errors
/// `mismatch.unknown`, `mismatch.moved` with the first one that looks otherwise by now, and what [`check`] refuses.
pub(super) fn dispose(
    tx: &mut Conn,
    wish: &DisposeMismatches,
    by: &PersonId,
    now: Timestamp,
) -> Result<(), Error> {
    let DisposeMismatches { mismatches, disposition, reason, until } = wish;
    if !matches!(disposition, Disposition::Open | Disposition::Ignored | Disposition::Confirmed) {
        let refusal = Refusal::unprocessable("mismatch.disposition");
        return Err(refusal.with("disposition", disposition.as_str()).into());
    }
    crate::findings::check_judgement((mismatches.len(), *disposition, reason, *until), now)?;
    tx.lock("mismatches")?;
    for seen in mismatches {
        let row: Option<Row> =
            mismatch::table.find(seen.id.cast_signed()).select(Row::as_select()).first(tx).optional()?;
        let row = row.ok_or_else(|| Refusal::not_found("mismatch.unknown").with("mismatch", seen.id))?;
        if row.count != i64::from(seen.count) {
            return Err(Refusal::conflict("mismatch.moved").with("mismatch", seen.id).into());
        }
        step(tx, row.id, (Some(by), *disposition, reason, *until), now)?;
    }
    Ok(())
}

/// A page of mismatches, newest first.
pub(super) fn list(tx: &mut Conn, listed: &Listed) -> Result<MismatchPage, Error> {
    let mut rows = mismatch::table.into_boxed();
    if let Some(disposition) = listed.disposition {
        rows = rows.filter(mismatch::disposition.eq(disposition.as_str()));
    }
    if listed.current {
        rows = rows.filter(mismatch::presence.eq(Presence::There.as_str()));
    }
    if let Some(ci) = listed.ci {
        rows = rows.filter(mismatch::ci.eq(ci.0));
    }
    if let Some(before) = listed.before {
        rows = rows.filter(mismatch::id.lt(before.cast_signed()));
    }
    let rows = rows.order(mismatch::id.desc()).limit(PAGE as i64 + 1).select(Row::as_select());
    let mut rows: Vec<Row> = rows.load(tx)?;
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let next = rows.last().filter(|_| more).map(|row| row.id.cast_unsigned());
    let ids: Vec<CiId> = rows.iter().map(|row| CiId(row.ci)).collect();
    let names = cmdb::names(tx, &ids)?;
    let steps = mismatch_step::table.filter(mismatch_step::mismatch.eq_any(rows.iter().map(|row| row.id)));
    let steps = steps.order(mismatch_step::id).select((mismatch_step::mismatch, mismatch_step::reason));
    let reasons: BTreeMap<i64, String> = steps.load::<(i64, String)>(tx)?.into_iter().collect();
    let line = |row: Row| {
        Ok(MismatchLine {
            id: row.id.cast_unsigned(),
            ci: CiId(row.ci).to_string(),
            name: names.get(&row.ci).cloned().unwrap_or_default(),
            kind: kind(&row.kind)?,
            declared: row.declared,
            observed: row.observed,
            first_seen: Timestamp(row.first_seen),
            last_seen: Timestamp(row.last_seen),
            count: u32::try_from(row.count).map_err(|_| damaged("count"))?,
            presence: Presence::ALL
                .into_iter()
                .find(|p| p.as_str() == row.presence)
                .ok_or_else(|| damaged(&row.presence))?,
            disposition: Disposition::ALL
                .into_iter()
                .find(|d| d.as_str() == row.disposition)
                .ok_or_else(|| damaged(&row.disposition))?,
            reason: reasons.get(&row.id).cloned(),
            until: row.until.map(Timestamp),
        })
    };
    let mismatches = rows.into_iter().map(line).collect::<Result<_, Error>>()?;
    Ok(MismatchPage { mismatches, next })
}
