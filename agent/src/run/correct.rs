//! Putting back what others changed, where the approval of what was there stands. Everything that a start needs is
//! verified again, and the run goes the same way: journal, steps, health checks, undo, receipt.

use super::start::running;
use super::{Agent, Tick};
use crate::admit::{self, Admitted};
use crate::apply::Progress;
use crate::decide::Chore;
use crate::drift::{self, A_DAY, ApprovedState, Book, Corrections};
use crate::hands::{Correction, Hands, Order};
use crate::journal::Outcome;
use crate::pull;
use crate::receipt;
use crate::server::Server;
use crate::state::{Correcting, Running, StateError};
use shared::admit::Verified;
use shared::finding::{Expected, Presence};
use shared::ids::ResourceId;
use shared::refusal::{Code, Refused};
use shared::time::Timestamp;
use shared::tuf::TargetName;
use std::collections::BTreeSet;

/// A correction that may begin, with the book of corrections that has to be durable before it does.
struct Ready {
    order: Order,
    running: Running,
    corrections: Corrections,
}

impl<H: Hands, S: Server> Agent<H, S> {
    /// Findings about states whose manifests want them put back; they were told before anything is done about them.
    pub(super) fn want_corrections(&mut self, book: &Book, states: &[ApprovedState], tick: &mut Tick) {
        let wanted =
            |expected: &Expected| states.iter().any(|s| s.expected == *expected && s.manifest.corrects());
        let there = book.entries().iter().filter(|e| e.presence == Presence::There && e.said.is_some());
        let wanted = there.filter(|entry| entry.about.state().is_some_and(wanted));
        self.memory.corrections = wanted.map(|entry| entry.number).collect();
        tick.correct = if self.memory.corrections.is_empty() { Chore::Settled } else { Chore::Due };
    }

    /// Answers one finding: puts back what may be put back, or says at the finding why not.
    pub(super) fn correct(&mut self, tick: &mut Tick) -> Result<(), StateError> {
        let Some(finding) = self.memory.corrections.pop() else {
            tick.correct = Chore::Settled;
            return Ok(());
        };
        let prepared = self.prepare_correction(finding, tick)?;
        if std::mem::take(&mut tick.unanswered) {
            // The network's failure is no judgement; the next check tries again.
            return Ok(());
        }
        let Ready { order, running, corrections } = match prepared {
            Ok(Some(ready)) => ready,
            Ok(None) => return Ok(()),
            Err(refused) => return self.not_corrected(finding, &refused, tick),
        };
        let (id, count) = (&running.change_id, order.plan.actions.len());
        tick.report.line(format!("finding {finding}: putting back what {id} brought: {count} actions"));
        self.look_before(tick)?;
        corrections.keep(&mut self.state)?;
        self.state.set_running(running.clone())?;
        match self.apply(order, &running).map_err(|refused| self.journal_fails(&refused))? {
            Progress::Ended(ended) => self.end_correction(running, *ended, tick),
            Progress::Rebooting | Progress::Leaving => Ok(()),
        }
    }

    /// `None` when the finding is no longer there to be answered.
    fn prepare_correction(
        &mut self,
        finding: u64,
        tick: &mut Tick,
    ) -> Result<Result<Option<Ready>, Refused>, StateError> {
        let time = self.clock.steady();
        let now = time.now();
        let Some((state, found)) = self.difference(finding)? else { return Ok(Ok(None)) };
        let mut corrections = Corrections::load(&self.state, now)?;
        let resources = match allowed(&corrections, &found) {
            Ok(resources) => resources,
            Err(refused) => return Ok(Err(refused)),
        };
        let admitted = match self.standing(&state, tick, now)? {
            Ok(admitted) => admitted,
            Err(refused) => return Ok(Err(refused)),
        };
        let Admitted { manifests, approved, logged, window, gate, own_plan } = admitted;
        let change = approved.change().clone();
        let documents: Vec<_> = manifests.iter().map(Verified::get).collect();
        let planned =
            self.hands.plan_back(&documents, &change.body, &state.facts, &resources, &own_plan.body);
        let planned = match planned {
            Ok(planned) => planned,
            Err(refused) => return Ok(Err(refused)),
        };
        let back: BTreeSet<ResourceId> = planned
            .actions
            .iter()
            .map(|action| &action.resource)
            .filter(|id| resources.contains(id))
            .cloned()
            .collect();
        if back.is_empty() {
            let message =
                "what would come of it is not what was approved, or it is of a kind that is only reported";
            return Ok(Err(Refused::new(Code::PlanDrift, message)));
        }
        if let Err(refused) = self.not_quarantined(&change.body, &planned.actions) {
            return Ok(Err(refused));
        }
        if let Err(refused) = self.fetch_for(&manifests, &back, tick, now)? {
            return Ok(Err(refused));
        }
        let plan = self.plan_body(&change, planned, now);
        let turn = match self.take_turn(gate, &approved, tick)? {
            Ok(turn) => turn,
            Err(refused) => return Ok(Err(refused)),
        };
        let Some(repository) = &tick.repository else {
            return Ok(Err(Refused::new(Code::TufInvalid, "there is no verified repository")));
        };
        let admitted = Admitted { manifests, approved, logged, window, gate, own_plan };
        let mut running = running(repository, &admitted, &turn, now);
        let number = corrections.begin(&back, now);
        running.correction = Some(Correcting { number, finding });
        let Admitted { manifests, approved, logged, window, gate: _, own_plan } = admitted;
        let correction = Some(Correction { number, facts: state.facts });
        // A correction brings no program of the agent.
        let vendor = None;
        let order =
            Order { manifests, approved, logged, window, turn, vendor, own_plan, plan, time, correction };
        Ok(Ok(Some(Ready { order, running, corrections })))
    }

    /// The approved state that a finding is about, and what differs from it.
    fn difference(&self, finding: u64) -> Result<Option<(ApprovedState, Vec<ResourceId>)>, StateError> {
        let mut entries = self.memory.book.iter().flat_map(Book::entries);
        let Some(entry) = entries.find(|entry| entry.number == finding) else { return Ok(None) };
        let states = drift::upheld(&self.state)?.states;
        let state = states.into_iter().find(|state| entry.about.state() == Some(&state.expected));
        let found = entry.differences.iter().map(|difference| difference.resource.clone()).collect();
        Ok(state.map(|state| (state, found)))
    }

    /// Everything that proves the approved state, verified as at a start.
    fn standing(
        &mut self,
        state: &ApprovedState,
        tick: &mut Tick,
        now: Timestamp,
    ) -> Result<Result<Admitted, Refused>, StateError> {
        let expected = &state.expected;
        let key = (expected.change_id.clone(), expected.revision);
        let bytes = match self.bundle_bytes(&key, tick)? {
            Ok(bytes) => bytes,
            Err(refused) => return Ok(Err(refused)),
        };
        self.check(tick, now, |court, pulled| {
            let target = TargetName::Change { id: key.0.clone(), revision: key.1 };
            let valid = pulled.repository.trusted.still_valid(now, Some(&target));
            valid.map_err(|e| pull::refused(&e))?;
            let bundle = admit::open_bundle(court, &key.0, key.1, &bytes)?;
            admit::stands(court, expected.change, &bundle, pulled)
        })
    }

    fn fetch_for(
        &mut self,
        manifests: &[Verified<shared::manifest::Manifest>],
        resources: &BTreeSet<ResourceId>,
        tick: &mut Tick,
        now: Timestamp,
    ) -> Result<Result<(), Refused>, StateError> {
        self.check(tick, now, |_, pulled| {
            let all = manifests.iter().flat_map(|manifest| manifest.get().resources());
            for wanted in all.filter(|r| resources.contains(&r.id())).flat_map(|r| r.artifacts()) {
                let got = pull::artifact(pulled.state, pulled.server, wanted);
                got.map_err(|e| pulled.refused(e, Code::ArtifactMissing))?;
            }
            Ok(())
        })
    }

    /// Says once, with the finding, why the host leaves it to people.
    fn not_corrected(&mut self, finding: u64, refused: &Refused, tick: &mut Tick) -> Result<(), StateError> {
        tick.report.line(format!("finding {finding} is not put back: {refused}"));
        let Some(mut book) = self.memory.book.take() else { return Ok(()) };
        let new = book.note(finding, &refused.message);
        let said = if new { self.say(&mut book, tick) } else { Ok(()) };
        self.memory.book = Some(book);
        said
    }

    /// Receipt first, then everything that lets go of the run; then a look whether the finding is gone.
    pub(super) fn end_correction(
        &mut self,
        running: Running,
        ended: Outcome,
        tick: &mut Tick,
    ) -> Result<(), StateError> {
        tick.now = self.clock.now();
        let effects = ended.quarantine.clone();
        self.adopt(&ended, tick)?;
        let receipt = receipt::receipt(&mut self.state, &self.voice, &running, ended, tick.now)?;
        self.keep_quarantined(&running, &receipt, effects)?;
        self.hands.receipt_made(receipt.digest).map_err(|refused| self.journal_fails(&refused))?;
        self.state.clear_running()?;
        pull::drop_artifacts(&mut self.state)?;
        let (finding, outcome) = (receipt.body.corrects.unwrap_or_default(), receipt.body.outcome);
        tick.report.line(format!("finding {finding}: correction ended: {}", outcome.as_str()));
        self.memory.corrections.clear();
        (tick.spool, tick.facts, tick.check) = (Chore::Due, Chore::Due, Chore::Due);
        Ok(())
    }
}

/// The resources that may be put back once more.
fn allowed(corrections: &Corrections, found: &[ResourceId]) -> Result<BTreeSet<ResourceId>, Refused> {
    if corrections.is_full() {
        let message = "others change more of this host within a day than it puts back by itself";
        return Err(Refused::new(Code::PlanDrift, message));
    }
    let barred: Vec<_> = found.iter().filter_map(|id| Some((id, corrections.barred(id)?))).collect();
    match barred.iter().map(|(_, at)| *at).min() {
        Some(at) if barred.len() == found.len() => {
            let message = format!(
                "it was put back {A_DAY} times within a day and changed again each time: something else keeps changing \
                 it; it is left as it is until {at}"
            );
            Err(Refused::until(Code::PlanDrift, message, at))
        }
        _ => Ok(found.iter().filter(|id| barred.iter().all(|(b, _)| b != id)).cloned().collect()),
    }
}
