//! Windows and times as people write them, turned into the UTC intervals that are signed.
//!
//! A single local time that does not exist or exists twice (change of clocks) is refused, never guessed; for rules it is
//! defined and shown.

pub mod every;
pub mod kept;

use crate::error::{Context as _, Done, Failure};
use crate::lang::Lang;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use shared::time::{Interval, Timestamp};
use shared::windows::Differs;

/// The zone by name, or this machine's.
pub fn zone(name: Option<&str>) -> Done<TimeZone> {
    match name {
        Some(name) => TimeZone::get(name).map_err(|e| {
            Failure::usage(format!("{name:?} is not a time zone"))
                .why(e)
                .remedy("write one like Europe/Berlin")
        }),
        None => Ok(TimeZone::system()),
    }
}

/// All windows, earliest first.
pub fn windows(texts: &[String], zone: &TimeZone, now: Timestamp) -> Done<Vec<Interval>> {
    let mut intervals = texts.iter().map(|text| window(text, zone, now)).collect::<Done<Vec<_>>>()?;
    intervals.sort_by_key(|interval| interval.from);
    Ok(intervals)
}

/// `FROM..UNTIL`; UNTIL may be a length such as `+2h`, counted from FROM.
pub fn window(text: &str, zone: &TimeZone, now: Timestamp) -> Done<Interval> {
    let (from, until) = text.split_once("..").ok_or_else(|| {
        Failure::usage(format!("{text:?} is not a window"))
            .remedy("write FROM..UNTIL, such as \"2026-11-21 02:00..+2h\" or \"now+5m..+2h\"")
    })?;
    let from = time(from.trim(), zone, now)?;
    let until = match until.trim().strip_prefix('+') {
        Some(length) => from.plus(duration(length)?),
        None => time(until.trim(), zone, now)?,
    };
    let interval = Interval { from, until };
    if interval.until > Timestamp::MAX {
        return Err(Failure::usage(format!("the window {text:?} is out of range")));
    }
    if interval.is_empty() {
        return Err(Failure::usage(format!("the window {text:?} ends before it starts"))
            .why(format!("{from} to {until}")));
    }
    Ok(interval)
}

/// One moment: RFC 3339, `now`, `now+5m`, a local date and time, or a local date (its start).
pub fn time(text: &str, zone: &TimeZone, now: Timestamp) -> Done<Timestamp> {
    if let Some(rest) = text.strip_prefix("now") {
        return match rest.trim().strip_prefix('+') {
            Some(length) => Ok(now.plus(duration(length)?)),
            None if rest.is_empty() => Ok(now),
            None => Err(not_a_time(text)),
        };
    }
    let has_offset = text.ends_with('Z') || text.get(10..).is_some_and(|rest| rest.contains(['+', '-']));
    if has_offset {
        let at: jiff::Timestamp = text.parse().map_err(|e| not_a_time(text).why(e))?;
        return Ok(Timestamp(at.as_second()));
    }
    let local: DateTime = text.parse().map_err(|e| not_a_time(text).why(e))?;
    in_zone(text, local, zone)
}

fn in_zone(text: &str, local: DateTime, zone: &TimeZone) -> Done<Timestamp> {
    let name = zone.iana_name().unwrap_or("local time").to_owned();
    let found = zone.to_ambiguous_zoned(local);
    let remedy = "write the time with its offset, such as 2026-10-25T02:30+02:00, or choose another time";
    match found.offset() {
        AmbiguousOffset::Unambiguous { .. } => {
            let at = found.unambiguous().or_usage(format!("{text:?} is out of range"))?;
            Ok(Timestamp(at.timestamp().as_second()))
        }
        AmbiguousOffset::Gap { before, after } => {
            Err(Failure::usage(format!("{text} does not exist in {name}"))
                .why(format!("the clocks go from {before} to {after}"))
                .remedy(remedy))
        }
        AmbiguousOffset::Fold { before, after } => {
            Err(Failure::usage(format!("{text} happens twice in {name}"))
                .why(format!("the clocks go from {before} back to {after}"))
                .remedy(remedy))
        }
    }
}

fn not_a_time(text: &str) -> Failure {
    Failure::usage(format!("{text:?} is not a time"))
        .remedy("write 2026-11-21T02:00:00Z, \"2026-11-21 02:00\", now or now+5m")
}

/// A length such as `90s`, `5m`, `2h`, `1h30m`, `1d`, `2w`, in seconds.
pub fn duration(text: &str) -> Done<i64> {
    shared::time::length(text).ok_or_else(|| {
        Failure::usage(format!("{text:?} is not a length of time"))
            .remedy("write one like 30m, 2h, 1h30m or 1d")
    })
}

/// A moment, or so long from `now` on.
pub fn end(text: &str, zone: &TimeZone, now: Timestamp) -> Done<Timestamp> {
    match duration(text) {
        Ok(seconds) => Ok(now.plus(seconds)),
        Err(_) => time(text, zone, now),
    }
}

/// `FROM..TO` of an export; dates are in UTC.
pub fn period(text: &str) -> Done<Interval> {
    let (from, until) = text.split_once("..").ok_or_else(|| {
        Failure::usage(format!("{text:?} is not a period"))
            .remedy("write FROM..TO, such as 2026-01-01..2026-04-01")
    })?;
    let at = |text: &str| time(text.trim(), &TimeZone::UTC, Timestamp(0));
    let period = Interval { from: at(from)?, until: at(until)? };
    if period.is_empty() {
        return Err(Failure::usage(format!("the period {text:?} ends before it starts")));
    }
    Ok(period)
}

/// A moment as people of that zone read it: `Sat 2026-11-21 02:00 +01:00`.
pub fn local(at: Timestamp, zone: &TimeZone) -> String {
    local_in(Lang::En, at, zone)
}

/// The same with the weekday in the reader's language.
pub fn local_in(lang: Lang, at: Timestamp, zone: &TimeZone) -> String {
    let Ok(instant) = jiff::Timestamp::from_second(at.0) else { return at.to_string() };
    let local = instant.to_zoned(zone.clone());
    let day = match (lang, local.weekday()) {
        (Lang::En, _) => local.strftime("%a").to_string(),
        (Lang::De, day) => {
            const DAYS: [&str; 7] = ["Mo", "Di", "Mi", "Do", "Fr", "Sa", "So"];
            let at = usize::from(day.to_monday_zero_offset().unsigned_abs());
            DAYS.get(at).copied().unwrap_or_default().to_owned()
        }
    };
    format!("{day} {}", local.strftime("%Y-%m-%d %H:%M %:z"))
}

/// A time as people of that zone read it, and in UTC.
pub fn told(lang: Lang, time: Interval, zone: &TimeZone) -> String {
    let [from, until] = [time.from, time.until].map(|at| local_in(lang, at, zone));
    format!("{from} .. {until}  ({} .. {} UTC)", time.from, time.until)
}

/// One line for each signed window that its rule gives no more, and for each that it gives now, as in a diff.
pub fn difference(lang: Lang, differs: &Differs, zone: &TimeZone) -> String {
    let lines = |sign: &str, times: &[Interval]| -> String {
        times.iter().map(|time| format!("  {sign} {}\n", told(lang, *time, zone))).collect()
    };
    format!("{}{}", lines("-", &differs.signed), lines("+", &differs.now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_172_836); // 2026-11-20T11:07:16Z

    fn berlin() -> TimeZone {
        zone(Some("Europe/Berlin")).unwrap()
    }

    #[test]
    fn windows_become_utc_intervals() {
        for (text, from, until) in [
            ("2026-11-21T02:00:00Z..2026-11-21T04:00:00Z", "2026-11-21T02:00:00Z", "2026-11-21T04:00:00Z"),
            ("2026-11-21T02:00+01:00..+90m", "2026-11-21T01:00:00Z", "2026-11-21T02:30:00Z"),
            ("2026-11-21 02:00..2026-11-21 04:00", "2026-11-21T01:00:00Z", "2026-11-21T03:00:00Z"),
            ("2026-07-04 22:00 .. +1h30m", "2026-07-04T20:00:00Z", "2026-07-04T21:30:00Z"),
            ("now..+2h", "2026-11-20T11:07:16Z", "2026-11-20T13:07:16Z"),
            ("now+5m..+2h", "2026-11-20T11:12:16Z", "2026-11-20T13:12:16Z"),
            // Across the change of clocks: the wall shows 3 hours, the interval has 2 (spring) or 4 (autumn).
            ("2026-03-29 01:00..2026-03-29 04:00", "2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z"),
            ("2026-10-25 01:00..2026-10-25 04:00", "2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z"),
            ("2026-10-25 01:00..+3h", "2026-10-24T23:00:00Z", "2026-10-25T02:00:00Z"),
        ] {
            let interval = window(text, &berlin(), NOW).unwrap();
            assert_eq!(
                (interval.from.to_string(), interval.until.to_string()),
                (from.into(), until.into()),
                "{text}"
            );
        }
        let newyork = zone(Some("America/New_York")).unwrap();
        assert_eq!(time("2026-11-21 02:00", &newyork, NOW).unwrap().to_string(), "2026-11-21T07:00:00Z");
    }

    #[test]
    fn hours_that_do_not_exist_or_exist_twice_are_refused() {
        let gap = window("2026-03-29 02:30..+1h", &berlin(), NOW).unwrap_err();
        assert!(gap.message.contains("does not exist in Europe/Berlin"), "{gap}");
        let fold = window("2026-10-25 02:30..+1h", &berlin(), NOW).unwrap_err();
        assert!(fold.message.contains("happens twice"), "{fold}");
        let clear = window("2026-10-25T02:30+02:00..+1h", &berlin(), NOW).unwrap();
        assert_eq!(clear.from.to_string(), "2026-10-25T00:30:00Z");
    }

    #[test]
    fn what_is_no_window_is_a_usage_error_with_a_remedy() {
        for bad in [
            "",
            "now",
            "now..",
            "now..now",
            "now-5m..+2h",
            "yesterday..+2h",
            "now..+2x",
            "now..+",
            "now..+0h",
            "2026-11-21 04:00..2026-11-21 02:00",
            "2026-02-30 02:00..+1h",
            "now..+999999999999w",
        ] {
            let failure = window(bad, &berlin(), NOW).unwrap_err();
            assert_eq!(failure.exit_code(), 2, "{bad}");
        }
        assert!(zone(Some("Europe/Entenhausen")).is_err());
    }

    #[test]
    fn lengths_add_up() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("1h30m", 5_400), ("1d", 86_400), ("2w", 1_209_600)]
        {
            assert_eq!(duration(text).unwrap(), seconds);
        }
        for bad in ["", "5", "h", "1.5h", "-5m", "5 m", "0m"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn several_windows_are_put_in_order_and_shown_in_local_time() {
        let texts = ["2026-12-05 02:00..+1h".to_owned(), "2026-11-21 02:00..+1h".to_owned()];
        let intervals = windows(&texts, &berlin(), NOW).unwrap();
        assert!(intervals[0].until < intervals[1].from);
        assert_eq!(local(intervals[0].from, &berlin()), "Sat 2026-11-21 02:00 +01:00");
        assert_eq!(local_in(Lang::De, intervals[0].from, &berlin()), "Sa 2026-11-21 02:00 +01:00");
    }

    #[test]
    fn periods_are_in_utc() {
        let quarter = period("2026-01-01..2026-04-01").unwrap();
        assert_eq!(quarter.from.to_string(), "2026-01-01T00:00:00Z");
        assert!(period("2026-04-01..2026-01-01").is_err());
    }
}
