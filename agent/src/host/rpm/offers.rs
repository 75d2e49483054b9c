//! What repositories offer, whoever has read them: candidates by priority, fixes by advisory. Pure.

use super::database::{self, Entry, Row, slot};
use crate::host::packages::{Offer, OnOffer, PackageChange};
use serde::Deserialize;
use shared::digest::Digest;
use shared::version::Order;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// One package file of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Listed {
    pub name: String,
    pub arch: String,
    pub evr: String,
    pub repo: String,
    /// Lower ones go first.
    pub priority: i32,
    pub vendor: String,
    pub sha256: Option<Digest>,
    /// Bytes of the file, and on the disk when it is unpacked.
    pub bytes: u64,
    pub unpacked: u64,
}

/// A notice about packages that fix something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Advisory {
    pub id: String,
    pub security: bool,
    pub packages: Vec<Fixed>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Fixed {
    pub name: String,
    pub arch: String,
    pub evr: String,
}

/// What repositories say of some packages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Catalogue {
    pub packages: Vec<Listed>,
    pub advisories: Vec<Advisory>,
}

fn compare(a: &str, b: &str) -> Ordering {
    // What is no version is not newer than anything.
    Order::Rpm.compare(a, b).unwrap_or(Ordering::Equal)
}

/// What repositories say of one package of one architecture.
#[derive(Clone, Debug, Default)]
pub struct Group<'a> {
    /// Best version first, then the repository that goes first.
    listed: Vec<&'a Listed>,
    /// Versions that fix something of security, with the advisory.
    fixed: Vec<(&'a str, &'a str)>,
}

impl Catalogue {
    /// By what packages are called.
    pub fn grouped(&self, native: &str) -> BTreeMap<String, Group<'_>> {
        let mut groups: BTreeMap<String, Group<'_>> = BTreeMap::new();
        for listed in &self.packages {
            groups.entry(slot(&listed.name, &listed.arch, native)).or_default().listed.push(listed);
        }
        for advisory in self.advisories.iter().filter(|advisory| advisory.security) {
            for fixed in &advisory.packages {
                if let Some(group) = groups.get_mut(&slot(&fixed.name, &fixed.arch, native)) {
                    group.fixed.push((&fixed.evr, &advisory.id));
                }
            }
        }
        for group in groups.values_mut() {
            group.listed.sort_by(|a, b| compare(&b.evr, &a.evr).then(a.priority.cmp(&b.priority)));
        }
        groups
    }

    /// The file of a package; `name:arch` names one of a foreign architecture.
    ///
    /// # Errors
    /// Two repositories offer different files under one name and version: nobody can say which one is meant.
    pub fn file(&self, called: &str, evr: &str, native: &str) -> Result<Option<&Listed>, String> {
        let is_it =
            |one: &&Listed| compare(&one.evr, evr).is_eq() && slot(&one.name, &one.arch, native) == called;
        let mut fitting = self.packages.iter().filter(is_it);
        let first = fitting.next();
        match first {
            Some(first) if fitting.any(|other| other.sha256 != first.sha256) => {
                Err(format!("two sources offer different files as {called} {evr}; remove one of them"))
            }
            _ => Ok(first),
        }
    }
}

impl Group<'_> {
    /// The offer for a package of which `installed` is there; `sticky` is the vendor that updates keep to.
    pub fn offer(&self, called: &str, installed: Option<&Entry>, sticky: Option<&str>) -> Offer {
        let now = installed.map(|entry| entry.row.evr.as_str());
        let fitting = self.listed.iter().filter(|one| sticky.is_none_or(|vendor| one.vendor == vendor));
        let first = fitting.clone().map(|one| one.priority).min();
        let candidate = fitting.filter(|one| Some(one.priority) == first).map(|one| one.evr.clone()).next();
        let mut versions: Vec<OnOffer> = Vec::new();
        for one in &self.listed {
            match versions.iter_mut().find(|v| compare(&v.version, &one.evr).is_eq()) {
                Some(version) => version.origins.push(one.repo.clone()),
                None => versions.push(OnOffer {
                    version: one.evr.clone(),
                    origins: vec![one.repo.clone()],
                    security: false,
                }),
            }
        }
        for (version, advisory) in now.map(|now| self.fixes(now)).unwrap_or_default() {
            if let Some(found) = versions.iter_mut().find(|v| compare(&v.version, version).is_eq()) {
                found.security = true;
                found.origins.push(advisory.to_owned());
            }
        }
        Offer { name: called.to_owned(), installed: now.map(str::to_owned), candidate, versions }
    }

    /// Versions with a security fix above the installed one, with the advisory: the one that it names, or where no
    /// repository has that any more, the next one above it.
    fn fixes(&self, now: &str) -> Vec<(&str, &str)> {
        let mut fixes = Vec::new();
        for (fixed, advisory) in self.fixed.iter().filter(|(fixed, _)| compare(fixed, now).is_gt()) {
            let has_it = self.listed.iter().filter(|one| compare(&one.evr, fixed).is_ge());
            if let Some(one) = has_it.min_by(|a, b| compare(&a.evr, &b.evr)) {
                fixes.push((one.evr.as_str(), *advisory));
            }
        }
        fixes
    }

    /// The repositories that have this version, or else those that have another one.
    pub fn origin(&self, evr: &str) -> String {
        let of = |same: bool| {
            let fitting = self.listed.iter().filter(|one| !same || compare(&one.evr, evr).is_eq());
            fitting.map(|one| one.repo.as_str()).collect::<BTreeSet<&str>>()
        };
        let exact = of(true);
        let all = if exact.is_empty() { of(false) } else { exact };
        all.into_iter().collect::<Vec<_>>().join(", ")
    }
}

/// One package that a solver would bring or take away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Item {
    pub name: String,
    pub arch: String,
    pub evr: String,
    pub removed: bool,
    pub repo: Option<String>,
    pub sha256: Option<Digest>,
}

/// What the items do to the packages that are installed, by what they are called, sorted.
pub fn changes(items: &[Item], installed: &[Entry], native: &str) -> Vec<PackageChange> {
    let mut all: Vec<PackageChange> = Vec::new();
    for item in items.iter().filter(|item| !item.removed) {
        all.push(PackageChange {
            name: slot(&item.name, &item.arch, native),
            arch: item.arch.clone(),
            from: None,
            to: Some(database::evr(&item.evr).to_owned()),
            origin: item.repo.clone(),
            sha256: item.sha256,
        });
    }
    for item in items.iter().filter(|item| item.removed) {
        let evr = database::evr(&item.evr);
        let is_it = |row: &Row| row.name == item.name && row.arch == item.arch && row.evr == evr;
        let entry = installed.iter().find(|e| is_it(&e.row));
        let is_double = installed.iter().any(|e| e.doubles.iter().any(is_it));
        let name = entry.map_or_else(|| slot(&item.name, &item.arch, native), |entry| entry.called.clone());
        match all.iter_mut().find(|change| change.name == name) {
            // Of two registered versions the one that counts is named.
            Some(change) => {
                if entry.is_some() || change.from.is_none() {
                    change.from = Some(evr.to_owned());
                }
            }
            // The leftover of a broken run goes with its package, which is not changed by that.
            None if is_double => {}
            None => all.push(PackageChange {
                name,
                arch: item.arch.clone(),
                from: Some(evr.to_owned()),
                ..PackageChange::default()
            }),
        }
    }
    all.sort();
    all
}

#[cfg(test)]
#[path = "offers_tests.rs"]
mod tests;
