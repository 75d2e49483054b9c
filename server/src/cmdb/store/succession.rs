//! Entries whose host leaves for good, and entries that go on with another host.

use super::{CiRow, ci, ci_facts, ci_mark, facts, health, insert_events, parse, states};
use crate::cmdb::declared;
use crate::cmdb::model::{CiId, EventKind, NewEvent, Source, Succession};
use crate::cmdb::search::{self, Field};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use diesel::prelude::*;
use shared::ids::AgentId;
use shared::time::Timestamp;
use shared::wire::{Declared, Lifecycle};
use std::collections::BTreeSet;

diesel::table! {
    ci_succession (former) {
        former -> BigInt,
        ci -> BigInt,
        predecessor -> Text,
        successor -> Text,
        change_id -> Text,
        at -> BigInt,
    }
}

/// The host of an entry leaves, and nobody follows it.
pub fn retire(
    tx: &mut Conn,
    (id, agent): (CiId, AgentId),
    source: &Source<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    diesel::update(ci::table.find(id.0)).set(ci::ended.eq(now.0)).execute(tx)?;
    set_lifecycle(tx, id, Lifecycle::Retired, source, now)?;
    note(tx, id, EventKind::Retired, format!("{agent}: {}", source.title), source, now)
}

/// The machine of an entry goes on with another host: the entry keeps all that is declared, labels, relations and history,
/// and takes over what the successor reports and has on record. The entry that the successor had before ends.
pub fn succeed(
    tx: &mut Conn,
    follows: &Succession,
    source: &Source<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    let Succession { entry, former, predecessor, successor } = *follows;
    diesel::insert_into(ci_succession::table)
        .values((
            ci_succession::former.eq(former.0),
            ci_succession::ci.eq(entry.0),
            ci_succession::predecessor.eq(predecessor.to_string()),
            ci_succession::successor.eq(successor.to_string()),
            ci_succession::change_id.eq(source.change.0.as_str()),
            ci_succession::at.eq(now.0),
        ))
        .execute(tx)?;
    // A host stands at one entry at a time.
    let gone = (ci::agent.eq(None::<String>), ci::ended.eq(now.0));
    diesel::update(ci::table.find(former.0)).set(gone).execute(tx)?;
    let taken = (ci::agent.eq(successor.to_string()), ci::ended.eq(None::<i64>));
    diesel::update(ci::table.find(entry.0)).set(taken).execute(tx)?;
    hand_over_facts(tx, former, entry, now)?;
    health::hand_over(tx, former, entry)?;
    for id in [former, entry] {
        states::record_manifests(tx, id, now)?;
    }
    set_lifecycle(tx, former, Lifecycle::Retired, source, now)?;
    if declared::find(tx, entry.0)?.is_some_and(|said| said.declared.lifecycle == Lifecycle::Retired) {
        set_lifecycle(tx, entry, Lifecycle::InUse, source, now)?;
    }
    let goes_on = format!("{successor} goes on in place of {predecessor}; it was {former} before");
    note(tx, entry, EventKind::Succeeded, goes_on, source, now)?;
    let ends = format!("its host {successor} goes on as {entry}, in place of {predecessor}");
    note(tx, former, EventKind::Succeeded, ends, source, now)
}

/// What the successor has reported so far is what is known of the machine now.
fn hand_over_facts(tx: &mut Conn, former: CiId, entry: CiId, now: Timestamp) -> Result<(), Error> {
    let row: CiRow = ci::table.find(former.0).select(CiRow::as_select()).first(tx)?;
    if let (Some(known), Some(at)) = (facts::find_facts(tx, former)?, row.facts_at) {
        facts::record_facts(tx, entry, Timestamp(at), &known, now)?;
    }
    diesel::delete(ci_facts::table.find(former.0)).execute(tx)?;
    diesel::delete(ci_mark::table.filter(ci_mark::ci.eq(former.0))).execute(tx)?;
    let nothing = (
        (ci::facts_at.eq(None::<i64>), ci::facts_sha256.eq(None::<Vec<u8>>)),
        (ci::os.eq(None::<String>), ci::os_version.eq(None::<String>), ci::kernel.eq(None::<String>)),
        (ci::arch.eq(None::<String>), ci::agent_version.eq(None::<String>)),
    );
    diesel::update(ci::table.find(former.0)).set(nothing).execute(tx)?;
    search::record(tx, former, &Field::observed(), &BTreeSet::new(), now)
}

fn set_lifecycle(
    tx: &mut Conn,
    id: CiId,
    lifecycle: Lifecycle,
    source: &Source<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    let before = declared::find(tx, id.0)?.map(|said| said.declared).unwrap_or_default();
    if before.lifecycle == lifecycle {
        return Ok(());
    }
    let reason = format!("{}: {}", source.change.0, source.title);
    declared::insert(tx, id.0, &Declared { lifecycle, ..before }, (source.author, &reason), now)
}

fn note(
    tx: &mut Conn,
    ci: CiId,
    kind: EventKind,
    what: String,
    source: &Source<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    let (by, change) = (Some(source.author.clone()), Some(source.change.clone()));
    Ok(insert_events(tx, &[NewEvent { by, change, ..NewEvent::new(ci, now, kind, what) }])?)
}

/// Where it is filed what receipts put on record of an entry, as of a time: under the entry that its host of then got when
/// it joined. `None` once the entry has ended because its host goes on elsewhere.
pub(super) fn filed_under(tx: &mut Conn, id: CiId, at: Timestamp) -> QueryResult<Option<i64>> {
    let newest = ci_succession::table.filter(ci_succession::ci.eq(id.0)).filter(ci_succession::at.le(at.0));
    let newest = newest.order(ci_succession::at.desc()).select(ci_succession::former);
    if let Some(former) = newest.first(tx).optional()? {
        return Ok(Some(former));
    }
    let left = ci_succession::table.find(id.0).select(ci_succession::at).first::<i64>(tx).optional()?;
    Ok(left.is_none_or(|left| at.0 < left).then_some(id.0))
}

/// The entry of which it is told what is filed under this one.
pub(super) fn told_of(tx: &mut Conn, filed: CiId) -> QueryResult<CiId> {
    let goes_on = ci_succession::table.find(filed.0).select(ci_succession::ci).first(tx).optional()?;
    Ok(goes_on.map_or(filed, CiId))
}

/// The host of an entry at a time, where it is not the one of now.
pub(super) fn host_then(
    tx: &mut Conn,
    id: CiId,
    at: Timestamp,
    of_now: Option<AgentId>,
) -> Result<Option<AgentId>, Error> {
    let next = ci_succession::table.filter(ci_succession::at.gt(at.0));
    let next = next.filter(ci_succession::ci.eq(id.0).or(ci_succession::former.eq(id.0)));
    let next = next.order(ci_succession::at).select((
        ci_succession::former,
        ci_succession::predecessor,
        ci_succession::successor,
    ));
    let next: Option<(i64, String, String)> = next.first(tx).optional()?;
    let Some((former, predecessor, successor)) = next else { return Ok(of_now) };
    parse("agent id", if former == id.0 { &successor } else { &predecessor }).map(Some)
}

/// Of entries that share a name, those behind which somebody stands; all of them where nobody stands behind any.
pub(in crate::cmdb) fn living<T>(all: Vec<T>, ended: impl Fn(&T) -> bool) -> Vec<T> {
    let (gone, here): (Vec<T>, Vec<T>) = all.into_iter().partition(ended);
    if here.is_empty() { gone } else { here }
}

/// Whether another host follows this one already.
///
/// # Errors
/// `host.followed` with the change that says so.
pub fn check_unfollowed(tx: &mut Conn, predecessor: AgentId) -> Result<(), Error> {
    let row = ci_succession::table.filter(ci_succession::predecessor.eq(predecessor.to_string()));
    let columns = (ci_succession::successor, ci_succession::change_id);
    match row.select(columns).first::<(String, String)>(tx).optional()? {
        None => Ok(()),
        Some((successor, change)) => {
            let refusal = Refusal::conflict("host.followed").with("agent", predecessor);
            Err(refusal.with("successor", successor).with("change", change).into())
        }
    }
}
