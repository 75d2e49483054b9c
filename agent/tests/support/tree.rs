//! A whole directory tree as a value: names, contents, modes, owners, link targets.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub type Tree = BTreeMap<String, String>;

/// Everything below `root`, without what lies below the paths in `except`.
pub fn snapshot(root: &Path, except: &[&str]) -> Tree {
    let mut tree = Tree::new();
    walk(root, root, except, &mut tree);
    tree
}

fn walk(root: &Path, dir: &Path, except: &[&str], tree: &mut Tree) {
    let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = format!("/{}", path.strip_prefix(root).unwrap().display());
        if except.contains(&name.as_str()) {
            continue;
        }
        let meta = path.symlink_metadata().unwrap();
        let what = if meta.is_symlink() {
            format!("-> {}", path.read_link().unwrap().display())
        } else if meta.is_dir() {
            walk(root, &path, except, tree);
            "directory".to_owned()
        } else {
            shared::digest::Digest::of(&std::fs::read(&path).unwrap()).hex()
        };
        tree.insert(name, format!("{:o} {}:{} {what}", meta.mode(), meta.uid(), meta.gid()));
    }
}
