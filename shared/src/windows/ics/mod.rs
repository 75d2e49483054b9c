//! Times out of iCalendar files (RFC 5545): events, whole days, the rules that a calendar can say, and what is moved, added or taken
//! out of them.
//!
//! The same for a file that a person brings and for an address that the server reads. Zones are an argument. In doubt a time
//! stays closed: whatever cannot be understood is refused by the name of its event, and what takes out no known time takes out none.

mod event;
mod moment;
#[cfg(test)]
mod tests;
mod zone;

pub use moment::midnight;

use super::WindowRule;
use crate::time::{Interval, Timestamp};
use crate::{strict, visible};
use event::Given;
use icalendar::parser::{Component, Property, read_calendar, unfold};
use jiff::tz::TimeZone;
use moment::{At, Clock};
use std::collections::BTreeMap;

/// Bytes of one file: calendars of whole firms have a few megabytes.
pub const LARGEST: usize = 8 << 20;
/// Components within components.
const DEEPEST: i32 = 8;

/// The time zones that a file may name.
#[derive(Clone, Copy)]
pub struct Zones<'a> {
    /// Of whole days, and of times that name none.
    pub own: &'a TimeZone,
    /// From the database of this machine.
    pub find: fn(&str) -> Option<TimeZone>,
}

/// Why a file, or an event of it, cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// With the words of the parser, which may hold some of the text.
    #[error("this is not an iCalendar file")]
    NoCalendar(String),
    #[error("the calendar has components within components, more than {DEEPEST} deep")]
    Nested,
    /// To leave one out silently would leave a time open.
    #[error("{summary:?} of this calendar cannot be taken: {why}")]
    Event { summary: String, why: String },
}

/// What a file gives.
#[derive(Debug, Default)]
pub struct Taken {
    /// As the file calls itself.
    pub name: Option<String>,
    pub rules: Vec<WindowRule>,
    pub times: Vec<Interval>,
    /// What was not taken, and why.
    pub left_out: Vec<String>,
}

/// Reads all events that are not over at `now`; there may be none.
///
/// # Errors
/// Not a calendar; or an event that cannot be understood, by its name.
pub fn read(text: &str, zones: Zones<'_>, now: Timestamp) -> Result<Taken, NotTaken> {
    let unfolded = unfold(text);
    check_nesting(&unfolded)?;
    // The parser takes any component, and one of another kind would be a calendar without events.
    if !unfolded.trim_start().get(..15).is_some_and(|start| start.eq_ignore_ascii_case("BEGIN:VCALENDAR")) {
        return Err(NotTaken::NoCalendar("it does not begin with BEGIN:VCALENDAR".into()));
    }
    let calendar =
        read_calendar(&unfolded).map_err(|why| NotTaken::NoCalendar(strict::shorten(&why.to_string())))?;
    let name = calendar.properties.iter().find(|property| property.name.as_ref() == "X-WR-CALNAME");
    let mut taken = Taken { name: name.map(|name| visible::line(name.val.as_ref())), ..Taken::default() };
    let places = zone::places(&calendar.components);
    let clock = Clock { zones, places: &places };
    let events = calendar.components.iter().filter(|component| component.name == "VEVENT");
    let events = events.map(|event| Event::read(event, clock)).collect::<Result<Vec<_>, _>>()?;
    // What an event replaces of another one, it takes out of it, cancelled or not.
    let mut replaced: BTreeMap<&str, Vec<At>> = BTreeMap::new();
    for event in &events {
        if let (Some(uid), Some(at)) = (event.uid, &event.replaces) {
            replaced.entry(uid).or_default().push(at.clone());
        }
    }
    let (mut over, mut cancelled, mut excluding) = (0, 0, 0);
    for event in &events {
        if event.cancelled {
            cancelled += 1;
            continue;
        }
        let without = event.uid.filter(|_| event.replaces.is_none()).and_then(|uid| replaced.get(uid));
        let without = without.map(Vec::as_slice).unwrap_or_default();
        let Given { rule, times, excludes } =
            event::given(event.component, without, clock, now).map_err(|why| event.not(why))?;
        if event.replaces.is_some() && rule.is_some() {
            return Err(event.not("it replaces one time of an event and comes again itself".into()));
        }
        excluding += i32::from(excludes);
        over += i32::from(rule.is_none() && times.is_empty());
        taken.rules.extend(rule);
        taken.times.extend(times);
    }
    let mut told = |count: i32, what: &str| {
        if count > 0 {
            taken.left_out.push(format!("{count} {what}"));
        }
    };
    told(over, "events are over and were left out");
    told(cancelled, "events are cancelled and were left out");
    told(excluding, "events have rules that take times out (EXRULE); these times are closed all the same");
    Ok(taken)
}

/// The parser goes down with each component within another one, and real calendars have three levels.
fn check_nesting(text: &str) -> Result<(), NotTaken> {
    let mut depth = 0i32;
    for line in text.lines() {
        let begins =
            |word: &str| line.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        depth += i32::from(begins("BEGIN:")) - i32::from(begins("END:"));
        if depth > DEEPEST {
            return Err(NotTaken::Nested);
        }
    }
    Ok(())
}

/// One VEVENT, and what it has to do with others.
struct Event<'a> {
    component: &'a Component<'a>,
    uid: Option<&'a str>,
    cancelled: bool,
    /// The time of another event of the same UID in whose place it stands.
    replaces: Option<At>,
}

impl<'a> Event<'a> {
    fn read(component: &'a Component<'a>, clock: Clock<'_>) -> Result<Self, NotTaken> {
        let cancelled =
            value(component, "STATUS").is_some_and(|status| status.eq_ignore_ascii_case("CANCELLED"));
        let mut event = Self { component, uid: value(component, "UID"), cancelled, replaces: None };
        let Some(id) = property(component, "RECURRENCE-ID") else { return Ok(event) };
        if parameter(id, "RANGE").is_some() {
            return Err(event.not("it replaces a time and all that follow (RANGE)".into()));
        }
        event.replaces = Some(At::of(id, clock).map_err(|why| event.not(why))?);
        Ok(event)
    }

    fn not(&self, why: String) -> NotTaken {
        let summary = value(self.component, "SUMMARY").unwrap_or("an event without a name");
        NotTaken::Event { summary: visible::line(summary), why }
    }
}

fn properties<'a>(event: &'a Component<'a>, name: &str) -> impl Iterator<Item = &'a Property<'a>> {
    event.properties.iter().filter(move |property| property.name.as_ref().eq_ignore_ascii_case(name))
}

fn property<'a>(event: &'a Component<'a>, name: &str) -> Option<&'a Property<'a>> {
    properties(event, name).next()
}

fn value<'a>(event: &'a Component<'a>, name: &str) -> Option<&'a str> {
    property(event, name).map(|property| property.val.as_ref())
}

fn parameter<'a>(property: &'a Property<'a>, name: &str) -> Option<&'a str> {
    let found = property.params.iter().find(|parameter| parameter.key.as_ref().eq_ignore_ascii_case(name));
    found.and_then(|parameter| parameter.val.as_ref()).map(|value| value.as_ref().trim_matches('"'))
}
