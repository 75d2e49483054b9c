//! Receipts that are durable: verified, deduplicated, in ledger and CMDB, with proof, through the real endpoint.
//!
//! Reference of the same run: plain rows in groups of 64 in the same database on the same disk. The hosts have
//! signed beforehand, so that their work does not count; each sends one receipt at a time, as real ones do.

#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise, with its place")]

#[path = "measure/built.rs"]
mod built;
#[path = "measure/campaign.rs"]
mod campaign;
#[path = "measure/fleet.rs"]
mod fleet;
#[path = "measure/link.rs"]
mod link;
#[path = "measure/middle.rs"]
mod middle;
#[path = "measure/process.rs"]
mod process;
#[path = "measure/rows.rs"]
mod rows;
#[path = "measure/start.rs"]
mod start;

use campaign::{Campaign, Pattern};
use fleet::Agent;
use link::Link;
use middle::median;
use rustls::ClientConfig;
use start::Start;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tests::{Database, World, pg};

const HOSTS: usize = 256;
const ROUNDS: usize = 3;
/// Changes in each round, so receipts of each host: one for each change, as in reality.
const CHANGES: usize = 4;
const REFERENCE: Duration = Duration::from_millis(1_500);

fn main() {
    built::require(&["assent", "assent-agent", "assent-server"]);
    pg::wait_for_disk();
    for (name, database) in [("SQLite", Database::Sqlite), ("PostgreSQL", Database::Postgresql)] {
        if let Some(world) = World::new(&format!("bench receipts on {name}"), database) {
            figure(name, &world);
        }
    }
}

fn figure(name: &str, world: &World) {
    let server = SocketAddr::from(([127, 0, 0, 1], world.nodes[0].agents));
    let mut agents = fleet::enrol(world, 0..HOSTS);
    let pattern = Pattern::new(world);
    let pids = process::own("assent-server");
    let (mut rates, mut micros, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let campaigns: Vec<_> =
            (0..CHANGES).map(|_| Campaign::run(&pattern, world, &agents, server, |_| ())).collect();
        let hosts = agents.iter_mut().map(|agent| (agent.tls.clone(), sign(&campaigns, agent))).collect();
        let before = log_size(world);
        let reference_before = reference(world);
        let (rate, cpu) = round(server, &pids, hosts);
        ratios.push(2.0 * rate / (reference_before + reference(world)));
        rates.push(rate);
        micros.push(cpu);
        check(world, &campaigns, &agents, log_size(world) - before);
    }
    let (rate, ratio) = (median(rates), median(ratios));
    println!(
        "receipts {name} {HOSTS} hosts: {rate:.0}/s durable, plain rows {:.0}/s, ratio {ratio:.2}; \
         {:.0} us server CPU each",
        rate / ratio,
        median(micros)
    );
}

fn reference(world: &World) -> f64 {
    match world.database {
        Database::Sqlite => rows::sqlite(&world.path(""), REFERENCE),
        Database::Postgresql => rows::postgresql(&world.url, REFERENCE),
    }
}

/// Bodies without their end, which says how much of the log the host has seen.
fn sign(campaigns: &[Campaign], agent: &mut Agent) -> Vec<String> {
    let record = |statement: Vec<u8>| format!("{{\"statement\":{}", String::from_utf8(statement).unwrap());
    campaigns.iter().map(|campaign| record(campaign.receipt(agent).to_bytes())).collect()
}

/// Sends everything; gives receipts per second and microseconds of server CPU for each.
fn round(server: SocketAddr, pids: &[u32], hosts: Vec<(Arc<ClientConfig>, Vec<String>)>) -> (f64, f64) {
    let receipts = (hosts.len() * CHANGES) as f64;
    let start = Arc::new(Start::new(pids.to_vec(), hosts.len()));
    let common = start.clone();
    link::spread(hosts, move |(tls, records)| {
        let start = common.clone();
        async move {
            let link = Link::open(server, tls).await;
            start.wait().await;
            send(link, &records).await;
        }
    });
    let (seconds, cpu) = start.spent();
    (receipts / seconds, cpu * 1e6 / receipts)
}

async fn send(mut link: Link, records: &[String]) {
    let mut seen = 1;
    for record in records {
        let request =
            link::post("/agent/v1/statements", format!("{record},\"log_size\":{seen}}}").as_bytes());
        let status = link.call(&request).await.unwrap();
        let answer = String::from_utf8_lossy(link.body());
        assert_eq!(status, 200, "{answer}");
        seen = size_of(&answer);
    }
}

/// The size in the checkpoint of an answer: its second line, within JSON.
fn size_of(answer: &str) -> u64 {
    let (_, note) = answer.split_once("\"checkpoint\":\"").unwrap();
    note.split("\\n").nth(1).unwrap().parse().unwrap()
}

fn log_size(world: &World) -> u64 {
    let note = world.get("/v1/log/checkpoint").text();
    note.lines().nth(1).unwrap().parse().unwrap()
}

/// Every receipt is a leaf, every change has all its reports, and the entries show the last receipts.
fn check(world: &World, campaigns: &[Campaign], agents: &[Agent], leaves: u64) {
    assert!(leaves >= (HOSTS * CHANGES) as u64, "{leaves} leaves for {HOSTS} hosts and {CHANGES} changes");
    for campaign in campaigns {
        let line = world.change_file(&campaign.id).line;
        assert_eq!((line.reported as usize, line.state.as_str()), (HOSTS, "review"), "{line:?}");
    }
    let agent = &agents[HOSTS / 2];
    let file = world.get(&format!("/v1/cis/{}", agent.hostname)).json();
    let (last, change) = (serde_json::to_value(agent.header.prev).unwrap(), &campaigns[CHANGES - 1].id);
    let states = file["states"].as_array().unwrap();
    let shown = |state: &serde_json::Value| state["receipt"] == last && state["change_id"] == change.as_str();
    assert!(!states.is_empty() && states.iter().all(shown), "{file:#}");
}
