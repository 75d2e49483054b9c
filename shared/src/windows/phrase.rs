//! Rules as people say them: `every 2nd tuesday 22:00..+4h`.

use super::{Recurrence, RuleEnd, TimeOfDay, WallTime, WindowRule, ZoneName};
use crate::time::length;
use jiff::civil::Date;
use std::str::FromStr;

/// When windows come, without the day on which the rule begins and without a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    pub rrule: Recurrence,
    pub start: TimeOfDay,
    pub end: RuleEnd,
    /// Of weeks that are counted: the days on which the first of them begins, from Monday (0).
    from_day: Vec<usize>,
}

/// Why a text is not a rule, and what one looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotARule(String);

/// What may stand after `every`; for messages and for help.
pub const FORMS: &str = "day, weekday, 3 days, tuesday, saturday,sunday, 2 weeks on monday, 2nd tuesday, last friday, \
     friday after the 2nd tuesday, month on the 15th, month on the last day";

impl Phrase {
    /// Whether a text wants to be a rule, so that it is worth saying what is wrong with it as one.
    pub fn is_meant(text: &str) -> bool {
        let text = text.trim_start();
        text.get(..5)
            .is_some_and(|start| start.eq_ignore_ascii_case("every") || start.eq_ignore_ascii_case("FREQ="))
    }

    /// The rule from this day on, by the clocks of this zone. Every second monday counts from the first monday then.
    pub fn begins(self, mut day: Date, zone: ZoneName) -> WindowRule {
        let place = |day: Date| usize::try_from(day.weekday().to_monday_zero_offset()).unwrap_or_default();
        while !self.from_day.is_empty() && !self.from_day.contains(&place(day)) {
            let Ok(next) = day.tomorrow() else { break };
            day = next;
        }
        let first = WallTime::from(day.to_datetime(self.start.civil()));
        let (except, last) = Default::default();
        WindowRule { rrule: self.rrule, first, end: self.end, zone, except, last }
    }
}

impl FromStr for Phrase {
    type Err = NotARule;

    fn from_str(text: &str) -> Result<Self, NotARule> {
        let no = |why: String| {
            NotARule(format!("{:?} is not a rule for windows: {why}", crate::strict::shorten(text)))
        };
        let missing = || no("it ends with START..END, such as 22:00..+4h or 22:00..02:00".to_owned());
        let (left, end) = text.split_once("..").ok_or_else(missing)?;
        // Spaces around the dots are often written.
        let (left, end) = (left.trim(), end.trim());
        let (when, start) = left.rsplit_once(char::is_whitespace).unwrap_or(("", left));
        let start: TimeOfDay = start.parse().map_err(|e| no(format!("{e}")))?;
        let end = match end.strip_prefix('+') {
            Some(text) => {
                let seconds = length(text).and_then(|seconds| u32::try_from(seconds).ok());
                RuleEnd::AfterS(
                    seconds.ok_or_else(|| no(format!("{text:?} is not a length such as 4h or 90m")))?,
                )
            }
            None => RuleEnd::At(end.parse().map_err(|e| no(format!("{e}")))?),
        };
        let (rrule, from_day) = recurrence(when.trim()).map_err(no)?;
        Ok(Self { rrule, start, end, from_day })
    }
}

fn recurrence(when: &str) -> Result<(Recurrence, Vec<usize>), String> {
    let read = |text: &str| text.parse::<Recurrence>().map_err(|e| format!("{e}"));
    if when.starts_with("FREQ=") {
        return read(when).map(|rrule| (rrule, Vec::new()));
    }
    let mut from_day = Vec::new();
    let lower = when.to_ascii_lowercase();
    let words: Vec<&str> = lower.split_whitespace().filter(|word| *word != "the").collect();
    let unknown = || format!("after \"every\" stands one of: {FORMS}; or write FREQ=… of RFC 5545");
    let text = match *words.get(1..).unwrap_or_default() {
        _ if words.first() != Some(&"every") => None,
        ["day"] => Some("FREQ=DAILY".to_owned()),
        ["weekday"] => Some("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR".to_owned()),
        [days] => self::days(days).map(|days| format!("FREQ=WEEKLY;BYDAY={days}")),
        [n, "days"] => count(n).map(|n| format!("FREQ=DAILY;INTERVAL={n}")),
        [n, "weeks", "on", days] => {
            from_day = days.split(',').filter_map(place).collect();
            count(n).zip(self::days(days)).map(|(n, days)| format!("FREQ=WEEKLY;INTERVAL={n};BYDAY={days}"))
        }
        [nth, day] => {
            self::nth(nth).zip(self::day(day)).map(|(nth, day)| format!("FREQ=MONTHLY;BYDAY={nth}{day}"))
        }
        ["month", "on", "last", "day"] => Some("FREQ=MONTHLY;BYMONTHDAY=-1".to_owned()),
        ["month", "on", day] => ordinal(day, 31).map(|day| format!("FREQ=MONTHLY;BYMONTHDAY={day}")),
        [day, "after", nth, base] => after(day, nth, base),
        _ => None,
    };
    Ok((read(&text.ok_or_else(unknown)?)?, from_day))
}

const DAYS: [(&str, &str); 7] = [
    ("monday", "MO"),
    ("tuesday", "TU"),
    ("wednesday", "WE"),
    ("thursday", "TH"),
    ("friday", "FR"),
    ("saturday", "SA"),
    ("sunday", "SU"),
];

fn place(text: &str) -> Option<usize> {
    DAYS.iter().position(|(name, _)| *name == text || name.get(..3) == Some(text))
}

fn day(text: &str) -> Option<&'static str> {
    DAYS.get(place(text)?).map(|(_, short)| *short)
}

fn days(text: &str) -> Option<String> {
    let days: Option<Vec<_>> = text.split(',').map(day).collect();
    days.map(|days| days.join(","))
}

fn count(text: &str) -> Option<u8> {
    text.parse().ok().filter(|n| (2..=99).contains(n))
}

fn ordinal(text: &str, most: i8) -> Option<i8> {
    let number = ["st", "nd", "rd", "th"].iter().find_map(|end| text.strip_suffix(end))?;
    number.parse().ok().filter(|n| (1..=most).contains(n))
}

/// Of the month; -1 is the last.
fn nth(text: &str) -> Option<i8> {
    const NAMES: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
    if text == "last" {
        return Some(-1);
    }
    match NAMES.iter().position(|name| *name == text) {
        Some(at) => i8::try_from(at.saturating_add(1)).ok(),
        None => ordinal(text, 5),
    }
}

/// The next such day after the nth day of the month: it falls on one of seven dates, so a rule can say it. After the
/// fourth one it may lie in the next month, which no rule can say.
fn after(day: &str, nth: &str, base: &str) -> Option<String> {
    let (wanted, base) = (place(day)?, place(base)?);
    let nth = self::nth(nth).filter(|nth| (1..=3).contains(nth))?;
    let later = match (wanted + 7 - base) % 7 {
        0 => 7,
        later => i8::try_from(later).ok()?,
    };
    let first = (nth - 1) * 7 + 1 + later;
    let dates: Vec<_> = (first..first + 7).map(|date| date.to_string()).collect();
    Some(format!("FREQ=MONTHLY;BYMONTHDAY={};BYDAY={}", dates.join(","), self::day(day)?))
}
