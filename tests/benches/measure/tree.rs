//! A tree of managed files: half from templates with facts of the host, half named by their digest.

use serde_json::json;
use shared::digest::Digest;
use std::path::PathBuf;
use tempfile::TempDir;
use tests::root;

pub const HOSTNAME: &str = "bench";
const FILE_BYTES: usize = 1024;

/// What all files begin with.
pub fn text() -> String {
    "key = value, one of many in this file\n".chars().cycle().take(FILE_BYTES - 10).collect()
}

/// What a file ends with.
pub fn ending(number: usize) -> String {
    format!("{HOSTNAME}{number:04}\n")
}

/// A private root with correct files, and the manifest that wants them.
pub struct Tree {
    dir: TempDir,
    pub files: usize,
}

impl Tree {
    /// Half of the files come from templates, half are artifacts named by digest.
    pub fn new(files: usize) -> Self {
        let dir = tempfile::Builder::new().prefix("assent-bench-").tempdir().unwrap();
        let tree = Self { dir, files };
        root::prepare(&tree.root(), HOSTNAME);
        // The database of packages that a host has, not that of an empty root.
        std::fs::copy("/var/lib/dpkg/status", tree.root().join("var/lib/dpkg/status")).unwrap();
        std::fs::write(tree.root().join("etc/assent/host-class"), "production\n").unwrap();
        std::fs::create_dir(tree.root().join("f")).unwrap();
        let text = text();
        let resources: Vec<_> = (0..files).map(|number| tree.add(number, &text)).collect();
        let manifest = json!({
            "manifest": "bench", "version": "1.0.0",
            "parameters": { "t": { "type": "string", "default": text } }, "resources": resources,
        });
        std::fs::write(tree.manifest(), manifest.to_string()).unwrap();
        tree
    }

    /// Writes one file; gives its resource.
    fn add(&self, number: usize, text: &str) -> serde_json::Value {
        let path = format!("/f/{number:04}");
        let bytes = format!("{text}{}", ending(number));
        std::fs::write(self.path(number), &bytes).unwrap();
        if number.is_multiple_of(2) {
            return json!({ "file": { "path": path, "template": format!("{{{{params.t}}}}{{{{facts.hostname}}}}{number:04}\n") } });
        }
        let artifact = json!({ "sha256": Digest::of(bytes.as_bytes()), "length": bytes.len() });
        json!({ "file": { "path": path, "artifact": artifact } })
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("r")
    }

    pub fn manifest(&self) -> PathBuf {
        self.dir.path().join("manifest.json")
    }

    pub fn path(&self, number: usize) -> PathBuf {
        self.root().join(format!("f/{number:04}"))
    }
}
