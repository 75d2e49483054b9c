//! Files of the machine: looking, and changes that are whole and durable or did not happen.
//!
//! A file is written under a temporary name in its own directory, gets owner and mode before it gets its
//! name, and is on disk (file and directory) before the call returns.

use super::path::Root;
use super::{AccountLock, Acl, Attrs, Entry, Fault, Scan, Stamp, acl};
use rustix::fs::{AtFlags, FileType, FlockOperation, Gid, Mode, OFlags, RawMode, Stat, Uid};
use rustix::io::Errno;
use shared::digest::{Digest, Hasher};
use shared::limits;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Kernel file systems answer to reads and writes with actions; they are not files to be managed.
const KERNEL: [&str; 3] = ["/dev", "/proc", "/sys"];
const PIECE: usize = 64 << 10;
/// As long as lckpwdf(3) waits for others.
const ACCOUNTS_WAIT: Duration = Duration::from_secs(15);
/// Whoever may write a managed file must not keep the agent busy for ever: no file is wanted that is larger.
const SCANNED_BYTES: u64 = limits::ARTIFACT_BYTES;

pub fn look(root: &Root, path: &str) -> Result<Entry, Fault> {
    let fail = |e: Errno| Fault::Io { doing: format!("look at {path}"), source: e.into() };
    let fd = match root.open_at(path, OFlags::PATH)? {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Entry::Absent),
        Err(e) => return Err(fail(e)),
    };
    let stat = rustix::fs::fstat(&fd).map_err(fail)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
        let target = rustix::fs::readlinkat(&fd, "", Vec::new()).map_err(fail)?;
        return Ok(Entry::Link { target: target.to_string_lossy().into_owned() });
    }
    Ok(entry(&stat))
}

/// The stamp of what is at `path`; `None` when nothing is there.
pub fn stamp(root: &Root, path: &str) -> Result<Option<Stamp>, Fault> {
    let fail = |e: Errno| Fault::Io { doing: format!("look at {path}"), source: e.into() };
    let stat = match root.open_at(path, OFlags::PATH)? {
        Ok(fd) => rustix::fs::fstat(&fd).map_err(fail)?,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(e) => return Err(fail(e)),
    };
    Ok(Some(stamp_of(&stat)))
}

fn stamp_of(stat: &Stat) -> Stamp {
    Stamp {
        device: stat.st_dev,
        inode: stat.st_ino,
        length: u64::try_from(stat.st_size).unwrap_or(0),
        attrs: Attrs { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode },
        modified: (stat.st_mtime, stat.st_mtime_nsec),
        changed: (stat.st_ctime, stat.st_ctime_nsec),
    }
}

/// The digest of a file of any size that is managed, with the stamp that it had before and after it was read; `None` when it
/// cannot be read whole, or was changed meanwhile.
pub fn stamped_digest(root: &Root, path: &str) -> Option<(Stamp, Digest)> {
    let (file, ..) = open(root, path).ok()?.ok()?;
    let stamp = || rustix::fs::fstat(&file).ok().as_ref().map(stamp_of);
    let before = stamp()?;
    let (length, digest) = hash(&file, path).ok()?;
    (length == before.length && stamp()? == before).then_some((before, digest))
}

/// Bytes and digest of an open file.
fn hash(file: &File, path: &str) -> Result<(u64, Digest), Fault> {
    let mut hasher = Hasher::default();
    let length = copy(&mut file.take(SCANNED_BYTES + 1), &mut |piece| {
        hasher.update(piece);
        Ok(())
    });
    match length.map_err(Fault::io(format!("read {path}")))? {
        length if length > SCANNED_BYTES => Err(too_large(path)),
        length => Ok((length, hasher.finish())),
    }
}

fn too_large(path: &str) -> Fault {
    Fault::Refused(format!("{path} has more than {SCANNED_BYTES} bytes and is not managed"))
}

/// Hard links of what is at `path`; 0 when nothing is there.
pub fn names(root: &Root, path: &str) -> Result<u64, Fault> {
    let fail = |e: Errno| Fault::Io { doing: format!("look at {path}"), source: e.into() };
    match root.open_at(path, OFlags::PATH)? {
        Ok(fd) => Ok(rustix::fs::fstat(&fd).map_err(fail)?.st_nlink),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(0),
        Err(e) => Err(fail(e)),
    }
}

fn entry(stat: &Stat) -> Entry {
    let attrs = Attrs { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode & 0o7777 };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Entry::File { attrs, length: u64::try_from(stat.st_size).unwrap_or(0) },
        FileType::Directory => Entry::Directory { attrs },
        _ => Entry::Other,
    }
}

/// Opens a regular file; everything else is looked at only, because opening a device can do something.
fn open(root: &Root, path: &str) -> Result<Result<(File, Attrs, u64), Entry>, Fault> {
    let fail = |e: Errno| Fault::Io { doing: format!("read {path}"), source: e.into() };
    if KERNEL
        .iter()
        .any(|dir| path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    {
        return look(root, path).map(Err);
    }
    match root.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)? {
        Ok(fd) => {
            let found = entry(&rustix::fs::fstat(&fd).map_err(fail)?);
            match found {
                Entry::File { attrs, length } => Ok(Ok((File::from(fd), attrs, length))),
                other => Ok(Err(other)),
            }
        }
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(Err(Entry::Absent)),
        // A link, or a socket (ENXIO).
        Err(Errno::LOOP | Errno::NXIO) => look(root, path).map(Err),
        Err(e) => Err(fail(e)),
    }
}

/// `known`: the digest of a file of this stamp, where somebody has just found it out.
pub fn scan(
    root: &Root,
    path: &str,
    keep: u64,
    known: impl Fn(&Stamp) -> Option<Digest>,
) -> Result<Scan, Fault> {
    let (mut file, attrs, length) = match open(root, path)? {
        Ok(open) => open,
        Err(entry) => return Ok(Scan::bare(entry)),
    };
    let fail = || Fault::io(format!("read {path}"));
    let acls = acl::beyond_mode(&file).map_err(Fault::io(format!("read the ACL of {path}")))?;
    if length <= keep {
        let content = whole(&mut file, length, keep).map_err(fail())?;
        let entry = Entry::File { attrs, length: content.len() as u64 };
        return Ok(Scan { entry, digest: Some(Digest::of(&content)), content: Some(content), acls });
    }
    if length > SCANNED_BYTES {
        return Err(too_large(path));
    }
    let (length, digest) = match rustix::fs::fstat(&file).ok().and_then(|stat| known(&stamp_of(&stat))) {
        Some(digest) => (length, digest),
        None => hash(&file, path)?,
    };
    Ok(Scan { entry: Entry::File { attrs, length }, digest: Some(digest), content: None, acls })
}

/// What a regular file holds, up to `limit` bytes. A read that ends where fstat(2) said the file does, with room for
/// more, has seen its end: one call less for each file.
fn whole(file: &mut File, length: u64, limit: u64) -> io::Result<Vec<u8>> {
    let expected = usize::try_from(length).unwrap_or(0);
    let mut content = vec![0; expected + 1];
    let got = loop {
        match file.read(&mut content) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    content.truncate(got);
    if got != expected {
        Read::by_ref(file).take(limit).read_to_end(&mut content)?;
        content.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    Ok(content)
}

pub fn read(root: &Root, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Fault> {
    let (file, _, length) = match open(root, path)? {
        Ok(open) => open,
        Err(Entry::Absent) => return Ok(None),
        Err(_) => return Err(Fault::Refused(format!("{path} is not a regular file"))),
    };
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(limit)).unwrap_or(0) + 1);
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Fault::io(format!("read {path}")))?;
    if bytes.len() as u64 > limit {
        return Err(Fault::Refused(format!("{path} is larger than {limit} bytes")));
    }
    Ok(Some(bytes))
}

fn copy(from: &mut dyn Read, to: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut length = 0;
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(length),
            Ok(n) => {
                length += n as u64;
                to(&piece[..n])?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// A name in the same directory that nobody else uses and no `*.conf`-like pattern matches.
fn unfinished(name: &str) -> String {
    let short: String = name.chars().take(60).collect();
    format!(".{short}.assent-unfinished")
}

/// Where [`stage`] puts what is to become `path`.
pub fn staged_at(path: &str) -> String {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    format!("{dir}/{}", unfinished(name))
}

/// The lock of lckpwdf(3), which waits as long as that.
pub fn lock_accounts(root: &Root) -> Result<AccountLock, Fault> {
    let fail = || Fault::io("lock the account files");
    let (dir, name) = root.parent("/etc/.pwd.lock")?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file =
        rustix::fs::openat(&dir, name, flags, Mode::from_raw_mode(0o600)).map_err(|e| fail()(e.into()))?;
    let started = Instant::now();
    loop {
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(AccountLock { _file: Some(file) }),
            Err(Errno::AGAIN | Errno::ACCESS) if started.elapsed() < ACCOUNTS_WAIT => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(e) => return Err(fail()(e.into())),
        }
    }
}

/// A file that is written beside its place.
#[derive(Debug)]
pub struct Staged {
    dir: OwnedFd,
    file: File,
}

/// Writes the file under its temporary name.
pub fn stage(
    root: &Root,
    path: &str,
    content: &mut dyn Read,
    digest: Digest,
    attrs: Attrs,
) -> Result<Staged, Fault> {
    let (dir, name) = root.parent(path)?;
    let temporary = unfinished(name);
    let fail = || Fault::io(format!("write {path}"));
    clear(&dir, &temporary).map_err(fail())?;
    let kept = kept(&dir, name).map_err(fail())?;
    let written = write(&dir, &temporary, content, attrs, kept).map_err(fail());
    let checked = written.and_then(|(file, found)| {
        if found != digest {
            return Err(Fault::Digest { what: format!("the content for {path}"), expected: digest, found });
        }
        Ok(file)
    });
    match checked {
        Ok(file) => Ok(Staged { dir, file }),
        Err(fault) => {
            // The first error counts; what stays is overwritten by the next try.
            drop(clear(&dir, &temporary));
            Err(fault)
        }
    }
}

/// The ACL of the file that is replaced, and not one that the directory hands down; `None` for a new file.
fn kept(dir: &OwnedFd, name: &str) -> io::Result<Option<Acl<u32>>> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {}
        Ok(_) | Err(Errno::NOENT) => return Ok(None),
        Err(e) => return Err(e.into()),
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    Ok(acl::of(&file)?.map(|acls| acls.access))
}

fn write(
    dir: &OwnedFd,
    name: &str,
    content: &mut dyn Read,
    attrs: Attrs,
    kept: Option<Acl<u32>>,
) -> io::Result<(File, Digest)> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600))?);
    let mut hasher = Hasher::default();
    copy(content, &mut |piece| {
        hasher.update(piece);
        file.write_all(piece)
    })?;
    if let Some(kept) = kept {
        // Before the mode, and already as the mode leaves it: nobody may read more for a moment.
        acl::keep(&file, &kept.with_mode(attrs.mode))?;
    }
    own(&file, attrs)?;
    Ok((file, hasher.finish()))
}

impl Staged {
    pub fn sync(&self, path: &str) -> Result<(), Fault> {
        self.file.sync_all().map_err(Fault::io(format!("write {path}")))
    }

    /// Gives the file its name; the directory that then needs a sync.
    pub fn commit(self, path: &str) -> Result<OwnedFd, Fault> {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        let temporary = unfinished(name);
        match rustix::fs::renameat(&self.dir, &temporary, &self.dir, name) {
            Ok(()) => Ok(self.dir),
            Err(e) => {
                // The first error counts; what stays is overwritten by the next try.
                drop(clear(&self.dir, &temporary));
                Err(Fault::Io { doing: format!("write {path}"), source: e.into() })
            }
        }
    }
}

/// Owner first: changing it clears the set-id bits.
fn own(file: impl AsFd, attrs: Attrs) -> io::Result<()> {
    let found = rustix::fs::fstat(&file)?;
    if (found.st_uid, found.st_gid) != (attrs.uid, attrs.gid) {
        rustix::fs::fchown(&file, Some(Uid::from_raw(attrs.uid)), Some(Gid::from_raw(attrs.gid)))?;
    }
    rustix::fs::fchmod(&file, Mode::from_raw_mode(attrs.mode as RawMode))?;
    Ok(())
}

fn rename(dir: &OwnedFd, from: &str, to: &str) -> io::Result<()> {
    rustix::fs::renameat(dir, from, dir, to)?;
    sync_dir(dir)
}

/// The walk opens directories without the right to read; fsync needs a real descriptor.
pub fn sync_dir(dir: &OwnedFd) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::fsync(rustix::fs::openat(dir, ".", flags, Mode::empty())?)?)
}

fn clear(dir: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// A parent that is gone has nothing left to sweep.
pub fn sweep(root: &Root, path: &str) -> Result<(), Fault> {
    match root.parent(path) {
        Ok((dir, name)) => {
            clear(&dir, &unfinished(name)).map_err(Fault::io(format!("tidy up beside {path}")))
        }
        Err(Fault::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(fault) => Err(fault),
    }
}

pub fn put_link(root: &Root, path: &str, target: &str) -> Result<(), Fault> {
    let (dir, name) = root.parent(path)?;
    let temporary = unfinished(name);
    let put = || {
        clear(&dir, &temporary)?;
        rustix::fs::symlinkat(target, &dir, temporary.as_str())?;
        rename(&dir, &temporary, name)
    };
    put().map_err(Fault::io(format!("write {path}")))
}

/// A file with several names is left alone: who may write into a directory can give a foreign file a name there
/// (fs.protected_hardlinks may be off), and its owner and mode are those of all its names.
pub fn set_attrs(root: &Root, path: &str, attrs: Attrs) -> Result<(), Fault> {
    let (dir, name) = root.parent(path)?;
    let fail = || Fault::io(format!("set owner and mode of {path}"));
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&dir, name, flags, Mode::empty()).map_err(|e| fail()(e.into()))?;
    let stat = rustix::fs::fstat(&file).map_err(|e| fail()(e.into()))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink > 1 {
        return Err(Fault::Refused(several_names(path, stat.st_nlink)));
    }
    own(&file, attrs).and_then(|()| Ok(rustix::fs::fsync(&file)?)).map_err(fail())
}

/// What people read of a file whose owner and mode are not touched.
pub fn several_names(path: &str, names: u64) -> String {
    format!(
        "{path} is one of {names} names (hard links) of a file; owner and mode would change under all of them. Replace it by a copy"
    )
}

/// Nothing is left to remove where the directory is gone.
pub fn remove(root: &Root, path: &str, flags: AtFlags) -> Result<(), Fault> {
    let (dir, name) = match root.parent(path) {
        Err(Fault::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let remove = || match rustix::fs::unlinkat(&dir, name, flags) {
        Ok(()) => sync_dir(&dir),
        Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    };
    remove().map_err(Fault::io(format!("remove {path}")))
}

/// Owner and mode are set after the directory exists but before it is durable or used.
pub fn make_dir(root: &Root, path: &str, attrs: Attrs) -> Result<(), Fault> {
    let (dir, name) = root.parent(path)?;
    let make = || {
        match rustix::fs::mkdirat(&dir, name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(io::Error::from(e)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(&dir, name, flags, Mode::empty())?;
        own(&made, attrs)?;
        rustix::fs::fsync(&made)?;
        sync_dir(&dir)
    };
    make().map_err(Fault::io(format!("make the directory {path}")))
}

pub fn list(root: &Root, path: &str) -> Result<Vec<String>, Fault> {
    let fail = |e: Errno| Fault::Io { doing: format!("list {path}"), source: e.into() };
    let fd = match root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)? {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(e) => return Err(fail(e)),
    };
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::new(fd).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
