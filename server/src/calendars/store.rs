//! All SQL of calendars.

use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use diesel::prelude::*;
use shared::ids::PersonId;
use shared::strict;
use shared::time::Timestamp;
use shared::windows::CalendarName;
use shared::wire::{CalendarStep, PutCalendar};

diesel::table! {
    calendars (name, revision) {
        name -> Text,
        revision -> BigInt,
        at -> BigInt,
        person -> Text,
        reason -> Text,
        content -> Nullable<Text>,
    }
}

type Row = (String, i64, i64, String, String, Option<String>);

/// Revisions that are shown of one calendar.
const HISTORY: i64 = 100;

fn step((name, revision, at, person, reason, content): Row) -> Result<(CalendarName, CalendarStep), Error> {
    let damaged = || {
        Error::fault("reading calendars", format!("{name} is damaged; restore the database from a backup"))
    };
    let read = |text: String| serde_json::from_str(&text).map_err(|_| damaged());
    let step = CalendarStep {
        revision: u32::try_from(revision).map_err(|_| damaged())?,
        at: Timestamp(at),
        by: person.parse().map_err(|_| damaged())?,
        reason,
        calendar: content.map(read).transpose()?,
    };
    Ok((name.parse().map_err(|_| damaged())?, step))
}

/// The newest revision of each calendar by name, ended ones included.
pub(super) fn list(tx: &mut Conn) -> Result<Vec<(CalendarName, CalendarStep)>, Error> {
    let rows: Vec<Row> = calendars::table.order((calendars::name, calendars::revision.desc())).load(tx)?;
    let mut newest: Vec<Row> = Vec::new();
    for row in rows {
        if newest.last().is_none_or(|last| last.0 != row.0) {
            newest.push(row);
        }
    }
    newest.into_iter().map(step).collect()
}

/// Newest first.
///
/// # Errors
/// `calendar.unknown`.
pub(super) fn history(tx: &mut Conn, name: &CalendarName) -> Result<Vec<CalendarStep>, Error> {
    let rows: Vec<Row> = calendars::table
        .filter(calendars::name.eq(name.as_str()))
        .order(calendars::revision.desc())
        .limit(HISTORY)
        .load(tx)?;
    if rows.is_empty() {
        return Err(Refusal::not_found("calendar.unknown").with("calendar", name).into());
    }
    rows.into_iter().map(|row| step(row).map(|(_, step)| step)).collect()
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
) -> Result<u32, Error> {
    let last: Option<i64> = calendars::table
        .filter(calendars::name.eq(name.as_str()))
        .select(diesel::dsl::max(calendars::revision))
        .first(tx)?;
    let last = last.unwrap_or_default();
    if last != i64::from(put.after) {
        let refusal = Refusal::conflict("calendar.moved").with("calendar", name);
        return Err(refusal.with("after", put.after).with("revision", last).into());
    }
    let content = put
        .calendar
        .as_ref()
        .map(|calendar| String::from_utf8_lossy(&strict::to_json(calendar)).into_owned());
    diesel::insert_into(calendars::table)
        .values((
            calendars::name.eq(name.as_str()),
            calendars::revision.eq(last + 1),
            calendars::at.eq(now.0),
            calendars::person.eq(person.as_str()),
            calendars::reason.eq(&put.reason),
            calendars::content.eq(content),
        ))
        .execute(tx)?;
    Ok(put.after.saturating_add(1))
}
