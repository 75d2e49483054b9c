//! Times of several things laid over one another. Pure.

use shared::budgets::BudgetNotice;
use shared::change::Change;
use shared::ids::AgentId;
use shared::time::Interval;
use shared::windows::Blackout;
use shared::wire::{Budget, CalendarMode, Conflict, ConflictKind};
use std::collections::BTreeSet;

/// Hosts that a conflict names.
const SOME: usize = 10;

/// What is left of `span` when all of `taken` is taken out of it, ascending.
pub(super) fn without(span: Interval, taken: impl IntoIterator<Item = Interval>) -> Vec<Interval> {
    let mut taken: Vec<Interval> = taken.into_iter().collect();
    taken.sort_by_key(|time| time.from);
    let (mut free, mut from) = (Vec::new(), span.from);
    for time in taken.into_iter().filter(|time| !time.is_empty() && time.from < span.until) {
        let before = Interval { from, until: time.from };
        if !before.is_empty() {
            free.push(before);
        }
        from = from.max(time.until);
    }
    let rest = Interval { from, until: span.until };
    if !rest.is_empty() {
        free.push(rest);
    }
    free
}

/// The first time at which something of both is.
fn first_overlap(these: &[Interval], those: &[Interval]) -> Option<Interval> {
    let both = these.iter().flat_map(|one| {
        those
            .iter()
            .map(|other| Interval { from: one.from.max(other.from), until: one.until.min(other.until) })
    });
    both.filter(|time| !time.is_empty()).min_by_key(|time| time.from)
}

fn conflict(
    kind: ConflictKind,
    (with, title): (impl ToString, &str),
    at: Interval,
    hosts: &BTreeSet<AgentId>,
) -> Conflict {
    Conflict {
        kind,
        with: with.to_string(),
        title: title.to_owned(),
        at,
        hosts: u32::try_from(hosts.len()).unwrap_or(u32::MAX),
        some: hosts.iter().take(SOME).copied().collect(),
    }
}

/// Conflicts with calendars of one mode.
pub(super) fn with_calendars(change: &Change, mode: CalendarMode, calendars: &[Blackout]) -> Vec<Conflict> {
    let agents: BTreeSet<AgentId> = change.targets.iter().map(|target| target.agent).collect();
    let open: Vec<Interval> = change.usable().collect();
    let mut found = Vec::new();
    for calendar in calendars.iter().filter(|calendar| calendar.holds.contains(&change.change_type)) {
        let held: BTreeSet<AgentId> = match &calendar.agents {
            Some(held) => agents.intersection(held).copied().collect(),
            None => agents.clone(),
        };
        let Some(at) = first_overlap(&open, &calendar.intervals).filter(|_| !held.is_empty()) else {
            continue;
        };
        let nothing = open.iter().all(|open| without(*open, calendar.intervals.iter().copied()).is_empty());
        let kind = match mode {
            CalendarMode::Warn => ConflictKind::Warning,
            CalendarMode::Hard if nothing => ConflictKind::Closed,
            CalendarMode::Hard => ConflictKind::Blackout,
        };
        found.push(conflict(kind, (&calendar.name, &calendar.title), at, &held));
    }
    found
}

/// The conflict with another change that may run at the same time on hosts that are related to those of this one: they rely
/// on each other. `related` are those hosts.
pub(super) fn with_related(change: &Change, other: &Change, related: &BTreeSet<AgentId>) -> Option<Conflict> {
    let own: BTreeSet<AgentId> = change.targets.iter().map(|target| target.agent).collect();
    let others = other.targets.iter().map(|target| target.agent);
    let both = others.filter(|agent| related.contains(agent) && !own.contains(agent)).collect();
    let [open, others]: [Vec<Interval>; 2] = [change, other].map(|change| change.usable().collect());
    let at = first_overlap(&open, &others).filter(|_| !BTreeSet::is_empty(&both))?;
    Some(conflict(ConflictKind::Related, (&other.change_id, &other.title), at, &both))
}

/// The conflict with a budget that lets fewer hosts change at once than it covers of the change.
pub(super) fn with_budget(change: &Change, notice: &BudgetNotice, budget: &Budget) -> Option<Conflict> {
    let agents = change.targets.iter().map(|target| target.agent);
    let covered: BTreeSet<AgentId> = agents.filter(|agent| notice.covers(*agent)).collect();
    let short = usize::try_from(budget.slots).is_ok_and(|slots| slots < covered.len());
    let at = change.usable().next().filter(|_| short)?;
    Some(conflict(ConflictKind::Slots, (&notice.name, &budget.title), at, &covered))
}

/// The conflict with another change that is not over, if it may run on some of the same hosts at the same time.
pub(super) fn with_change(change: &Change, other: &Change) -> Option<Conflict> {
    let agents: BTreeSet<AgentId> = change.targets.iter().map(|target| target.agent).collect();
    let both =
        other.targets.iter().map(|target| target.agent).filter(|agent| agents.contains(agent)).collect();
    let [open, others]: [Vec<Interval>; 2] = [change, other].map(|change| change.usable().collect());
    let at = first_overlap(&open, &others).filter(|_| !BTreeSet::is_empty(&both))?;
    Some(conflict(ConflictKind::SameHosts, (&other.change_id, &other.title), at, &both))
}
