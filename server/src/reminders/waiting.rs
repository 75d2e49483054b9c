//! What waits for whom: approvals that the policy still asks for, and reviews that have to be done.

use crate::changes;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::change::ChangeType;
use shared::ids::PersonId;
use shared::time::Timestamp;
use shared::wire::{InboxItem, InboxKind};
use std::collections::BTreeMap;

/// An author is told for a day that a change has ended by itself, so once by mail.
const SHOWN_SECS: i64 = 86_400;

/// Everything that waits for somebody, by person, what ends first at the top.
pub(super) type Waiting = BTreeMap<PersonId, Vec<InboxItem>>;

pub(super) fn waiting(tx: &mut Conn, now: Timestamp) -> Result<Waiting, Error> {
    let mut all = Waiting::new();
    for row in changes::list_waiting(tx)? {
        let change = changes::revision(tx, &row)?.body;
        let (kind, persons, due) = match row.review_due {
            Some(due) => (InboxKind::Review, changes::reviewers(tx, &row, now)?, Timestamp(due)),
            None => (InboxKind::Approve, changes::asked(tx, &row, now)?, change.not_after),
        };
        let item = InboxItem {
            kind,
            change: change.change_id.clone(),
            revision: change.revision,
            register: row.register.clone(),
            title: change.title.clone(),
            urgent: change.change_type == ChangeType::Emergency,
            due,
            starts: change.usable().map(|time| time.from).filter(|from| *from > now).min(),
        };
        for person in persons {
            all.entry(person).or_default().push(item.clone());
        }
    }
    for row in changes::list_expired(tx, now.plus(-SHOWN_SECS))? {
        let change = changes::revision(tx, &row)?.body;
        let item = InboxItem {
            kind: InboxKind::Expired,
            change: change.change_id.clone(),
            revision: change.revision,
            register: row.register.clone(),
            title: change.title.clone(),
            urgent: false,
            due: change.not_after,
            starts: None,
        };
        all.entry(change.author).or_default().push(item);
    }
    for items in all.values_mut() {
        items.sort_by_key(|item| (!item.urgent, item.due));
    }
    Ok(all)
}
