//! Packages of the machine in memory: exact versions, flat dependencies, no conflicts.

use super::{Fake, Node, ROOT, World};
use crate::host::packages::{
    Conffile, Installed, Mark, Offer, OnOffer, PackageChange, PackageEvent, PackageManager, PackageState,
    Place, Request, Terms, same_effect,
};
use crate::host::{Fault, Outdated};
use shared::digest::Digest;
use shared::manifest::{OpenPgpKey, SourceFormat};
use shared::version::{DebVersion, Order};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

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

fn offers(world: &World, debs: &[Deb], names: &[&str]) -> Vec<Offer> {
    let offer = |name: &&str| {
        let mut versions: Vec<&Deb> = debs.iter().filter(|d| d.name == *name).collect();
        versions.sort_by_key(|d| std::cmp::Reverse(d.version.parse::<DebVersion>().ok()));
        Offer {
            name: (*name).to_owned(),
            installed: present(world, name),
            candidate: versions.first().map(|d| d.version.clone()),
            versions: versions.iter().map(|d| on_offer(d)).collect(),
        }
    };
    names.iter().map(offer).collect()
}

fn on_offer(deb: &Deb) -> OnOffer {
    OnOffer {
        version: deb.version.clone(),
        origins: vec![deb.origin.clone()],
        security: deb.origin.contains("ecurity"),
    }
}

fn simulate(world: &World, debs: &[Deb], request: &Request) -> Result<Vec<PackageChange>, Fault> {
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
        sha256: Some(file(&deb.name, &deb.version)),
    }
}

/// Digest of a package's file.
fn file(name: &str, version: &str) -> Digest {
    Digest::of(format!("{name}_{version}").as_bytes())
}

/// All changes, or the first one left half done.
fn carry_out(world: &mut World, changes: &[PackageChange], purge: bool, whole: bool) {
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
            vendor: None,
            held,
            state,
        };
        world.packages.insert(change.name.clone(), installed);
    }
}

fn is_done(world: &World, change: &PackageChange) -> bool {
    world.packages.get(&change.name).map(|package| &package.version) == change.to.as_ref()
}

fn event(change: &PackageChange) -> PackageEvent {
    let PackageChange { name, from, to, .. } = change.clone();
    PackageEvent { when: "2026-11-20 17:00:00".into(), name, from, to, cause: None }
}

impl PackageManager for Fake {
    fn is_there(&self) -> bool {
        true
    }

    fn order(&self) -> Order {
        self.order.get()
    }

    fn architecture(&self) -> Result<String, Fault> {
        Ok("amd64".into())
    }

    fn packages(&self) -> Result<Vec<Installed>, Fault> {
        Ok(self.world.borrow().packages.values().cloned().collect())
    }

    fn ships(&self, _package: &str, _path: &str) -> Result<bool, Fault> {
        Ok(false)
    }

    fn refresh(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn offers(&self, names: &[&str]) -> Result<Vec<Offer>, Fault> {
        Ok(offers(&self.world.borrow(), &self.debs.borrow(), names))
    }

    fn simulate(&self, request: &Request) -> Result<Vec<PackageChange>, Fault> {
        simulate(&self.world.borrow(), &self.debs.borrow(), request)
    }

    fn irreversible(&self, changes: &[PackageChange]) -> Result<Option<String>, Fault> {
        let olds: Vec<_> = changes.iter().filter_map(|c| Some((c.name.clone(), c.from.clone()?))).collect();
        Ok(self.locate(&olds).err().map(|fault| fault.text()))
    }

    fn repairs(&self) -> Result<Vec<PackageChange>, Fault> {
        let world = self.world.borrow();
        let unfinished = world.packages.values().filter(|p| p.state.is_unfinished());
        let repair = |p: &Installed| PackageChange {
            name: p.name.clone(),
            arch: p.arch.clone(),
            from: Some(p.version.clone()),
            to: Some(p.version.clone()),
            origin: None,
            sha256: (p.state == PackageState::Broken).then(|| file(&p.name, &p.version)),
        };
        Ok(unfinished.map(repair).collect())
    }

    fn conffiles(&self, _names: &[&str]) -> Result<Vec<Conffile>, Fault> {
        Ok(Vec::new())
    }

    fn room(&self, _changes: &[PackageChange]) -> Result<(), Fault> {
        Ok(())
    }

    fn fetch(&self, _changes: &[PackageChange]) -> Result<(), Fault> {
        Ok(())
    }

    fn has_files(&self, changes: &[PackageChange]) -> Result<bool, Fault> {
        Ok(changes.is_empty())
    }

    fn locate(&self, wanted: &[(String, String)]) -> Result<Vec<PackageChange>, Fault> {
        let (world, debs) = (self.world.borrow(), self.debs.borrow());
        let one = |(name, version): &(String, String)| {
            let deb = debs.iter().find(|d| d.name == *name && d.version == *version);
            let none = || Fault::Refused(format!("{name} {version} is not on offer"));
            deb.map(|deb| change(&world, deb)).ok_or_else(none)
        };
        wanted.iter().map(one).collect()
    }

    fn kept(&self, _name: &str, _version: &str) -> Result<Option<PackageChange>, Fault> {
        Ok(None)
    }

    fn forget(&self, _changes: &[PackageChange]) -> Result<(), Fault> {
        Ok(())
    }

    fn rehearse(&self, changes: &[PackageChange]) -> Result<Vec<PackageChange>, Fault> {
        let request = Request {
            install: changes.iter().filter_map(|c| Some((c.name.clone(), c.to.clone()?))).collect(),
            remove: changes.iter().filter(|c| c.to.is_none()).map(|c| c.name.clone()).collect(),
            reinstall: true,
            ..Request::default()
        };
        self.simulate(&request)
    }

    fn transact(&self, changes: &[PackageChange], terms: Terms) -> Result<(), Fault> {
        same_effect(&self.rehearse(changes)?, changes)?;
        let (world, torn) = (Rc::clone(&self.world), self.power.torn());
        let (uses, files) = (Rc::clone(&self.uses), Rc::clone(&self.files));
        let record = Rc::clone(&self.record);
        self.power
            .write(|whole| {
                let world = &mut world.borrow_mut();
                carry_out(world, changes, terms.purge, whole || !torn);
                record.borrow_mut().extend(changes.iter().filter(|change| is_done(world, change)).map(event));
                outdate(world, &uses.borrow(), changes);
                bring(world, &files.borrow(), changes);
            })
            .map_err(Fault::io("install packages"))
    }

    fn repair(&self, changes: &[PackageChange]) -> Result<(), Fault> {
        self.change("repair packages", |world| {
            for change in changes {
                if let Some(package) = world.packages.get_mut(&change.name) {
                    package.state = PackageState::Installed;
                }
            }
        })
    }

    fn mark(&self, mark: Mark, names: &[&str]) -> Result<(), Fault> {
        self.change("mark packages", |world| {
            for name in names {
                let Some(package) = world.packages.get_mut(*name) else { continue };
                match mark {
                    Mark::Hold => package.held = true,
                    Mark::Unhold => package.held = false,
                    Mark::Auto => {}
                }
            }
        })
    }

    fn sources(&self) -> SourceFormat {
        self.sources.get()
    }

    fn keys(&self) -> Result<BTreeSet<Digest>, Fault> {
        Ok(self.world.borrow().keys.clone())
    }

    fn add_keys(&self, path: &str) -> Result<(), Fault> {
        self.change("add keys", |world| {
            if let Some(Node::File(_, bytes)) = world.nodes.get(path) {
                world.keys.extend(OpenPgpKey::primaries_of(&String::from_utf8_lossy(bytes)));
            }
        })
    }

    fn drop_keys(&self, keys: &BTreeSet<Digest>) -> Result<(), Fault> {
        self.change("drop keys", |world| world.keys.retain(|key| !keys.contains(key)))
    }

    fn history(&self, since: Option<&Place>) -> Result<Option<(Vec<PackageEvent>, Place)>, Fault> {
        if self.busy.get() {
            return Ok(None);
        }
        let record = self.record.borrow();
        let read = since.map_or(record.len() as u64, |place| place.transaction);
        let events = record.iter().skip(usize::try_from(read).unwrap_or(usize::MAX)).cloned().collect();
        Ok(Some((events, Place { transaction: record.len() as u64, ..Place::default() })))
    }

    fn settle(&self) -> Result<(), Fault> {
        if self.world.borrow().packages.values().all(|p| p.state == PackageState::Installed) {
            return Ok(());
        }
        self.change("configure packages", |world| {
            for package in world.packages.values_mut().filter(|p| p.state == PackageState::Unconfigured) {
                package.state = PackageState::Installed;
            }
        })
    }
}

/// Units that use the files of what was replaced run the old ones.
fn outdate(world: &mut World, uses: &BTreeMap<String, Vec<String>>, changes: &[PackageChange]) {
    for change in changes.iter().filter(|change| change.from.is_some()) {
        for unit in uses.get(&change.name).into_iter().flatten() {
            let file = format!("/usr/lib/{}.so", change.name);
            let found = Outdated { unit: Some(unit.clone()), program: change.name.clone(), file };
            if !world.outdated.contains(&found) {
                world.outdated.push(found);
            }
        }
    }
}

/// Files that are not the packages' own lists' matter, such as kernels.
fn bring(world: &mut World, files: &BTreeMap<String, String>, changes: &[PackageChange]) {
    for path in changes.iter().filter(|change| change.from.is_some()).filter_map(|c| files.get(&c.name)) {
        world.nodes.entry(path.clone()).or_insert(Node::File(ROOT, Vec::new()));
    }
}
