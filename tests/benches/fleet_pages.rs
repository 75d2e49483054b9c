//! What people look at while changes over 1,000 and 10,000 hosts are open, over a kept connection: the page of changes with
//! its classes of plans, what all hosts wait for, the list of hosts; and how long an approver's grouping of all plans takes.
//!
//! Hosts, plans and approvals are real; a change names at most 2,000 hosts, so the larger fleet has five of them. References
//! of the same run: for pages what the database needs to read the rows that they are made of, for the grouping what checking
//! the signatures of the same plans costs. The exponent tells how the time grows from 1,000 to 10,000.

#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise, with its place")]

#[path = "measure/built.rs"]
mod built;
#[path = "measure/campaign.rs"]
#[expect(dead_code, reason = "nobody reports here")]
mod campaign;
#[path = "measure/fleet.rs"]
mod fleet;
#[path = "measure/link.rs"]
mod link;
#[path = "measure/middle.rs"]
mod middle;
#[path = "measure/page.rs"]
mod page;

use campaign::{Campaign, Pattern};
use diesel::SqliteConnection;
use middle::median;
use shared::change::{Change, Gate, Wave};
use shared::envelope::Envelope;
use shared::limits::CHANGE_TARGETS;
use shared::plan::Plan;
use shared::statement::Statement;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;
use tests::{Database, World};

const SIZES: [usize; 2] = [1_000, 10_000];
const WAVES: usize = 5;
/// Hosts that join at once.
const AT_ONCE: usize = 200;
const ROUNDS: usize = 9;

/// A page, and the rows of the database that it is made of.
const PAGES: [(&str, &str, &str); 3] = [
    (
        "changes with their classes of plans",
        "/v1/changes",
        "SELECT count(*) AS n FROM (SELECT statement, plan FROM change_target ORDER BY statement, plan)",
    ),
    (
        "what all hosts wait for",
        "/v1/waiting",
        "SELECT sum(length(body)) AS n FROM change_target JOIN statement ON digest = plan",
    ),
    (
        "a page of hosts",
        "/v1/hosts?limit=5000",
        "SELECT count(*) AS n FROM (SELECT * FROM host ORDER BY hostname, agent LIMIT 5000)",
    ),
];

fn main() {
    built::require(&["assent", "assent-agent", "assent-server"]);
    let Some(world) = World::new("bench fleet_pages", Database::Sqlite) else { return };
    let server = SocketAddr::from(([127, 0, 0, 1], world.nodes[0].agents));
    let mut plain = page::database(&world);
    let mut agents = fleet::enrol(&world, 0..1);
    let pattern = Pattern::new(&world);
    let mut before: Vec<(&str, f64)> = Vec::new();
    for size in SIZES {
        while agents.len() < size {
            agents.extend(fleet::enrol(&world, agents.len()..size.min(agents.len() + AT_ONCE)));
        }
        let run = |hosts: &[fleet::Agent]| Campaign::run(&pattern, &world, hosts, server, in_waves);
        let campaigns: Vec<_> = agents.chunks(CHANGE_TARGETS).map(run).collect();
        let mut times: Vec<_> =
            PAGES.iter().map(|page| (page.0, page_of(&world, &mut plain, *page, size))).collect();
        times.push(("grouping of plans", grouping(&world, &campaigns, size)));
        for ((name, small), (_, large)) in before.iter().zip(&times) {
            println!(
                "fleet_pages {name}: exponent {:.2} from 1,000 to 10,000 hosts",
                (large / small).log10()
            );
        }
        for campaign in campaigns {
            let closed = world.api("POST", &format!("/v1/changes/{}/withdraw", campaign.id), b"");
            assert_eq!(closed.status(), 200, "{}", closed.text());
        }
        before = times;
    }
}

/// Five waves, the later ones behind a gate.
fn in_waves(change: &mut Change) {
    let gate = Gate { min_success: 1, max_fail: 0, soak_s: 60 };
    let waves = change.targets.chunks(change.targets.len().div_ceil(WAVES)).enumerate();
    let wave = |(number, hosts): (usize, &[shared::change::Target])| Wave {
        agents: hosts.iter().map(|target| target.agent).collect(),
        gate: (number > 0).then_some(gate),
    };
    change.waves = waves.map(wave).collect();
}

/// Milliseconds of one answer.
fn page_of(
    world: &World,
    plain: &mut SqliteConnection,
    (name, path, sql): (&str, &str, &str),
    size: usize,
) -> f64 {
    let (ours, reference) = page::in_turn(world, plain, (path, sql), ROUNDS, |reply, rows| {
        assert!(rows > 0);
        if path == "/v1/waiting" {
            let told: u64 = reply.json().as_array().unwrap().iter().filter_map(|g| g["hosts"].as_u64()).sum();
            assert!(told >= size as u64, "{told} of {size} hosts are told");
        }
    });
    println!(
        "fleet_pages {size} hosts, {name}: {ours:.1} ms, SQL reads the rows in {reference:.1} ms; ratio {:.2}",
        ours / reference
    );
    ours
}

/// Milliseconds in which all plans of the fleet are put into classes.
fn grouping(world: &World, campaigns: &[Campaign], size: usize) -> f64 {
    let plans: Vec<Envelope> =
        campaigns.iter().flat_map(|campaign| world.change_file(&campaign.id).plans).collect();
    assert_eq!(plans.len(), size);
    let (mut ours, mut reference) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let open = |plan: &Envelope| Statement::<Plan>::open(plan.clone()).unwrap();
        let signed: Vec<_> = plans.iter().map(open).collect();
        reference.push(started.elapsed().as_secs_f64() * 1e3);
        let started = Instant::now();
        let mut classes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for plan in &signed {
            classes.entry(plan.body.class_digest()).or_default().push(plan.body.agent_id);
        }
        ours.push(started.elapsed().as_secs_f64() * 1e3);
        assert_eq!(classes.len(), 1, "all do the same");
    }
    let (ours, reference) = (median(ours), median(reference));
    println!(
        "fleet_pages {size} hosts, grouping of plans: {ours:.1} ms, reading them {reference:.1} ms; ratio {:.2}",
        ours / reference
    );
    ours
}
