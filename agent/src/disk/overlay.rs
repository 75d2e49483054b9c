//! A disk that keeps what is written in memory: a program on trial leaves nothing behind, whatever it writes.

use super::Disk;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Clones are the same disk.
#[derive(Clone, Debug)]
pub struct Overlay<D> {
    below: D,
    /// What was written or removed (`None`) since.
    written: Rc<RefCell<BTreeMap<PathBuf, Option<Vec<u8>>>>>,
}

impl<D: Disk> Overlay<D> {
    pub fn new(below: D) -> Self {
        Self { below, written: Rc::default() }
    }

    fn set(&self, path: &Path, bytes: Option<Vec<u8>>) {
        self.written.borrow_mut().insert(path.to_owned(), bytes);
    }
}

impl<D: Disk> Disk for Overlay<D> {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        match self.written.borrow().get(path) {
            Some(Some(bytes)) if bytes.len() as u64 > limit => {
                Err(io::Error::new(io::ErrorKind::InvalidData, format!("larger than {limit} bytes")))
            }
            Some(bytes) => Ok(bytes.clone()),
            None => self.below.read(path, limit),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names: BTreeSet<String> = self.below.list(dir)?.into_iter().collect();
        for (path, bytes) in self.written.borrow().iter().filter(|(path, _)| path.parent() == Some(dir)) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match bytes {
                Some(_) => names.insert(name),
                None => names.remove(&name),
            };
        }
        Ok(names.into_iter().collect())
    }

    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.set(path, Some(bytes.to_vec()));
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let bytes = self.read(from, u64::MAX - 1)?.ok_or(io::ErrorKind::NotFound)?;
        self.set(to, Some(bytes));
        self.set(from, None);
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.set(path, None);
        Ok(())
    }

    fn append(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut all = self.read(path, u64::MAX - 1)?.unwrap_or_default();
        all.extend_from_slice(bytes);
        self.set(path, Some(all));
        Ok(())
    }

    fn sync(&mut self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn what_is_written_is_read_again_and_never_reaches_the_disk_below() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["kept", "changed", "moved", "gone"] {
            std::fs::write(at(name), name).unwrap();
        }
        let mut disk = Overlay::new(RealDisk);
        let mut same = disk.clone();
        disk.write(&at("changed"), b"new").unwrap();
        disk.append(&at("changed"), b"er").unwrap();
        disk.append(&at("kept"), b"!").unwrap();
        disk.rename(&at("moved"), &at("there")).unwrap();
        disk.remove(&at("gone")).unwrap();
        same.write(&at("sub/deep"), b"x").unwrap();
        disk.sync(&at("changed")).unwrap();
        let read =
            |name: &str| disk.read(&at(name), 100).unwrap().map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(read("changed").as_deref(), Some("newer"));
        assert_eq!(read("kept").as_deref(), Some("kept!"));
        assert_eq!((read("moved"), read("gone"), read("there").as_deref()), (None, None, Some("moved")));
        assert_eq!(disk.list(dir.path()).unwrap(), ["changed", "kept", "there"]);
        assert_eq!(disk.list(&at("sub")).unwrap(), ["deep"], "clones are the same disk");
        assert!(disk.read(&at("changed"), 4).is_err() && disk.rename(&at("none"), &at("x")).is_err());

        let mut names: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["changed", "gone", "kept", "moved"]);
        assert_eq!(std::fs::read(at("changed")).unwrap(), b"changed");
    }
}
