//! Asking the solver: what a request does, whether it can be taken back, and what an earlier run left undone.
//!
//! Never: changes. What the solver is told about the host may be a supposition (`status`), in the agent's own file.

use super::parse::{self, Stanzas};
use super::status::{Supposed, field};
use super::{Apt, LISTING_BYTES, LOOK, lock, transact};
use crate::host::Fault;
use crate::host::packages::{Installed, PackageChange, PackageManager, PackageState, Request};
use crate::host::process::{Exec, Ran};
use crate::host::store::bare;
use std::fs;
use std::path::{Path, PathBuf};

/// What the request does, with origins and digests of the package files.
pub fn simulate(apt: &Apt, request: &Request) -> Result<Vec<PackageChange>, Fault> {
    if request.is_empty() {
        return Ok(Vec::new());
    }
    let status = repaired(apt)?.map(|text| write(apt, &text)).transpose()?;
    let mut changes = ask(apt, request, status.as_deref())?;
    let installed = apt.packages()?;
    for change in changes.iter_mut().filter(|c| c.to.is_none()) {
        let found = installed.iter().find(|p| p.name == change.name);
        change.arch = found.map(|p| p.arch.clone()).unwrap_or_default();
    }
    let stanzas = stanzas_to(apt, &changes)?;
    for change in &mut changes {
        let Some(to) = &change.to else { continue };
        let stanza = stanzas.get(&change.name, to, &change.arch).map_err(Fault::Refused)?;
        change.sha256 = stanza.map(|stanza| stanza.sha256);
        if change.sha256.is_none() {
            return Err(Fault::Refused(format!(
                "no source names a sha256 for {} {to}, so it cannot be pinned",
                change.name
            )));
        }
    }
    Ok(changes)
}

fn ask(apt: &Apt, request: &Request, status: Option<&Path>) -> Result<Vec<PackageChange>, Fault> {
    let mut arguments: Vec<String> = ["-q", "-s"].map(str::to_owned).into();
    if let Some(status) = status {
        arguments.extend(["-o".into(), format!("Dir::State::status={}", status.display())]);
        arguments.extend(NO_CACHE.map(str::to_owned));
    }
    arguments.extend(["install", "--no-install-recommends"].map(str::to_owned));
    let flags = [
        (request.downgrade, "--allow-downgrades"),
        (request.held, "--allow-change-held-packages"),
        (request.reinstall, "--reinstall"),
    ];
    arguments.extend(flags.iter().filter(|(on, _)| *on).map(|(_, flag)| (*flag).to_owned()));
    arguments.push("--".into());
    arguments.extend(request.install.iter().map(|(name, version)| format!("{name}={version}")));
    arguments.extend(request.remove.iter().map(|name| format!("{name}-")));
    let exec = Exec::new("apt-get", arguments).timeout(LOOK).output_bytes(LISTING_BYTES);
    answer(apt.exec(exec)?)
}

/// What the solver answered; when it found no way, with the dependencies that stand in it.
pub fn answer(ran: Ran) -> Result<Vec<PackageChange>, Fault> {
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    if ran.code == Some(0) {
        return parse::simulation(&text).map_err(Fault::Refused);
    }
    let unmet = text.lines().skip_while(|line| !line.starts_with("The following packages have unmet"));
    let unmet: Vec<&str> = unmet.skip(1).map(str::trim).filter(|line| !line.is_empty()).take(5).collect();
    let fault = Fault::Program { program: "apt-get -s".into(), output: ran.tail(), how: ran.how };
    if unmet.is_empty() { Err(fault) } else { Err(Fault::Refused(format!("{}; {fault}", unmet.join("; ")))) }
}

/// The cache of a supposed status must not pass for that of the real one.
pub const NO_CACHE: [&str; 4] = ["-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="];

/// What the lists say of the ends of these changes.
pub fn stanzas_to(apt: &Apt, changes: &[PackageChange]) -> Result<Stanzas, Fault> {
    let wanted: Vec<(&str, &str)> =
        changes.iter().filter_map(|c| Some((c.name.as_str(), c.to.as_deref()?))).collect();
    stanzas(apt, &wanted)
}

/// What the lists say of these versions. Those that no source has any more are left out.
fn stanzas(apt: &Apt, wanted: &[(&str, &str)]) -> Result<Stanzas, Fault> {
    let mut text = String::new();
    for wanted in wanted.chunks(super::NAMES) {
        let names = wanted.iter().map(|(name, version)| format!("{name}={version}"));
        let exec = Exec::new("apt-cache", std::iter::once("show".to_owned()).chain(names));
        let ran = apt.exec(exec.timeout(LOOK).output_bytes(LISTING_BYTES))?;
        // An unknown version makes it end badly; what it printed of the others still holds.
        text.push_str(&String::from_utf8_lossy(&ran.stdout));
        text.push_str("\n\n");
    }
    Ok(parse::stanzas(&text))
}

/// Packages that an earlier run left half done, at the versions that they have.
///
/// While somebody else uses the package manager, half done is what they are at.
pub fn repairs(apt: &Apt) -> Result<Vec<PackageChange>, Fault> {
    if !apt.is_there() {
        return Ok(Vec::new());
    }
    let mut unfinished = apt.unfinished()?;
    if !unfinished.is_empty()
        && let Some(holder) = lock::holder(apt)?
    {
        return Err(Fault::Refused(format!("the package manager is in use by {holder}; look again later")));
    }
    // A package is unpacked before one that needs it, so names in order do.
    unfinished.sort_by(|a, b| a.name.cmp(&b.name));
    let broken: Vec<(String, String)> = unfinished
        .iter()
        .filter(|p| p.state == PackageState::Broken)
        .map(|p| (p.name.clone(), p.version.clone()))
        .collect();
    let files = if broken.is_empty() {
        Vec::new()
    } else {
        apt.need()?;
        locate(apt, &broken).map_err(|fault| {
            Fault::Refused(format!(
                "an earlier run left packages half installed, and what repairs them is not at hand: {}",
                fault.text()
            ))
        })?
    };
    Ok(unfinished.iter().map(|package| repair_of(package, &files)).collect())
}

fn repair_of(package: &Installed, files: &[PackageChange]) -> PackageChange {
    let file = files.iter().find(|file| file.name == package.name);
    PackageChange {
        name: package.name.clone(),
        arch: package.arch.clone(),
        from: Some(package.version.clone()),
        to: Some(package.version.clone()),
        origin: file.and_then(|file| file.origin.clone()),
        sha256: file.and_then(|file| file.sha256),
    }
}

/// Files of these versions: kept here, or on offer.
///
/// # Errors
/// One of them is neither here nor on offer; the message names it.
pub fn locate(apt: &Apt, wanted: &[(String, String)]) -> Result<Vec<PackageChange>, Fault> {
    let names: Vec<(&str, &str)> = wanted.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let stanzas = stanzas(apt, &names)?;
    let installed = apt.packages()?;
    let mut found = Vec::new();
    for (name, version) in wanted {
        let current = installed.iter().find(|p| p.name == *name && p.state != PackageState::ConfigFiles);
        let change = match stanzas.any(name, version).map_err(Fault::Refused)? {
            Some(stanza) => Some(PackageChange {
                name: name.clone(),
                arch: stanza.arch.clone(),
                to: Some(version.clone()),
                sha256: Some(stanza.sha256),
                ..PackageChange::default()
            }),
            None => apt.store.find(name, version)?,
        };
        let Some(change) = change else {
            return Err(Fault::Refused(format!(
                "{name} {version} is neither kept here nor offered by a source any more"
            )));
        };
        found.push(PackageChange { from: current.map(|p| p.version.clone()), ..change });
    }
    Ok(found)
}

/// What files that are here do once the repairs are done.
pub fn rehearse(apt: &Apt, changes: &[PackageChange]) -> Result<Vec<PackageChange>, Fault> {
    let status = repaired(apt)?.map(|text| write(apt, &text)).transpose()?;
    transact::rehearse(apt, changes, status.as_deref())
}

/// The text of the status file as it is after the repairs; none when there is nothing to repair.
fn repaired(apt: &Apt) -> Result<Option<String>, Fault> {
    let repairs = repairs(apt)?;
    if repairs.is_empty() {
        return Ok(None);
    }
    let text = status(apt)?;
    let listed = stanzas_to(apt, &repairs)?;
    let mut supposed = Supposed::default();
    for change in &repairs {
        let to = change.to.as_deref().unwrap_or_default();
        // What is unpacked is described best by the status file itself; half installed it may lack the rest.
        let own = text.split("\n\n").find(|stanza| {
            field(stanza, "Package") == Some(bare(&change.name))
                && field(stanza, "Architecture") == Some(&change.arch)
        });
        let stanza = match listed.get(&change.name, to, &change.arch) {
            Ok(Some(stanza)) if change.sha256.is_some() => Some(stanza.text.as_str()),
            _ => own,
        };
        supposed.installed(stanza.unwrap_or_default());
    }
    Ok(Some(supposed.apply(&text)))
}

fn status(apt: &Apt) -> Result<String, Fault> {
    let path = apt.config.dpkg_dir().join("status");
    let bytes = fs::read(&path).map_err(Fault::io(format!("read {}", path.display())))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(apt: &Apt, text: &str) -> Result<PathBuf, Fault> {
    let path = apt.config.supposed();
    fs::write(&path, text).map_err(Fault::io(format!("write {}", path.display())))?;
    Ok(path)
}

/// Why the changes could not be taken back, found by solving the way back on the state that they would leave.
pub fn irreversible(apt: &Apt, changes: &[PackageChange]) -> Result<Option<String>, Fault> {
    let olds: Vec<(String, String)> =
        changes.iter().filter_map(|c| Some((c.name.clone(), c.from.clone()?))).collect();
    let olds = match locate(apt, &olds) {
        Ok(olds) => olds,
        Err(Fault::Refused(why)) => return Ok(Some(why)),
        Err(other) => return Err(other),
    };
    let text = repaired(apt)?.map_or_else(|| status(apt), Ok)?;
    let listed = stanzas_to(apt, changes)?;
    let mut supposed = Supposed::default();
    for change in changes {
        let Some(to) = &change.to else {
            supposed.gone(bare(&change.name), &change.arch);
            continue;
        };
        if let Ok(Some(stanza)) = listed.get(&change.name, to, &change.arch) {
            supposed.installed(&stanza.text);
        }
    }
    let status = write(apt, &supposed.apply(&text))?;
    let solved = match back(apt, changes, &olds, &status) {
        Ok(solved) => solved,
        Err(fault) => return Ok(Some(format!("the solver finds no way back: {}", fault.text()))),
    };
    let ours = |name: &str| changes.iter().any(|c| c.name == name);
    Ok(solved.iter().find(|c| !ours(&c.name)).map(|other| {
        let how = if other.to.is_none() { "remove" } else { "change" };
        format!("the way back would also {how} {}", other.name)
    }))
}

/// The way back, with the files that are kept here or else by what the sources offer.
fn back(
    apt: &Apt,
    changes: &[PackageChange],
    olds: &[PackageChange],
    status: &Path,
) -> Result<Vec<PackageChange>, Fault> {
    let gone = changes.iter().filter(|c| c.from.is_none());
    if !olds.is_empty() && apt.store.missing(olds)?.is_empty() {
        let gone = gone.map(|c| PackageChange { to: None, sha256: None, ..c.clone() });
        let all: Vec<PackageChange> = olds.iter().cloned().chain(gone).collect();
        return transact::rehearse(apt, &all, Some(status));
    }
    let request = Request {
        install: changes.iter().filter_map(|c| Some((c.name.clone(), c.from.clone()?))).collect(),
        remove: gone.map(|c| c.name.clone()).collect(),
        downgrade: true,
        held: true,
        reinstall: false,
    };
    ask(apt, &request, Some(status))
}
