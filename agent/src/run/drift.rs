//! The look whether the host still is as it was approved, and what is said about it.

use super::{Agent, Tick};
use crate::decide::{Chore, splay_secs};
use crate::drift::{self, ApprovedState, Book, Depth, Entry, Named, Pace};
use crate::hands::{Hands, Order};
use crate::journal::Outcome;
use crate::receipt;
use crate::server::Server;
use crate::state::{Running, StateError};
use shared::finding::{About, Boot, Expected, Finding, Noticed, Presence, SHOWN, Transaction};
use shared::plan::{HealthProgram, Verb};
use shared::receipt::StepStatus;
use shared::time::Timestamp;

/// Seconds between two statements about a finding that comes and goes.
const FLAPPING_SECS: i64 = 86_400;
/// Findings that are said in one tick; the others follow with the next ones.
const PER_TICK: usize = 20;

impl<H: Hands, S: Server> Agent<H, S> {
    pub(super) fn check_due(&self, now: Timestamp) -> Chore {
        if now >= self.memory.next_check { Chore::Due } else { Chore::Settled }
    }

    pub(super) fn compare(&mut self, tick: &mut Tick) -> Result<(), StateError> {
        tick.check = Chore::Settled;
        let every = self.config.check_secs;
        let splay = splay_secs(self.state.site().agent, every);
        self.memory.next_check = tick.now.plus(i64::from(every) + i64::from(splay));
        let mut book = self.take_book()?;
        match self.hands.history(book.place()) {
            // What a run did is remembered until the record is read.
            Ok(None) => tick.report.line("the package manager is in use; what was done is read later"),
            Ok(Some((events, place))) => {
                if book.reconcile(events, place, tick.now) {
                    drift::keep(&mut self.state, &book)?;
                }
            }
            Err(refused) => tick.report.trouble(&refused.message),
        }
        let upheld = drift::upheld(&self.state)?;
        self.memory.watched = drift::watched(&upheld.states);
        self.look_around(&mut book, &upheld.states, tick)?;
        let full = tick.now >= self.memory.next_full_check;
        match self.hands.check(&upheld, if full { Depth::Full } else { Depth::Quick }, tick.now) {
            Ok(found) => {
                if full {
                    self.memory.next_full_check = tick.now.plus(i64::from(self.config.full_check_secs));
                }
                let named = found.into_iter().filter_map(|deviation| {
                    Some((upheld.states.get(deviation.state)?.expected.clone(), deviation.difference))
                });
                if book.update(named.collect(), tick.now) {
                    drift::keep(&mut self.state, &book)?;
                }
                if book.is_full() {
                    tick.report
                        .line("there are as many findings as are kept; what else differs is told later");
                }
                self.say(&mut book, tick)?;
                self.want_corrections(&book, &upheld.states, tick);
            }
            Err(refused) => {
                let why =
                    format!("the host could not be compared with its approved state: {}", refused.message);
                tick.report.trouble(&why);
            }
        }
        self.memory.book = Some(book);
        Ok(())
    }

    /// Tells what others did to accounts and units, and boots that no run asked for.
    fn look_around(
        &mut self,
        book: &mut Book,
        states: &[ApprovedState],
        tick: &mut Tick,
    ) -> Result<(), StateError> {
        let since = self.memory.looked.unwrap_or(self.state.contact().floor);
        match self.hands.surroundings() {
            Ok(look) => {
                self.memory.looked = Some(tick.now);
                let named = Named::of(states.iter().flat_map(|state| state.manifest.resources()));
                if book.look_around(look, &named, since, tick.now) {
                    drift::keep(&mut self.state, book)?;
                }
            }
            Err(refused) => {
                tick.report
                    .trouble(&format!("accounts and units could not be looked at: {}", refused.message));
            }
        }
        Ok(())
    }

    /// Before the first step of a run: what others did until now is not the run's.
    pub(super) fn look_before(&mut self, tick: &mut Tick) -> Result<(), StateError> {
        let mut book = self.take_book()?;
        let states = drift::upheld(&self.state)?.states;
        let looked = self.look_around(&mut book, &states, tick);
        self.memory.book = Some(book);
        looked
    }

    /// After the last step, before its receipt lets go of the run: what is there now is its doing.
    pub(super) fn adopt(&mut self, ended: &Outcome, tick: &mut Tick) -> Result<(), StateError> {
        let rebooted =
            ended.results.iter().any(|step| step.verb == Verb::Reboot && step.status == StepStatus::Done);
        match self.hands.surroundings() {
            Ok(look) => {
                let mut book = self.take_book()?;
                book.adopt(look, rebooted);
                drift::keep(&mut self.state, &book)?;
                self.memory.book = Some(book);
            }
            Err(refused) => {
                tick.report
                    .trouble(&format!("accounts and units could not be looked at: {}", refused.message));
            }
        }
        Ok(())
    }

    /// The book, until it is given back; after a failure between it is read again as it was kept last.
    fn take_book(&mut self) -> Result<Book, StateError> {
        self.memory.book.take().map_or_else(|| drift::book(&self.state), Ok)
    }

    /// Spooled first, noted second: a finding that is said twice after a crash is the same one by its number.
    pub(super) fn say(&mut self, book: &mut Book, tick: &mut Tick) -> Result<(), StateError> {
        let pace = Pace { quiet_secs: i64::from(self.config.quiet_secs), flapping_secs: FLAPPING_SECS };
        let due = book.due(tick.now, pace);
        for entry in due.iter().take(PER_TICK) {
            let said =
                receipt::emit(&mut self.state, &self.voice, tick.now, |header| finding(header, entry))?;
            book.said(entry.number, tick.now);
            tick.report.line(told(&said.body));
            tick.spool = Chore::Due;
        }
        if due.is_empty() { Ok(()) } else { drift::keep(&mut self.state, book) }
    }

    /// After the last step, before its receipt lets go of the run: what it did to packages.
    pub(super) fn own_packages(&mut self, running: &Running, ended: &Outcome) -> Result<(), StateError> {
        let Some(plan) = self.state.plan(&running.plan)? else { return Ok(()) };
        let (own, brought) = drift::done_to_packages(&plan.body.actions, ended, running.started);
        if own.is_empty() {
            return Ok(());
        }
        if !brought.is_empty() {
            drift::note_packages(&mut self.state, brought)?;
        }
        let mut book = self.take_book()?;
        book.expect(own);
        drift::keep(&mut self.state, &book)?;
        self.memory.book = Some(book);
        Ok(())
    }

    /// What is there, for the status.
    pub(super) fn findings(&self) -> Vec<Entry> {
        let all = self.memory.book.iter().flat_map(|book| book.stripped().entries().to_vec());
        all.filter(|entry| entry.presence != Presence::Gone).collect()
    }

    /// Before the first step: what will be the approved state when the run succeeds.
    pub(super) fn expect(&mut self, order: &Order, running: &Running) -> Result<(), StateError> {
        let change = &order.approved.change().body;
        let facts = match self.hands.facts() {
            Ok(facts) => facts.view(self.state.site().agent),
            // The run itself will say so.
            Err(_) => return Ok(()),
        };
        let manifests = order.manifests.iter().map(shared::admit::Verified::get).zip(&change.manifests);
        let states: Vec<ApprovedState> = manifests
            .filter(|(manifest, _)| ApprovedState::is_one(manifest))
            .filter_map(|(manifest, used)| {
                let params = crate::plan::parameters(manifest, used, self.state.site().agent).ok()?;
                let expected = Expected {
                    manifest: crate::admit::applied_key(used),
                    version: used.version.clone(),
                    change_id: running.change_id.clone(),
                    revision: running.revision,
                    change: running.change,
                };
                let (since, facts) = (running.started, facts.clone());
                let named =
                    |program: &&HealthProgram| manifest.health.iter().any(|c| c.name == program.check);
                let health_programs = order.plan.health.iter().filter(named).cloned().collect();
                let manifest = manifest.clone();
                Some(ApprovedState { expected, since, manifest, params, facts, health_programs })
            })
            .collect();
        drift::announce(&mut self.state, &states)
    }
}

fn finding(header: shared::receipt::Header, entry: &Entry) -> Finding {
    let mut differences = entry.told();
    let cut = differences.len().saturating_sub(SHOWN);
    differences.truncate(SHOWN);
    Finding {
        header,
        number: entry.number,
        about: entry.about.clone(),
        cause: entry.cause().cloned(),
        differences,
        more: entry.more().saturating_add(u32::try_from(cut).unwrap_or(u32::MAX)),
        first_seen: entry.first_seen,
        last_seen: entry.last_seen,
        count: entry.count,
        flapping: entry.is_flapping(),
        presence: entry.presence,
        note: entry.note.clone(),
    }
}

fn told(finding: &Finding) -> String {
    let (number, what) = (finding.number, finding.named());
    let why =
        if finding.note.is_empty() { String::new() } else { format!("; not put back: {}", finding.note) };
    let done = finding.transaction().map_or_else(String::new, done);
    match (&finding.about, finding.presence) {
        (About::State(Expected { manifest, version, change_id, .. }), presence) => {
            let how = if presence == Presence::Gone { "are again as in" } else { "differ from" };
            let done = if done.is_empty() { done } else { format!(", {done}") };
            format!("finding {number}: {what} {how} {manifest} {version} ({change_id}){done}{why}")
        }
        (About::Packages(_), _) => format!("finding {number}: {what} {done}, without an approved change"),
        (About::Noticed(Noticed { since, .. }), _) => {
            format!("finding {number}: {what} changed since {since}, without an approved change")
        }
        (About::Boot(Boot { at, .. }), _) => {
            format!("finding {number}: the machine was restarted at {at}, without an approved change")
        }
    }
}

fn done(Transaction { when, command, .. }: &Transaction) -> String {
    let command = if command.is_empty() { "somebody" } else { command };
    format!("changed at {when} by {command}")
}
