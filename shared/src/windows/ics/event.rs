//! One event: when it is, how often, and without which times.

use super::moment::{At, Clock};
use super::{properties, property, value};
use crate::limits;
use crate::strict;
use crate::time::{Interval, Timestamp};
use crate::windows::{Recurrence, RuleEnd, WallTime, WindowRule, ZoneName};
use icalendar::parser::Component;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SpanRelativeTo, ToSpan as _};
use std::collections::BTreeSet;

/// The highest COUNT that is counted.
const COUNTED: usize = 10_000;
/// Further dates of one event.
const DATES: usize = 1_000;

/// What is left of an event at a time.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub rule: Option<WindowRule>,
    pub times: Vec<Interval>,
    /// It has rules that take times out, which are not followed.
    pub excludes: bool,
}

/// How long it is.
#[derive(Clone, Copy)]
enum Length {
    Days(i32),
    Seconds(i64),
}

/// Reads an event, without the times that others replace.
///
/// # Errors
/// What of it is not understood.
pub(super) fn given(
    event: &Component<'_>,
    replaced: &[At],
    clock: Clock<'_>,
    now: Timestamp,
) -> Result<Given, String> {
    let own = clock.zones.own;
    let start = At::of(property(event, "DTSTART").ok_or("it has no start")?, clock)?;
    let length = length(event, &start, clock)?;
    let mut without: Vec<_> = replaced.iter().map(|at| at.day_at_midnight(&start)).collect();
    for property in properties(event, "EXDATE") {
        without.extend(At::all(property, clock)?);
    }
    let mut times = dates(event, length, clock)?;
    let mut given = Given { excludes: property(event, "EXRULE").is_some(), ..Given::default() };
    match value(event, "RRULE") {
        None => times.push((start.clone(), ends(&start, length, own)?)),
        Some(rule) => given.rule = recurring(rule, (&start, length), &without, clock, now)?,
    }
    for (from, until) in times {
        if without.iter().any(|at| at.names(&from, own)) {
            continue;
        }
        let time = Interval { from: from.moment(own)?, until };
        if time.is_empty() {
            return Err("it ends before it begins".into());
        }
        if time.until > now {
            given.times.push(time);
        }
    }
    Ok(given)
}

fn length(event: &Component<'_>, start: &At, clock: Clock<'_>) -> Result<Length, String> {
    let own = clock.zones.own;
    let length = match (property(event, "DTEND"), value(event, "DURATION"), start) {
        (Some(end), ..) => match (start, At::of(end, clock)?) {
            (At::Day(first), At::Day(end)) => {
                Length::Days(first.until(end).map_or(0, |span| span.get_days()))
            }
            (_, end) => Length::Seconds(end.moment(own)?.since(start.moment(own)?)),
        },
        (None, Some(text), At::Day(_)) => match duration(text)? {
            seconds if seconds % 86_400 == 0 => Length::Days(i32::try_from(seconds / 86_400).unwrap_or(0)),
            seconds => Length::Seconds(seconds),
        },
        (None, Some(text), At::Wall(..)) => Length::Seconds(duration(text)?),
        (None, None, At::Day(_)) => Length::Days(1),
        (None, None, At::Wall(..)) => return Err("it has neither an end nor a length".into()),
    };
    match length {
        Length::Days(..=0) | Length::Seconds(..=0) => Err("it ends before it begins".into()),
        length => Ok(length),
    }
}

fn ends(start: &At, length: Length, own: &TimeZone) -> Result<Timestamp, String> {
    match (start, length) {
        (At::Day(day), Length::Days(days)) => At::Day(later(*day, days)?).moment(own),
        (_, Length::Days(days)) => Ok(start.moment(own)?.plus(i64::from(days) * 86_400)),
        (_, Length::Seconds(seconds)) => Ok(start.moment(own)?.plus(seconds)),
    }
}

fn later(day: Date, days: i32) -> Result<Date, String> {
    day.checked_add(days.days()).map_err(|_| "its day is out of range".into())
}

/// Further dates (RDATE), each with its end: their own, or after the length of the event.
fn dates(event: &Component<'_>, length: Length, clock: Clock<'_>) -> Result<Vec<(At, Timestamp)>, String> {
    let own = clock.zones.own;
    let mut found = Vec::new();
    for property in properties(event, "RDATE") {
        if !property.val.as_ref().contains('/') {
            for at in At::all(property, clock)? {
                let until = ends(&at, length, own)?;
                found.push((at, until));
            }
            continue;
        }
        // Periods (RFC 5545 §3.3.9): begin and end, or begin and length. They are in the zone of the property.
        let bounds: Vec<_> =
            property.val.as_ref().split(',').filter_map(|period| period.split_once('/')).collect();
        let begins = bounds.iter().map(|(begin, _)| *begin).collect::<Vec<_>>().join(",");
        let all = icalendar::parser::Property { val: begins.as_str().into(), ..property.clone() };
        for (at, (_, end)) in At::all(&all, clock)?.into_iter().zip(bounds) {
            let At::Wall(_, zone) = &at else { return Err("one of its further dates is no period".into()) };
            let until = match end.starts_with(['P', '+']) {
                true => at.moment(own)?.plus(duration(end)?),
                false => At::read(end, zone)?.moment(own)?,
            };
            found.push((at, until));
        }
    }
    if found.len() > DATES { Err(format!("it has more than {DATES} further dates")) } else { Ok(found) }
}

/// The rule of an event that comes again; `None` when no time of it is left.
fn recurring(
    text: &str,
    (start, length): (&At, Length),
    without: &[At],
    clock: Clock<'_>,
    now: Timestamp,
) -> Result<Option<WindowRule>, String> {
    let own = clock.zones.own;
    let midnight = || "00:00".parse().map(RuleEnd::At).map_err(|error| format!("{error}"));
    let (first, zone, end) = match (start, length) {
        // A whole day ends at midnight, however long it is.
        (At::Day(day), Length::Days(1)) => (day.at(0, 0, 0, 0), own, midnight()?),
        (At::Day(day), length) => (day.at(0, 0, 0, 0), own, RuleEnd::AfterS(seconds(length)?)),
        (At::Wall(local, zone), length) => (*local, zone, RuleEnd::AfterS(seconds(length)?)),
    };
    let name: ZoneName = zone.iana_name().unwrap_or("UTC").parse().map_err(|error| format!("{error}"))?;
    let Parts { rrule, count, until } = Parts::read(text, first, zone)?;
    let (except, last) = (BTreeSet::new(), None);
    let mut rule = WindowRule { rrule, first: WallTime::from(first), end, zone: name, except, last };
    rule.last = match (count, until) {
        (Some(_), Some(_)) => return Err("its rule has both COUNT and UNTIL".into()),
        (Some(count), None) => rule.nth(count).map_err(|why| why.to_string())?,
        (None, Some(At::Day(day))) => Some(day.at(23, 59, 0, 0).into()),
        (None, Some(until)) => match (until.moment(own)?, start) {
            (at, At::Day(_)) => Some(wall(at, own)?.into()),
            (at, At::Wall(_, zone)) => Some(wall(at, zone)?.into()),
        },
        (None, None) => None,
    };
    rule.except = without.iter().filter_map(|at| at.in_rule(start, own)).collect();
    let rule = rule.coming(now);
    if rule.except.len() > limits::RULE_EXCEPTIONS {
        return Err(format!("it comes again with more than {} exceptions", limits::RULE_EXCEPTIONS));
    }
    if rule.last.is_none() {
        return Ok(Some(rule));
    }
    // One that began before may still be open.
    let left = rule.occurrences(zone, now.plus(-rule.longest_s()), 3).map_err(|why| why.to_string())?;
    Ok(left.iter().any(|left| left.interval.until > now).then_some(rule))
}

fn wall(at: Timestamp, zone: &TimeZone) -> Result<DateTime, String> {
    let at = jiff::Timestamp::from_second(at.0).map_err(|_| "its end is out of range")?;
    Ok(zone.to_datetime(at))
}

fn seconds(length: Length) -> Result<u32, String> {
    let seconds = match length {
        Length::Days(days) => i64::from(days) * 86_400,
        Length::Seconds(seconds) => seconds,
    };
    u32::try_from(seconds).map_err(|_| "it is too long".into())
}

/// A recurrence rule (RFC 5545 §3.3.10), and where it ends.
struct Parts {
    rrule: Recurrence,
    count: Option<usize>,
    until: Option<At>,
}

impl Parts {
    /// Parts in any order; those that only repeat when the event begins say nothing.
    fn read(text: &str, first: DateTime, zone: &TimeZone) -> Result<Self, String> {
        let text = text.to_ascii_uppercase();
        let (mut kept, mut count, mut until) = (Vec::new(), None, None);
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let number = |value: i8| value.to_string();
            match part.split_once('=') {
                Some(("COUNT", value)) => {
                    let times = value.parse().ok().filter(|times| (1..=COUNTED).contains(times));
                    count = Some(times.ok_or_else(|| format!("it comes again more than {COUNTED} times"))?);
                }
                Some(("UNTIL", value)) => until = Some(At::read(value, zone)?),
                Some(("BYHOUR", value)) if value == number(first.hour()) => {}
                Some(("BYMINUTE", value)) if value == number(first.minute()) => {}
                Some(("BYSECOND", value)) if value == number(first.second()) => {}
                Some(("FREQ", _)) => kept.insert(0, part),
                _ => kept.push(part),
            }
        }
        let rrule = kept.join(";").parse().map_err(|error| format!("{error}"))?;
        Ok(Self { rrule, count, until })
    }
}

/// RFC 5545 §3.3.6, in seconds.
fn duration(text: &str) -> Result<i64, String> {
    let span: jiff::Span =
        text.parse().map_err(|_| format!("{:?} is not a length of RFC 5545", strict::shorten(text)))?;
    let days = SpanRelativeTo::days_are_24_hours();
    span.total((jiff::Unit::Second, days))
        .ok()
        .filter(|seconds| *seconds >= 1.0 && *seconds < 4e9)
        .map(|seconds| seconds as i64)
        .ok_or_else(|| "its length is out of range".into())
}
