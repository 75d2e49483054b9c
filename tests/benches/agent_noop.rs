//! What it costs to find that nothing is to be done: `assent-agent plan` over a tree of correct files.
//!
//! References of the same run: `sha256sum` over the tree, and the floor, which parses the same manifest, renders
//! the same templates and reads, hashes and stats the same files, and does nothing else.

#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise, with its place")]

#[path = "measure/floor.rs"]
mod floor;
#[path = "measure/look.rs"]
mod look;
#[path = "measure/middle.rs"]
mod middle;
#[path = "measure/tree.rs"]
mod tree;
#[path = "measure/usage.rs"]
mod usage;

use middle::median;
use std::path::{Path, PathBuf};
use tree::Tree;
use usage::Cost;

/// Number of files, and how often each program looks at them.
const SIZES: [(usize, usize); 3] = [(100, 21), (1_000, 11), (10_000, 5)];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("meter") => usage::meter(&args[2..]),
        Some("floor-plan") => floor::plan(Path::new(&args[2]), Path::new(&args[3])),
        _ => figures(),
    }
}

fn figures() {
    let per_file: Vec<f64> = SIZES.map(|(files, rounds)| figure(files, rounds) / files as f64).into();
    let growth = |few: usize, many: usize| {
        let files = SIZES[many].0 as f64 / SIZES[few].0 as f64;
        1.0 + (per_file[many] / per_file[few]).log10() / files.log10()
    };
    println!(
        "agent_noop growth: CPU ~ files^{:.2} up to 1000, files^{:.2} up to 10000",
        growth(0, 1),
        growth(1, 2)
    );
}

/// Prints one line and gives the agent's CPU seconds.
fn figure(files: usize, rounds: usize) -> f64 {
    let tree = Tree::new(files);
    let programs = [look::plan(&tree), sha256sum(&tree), floor(&tree)];
    let mut costs: [Vec<Cost>; 3] = Default::default();
    for round in 0..=rounds {
        for (command, costs) in programs.iter().zip(&mut costs) {
            let (cost, said) = usage::run(command);
            // The first round fills the file cache.
            match round {
                0 if command == &programs[0] => assert_nothing_to_do(&said),
                0 => {}
                _ => costs.push(cost),
            }
        }
    }
    let [agent, sum, floor] = costs.each_ref().map(|runs| median(runs.iter().map(|c| c.cpu)));
    let [peak, sum_peak, floor_peak] = costs.each_ref().map(|runs| median(runs.iter().map(|c| c.peak_mib)));
    println!(
        "agent_noop {files} files: CPU {agent:.4} s, sha256sum {sum:.4} s, ratio {:.2}; floor-plan {floor:.4} s, \
         ratio {:.2}; peak {peak:.1} MiB, sha256sum {sum_peak:.1} MiB, ratio {:.2}; floor-plan {floor_peak:.1} MiB, \
         ratio {:.2}",
        agent / sum,
        agent / floor,
        peak / sum_peak,
        peak / floor_peak
    );
    agent
}

fn assert_nothing_to_do(said: &str) {
    assert!(said.contains(": 0 actions"), "the agent found something to do:\n{said}");
}

fn sha256sum(tree: &Tree) -> Vec<PathBuf> {
    std::iter::once("sha256sum".into()).chain((0..tree.files).map(|number| tree.path(number))).collect()
}

fn floor(tree: &Tree) -> Vec<PathBuf> {
    vec![std::env::current_exe().unwrap(), "floor-plan".into(), tree.manifest(), tree.root()]
}
