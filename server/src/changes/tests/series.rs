//! Changes that come again: one occurrence at a time, submitted by itself when its author asked for that.

use super::world::{NOW, World};
use crate::changes::tend;
use serde_json::{Value, json};
use shared::change::ManifestUse;
use shared::ids::ChangeId;
use shared::time::{Interval, Timestamp};

const DAY: i64 = 86_400;

/// A draft of the series whose one window begins then; the code of the refusal, or nothing.
async fn occurrence(world: &World, base: &ManifestUse, from: Timestamp) -> (ChangeId, String) {
    let id = world.number().await;
    let mut change = world.change(&id, 1, base);
    change.intervals = vec![Interval { from, until: from.plus(3_600) }];
    change.not_after = from.plus(3_600);
    change.series = Some("patch-day".parse().unwrap());
    let change = world.sign(change);
    let path = format!("/v1/changes/{id}/revisions/1");
    let (status, answer) = world.call("PUT", &path, &change.envelope).await;
    (id, if status == 200 { String::new() } else { answer["code"].as_str().unwrap().into() })
}

async fn course(world: &World, id: &ChangeId) -> Vec<Value> {
    world.good("GET", &format!("/v1/changes/{id}/course"), ()).await.as_array().unwrap().clone()
}

#[actix_web::test]
async fn a_draft_is_submitted_by_itself_once_when_its_author_asked_for_it() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let (id, _) = occurrence(&world, &base, NOW.plus(DAY)).await;
        let (other, _) = occurrence(&world, &base, NOW.plus(DAY + 7_200)).await;
        let path = format!("/v1/changes/{id}/submit-later");
        for bad in [NOW, NOW.plus(-1), NOW.plus(DAY + 3_600), NOW.plus(99 * DAY)] {
            assert_eq!(world.code("POST", &path, json!({ "at": bad })).await, "change.submit_at", "{bad}");
        }
        for odd in [json!({ "at": 7 }), json!({ "when": NOW }), json!({}), json!({ "at": null }), json!([])] {
            assert_eq!(world.code("POST", &path, odd).await, "request.bad_json");
        }
        let at = NOW.plus(3_600);
        let line = world.good("POST", &path, json!({ "at": at })).await;
        assert_eq!((line["state"].as_str(), &line["submit_at"]), (Some("draft"), &json!(at)));
        let again = world.good("POST", &path, json!({ "at": at })).await;
        assert_eq!(again, line, "the same again changes nothing");
        // Somebody who takes it back is heard.
        let back = format!("/v1/changes/{other}/submit-later");
        world.good("POST", &back, json!({ "at": at })).await;
        let kept = world.good("DELETE", &back, ()).await;
        assert_eq!(world.good("DELETE", &back, ()).await, kept, "the same again changes nothing");
        tend(&world.node.db, at.plus(-1)).await.unwrap();
        assert_eq!(world.state(&id).await, "draft", "{}", world.engine);
        world.clock.set(at);
        // Two nodes see to it at once.
        let second = world.second_node().await;
        let (one, two) = tokio::join!(tend(&world.node.db, at), tend(&second.db, at));
        one.and(two).unwrap();
        tend(&world.node.db, at.plus(60)).await.unwrap();
        assert_eq!((world.state(&id).await, world.state(&other).await), ("in_review".into(), "draft".into()));
        let course = course(&world, &id).await;
        let submitted: Vec<_> = course.iter().filter(|step| step["event"] == "submit").collect();
        assert_eq!(submitted.len(), 1, "{}: {course:?}", world.engine);
        assert_eq!(submitted[0]["person"], "lead", "whoever asked for it");
        assert_eq!(submitted[0]["note"], format!("as asked for, since {at}"));
        assert_eq!(world.code("POST", &path, json!({ "at": at.plus(60) })).await, "change.state");
        // Nothing is submitted of what was given up, or is over.
        world.good("POST", &back, json!({ "at": at.plus(60) })).await;
        world.good("POST", &format!("/v1/changes/{other}/withdraw"), json!({})).await;
        tend(&world.node.db, at.plus(60)).await.unwrap();
        assert_eq!(world.state(&other).await, "closed");
        let (late, _) = occurrence(&world, &base, NOW.plus(DAY + 20_000)).await;
        let later = json!({ "at": NOW.plus(DAY + 20_001) });
        world.good("POST", &format!("/v1/changes/{late}/submit-later"), later).await;
        tend(&world.node.db, NOW.plus(2 * DAY)).await.unwrap();
        assert_eq!(world.state(&late).await, "closed", "{}: its time was over", world.engine);
    }
}

#[actix_web::test]
async fn a_series_has_one_occurrence_at_a_time_and_says_how_far_it_reaches() {
    for mut world in World::each(1, 1).await {
        let published = world.publish("base", "1.0.0").await;
        let base = &published;
        let (first, code) = occurrence(&world, base, NOW.plus(DAY)).await;
        assert_eq!(code, "");
        assert_eq!(occurrence(&world, base, NOW.plus(DAY + 1_800)).await.1, "change.series_taken");
        assert_eq!(
            occurrence(&world, base, NOW.plus(DAY + 3_600)).await.1,
            "",
            "it begins when that is over"
        );
        let (last, code) = occurrence(&world, base, NOW.plus(9 * DAY)).await;
        assert_eq!(code, "");
        // Its own next revision is the same occurrence.
        let mut again = world.change(&first, 2, base);
        again.series = Some("patch-day".parse().unwrap());
        again.intervals = vec![Interval { from: NOW.plus(DAY), until: NOW.plus(DAY + 3_000) }];
        let again = world.sign(again);
        world.good("PUT", &format!("/v1/changes/{first}/revisions/2"), &again.envelope).await;
        let listed = world.good("GET", "/v1/changes?series=patch-day", ()).await;
        let ids: Vec<_> = listed.as_array().unwrap().iter().map(|line| line["change_id"].clone()).collect();
        assert_eq!((ids.len(), &ids[0]), (3, &json!(last)));
        assert_eq!(world.good("GET", "/v1/changes?series=other", ()).await, json!([]));
        // What was given up makes room.
        world.good("POST", &format!("/v1/changes/{last}/withdraw"), json!({})).await;
        let title = world.change(&last, 1, base).title;
        let expected = json!([{ "name": "patch-day", "title": title, "open": 2, "all": 3,
                                "last_end": NOW.plus(9 * DAY + 3_600) }]);
        assert_eq!(world.good("GET", "/v1/series", ()).await, expected, "{}", world.engine);
        assert_eq!(occurrence(&world, base, NOW.plus(9 * DAY)).await.1, "", "{}", world.engine);
    }
}
