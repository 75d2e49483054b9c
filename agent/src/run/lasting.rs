//! What outlives a run: software that is not in effect yet, and what failed and must not come back by itself.

use super::{Agent, Tick};
use crate::decide::Chore;
use crate::hands::Hands;
use crate::journal::{Effect, Lasting};
use crate::receipt;
use crate::server::Server;
use crate::state::{Open, Quarantined, Running, StateError};
use shared::change::Change;
use shared::plan::Action;
use shared::receipt::Receipt;
use shared::refusal::{Code, Refused};
use shared::statement::Statement;
use std::collections::BTreeSet;

impl<H: Hands, S: Server> Agent<H, S> {
    /// What failed here and was undone does not come back by itself.
    pub(super) fn not_quarantined(&self, change: &Change, actions: &[Action]) -> Result<(), Refused> {
        if change.lift_quarantine {
            return Ok(());
        }
        let Some(found) = self.state.quarantine().iter().find(|entry| entry.is_in(actions)) else {
            return Ok(());
        };
        let mut what: Vec<&str> = found.effects.iter().map(|effect| effect.resource.as_str()).collect();
        let more = if what.len() > 3 { format!(" and {} more", what.len() - 3) } else { String::new() };
        what.truncate(3);
        let Quarantined { change_id, revision, at, why, .. } = found;
        let message = format!(
            "{}{more} as in {change_id} revision {revision} failed here at {at} and was undone ({why}); it is done \
             again only by a change that lifts the quarantine",
            what.join(", ")
        );
        Err(Refused::new(Code::PlanQuarantined, message))
    }

    /// An approved change that says so does again what is quarantined.
    pub(super) fn lift(&mut self, change: &Change, actions: &[Action]) -> Result<(), StateError> {
        if !change.lift_quarantine {
            return Ok(());
        }
        let mut kept = self.state.quarantine().to_vec();
        kept.retain(|entry| !entry.is_in(actions));
        if kept.len() < self.state.quarantine().len() { self.state.set_quarantine(kept) } else { Ok(()) }
    }

    /// Software that is installed and not in effect is looked at again.
    pub(super) fn keep_open(
        &mut self,
        running: &Running,
        receipt: &Statement<Receipt>,
        lasting: Option<Lasting>,
    ) -> Result<(), StateError> {
        let (Some(lasting), Some(patched)) = (lasting, receipt.body.patched.clone()) else { return Ok(()) };
        let mut open = self.state.open_runs().to_vec();
        open.retain(|other| other.receipt != receipt.digest);
        let (running, outcome) = (running.clone(), receipt.body.outcome);
        open.push(Open { running, receipt: receipt.digest, outcome, patched, lasting });
        self.state.set_open(open)
    }

    pub(super) fn keep_quarantined(
        &mut self,
        running: &Running,
        receipt: &Statement<Receipt>,
        effects: Vec<Effect>,
    ) -> Result<(), StateError> {
        let effects: BTreeSet<Effect> = effects.into_iter().collect();
        let mut all = self.state.quarantine().to_vec();
        if effects.is_empty() || all.iter().any(|entry| entry.effects == effects) {
            return Ok(());
        }
        let Running { change_id, revision, .. } = running.clone();
        let Receipt { finished: at, note: why, .. } = receipt.body.clone();
        all.push(Quarantined { effects, change_id, revision, at, receipt: receipt.digest, why });
        self.state.set_quarantine(all)
    }

    /// Tells, once for each run, that its software is in effect now.
    pub(super) fn follow(&mut self, tick: &mut Tick) -> Result<(), StateError> {
        tick.pending = Chore::Settled;
        for open in self.state.open_runs().to_vec() {
            let followed = match self.hands.follow(&open, tick.now) {
                Ok(Some(followed)) => followed,
                Ok(None) => continue,
                Err(refused) => {
                    tick.report
                        .trouble(&format!("what is pending could not be looked at: {}", refused.message));
                    return Ok(());
                }
            };
            let receipt = receipt::follow_up(&mut self.state, &self.voice, &open, followed, tick.now)?;
            let outcome = receipt.body.outcome;
            self.mark_executed(&open.running, Some(outcome))?;
            let mut rest = self.state.open_runs().to_vec();
            rest.retain(|other| other.receipt != open.receipt);
            self.state.set_open(rest)?;
            let Running { change_id, revision, .. } = open.running;
            tick.report
                .line(format!("{change_id} revision {revision} is in effect now: {}", outcome.as_str()));
            self.tell(&(change_id.clone(), revision), outcome.as_str(), None);
            tick.report.ran.push((change_id, revision, outcome));
            tick.spool = Chore::Due;
        }
        Ok(())
    }
}
