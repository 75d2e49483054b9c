//! How long something has been missing in a host's chain. Hosts fill a gap with what they kept, a minute later; one that lasts
//! means that a statement is lost, or held back.
//!
//! Owns what this node has noticed, in memory: the last place of each host that ever missed one. A restart begins anew.

use shared::ids::AgentId;
use shared::time::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// After so many seconds a host would have filled it.
const LASTING_SECS: i64 = 600;

/// For each host the place that is missing, and when that was first noticed. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Gaps(Arc<Mutex<HashMap<AgentId, (u64, Timestamp)>>>);

impl Gaps {
    /// Notes that `expected` is missing. The time since when, if that is long.
    pub fn missing(&self, agent: AgentId, expected: u64, now: Timestamp) -> Option<Timestamp> {
        let mut gaps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (place, since) = gaps.entry(agent).or_insert((expected, now));
        if *place != expected {
            (*place, *since) = (expected, now);
        }
        (now.since(*since) >= LASTING_SECS).then_some(*since)
    }
}
