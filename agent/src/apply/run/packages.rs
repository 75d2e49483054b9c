//! Adjacent packages of a plan: one transaction of the package manager, judged by its database afterwards.

use super::Run;
use crate::disk::Disk;
use crate::host::{Fault, Host};
use crate::journal::{Record, Step};
use crate::resource::{Found, package};
use shared::plan::{PackagePin, Verb};
use shared::receipt::StepStatus;
use std::ops::Range;
use std::time::Instant;

impl<H: Host, D: Disk> Run<'_, H, D> {
    /// Adjacent packages are one transaction.
    pub(super) fn packages(&mut self, group: Range<usize>) -> Result<Option<String>, Fault> {
        let actions = self.actions;
        let inventory = match package::inventory(self.host) {
            Ok(inventory) => inventory,
            Err(fault) => return self.failed_before(group.start, &fault),
        };
        let pins: Vec<(usize, &PackagePin)> =
            group.filter_map(|n| actions[n].package.as_ref().map(|pin| (n, pin))).collect();
        let find = |(n, pin): &(usize, &PackagePin)| {
            Record::Before(Step(*n), Found::Package(package::inspect(&pin.name, &inventory)))
        };
        self.journal.write(pins.iter().map(find).collect())?;
        let (there, todo): (Vec<_>, Vec<_>) = pins
            .into_iter()
            .partition(|(_, pin)| package::is_at(pin, &package::inspect(&pin.name, &inventory)));
        let mut records: Vec<Record> = there
            .iter()
            .map(|(n, _)| Record::After(Step(*n), StepStatus::Unneeded, 0, String::new()))
            .collect();
        let started = Instant::now();
        let wanted: Vec<&PackagePin> = todo.iter().map(|(_, pin)| *pin).collect();
        let is_dependency =
            |pin: &&&PackagePin| pin.from.is_none() && pin.to.is_some() && !self.explicit.contains(&pin.name);
        let dependencies: Vec<&str> =
            wanted.iter().filter(is_dependency).map(|pin| pin.name.as_str()).collect();
        let done = match todo.first().map(|(n, _)| actions[*n].verb) {
            None => Ok(()),
            Some(Verb::Repair) => package::apply_repair(&wanted, self.host),
            Some(_) => package::apply(&wanted, &dependencies, self.host),
        };
        let failure = match done {
            Ok(()) => {
                for (n, _) in &todo {
                    self.note(*n, Ok((StepStatus::Done, String::new())), started, &mut records);
                }
                None
            }
            Err(fault) => {
                let statuses = self.after_failed_transaction(&todo, &inventory)?;
                records.extend(statuses.into_iter().map(|(n, s)| Record::After(Step(n), s, 0, fault.text())));
                let first = todo.first().map_or(0, |(n, _)| *n);
                Some(format!("step {} ({}) failed: {}", first + 1, actions[first].resource, fault.text()))
            }
        };
        if failure.is_none() {
            records.push(Record::Installed((self.watch.now)()));
        }
        self.journal.write(records)?;
        Ok(failure)
    }

    /// What a transaction did before it failed; the package manager's database tells.
    fn after_failed_transaction(
        &self,
        todo: &[(usize, &PackagePin)],
        before: &package::Inventory,
    ) -> Result<Vec<(usize, StepStatus)>, Fault> {
        let now = package::inventory(self.host)?;
        let status = |pin: &PackagePin| {
            let found = package::inspect(&pin.name, &now);
            if package::is_at(pin, &found) {
                StepStatus::Done
            } else if found == package::inspect(&pin.name, before) {
                StepStatus::NotStarted
            } else {
                StepStatus::Failed
            }
        };
        let mut all: Vec<_> = todo.iter().map(|(n, pin)| (*n, status(pin))).collect();
        if all.iter().all(|(_, s)| *s != StepStatus::Failed)
            && let Some(first) = all.iter_mut().find(|(_, s)| *s == StepStatus::NotStarted)
        {
            first.1 = StepStatus::Failed;
        }
        Ok(all)
    }
}
