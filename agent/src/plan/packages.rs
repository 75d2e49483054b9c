//! Packages of a plan: gathered, simulated together, and turned into one action for each that changes.

use super::{failed, refused};
use crate::host::{Host, PackageChange, Request};
use crate::resource::package::{self, Inventory};
use crate::resource::patch;
use shared::ids::ResourceId;
use shared::manifest::{Package, Patch};
use shared::plan::{Action, Verb};
use shared::refusal::Refused;
use std::collections::{BTreeMap, BTreeSet};

/// Runs of adjacent packages become transactions. Simulations are cumulative, so that a later transaction
/// counts on what an earlier one of the same plan brings.
pub struct Packages {
    downgrade: bool,
    /// Packages that manifests name themselves.
    explicit: BTreeSet<String>,
    inventory: Option<Inventory>,
    refreshed: bool,
    request: Request,
    /// True when the request has grown since the last simulation.
    grown: bool,
    /// What earlier transactions of this plan do.
    planned: BTreeMap<String, PackageChange>,
    holds: Vec<Action>,
    causes: Vec<(ResourceId, Vec<ResourceId>)>,
    /// A patch only brings newer versions; it never removes.
    patching: bool,
}

/// The actions of one transaction, and the services that its packages restart.
#[derive(Default)]
pub struct Flushed {
    pub actions: Vec<Action>,
    pub causes: Vec<(ResourceId, Vec<ResourceId>)>,
}

impl Packages {
    pub fn new(downgrade: bool, explicit: BTreeSet<String>) -> Self {
        Self {
            downgrade,
            explicit,
            inventory: None,
            refreshed: false,
            request: Request::default(),
            grown: false,
            planned: BTreeMap::new(),
            holds: Vec::new(),
            causes: Vec::new(),
            patching: false,
        }
    }

    fn inventory(&mut self, host: &impl Host) -> Result<&Inventory, Refused> {
        if self.inventory.is_none() {
            self.inventory = Some(package::inventory(host).map_err(refused)?);
        }
        self.inventory.as_ref().ok_or_else(|| failed("the packages of the host could not be listed"))
    }

    fn refresh(&mut self, host: &mut impl Host) -> Result<(), Refused> {
        if !self.refreshed {
            host.refresh_packages().map_err(refused)?;
            self.refreshed = true;
        }
        Ok(())
    }

    /// Adds what a package resource needs to the transaction that is being gathered.
    pub fn want(
        &mut self,
        want: &Package,
        on_change: &[ResourceId],
        host: &impl Host,
    ) -> Result<(), Refused> {
        let found = package::inspect(want.name.as_str(), self.inventory(host)?);
        let asked = (self.request.install.len(), self.request.remove.len());
        package::ask(want, &found, &mut self.request);
        self.grown |= asked != (self.request.install.len(), self.request.remove.len());
        self.holds.extend(package::hold(want, &found)?);
        if !on_change.is_empty() {
            self.causes.push((package::id(want.name.as_str())?, on_change.to_vec()));
        }
        Ok(())
    }

    /// Adds the updates that a patch selects. Packages that manifests of this change name are theirs.
    pub fn patch(
        &mut self,
        patch: &Patch,
        host: &mut impl Host,
        notes: &mut Vec<String>,
    ) -> Result<(), Refused> {
        self.refresh(host)?;
        let inventory = self.inventory(host)?.clone();
        let names = patch::candidates(patch, &inventory);
        if names.is_empty() {
            return Ok(());
        }
        let offers = host.offers(&names).map_err(refused)?;
        let mut selection = patch::select(patch, &offers, &inventory);
        selection
            .install
            .retain(|(name, _)| !self.explicit.contains(name) && !self.planned.contains_key(name));
        notes.append(&mut selection.notes);
        self.grown |= !selection.install.is_empty();
        self.patching |= !selection.install.is_empty();
        self.request.install.extend(selection.install);
        Ok(())
    }

    /// The actions of the transaction gathered so far; nothing when none is needed.
    pub fn flush(&mut self, host: &mut impl Host) -> Result<Flushed, Refused> {
        let mut flushed = Flushed::default();
        if std::mem::take(&mut self.grown) {
            self.refresh(host)?;
            let changes = host.simulate(&self.request).map_err(refused)?;
            for change in changes {
                if self.planned.get(&change.name) == Some(&change) {
                    continue;
                }
                flushed.actions.push(self.action(&change)?);
                if self.planned.insert(change.name.clone(), change.clone()).is_some() {
                    let message = format!("the packages of this change want {} in two ways", change.name);
                    return Err(failed(message));
                }
            }
        }
        flushed.actions.append(&mut self.holds);
        let changed = |id: &ResourceId| flushed.actions.iter().any(|a| a.resource == *id);
        flushed.causes = std::mem::take(&mut self.causes).into_iter().filter(|(id, _)| changed(id)).collect();
        self.patching = false;
        Ok(flushed)
    }

    fn action(&mut self, change: &PackageChange) -> Result<Action, Refused> {
        let name = &change.name;
        let asked = self.request.install.iter().any(|(n, _)| n == name) || self.request.remove.contains(name);
        let found = self.inventory.as_ref().map_or(package::Found::Absent, |all| package::inspect(name, all));
        let action = package::action(change, &found)?;
        if found.held() && !asked {
            return Err(failed(format!("{} is needed, but {name} is on hold on this host", action.summary)));
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
