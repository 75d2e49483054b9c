//! Hears through inotify(7) that something which is watched was touched, never what was done to it: the check looks
//! for itself.
//!
//! Directories are watched, not files: whatever is put over a file, renamed or removed shows in its directory. Where
//! the kernel gives no watch, the next check by the clock finds the same.

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Watches of the kernel that the agent takes at most.
const DIRECTORIES: usize = 1_024;
/// A directory that does not exist is watched for from the next one above that does.
const ABOVE: usize = 40;

/// What is watched in one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    All,
    Some(BTreeSet<OsString>),
}

/// A thing to be watched, by its path on the host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watched {
    /// What has this path, whatever it is.
    Path(String),
    /// Everything that lies in this directory.
    Below(String),
}

/// The watches of one process.
pub struct Watch {
    root: PathBuf,
    inotify: OwnedFd,
    wanted: BTreeSet<Watched>,
    watches: BTreeMap<i32, Names>,
}

impl Watch {
    /// Of the machine below `root`.
    ///
    /// # Errors
    /// The kernel has no inotify, or none left.
    pub fn new(root: &Path) -> std::io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { root: root.to_owned(), inotify, wanted: BTreeSet::new(), watches: BTreeMap::new() })
    }

    /// Watches these things and nothing else. What is watched already stays so without a gap. Answers how many
    /// directories could not be watched.
    pub fn set(&mut self, wanted: &BTreeSet<Watched>) -> usize {
        let mut directories: BTreeMap<PathBuf, Names> = BTreeMap::new();
        for watched in wanted {
            let (directory, name) = self.place(watched);
            match (directories.entry(directory).or_insert_with(|| Names::Some(BTreeSet::new())), name) {
                (all, None) => *all = Names::All,
                (Names::Some(names), Some(name)) => drop(names.insert(name)),
                (Names::All, Some(_)) => {}
            }
        }
        let mut missing = directories.len().saturating_sub(DIRECTORIES);
        let mut watches = BTreeMap::new();
        for (directory, names) in directories.into_iter().take(DIRECTORIES) {
            // Adding a directory that is watched already gives its watch again.
            match inotify::add_watch(&self.inotify, &directory, events()) {
                Ok(watch) => drop(watches.insert(watch, names)),
                Err(error) => {
                    tracing::debug!(directory = %directory.display(), %error, "not watched");
                    missing += 1;
                }
            }
        }
        for old in self.watches.keys().filter(|old| !watches.contains_key(*old)) {
            if let Err(error) = inotify::remove_watch(&self.inotify, *old) {
                tracing::trace!(%error, "a watch went with its directory");
            }
        }
        self.watches = watches;
        self.wanted = wanted.clone();
        missing
    }

    /// The directory to be watched, and the name in it that counts; `None` is every name.
    fn place(&self, watched: &Watched) -> (PathBuf, Option<OsString>) {
        let below = |path: &str| self.root.join(path.trim_start_matches('/'));
        let mut path = match watched {
            Watched::Path(path) => below(path),
            Watched::Below(path) => {
                let path = below(path);
                if path.is_dir() {
                    return (path, None);
                }
                path
            }
        };
        for _ in 0..ABOVE {
            let name = path.file_name().map(std::ffi::OsStr::to_owned);
            let Some(parent) = path.parent() else { break };
            if parent.is_dir() {
                return (parent.to_owned(), name);
            }
            path = parent.to_owned();
        }
        (self.root.clone(), None)
    }

    /// Whether anything that is watched was touched since the last call. Does not wait.
    pub fn touched(&mut self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4_096];
        let mut reader = Reader::new(self.inotify.as_fd(), &mut buffer);
        let (mut touched, mut moved) = (false, false);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(_) => break,
            };
            let lost = ReadFlags::QUEUE_OVERFLOW
                | ReadFlags::IGNORED
                | ReadFlags::DELETE_SELF
                | ReadFlags::MOVE_SELF;
            if event.events().intersects(lost) {
                let known = self.watches.contains_key(&event.wd());
                moved |= known || event.events().contains(ReadFlags::QUEUE_OVERFLOW);
                continue;
            }
            let name = event.file_name().map(|name| OsString::from_vec(name.to_bytes().to_vec()));
            touched |= match (self.watches.get(&event.wd()), name) {
                (Some(Names::All), _) => true,
                (Some(Names::Some(names)), Some(name)) => names.contains(&name),
                // The directory itself: its attributes.
                (Some(Names::Some(_)), None) | (None, _) => false,
            };
        }
        if moved {
            // What was watched is another directory now, or none.
            let wanted = std::mem::take(&mut self.wanted);
            self.set(&wanted);
        }
        touched || moved
    }

    /// Becomes readable when something has happened.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl std::os::fd::AsRawFd for Watch {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.inotify.as_raw_fd()
    }
}

fn events() -> WatchFlags {
    WatchFlags::CREATE
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::ATTRIB
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests play the part of other programs")]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn watch(root: &Path, all: &[Watched]) -> Watch {
        let mut watch = Watch::new(root).unwrap();
        assert_eq!(watch.set(&all.iter().cloned().collect()), 0);
        watch
    }

    #[test]
    fn whatever_is_done_to_a_watched_file_is_heard_and_its_neighbours_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join("etc").join(name);
        fs::create_dir(dir.path().join("etc")).unwrap();
        fs::write(at("motd"), "a").unwrap();
        let mut watch = watch(dir.path(), &[Watched::Path("/etc/motd".into())]);
        assert!(!watch.touched());
        type Act<'a> = &'a dyn Fn();
        let acts: [(&str, Act<'_>); 5] = [
            ("written", &|| fs::write(at("motd"), "b").unwrap()),
            ("its mode", &|| fs::set_permissions(at("motd"), fs::Permissions::from_mode(0o600)).unwrap()),
            ("renamed over", &|| {
                fs::write(at("other"), "c").unwrap();
                fs::rename(at("other"), at("motd")).unwrap();
            }),
            ("removed", &|| fs::remove_file(at("motd")).unwrap()),
            ("made", &|| fs::write(at("motd"), "d").unwrap()),
        ];
        for (what, act) in acts {
            act();
            assert!(watch.touched(), "{what}");
            assert!(!watch.touched(), "{what}: once");
        }
        fs::write(at("issue"), "x").unwrap();
        fs::read(at("motd")).unwrap();
        assert!(!watch.touched(), "others and reading");
    }

    #[test]
    fn what_appears_in_a_directory_and_directories_that_come_and_go_are_heard() {
        let dir = tempfile::tempdir().unwrap();
        let drop_in = dir.path().join("etc/drop.d");
        fs::create_dir_all(&drop_in).unwrap();
        let deep = Watched::Path("/srv/app/conf/a".into());
        let mut watch = watch(dir.path(), &[Watched::Below("/etc/drop.d".into()), deep.clone()]);
        fs::write(drop_in.join("stray"), "x").unwrap();
        assert!(watch.touched());
        fs::create_dir_all(dir.path().join("srv/app/conf")).unwrap();
        assert!(watch.touched(), "the first directory on the way");
        watch.set(&[Watched::Below("/etc/drop.d".into()), deep].into());
        fs::write(dir.path().join("srv/app/conf/a"), "x").unwrap();
        assert!(watch.touched());
        fs::remove_dir_all(&drop_in).unwrap();
        assert!(watch.touched());
        fs::create_dir(&drop_in).unwrap();
        assert!(watch.touched(), "one that was made again");
        fs::write(drop_in.join("stray"), "x").unwrap();
        watch.touched();
        assert!(!watch.touched());
    }
}
