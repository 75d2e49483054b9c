//! What is said when: reminders as news, letters for people.

use super::store;
use super::waiting::{Waiting, waiting};
use super::{MORNING_SECS, TOPIC, day};
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Error;
use crate::kernel::{news, outbox};
use crate::people;
use shared::ids::PersonId;
use shared::news::{About, NewsKind};
use shared::time::Timestamp;
use shared::wire::{InboxItem, InboxKind};
use std::collections::BTreeMap;

/// So long before a change could start, or ends, whoever is missing is reminded of it.
const AHEAD_SECS: i64 = 86_400;
/// `mails`: letters are written as well.
pub(super) async fn look(db: &Db, mails: bool, now: Timestamp) -> Result<(), Error> {
    let all = db.read("reminders.waiting", move |tx| waiting(tx, now)).await?;
    if all.is_empty() {
        return Ok(());
    }
    db.write("reminders.look", move |tx| {
        tx.lock("reminders")?;
        tell(tx, &all, now)?;
        if mails {
            write_letters(tx, &all, now)?;
        }
        Ok(store::forget(tx, now)?)
    })
    .await
}

/// The moments at which news remind of an item, by a name of each.
fn moments(item: &InboxItem) -> Vec<(NewsKind, &'static str, Timestamp)> {
    let at_once = |kind| vec![(kind, "told", Timestamp::default())];
    match item.kind {
        // The change's own news say so.
        InboxKind::Expired => Vec::new(),
        // Whoever listens hears of what moves a change; an objection moves none.
        InboxKind::Objection => Vec::new(),
        InboxKind::Departed => vec![(NewsKind::ChangeRefused, "told", item.due)],
        InboxKind::Review => vec![(NewsKind::ReviewOverdue, "overdue", item.due)],
        InboxKind::CalendarOld => vec![(NewsKind::CalendarOld, "told", item.due)],
        InboxKind::CalendarWaits => vec![(NewsKind::CalendarWaits, "told", item.due)],
        InboxKind::CalendarEnds => at_once(NewsKind::CalendarEnds),
        InboxKind::SeriesEnds => at_once(NewsKind::SeriesEnds),
        InboxKind::WindowsDiffer => at_once(NewsKind::WindowsDiffer),
        // Where changes should lie is for people here.
        InboxKind::OutsideWindow => Vec::new(),
        InboxKind::Approve => {
            let start = item.starts.map(|at| (NewsKind::ApprovalReminder, "start", at.plus(-AHEAD_SECS)));
            let end = (NewsKind::ApprovalReminder, "end", item.due.plus(-AHEAD_SECS));
            start.into_iter().chain([end]).collect()
        }
    }
}

fn tell(tx: &mut Conn, all: &Waiting, now: Timestamp) -> Result<(), Error> {
    let mut items: BTreeMap<String, (&InboxItem, Vec<PersonId>)> = BTreeMap::new();
    for (person, item) in all.iter().flat_map(|(person, items)| items.iter().map(move |item| (person, item)))
    {
        let key = format!("{} {}", item.kind.as_str(), item.subject());
        items.entry(key).or_insert((item, Vec::new())).1.push(person.clone());
    }
    for (key, (item, persons)) in items {
        for (kind, name, at) in moments(item) {
            if now < at || !store::record_said(tx, &format!("{key} {name}"), now)? {
                continue;
            }
            let about = About {
                change: item.change.clone(),
                register: item.register.clone(),
                revision: item.revision,
                calendar: item.calendar.clone(),
                series: item.series.clone(),
                windows: item.windows.clone(),
                due: Some(item.due),
                asked: persons.clone(),
                ..About::default()
            };
            news::tell(tx, kind, about, now)?;
        }
    }
    Ok(())
}

/// Whether there is something that is told each day, or that was not told yet: of a calendar, of windows and series, and of hosts of
/// one class that refuse a change, people hear once.
fn is_to_be_told(
    tx: &mut Conn,
    person: &PersonId,
    items: &[InboxItem],
    now: Timestamp,
) -> Result<bool, Error> {
    let mut told = false;
    for item in items {
        told |= match item.kind {
            InboxKind::CalendarOld
            | InboxKind::CalendarWaits
            | InboxKind::CalendarEnds
            | InboxKind::SeriesEnds
            | InboxKind::WindowsDiffer
            | InboxKind::OutsideWindow
            | InboxKind::Departed => {
                let key = format!("mail {} {} {person}", item.kind.as_str(), item.subject());
                store::record_said(tx, &key, now)?
            }
            InboxKind::Approve | InboxKind::Review | InboxKind::Expired | InboxKind::Objection => true,
        };
    }
    Ok(told)
}

/// One a day for each person with an address, and one at once for each emergency.
fn write_letters(tx: &mut Conn, all: &Waiting, now: Timestamp) -> Result<(), Error> {
    for (person, items) in all {
        let Some(mailed) = store::find_mailed(tx, person)? else { continue };
        if !people::has_access(tx, person.as_str())? {
            continue;
        }
        let mut urgent = false;
        for item in items.iter().filter(|item| item.is_pressing()) {
            urgent |= store::record_said(tx, &format!("urgent {} {person}", item.subject()), now)?;
        }
        let daily = mailed < day(now)
            && now.0.rem_euclid(86_400) >= MORNING_SECS
            && is_to_be_told(tx, person, items, now)?;
        if daily || urgent {
            outbox::put(tx, TOPIC, person.as_str(), "{}", now)?;
        }
        if daily {
            store::update_mailed(tx, person, day(now))?;
        }
    }
    Ok(())
}
