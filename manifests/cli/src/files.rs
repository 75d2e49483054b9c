//! Files of the command: private (0600, directories 0700), durable before the next step, read with a cap.

use crate::error::{Context as _, Done, Failure, Kind};
use crate::term;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Creates a directory (0700); its parent must exist.
pub fn make_dir(path: &Path) -> Done {
    let failed = |e| Failure::fault(format!("could not create the directory {}", path.display())).why(e);
    DirBuilder::new().mode(0o700).create(path).map_err(failed)?;
    sync_parent(path)
}

/// Writes a file that must not exist yet (0600) and makes it durable.
pub fn write_new(path: &Path, bytes: &[u8]) -> Done {
    let failed = |e: std::io::Error| {
        let message = match e.kind() {
            ErrorKind::AlreadyExists => format!("{} exists already and is not overwritten", path.display()),
            _ => format!("could not write {}", path.display()),
        };
        Failure::fault(message).why(e)
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    sync_parent(path)
}

/// Writes a file that must not exist yet before `then`, which makes it worth something. It is removed where that was refused;
/// after any other failure nobody knows whether it counts, and it stays.
pub fn write_ahead<T>(path: Option<&Path>, bytes: &[u8], then: impl FnOnce() -> Done<T>) -> Done<T> {
    if let Some(path) = path {
        write_new(path, bytes)?;
    }
    let done = then();
    if let (Err(failure), Some(path)) = (&done, path) {
        if failure.kind == Kind::Fault {
            term::note(&format!("note: {} stays: it may count already\n", path.display()));
        } else {
            // The failure says more than one about a file would.
            let _left = fs::remove_file(path);
        }
    }
    done
}

/// Replaces a file in one step: after a crash it has the old or the new contents (0600).
pub fn replace(path: &Path, bytes: &[u8]) -> Done {
    // Two commands may run at once; each has its own file until it renames it.
    let beside = beside(path, &format!(".new-{}", std::process::id()));
    match fs::remove_file(&beside) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(Failure::fault(format!("could not remove {}", beside.display())).why(e)),
    }
    write_new(&beside, bytes)?;
    rename(&beside, path)
}

/// Holds a lock file until the value is dropped; waits for another command that holds it.
pub fn lock(path: &Path) -> Done<File> {
    let failed = format!("could not lock {}", path.display());
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.or_fault(&*failed)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).or_fault(&*failed)?;
    Ok(file)
}

/// Renames within one directory and makes it durable.
pub fn rename(from: &Path, to: &Path) -> Done {
    fs::rename(from, to).or_fault(format!("could not rename {} to {}", from.display(), to.display()))?;
    sync_parent(to)
}

/// The path with a suffix added to its file name.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub fn sync_parent(path: &Path) -> Done {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let synced = File::open(parent).and_then(|dir| dir.sync_all());
    synced.or_fault(format!("could not make the directory {} durable", parent.display()))
}

/// Reads a file of at most `cap` bytes; a missing one is a usage error.
pub fn read(path: &Path, cap: usize) -> Done<Vec<u8>> {
    match try_read(path, cap)? {
        Some(bytes) => Ok(bytes),
        None => Err(Failure::usage(format!("there is no file {}", path.display()))),
    }
}

/// Reads a file of at most `cap` bytes; `None` when there is none.
pub fn try_read(path: &Path, cap: usize) -> Done<Option<Vec<u8>>> {
    let failed = |e| Failure::fault(format!("could not read {}", path.display())).why(e);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let mut bytes = Vec::new();
    file.take(cap as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > cap {
        return Err(Failure::usage(format!("{} has more than {cap} bytes", path.display())));
    }
    Ok(Some(bytes))
}

/// Reads a text of at most `cap` bytes from a file, or from standard input for `-`.
pub fn read_text_or_input(path: &Path, cap: usize) -> Done<String> {
    if path != Path::new("-") {
        return read_text(path, cap);
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().take(cap as u64 + 1).read_to_end(&mut bytes);
    read.or_fault("could not read standard input")?;
    if bytes.len() > cap {
        return Err(Failure::usage(format!("standard input has more than {cap} bytes")));
    }
    String::from_utf8(bytes).or_usage("standard input is not UTF-8 text")
}

/// Reads a text file of at most `cap` bytes.
pub fn read_text(path: &Path, cap: usize) -> Done<String> {
    String::from_utf8(read(path, cap)?).or_usage(format!("{} is not UTF-8 text", path.display()))
}
