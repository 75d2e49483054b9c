//! Searches on both databases: what fits, in which order, page by page; only what differs is written; saved searches.

use crate::changes::tests::world::World;
use crate::cmdb::{self, CiId};
use serde_json::{Value, json};
use shared::facts::{Facts, Os, Package, PackageStatus, Service};
use shared::search::Query;

fn package(name: &str, version: &str) -> Package {
    Package {
        name: name.into(),
        version: version.into(),
        arch: "all".into(),
        source: name.trim_end_matches("-dev").into(),
        source_version: version.into(),
        vendor: None,
        status: PackageStatus::Installed,
        origin: None,
    }
}

fn facts(os: (&str, &str), packages: &[(&str, &str)]) -> Facts {
    let mut facts = Facts::empty(semver::Version::new(0, 9, 3), "lab".parse().unwrap());
    facts.os = Os { id: os.0.into(), version: os.1.into(), codename: String::new(), name: String::new() };
    facts.kernel.release = "6.1.0-9-amd64".into();
    facts.packages = packages.iter().map(|(name, version)| package(name, version)).collect();
    facts.services = vec![Service { name: "ssh".into(), active: "active".into(), enabled: "enabled".into() }];
    facts
}

fn of_rpm(mut facts: Facts) -> Facts {
    facts.packages.iter_mut().for_each(|package| package.arch = "noarch".into());
    facts
}

async fn report(world: &World, host: &Value, facts: Facts) {
    let (ci, now) = (host["ci"].as_str().unwrap().parse::<CiId>().unwrap(), world.now());
    world.write(move |tx| cmdb::record_facts(tx, ci, now, &facts, now)).await.unwrap();
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn find(world: &World, query: &str) -> Vec<String> {
    let lines = world.good("GET", &format!("/v1/cis?q={}", escaped(query)), ()).await;
    let name = |line: &Value| line["name"].as_str().unwrap().to_owned();
    lines.as_array().unwrap().iter().map(name).collect()
}

/// Three hosts, of which the last one has rpm packages, and a device, data and a service.
async fn filled(world: &World) -> Vec<String> {
    let mut hosts = world.good("GET", "/v1/hosts", ()).await.as_array().unwrap().clone();
    hosts.sort_by_key(|host| host["hostname"].as_str().unwrap().to_owned());
    let old = [("openssl", "3.0.16-1~deb12u1"), ("openssl-dev", "3.0.16-1~deb12u1"), ("a", "1.0.1")];
    report(world, &hosts[0], facts(("debian", "12"), &old)).await;
    let new = [("openssl", "3.0.17-1~deb12u2"), ("snapd", "2.60")];
    report(world, &hosts[1], facts(("debian", "11"), &new)).await;
    report(world, &hosts[2], of_rpm(facts(("rocky", "9.4"), &[("openssl", "1:3.0.7-27"), ("a", "1.0.1")])))
        .await;
    for (host, labels) in [(0, json!({"stage": "Prod"})), (1, json!({"prod": "", "role": "web"}))] {
        let path = format!("/v1/hosts/{}/labels", hosts[host]["ci"].as_str().unwrap());
        world.good("PUT", &path, json!({ "reason": "test", "labels": labels })).await;
    }
    let items = json!([
        { "item": "device:switch_1", "declared": { "labels": { "stage": "prod" }, "description": "Rack 7, OBEN" } },
        { "item": "data:Kundendaten", "declared": { "confidentiality": "very_high", "scopes": ["dsgvo"], "lifecycle": "planned" } },
        { "item": "service:shop", "declared": { "owner": "Team Web", "criticality": "high", "environment": "production" } },
    ]);
    world.good("POST", "/v1/declarations", json!({ "reason": "survey", "items": items })).await;
    hosts.iter().map(|host| host["hostname"].as_str().unwrap().to_owned()).collect()
}

#[actix_web::test]
async fn entries_are_found_by_what_is_known_of_them() {
    for world in World::each(1, 3).await {
        let hosts = filled(&world).await;
        let [h0, h1, h2] = [0, 1, 2].map(|at: usize| hosts[at].as_str());
        let no_hosts = vec!["Kundendaten", "shop", "switch_1"];
        for (query, found) in [
            ("os:debian-12 package:openssl<3.0.17 label:prod -class:device", vec![h0]),
            ("package:openssl<3.0.17", vec![h0]),
            ("package:openssl>=1:3.0.7", vec![h2]),
            ("package:openssl -package:openssl<3.0.17", vec![h1, h2]),
            ("class:host -package:snapd", vec![h0, h2]),
            // The same versions, and an order that says otherwise.
            ("package:a<1.0.a", vec![h0]),
            ("package:a>1.0.a", vec![h2]),
            ("source:openssl<3.0.17", vec![h0]),
            ("package:openssl-*", vec![h0]),
            ("source:openssl-*", vec![]),
            ("package:snapd,a<1.0.a", vec![h0, h1]),
            ("os:debian", vec![h0, h1]),
            ("os:debian<12 OR os:rocky", vec![h1, h2]),
            ("label:prod", vec![h0, h1, "switch_1"]),
            ("label:stage=PROD", vec![h0, "switch_1"]),
            ("-class:host", no_hosts.clone()),
            ("kind:data,service", vec!["Kundendaten", "shop"]),
            ("owner:\"team web\" env:production criticality:>=medium", vec!["shop"]),
            ("protection:very_high scope:DSGVO lifecycle:planned", vec!["Kundendaten"]),
            ("-lifecycle:in_use", vec!["Kundendaten"]),
            ("confidentiality:>normal -availability:normal", vec!["Kundendaten"]),
            ("agent:<0.10.0 kernel:>=6.1.0-8 service:ssh host-class:prod*", vec![h0, h1, h2]),
            ("kernel:<6.1.0-8", vec![]),
            ("oben", vec!["switch_1"]),
            ("SHO", vec!["shop"]),
            ("h_1", vec!["switch_1"]),
            ("name:*ch?1", vec![]),
            ("name:switch_1", vec!["switch_1"]),
            ("name:switch%1", vec![]),
            ("-(class:host OR shop OR oben)", vec!["Kundendaten"]),
            ("finding:open", vec![]),
            ("change:C-99", vec![]),
            ("manifest:web/base", vec![]),
        ] {
            let mut found: Vec<String> = found.into_iter().map(str::to_owned).collect();
            found.sort();
            assert_eq!(find(&world, query).await, found, "{} {query}", world.engine);
        }
        for (query, why) in [("packge:a", "At character 1"), ("a )", "At character 3")] {
            let path = format!("/v1/cis?q={}", escaped(query));
            let (status, problem) = world.call("GET", &path, ()).await;
            assert_eq!((status, problem["code"].as_str()), (422, Some("ci.bad_search")));
            assert!(problem["why"].as_str().unwrap().starts_with(why), "{problem}");
        }
    }
}

/// What something stands on, and what relies on it, however far that is.
#[actix_web::test]
async fn entries_are_found_by_what_they_serve_and_rely_on() {
    for world in World::each(1, 3).await {
        let [h0, h1, h2] = [0, 1, 2].map(|at: usize| world.hosts[at].name.as_str());
        let related = |item: &str, kind: &str, to: &str| json!({ "item": item, "relations": [{ "kind": kind, "to": to }] });
        let on = |item: &str, host: &str| related(item, "runs_on", &format!("host:{host}"));
        let mut items = vec![
            on("software:database", h0),
            related("service:shop", "depends_on", "software:database"),
            on("service:mail", h1),
            related(&format!("host:{h1}"), "part_of", "device:rack"),
        ];
        for n in 0..25 {
            items.push(related(&format!("data:d{n}"), "depends_on", &format!("data:d{}", n + 1)));
        }
        items.extend([json!({ "item": "data:d25" }), json!({ "item": "device:rack" })]);
        items.reverse();
        world.good("POST", "/v1/declarations", json!({ "reason": "survey", "items": items })).await;
        for (query, found) in [
            ("serves:shop".to_owned(), vec![h0, "database", "shop"]),
            ("class:host serves:SHOP,mail".into(), vec![h0, h1]),
            ("class:host -serves:shop".into(), vec![h1, h2]),
            ("class:host (serves:shop OR serves:mail)".into(), vec![h0, h1]),
            ("serves:sh*".into(), vec![h0, "database", "shop"]),
            ("serves:rack class:host".into(), vec![h1]),
            (format!("relies:{h0}"), vec![h0, "database", "shop"]),
            (format!("relies:{h1} -class:host"), vec!["mail", "rack"]),
            (format!("serves:{h2}"), vec![h2]),
            ("serves:nobody".into(), vec![]),
            ("serves:d6 name:d25".into(), vec!["d25"]),
        ] {
            let mut found: Vec<String> = found.into_iter().map(str::to_owned).collect();
            found.sort();
            let mut told = find(&world, &query).await;
            told.sort();
            assert_eq!(told, found, "{} {query}", world.engine);
        }
        // Further than relations are walked nothing is left out without a word.
        let far = format!("/v1/cis?q={}", escaped("serves:d1"));
        assert_eq!(world.code("GET", &far, ()).await, "ci.search_wide", "{}", world.engine);
    }
}

#[actix_web::test]
async fn every_entry_is_on_one_page_whatever_comes_meanwhile() {
    for world in World::each(1, 2).await {
        let declare = async |names: &[String]| {
            let items: Vec<_> = names.iter().map(|name| json!({ "item": name })).collect();
            world.good("POST", "/v1/declarations", json!({ "reason": "x", "items": items })).await;
        };
        // One name in several classes: the order is total all the same.
        let names: Vec<String> = ["b", "d", "f", "h"]
            .iter()
            .flat_map(|name| ["data", "device", "service"].map(|class| format!("{class}:{name}")))
            .collect();
        declare(&names).await;
        let whole = world.good("GET", "/v1/cis", ()).await;
        let ids = |page: &Value| -> Vec<String> {
            page.as_array().unwrap().iter().map(|line| line["ci"].as_str().unwrap().to_owned()).collect()
        };
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = ids(&world.good("GET", &format!("/v1/cis?limit=4{after}"), ()).await);
            seen.extend(page.iter().cloned());
            // Between two pages something comes before, and something behind that has not been there.
            declare(&[format!("data:a{}", seen.len()), format!("data:b{}", seen.len())]).await;
            match page.last() {
                Some(last) if page.len() == 4 => after = format!("&after={last}"),
                _ => break,
            }
        }
        let mut once = seen.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), seen.len(), "no entry twice");
        let before = ids(&whole);
        let of_old: Vec<&String> = seen.iter().filter(|id| before.contains(id)).collect();
        assert_eq!(
            of_old,
            before.iter().collect::<Vec<_>>(),
            "{}: all that was there, in order",
            world.engine
        );
        assert_eq!(world.code("GET", "/v1/cis?limit=0", ()).await, "ci.bad_page");
        assert_eq!(world.code("GET", "/v1/cis?limit=5001", ()).await, "ci.bad_page");
        assert_eq!(world.code("GET", "/v1/cis?after=CI-9999", ()).await, "ci.not_found");
        assert_eq!(world.code("GET", "/v1/cis?after=b", ()).await, "request.bad_parameter");
    }
}

#[actix_web::test]
async fn only_what_differs_is_written_and_what_was_stays_known() {
    for world in World::each(1, 1).await {
        let host = world.good("GET", "/v1/hosts", ()).await[0].clone();
        let many: Vec<(String, &str)> = (0..50).map(|n| (format!("p{n}"), "1.0")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(name, version)| (name.as_str(), *version)).collect();
        let count = async || {
            world
                .read(|tx| {
                    use super::store::{FOREVER, ci_term};
                    use diesel::prelude::*;
                    let all = ci_term::table.count().get_result::<i64>(tx)?;
                    let held =
                        ci_term::table.filter(ci_term::until.eq(FOREVER)).count().get_result::<i64>(tx)?;
                    Ok((all, held))
                })
                .await
        };
        report(&world, &host, facts(("debian", "12"), &many)).await;
        let (all, held) = count().await;
        assert_eq!(all, held);
        let mut upgraded = facts(("debian", "12"), &many);
        upgraded.packages[3].version = "1.1".into();
        report(&world, &host, upgraded.clone()).await;
        assert_eq!(count().await, (all + 1, held), "{}: one version more, one that was", world.engine);
        // What is only left over is not there.
        upgraded.packages[4].status = PackageStatus::ConfigFiles;
        report(&world, &host, upgraded).await;
        assert_eq!(count().await, (all + 1, held - 1));
        assert_eq!(find(&world, "package:p4").await.len(), 0);
        assert_eq!(find(&world, "package:p3>=1.1 package:p5").await.len(), 1);
        // There and back within one second.
        report(&world, &host, facts(("debian", "12"), &many)).await;
        assert_eq!((find(&world, "package:p4").await.len(), count().await.1), (1, held));
    }
}

/// Many searches against many entries, and what the language itself says of each entry.
#[actix_web::test]
async fn the_database_finds_what_the_language_means() {
    let words = ["web", "db", "mail"];
    let terms = [
        "label:role=web",
        "label:role",
        "owner:db",
        "owner:web,mail",
        "criticality:>=high",
        "class:data",
        "web",
        "env:*a*",
        "scope:web",
        "name:*1*",
        "lifecycle:retired",
    ];
    for world in World::each(1, 1).await {
        let criticality = ["low", "medium", "high", "critical"];
        let item = |n: usize| {
            let [role, owner, scope] = [1, 3, 5].map(|step: usize| words[n / step % 3]);
            let mut declared = json!({ "criticality": criticality[n / 2 % 4], "scopes": [scope] });
            if n.is_multiple_of(2) {
                declared["labels"] = json!({ "role": role });
            }
            if !n.is_multiple_of(3) {
                declared["owner"] = owner.into();
            }
            if n.is_multiple_of(5) {
                declared["environment"] = "staging".into();
                declared["lifecycle"] = "retired".into();
            }
            json!({ "item": format!("{}:{role}{n}", if n % 4 < 2 { "data" } else { "device" }), "declared": declared })
        };
        let items: Vec<Value> = (0..40).map(item).collect();
        world.good("POST", "/v1/declarations", json!({ "reason": "x", "items": items })).await;
        let mut state = 7_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        for _ in 0..150 {
            let mut term = || format!("{}{}", if next(3) == 0 { "-" } else { "" }, terms[next(terms.len())]);
            let [a, b, c, d] = [term(), term(), term(), term()];
            let text = match next(4) {
                0 => format!("{a} {b}"),
                1 => format!("{a} OR {b} {c}"),
                2 => format!("-({a} OR {b}) {c}"),
                _ => format!("({a} OR -({b} {c})) {d}"),
            };
            let query: Query = text.parse().unwrap();
            let mut expected: Vec<String> = items
                .iter()
                .filter(|item| holds(&query, item))
                .map(|item| item["item"].as_str().unwrap().split_once(':').unwrap().1.to_owned())
                .collect();
            expected.sort();
            let mut found = find(&world, &format!("-class:host ({text})")).await;
            found.sort();
            assert_eq!(found, expected, "{} {text}", world.engine);
        }
    }
}

fn holds(query: &Query, item: &Value) -> bool {
    use shared::search::{Fact, Key};
    match query {
        Query::All(all) => all.iter().all(|query| holds(query, item)),
        Query::Any(all) => all.iter().any(|query| holds(query, item)),
        Query::Not(query) => !holds(query, item),
        Query::Term(term) => {
            let (class, name) = item["item"].as_str().unwrap().split_once(':').unwrap();
            let said = &item["declared"];
            let one = |value: &Value| vec![(value.as_str().unwrap_or_default().to_owned(), String::new())];
            let facts: Vec<(String, String)> = match term.key {
                Key::Class => vec![(class.to_owned(), String::new())],
                Key::Name => vec![(name.to_owned(), String::new())],
                Key::Text => return name.contains(term.want.word.as_str()),
                Key::Label => said["labels"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
                    .collect(),
                Key::Owner => one(&said["owner"]),
                Key::Criticality => one(&said["criticality"]),
                Key::Env => one(&said["environment"]),
                Key::Scope => one(&said["scopes"][0]),
                Key::Lifecycle if said["lifecycle"].is_null() => one(&json!("in_use")),
                Key::Lifecycle => one(&said["lifecycle"]),
                other => panic!("{other:?} is not asked for"),
            };
            let order = shared::version::Order::Deb;
            let known = facts.iter().filter(|(word, _)| !word.is_empty());
            known.into_iter().any(|(word, detail)| term.fits(Fact { word, detail, order }))
        }
    }
}

#[actix_web::test]
async fn saved_searches_are_used_in_others_and_never_in_themselves() {
    for world in World::each(1, 3).await {
        let hosts = filled(&world).await;
        let save = |name: &str, query: &str| {
            (format!("/v1/searches/{name}"), json!({ "query": query, "about": "patch day" }))
        };
        for (name, query) in
            [("old-ssl", "package:openssl<3.0.17"), ("mine", "saved:old-ssl OR owner:\"team web\"")]
        {
            let (path, body) = save(name, query);
            world.good("PUT", &path, body).await;
        }
        assert_eq!(find(&world, "saved:mine").await, ["shop", hosts[0].as_str()]);
        assert_eq!(find(&world, "saved:mine -class:service").await, [hosts[0].as_str()]);
        assert_eq!(find(&world, "class:host -saved:mine").await, hosts[1..]);
        let list = world.good("GET", "/v1/searches", ()).await;
        assert_eq!(
            (list[0]["name"].as_str(), list[0]["by"].as_str()),
            (Some("mine"), Some("lead")),
            "{list}"
        );
        for (name, query, code) in [
            ("old-ssl", "saved:mine", "ci.search_circle"),
            ("own", "a saved:own", "ci.search_circle"),
            ("next", "saved:nobody", "ci.search_unknown"),
            ("next", "packge:a", "ci.bad_search"),
            ("next", " ", "ci.bad_saved"),
            ("Next", "a", "ci.bad_saved"),
        ] {
            let (path, body) = save(name, query);
            assert_eq!(world.code("PUT", &path, body).await, code, "{name} {query}");
        }
        // Too many terms by way of saved ones.
        let wide: Vec<String> = (0..40).map(|n| format!("name{n}")).collect();
        let (path, body) = save("wide", &wide.join(" OR "));
        world.good("PUT", &path, body).await;
        let twice = format!("/v1/cis?q={}", escaped("saved:wide saved:wide"));
        assert_eq!(world.code("GET", &twice, ()).await, "ci.bad_search");
        let (path, body) = save("old-ssl", "package:openssl<3.0.17");
        world.good("PUT", &path, body).await;
        assert_eq!(world.code("DELETE", "/v1/searches/old-ssl", ()).await, "ci.search_used");
        let mine = "/v1/searches/mine";
        let looked = world.if_match("GET", mine, None, ()).await.1.unwrap();
        let (status, _, answer) = world.if_match("DELETE", mine, Some("\"other\""), ()).await;
        assert_eq!((status, &answer["code"]), (412, &json!("request.other_version")), "{}", world.engine);
        assert_eq!(world.if_match("DELETE", mine, Some(&looked), ()).await.0, 204, "{}", world.engine);
        assert_eq!(world.code("GET", mine, ()).await, "ci.search_unknown");
        world.good("DELETE", "/v1/searches/old-ssl", ()).await;
        assert_eq!(world.code("DELETE", "/v1/searches/old-ssl", ()).await, "ci.search_unknown");
        assert_eq!(world.code("GET", "/v1/cis?q=saved:mine", ()).await, "ci.search_unknown");
    }
}
