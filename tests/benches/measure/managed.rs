//! A host of a site that gets the same tree of files by approved changes, and puts back under them what others change.

use crate::tree::{HOSTNAME, Tree};
use crate::usage::Cost;
use crate::{made, tick};
use serde_json::json;
use std::path::PathBuf;
use tests::{Database, World, check};

/// Files of one change: a plan shows each of them, and a person looks at it.
const A_CHANGE: usize = 1_000;
/// Hours for which approvals stand.
const STAND: u32 = 240;

/// A joined host whose site has everything for the tree.
pub struct Managed {
    world: World,
    changes: Vec<String>,
}

impl Managed {
    /// The files of the tree, in as many manifests as it takes; artifacts are uploaded.
    pub fn new(tree: &Tree) -> Self {
        let mut world = World::new("bench agent_rivals", Database::Sqlite).unwrap();
        world.let_corrections_stand(STAND);
        world.join(HOSTNAME, "production");
        std::fs::create_dir(world.hosts[HOSTNAME].root.join("f")).unwrap();
        check::accept(&mut world, HOSTNAME);
        for number in (0..tree.files).filter(|number| !number.is_multiple_of(2)) {
            world.assent(&["artifact", "put", tree.path(number).to_str().unwrap()]).ok();
        }
        let manifest = std::fs::read(tree.manifest()).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let mut changes = Vec::new();
        for (number, resources) in manifest["resources"].as_array().unwrap().chunks(A_CHANGE).enumerate() {
            let parameters = json!(manifest["parameters"]);
            let body =
                format!("on_drift: correct\nparameters: {parameters}\nresources: {}\n", json!(resources));
            world.publish(&format!("tree{number}"), "1.0.0", &body).ok();
            changes.push(format!("tree{number}@1.0.0"));
        }
        Self { world, changes }
    }

    pub fn changes(&self) -> usize {
        self.changes.len()
    }

    pub fn path(&self, number: usize) -> PathBuf {
        self.world.hosts[HOSTNAME].root.join(format!("f/{number:04}"))
    }

    /// All ticks that bring the tree, each with mutual TLS, admission, journal and receipt.
    pub fn converge(&mut self) -> Cost {
        let mut all = Cost { cpu: 0.0, peak_mib: 0.0 };
        for manifest in &self.changes {
            let cost = made(&mut self.world, HOSTNAME, manifest, &["--correct-until", "9d"]);
            all = Cost { cpu: all.cpu + cost.cpu, peak_mib: all.peak_mib.max(cost.peak_mib) };
        }
        // What was sent last is taken up, so that a tick without changes has nothing left from before.
        self.tick();
        all
    }

    pub fn tick(&self) -> (Cost, String) {
        tick(&self.world, HOSTNAME)
    }
}
