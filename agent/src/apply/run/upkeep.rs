//! Steps around the resources: hooks, restarts of outdated services, the reboot.

use super::{Run, Went};
use crate::disk::Disk;
use crate::host::{Fault, Host};
use crate::journal::{Record, Step};
use crate::resource::programs::Coming;
use crate::resource::{Found, command, hook, outdated, reboot, service};
use shared::manifest::{Command, Hook, HookPoint};
use shared::plan::{Action, Verb};
use shared::receipt::StepStatus;

impl<H: Host, D: Disk> Run<'_, H, D> {
    /// What is found before a step of these kinds; `None` for all others.
    pub(super) fn find_upkeep(&mut self, action: &Action) -> Result<Option<Found>, Fault> {
        if hook::point_of(&action.resource).is_some() {
            return Ok(Some(Found::Hook(command::found(&self.placed(action)?, self.host)?)));
        }
        match action.resource.as_str() {
            outdated::ID => self.find_outdated().map(Some),
            reboot::ID => {
                let found = reboot::Found { boot_id: self.host.boot_id()?, at: (self.watch.now)() };
                Ok(Some(Found::Reboot(found)))
            }
            _ => Ok(None),
        }
    }

    fn hook_of(&self, action: &Action) -> Result<&Hook, Fault> {
        let unknown = || Fault::Refused(format!("{} is in the plan but in no manifest", action.resource));
        self.hooks.get(&action.resource).copied().ok_or_else(unknown)
    }

    fn placed(&self, action: &Action) -> Result<Command, Fault> {
        Ok(hook::program(self.hook_of(action)?, self.job.artifacts))
    }

    pub(super) fn hook(&mut self, action: &Action) -> Went {
        let hook = self.hook_of(action)?;
        // As in planning: before the first step nothing of the plan is there yet.
        let before = hook::point_of(&action.resource) == Some(HookPoint::Before);
        let coming = Coming::done(if before { &[] } else { self.actions });
        hook::check(hook, action, coming, self.host)?;
        if let Some(script) = hook.script {
            super::super::check_artifact(self.job.artifacts, script.sha256)?;
        }
        command::apply(&self.placed(action)?, self.host)?;
        Ok((StepStatus::Done, String::new()))
    }

    fn find_outdated(&mut self) -> Result<Found, Fault> {
        let all = self.host.outdated()?;
        let sorted = outdated::sort(&self.rules, &all, self.host)?;
        let look = |unit: String| service::inspect(&unit, self.host).map(|found| (unit, found));
        let units = sorted.restart.into_iter().map(look).collect::<Result<_, _>>()?;
        let rules = self.rules.iter().map(|rule| (*rule).clone()).collect();
        Ok(Found::Outdated(outdated::Found { rules, units }))
    }

    pub(super) fn restart_outdated(&mut self, action: &Action, found: &outdated::Found) -> Went {
        if outdated::action(&self.rules).map_err(|r| Fault::Refused(r.message))?.after != action.after {
            return Err(Fault::Refused("the rules of restarts are not the approved ones; plan again".into()));
        }
        if found.units.is_empty() {
            return Ok((StepStatus::Unneeded, String::new()));
        }
        if std::mem::take(&mut self.stale_units) {
            self.host.reload_units()?;
        }
        let mut restarted = Vec::new();
        let mut failure = None;
        for (unit, _) in &found.units {
            match outdated::restart(unit, self.host) {
                Ok(()) => restarted.push(unit.clone()),
                Err(fault) => {
                    failure = Some(fault);
                    break;
                }
            }
        }
        let names = restarted.join(", ");
        self.journal.write(vec![Record::Restarted(restarted)])?;
        match failure {
            Some(fault) => Err(fault),
            None => Ok((StepStatus::Done, format!("restarted {names}"))),
        }
    }

    /// Asks for the reboot, if it is still wanted. The step stays open: only the next boot ends it.
    pub(super) fn reboot(&mut self, n: usize, before: Found) -> Result<Option<String>, Fault> {
        match self.wants_reboot(&self.actions[n]) {
            Ok(true) => {}
            Ok(false) => {
                let record = Record::After(Step(n), StepStatus::Unneeded, 0, "nothing needs it".into());
                self.journal.write(vec![record])?;
                return Ok(None);
            }
            Err(fault) => return self.failed_before(n, &fault),
        }
        self.journal.write(vec![Record::Before(Step(n), before)])?;
        match self.host.reboot() {
            Ok(()) => Ok(None),
            Err(fault) => self.failed_before(n, &fault),
        }
    }

    /// Whether a planned reboot is still wanted; `always` asks nothing.
    fn wants_reboot(&self, action: &Action) -> Result<bool, Fault> {
        let always = reboot::action(shared::manifest::Reboot::Always, &[]);
        let always = always.map_err(|refused| Fault::Refused(refused.message))?;
        Ok(always.after == action.after || !reboot::reasons(self.host)?.is_empty())
    }

    /// Whether the reboot was asked for in this step.
    pub(super) fn is_going_down(&self, n: usize) -> bool {
        self.actions[n].verb == Verb::Reboot && self.is_left_open(n)
    }

    /// Whether only what comes after this process ends the step.
    pub(super) fn is_left_open(&self, n: usize) -> bool {
        let step = self.journal.log().and_then(|log| log.steps.get(n));
        step.is_some_and(|step| step.before.is_some() && step.after.is_none())
    }
}
