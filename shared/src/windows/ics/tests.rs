use super::*;
use crate::windows::RuleEnd;

const NOW: Timestamp = Timestamp(1_795_172_836); // 2026-11-20T11:07:16Z

fn file(events: &[&str]) -> String {
    let events: Vec<_> = events
        .iter()
        .map(|event| format!("BEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Feier\\, lang\r\n{event}\r\nEND:VEVENT\r\n"))
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
        ("DTSTART;TZID=tzone://Microsoft/Custom:20261224T120000\r\nDURATION:PT1H", "is not known here"),
        ("DTSTART;VALUE=DATE:20261224\r\nRRULE:FREQ=HOURLY", "recurrence rule of whole days"),
        ("DTSTART;VALUE=DATE:20261224\r\nRRULE:FREQ=YEARLY;COUNT=3;UNTIL=20301224", "both COUNT and UNTIL"),
        ("DTSTART;VALUE=DATE:20261224\r\nRRULE:FREQ=DAILY;COUNT=10001", "more than 10000 times"),
        ("DTSTART;VALUE=DATE:20261224\r\nRRULE:FREQ=DAILY;UNTIL=soon", "not a time of RFC 5545"),
        ("DTSTART;VALUE=DATE:20261224\r\nRRULE:FREQ=YEARLY\r\nEXDATE:tomorrow", "not a time of RFC 5545"),
        ("DTSTART;VALUE=DATE:20261224\r\nRDATE;VALUE=DATE:2027122", "not a time of RFC 5545"),
        ("DTSTART:20261224T120000Z\r\nDURATION:PT1H\r\nRDATE;VALUE=PERIOD:20261225T120000Z/x", "not a time"),
        ("DTSTART:20261224T120000Z\r\nDURATION:PT1H\r\nRECURRENCE-ID:x", "not a time of RFC 5545"),
        (
            "DTSTART:20261224T120000Z\r\nDURATION:PT1H\r\nRECURRENCE-ID;RANGE=THISANDFUTURE:20261224T120000Z",
            "all that follow (RANGE)",
        ),
        (
            "DTSTART:20261224T120000Z\r\nDURATION:PT1H\r\nRRULE:FREQ=DAILY\r\nRECURRENCE-ID:20261224T120000Z",
            "comes again itself",
        ),
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

fn closed(taken: &Taken, days: i64) -> Vec<String> {
    let span = Interval { from: NOW, until: NOW.plus(days * 86_400) };
    let mut all = taken.times.clone();
    for rule in &taken.rules {
        let zone = find(rule.zone.as_str()).unwrap();
        let found = rule.occurrences(&zone, NOW.plus(-rule.longest_s()), 1_000).unwrap();
        all.extend(found.into_iter().map(|found| found.interval));
    }
    all.retain(|time| time.until > span.from && time.from < span.until);
    all.sort_by_key(|time| (time.from, time.until));
    all.iter().map(|time| format!("{}/{}", time.from, time.until).replace(":00Z", "Z")).collect()
}

fn sample(text: &str) -> Taken {
    let own = find("Europe/Berlin").unwrap();
    read(text, Zones { own: &own, find }, NOW).unwrap_or_else(|not| panic!("{not}"))
}

#[test]
fn a_calendar_of_google_gives_what_it_shows() {
    let taken = sample(include_str!("samples/google.ics"));
    assert_eq!(taken.name.as_deref(), Some("Change freeze"));
    assert_eq!(
        closed(&taken, 400),
        [
            "2026-11-23T17:00Z/2026-11-23T19:00Z",
            // Moved from 30 November, and shorter.
            "2026-12-01T09:00Z/2026-12-01T10:30Z",
            "2026-12-07T17:00Z/2026-12-07T19:00Z",
            "2026-12-14T17:00Z/2026-12-14T19:00Z",
            "2026-12-23T23:00Z/2027-01-02T23:00Z",
            "2027-01-04T17:00Z/2027-01-04T19:00Z",
            "2027-01-11T17:00Z/2027-01-11T19:00Z",
            "2027-01-18T17:00Z/2027-01-18T19:00Z",
            "2027-01-25T17:00Z/2027-01-25T19:00Z",
        ]
    );
    assert!(taken.left_out.is_empty(), "{:?}", taken.left_out);
}

#[test]
fn a_calendar_of_outlook_gives_what_it_shows() {
    let taken = sample(include_str!("samples/outlook.ics"));
    assert_eq!(
        closed(&taken, 400),
        [
            "2026-11-20T07:00Z/2026-11-20T16:00Z",
            "2026-11-21T07:00Z/2026-11-21T16:00Z",
            "2026-11-22T07:00Z/2026-11-22T16:00Z",
            "2026-11-25T07:00Z/2026-11-25T16:00Z",
            // The whole day is replaced by an afternoon.
            "2026-11-26T12:00Z/2026-11-26T16:00Z",
            "2026-11-27T07:00Z/2026-11-27T16:00Z",
            "2026-11-28T07:00Z/2026-11-28T16:00Z",
            "2026-11-29T07:00Z/2026-11-29T16:00Z",
            "2026-12-27T23:00Z/2026-12-31T23:00Z",
        ]
    );
}

#[test]
fn a_calendar_of_nextcloud_gives_what_it_shows() {
    let taken = sample(include_str!("samples/nextcloud.ics"));
    assert_eq!(
        closed(&taken, 130),
        [
            "2026-12-10T19:00Z/2026-12-10T21:00Z",
            "2026-12-19T19:00Z/2026-12-19T21:00Z",
            "2026-12-20T19:00Z/2026-12-20T19:30Z",
            "2026-12-21T19:00Z/2026-12-21T20:00Z",
            // Not on 4 December and 5 February; in January later, and for two days.
            "2027-01-07T23:00Z/2027-01-09T23:00Z",
            "2027-03-04T23:00Z/2027-03-05T23:00Z",
        ]
    );
    assert_eq!(taken.left_out, ["1 events are cancelled and were left out"]);
}

#[test]
fn exceptions_take_out_what_they_name_and_nothing_else() {
    let daily = "DTSTART;TZID=Europe/Berlin:20261120T220000\r\nDURATION:PT1H\r\nRRULE:FREQ=DAILY";
    let all = ["2026-11-20T21:00Z", "2026-11-21T21:00Z", "2026-11-22T21:00Z", "2026-11-23T21:00Z"];
    for (more, without) in [
        ("", vec![]),
        ("EXDATE;TZID=Europe/Berlin:20261121T220000", vec![1]),
        ("EXDATE:20261121T210000Z,20261123T210000Z", vec![1, 3]),
        ("EXDATE;TZID=America/New_York:20261121T160000", vec![1]),
        ("EXDATE:20261121T220000", vec![1]),
        ("EXDATE;VALUE=DATE:20261121", vec![1]),
        // Nothing begins then.
        ("EXDATE;TZID=Europe/Berlin:20261121T210000", vec![]),
        ("EXDATE;VALUE=DATE:20250101", vec![]),
        ("EXRULE:FREQ=DAILY", vec![]),
    ] {
        let got = taken(&[format!("{daily}\r\n{more}").trim_end()]).unwrap();
        let expected: Vec<_> =
            all.iter().enumerate().filter(|(n, _)| !without.contains(n)).map(|(_, from)| *from).collect();
        let found = closed(&got, 4);
        let found: Vec<_> = found.iter().map(|time| time.split('/').next().unwrap()).collect();
        assert_eq!(found, expected, "{more}");
        assert_eq!(got.left_out.len(), usize::from(more.starts_with("EXRULE")), "{more}");
    }
    // The clocks jump over 02:30 on 28 March, and the event begins at 03:30 then.
    let jump = "DTSTART;TZID=Europe/Berlin:20270328T023000\r\nDURATION:PT1H\r\nRRULE:FREQ=YEARLY";
    assert_eq!(closed(&taken(&[jump]).unwrap(), 200).len(), 1);
    for gone in ["EXDATE:20270328T013000Z", "EXDATE;TZID=Europe/Berlin:20270328T023000"] {
        assert_eq!(closed(&taken(&[&format!("{jump}\r\n{gone}")]).unwrap(), 200), [""; 0], "{gone}");
    }
}

#[test]
fn a_rule_ends_with_its_last_time() {
    for (rule, expected) in [
        ("FREQ=DAILY;COUNT=3", 3),
        ("FREQ=DAILY;UNTIL=20261123T210000Z", 4),
        ("FREQ=DAILY;UNTIL=20261123T205959Z", 3),
        ("FREQ=DAILY;UNTIL=20261123", 4),
        ("FREQ=DAILY;UNTIL=20261123T220000", 4),
        ("BYHOUR=22;UNTIL=20261123;BYMINUTE=0;FREQ=DAILY", 4),
        ("FREQ=DAILY;COUNT=1", 1),
        ("FREQ=YEARLY;COUNT=30", 2),
        ("FREQ=DAILY", 400),
    ] {
        let event = format!("DTSTART;TZID=Europe/Berlin:20261120T220000\r\nDURATION:PT1H\r\nRRULE:{rule}");
        let got = taken(&[&event]).unwrap();
        assert_eq!(closed(&got, 400).len(), expected, "{rule}");
    }
    // What is over is left out, and what has begun is not.
    let event = |rule: &str| format!("DTSTART:20261101T110000Z\r\nDURATION:PT10M\r\nRRULE:FREQ=DAILY;{rule}");
    for (rule, left) in [("COUNT=19", 0), ("COUNT=20", 1), ("UNTIL=20261119", 0), ("UNTIL=20261120", 1)] {
        let got = taken(&[&event(rule)]).unwrap();
        assert_eq!((got.rules.len(), got.left_out.len()), (left, 1 - left), "{rule}");
    }
    let too_many: Vec<String> =
        (0..600).map(|n| (NOW.plus(n * 86_400)).to_string()[..10].replace('-', "")).collect();
    let event = format!(
        "DTSTART;VALUE=DATE:20261120\r\nRRULE:FREQ=DAILY\r\nEXDATE;VALUE=DATE:{}",
        too_many.join(",")
    );
    assert!(taken(&[&event]).unwrap_err().contains("more than 500 exceptions"));
}
