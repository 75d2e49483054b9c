//! What moves or ends without anybody's doing: zones, calendars and series, each told once, on both databases.

use super::{DAY, address, look, read, told, turn, with_mail};
use crate::changes::tests::world::{NOW, Reviewed, World, calendar, hours};
use crate::changes::{list_differing, tend};
use crate::reminders::tests::smtp::{Got, MailBox, Way};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use shared::change::Change;
use shared::news::{About, NewsKind};
use shared::time::{Interval, Timestamp};
use shared::windows::{Differs, Phrase, WindowRule, ZoneName};

/// The morning of a day, counted from that of the start, with all turns of its jobs: news and letters of it.
async fn day(world: &World, mail: &MailBox, days: i64) -> (Vec<(NewsKind, About)>, Vec<Got>) {
    world.clock.set(Timestamp((NOW.0.div_euclid(DAY) + days) * DAY + 6 * 3_600 + 1));
    for _ in 0..3 {
        turn(world).await.unwrap();
    }
    // What nobody has taken is there again later.
    let news = told(world).await.into_iter().filter(|news| news.at == world.now());
    (news.map(|news| (news.kind, news.about)).collect(), mail.take())
}

/// What lead has in the inbox of one kind.
async fn inbox(world: &World, kind: &str) -> Vec<Value> {
    let all = world.good("GET", "/v1/inbox", ()).await;
    all.as_array().unwrap().iter().filter(|item| item["kind"] == kind).cloned().collect()
}

fn berlin() -> WindowRule {
    let phrase: Phrase = "every tuesday 22:00..+4h".parse().unwrap();
    phrase.begins("2027-01-15".parse().unwrap(), "Europe/Berlin".parse().unwrap())
}

/// The next two windows of that rule, by the clocks of this zone.
fn windows(zone: &str) -> Vec<Interval> {
    let found = berlin().occurrences(&TimeZone::get(zone).unwrap(), NOW, 2).unwrap();
    found.into_iter().map(|one| one.interval).collect()
}

fn by_rule(change: &mut Change, zone: &str) {
    change.intervals = windows(zone);
    change.window_rules = vec![berlin()];
    change.not_after = change.intervals[1].until;
}

async fn revise(world: &World, of: &Reviewed, bend: impl Fn(&mut Change)) {
    let mut next = world.change(&of.id, 2, &of.change.body.manifests[0]);
    bend(&mut next);
    next.supersedes = Some(of.change.digest);
    let path = format!("/v1/changes/{}/revisions/2", of.id);
    world.good("PUT", &path, &world.sign(next).envelope).await;
}

/// The windows were signed by a database in which Berlin had Helsinki's clocks, as if the law had changed since.
#[actix_web::test]
async fn windows_that_the_zones_have_moved_are_told_once_with_the_old_and_the_new_ones() {
    for mut world in World::each(1, 1).await {
        let mail = with_mail(&mut world, Way::Plain).await;
        address(&world, "lead", "de").await;
        let base = world.publish("base", "1.0.0").await;
        let well = world.in_review(&base, |change| by_rule(change, "Europe/Berlin")).await;
        let of = world.in_review(&base, |change| by_rule(change, "Europe/Helsinki")).await;
        world.approve(&of, "peer").await;
        let differs = Differs { signed: windows("Europe/Helsinki"), now: windows("Europe/Berlin") };
        let items = inbox(&world, "windows_differ").await;
        let [item] = items.as_slice() else { panic!("{}: {items:?}", world.engine) };
        assert_eq!((&item["change"], &item["windows"]), (&json!(of.id), &json!(differs)), "{}", world.engine);
        assert_eq!(item["zone"], "Europe/Berlin");
        let (news, letters) = day(&world, &mail, 1).await;
        let moved: Vec<&About> = news
            .iter()
            .filter(|(kind, _)| *kind == NewsKind::WindowsDiffer)
            .map(|(_, about)| about)
            .collect();
        let [about] = moved.as_slice() else { panic!("{}: {news:?}", world.engine) };
        assert_eq!((about.change.as_ref(), about.windows.as_ref()), (Some(&of.id), Some(&differs)));
        assert_eq!(about.asked, ["lead".parse().unwrap()]);
        let [letter] = letters.as_slice() else { panic!("{}: {}", world.engine, letters.len()) };
        let text = read(letter);
        // Tuesday 19 January, 22:00 in Helsinki and in Berlin.
        for line in [
            "- 2027-01-19T20:00:00Z .. 2027-01-20T00:00:00Z (2027-01-19 21:00 +01:00 .. 2027-01-20 01:00 +01:00)",
            "+ 2027-01-19T21:00:00Z .. 2027-01-20T01:00:00Z (2027-01-19 22:00 +01:00 .. 2027-01-20 02:00 +01:00)",
            &format!("assent change new --revise {} --window-anew", of.id),
            "Die Zeitzonendatenbank hat sich geändert",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains(well.id.as_str()), "{text}");
        let (news, letters) = day(&world, &mail, 2).await;
        assert_eq!((news.len(), letters.len()), (0, 0), "{}: once", world.engine);
        assert_eq!(inbox(&world, "windows_differ").await.len(), 1, "it stays until it is signed anew");
        // A draft that is submitted by itself is signed already.
        let later = world.number().await;
        let mut draft = world.change(&later, 1, &base);
        by_rule(&mut draft, "Europe/Helsinki");
        let path = format!("/v1/changes/{later}");
        world.good("PUT", &format!("{path}/revisions/1"), &world.sign(draft).envelope).await;
        assert_eq!(inbox(&world, "windows_differ").await.len(), 1, "nobody has asked for anything");
        world.good("POST", &format!("{path}/submit-later"), json!({ "at": world.now().plus(DAY) })).await;
        assert_eq!(inbox(&world, "windows_differ").await.len(), 2, "{}", world.engine);
        // By another database the other one differs; of a zone that nobody knows nothing can be said.
        let by = async |zone: fn(&ZoneName) -> Option<TimeZone>| -> Vec<String> {
            let now = world.now();
            let found = world.read(move |tx| list_differing(tx, zone, now)).await;
            found.into_iter().map(|(row, ..)| row.id).collect()
        };
        assert_eq!(by(|_| TimeZone::get("Europe/Helsinki").ok()).await, [well.id.to_string()]);
        assert_eq!(by(|_| None).await, [] as [&str; 0]);
        revise(&world, &of, |change| by_rule(change, "Europe/Berlin")).await;
        let left = inbox(&world, "windows_differ").await;
        assert_eq!(
            (left.len(), &left[0]["change"]),
            (1, &json!(later)),
            "{}: it is signed anew",
            world.engine
        );
        world.clock.set(windows("Europe/Berlin")[1].until);
        tend(&world.node.db, world.now()).await.unwrap();
        assert_eq!(inbox(&world, "windows_differ").await, [] as [Value; 0], "{}: it is over", world.engine);
    }
}

/// Whoever wrote a change hears when a calendar moves away from it, and not when the change never lay there.
#[actix_web::test]
async fn windows_that_a_calendar_has_left_are_told_to_the_author_once() {
    for mut world in World::each(1, 1).await {
        let mail = with_mail(&mut world, Way::Plain).await;
        address(&world, "lead", "en").await;
        let base = world.publish("base", "1.0.0").await;
        let window = hours(50, 52);
        world.good("PUT", "/v1/calendars/nights", calendar("window", &[hours(48, 54), hours(80, 81)])).await;
        world.clock.set(NOW.plus(60));
        let bend = |times: Interval| {
            move |change: &mut Change| {
                change.intervals = vec![times];
                change.not_after = times.until;
            }
        };
        let of = world.in_review(&base, bend(window)).await;
        // These lie elsewhere when they are signed: their authors see it then.
        world.in_review(&base, bend(hours(60, 61))).await;
        world.in_review(&base, bend(hours(70, 71))).await;
        assert_eq!(inbox(&world, "outside_window").await, [] as [Value; 0], "{}", world.engine);
        world.clock.set(NOW.plus(120));
        let mut moved = calendar("window", &[hours(51, 54), hours(60, 61)]);
        moved["after"] = json!(1);
        world.good("PUT", "/v1/calendars/nights", moved).await;
        let items = inbox(&world, "outside_window").await;
        let [item] = items.as_slice() else { panic!("{}: {items:?}", world.engine) };
        assert_eq!((&item["change"], &item["due"]), (&json!(of.id), &json!(window.from)));
        let (news, letters) = day(&world, &mail, 1).await;
        let others = [NewsKind::ApprovalReminder, NewsKind::CalendarEnds];
        assert!(news.iter().all(|(kind, _)| others.contains(kind)), "{news:?}");
        let [letter] = letters.as_slice() else { panic!("{}: {}", world.engine, letters.len()) };
        assert!(read(letter).contains(&format!("assent change show {}", of.id)), "{}", read(letter));
        let (_, letters) = day(&world, &mail, 2).await;
        assert_eq!(letters.len(), 0, "{}: once", world.engine);
        revise(&world, &of, bend(hours(51, 53))).await;
        assert_eq!(inbox(&world, "outside_window").await, [] as [Value; 0], "{}", world.engine);
    }
}

#[actix_web::test]
async fn a_series_that_runs_out_is_told_once_and_goes_on_with_the_next_occurrence() {
    for mut world in World::each(1, 1).await {
        let mail = with_mail(&mut world, Way::Plain).await;
        address(&world, "lead", "de").await;
        let base = world.publish("base", "1.0.0").await;
        let occurrence = async |days: i64| {
            let id = world.number().await;
            let mut change = world.change(&id, 1, &base);
            let from = NOW.plus(days * DAY);
            change.intervals = vec![Interval { from, until: from.plus(3_600) }];
            change.not_after = from.plus(3_600);
            change.series = Some("patch-day".parse().unwrap());
            let path = format!("/v1/changes/{id}/revisions/1");
            world.good("PUT", &path, &world.sign(change).envelope).await;
            id
        };
        occurrence(10).await;
        let last = occurrence(40).await;
        assert_eq!(day(&world, &mail, 9).await.0, [], "{}: there is time", world.engine);
        let (news, letters) = day(&world, &mail, 12).await;
        let [(NewsKind::SeriesEnds, about)] = news.as_slice() else { panic!("{}: {news:?}", world.engine) };
        assert_eq!(about.series.as_ref().map(|name| name.as_str()), Some("patch-day"));
        assert_eq!((about.due, about.asked.len()), (Some(NOW.plus(40 * DAY + 3_600)), 1));
        let text = read(&letters[0]);
        assert!(
            text.contains(&format!("assent change new --series patch-day --like {last} --window")),
            "{text}"
        );
        let (news, letters) = day(&world, &mail, 13).await;
        assert_eq!((news.len(), letters.len()), (0, 0), "{}: once", world.engine);
        assert_eq!(inbox(&world, "series_ends").await[0]["series"], "patch-day");
        let next = occurrence(70).await;
        assert_eq!(inbox(&world, "series_ends").await, [] as [Value; 0], "{}", world.engine);
        assert_eq!(day(&world, &mail, 45).await.0.len(), 1, "{}: the next end is another one", world.engine);
        // Who gives up the last one knows that it ends.
        world.good("POST", &format!("/v1/changes/{next}/withdraw"), json!({ "note": "no more" })).await;
        assert_eq!(inbox(&world, "series_ends").await, [] as [Value; 0], "{}", world.engine);
    }
}

#[actix_web::test]
async fn a_calendar_that_runs_out_is_told_once_to_whoever_changed_it_last() {
    for mut world in World::each(1, 0).await {
        let mail = with_mail(&mut world, Way::Plain).await;
        address(&world, "lead", "en").await;
        let days = |days: i64| hours(days * 24, days * 24 + 1);
        let put = async |name: &str, after: u32, mode: &str, times: &[Interval], rules: Value| {
            let mut put = calendar(mode, times);
            put["after"] = json!(after);
            put["calendar"]["rules"] = rules;
            world.good("PUT", &format!("/v1/calendars/{name}"), put).await
        };
        let rule = |last: Value| {
            let mut rule = json!({
                "rrule": "FREQ=WEEKLY;BYDAY=SA", "first": "2027-01-02T10:00", "end": { "after_s": 3_600 },
                "zone": "Europe/Berlin",
            });
            if !last.is_null() {
                rule["last"] = last;
            }
            json!([rule])
        };
        let ending = async || -> Vec<(String, Value)> {
            let items = inbox(&world, "calendar_ends").await.into_iter();
            items.map(|item| (item["calendar"].as_str().unwrap().into(), item["due"].clone())).collect()
        };
        // A freeze is over when it is over; what has no end and what goes on for long runs out of nothing.
        put("freeze", 0, "hard", &[days(5)], json!([])).await;
        put("weekly", 0, "warn", &[], rule(Value::Null)).await;
        put("long", 0, "window", &[days(5), days(45)], json!([])).await;
        put("autumn", 0, "warn", &[], rule(json!("2027-10-31T00:00"))).await;
        assert_eq!(ending().await, [], "{}", world.engine);
        put("holidays", 0, "hard", &[days(5), days(20)], json!([])).await;
        put("nights", 0, "window", &[days(6)], json!([])).await;
        // Saturday 30 January is its last one.
        put("winter", 0, "warn", &[], rule(json!("2027-02-05T00:00"))).await;
        let expected = [
            ("nights".to_owned(), json!(days(6).until)),
            ("winter".to_owned(), json!("2027-01-30T10:00:00Z")),
            ("holidays".to_owned(), json!(days(20).until)),
        ];
        assert_eq!(ending().await, expected, "{}", world.engine);
        let (news, letters) = day(&world, &mail, 1).await;
        let named: Vec<_> =
            news.iter().map(|(kind, about)| (*kind, about.calendar.as_ref().unwrap().as_str())).collect();
        let kind = NewsKind::CalendarEnds;
        assert_eq!(named, [(kind, "holidays"), (kind, "nights"), (kind, "winter")], "{}", world.engine);
        let [letter] = letters.as_slice() else { panic!("{}: {}", world.engine, letters.len()) };
        assert!(read(letter).contains("assent calendar show nights"), "{}", read(letter));
        let (news, letters) = day(&world, &mail, 2).await;
        assert_eq!((news.len(), letters.len()), (0, 0), "{}: once", world.engine);
        put("holidays", 1, "hard", &[days(20), days(60)], json!([])).await;
        world.good("PUT", "/v1/calendars/winter", json!({ "after": 1, "reason": "spring" })).await;
        assert_eq!(ending().await, expected[..1], "{}", world.engine);
        // It is told for as long after its end, and of the next end anew.
        let (news, _) = day(&world, &mail, 35).await;
        assert_eq!(news.len(), 2, "{}: holidays and long: {news:?}", world.engine);
        assert!(ending().await.iter().any(|(name, _)| name == "nights"));
        look(&world.node.db, false, NOW.plus(37 * DAY)).await.unwrap();
        world.clock.set(NOW.plus(37 * DAY));
        assert!(ending().await.iter().all(|(name, _)| name != "nights"), "{}", world.engine);
    }
}
