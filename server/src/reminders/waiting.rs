//! What waits for whom: approvals that the policy still asks for, reviews that have to be done, hosts that refuse what was
//! approved, and subscribed calendars that somebody should look at.

use crate::calendars::{self, Worry};
use crate::changes::{self, Row};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::change::ChangeType;
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
        let item = InboxItem { urgent, starts, ..item(kind, &row, due)? };
        for person in persons {
            all.entry(person).or_default().push(item.clone());
        }
    }
    for (row, since) in changes::list_objected(tx)? {
        all.entry(row.author()?).or_default().push(item(InboxKind::Objection, &row, since)?);
    }
    for departure in changes::list_departures(tx)? {
        let (class, hosts) = (Some(departure.class), Some(departure.hosts));
        let item = InboxItem { class, hosts, ..item(InboxKind::Departed, &departure.row, departure.since)? };
        for person in departure.persons {
            all.entry(person).or_default().push(item.clone());
        }
    }
    for row in changes::list_expired(tx, now.plus(-SHOWN_SECS))? {
        let change = changes::revision(tx, &row)?.body;
        all.entry(change.author).or_default().push(item(InboxKind::Expired, &row, change.not_after)?);
    }
    for worry in calendars::worries(tx, now)? {
        let Worry { calendar, title, subscriber, waits, since } = worry;
        let kind = if waits { InboxKind::CalendarWaits } else { InboxKind::CalendarOld };
        let item = InboxItem { calendar: Some(calendar), ..InboxItem::new(kind, title, since) };
        all.entry(subscriber).or_default().push(item);
    }
    for items in all.values_mut() {
        items.sort_by_key(|item| (!item.urgent, item.due));
    }
    Ok(all)
}

fn item(kind: InboxKind, row: &Row, due: Timestamp) -> Result<InboxItem, Error> {
    Ok(InboxItem {
        change: Some(row.change_id()?),
        revision: Some(row.revision()),
        register: row.register.clone(),
        ..InboxItem::new(kind, row.title.clone(), due)
    })
}
