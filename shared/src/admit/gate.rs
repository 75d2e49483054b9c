//! Step 14 and the last one before a start: whether it is the host's turn. Halts, the gate of its wave, its slots.

use super::Approved;
use crate::approval::Reach;
use crate::budgets::Slots;
use crate::bundle::Control;
use crate::change::{Change, Gate};
use crate::envelope::Envelope;
use crate::ids::{AgentId, BudgetName};
use crate::limits;
use crate::refusal::{Code, Refused};
use crate::statement::Statement;
use crate::summary::Summary;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Proof that the gate of the host's wave holds and nothing halts the change.
#[derive(Clone, Copy, Debug)]
pub struct GateOpen {
    wave: usize,
    slowest_s: i64,
}

impl GateOpen {
    pub fn wave(&self) -> usize {
        self.wave
    }

    /// Seconds that the slowest host of earlier waves took that succeeded, as they tell; 0 where none has told.
    pub fn slowest_s(&self) -> i64 {
        self.slowest_s
    }
}

/// Proof that it is this host's turn: the gate holds, and the host has a slot of each budget that covers it.
#[derive(Clone, Debug)]
pub struct Turn {
    wave: usize,
    slots: BTreeSet<BudgetName>,
}

impl Turn {
    pub fn wave(&self) -> usize {
        self.wave
    }

    /// The budgets of which the host has a slot for this run.
    pub fn slots(&self) -> &BTreeSet<BudgetName> {
        &self.slots
    }
}

fn not_halted(change: &Change, control: &Control) -> Result<(), Refused> {
    if !control.halted.contains(&change.change_id) {
        return Ok(());
    }
    Err(Refused::new(Code::ChangeHalted, format!("{} is halted by an operator", change.change_id)))
}

/// Step 14 for a correction: the host had its turn; only a halt stops it.
///
/// # Errors
/// `change.halted`, `change.not_for_me`.
pub fn correction_gate(change: &Change, control: &Control, me: AgentId) -> Result<GateOpen, Refused> {
    not_halted(change, control)?;
    let nowhere = || Refused::new(Code::ChangeNotForMe, "this host is in no wave");
    change.wave_of(me).map(|wave| GateOpen { wave, slowest_s: 0 }).ok_or_else(nowhere)
}

/// Step 14: nothing halts the change and the gate of the host's wave holds, by what hosts of earlier waves say of their ends.
///
/// Hosts that `reach` leaves out need not succeed: the gate is as if they were not there, but one success it always needs.
///
/// # Errors
/// `change.halted`, `change.not_for_me`, `wave.gate`.
pub fn open_gate(
    statement: &Statement<Change>,
    control: &Control,
    ends: &[Envelope],
    reach: &Reach,
    me: AgentId,
    now: Timestamp,
) -> Result<GateOpen, Refused> {
    let change = &statement.body;
    not_halted(change, control)?;
    let Some(wave) = change.wave_of(me) else {
        return Err(Refused::new(Code::ChangeNotForMe, "this host is in no wave"));
    };
    let Some(gate) = change.gate_of(wave) else {
        return Ok(GateOpen { wave, slowest_s: 0 });
    };
    let earlier = change.before(wave);
    // A host that told two ends counts as failed: the server chooses what it shows, and in which order.
    let mut told: BTreeMap<AgentId, bool> = BTreeMap::new();
    let (mut last, mut slowest_s) = (Timestamp::default(), 0);
    for envelope in ends {
        let Ok(Some(end)) = Summary::told(envelope, &change.site) else { continue };
        if end.change != statement.digest || !earlier.contains(&end.agent_id) {
            continue;
        }
        // An end in the future would put off everybody else for as long as one host likes.
        let possible = end.finished <= now.plus(limits::CLOCK_SKEW_SECS);
        let good = possible && end.outcome.is_success();
        *told.entry(end.agent_id).or_insert(true) &= good;
        if possible {
            last = last.max(end.finished);
        }
        if good {
            slowest_s = slowest_s.max(end.finished.since(end.started));
        }
    }
    Tally::of(gate, &earlier, &told, |host| reach.leaves_out(host)).check()?;
    let soaked = last.plus(i64::from(gate.soak_s));
    if now < soaked {
        return Err(Refused::until(
            Code::WaveGate,
            format!("earlier waves are watched until {soaked}"),
            soaked,
        ));
    }
    Ok(GateOpen { wave, slowest_s })
}

/// How many hosts of earlier waves ended how, against what a gate asks for.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    gate: Gate,
    good: u32,
    bad: u32,
    needed: u32,
}

impl Tally {
    /// `told` says who succeeded; hosts that are `left_out` need not.
    pub fn of(
        gate: Gate,
        earlier: &BTreeSet<AgentId>,
        told: &BTreeMap<AgentId, bool>,
        left_out: impl Fn(AgentId) -> bool,
    ) -> Self {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let count = |good: bool| number(told.values().filter(|end| **end == good).count());
        let absent = |host: &&AgentId| left_out(**host) && told.get(host) != Some(&true);
        let absent = number(earlier.iter().filter(absent).count());
        let needed = gate.min_success.saturating_sub(absent).max(1);
        Self { gate, good: count(true), bad: count(false), needed }
    }

    /// Whether more hosts have failed than may.
    pub fn has_failed(&self) -> bool {
        self.bad > self.gate.max_fail
    }

    /// Whether as many hosts have succeeded as must.
    pub fn is_enough(&self) -> bool {
        self.good >= self.needed
    }

    fn check(&self) -> Result<(), Refused> {
        let Self { gate, good, bad, needed } = self;
        let message = match (self.has_failed(), self.is_enough(), good + bad) {
            (true, ..) => format!("{bad} hosts of earlier waves failed; at most {} may", gate.max_fail),
            (false, true, _) => return Ok(()),
            (false, false, 0) => {
                format!("{needed} hosts of earlier waves must succeed before it is this host's turn")
            }
            (false, false, _) => format!("{good} of {needed} hosts of earlier waves have succeeded"),
        };
        Err(Refused::new(Code::WaveGate, message))
    }
}

/// The budgets of which `me` needs a slot. None where somebody has broken the glass: that works without the server.
pub fn budgets_of(approved: &Approved, control: &Control, me: AgentId) -> BTreeSet<BudgetName> {
    let covering = control.budgets.iter().filter(|budget| approved.glass.is_none() && budget.covers(me));
    covering.map(|budget| budget.name.clone()).collect()
}

/// The last step before a start: the server has leased this host a slot of each budget in `needed`, for longer than `now`.
///
/// # Errors
/// `lock.held` with who has the slots, `lock.unanswered`.
pub fn take_turn(
    gate: GateOpen,
    needed: &BTreeSet<BudgetName>,
    answer: Option<&Slots>,
    now: Timestamp,
) -> Result<Turn, Refused> {
    let GateOpen { wave, .. } = gate;
    let unanswered = |budget: &BudgetName| {
        let message = format!("the server has not given this host a slot of the budget {budget}");
        Err(Refused::new(Code::LockUnanswered, message))
    };
    match answer {
        Some(Slots::Held(used)) => Err(used.refused()),
        Some(Slots::Granted(lease)) if now < lease.until => match needed.difference(&lease.budgets).next() {
            Some(missing) => unanswered(missing),
            None => Ok(Turn { wave, slots: lease.budgets.clone() }),
        },
        Some(Slots::Granted(_) | Slots::Free | Slots::Returned) | None => match needed.first() {
            Some(missing) => unanswered(missing),
            None => Ok(Turn { wave, slots: BTreeSet::new() }),
        },
    }
}
