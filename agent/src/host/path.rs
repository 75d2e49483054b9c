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

    /// Opens what is at `path`, not following a last component that is a link. Links on the way are followed as
    /// for writing: whoever may write into some directory must not choose what the agent reads and then shows.
    ///
    /// # Errors
    /// `Io` with the kernel's reason, or a link on the way belongs to somebody else.
    pub fn open_at(&self, path: &str, flags: OFlags) -> Result<Result<OwnedFd, Errno>, Fault> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inside = path.trim_start_matches('/');
        let inside = if inside.is_empty() { "." } else { inside };
        let plain = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(&self.fd, inside, flags, Mode::empty(), plain) {
            // A link, a `..`, kernels before 5.6, and sandboxes that filter the call.
            Err(Errno::LOOP | Errno::XDEV | Errno::NOSYS | Errno::PERM) => {}
            other => return Ok(other),
        }
        let (parent, name) = match self.parent(path) {
            Ok(found) => found,
            Err(fault) => return errno(fault).map(Err),
        };
        Ok(rustix::fs::openat(&parent, name, flags, Mode::empty()))
    }

    /// Where `path` is once all links are followed, the last one too; `None` when nothing is there.
    ///
    /// # Errors
    /// A link on the way belongs to somebody else.
    pub fn real(&self, path: &str) -> Result<Option<String>, Fault> {
        let fail = |e: Errno| Fault::Io { doing: format!("look at {path}"), source: e.into() };
        let mut walked = Walked::default();
        match self.step_through(&mut walked, components(path), path) {
            Ok(()) => Ok(Some(walked.name())),
            Err(Step::Errno(Errno::NOENT)) => Ok(None),
            // The last component is no directory: a file.
            Err(Step::Leaf(name, 0)) => Ok(Some(format!("{}/{name}", walked.name().trim_end_matches('/')))),
            Err(Step::Leaf(..)) => Ok(None),
            Err(Step::Errno(e)) => Err(fail(e)),
            Err(Step::Foreign(fault)) => Err(fault),
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
        let mut walked = Walked::default();
        match self.step_through(&mut walked, components(above), path) {
            Ok(()) => {}
            Err(Step::Errno(e)) => return Err(fail(e)),
            Err(Step::Leaf(..)) => return Err(fail(Errno::NOTDIR)),
            Err(Step::Foreign(fault)) => return Err(fault),
        }
        match walked.0.pop() {
            Some((_, fd)) => Ok(fd),
            None => self.fd.try_clone().map_err(Fault::io(format!("open the directory of {path}"))),
        }
    }

    /// Goes on from `walked` through all components, links that can be trusted included.
    fn step_through(&self, walked: &mut Walked, mut todo: Vec<String>, path: &str) -> Result<(), Step> {
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == ".." {
                walked.0.pop();
                continue;
            }
            let here = walked.0.last().map_or(&self.fd, |(_, fd)| fd);
            match rustix::fs::openat(here, name.as_str(), DIR, Mode::empty()) {
                Ok(next) => walked.0.push((name, next)),
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    links += 1;
                    let target = match link(here, &name) {
                        Ok(Some(target)) => target,
                        Ok(None) => return Err(Step::Foreign(foreign(path, &name))),
                        Err(Errno::NOTDIR) => return Err(Step::Leaf(name, todo.len())),
                        Err(e) => return Err(Step::Errno(e)),
                    };
                    if links > LINKS {
                        return Err(Step::Errno(Errno::LOOP));
                    }
                    if target.starts_with('/') {
                        walked.0.clear();
                    }
                    todo.extend(components(&target));
                }
                Err(e) => return Err(Step::Errno(e)),
            }
        }
        Ok(())
    }
}

/// The directories that a path led through, each with its name in the one before.
#[derive(Default)]
struct Walked(Vec<(String, OwnedFd)>);

impl Walked {
    fn name(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        format!("/{}", names.join("/"))
    }
}

/// Why a walk ended before its end.
enum Step {
    Errno(Errno),
    /// Something that is no directory, and how many components were left behind it.
    Leaf(String, usize),
    Foreign(Fault),
}

fn foreign(path: &str, name: &str) -> Fault {
    Fault::Refused(format!(
        "{path} is neither read nor written: the link {name} on its way belongs to another account; replace it by a directory"
    ))
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

/// The kernel's reason of a fault that has one.
fn errno(fault: Fault) -> Result<Errno, Fault> {
    match fault {
        Fault::Io { source, .. } => Ok(Errno::from_io_error(&source).unwrap_or(Errno::IO)),
        other => Err(other),
    }
}
