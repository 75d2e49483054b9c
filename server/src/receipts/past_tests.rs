//! Entries as they were: what the ledger says by then, and nothing that is known from elsewhere.

use super::states;
use crate::changes::tests::world::{NOW, World};
use crate::cmdb::{self, CiId};
use crate::ledger;
use serde_json::{Value, json};
use shared::receipt::{HostOutcome, Receipt, StepStatus};
use shared::statement::Statement;
use shared::time::Timestamp;
use std::collections::BTreeMap;

const DAY: i64 = 86_400;

/// Two changes on two hosts, the second of which fails on one of them, with declarations between.
async fn lived(world: &mut World) {
    let declare = async |world: &World, owner: &str, relations: Value| {
        let host = format!("host:{}", world.hosts[0].name);
        let items = json!([{ "item": "service:shop" }, { "item": host, "declared": { "owner": owner }, "relations": relations }]);
        world.good("POST", "/v1/declarations", json!({ "reason": "x", "items": items })).await;
    };
    let first = world.publish("base", "1.0.0").await;
    let one = world.in_review(&first, |_| {}).await;
    world.approve(&one, "peer").await;
    world.clock.set(NOW.plus(3_700));
    world.report(0, &one, HostOutcome::Applied).await;
    world.report(1, &one, HostOutcome::Applied).await;
    world.clock.set(NOW.plus(7_000));
    declare(world, "a", json!([{ "kind": "part_of", "to": "service:shop" }])).await;
    let second = world.publish("base", "1.1.0").await;
    let two = world.in_review(&second, |_| {}).await;
    world.approve(&two, "peer").await;
    world.clock.set(NOW.plus(DAY + 10));
    world.report(0, &two, HostOutcome::Applied).await;
    world.report(1, &two, HostOutcome::RolledBack).await;
    world.clock.set(NOW.plus(DAY + 100));
    declare(world, "b", json!([])).await;
    world.clock.set(NOW.plus(2 * DAY));
}

async fn at(world: &World, host: usize, time: i64) -> Value {
    let path = format!("/v1/cis/{}?at={}", world.hosts[host].name, NOW.plus(time));
    world.good("GET", &path, ()).await
}

const TIMES: [i64; 9] = [0, 3_704, 3_705, 7_000, DAY, DAY + 15, DAY + 99, DAY + 100, 2 * DAY];

#[actix_web::test]
async fn an_entry_is_shown_as_it_was_at_any_time() {
    for mut world in World::each(1, 2).await {
        lived(&mut world).await;
        let mut told = Vec::new();
        for time in TIMES {
            let file = at(&world, 0, time).await;
            told.push((
                time,
                file["states"][0]["manifests"][0].as_str().map(str::to_owned),
                file["declared"]["declared"]["owner"].as_str().map(str::to_owned),
                file["relations"].as_array().map_or(0, Vec::len),
            ));
        }
        let expected = [
            (0, None, None, 0),
            (3_704, None, None, 0),
            (3_705, Some("1.0.0"), None, 0),
            (7_000, Some("1.0.0"), Some("a"), 1),
            (DAY, Some("1.0.0"), Some("a"), 1),
            (DAY + 15, Some("1.1.0"), Some("a"), 1),
            (DAY + 99, Some("1.1.0"), Some("a"), 1),
            (DAY + 100, Some("1.1.0"), Some("b"), 0),
            (2 * DAY, Some("1.1.0"), Some("b"), 0),
        ];
        let named = |(time, version, owner, relations): (i64, Option<&str>, Option<&str>, usize)| {
            (time, version.map(|version| format!("main/base@{version}")), owner.map(str::to_owned), relations)
        };
        assert_eq!(told, expected.map(named), "{}", world.engine);
        // The other host could not say what is there after the second one.
        let failed = at(&world, 1, 2 * DAY).await;
        assert_eq!(failed["states"][0]["outcome"], "failed", "{failed}");
        assert_eq!(failed["states"][0]["state"], Value::Null);
        let now = world.good("GET", &format!("/v1/cis/{}", world.hosts[0].name), ()).await;
        assert_eq!(at(&world, 0, 2 * DAY).await["states"], now["states"], "now is the end of what was");
        for time in [-1, 2 * DAY + 301] {
            let path = format!("/v1/cis/{}?at={}", world.hosts[0].name, NOW.plus(time));
            assert_eq!(world.code("GET", &path, ()).await, "ci.bad_time");
        }
        assert_eq!(world.code("GET", "/v1/cis/web1?at=yesterday", ()).await, "request.bad_parameter");
        // Searches know the manifests that are on record.
        for (query, count) in
            [("manifest:main/base>=1.1.0", 2), ("manifest:main/base=1.0.0", 0), ("change:C-1", 2)]
        {
            let query = query.replace('>', "%3E").replace('=', "%3D");
            let found = world.good("GET", &format!("/v1/cis?q={query}"), ()).await;
            assert_eq!(found.as_array().unwrap().len(), count, "{query}");
        }
    }
}

/// The receipts of the ledger, played into an empty state, give the same answers as before; and those are what a plain
/// reading of the receipts gives.
#[actix_web::test]
async fn the_past_is_made_again_from_the_ledger_alone() {
    for mut world in World::each(1, 2).await {
        lived(&mut world).await;
        let mut before = Vec::new();
        for (host, time) in TIMES.iter().flat_map(|time| [(0, *time), (1, *time)]) {
            before.push((host, time, at(&world, host, time).await));
        }
        let kept = world.read(|tx| Ok(cmdb::states_are_kept(tx)?)).await;
        assert!(kept);
        world.write(|tx| Ok(cmdb::forget_states(tx)?)).await.unwrap();
        assert_eq!(at(&world, 0, 2 * DAY).await["states"], json!([]));
        let now = world.now();
        world.write(move |tx| states::replay(tx, now)).await.unwrap();
        for (host, time, file) in &before {
            assert_eq!(at(&world, *host, *time).await, *file, "{} {host} {time}", world.engine);
        }
        // A first start with what only the newest states are kept of.
        world.sql("DELETE FROM ci_state_past").await;
        states::make_again(&world.node.db, now).await.unwrap();
        for (host, time, file) in &before {
            assert_eq!(at(&world, *host, *time).await, *file, "{} {host} {time}", world.engine);
        }
        let receipts = world.read(|tx| Ok(ledger::list_receipts(tx, None, 100)?)).await;
        let receipts: Vec<_> =
            receipts.iter().map(|leaf| Statement::<Receipt>::parse(&leaf.body).unwrap()).collect();
        assert_eq!(receipts.len(), 4);
        for (host, time, file) in &before {
            let mut plain: BTreeMap<String, (String, bool)> = BTreeMap::new();
            let mine = receipts.iter().filter(|r| r.body.header.agent_id == world.hosts[*host].agent());
            for receipt in mine.filter(|receipt| receipt.body.finished <= NOW.plus(*time)) {
                for step in &receipt.body.results {
                    let done = step.status == StepStatus::Done;
                    plain.insert(step.resource.to_string(), (receipt.body.change_id.to_string(), done));
                }
            }
            let said = file["states"].as_array().unwrap().iter().map(|state| {
                let text = |key: &str| state[key].as_str().unwrap().to_owned();
                (text("resource"), (text("change_id"), state["state"].is_string()))
            });
            assert_eq!(said.collect::<BTreeMap<_, _>>(), plain, "{} {host} {time}", world.engine);
        }
    }
}

#[actix_web::test]
async fn packages_and_labels_are_known_as_they_were() {
    use shared::facts::{Facts, Package, PackageStatus};
    for world in World::each(1, 1).await {
        let host = world.good("GET", "/v1/hosts", ()).await[0].clone();
        let id: CiId = host["ci"].as_str().unwrap().parse().unwrap();
        let facts = |version: &str, os: &str| {
            let mut facts = Facts::empty(semver::Version::new(0, 1, 0), "production".parse().unwrap());
            (facts.os.id, facts.os.version) = ("debian".into(), os.into());
            facts.packages = vec![Package {
                name: "openssl".into(),
                version: version.into(),
                arch: "amd64".into(),
                source: "openssl".into(),
                source_version: version.into(),
                vendor: None,
                status: PackageStatus::Installed,
                origin: None,
            }];
            facts
        };
        for (time, version, os, label) in
            [(10, "3.0.16", "12", "web"), (20, "3.0.17", "12", "web"), (30, "3.0.17", "13", "db")]
        {
            world.clock.set(NOW.plus(time));
            let (facts, now) = (facts(version, os), world.now());
            world.write(move |tx| cmdb::record_facts(tx, id, now, &facts, now)).await.unwrap();
            let path = format!("/v1/hosts/{}/labels", host["ci"].as_str().unwrap());
            world.good("PUT", &path, json!({ "reason": "test", "labels": { "role": label } })).await;
        }
        for (time, expected) in [
            (9, json!([[], null, null])),
            (10, json!([[{ "name": "openssl", "version": "3.0.16" }], "12", "web"])),
            (20, json!([[{ "name": "openssl", "version": "3.0.17" }], "12", "web"])),
            (29, json!([[{ "name": "openssl", "version": "3.0.17" }], "12", "web"])),
            (30, json!([[{ "name": "openssl", "version": "3.0.17" }], "13", "db"])),
        ] {
            let at: Timestamp = NOW.plus(time);
            let name = host["hostname"].as_str().unwrap();
            let file = world.good("GET", &format!("/v1/cis/{name}?at={at}"), ()).await;
            let told =
                json!([file["then"]["packages"], file["line"]["os_version"], file["then"]["labels"]["role"]]);
            assert_eq!(told, expected, "{} {time}", world.engine);
        }
    }
}
