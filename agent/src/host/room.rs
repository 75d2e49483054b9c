//! Whether the disks have room for what is to come, told in figures before anything begins.

use super::Fault;
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
pub struct Need {
    pub dir: PathBuf,
    pub bytes: u64,
    pub why: &'static str,
}

/// What the initial ramdisk of a new kernel will need, by the largest one in `boot`.
///
/// # Errors
/// The directory cannot be read.
pub fn ramdisk(boot: &Path) -> Result<u64, Fault> {
    let fail = || Fault::io(format!("read {}", boot.display()));
    let entries = match fs::read_dir(boot) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(fail()(e)),
    };
    let mut largest = 0;
    for entry in entries {
        let entry = entry.map_err(fail())?;
        // `initrd.img-…` of Debian, `initramfs-….img` of dracut, `initrd-…` of SUSE.
        let name = entry.file_name();
        if ["initrd", "initramfs-"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
            largest = largest.max(entry.metadata().map_err(fail())?.len());
        }
    }
    Ok(if largest == 0 { RAMDISK } else { largest })
}

/// Needs of one file system are added up.
///
/// # Errors
/// A disk has less room than is needed; the message says how much of what.
pub fn check(needs: &[Need]) -> Result<(), Fault> {
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
            return Err(Fault::Room(format!(
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
