//! Package files in the agent's own directory: fetched ahead of the window, found again by what they contain.
//!
//! A file's name says name, version, architecture and sha256. A file is only used after its bytes were hashed
//! again: a disk may have damaged it since. Never: where files come from, which is the package manager's matter.

use super::Fault;
use super::packages::PackageChange;
use shared::digest::{Digest, Hasher};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Longer than a file waits for any window of its change (90 days at most, and then it is fetched again).
const KEPT: Duration = Duration::from_secs(35 * 86_400);

/// The name of a package without `:arch`.
pub fn bare(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

/// A directory of package files of one kind.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    /// What the names of its files end with, such as `deb`.
    extension: &'static str,
}

impl Store {
    pub fn new(dir: PathBuf, extension: &'static str) -> Self {
        Self { dir, extension }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the file of a change lies; none for a change without a file.
    pub fn path(&self, change: &PackageChange) -> Option<PathBuf> {
        let (to, sha256) = (change.to.as_ref()?, change.sha256?);
        let [name, version, arch] = [bare(&change.name), to, &change.arch].map(encoded);
        Some(self.dir.join(format!("{name}_{version}_{arch}_{}.{}", sha256.hex(), self.extension)))
    }

    /// Changes whose files are not here, or not with the right bytes.
    pub fn missing<'a>(&self, changes: &'a [PackageChange]) -> Result<Vec<&'a PackageChange>, Fault> {
        let mut missing = Vec::new();
        for change in changes {
            let (Some(path), Some(expected)) = (self.path(change), change.sha256) else { continue };
            match hash(&path) {
                Ok(found) if found == expected => {}
                Ok(_) => {
                    fs::remove_file(&path).map_err(Fault::io(format!("remove {}", path.display())))?;
                    missing.push(change);
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => missing.push(change),
                Err(e) => return Err(Fault::io(format!("read {}", path.display()))(e)),
            }
        }
        Ok(missing)
    }

    /// Downloads what is missing with `download`, which empties the directory that it is given first. Sources drop
    /// old versions: then the lists are fetched anew once with `refresh`, since another source may have it.
    pub fn fetch(
        &self,
        changes: &[PackageChange],
        download: impl Fn(&[&PackageChange]) -> Result<(), Fault>,
        refresh: impl FnOnce() -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let wanted = self.missing(changes)?;
        if wanted.is_empty() {
            return Ok(());
        }
        if let Err(first) = download(&wanted) {
            let again = self.missing(changes)?;
            if again.is_empty() {
                return Ok(());
            }
            // The first reason says what is wrong; that the lists cannot be fetched either says less.
            if refresh().is_err() {
                return Err(first);
            }
            download(&again)?;
        }
        match self.missing(changes)?.first() {
            None => Ok(()),
            Some(change) => Err(Fault::Refused(format!(
                "the file of {} {} was not among the downloaded ones",
                change.name,
                change.to.as_deref().unwrap_or_default()
            ))),
        }
    }

    /// Moves downloaded files to their places; each is durable there.
    pub fn take_in(&self, wanted: &[&PackageChange], incoming: &Path) -> Result<(), Fault> {
        let expected: BTreeMap<Digest, PathBuf> =
            wanted.iter().filter_map(|c| Some((c.sha256?, self.path(c)?))).collect();
        let fail = || Fault::io(format!("keep the files in {}", incoming.display()));
        for file in files_below(incoming).map_err(fail())? {
            if file.extension().is_none_or(|extension| extension != self.extension) {
                continue;
            }
            own(&file).map_err(fail())?;
            let found = hash(&file).map_err(fail())?;
            let Some(place) = expected.get(&found) else {
                return Err(other_file(&file, wanted, found));
            };
            File::open(&file).and_then(|file| file.sync_all()).map_err(fail())?;
            fs::rename(&file, place).map_err(fail())?;
        }
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(fail())
    }

    /// The kept file of a package at a version, as a change without a start.
    pub fn find(&self, name: &str, version: &str) -> Result<Option<PackageChange>, Fault> {
        let fail = || Fault::io(format!("read {}", self.dir.display()));
        for entry in fs::read_dir(&self.dir).map_err(fail())? {
            let file = entry.map_err(fail())?.file_name().to_string_lossy().into_owned();
            let Some(stem) = file.strip_suffix(self.extension).and_then(|stem| stem.strip_suffix('.')) else {
                continue;
            };
            let parts: Vec<&str> = stem.split('_').collect();
            let [bare_name, found, arch, sha256] = parts[..] else { continue };
            let fits = name.split_once(':').is_none_or(|(_, wanted)| wanted == arch);
            if bare_name == encoded(bare(name)) && found == encoded(version) && fits {
                let Ok(sha256) = sha256.parse() else { continue };
                let change = PackageChange {
                    name: name.to_owned(),
                    arch: arch.replace("%5f", "_"),
                    to: Some(version.to_owned()),
                    sha256: Some(sha256),
                    ..PackageChange::default()
                };
                if self.missing(std::slice::from_ref(&change))?.is_empty() {
                    return Ok(Some(change));
                }
            }
        }
        Ok(None)
    }

    /// Removes the files of these changes, and those that are older than any window.
    pub fn forget(&self, changes: &[PackageChange]) -> Result<(), Fault> {
        let ours: Vec<PathBuf> = changes.iter().filter_map(|change| self.path(change)).collect();
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Fault::io(format!("read {}", self.dir.display()))(e)),
        };
        let now = SystemTime::now();
        for entry in entries {
            let remove = || -> io::Result<()> {
                let entry = entry?;
                let age = now.duration_since(entry.metadata()?.modified()?).unwrap_or_default();
                if age > KEPT || ours.contains(&entry.path()) {
                    fs::remove_file(entry.path())?;
                }
                Ok(())
            };
            remove().map_err(Fault::io(format!("tidy {}", self.dir.display())))?;
        }
        Ok(())
    }
}

/// A download from a directory of this machine may be another name of the very file there, which others write.
fn own(file: &Path) -> io::Result<()> {
    if fs::symlink_metadata(file)?.nlink() == 1 {
        return Ok(());
    }
    let copy = file.with_extension("copy");
    fs::copy(file, &copy)?;
    fs::rename(copy, file)
}

/// Names of files have `_` between their parts, and `:` only troubles people.
fn encoded(part: &str) -> String {
    part.replace(':', "%3a").replace('_', "%5f")
}

/// An empty directory for downloads.
pub fn emptied(dir: &Path) -> Result<(), Fault> {
    let empty = || -> io::Result<()> {
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        fs::create_dir_all(dir)
    };
    empty().map_err(Fault::io(format!("empty {}", dir.display())))
}

/// Some package managers sort their downloads into directories.
fn files_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// A source gave another file than the approved one, and its signed list says so too.
fn other_file(file: &Path, wanted: &[&PackageChange], found: Digest) -> Fault {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let meant = wanted.iter().find(|change| {
        let to = change.to.as_deref().unwrap_or_default();
        let bare = bare(&change.name);
        let plain = to.split_once(':').map_or(to, |(_, plain)| plain);
        name.starts_with(&format!("{bare}_{}_", to.replace(':', "%3a")))
            || name.starts_with(&format!("{bare}-{plain}."))
    });
    match meant.and_then(|change| change.sha256) {
        Some(expected) => Fault::Digest { what: format!("the package file {name}"), expected, found },
        None => Fault::Refused(format!("{name} was downloaded, which nobody asked for")),
    }
}

fn hash(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::default();
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&piece[..n]),
        }
    }
}
