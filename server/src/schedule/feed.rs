//! The schedule as an iCalendar file (RFC 5545, RFC 7986): windows of changes and times of calendars, each a plain event in UTC.
//!
//! No rules in it: calendars expand them differently, and what counts are the signed windows. What was withdrawn or moved away
//! stays as a cancelled event, because calendars keep what they have once seen.

use crate::calendars::{self, Told};
use crate::changes::{self, Scheduled};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::kernel::i18n::Language;
use icalendar::{Calendar, Component, Event, Property};
use shared::ids::SiteId;
use shared::lifecycle::{Outcome, State};
use shared::time::{Interval, Timestamp};
use shared::wire::CalendarMode;

/// What is over stays for so long.
const BACK_SECS: i64 = 60 * 86_400;
/// How far calendars are shown.
const AHEAD_SECS: i64 = 400 * 86_400;

/// The whole file. The same schedule gives the same bytes.
pub(super) fn render(
    tx: &mut Conn,
    site: &SiteId,
    language: Language,
    now: Timestamp,
) -> Result<String, Error> {
    let since = now.plus(-BACK_SECS);
    let mut calendar = Calendar::new();
    calendar.name(&format!("Assent {site}")).timezone("UTC");
    // Both spellings are in use; an hour is as often as it is worth.
    calendar
        .append_property(Property::new("REFRESH-INTERVAL", "PT1H").add_parameter("VALUE", "DURATION").done());
    calendar.append_property(Property::new("X-PUBLISHED-TTL", "PT1H").done());
    for scheduled in changes::scheduled(tx, since)? {
        for event in of_change(&scheduled, site, language) {
            calendar.push(event);
        }
    }
    // The same for the whole day, as in the control file.
    let from = Timestamp(now.0.div_euclid(86_400) * 86_400);
    let span = Interval { from, until: from.plus(AHEAD_SECS) };
    for told in calendars::told(tx, span)? {
        for event in of_calendar(&told, site, language) {
            calendar.push(event);
        }
    }
    Ok(calendar.done().to_string())
}

fn utc(at: Timestamp) -> String {
    at.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect()
}

fn event(uid: &str, stamp: Timestamp, time: Interval, summary: &str) -> Event {
    let mut event = Event::new();
    event.uid(uid).summary(summary);
    event.add_property("DTSTAMP", utc(stamp));
    event.add_property("DTSTART", utc(time.from)).add_property("DTEND", utc(time.until));
    event
}

fn of_change(scheduled: &Scheduled, site: &SiteId, language: Language) -> Vec<Event> {
    let Scheduled { change, state, version, at, earlier } = scheduled;
    let dropped = matches!(state, State::Closed(Outcome::Withdrawn | Outcome::Rejected | Outcome::Expired));
    let status = match state {
        _ if dropped => "CANCELLED",
        State::Draft | State::InReview => "TENTATIVE",
        State::Approved | State::Running | State::Halted | State::Review | State::Closed(_) => "CONFIRMED",
    };
    let now = change.intervals.iter().map(|time| (*time, status));
    let gone = earlier.iter().skip(change.intervals.len()).map(|time| (*time, "CANCELLED"));
    let hosts = change.targets.len();
    let summary = format!("{} {} ({hosts} {})", change.change_id, change.title, language.text("feed.hosts"));
    let told = |(number, (time, status)): (usize, (Interval, &str))| {
        let uid = format!("{}-{}@{site}", change.change_id, number.saturating_add(1));
        let mut event = event(&uid, *at, time, &summary);
        event.add_property("SEQUENCE", version.to_string()).add_property("STATUS", status);
        event.description(&format!("{}: {}", state.as_str(), change.reason));
        event.done()
    };
    now.chain(gone).enumerate().map(told).collect()
}

/// Times that a calendar has lost stay as cancelled events until they would be over.
fn of_calendar(told: &Told, site: &SiteId, language: Language) -> Vec<Event> {
    let word = match told.mode {
        CalendarMode::Hard => "feed.blackout",
        CalendarMode::Warn => "feed.warning",
        CalendarMode::Window => "feed.window",
    };
    let summary = format!("{}: {}", language.text(word), told.title);
    let there = told.times.iter().map(|time| (time, "CONFIRMED"));
    let gone = told.gone.iter().map(|time| (time, "CANCELLED"));
    let event = |(time, status): (&Interval, &str)| {
        let uid = format!("{}-{}@{site}", told.name, utc(time.from));
        let mut event = event(&uid, told.at, *time, &summary);
        event.add_property("SEQUENCE", told.revision.to_string()).add_property("STATUS", status);
        // It takes nobody's time.
        event.add_property("TRANSP", "TRANSPARENT");
        event.done()
    };
    there.chain(gone).map(event).collect()
}
