//! Free times and feeds on both databases.

use crate::changes::tests::world::{NOW, World, calendar, hours};
use crate::kernel::i18n::Language;
use serde_json::{Value, json};
use shared::digest::Digest;
use shared::time::{Interval, Timestamp};
use std::collections::BTreeMap;

#[actix_web::test]
async fn free_times_are_what_blackouts_and_changes_leave() {
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let host = world.hosts[0].name.clone();
        let agent = world.hosts[0].agent();
        world
            .in_review(&base, |change| {
                change.intervals = vec![hours(2, 3)];
                change.not_after = hours(2, 3).until;
                change.targets.retain(|target| target.agent != agent);
            })
            .await;
        world.good("PUT", "/v1/calendars/year-end", calendar("hard", &[hours(5, 6)])).await;
        world.good("PUT", "/v1/calendars/audit", calendar("warn", &[hours(0, 9)])).await;
        let free = |query: String| format!("/v1/free-times?until={}{query}", NOW.plus(8 * 3_600));
        let all = world.good("GET", &free(String::new()), ()).await;
        let times = |value: &Value| serde_json::from_value::<Vec<Interval>>(value["free"].clone()).unwrap();
        assert_eq!(
            (times(&all), all["hosts"].as_u64()),
            (vec![hours(0, 2), hours(3, 5), hours(6, 8)], Some(2))
        );
        let one = world.good("GET", &free(format!("&host={host}")), ()).await;
        assert_eq!((times(&one), one["hosts"].as_u64()), (vec![hours(0, 5), hours(6, 8)], Some(1)));
        for bad in ["&label=role", "&extra=1", "&from=yesterday"] {
            assert_eq!(world.code("GET", &free(bad.into()), ()).await, "request.bad_parameter", "{bad}");
        }
        assert_eq!(world.code("GET", "/v1/free-times", ()).await, "request.bad_parameter");
        assert_eq!(world.code("GET", &free("&host=nobody".into()), ()).await, "host.not_found");
        let late = format!("/v1/free-times?until={}", NOW.plus(500 * 86_400));
        assert_eq!(world.code("GET", &late, ()).await, "request.bad_parameter");
    }
}

/// Hosts that are in calendars of windows are free only then, all of them at once; and whoever looks is told of budgets.
#[actix_web::test]
async fn free_times_lie_in_the_windows_of_calendars_and_budgets_are_named() {
    for world in World::each(1, 2).await {
        let free = async |query: &str| {
            let path = format!("/v1/free-times?until={}{query}", NOW.plus(8 * 3_600));
            world.good("GET", &path, ()).await
        };
        let times = |value: &Value| serde_json::from_value::<Vec<Interval>>(value["free"].clone()).unwrap();
        let put = async |name: &str, host: usize, spans: &[Interval]| {
            let mut put = calendar("window", spans);
            put["calendar"]["hosts"] = json!([world.hosts[host].agent()]);
            world.good("PUT", &format!("/v1/calendars/{name}"), put).await
        };
        put("first", 0, &[hours(1, 3), hours(3, 4), hours(6, 7)]).await;
        put("second", 1, &[hours(2, 8)]).await;
        world.good("PUT", "/v1/calendars/year-end", calendar("hard", &[hours(3, 5)])).await;
        let all = free("").await;
        assert_eq!(
            (times(&all), &all["within"]),
            (vec![hours(2, 3), hours(6, 7)], &json!(["first", "second"]))
        );
        let one = free(&format!("&host={}", world.hosts[0].name)).await;
        assert_eq!((times(&one), &one["within"]), (vec![hours(1, 3), hours(6, 7)], &json!(["first"])));
        let anywhere = free("&anywhere=true").await;
        assert_eq!(times(&anywhere), [hours(0, 3), hours(5, 8)], "{}", world.engine);
        assert!(anywhere["within"].is_null() && anywhere["short"].is_null(), "{anywhere}");
        let budget = json!({ "title": "one at a time", "slots": 1, "lease_s": 600 });
        let put = json!({ "after": 0, "reason": "agreed", "budget": budget });
        world.good("PUT", "/v1/budgets/one", put).await;
        let all = free("").await;
        assert_eq!(all["short"], json!([{ "budget": "one", "slots": 1, "hosts": 2 }]), "{}", world.engine);
        assert!(free(&format!("&host={}", world.hosts[0].name)).await["short"].is_null());
        let bad = format!("/v1/free-times?until={}&anywhere=perhaps", NOW.plus(8 * 3_600));
        assert_eq!(world.code("GET", &bad, ()).await, "request.bad_parameter");
    }
}

/// The events of the feed by UID: the value of each property.
async fn feed(world: &World) -> BTreeMap<String, BTreeMap<String, String>> {
    let site = world.site.clone();
    let now = world.now();
    let text = world.read(move |tx| super::feed::render(tx, &site, Language::En, now)).await;
    assert!(text.lines().all(|line| line.len() <= 75) && text.contains("\r\n"), "{text}");
    let unfolded = text.replace("\r\n ", "");
    let mut events = BTreeMap::new();
    for event in unfolded.split("BEGIN:VEVENT\r\n").skip(1) {
        let lines = event.lines().take_while(|line| *line != "END:VEVENT");
        let pair = |line: &str| line.split_once(':').map(|(key, value)| (key.to_owned(), value.to_owned()));
        let event: BTreeMap<_, _> = lines.filter_map(pair).collect();
        assert!(events.insert(event["UID"].clone(), event).is_none(), "a UID comes twice");
    }
    events
}

#[actix_web::test]
async fn the_feed_shows_windows_and_blackouts_and_cancels_what_calendars_have_seen() {
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world
            .in_review(&base, |change| {
                change.intervals = vec![hours(1, 3), hours(25, 27)];
                change.not_after = hours(25, 27).until;
                change.title =
                    "Base; with a, long title that does not fit into one line of a calendar file".into();
            })
            .await;
        let (id, site) = (of.change.body.change_id.clone(), world.site.clone());
        let uid = |n: u32| format!("{id}-{n}@{site}");
        let before = feed(&world).await;
        assert_eq!(before.keys().cloned().collect::<Vec<_>>(), [uid(1), uid(2)]);
        assert_eq!(before[&uid(1)]["STATUS"], "TENTATIVE");
        assert!(
            before[&uid(1)]["SUMMARY"].starts_with(&format!("{id} Base\\; with a\\, long")),
            "{before:?}"
        );
        let wall = |at: Timestamp| at.to_string().replace(['-', ':'], "");
        assert_eq!(before[&uid(2)]["DTSTART"], wall(hours(25, 27).from));
        assert_eq!(before[&uid(2)]["DTEND"], wall(hours(25, 27).until));
        world.approve(&of, "peer").await;
        assert_eq!(feed(&world).await[&uid(1)]["STATUS"], "CONFIRMED");
        // The next revision has one window less, at another time.
        let mut next = world.change(&id, 2, &base);
        next.intervals = vec![hours(2, 4)];
        next.not_after = hours(2, 4).until;
        next.supersedes = Some(of.change.digest);
        let next = world.sign(next);
        world.good("PUT", &format!("/v1/changes/{id}/revisions/2"), &next.envelope).await;
        let after = feed(&world).await;
        assert_eq!(
            (after[&uid(1)]["STATUS"].as_str(), after[&uid(2)]["STATUS"].as_str()),
            ("TENTATIVE", "CANCELLED")
        );
        assert_eq!(after[&uid(1)]["DTSTART"], wall(hours(2, 4).from));
        let sequence = |of: &BTreeMap<String, BTreeMap<String, String>>, n| {
            of[&uid(n)]["SEQUENCE"].parse::<i64>().unwrap()
        };
        assert!(sequence(&after, 1) > sequence(&before, 1) && sequence(&after, 2) > sequence(&before, 2));
        world.good("POST", &format!("/v1/changes/{id}/withdraw"), json!({ "note": "no" })).await;
        assert!(feed(&world).await.values().all(|event| event["STATUS"] == "CANCELLED"));
        world.good("PUT", "/v1/calendars/year-end", calendar("hard", &[hours(5, 6)])).await;
        let all = feed(&world).await;
        let blackout =
            all.values().find(|event| event["SUMMARY"] == "Blackout: closing of the books").unwrap();
        assert_eq!(
            (blackout["TRANSP"].as_str(), blackout["DTSTART"].as_str()),
            ("TRANSPARENT", wall(hours(5, 6).from).as_str())
        );
        // One that nobody approved in time takes no time either.
        let late = world.in_review(&base, |change| change.intervals = vec![hours(7, 8)]).await;
        let of_late = format!("{}-1@{site}", late.change.body.change_id);
        assert_eq!(feed(&world).await[&of_late]["STATUS"], "TENTATIVE");
        world.clock.set(late.change.body.not_after);
        crate::changes::tend(&world.node.db, world.now()).await.unwrap();
        assert_eq!(feed(&world).await[&of_late]["STATUS"], "CANCELLED");
        world.clock.set(NOW.plus(200 * 86_400));
        assert!(feed(&world).await.is_empty(), "what is long over goes");
    }
}

/// Times that a calendar loses are cancelled under the name that programs know, until they would be over.
#[actix_web::test]
async fn times_that_a_calendar_loses_are_cancelled_and_never_vanish() {
    for world in World::each(1, 0).await {
        let put = async |after: u32, times: &[Interval], rules: Value| {
            let mut put = calendar("window", times);
            put["after"] = json!(after);
            put["calendar"]["rules"] = rules;
            world.good("PUT", "/v1/calendars/nights", put).await;
        };
        // By hour of the start: what the feed says of it, and of which revision.
        let told = async || -> BTreeMap<i64, (String, String)> {
            let events = feed(&world).await.into_values().map(|event| {
                let of = |key: &str| event[key].clone();
                let uid = of("UID");
                assert!(uid.starts_with(&format!("nights-{}@", of("DTSTART"))), "{event:?}");
                assert_eq!(event["SUMMARY"], "Maintenance window: closing of the books");
                let hour = (0..9_999).find(|hour| {
                    hours(*hour, 0).from.to_string().replace(['-', ':'], "") == event["DTSTART"]
                });
                (hour.unwrap(), (of("STATUS"), of("SEQUENCE")))
            });
            events.collect()
        };
        let says = |hour: i64, status: &str, sequence: &str| (hour, (status.to_owned(), sequence.to_owned()));
        put(0, &[hours(1, 2), hours(5, 6), hours(7, 8), hours(7, 9)], json!([])).await;
        let first = [says(1, "CONFIRMED", "1"), says(5, "CONFIRMED", "1"), says(7, "CONFIRMED", "1")];
        assert_eq!(told().await, BTreeMap::from(first), "{}", world.engine);
        // One was over before it was left out, one is longer, and one is gone.
        world.clock.set(hours(3, 4).from);
        put(1, &[hours(5, 8)], json!([])).await;
        let second = [says(5, "CONFIRMED", "2"), says(7, "CANCELLED", "2")];
        assert_eq!(told().await, BTreeMap::from(second), "{}", world.engine);
        world.good("PUT", "/v1/calendars/nights", json!({ "after": 2, "reason": "over" })).await;
        let ended = [says(5, "CANCELLED", "3"), says(7, "CANCELLED", "3")];
        assert_eq!(told().await, BTreeMap::from(ended), "{}", world.engine);
        // 08:00 of each day; then one of them is left out.
        let rule = |except: Value| {
            json!([{
                "rrule": "FREQ=DAILY;INTERVAL=99", "first": "2027-01-16T08:00", "end": { "after_s": 60 },
                "zone": "UTC", "except": except, "last": "2027-10-01T00:00",
            }])
        };
        put(3, &[hours(7, 8)], rule(json!([]))).await;
        let again = [
            says(5, "CANCELLED", "4"),
            says(7, "CONFIRMED", "4"),
            says(24, "CONFIRMED", "4"),
            says(100 * 24, "CONFIRMED", "4"),
            says(199 * 24, "CONFIRMED", "4"),
        ];
        assert_eq!(told().await, BTreeMap::from(again), "{}", world.engine);
        put(4, &[hours(7, 8)], rule(json!(["2027-01-16T08:00"]))).await;
        let told_now = told().await;
        assert_eq!(told_now[&24], ("CANCELLED".into(), "5".into()), "{}", world.engine);
        assert_eq!(told_now[&(100 * 24)], ("CONFIRMED".into(), "5".into()), "{}", world.engine);
        world.clock.set(hours(48, 49).from);
        assert_eq!(
            told().await.keys().copied().collect::<Vec<_>>(),
            [100 * 24, 199 * 24],
            "{}",
            world.engine
        );
    }
}

#[actix_web::test]
async fn a_feed_is_read_by_whoever_has_its_secret_until_it_ends() {
    for world in World::each(1, 1).await {
        let secret = "a".repeat(64);
        let open = json!({ "sha256": Digest::of(secret.as_bytes()) });
        let path = format!("/v1/feeds/{secret}.ics");
        assert_eq!(world.code("GET", &path, ()).await, "feed.unknown");
        assert_eq!(world.call("POST", "/v1/feeds", &open).await.0, 204);
        assert_eq!(world.code("POST", "/v1/feeds", &open).await, "feed.taken");
        assert_eq!(
            world.code("GET", &format!("/v1/feeds/{}.ics", Digest::of(secret.as_bytes())), ()).await,
            "feed.unknown",
            "the digest opens nothing"
        );
        let is_open = |secret: String| {
            let digest = Digest::of(secret.as_bytes());
            world.read(move |tx| super::store::is_feed(tx, &digest))
        };
        assert!(is_open(secret.clone()).await);
        world.sql("UPDATE person SET disabled = 1").await;
        assert!(!is_open(secret.clone()).await, "its owner has no access any more");
        world.sql("UPDATE person SET disabled = NULL").await;
        assert_eq!(world.call("DELETE", "/v1/feeds", ()).await.0, 204);
        assert!(!is_open(secret.clone()).await);
        for n in 0..20 {
            let open = json!({ "sha256": Digest::of(format!("{n}").as_bytes()) });
            assert_eq!(world.call("POST", "/v1/feeds", &open).await.0, 204);
        }
        let open = json!({ "sha256": Digest::of(b"one more") });
        assert_eq!(world.code("POST", "/v1/feeds", &open).await, "feed.too_many");
    }
}

/// Whoever guesses is not listened to after a while; a calendar program at the same address is.
#[actix_web::test]
async fn addresses_of_feeds_are_not_tried_one_after_the_other() {
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use actix_web::web::Data;
    for world in World::each(1, 1).await {
        let secret = "a".repeat(64);
        let open = json!({ "sha256": Digest::of(secret.as_bytes()) });
        assert_eq!(world.call("POST", "/v1/feeds", &open).await.0, 204);
        let app = actix_web::App::new()
            .app_data(Data::new(world.clock.clone()))
            .app_data(Data::new(world.node.db.clone()))
            .app_data(Data::new(world.config.clone()))
            .app_data(Data::new(crate::kernel::http::tries::Guesses::<super::Feeds>::default()))
            .configure(super::people);
        let app = init_service(app).await;
        let get = async |secret: &str, from: &str| {
            let request = TestRequest::get().uri(&format!("/v1/feeds/{secret}.ics"));
            let request = request.peer_addr(format!("{from}:9").parse().unwrap()).to_request();
            let answer = call_service(&app, request).await;
            let status = answer.status().as_u16();
            (status, answer.headers().contains_key("retry-after"), read_body(answer).await)
        };
        let mut told = Vec::new();
        for n in 0..80 {
            told.push(get(&format!("{n:064}"), "192.0.2.7").await.0);
        }
        assert_eq!((told[0], told[59], told[60], told[79]), (404, 404, 429, 429), "{told:?}");
        assert_eq!(
            get(&secret, "192.0.2.7").await.0,
            200,
            "{}: what counts is read all the time",
            world.engine
        );
        assert_eq!(get("wrong", "192.0.2.8").await.0, 404, "others are not held to that");
    }
}
