//! Large files that a check is about to read, hashed ahead, several at a time: one core hashes more slowly than most disks read.
//!
//! A digest counts only for a file whose stamp is the one that it had before and after it was read; any other file is read
//! when it is looked at, by whoever then tells what is wrong with it.

use super::path::Root;
use super::{Stamp, files};
use shared::digest::Digest;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The host has other work to do, and more readers than this only disturb a disk.
const MOST: usize = 4;

/// Digests by path, each for one look.
#[derive(Debug, Default)]
pub struct Ahead(Mutex<BTreeMap<String, (Stamp, Digest)>>);

impl Ahead {
    /// Hashes these files in place of all that were known; one file alone gains nothing.
    pub fn read(&self, root: &Root, paths: &[String]) {
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST).min(paths.len());
        self.known().clear();
        if threads < 2 {
            return;
        }
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Some(found) = files::stamped_digest(root, path) {
                    self.known().insert(path.clone(), found);
                }
            }
        };
        // A thread that cannot be started leaves its part to the others: this one works as well.
        thread::scope(|scope| {
            for _ in 1..threads {
                drop(thread::Builder::new().spawn_scoped(scope, work));
            }
            work();
        });
    }

    /// The digest of a file that is as it was; known once only.
    pub fn take(&self, path: &str, now: &Stamp) -> Option<Digest> {
        let (stamp, digest) = self.known().remove(path)?;
        (stamp == *now).then_some(digest)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Stamp, Digest)>> {
        // Each entry is whole, whatever became of a thread.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Host as _, Machine};
    use std::fs;

    #[test]
    fn a_digest_counts_once_and_only_for_the_file_that_was_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let names: Vec<String> = (0..9).map(|n| format!("/{n}")).collect();
        let bytes = |n: usize| vec![u8::try_from(n).unwrap(); 100_000 + n];
        for (n, name) in names.iter().enumerate() {
            fs::write(dir.path().join(&name[1..]), bytes(n)).unwrap();
        }
        let all: Vec<String> = names.iter().cloned().chain(["/absent".into(), "/".into()]).collect();
        let ahead = Ahead::default();
        ahead.read(&root, &all);
        // As long as it was, and changed.
        fs::write(dir.path().join("3"), &bytes(4)[..100_003]).unwrap();
        for (n, name) in names.iter().enumerate() {
            let now = files::stamp(&root, name).unwrap().unwrap();
            let known = (n != 3).then(|| Digest::of(&bytes(n)));
            assert_eq!(ahead.take(name, &now), known, "{name}");
            assert_eq!(ahead.take(name, &now), None, "{name} a second time");
        }
        assert!(ahead.known().is_empty(), "what cannot be read has no digest");
        ahead.read(&root, &names);
        ahead.read(&root, &names[..1]);
        assert!(
            ahead.known().is_empty(),
            "an earlier look counts for nothing, and one file alone is not read twice"
        );
    }

    /// What the machine says of files that were hashed ahead is what it says of others.
    #[test]
    fn a_scan_is_the_same_with_and_without() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::open(dir.path(), &dir.path().join("state")).unwrap();
        let names: Vec<String> = ["/a".into(), "/b".into(), "/c".into()].into();
        for name in &names {
            fs::write(dir.path().join(&name[1..]), name.repeat(50_000)).unwrap();
        }
        let scans = || names.iter().map(|name| machine.scan(name, 1_000).unwrap()).collect::<Vec<_>>();
        let plain = scans();
        machine.hash_ahead(&names);
        fs::write(dir.path().join("b"), "/x".repeat(50_000)).unwrap();
        let changed = scans();
        assert_eq!((&changed[0], &changed[2]), (&plain[0], &plain[2]));
        assert_eq!(changed[1].digest, Some(Digest::of("/x".repeat(50_000).as_bytes())));
        assert_eq!(scans(), changed);
    }
}
