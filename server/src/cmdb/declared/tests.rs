//! Declarations on both databases: all or none, the same again is nothing, circles and strangers are refused.

use crate::changes::tests::world::World;
use serde_json::{Value, json};

fn declare(items: Value) -> Value {
    json!({ "reason": "first survey", "items": items })
}

fn lines(done: &Value) -> Vec<String> {
    let one = |diff: &Value| {
        let lines: Vec<_> = diff["lines"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        format!(
            "{}{} {}",
            if diff["new"] == true { "new " } else { "" },
            diff["item"].as_str().unwrap(),
            lines.join("; ")
        )
    };
    done["changed"].as_array().unwrap().iter().map(one).collect()
}

fn shop(host: &str) -> Value {
    json!([
        { "item": "service:shop",
          "declared": { "owner": "shop", "criticality": "high", "scopes": ["pci"], "labels": { "team": "red" } },
          "relations": [{ "kind": "depends_on", "to": "software:database" }] },
        { "item": "software:database", "declared": { "lifecycle": "in_use" }, "relations": [{ "kind": "runs_on", "to": format!("host:{host}") }] },
        { "item": format!("host:{host}"), "declared": { "owner": "it", "availability": "high" } },
    ])
}

#[actix_web::test]
async fn what_is_declared_is_stored_once_with_who_and_why() {
    for world in World::each(1, 1).await {
        let host = world.hosts[0].name.clone();
        let mut dry = declare(shop(&host));
        dry["dry_run"] = true.into();
        let would = world.good("POST", "/v1/declarations", &dry).await;
        assert_eq!(world.good("GET", "/v1/declarations", ()).await["items"], json!([]), "nothing was stored");
        let did = world.good("POST", "/v1/declarations", declare(shop(&host))).await;
        assert_eq!(did, would, "a dry run says what would change");
        assert_eq!(
            lines(&did),
            [
                "new service:shop criticality: - -> high; label team: - -> red; owner: - -> shop; scope pci: - -> true; + depends_on software:database".to_owned(),
                format!("new software:database + runs_on host:{host}"),
                format!("host:{host} availability: - -> high; owner: - -> it"),
            ]
        );
        let again = world.good("POST", "/v1/declarations", declare(shop(&host))).await;
        assert_eq!((lines(&again), again["same"].as_u64()), (vec![], Some(3)));
        // What comes out goes in again.
        let all = world.good("GET", "/v1/declarations", ()).await;
        let back = world.good("POST", "/v1/declarations", declare(all["items"].clone())).await;
        assert_eq!((lines(&back), back["same"].as_u64()), (vec![], Some(3)));
        let one = world.good("GET", "/v1/declarations?item=service:shop", ()).await;
        assert_eq!(
            (one["items"].as_array().unwrap().len(), &one["items"][0]["item"]),
            (1, &json!("service:shop"))
        );
        assert_eq!(one["newest"], all["newest"]);
        assert_eq!(world.good("GET", "/v1/declarations?item=data:shop", ()).await["items"], json!([]));
        assert_eq!(world.code("GET", "/v1/declarations?item=shop", ()).await, "request.bad_parameter");
        // One field and one relation less.
        let mut fewer = shop(&host);
        fewer[0]["declared"].as_object_mut().unwrap().remove("scopes");
        fewer[0]["relations"] = json!([]);
        let did = world.good("POST", "/v1/declarations", declare(fewer)).await;
        assert_eq!(lines(&did), ["service:shop scope pci: true -> -; - depends_on software:database"]);
        let file = world.good("GET", "/v1/cis/shop", ()).await;
        assert_eq!(file["declared"]["by"], "lead");
        assert_eq!(file["declared"]["reason"], "first survey");
        assert_eq!(file["history"].as_array().unwrap().len(), 2, "{file}");
        // Relations that are not spoken of stay; the host's own facts and labels as well.
        let says = json!([{ "item": "software:database", "declared": { "owner": "dba" } }]);
        world.good("POST", "/v1/declarations", declare(says)).await;
        let file = world.good("GET", "/v1/cis/database", ()).await;
        assert_eq!(
            file["relations"],
            json!([{ "kind": "runs_on", "inward": false, "other": format!("host:{host}") }])
        );
        let file = world.good("GET", &format!("/v1/cis/{host}"), ()).await;
        assert_eq!(
            file["relations"],
            json!([{ "kind": "runs_on", "inward": true, "other": "software:database" }])
        );
        assert!(file["line"]["agent"].is_string());
    }
}

#[actix_web::test]
async fn what_cannot_be_is_refused_and_nothing_of_it_stored() {
    for world in World::each(1, 1).await {
        let host = format!("host:{}", world.hosts[0].name);
        let circle = |kind: &str| {
            json!([
                { "item": "software:a", "relations": [{ "kind": kind, "to": "software:b" }] },
                { "item": "software:b", "relations": [{ "kind": kind, "to": "software:c" }] },
                { "item": "software:c", "relations": [{ "kind": kind, "to": "software:a" }] },
            ])
        };
        for (items, code, why) in [
            (json!([]), "ci.bad_declaration", "1 to 10000"),
            (json!([{ "item": "service:a" }, { "item": "service:a" }]), "ci.bad_declaration", "named twice"),
            (json!([{ "item": "service:a", "declared": { "owner": " x" } }]), "ci.bad_declaration", "owner"),
            (
                json!([{ "item": "service:a", "declared": { "labels": { "a=b": "c" } } }]),
                "ci.bad_declaration",
                "labels",
            ),
            (
                json!([{ "item": host, "declared": { "labels": { "role": "web" } } }]),
                "ci.bad_declaration",
                "assent ci label",
            ),
            (
                json!([{ "item": "service:a", "relations": [{ "kind": "part_of", "to": "service:a" }] }]),
                "ci.bad_declaration",
                "itself",
            ),
            (
                json!([{ "item": "service:a", "relations": [{ "kind": "runs_on", "to": "host:nobody" }] }]),
                "ci.unknown_item",
                "joining",
            ),
            (json!([{ "item": "host:nobody" }]), "ci.unknown_item", "joining"),
            (circle("runs_on"), "ci.circle", "software:c -> software:a -> software:b -> software:c"),
            (circle("part_of"), "ci.circle", "software:a"),
        ] {
            let (status, problem) = world.call("POST", "/v1/declarations", declare(items)).await;
            assert_eq!((status, problem["code"].as_str()), (422, Some(code)), "{problem}");
            assert!(problem["why"].as_str().unwrap().contains(why), "{problem}");
        }
        for bad in [
            json!([{ "item": "shop" }]),
            json!([{ "item": "service:a", "declared": { "colour": "red" } }]),
            json!([{ "item": "service:a", "more": 1 }]),
        ] {
            assert_eq!(world.code("POST", "/v1/declarations", declare(bad)).await, "request.bad_json");
        }
        assert_eq!(world.good("GET", "/v1/declarations", ()).await["items"], json!([]));
        // Dependence may go in circles.
        world.good("POST", "/v1/declarations", declare(circle("depends_on"))).await;
        // A circle that closes over what is stored already.
        let chain = json!([{ "item": "software:x", "relations": [{ "kind": "runs_on", "to": "device:d" }] }, { "item": "device:d" }]);
        world.good("POST", "/v1/declarations", declare(chain)).await;
        let closing =
            json!([{ "item": "device:d", "relations": [{ "kind": "runs_on", "to": "software:x" }] }]);
        assert_eq!(world.code("POST", "/v1/declarations", declare(closing)).await, "ci.circle");
        // The same turned round in one request is no circle.
        let turned = json!([
            { "item": "software:x", "relations": [] },
            { "item": "device:d", "relations": [{ "kind": "runs_on", "to": "software:x" }] },
        ]);
        world.good("POST", "/v1/declarations", declare(turned)).await;
    }
}

#[actix_web::test]
async fn nobody_overwrites_what_somebody_else_declared_meanwhile() {
    for world in World::each(1, 1).await {
        let owned = |owner: &str| json!([{ "item": "service:shop", "declared": { "owner": owner } }]);
        world.good("POST", "/v1/declarations", declare(owned("a"))).await;
        let seen = world.good("GET", "/v1/declarations", ()).await["newest"].clone();
        world.good("POST", "/v1/declarations", declare(owned("b"))).await;
        let mut late = declare(owned("c"));
        late["after"] = seen;
        assert_eq!(world.code("POST", "/v1/declarations", &late).await, "ci.moved");
        late["after"] = world.good("GET", "/v1/declarations", ()).await["newest"].clone();
        world.good("POST", "/v1/declarations", &late).await;
        assert_eq!(world.good("GET", "/v1/cis/shop", ()).await["declared"]["declared"]["owner"], "c");
    }
}

#[actix_web::test]
async fn an_outage_reaches_services_over_what_carries_them() {
    for world in World::each(1, 1).await {
        let host = world.hosts[0].name.clone();
        world.good("POST", "/v1/declarations", declare(shop(&host))).await;
        let impact = world.good("GET", &format!("/v1/cis/{host}/impact"), ()).await;
        let reached = |side: &str| -> Vec<(String, u64)> {
            let one = |line: &Value| {
                (line["item"].as_str().unwrap().to_owned(), line["distance"].as_u64().unwrap())
            };
            impact[side].as_array().unwrap().iter().map(one).collect()
        };
        assert_eq!(reached("affects"), [("software:database".into(), 1), ("service:shop".into(), 2)]);
        assert_eq!(reached("needs"), []);
        assert_eq!(impact["affects"][1]["criticality"], "high");
        let near = world.good("GET", &format!("/v1/cis/{host}/impact?depth=1"), ()).await;
        assert_eq!((near["affects"].as_array().unwrap().len(), near["cut"].as_bool()), (1, Some(true)));
        let needs = world.good("GET", "/v1/cis/shop/impact", ()).await;
        assert_eq!(needs["needs"].as_array().unwrap().len(), 2);
        assert_eq!(world.code("GET", "/v1/cis/nobody/impact", ()).await, "ci.not_found");
    }
}

/// Of a host that only has relations, nothing else says what comes before what, and an export is all there is.
#[actix_web::test]
async fn a_host_of_which_only_relations_are_declared_is_listed() {
    for world in World::each(1, 2).await {
        let [guest, below] = [0, 1].map(|n: usize| format!("host:{}", world.hosts[n].name));
        let item =
            json!([{ "item": guest, "declared": {}, "relations": [{ "kind": "runs_on", "to": below }] }]);
        world.good("POST", "/v1/declarations", declare(item)).await;
        let all = world.good("GET", "/v1/declarations", ()).await["items"].clone();
        assert_eq!(all.as_array().unwrap().len(), 1, "{}: {all}", world.engine);
        assert_eq!((&all[0]["item"], &all[0]["relations"][0]["to"]), (&json!(guest), &json!(below)));
    }
}
