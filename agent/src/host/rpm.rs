//! Packages on rpm hosts: one database, and dnf or zypper above it.
//!
//! Plans are solved against the host's repositories; what is approved is then carried out without any of them, from
//! files that lie in the agent's own directory and were checked by digest. Never: a repair with another version
//! than the one that is there, and never a prompt.

pub(crate) mod database;
pub(super) mod detect;
pub(super) mod history;
mod keys;
pub(super) mod offers;
pub(super) mod place;
mod room;
pub(super) mod transact;
mod unfinished;

use super::dnf::Dnf;
use super::packages::{
    Conffile, Installed, Mark, Offer, PackageChange, PackageEvent, PackageManager, PackageState,
    Place as Read, Request, Terms,
};
use super::store::{self, Store, bare};
use super::zypper::Zypper;
use super::{Fault, lock};
use database::{Entry, Row};
use history::Deed;
use offers::{Catalogue, Group, Item};
use place::{LOOK, Place};
use shared::digest::Digest;
use shared::manifest::{NameGlob, SourceFormat};
use shared::version::Order;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use transact::Work;

/// The package manager of one root.
#[derive(Debug)]
pub struct Rpm {
    place: Place,
    store: Store,
    tool: Tool,
    native: OnceCell<String>,
    /// What the repositories said last, until they are asked again or packages change.
    catalogue: RefCell<Option<(BTreeSet<String>, Catalogue)>>,
    lock_wait: Duration,
    /// Since when its users have kept the history back.
    held: Cell<Option<Instant>>,
}

/// Who solves and installs.
#[derive(Debug)]
pub enum Tool {
    Dnf(Dnf),
    Zypper(Zypper),
}

/// What is asked of a solver: `(name, arch, evr)`, the architectures that will do best first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    pub install: Vec<Exact>,
    pub remove: Vec<Row>,
    /// Holds of these packages do not count.
    pub free: Vec<String>,
    /// Versions that are there are meant.
    pub again: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exact {
    pub name: String,
    pub archs: Vec<String>,
    pub evr: String,
}

impl Tool {
    fn refresh(&self, place: &Place) -> Result<(), Fault> {
        match self {
            Self::Dnf(dnf) => dnf.refresh(place),
            Self::Zypper(zypper) => zypper.refresh(place),
        }
    }

    /// What the repositories say of packages with these names, without architectures.
    fn listed(&self, place: &Place, names: &[&str]) -> Result<Catalogue, Fault> {
        match self {
            Self::Dnf(dnf) => dnf.listed(place, names),
            Self::Zypper(zypper) => zypper.listed(place, names),
        }
    }

    fn solve(&self, place: &Place, wish: &Wish) -> Result<Vec<Item>, Fault> {
        match self {
            Self::Dnf(dnf) => dnf.solve(place, wish),
            Self::Zypper(zypper) => zypper.solve(place, wish),
        }
    }

    fn rehearse(&self, place: &Place, work: &Work) -> Result<Vec<Item>, Fault> {
        match self {
            Self::Dnf(dnf) => dnf.rehearse(place, work),
            Self::Zypper(zypper) => zypper.rehearse(place, work),
        }
    }

    fn commit(&self, place: &Place, work: &Work) -> Result<(), Fault> {
        match self {
            Self::Dnf(dnf) => dnf.commit(place, work),
            Self::Zypper(zypper) => zypper.commit(place, work),
        }
    }

    /// Brings the files into the directory, each with the signature that the host's settings ask for.
    fn download(&self, place: &Place, wanted: &[&PackageChange], into: &Path) -> Result<(), Fault> {
        match self {
            Self::Dnf(dnf) => dnf.download(place, wanted, into),
            Self::Zypper(zypper) => zypper.download(place, wanted, into),
        }
    }

    /// Patterns of names that are on hold.
    fn holds(&self, place: &Place) -> Result<Vec<String>, Fault> {
        match self {
            Self::Dnf(dnf) => dnf.holds(place),
            Self::Zypper(zypper) => zypper.holds(place),
        }
    }

    fn mark(&self, place: &Place, mark: Mark, names: &[&str]) -> Result<(), Fault> {
        match self {
            Self::Dnf(dnf) => dnf.mark(place, mark, names),
            Self::Zypper(zypper) => zypper.mark(place, mark, names),
        }
    }

    fn holder(&self, place: &Place) -> Result<Option<String>, Fault> {
        match self {
            Self::Dnf(dnf) => dnf.holder(place),
            Self::Zypper(zypper) => zypper.holder(place),
        }
    }

    /// What its record has since that place, and how far it was read.
    fn history(&self, place: &Place, since: Option<&Read>) -> Result<(Vec<Deed>, Read), Fault> {
        match self {
            Self::Dnf(dnf) => dnf.history(place, since),
            Self::Zypper(zypper) => zypper.history(place, since),
        }
    }

    /// Its copies of the repositories' lists, below the agent's own directory.
    fn cache(&self) -> &'static str {
        match self {
            Self::Dnf(_) => "dnf/cachedir",
            Self::Zypper(_) => "zypp/cache",
        }
    }

    /// Updates keep to the vendor of what is installed.
    fn keeps_vendor(&self) -> bool {
        matches!(self, Self::Zypper(_))
    }
}

impl Rpm {
    pub fn new(root: &Path, whole: bool, dir: PathBuf, tool: Tool, lock_wait: Duration) -> Self {
        let store = Store::new(dir.join("store"), "rpm");
        let (native, catalogue) = (OnceCell::new(), RefCell::default());
        let (place, held) = (Place::new(root, whole, dir), Cell::new(None));
        Self { place, store, tool, native, catalogue, lock_wait, held }
    }

    /// What the repositories say of packages with these names, without architectures; of more, perhaps.
    fn listed(&self, names: &[&str]) -> Result<Catalogue, Fault> {
        if names.is_empty() {
            return Ok(Catalogue::default());
        }
        if let Some((known, catalogue)) = &*self.catalogue.borrow()
            && names.iter().all(|name| known.contains(*name))
        {
            return Ok(catalogue.clone());
        }
        let catalogue = self.tool.listed(&self.place, names)?;
        let known = names.iter().map(|name| (*name).to_owned()).collect();
        self.catalogue.replace(Some((known, catalogue.clone())));
        Ok(catalogue)
    }

    fn forget_lists(&self) {
        self.catalogue.replace(None);
    }

    fn entries(&self) -> Result<Vec<Entry>, Fault> {
        database::entries(&self.place, &self.architecture()?)
    }

    fn holder(&self) -> Result<Option<String>, Fault> {
        // A transaction of an agent that was killed has let go of rpm's lock a moment before its end is noted.
        if unfinished::begun(&self.place)?.is_some()
            && !unfinished::ended(&self.place).exists()
            && let Some(shell) = lock::of_number(&unfinished::shell(&self.place), &["transaction.ended"])?
        {
            return Ok(Some(shell));
        }
        match lock::of_file(&self.place.database()?.join(".rpm.lock"))? {
            Some(holder) => Ok(Some(holder)),
            None => self.tool.holder(&self.place),
        }
    }

    fn wait(&self) -> Result<(), Fault> {
        lock::wait(self.lock_wait, || self.holder())
    }

    /// Packages that an earlier run left half done, by what they are called.
    fn broken(&self, entries: &[Entry]) -> Result<Vec<String>, Fault> {
        let mut broken: Vec<String> =
            entries.iter().filter(|e| !e.doubles.is_empty()).map(|e| e.called.clone()).collect();
        if let Some(begun) = unfinished::begun(&self.place)? {
            broken.extend(unfinished::broken(&self.place, &begun, entries)?);
        }
        Ok(broken)
    }

    fn unfinished(&self) -> Result<Vec<String>, Fault> {
        self.broken(&self.entries()?)
    }

    fn exact(&self, called: &str, evr: &str) -> Result<Exact, Fault> {
        let (name, arch) = database::split(called);
        let archs = match arch {
            Some(arch) => vec![arch.to_owned()],
            None => vec![self.architecture()?, "noarch".to_owned()],
        };
        Ok(Exact { name: name.to_owned(), archs, evr: evr.to_owned() })
    }

    fn wish(&self, request: &Request, entries: &[Entry]) -> Result<Wish, Fault> {
        let mut wish = Wish { again: request.reinstall, ..Wish::default() };
        for (called, evr) in &request.install {
            wish.install.push(self.exact(called, evr)?);
        }
        for called in &request.remove {
            wish.remove.extend(entries.iter().find(|e| e.called == *called).map(|e| e.row.clone()));
        }
        if request.held {
            let names = request.install.iter().map(|(name, _)| name).chain(&request.remove);
            wish.free = names.map(|name| bare(name).to_owned()).collect();
        }
        Ok(wish)
    }
}

impl PackageManager for Rpm {
    fn is_there(&self) -> bool {
        true
    }

    fn order(&self) -> Order {
        Order::Rpm
    }

    fn architecture(&self) -> Result<String, Fault> {
        if let Some(native) = self.native.get() {
            return Ok(native.clone());
        }
        let exec = super::Exec::new("rpm", ["--eval", "%{_arch}"]).timeout(LOOK);
        let ran = self.place.exec(exec)?.success("rpm --eval")?;
        let text = String::from_utf8_lossy(&ran.stdout).trim().to_owned();
        Ok(self.native.get_or_init(|| text).clone())
    }

    fn packages(&self) -> Result<Vec<Installed>, Fault> {
        let entries = self.entries()?;
        let broken = self.broken(&entries)?;
        let holds: Vec<NameGlob> =
            self.tool.holds(&self.place)?.iter().filter_map(|pattern| pattern.parse().ok()).collect();
        let installed = |entry: Entry| {
            let version = entry.row.evr.clone();
            let (source, source_version) = match database::source(&entry.row.source) {
                Some((name, version)) => (name.to_owned(), version),
                None => (entry.row.name.clone(), version.clone()),
            };
            let is_broken = broken.contains(&entry.called);
            Installed {
                held: holds.iter().any(|glob| glob.matches(&entry.row.name)),
                state: if is_broken { PackageState::Broken } else { PackageState::Installed },
                vendor: Some(entry.row.vendor).filter(|vendor| !vendor.is_empty()),
                name: entry.called,
                arch: entry.row.arch,
                version,
                source,
                source_version,
            }
        };
        Ok(entries.into_iter().map(installed).collect())
    }

    fn ships(&self, package: &str, path: &str) -> Result<bool, Fault> {
        database::ships(&self.place, package, path)
    }

    /// By the agent's own lists; without any the host cannot tell.
    fn origins(&self) -> Result<Option<BTreeMap<String, String>>, Fault> {
        if !self.place.dir().join(self.tool.cache()).exists() {
            return Ok(None);
        }
        let (entries, native) = (self.entries()?, self.architecture()?);
        let names: Vec<&str> = entries.iter().map(|entry| entry.row.name.as_str()).collect();
        let catalogue = self.listed(&names)?;
        let (groups, nothing) = (catalogue.grouped(&native), Group::default());
        let origin = |entry: &Entry| {
            let group = groups.get(&database::slot(&entry.row.name, &entry.row.arch, &native));
            (entry.called.clone(), group.unwrap_or(&nothing).origin(&entry.row.evr))
        };
        Ok(Some(entries.iter().map(origin).collect()))
    }

    fn refresh(&self) -> Result<(), Fault> {
        self.place.prepare()?;
        self.forget_lists();
        let cache = self.place.dir().join(self.tool.cache());
        let first = self.tool.refresh(&self.place);
        if first.is_ok() || !cache.exists() {
            return first;
        }
        // What a power cut or a full disk has left of the agent's own copies may be the reason.
        let aside = self.place.dir().join("cache-aside");
        let swap = |from: &Path, to: &Path| {
            store::emptied(to)?;
            std::fs::rename(from, to).map_err(Fault::io(format!("put {} aside", from.display())))
        };
        swap(&cache, &aside)?;
        let second = self.tool.refresh(&self.place);
        if second.is_err() {
            swap(&aside, &cache)?;
        }
        second
    }

    fn offers(&self, names: &[&str]) -> Result<Vec<Offer>, Fault> {
        self.place.prepare()?;
        let (entries, native) = (self.entries()?, self.architecture()?);
        let bare: Vec<&str> = names.iter().map(|name| bare(name)).collect();
        let catalogue = self.listed(&bare)?;
        let (groups, nothing) = (catalogue.grouped(&native), Group::default());
        let offer = |called: &&str| {
            let installed = entries.iter().find(|entry| entry.called == **called);
            // Older kernels beside the newest one get no updates and miss none.
            if installed.is_some_and(|entry| entry.older) {
                return None;
            }
            let vendor =
                installed.filter(|_| self.tool.keeps_vendor()).map(|entry| entry.row.vendor.as_str());
            Some(groups.get(*called).unwrap_or(&nothing).offer(called, installed, vendor))
        };
        Ok(names.iter().filter_map(offer).collect())
    }

    fn simulate(&self, request: &Request) -> Result<Vec<PackageChange>, Fault> {
        if request.is_empty() {
            return Ok(Vec::new());
        }
        self.place.prepare()?;
        let (entries, native) = (self.entries()?, self.architecture()?);
        let items = self.tool.solve(&self.place, &self.wish(request, &entries)?)?;
        let mut changes = offers::changes(&items, &entries, &native);
        let names: Vec<&str> =
            changes.iter().filter(|c| c.to.is_some() && c.sha256.is_none()).map(|c| bare(&c.name)).collect();
        let catalogue = self.listed(&names)?;
        for change in changes.iter_mut().filter(|c| c.sha256.is_none()) {
            let Some(to) = change.to.clone() else { continue };
            let listed = catalogue.file(&change.name, &to, &native).map_err(Fault::Refused)?;
            change.sha256 = listed.and_then(|listed| listed.sha256);
            change.origin = change.origin.take().or_else(|| listed.map(|listed| listed.repo.clone()));
            if change.sha256.is_none() {
                return Err(Fault::Refused(format!(
                    "no source names a sha256 for {} {to}, so it cannot be pinned",
                    change.name
                )));
            }
        }
        Ok(changes)
    }

    /// What a transaction has left is the set of packages that was there before, and whether that set fits together is
    /// all that a solver could say of it.
    fn irreversible(&self, changes: &[PackageChange]) -> Result<Option<String>, Fault> {
        let olds: Vec<(String, String)> =
            changes.iter().filter_map(|c| Some((c.name.clone(), c.from.clone()?))).collect();
        match self.locate(&olds) {
            Ok(_) => {}
            Err(Fault::Refused(why)) => return Ok(Some(why)),
            Err(other) => return Err(other),
        }
        let names: Vec<&str> = olds.iter().map(|(name, _)| name.as_str()).collect();
        let lacking = database::unsatisfied(&self.place, &names)?;
        Ok(lacking.map(|what| format!("the packages do not fit together as they are: {what}")))
    }

    fn repairs(&self) -> Result<Vec<PackageChange>, Fault> {
        transact::repairs(self)
    }

    fn conffiles(&self, names: &[&str]) -> Result<Vec<Conffile>, Fault> {
        database::conffiles(&self.place, names)
    }

    fn room(&self, changes: &[PackageChange]) -> Result<(), Fault> {
        self.place.prepare()?;
        room::room(self, changes)
    }

    fn fetch(&self, changes: &[PackageChange]) -> Result<(), Fault> {
        self.place.prepare()?;
        let download = |wanted: &[&PackageChange]| {
            let incoming = self.place.dir().join("incoming");
            store::emptied(&incoming)?;
            let brought = self.tool.download(&self.place, wanted, &incoming);
            // What did come is kept, also when another file failed.
            self.store.take_in(wanted, &incoming)?;
            brought
        };
        self.store.fetch(changes, download, || PackageManager::refresh(self))
    }

    fn has_files(&self, changes: &[PackageChange]) -> Result<bool, Fault> {
        Ok(self.store.missing(changes)?.is_empty())
    }

    fn locate(&self, wanted: &[(String, String)]) -> Result<Vec<PackageChange>, Fault> {
        self.place.prepare()?;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let (entries, native) = (self.entries()?, self.architecture()?);
        let mut catalogue = None;
        let mut found = Vec::new();
        for (called, evr) in wanted {
            let mut change = self.store.find(called, evr)?;
            if change.is_none() {
                if catalogue.is_none() {
                    let names: Vec<&str> = wanted.iter().map(|(name, _)| bare(name)).collect();
                    // Without its lists a repository offers nothing; the reason is told when one is needed.
                    catalogue = Some(self.listed(&names)?);
                }
                let file = catalogue.as_ref().map(|all| all.file(called, evr, &native)).transpose();
                change = file.map_err(Fault::Refused)?.flatten().map(|listed| PackageChange {
                    name: called.clone(),
                    arch: listed.arch.clone(),
                    to: Some(evr.clone()),
                    origin: Some(listed.repo.clone()),
                    sha256: listed.sha256,
                    ..PackageChange::default()
                });
            }
            let Some(change) = change else {
                return Err(Fault::Refused(format!(
                    "{called} {evr} is neither kept here nor offered by a source any more"
                )));
            };
            let current = entries.iter().find(|entry| entry.called == *called);
            found.push(PackageChange { from: current.map(|entry| entry.row.evr.clone()), ..change });
        }
        Ok(found)
    }

    fn kept(&self, name: &str, version: &str) -> Result<Option<PackageChange>, Fault> {
        self.place.prepare()?;
        self.store.find(name, version)
    }

    fn forget(&self, changes: &[PackageChange]) -> Result<(), Fault> {
        self.store.forget(changes)
    }

    fn rehearse(&self, changes: &[PackageChange]) -> Result<Vec<PackageChange>, Fault> {
        self.place.prepare()?;
        transact::rehearse(self, changes)
    }

    fn transact(&self, changes: &[PackageChange], terms: Terms) -> Result<(), Fault> {
        self.place.prepare()?;
        transact::transact(self, changes, terms)
    }

    fn repair(&self, changes: &[PackageChange]) -> Result<(), Fault> {
        self.place.prepare()?;
        transact::repair(self, changes)
    }

    fn mark(&self, mark: Mark, names: &[&str]) -> Result<(), Fault> {
        self.place.prepare()?;
        self.wait()?;
        let names: Vec<&str> = names.iter().map(|name| bare(name)).collect();
        self.tool.mark(&self.place, mark, &names)
    }

    fn sources(&self) -> SourceFormat {
        match self.tool {
            Tool::Dnf(_) => SourceFormat::Dnf,
            Tool::Zypper(_) => SourceFormat::Zypper,
        }
    }

    fn keys(&self) -> Result<BTreeSet<Digest>, Fault> {
        keys::all(&self.place)
    }

    fn add_keys(&self, path: &str) -> Result<(), Fault> {
        self.wait()?;
        keys::add(&self.place, path)
    }

    fn drop_keys(&self, keys: &BTreeSet<Digest>) -> Result<(), Fault> {
        self.wait()?;
        keys::remove(&self.place, keys)
    }

    fn history(&self, since: Option<&Read>) -> Result<Option<(Vec<PackageEvent>, Read)>, Fault> {
        self.place.prepare()?;
        history::look(self, since)
    }

    fn settle(&self) -> Result<(), Fault> {
        self.wait()?;
        unfinished::settle(&self.place, || self.entries())
    }
}
