//! Starting a change, and bringing a run to its receipt, also one that was broken off.

use super::change::{Pulled, subject_of_bundle, subject_without};
use super::{Agent, Tick};
use crate::admit::{self, Admitted, Court};
use crate::apply::{Progress, Watch};
use crate::decide::{ChangeKey, Chore};
use crate::drift;
use crate::engine::nothing_done;
use crate::hands::{Hands, Order};
use crate::journal::Outcome;
use crate::progress::{Speaker, Teller};
use crate::pull::{self, Repository};
use crate::receipt::{self, Subject};
use crate::server::Server;
use crate::state::{Executed, Running, StateError};
use shared::admit::Turn;
use shared::approval::Approval;
use shared::envelope::Envelope;
use shared::plan::Plan;
use shared::policy::is_carried;
use shared::receipt::{HostOutcome, TufVersions};
use shared::refusal::{Code, Refused};
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::tuf::TargetName;
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Between two looks at the stop orders while a change runs that nobody watches.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// After this many seconds of preparing, everything that depends on the time is judged again.
const PREPARED_SECS: i64 = 5;

/// How a change came to this host.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    /// The repository lists it.
    Listed,
    /// A person brought this bundle by hand, and how hosts ended.
    ByHand { bundle: &'a [u8], ends: &'a [Envelope] },
}

/// A run that may begin, or why not and what was judged.
type Prepared = Result<(Order, Running), (Subject, Refused)>;

impl<H: Hands, S: Server> Agent<H, S> {
    /// Steps 5 to 19 in one go, with tokens made now.
    pub(super) fn start(&mut self, key: ChangeKey, tick: &mut Tick) -> Result<(), StateError> {
        let (order, running) = match self.prepare(&key, Origin::Listed, tick)? {
            Ok(prepared) => prepared,
            Err((subject, refused)) => return self.no(key, subject, &refused, tick),
        };
        self.carry_out(order, running, tick, |_| Ok(()))
    }

    /// From the last moment at which nothing has happened to the receipt; `burnt` is done as soon as it counts as executed.
    pub(super) fn carry_out(
        &mut self,
        order: Order,
        running: Running,
        tick: &mut Tick,
        burnt: impl FnOnce(&mut Self) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let (id, revision, count) = (&running.change_id, running.revision, order.plan.actions.len());
        tick.report.line(format!("starting {id} revision {revision}: {count} actions"));
        self.look_before(tick)?;
        self.expect(&order, &running)?;
        self.begin_run(&running, &order.approved, &order.plan)?;
        burnt(self)?;
        match self.apply(order, &running).map_err(|refused| self.journal_fails(&refused))? {
            Progress::Ended(ended) => self.end_run(running, *ended, tick),
            Progress::Rebooting => {
                goes_down(&running, tick);
                Ok(())
            }
            Progress::Leaving => {
                leaves(&running, tick);
                Ok(())
            }
        }
    }

    /// Everything before the first step: admission, artifacts, the plan of this moment, and at last the slots.
    pub(super) fn prepare(
        &mut self,
        key: &ChangeKey,
        origin: Origin<'_>,
        tick: &mut Tick,
    ) -> Result<Prepared, StateError> {
        let bytes = match origin {
            Origin::ByHand { bundle, .. } => bundle.to_vec(),
            Origin::Listed => match self.bundle_bytes(key, tick)? {
                Ok(bytes) => bytes,
                Err(refused) => return Ok(Err((subject_without(&refused), refused))),
            },
        };
        let subject = subject_of_bundle(&bytes);
        let time = self.clock.steady();
        let began = time.now();
        let mut admitted = match self.admitted(key, origin, &bytes, tick, began)? {
            Ok(admitted) => admitted,
            Err(refused) => return Ok(Err((subject, refused))),
        };
        let plan = match self.fresh_plan(&admitted, tick, began)? {
            Ok(plan) => plan,
            Err(refused) => return Ok(Err((subject, refused))),
        };
        let mut now = time.now();
        if is_long_ago(began, now) {
            admitted = match self.admitted(key, origin, &bytes, tick, now)? {
                Ok(admitted) => admitted,
                Err(refused) => return Ok(Err((subject, refused))),
            };
        }
        if let Err(refused) = self.has_time(&admitted, &plan, now) {
            return Ok(Err((subject, refused)));
        }
        let (change, asked) = (admitted.approved.change().digest, now);
        let turn = match self.take_turn(admitted.gate, &admitted.approved, tick)? {
            Ok(turn) => turn,
            Err(refused) => return Ok(Err((subject, refused))),
        };
        now = time.now();
        if is_long_ago(asked, now) {
            let again = self.admitted(key, origin, &bytes, tick, now)?;
            let in_time = |admitted: Admitted| self.has_time(&admitted, &plan, now).map(|()| admitted);
            admitted = match again.and_then(in_time) {
                Ok(admitted) => admitted,
                Err(refused) => {
                    self.give_back(change, &turn, tick);
                    return Ok(Err((subject, refused)));
                }
            };
        }
        let Some(repository) = &tick.repository else {
            return Ok(Err((subject, Refused::new(Code::TufInvalid, "there is no verified repository"))));
        };
        let running = running(repository, &admitted, &turn, now);
        let Admitted { manifests, approved, logged, window, gate: _, own_plan } = admitted;
        let vendor = repository.policy.vendor.clone();
        let correction = None;
        let order =
            Order { manifests, approved, logged, window, turn, vendor, own_plan, plan, time, correction };
        Ok(Ok((order, running)))
    }

    fn admitted(
        &mut self,
        key: &ChangeKey,
        origin: Origin<'_>,
        bytes: &[u8],
        tick: &mut Tick,
        now: Timestamp,
    ) -> Result<Result<Admitted, Refused>, StateError> {
        self.check(tick, now, |court, pulled| {
            if let Origin::ByHand { ends, .. } = origin {
                pulled.brought = Some(ends.to_vec());
                return admit_carried(court, key, bytes, pulled);
            }
            let target = TargetName::Change { id: key.0.clone(), revision: key.1 };
            let valid = pulled.repository.trusted.still_valid(now, Some(&target));
            valid.map_err(|e| pull::refused(&e))?;
            let bundle = admit::open_bundle(court, &key.0, key.1, bytes)?;
            admit::admit(court, &bundle, pulled)
        })
    }

    /// Steps 16 and 17: artifacts on the disk, and a new plan that keeps to the approved one.
    fn fresh_plan(
        &mut self,
        admitted: &Admitted,
        tick: &mut Tick,
        now: Timestamp,
    ) -> Result<Result<Plan, Refused>, StateError> {
        let change = admitted.approved.change();
        let fetched = self.check(tick, now, |_, pulled| {
            for wanted in admitted.manifests.iter().flat_map(|m| m.get().artifacts()) {
                let got = pull::artifact(pulled.state, pulled.server, wanted);
                got.map_err(|e| pulled.refused(e, Code::ArtifactMissing))?;
            }
            Ok(())
        })?;
        if let Err(refused) = fetched {
            return Ok(Err(refused));
        }
        let approved = Some(&admitted.own_plan.body);
        let planned = match self.planned(&admitted.manifests, &change.body, approved, tick) {
            Ok(planned) => planned,
            Err(refused) => return Ok(Err(refused)),
        };
        if let Err(refused) = self.not_quarantined(&change.body, &planned.actions) {
            return Ok(Err(refused));
        }
        let fresh = self.plan_body(change, planned, now);
        let kept = admit::keeps_to(&fresh, &admitted.own_plan.body, &change.body);
        Ok(kept.map(|()| fresh))
    }

    /// Durable before the first step: what runs, and that it counts as executed.
    fn begin_run(
        &mut self,
        running: &Running,
        approved: &shared::admit::Approved,
        plan: &Plan,
    ) -> Result<(), StateError> {
        self.note_revision(approved.change())?;
        self.lift(&approved.change().body, &plan.actions)?;
        self.state.set_running(running.clone())?;
        self.mark_executed(running, None)
    }

    pub(super) fn mark_executed(
        &mut self,
        running: &Running,
        outcome: Option<HostOutcome>,
    ) -> Result<(), StateError> {
        let run = running.clone();
        self.state.update_seen(|seen| {
            let listed = seen.executed(&run.change_id, run.revision).is_none_or(|before| before.listed);
            seen.executed.retain(|e| e.change_id != run.change_id || e.revision != run.revision);
            seen.executed.push(Executed {
                change_id: run.change_id,
                revision: run.revision,
                change: run.change,
                interval: run.interval,
                not_after: run.not_after,
                started: run.started,
                outcome,
                listed,
                by_hand: run.by_hand,
            });
            if outcome.is_some_and(|outcome| outcome.succeeded() != Some(false)) {
                seen.applied.0.extend(run.manifests);
            }
        })
    }

    /// Begins to tell of the run; the run goes on without being watched where that cannot be. Corrections are not
    /// watched: the change that they belong to is over.
    fn tell_of(&mut self, running: &Running, programs: bool) -> Option<Teller> {
        if running.correction.is_some() {
            return None;
        }
        let speaker = Speaker {
            site: self.state.site().site.clone(),
            key: self.state.shared_key(),
            running: running.clone(),
        };
        let line = self.server.second_line()?;
        let teller = Teller::start(line, speaker, self.clock.clone(), programs);
        self.hands.listen(Some(teller.ear()));
        Some(teller)
    }

    fn told(&mut self, teller: Option<Teller>) {
        self.hands.listen(None);
        if let Some(teller) = teller {
            teller.end();
        }
    }

    pub(super) fn apply(&mut self, order: Order, running: &Running) -> Result<Progress, Refused> {
        let secret = order.manifests.iter().any(|manifest| manifest.get().has_secrets());
        let teller = self.tell_of(running, !secret);
        let done = self.watched(order, running, teller.as_ref());
        self.told(teller);
        done
    }

    /// Hands the run over; between steps it looks for stop orders, when the server has news or at times.
    fn watched(
        &mut self,
        order: Order,
        running: &Running,
        teller: Option<&Teller>,
    ) -> Result<Progress, Refused> {
        let Self { hands, state, server, .. } = self;
        let doors = RefCell::new((state, server, Instant::now()));
        let time = order.time.clone();
        let now = || time.now();
        let halted = || {
            let (state, server, looked) = &mut *doors.borrow_mut();
            let due = teller.map_or_else(|| looked.elapsed() >= LOOK_EVERY, Teller::has_news);
            if !due {
                return false;
            }
            *looked = Instant::now();
            // Best effort: a server that cannot be asked does not stop a run.
            let repository = pull::repository(state, *server, now());
            repository.is_ok_and(|r| r.control.halted.contains(&running.change_id))
        };
        let reach = |within| {
            let (_, server, _) = &mut *doors.borrow_mut();
            server.reach(within).map_err(|error| error.to_string())
        };
        hands.apply(order, &Watch { now: &now, halted: &halted, reach: &reach })
    }

    /// Receipt first, then everything that lets go of the run.
    fn end_run(&mut self, running: Running, ended: Outcome, tick: &mut Tick) -> Result<(), StateError> {
        tick.now = self.clock.now();
        let (lasting, effects) = (ended.lasting.clone(), ended.quarantine.clone());
        self.own_packages(&running, &ended)?;
        self.adopt(&ended, tick)?;
        let receipt = receipt::receipt(&mut self.state, &self.voice, &running, ended, tick.now)?;
        let outcome = receipt.body.outcome;
        self.keep_open(&running, &receipt, lasting)?;
        self.keep_quarantined(&running, &receipt, effects)?;
        self.mark_executed(&running, Some(outcome))?;
        self.keep_duration(&running, &receipt.body)?;
        drift::settle(&mut self.state, running.change, outcome.succeeded() != Some(false))?;
        self.hands.receipt_made(receipt.digest).map_err(|refused| self.journal_fails(&refused))?;
        self.state.clear_running()?;
        pull::drop_artifacts(&mut self.state)?;
        let (id, revision) = (running.change_id, running.revision);
        let note =
            if receipt.body.note.is_empty() { String::new() } else { format!(": {}", receipt.body.note) };
        tick.report.line(format!("{id} revision {revision} ended: {}{note}", outcome.as_str()));
        self.tell(&(id.clone(), revision), outcome.as_str(), None);
        tick.report.ran.push((id, revision, outcome));
        // The host is another one now: facts, stop orders and every other change are looked at anew.
        tick.spool = Chore::Due;
        tick.facts = Chore::Due;
        tick.check = Chore::Due;
        tick.refresh = Chore::Due;
        Ok(())
    }

    pub(super) fn journal_fails(&self, refused: &Refused) -> StateError {
        let path = self.state.dir().join("journal");
        StateError::Io { action: "use", path, source: std::io::Error::other(refused.message.clone()) }
    }

    /// A run that was broken off is brought to its end before anything else, without any network.
    pub(super) fn resume(&mut self, tick: &mut Tick) -> Result<(), StateError> {
        let Some(mut running) = self.state.running().cloned() else { return Ok(()) };
        running.part = running.part.saturating_add(1);
        self.state.set_running(running.clone())?;
        let correction = running.correction.map(|correcting| correcting.number);
        if correction.is_none() {
            self.mark_executed(&running, None)?;
        }
        let teller = self.tell_of(&running, false);
        let resumed = self.hands.resume(running.change, correction, tick.now);
        self.told(teller);
        let ended = match resumed {
            Ok(Some(Progress::Ended(ended))) => *ended,
            Ok(Some(Progress::Rebooting)) => {
                goes_down(&running, tick);
                return Ok(());
            }
            Ok(Some(Progress::Leaving)) => match &self.stuck {
                Some(why) => {
                    let (path, source) = (self.state.dir().join("slots"), std::io::Error::other(why.clone()));
                    return Err(StateError::Io { action: "go on with the trial in", path, source });
                }
                None => {
                    leaves(&running, tick);
                    return Ok(());
                }
            },
            Ok(None) => nothing_done("the agent was stopped before the first step"),
            Err(refused) => return Err(self.journal_fails(&refused)),
        };
        tick.report.line(format!("{} was broken off and is brought to its end", running.change_id));
        match correction {
            None => self.end_run(running, ended, tick),
            Some(_) => self.end_correction(running, ended, tick),
        }
    }
}

/// The same checks for what came by hand, but for the freshness that only the server could give. In its place stands the
/// word of somebody who breaks the glass and names this host; without one nothing starts that way.
fn admit_carried<S: Server>(
    court: &Court<'_>,
    key: &ChangeKey,
    bytes: &[u8],
    pulled: &mut Pulled<'_, S>,
) -> Result<Admitted, Refused> {
    if court.policy.log.proof_before_start {
        let message = format!(
            "policy version {} lets nothing begin that the ledger does not prove, so nothing can be brought by hand",
            court.policy.version
        );
        return Err(Refused::new(Code::LogUnproven, message));
    }
    let bundle = admit::open_bundle(court, &key.0, key.1, bytes)?;
    let teams = bundle.change.body.manifests.iter().map(|named| &named.team);
    let lasts = pulled.repository.trusted.lasts(court.now, teams);
    lasts.map_err(|e| pull::refused(&e))?;
    let admitted = admit::admit(court, &bundle, pulled)?;
    let counts = |word: &&Statement<Approval>| admitted.approved.approvals().contains(&word.digest);
    let words = bundle.approvals.iter().filter(counts).map(|word| &word.body);
    if admitted.approved.glass().is_none() || !is_carried(words) {
        let message =
            "nobody who may break the glass has given a word for this host that is to be carried by hand";
        return Err(Refused::new(Code::ApprovalBreakGlass, message));
    }
    Ok(admitted)
}

/// Whether what was judged then has to be judged again.
fn is_long_ago(then: Timestamp, now: Timestamp) -> bool {
    now.since(then) > PREPARED_SECS || now < then
}

/// Nothing more happens until the machine is up again.
fn goes_down(running: &Running, tick: &mut Tick) {
    tick.rebooting = true;
    tick.report.line(format!("{} revision {}: the machine is rebooted", running.change_id, running.revision));
}

/// Nothing more happens in this process: it is given to whoever brings the trial to its end.
fn leaves(running: &Running, tick: &mut Tick) {
    tick.rebooting = true;
    tick.report.leaving = true;
    tick.report
        .line(format!("{} revision {}: the new program is tried", running.change_id, running.revision));
}

/// What the receipt will say, known before the first step.
pub(super) fn running(repository: &Repository, admitted: &Admitted, turn: &Turn, now: Timestamp) -> Running {
    let change = admitted.approved.change();
    let versions = repository.trusted.versions();
    let manifests = change.body.manifests.iter();
    Running {
        change_id: change.body.change_id.clone(),
        revision: change.body.revision,
        change: change.digest,
        not_after: change.body.over(),
        wave: u32::try_from(turn.wave()).unwrap_or(u32::MAX),
        interval: admitted.window.interval(),
        plan: admitted.own_plan.digest,
        plan_set: admitted.approved.plan_set(),
        approvals: admitted.approved.approvals().to_vec(),
        policy: repository.policy_sha256,
        policy_version: repository.policy.version,
        self_approved: admitted.approved.self_approved(),
        breakglass: admitted.approved.glass().is_some(),
        by_hand: false,
        tuf: TufVersions {
            root: versions.root,
            timestamp: versions.timestamp,
            snapshot: versions.snapshot,
            targets: versions.targets,
        },
        started: now,
        manifests: manifests.map(|m| (admit::applied_key(m), m.version.clone())).collect(),
        part: 1,
        slots: turn.slots().clone(),
        correction: None,
    }
}
