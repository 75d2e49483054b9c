//! Resolving paths below the root without leaving it, component by component.
//!
//! A symbolic link on the way is followed inside the root, and only when root or the agent's own account
//! owns it: whoever may write into some directory must not turn the agent's writes elsewhere.

use super::Fault;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Links followed in one path, as in the kernel (path_resolution(7)).
const LINKS: usize = 40;

const DIR: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The directory that everything managed lies in.
#[derive(Debug)]
pub struct Root {
    dir: PathBuf,
    fd: OwnedFd,
}

impl Root {
    pub fn open(dir: &Path) -> io::Result<Self> {
        let dir = dir.canonicalize()?;
        let fd = rustix::fs::open(&dir, DIR, Mode::empty())?;
        Ok(Self { dir, fd })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// True when the root is the machine's own.
    pub fn is_whole(&self) -> bool {
        self.dir == Path::new("/")
    }

    /// The path as a program outside the root sees it; for arguments only, never for opening.
    pub fn outside(&self, path: &str) -> PathBuf {
        self.dir.join(path.trim_start_matches('/'))
    }

    /// Opens what is at `path`, not following a last component that is a link. For reading: links on the way
    /// are followed by the kernel, inside the root.
    pub fn open_at(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inside = path.trim_start_matches('/');
        match rustix::fs::openat2(&self.fd, inside, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            // Kernels before 5.6, and sandboxes that filter the call.
            Err(Errno::NOSYS | Errno::PERM) => {
                let (parent, name) = self.parent(path).map_err(errno)?;
                rustix::fs::openat(&parent, name, flags, Mode::empty())
            }
            other => other,
        }
    }

    /// The directory that `path` lies in, and the last component.
    ///
    /// # Errors
    /// The parent does not exist or is no directory, or a link on the way belongs to somebody else.
    pub fn parent<'p>(&self, path: &'p str) -> Result<(OwnedFd, &'p str), Fault> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name.is_empty() || name == ".." || name == "." {
            return Err(Fault::Refused(format!("{path} does not name a file")));
        }
        Ok((self.walk(above, path)?, name))
    }

    fn walk(&self, above: &str, path: &str) -> Result<OwnedFd, Fault> {
        let fail = |e: Errno| Fault::Io { doing: format!("open the directory of {path}"), source: e.into() };
        let mut open: Vec<OwnedFd> = Vec::new();
        let mut todo: Vec<String> = components(above);
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == ".." {
                open.pop();
                continue;
            }
            let here = open.last().unwrap_or(&self.fd);
            match rustix::fs::openat(here, name.as_str(), DIR, Mode::empty()) {
                Ok(next) => open.push(next),
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    links += 1;
                    let target = link(here, &name).map_err(fail)?;
                    let target = target.ok_or_else(|| {
                        Fault::Refused(format!(
                            "{path} is not written: the link {name} on its way belongs to another account; replace it by a directory"
                        ))
                    })?;
                    if links > LINKS {
                        return Err(fail(Errno::LOOP));
                    }
                    if target.starts_with('/') {
                        open.clear();
                    }
                    todo.extend(components(&target));
                }
                Err(e) => return Err(fail(e)),
            }
        }
        match open.pop() {
            Some(fd) => Ok(fd),
            None => self.fd.try_clone().map_err(Fault::io(format!("open the directory of {path}"))),
        }
    }
}

/// Components last first, so that the next one is popped.
fn components(path: &str) -> Vec<String> {
    path.split('/').filter(|c| !c.is_empty() && *c != ".").rev().map(str::to_owned).collect()
}

/// Target of the link `name`; `None` when it is not to be trusted.
fn link(dir: impl AsFd, name: &str) -> Result<Option<String>, Errno> {
    let stat = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let target = match rustix::fs::readlinkat(&dir, name, Vec::new()) {
        Err(Errno::INVAL) => return Err(Errno::NOTDIR),
        other => other?,
    };
    if stat.st_uid != 0 && stat.st_uid != rustix::process::geteuid().as_raw() {
        return Ok(None);
    }
    target.into_string().map(Some).map_err(|_| Errno::ILSEQ)
}

fn errno(fault: Fault) -> Errno {
    match fault {
        Fault::Io { source, .. } => Errno::from_io_error(&source).unwrap_or(Errno::IO),
        _ => Errno::PERM,
    }
}
