//! Giving slots out: all that a host needs or none of them, each to one claimant at a time.
//!
//! A slot is free again when it is given back, when its time is over, and when its host is no longer let in. Whoever asks
//! again for the same change keeps what it has, so a lost answer costs nothing.

use super::store::{self, LeaseRow};
use super::used_up;
use crate::fleet;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::budgets::{Holder, Lease, Slots};
use shared::digest::Digest;
use shared::ids::{AgentId, BudgetName};
use shared::time::Timestamp;
use shared::wire::Budget;
use std::collections::BTreeMap;
use std::fmt;

const HOST: &str = "host:";
const MACHINE: &str = "machine:";

/// Who asks for slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claimant {
    Host(AgentId),
    /// A machine without an agent, as it calls itself.
    Machine(String),
}

/// As it is stored.
impl fmt::Display for Claimant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(agent) => write!(f, "{HOST}{agent}"),
            Self::Machine(id) => write!(f, "{MACHINE}{id}"),
        }
    }
}

/// Budgets by name.
pub(super) type Covering = Vec<(BudgetName, Budget)>;

impl LeaseRow {
    fn agent(&self) -> Option<AgentId> {
        self.claimant.strip_prefix(HOST).and_then(|agent| agent.parse().ok())
    }

    /// For people; `names` are those of hosts.
    pub(super) fn holder(&self, names: &BTreeMap<String, String>) -> Holder {
        let known = names.get(&self.claimant).map(String::as_str);
        let who = known.unwrap_or_else(|| self.claimant.strip_prefix(MACHINE).unwrap_or(&self.claimant));
        Holder { who: who.to_owned(), since: Timestamp(self.since), until: Timestamp(self.until) }
    }
}

pub(super) fn is_used_up(budget: &Budget, taken: usize) -> bool {
    u32::try_from(taken).is_ok_and(|taken| taken >= budget.slots)
}

/// Leases of these budgets that count: in their time, and of hosts that are let in.
pub(super) fn alive(tx: &mut Conn, of: &Covering, now: Timestamp) -> Result<Vec<LeaseRow>, Error> {
    let mut alive = Vec::new();
    for lease in store::list_leases(tx, of)? {
        let admitted = match lease.agent() {
            Some(agent) => fleet::find(tx, agent)?.is_some_and(|host| host.enabled),
            None => true,
        };
        if lease.until > now.0 && admitted {
            alive.push(lease);
        }
    }
    Ok(alive)
}

/// Names of the hosts that hold these.
pub(super) fn names(tx: &mut Conn, leases: &[LeaseRow]) -> Result<BTreeMap<String, String>, Error> {
    let mut names = BTreeMap::new();
    for lease in leases {
        if let Some(agent) = lease.agent()
            && let Some(host) = fleet::find(tx, agent)?
        {
            names.insert(lease.claimant.clone(), host.hostname);
        }
    }
    Ok(names)
}

/// Whether a claimant could have a slot of each of these budgets; nothing is taken.
pub(super) fn look(
    tx: &mut Conn,
    covering: &Covering,
    claimant: &Claimant,
    now: Timestamp,
) -> Result<Slots, Error> {
    let leases = alive(tx, covering, now)?;
    let held = first_held(tx, covering, &leases, &claimant.to_string())?;
    Ok(held.unwrap_or(Slots::Free))
}

/// Takes a slot of each of these budgets, or keeps those that the claimant has. Where one is used up it has none of them
/// afterwards: whoever asks is not running yet, and what waits for one budget must not use up another.
///
/// The caller has the lock.
pub(super) fn take(
    tx: &mut Conn,
    covering: &Covering,
    (claimant, change): (&Claimant, Option<Digest>),
    now: Timestamp,
) -> Result<Slots, Error> {
    let leases = sweep(tx, covering, now)?;
    let name = claimant.to_string();
    if let Some(held) = first_held(tx, covering, &leases, &name)? {
        for own in leases.iter().filter(|lease| lease.claimant == name) {
            store::delete_lease(tx, own)?;
        }
        return Ok(held);
    }
    grant(tx, covering, &leases, (&name, change), now)
}

/// Keeps the slots of a run, also one whose time is over while nobody else has taken it. What was given back or is gone
/// is not taken again: the answer names what is left, and the run goes on without the rest.
///
/// The caller has the lock.
pub(super) fn keep(
    tx: &mut Conn,
    covering: &Covering,
    (claimant, change): (&Claimant, Digest),
    now: Timestamp,
) -> Result<Slots, Error> {
    let (name, stored) = (claimant.to_string(), store::list_leases(tx, covering)?);
    let leases = alive(tx, covering, now)?;
    let mut left = covering.clone();
    left.retain(|(budget, rules)| {
        let of_it = |lease: &&LeaseRow| lease.budget == budget.as_str();
        let own = stored
            .iter()
            .filter(of_it)
            .find(|lease| lease.claimant == name && lease.change.as_deref() == Some(change.0.as_slice()));
        own.is_some_and(|own| leases.contains(own) || !is_used_up(rules, leases.iter().filter(of_it).count()))
    });
    grant(tx, &left, &stored, (&name, Some(change)), now)
}

/// What a machine has of a budget. Needs no lock: a free slot more only lets somebody in who would have waited.
pub(super) fn give_back(tx: &mut Conn, claimant: &Claimant, of: &BudgetName) -> Result<(), Error> {
    Ok(store::delete_of(tx, claimant, of)?)
}

/// What a run of this change has of all budgets.
pub(super) fn end_run(tx: &mut Conn, claimant: &Claimant, change: &Digest) -> Result<(), Error> {
    Ok(store::delete_of_change(tx, claimant, change)?)
}

/// Lets go of what does not count any more, so that it never counts again; what is left.
fn sweep(tx: &mut Conn, covering: &Covering, now: Timestamp) -> Result<Vec<LeaseRow>, Error> {
    let alive = alive(tx, covering, now)?;
    for lease in store::list_leases(tx, covering)? {
        if !alive.contains(&lease) {
            store::delete_lease(tx, &lease)?;
        }
    }
    Ok(alive)
}

fn first_held(
    tx: &mut Conn,
    covering: &Covering,
    leases: &[LeaseRow],
    claimant: &str,
) -> Result<Option<Slots>, Error> {
    for (name, budget) in covering {
        let of_it: Vec<LeaseRow> =
            leases.iter().filter(|lease| lease.budget == name.as_str()).cloned().collect();
        if !of_it.iter().any(|lease| lease.claimant == claimant) && is_used_up(budget, of_it.len()) {
            let names = names(tx, &of_it)?;
            let holders = of_it.iter().map(|lease| lease.holder(&names)).collect();
            return Ok(Some(Slots::Held(used_up(name, budget, holders))));
        }
    }
    Ok(None)
}

fn grant(
    tx: &mut Conn,
    covering: &Covering,
    leases: &[LeaseRow],
    (claimant, change): (&str, Option<Digest>),
    now: Timestamp,
) -> Result<Slots, Error> {
    let change = change.map(|change| change.0.to_vec());
    let mut lease = Lease { budgets: covering.iter().map(|(name, _)| name.clone()).collect(), until: now };
    for (number, (name, budget)) in covering.iter().enumerate() {
        let of_it = leases.iter().find(|lease| lease.budget == name.as_str() && lease.claimant == claimant);
        let same = of_it.filter(|lease| lease.change == change);
        let until = now.plus(i64::from(budget.lease_s));
        let row = LeaseRow {
            budget: name.to_string(),
            claimant: claimant.to_owned(),
            change: change.clone(),
            since: same.map_or(now.0, |lease| lease.since),
            until: until.0,
        };
        store::record_lease(tx, &row)?;
        lease.until = if number == 0 { until } else { lease.until.min(until) };
    }
    Ok(Slots::Granted(lease))
}
