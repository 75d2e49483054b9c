//! What waits for whom: approvals that the policy still asks for, reviews that have to be done, hosts that refuse what was
//! approved, changes and series whose time has moved or ends, and calendars that somebody should look at.

use crate::calendars::{self, RunsOut, Worry};
use crate::changes::{self, Row, SeriesEnd};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::change::{Change, ChangeType};
use shared::ids::PersonId;
use shared::time::Timestamp;
use shared::wire::{InboxItem, InboxKind};
use std::collections::BTreeMap;

/// An author is told for so long that a change has ended by itself.
const SHOWN_SECS: i64 = 86_400;

/// Everything that waits for somebody, by person, what ends first at the top.
pub(super) type Waiting = BTreeMap<PersonId, Vec<InboxItem>>;

pub(super) fn waiting(tx: &mut Conn, now: Timestamp) -> Result<Waiting, Error> {
    let mut all = Waiting::new();
    on_words(tx, &mut all, now)?;
    on_time(tx, &mut all, now)?;
    on_calendars(tx, &mut all, now)?;
    for items in all.values_mut() {
        items.sort_by_key(|item| (!item.urgent, item.due));
    }
    Ok(all)
}

/// Changes that ask for somebody's word, and those that ended without it.
fn on_words(tx: &mut Conn, all: &mut Waiting, now: Timestamp) -> Result<(), Error> {
    for row in changes::list_waiting(tx)? {
        let (change, persons) = changes::waits(tx, &row, now)?;
        let (kind, due) = match row.review_due {
            Some(due) => (InboxKind::Review, Timestamp(due)),
            None => (InboxKind::Approve, change.not_after),
        };
        let starts = change.usable().map(|time| time.from).filter(|from| *from > now).min();
        let urgent = change.change_type == ChangeType::Emergency;
        let item = InboxItem { urgent, starts, ..of_change(kind, &row, due)? };
        for person in persons {
            all.entry(person).or_default().push(item.clone());
        }
    }
    for (row, since) in changes::list_objected(tx)? {
        put(all, row.author()?, of_change(InboxKind::Objection, &row, since)?);
    }
    for departure in changes::list_departures(tx)? {
        let (class, hosts) = (Some(departure.class), Some(departure.hosts));
        let item = of_change(InboxKind::Departed, &departure.row, departure.since)?;
        let item = InboxItem { class, hosts, ..item };
        for person in departure.persons {
            all.entry(person).or_default().push(item.clone());
        }
    }
    for row in changes::list_expired(tx, now.plus(-SHOWN_SECS))? {
        let change = changes::revision(tx, &row)?.body;
        put(all, change.author, of_change(InboxKind::Expired, &row, change.not_after)?);
    }
    Ok(())
}

/// Changes whose windows are not where they should be by now, and series that end.
fn on_time(tx: &mut Conn, all: &mut Waiting, now: Timestamp) -> Result<(), Error> {
    for (row, change, differs) in changes::list_differing(tx, calendars::zone, now)? {
        let Change { author, window_rules, not_after, .. } = change;
        let zone = window_rules.into_iter().next().map(|rule| rule.zone);
        let item = of_change(InboxKind::WindowsDiffer, &row, not_after)?;
        put(all, author, InboxItem { windows: Some(differs), zone, ..item });
    }
    for (row, change, outside) in changes::list_astray(tx, now)? {
        put(all, change.author, of_change(InboxKind::OutsideWindow, &row, outside.from)?);
    }
    for SeriesEnd { series, row, end } in changes::list_ending(tx, now)? {
        let item = of_change(InboxKind::SeriesEnds, &row, end)?;
        put(all, row.author()?, InboxItem { series: Some(series), ..item });
    }
    Ok(())
}

fn on_calendars(tx: &mut Conn, all: &mut Waiting, now: Timestamp) -> Result<(), Error> {
    for Worry { calendar, title, subscriber, waits, since } in calendars::worries(tx, now)? {
        let kind = if waits { InboxKind::CalendarWaits } else { InboxKind::CalendarOld };
        put(all, subscriber, InboxItem { calendar: Some(calendar), ..InboxItem::new(kind, title, since) });
    }
    for RunsOut { calendar, title, person, end } in calendars::running_out(tx, now)? {
        let item = InboxItem::new(InboxKind::CalendarEnds, title, end);
        put(all, person, InboxItem { calendar: Some(calendar), ..item });
    }
    Ok(())
}

fn put(all: &mut Waiting, person: PersonId, item: InboxItem) {
    all.entry(person).or_default().push(item);
}

fn of_change(kind: InboxKind, row: &Row, due: Timestamp) -> Result<InboxItem, Error> {
    let (change, revision, register) = (Some(row.change_id()?), Some(row.revision()), row.register.clone());
    Ok(InboxItem { change, revision, register, ..InboxItem::new(kind, row.title.clone(), due) })
}
