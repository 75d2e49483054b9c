//! Brings changes and calendars together, and keeps the addresses of feeds.

use crate::calendars;
use crate::changes;
use crate::each;
use crate::fleet::{self, Chosen, Scope};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::people;
use diesel::prelude::*;
use shared::change::ChangeType;
use shared::digest::Digest;
use shared::ids::{AgentId, PersonId};
use shared::strict::Map;
use shared::time::{Interval, Timestamp};
use shared::wire::{CalendarMode, FreeTimes};
use std::collections::BTreeSet;

diesel::table! {
    feed (sha256) {
        sha256 -> Binary,
        person -> Text,
        created -> BigInt,
        ended -> Nullable<BigInt>,
    }
}

/// Feeds of one person that may be open: one for each of their devices.
const FEEDS: i64 = 20;

/// # Errors
/// `feed.too_many`, or `feed.taken` when somebody has this address already.
pub(super) fn insert_feed(
    tx: &mut Conn,
    secret: &Digest,
    person: &PersonId,
    now: Timestamp,
) -> Result<(), Error> {
    let own = feed::table.filter(feed::person.eq(person.as_str())).filter(feed::ended.is_null());
    if own.count().get_result::<i64>(tx)? >= FEEDS {
        return Err(Refusal::conflict("feed.too_many").with("limit", FEEDS).into());
    }
    let row =
        (feed::sha256.eq(secret.0.as_slice()), feed::person.eq(person.as_str()), feed::created.eq(now.0));
    let new =
        each!(tx, |c| diesel::insert_into(feed::table).values(row).on_conflict_do_nothing().execute(c))?;
    if new == 1 { Ok(()) } else { Err(Refusal::conflict("feed.taken").into()) }
}

/// Ends all feeds of a person; how many there were.
pub(super) fn end_feeds(tx: &mut Conn, person: &PersonId, now: Timestamp) -> QueryResult<usize> {
    let own = feed::table.filter(feed::person.eq(person.as_str())).filter(feed::ended.is_null());
    diesel::update(own).set(feed::ended.eq(now.0)).execute(tx)
}

/// The addresses of all feeds that were not ended.
pub(super) fn list_feeds(tx: &mut Conn) -> Result<Vec<Digest>, Error> {
    let rows: Vec<Vec<u8>> = feed::table.filter(feed::ended.is_null()).select(feed::sha256).load(tx)?;
    let damaged = |_| Error::fault("reading the addresses of feeds", "one of them is no digest");
    rows.iter().map(|row| row.as_slice().try_into().map(Digest).map_err(damaged)).collect()
}

/// Whether somebody who has access reads the schedule under this address.
pub(super) fn is_feed(tx: &mut Conn, secret: &Digest) -> Result<bool, Error> {
    let row = feed::table.find(secret.0.as_slice()).filter(feed::ended.is_null());
    let person: Option<String> = row.select(feed::person).first(tx).optional()?;
    Ok(match person {
        Some(person) => people::has_access(tx, &person)?,
        None => false,
    })
}

/// When hosts that have all these labels, that the search finds or that are named could be changed: of all hosts, when
/// nothing is asked for.
pub(super) fn free(
    tx: &mut Conn,
    (labels, search, names): (&Map<String, String>, Option<&str>, &[String]),
    span: Interval,
) -> Result<FreeTimes, Error> {
    let mut named: BTreeSet<AgentId> = BTreeSet::new();
    for name in names {
        named.insert(fleet::get(tx, name)?.agent);
    }
    let agents = match Chosen::default().exactly(tx, Scope { labels, named: &named, search })? {
        Some(agents) => agents,
        None => fleet::list(tx)?.iter().map(|host| host.agent).collect(),
    };
    let mut taken = Vec::new();
    for calendar in calendars::between(tx, CalendarMode::Hard, span)? {
        let holds = calendar.agents.as_ref().is_none_or(|held| !held.is_disjoint(&agents));
        if holds && calendar.holds.contains(&ChangeType::Normal) {
            taken.extend(calendar.intervals);
        }
    }
    for change in changes::open(tx)? {
        if change.targets.iter().any(|target| agents.contains(&target.agent)) {
            taken.extend(change.usable());
        }
    }
    let hosts = u32::try_from(agents.len()).unwrap_or(u32::MAX);
    Ok(FreeTimes { hosts, free: span.without(taken) })
}
