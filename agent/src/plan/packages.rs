//! Packages of a plan: gathered, solved together, and turned into one action for each that changes.
//!
//! Planning for approval asks the sources. Planning for the run keeps to the approved versions and files: what
//! sources offer since then is no reason to change something else, and none to stop.

use super::{Item, failed, refused};
use crate::host::{Fault, Host, PackageChange, PackageState, Request};
use crate::resource::package::{self, About, Found, Inventory};
use crate::resource::patch;
use shared::ids::ResourceId;
use shared::manifest::{Conffiles, Package, PackageWant, ParamValue, Patch, Resource, WantedVersion};
use shared::plan::{Action, Verb};
use shared::refusal::{Code, Refused};
use shared::strict::Map;
use std::collections::{BTreeMap, BTreeSet};

/// Runs of adjacent packages become transactions. Simulations are cumulative, so that a later transaction
/// counts on what an earlier one of the same plan brings.
pub struct Packages<'a> {
    downgrade: bool,
    /// Packages that manifests name themselves.
    explicit: BTreeSet<String>,
    /// What they want of them.
    wishes: BTreeMap<&'a str, &'a PackageWant>,
    inventory: Option<Inventory>,
    refreshed: bool,
    request: Request,
    /// True when the request has grown since the last simulation.
    grown: bool,
    /// What earlier transactions of this plan do.
    planned: BTreeMap<String, PackageChange>,
    /// Of the transaction that is being gathered.
    conffiles: Conffiles,
    holds: Vec<Action>,
    causes: Vec<(ResourceId, Vec<ResourceId>)>,
    /// A patch only brings newer versions; it never removes.
    patching: bool,
    approved: Option<Approved<'a>>,
    /// Repositories that this plan brings: what they offer is not known yet.
    coming: Vec<ResourceId>,
}

/// What was approved: transactions that were not planned again yet, and all that were.
struct Approved<'a> {
    left: Vec<Vec<&'a Action>>,
    taken: Vec<PackageChange>,
}

/// The actions of one transaction, and the services that its packages restart.
#[derive(Default)]
pub struct Flushed {
    pub actions: Vec<Action>,
    pub causes: Vec<(ResourceId, Vec<ResourceId>)>,
}

impl<'a> Packages<'a> {
    /// `approved` is the plan to keep to, when there is one already.
    pub fn new(downgrade: bool, items: &[Item<'a>], approved: Option<&'a [Action]>) -> Self {
        let wish = |item: &Item<'a>| match item.resource {
            Resource::Package(own) => Some((own.name.as_str(), &own.want)),
            _ => None,
        };
        let approved = approved.map(|actions| {
            let groups = actions.chunk_by(|a, b| package::manner(a) == package::manner(b));
            let changing = |a: &&Action| a.package.is_some() && a.verb != Verb::Repair;
            let groups = groups.map(|group| group.iter().filter(changing).collect::<Vec<_>>());
            Approved { left: groups.filter(|group| !group.is_empty()).collect(), taken: Vec::new() }
        });
        Self {
            downgrade,
            explicit: super::explicit(items),
            wishes: items.iter().filter_map(wish).collect(),
            inventory: None,
            refreshed: false,
            request: Request::default(),
            grown: false,
            planned: BTreeMap::new(),
            conffiles: Conffiles::Old,
            holds: Vec::new(),
            causes: Vec::new(),
            patching: false,
            approved,
            coming: Vec::new(),
        }
    }

    fn inventory(&mut self, host: &impl Host) -> Result<&Inventory, Refused> {
        if self.inventory.is_none() {
            self.inventory = Some(package::inventory(host).map_err(refused)?);
        }
        self.inventory.as_ref().ok_or_else(|| failed("the packages of the host could not be listed"))
    }

    fn refresh(&mut self, host: &impl Host) -> Result<(), Refused> {
        if !self.refreshed {
            host.packager().refresh().map_err(refused)?;
            self.refreshed = true;
        }
        Ok(())
    }

    /// Packages that an earlier run left half done come first: nothing else can be installed before. The rest is
    /// planned on what the repairs leave.
    pub fn repairs(&mut self, host: &impl Host) -> Result<Vec<Action>, Refused> {
        let unfinished = |inventory: &Inventory| inventory.values().any(|p| p.state.is_unfinished());
        if !unfinished(self.inventory(host)?) {
            return Ok(Vec::new());
        }
        let broken = |inventory: &Inventory| inventory.values().any(|p| p.state == PackageState::Broken);
        if self.approved.is_none() && broken(self.inventory(host)?) {
            self.refresh(host)?;
        }
        let repairs = host.packager().repairs().map_err(refused)?;
        let mut actions = Vec::new();
        if let Some(inventory) = &mut self.inventory {
            for change in repairs {
                let found = package::inspect(&change.name, inventory);
                actions.push(package::repair(&change, &found)?);
                if let Some(package) = inventory.get_mut(&change.name) {
                    package.state = PackageState::Installed;
                }
            }
        }
        Ok(actions)
    }

    /// Whether the transaction that is being gathered has to be planned before something with these conffiles.
    pub fn differs(&self, conffiles: Conffiles) -> bool {
        self.grown && self.conffiles != conffiles
    }

    /// A repository comes with this plan.
    pub fn comes(&mut self, repository: &ResourceId) {
        self.coming.push(repository.clone());
    }

    /// The repository that a package has to wait for: one comes with this plan, and no present source has what is
    /// wanted. Which version and file it gets can only be planned, and approved, afterwards.
    pub fn waits(&mut self, want: &Package, host: &impl Host) -> Result<Option<ResourceId>, Refused> {
        let Some(repository) = self.coming.first().cloned() else { return Ok(None) };
        let PackageWant::Present { version, .. } = &want.want else { return Ok(None) };
        let name = want.name.as_str();
        let found = package::inspect(name, self.inventory(host)?);
        if matches!(version, WantedVersion::Exact(exact) if found.version() == Some(exact.as_str())) {
            return Ok(None);
        }
        if let Some(approved) = &self.approved {
            // As when it was planned: nothing was pinned, and what is there does not do.
            let open = matches!(version, WantedVersion::Exact(_)) || found.version().is_none();
            return Ok((open && approved.version(name).is_none()).then_some(repository));
        }
        self.refresh(host)?;
        let offers = host.packager().offers(&[name]).map_err(refused)?;
        let offered = offers.iter().filter(|offer| offer.name == name).flat_map(|offer| &offer.versions);
        let mut offered = offered.filter(|o| !o.origins.is_empty()).map(|o| &o.version);
        let there = match version {
            WantedVersion::Exact(exact) => offered.any(|version| version == exact.as_str()),
            WantedVersion::Range(_) | WantedVersion::Latest => offered.next().is_some(),
        };
        Ok((!there).then_some(repository))
    }

    /// Adds what a package resource needs to the transaction that is being gathered.
    pub fn want(
        &mut self,
        want: &Package,
        on_change: &[ResourceId],
        host: &impl Host,
    ) -> Result<(), Refused> {
        let name = want.name.as_str();
        let found = package::inspect(name, self.inventory(host)?);
        match &want.want {
            PackageWant::Absent if found.version().is_some() => {
                self.request.remove.push(name.to_owned());
                self.grown = true;
            }
            PackageWant::Absent => {}
            PackageWant::Present { version, conffiles, .. } => {
                if let Some(to) = self.needed(name, version, &found, host)? {
                    let order = host.packager().order();
                    self.request.downgrade |= found.version().is_some_and(|now| order.is_newer(now, &to));
                    self.request.held |= found.held();
                    self.request.install.push((name.to_owned(), to));
                    self.conffiles = *conffiles;
                    self.grown = true;
                }
            }
        }
        self.holds.extend(package::hold(want, &found)?);
        if !on_change.is_empty() {
            self.causes.push((package::id(name)?, on_change.to_vec()));
        }
        Ok(())
    }

    fn needed(
        &mut self,
        name: &str,
        wanted: &WantedVersion,
        found: &Found,
        host: &impl Host,
    ) -> Result<Option<String>, Refused> {
        let order = host.packager().order();
        if let WantedVersion::Exact(_) = wanted {
            return package::needed(name, wanted, found, None, order);
        }
        if let Some(approved) = &self.approved {
            let to = approved.version(name);
            return Ok(to.filter(|to| found.version() != Some(to)).map(str::to_owned));
        }
        self.refresh(host)?;
        let offers = host.packager().offers(&[name]).map_err(refused)?;
        let offer = offers.iter().find(|offer| offer.name == name);
        package::needed(name, wanted, found, offer, order)
    }

    /// Adds the updates that a patch selects. Packages that manifests of this change name are theirs.
    pub fn patch(
        &mut self,
        wanted: &Patch,
        params: &Map<String, ParamValue>,
        host: &impl Host,
        notes: &mut Vec<String>,
    ) -> Result<(), Refused> {
        self.patching = true;
        self.conffiles = wanted.conffiles;
        if self.approved.is_some() {
            self.grown = true;
            return Ok(());
        }
        let patterns = wanted.patterns(params).map_err(failed)?;
        self.refresh(host)?;
        let inventory = self.inventory(host)?.clone();
        let names = patch::candidates(&inventory);
        let offers = host.packager().offers(&names).map_err(refused)?;
        let order = host.packager().order();
        let mut selection = patch::select(wanted.select, &patterns, &offers, &inventory, order);
        selection
            .install
            .retain(|(name, _)| !self.explicit.contains(name) && !self.planned.contains_key(name));
        notes.append(&mut selection.notes);
        self.grown |= !selection.install.is_empty();
        self.request.install.extend(selection.install);
        Ok(())
    }

    /// The actions of the transaction gathered so far; nothing when none is needed.
    pub fn flush(&mut self, host: &impl Host) -> Result<Flushed, Refused> {
        let mut flushed = Flushed::default();
        if std::mem::take(&mut self.grown) {
            let changes = match self.as_approved(host)? {
                Some(changes) => changes,
                None => {
                    self.refresh(host)?;
                    match host.packager().simulate(&self.request) {
                        Ok(changes) => changes,
                        Err(fault) => return Err(self.unsolved(fault, host)?),
                    }
                }
            };
            let new: Vec<PackageChange> =
                changes.into_iter().filter(|c| self.planned.get(&c.name) != Some(c)).collect();
            new.iter().try_for_each(|change| self.as_wished(change))?;
            flushed.actions = self.actions(&new, host)?;
            for change in new {
                let name = change.name.clone();
                if self.planned.insert(name.clone(), change).is_some() {
                    return Err(failed(format!("the packages of this change want {name} in two ways")));
                }
            }
        }
        flushed.actions.append(&mut self.holds);
        let changed = |id: &ResourceId| flushed.actions.iter().any(|a| a.resource == *id);
        flushed.causes = std::mem::take(&mut self.causes).into_iter().filter(|(id, _)| changed(id)).collect();
        self.patching = false;
        self.conffiles = Conffiles::Old;
        Ok(flushed)
    }

    /// Why there is no way to what is asked for. Solvers leave packages on hold alone, and name what stands in the way.
    fn unsolved(&mut self, fault: Fault, host: &impl Host) -> Result<Refused, Refused> {
        let refused = refused(fault);
        let inventory = self.inventory(host)?.clone();
        let end = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | ';' | '\'' | '"');
        let words: BTreeSet<&str> =
            refused.message.split(end).map(|word| word.trim_end_matches([':', '.'])).collect();
        let asked = |name: &str| self.request.install.iter().any(|(asked, _)| asked == name);
        let stays = |name: &&String| package::inspect(name, &inventory).held() && !asked(name);
        let held = inventory.keys().filter(stays).find(|name| words.contains(name.as_str()));
        Ok(match held {
            Some(name) => on_hold(&refused.message, name),
            None => refused,
        })
    }

    /// What comes along with one package must not be against what is wanted of another: each run would take back what
    /// the one before did.
    fn as_wished(&self, change: &PackageChange) -> Result<(), Refused> {
        let name = &change.name;
        let against = match (self.wishes.get(name.as_str()), &change.to) {
            (Some(PackageWant::Absent), Some(to)) => format!("bring {name} {to}, which is wanted absent"),
            (Some(PackageWant::Present { .. }), None) => format!("remove {name}, which is wanted"),
            (Some(PackageWant::Present { version: WantedVersion::Exact(exact), .. }), Some(to))
                if exact.as_str() != to =>
            {
                format!("bring {name} {to}, which is wanted at {exact}")
            }
            _ => return Ok(()),
        };
        Err(failed(format!("the packages of this change contradict each other: together they {against}")))
    }

    /// What the approved transaction does now; none when something is asked for that was not approved, so that
    /// the solver tells what it would bring.
    fn as_approved(&mut self, host: &impl Host) -> Result<Option<Vec<PackageChange>>, Refused> {
        let inventory = self.inventory(host)?.clone();
        let Self { approved: Some(approved), request, explicit, patching, .. } = self else {
            return Ok(None);
        };
        let asked: BTreeSet<&str> = request.install.iter().map(|(name, _)| name.as_str()).collect();
        let asked: BTreeSet<&str> =
            asked.into_iter().chain(request.remove.iter().map(String::as_str)).collect();
        let ours = |action: &Action| {
            let name = action.package.as_ref().map_or("", |pin| &pin.name);
            asked.contains(name) || (*patching && !explicit.contains(name))
        };
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut approved.left).into_iter().partition(|group| group.iter().any(|a| ours(a)));
        approved.left = later;
        for pin in now.into_iter().flatten().filter_map(|action| action.package.as_ref()) {
            if !package::is_at(pin, &package::inspect(&pin.name, &inventory)) {
                approved.taken.push(package::change(pin));
            }
        }
        let known = |name: &&str| approved.taken.iter().any(|change| change.name == **name);
        if !asked.iter().all(known) {
            return Ok(None);
        }
        if approved.taken.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let taken = approved.taken.clone();
        self.solve_approved(&taken, host).map(Some)
    }

    /// With files that are here no source is asked: it may be gone, or have moved on.
    fn solve_approved(
        &mut self,
        taken: &[PackageChange],
        host: &impl Host,
    ) -> Result<Vec<PackageChange>, Refused> {
        let packager = host.packager();
        if !packager.has_files(taken).map_err(refused)? {
            self.refresh(host)?;
            packager.fetch(taken).map_err(refused)?;
        }
        let alone = |fault: Fault| {
            let why = fault.text();
            let message =
                format!("the approved packages alone can no longer be installed: {why}; plan again");
            Refused::new(Code::PlanDrift, message)
        };
        let mut changes = packager.rehearse(taken).map_err(alone)?;
        for change in &mut changes {
            // Where it came from, and which file it is, is what was approved: the files were checked by digest.
            if let Some(pin) = taken.iter().find(|pin| pin.name == change.name && pin.to == change.to) {
                change.clone_from(&PackageChange { from: change.from.clone(), ..pin.clone() });
            }
        }
        Ok(changes)
    }

    fn actions(&self, changes: &[PackageChange], host: &impl Host) -> Result<Vec<Action>, Refused> {
        let packager = host.packager();
        let mut irreversible = None;
        if self.approved.is_none() && !changes.is_empty() {
            packager.room(changes).map_err(refused)?;
            irreversible = packager.irreversible(changes).map_err(refused)?;
        }
        let names: Vec<&str> = changes.iter().filter(|c| c.from.is_some()).map(|c| c.name.as_str()).collect();
        let changed = package::changed_conffiles(&names, host).map_err(refused)?;
        let nothing = Vec::new();
        let action = |change: &PackageChange| {
            let bare = change.name.split(':').next().unwrap_or(&change.name);
            let about = About {
                order: packager.order(),
                conffiles: self.conffiles,
                changed: changed.get(bare).unwrap_or(&nothing),
                irreversible: irreversible.as_deref(),
            };
            self.action(change, about)
        };
        changes.iter().map(action).collect()
    }

    fn action(&self, change: &PackageChange, about: About<'_>) -> Result<Action, Refused> {
        let name = &change.name;
        let taken = self.approved.iter().flat_map(|approved| &approved.taken).any(|c| c.name == *name);
        let asked = taken
            || self.request.install.iter().any(|(n, _)| n == name)
            || self.request.remove.contains(name);
        let found = self.inventory.as_ref().map_or(Found::Absent, |all| package::inspect(name, all));
        let action = package::action(change, &found, about)?;
        if found.held() && !asked {
            return Err(on_hold(&format!("{} is needed", action.summary), name));
        }
        if action.verb == Verb::Downgrade && !self.downgrade {
            return Err(failed(format!(
                "the change does not allow to {}; set downgrade: true",
                action.summary
            )));
        }
        if action.verb == Verb::Remove && !asked && self.patching {
            return Err(failed(format!("the updates would {}; exclude what needs that", action.summary)));
        }
        Ok(action)
    }
}

fn on_hold(why: &str, name: &str) -> Refused {
    let remedy = "release it there, or let a manifest name it";
    Refused::new(Code::PlanHeld, format!("{why}, but {name} is on hold on this host; {remedy}"))
}

impl Approved<'_> {
    /// The approved version of a package, in whichever transaction it is.
    fn version(&self, name: &str) -> Option<&str> {
        let pins = self.left.iter().flatten().filter_map(|action| action.package.as_ref());
        let left = pins.filter(|pin| pin.name == name).find_map(|pin| pin.to.as_deref());
        left.or_else(|| self.taken.iter().find(|c| c.name == name).and_then(|c| c.to.as_deref()))
    }
}
