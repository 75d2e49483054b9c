//! Brings changes and calendars together. It has no tables of its own.

use super::model;
use crate::calendars;
use crate::changes;
use crate::fleet;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::change::ChangeType;
use shared::ids::{AgentId, ChangeId};
use shared::lifecycle::State;
use shared::time::{Interval, Timestamp};
use shared::wire::{CalendarMode, Conflict, FreeTimes};
use std::collections::BTreeSet;

/// What gets in the way of a change from now on, the worst first. Nothing for a change that is over or never runs.
pub(super) fn conflicts(tx: &mut Conn, id: &ChangeId, now: Timestamp) -> Result<Vec<Conflict>, Error> {
    let row = changes::get(tx, id)?;
    if row.statement.is_none() || row.retroactive || matches!(row.state()?, State::Closed(_) | State::Review)
    {
        return Ok(Vec::new());
    }
    let mut change = changes::revision(tx, &row)?.body;
    change.intervals.retain(|time| time.until > now);
    let Some(until) = change.usable().map(|time| time.until).max() else { return Ok(Vec::new()) };
    let span = Interval { from: now, until };
    let mut found = Vec::new();
    for mode in [CalendarMode::Hard, CalendarMode::Warn] {
        found.extend(model::with_calendars(&change, mode, &calendars::between(tx, mode, span)?));
    }
    for other in changes::open(tx)? {
        if other.change_id != change.change_id {
            found.extend(model::with_change(&change, &other));
        }
    }
    found.sort();
    Ok(found)
}

/// When hosts that have all these labels or are named could be changed: of all hosts, when nothing is asked for.
pub(super) fn free(
    tx: &mut Conn,
    (labels, names): (&[(String, String)], &[String]),
    span: Interval,
) -> Result<FreeTimes, Error> {
    let mut agents: BTreeSet<AgentId> = BTreeSet::new();
    for name in names {
        agents.insert(fleet::get(tx, name)?.agent);
    }
    if names.is_empty() || !labels.is_empty() {
        let fits =
            |host: &fleet::Host| labels.iter().all(|(name, value)| host.labels.get(name) == Some(value));
        agents.extend(fleet::list(tx)?.iter().filter(|host| fits(host)).map(|host| host.agent));
    }
    let mut taken = Vec::new();
    for calendar in calendars::between(tx, CalendarMode::Hard, span)? {
        let holds = calendar.agents.as_ref().is_none_or(|held| !held.is_disjoint(&agents));
        if holds && calendar.holds.contains(&ChangeType::Normal) {
            taken.extend(calendar.intervals);
        }
    }
    for change in changes::open(tx)? {
        if change.targets.iter().any(|target| agents.contains(&target.agent)) {
            taken.extend(change.usable());
        }
    }
    let hosts = u32::try_from(agents.len()).unwrap_or(u32::MAX);
    Ok(FreeTimes { hosts, free: model::without(span, taken) })
}
