//! The repository as publishers, governance and hosts see it, on both databases.

use super::{Accepted, Edition, Publish, repository};
use crate::changes::tests::world::{self, NOW, PUBLISHER, TOKEN, World, key};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::ledger;
use serde_json::json;
use shared::digest::Digest;
use shared::statement::Statement;
use shared::strict::{self, Map};
use shared::time::Timestamp;
use shared::tuf::client::{Step, Stored, start};
use shared::tuf::{Role, TargetFile, TargetName, Trusted};
use std::collections::BTreeMap;

const DAY: i64 = 86_400;

/// The stored repository as a host judges it.
pub(crate) fn as_client(tx: &mut Conn, now: Timestamp) -> Result<Trusted, Error> {
    repository::as_client(tx, now)
}

/// A refresh over the served files, as an agent does it; returns what it trusts and keeps the files.
async fn refresh(world: &World, stored: &mut Stored) -> Result<Trusted, String> {
    let node = &world.node;
    let mut step = start(stored.clone(), world.now()).map_err(|e| e.code().to_owned())?;
    loop {
        step = match step {
            Step::Fetch(fetch) => match node.repository.files.get(&node.db, fetch.name()).await.unwrap() {
                Some((bytes, _)) => fetch.found(&bytes),
                None => fetch.not_found(),
            }
            .map_err(|e| e.code().to_owned())?,
            Step::Store(store) => {
                match store.role() {
                    Role::Root => stored.root = store.bytes().to_vec(),
                    role => drop(stored.others.insert(role.clone(), store.bytes().to_vec())),
                }
                store.stored().map_err(|e| e.code().to_owned())?
            }
            Step::Stale(_) => return Err("stale".into()),
            Step::Done(trusted) => return Ok(*trusted),
        }
    }
}

fn host_of(world: &World) -> Stored {
    let root = std::fs::read(world.data_dir().join("site/1.root.json")).unwrap();
    Stored { root, others: BTreeMap::new() }
}

#[actix_web::test]
async fn a_host_follows_the_repository_from_the_first_start_on() {
    for mut world in World::each(1, 0).await {
        let mut host = host_of(&world);
        let first = refresh(&world, &mut host).await.unwrap();
        assert_eq!((first.versions().timestamp, first.issued()), (1, NOW));
        let used = world.publish("base", "1.0.0").await;
        let next = refresh(&world, &mut host).await.unwrap();
        let main = "main".parse().unwrap();
        assert_eq!(next.manifests(&main).unwrap().len(), 1, "{}", world.engine);
        assert_eq!(next.versions().timestamp, 2);
        let name: TargetName = "manifest.main.base.1.0.0.json".parse().unwrap();
        let file = *next.find(&name).unwrap().unwrap();
        let path = format!("/v1/tuf/{}", name.served_as(&file));
        let (status, bytes) = world.call_on(&world.node, ("GET", &path), TOKEN, Vec::new()).await;
        assert_eq!(status, 200);
        file.check(&name, &bytes).unwrap();
        let read = shared::admit::verify_manifest(&world.policy, &bytes, &used, NOW).unwrap();
        assert_eq!(read.publisher().as_str(), "pia");
        let digest = used.sha256;
        assert_eq!(world.read(move |tx| Ok(ledger::find_statement(tx, &digest)?)).await, Some(bytes));
        // Starting again imports nothing and signs nothing that is not due.
        world.node.repository.prepare(&world.node.db, &world.config, NOW).await.unwrap();
        assert_eq!(refresh(&world, &mut host).await.unwrap().versions().timestamp, 2);
    }
}

#[actix_web::test]
async fn publishing_again_answers_the_same_and_changes_nothing() {
    for mut world in World::each(1, 0).await {
        let published = world.publication("base", "1.0.0", "x");
        let (request, listed) = world.publishing(&published);
        let first: Accepted =
            serde_json::from_value(world.good("POST", "/v1/tuf/publish", &request).await).unwrap();
        world.content = (2, listed);
        world.publish("base", "1.1.0").await;
        let size = world.checkpoint().await.size;
        let again: Accepted =
            serde_json::from_value(world.good("POST", "/v1/tuf/publish", &request).await).unwrap();
        assert_eq!((first, world.checkpoint().await.size), (again, size), "{}", world.engine);
    }
}

#[actix_web::test]
async fn only_additions_signed_by_team_and_publisher_are_published() {
    for mut world in World::each(1, 0).await {
        world.publish("base", "1.1.0").await;
        let (version, listed) = world.content.clone();
        let text = |listed: Map<TargetName, TargetFile>, signer| {
            String::from_utf8(world::content(version + 1, listed, signer)).unwrap()
        };
        let other = world.publication("base", "1.2.0", "x");
        let (good, with_other) = world.publishing(&other);
        let replaced = world.publication("base", "1.1.0", "other bytes");
        let (replacing, _) = world.publishing(&replaced);
        let (lower, with_lower) = world.publishing(&world.publication("base", "1.0.0", "x"));
        let mut two = with_other.clone();
        two.insert("manifest.main.more.1.0.0.json".parse().unwrap(), TargetFile::of(b"?"));
        let mut removed = with_other.clone();
        removed.remove(&"manifest.main.base.1.1.0.json".parse().unwrap());
        let stranger = Statement::sign(other.body.clone(), &key(40)).envelope;
        let skipped = world::content(version + 2, with_other.clone(), PUBLISHER);
        let cases: Vec<(&str, Publish, &str)> = vec![
            ("a published version with other bytes", replacing, "manifest.replaced"),
            ("a lower version by accident", lower.clone(), "manifest.older"),
            (
                "another file along with it",
                Publish { content: text(two, PUBLISHER), ..good.clone() },
                "site.refused",
            ),
            (
                "something removed",
                Publish { content: text(removed, PUBLISHER), ..good.clone() },
                "manifest.removed",
            ),
            (
                "content without the manifest",
                Publish { content: text(listed, PUBLISHER), ..good.clone() },
                "site.refused",
            ),
            (
                "content of another key",
                Publish { content: text(with_other.clone(), 40), ..good.clone() },
                "site.refused",
            ),
            (
                "content of the server's key",
                Publish { content: text(with_other, 31), ..good.clone() },
                "site.refused",
            ),
            ("a manifest of another key", Publish { target: Some(stranger), ..good.clone() }, "site.refused"),
            (
                "a version left out",
                Publish { content: String::from_utf8(skipped).unwrap(), ..good.clone() },
                "site.not_next",
            ),
            ("a manifest smuggled in by a renewal", Publish { target: None, ..good.clone() }, "site.refused"),
            ("another team", Publish { team: "other".parse().unwrap(), ..good.clone() }, "site.refused"),
            ("no metadata", Publish { content: "{}".into(), ..good.clone() }, "site.refused"),
        ];
        let before = world.checkpoint().await;
        for (what, request, code) in cases {
            assert_eq!(
                world.code("POST", "/v1/tuf/publish", &request).await,
                code,
                "{}: {what}",
                world.engine
            );
        }
        assert_eq!(world.code("POST", "/v1/tuf/publish", json!({"team": "main"})).await, "request.bad_json");
        assert_eq!(world.checkpoint().await, before, "refusals leave nothing behind");
        world.good("POST", "/v1/tuf/publish", Publish { older: true, ..lower }).await;
        let renewed = world::content(version + 2, with_lower.clone(), PUBLISHER);
        let renewal = Publish { content: String::from_utf8(renewed).unwrap(), target: None, ..good.clone() };
        world.good("POST", "/v1/tuf/publish", &renewal).await;
        world.good("POST", "/v1/tuf/publish", &renewal).await;
        world.content = (version + 2, with_lower);
        world.publish("base", "1.2.0").await;
    }
}

#[actix_web::test]
async fn a_manifest_is_published_after_the_files_that_it_names() {
    for mut world in World::each(1, 0).await {
        let bytes = b"artifact".to_vec();
        let mut body = world.publication("files", "1.0.0", "x").body;
        let text = json!({
            "manifest": "files", "version": "1.0.0", "team": "main", "on_drift": "report",
            "resources": [{"file": {"path": "/opt/x", "artifact": {"sha256": Digest::of(&bytes), "length": 8}}}],
        });
        body.manifest = shared::manifest::Manifest::from_json(text.to_string().as_bytes()).unwrap();
        let published = Statement::sign(body, &key(PUBLISHER));
        let (request, listed) = world.publishing(&published);
        assert_eq!(world.code("POST", "/v1/tuf/publish", &request).await, "manifest.artifact_missing");
        upload(&world, &bytes).await;
        world.good("POST", "/v1/tuf/publish", &request).await;
        world.content = (2, listed);
    }
}

/// In two pieces, with a wrong one between them; returns where it can be fetched.
async fn upload(world: &World, bytes: &[u8]) -> String {
    let digest = Digest::of(bytes);
    let announced = json!({"sha256": digest, "length": bytes.len()});
    let begun = world.good("POST", "/v1/uploads", &announced).await;
    let id = begun["id"].as_str().unwrap().to_owned();
    assert_eq!(begun["offset"], 0);
    let piece = async |offset: usize, piece: &[u8]| {
        let path = format!("/v1/uploads/{id}?offset={offset}");
        let (status, body) = world.call_on(&world.node, ("PATCH", &path), TOKEN, piece.to_vec()).await;
        (status, serde_json::from_slice::<serde_json::Value>(&body).unwrap())
    };
    assert_eq!(piece(0, &bytes[..3]).await, (200, json!({"offset": 3})));
    assert_eq!(piece(0, &bytes[..3]).await.1["code"], "object.wrong_offset");
    assert_eq!(world.good("POST", "/v1/uploads", &announced).await, json!({"id": id, "offset": 3}));
    assert_eq!(piece(3, &bytes[3..]).await, (200, json!({"offset": bytes.len()})));
    assert_eq!(piece(0, bytes).await.1["code"], "upload.unknown", "it is finished");
    assert_eq!(world.good("POST", "/v1/uploads", &announced).await["offset"], bytes.len());
    format!("/v1/artifacts/{digest}")
}

#[actix_web::test]
async fn an_upload_is_what_was_announced_or_it_is_discarded() {
    for world in World::each(1, 0).await {
        let path = upload(&world, b"0123456789").await;
        let (status, bytes) = world.call_on(&world.node, ("GET", &path), TOKEN, Vec::new()).await;
        assert_eq!((status, bytes.as_slice()), (200, b"0123456789".as_slice()));
        let (status, bytes) = world.call_on(&world.node, ("HEAD", &path), TOKEN, Vec::new()).await;
        assert_eq!((status, bytes.len()), (200, 0));
        for (announced, sent, code) in [
            (
                json!({"sha256": Digest::of(b"other"), "length": 4}),
                b"lies".as_slice(),
                "object.digest_mismatch",
            ),
            (json!({"sha256": Digest::of(b"long"), "length": 4}), b"longer", "upload.too_long"),
        ] {
            let id = world.good("POST", "/v1/uploads", &announced).await["id"].as_str().unwrap().to_owned();
            let path = format!("/v1/uploads/{id}?offset=0");
            let (_, body) = world.call_on(&world.node, ("PATCH", &path), TOKEN, sent.to_vec()).await;
            let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(told["code"], code, "{}", world.engine);
            assert_eq!(world.good("POST", "/v1/uploads", &announced).await["offset"], 0);
        }
        let huge = json!({"sha256": Digest::of(b""), "length": u64::MAX});
        assert_eq!(world.code("POST", "/v1/uploads", huge).await, "object.too_large");
        let strange = world.call_on(&world.node, ("GET", &path), "not-a-token", Vec::new()).await;
        assert_eq!(strange.0, 401);
    }
}

#[actix_web::test]
async fn governance_brings_a_new_policy_and_the_server_cannot() {
    for world in World::each(1, 0).await {
        let policy = |version, approvals| strict::to_json(&world::policy(&world.site, version, approvals));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let sent = |version, policy: &[u8]| Edition {
            targets: text(world::targets(version, policy)),
            policy: text(policy.to_vec()),
            root: None,
            roots: Vec::new(),
        };
        let (old, new) = (policy(1, 1), policy(2, 2));
        let mut forged = sent(2, &new);
        forged.targets = forged.targets.replace("1.0.34", "1.0.33");
        let other = Edition { policy: text(policy(2, 1)), ..sent(2, &new) };
        let foreign = strict::to_json(&world::policy(&"ffffffffffffffff".parse().unwrap(), 3, 1));
        for (what, edition, code) in [
            ("not signed by governance", forged, "site.refused"),
            ("another document than signed", other, "site.refused"),
            ("a version left out", sent(3, &new), "site.not_next"),
            ("another site", sent(2, &foreign), "site.refused"),
            ("an older version with other content", sent(2, &policy(1, 3)), "policy.not_newer"),
        ] {
            assert_eq!(
                world.code("POST", "/v1/tuf/policy", &edition).await,
                code,
                "{}: {what}",
                world.engine
            );
        }
        let first = world.good("POST", "/v1/tuf/policy", sent(2, &new)).await;
        assert_eq!(world.good("POST", "/v1/tuf/policy", sent(2, &new)).await, first, "a replay");
        let current = world.read(super::policy).await;
        assert_eq!((current.policy.version, current.digest), (2, Digest::of(&new)));
        assert_eq!(world.code("POST", "/v1/tuf/policy", sent(3, &old)).await, "policy.not_newer");
        let size = world.checkpoint().await.size;
        world.good("POST", "/v1/tuf/policy", sent(3, &new)).await;
        assert_eq!(
            world.checkpoint().await.size,
            size + 1,
            "a renewal of the same policy has a leaf as well"
        );
        let site = world.good("GET", "/v1/site", ()).await;
        assert_eq!((&site["policy_version"], &site["site"]), (&json!(2), &json!(world.site)));
        let what: Vec<_> =
            site["expiry"].as_array().unwrap().iter().map(|e| e["what"].as_str().unwrap()).collect();
        assert_eq!(what[0], "timestamp.json", "the first to end: {what:?}");
        assert!(what.contains(&"site authority") && what.contains(&"root.json"), "{what:?}");
    }
}

#[actix_web::test]
async fn a_new_root_is_followed_and_a_root_that_locks_the_server_out_is_refused() {
    for world in World::each(1, 0).await {
        let mut host = host_of(&world);
        refresh(&world, &mut host).await.unwrap();
        let policy = strict::to_json(&world::policy(&world.site, 2, 1));
        let edition = |root: Vec<u8>| Edition {
            targets: String::from_utf8(world::targets(2, &policy)).unwrap(),
            policy: String::from_utf8(policy.clone()).unwrap(),
            root: Some(String::from_utf8(root).unwrap()),
            roots: Vec::new(),
        };
        assert_eq!(
            world.code("POST", "/v1/tuf/policy", edition(world::root(2, 50))).await,
            "site.online_key"
        );
        assert_eq!(world.code("POST", "/v1/tuf/policy", edition(world::root(3, 31))).await, "site.refused");
        world.good("POST", "/v1/tuf/policy", edition(world::root(2, 31))).await;
        let trusted = refresh(&world, &mut host).await.unwrap();
        assert_eq!((trusted.versions().root, trusted.versions().targets), (2, 2), "{}", world.engine);
    }
}

#[actix_web::test]
async fn what_is_due_is_signed_again_even_after_a_long_silence() {
    for world in World::each(1, 0).await {
        let mut host = host_of(&world);
        refresh(&world, &mut host).await.unwrap();
        let versions = async |after: i64| {
            world.clock.set(NOW.plus(after));
            let repository = &world.node.repository;
            repository.prepare(&world.node.db, &world.config, world.now()).await.unwrap();
            let now = world.now();
            let trusted = world.read(move |tx| as_client(tx, now)).await;
            (trusted.versions().timestamp, trusted.versions().snapshot)
        };
        assert_eq!(versions(3_599).await, (1, 1), "{}", world.engine);
        assert_eq!(versions(3_600).await, (2, 1));
        assert_eq!(versions(3_700).await, (2, 1));
        assert_eq!(versions(4 * DAY).await, (3, 2), "snapshot and changes at half of their life");
        assert_eq!(versions(40 * DAY).await, (4, 3), "long after everything had ended");
        assert_eq!(refresh(&world, &mut host).await.unwrap().versions().snapshot, 3);
    }
}

#[actix_web::test]
async fn files_are_served_with_the_right_life_and_only_under_their_names() {
    for world in World::each(1, 0).await {
        for (file, changes) in [("timestamp.json", true), ("1.root.json", false), ("1.snapshot.json", false)]
        {
            let (_, found) = world.node.repository.files.get(&world.node.db, file).await.unwrap().unwrap();
            assert_eq!(found, changes, "{file}");
        }
        for absent in ["2.root.json", "9.snapshot.json", "root.json", "..%2f..%2fkeys%2fonline.key"] {
            let (status, _) = world.call("GET", &format!("/v1/tuf/{absent}"), ()).await;
            assert_eq!(status, 404, "{} {absent}", world.engine);
        }
    }
}

/// Two processes publish, re-sign and list at once; every version is signed once.
#[actix_web::test]
async fn two_nodes_write_one_chain_of_versions() {
    for world in World::each(1, 0).await {
        let second = world.second_node().await;
        let mut requests = Vec::new();
        for n in 0..12 {
            let published = world.publication(&format!("m{n}"), "1.0.0", "x");
            let (request, _) = world.publishing(&published);
            requests.push(strict::to_json(&request));
        }
        let calls = requests.iter().enumerate().map(|(n, request)| {
            let node = if n % 2 == 0 { &world.node } else { &second };
            world.call_on(node, ("POST", "/v1/tuf/publish"), TOKEN, request.clone())
        });
        let answers = futures_util::future::join_all(calls).await;
        let won = answers.iter().filter(|(status, _)| *status == 200).count();
        let lost = answers.iter().filter(|(status, _)| *status == 409).count();
        assert_eq!((won, lost), (1, 11), "{}: one is the next version, the others are told", world.engine);
        let tick = |n: i64| {
            let (node, at) = (if n % 2 == 0 { &world.node } else { &second }, NOW.plus(3_600 * (n / 2 + 1)));
            let (online, db) = (node.repository.online.clone(), node.db.clone());
            async move { db.write("resign", move |tx| super::resign(tx, &online, at)).await.unwrap() }
        };
        for pair in 0..5 {
            let (one, two) = tokio::join!(tick(2 * pair), tick(2 * pair + 1));
            assert!(one != two, "{}: exactly one node signs what is due", world.engine);
        }
        world.clock.set(NOW.plus(5 * 3_600));
        let mut host = host_of(&world);
        let trusted = refresh(&world, &mut host).await.unwrap();
        assert_eq!((trusted.versions().timestamp, trusted.versions().snapshot), (7, 2), "{}", world.engine);
        // The other node serves the newest as well, although it did not sign all of them.
        second.repository.files.expire();
        let seen = second.repository.files.timestamp_version(&second.db).await.unwrap();
        assert_eq!(seen, 7);
        let now = world.now();
        let trusted = world.read(move |tx| as_client(tx, now)).await;
        assert_eq!(trusted.manifests(&"main".parse().unwrap()).unwrap().len(), 1);
    }
}
