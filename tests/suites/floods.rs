//! A host that was taken over sends as much as it can. The database stays small, and other hosts are served.

use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::keys::SigningKey;
use shared::plan::open_plan;
use shared::receipt::{Header, Refusal};
use shared::refusal::{Code, Refused};
use shared::statement::Statement;
use shared::wire::Record;
use tests::World;
use tests::http::{Client, Message};
use tests::world::NewChange;

const SENT: usize = 2_500;
/// What a host may leave behind within this test; unbounded, each flood would leave many times as much.
const GROWTH_BYTES: u64 = 48 << 20;
const MOTD: &str = "resources:\n  - file: {path: /etc/motd, content: \"Welcome\\n\"}\n";

/// Sends on kept connections; the statuses that came, counted, and whether each 429 named a wait.
fn flood(host: &Client, count: usize, mut next: impl FnMut(usize) -> Message) -> Vec<(u16, usize)> {
    use std::io::Write as _;
    let mut stream = host.connect().unwrap();
    let mut seen = std::collections::BTreeMap::new();
    for n in 0..count {
        let bytes = next(n).to_bytes();
        let reply = match stream.write_all(&bytes).and_then(|()| Message::read(&mut stream, false)) {
            Ok(Some(reply)) => reply,
            _ => {
                stream = host.connect().unwrap();
                stream.write_all(&bytes).unwrap();
                Message::read(&mut stream, false).unwrap().unwrap()
            }
        };
        if reply.status() == 429 {
            let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=7_200).contains(&wait), "{wait}");
        }
        if reply.status() == 204 {
            // No body follows, and none must be waited for.
            assert!(reply.body.is_empty());
        }
        *seen.entry(reply.status()).or_insert(0) += 1;
    }
    seen.into_iter().collect()
}

fn count(world: &World, sql: &str) -> u64 {
    world.sql(&format!("SELECT count(*) FROM {sql}")).trim().parse().unwrap()
}

fn size(world: &World) -> u64 {
    let sql = match world.database {
        tests::world::Database::Postgresql => "SELECT pg_database_size(current_database())",
        tests::world::Database::Sqlite => {
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        }
    };
    world.sql(sql).trim().parse().unwrap()
}

fn refusals(world: &World, first: u64, prev: Option<Digest>, count: u64) -> Vec<Vec<u8>> {
    let host = &world.hosts["a1"];
    let key: SigningKey = host.key();
    let mut prev = prev;
    let site = world.get("/v1/site").json()["site"].as_str().unwrap().to_owned();
    let one = |n: u64| {
        let header = Header {
            site: site.parse().unwrap(),
            agent_id: host.agent(),
            key: key.public(),
            host_class: "production".parse().unwrap(),
            seq: first + n,
            prev,
            at: world.now(),
            boot_id: "flood".into(),
            agent_version: semver::Version::new(0, 1, 0),
            log_seen: None,
        };
        let reason = Refused::new(Code::PlanFailed, "x".repeat(2_000));
        let evidence = Digest::of(&n.to_be_bytes());
        let refusal = Statement::sign(
            Refusal { header, change_id: None, revision: None, evidence, reason, breakglass: false },
            &key,
        );
        prev = Some(refusal.digest);
        shared::strict::to_json(&Record { statement: refusal.envelope, summary: None, log_size: None })
    };
    (0..count).map(one).collect()
}

on_both! {
    fn a_host_that_floods_fills_its_own_share_and_keeps_nobody_from_being_served(world) {
        world.join("a1", "production");
        world.join("a2", "production");
        world.publish("base", "1.0.0", MOTD).ok();
        let id = world.draft(&NewChange { manifests: &["base@1.0.0"], ..NewChange::default() });
        world.submit(&id);
        world.tick_all();
        let hostile = world.as_host("a1");
        let before = size(world);

        // Plans, each another one and long.
        let bundle = world.bundle(&id);
        let own = bundle.plan_set.plans[&world.hosts["a1"].agent()];
        let envelope = hostile.send(Message::request("GET", &format!("/agent/v1/plans/{own}"), b"")).body;
        let plan = open_plan(&Envelope::parse(&envelope).unwrap().to_bytes()).unwrap().body;
        let key = world.hosts["a1"].key();
        let plans: Vec<Vec<u8>> = (0..400)
            .map(|n| {
                let mut plan = plan.clone();
                plan.actions[0].summary = format!("{n} {}", "x".repeat(20_000));
                Statement::sign(plan, &key).to_bytes()
            })
            .collect();
        let seen = flood(&hostile, SENT, |n| Message::request("POST", "/agent/v1/plans", &plans[n % 400]));
        assert_eq!(seen.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [204, 409, 429], "{seen:?}");
        assert_eq!(count(world, "change_plan"), 16 + 1);

        // Facts, each time others.
        let facts = world.get("/v1/cis/a1").json()["facts"].clone();
        let at = world.now();
        let report = |n: usize| {
            let mut facts = facts.clone();
            facts["kernel"]["release"] = format!("6.1.{n}").into();
            serde_json::json!({ "at": at, "facts": facts }).to_string()
        };
        let seen = flood(&hostile, SENT, |n| Message::request("PUT", "/agent/v1/facts", report(n).as_bytes()));
        assert_eq!(seen.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [204, 429], "{seen:?}");
        assert!(count(world, "ci_history WHERE kind = 'facts'") < 100);

        // The other host is served in the middle of it.
        world.approve(&id).ok();
        world.settle();
        let said = world.tick_unchecked("a2");
        assert!(world.hosts["a2"].receipt(&id).is_some(), "{said}");

        // Refusals in a right chain, and then others for the same places.
        let hosts = world.get("/v1/hosts").json();
        let line = hosts.as_array().unwrap().iter().find(|line| line["hostname"] == "a1").unwrap();
        let ci = line["ci"].as_str().unwrap();
        let enrolment = world.get(&format!("/v1/hosts/{ci}/enrolment")).body;
        let head = Envelope::parse(&enrolment).unwrap().digest();
        let chain = refusals(world, 2, Some(head), 300);
        let place = |n: usize| Message::request("POST", "/agent/v1/statements", &chain[n.min(299)]);
        let seen = flood(&hostile, 300, place);
        assert_eq!(seen, [(200, 300)]);
        let forks = refusals(world, 2, Some(Digest::of(b"other")), 300);
        let seen = flood(&hostile, 2 * SENT, |n| {
            Message::request("POST", "/agent/v1/statements", &forks[n % 300])
        });
        assert_eq!(seen.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [409, 429], "{seen:?}");
        assert!(count(world, "alarm") <= 100 && count(world, "alarm WHERE body IS NOT NULL") <= 4);

        let growth = size(world).saturating_sub(before);
        assert!(growth < GROWTH_BYTES, "{growth}");
    }
}
