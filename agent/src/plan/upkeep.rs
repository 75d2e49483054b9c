//! What surrounds the resources of a plan: hooks, restarts of outdated services, the reboot.

use super::{Ask, Planner, refused};
use crate::host::Host;
use crate::resource::programs::Coming;
use crate::resource::{hook, outdated, reboot};
use shared::ids::ResourceId;
use shared::manifest::{Hook, HookPoint, Manifest, Reboot, Restart, RestartServices};
use shared::plan::Action;
use shared::refusal::Refused;

/// The restart rules of all patches.
pub(crate) fn rules<'a>(ask: &Ask<'a>) -> Vec<&'a Restart> {
    ask.manifests.iter().filter_map(|(manifest, _)| manifest.patch()).map(|patch| &patch.restart).collect()
}

/// The hooks of all manifests at one point, in the order in which they run.
///
/// # Errors
/// Names that are too long.
pub(crate) fn hooks<'a>(ask: &Ask<'a>, point: HookPoint) -> Result<Vec<(ResourceId, &'a Hook)>, Refused> {
    let of = |(manifest, _): &(&'a Manifest, _)| {
        let named = |hook| hook::id(manifest, point, hook).map(|id| (id, hook));
        manifest.hooks.at(point).iter().map(named).collect::<Vec<_>>()
    };
    ask.manifests.iter().flat_map(of).collect()
}

impl<H: Host> Planner<'_, H> {
    /// Adds what surrounds the planned actions; a plan without any gets no hooks.
    pub(super) fn surround(&mut self) -> Result<(), Refused> {
        let restarts = self.outdated()?;
        self.planned.actions.extend(restarts);
        let last = self.last()?;
        if self.planned.actions.is_empty() && last.is_none() {
            return Ok(());
        }
        let (before, after) = (self.hooks(HookPoint::Before)?, self.hooks(HookPoint::After)?);
        let before_reboot = if last.is_some() { self.hooks(HookPoint::BeforeReboot)? } else { Vec::new() };
        let actions = &mut self.planned.actions;
        actions.splice(0..0, before);
        actions.extend(after.into_iter().chain(before_reboot).chain(last));
        Ok(())
    }

    /// Those before the first step run what is there now, the others what the plan leaves.
    fn hooks(&self, point: HookPoint) -> Result<Vec<Action>, Refused> {
        let file = |path: &str| self.coming(path);
        let coming = match point {
            HookPoint::Before => Coming::done(&[]),
            _ => Coming { file: &file, actions: &self.planned.actions },
        };
        let of = |(manifest, _): &(&Manifest, _)| {
            let action = |hook| hook::action(manifest, point, hook, coming, &*self.host);
            manifest.hooks.at(point).iter().map(action).collect::<Vec<_>>()
        };
        self.ask.manifests.iter().flat_map(of).collect()
    }

    fn brings_software(&self) -> bool {
        self.planned.actions.iter().any(|action| action.package.is_some())
    }

    /// Services are restarted when a patch changes packages, and when some are outdated already.
    fn outdated(&self) -> Result<Option<Action>, Refused> {
        let rules = rules(self.ask);
        let never = rules.iter().all(|rule| rule.services == RestartServices::Never);
        if never || !self.host.has_services() {
            return Ok(None);
        }
        let due = self.brings_software() || {
            let all = self.host.outdated().map_err(refused)?;
            !outdated::sort(&rules, &all, &*self.host).map_err(refused)?.restart.is_empty()
        };
        due.then(|| outdated::action(&rules)).transpose()
    }

    /// The reboot, where one may be needed when everything else is done.
    fn last(&mut self) -> Result<Option<Action>, Refused> {
        let wish = self.ask.reboot;
        if wish == Reboot::Never {
            return Ok(None);
        }
        if !self.host.has_services() {
            let note = "this host is not rebooted: it has no systemd of its own".to_owned();
            self.planned.notes.push(note);
            return Ok(None);
        }
        let reasons = reboot::reasons(&*self.host).map_err(refused)?;
        let due = wish == Reboot::Always || self.brings_software() || !reasons.is_empty();
        due.then(|| reboot::action(wish, &reasons)).transpose()
    }
}
