//! Where installed packages are from, by the lists that are there: those of the host or the agent's own, whichever
//! are newer. Never fetches any.

use super::{Apt, NAMES, parse};
use crate::host::process::Exec;
use crate::host::{Fault, Offer, OnOffer, PackageManager as _, PackageState};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What was asked last: nothing else changes the answer.
#[derive(Debug)]
pub struct Known {
    of: (PathBuf, SystemTime, SystemTime),
    origins: BTreeMap<String, String>,
}

/// Asked once for each state of the packages and lists: apt reads tens of megabytes for it.
pub fn origins(apt: &Apt) -> Result<Option<BTreeMap<String, String>>, Fault> {
    let status = apt.config.dpkg_dir().join("status");
    let fail = |path: &Path| Fault::io(format!("look at {}", path.display()));
    let Some((lists, at)) = newest(apt).map_err(fail(&apt.config.lists()))? else { return Ok(None) };
    let of = (lists, at, fs::metadata(&status).and_then(|meta| meta.modified()).map_err(fail(&status))?);
    if let Some(known) = &*apt.known.borrow()
        && known.of == of
    {
        return Ok(Some(known.origins.clone()));
    }
    apt.config.write()?;
    let origins = ask(apt, &of.0)?;
    *apt.known.borrow_mut() = Some(Known { of, origins: origins.clone() });
    Ok(Some(origins))
}

/// The lists that changed last. The files themselves have the times of their servers.
fn newest(apt: &Apt) -> io::Result<Option<(PathBuf, SystemTime)>> {
    let mut newest: Option<(PathBuf, SystemTime)> = None;
    for dir in [apt.config.lists(), apt.config.root().join("var/lib/apt/lists")] {
        let mut entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        let release = |entry: io::Result<fs::DirEntry>| {
            entry.map(|e| e.file_name().to_string_lossy().contains("Release"))
        };
        if !entries.any(|entry| release(entry).unwrap_or(false)) {
            continue;
        }
        let at = fs::metadata(&dir)?.modified()?;
        if newest.as_ref().is_none_or(|(_, newest)| at > *newest) {
            newest = Some((dir, at));
        }
    }
    Ok(newest)
}

fn ask(apt: &Apt, lists: &Path) -> Result<BTreeMap<String, String>, Fault> {
    let mut options = Vec::new();
    if lists != apt.config.lists() {
        // The caches are those of the agent's own lists.
        let host = format!("Dir::State::lists={}/", lists.display());
        for option in [host.as_str(), "Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache="] {
            options.extend(["-o".to_owned(), option.to_owned()]);
        }
    }
    let policy = |names: &[String]| {
        let arguments = options.iter().cloned().chain(["policy".to_owned()]).chain(names.iter().cloned());
        apt.text(Exec::new("apt-cache", arguments))
    };
    let sources = parse::sources(&policy(&[])?);
    let there = apt.packages()?.into_iter().filter(|package| package.state != PackageState::ConfigFiles);
    let names: Vec<String> = there.map(|package| package.name).collect();
    let mut origins = BTreeMap::new();
    for names in names.chunks(NAMES) {
        let offers = parse::offers(&policy(names)?, &sources);
        origins.extend(offers.into_iter().map(|offer| (offer.name.clone(), origin(&offer))));
    }
    Ok(origins)
}

/// A version that its source has replaced since is still from there.
fn origin(offer: &Offer) -> String {
    let of = |version: &OnOffer| version.origins.first().cloned();
    let installed =
        offer.versions.iter().find(|on_offer| Some(&on_offer.version) == offer.installed.as_ref());
    installed.and_then(of).or_else(|| offer.versions.iter().find_map(of)).unwrap_or_default()
}
