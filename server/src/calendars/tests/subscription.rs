//! Calendars that are read from an address, on both databases, with a real server on loopback.

use super::told;
use crate::calendars::subscription::{Brought, Failed, Reader, Taken, record, take};
use crate::changes::tests::world::{NOW, World};
use crate::kernel::testpeer::{Answer, Receiver};
use serde_json::{Value, json};
use shared::time::{Interval, Timestamp};
use std::sync::Arc;

const PATH: &str = "/v1/calendars/freeze";
const SUBSCRIPTION: &str = "/v1/calendars/freeze/subscription";
const ACCEPT: &str = "/v1/calendars/freeze/accept";

/// Worlds whose server may read from this machine, and trusts the authority of its own certificates.
async fn worlds() -> Vec<World> {
    let mut worlds = World::each(1, 1).await;
    for world in &mut worlds {
        world.config.reach = "127.0.0.0/8 ::1/128".parse().unwrap();
        world.config.outgoing_ca = world.data_dir().join("tls/ca.crt");
    }
    worlds
}

fn wish(url: &str) -> Value {
    json!({
        "url": url, "every_s": 3_600, "zone": "Europe/Berlin", "reason": "kept by the office",
        "calendar": { "title": "office freeze", "mode": "hard", "holds": ["standard", "normal"] },
    })
}

async fn subscribe(world: &World, receiver: &Receiver) -> Value {
    world.good("PUT", SUBSCRIPTION, wish(&receiver.url)).await
}

/// An iCalendar file of events, in hours from the start of the test.
fn file(events: &[(i64, i64)]) -> String {
    let stamp = |hour: i64| NOW.plus(hour * 3_600).to_string().replace(['-', ':'], "");
    let event = |(from, until): &(i64, i64)| {
        let (from, until) = (stamp(*from), stamp(*until));
        format!(
            "BEGIN:VEVENT\r\nUID:{from}\r\nSUMMARY:a freeze\r\nDTSTART:{from}\r\nDTEND:{until}\r\nEND:VEVENT\r\n"
        )
    };
    let events: String = events.iter().map(event).collect();
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\n{events}END:VCALENDAR\r\n")
}

fn hours(times: &[(i64, i64)]) -> Vec<Interval> {
    let at = |hour: i64| NOW.plus(hour * 3_600);
    times.iter().map(|(from, until)| Interval { from: at(*from), until: at(*until) }).collect()
}

fn reader(world: &World) -> Reader {
    Reader::new(&world.node.db, &Arc::new(world.config.clone()), &world.clock)
}

async fn read(world: &World) {
    reader(world).read_due().await.unwrap();
}

fn later(world: &World, secs: i64) {
    world.clock.set(world.now().plus(secs));
}

/// Serves these events from now on, and has them read an interval later.
async fn read_next(world: &World, receiver: &Receiver, events: &[(i64, i64)]) -> Value {
    receiver.answers(Answer::file(&[], &file(events)));
    later(world, 4_400);
    read(world).await;
    world.good("GET", PATH, ()).await
}

/// Of the calendar as it is shown now.
async fn tag(world: &World) -> String {
    world.if_match("GET", PATH, None, ()).await.1.unwrap()
}

fn upcoming(shown: &Value) -> Vec<Interval> {
    serde_json::from_value(shown["upcoming"].clone()).unwrap()
}

#[actix_web::test]
async fn a_calendar_is_read_again_and_again_and_holds_hosts_as_an_imported_one() {
    for world in worlds().await {
        let receiver = Receiver::tls(world.data_dir()).await;
        let url = receiver.url.replace("https://", "https://reader:p%40ss@");
        let shown = world.good("PUT", SUBSCRIPTION, wish(&url)).await;
        assert_eq!((&shown["history"], &shown["upcoming"]), (&json!([]), &json!([])), "{}", world.engine);
        let line = world.good("GET", "/v1/calendars", ()).await[0].clone();
        assert_eq!((&line["title"], &line["revision"]), (&json!("office freeze"), &json!(0)));
        let versions = [("etag", "\"v1\""), ("last-modified", "Fri, 20 Nov 2026 10:00:00 GMT")];
        receiver.answers(Answer::file(&versions, &file(&[(10, 12), (20, 22), (-9, -8)])));
        read(&world).await;
        let asked = receiver.take();
        assert_eq!((asked.len(), asked[0].line.as_str()), (1, "GET /hook?a=b HTTP/1.1"));
        assert_eq!(asked[0].headers["authorization"], "Basic cmVhZGVyOnBAc3M=");
        assert!(!asked[0].headers.contains_key("if-none-match"));
        let shown = world.good("GET", PATH, ()).await;
        assert_eq!(upcoming(&shown), hours(&[(10, 12), (20, 22)]));
        let step = &shown["history"][0];
        assert!(step["reason"].as_str().unwrap().starts_with("read from https://***@localhost:"), "{step}");
        assert_eq!(step["calendar"]["title"], "office freeze");
        assert_eq!(told(&world).await.blackouts[0].intervals, hours(&[(10, 12), (20, 22)]));
        let state = &shown["subscription"];
        assert_eq!((&state["read"], &state["changed"]), (&json!(NOW), &json!(NOW)), "{state}");
        assert_eq!(state["stale"], false);
        let next: Timestamp = state["next"].as_str().unwrap().parse().unwrap();
        assert!((3_600..=4_320).contains(&next.since(NOW)), "{next}");
        // Before its time nobody asks; then the other side says that nothing changed.
        later(&world, 3_599);
        read(&world).await;
        assert!(receiver.take().is_empty());
        receiver.status("304 Not Modified");
        world.clock.set(next);
        read(&world).await;
        let asked = receiver.take();
        assert_eq!(asked[0].headers["if-none-match"], "\"v1\"");
        assert_eq!(asked[0].headers["if-modified-since"], "Fri, 20 Nov 2026 10:00:00 GMT");
        let shown = world.good("GET", PATH, ()).await;
        let state = &shown["subscription"];
        assert_eq!((&state["read"], &state["changed"]), (&json!(next), &json!(NOW)), "{state}");
        assert_eq!(shown["history"].as_array().unwrap().len(), 1);
        // The same by other words makes no revision; another event makes one.
        let shown = read_next(&world, &receiver, &[(20, 22), (10, 12)]).await;
        assert_eq!(shown["history"].as_array().unwrap().len(), 1);
        let shown = read_next(&world, &receiver, &[(20, 22), (10, 12), (30, 31)]).await;
        assert_eq!(shown["history"].as_array().unwrap().len(), 2);
        assert_eq!(upcoming(&shown), hours(&[(10, 12), (20, 22), (30, 31)]));
    }
}

#[actix_web::test]
async fn whatever_answers_badly_changes_nothing_and_is_shown() {
    for world in worlds().await {
        let (receiver, target) = (Receiver::plain().await, Receiver::plain().await);
        subscribe(&world, &receiver).await;
        read_next(&world, &receiver, &[(50, 52), (60, 62)]).await;
        let good = world.good("GET", PATH, ()).await;
        let many: Vec<_> = (900..1_401).map(|n| (n, n + 1)).collect();
        let odd = file(&[(50, 52)]).replace("DTEND", "X-END");
        let whole = file(&[(50, 52), (60, 62)]);
        let nested = "BEGIN:VCALENDAR\r\n".repeat(200_000);
        let gzip = [("content-encoding", "gzip")];
        let moved = format!("HTTP/1.1 301 Moved\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", target.url);
        let mut since = Value::Null;
        for (answer, why) in [
            (Answer::Status("500 Oh".into()), "it answered 500"),
            (Answer::Status("404 Gone".into()), "it answered 404"),
            (Answer::ok(), "it answered 204"),
            (Answer::Status("304 Not Modified".into()), "it answered 304"),
            (Answer::Raw(moved.into()), "it answered 301; redirects are not followed"),
            (Answer::file(&[], ""), "this is not an iCalendar file"),
            (Answer::file(&[], "<html>secret</html>"), "this is not an iCalendar file"),
            (Answer::file(&[], &whole[..whole.len() / 2]), "this is not an iCalendar file"),
            (Answer::file(&[], &nested), "components within components"),
            (Answer::file(&[], &odd), "cannot be taken: it has neither an end nor a length"),
            (Answer::file(&[], &file(&many)), "at most 500 single times"),
            (Answer::file(&gzip, &whole), "compressed"),
            (Answer::Endless, "more than 8 MiB"),
            (
                Answer::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\xff\xfe\xfd\xfc".into()),
                "no text (UTF-8)",
            ),
            (
                Answer::Raw(format!("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{whole}").into()),
                "reading: ",
            ),
            (Answer::Raw(b"SSH-2.0-OpenSSH\r\n".into()), "sending: "),
        ] {
            receiver.answers(answer);
            later(&world, 9_000);
            receiver.take();
            read(&world).await;
            assert_eq!(receiver.take().len(), 1, "{}: {why}", world.engine);
            let shown = world.good("GET", PATH, ()).await;
            let state = &shown["subscription"];
            let error = state["last_error"].as_str().unwrap_or_else(|| panic!("{why}: {state}"));
            assert!(error.contains(why) && !error.contains("secret"), "{}: {error}", world.engine);
            assert_eq!(shown["history"], good["history"], "{why}");
            assert_eq!(state["read"], good["subscription"]["read"]);
            if since.is_null() {
                since = state["failing_since"].clone();
            }
            assert_eq!(state["failing_since"], since, "{why}");
        }
        assert!(target.take().is_empty(), "a redirect is not followed");
        // Nothing of it hides for how long it fails, not even the same subscription again.
        later(&world, 86_400);
        let again = subscribe(&world, &receiver).await;
        assert_eq!(again["subscription"]["failing_since"], since);
        assert_eq!(again["subscription"]["stale"], true);
        let shown = read_next(&world, &receiver, &[(50, 52), (60, 62)]).await;
        let state = &shown["subscription"];
        assert!(state["failing_since"].is_null() && state["last_error"].is_null(), "{state}");
        assert_eq!(state["stale"], false);
    }
}

#[actix_web::test]
async fn failures_are_followed_by_growing_pauses_or_the_one_that_is_asked_for() {
    for world in worlds().await {
        let receiver = Receiver::plain().await;
        receiver.status("500 Oh");
        subscribe(&world, &receiver).await;
        let mut pauses = Vec::new();
        let next = async || -> Timestamp {
            let shown = world.good("GET", PATH, ()).await;
            shown["subscription"]["next"].as_str().unwrap().parse().unwrap()
        };
        for _ in 0..6 {
            read(&world).await;
            let next = next().await;
            pauses.push(next.since(world.now()));
            world.clock.set(next);
        }
        assert_eq!(receiver.take().len(), 6, "{}", world.engine);
        assert!(pauses.is_sorted() && pauses[0] <= 72 && pauses[5] >= 7_200, "{pauses:?}");
        receiver.status("503 Busy\r\nretry-after: 50000");
        read(&world).await;
        assert_eq!(next().await, world.now().plus(50_000), "{}", world.engine);
    }
}

#[actix_web::test]
async fn what_would_open_closed_times_waits_for_a_persons_word() {
    for world in worlds().await {
        let receiver = Receiver::plain().await;
        subscribe(&world, &receiver).await;
        let all = [(50, 52), (60, 62), (70, 72), (80, 82)];
        read_next(&world, &receiver, &all).await;
        let few = [(80, 82), (90, 92)];
        let looked = tag(&world).await;
        assert_eq!(tag(&world).await, looked);
        let shown = read_next(&world, &receiver, &few).await;
        let waiting = &shown["subscription"]["waiting"];
        assert_eq!((&waiting["of"], &waiting["lost"]), (&json!(4), &json!(3)), "{}: {waiting}", world.engine);
        let first: Vec<Interval> = serde_json::from_value(waiting["first"].clone()).unwrap();
        assert_eq!(first, hours(&all[..3]));
        assert_eq!(upcoming(&shown), hours(&all), "nothing was opened");
        assert_eq!(told(&world).await.blackouts[0].intervals, hours(&all));
        let since = waiting["since"].clone();
        // It waits on, also when the file comes again, and only what was seen is accepted.
        let shown = read_next(&world, &receiver, &few).await;
        let waiting = &shown["subscription"]["waiting"];
        assert_eq!(waiting["since"], since);
        let accept =
            |waiting: &Value| json!({ "sha256": waiting["sha256"], "reason": "the freeze was called off" });
        let seen = accept(waiting);
        // Whoever looked before it waited takes nothing, and ends nothing.
        for (method, path, body) in [("POST", ACCEPT, seen.clone()), ("DELETE", SUBSCRIPTION, Value::Null)] {
            let (status, _, answer) = world.if_match(method, path, Some(&looked), body).await;
            assert_eq!((status, &answer["code"]), (412, &json!("request.other_version")), "{method} {path}");
        }
        let shown = read_next(&world, &receiver, &[]).await;
        let empty = &shown["subscription"]["waiting"];
        assert_eq!((&empty["lost"], &empty["since"]), (&json!(4), &since), "nothing at all is the same");
        assert_eq!(world.code("POST", ACCEPT, &seen).await, "calendar.nothing_waits");
        // What is whole again waits no more.
        let shown = read_next(&world, &receiver, &all).await;
        assert!(shown["subscription"]["waiting"].is_null(), "{}", world.engine);
        assert_eq!(shown["history"].as_array().unwrap().len(), 1);
        assert_eq!(world.code("POST", ACCEPT, accept(empty)).await, "calendar.nothing_waits");
        let shown = read_next(&world, &receiver, &few).await;
        let wish = accept(&shown["subscription"]["waiting"]);
        let looked = tag(&world).await;
        let (status, _, done) = world.if_match("POST", ACCEPT, Some(&looked), wish).await;
        assert_eq!((status, upcoming(&done)), (200, hours(&few)), "{}", world.engine);
        assert_eq!(done["history"][0]["reason"], "the freeze was called off");
        assert!(done["subscription"]["waiting"].is_null());
        let recorded = world.good("GET", "/v1/audit?action=calendars.accept", ()).await;
        assert_eq!(recorded["records"].as_array().unwrap().len(), 1, "{recorded}");
        // An empty calendar that is accepted holds nothing, and is still read.
        let shown = read_next(&world, &receiver, &[]).await;
        let done = world.good("POST", ACCEPT, accept(&shown["subscription"]["waiting"])).await;
        assert!(upcoming(&done).is_empty() && done["history"][0]["calendar"].is_null(), "{done}");
        assert_eq!(world.good("GET", "/v1/calendars", ()).await[0]["name"], "freeze");
        assert_eq!(told(&world).await.blackouts, []);
        let shown = read_next(&world, &receiver, &few).await;
        assert_eq!(upcoming(&shown), hours(&few), "{}: it begins again", world.engine);
    }
}

/// Of a calendar of windows nothing is opened by what vanishes: it is followed, but for its end, after which nothing would be outside.
#[actix_web::test]
async fn windows_that_vanish_are_followed_and_a_calendar_of_them_ends_by_a_persons_word() {
    for world in worlds().await {
        let receiver = Receiver::plain().await;
        let mut put = wish(&receiver.url);
        put["calendar"]["mode"] = "window".into();
        world.good("PUT", SUBSCRIPTION, put).await;
        read_next(&world, &receiver, &[(50, 52), (60, 62), (70, 72)]).await;
        assert_eq!(told(&world).await.blackouts, [], "{}: hosts are not told", world.engine);
        let shown = read_next(&world, &receiver, &[(80, 82)]).await;
        assert_eq!(upcoming(&shown), hours(&[(80, 82)]), "{}", world.engine);
        assert!(shown["subscription"]["waiting"].is_null());
        let shown = read_next(&world, &receiver, &[]).await;
        assert_eq!(upcoming(&shown), hours(&[(80, 82)]), "{}: it goes on", world.engine);
        let waiting = &shown["subscription"]["waiting"];
        assert_eq!((&waiting["of"], &waiting["lost"]), (&json!(1), &json!(1)), "{waiting}");
        let accept = json!({ "sha256": waiting["sha256"], "reason": "there are none any more" });
        let done = world.good("POST", ACCEPT, accept).await;
        assert!(done["history"][0]["calendar"].is_null(), "{done}");
        let shown = read_next(&world, &receiver, &[(90, 92)]).await;
        assert_eq!(upcoming(&shown), hours(&[(90, 92)]), "{}: it begins again", world.engine);
    }
}

#[actix_web::test]
async fn two_nodes_read_once_and_what_a_dead_one_took_is_read_by_the_other() {
    for world in worlds().await {
        let receiver = Receiver::plain().await;
        receiver.answers(Answer::file(&[], &file(&[(50, 52)])));
        subscribe(&world, &receiver).await;
        let (one, two) = (reader(&world), reader(&world));
        let (first, second) = tokio::join!(one.read_due(), two.read_due());
        first.unwrap();
        second.unwrap();
        assert_eq!(receiver.take().len(), 1, "{}", world.engine);
        later(&world, 4_400);
        let now = world.now();
        // A node takes it and dies before anything is stored.
        assert!(world.write(move |tx| take(tx, 1, now)).await.unwrap().is_some());
        receiver.answers(Answer::file(&[], &file(&[(50, 52), (60, 62)])));
        later(&world, 119);
        read(&world).await;
        assert!(receiver.take().is_empty(), "{}", world.engine);
        later(&world, 1);
        read(&world).await;
        assert_eq!(receiver.take().len(), 1, "{}", world.engine);
        assert_eq!(upcoming(&world.good("GET", PATH, ()).await), hours(&[(50, 52), (60, 62)]));
    }
}

#[actix_web::test]
async fn a_reading_that_comes_late_changes_nothing() {
    for world in worlds().await {
        let receiver = Receiver::plain().await;
        let late = || Err::<Brought, _>(Failed::from("it was late".to_owned()));
        let taking = async |id: i64| {
            let now = world.now();
            world.write(move |tx| take(tx, id, now)).await.unwrap().unwrap()
        };
        let noted = async |taken: Taken| {
            let now = world.now();
            world.write(move |tx| record(tx, &taken, &late(), 0, now)).await.unwrap();
            world.good("GET", PATH, ()).await["subscription"]["last_error"].clone()
        };
        subscribe(&world, &receiver).await;
        // The node slept for longer than the hold, and another one has read meanwhile.
        let slept = taking(1).await;
        later(&world, 120);
        receiver.answers(Answer::file(&[], &file(&[(50, 52)])));
        read(&world).await;
        assert_eq!(noted(slept).await, Value::Null, "{}", world.engine);
        // Another subscription has taken its place while it was being read.
        later(&world, 4_400);
        let replaced = taking(1).await;
        let mut other = wish(&receiver.url);
        other["every_s"] = json!(7_200);
        world.good("PUT", SUBSCRIPTION, other).await;
        assert_eq!(noted(replaced).await, Value::Null, "{}", world.engine);
        let newest = taking(2).await;
        assert_eq!(noted(newest).await, "it was late");
        assert_eq!(upcoming(&world.good("GET", PATH, ()).await), hours(&[(50, 52)]));
    }
}

#[actix_web::test]
async fn a_clock_that_goes_back_does_not_stop_the_readings() {
    for world in worlds().await {
        let receiver = Receiver::plain().await;
        receiver.answers(Answer::file(&[], &file(&[(50, 52)])));
        subscribe(&world, &receiver).await;
        later(&world, 40 * 3_600);
        read(&world).await;
        assert_eq!(receiver.take().len(), 1);
        world.clock.set(NOW);
        read(&world).await;
        assert_eq!(receiver.take().len(), 1, "{}", world.engine);
        read(&world).await;
        assert!(receiver.take().is_empty(), "{}: and not all the time", world.engine);
    }
}

#[actix_web::test]
async fn a_subscription_has_its_limits_keeps_its_address_to_itself_and_ends() {
    for mut world in worlds().await {
        let receiver = Receiver::plain().await;
        let good = wish(&receiver.url);
        let changed = |key: &str, value: Value| {
            let mut wish = good.clone();
            wish[key] = value;
            wish
        };
        let times = json!([{ "from": NOW, "until": NOW.plus(60) }]);
        let mut timed = good.clone();
        timed["calendar"]["times"] = times;
        let mut untitled = good.clone();
        untitled["calendar"]["title"] = json!(" ");
        let mut searching = good.clone();
        searching["calendar"]["search"] = json!("searves:shop");
        for (wish, code) in [
            (changed("url", json!("ftp://a.example/x.ics")), "calendar.bad"),
            (changed("url", json!("http://a.example/x.ics")), "calendar.bad"),
            (changed("url", json!("https://10.0.0.1/x.ics")), "calendar.bad"),
            (changed("url", json!("https://169.254.169.254/")), "calendar.bad"),
            (changed("every_s", json!(899)), "calendar.bad"),
            (changed("every_s", json!(604_801)), "calendar.bad"),
            (changed("zone", json!("Europe/Entenhausen")), "calendar.bad"),
            (changed("reason", json!("")), "calendar.bad"),
            (timed, "calendar.bad"),
            (untitled, "calendar.bad"),
            (searching, "ci.bad_search"),
        ] {
            assert_eq!(world.code("PUT", SUBSCRIPTION, &wish).await, code, "{wish}");
        }
        assert_eq!(world.code("GET", PATH, ()).await, "calendar.unknown");
        assert_eq!(world.code("DELETE", SUBSCRIPTION, ()).await, "calendar.not_subscribed");
        let accept = json!({ "sha256": "0".repeat(64), "reason": "x" });
        assert_eq!(world.code("POST", ACCEPT, &accept).await, "calendar.not_subscribed");
        let secret = receiver.url.replace("/hook?a=b", "/private-abc/x.ics?key=def");
        let shown = world.good("PUT", SUBSCRIPTION, changed("url", json!(secret))).await;
        let listed = world.good("GET", "/v1/calendars", ()).await;
        for text in [shown.to_string(), listed.to_string()] {
            assert!(text.contains("127.0.0.1") && !text.contains("abc") && !text.contains("def"), "{text}");
        }
        assert_eq!(world.code("POST", ACCEPT, &accept).await, "calendar.nothing_waits");
        let shown = read_next(&world, &receiver, &[(50, 52)]).await;
        // By hand it is not changed meanwhile, and afterwards it stays as it was.
        let put = super::put(1, super::frozen(3_600, 7_200));
        assert_eq!(world.code("PUT", PATH, &put).await, "calendar.subscribed");
        assert_eq!(
            world.code("PUT", PATH, json!({ "after": 1, "reason": "x" })).await,
            "calendar.subscribed"
        );
        assert_eq!(world.call("DELETE", SUBSCRIPTION, ()).await.0, 204);
        let ended = world.good("GET", PATH, ()).await;
        assert!(ended["subscription"].is_null(), "{}", world.engine);
        assert_eq!(upcoming(&ended), upcoming(&shown));
        later(&world, 9_000);
        receiver.take();
        read(&world).await;
        assert!(receiver.take().is_empty(), "{}", world.engine);
        world.good("PUT", PATH, &put).await;
        for n in 0..50 {
            world.good("PUT", &format!("/v1/calendars/n{n}/subscription"), &good).await;
        }
        assert_eq!(world.code("PUT", SUBSCRIPTION, &good).await, "calendar.too_many_subscriptions");
        let token = world.token("auditor", "reader").await;
        let reply = world.call_on(&world.node, ("DELETE", "/v1/calendars/n1/subscription"), &token, vec![]);
        assert_eq!(reply.await.0, 403);
        // What the configuration does not name any more is not read either.
        world.config.reach = Default::default();
        later(&world, 9_000);
        read(&world).await;
        assert!(receiver.take().is_empty(), "{}", world.engine);
        let shown = world.good("GET", "/v1/calendars/n1", ()).await;
        let error = shown["subscription"]["last_error"].as_str().unwrap();
        assert!(error.contains("outgoing.networks"), "{error}");
    }
}
