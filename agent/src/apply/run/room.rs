//! Room in the window: a step starts only if the time that it may need still fits.

use super::{Class, Run, class, is_about_reboot};
use crate::disk::Disk;
use crate::host::Host;
use shared::manifest::Resource;
use shared::plan::{Action, Verb};
use std::ops::Range;

/// What a transaction takes at least, and for each of its packages; measured ones with small packages need less.
const TRANSACTION_SECS: i64 = 20;
const PACKAGE_SECS: i64 = 2;
/// A service that starts or stops slowly; systemd itself gives up after 90 s.
const SERVICE_SECS: i64 = 15;
/// A checker may take this long.
const CHECK_SECS: i64 = 60;
/// From the order to go down until the agent runs again, on machines with slow firmware.
const REBOOT_SECS: i64 = 300;

impl<H: Host, D: Disk> Run<'_, H, D> {
    /// Why none of these steps may start.
    pub(super) fn ended(&self, group: Range<usize>) -> Option<String> {
        let until = self.journal.log().map(|log| log.start.interval.until)?;
        let next = group.start;
        let left = self.actions.len() - next;
        let now = (self.watch.now)();
        if now >= until {
            return Some(format!("the window ended at {until}; {left} steps were not started"));
        }
        let need = self.need(group);
        if now.plus(need) > until {
            return Some(format!(
                "step {} ({}) may take {need} s and the window ends at {until}; {left} steps were not started",
                next + 1,
                self.actions[next].resource
            ));
        }
        (self.watch.halted)().then(|| format!("halted by an operator; {left} steps were not started"))
    }

    /// Seconds that the steps may take. What prepares a reboot is not begun without room for the reboot itself.
    fn need(&self, group: Range<usize>) -> i64 {
        let start = group.start;
        if is_about_reboot(&self.actions[start]) {
            return self.actions[start..].iter().map(|action| self.secs(action)).sum();
        }
        let base = if class(&self.actions[start]) == Class::Packages { TRANSACTION_SECS } else { 0 };
        base + self.actions[group].iter().map(|action| self.secs(action)).sum::<i64>()
    }

    fn secs(&self, action: &Action) -> i64 {
        match (class(action), action.verb) {
            (Class::Packages, _) => PACKAGE_SECS,
            (Class::Files, _) => 0,
            (Class::Other, Verb::Reboot) => REBOOT_SECS,
            (Class::Other, Verb::Start | Verb::Stop | Verb::Restart) => SERVICE_SECS,
            (Class::Other, Verb::Run) => self.limit(action).unwrap_or(CHECK_SECS),
            (Class::Other, _) => 0,
        }
    }

    /// The time limit of a command or hook.
    fn limit(&self, action: &Action) -> Option<i64> {
        let command = self.items.get(&action.resource).and_then(|item| match item.resource {
            Resource::Command(command) => Some(command.timeout_s),
            _ => None,
        });
        command.or_else(|| self.hooks.get(&action.resource).map(|hook| hook.timeout_s)).map(i64::from)
    }
}
