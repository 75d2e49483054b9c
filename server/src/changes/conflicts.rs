//! What gets in the way of a change: calendars, other changes, and budgets with too few slots. What of it the policy lets nobody
//! approve is kept from being approved here, under the lock of all approvals, so that of two changes that meet one is first.

use super::course::is_listed;
use super::store;
use super::view;
use crate::budgets::Standing;
use crate::calendars::{self, Meant};
use crate::cmdb;
use crate::fleet;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::manifests;
use shared::budgets::BudgetNotice;
use shared::change::Change;
use shared::conflict::{Conflict, ConflictKind};
use shared::ids::{AgentId, ChangeId};
use shared::lifecycle::State;
use shared::policy::Policy;
use shared::time::{Interval, Timestamp};
use shared::windows::Blackout;
use shared::wire::{Budget, CalendarMode};
use std::collections::BTreeSet;

/// Hosts that a conflict names.
const SOME: usize = 10;
/// Entries that are looked at to see what a change's hosts have to do with others.
const RELATED: usize = 20_000;

/// What gets in the way of a change from now on, the worst first. Nothing for a change that is over or never runs.
pub fn conflicts(tx: &mut Conn, id: &ChangeId, now: Timestamp) -> Result<Vec<Conflict>, Error> {
    let row = store::get(tx, id)?;
    if row.statement.is_none() || row.is_record() || matches!(row.state()?, State::Closed(_) | State::Review)
    {
        return Ok(Vec::new());
    }
    let policy = manifests::policy(tx)?.policy;
    let change = view::revision(tx, &row)?.body;
    of(tx, &policy, change, now)
}

/// Refuses what the policy lets nobody approve: the change as far as it is about `only`, or as a whole.
///
/// # Errors
/// `change.conflict` with the first one.
pub(super) fn check(
    tx: &mut Conn,
    policy: &Policy,
    change: &Change,
    only: Option<&[AgentId]>,
    now: Timestamp,
) -> Result<(), Error> {
    let rules = policy.conflicts.as_ref().filter(|rules| !rules.except.contains(&change.change_type));
    if rules.is_none_or(|rules| rules.block.is_empty()) {
        return Ok(());
    }
    let mut part = change.clone();
    part.targets.retain(|target| only.is_none_or(|only| only.contains(&target.agent)));
    let blocking: Vec<Conflict> =
        of(tx, policy, part, now)?.into_iter().filter(|found| found.blocks).collect();
    let Some(first) = blocking.first() else { return Ok(()) };
    let refusal = Refusal::conflict("change.conflict").with("change", &change.change_id);
    let refusal = refusal.with("kind", first.kind.as_str()).with("with", &first.with);
    let refusal = refusal.with("from", first.at.from).with("until", first.at.until);
    Err(refusal.with("hosts", first.hosts).with("count", blocking.len()).into())
}

fn of(tx: &mut Conn, policy: &Policy, mut change: Change, now: Timestamp) -> Result<Vec<Conflict>, Error> {
    change.intervals.retain(|time| time.until > now);
    let Some(until) = change.usable().map(|time| time.until).max() else { return Ok(Vec::new()) };
    let span = Interval { from: now, until };
    let mut found = Vec::new();
    for mode in [CalendarMode::Hard, CalendarMode::Warn] {
        let hard = mode == CalendarMode::Hard;
        found.extend(with_calendars(&change, hard, &calendars::between(tx, mode, span)?));
    }
    let outside = Meant::of(tx, span)?.outside(&change, now);
    found.extend(outside.iter().map(|(at, of)| {
        let names: Vec<&str> = of.calendars.iter().map(|name| name.as_str()).collect();
        let with = (names.join(", "), of.title.as_str());
        conflict(ConflictKind::OutsideWindow, with, *at, &of.hosts)
    }));
    let budgets = Standing::of(tx, now)?;
    found.extend(budgets.budgets().filter_map(|(notice, budget)| with_budget(&change, notice, budget)));
    let blocks = |found: &mut Vec<Conflict>| {
        for conflict in found {
            conflict.blocks = policy.blocks(change.change_type, conflict.kind);
        }
    };
    blocks(&mut found);
    let related = related(tx, &change)?;
    for row in view::list_open(tx)? {
        if row.id == change.change_id.as_str() {
            continue;
        }
        let other = view::revision(tx, &row)?.body;
        let mut with = with_change(&change, &other, &related);
        // Of two that wait for approval neither keeps back the other.
        if is_listed(row.state()?) {
            blocks(&mut with);
        }
        found.extend(with);
    }
    found.sort();
    Ok(found)
}

/// Hosts that stand on those of a change, or that those stand on, as far as the CMDB declares it and it can be followed.
fn related(tx: &mut Conn, change: &Change) -> Result<BTreeSet<AgentId>, Error> {
    let hosts = fleet::list(tx)?;
    let targets = hosts_of(change);
    let starts: Vec<i64> =
        hosts.iter().filter(|host| targets.contains(&host.agent)).map(|host| host.ci.0).collect();
    let mut found: BTreeSet<i64> = BTreeSet::new();
    found.extend(cmdb::serving(tx, &starts, RELATED)?.unwrap_or_default());
    found.extend(cmdb::relying(tx, &starts, RELATED)?.unwrap_or_default());
    Ok(hosts.iter().filter(|host| found.contains(&host.ci.0)).map(|host| host.agent).collect())
}

/// The first time at which something of both is.
fn first_overlap(these: &[Interval], those: &[Interval]) -> Option<Interval> {
    let both = these.iter().flat_map(|one| those.iter().map(|other| one.overlap(other)));
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
        blocks: false,
    }
}

fn hosts_of(change: &Change) -> BTreeSet<AgentId> {
    change.targets.iter().map(|target| target.agent).collect()
}

/// Conflicts with blackouts, or with calendars that only warn.
fn with_calendars(change: &Change, hard: bool, calendars: &[Blackout]) -> Vec<Conflict> {
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
        let nothing = open.iter().all(|open| open.without(calendar.intervals.iter().copied()).is_empty());
        let kind = match (hard, nothing) {
            (true, true) => ConflictKind::Closed,
            (true, false) => ConflictKind::Blackout,
            (false, _) => ConflictKind::Warning,
        };
        found.push(conflict(kind, (&calendar.name, &calendar.title), at, &held));
    }
    found
}

/// Conflicts with another change that is not over and may run at the same time: on some of the same hosts, or on others of
/// `related`, which rely on those of this change or on which these rely.
fn with_change(change: &Change, other: &Change, related: &BTreeSet<AgentId>) -> Vec<Conflict> {
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
fn with_budget(change: &Change, notice: &BudgetNotice, budget: &Budget) -> Option<Conflict> {
    let mut covered = hosts_of(change);
    covered.retain(|agent| notice.covers(*agent));
    let short = usize::try_from(budget.slots).is_ok_and(|slots| slots < covered.len());
    let at = change.usable().next().filter(|_| short)?;
    Some(conflict(ConflictKind::Slots, (&notice.name, &budget.title), at, &covered))
}
