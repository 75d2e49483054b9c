//! The agent beside CFEngine, Puppet and Ansible on the same tree of files (half from templates with a fact of the host):
//! finding nothing to do, one file in a hundred changed by somebody, and making all of them. The same for 100 packages
//! and 20 users, on this machine with a layer over it that takes what is changed; one of each is taken away there.
//!
//! The floor of the same run parses, renders, reads, hashes and stats. Programs that are not installed are left out and
//! named; `apt-get install --no-install-recommends cfengine3 puppet ansible-core` brings those that Debian has (Salt is
//! not among them). The agent repairs nothing by itself, so its figure for changed files is that of finding them, and
//! its figure for making them is the whole tick: mutual TLS, admission, journal, receipt.

#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise, with its place")]

#[path = "measure/accounts.rs"]
mod accounts;
#[path = "measure/built.rs"]
mod built;
#[path = "measure/floor.rs"]
mod floor;
#[path = "measure/look.rs"]
mod look;
#[path = "measure/middle.rs"]
mod middle;
#[path = "measure/overlay.rs"]
mod overlay;
#[path = "measure/rivals.rs"]
mod rivals;
#[path = "measure/tree.rs"]
mod tree;
#[path = "measure/usage.rs"]
mod usage;

use middle::median;
use rivals::Rival;
use std::path::{Path, PathBuf};
use tests::world::NewChange;
use tests::{Database, World, programs};
use tree::Tree;
use usage::Cost;

const SIZES: [usize; 3] = [100, 1_000, 10_000];
/// One file in so many is changed by somebody.
const DRIFT: usize = 100;
/// Larger plans are not asked of one change.
const MADE: usize = 1_000;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("meter") => usage::meter(&args[2..]),
        Some("floor-plan") => floor::plan(Path::new(&args[2]), Path::new(&args[3])),
        Some("accounts") => accounts::compare(),
        _ => {
            built::require(&["assent", "assent-agent", "assent-server"]);
            let made = SIZES.map(|files| if files <= MADE { Some(make(files)) } else { None });
            for (files, made) in SIZES.into_iter().zip(made) {
                compare(files, made);
            }
            accounts::apart();
        }
    }
}

/// What one program cost: making, nothing to do, some changed.
struct Figures {
    name: &'static str,
    make: Option<Cost>,
    noop: Cost,
    drift: Cost,
}

impl Figures {
    /// One line; `least` is what the reference of that name costs, `own` the agent's look at the same.
    fn print(&self, what: &str, reference: &str, least: Cost, own: Cost) {
        let Self { name, make, noop, drift } = self;
        let make = make.map_or("-".to_owned(), |cost| format!("{:.3} s {:.1} MiB", cost.cpu, cost.peak_mib));
        println!(
            "agent_rivals {what}, {name}: no-op {:.3} s {:.1} MiB ({:.2} x {reference} CPU, {:.2} x its memory; {:.3} x \
             the agent's CPU); some changed {:.3} s; all made {make}",
            noop.cpu,
            noop.peak_mib,
            noop.cpu / least.cpu,
            noop.peak_mib / least.peak_mib,
            noop.cpu / own.cpu,
            drift.cpu,
        );
    }
}

fn compare(files: usize, made: Option<Cost>) {
    let tree = Tree::new(files);
    let mut all = vec![agent(&tree, made)];
    for rival in Rival::ALL {
        match rival.version() {
            None => println!("agent_rivals: {} is not installed", rival.name()),
            Some(_) if files > rival.most() => {
                println!("agent_rivals: {} is not asked for {files} files", rival.name());
            }
            Some(version) => {
                println!("agent_rivals: {} {version}", rival.name());
                all.push(measure(rival, &tree));
            }
        }
    }
    let floor = [std::env::current_exe().unwrap(), "floor-plan".into(), tree.manifest(), tree.root()];
    let floor = middle_of(5, || usage::run(&floor).0);
    all.iter().for_each(|one| one.print(&format!("{files} files"), "floor", floor, all[0].noop));
}

fn middle_of(rounds: usize, mut run: impl FnMut() -> Cost) -> Cost {
    // The first round fills the file cache.
    run();
    let costs: Vec<Cost> = (0..rounds).map(|_| run()).collect();
    Cost { cpu: median(costs.iter().map(|c| c.cpu)), peak_mib: median(costs.iter().map(|c| c.peak_mib)) }
}

fn agent(tree: &Tree, make: Option<Cost>) -> Figures {
    let plan = look::plan(tree);
    let found = |many: usize| {
        let (cost, said) = usage::run(&plan);
        assert!(said.contains(&format!(": {many} actions")), "{said}");
        cost
    };
    let noop = middle_of(5, || found(0));
    let changed = disturb(tree);
    let drift = middle_of(5, || found(changed));
    (0..tree.files).for_each(|number| std::fs::write(tree.path(number), bytes(number)).unwrap());
    Figures { name: "assent-agent", make, noop, drift }
}

/// What a file is to contain.
fn bytes(number: usize) -> String {
    tree::text() + &tree::ending(number)
}

fn is_right(tree: &Tree) -> bool {
    (0..tree.files).all(|number| std::fs::read(tree.path(number)).ok() == Some(bytes(number).into_bytes()))
}

/// Somebody writes into some of the files; gives their number.
fn disturb(tree: &Tree) -> usize {
    let some = (0..tree.files).step_by(DRIFT);
    some.clone().for_each(|number| std::fs::write(tree.path(number), "changed\n").unwrap());
    some.count()
}

fn measure(rival: Rival, tree: &Tree) -> Figures {
    let command = rival.prepare(tree);
    (0..tree.files).for_each(|number| std::fs::remove_file(tree.path(number)).unwrap());
    of_rival(
        rival,
        &command,
        || is_right(tree),
        || {
            disturb(tree);
        },
    )
}

/// Runs it where nothing is there yet, where nothing is to be done, and where somebody has disturbed what was there.
fn of_rival(rival: Rival, command: &[PathBuf], is_right: impl Fn() -> bool, disturb: impl Fn()) -> Figures {
    let run = || usage::run(command).0;
    let repair = || {
        let cost = run();
        assert!(is_right(), "{} did not bring what it was to bring", rival.name());
        cost
    };
    let make = repair();
    let noop = middle_of(rival.rounds(), run);
    let drift = (0..rival.rounds()).map(|_| {
        disturb();
        repair()
    });
    let drift: Vec<Cost> = drift.collect();
    let drift = Cost { cpu: median(drift.iter().map(|c| c.cpu)), peak_mib: drift[0].peak_mib };
    Figures { name: rival.name(), make: Some(make), noop, drift }
}

/// An approved change that makes as many files.
fn make(files: usize) -> Cost {
    let mut world = World::new("bench agent_rivals", Database::Sqlite).unwrap();
    world.join("a1", "production");
    let mut body = format!("parameters:\n  t: {{type: string, default: {:?}}}\nresources:\n", tree::text());
    body += "  - directory: {path: /f}\n";
    for number in 0..files {
        let text = format!("{{{{params.t}}}}{{{{facts.hostname}}}}{number:04}\n");
        body += &format!("  - file: {{path: /f/{number:04}, template: {text:?}}}\n");
    }
    world.publish("many", "1.0.0", &body).ok();
    made(&mut world, "many@1.0.0")
}

/// The tick of the only host that runs the approved change.
fn made(world: &mut World, manifest: &str) -> Cost {
    let id = world.request_and_approve(&NewChange { manifests: &[manifest], ..NewChange::default() });
    world.settle();
    let once: [PathBuf; 4] =
        [programs::own("assent-agent"), "once".into(), "--root".into(), world.hosts["a1"].root.clone()];
    let (cost, said) = usage::run(&once);
    assert!(said.contains(&format!("{id} revision 1 ended: applied")), "{said}");
    cost
}
