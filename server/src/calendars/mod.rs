//! Calendars of blackouts: when hosts start nothing, and of which times people are warned.
//!
//! Owns the calendars, revision by revision, and the times that come of them. Never starts anything: the hard ones get into
//! the control file, which can only stop.

mod api;
mod model;
mod store;
#[cfg(test)]
mod tests;

pub use api::people;

use crate::fleet;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::ids::AgentId;
use shared::time::{Interval, Timestamp};
use shared::windows::Blackout;
use shared::wire::{Calendar, CalendarMode};
use std::collections::BTreeSet;

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
    let mut labelled = Labelled::default();
    for (name, step) in store::list(tx)? {
        let Some(calendar) = step.calendar.filter(|calendar| calendar.mode == mode) else { continue };
        let intervals = model::times(&calendar, span)?;
        let agents = labelled.held(tx, &calendar)?;
        found.push(Blackout { name, title: calendar.title, agents, holds: calendar.holds, intervals });
    }
    Ok(found)
}

/// Hosts with their labels, read when the first calendar asks for them.
#[derive(Default)]
struct Labelled(Option<Vec<fleet::Host>>);

impl Labelled {
    /// The hosts that a calendar holds now; `None` when it holds all.
    fn held(&mut self, tx: &mut Conn, calendar: &Calendar) -> Result<Option<BTreeSet<AgentId>>, Error> {
        if calendar.labels.is_empty() && calendar.hosts.is_empty() {
            return Ok(None);
        }
        let mut agents = calendar.hosts.clone();
        if !calendar.labels.is_empty() {
            let hosts = match self.0.take() {
                Some(hosts) => hosts,
                None => fleet::list(tx)?,
            };
            let fits = |host: &&fleet::Host| host.has_labels(calendar.labels.iter());
            agents.extend(hosts.iter().filter(fits).map(|host| host.agent));
            self.0 = Some(hosts);
        }
        Ok(Some(agents))
    }
}
