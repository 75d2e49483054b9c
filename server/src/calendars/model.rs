//! What a calendar may say, and the times that come of it. Pure, but for the database of time zones.

use crate::kernel::error::{Error, Refusal};
use jiff::tz::TimeZone;
use shared::change::ChangeType;
use shared::limits;
use shared::time::{Interval, Timestamp};
use shared::windows::{WindowRule, ZoneName};
use shared::wire::{Calendar, PutCalendar};

/// Single times of one calendar: the holidays of a few years.
const TIMES: usize = 500;
/// Hosts that one calendar names; more are chosen by labels.
const HOSTS: usize = 2_000;
/// Rules of one calendar: the events that come again in a calendar of a whole firm.
const RULES: usize = 100;
/// One time of a rule, seconds: two months. Changes have shorter windows; what holds them may be long.
const LONGEST_S: i64 = 62 * 86_400;
/// How far ahead times are looked for that are shown or compared.
const AHEAD_SECS: i64 = 400 * 86_400;
/// Windows of one rule that are looked at: each day of two years.
const OCCURRENCES: usize = 800;

/// Whether this can be stored as a revision.
///
/// # Errors
/// `calendar.bad` with what is wrong.
pub(super) fn check(put: &PutCalendar, now: Timestamp) -> Result<(), Refusal> {
    check_reason(&put.reason)?;
    let Some(calendar) = &put.calendar else { return Ok(()) };
    check_scope(calendar).and_then(|()| check_times(calendar, now)).map_err(bad)
}

/// # Errors
/// `calendar.bad`.
pub(super) fn check_reason(reason: &str) -> Result<(), Refusal> {
    check_text(reason, "the reason").map_err(bad)
}

fn check_text(text: &str, what: &str) -> Result<(), String> {
    match limits::is_text(text) {
        true => Ok(()),
        false => Err(format!("{what} must be a text of 1 to {} bytes", limits::TEXT_BYTES)),
    }
}

/// Whom it holds and how.
///
/// # Errors
/// What is wrong.
pub(super) fn check_scope(calendar: &Calendar) -> Result<(), String> {
    check_text(&calendar.title, "the title")?;
    if calendar.title.chars().any(char::is_control) {
        return Err("the title must be one line".into());
    }
    if calendar.holds.is_empty() || calendar.holds.contains(&ChangeType::Retroactive) {
        return Err(
            "it must hold standard, normal or emergency changes, and cannot hold retroactive ones".into()
        );
    }
    if calendar.hosts.len() > HOSTS {
        return Err(format!("at most {HOSTS} hosts by name; choose more of them by labels"));
    }
    Ok(())
}

/// When it does so.
///
/// # Errors
/// What is wrong.
pub(super) fn check_times(calendar: &Calendar, now: Timestamp) -> Result<(), String> {
    if calendar.rules.is_empty() && calendar.times.is_empty() {
        return Err("it has neither rules nor times".into());
    }
    let lengths = calendar.rules.iter().map(WindowRule::longest_s);
    if calendar.rules.len() > RULES || !lengths.into_iter().all(|length| (60..=LONGEST_S).contains(&length)) {
        return Err(format!("at most {RULES} rules, each for a minute to two months"));
    }
    if calendar.rules.iter().any(|rule| rule.except.len() > limits::RULE_EXCEPTIONS) {
        return Err(format!("at most {} exceptions of a rule", limits::RULE_EXCEPTIONS));
    }
    if calendar.times.len() > TIMES || calendar.times.iter().any(|time| time.is_empty()) {
        return Err(format!("at most {TIMES} single times, and each ends after it begins"));
    }
    for rule in &calendar.rules {
        let zone = zone(&rule.zone)
            .ok_or_else(|| format!("the server does not know the time zone {}", rule.zone))?;
        // One that began before may still be open.
        let found = rule.occurrences(&zone, now.plus(-rule.longest_s()), 2).map_err(|why| why.to_string())?;
        if found.is_empty() {
            return Err(format!("the rule {} gives no time within eleven years", rule.rrule));
        }
    }
    Ok(())
}

pub(super) fn bad(why: String) -> Refusal {
    Refusal::unprocessable("calendar.bad").with("why", why)
}

/// The zone as the database of this machine knows it: the system's, or else the one that comes with the program.
pub fn zone(name: &ZoneName) -> Option<TimeZone> {
    TimeZone::get(name.as_str()).ok()
}

/// The time in which times are shown and compared.
pub(super) fn ahead(now: Timestamp) -> Interval {
    Interval { from: now, until: now.plus(AHEAD_SECS) }
}

/// All times that touch `span`, ascending; they may overlap.
///
/// # Errors
/// A rule that was good when it was stored gives no times any more: the zone is gone from the database of this machine.
pub(super) fn times(calendar: &Calendar, span: Interval) -> Result<Vec<Interval>, Error> {
    let mut found = calendar.times.clone();
    found.retain(|time| time.meets(&span));
    for rule in &calendar.rules {
        found.extend(of_rule(rule, span)?);
    }
    found.sort_by_key(|time| (time.from, time.until));
    found.dedup();
    Ok(found)
}

/// The times of one rule that touch `span`, ascending.
///
/// # Errors
/// As of all.
pub(super) fn of_rule(rule: &WindowRule, span: Interval) -> Result<Vec<Interval>, Error> {
    // One that began before may still be open.
    let from = span.from.plus(-rule.longest_s());
    let windows = rule.occurrences(&known(rule)?, from, OCCURRENCES).map_err(|why| damaged(rule, why))?;
    let all = windows.into_iter().map(|window| window.interval);
    Ok(all.filter(|time| time.meets(&span)).collect())
}

fn damaged(rule: &WindowRule, why: impl ToString) -> Error {
    Error::fault(format!("working out the rule {}", rule.rrule), why.to_string())
}

fn known(rule: &WindowRule) -> Result<TimeZone, Error> {
    zone(&rule.zone).ok_or_else(|| damaged(rule, format!("{} is not known here", rule.zone)))
}

/// When the last time of a calendar ends; `None` of one that goes on for ever.
///
/// # Errors
/// As of its times.
pub(super) fn last_end(calendar: &Calendar) -> Result<Option<Timestamp>, Error> {
    let mut last = calendar.times.iter().map(|time| time.until).max();
    for rule in &calendar.rules {
        let Some(end) = rule.last else { return Ok(None) };
        let wall = known(rule)?.to_ambiguous_timestamp(end.civil()).compatible();
        let end = Timestamp(wall.map_err(|why| damaged(rule, why))?.as_second());
        // Whatever comes again does so within a year or so.
        let span = Interval { from: end.plus(-AHEAD_SECS), until: end.plus(rule.longest_s() + 1) };
        last = last.max(of_rule(rule, span)?.last().map(|time| time.until));
    }
    Ok(last)
}
