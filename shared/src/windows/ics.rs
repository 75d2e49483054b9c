//! Times out of iCalendar files (RFC 5545): events, whole days, and the rules that a calendar can say.
//!
//! The same for a file that a person brings and for an address that the server reads. Zones are an argument.

use super::{RuleEnd, WallTime, WindowRule, ZoneName};
use crate::time::{Interval, Timestamp};
use crate::{strict, visible};
use icalendar::parser::{Component, Property, read_calendar, unfold};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

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
    let (mut over, mut cancelled) = (0, 0);
    for event in calendar.components.iter().filter(|component| component.name == "VEVENT") {
        if value(event, "STATUS").is_some_and(|status| status.eq_ignore_ascii_case("CANCELLED")) {
            cancelled += 1;
            continue;
        }
        let summary = visible::line(value(event, "SUMMARY").unwrap_or("an event without a name"));
        match one(event, zones).map_err(|why| NotTaken::Event { summary, why })? {
            Found::Rule(rule) => taken.rules.push(rule),
            Found::Time(time) if time.until <= now => over += 1,
            Found::Time(time) => taken.times.push(time),
        }
    }
    let mut told = |count: i32, what: &str| {
        if count > 0 {
            taken.left_out.push(format!("{count} {what}"));
        }
    };
    told(over, "events are over and were left out");
    told(cancelled, "events are cancelled and were left out");
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

enum Found {
    Rule(WindowRule),
    Time(Interval),
}

fn property<'a>(event: &'a Component<'a>, name: &str) -> Option<&'a Property<'a>> {
    event.properties.iter().find(|property| property.name.as_ref().eq_ignore_ascii_case(name))
}

fn value<'a>(event: &'a Component<'a>, name: &str) -> Option<&'a str> {
    property(event, name).map(|property| property.val.as_ref())
}

/// A moment of an event: whole days, or a reading of the clocks of a zone.
#[derive(Clone)]
enum At {
    Day(Date),
    Wall(DateTime, TimeZone),
}

impl At {
    fn read(property: &Property<'_>, zones: Zones<'_>) -> Result<Self, String> {
        let text = property.val.as_ref();
        let parameter = |name: &str| {
            let found =
                property.params.iter().find(|parameter| parameter.key.as_ref().eq_ignore_ascii_case(name));
            found
                .and_then(|parameter| parameter.val.as_ref())
                .map(|value| value.as_ref().trim_matches('"').to_owned())
        };
        let not = || format!("{:?} is not a time of RFC 5545", strict::shorten(text));
        if text.len() == 8 {
            return Date::strptime("%Y%m%d", text).map(Self::Day).map_err(|_| not());
        }
        let (local, utc) = text.strip_suffix('Z').map_or((text, false), |local| (local, true));
        let local = DateTime::strptime("%Y%m%dT%H%M%S", local).map_err(|_| not())?;
        let zone = match parameter("TZID") {
            _ if utc => TimeZone::UTC,
            Some(name) => {
                (zones.find)(&name).ok_or_else(|| format!("its time zone {name:?} is not known here"))?
            }
            None => zones.own.clone(),
        };
        Ok(Self::Wall(local, zone))
    }

    fn moment(&self, zone: &TimeZone) -> Result<Timestamp, String> {
        let far = || "its time is out of range".to_owned();
        match self {
            Self::Day(day) => midnight(*day, zone).ok_or_else(far),
            Self::Wall(local, zone) => {
                let at = zone.to_ambiguous_zoned(*local).compatible().map_err(|_| far())?;
                Ok(Timestamp(at.timestamp().as_second()))
            }
        }
    }
}

/// When the day begins there; where clocks jump over midnight, after the jump.
pub fn midnight(day: Date, zone: &TimeZone) -> Option<Timestamp> {
    day.to_zoned(zone.clone()).ok().map(|begins| Timestamp(begins.timestamp().as_second()))
}

fn one(event: &Component<'_>, zones: Zones<'_>) -> Result<Found, String> {
    let zone = zones.own;
    let start = property(event, "DTSTART").ok_or("it has no start")?;
    let start = At::read(start, zones)?;
    let from = start.moment(zone)?;
    let until = match (property(event, "DTEND"), value(event, "DURATION"), &start) {
        (Some(end), ..) => At::read(end, zones)?.moment(zone)?,
        (None, Some(length), _) => from.plus(duration(length)?),
        (None, None, At::Day(day)) => {
            At::Day(day.tomorrow().map_err(|_| "its day is out of range")?).moment(zone)?
        }
        (None, None, At::Wall(..)) => return Err("it has neither an end nor a length".into()),
    };
    let time = Interval { from, until };
    if time.is_empty() {
        return Err("it ends before it begins".into());
    }
    let Some(rule) = value(event, "RRULE") else {
        return match property(event, "RDATE").is_some() {
            true => Err("it has further dates (RDATE)".into()),
            false => Ok(Found::Time(time)),
        };
    };
    if let Some(odd) =
        ["EXDATE", "RDATE", "RECURRENCE-ID"].iter().find(|name| property(event, name).is_some())
    {
        return Err(format!("it comes again with exceptions ({odd})"));
    }
    let (first, zone, end) = match &start {
        // Whole days end at midnight, however long they are.
        At::Day(day)
            if until == At::Day(day.tomorrow().map_err(|_| "its day is out of range")?).moment(zone)? =>
        {
            let midnight = "00:00".parse().map_err(|e| format!("{e}"))?;
            (day.at(0, 0, 0, 0), zone, RuleEnd::At(midnight))
        }
        At::Day(day) => (day.at(0, 0, 0, 0), zone, RuleEnd::AfterS(length(time)?)),
        At::Wall(local, zone) => (*local, zone, RuleEnd::AfterS(length(time)?)),
    };
    let name = zone.iana_name().unwrap_or("UTC");
    let zone: ZoneName = name.parse().map_err(|e| format!("{e}"))?;
    Ok(Found::Rule(WindowRule {
        rrule: rule.parse().map_err(|e| format!("{e}"))?,
        first: WallTime::from(first),
        end,
        zone,
    }))
}

fn length(time: Interval) -> Result<u32, String> {
    u32::try_from(time.until.since(time.from)).map_err(|_| "it is too long".into())
}

/// RFC 5545 §3.3.6, in seconds.
fn duration(text: &str) -> Result<i64, String> {
    let span: jiff::Span =
        text.parse().map_err(|_| format!("{:?} is not a length of RFC 5545", strict::shorten(text)))?;
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    span.total((jiff::Unit::Second, days))
        .ok()
        .filter(|seconds| *seconds >= 1.0 && *seconds < 4e9)
        .map(|seconds| seconds as i64)
        .ok_or_else(|| "its length is out of range".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_172_836); // 2026-11-20T11:07:16Z

    fn file(events: &[&str]) -> String {
        let events: Vec<_> = events
            .iter()
            .map(|event| {
                format!("BEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Feier\\, lang\r\n{event}\r\nEND:VEVENT\r\n")
            })
            .collect();
        format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\nX-WR-CALNAME:Feiertage\r\n{}END:VCALENDAR\r\n",
            events.concat()
        )
    }

    fn taken(events: &[&str]) -> Result<Taken, String> {
        let own = find("Europe/Berlin").unwrap();
        read(&file(events), Zones { own: &own, find }, NOW).map_err(|not| not.to_string())
    }

    fn find(name: &str) -> Option<TimeZone> {
        TimeZone::get(name).ok()
    }

    const UTC: Zones<'_> = Zones { own: &TimeZone::UTC, find };

    #[test]
    fn events_become_times() {
        for (event, from, until) in [
            (
                "DTSTART;VALUE=DATE:20261224\r\nDTEND;VALUE=DATE:20261227",
                "2026-12-23T23:00:00Z",
                "2026-12-26T23:00:00Z",
            ),
            ("DTSTART;VALUE=DATE:20261224", "2026-12-23T23:00:00Z", "2026-12-24T23:00:00Z"),
            (
                "DTSTART:20261224T120000Z\r\nDTEND:20261224T140000Z",
                "2026-12-24T12:00:00Z",
                "2026-12-24T14:00:00Z",
            ),
            (
                "DTSTART;TZID=America/New_York:20261224T120000\r\nDURATION:PT1H30M",
                "2026-12-24T17:00:00Z",
                "2026-12-24T18:30:00Z",
            ),
            ("DTSTART:20261224T120000\r\nDURATION:P1D", "2026-12-24T11:00:00Z", "2026-12-25T11:00:00Z"),
            // A line that is folded.
            (
                "DTSTART;TZID=Europe/Ber\r\n lin:20261224T120000\r\nDTEND;TZID=\"Europe/Berlin\":20261224T130000",
                "2026-12-24T11:00:00Z",
                "2026-12-24T12:00:00Z",
            ),
        ] {
            let got = taken(&[event]).unwrap();
            let got: Vec<_> =
                got.times.iter().map(|time| (time.from.to_string(), time.until.to_string())).collect();
            assert_eq!(got, [(from.to_owned(), until.to_owned())], "{event}");
        }
        let several = taken(&[
            "DTSTART;VALUE=DATE:20201224",
            "STATUS:CANCELLED\r\nDTSTART;VALUE=DATE:20261224",
            "DTSTART;VALUE=DATE:20270101",
        ])
        .unwrap();
        assert_eq!((several.times.len(), several.name.as_deref()), (1, Some("Feiertage")));
        assert_eq!(several.left_out.len(), 2, "{:?}", several.left_out);
    }

    #[test]
    fn events_that_come_again_become_rules() {
        let taken = taken(&[
            "DTSTART;VALUE=DATE:20201224\r\nRRULE:FREQ=YEARLY",
            "DTSTART;TZID=Europe/Berlin:20261120T220000\r\nDTEND;TZID=Europe/Berlin:20261121T020000\r\nRRULE:FREQ=MONTHLY;BYDAY=2TU",
        ])
        .unwrap();
        let told: Vec<_> =
            taken.rules.iter().map(|rule| format!("{} {} {}", rule.rrule, rule.first, rule.zone)).collect();
        assert_eq!(
            told,
            [
                "FREQ=YEARLY 2020-12-24T00:00 Europe/Berlin",
                "FREQ=MONTHLY;BYDAY=2TU 2026-11-20T22:00 Europe/Berlin"
            ]
        );
        assert_eq!(taken.rules[0].end, RuleEnd::At("00:00".parse().unwrap()));
        assert_eq!(taken.rules[1].end, RuleEnd::AfterS(4 * 3_600));
    }

    #[test]
    fn what_cannot_be_understood_is_named_and_nothing_is_left_out_silently() {
        for (event, why) in [
            ("DTSTART;VALUE=DATE:2026122", "not a time of RFC 5545"),
            ("DTSTART:20261224T120000Z", "neither an end nor a length"),
            ("DTEND:20261224T120000Z", "no start"),
            ("DTSTART:20261224T120000Z\r\nDTEND:20261224T110000Z", "ends before it begins"),
            ("DTSTART:20261224T120000Z\r\nDURATION:PT0S", "out of range"),
            ("DTSTART:20261224T120000Z\r\nDURATION:morgen", "not a length"),
            ("DTSTART;TZID=W. Europe Standard Time:20261224T120000\r\nDURATION:PT1H", "is not known here"),
            ("DTSTART;VALUE=DATE:20261224\r\nRRULE:FREQ=YEARLY;COUNT=3", "recurrence rule of whole days"),
            (
                "DTSTART;VALUE=DATE:20261224\r\nRRULE:FREQ=YEARLY\r\nEXDATE;VALUE=DATE:20271224",
                "exceptions (EXDATE)",
            ),
            ("DTSTART;VALUE=DATE:20261224\r\nRDATE;VALUE=DATE:20271224", "further dates"),
        ] {
            let told = taken(&["DTSTART;VALUE=DATE:20270101", event]).unwrap_err();
            assert!(told.contains(why) && told.contains("Feier"), "{event}: {told}");
        }
        let nested = |line: &str| format!("BEGIN:VCALENDAR\r\n{}", line.repeat(300_000));
        // Also where the word is folded over two lines.
        let (deep, folded) = (nested("BEGIN:VEVENT\r\n"), nested("BEG\r\n IN:VEVENT\r\n"));
        for long in [
            deep.as_str(),
            &folded,
            &"BEGIN:VCALENDAR\r\n".repeat(300_000),
            &"A:b\r\n".repeat(1_000_000),
            &" ".repeat(7 << 20),
        ] {
            assert!(read(long, UTC, NOW).is_err());
        }
        let over = taken(&["DTSTART;VALUE=DATE:20200101"]).unwrap();
        assert!(over.times.is_empty() && over.rules.is_empty() && over.left_out.len() == 1);
        for bad in ["", "BEGIN:VCARD\r\nEND:VCARD\r\n", "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n", "\u{0}"] {
            assert!(read(bad, UTC, NOW).is_err(), "{bad:?}");
        }
    }
}
