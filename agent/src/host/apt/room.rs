//! Whether the disks have room for what is fetched and unpacked, told in figures before anything begins.

use super::parse::Stanzas;
use super::{Apt, LOOK, parse, solve, store};
use crate::host::Fault;
use crate::host::packages::PackageChange;
use crate::host::process::Exec;
use rustix::fs::statvfs;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Databases, logs and what maintainer scripts make.
const SPARE: u64 = 32 << 20;
/// An initial ramdisk where the host has none to measure by.
const RAMDISK: u64 = 96 << 20;

/// Bytes that are needed in a directory, and what for.
struct Need {
    dir: PathBuf,
    bytes: u64,
    why: &'static str,
}

/// # Errors
/// A disk has less room than is needed; the message says how much of what.
pub fn room(apt: &Apt, changes: &[PackageChange]) -> Result<(), Fault> {
    if changes.iter().all(|c| c.to.is_none()) {
        return Ok(());
    }
    let stanzas = solve::stanzas_to(apt, changes)?;
    let mut download = 0;
    for change in store::missing(apt, changes)? {
        download += listed(&stanzas, change).map_or(0, |stanza| stanza.bytes);
    }
    let needs = [
        Need { dir: apt.config.store(), bytes: download, why: "download" },
        Need { dir: apt.config.root().join("usr"), bytes: unpacked(apt, changes, &stanzas)?, why: "unpack" },
        Need { dir: apt.config.root().join("boot"), bytes: boot(apt, changes)?, why: "boot files" },
    ];
    check(&needs)
}

fn listed<'a>(stanzas: &'a Stanzas, change: &PackageChange) -> Option<&'a parse::Stanza> {
    stanzas.get(&change.name, change.to.as_deref()?, &change.arch).ok().flatten()
}

/// What the packages grow by, and the largest one once more: dpkg puts the new files beside the old ones.
fn unpacked(apt: &Apt, changes: &[PackageChange], stanzas: &Stanzas) -> Result<u64, Fault> {
    let old = apt.query(parse::SIZES, &[])?;
    let old = parse::sizes(&old);
    let (mut grown, mut largest) = (0_u64, 0);
    for change in changes.iter().filter(|c| c.to.is_some()) {
        let new = match listed(stanzas, change) {
            Some(stanza) => stanza.unpacked,
            None => of_file(apt, change)?,
        };
        let before = old.get(&(store::bare(&change.name).to_owned(), change.arch.clone()));
        grown += new.saturating_sub(before.copied().unwrap_or_default());
        largest = largest.max(new);
    }
    Ok(grown + largest)
}

/// A version that no source has any more is described by its own file.
fn of_file(apt: &Apt, change: &PackageChange) -> Result<u64, Fault> {
    let Some(path) = store::path(apt, change).filter(|path| path.is_file()) else { return Ok(0) };
    let exec = Exec::new("dpkg-deb", ["-f".to_owned(), path.display().to_string(), "Installed-Size".into()]);
    let ran = apt.exec(exec.timeout(LOOK))?.success("dpkg-deb -f")?;
    Ok(String::from_utf8_lossy(&ran.stdout).trim().parse::<u64>().unwrap_or_default() << 10)
}

/// Kernels make an initial ramdisk, which no package lists.
fn boot(apt: &Apt, changes: &[PackageChange]) -> Result<u64, Fault> {
    let is_new = |c: &&PackageChange| c.to.is_some() && c.name.starts_with("linux-image-");
    // Packages that only depend on the kernel of the day have no version in their name.
    let real = |c: &&PackageChange| c.name["linux-image-".len()..].starts_with(|c: char| c.is_ascii_digit());
    let count = changes.iter().filter(is_new).filter(real).count() as u64;
    if count == 0 {
        return Ok(0);
    }
    let dir = apt.config.root().join("boot");
    let fail = || Fault::io(format!("read {}", dir.display()));
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(fail()(e)),
    };
    let mut largest = 0;
    for entry in entries {
        let entry = entry.map_err(fail())?;
        if entry.file_name().to_string_lossy().starts_with("initrd.img-") {
            largest = largest.max(entry.metadata().map_err(fail())?.len());
        }
    }
    Ok(count * if largest == 0 { RAMDISK } else { largest })
}

/// Needs of one file system are added up.
fn check(needs: &[Need]) -> Result<(), Fault> {
    let mut systems: BTreeMap<u64, (u64, PathBuf, Vec<String>)> = BTreeMap::new();
    for need in needs.iter().filter(|need| need.bytes > 0) {
        let dir = existing(&need.dir);
        let fail = || Fault::io(format!("look at {}", dir.display()));
        let device = fs::metadata(&dir).map_err(fail())?.dev();
        let system = systems.entry(device).or_insert_with(|| (SPARE, dir.clone(), Vec::new()));
        system.0 += need.bytes;
        system.2.push(format!("{} {}", need.why, megabytes(need.bytes)));
    }
    for (needed, dir, parts) in systems.values() {
        let stat = statvfs(dir).map_err(|e| Fault::io(format!("look at {}", dir.display()))(e.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free < *needed {
            return Err(Fault::Refused(format!(
                "the disk of {} has {} free, and {} are needed ({}, spare {}); make room and plan again",
                dir.display(),
                megabytes(free),
                megabytes(*needed),
                parts.join(", "),
                megabytes(SPARE)
            )));
        }
    }
    Ok(())
}

fn existing(dir: &Path) -> PathBuf {
    dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

fn megabytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
