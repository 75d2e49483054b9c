//! Mismatches: pure rules, and on both databases what becomes of them.

use super::model::{Entry, Mismatches, compare};
use super::store::look;
use crate::changes::tests::world::World;
use crate::cmdb::{self, CiId};
use serde_json::{Value, json};
use shared::facts::{Facts, LocalFact};
use shared::time::Timestamp;
use shared::wire::{Declared, Lifecycle, MismatchKind};
use std::collections::BTreeMap;

const NOW: Timestamp = Timestamp(1_800_000_000);
const DAY: i64 = 86_400;

fn entry(name: &str, bend: impl FnOnce(&mut Entry)) -> Entry {
    let mut entry = Entry {
        name: name.into(),
        enabled: true,
        enrolled: NOW.plus(-30 * DAY).0,
        last_seen: Some(NOW.plus(-60)),
        declared: Some(Declared::default()),
        ..Entry::default()
    };
    bend(&mut entry);
    entry
}

fn said(entry: &mut Entry) -> &mut Declared {
    entry.declared.as_mut().unwrap()
}

fn found(entries: Vec<Entry>) -> Vec<String> {
    let entries: BTreeMap<i64, Entry> = (1..).zip(entries).collect();
    let told = |((ci, kind), (declared, observed)): ((i64, MismatchKind), (String, String))| {
        format!("{ci} {}: {declared} | {observed}", kind.as_str())
    };
    let all: Mismatches = compare(&entries, NOW);
    all.into_iter().map(told).collect()
}

#[test]
fn each_kind_has_its_rule_and_stops_at_its_edge() {
    let local = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    for (entries, expected) in [
        (vec![entry("a", |_| {})], vec![]),
        (vec![entry("a", |e| e.last_seen = Some(NOW.plus(-7 * DAY)))], vec![]),
        (
            vec![entry("a", |e| e.last_seen = Some(NOW.plus(-7 * DAY - 1)))],
            vec!["1 silent: in_use | last heard of 2027-01-08T07:59:59Z"],
        ),
        // Never heard of since it joined.
        (
            vec![entry("a", |e| e.last_seen = None)],
            vec!["1 silent: in_use | last heard of 2026-12-16T08:00:00Z"],
        ),
        (vec![entry("a", |e| (e.enabled, e.last_seen) = (false, None))], vec![]),
        (
            vec![entry("a", |e| said(e).lifecycle = Lifecycle::Retired)],
            vec!["1 lifecycle: retired | its agent checks in"],
        ),
        (
            vec![entry("a", |e| {
                said(e).lifecycle = Lifecycle::Retired;
                e.last_seen = Some(NOW.plus(-9 * DAY));
            })],
            vec![],
        ),
        // Nobody declares hosts here.
        (vec![entry("a", |e| e.declared = None), entry("b", |e| e.declared = None)], vec![]),
        (
            vec![entry("a", |_| {}), entry("b", |e| e.declared = None)],
            vec!["2 undeclared: nothing | it has an agent"],
        ),
        (
            vec![entry("a", |e| {
                said(e).environment = Some("Production".into());
                e.local = local("environment", "staging");
            })],
            vec!["1 environment: Production | staging"],
        ),
        (
            vec![entry("a", |e| {
                said(e).environment = Some("Production".into());
                e.local = local("environment", "production");
            })],
            vec![],
        ),
        (
            vec![entry("a", |e| {
                said(e).owner = Some("web".into());
                e.local = local("owner", "db");
            })],
            vec!["1 owner: web | db"],
        ),
        (vec![entry("a", |e| e.local = local("owner", "db"))], vec![]),
        (
            vec![entry("a", |e| {
                e.runs_on = vec!["device:esx1".into()];
                e.virtualisation = Some("none".into());
            })],
            vec!["1 runs_on: runs_on device:esx1 | no virtualisation"],
        ),
        (
            vec![entry("a", |e| {
                e.runs_on = vec!["device:esx1".into()];
                e.virtualisation = Some("kvm".into());
            })],
            vec![],
        ),
        (
            vec![
                entry("a", |e| e.serial = Some("s-1234".into())),
                entry("b", |e| e.serial = Some("s-1234".into())),
            ],
            vec!["1 same_hardware: s-1234 | also CI-2", "2 same_hardware: s-1234 | also CI-1"],
        ),
        (
            vec![
                entry("a", |e| e.serial = Some("default string".into())),
                entry("b", |e| e.serial = Some("default string".into())),
                entry("c", |e| e.serial = Some("0000000000".into())),
                entry("d", |e| e.serial = Some("0000000000".into())),
            ],
            vec![],
        ),
        (
            vec![entry("Web1", |_| {}), entry("web1", |_| {}), entry("web1", |e| e.enabled = false)],
            vec!["1 same_name: web1 | also CI-2", "2 same_name: web1 | also CI-1"],
        ),
    ] {
        assert_eq!(found(entries), expected);
    }
}

async fn listed(world: &World, query: &str) -> Vec<Value> {
    let page = world.good("GET", &format!("/v1/mismatches{query}"), ()).await;
    page["mismatches"].as_array().unwrap().clone()
}

async fn look_now(world: &World) {
    look(&world.node.db, world.now()).await.unwrap();
}

fn told(line: &Value) -> (&str, u64, &str, &str) {
    let text = |key: &str| line[key].as_str().unwrap();
    (text("kind"), line["count"].as_u64().unwrap(), text("presence"), text("disposition"))
}

#[actix_web::test]
async fn a_mismatch_is_one_finding_and_never_changes_either_side() {
    for world in World::each(1, 2).await {
        let host = world.good("GET", "/v1/hosts", ()).await[0].clone();
        let (ci, name) =
            (host["ci"].as_str().unwrap().to_owned(), host["hostname"].as_str().unwrap().to_owned());
        let id: CiId = ci.parse().unwrap();
        let report = async |environment: &str| {
            let mut facts = Facts::empty(semver::Version::new(0, 1, 0), "production".parse().unwrap());
            facts.local = vec![LocalFact { name: "environment".into(), value: environment.into() }];
            let now = world.now();
            world.write(move |tx| cmdb::record_facts(tx, id, now, &facts, now)).await.unwrap();
            look_now(&world).await;
        };
        let declare = async |environment: &str| {
            let names: Vec<String> = world.hosts.iter().map(|host| format!("host:{}", host.name)).collect();
            let items: Vec<Value> = names
                .iter()
                .map(|host| json!({ "item": host, "declared": { "environment": environment } }))
                .collect();
            world.good("POST", "/v1/declarations", json!({ "reason": "x", "items": items })).await;
            look_now(&world).await;
        };
        declare("production").await;
        assert_eq!(listed(&world, "").await, [] as [Value; 0]);
        report("staging").await;
        let all = listed(&world, "?current=true").await;
        assert_eq!(all.iter().map(told).collect::<Vec<_>>(), [("environment", 1, "there", "open")]);
        assert_eq!((&all[0]["declared"], &all[0]["observed"]), (&json!("production"), &json!("staging")));
        // The same again is the same finding, seen once; neither side was touched.
        look_now(&world).await;
        assert_eq!(listed(&world, "").await, all, "{}", world.engine);
        let file = world.good("GET", &format!("/v1/cis/{name}"), ()).await;
        assert_eq!(file["declared"]["declared"]["environment"], "production");
        assert_eq!(file["facts"]["local"][0]["value"], "staging");
        assert!(file["history"][0]["summary"].as_str().unwrap().contains("observed staging"), "{file}");
        // Judged as it was seen.
        let judge = |count: u64, disposition: &str, until: Value| {
            let seen = json!([{ "id": all[0]["id"], "count": count }]);
            json!({ "mismatches": seen, "disposition": disposition, "reason": "known", "until": until })
        };
        let until = json!(world.now().plus(100));
        for (count, disposition, end, code) in [
            (2, "ignored", until.clone(), "mismatch.moved"),
            (1, "ignored", Value::Null, "finding.incomplete"),
            (1, "confirmed", until.clone(), "finding.incomplete"),
            (1, "accepted", Value::Null, "mismatch.disposition"),
            (1, "reverted", Value::Null, "mismatch.disposition"),
        ] {
            let wish = judge(count, disposition, end);
            assert_eq!(world.code("POST", "/v1/mismatch-dispositions", wish).await, code, "{disposition}");
        }
        world.good("POST", "/v1/mismatch-dispositions", judge(1, "ignored", until)).await;
        assert_eq!(told(&listed(&world, "").await[0]), ("environment", 1, "there", "ignored"));
        // It looks otherwise: what was said of it does not hold any more.
        report("test").await;
        assert_eq!(told(&listed(&world, "?disposition=open").await[0]), ("environment", 2, "there", "open"));
        // Declared as it is: it is gone by itself, and comes back as the same finding.
        declare("test").await;
        assert_eq!(told(&listed(&world, "").await[0]), ("environment", 2, "gone", "open"));
        declare("production").await;
        let back = listed(&world, "").await;
        // The other host reports no environment, so nothing is said of it.
        assert_eq!(back.iter().map(told).collect::<Vec<_>>(), [("environment", 3, "there", "open")]);
        assert_eq!(back[0]["id"], all[0]["id"]);
        // An end is an end.
        let wish = json!({ "mismatches": [{ "id": back[0]["id"], "count": 3 }], "disposition": "ignored",
            "reason": "move in progress", "until": world.now().plus(100) });
        world.good("POST", "/v1/mismatch-dispositions", wish).await;
        world.clock.set(world.now().plus(100));
        look_now(&world).await;
        let open = listed(&world, &format!("?entry={ci}")).await;
        assert_eq!(told(&open[0]), ("environment", 3, "there", "open"));
        assert_eq!(open[0]["reason"], "the time for which it was ignored is over");
    }
}
