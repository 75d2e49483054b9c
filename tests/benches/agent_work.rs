//! What planning and applying cost: 1,000 mixed resources through a real server, and a patch run in which 500 packages
//! have updates.
//!
//! References of the same run: for resources the least that brings the same effects durably (write beside, one sync,
//! rename); for patches the tools that have to be called (`apt-get update` and one simulation) on the same root.

#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise, with its place")]

#[path = "measure/built.rs"]
mod built;
#[path = "measure/middle.rs"]
mod middle;
#[path = "measure/mixed.rs"]
mod mixed;
#[path = "measure/usage.rs"]
mod usage;

use middle::median;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tests::apt::Repository;
use tests::world::NewChange;
use tests::{Database, World, programs, root};
use usage::Cost;

const RESOURCES: usize = 1_000;
const PACKAGES: usize = 500;
const ROUNDS: usize = 5;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("meter") => usage::meter(&args[2..]),
        Some("floor-apply") => mixed::floor(Path::new(&args[2]), args[3].parse().unwrap(), RESOURCES),
        _ => {
            built::require(&["assent", "assent-agent", "assent-server"]);
            resources();
            patch();
        }
    }
}

/// CPU and wall seconds of one run.
fn timed<S: AsRef<std::ffi::OsStr>>(command: &[S]) -> (Cost, f64, String) {
    let started = Instant::now();
    let (cost, said) = usage::run(command);
    (cost, started.elapsed().as_secs_f64(), said)
}

/// Sums of one kind of run over all rounds.
#[derive(Default)]
struct Runs {
    cpu: Vec<f64>,
    wall: Vec<f64>,
    peak: Vec<f64>,
}

impl Runs {
    fn add(&mut self, (cost, wall): (Cost, f64)) {
        self.cpu.push(cost.cpu);
        self.wall.push(wall);
        self.peak.push(cost.peak_mib);
    }

    fn line(&self, what: &str, reference: &str, floor: &Self) {
        let middle = |all: &[f64]| median(all.iter().copied());
        let (cpu, least) = (middle(&self.cpu), middle(&floor.cpu));
        println!(
            "{what}: CPU {cpu:.3} s, {reference} {least:.3} s, ratio {:.2}; wall {:.3} s, {reference} {:.3} s, \
             ratio {:.2}; peak {:.1} MiB",
            cpu / least,
            middle(&self.wall),
            middle(&floor.wall),
            middle(&self.wall) / middle(&floor.wall),
            middle(&self.peak),
        );
    }
}

/// Each round is a change of its own that alters every resource; the tick that runs it is measured, mTLS, admission,
/// journal and receipt included.
fn resources() {
    let mut world = World::new("bench agent_work", Database::Sqlite).unwrap();
    world.join("a1", "production");
    let (mut plans, mut applies, mut floors) = (Runs::default(), Runs::default(), Runs::default());
    let floor_root = world.path("floor");
    for round in 0..=ROUNDS {
        let version = format!("1.{round}.0");
        world.publish("mixed", &version, &mixed::manifest(round, RESOURCES)).ok();
        let id =
            world.draft(&NewChange { manifests: &[&format!("mixed@{version}")], ..NewChange::default() });
        world.submit(&id);
        let once = once(&world);
        let (plan_cost, plan_wall, said) = timed(&once);
        assert!(said.contains(&format!("planned {id} revision 1")), "{said}");
        world.settle();
        world.approve(&id).ok();
        world.settle();
        let (cost, wall, said) = timed(&once);
        assert!(said.contains(&format!("{id} revision 1 ended: applied")), "{said}");
        let exe = std::env::current_exe().unwrap();
        let floor: [PathBuf; 4] = [exe, "floor-apply".into(), floor_root.clone(), round.to_string().into()];
        let (floor_cost, floor_wall, _) = timed(&floor);
        // The first round makes everything; from the second on everything is changed.
        if round > 0 {
            plans.add((plan_cost, plan_wall));
            applies.add((cost, wall));
            floors.add((floor_cost, floor_wall));
        }
    }
    plans.line(&format!("agent_work plan of {RESOURCES} resources"), "floor-apply", &floors);
    applies.line(&format!("agent_work apply of {RESOURCES} resources"), "floor-apply", &floors);
}

fn once(world: &World) -> Vec<PathBuf> {
    let host = &world.hosts["a1"];
    vec![programs::own("assent-agent"), "once".into(), "--root".into(), host.root.clone()]
}

/// Planning fetches nothing but lists, so the index alone says what there is.
fn patch() {
    let dir = tempfile::Builder::new().prefix("assent-bench-").tempdir().unwrap();
    let root = dir.path().join("r");
    root::prepare(&root, "bench");
    std::fs::write(root.join("etc/assent/host-class"), "production\n").unwrap();
    let repository = Repository::new(&[]);
    let (mut status, mut index) = (String::new(), String::new());
    for number in 0..PACKAGES {
        let package = |version: &str| {
            format!(
                "Package: lab{number:03}\nVersion: {version}\nArchitecture: all\nMaintainer: Lab <lab@example.org>\nDescription: x\n"
            )
        };
        writeln!(status, "{}Status: install ok installed\n", package("1.0")).unwrap();
        let file = format!("Filename: pool/stable/lab{number:03}.deb\nSize: 1000\nSHA256: {number:064x}\n");
        writeln!(index, "{}{file}", package("1.1")).unwrap();
    }
    std::fs::write(root.join("var/lib/dpkg/status"), status).unwrap();
    repository.sign_with(&index);
    root::install(&root, &repository, &[]);
    let manifest = dir.path().join("patch.json");
    std::fs::write(&manifest, r#"{"manifest":"updates","version":"1.0.0","patch":{"select":"all"}}"#)
        .unwrap();
    let plan = [programs::own("assent-agent"), "plan".into(), manifest, "--root".into(), root.clone()];
    let config = format!("APT_CONFIG={}", root.join("var/lib/assent/apt/apt.conf").display());
    let tools = "apt-get -qq update && apt-get -qq --simulate dist-upgrade";
    let floor = ["env", &config, "sh", "-c", tools];
    let (mut agent, mut least) = (Runs::default(), Runs::default());
    for round in 0..=ROUNDS {
        let (cost, wall, said) = timed(&plan);
        assert!(said.contains(&format!("{PACKAGES} actions")), "{said}");
        let (floor_cost, floor_wall, said) = timed(&floor);
        assert_eq!(said.lines().filter(|line| line.starts_with("Inst ")).count(), PACKAGES);
        if round > 0 {
            agent.add((cost, wall));
            least.add((floor_cost, floor_wall));
        }
    }
    agent.line(&format!("agent_work patch plan of {PACKAGES} packages"), "apt-get", &least);
}
