//! A whole directory tree as a value: names, contents, modes, owners, attributes, link targets.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub type Tree = BTreeMap<String, String>;

/// Everything below `root`, without what lies below the paths in `except`.
pub fn snapshot(root: &Path, except: &[&str]) -> Tree {
    let mut tree = Tree::new();
    walk(root, root, except, &mut tree, false);
    tree
}

/// The same with the number of each file and the time at which anything about it was changed: nobody has touched
/// what is equal.
pub fn untouched(root: &Path, except: &[&str]) -> Tree {
    let mut tree = Tree::new();
    walk(root, root, except, &mut tree, true);
    tree
}

/// Extended attributes, ACLs among them.
fn attributes(path: &Path) -> String {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, names.as_mut_slice()).unwrap_or(0);
    let mut all = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = std::str::from_utf8(name).unwrap();
        let mut value = vec![0; 4096];
        let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).unwrap();
        let hex: String = value[..length].iter().map(|byte| format!("{byte:02x}")).collect();
        all.push(format!(" {name}={hex}"));
    }
    all.sort();
    all.concat()
}

fn walk(root: &Path, dir: &Path, except: &[&str], tree: &mut Tree, stamped: bool) {
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
            walk(root, &path, except, tree, stamped);
            "directory".to_owned()
        } else {
            shared::digest::Digest::of(&std::fs::read(&path).unwrap()).hex()
        };
        let attributes = attributes(&path);
        let stamp = match stamped {
            true => format!(" {} {}.{:09}", meta.ino(), meta.ctime(), meta.ctime_nsec()),
            false => String::new(),
        };
        tree.insert(
            name,
            format!("{:o} {}:{} {what}{attributes}{stamp}", meta.mode(), meta.uid(), meta.gid()),
        );
    }
}
