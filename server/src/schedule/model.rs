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

pub(super) fn hosts_of(change: &Change) -> BTreeSet<AgentId> {
    change.targets.iter().map(|target| target.agent).collect()
}

/// Conflicts with calendars of one mode.
pub(super) fn with_calendars(change: &Change, mode: CalendarMode, calendars: &[Blackout]) -> Vec<Conflict> {
    let agents = hosts_of(change);
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

/// Conflicts with another change that is not over and may run at the same time: on some of the same hosts, or on others of
/// `related`, which rely on those of this change or on which these rely.
pub(super) fn with_change(change: &Change, other: &Change, related: &BTreeSet<AgentId>) -> Vec<Conflict> {
    let [open, its]: [Vec<Interval>; 2] = [change, other].map(|change| change.usable().collect());
    let Some(at) = first_overlap(&open, &its) else { return Vec::new() };
    let [own, others] = [change, other].map(hosts_of);
    let same = own.intersection(&others).copied().collect();
    let near = others.intersection(related).filter(|agent| !own.contains(agent)).copied().collect();
    let found: [(ConflictKind, BTreeSet<AgentId>); 2] =
        [(ConflictKind::SameHosts, same), (ConflictKind::Related, near)];
    let with = |(kind, hosts)| conflict(kind, (&other.change_id, &other.title), at, &hosts);
    found.into_iter().filter(|(_, hosts)| !hosts.is_empty()).map(with).collect()
}

/// The conflict with a budget that lets fewer hosts change at once than it covers of the change.
pub(super) fn with_budget(change: &Change, notice: &BudgetNotice, budget: &Budget) -> Option<Conflict> {
    let mut covered = hosts_of(change);
    covered.retain(|agent| notice.covers(*agent));
    let short = usize::try_from(budget.slots).is_ok_and(|slots| slots < covered.len());
    let at = change.usable().next().filter(|_| short)?;
    Some(conflict(ConflictKind::Slots, (&notice.name, &budget.title), at, &covered))
}
