//! Health checks of what is approved, outside of runs: looked at in their own time, told when they say something else.

use super::{Agent, Tick};
use crate::decide::{Chore, splay_secs};
use crate::drift;
use crate::hands::Hands;
use crate::server::Server;
use crate::state::StateError;
use shared::health::{HealthReport, HealthResult, HealthState};
use shared::statement::Statement;
use shared::time::Timestamp;
use std::collections::BTreeMap;

/// Seconds after which everything is told again, with the numbers of that time.
const AGAIN_SECS: i64 = 3_600;

impl<H: Hands, S: Server> Agent<H, S> {
    pub(super) fn health_due(&self, now: Timestamp, quiet: bool) -> Chore {
        let due = self.config.health_secs > 0 && !quiet && now >= self.memory.next_health;
        if due { Chore::Due } else { Chore::Settled }
    }

    pub(super) fn look_at_health(&mut self, tick: &mut Tick) -> Result<(), StateError> {
        tick.health = Chore::Settled;
        let every = self.config.health_secs;
        let splay = splay_secs(self.state.site().agent, every);
        self.memory.next_health = tick.now.plus(i64::from(every) + i64::from(splay));
        let upheld = drift::upheld(&self.state)?;
        let checks = self.hands.look_at_health(&upheld.states);
        let states: BTreeMap<String, HealthState> =
            checks.iter().map(|check| (check.name.clone(), check.state())).collect();
        let known = match &self.memory.health {
            Some((at, told)) => *told == states && (0..AGAIN_SECS).contains(&tick.now.since(*at)),
            None => states.is_empty(),
        };
        if known {
            return Ok(());
        }
        checks.iter().filter(|check| !check.ok).for_each(|check| {
            let (name, state, output) = (&check.name, check.state().as_str(), &check.output);
            tick.report.line(format!("health check {name}: {state}: {output}"));
        });
        let report = self.health_report(checks, tick.now);
        match self.server.send_health(&report.envelope) {
            Ok(()) => self.memory.health = Some((tick.now, states)),
            Err(e) => {
                tick.health = Chore::Failed;
                self.lost(tick, "telling of health checks", &e);
            }
        }
        Ok(())
    }

    fn health_report(&self, checks: Vec<HealthResult>, at: Timestamp) -> Statement<HealthReport> {
        let site = self.state.site();
        let body = HealthReport { site: site.site.clone(), agent_id: site.agent, key: self.key, at, checks };
        Statement::sign(body, self.state.key())
    }
}
