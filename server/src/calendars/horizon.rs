//! Calendars that run out: after their last time nothing is closed, warned of or meant any more, and nobody may notice.

use super::{model, store, subscription};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::ids::PersonId;
use shared::limits::HORIZON_SECS;
use shared::time::Timestamp;
use shared::windows::CalendarName;
use shared::wire::CalendarMode;

/// A calendar whose last time is near, or was not long ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunsOut {
    pub calendar: CalendarName,
    pub title: String,
    /// Who changed or subscribed to it last.
    pub person: PersonId,
    /// When its last time ends.
    pub end: Timestamp,
}

/// By the name of the calendar. A single time is over when it is over: a freeze is no calendar that runs out.
pub fn running_out(tx: &mut Conn, now: Timestamp) -> Result<Vec<RunsOut>, Error> {
    let subscribed = subscription::list(tx, now)?;
    let mut found = Vec::new();
    for (calendar, step) in store::list(tx)? {
        let Some(content) = step.calendar else { continue };
        let goes_on = !content.rules.is_empty() || content.times.len() > 1;
        if !goes_on && content.mode != CalendarMode::Window && !subscribed.contains_key(&calendar) {
            continue;
        }
        let end = model::last_end(&content)?;
        if let Some(end) = end.filter(|end| end.is_near(now, HORIZON_SECS)) {
            found.push(RunsOut { calendar, title: content.title, person: step.by, end });
        }
    }
    Ok(found)
}
