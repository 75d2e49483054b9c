//! Disruption budgets: how many hosts of a group may be changing at once, and who has a slot now.
//!
//! Owns the budgets, revision by revision, and the leases of their slots. Never starts anything: a slot that is not given
//! holds a host back, and that is all that it can do.

mod api;
mod fleetlock;
mod lease;
mod model;
mod store;
#[cfg(test)]
mod tests;

pub use api::{agents, people};
pub(crate) use fleetlock::{FleetLock, OpenAddress};

use crate::fleet::Chosen;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use lease::{Claimant, Covering};
use shared::budgets::{BudgetNotice, UsedUp};
use shared::digest::Digest;
use shared::ids::{AgentId, BudgetName};
use shared::refusal::Refused;
use shared::time::Timestamp;
use shared::wire::Budget;
use std::collections::BTreeMap;
use store::LeaseRow;

/// Budgets that have not ended, by name.
fn current(tx: &mut Conn) -> Result<Covering, Error> {
    let steps = store::list(tx)?.into_iter();
    Ok(steps.filter_map(|(name, step)| step.budget.map(|budget| (name, budget))).collect())
}

/// What the control file says of budgets: which hosts need a slot.
pub fn published(tx: &mut Conn) -> Result<Vec<BudgetNotice>, Error> {
    let (budgets, mut chosen) = (current(tx)?, Chosen::default());
    let told =
        |(name, budget): (BudgetName, Budget)| Ok(BudgetNotice { name, agents: chosen.of(tx, &budget)? });
    budgets.into_iter().map(told).collect()
}

/// A host's run of this change is over: its slots are free.
pub fn returned(tx: &mut Conn, agent: AgentId, change: &Digest) -> Result<(), Error> {
    lease::end_run(tx, &Claimant::Host(agent), change)
}

/// All budgets and leases at one moment, to say of many hosts who waits for a slot.
pub struct Standing(Vec<(BudgetNotice, Budget, Vec<LeaseRow>)>, BTreeMap<String, String>);

impl Standing {
    pub fn of(tx: &mut Conn, now: Timestamp) -> Result<Self, Error> {
        let budgets = current(tx)?;
        if budgets.is_empty() {
            return Ok(Self(Vec::new(), BTreeMap::new()));
        }
        let leases = lease::alive(tx, &budgets, now)?;
        let names = lease::names(tx, &leases)?;
        let notices = published(tx)?.into_iter().zip(budgets);
        let with_leases = |(notice, (name, budget)): (BudgetNotice, (BudgetName, Budget))| {
            let own = leases.iter().filter(|lease| lease.budget == name.as_str()).cloned().collect();
            (notice, budget, own)
        };
        Ok(Self(notices.map(with_leases).collect(), names))
    }

    /// Each budget with whom it covers.
    pub fn budgets(&self) -> impl Iterator<Item = (&BudgetNotice, &Budget)> {
        self.0.iter().map(|(notice, budget, _)| (notice, budget))
    }

    /// Whether this host could have the slots that it needs now.
    ///
    /// # Errors
    /// `lock.held`, with who has them.
    pub fn free_for(&self, agent: AgentId) -> Result<(), Refused> {
        let claimant = Claimant::Host(agent).to_string();
        for (notice, budget, leases) in self.0.iter().filter(|(notice, ..)| notice.covers(agent)) {
            let has_one = leases.iter().any(|lease| lease.claimant == claimant);
            if !has_one && lease::is_used_up(budget, leases.len()) {
                let holders = leases.iter().map(|lease| lease.holder(&self.1)).collect();
                return Err(used_up(&notice.name, budget, holders).refused());
            }
        }
        Ok(())
    }
}

fn used_up(name: &BudgetName, budget: &Budget, holders: Vec<shared::budgets::Holder>) -> UsedUp {
    UsedUp { budget: name.clone(), title: budget.title.clone(), slots: budget.slots, holders }
}
