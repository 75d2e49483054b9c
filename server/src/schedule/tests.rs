//! Conflicts and free times on both databases, and the arithmetic of times.

use super::model::without;
use crate::changes::tests::world::{NOW, World};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::time::{Interval, Timestamp};

fn hours(from: i64, until: i64) -> Interval {
    Interval { from: NOW.plus(from * 3_600), until: NOW.plus(until * 3_600) }
}

fn calendar(mode: &str, times: &[Interval]) -> Value {
    let calendar =
        json!({ "title": "closing of the books", "mode": mode, "holds": ["normal"], "times": times });
    json!({ "after": 0, "reason": "asked for", "calendar": calendar })
}

fn told(conflicts: &Value) -> Vec<(String, String, u64)> {
    let one = |conflict: &Value| {
        let text = |key: &str| conflict[key].as_str().unwrap().to_owned();
        (text("kind"), text("with"), conflict["hosts"].as_u64().unwrap())
    };
    conflicts.as_array().unwrap().iter().map(one).collect()
}

#[actix_web::test]
async fn what_gets_in_the_way_of_a_change_is_listed_the_worst_first() {
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let window = vec![hours(1, 3)];
        let open = |change: &mut shared::change::Change, times: &[Interval]| {
            change.intervals = times.to_vec();
            change.not_after = times.last().unwrap().until;
        };
        let first = world.in_review(&base, |change| open(change, &window)).await;
        let second = world.in_review(&base, |change| open(change, &[hours(2, 4)])).await;
        let third = world.in_review(&base, |change| open(change, &[hours(3, 5)])).await;
        let id = |of: &crate::changes::tests::world::Reviewed| of.change.body.change_id.to_string();
        let path = format!("/v1/changes/{}/conflicts", id(&first));
        assert_eq!(told(&world.good("GET", &path, ()).await), [("same_hosts".into(), id(&second), 2)]);
        assert_eq!(
            told(&world.good("GET", &format!("/v1/changes/{}/conflicts", id(&third)), ()).await),
            [("same_hosts".into(), id(&second), 2)],
            "windows that only touch do not overlap"
        );
        world.good("PUT", "/v1/calendars/audit", calendar("warn", &[hours(0, 9)])).await;
        world.good("PUT", "/v1/calendars/year-end", calendar("hard", &[hours(2, 9)])).await;
        let all = world.good("GET", &path, ()).await;
        assert_eq!(
            told(&all),
            [
                ("blackout".into(), "year-end".into(), 2),
                ("warning".into(), "audit".into(), 2),
                ("same_hosts".into(), id(&second), 2)
            ]
        );
        assert_eq!(all[0]["at"]["from"].as_str(), Some(hours(2, 3).from.to_string().as_str()));
        assert_eq!(all[0]["at"]["until"].as_str(), Some(hours(2, 3).until.to_string().as_str()));
        world.good("PUT", "/v1/calendars/all-day", calendar("hard", &[hours(0, 2), hours(2, 9)])).await;
        assert_eq!(told(&world.good("GET", &path, ()).await)[0], ("closed".into(), "all-day".into(), 2));
        world.good("POST", &format!("/v1/changes/{}/withdraw", id(&second)), json!({ "note": "no" })).await;
        assert!(told(&world.good("GET", &path, ()).await).iter().all(|(kind, ..)| kind != "same_hosts"));
        assert_eq!(world.code("GET", "/v1/changes/C-999/conflicts", ()).await, "change.unknown");
    }
}

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

proptest! {
    /// Each moment is either free or taken, free times do not touch, and order does not matter.
    #[test]
    fn free_and_taken_are_the_whole(taken in proptest::collection::vec((0..100i64, 0..20i64), 0..12)) {
        let span = Interval { from: Timestamp(10), until: Timestamp(90) };
        let times: Vec<_> =
            taken.iter().map(|(from, length)| Interval { from: Timestamp(*from), until: Timestamp(from + length) }).collect();
        let free = without(span, times.iter().copied());
        for at in (10..90).map(Timestamp) {
            let is_taken = times.iter().any(|time| time.contains(at));
            prop_assert_eq!(free.iter().any(|time| time.contains(at)), !is_taken);
        }
        prop_assert!(free.windows(2).all(|pair| pair[0].until < pair[1].from));
        prop_assert!(free.iter().all(|time| !time.is_empty() && time.from >= span.from && time.until <= span.until));
        let mut turned = times;
        turned.reverse();
        prop_assert_eq!(without(span, turned), free);
    }
}
