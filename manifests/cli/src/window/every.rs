//! Windows that come again: rules as people say them, the next of their windows, and what the clocks do to them.

use super::{time, told as told_in, zone};
use crate::error::{Context as _, Done, Failure};
use crate::lang::{Lang, Word};
use crate::term;
use clap::Args;
use jiff::tz::TimeZone;
use shared::time::{Interval, Timestamp};
use shared::windows::{Clocks, Occurrence, Phrase, WindowRule, ZoneName, all};

/// What `assent window` shows.
#[derive(Debug, Args)]
pub struct WindowArgs {
    /// A rule, such as "every 2nd tuesday 22:00..+4h"
    #[arg(required = true, value_name = "RULE")]
    rules: Vec<String>,
    /// Time zone of the rule, such as Europe/Berlin (default: this machine's)
    #[arg(long)]
    zone: Option<String>,
    /// Show windows from this day on, and count weeks and days from it (default: now)
    #[arg(long, value_name = "DATE")]
    first: Option<String>,
    /// How many to show
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    times: u16,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Rules, and the windows of theirs that are taken.
#[derive(Debug, Default)]
pub struct Chosen {
    pub rules: Vec<WindowRule>,
    pub windows: Vec<Occurrence>,
}

/// The next `times` windows of all rules together, none of them begun.
pub fn choose(
    texts: &[String],
    zone_name: Option<&str>,
    first: Option<&str>,
    times: usize,
    now: Timestamp,
) -> Done<Chosen> {
    let zone = zone(zone_name)?;
    let name = name_of(&zone)?;
    let from = match first {
        Some(text) => time(text, &zone, now)?.max(now),
        None => now,
    };
    let day = jiff::Timestamp::from_second(from.0).or_usage("--first is out of range")?.to_zoned(zone).date();
    let rules = texts
        .iter()
        .map(|text| {
            let phrase: Phrase = text.parse().map_err(|e| {
                Failure::usage(format!("{e}")).remedy(
                    "try `assent window \"every 2nd tuesday 22:00..+4h\"`, which shows what comes of a rule",
                )
            })?;
            let rule = phrase.begins(day, name.clone());
            if rule.length_fits() {
                return Ok(rule);
            }
            Err(Failure::usage(format!(
                "the windows of {text:?} last less than a minute or more than a week"
            )))
        })
        .collect::<Done<Vec<_>>>()?;
    let windows = all(&rules, known, from, times).or_usage("these windows cannot be used")?;
    if windows.is_empty() {
        return Err(Failure::usage("the rule gives no window within eleven years"));
    }
    Ok(Chosen { rules, windows })
}

/// The name by which others find the zone.
pub fn name_of(zone: &TimeZone) -> Done<ZoneName> {
    zone.iana_name().and_then(|name| name.parse().ok()).ok_or_else(|| {
        Failure::usage("this machine's time zone has no name that others know")
            .remedy("give --zone, such as --zone Europe/Berlin")
    })
}

/// The zone of a rule, as this machine knows it.
pub fn known(name: &ZoneName) -> Option<TimeZone> {
    TimeZone::get(name.as_str()).ok()
}

/// `assent window`.
pub fn show(args: &WindowArgs, lang: Lang, now: Timestamp) -> Done {
    let chosen =
        choose(&args.rules, args.zone.as_deref(), args.first.as_deref(), usize::from(args.times), now)?;
    if args.json {
        let windows: Vec<Interval> = chosen.windows.iter().map(|one| one.interval).collect();
        return crate::author::list::print_json(
            &serde_json::json!({ "rules": chosen.rules, "windows": windows }),
        );
    }
    let mut out = String::new();
    for rule in &chosen.rules {
        out.push_str(&format!("{}\n", told(rule)));
    }
    let zone = zone(args.zone.as_deref())?;
    for window in &chosen.windows {
        out.push_str(&format!("  {}\n", line(window, lang, &zone)));
    }
    term::print(&out)
}

/// A rule for people: `FREQ=MONTHLY;BYDAY=2TU, from 2026-12-01T22:00, Europe/Berlin`.
pub fn told(rule: &WindowRule) -> String {
    let last = rule.last.map(|last| format!(" .. {last}")).unwrap_or_default();
    let except: Vec<_> = rule.except.iter().map(ToString::to_string).collect();
    let except = if except.is_empty() { String::new() } else { format!(", - {}", except.join(" - ")) };
    format!("{}, from {}{last}, {}{except}", rule.rrule, rule.first, rule.zone)
}

/// Local time, UTC, and what the clocks do.
pub fn line(window: &Occurrence, lang: Lang, zone: &TimeZone) -> String {
    let Interval { from, until } = window.interval;
    let clocks = match window.clocks {
        Clocks::Quiet => String::new(),
        Clocks::StartSkipped => format!("  ({})", lang.fill(Word::ClocksSkip, &clock(window))),
        Clocks::StartTwice => format!("  ({})", lang.fill(Word::ClocksTwice, &clock(window))),
        Clocks::During => {
            let length = shared::time::span(until.since(from));
            format!("  ({})", lang.fill(Word::ClocksDuring, &length))
        }
    };
    format!("{}{clocks}", told_in(lang, window.interval, zone))
}

fn clock(window: &Occurrence) -> String {
    window.wall.civil().strftime("%H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_172_836); // 2026-11-20T11:07:16Z

    fn lines(rule: &str, first: Option<&str>, times: usize, lang: Lang) -> Vec<String> {
        let chosen = choose(&[rule.to_owned()], Some("Europe/Berlin"), first, times, NOW).unwrap();
        chosen.windows.iter().map(|one| line(one, lang, &zone(Some("Europe/Berlin")).unwrap())).collect()
    }

    #[test]
    fn a_rule_is_shown_in_local_time_and_utc_with_what_the_clocks_do() {
        assert_eq!(
            lines("every 2nd tuesday 22:00..+4h", None, 2, Lang::En),
            [
                "Tue 2026-12-08 22:00 +01:00 .. Wed 2026-12-09 02:00 +01:00  (2026-12-08T21:00:00Z .. 2026-12-09T01:00:00Z UTC)",
                "Tue 2027-01-12 22:00 +01:00 .. Wed 2027-01-13 02:00 +01:00  (2027-01-12T21:00:00Z .. 2027-01-13T01:00:00Z UTC)",
            ]
        );
        let skipped = lines("every sunday 02:30..+1h", Some("2027-03-28"), 1, Lang::De);
        assert!(skipped[0].starts_with("So 2027-03-28 03:30 +02:00"), "{skipped:?}");
        assert!(skipped[0].ends_with("(02:30 gibt es an diesem Tag nicht)"), "{skipped:?}");
        let twice = lines("every sunday 02:30..+1h", Some("2027-10-31"), 1, Lang::En);
        assert!(twice[0].ends_with("(02:30 comes twice that day: the first counts)"), "{twice:?}");
        let during = lines("every sunday 01:00..05:00", Some("2027-10-31"), 1, Lang::En);
        assert!(during[0].ends_with("(the clocks change meanwhile: it lasts 5 h)"), "{during:?}");
    }

    #[test]
    fn a_window_that_has_begun_is_not_taken_and_several_rules_are_put_in_order() {
        // 12:07 in Berlin.
        assert!(lines("every day 12:00..+1h", None, 1, Lang::En)[0].starts_with("Sat 2026-11-21 12:00"));
        assert!(lines("every day 12:30..+1h", None, 1, Lang::En)[0].starts_with("Fri 2026-11-20 12:30"));
        let two = ["every tuesday 22:00..+2h".to_owned(), "every saturday 08:00..+2h".to_owned()];
        let chosen = choose(&two, Some("Europe/Berlin"), None, 3, NOW).unwrap();
        let days: Vec<_> = chosen.windows.iter().map(|one| one.wall.to_string()).collect();
        assert_eq!(days, ["2026-11-21T08:00", "2026-11-24T22:00", "2026-11-28T08:00"]);
    }

    #[test]
    fn what_gives_no_windows_is_a_usage_error() {
        for (rules, why) in [
            (vec!["every moonday 22:00..+4h"], "after \"every\" stands one of"),
            (vec!["every tuesday 22:00..+8d"], "more than a week"),
            (vec!["every day 22:00..+25h"], "overlap"),
            (vec!["every saturday 22:00..+4h", "every day 23:00..+1h"], "overlap"),
            (vec!["FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30 22:00..+4h"], "no window within eleven years"),
        ] {
            let texts: Vec<String> = rules.iter().map(|&text| text.to_owned()).collect();
            let failure = choose(&texts, Some("Europe/Berlin"), None, 3, NOW).unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.to_string().contains(why), "{rules:?}: {failure}");
        }
    }
}
