//! Calendars of windows: when hosts are meant to be changed. What lies elsewhere is a conflict; no host is told.

use super::between;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::change::ChangeType;
use shared::ids::AgentId;
use shared::time::Interval;
use shared::windows::Blackout;
use shared::wire::CalendarMode;
use std::collections::{BTreeMap, BTreeSet};

/// Hosts that are meant to be changed in the times of the same calendars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meant {
    /// The names of the calendars.
    pub calendars: Vec<String>,
    /// Of all of them.
    pub title: String,
    pub hosts: BTreeSet<AgentId>,
    /// Of all of them together; they may overlap.
    pub intervals: Vec<Interval>,
}

/// When these hosts are meant to be changed by changes of this type; nothing of hosts that lie in the reach of no such calendar.
pub fn meant(
    tx: &mut Conn,
    (of, hosts): (ChangeType, &BTreeSet<AgentId>),
    span: Interval,
) -> Result<Vec<Meant>, Error> {
    let mut all = between(tx, CalendarMode::Window, span)?;
    all.retain(|calendar| calendar.holds.contains(&of));
    Ok(grouped(&all, hosts))
}

fn grouped(calendars: &[Blackout], hosts: &BTreeSet<AgentId>) -> Vec<Meant> {
    let mut groups: BTreeMap<Vec<usize>, BTreeSet<AgentId>> = BTreeMap::new();
    for host in hosts {
        let reaches = |(_, calendar): &(usize, &Blackout)| {
            calendar.agents.as_ref().is_none_or(|agents| agents.contains(host))
        };
        let own: Vec<usize> = calendars.iter().enumerate().filter(reaches).map(|(place, _)| place).collect();
        if !own.is_empty() {
            groups.entry(own).or_default().insert(*host);
        }
    }
    let group = |(places, hosts): (Vec<usize>, BTreeSet<AgentId>)| {
        let own: Vec<&Blackout> = places.iter().filter_map(|place| calendars.get(*place)).collect();
        let titles: Vec<&str> = own.iter().map(|calendar| calendar.title.as_str()).collect();
        Meant {
            calendars: own.iter().map(|calendar| calendar.name.to_string()).collect(),
            title: titles.join("; "),
            hosts,
            intervals: own.iter().flat_map(|calendar| calendar.intervals.iter().copied()).collect(),
        }
    };
    groups.into_iter().map(group).collect()
}
