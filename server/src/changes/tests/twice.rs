//! Requests that are sent again, and requests that were meant for a change as it was.

use super::world::{NOW, TOKEN, World};
use serde_json::{Value, json};
use shared::strict;

/// A request with headers of its own: status, tag and answer.
async fn send(
    world: &World,
    to: (&str, &str),
    headers: &[(&str, &str)],
    body: &Value,
) -> (u16, Option<String>, Value) {
    let token = format!("Bearer {TOKEN}");
    let headers: Vec<_> = headers.iter().copied().chain([("authorization", token.as_str())]).collect();
    let (status, tag, answer) = world.send_on(&world.node, to, &headers, strict::to_json(body)).await;
    (status, tag, serde_json::from_slice(&answer).unwrap_or_default())
}

/// A lost answer costs nothing: the same request with the same key is done once.
#[actix_web::test]
async fn what_is_sent_again_with_its_key_is_done_once() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| ()).await;
        let comments = format!("/v1/changes/{}/comments", of.id);
        let until = NOW.plus(86_400 * 30);
        let comment = json!({"kind": "comment", "text": "x"});
        let rule = json!({"resource": "file:/etc/*", "reason": "known", "until": until});
        let before = world.read(crate::ledger::head).await.size;
        for (n, (path, body)) in
            [("/v1/changes", json!({})), (&comments, comment.clone()), ("/v1/finding-rules", rule)]
                .iter()
                .enumerate()
        {
            let key = format!("key-{n}");
            let first = send(&world, ("POST", path), &[("idempotency-key", &key)], body).await;
            assert_eq!(first.0, 200, "{} {path}: {}", world.engine, first.2);
            let again = send(&world, ("POST", path), &[("idempotency-key", &key)], body).await;
            assert_eq!(again, first, "{} {path}", world.engine);
            let other = send(&world, ("POST", path), &[("idempotency-key", "another")], body).await;
            assert_ne!(other.2, first.2, "another key is another request");
            world.sql("DELETE FROM once_answer WHERE key = 'another'").await;
        }
        // Each of the three things twice, by two keys, and each time with one leaf.
        assert_eq!(world.read(crate::ledger::head).await.size, before + 6, "{}", world.engine);
        let said = json!({"kind": "comment", "text": "something else"});
        let reused = send(&world, ("POST", &comments), &[("idempotency-key", "key-1")], &said).await;
        assert_eq!((reused.0, &reused.2["code"]), (422, &json!("request.key_reused")));
        let elsewhere =
            send(&world, ("POST", "/v1/changes"), &[("idempotency-key", "key-1")], &json!({})).await;
        assert_eq!(elsewhere.2["code"], "request.key_reused", "a key belongs to one place");
        let long = "k".repeat(129);
        for bad in ["", "a b", "a\tb", &long] {
            let refused =
                send(&world, ("POST", "/v1/changes"), &[("idempotency-key", bad)], &json!({})).await;
            assert_eq!((refused.0, &refused.2["code"]), (400, &json!("request.bad_key")), "{bad:?}");
        }
        // What was refused is not kept: it may succeed later with the same key.
        let nowhere = json!({"kind": "answer", "to": 99, "text": "x"});
        for _ in 0..2 {
            let refused = send(&world, ("POST", &comments), &[("idempotency-key", "late")], &nowhere).await;
            assert_eq!(refused.0, 422);
        }
        let good = send(&world, ("POST", &comments), &[("idempotency-key", "late")], &comment).await;
        assert_eq!(good.0, 200, "{}", good.2);
        // After a day nobody waits for the answer any more.
        world.clock.set(NOW.plus(86_401));
        let new = send(&world, ("POST", "/v1/changes"), &[("idempotency-key", "key-0")], &json!({})).await;
        assert_eq!(new.2["change_id"], "C-4", "{}", world.engine);
    }
}

/// Where an object is described, nothing else is taken for one.
#[actix_web::test]
async fn a_new_change_is_asked_for_with_an_object_and_nothing_else() {
    for world in World::each(1, 0).await {
        for body in [json!([]), json!(null), json!({"title": "x"}), json!("")] {
            assert_eq!(world.code("POST", "/v1/changes", &body).await, "request.bad_json", "{body}");
        }
        world.good("POST", "/v1/changes", json!({})).await;
    }
}

/// Whoever says how the change was when they looked at it moves no other one.
#[actix_web::test]
async fn nobody_moves_a_change_that_somebody_else_has_moved_since() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| ()).await;
        world.approve(&of, "peer").await;
        let path = format!("/v1/changes/{}", of.id);
        let look = async || send(&world, ("GET", &path), &[], &json!({})).await.1.unwrap();
        let act = async |what: &str, tag: &str| {
            let path = format!("{path}/{what}");
            let (status, _, answer) = send(&world, ("POST", &path), &[("if-match", tag)], &json!({})).await;
            (status, answer["code"].as_str().unwrap_or_default().to_owned())
        };
        let seen = look().await;
        assert_eq!(look().await, seen, "looking changes nothing");
        let refused = (412, "request.other_version".to_owned());
        for bad in ["\"C-9.1\"", "nonsense", &format!("W/{seen}"), "\"\""] {
            assert_eq!(act("halt", bad).await, refused, "{bad}");
        }
        assert_eq!(world.state(&of.id).await, "approved", "{}", world.engine);
        assert_eq!(act("halt", &seen).await.0, 200);
        // Somebody with the old page in front of them.
        assert_eq!(act("resume", &seen).await, refused);
        assert_eq!(world.state(&of.id).await, "halted", "{}", world.engine);
        let two = format!("\"other\", {}", look().await);
        assert_eq!(act("resume", &two).await.0, 200);
        assert_eq!(act("halt", "*").await.0, 200);
    }
}
