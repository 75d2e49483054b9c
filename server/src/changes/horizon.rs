//! What an author should look at again, because the world around a signed change has moved: calendars, zones, and the end of a series.

use super::store::{self, Row};
use super::view;
use crate::calendars::Meant;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use jiff::tz::TimeZone;
use shared::change::Change;
use shared::ids::SeriesName;
use shared::lifecycle::{Outcome, State};
use shared::limits;
use shared::time::{Interval, Timestamp};
use shared::windows::{Differs, ZoneName};

/// Changes that are not over and have windows that lie outside of those of calendars, because these have moved away since the change
/// was signed: each with the first part that does.
pub fn list_astray(tx: &mut Conn, now: Timestamp) -> Result<Vec<(Row, Change, Interval)>, Error> {
    let meant = Meant::of(tx, Interval { from: now, until: now.plus(limits::CHANGE_DAYS * 86_400) })?;
    let mut astray = Vec::new();
    if meant.is_empty() {
        return Ok(astray);
    }
    for row in view::list_open(tx)? {
        let change = view::revision(tx, &row)?.body;
        let mut left: Option<Interval> = None;
        for (at, calendars) in meant.outside(&change, now) {
            if left.is_none_or(|first| at.from < first.from) && calendars.have_moved_from(tx, &change, now)? {
                left = Some(at);
            }
        }
        astray.extend(left.map(|at| (row, change, at)));
    }
    Ok(astray)
}

/// Changes that are not over and whose rules give other windows by the zones of this database than those that are signed. Drafts
/// that are submitted by themselves are among them.
pub fn list_differing(
    tx: &mut Conn,
    zone: impl Fn(&ZoneName) -> Option<TimeZone>,
    now: Timestamp,
) -> Result<Vec<(Row, Change, Differs)>, Error> {
    let mut rows = view::list_open(tx)?;
    let drafts = store::list_in(tx, &[State::Draft])?;
    rows.extend(drafts.into_iter().filter(|row| row.submit_at.is_some() && row.statement.is_some()));
    let mut differing = Vec::new();
    for row in rows {
        let change = view::revision(tx, &row)?.body;
        // A zone that is not known here says nothing about another one.
        let Ok(Some(differs)) = change.windows_differ(&zone) else { continue };
        // Told whole, so that it stays the same while its windows pass.
        if differs.clone().coming(now).is_some() {
            differing.push((row, change, differs));
        }
    }
    Ok(differing)
}

/// A series whose last occurrence is near, or was not long ago.
#[derive(Debug, Clone)]
pub struct SeriesEnd {
    pub series: SeriesName,
    /// The last one that was made.
    pub row: Row,
    pub end: Timestamp,
}

/// By the name of the series. Whoever withdraws the last occurrence ends the series, and knows.
pub fn list_ending(tx: &mut Conn, now: Timestamp) -> Result<Vec<SeriesEnd>, Error> {
    let mut ending = Vec::new();
    for (name, _, _, latest, end) in store::list_series(tx)? {
        let end = Timestamp(end);
        if !end.is_near(now, limits::HORIZON_SECS) {
            continue;
        }
        let Some(row) = store::find_numbered(tx, latest)? else { continue };
        if !matches!(row.state()?, State::Closed(Outcome::Withdrawn | Outcome::Rejected)) {
            let series = name.parse().map_err(|_| store::damaged("a series"))?;
            ending.push(SeriesEnd { series, row, end });
        }
    }
    Ok(ending)
}
