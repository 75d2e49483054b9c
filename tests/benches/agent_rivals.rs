//! The agent beside CFEngine, Puppet, Ansible and Salt on the same tree of files (half from templates with a fact of the
//! host): making all of them, finding nothing to do, and putting back one in a hundred that somebody changed. The same
//! for 100 packages and 20 users, on this machine with a layer over it that takes what is changed; one of each is taken
//! away there.
//!
//! Each figure is that of one run of a program that does the whole of it. The agent's are ticks of a host of a site:
//! mutual TLS, admission, journal and receipt belong to them, corrections run under the approval that stands
//! (`on_drift: correct`), and what one change does not bring comes with several. Its bare look at the tree, which the goals
//! are about, is a line of its own. Packages and users are never put back by a host itself: there the figure is that of
//! finding what is missing and of an approved change that brings it.
//!
//! The floor of the same run parses, renders, reads, hashes and stats. Programs that are not installed are left out and
//! named; `apt-get install --no-install-recommends cfengine3 puppet ansible-core` brings those that Debian has, and
//! `pip install salt` Salt. Sizes may be named: `agent_rivals 100 1000`; `accounts` leaves the trees out.

#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise, with its place")]

#[path = "measure/accounts.rs"]
mod accounts;
#[path = "measure/built.rs"]
mod built;
#[path = "measure/floor.rs"]
mod floor;
#[path = "measure/look.rs"]
mod look;
#[path = "measure/managed.rs"]
mod managed;
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

use managed::Managed;
use middle::median;
use rivals::Rival;
use std::path::{Path, PathBuf};
use tests::world::NewChange;
use tests::{World, programs};
use tree::Tree;
use usage::Cost;

const SIZES: [usize; 3] = [100, 1_000, 10_000];
/// One file in so many is changed by somebody.
const DRIFT: usize = 100;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("meter") => usage::meter(&args[2..]),
        Some("floor-plan") => floor::plan(Path::new(&args[2]), Path::new(&args[3])),
        Some("accounts-apart") => accounts::compare(),
        _ => {
            built::require(&["assent", "assent-agent", "assent-server"]);
            let only_accounts = args.iter().any(|arg| arg == "accounts");
            let named: Vec<usize> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
            let sizes = if named.is_empty() { SIZES.to_vec() } else { named.clone() };
            sizes.into_iter().filter(|_| !only_accounts).for_each(compare);
            if named.is_empty() {
                accounts::apart();
            }
        }
    }
}

/// What one program cost: making, nothing to do, putting back what was changed.
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
             the agent's CPU); some changed {:.3} s {:.1} MiB; all made {make}",
            noop.cpu,
            noop.peak_mib,
            noop.cpu / least.cpu,
            noop.peak_mib / least.peak_mib,
            noop.cpu / own.cpu,
            drift.cpu,
            drift.peak_mib,
        );
    }
}

fn compare(files: usize) {
    let tree = Tree::new(files);
    let mut all = vec![agent(&tree), look(&tree)];
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
    all.iter().for_each(|one| one.print(&format!("{files} files"), "floor", floor, all[1].noop));
}

fn middle_of(rounds: usize, mut run: impl FnMut() -> Cost) -> Cost {
    // The first round fills the file cache.
    run();
    middle((0..rounds).map(|_| run()).collect())
}

fn middle(costs: Vec<Cost>) -> Cost {
    Cost { cpu: median(costs.iter().map(|c| c.cpu)), peak_mib: median(costs.iter().map(|c| c.peak_mib)) }
}

/// A host of a site, from the first change on.
fn agent(tree: &Tree) -> Figures {
    let mut managed = Managed::new(tree);
    let make = managed.converge();
    let is_right = |managed: &Managed| are_right(tree.files, |number| managed.path(number));
    assert!(is_right(&managed), "the changes did not bring the tree");
    println!("agent_rivals: {} files come with {} changes of the agent", tree.files, managed.changes());
    let noop = middle_of(5, || managed.tick().0);
    // A host puts the same file back three times a day.
    let drift = (0..3).map(|round| {
        disturb(tree.files, round, |number| managed.path(number));
        let (cost, said) = managed.tick();
        assert!(is_right(&managed), "not everything was put back:\n{said}");
        cost
    });
    let drift = middle(drift.collect());
    Figures { name: "assent-agent, whole tick", make: Some(make), noop, drift }
}

/// What it costs the agent to see how the tree is: it puts nothing back.
fn look(tree: &Tree) -> Figures {
    let plan = look::plan(tree);
    let found = |many: usize| {
        let (cost, said) = usage::run(&plan);
        assert!(said.contains(&format!(": {many} actions")), "{said}");
        cost
    };
    let noop = middle_of(5, || found(0));
    let changed = disturb(tree.files, 0, |number| tree.path(number));
    let drift = middle_of(5, || found(changed));
    (0..tree.files).for_each(|number| std::fs::write(tree.path(number), bytes(number)).unwrap());
    Figures { name: "assent-agent, only looking", make: None, noop, drift }
}

/// What a file is to contain.
fn bytes(number: usize) -> String {
    tree::text() + &tree::ending(number)
}

fn are_right(files: usize, path: impl Fn(usize) -> PathBuf) -> bool {
    (0..files).all(|number| std::fs::read(path(number)).ok() == Some(bytes(number).into_bytes()))
}

/// Somebody writes into some of the files, others in each round; gives their number.
fn disturb(files: usize, round: usize, path: impl Fn(usize) -> PathBuf) -> usize {
    let some = (round % DRIFT..files).step_by(DRIFT);
    some.clone().for_each(|number| std::fs::write(path(number), "changed\n").unwrap());
    some.count()
}

fn measure(rival: Rival, tree: &Tree) -> Figures {
    let command = rival.prepare(tree);
    (0..tree.files).for_each(|number| std::fs::remove_file(tree.path(number)).unwrap());
    of_rival(
        rival,
        &command,
        || are_right(tree.files, |number| tree.path(number)),
        |round| {
            disturb(tree.files, round, |number| tree.path(number));
        },
    )
}

/// Runs it where nothing is there yet, where nothing is to be done, and where somebody has disturbed what was there.
fn of_rival(
    rival: Rival,
    command: &[PathBuf],
    is_right: impl Fn() -> bool,
    disturb: impl Fn(usize),
) -> Figures {
    let run = || usage::run(command).0;
    let repair = || {
        let cost = run();
        assert!(is_right(), "{} did not bring what it was to bring", rival.name());
        cost
    };
    let make = repair();
    let noop = middle_of(rival.rounds(), run);
    let drift = (0..rival.rounds()).map(|round| {
        disturb(round);
        repair()
    });
    Figures { name: rival.name(), make: Some(make), noop, drift: middle(drift.collect()) }
}

/// The tick of the only host that runs the approved change; what it planned for approvers before is not in it.
fn made(world: &mut World, host: &str, manifest: &str, more: &[&str]) -> Cost {
    let id = world.request_and_approve(&NewChange { manifests: &[manifest], more, ..NewChange::default() });
    world.settle();
    let (cost, said) = tick(world, host);
    assert!(said.contains(&format!("{id} revision 1 ended: applied")), "{said}");
    cost
}

/// One tick of the agent with everything that belongs to it: its server, the check of all that was approved, and
/// putting back what differs and may be put back.
fn tick(world: &World, host: &str) -> (Cost, String) {
    let root = world.hosts[host].root.clone();
    let once: [PathBuf; 4] = [programs::own("assent-agent"), "once".into(), "--root".into(), root];
    usage::run(&once)
}
