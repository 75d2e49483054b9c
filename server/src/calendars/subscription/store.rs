//! All SQL of subscriptions, and what becomes of a reading.

use super::losses::{Losses, losses};
use super::model::{self, MOST};
use super::reader::{Brought, Failed, New};
use crate::calendars::{model as calendars, store as revisions};
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal, one_line};
use diesel::prelude::*;
use shared::digest::Digest;
use shared::ids::PersonId;
use shared::strict;
use shared::time::Timestamp;
use shared::windows::{CalendarName, ZoneName};
use shared::wire::{
    AcceptCalendar, Calendar, CalendarMode, PutCalendar, PutSubscription, Subscription, WaitingCalendar,
};
use std::collections::BTreeMap;

diesel::table! {
    calendar_subscription (id) {
        id -> BigInt,
        name -> Text,
        url -> Text,
        every_s -> BigInt,
        zone -> Text,
        /// The calendar without rules and times.
        scope -> Text,
        person -> Text,
        reason -> Text,
        created -> BigInt,
        /// Grows with each reading.
        attempt -> BigInt,
        tried_at -> BigInt,
        next_at -> BigInt,
        read_at -> Nullable<BigInt>,
        changed_at -> Nullable<BigInt>,
        etag -> Nullable<Text>,
        last_modified -> Nullable<Text>,
        /// In a row.
        failures -> Integer,
        failing_since -> Nullable<BigInt>,
        last_error -> Nullable<Text>,
        /// A calendar that was read and is not taken without a person's word.
        waiting -> Nullable<Text>,
        waiting_since -> Nullable<BigInt>,
    }
}

use calendar_subscription as table;

/// One that is being read is hidden for so long: longer than a reading takes.
const HOLD_SECS: i64 = 120;
/// Lost times that are shown.
const SHOWN: usize = 50;
const LOCK: &str = "calendar subscriptions";

#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = calendar_subscription)]
struct Row {
    id: i64,
    name: String,
    url: String,
    every_s: i64,
    zone: String,
    scope: String,
    person: String,
    reason: String,
    created: i64,
    attempt: i64,
    next_at: i64,
    read_at: Option<i64>,
    changed_at: Option<i64>,
    etag: Option<String>,
    last_modified: Option<String>,
    failures: i32,
    failing_since: Option<i64>,
    last_error: Option<String>,
    waiting: Option<String>,
    waiting_since: Option<i64>,
}

/// A subscription as people see it, and whom its calendar holds.
pub(in crate::calendars) struct Listed {
    pub shown: Subscription,
    pub scope: Calendar,
}

/// A subscription that one node reads now.
pub(in crate::calendars) struct Taken {
    id: i64,
    attempt: i64,
    pub url: String,
    pub zone: ZoneName,
    pub scope: Calendar,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

fn damaged(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::fault("reading a subscription", what)
}

impl Row {
    fn name(&self) -> Result<CalendarName, Error> {
        self.name.parse().map_err(damaged)
    }

    fn zone(&self) -> Result<ZoneName, Error> {
        self.zone.parse().map_err(damaged)
    }

    fn person(&self) -> Result<PersonId, Error> {
        self.person.parse().map_err(damaged)
    }

    fn scope(&self) -> Result<Calendar, Error> {
        serde_json::from_str(&self.scope).map_err(damaged)
    }

    fn listed(&self, tx: &mut Conn, now: Timestamp) -> Result<Listed, Error> {
        let read = self.read_at.map(Timestamp);
        let shown = Subscription {
            from: model::shown(&self.url),
            every_s: u32::try_from(self.every_s).map_err(damaged)?,
            zone: self.zone()?,
            by: self.person()?,
            since: Timestamp(self.created),
            reason: self.reason.clone(),
            read,
            changed: self.changed_at.map(Timestamp),
            next: Timestamp(self.next_at),
            failing_since: self.failing_since.map(Timestamp),
            last_error: self.last_error.clone(),
            stale: model::is_stale(read.unwrap_or(Timestamp(self.created)), self.every_s, now),
            waiting: self.waits(tx, now)?,
        };
        Ok(Listed { shown, scope: self.scope()? })
    }

    fn waits(&self, tx: &mut Conn, now: Timestamp) -> Result<Option<WaitingCalendar>, Error> {
        let (Some(text), Some(since)) = (&self.waiting, self.waiting_since) else { return Ok(None) };
        let new: Calendar = serde_json::from_str(text).map_err(damaged)?;
        let Losses { of, mut lost, .. } = compare(current(tx, &self.name()?)?.as_ref(), &new, now)?;
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let (of, all) = (count(of), count(lost.len()));
        lost.truncate(SHOWN);
        let sha256 = Digest::of(text.as_bytes());
        Ok(Some(WaitingCalendar { sha256, since: Timestamp(since), of, lost: all, first: lost }))
    }
}

/// What the calendar says now, if it has not ended.
fn current(tx: &mut Conn, name: &CalendarName) -> Result<Option<Calendar>, Error> {
    Ok(revisions::history(tx, name)?.into_iter().next().and_then(|step| step.calendar))
}

fn compare(old: Option<&Calendar>, new: &Calendar, now: Timestamp) -> Result<Losses, Error> {
    let Some(old) = old else { return Ok(Losses::default()) };
    let span = calendars::ahead(now);
    Ok(losses(&calendars::times(old, span)?, &calendars::times(new, span)?, now))
}

fn row(tx: &mut Conn, name: &CalendarName) -> QueryResult<Option<Row>> {
    table::table.filter(table::name.eq(name.as_str())).select(Row::as_select()).first(tx).optional()
}

/// # Errors
/// `calendar.not_subscribed`.
fn get(tx: &mut Conn, name: &CalendarName) -> Result<Row, Error> {
    let refusal = || Refusal::not_found("calendar.not_subscribed").with("calendar", name);
    row(tx, name)?.ok_or_else(|| refusal().into())
}

/// The subscription of a calendar, if there is one.
pub(in crate::calendars) fn find(
    tx: &mut Conn,
    name: &CalendarName,
    now: Timestamp,
) -> Result<Option<Listed>, Error> {
    let Some(row) = row(tx, name)? else { return Ok(None) };
    row.listed(tx, now).map(Some)
}

/// All subscriptions, by the name of their calendar.
pub(in crate::calendars) fn list(
    tx: &mut Conn,
    now: Timestamp,
) -> Result<BTreeMap<CalendarName, Listed>, Error> {
    let rows: Vec<Row> = table::table.select(Row::as_select()).load(tx)?;
    rows.into_iter().map(|row| Ok((row.name()?, row.listed(tx, now)?))).collect()
}

/// From here to the end of the transaction nobody else changes a subscription or a subscribed calendar, on any node. Whoever writes
/// for a person holds it before anything is looked at.
pub(in crate::calendars) fn lock(tx: &mut Conn) -> QueryResult<()> {
    tx.lock(LOCK)
}

/// A subscribed calendar that its subscriber should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worry {
    pub calendar: CalendarName,
    pub title: String,
    pub subscriber: PersonId,
    /// What was read waits for a word; otherwise nothing was read for long.
    pub waits: bool,
    pub since: Timestamp,
}

/// By the name of the calendar.
pub fn worries(tx: &mut Conn, now: Timestamp) -> Result<Vec<Worry>, Error> {
    let mut found = Vec::new();
    for (calendar, Listed { shown, scope }) in list(tx, now)? {
        let worry = |waits, since| {
            let (calendar, title) = (calendar.clone(), scope.title.clone());
            Worry { calendar, title, subscriber: shown.by.clone(), waits, since }
        };
        let read = shown.read.unwrap_or(shown.since);
        found.extend(shown.stale.then(|| worry(false, model::old_from(read, shown.every_s.into()))));
        found.extend(shown.waiting.as_ref().map(|waiting| worry(true, waiting.since)));
    }
    Ok(found)
}

/// For what a person writes by hand.
///
/// # Errors
/// `calendar.subscribed`.
pub(in crate::calendars) fn assert_none(tx: &mut Conn, name: &CalendarName) -> Result<(), Error> {
    match row(tx, name)? {
        Some(_) => Err(Refusal::conflict("calendar.subscribed").with("calendar", name).into()),
        None => Ok(()),
    }
}

/// Stores a subscription in the place of the one that there may be, and has it read at once. The same again changes nothing else:
/// it does not hide for how long nothing could be read.
///
/// # Errors
/// `calendar.too_many_subscriptions`.
pub(super) fn insert(
    tx: &mut Conn,
    name: &CalendarName,
    put: &PutSubscription,
    person: &PersonId,
    now: Timestamp,
) -> Result<(), Error> {
    let scope = strict::to_text(&put.calendar);
    if let Some(old) = row(tx, name)? {
        let of = table::table.find(old.id);
        let same = old.url == put.url && old.every_s == i64::from(put.every_s);
        if same && old.zone == put.zone.as_str() && old.scope == scope {
            return Ok(diesel::update(of).set(table::next_at.eq(now.0)).execute(tx).map(drop)?);
        }
        diesel::delete(of).execute(tx)?;
    }
    let all: i64 = table::table.count().get_result(tx)?;
    if all >= MOST {
        return Err(Refusal::conflict("calendar.too_many_subscriptions").with("limit", MOST).into());
    }
    let row = (
        table::name.eq(name.as_str()),
        table::url.eq(&put.url),
        table::every_s.eq(i64::from(put.every_s)),
        table::zone.eq(put.zone.as_str()),
        table::scope.eq(scope),
        table::person.eq(person.as_str()),
        table::reason.eq(&put.reason),
        table::created.eq(now.0),
        table::attempt.eq(0),
        table::tried_at.eq(0),
        table::next_at.eq(now.0),
        table::failures.eq(0),
    );
    Ok(each!(tx, |c| diesel::insert_into(table::table).values(row).execute(c)).map(drop)?)
}

/// Ends a subscription and forgets its address; the calendar stays as it was last read.
///
/// # Errors
/// `calendar.not_subscribed`.
pub(super) fn end(tx: &mut Conn, name: &CalendarName) -> Result<(), Error> {
    let row = get(tx, name)?;
    Ok(diesel::delete(table::table.find(row.id)).execute(tx).map(drop)?)
}

/// Those that are to be read. One that was tried in the future was tried before the clock went back.
pub(super) fn list_due(tx: &mut Conn, now: Timestamp) -> QueryResult<Vec<i64>> {
    let due = table::next_at.le(now.0).or(table::tried_at.gt(now.0));
    table::table.filter(due).order(table::next_at).select(table::id).load(tx)
}

/// Takes one that is due and hides it from all nodes; none where another one was faster.
pub(in crate::calendars) fn take(tx: &mut Conn, id: i64, now: Timestamp) -> Result<Option<Taken>, Error> {
    lock(tx)?;
    let due = table::next_at.le(now.0).or(table::tried_at.gt(now.0));
    let row: Option<Row> = table::table.find(id).filter(due).select(Row::as_select()).first(tx).optional()?;
    let Some(row) = row else { return Ok(None) };
    let attempt = row.attempt + 1;
    let hidden =
        (table::attempt.eq(attempt), table::tried_at.eq(now.0), table::next_at.eq(now.plus(HOLD_SECS).0));
    diesel::update(table::table.find(id)).set(hidden).execute(tx)?;
    let (zone, scope) = (row.zone()?, row.scope()?);
    let Row { url, etag, last_modified, .. } = row;
    Ok(Some(Taken { id, attempt, url, zone, scope, etag, last_modified }))
}

/// Notes what a reading brought, and changes the calendar if it may; nothing where the subscription was changed, ended or read again
/// meanwhile. `spread` is random.
pub(in crate::calendars) fn record(
    tx: &mut Conn,
    taken: &Taken,
    brought: &Result<Brought, Failed>,
    spread: u8,
    now: Timestamp,
) -> Result<(), Error> {
    lock(tx)?;
    let row = table::table.find(taken.id).filter(table::attempt.eq(taken.attempt));
    let Some(row) = row.select(Row::as_select()).first(tx).optional()? else { return Ok(()) };
    match brought {
        Err(failed) => return record_failed(tx, &row, failed, spread, now),
        Ok(Brought::Unchanged) => {}
        Ok(Brought::New(new)) => record_new(tx, &row, new, now)?,
    }
    let well = (
        table::read_at.eq(now.0),
        table::next_at.eq(now.plus(model::pause(row.every_s, 0, None, spread)).0),
        table::failures.eq(0),
        table::failing_since.eq(None::<i64>),
        table::last_error.eq(None::<String>),
    );
    Ok(diesel::update(table::table.find(row.id)).set(well).execute(tx).map(drop)?)
}

fn record_failed(tx: &mut Conn, row: &Row, failed: &Failed, spread: u8, now: Timestamp) -> Result<(), Error> {
    let failures = row.failures.saturating_add(1);
    let ill = (
        table::next_at.eq(now.plus(model::pause(row.every_s, failures, failed.wait, spread)).0),
        table::failures.eq(failures),
        table::failing_since.eq(row.failing_since.unwrap_or(now.0)),
        table::last_error.eq(one_line(&failed.why)),
    );
    Ok(diesel::update(table::table.find(row.id)).set(ill).execute(tx).map(drop)?)
}

fn record_new(tx: &mut Conn, row: &Row, new: &New, now: Timestamp) -> Result<(), Error> {
    let name = row.name()?;
    let old = current(tx, &name)?;
    let found = &new.calendar;
    let same = match &old {
        Some(old) if old.says_the_same(found, now) => true,
        // Nothing that could be closed, before and now.
        _ => is_empty(found) && compare(old.as_ref(), found, now)?.of == 0,
    };
    let waits = !same && needs_a_word(old.as_ref(), found, now)?;
    if !same && !waits {
        let reason = one_line(&format!("read from {}", model::shown(&row.url)));
        append(tx, &name, found, (&reason, &row.person()?), now)?;
        diesel::update(table::table.find(row.id)).set(table::changed_at.eq(now.0)).execute(tx)?;
    }
    let waiting = match (&row.waiting, waits) {
        (_, false) => None,
        (Some(before), true) if says_the_same(before, found, now) => Some(before.clone()),
        (_, true) => Some(strict::to_text(found)),
    };
    let since = waiting.as_ref().map(|_| row.waiting_since.unwrap_or(now.0));
    let noted = (
        table::waiting.eq(waiting),
        table::waiting_since.eq(since),
        table::etag.eq(&new.etag),
        table::last_modified.eq(&new.last_modified),
    );
    Ok(diesel::update(table::table.find(row.id)).set(noted).execute(tx).map(drop)?)
}

/// Whether what was read is dangerous: closed times would be open, or where the times are windows, there would be no calendar any more
/// that changes could lie outside of. Windows that vanish or move are no danger: changes outside of them are shown.
fn needs_a_word(old: Option<&Calendar>, found: &Calendar, now: Timestamp) -> Result<bool, Error> {
    match found.mode {
        CalendarMode::Window => Ok(is_empty(found) && old.is_some()),
        CalendarMode::Hard | CalendarMode::Warn => Ok(compare(old, found, now)?.need_a_word()),
    }
}

fn is_empty(calendar: &Calendar) -> bool {
    calendar.rules.is_empty() && calendar.times.is_empty()
}

fn says_the_same(before: &str, found: &Calendar, now: Timestamp) -> bool {
    serde_json::from_str::<Calendar>(before).is_ok_and(|before| before.says_the_same(found, now))
}

/// Stores what was read as the next revision. Without any times the calendar ends; it begins again with the next one that has some.
fn append(
    tx: &mut Conn,
    name: &CalendarName,
    calendar: &Calendar,
    (reason, person): (&str, &PersonId),
    now: Timestamp,
) -> Result<(), Error> {
    let after = revisions::history(tx, name)?.first().map_or(0, |step| step.revision);
    let calendar = Some(calendar.clone()).filter(|calendar| !is_empty(calendar));
    revisions::insert(tx, name, &PutCalendar { after, reason: reason.into(), calendar }, person, now)
}

/// A person takes what waits: it becomes the next revision.
///
/// # Errors
/// `calendar.not_subscribed`; `calendar.nothing_waits`, also where something else waits by now.
pub(super) fn accept(
    tx: &mut Conn,
    name: &CalendarName,
    accept: &AcceptCalendar,
    person: &PersonId,
    now: Timestamp,
) -> Result<(), Error> {
    let row = get(tx, name)?;
    let waiting = row.waiting.filter(|text| Digest::of(text.as_bytes()) == accept.sha256);
    let none = || Refusal::conflict("calendar.nothing_waits").with("calendar", name);
    let calendar: Calendar = serde_json::from_str(&waiting.ok_or_else(none)?).map_err(damaged)?;
    append(tx, name, &calendar, (&accept.reason, person), now)?;
    let taken = (
        table::waiting.eq(None::<String>),
        table::waiting_since.eq(None::<i64>),
        table::changed_at.eq(now.0),
    );
    Ok(diesel::update(table::table.find(row.id)).set(taken).execute(tx).map(drop)?)
}
