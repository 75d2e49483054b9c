//! Calendars on both databases: what is stored, what hosts are told, and what stands in a host's way.

mod subscription;

use crate::changes;
use crate::changes::tests::world::{NOW, World};
use serde_json::{Value, json};
use shared::bundle::Control;
use shared::time::{Interval, Timestamp};
use shared::tuf::TargetName;

fn frozen(from: i64, until: i64) -> Value {
    json!({
        "title": "closing of the books", "mode": "hard", "holds": ["standard", "normal"],
        "times": [{ "from": NOW.plus(from).to_string(), "until": NOW.plus(until).to_string() }],
    })
}

fn put(after: u32, calendar: Value) -> Value {
    json!({ "after": after, "reason": "asked for by accounting", "calendar": calendar })
}

/// What hosts are told, as they get it from the repository.
async fn told(world: &World) -> Control {
    changes::control(&world.node.db, &world.node.repository, world.now()).await.unwrap();
    let file = world.file(&TargetName::Control).await;
    file.map_or_else(Control::default, |bytes| Control::parse(&bytes).unwrap())
}

#[actix_web::test]
async fn a_calendar_is_kept_revision_by_revision_and_nobody_overwrites_another() {
    for world in World::each(1, 1).await {
        let path = "/v1/calendars/year-end";
        assert_eq!(world.code("GET", path, ()).await, "calendar.unknown");
        let first = world.good("PUT", path, put(0, frozen(3_600, 7_200))).await;
        assert_eq!(first["history"][0]["revision"], 1);
        assert_eq!(first["upcoming"].as_array().unwrap().len(), 1);
        assert_eq!(world.code("PUT", path, put(0, frozen(0, 60))).await, "calendar.moved");
        let longer = world.good("PUT", path, put(1, frozen(3_600, 9_000))).await;
        assert_eq!(longer["history"].as_array().unwrap().len(), 2);
        assert_eq!(longer["history"][1]["calendar"], first["history"][0]["calendar"], "the old one stays");
        let lines = world.good("GET", "/v1/calendars", ()).await;
        assert_eq!((lines[0]["name"].as_str(), lines[0]["mode"].as_str()), (Some("year-end"), Some("hard")));
        assert!(lines[0]["hosts"].is_null(), "it holds all");
        let ended = world.good("PUT", path, json!({ "after": 2, "reason": "the books are closed" })).await;
        assert_eq!(
            (ended["upcoming"].as_array().unwrap().len(), ended["history"][0]["revision"].as_u64()),
            (0, Some(3))
        );
        assert_eq!(world.good("GET", "/v1/calendars", ()).await, json!([]));
        // It can begin again.
        world.good("PUT", path, put(3, frozen(3_600, 7_200))).await;
    }
}

#[actix_web::test]
async fn a_calendar_that_says_nothing_usable_is_refused_with_what_is_wrong() {
    for world in World::each(1, 1).await {
        let good = frozen(3_600, 7_200);
        let rule = |rrule: &str, zone: &str, end: i64| json!([{ "rrule": rrule, "first": "2026-11-20T22:00", "end": { "after_s": end }, "zone": zone }]);
        let yearly = "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24";
        for (key, value, why) in [
            ("title", json!(" "), "the title"),
            ("title", json!("two\nlines"), "one line"),
            ("holds", json!([]), "must hold"),
            ("holds", json!(["retroactive"]), "must hold"),
            ("times", json!([]), "neither rules nor times"),
            ("times", json!([{ "from": NOW.to_string(), "until": NOW.to_string() }]), "ends after it begins"),
            ("rules", rule(yearly, "Europe/Entenhausen", 3_600), "does not know the time zone"),
            ("rules", rule(yearly, "Europe/Berlin", 30), "a minute to two months"),
            ("rules", rule(yearly, "Europe/Berlin", 63 * 86_400), "a minute to two months"),
            ("rules", rule("FREQ=DAILY", "Europe/Berlin", 90_000), "overlap"),
            (
                "rules",
                rule("FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30", "UTC", 3_600),
                "no time within eleven years",
            ),
        ] {
            let mut bad = good.clone();
            bad[key] = value;
            let (status, problem) = world.call("PUT", "/v1/calendars/bad", put(0, bad)).await;
            assert_eq!((status, problem["code"].as_str()), (422, Some("calendar.bad")), "{key} {problem}");
            assert!(problem["why"].as_str().unwrap().contains(why), "{problem}");
        }
        for (key, value) in
            [("mode", json!("soft")), ("rules", rule("FREQ=HOURLY", "UTC", 3_600)), ("extra", json!(1))]
        {
            let mut bad = good.clone();
            bad[key] = value;
            assert_eq!(
                world.code("PUT", "/v1/calendars/bad", put(0, bad)).await,
                "request.bad_json",
                "{key}"
            );
        }
        assert_eq!(world.code("PUT", "/v1/calendars/Bad", put(0, good)).await, "request.bad_parameter");
        assert_eq!(world.good("GET", "/v1/calendars", ()).await, json!([]), "nothing was stored");
    }
}

#[actix_web::test]
async fn hosts_are_told_of_hard_blackouts_and_of_nothing_twice() {
    for mut world in World::each(1, 2).await {
        assert_eq!(told(&world).await, Control::default(), "nothing to say");
        let mut warn = frozen(0, 3_600);
        warn["mode"] = "warn".into();
        world.good("PUT", "/v1/calendars/quiet", put(0, warn)).await;
        assert_eq!(told(&world).await, Control::default(), "hosts are not warned");
        world.good("PUT", "/v1/calendars/year-end", put(0, frozen(3_600, 7_200))).await;
        let control = told(&world).await;
        let interval = Interval { from: NOW.plus(3_600), until: NOW.plus(7_200) };
        assert_eq!((control.blackouts.len(), &control.blackouts[0].intervals), (1, &vec![interval]));
        assert_eq!(control.blackouts[0].agents, None);
        let version = |world: &World| {
            let db = world.node.db.clone();
            async move { db.read("version", crate::manifests::timestamp_version).await.unwrap() }
        };
        let before = version(&world).await;
        world.clock.set(NOW.plus(30));
        told(&world).await;
        assert_eq!(version(&world).await, before, "nothing new, nothing signed");
        // A halted change and a blackout are both in it.
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| {}).await;
        world.approve(&of, "peer").await;
        let id = &of.change.body.change_id;
        world.good("POST", &format!("/v1/changes/{id}/halt"), json!({ "note": "wait" })).await;
        world.publish_waiting().await;
        let control = told(&world).await;
        assert_eq!((control.halted.len(), control.blackouts.len()), (1, 1));
        // By label: the host gets in when it gets the label.
        let mut labelled = frozen(3_600, 7_200);
        labelled["labels"] = json!({ "role": "books" });
        world.good("PUT", "/v1/calendars/year-end", put(1, labelled)).await;
        assert_eq!(told(&world).await.blackouts[0].agents, Some([].into()));
        let lines = world.good("GET", "/v1/hosts", ()).await;
        let agent = world.hosts[0].agent().to_string();
        let line = lines.as_array().unwrap().iter().find(|line| line["agent"] == agent).unwrap();
        let ci = line["ci"].as_str().unwrap().to_owned();
        world
            .good(
                "PUT",
                &format!("/v1/hosts/{ci}/labels"),
                json!({ "reason": "test", "labels": { "role": "books", "site": "north" } }),
            )
            .await;
        let held = told(&world).await.blackouts[0].agents.clone().unwrap();
        assert_eq!(held, [world.hosts[0].agent()].into());
        world.clock.set(NOW.plus(2 * 86_400));
        assert_eq!(told(&world).await.blackouts, [], "what is over is not told any more");
    }
}

/// A blackout of a service is one of the hosts that it stands on, as the CMDB declares it at the time.
#[actix_web::test]
async fn a_search_holds_whom_it_finds_now_whatever_becomes_of_saved_searches() {
    for world in World::each(1, 2).await {
        let path = "/v1/calendars/year-end";
        let runs_on = async |host: usize| {
            let to = format!("host:{}", world.hosts[host].name);
            let item = json!({ "item": "service:shop", "relations": [{ "kind": "runs_on", "to": to }] });
            world.good("POST", "/v1/declarations", json!({ "reason": "moved", "items": [item] })).await;
        };
        let held = async || told(&world).await.blackouts[0].agents.clone();
        let searched = |query: &str| {
            let mut calendar = frozen(3_600, 7_200);
            calendar["search"] = json!(query);
            calendar
        };
        for (query, code) in [
            ("serves:", "ci.bad_search"),
            ("searves:shop", "ci.bad_search"),
            ("saved:nobody", "ci.search_unknown"),
        ] {
            assert_eq!(world.code("PUT", path, put(0, searched(query))).await, code, "{query}");
        }
        world.good("PUT", "/v1/searches/shop-hosts", json!({ "query": "serves:shop" })).await;
        let file = world.good("PUT", path, put(0, searched("class:host saved:shop-hosts"))).await;
        let kept = file["history"][0]["calendar"]["search"].as_str().unwrap().to_owned();
        assert_eq!(kept, "class:host serves:shop", "the saved one is put in");
        world.good("DELETE", "/v1/searches/shop-hosts", ()).await;
        assert_eq!(held().await, Some([].into()), "{}: nobody yet", world.engine);
        runs_on(0).await;
        assert_eq!(held().await, Some([world.hosts[0].agent()].into()), "{}", world.engine);
        runs_on(1).await;
        assert_eq!(held().await, Some([world.hosts[1].agent()].into()), "{}: it was moved", world.engine);
        let lines = world.good("GET", "/v1/calendars", ()).await;
        assert_eq!(lines[0]["hosts"], 1);
        // Free times of the service are those of its hosts.
        let span = format!("from={}&until={}", NOW, NOW.plus(9_000));
        let free = world.good("GET", &format!("/v1/free-times?search=serves:shop&{span}"), ()).await;
        assert_eq!((free["hosts"].as_u64(), free["free"].as_array().unwrap().len()), (Some(1), 2), "{free}");
        let other = format!("/v1/free-times?host={}&{span}", world.hosts[0].name);
        assert_eq!(world.good("GET", &other, ()).await["free"].as_array().unwrap().len(), 1);
        // A search that cannot be followed any more holds too many, not too few; and halts go on to be told.
        let chain: Vec<Value> = (0..25)
            .map(|n| json!({ "item": format!("data:d{n}"), "relations": [{ "kind": "depends_on", "to": format!("data:d{}", n + 1) }] }))
            .rev()
            .collect();
        let last = json!([{ "item": "data:d25" }]);
        let first =
            json!([{ "item": "service:shop", "relations": [{ "kind": "depends_on", "to": "data:d0" }] }]);
        for items in [last, json!(chain), first] {
            world.good("POST", "/v1/declarations", json!({ "reason": "far", "items": items })).await;
        }
        assert_eq!(held().await, None, "{}: all hosts", world.engine);
    }
}

#[actix_web::test]
async fn why_not_yet_names_the_blackout_and_its_end() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| {}).await;
        world.approve(&of, "peer").await;
        let open = of.change.body.intervals[0].from;
        world.good("PUT", "/v1/calendars/year-end", put(0, frozen(0, 2 * 3_600))).await;
        world.clock.set(open.plus(60).max(NOW.plus(60)));
        let path = format!("/v1/why/{}/{}", world.hosts[0].name, of.change.body.change_id);
        let why = world.good("GET", &path, ()).await;
        assert_eq!(why["code"], "time.blackout", "{why}");
        assert_eq!(why["retry_at"].as_str().unwrap().parse::<Timestamp>().unwrap(), NOW.plus(2 * 3_600));
        assert!(why["message"].as_str().unwrap().contains("closing of the books"), "{why}");
        let mut others = frozen(0, 2 * 3_600);
        others["labels"] = json!({ "role": "books" });
        world.good("PUT", "/v1/calendars/year-end", put(1, others)).await;
        assert_ne!(world.good("GET", &path, ()).await["code"], "time.blackout");
    }
}

#[test]
fn a_rule_of_a_calendar_gives_the_times_that_touch_a_span() {
    let calendar: shared::wire::Calendar = serde_json::from_value(json!({
        "title": "weekend", "mode": "hard", "holds": ["normal"],
        "rules": [{ "rrule": "FREQ=WEEKLY;BYDAY=FR", "first": "2026-11-20T18:00", "end": { "after_s": 220_000 }, "zone": "Europe/Berlin" }],
        "times": [{ "from": "2026-12-01T00:00:00Z", "until": "2026-12-02T00:00:00Z" }],
    }))
    .unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let times = |from: &str, until: &str| {
        let found =
            crate::calendars::model::times(&calendar, Interval { from: at(from), until: at(until) }).unwrap();
        found.iter().map(|one| one.from.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        times("2026-11-28T12:00:00Z", "2026-12-05T00:00:00Z"),
        ["2026-11-27T17:00:00Z", "2026-12-01T00:00:00Z", "2026-12-04T17:00:00Z"]
    );
    assert_eq!(times("2026-12-02T00:00:00Z", "2026-12-04T17:00:00Z"), [] as [&str; 0]);
    assert_eq!(
        times("2026-07-03T00:00:00Z", "2026-07-05T00:00:00Z"),
        [] as [&str; 0],
        "before its first day"
    );
    assert_eq!(
        times("2027-07-02T00:00:00Z", "2027-07-03T00:00:00Z"),
        ["2027-07-02T16:00:00Z"],
        "summer time"
    );
}
