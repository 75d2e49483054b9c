//! Windows of a calendar that the server keeps, worked out here: what an author signs is what this machine makes of its rules.

use super::every::known;
use crate::error::{Context as _, Done, Failure};
use shared::limits;
use shared::time::{Interval, Timestamp, joined};
use shared::wire::{Calendar, CalendarFile, CalendarMode};

/// Which of them are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// Those that begin then or later.
    pub first: Option<Timestamp>,
    /// Those that end by then.
    pub until: Option<Timestamp>,
    /// So many.
    pub most: Option<usize>,
}

/// The next windows, none of them begun; times that overlap or touch are one. Only those that a change can have: the next 90 days.
pub fn choose(file: &CalendarFile, wish: Wish, now: Timestamp) -> Done<Vec<Interval>> {
    let calendar = file.history.first().and_then(|step| step.calendar.as_ref());
    let name = &file.name;
    let Some(calendar) = calendar.filter(|calendar| calendar.mode == CalendarMode::Window) else {
        return Err(Failure::usage(format!("{name} is no calendar of maintenance windows"))
            .remedy("see `assent calendar list`, and `assent calendar set --maintenance --help`"));
    };
    let from = wish.first.map_or(now, |first| first.max(now));
    let latest = now.plus(limits::CHANGE_DAYS * 86_400);
    let mut found = joined(times(calendar, from)?);
    found.retain(|time| time.until <= wish.until.map_or(latest, |until| until.min(latest)));
    if let Some(most) = wish.most {
        found.truncate(most);
    }
    if found.is_empty() {
        let days = limits::CHANGE_DAYS;
        return Err(Failure::refused(format!("{name} has no window that begins and ends in that time"))
            .why(format!("a change ends within {days} days, and a window that has begun is not taken"))
            .remedy(format!("see `assent calendar show {name}`")));
    }
    match found.len() > limits::CHANGE_INTERVALS {
        true => Err(Failure::usage(format!("{name} has {} windows by then", found.len()))
            .why(format!("a change has at most {}", limits::CHANGE_INTERVALS))
            .remedy("give an earlier --window-until, or --times N")),
        false => Ok(found),
    }
}

/// All times that begin at `from` or later, as far as a change can have them.
fn times(calendar: &Calendar, from: Timestamp) -> Done<Vec<Interval>> {
    // A rule is of whole days.
    let most = usize::try_from(limits::CHANGE_DAYS).unwrap_or_default() + 2;
    let mut found = calendar.times.clone();
    found.retain(|time| time.from >= from);
    for rule in &calendar.rules {
        let zone = known(&rule.zone).ok_or_else(|| {
            Failure::refused(format!("this machine does not know the time zone {}", rule.zone))
                .remedy("update its time zone database")
        })?;
        let windows =
            rule.occurrences(&zone, from, most).or_usage("a rule of the calendar cannot be used")?;
        found.extend(windows.into_iter().map(|window| window.interval));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp(1_795_172_836); // 2026-11-20T11:07:16Z

    fn file(mode: &str, times: &serde_json::Value) -> CalendarFile {
        let rule = json!({
            "rrule": "FREQ=WEEKLY;BYDAY=SA", "first": "2026-11-07T22:00", "end": { "at": "02:00" },
            "zone": "Europe/Berlin", "except": ["2026-11-28T22:00"], "last": "2027-01-31T00:00",
        });
        let calendar = json!({
            "title": "nights", "mode": mode, "holds": ["normal"], "rules": [rule], "times": times,
        });
        let step = json!({
            "revision": 2, "at": "2026-11-01T10:00:00Z", "by": "lead", "reason": "agreed", "calendar": calendar,
        });
        serde_json::from_value(json!({ "name": "nights", "history": [step], "upcoming": [] })).unwrap()
    }

    fn chosen(times: &serde_json::Value, wish: Wish) -> Vec<String> {
        let found = choose(&file("window", times), wish, NOW).unwrap();
        found.iter().map(|time| format!("{} {}", time.from, time.until.since(time.from) / 3_600)).collect()
    }

    #[test]
    fn the_next_windows_of_a_calendar_are_taken_without_those_that_it_leaves_out() {
        let one = Wish { most: Some(1), ..Wish::default() };
        assert_eq!(chosen(&json!([]), one), ["2026-11-21T21:00:00Z 4"]);
        let two = Wish { most: Some(2), ..Wish::default() };
        assert_eq!(chosen(&json!([]), two), ["2026-11-21T21:00:00Z 4", "2026-12-05T21:00:00Z 4"]);
        // Single times count as well; what touches a window is one with it, and what has begun is not taken.
        let times = json!([
            { "from": "2026-11-22T01:00:00Z", "until": "2026-11-22T03:00:00Z" },
            { "from": "2026-11-20T11:00:00Z", "until": "2026-11-20T19:00:00Z" },
            { "from": "2026-11-20T12:00:00Z", "until": "2026-11-20T13:00:00Z" },
        ]);
        assert_eq!(chosen(&times, two), ["2026-11-20T12:00:00Z 1", "2026-11-21T21:00:00Z 6"]);
        let first = Some("2026-12-20T00:00:00Z".parse().unwrap());
        assert_eq!(chosen(&times, Wish { first, ..one }), ["2026-12-26T21:00:00Z 4"]);
        let until = Some("2026-12-13T01:00:00Z".parse().unwrap());
        assert_eq!(chosen(&json!([]), Wish { until, ..Wish::default() }).len(), 3);
        // It ends in January, and a change is made for 90 days.
        assert_eq!(chosen(&json!([]), Wish::default()).len(), 10);
    }

    #[test]
    fn what_has_no_window_to_give_says_so() {
        let blackout = choose(&file("hard", &json!([])), Wish::default(), NOW).unwrap_err();
        assert!(blackout.message.contains("no calendar of maintenance windows"), "{blackout}");
        let ended = CalendarFile { history: vec![], ..file("window", &json!([])) };
        assert!(choose(&ended, Wish::default(), NOW).is_err());
        let wish = Wish { until: Some(NOW.plus(3_600)), ..Wish::default() };
        let none = choose(&file("window", &json!([])), wish, NOW).unwrap_err();
        assert!(none.message.contains("no window that begins and ends"), "{none}");
        let many: Vec<_> = (1..80)
            .map(|n| json!({ "from": NOW.plus(n * 86_400), "until": NOW.plus(n * 86_400 + 600) }))
            .collect();
        let many = choose(&file("window", &json!(many)), Wish::default(), NOW).unwrap_err();
        assert_eq!((many.exit_code(), many.message.contains("windows by then")), (2, true), "{many}");
    }
}
