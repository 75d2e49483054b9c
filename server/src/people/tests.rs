use super::model::{Bootstrap, Grant};
use super::*;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::kernel::http::person::{Access, Caller};
use crate::testfleet::{NOW, World, code};
use shared::digest::Digest;
use shared::ids::PersonId;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn person(id: &str) -> PersonId {
    id.parse().unwrap()
}

async fn caller(world: &World, token: &str, after: i64) -> Option<(String, Access)> {
    let (secret, now) = (Digest::of(token.as_bytes()), NOW.plus(after));
    let found = world.node.db.read("caller", move |tx| store::find_caller(tx, &secret, now)).await.unwrap();
    found.map(|Caller { person, access, .. }| (person.to_string(), access))
}

async fn grant(
    world: &World,
    id: &'static str,
    access: Access,
    token: &'static str,
    life: i64,
) -> Result<(), Error> {
    let body = move |tx: &mut Conn| {
        let secret = Digest::of(token.as_bytes());
        store::record_grant(tx, &person(id), access, &secret, (NOW, NOW.plus(life)), &person("lead"))
    };
    world.node.db.write("grant", body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_its_time_and_as_long_as_its_person() {
    for world in World::each().await {
        grant(&world, "lead", Access::Admin, "a", 1_000).await.unwrap();
        grant(&world, "peer", Access::Reader, "b1", 100).await.unwrap();
        grant(&world, "peer", Access::Member, "b2", 900).await.unwrap();
        let member = Some(("peer".to_owned(), Access::Member));
        assert_eq!(caller(&world, "b1", 99).await, member, "the access is the person's, not the token's");
        assert_eq!(caller(&world, "b1", 100).await, None);
        assert_eq!(caller(&world, "b2", 100).await, member);
        assert_eq!(caller(&world, "b3", 0).await, None);
        world.node.db.write("off", |tx| store::update_disabled(tx, &person("peer"), NOW)).await.unwrap();
        assert_eq!(caller(&world, "b2", 0).await, None, "{}", world.engine);
        let lines = world.node.db.read("list", |tx| Ok::<_, Error>(store::list(tx, NOW)?)).await.unwrap();
        let lines: Vec<_> =
            lines.iter().map(|line| (line.person.as_str(), line.tokens, line.disabled)).collect();
        assert_eq!(lines, [("lead", 1, None), ("peer", 2, Some(NOW))]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_administrator_stays() {
    for world in World::each().await {
        grant(&world, "lead", Access::Admin, "a", 1_000).await.unwrap();
        let off = async |id: &'static str| {
            world.node.db.write("off", move |tx| store::update_disabled(tx, &person(id), NOW)).await
        };
        assert_eq!(code(off("lead").await), "person.last_admin");
        assert_eq!(code(grant(&world, "lead", Access::Reader, "a2", 1).await), "person.last_admin");
        assert_eq!(code(off("nobody").await), "person.not_found");
        grant(&world, "peer", Access::Admin, "b", 1_000).await.unwrap();
        off("lead").await.unwrap();
        assert_eq!(code(off("peer").await), "person.last_admin", "{}", world.engine);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_administrator_comes_from_the_ceremony_once() {
    for world in World::each().await {
        let import = async || import_first_admin(&world.node.db, &world.config, &world.node.log, NOW).await;
        import().await.unwrap();
        assert_eq!(caller(&world, "first", 0).await, None, "no file, no administrator");
        let write = |site: &str, vkey: String| {
            let bootstrap = serde_json::json!({
                "site": site, "root_sha256": Digest::of(b"root"), "person": "lead", "name": "First Approver",
                "token_sha256": Digest::of(b"first"), "log_vkey": vkey,
            });
            std::fs::write(world.config.data_dir.join("bootstrap.json"), bootstrap.to_string()).unwrap();
        };
        let vkey = world.node.log.vkey().to_string();
        write("ffffffffffffffff", vkey.clone());
        assert!(import().await.unwrap_err().chain().contains("it is for the site ffffffffffffffff"));
        let other = shared::keys::SigningKey::from_seed(&[1; 32]).public();
        let other = shared::ledger::VerifierKey::new(world.node.log.vkey().name().clone(), other);
        write(crate::testfleet::SITE, other.to_string());
        assert!(import().await.unwrap_err().chain().contains("its log key is not the one in"));

        write(crate::testfleet::SITE, vkey);
        import().await.unwrap();
        assert_eq!(caller(&world, "first", 1_000_000_000).await, Some(("lead".into(), Access::Admin)));
        grant(&world, "peer", Access::Admin, "b", 1_000).await.unwrap();
        world.node.db.write("off", |tx| store::update_disabled(tx, &person("lead"), NOW)).await.unwrap();
        import().await.unwrap();
        assert_eq!(caller(&world, "first", 0).await, None, "{}: a restart does not undo it", world.engine);
    }
}

#[test]
fn a_bootstrap_file_with_more_in_it_is_refused() {
    let text = br#"{"site":"0011223344556677","password":"x"}"#;
    assert!(shared::strict::from_json::<Bootstrap>("bootstrap.json", text, 4_096).is_err());
    for (access, days, refusal) in [("root", 1, "person.bad_access"), ("admin", 0, "person.bad_days")] {
        assert_eq!(code(Grant { access: access.into(), days, token_sha256: None }.read()), refusal);
    }
    assert_eq!(
        Grant { access: "member".into(), days: 2, token_sha256: None }.read().unwrap(),
        (Access::Member, 172_800)
    );
}

/// Handlers that need no authority, and why it is safe; every other one names it in its signature.
const PUBLIC: [&str; 8] = [
    // The description of the interface; the same for everybody.
    "describe",
    // Says that the server is there, and nothing else.
    "healthz",
    // A one-time token and the host's own key.
    "join_host",
    // A secret of 256 bits in the path: calendar programs can send nothing else. It only reads.
    "read_feed",
    // Where no route is.
    "nowhere",
    // A secret of 256 bits in the path, as with `read_feed`: machines of the FleetLock protocol can send nothing else. It asks
    // for a slot of one budget, or gives it back.
    "pre_reboot",
    // The host's own key.
    "renew_host",
    // The same secret as with `pre_reboot`.
    "steady_state",
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") && !path.to_string_lossy().contains("test")
        {
            found.push(path);
        }
    }
}

/// Names of the handlers that a source file routes, by attribute or by hand.
fn routed(source: &str) -> BTreeSet<&str> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut found = BTreeSet::new();
    for method in ["get", "post", "put", "patch", "delete", "head", "options", "route"] {
        for part in source.split(&format!("\n#[{method}(")).skip(1) {
            found.insert(part.split_once("fn ").unwrap().1.split('(').next().unwrap());
        }
    }
    for part in source.split("().to(").skip(1).chain(source.split("web::to(").skip(1)) {
        found.insert(part.split(')').next().unwrap().rsplit("::").next().unwrap());
    }
    found
}

#[test]
fn every_route_names_its_authority() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let (mut public, mut routes) = (BTreeSet::new(), 0);
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        for name in routed(&source) {
            routes += 1;
            let signature = source.split(&format!("async fn {name}(")).nth(1);
            let signature = signature.and_then(|rest| rest.split("{\n").next()).unwrap_or_default();
            if !signature.contains(": Allowed<") && !signature.contains(": Agent") {
                public.insert(name.to_owned());
            }
        }
    }
    assert!(routes > 40, "only {routes} routes found");
    assert_eq!(public, PUBLIC.map(str::to_owned).into());
}

/// A token for a program can do some of what its person may do, never more, and never makes a larger one.
#[actix_web::test]
async fn a_token_for_a_program_does_what_it_is_for_and_no_more() {
    for world in crate::changes::tests::world::World::each(1, 0).await {
        let call = async |token: &str, method: &str, path: &str, body: serde_json::Value| {
            let body = shared::strict::to_json(&body);
            let (status, answer) = world.call_on(&world.node, (method, path), token, body).await;
            (status, serde_json::from_slice::<serde_json::Value>(&answer).unwrap_or_default())
        };
        let new =
            |name: &str, scopes: &[&str]| serde_json::json!({"name": name, "scopes": scopes, "days": 2});
        let make = async |by: &str, scopes: &[&str]| call(by, "POST", "/v1/tokens", new("ci", scopes)).await;
        let admin = crate::changes::tests::world::TOKEN;
        let (status, made) = make(admin, &["read", "propose", "own-tokens"]).await;
        assert_eq!(status, 200, "{made}");
        let token = made["token"].as_str().unwrap();
        let empty = serde_json::json!({});
        assert_eq!(call(token, "GET", "/v1/changes", empty.clone()).await.0, 200, "{}", world.engine);
        assert_eq!(call(token, "POST", "/v1/changes", empty.clone()).await.0, 200);
        for (method, path) in
            [("POST", "/v1/changes/C-1/halt"), ("GET", "/v1/people/x/tokens"), ("DELETE", "/v1/people/lead")]
        {
            let (status, answer) = call(token, method, path, empty.clone()).await;
            assert!(status == 403 || status == 404 || status == 405, "{method} {path}: {status} {answer}");
        }
        let (status, refused) = call(token, "POST", "/v1/changes/C-1/halt", empty.clone()).await;
        assert_eq!((status, &refused["code"]), (403, &"person.out_of_scope".into()), "{}", world.engine);
        // No token gives more than it has, no person more than they may.
        assert_eq!(make(token, &["read"]).await.0, 200);
        for (by, scopes, code) in [
            (token, &["operate"] as &[&str], "person.bad_scope"),
            (token, &["read", "manage-people"], "person.bad_scope"),
            (admin, &["fly"], "person.bad_scope"),
            (admin, &[], "person.no_scope"),
        ] {
            let (status, answer) = make(by, scopes).await;
            assert_eq!((status, answer["code"].as_str().unwrap()), (422, code), "{scopes:?}");
        }
        let reader = world.token("viewer", "reader").await;
        assert_eq!(make(&reader, &["propose"]).await.1["code"], "person.bad_scope");
        let unnamed = call(admin, "POST", "/v1/tokens", new(" ", &["read"])).await;
        assert_eq!(unnamed.1["code"], "person.bad_token_name");
        // The list has no secrets, and a token ends at once.
        let (_, list) = call(admin, "GET", "/v1/tokens", empty.clone()).await;
        assert_eq!(list.as_array().unwrap().len(), 3, "{list}");
        assert!(!list.to_string().contains(token));
        let id = Digest::of(token.as_bytes());
        assert_eq!(call(&reader, "DELETE", &format!("/v1/tokens/{id}"), empty.clone()).await.0, 404);
        assert_eq!(call(token, "DELETE", &format!("/v1/tokens/{id}"), empty.clone()).await.0, 204);
        assert_eq!(call(token, "GET", "/v1/changes", empty.clone()).await.0, 401, "{}", world.engine);
        // Tokens for some uses let nobody in: the last whole one stays.
        let last = format!("/v1/tokens/{}", Digest::of(admin.as_bytes()));
        assert_eq!(call(admin, "DELETE", &last, empty.clone()).await.1["code"], "person.last_admin");
        world.clock.set(world.clock.now().plus(2 * 86_400));
        let (_, list) = call(admin, "GET", "/v1/tokens", empty).await;
        assert_eq!(list.as_array().unwrap().len(), 1, "ended by time: {list}");
    }
}
