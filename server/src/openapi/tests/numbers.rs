//! A change by its number of the year: everywhere it is the same as by its id, and nothing is guessed.

use super::routes::{Port, listener, on, send};
use crate::changes::tests::world::{TOKEN, World};
use crate::openapi::route::{Part, Route};
use serde_json::{Value, json};

#[actix_web::test]
async fn a_number_of_the_year_leads_where_the_id_leads() {
    for mut world in World::each(1, 1).await {
        let base = world.publish("base", "1.0.0").await;
        let of = world.in_review(&base, |_| ()).await;
        let shown = world.good("GET", &format!("/v1/changes/{}", of.id), ()).await;
        let number = shown["line"]["register"].as_str().unwrap().to_owned();
        assert!(number.starts_with("N-") && number.ends_with("-0001"), "{number}");
        let (next, other) = (number.replace("-0001", "-0002"), number.replace("N-", "E-"));
        let part = |route: &&Route| route.parts.iter().any(Part::is_change);
        let named: Vec<_> = on(Port::People).filter(part).collect();
        assert!(named.len() > 20, "{}", named.len());
        let app = listener(&world, Port::People).await;
        let ask = async |path: String| {
            let reply = send(&app, ("GET", &path), Some(TOKEN), vec![]).await;
            (reply.status, reply.json())
        };
        for route in named.into_iter().filter(|route| route.method == "GET") {
            let path = |change: &str| {
                let path = route.path.replace("{id}", change).replace("{change}", change);
                path.replace("{revision}", "1").replace("{host}", "web1")
            };
            let by_id = ask(path(of.id.as_str())).await;
            assert_eq!(by_id.0, 200, "{}: {}", route.id, by_id.1);
            assert_eq!(ask(path(&number)).await, by_id, "{}", route.id);
            for (bad, status, code) in [
                (next.as_str(), 404, "number.unknown"),
                (&other, 404, "number.none"),
                ("N-2026-1", 400, "request.bad_parameter"),
                ("n-2026-0001", 400, "request.bad_parameter"),
                ("0001", 400, "request.bad_parameter"),
            ] {
                let (told, problem) = ask(path(bad)).await;
                assert_eq!((told, problem["code"].as_str()), (status, Some(code)), "{}: {problem}", route.id);
            }
        }
        let (_, problem) = world.call("GET", &format!("/v1/changes/{next}/course"), ()).await;
        assert!(problem["why"].as_str().unwrap().contains(&number), "what is known: {problem}");
        writes(&world, (of.id.as_str(), &number, &next)).await;
        queries(&world, (of.id.as_str(), &number, &next)).await;
    }
}

/// What is written by the number is kept by the id.
async fn writes(world: &World, (id, number, unknown): (&str, &str, &str)) {
    let comment = json!({ "kind": "comment", "text": "seen" });
    let note = world.good("POST", &format!("/v1/changes/{number}/comments"), &comment).await;
    assert_eq!(note["change"], id, "{}", world.engine);
    let draft = world.good("POST", "/v1/changes", json!({})).await["change_id"].clone();
    let notes = format!("/v1/changes/{}/notes", draft.as_str().unwrap());
    let link = |relation: &str, to: &str| json!({ "kind": "link", "relation": relation, "to": to });
    for relation in ["relates", "fixes"] {
        let note = world.good("POST", &notes, link(relation, number)).await;
        assert_eq!(note["said"]["to"], id, "{}: {note}", world.engine);
        assert_eq!(world.code("POST", &notes, link(relation, unknown)).await, "number.unknown");
    }
    let own = format!("/v1/changes/{id}/notes");
    assert_eq!(world.code("POST", &own, link("relates", number)).await, "note.own_link");
    // A record elsewhere may be called like that.
    let note = world.good("POST", &notes, link("external", unknown)).await;
    assert_eq!(note["said"]["to"], unknown, "{note}");
    let linked = world.good("GET", &format!("/v1/changes/{number}/notes"), ()).await;
    assert_eq!(linked["linked_from"].as_array().unwrap().len(), 2, "{linked}");
    let withdrawn = world.good("POST", &format!("/v1/changes/{number}/withdraw"), json!({})).await;
    assert_eq!((&withdrawn["change_id"], &withdrawn["register"]), (&json!(id), &json!(number)));
    assert_eq!(withdrawn["state"], "closed");
}

async fn queries(world: &World, (id, number, unknown): (&str, &str, &str)) {
    let ids = |lines: &Value| -> Vec<String> {
        let id = |line: &Value| line["change_id"].as_str().unwrap().to_owned();
        lines.as_array().unwrap().iter().map(id).collect()
    };
    let only = world.good("GET", &format!("/v1/changes?number={number}"), ()).await;
    assert_eq!(ids(&only), [id], "{}", world.engine);
    let before = |named: &str| format!("/v1/changes?before={named}");
    let (by_id, by_number) =
        (world.good("GET", &before(id), ()).await, world.good("GET", &before(number), ()).await);
    assert_eq!(ids(&by_id), ids(&by_number));
    let waiting = world.good("GET", &format!("/v1/waiting?change={number}"), ()).await;
    assert_eq!(waiting, world.good("GET", &format!("/v1/waiting?change={id}"), ()).await);
    let search = |named: &str| format!("/v1/cis?q=change:{named}");
    let found = world.good("GET", &search(number), ()).await;
    assert_eq!(found, world.good("GET", &search(id), ()).await, "{}", world.engine);
    for path in [format!("/v1/changes?number={unknown}"), before(unknown), search(unknown)] {
        assert_eq!(world.code("GET", &path, ()).await, "number.unknown", "{path}");
    }
    assert_eq!(world.code("GET", "/v1/changes?number=C-1", ()).await, "request.bad_parameter");
    // What is saved goes on to be found; what is in a calendar says the id.
    let saved = json!({ "query": format!("change:{number}") });
    world.good("PUT", "/v1/searches/patched", saved).await;
    assert_eq!(world.good("GET", "/v1/cis?q=saved:patched", ()).await, found);
    let calendar = json!({
        "title": "x", "mode": "hard", "holds": ["normal"], "search": "saved:patched",
        "times": [{ "from": "2027-01-01T00:00:00Z", "until": "2027-01-02T00:00:00Z" }],
    });
    let calendar = json!({ "after": 0, "reason": "x", "calendar": calendar });
    let stored = world.good("PUT", "/v1/calendars/patched", calendar).await;
    let search = stored["history"][0]["calendar"]["search"].as_str().unwrap();
    assert!(search.to_uppercase().contains(&format!("CHANGE:{id}")), "{search}");
}
