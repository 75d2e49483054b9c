//! The step that brings a program of the agent. What follows it happens in another process.

use super::{Run, kind};
use crate::apply::artifact;
use crate::disk::Disk;
use crate::host::{Fault, Host};
use crate::journal::{Record, Step};
use crate::resource::{Found, agent};
use shared::manifest::Resource;
use shared::receipt::StepStatus;

impl<H: Host, D: Disk> Run<'_, H, D> {
    pub(super) fn of_agent(&self, n: usize) -> bool {
        kind(&self.actions[n]) == "agent"
    }

    /// Puts the program where it is tried. The step stays open: only its trial ends it. That it cannot be put there, as
    /// on a full disk, says nothing about the program.
    pub(super) fn program(&mut self, n: usize, before: Found) -> Result<Option<String>, Fault> {
        self.journal.write(vec![Record::Before(Step(n), before)])?;
        match self.put_program(n) {
            Ok(()) => Ok(None),
            Err(fault) => {
                let why = fault.text();
                self.journal.write(vec![Record::After(Step(n), StepStatus::Unknown, 0, why.clone())])?;
                Ok(Some(format!("step {} ({}) was not begun: {why}", n + 1, self.actions[n].resource)))
            }
        }
    }

    fn put_program(&mut self, n: usize) -> Result<(), Fault> {
        let action = &self.actions[n];
        let Resource::Agent(want) = self.item(action)?.resource else {
            return Err(Fault::Refused(format!("{} is no program of the agent", action.resource)));
        };
        // Once more, by the policy and the program of this moment.
        let released = agent::admit(want, (self.job.vendor, self.downgrade), self.host)
            .map_err(|refused| Fault::Refused(refused.message))?;
        let until = self.journal.log().map(|log| log.start.interval.until).unwrap_or_default();
        let mut bytes = artifact(self.job.artifacts, released.get().sha256)?;
        agent::apply(&released, action, until, &mut bytes, self.host)
    }
}
