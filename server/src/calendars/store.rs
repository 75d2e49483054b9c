//! Calendars as they are stored: documents of the kernel, revision by revision.

use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::kernel::revisions::{self, Revision};
use shared::ids::PersonId;
use shared::time::Timestamp;
use shared::windows::CalendarName;
use shared::wire::{Calendar, CalendarStep, PutCalendar};

const KIND: &str = "calendar";

fn step(revision: Revision<Calendar>) -> CalendarStep {
    let Revision { number, at, by, reason, content } = revision;
    CalendarStep { revision: number, at, by, reason, calendar: content }
}

/// The newest revision of each calendar by name, ended ones included.
pub(super) fn list(tx: &mut Conn) -> Result<Vec<(CalendarName, CalendarStep)>, Error> {
    let all = revisions::list(tx, KIND)?.into_iter();
    Ok(all.map(|(name, revision)| (name, step(revision))).collect())
}

/// Newest first; none when there is no such calendar.
pub(super) fn history(tx: &mut Conn, name: &CalendarName) -> Result<Vec<CalendarStep>, Error> {
    let all = revisions::history(tx, (KIND, name.as_str()))?;
    Ok(all.into_iter().map(step).collect())
}

/// Stores the next revision. Two that follow the same one: the second is refused, whichever node they ask.
///
/// # Errors
/// `calendar.moved`.
pub(super) fn insert(
    tx: &mut Conn,
    name: &CalendarName,
    put: &PutCalendar,
    person: &PersonId,
    now: Timestamp,
) -> Result<(), Error> {
    let new = (put.after, put.reason.as_str(), put.calendar.as_ref());
    let moved = |last| {
        let refusal = Refusal::conflict("calendar.moved").with("calendar", name);
        refusal.with("after", put.after).with("revision", last)
    };
    Ok(revisions::append(tx, (KIND, name.as_str()), new, person, now)?.map_err(moved)?)
}
