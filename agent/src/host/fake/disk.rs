//! The agent's own disk in memory: what is not synced goes with the power.

use super::Power;
use crate::disk::Disk;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

#[derive(Clone, Debug, Default)]
struct Stored {
    durable: Vec<u8>,
    /// Appended since the last sync.
    fresh: Vec<u8>,
    /// A sync has failed: what is fresh can be read, and no later sync makes it durable.
    doomed: bool,
}

/// A disk on the power of a machine; clones are the same disk.
#[derive(Clone, Debug)]
pub struct FakeDisk {
    power: Power,
    files: Rc<RefCell<BTreeMap<PathBuf, Stored>>>,
}

impl FakeDisk {
    pub fn new(power: Power) -> Self {
        Self { power, files: Rc::default() }
    }

    /// What a restart finds: unsynced bytes are gone, or half of them stayed.
    pub fn restart(&self) {
        let torn = self.power.torn();
        for file in self.files.borrow_mut().values_mut() {
            let half = if torn { file.fresh.len() / 2 } else { 0 };
            file.durable.extend_from_slice(&file.fresh[..half]);
            file.fresh.clear();
        }
    }
}

impl Disk for FakeDisk {
    fn read(&self, path: &Path, _limit: u64) -> io::Result<Option<Vec<u8>>> {
        let files = self.files.borrow();
        Ok(files.get(path).map(|f| [f.durable.as_slice(), f.fresh.as_slice()].concat()))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let files = self.files.borrow();
        let below = files.keys().filter_map(|path| path.strip_prefix(dir).ok()?.iter().next());
        let names: BTreeSet<String> = below.map(|name| name.to_string_lossy().into_owned()).collect();
        Ok(names.into_iter().collect())
    }

    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let files = Rc::clone(&self.files);
        let put = || {
            files
                .borrow_mut()
                .insert(path.to_owned(), Stored { durable: bytes.to_vec(), ..Stored::default() });
        };
        self.power.write(|_| put()).inspect_err(|e| {
            if !self.power.is_off() && e.kind() != io::ErrorKind::StorageFull {
                put();
            }
        })
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let files = Rc::clone(&self.files);
        self.power.write(|_| {
            let mut files = files.borrow_mut();
            // A directory goes with everything in it.
            let below: Vec<PathBuf> = files.keys().filter(|path| path.starts_with(from)).cloned().collect();
            for path in below {
                if let (Some(moved), Ok(name)) = (files.remove(&path), path.strip_prefix(from)) {
                    let to = if name.as_os_str().is_empty() { to.to_owned() } else { to.join(name) };
                    files.insert(to, moved);
                }
            }
        })
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        let files = Rc::clone(&self.files);
        self.power.write(|_| {
            files.borrow_mut().remove(path);
        })
    }

    fn append(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let (files, torn) = (Rc::clone(&self.files), self.power.torn());
        self.power
            .write(|whole| {
                let kept = if whole || !torn { bytes } else { &bytes[..bytes.len() / 2] };
                files.borrow_mut().entry(path.to_owned()).or_default().fresh.extend_from_slice(kept);
            })
            .inspect_err(|e| {
                // A full disk takes as much as it has room for.
                if e.kind() == io::ErrorKind::StorageFull {
                    let half = &bytes[..bytes.len() / 2];
                    self.files.borrow_mut().entry(path.to_owned()).or_default().fresh.extend_from_slice(half);
                }
            })
    }

    fn sync(&mut self, path: &Path) -> io::Result<()> {
        let files = Rc::clone(&self.files);
        self.power
            .write(|_| {
                if let Some(file) = files.borrow_mut().get_mut(path).filter(|file| !file.doomed) {
                    let fresh = std::mem::take(&mut file.fresh);
                    file.durable.extend_from_slice(&fresh);
                }
            })
            .inspect_err(|_| {
                if let Some(file) = self.files.borrow_mut().get_mut(path) {
                    file.doomed = true;
                }
            })
    }
}
