//! What people read, edit and write back: of two who looked at the same, one writes, on whichever node and database.

use super::routes::{Port, on};
use crate::changes::tests::world::{Node, TOKEN, World};
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::strict;
use std::collections::BTreeSet;

/// Something that is written back whole.
struct Kept {
    /// The route that writes it.
    route: &'static str,
    read: String,
    write: String,
    /// What the n-th writer makes of it, having seen this revision.
    body: fn(usize, u64) -> Value,
    /// It is there before anybody writes it.
    there: bool,
    /// The same again is found done, whatever it was meant for.
    again: bool,
}

fn all(host: &str) -> Vec<Kept> {
    let of = |route, path: &str, body| Kept {
        route,
        read: path.to_owned(),
        write: path.to_owned(),
        body,
        there: false,
        again: false,
    };
    let freeze = "/v1/calendars/freeze";
    vec![
        of("storeCalendar", "/v1/calendars/year-end", |n, after| {
            let times = [json!({ "from": "2027-01-01T00:00:00Z", "until": "2027-01-02T00:00:00Z" })];
            let title = format!("closing {n}");
            let calendar = json!({ "title": title, "mode": "hard", "holds": ["normal"], "times": times });
            json!({ "after": after, "reason": "asked for", "calendar": calendar })
        }),
        Kept {
            write: format!("{freeze}/subscription"),
            ..of("subscribeCalendar", freeze, |n, _| {
                let calendar = json!({ "title": "freeze", "mode": "hard", "holds": ["normal"] });
                let url = "https://calendar.example.org/freeze.ics";
                json!({ "url": url, "every_s": 3_600 + n, "zone": "UTC", "reason": "x", "calendar": calendar })
            })
        },
        of("storeBudget", "/v1/budgets/db", |n, after| {
            let budget = json!({ "title": format!("databases {n}"), "slots": 1, "lease_s": 600 });
            json!({ "after": after, "reason": "agreed", "budget": budget })
        }),
        Kept {
            again: true,
            ..of(
                "saveSearch",
                "/v1/searches/old",
                |n, _| json!({ "query": "label:a", "about": n.to_string() }),
            )
        },
        Kept {
            again: true,
            ..of(
                "declareItem",
                "/v1/declarations/service:shop",
                |n, _| json!({ "reason": "survey", "declared": { "owner": format!("team-{n}") } }),
            )
        },
        Kept {
            there: true,
            again: true,
            ..of(
                "labelHost",
                &format!("/v1/hosts/{host}/labels"),
                |n, _| json!({ "reason": "test", "labels": { "role": n.to_string() } }),
            )
        },
    ]
}

async fn send(
    world: &World,
    node: &Node,
    to: (&str, &str),
    header: Option<(&str, &str)>,
    body: &Value,
) -> (u16, Option<String>, Value) {
    let token = format!("Bearer {TOKEN}");
    let headers: Vec<_> = [("authorization", token.as_str())].into_iter().chain(header).collect();
    let body = if body.is_null() { Vec::new() } else { strict::to_json(body) };
    let (status, tag, answer) = world.insist_on(node, to, &headers, body).await;
    (status, tag, serde_json::from_slice(&answer).unwrap_or_default())
}

fn revision(shown: &Value) -> u64 {
    shown["history"][0]["revision"].as_u64().unwrap_or_default()
}

#[actix_web::test]
async fn of_two_who_looked_at_the_same_one_writes_and_nothing_is_made_twice() {
    for world in World::each(1, 1).await {
        let second = world.second_node().await;
        for kept in all(&world.hosts[0].name) {
            check(&world, [&world.node, &second], &kept).await;
        }
        tokio::task::spawn_blocking(move || drop(second)).await.unwrap();
    }
}

async fn check(world: &World, [first, second]: [&Node; 2], kept: &Kept) {
    let place = format!("{} {}", world.engine, kept.route);
    let look = async |node| send(world, node, ("GET", &kept.read), None, &Value::Null).await;
    let write = async |node, header: Option<(&str, &str)>, body: Value| {
        let (status, _, answer) = send(world, node, ("PUT", &kept.write), header, &body).await;
        (status, answer["code"].as_str().unwrap_or_default().to_owned())
    };
    let refused = |code: &str| (412, code.to_owned());
    let anything = Some(("if-match", "*"));
    let nothing = Some(("if-none-match", "*"));
    if !kept.there {
        assert_eq!(write(first, anything, (kept.body)(0, 0)).await, refused("request.not_there"), "{place}");
        assert_eq!(look(first).await.0, 404, "{place}: refused and made");
        let makers = (0..4).map(|n| write([first, second][n % 2], nothing, (kept.body)(n, 0)));
        let made = join_all(makers).await;
        let (good, bad): (Vec<_>, Vec<_>) = made.into_iter().partition(|(status, _)| *status < 300);
        assert_eq!((good.len(), bad), (1, vec![refused("request.exists"); 3]), "{place}");
    }
    let (_, tag, shown) = look(first).await;
    let tag = tag.unwrap();
    assert_eq!(
        look(second).await,
        (200, Some(tag.clone()), shown.clone()),
        "{place}: the same on both nodes"
    );
    let seen = revision(&shown);
    let writers = (10..18).map(|n| {
        let node = [first, second][n % 2];
        write(node, Some(("if-match", &tag)), (kept.body)(n, seen))
    });
    let wrote = join_all(writers).await;
    let winner = wrote.iter().position(|(status, _)| *status < 300).unwrap() + 10;
    let lost: Vec<_> = wrote.into_iter().filter(|(status, _)| *status >= 300).collect();
    assert_eq!(lost, vec![refused("request.other_version"); 7], "{place}");
    let (_, moved, after) = look(second).await;
    let moved = moved.unwrap();
    assert_ne!((&moved, &after), (&tag, &shown), "{place}");
    // Its answer was lost, and it comes again.
    let again = write(first, Some(("if-match", &tag)), (kept.body)(winner, seen)).await;
    assert_eq!(again.0 < 300, kept.again, "{place}: {again:?}");
    for bad in ["\"other\"", "nonsense", &format!("W/{moved}")] {
        let wish = write(first, Some(("if-match", bad)), (kept.body)(20, revision(&after))).await;
        assert_eq!(wish, refused("request.other_version"), "{place}: {bad}");
    }
    assert_eq!(look(first).await, (200, Some(moved.clone()), after.clone()), "{place}: refused and written");
    let both = format!("\"other\", {moved}");
    let next = write(second, Some(("if-match", &both)), (kept.body)(21, revision(&after))).await;
    assert!(next.0 < 300, "{place}: {next:?}");
    let without = write(first, None, (kept.body)(22, revision(&look(first).await.2))).await;
    assert!(without.0 < 300, "{place}: {without:?}");
}

/// A route that takes a condition is tried here, or moves a change: those have tests of their own.
#[test]
fn every_route_with_a_condition_is_tried() {
    let conditional =
        on(Port::People).filter(|route| route.headers.iter().any(|(name, _)| *name == "If-Match"));
    let conditional = conditional.filter(|route| !route.path.starts_with("/v1/changes/"));
    let described: BTreeSet<&str> = conditional.map(|route| route.id).collect();
    let tried = all("a").into_iter().map(|kept| kept.route);
    // With what they end or accept.
    let elsewhere = ["forgetSearch", "unsubscribeCalendar", "acceptCalendar"];
    assert_eq!(described, tried.chain(elsewhere).collect());
}
