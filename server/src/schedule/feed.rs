//! The schedule as an iCalendar file (RFC 5545, RFC 7986): windows of changes and blackouts, each a plain event in UTC.
//!
//! No rules in it: calendars expand them differently, and what counts are the signed windows. What was withdrawn or moved away
//! stays as a cancelled event, because calendars keep what they have once seen.

use crate::calendars;
use crate::changes::{self, Scheduled};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::kernel::i18n::Language;
use icalendar::{Calendar, Component, Event, Property};
use shared::ids::SiteId;
use shared::lifecycle::{Outcome, State};
use shared::time::{Interval, Timestamp};
use shared::windows::Blackout;
use shared::wire::CalendarMode;

/// What is over stays for so long.
const BACK_SECS: i64 = 60 * 86_400;
/// How far blackouts are shown.
const AHEAD_SECS: i64 = 400 * 86_400;
/// Blackouts of one calendar in the file.
const MOST: usize = 400;

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
    for (mode, word) in [(CalendarMode::Hard, "feed.blackout"), (CalendarMode::Warn, "feed.warning")] {
        for blackout in calendars::between(tx, mode, span)? {
            for event in of_blackout(&blackout, site, language.text(word)) {
                calendar.push(event);
            }
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

fn of_blackout(blackout: &Blackout, site: &SiteId, word: &str) -> Vec<Event> {
    let told = |time: &Interval| {
        let uid = format!("{}-{}@{site}", blackout.name, utc(time.from));
        let mut event = event(&uid, time.from, *time, &format!("{word}: {}", blackout.title));
        // It takes nobody's time.
        event.add_property("TRANSP", "TRANSPARENT");
        event.done()
    };
    blackout.intervals.iter().take(MOST).map(told).collect()
}
