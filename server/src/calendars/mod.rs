//! Calendars: when hosts start nothing, of which times people are warned, and when hosts are meant to be changed.
//!
//! Owns the calendars, revision by revision, the times that come of them, and the addresses that some are read from. Never starts
//! anything: the hard ones get into the control file, which can only stop.

mod api;
mod horizon;
mod meant;
mod model;
mod store;
mod subscription;
#[cfg(test)]
mod tests;
mod told;

pub use api::people;
pub use horizon::{RunsOut, running_out};
pub use meant::Meant;
pub use model::zone;
pub use subscription::{Worry, jobs, worries};
pub use told::{Told, told};

use crate::fleet::Chosen;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::time::{Interval, Timestamp};
use shared::windows::{Blackout, CalendarName};
use shared::wire::{Calendar, CalendarMode};

/// How far ahead hosts are told. They start nothing without contact for much longer than the policy's grace, so this is far
/// enough, and the file stays small.
const AHEAD_SECS: i64 = 40 * 86_400;
const DAY: i64 = 86_400;

/// What the control file says of blackouts: the same for the whole day, so that it is signed anew only when there is news.
pub fn published(tx: &mut Conn, now: Timestamp) -> Result<Vec<Blackout>, Error> {
    let from = Timestamp(now.0.div_euclid(DAY) * DAY);
    let mut hard = between(tx, CalendarMode::Hard, Interval { from, until: from.plus(AHEAD_SECS) })?;
    hard.retain(|blackout| !blackout.intervals.is_empty());
    Ok(hard)
}

/// All calendars of one mode with their times that touch `span`, and the hosts that they hold now.
pub fn between(tx: &mut Conn, mode: CalendarMode, span: Interval) -> Result<Vec<Blackout>, Error> {
    let mut found = Vec::new();
    let mut chosen = Chosen::default();
    for (name, step) in store::list(tx)? {
        if let Some(calendar) = step.calendar.filter(|calendar| calendar.mode == mode) {
            found.push(entry(tx, &mut chosen, (name, calendar), span)?);
        }
    }
    Ok(found)
}

fn entry(
    tx: &mut Conn,
    chosen: &mut Chosen,
    (name, calendar): (CalendarName, Calendar),
    span: Interval,
) -> Result<Blackout, Error> {
    let intervals = model::times(&calendar, span)?;
    let agents = chosen.of(tx, &calendar)?;
    Ok(Blackout { name, title: calendar.title, agents, holds: calendar.holds, intervals })
}
