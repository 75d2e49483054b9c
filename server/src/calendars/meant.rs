//! Calendars of windows: when hosts are meant to be changed. What lies elsewhere is a conflict; no host is told.

use super::{entry, model, store};
use crate::fleet::Chosen;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::change::{Change, ChangeType};
use shared::conflict::first_outside;
use shared::ids::AgentId;
use shared::time::{Interval, Timestamp};
use shared::windows::{Blackout, CalendarName};
use shared::wire::CalendarMode;
use std::collections::{BTreeMap, BTreeSet};

/// All calendars of windows, each with when it was last changed.
pub struct Meant(Vec<(Timestamp, Blackout)>);

/// Hosts that are meant to be changed in the times of the same calendars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Together {
    pub calendars: Vec<CalendarName>,
    /// Of all of them.
    pub title: String,
    pub hosts: BTreeSet<AgentId>,
    /// Of all of them together; they may overlap.
    pub intervals: Vec<Interval>,
    /// When one of them was last changed.
    pub changed: Timestamp,
}

impl Meant {
    /// With their times that touch `span`.
    pub fn of(tx: &mut Conn, span: Interval) -> Result<Self, Error> {
        let (mut all, mut chosen) = (Vec::new(), Chosen::default());
        for (name, step) in store::list(tx)? {
            if let Some(calendar) = step.calendar.filter(|calendar| calendar.mode == CalendarMode::Window) {
                all.push((step.at, entry(tx, &mut chosen, (name, calendar), span)?));
            }
        }
        Ok(Self(all))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When these hosts are meant to be changed by changes of this type; nothing of hosts that lie in the reach of no calendar.
    pub fn for_hosts(&self, of: ChangeType, hosts: &BTreeSet<AgentId>) -> Vec<Together> {
        let mut groups: BTreeMap<Vec<usize>, BTreeSet<AgentId>> = BTreeMap::new();
        for host in hosts {
            let reaches = |(_, (_, calendar)): &(usize, &(Timestamp, Blackout))| {
                let is_in = calendar.agents.as_ref().is_none_or(|agents| agents.contains(host));
                is_in && calendar.holds.contains(&of)
            };
            let own: Vec<usize> = self.0.iter().enumerate().filter(reaches).map(|(place, _)| place).collect();
            if !own.is_empty() {
                groups.entry(own).or_default().insert(*host);
            }
        }
        groups.into_iter().map(|(places, hosts)| self.together(&places, hosts)).collect()
    }

    fn together(&self, places: &[usize], hosts: BTreeSet<AgentId>) -> Together {
        let own: Vec<&(Timestamp, Blackout)> = places.iter().filter_map(|place| self.0.get(*place)).collect();
        let titles: Vec<&str> = own.iter().map(|(_, calendar)| calendar.title.as_str()).collect();
        Together {
            calendars: own.iter().map(|(_, calendar)| calendar.name.clone()).collect(),
            title: titles.join("; "),
            hosts,
            intervals: own.iter().flat_map(|(_, calendar)| calendar.intervals.iter().copied()).collect(),
            changed: own.iter().map(|(at, _)| *at).max().unwrap_or_default(),
        }
    }

    /// The windows of a change from `now` on that lie outside, each with whose they are outside of: the first part of it.
    pub fn outside(&self, change: &Change, now: Timestamp) -> Vec<(Interval, Together)> {
        let hosts = change.targets.iter().map(|target| target.agent).collect();
        let groups = self.for_hosts(change.change_type, &hosts).into_iter();
        groups
            .filter_map(|group| Some((first_outside(change.usable(), &group.intervals, now)?, group)))
            .collect()
    }
}

impl Together {
    /// Whether these calendars have moved away from a change that lies outside of them now: it lay within when it was signed, or there
    /// were none.
    pub fn have_moved_from(&self, tx: &mut Conn, change: &Change, now: Timestamp) -> Result<bool, Error> {
        if self.changed <= change.created {
            return Ok(false);
        }
        let until = change.usable().map(|time| time.until).max().unwrap_or(now);
        let (mut times, mut none) = (Vec::new(), true);
        for name in &self.calendars {
            let then = store::history(tx, name)?.into_iter().find(|step| step.at <= change.created);
            let then = then.and_then(|step| step.calendar);
            if let Some(calendar) = then.filter(|calendar| calendar.mode == CalendarMode::Window) {
                times.extend(model::times(&calendar, Interval { from: now, until })?);
                none = false;
            }
        }
        Ok(none || first_outside(change.usable(), &times, now).is_none())
    }
}
