//! What waits for whom: approvals that the policy still asks for, reviews that have to be done, hosts that refuse what was
//! approved, and subscribed calendars that somebody should look at.

use crate::calendars::{self, Worry};
use crate::changes::{self, Row};
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
    for row in changes::list_waiting(tx)? {
        let (change, persons) = changes::waits(tx, &row, now)?;
        let (kind, due) = match row.review_due {
            Some(due) => (InboxKind::Review, Timestamp(due)),
            None => (InboxKind::Approve, change.not_after),
        };
        let starts = change.usable().map(|time| time.from).filter(|from| *from > now).min();
        let urgent = change.change_type == ChangeType::Emergency;
        let item = InboxItem { urgent, due, starts, ..item(kind, &row, &change) };
        for person in persons {
            all.entry(person).or_default().push(item.clone());
        }
    }
    for (row, _, since) in changes::list_objected(tx)? {
        let author: PersonId =
            row.author.parse().map_err(|error| Error::fault("reading the author of a change", error))?;
        let item = InboxItem {
            kind: InboxKind::Objection,
            change: Some(row.change_id()?),
            revision: Some(row.revision()),
            calendar: None,
            register: row.register,
            title: row.title,
            urgent: false,
            class: None,
            hosts: None,
            due: since,
            starts: None,
        };
        all.entry(author).or_default().push(item);
    }
    for departure in changes::list_departures(tx)? {
        let (class, hosts, due) = (Some(departure.class), Some(departure.hosts), departure.since);
        let item = item(InboxKind::Departed, &departure.row, &departure.change);
        let item = InboxItem { class, hosts, due, ..item };
        for person in departure.persons {
            all.entry(person).or_default().push(item.clone());
        }
    }
    for row in changes::list_expired(tx, now.plus(-SHOWN_SECS))? {
        let change = changes::revision(tx, &row)?.body;
        all.entry(change.author.clone()).or_default().push(item(InboxKind::Expired, &row, &change));
    }
    for worry in calendars::worries(tx, now)? {
        let Worry { calendar, title, subscriber, waits, since } = worry;
        let kind = if waits { InboxKind::CalendarWaits } else { InboxKind::CalendarOld };
        let (change, revision, register, starts, class, hosts) = Default::default();
        let (calendar, urgent, due) = (Some(calendar), false, since);
        let item = InboxItem {
            kind,
            change,
            revision,
            calendar,
            register,
            title,
            urgent,
            class,
            hosts,
            due,
            starts,
        };
        all.entry(subscriber).or_default().push(item);
    }
    for items in all.values_mut() {
        items.sort_by_key(|item| (!item.urgent, item.due));
    }
    Ok(all)
}

fn item(kind: InboxKind, row: &Row, change: &Change) -> InboxItem {
    InboxItem {
        kind,
        change: Some(change.change_id.clone()),
        revision: Some(change.revision),
        calendar: None,
        register: row.register.clone(),
        title: change.title.clone(),
        urgent: false,
        class: None,
        hosts: None,
        due: change.not_after,
        starts: None,
    }
}
