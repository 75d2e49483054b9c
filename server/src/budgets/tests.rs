//! Budgets on both databases: what is stored, what hosts are told, and that no slot is given to two at a time.

use super::api::asked;
use crate::changes;
use crate::changes::tests::world::{NOW, World};
use crate::kernel::db::Db;
use crate::kernel::http::tries::Guesses;
use serde_json::{Value, json};
use shared::budgets::{AskSlots, SlotWish, Slots};
use shared::bundle::Control;
use shared::digest::Digest;
use shared::ids::AgentId;
use shared::receipt::HostOutcome;
use shared::time::Timestamp;
use shared::tuf::TargetName;
use std::collections::BTreeMap;

const DB: &str = "/v1/budgets/db";

fn slots(number: u32) -> Value {
    json!({ "title": "one database at a time", "slots": number, "lease_s": 600 })
}

fn put(after: u32, budget: Value) -> Value {
    json!({ "after": after, "reason": "agreed with operations", "budget": budget })
}

fn of(change: u8) -> Digest {
    Digest::of(&[change])
}

async fn ask(db: &Db, agent: AgentId, wish: SlotWish, change: Digest, now: Timestamp) -> Slots {
    asked(db, agent, AskSlots { change, wish }, now).await.unwrap()
}

impl World {
    async fn takes(&self, host: usize, change: Digest) -> Slots {
        ask(&self.node.db, self.hosts[host].agent(), SlotWish::Take, change, self.now()).await
    }

    async fn wants(&self, host: usize, wish: SlotWish, change: Digest) -> Slots {
        ask(&self.node.db, self.hosts[host].agent(), wish, change, self.now()).await
    }

    async fn holders(&self) -> Vec<String> {
        let file = self.good("GET", DB, ()).await;
        let holders = file["holders"].as_array().unwrap();
        holders.iter().map(|holder| holder["who"].as_str().unwrap().to_owned()).collect()
    }

    async fn told(&self) -> Control {
        changes::control(&self.node.db, &self.node.repository, self.now()).await.unwrap();
        let file = self.file(&TargetName::Control).await;
        file.map_or_else(Control::default, |bytes| Control::parse(&bytes).unwrap())
    }
}

fn is_granted(answer: &Slots) -> bool {
    matches!(answer, Slots::Granted(_))
}

#[actix_web::test]
async fn a_budget_is_kept_revision_by_revision_and_hosts_are_told_whom_it_covers() {
    for world in World::each(1, 2).await {
        assert_eq!(world.code("GET", DB, ()).await, "budget.unknown");
        assert_eq!(world.told().await, Control::default());
        world.good("PUT", DB, put(0, slots(1))).await;
        assert_eq!(world.code("PUT", DB, put(0, slots(2))).await, "budget.moved");
        let control = world.told().await;
        assert_eq!((control.budgets.len(), &control.budgets[0].agents), (1, &None), "it covers all");
        let mut named = slots(2);
        named["hosts"] = json!([world.hosts[1].agent()]);
        let file = world.good("PUT", DB, put(1, named)).await;
        assert_eq!(
            (file["history"].as_array().unwrap().len(), &file["history"][0]["revision"]),
            (2, &json!(2))
        );
        assert_eq!(world.told().await.budgets[0].agents, Some([world.hosts[1].agent()].into()));
        let lines = world.good("GET", "/v1/budgets", ()).await;
        assert_eq!(
            (&lines[0]["slots"], &lines[0]["taken"], &lines[0]["hosts"]),
            (&json!(2), &json!(0), &json!(1))
        );
        world.good("PUT", DB, json!({ "after": 2, "reason": "no longer needed" })).await;
        assert_eq!(
            (world.good("GET", "/v1/budgets", ()).await, world.told().await.budgets),
            (json!([]), vec![])
        );
        for (key, value, why) in [
            ("title", json!("two\nlines"), "one line"),
            ("slots", json!(100_001), "at most 100000 slots"),
            ("lease_s", json!(299), "300 to 86400"),
        ] {
            let mut bad = slots(1);
            bad[key] = value;
            let (status, problem) = world.call("PUT", "/v1/budgets/bad", put(0, bad)).await;
            assert_eq!((status, problem["code"].as_str()), (422, Some("budget.bad")), "{key} {problem}");
            assert!(problem["why"].as_str().unwrap().contains(why), "{problem}");
        }
        assert_eq!(world.code("PUT", "/v1/budgets/Bad", put(0, slots(1))).await, "request.bad_parameter");
    }
}

#[actix_web::test]
async fn a_slot_is_one_hosts_until_it_gives_it_back_is_not_heard_of_or_is_no_longer_let_in() {
    for mut world in World::each(1, 3).await {
        world.good("PUT", DB, put(0, slots(1))).await;
        assert_eq!(world.wants(0, SlotWish::Look, of(1)).await, Slots::Free);
        assert_eq!(world.holders().await, [""; 0], "looking takes nothing");
        let tag = async || world.if_match("GET", DB, None, ()).await.1;
        let looked = tag().await;
        let Slots::Granted(lease) = world.takes(0, of(1)).await else { panic!("{}", world.engine) };
        assert_eq!((lease.budgets.len(), lease.until), (1, NOW.plus(600)));
        assert_eq!(tag().await, looked, "slots that come and go keep nobody from writing");
        // The answer was lost, or the agent died: it asks again and has the same slot, since then.
        world.clock.set(NOW.plus(60));
        assert!(is_granted(&world.takes(0, of(1)).await));
        for wish in [SlotWish::Look, SlotWish::Take] {
            let Slots::Held(used) = world.wants(1, wish, of(1)).await else { panic!("{wish:?}") };
            let holder = &used.holders[0];
            assert_eq!((holder.who.as_str(), holder.since, holder.until), ("web1", NOW, NOW.plus(660)));
        }
        // What belongs to another change is not given back with this one.
        world.wants(0, SlotWish::GiveBack, of(2)).await;
        assert!(!is_granted(&world.takes(1, of(1)).await));
        world.wants(0, SlotWish::GiveBack, of(1)).await;
        assert!(is_granted(&world.takes(1, of(1)).await));
        // Kept, its time goes on; not heard of, it ends, and cannot be kept once somebody else has it.
        world.clock.set(NOW.plus(600));
        assert!(is_granted(&world.wants(1, SlotWish::Keep, of(1)).await));
        world.clock.set(NOW.plus(1_199));
        assert!(!is_granted(&world.takes(2, of(1)).await));
        world.clock.set(NOW.plus(1_200));
        assert!(is_granted(&world.takes(2, of(1)).await));
        let Slots::Granted(lease) = world.wants(1, SlotWish::Keep, of(1)).await else { panic!() };
        assert!(lease.budgets.is_empty(), "it has none any more");
        assert_eq!(world.holders().await, ["web3"]);
        // A host that is shut out holds nobody up, and has nothing when it comes back.
        world.good("POST", "/v1/hosts/web3/disable", json!({ "reason": "test" })).await;
        assert!(is_granted(&world.takes(0, of(1)).await));
        world.good("POST", "/v1/hosts/web3/enable", json!({ "reason": "test" })).await;
        assert!(!is_granted(&world.takes(2, of(1)).await));
        // What a run had comes back with its receipt.
        let base = world.publish("base", "1.0.0").await;
        let reviewed = world.in_review(&base, |_| {}).await;
        world.approve(&reviewed, "peer").await;
        let change = reviewed.change.digest;
        world.clock.set(reviewed.change.body.intervals[0].from.plus(60));
        assert!(is_granted(&world.takes(0, change).await));
        world.report(0, &reviewed, HostOutcome::RolledBack).await;
        assert_eq!(world.holders().await, [""; 0]);
        let Slots::Granted(lease) = world.wants(0, SlotWish::Keep, change).await else { panic!() };
        assert!(lease.budgets.is_empty(), "a question that was under way brings nothing back");
        // An end gives everything back.
        assert!(is_granted(&world.takes(1, of(1)).await));
        world.good("PUT", DB, json!({ "after": 1, "reason": "x" })).await;
        world.good("PUT", DB, put(2, slots(1))).await;
        assert!(is_granted(&world.takes(2, of(1)).await));
    }
}

/// A budget of a service covers the hosts that it stands on.
#[actix_web::test]
async fn a_search_covers_whom_it_finds_when_they_ask() {
    for world in World::each(1, 2).await {
        let to = format!("host:{}", world.hosts[1].name);
        let item = json!({ "item": "service:shop", "relations": [{ "kind": "runs_on", "to": to }] });
        world.good("POST", "/v1/declarations", json!({ "reason": "survey", "items": [item] })).await;
        let mut searched = slots(0);
        searched["search"] = json!("serves:shop");
        world.good("PUT", DB, put(0, searched.clone())).await;
        let control = world.told().await;
        assert_eq!(control.budgets[0].agents, Some([world.hosts[1].agent()].into()), "{}", world.engine);
        assert!(is_granted(&world.takes(0, of(1)).await), "{}: it needs none", world.engine);
        assert!(matches!(world.takes(1, of(1)).await, Slots::Held(_)), "{}", world.engine);
        searched["search"] = json!("servs:shop");
        assert_eq!(world.code("PUT", DB, put(1, searched)).await, "ci.bad_search");
    }
}

#[actix_web::test]
async fn who_waits_for_one_budget_uses_up_no_other() {
    for world in World::each(1, 3).await {
        let only = |hosts: &[usize]| {
            let mut budget = slots(1);
            budget["hosts"] = hosts.iter().map(|n| json!(world.hosts[*n].agent())).collect();
            put(0, budget)
        };
        world.good("PUT", DB, only(&[0, 1])).await;
        world.good("PUT", "/v1/budgets/rack-7", only(&[1, 2])).await;
        assert!(is_granted(&world.takes(2, of(1)).await));
        // It could have one of the first budget, and waits for the second.
        let Slots::Held(used) = world.takes(1, of(1)).await else { panic!() };
        assert_eq!(used.budget.as_str(), "rack-7");
        assert_eq!(world.holders().await, [""; 0]);
        let Slots::Granted(lease) = world.takes(0, of(1)).await else { panic!() };
        assert_eq!(lease.budgets.len(), 1, "only what covers it");
        // Not even what it had: it is not running.
        world.wants(0, SlotWish::GiveBack, of(1)).await;
        world.wants(2, SlotWish::GiveBack, of(1)).await;
        assert!(is_granted(&world.takes(1, of(1)).await));
        world
            .good(
                "PUT",
                "/v1/budgets/rack-8",
                put(0, {
                    let mut none = slots(0);
                    none["hosts"] = json!([world.hosts[1].agent()]);
                    none
                }),
            )
            .await;
        assert!(!is_granted(&world.takes(1, of(1)).await));
        assert_eq!(world.holders().await, [""; 0]);
        // With fewer slots, whoever has one keeps it, and nobody comes in.
        world
            .good("PUT", DB, {
                let mut two = only(&[0, 1]);
                two["after"] = json!(1);
                two["budget"]["slots"] = json!(0);
                two
            })
            .await;
        assert!(!is_granted(&world.takes(0, of(1)).await));
    }
}

#[actix_web::test]
async fn two_nodes_that_are_asked_at_once_give_no_slot_twice() {
    for world in World::each(1, 8).await {
        world.good("PUT", DB, put(0, slots(3))).await;
        let second = world.second_node().await;
        for round in 0..6 {
            let asks = world.hosts.iter().enumerate().flat_map(|(n, host)| {
                // Each host asks both: the answer of the first one was lost.
                let (agent, now) = (host.agent(), world.now());
                let nodes = if (n + round) % 2 == 0 {
                    [&world.node.db, &second.db]
                } else {
                    [&second.db, &world.node.db]
                };
                nodes.map(|db| {
                    let db = db.clone();
                    actix_web::rt::spawn(
                        async move { (agent, ask(&db, agent, SlotWish::Take, of(1), now).await) },
                    )
                })
            });
            let mut granted = BTreeMap::new();
            for asked in asks.collect::<Vec<_>>() {
                let (agent, answer) = asked.await.unwrap();
                *granted.entry(agent).or_insert(false) |= is_granted(&answer);
            }
            let holding = granted.values().filter(|granted| **granted).count();
            assert_eq!((holding, world.holders().await.len()), (3, 3), "{} round {round}", world.engine);
            // Some give back while others ask again, and the rest end.
            for (agent, _) in granted.iter().filter(|(_, granted)| **granted).take(round % 3) {
                ask(&second.db, *agent, SlotWish::GiveBack, of(1), world.now()).await;
            }
            world.clock.set(world.now().plus(if round % 2 == 0 { 600 } else { 601 }));
        }
    }
}

/// A small generator, so that a failure can be looked at again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[actix_web::test]
async fn at_no_time_more_hosts_hold_a_slot_than_there_are() {
    for world in World::each(1, 5).await {
        world.good("PUT", DB, put(0, slots(2))).await;
        let mut random = Random(0x00a5_5e47_0000_0001);
        // What each host believes it has, and for which change. A lost answer is one that it may have had.
        let mut believes: BTreeMap<usize, (Timestamp, Digest)> = BTreeMap::new();
        let mut out: Option<usize> = None;
        for step in 0..250 {
            let (n, change) = (random.below(5) as usize, of(random.below(2) as u8));
            match random.below(12) {
                0 | 1 => world.clock.set(world.now().plus(random.below(400) as i64)),
                2 => {
                    let (host, what) = match out.take() {
                        Some(host) => (host, "enable"),
                        None => (n, "disable"),
                    };
                    let name = &world.hosts[host].name;
                    let why = json!({ "reason": "test" });
                    world.good("POST", &format!("/v1/hosts/{name}/{what}"), why).await;
                    if what == "disable" {
                        out = Some(host);
                        // Its certificate does not count any more; what it still does then, no server stops.
                        believes.remove(&host);
                    }
                }
                _ if out == Some(n) => {}
                3 | 4 => {
                    world.wants(n, SlotWish::GiveBack, change).await;
                    believes.retain(|host, (_, of)| *host != n || *of != change);
                }
                5 | 6 => {
                    let running = believes.get(&n).copied();
                    let change = running.map_or(change, |(_, of)| of);
                    let kept = world.wants(n, SlotWish::Keep, change).await;
                    if let (Slots::Granted(lease), Some(_)) = (kept, running) {
                        match lease.budgets.is_empty() {
                            true => drop(believes.remove(&n)),
                            false => drop(believes.insert(n, (lease.until, change))),
                        }
                    }
                }
                _ => match world.takes(n, change).await {
                    Slots::Granted(lease) => drop(believes.insert(n, (lease.until, change))),
                    _ => drop(believes.remove(&n)),
                },
            }
            let now = world.now();
            let holding: Vec<_> = believes.iter().filter(|(_, (until, _))| now < *until).collect();
            assert!(holding.len() <= 2, "{} step {step}: {holding:?}", world.engine);
            assert!(world.holders().await.len() <= 2, "{} step {step}", world.engine);
        }
    }
}

#[actix_web::test]
async fn why_not_yet_names_the_budget_and_who_has_its_slots() {
    for mut world in World::each(1, 2).await {
        let base = world.publish("base", "1.0.0").await;
        let reviewed = world.in_review(&base, |_| {}).await;
        world.approve(&reviewed, "peer").await;
        world.good("PUT", DB, put(0, slots(1))).await;
        world.clock.set(reviewed.change.body.intervals[0].from.plus(60));
        world.takes(0, reviewed.change.digest).await;
        let path = |host: &str| format!("/v1/why/{host}/{}", reviewed.id);
        let why = world.good("GET", &path("web2"), ()).await;
        assert_eq!((&why["code"], &why["standing"]), (&json!("lock.held"), &json!("waiting")), "{why}");
        assert!(why["message"].as_str().unwrap().contains("web1 since"), "{why}");
        assert_eq!(why["retry_at"], json!(world.now().plus(600)));
        assert_ne!(world.good("GET", &path("web1"), ()).await["code"], "lock.held", "it has the slot");
        let all = world.good("GET", &format!("/v1/waiting?change={}", reviewed.id), ()).await;
        let group = all.as_array().unwrap().iter().find(|group| group["code"] == "lock.held").unwrap();
        assert_eq!((&group["hosts"], &group["some"]), (&json!(1), &json!(["web2"])));
        world.report(0, &reviewed, HostOutcome::Applied).await;
        assert_ne!(world.good("GET", &path("web2"), ()).await["code"], "lock.held");
    }
}

type Machines = actix_web::web::Data<Guesses<super::FleetLock>>;

/// A machine's request by the FleetLock protocol, on its own listener; status and answer.
async fn fleet_lock(
    world: &World,
    path: &str,
    header: Option<&str>,
    body: impl Into<actix_web::web::Bytes>,
) -> (u16, Value) {
    fleet_lock_after(world, &Machines::new(Guesses::default()), path, header, body).await
}

/// The same after other requests.
async fn fleet_lock_after(
    world: &World,
    guesses: &Machines,
    path: &str,
    header: Option<&str>,
    body: impl Into<actix_web::web::Bytes>,
) -> (u16, Value) {
    use crate::kernel::http::edge;
    use actix_web::test;
    let app = actix_web::App::new()
        .wrap(actix_web::middleware::from_fn(edge::edge))
        .app_data(actix_web::web::Data::new(world.clock.clone()))
        .app_data(actix_web::web::Data::new(world.node.db.clone()))
        .app_data(guesses.clone())
        .configure(super::people);
    let app = test::init_service(app).await;
    // As Zincati sends it: no token, no content type.
    let mut request = test::TestRequest::post().uri(path).set_payload(body);
    if let Some(header) = header {
        request = request.insert_header(("fleet-lock-protocol", header));
    }
    let response = test::call_service(&app, request.to_request()).await;
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&test::read_body(response).await).unwrap())
}

/// Whoever guesses addresses of machines is not listened to after a while; a machine at the same place is.
#[actix_web::test]
async fn addresses_of_machines_are_not_tried_one_after_the_other() {
    let me = json!({ "client_params": { "id": "m1", "group": "db" } }).to_string();
    for world in World::each(1, 1).await {
        world.good("PUT", DB, put(0, slots(1))).await;
        let secret = "5ec2e7".repeat(10);
        let address = json!({ "sha256": Digest::of(secret.as_bytes()) });
        world.good("POST", &format!("{DB}/addresses"), &address).await;
        let guesses = Machines::new(Guesses::default());
        let ask = async |secret: &str| {
            let path = format!("/v1/fleet-lock/{secret}/v1/pre-reboot");
            fleet_lock_after(&world, &guesses, &path, Some("true"), me.clone()).await.0
        };
        let mut told = Vec::new();
        for n in 0..80 {
            told.push(ask(&format!("{n:064}")).await);
        }
        assert_eq!((told[0], told[59], told[60], told[79]), (404, 404, 429, 429), "{told:?}");
        assert_eq!(ask(&secret).await, 200, "{}: what counts is answered all the time", world.engine);
    }
}

#[actix_web::test]
async fn machines_of_the_fleetlock_protocol_and_hosts_share_one_budget() {
    let secret = "5ec2e7".repeat(10);
    let (lock, unlock) = (
        format!("/v1/fleet-lock/{secret}/v1/pre-reboot"),
        format!("/v1/fleet-lock/{secret}/v1/steady-state"),
    );
    let me = |id: &str, group: &str| json!({ "client_params": { "id": id, "group": group } }).to_string();
    for world in World::each(1, 1).await {
        world.good("PUT", DB, put(0, slots(1))).await;
        assert_eq!(fleet_lock(&world, &lock, Some("true"), me("m1", "db")).await.0, 404);
        let address = json!({ "sha256": Digest::of(secret.as_bytes()) });
        world.good("POST", &format!("{DB}/addresses"), &address).await;
        assert_eq!(world.code("POST", &format!("{DB}/addresses"), &address).await, "budget.address_taken");
        assert_eq!(world.code("POST", "/v1/budgets/odd/addresses", &address).await, "budget.unknown");
        // A client that begins gives back what it may have had; then it takes a slot, however often it asks.
        assert_eq!(fleet_lock(&world, &unlock, Some("true"), me("m1", "db")).await, (200, json!({})));
        for _ in 0..2 {
            assert_eq!(fleet_lock(&world, &lock, Some("true"), me("m1", "db")).await, (200, json!({})));
        }
        assert_eq!(world.holders().await, ["m1"]);
        let (status, told) = fleet_lock(&world, &lock, Some("true"), me("m2", "db")).await;
        assert_eq!((status, &told["kind"]), (409, &json!("fleetlock.full")), "{told}");
        assert!(told["value"].as_str().unwrap().contains("m1 since"), "{told}");
        // Only the owner gives it back.
        assert_eq!(fleet_lock(&world, &unlock, Some("true"), me("m2", "db")).await.0, 200);
        assert!(!is_granted(&world.takes(0, of(1)).await), "a host waits for a machine");
        assert_eq!(fleet_lock(&world, &unlock, Some("true"), me("m1", "db")).await.0, 200);
        assert!(is_granted(&world.takes(0, of(1)).await));
        let (status, told) = fleet_lock(&world, &lock, Some("true"), me("m1", "db")).await;
        assert_eq!(status, 409, "and a machine for a host");
        assert!(told["value"].as_str().unwrap().contains("web1 since"), "{told}");
        world.clock.set(NOW.plus(600));
        assert_eq!(fleet_lock(&world, &lock, Some("true"), me("m1", "db")).await.0, 200);
        for (header, body, status, kind) in [
            (None, me("m1", "db"), 400, "fleetlock.bad"),
            (Some("yes"), me("m1", "db"), 400, "fleetlock.bad"),
            (Some("true"), "{".to_owned(), 400, "fleetlock.bad"),
            (Some("true"), json!({ "client_params": { "id": "m1" } }).to_string(), 400, "fleetlock.bad"),
            (Some("true"), me("", "db"), 400, "fleetlock.bad"),
            (Some("true"), me(&"m".repeat(201), "db"), 400, "fleetlock.bad"),
            (Some("true"), me("m1", ""), 400, "fleetlock.bad"),
            (Some("true"), me("m1", "default"), 404, "fleetlock.group"),
        ] {
            let (found, told) = fleet_lock(&world, &lock, header, body.clone()).await;
            assert_eq!((found, &told["kind"]), (status, &json!(kind)), "{header:?} {body}");
            assert!(!told["value"].as_str().unwrap().is_empty());
        }
        let other = lock.replace("5ec2e7", "5ec2e8");
        let (status, told) = fleet_lock(&world, &other, Some("true"), me("m1", "db")).await;
        assert_eq!((status, &told["kind"]), (404, &json!("fleetlock.unknown")));
        // With the budget gone no machine starts again; with the address gone neither.
        world.good("PUT", DB, json!({ "after": 1, "reason": "x" })).await;
        assert_eq!(fleet_lock(&world, &lock, Some("true"), me("m1", "db")).await.0, 404);
        world.good("PUT", DB, put(2, slots(1))).await;
        assert_eq!(fleet_lock(&world, &lock, Some("true"), me("m1", "db")).await.0, 200);
        world.good("DELETE", &format!("{DB}/addresses"), ()).await;
        assert_eq!(
            fleet_lock(&world, &lock, Some("true"), me("m1", "db")).await.1["kind"],
            "fleetlock.unknown"
        );
    }
}
