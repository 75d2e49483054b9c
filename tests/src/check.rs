//! What must hold after every step, whatever the step was.
//!
//! The ledger is computed again from its entries, has only grown, and holds each statement of a host once; no
//! host changed in anything that its own receipt does not name; what a receipt calls undone is as it was.

use crate::programs::Said;
use crate::root::{self, Snapshot};
use crate::world::{Host, Statements, World};
use shared::digest::Digest;
use shared::ledger::{Checkpoint, Leaf, LeafKind, Tile, TileKind, VerifierKey, merkle};
use shared::receipt::{HostOutcome, Receipt, StepStatus};
use std::collections::{BTreeMap, BTreeSet};

/// Where commands of test manifests write; a receipt names a command, not its files.
pub const COMMANDS_WRITE: &str = "/var/lib/lab";
/// Where packages of the test repository put files.
pub const PACKAGES_WRITE: &str = "/usr/share/lab";

/// What earlier checks saw.
#[derive(Debug, Default)]
pub struct Memory {
    /// Leaf hashes of the ledger.
    pub leaves: Vec<Digest>,
    pub hosts: BTreeMap<String, Seen>,
    /// What agents said in ticks of all hosts; shown when a test fails.
    pub said: BTreeMap<String, Vec<Said>>,
}

/// A host at its last check.
#[derive(Debug)]
pub struct Seen {
    pub snapshot: Snapshot,
    /// Highest place in its chain whose receipt was judged.
    pub last_seq: u64,
}

/// Reads the whole ledger over HTTP and computes it again.
///
/// # Panics
/// It is not append-only, its signature or root is wrong, or a statement is in it twice.
pub fn ledger(world: &mut World) {
    if !world.nodes[0].is_running() {
        return;
    }
    let held: Vec<_> = world.hosts.values().map(held).collect();
    let leaves = read_ledger(world);
    let hashes: Vec<Digest> = leaves.iter().map(Leaf::hash).collect();
    let known = &world.memory.leaves;
    assert!(
        hashes.starts_with(known),
        "the ledger of {} leaves does not continue the one of {}",
        hashes.len(),
        known.len()
    );
    world.memory.leaves = hashes;
    let mut places = BTreeSet::new();
    let mut digests = BTreeSet::new();
    for leaf in &leaves {
        if let (Some(agent), Some(seq)) = (leaf.agent, leaf.seq) {
            assert!(places.insert((agent, seq)), "place {seq} of {agent} is in the ledger twice");
        }
        assert!(
            digests.insert((leaf.kind, leaf.sha256)),
            "{:?} {} is in the ledger twice",
            leaf.kind,
            leaf.sha256
        );
    }
    for (name, held, waiting) in held {
        let missing: Vec<_> = held.iter().filter(|at| !digests.contains(at)).collect();
        assert!(
            missing.len() <= waiting,
            "{name}: dropped from the spool, but not in the ledger: {missing:?}"
        );
    }
}

/// What a host has signed, and how many statements wait for their proof. In this order, and before the ledger is read:
/// agents of real machines go on meanwhile.
fn held(host: &Host) -> (String, Vec<(LeafKind, Digest)>, usize) {
    let Statements { receipts, refusals, findings } = host.statements();
    let all = receipts.values().map(|r| (LeafKind::Receipt, r.digest));
    let all = all.chain(refusals.values().map(|r| (LeafKind::Refusal, r.digest)));
    let all = all.chain(findings.values().map(|f| (LeafKind::Finding, f.digest))).collect();
    (host.name.clone(), all, host.spooled())
}

/// All leaves, after signature and root of the newest checkpoint were checked.
pub fn read_ledger(world: &World) -> Vec<Leaf> {
    let note = world.get("/v1/log/checkpoint").text();
    let site: serde_json::Value = serde_json::from_slice(&world.get("/v1/site").body).unwrap();
    let vkey: VerifierKey = site["log_vkey"].as_str().unwrap().parse().unwrap();
    let checkpoint = Checkpoint::open(&note, &vkey).unwrap();
    let mut leaves = Vec::new();
    let mut index = 0;
    while let Some(tile) = Tile::at(TileKind::Entries, index, checkpoint.size) {
        let bytes = world.get(&format!("/v1/log/{tile}")).body;
        leaves
            .extend(tile.read_entries(&bytes).unwrap().into_iter().map(|entry| Leaf::parse(entry).unwrap()));
        index += 1;
    }
    let hashes: Vec<Digest> = leaves.iter().map(Leaf::hash).collect();
    assert_eq!(hashes.len() as u64, checkpoint.size);
    assert_eq!(merkle::root_of(&hashes), checkpoint.root, "the root does not follow from the entries");
    leaves
}

/// Compares a host with how it was at the last check, and with what its receipts since then say.
///
/// # Panics
/// Something changed that no receipt names, or something undone is not as it was.
pub fn host(world: &mut World, name: &str) {
    let host = &world.hosts[name];
    let now = root::snapshot(&host.root);
    let seen = world.memory.hosts.get_mut(name).unwrap();
    let receipts = host.statements().receipts;
    let new: Vec<&Receipt> = receipts.range(seen.last_seq + 1..).map(|(_, r)| &r.body).collect();
    for path in root::differences(&seen.snapshot, &now) {
        assert!(
            new.iter().any(|receipt| may_change(receipt, &path)),
            "{name}: {path} changed from {:?} to {:?}, which no receipt since then says: {new:#?}",
            seen.snapshot.get(&path),
            now.get(&path)
        );
    }
    seen.last_seq = receipts.keys().last().copied().unwrap_or(0).max(seen.last_seq);
    seen.snapshot = now;
}

/// Whether a receipt explains that this path is not as it was.
fn may_change(receipt: &Receipt, path: &str) -> bool {
    let touched = |resource: &str| match resource.split_once(':') {
        Some(("file" | "directory" | "symlink" | "acl", what)) => what == path,
        Some(("line", what)) => what.strip_prefix(path).is_some_and(|name| name.starts_with(':')),
        Some(("package", what)) => {
            path.starts_with(PACKAGES_WRITE) || path.strip_prefix("dpkg:") == Some(what)
        }
        Some(("command", _)) => path.starts_with(COMMANDS_WRITE),
        _ => false,
    };
    let undone = receipt.outcome == HostOutcome::RolledBack;
    receipt.results.iter().any(|step| {
        let acted = !matches!(step.status, StepStatus::NotStarted | StepStatus::Unneeded);
        let command = step.resource.as_str().starts_with("command:");
        acted && touched(step.resource.as_str()) && (!undone || command)
    })
}

/// The statements that a host holds are one chain: each place once, each naming the one before.
///
/// # Panics
/// They are not.
pub fn chain(host: &Host, what: &str) {
    let all = host.chained();
    for ((seq, (digest, _)), (next, (_, prev))) in all.iter().zip(all.iter().skip(1)) {
        assert_eq!((seq + 1, Some(*digest)), (*next, *prev), "{what}: after place {seq} of {}", host.name);
    }
}

/// Nothing that is being written stays behind, neither beside the host's files nor in the agent's own directory.
///
/// # Panics
/// Something does.
pub fn no_leftovers(host: &Host, what: &str) {
    let mut dirs = vec![host.root.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            let own = entry.path().starts_with(host.state());
            let left = name.ends_with(".assent-unfinished") || (own && name.ends_with(".tmp"));
            assert!(!left, "{what}: {} stays behind", entry.path().display());
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            }
        }
    }
}

/// Accepts the present state of a host: the test itself changed it.
pub fn accept(world: &mut World, name: &str) {
    let snapshot = root::snapshot(&world.hosts[name].root);
    world.memory.hosts.get_mut(name).unwrap().snapshot = snapshot;
}
