//! Whether the disks have room for what is fetched and unpacked, told in figures before anything begins.

use super::parse::Stanzas;
use super::{Apt, LOOK, parse, solve};
use crate::host::Fault;
use crate::host::packages::PackageChange;
use crate::host::process::Exec;
use crate::host::room::{self, Need};
use crate::host::store::bare;

/// # Errors
/// A disk has less room than is needed; the message says how much of what.
pub fn room(apt: &Apt, changes: &[PackageChange]) -> Result<(), Fault> {
    if changes.iter().all(|c| c.to.is_none()) {
        return Ok(());
    }
    let stanzas = solve::stanzas_to(apt, changes)?;
    let mut download = 0;
    for change in apt.store.missing(changes)? {
        download += listed(&stanzas, change).map_or(0, |stanza| stanza.bytes);
    }
    let needs = [
        Need { dir: apt.store.dir().to_owned(), bytes: download, why: "download" },
        Need { dir: apt.config.root().join("usr"), bytes: unpacked(apt, changes, &stanzas)?, why: "unpack" },
        Need { dir: apt.config.root().join("boot"), bytes: boot(apt, changes)?, why: "boot files" },
    ];
    room::check(&needs)
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
        let before = old.get(&(bare(&change.name).to_owned(), change.arch.clone()));
        grown += new.saturating_sub(before.copied().unwrap_or_default());
        largest = largest.max(new);
    }
    Ok(grown + largest)
}

/// A version that no source has any more is described by its own file.
fn of_file(apt: &Apt, change: &PackageChange) -> Result<u64, Fault> {
    let Some(path) = apt.store.path(change).filter(|path| path.is_file()) else { return Ok(0) };
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
    Ok(count * room::ramdisk(&apt.config.root().join("boot"))?)
}
