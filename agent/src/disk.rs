//! The door to the agent's own files: each write is durable when it returns, or it did not happen.
//!
//! Write = temporary file, fsync, rename, fsync of the directory. Never: what the files mean (`state`).

mod overlay;

pub use overlay::Overlay;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Extension of files that are being written; leftovers of a crash are ignored, overwritten, and swept at the start.
const UNFINISHED: &str = "tmp";

/// Durable file operations. The second implementation is a disk that fails on demand, in tests.
pub trait Disk {
    /// The bytes of a file, at most `limit` of them; `None` when it does not exist.
    ///
    /// # Errors
    /// The disk's own, and `InvalidData` for a file above the limit.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>>;
    /// A file as a stream, for downloads; `None` when it does not exist.
    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn Read>>> {
        let bytes = self.read(path, u64::MAX - 1)?;
        Ok(bytes.map(|bytes| Box::new(io::Cursor::new(bytes)) as Box<dyn Read>))
    }
    /// Names in a directory, sorted, without unfinished files; empty when it does not exist.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Replaces the file in one step. Missing directories are made.
    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Moves a file within the state directory in one step.
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; one that does not exist is no error.
    fn remove(&mut self, path: &Path) -> io::Result<()>;
    /// Appends to a file that may be lost at a crash (downloads); makes it durable with `sync`.
    fn append(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self, path: &Path) -> io::Result<()>;
    /// Removes what a crash left unfinished in a directory. Only for whom nobody else writes there.
    fn sweep(&mut self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// The machine's file system. Files are readable by their owner only.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("larger than {limit} bytes")));
        }
        Ok(Some(bytes))
    }

    fn open(&self, path: &Path) -> io::Result<Option<Box<dyn Read>>> {
        match File::open(path) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !name.ends_with(&format!(".{UNFINISHED}")) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let dir = parent(path)?;
        make_dir(dir)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".");
        name.push(UNFINISHED);
        let unfinished = dir.join(name);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(e) = written {
            // The first error counts; a leftover is overwritten by the next write.
            drop(fs::remove_file(&unfinished));
            return Err(e);
        }
        fs::rename(&unfinished, path)?;
        sync_dir(dir)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        make_dir(parent(to)?)?;
        fs::rename(from, to)?;
        sync_dir(parent(to)?)?;
        sync_dir(parent(from)?)
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Ok(()) => sync_dir(parent(path)?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn append(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        make_dir(parent(path)?)?;
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).open(path)?.write_all(bytes)
    }

    fn sync(&mut self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()?;
        sync_dir(parent(path)?)
    }

    fn sweep(&mut self, dir: &Path) -> io::Result<()> {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == UNFINISHED) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a file needs a directory"))
}

/// Each directory that is made is durable before something is put into it.
fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(above) = dir.parent() {
        make_dir(above)?;
    }
    match fs::DirBuilder::new().mode(0o755).create(dir) {
        Ok(()) => sync_dir(parent(dir)?),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
