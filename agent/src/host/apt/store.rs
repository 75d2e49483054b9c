//! Package files in the agent's own directory: fetched ahead of the window, found again by what they contain.
//!
//! A file's name says name, version, architecture and sha256. A file is only used after its bytes were hashed
//! again: a disk may have damaged it since.

use super::{Apt, NAMES, TRANSACTION, lists};
use crate::host::Fault;
use crate::host::packages::PackageChange;
use crate::host::process::Exec;
use shared::digest::{Digest, Hasher};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Longer than a file waits for any window of its change (90 days at most, and then it is fetched again).
const KEPT: Duration = Duration::from_secs(35 * 86_400);

/// The name of a package without `:arch`.
pub fn bare(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

/// Where the file of a change lies; none for a change without a file.
pub fn path(apt: &Apt, change: &PackageChange) -> Option<PathBuf> {
    let (to, sha256) = (change.to.as_ref()?, change.sha256?);
    let version = to.replace(':', "%3a");
    let file = format!("{}_{version}_{}_{}.deb", bare(&change.name), change.arch, sha256.hex());
    Some(apt.config.store().join(file))
}

/// Changes whose files are not here, or not with the right bytes.
pub fn missing<'a>(apt: &Apt, changes: &'a [PackageChange]) -> Result<Vec<&'a PackageChange>, Fault> {
    let mut missing = Vec::new();
    for change in changes {
        let (Some(path), Some(expected)) = (path(apt, change), change.sha256) else { continue };
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

/// Downloads what is missing. Sources drop old versions: then the lists are fetched anew once, since another
/// source may have it.
pub fn fetch(apt: &Apt, changes: &[PackageChange]) -> Result<(), Fault> {
    let wanted = missing(apt, changes)?;
    if wanted.is_empty() {
        return Ok(());
    }
    if let Err(first) = download(apt, &wanted) {
        let again = missing(apt, changes)?;
        if again.is_empty() {
            return Ok(());
        }
        // The first reason says what is wrong; that the lists cannot be fetched either says less.
        if lists::refresh(apt).is_err() {
            return Err(first);
        }
        download(apt, &again)?;
    }
    match missing(apt, changes)?.first() {
        None => Ok(()),
        Some(change) => Err(Fault::Refused(format!(
            "the file of {} {} was not among the downloaded ones",
            change.name,
            change.to.as_deref().unwrap_or_default()
        ))),
    }
}

fn download(apt: &Apt, wanted: &[&PackageChange]) -> Result<(), Fault> {
    let incoming = apt.config.incoming();
    let clear = || -> io::Result<()> {
        if incoming.exists() {
            fs::remove_dir_all(&incoming)?;
        }
        fs::create_dir_all(&incoming)
    };
    clear().map_err(Fault::io(format!("empty {}", incoming.display())))?;
    for wanted in wanted.chunks(NAMES) {
        let names = wanted.iter().filter_map(|c| Some(format!("{}={}", c.name, c.to.as_ref()?)));
        let options = ["download", "-q", "-o", "Acquire::Retries=2"].map(str::to_owned);
        let mut exec = Exec::new("apt-get", options.into_iter().chain(names)).timeout(TRANSACTION);
        exec.cwd = Some(incoming.clone());
        let ran = apt.exec(exec)?;
        // What did come is kept, also when another file failed.
        take_in(apt, wanted, &incoming)?;
        ran.success("apt-get download")?;
    }
    Ok(())
}

/// Moves downloaded files to their places; each is durable there.
fn take_in(apt: &Apt, wanted: &[&PackageChange], incoming: &Path) -> Result<(), Fault> {
    let expected: BTreeMap<Digest, PathBuf> =
        wanted.iter().filter_map(|c| Some((c.sha256?, path(apt, c)?))).collect();
    let fail = || Fault::io(format!("keep the files in {}", incoming.display()));
    for entry in fs::read_dir(incoming).map_err(fail())? {
        let file = entry.map_err(fail())?.path();
        if file.extension().is_none_or(|extension| extension != "deb") {
            continue;
        }
        let found = hash(&file).map_err(fail())?;
        let Some(place) = expected.get(&found) else {
            return Err(other_file(&file, wanted, found));
        };
        File::open(&file).and_then(|file| file.sync_all()).map_err(fail())?;
        fs::rename(&file, place).map_err(fail())?;
    }
    File::open(apt.config.store()).and_then(|dir| dir.sync_all()).map_err(fail())
}

/// A source gave another file than the approved one, and its signed list says so too.
fn other_file(file: &Path, wanted: &[&PackageChange], found: Digest) -> Fault {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let meant = wanted.iter().find(|change| {
        let to = change.to.as_deref().unwrap_or_default();
        name.starts_with(&format!("{}_{}_", bare(&change.name), to.replace(':', "%3a")))
    });
    match meant.and_then(|change| change.sha256) {
        Some(expected) => Fault::Digest { what: format!("the package file {name}"), expected, found },
        None => Fault::Refused(format!("apt downloaded {name}, which nobody asked for")),
    }
}

/// The kept files of a package at a version, as changes without a start.
pub fn find(apt: &Apt, name: &str, version: &str) -> Result<Option<PackageChange>, Fault> {
    let dir = apt.config.store();
    let fail = || Fault::io(format!("read {}", dir.display()));
    for entry in fs::read_dir(&dir).map_err(fail())? {
        let file = entry.map_err(fail())?.file_name().to_string_lossy().into_owned();
        let mut parts = file.trim_end_matches(".deb").split('_');
        let (Some(bare_name), Some(found), Some(arch), Some(sha256)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let fits = name.split_once(':').is_none_or(|(_, wanted)| wanted == arch);
        if bare_name == bare(name) && found.replace("%3a", ":") == version && fits {
            let Ok(sha256) = sha256.parse() else { continue };
            let change = PackageChange {
                name: name.to_owned(),
                arch: arch.to_owned(),
                to: Some(version.to_owned()),
                sha256: Some(sha256),
                ..PackageChange::default()
            };
            if missing(apt, std::slice::from_ref(&change))?.is_empty() {
                return Ok(Some(change));
            }
        }
    }
    Ok(None)
}

/// Removes the files of these changes, and those that are older than any window.
pub fn forget(apt: &Apt, changes: &[PackageChange]) -> Result<(), Fault> {
    let dir = apt.config.store();
    let ours: Vec<PathBuf> = changes.iter().filter_map(|change| path(apt, change)).collect();
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Fault::io(format!("read {}", dir.display()))(e)),
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
        remove().map_err(Fault::io(format!("tidy {}", dir.display())))?;
    }
    Ok(())
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
