//! Brings changes and calendars together, and keeps the addresses of feeds.

use crate::budgets::Standing;
use crate::calendars::{self, Meant};
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
use shared::wire::{CalendarMode, FreeTimes, ShortBudget};
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

/// For whom free times are looked for: hosts that have all these labels, that the search finds or that are named; all hosts, when
/// nothing is asked for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub labels: Map<String, String>,
    pub search: Option<String>,
    pub hosts: Vec<String>,
    /// Not only within the windows of calendars.
    pub anywhere: bool,
}

/// When these hosts could be changed.
pub(super) fn free(
    tx: &mut Conn,
    wanted: &Wanted,
    span: Interval,
    now: Timestamp,
) -> Result<FreeTimes, Error> {
    let agents = agents_of(tx, wanted)?;
    let mut free = span.without(taken(tx, &agents, span)?);
    let mut within = BTreeSet::new();
    if !wanted.anywhere {
        for meant in Meant::of(tx, span)?.for_hosts(ChangeType::Normal, &agents) {
            // What is left without everything outside lies inside.
            let inside = |time: Interval| time.without(time.without(meant.intervals.iter().copied()));
            free = free.into_iter().flat_map(inside).collect();
            within.extend(meant.calendars.iter().map(ToString::to_string));
        }
    }
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let standing = Standing::of(tx, now)?;
    let short = standing.budgets().filter_map(|(notice, budget)| {
        let hosts = count(agents.iter().filter(|agent| notice.covers(**agent)).count());
        let (budget, slots) = (notice.name.clone(), budget.slots);
        (slots < hosts).then_some(ShortBudget { budget, slots, hosts })
    });
    let (hosts, within) = (count(agents.len()), within.into_iter().collect());
    Ok(FreeTimes { hosts, free, within, short: short.collect() })
}

fn agents_of(tx: &mut Conn, wanted: &Wanted) -> Result<BTreeSet<AgentId>, Error> {
    let mut named: BTreeSet<AgentId> = BTreeSet::new();
    for name in &wanted.hosts {
        named.insert(fleet::get(tx, name)?.agent);
    }
    let scope = Scope { labels: &wanted.labels, named: &named, search: wanted.search.as_deref() };
    Ok(match Chosen::default().exactly(tx, scope)? {
        Some(agents) => agents,
        None => fleet::list(tx)?.iter().map(|host| host.agent).collect(),
    })
}

/// When a blackout closes one of these hosts, or a change may run there.
fn taken(tx: &mut Conn, agents: &BTreeSet<AgentId>, span: Interval) -> Result<Vec<Interval>, Error> {
    let mut taken = Vec::new();
    for calendar in calendars::between(tx, CalendarMode::Hard, span)? {
        let holds = calendar.agents.as_ref().is_none_or(|held| !held.is_disjoint(agents));
        if holds && calendar.holds.contains(&ChangeType::Normal) {
            taken.extend(calendar.intervals);
        }
    }
    for change in changes::open(tx)? {
        if change.targets.iter().any(|target| agents.contains(&target.agent)) {
            taken.extend(change.usable());
        }
    }
    Ok(taken)
}
