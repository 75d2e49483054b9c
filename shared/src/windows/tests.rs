use super::*;
use crate::time::{Interval, Timestamp};
use jiff::civil::date;
use jiff::tz::TimeZone;
use jiff::{ToSpan, tz};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn rule(phrase: &str, first: &str, zone: &str) -> WindowRule {
    let phrase: Phrase = phrase.parse().unwrap();
    phrase.begins(first.parse().unwrap(), zone.parse().unwrap())
}

fn zone(rule: &WindowRule) -> TimeZone {
    TimeZone::get(rule.zone.as_str()).unwrap()
}

fn found(rule: &WindowRule, from: &str, most: usize) -> Vec<(String, String, Clocks)> {
    let found = rule.occurrences(&zone(rule), at(from), most).unwrap();
    found.iter().map(|o| (o.interval.from.to_string(), o.interval.until.to_string(), o.clocks)).collect()
}

fn starts(rule: &WindowRule, from: &str, most: usize) -> Vec<String> {
    let found = rule.occurrences(&zone(rule), at(from), most).unwrap();
    found.iter().map(|o| o.wall.to_string()).collect()
}

#[test]
fn people_say_when_and_the_calendar_knows_the_days() {
    for (phrase, days) in [
        ("every day 22:00..+4h", ["2026-12-01", "2026-12-02", "2026-12-03"]),
        ("every weekday 22:00..+4h", ["2026-12-01", "2026-12-02", "2026-12-03"]),
        ("every 3 days 22:00..+4h", ["2026-12-01", "2026-12-04", "2026-12-07"]),
        ("Every Tuesday 22:00 .. 02:00", ["2026-12-01", "2026-12-08", "2026-12-15"]),
        ("every sat,sun 22:00..+4h", ["2026-12-05", "2026-12-06", "2026-12-12"]),
        ("every 2 weeks on monday 22:00..+4h", ["2026-12-07", "2026-12-21", "2027-01-04"]),
        ("every 2nd tuesday 22:00..+4h", ["2026-12-08", "2027-01-12", "2027-02-09"]),
        ("every second tuesday 22:00..+4h", ["2026-12-08", "2027-01-12", "2027-02-09"]),
        ("every last friday 22:00..+4h", ["2026-12-25", "2027-01-29", "2027-02-26"]),
        ("every 5th friday 22:00..+4h", ["2027-01-29", "2027-04-30", "2027-07-30"]),
        ("every friday after the 2nd tuesday 22:00..+4h", ["2026-12-11", "2027-01-15", "2027-02-12"]),
        ("every tuesday after the 2nd tuesday 22:00..+4h", ["2026-12-15", "2027-01-19", "2027-02-16"]),
        ("every month on the 31st 22:00..+4h", ["2026-12-31", "2027-01-31", "2027-03-31"]),
        ("every month on the last day 22:00..+4h", ["2026-12-31", "2027-01-31", "2027-02-28"]),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29 22:00..+4h", ["2028-02-29", "2032-02-29", "2036-02-29"]),
    ] {
        let got = starts(&rule(phrase, "2026-12-01", "Europe/Berlin"), "2026-11-30T00:00:00Z", 3);
        let days: Vec<_> = days.iter().map(|d| format!("{d}T22:00")).collect();
        assert_eq!(got, days, "{phrase}");
    }
}

#[test]
fn what_is_no_rule_is_told_with_what_one_looks_like() {
    for (bad, why) in [
        ("every", "START..END"),
        ("every day", "START..END"),
        ("every day 22:00", "START..END"),
        ("every day 2200..+4h", "\"2200\" is not a time of day"),
        ("every day 24:00..+4h", "\"24:00\" is not a time of day"),
        ("every day 22:00..+0h", "\"0h\" is not a length"),
        ("every day 22:00..", "\"\" is not a time of day"),
        ("day 22:00..+4h", "after \"every\" stands one of"),
        ("every caturday 22:00..+4h", "after \"every\" stands one of"),
        ("every 6th friday 22:00..+4h", "after \"every\" stands one of"),
        ("every 1 days 22:00..+4h", "after \"every\" stands one of"),
        ("every month on the 32nd 22:00..+4h", "after \"every\" stands one of"),
        ("every friday after the 4th tuesday 22:00..+4h", "after \"every\" stands one of"),
        ("FREQ=HOURLY 22:00..+4h", "recurrence rule of whole days"),
        ("FREQ=DAILY;COUNT=3 22:00..+4h", "recurrence rule of whole days"),
        ("FREQ=DAILY;BYHOUR=3 22:00..+4h", "recurrence rule of whole days"),
        ("FREQ=DAILY;FREQ=DAILY 22:00..+4h", "recurrence rule of whole days"),
        ("FREQ=DAILY;INTERVAL=0 22:00..+4h", "recurrence rule of whole days"),
        ("FREQ=WEEKLY;BYDAY=ÄMO 22:00..+4h", "recurrence rule of whole days"),
    ] {
        let told = bad.parse::<Phrase>().unwrap_err().to_string();
        assert!(told.contains(why), "{bad}: {told}");
    }
    assert!(
        Phrase::is_meant("every day") && Phrase::is_meant(" FREQ=DAILY") && !Phrase::is_meant("now..+2h")
    );
    // A rule that is well written and says nothing.
    let never = rule("FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30 22:00..+4h", "2026-12-01", "Europe/Berlin");
    assert_eq!(never.occurrences(&zone(&never), at("2026-12-01T00:00:00Z"), 3), Ok(vec![]));
    let odd = rule("FREQ=YEARLY;BYDAY=2TU;BYSETPOS=366 22:00..+4h", "2026-12-01", "UTC");
    assert_eq!(odd.occurrences(&zone(&odd), at("2026-12-01T00:00:00Z"), 3), Ok(vec![]));
    let twice = rule("every day 22:00..+25h", "2026-12-01", "Europe/Berlin");
    for most in [1, 3] {
        let overlap = twice.occurrences(&zone(&twice), at("2026-12-01T00:00:00Z"), most);
        assert!(matches!(overlap, Err(NoWindows::Overlap(_))), "{overlap:?}");
    }
}

#[test]
fn the_jumps_of_the_clocks_are_defined_and_told() {
    let skipped = rule("every sunday 02:30..+1h", "2026-03-22", "Europe/Berlin");
    assert_eq!(
        found(&skipped, "2026-03-22T00:00:00Z", 3),
        [
            ("2026-03-22T01:30:00Z".into(), "2026-03-22T02:30:00Z".into(), Clocks::Quiet),
            // 03:30 in summer time: as many minutes after midnight as 02:30 would have been.
            ("2026-03-29T01:30:00Z".into(), "2026-03-29T02:30:00Z".into(), Clocks::StartSkipped),
            ("2026-04-05T00:30:00Z".into(), "2026-04-05T01:30:00Z".into(), Clocks::Quiet),
        ]
    );
    let twice = rule("every sunday 02:30..+1h", "2026-10-18", "Europe/Berlin");
    assert_eq!(
        found(&twice, "2026-10-25T00:00:00Z", 1),
        [("2026-10-25T00:30:00Z".into(), "2026-10-25T01:30:00Z".into(), Clocks::StartTwice)]
    );
    // By length it always lasts as long; by the wall it ends when the wall says so.
    let long = rule("every sunday 01:00..+4h", "2026-03-29", "Europe/Berlin");
    let wall = rule("every sunday 01:00..05:00", "2026-03-29", "Europe/Berlin");
    let hours = |rule: &WindowRule, from: &str| {
        let found = rule.occurrences(&zone(rule), at(from), 1).unwrap()[0];
        (found.interval.until.since(found.interval.from) / 3_600, found.clocks)
    };
    assert_eq!(hours(&long, "2026-03-28T00:00:00Z"), (4, Clocks::During));
    assert_eq!(hours(&wall, "2026-03-28T00:00:00Z"), (3, Clocks::During));
    assert_eq!(hours(&long, "2026-10-24T00:00:00Z"), (4, Clocks::During));
    assert_eq!(hours(&wall, "2026-10-24T00:00:00Z"), (5, Clocks::During));
    assert_eq!(hours(&wall, "2026-10-26T00:00:00Z"), (4, Clocks::Quiet));
    // A window that the jump takes whole, or turns around, is as long as on other days.
    for (times, length) in [("02:15..02:45", 30), ("02:30..03:15", 45)] {
        let lost = rule(&format!("every sunday {times}"), "2026-03-29", "Europe/Berlin");
        let found = lost.occurrences(&zone(&lost), at("2026-03-28T00:00:00Z"), 1).unwrap()[0];
        assert_eq!(
            (found.interval.until.since(found.interval.from), found.clocks),
            (length * 60, Clocks::StartSkipped)
        );
    }
}

/// Each zone of the database over ten years, around each of its jumps and on plain days: windows are not empty, in order,
/// begin when the wall says so (or by the rule of the jump), and do not depend on where one begins to look.
#[test]
fn in_every_zone_over_ten_years_windows_are_what_the_wall_says() {
    let (begin, end) = (at("2021-01-01T00:00:00Z"), at("2031-01-01T00:00:00Z"));
    let mut jumps = 0;
    for name in tz::db().available() {
        let zone = TimeZone::get(name.as_str()).unwrap();
        let instants = zone.following(jiff::Timestamp::from_second(begin.0).unwrap());
        for jump in instants.take_while(|t| t.timestamp().as_second() < end.0) {
            jumps += 1;
            let day = jump.timestamp().to_zoned(zone.clone()).date();
            let first = day.checked_sub(2.days()).unwrap();
            for phrase in ["every day 00:30..+2h", "every day 02:30..+30m", "every day 01:59..03:01"] {
                let rule = phrase.parse::<Phrase>().unwrap().begins(first, name.as_str().parse().unwrap());
                let from = Timestamp(jump.timestamp().as_second() - 3 * 86_400);
                let found = rule.occurrences(&zone, from, 5).unwrap();
                assert_eq!(found.len(), 5, "{} {phrase}", name.as_str());
                for pair in found.windows(2) {
                    assert!(pair[0].interval.until <= pair[1].interval.from, "{} {pair:?}", name.as_str());
                }
                for one in &found {
                    assert!(!one.interval.is_empty());
                    let begins = jiff::Timestamp::from_second(one.interval.from.0).unwrap();
                    let shown = begins.to_zoned(zone.clone()).datetime();
                    assert_eq!(
                        shown == one.wall.civil(),
                        one.clocks != Clocks::StartSkipped,
                        "{} {one:?}",
                        name.as_str()
                    );
                    let again = rule.occurrences(&zone, one.interval.from, 1).unwrap();
                    assert_eq!(again, [*one], "{}", name.as_str());
                    if one.clocks == Clocks::StartTwice {
                        let earlier = begins.checked_sub(1.second()).unwrap();
                        assert!(
                            earlier.to_zoned(zone.clone()).datetime() < one.wall.civil(),
                            "the first counts"
                        );
                    }
                }
            }
        }
        let plain = "every 2nd tuesday 22:00..+4h".parse::<Phrase>().unwrap();
        let rule = plain.begins(date(2021, 1, 1), name.as_str().parse().unwrap());
        assert_eq!(rule.occurrences(&zone, begin, 120).unwrap().len(), 120, "{}", name.as_str());
    }
    assert!(jumps > 2_000, "only {jumps} jumps of clocks were looked at");
}

#[test]
fn a_signed_rule_has_one_form_and_bounds() {
    let rule = rule("every 2nd tuesday 22:00..+4h", "2026-12-01", "Europe/Berlin");
    let json = serde_json::to_value(&rule).unwrap();
    assert_eq!(
        json,
        serde_json::json!({ "rrule": "FREQ=MONTHLY;BYDAY=2TU", "first": "2026-12-01T22:00", "end": { "after_s": 14_400 }, "zone": "Europe/Berlin" })
    );
    assert_eq!(serde_json::from_value::<WindowRule>(json.clone()).unwrap(), rule);
    for (key, bad) in [
        ("rrule", "FREQ=MONTHLY;BYDAY=2TU;COUNT=3"),
        ("rrule", ""),
        ("first", "2026-12-01T22:00:30"),
        ("first", "2026-12-01 22:00"),
        ("first", "9999-12-31T23:59"),
        ("zone", "../etc/passwd"),
        ("zone", "Europe//Berlin"),
        ("zone", "/etc/localtime"),
    ] {
        let mut json = json.clone();
        json[key] = bad.into();
        assert!(serde_json::from_value::<WindowRule>(json).is_err(), "{key} {bad}");
    }
    for (end, fits) in [(59, false), (60, true), (7 * 86_400, true), (7 * 86_400 + 1, false)] {
        assert_eq!(WindowRule { end: RuleEnd::AfterS(end), ..rule.clone() }.length_fits(), fits);
    }
}

#[test]
fn a_law_that_moves_the_clocks_is_noticed_on_signed_windows() {
    let rules = vec![rule("every sunday 02:00..+2h", "2026-11-29", "Europe/Berlin")];
    let now = all(&rules, |name| TimeZone::get(name.as_str()).ok(), at("2026-12-01T00:00:00Z"), 3).unwrap();
    let mut change = crate::fixtures::change_body();
    change.intervals = now.iter().map(|found| found.interval).collect();
    change.window_rules = rules;
    let known = |name: &ZoneName| TimeZone::get(name.as_str()).ok();
    assert_eq!(change.windows_differ(known), Ok(None));
    // Berlin on the clocks of Helsinki.
    let differs = change.windows_differ(|_| TimeZone::get("Europe/Helsinki").ok()).unwrap().unwrap();
    assert_eq!(differs.signed, change.intervals);
    let moved = |one: &Interval| Interval { from: one.from.plus(-3_600), until: one.until.plus(-3_600) };
    assert_eq!(differs.now, change.intervals.iter().map(moved).collect::<Vec<_>>());
    assert!(matches!(change.windows_differ(|_| None), Err(NoWindows::Zone(_))));
    change.intervals[1].until = change.intervals[1].until.plus(60);
    assert_eq!(change.windows_differ(known).unwrap().unwrap().signed, [change.intervals[1]]);
}
