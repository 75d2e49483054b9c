//! What this host has put back by itself of late: a fight with another tool ends after a few rounds a day.

use crate::state::{State, StateError};
use serde::{Deserialize, Serialize};
use shared::ids::ResourceId;
use shared::strict;
use shared::time::Timestamp;
use std::collections::BTreeMap;

/// How often one resource is put back within a day.
pub const A_DAY: usize = 3;
const DAY_SECS: i64 = 86_400;
/// Resources that are remembered; a host on which more are changed by others is left to people.
const REMEMBERED: usize = 10_000;
const FILE: &str = "corrections.json";

/// Written before a correction begins (`corrections.json`), so that one that was broken off counts as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Corrections {
    /// The number that was given last.
    last: u64,
    /// When each resource was put back, within the last day.
    done: BTreeMap<ResourceId, Vec<Timestamp>>,
}

impl Corrections {
    /// # Errors
    /// Unreadable or damaged.
    pub fn load(state: &State, now: Timestamp) -> Result<Self, StateError> {
        let mut all: Self = state.read_own(FILE)?.unwrap_or_default();
        // A clock that was ahead must not bar corrections for long.
        all.done.values_mut().for_each(|times| {
            times.retain(|at| (-DAY_SECS..DAY_SECS).contains(&now.since(*at)));
        });
        all.done.retain(|_, times| !times.is_empty());
        Ok(all)
    }

    /// # Errors
    /// The disk's.
    pub fn keep(&self, state: &mut State) -> Result<(), StateError> {
        state.put(FILE, &strict::to_json(self))
    }

    /// When a resource that was put back too often may be put back again; `None` when it may now.
    pub fn barred(&self, resource: &ResourceId) -> Option<Timestamp> {
        let times = self.done.get(resource);
        let often = times.filter(|times| times.len() >= A_DAY);
        often.and_then(|times| times.iter().min()).map(|first| first.plus(DAY_SECS))
    }

    /// Whether no further resource can be remembered.
    pub fn is_full(&self) -> bool {
        self.done.len() >= REMEMBERED
    }

    /// Takes note of the next correction and gives its number.
    pub fn begin<'r>(&mut self, resources: impl IntoIterator<Item = &'r ResourceId>, now: Timestamp) -> u64 {
        self.last += 1;
        for resource in resources {
            self.done.entry(resource.clone()).or_default().push(now);
        }
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_put_back_a_few_times_a_day() {
        let file: ResourceId = "file:/etc/motd".parse().unwrap();
        let other: ResourceId = "file:/etc/issue".parse().unwrap();
        let mut all = Corrections::default();
        for n in 0..A_DAY {
            assert_eq!(all.barred(&file), None);
            assert_eq!(all.begin([&file], Timestamp(n as i64)), n as u64 + 1);
        }
        assert_eq!(all.barred(&file), Some(Timestamp(DAY_SECS)));
        assert_eq!(all.barred(&other), None);
    }
}
