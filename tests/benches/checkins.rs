//! Check-ins with nothing to do (`If-None-Match`, `304`) over kept connections with client certificates.
//!
//! References of the same run, same TLS, same load generator: nginx that answers 304 from its configuration, and
//! a bare actix-web with rustls and ring. Per request counts the CPU time of the server alone.

#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise, with its place")]

#[path = "measure/bare.rs"]
mod bare;
#[path = "measure/built.rs"]
mod built;
#[path = "measure/fleet.rs"]
#[expect(dead_code, reason = "hosts that only check in sign nothing more")]
mod fleet;
#[path = "measure/link.rs"]
mod link;
#[path = "measure/middle.rs"]
mod middle;
#[path = "measure/nginx.rs"]
mod nginx;
#[path = "measure/process.rs"]
mod process;
#[path = "measure/start.rs"]
mod start;

use fleet::Agent;
use link::Link;
use middle::median;
use start::Start;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::{Database, World};

const CONNECTIONS: usize = 48;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
/// What every reference serves, so that all requests and answers are of about one length.
const PATH: &str = "/agent/v1/work";
const TAG: &str = "\"7.00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"";

/// Certificates of the site, for the references.
pub struct Tls {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

struct Server {
    name: &'static str,
    address: SocketAddr,
    pids: Vec<u32>,
    rates: Vec<f64>,
    cpu_micros: Vec<f64>,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).is_some_and(|first| first == "bare") {
        return bare::serve(&args[2..]);
    }
    built::require(&["assent", "assent-agent", "assent-server"]);
    let Some(world) = World::new("bench checkins", Database::Sqlite) else { return };
    let agents = fleet::enrol(&world, 0..CONNECTIONS);
    let tls = Tls {
        ca: world.site().join("ca.crt"),
        certificate: world.site().join("server/tls/agents.crt"),
        key: world.site().join("server/tls/agents.key"),
    };
    let bare = bare::Bare::start(&tls);
    let nginx = nginx::Nginx::start(&tls, &world.path("nginx"));
    let ours = SocketAddr::from(([127, 0, 0, 1], world.nodes[0].agents));
    let mut servers = vec![Server::new("assent-server", ours, process::own("assent-server"))];
    servers.push(Server::new("actix-web", bare.address, vec![bare.pid()]));
    if let Some(nginx) = &nginx {
        servers.push(Server::new("nginx", nginx.address, nginx.pids()));
    }
    for _ in 0..ROUNDS {
        servers.iter_mut().for_each(|server| server.round(&agents));
    }
    print(&servers);
}

impl Server {
    fn new(name: &'static str, address: SocketAddr, pids: Vec<u32>) -> Self {
        Self { name, address, pids, rates: Vec::new(), cpu_micros: Vec::new() }
    }

    /// One connection for each host, all as fast as they are answered. Handshakes do not count.
    fn round(&mut self, agents: &[Agent]) {
        let identities: Vec<_> = agents.iter().map(|agent| agent.tls.clone()).collect();
        let start = Arc::new(Start::new(self.pids.clone(), identities.len()));
        let (address, common) = (self.address, start.clone());
        let counts = link::spread(identities, move |tls| {
            let start = common.clone();
            async move { check_in(Link::open(address, tls).await, &start).await }
        });
        let (seconds, cpu) = start.spent();
        let requests = counts.iter().sum::<u32>();
        self.rates.push(f64::from(requests) / seconds);
        self.cpu_micros.push(cpu * 1e6 / f64::from(requests));
    }
}

/// Asks once for the tag, then for news until the round is over; gives the number of answers.
async fn check_in(mut link: Link, start: &Start) -> u32 {
    let request =
        |tag: &str| format!("GET {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\nif-none-match: {tag}\r\n\r\n");
    assert_eq!(link.call(request("\"none\"").as_bytes()).await.unwrap(), 200);
    let again = request(link.header("etag").unwrap());
    let (until, mut answers) = (start.wait().await + ROUND, 0);
    while Instant::now() < until {
        let status = link.call(again.as_bytes()).await.unwrap();
        assert_eq!(status, 304, "{}", String::from_utf8_lossy(link.body()));
        answers += 1;
    }
    answers
}

fn print(servers: &[Server]) {
    let figure =
        |server: &Server| (median(server.rates.iter().copied()), median(server.cpu_micros.iter().copied()));
    let (rate, cpu) = figure(&servers[0]);
    for reference in &servers[1..] {
        let (its_rate, its_cpu) = figure(reference);
        println!(
            "checkins {CONNECTIONS} connections: {rate:.0}/s at {cpu:.1} us CPU, {} {its_rate:.0}/s at {its_cpu:.1} us; \
             ratio of rates {:.2}, of CPU {:.2}",
            reference.name,
            rate / its_rate,
            cpu / its_cpu
        );
    }
}
