//! Packages of the machine in memory: exact versions, flat dependencies, no conflicts.

use super::World;
use crate::host::Fault;
use crate::host::packages::{Installed, Offer, PackageChange, PackageState, Request};
use shared::digest::Digest;
use shared::version::DebVersion;
use std::collections::BTreeMap;

/// A package on offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deb {
    pub name: String,
    pub version: String,
    /// Names that must be installed too.
    pub depends: Vec<String>,
    /// `Label:suite`.
    pub origin: String,
}

impl Deb {
    pub fn new(name: &str, version: &str, depends: &[&str], origin: &str) -> Self {
        let depends = depends.iter().map(|d| (*d).to_owned()).collect();
        Self { name: name.into(), version: version.into(), depends, origin: origin.into() }
    }
}

fn present(world: &World, name: &str) -> Option<String> {
    let found = world.packages.get(name)?;
    (found.state != PackageState::ConfigFiles).then(|| found.version.clone())
}

fn newest<'a>(debs: &'a [Deb], name: &str) -> Option<&'a Deb> {
    debs.iter().filter(|d| d.name == name).max_by_key(|d| d.version.parse::<DebVersion>().ok())
}

pub fn offers(world: &World, debs: &[Deb], names: &[&str]) -> Vec<Offer> {
    let offer = |name: &&str| {
        let mut versions: Vec<&Deb> = debs.iter().filter(|d| d.name == *name).collect();
        versions.sort_by_key(|d| std::cmp::Reverse(d.version.parse::<DebVersion>().ok()));
        Offer {
            name: (*name).to_owned(),
            installed: present(world, name),
            candidate: versions.first().map(|d| d.version.clone()),
            versions: versions.iter().map(|d| (d.version.clone(), vec![d.origin.clone()])).collect(),
        }
    };
    names.iter().map(offer).collect()
}

pub fn simulate(world: &World, debs: &[Deb], request: &Request) -> Result<Vec<PackageChange>, Fault> {
    let mut changes: BTreeMap<String, PackageChange> = BTreeMap::new();
    let mut todo: Vec<(String, Option<String>)> =
        request.install.iter().map(|(n, v)| (n.clone(), Some(v.clone()))).collect();
    while let Some((name, version)) = todo.pop() {
        if changes.contains_key(&name) || (version.is_none() && present(world, &name).is_some()) {
            continue;
        }
        let deb = match &version {
            Some(version) => debs.iter().find(|d| d.name == name && d.version == *version),
            None => newest(debs, &name),
        };
        let deb = deb.ok_or_else(|| Fault::Refused(format!("Version for '{name}' was not found")))?;
        todo.extend(deb.depends.iter().map(|d| (d.clone(), None)));
        let whole = world.packages.get(&name).is_some_and(|p| p.state == PackageState::Installed);
        if present(world, &name).as_ref() != Some(&deb.version) || (request.reinstall && !whole) {
            changes.insert(name.clone(), change(world, deb));
        }
    }
    for name in &request.remove {
        if let Some(from) = present(world, name) {
            let gone = PackageChange {
                name: name.clone(),
                arch: "all".into(),
                from: Some(from),
                to: None,
                origin: None,
                sha256: None,
            };
            changes.insert(name.clone(), gone);
        }
    }
    Ok(changes.into_values().collect())
}

fn change(world: &World, deb: &Deb) -> PackageChange {
    PackageChange {
        name: deb.name.clone(),
        arch: "all".into(),
        from: present(world, &deb.name),
        to: Some(deb.version.clone()),
        origin: Some(deb.origin.clone()),
        sha256: Some(Digest::of(format!("{}_{}", deb.name, deb.version).as_bytes())),
    }
}

/// All changes, or the first one left half done.
pub fn carry_out(world: &mut World, changes: &[PackageChange], purge: bool, whole: bool) {
    let count = if whole { changes.len() } else { 1 };
    for change in changes.iter().take(count) {
        let Some(to) = &change.to else {
            match world.packages.get_mut(&change.name) {
                Some(found) if !purge => found.state = PackageState::ConfigFiles,
                _ => drop(world.packages.remove(&change.name)),
            }
            continue;
        };
        let held = world.packages.get(&change.name).is_some_and(|p| p.held);
        let state = if whole { PackageState::Installed } else { PackageState::Unconfigured };
        let installed = Installed {
            name: change.name.clone(),
            arch: change.arch.clone(),
            version: to.clone(),
            source: change.name.clone(),
            source_version: to.clone(),
            held,
            state,
        };
        world.packages.insert(change.name.clone(), installed);
    }
}
