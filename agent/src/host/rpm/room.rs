//! What is fetched and unpacked needs on the disks.

use super::{Rpm, database};
use crate::host::Fault;
use crate::host::packages::PackageChange;
use crate::host::room::{self, Need};
use crate::host::store::bare;

/// # Errors
/// A disk has less room than is needed; the message says how much of what.
pub fn room(rpm: &Rpm, changes: &[PackageChange]) -> Result<(), Fault> {
    let coming: Vec<&PackageChange> = changes.iter().filter(|c| c.to.is_some()).collect();
    if coming.is_empty() {
        return Ok(());
    }
    let missing = rpm.store.missing(changes)?;
    let names: Vec<&str> = missing.iter().map(|c| bare(&c.name)).collect();
    let listed = rpm.listed(&names)?.packages;
    let installed = rpm.entries()?;
    let (mut download, mut grown, mut largest) = (0, 0_u64, 0);
    for change in coming {
        let mut unpacked = 0;
        if let Some(found) = listed.iter().find(|l| l.sha256 == change.sha256) {
            download += found.bytes;
            unpacked = found.unpacked;
        } else if let Some(path) = rpm.store.path(change).filter(|path| path.is_file()) {
            unpacked = database::size_of_file(&rpm.place, &path)?;
        }
        let before = installed.iter().find(|e| e.called == change.name && change.from.is_some());
        grown += unpacked.saturating_sub(before.map_or(0, |entry| entry.row.bytes));
        largest = largest.max(unpacked);
    }
    let root = rpm.place.root();
    // Kernels make an initial ramdisk, which no package lists.
    let kernels = changes.iter().filter(|c| c.to.is_some() && is_kernel(bare(&c.name))).count() as u64;
    let ramdisks = if kernels == 0 { 0 } else { kernels * room::ramdisk(&root.join("boot"))? };
    room::check(&[
        Need { dir: rpm.store.dir().to_owned(), bytes: download, why: "download" },
        Need { dir: root.join("usr"), bytes: grown + largest, why: "unpack" },
        Need { dir: root.join("boot"), bytes: ramdisks, why: "boot files" },
    ])
}

/// Packages with a kernel in them: `kernel-core`, `kernel-rt-core` of Fedora and relatives, `kernel-default` of SUSE.
fn is_kernel(name: &str) -> bool {
    name.strip_prefix("kernel-").is_some_and(|kind| {
        kind == "core" || kind.ends_with("-core") || kind.starts_with("default") || kind == "azure"
    })
}
