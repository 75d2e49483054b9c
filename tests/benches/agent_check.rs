//! The scheduled check of what was approved: everything read again, and by the stamps of files that nobody has touched.
//!
//! References of the same run: for many small files the floor, which parses the manifest, renders the same templates and reads,
//! hashes and stats the same files; for few large ones their hashing one after the other.

#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise, with its place")]

#[path = "measure/floor.rs"]
mod floor;
#[path = "measure/middle.rs"]
mod middle;
#[path = "measure/tree.rs"]
mod tree;

use agent::drift::{ApprovedState, Depth, Memory, Upheld, check};
use agent::host::Machine;
use agent::vault::Vault;
use middle::median;
use serde_json::json;
use shared::digest::{Digest, Hasher};
use shared::finding::Expected;
use shared::ids::AgentId;
use shared::manifest::{Manifest, resolve_params};
use shared::strict::Map;
use shared::time::Timestamp;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Instant;
use tree::Tree;

const SMALL: usize = 10_000;
const LARGE: usize = 8;
const LARGE_BYTES: usize = 32 << 20;
const ROUNDS: usize = 5;

fn main() {
    small();
    large();
}

/// Median seconds of a piece of work, after one round that fills the file cache.
fn seconds(mut work: impl FnMut()) -> f64 {
    let mut once = || {
        let begun = Instant::now();
        work();
        begun.elapsed().as_secs_f64()
    };
    once();
    median((0..ROUNDS).map(|_| once()))
}

/// A host on which the manifest was applied, and its check.
struct Host {
    upheld: Upheld,
    vault: Vault,
    machine: Machine,
    memory: Memory,
    now: Timestamp,
}

impl Host {
    fn new(root: &Path, manifest: &[u8]) -> Self {
        let manifest = Manifest::from_json(manifest).unwrap();
        let id = AgentId::of_key(&[7; 32]);
        let machine = Machine::open(root, &root.join("var/lib/assent")).unwrap();
        let class = "production".parse().unwrap();
        let facts = agent::facts::basic(&machine, &class, semver::Version::new(1, 0, 0)).unwrap();
        let expected = Expected {
            manifest: manifest.id(),
            version: manifest.version.clone(),
            change_id: "C-1".parse().unwrap(),
            revision: 1,
            change: Digest::of(b"change"),
        };
        let params = resolve_params(&manifest.parameters, &Map::default()).unwrap();
        // Late enough for all stamps to be old.
        let (now, facts) = (Timestamp(i64::from(u32::MAX)), facts.view(id));
        let state = ApprovedState { expected, since: now, manifest, params, facts, health_programs: vec![] };
        let upheld = Upheld { states: vec![state], packages: Map::default() };
        Self { upheld, vault: Vault::without_key(id), machine, memory: Memory::default(), now }
    }

    fn check(&mut self, depth: Depth) {
        let Self { upheld, vault, machine, memory, now } = self;
        let found = check(upheld, vault, depth, memory, *now, machine).unwrap();
        assert!(found.is_empty(), "the files differ: {found:?}");
    }
}

fn small() {
    let tree = Tree::new(SMALL);
    let mut host = Host::new(&tree.root(), &std::fs::read(tree.manifest()).unwrap());
    let full = seconds(|| host.check(Depth::Full));
    let quick = seconds(|| host.check(Depth::Quick));
    let floor = seconds(|| floor::plan(&tree.manifest(), &tree.root()));
    println!(
        "agent_check {} small files: everything {full:.4} s, by stamps {quick:.4} s; floor {floor:.4} s, ratios {:.2} and {:.2}",
        tree.files,
        full / floor,
        quick / floor
    );
}

/// Read in pieces, as the agent does.
fn hashed(path: &Path) -> Digest {
    let (mut file, mut hasher, mut piece) = (File::open(path).unwrap(), Hasher::default(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut piece).unwrap() {
            0 => return hasher.finish(),
            length => hasher.update(&piece[..length]),
        }
    }
}

fn large() {
    let dir = tempfile::tempdir().unwrap();
    let contents: Vec<Vec<u8>> = (0..LARGE).map(|n| vec![u8::try_from(n).unwrap(); LARGE_BYTES]).collect();
    let resource = |(n, bytes): (usize, &Vec<u8>)| {
        std::fs::write(dir.path().join(n.to_string()), bytes).unwrap();
        json!({ "file": { "path": format!("/{n}"), "artifact": { "sha256": Digest::of(bytes), "length": bytes.len() } } })
    };
    let resources: Vec<_> = contents.iter().enumerate().map(resource).collect();
    drop(contents);
    let manifest = json!({ "manifest": "bench", "version": "1.0.0", "resources": resources });
    let mut host = Host::new(dir.path(), manifest.to_string().as_bytes());
    let full = seconds(|| host.check(Depth::Full));
    let one = seconds(|| {
        for n in 0..LARGE {
            std::hint::black_box(hashed(&dir.path().join(n.to_string())));
        }
    });
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!(
        "agent_check {LARGE} files of {} MiB on {cores} cores: {full:.3} s, hashed one after the other {one:.3} s, ratio {:.2}",
        LARGE_BYTES >> 20,
        full / one
    );
}
