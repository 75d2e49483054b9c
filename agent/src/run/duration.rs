//! How long runs take on this host, so that none begins that would not end in its window.

use super::Agent;
use crate::admit::{Admitted, applied_key};
use crate::hands::Hands;
use crate::server::Server;
use crate::state::{Running, StateError};
use shared::admit;
use shared::limits;
use shared::plan::Plan;
use shared::receipt::{HostOutcome, Receipt};
use shared::refusal::Refused;
use shared::strict::{self, Map};
use shared::time::Timestamp;

/// Seconds by `team/name` of a manifest. Nothing depends on it but when a run begins: where it is gone or damaged, hosts of
/// earlier waves are believed.
const FILE: &str = "took.json";
/// No window of a rule is longer; what took longer says nothing about when to begin.
const LONGEST_S: i64 = limits::WINDOW_SECONDS as i64;

type Took = Map<String, i64>;

impl<H: Hands, S: Server> Agent<H, S> {
    /// Whether the run would end in what is left of its window, by what was measured here, or else in earlier waves.
    /// Whoever breaks the glass is not asked.
    pub(super) fn has_time(&self, admitted: &Admitted, plan: &Plan, now: Timestamp) -> Result<(), Refused> {
        if admitted.approved.glass().is_some() || plan.actions.is_empty() {
            return Ok(());
        }
        let change = &admitted.approved.change().body;
        let took = self.took();
        let here = change.manifests.iter().filter_map(|named| took.get(&applied_key(named))).max();
        let slowest = here.copied().unwrap_or_else(|| admitted.gate.slowest_s());
        admit::ends_in_time(&admitted.window, change, slowest.min(LONGEST_S), now)
    }

    /// The slowest run counts for long: with each that takes less, a quarter of it is forgotten.
    pub(super) fn keep_duration(&mut self, running: &Running, receipt: &Receipt) -> Result<(), StateError> {
        let secs = receipt.finished.since(receipt.started);
        if receipt.outcome != HostOutcome::Applied || !(0..=LONGEST_S).contains(&secs) {
            return Ok(());
        }
        let mut took = self.took();
        let before = took.0.clone();
        for (name, _) in &running.manifests {
            let faded = took.get(name).map_or(0, |slowest| slowest - slowest / 4);
            took.0.insert(name.clone(), secs.max(faded));
        }
        if took.0 == before { Ok(()) } else { self.state.put(FILE, &strict::to_json(&took)) }
    }

    fn took(&self) -> Took {
        self.state.read_own(FILE).ok().flatten().unwrap_or_default()
    }
}
