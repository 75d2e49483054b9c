//! Planning what is wished for and judging what is listed. Never: starts anything (`start`).

use super::{Agent, Tick, Told, prefetch};
use crate::admit::{self, Court, Evidence};
use crate::decide::{ChangeKey, Standing};
use crate::hands::Hands;
use crate::plan::Planned;
use crate::program;
use crate::pull::{self, PullError, Repository};
use crate::receipt::Subject;
use crate::server::Server;
use crate::state::{Contact, SeenRevision, State, StateError};
use shared::admit::{Approved, Me, Verified};
use shared::bundle::{Bundle, GateFile};
use shared::change::{Change, ManifestUse};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::limits;
use shared::manifest::Manifest;
use shared::plan::{Plan, open_plan};
use shared::policy::Held;
use shared::receipt::HostOutcome;
use shared::refusal::{Code, Refused};
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::tuf::TargetName;
use shared::wire::AskProofs;

/// Fetches what the checks ask for; remembers a failing disk, because that is no refusal.
pub(super) struct Pulled<'a, S> {
    pub(super) state: &'a mut State,
    pub(super) server: &'a mut S,
    pub(super) repository: &'a Repository,
    /// Ends that somebody brought by hand, in place of those that the repository lists.
    pub(super) brought: Option<Vec<Envelope>>,
    storage: Option<StateError>,
    offline: Option<crate::net::NetError>,
}

impl<S: Server> Pulled<'_, S> {
    pub(super) fn refused(&mut self, error: PullError, missing: Code) -> Refused {
        match error {
            PullError::Refused(refused) => refused,
            PullError::Net(e) => {
                let refused = Refused::new(missing, e.to_string());
                self.offline = Some(e);
                refused
            }
            PullError::State(e) => {
                let refused = e.refused();
                self.storage = Some(e);
                refused
            }
        }
    }
}

impl<S: Server> Evidence for Pulled<'_, S> {
    fn manifest(&mut self, named: &ManifestUse) -> Result<Vec<u8>, Refused> {
        let target = TargetName::manifest(&named.team, &named.name, &named.version);
        match pull::target(self.state, self.server, &self.repository.trusted, &target) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => {
                let message =
                    format!("the repository does not list {} of team {}", named.label(), named.team);
                Err(Refused::new(Code::ManifestUnknown, message))
            }
            Err(e) => Err(self.refused(e, Code::ManifestUnknown)),
        }
    }

    fn own_plan(&mut self, digest: &Digest) -> Result<Option<Statement<Plan>>, Refused> {
        match self.state.plan(digest) {
            Ok(Some(plan)) => return Ok(Some(plan)),
            Ok(None) => {}
            Err(e) => return Err(self.refused(e.into(), Code::PlanMissing)),
        }
        let envelope = match self.server.own_plan(digest) {
            Ok(envelope) => envelope,
            Err(e) => return Err(self.refused(e.into(), Code::PlanMissing)),
        };
        // It is this host's own signature that makes it trustworthy, not where it was kept.
        let own = envelope.and_then(|envelope| open_plan(&envelope.to_bytes()).ok());
        Ok(own.filter(|plan| plan.digest == *digest && plan.body.agent_id == self.state.site().agent))
    }

    fn ends(&mut self, change: &Change, wave: usize) -> Result<Vec<Envelope>, Refused> {
        if let Some(ends) = &self.brought {
            return Ok(ends.clone());
        }
        let wave = u32::try_from(wave).unwrap_or(u32::MAX);
        let target = TargetName::Gate { id: change.change_id.clone(), revision: change.revision, wave };
        let bytes = pull::target(self.state, self.server, &self.repository.trusted, &target);
        match bytes.map_err(|e| self.refused(e, Code::WaveGate))? {
            Some(bytes) => match GateFile::parse(&bytes) {
                Ok(file) => Ok(file.ends),
                Err(e) => Err(Refused::new(Code::WaveGate, e.to_string())),
            },
            None => Ok(Vec::new()),
        }
    }

    fn held(&mut self, wanted: &Approved) -> Result<Held, Refused> {
        let (rules, held) = (&self.repository.policy.log, self.state.held());
        let missing = wanted.logged_as().filter(|(digest, kind)| !held.has(rules, digest, *kind));
        let statements: Vec<Digest> = missing.map(|(digest, _)| digest).collect();
        if statements.is_empty() {
            return Ok(held.clone());
        }
        let ask = AskProofs { statements, log_size: self.state.log_seen().map(|seen| seen.size) };
        let answer = match self.server.proofs(&ask) {
            Ok(answer) => answer,
            Err(e) => return Err(self.refused(e.into(), Code::LogUnproven)),
        };
        let taken = held.with(rules, self.state.log_seen(), &answer);
        let (held, seen) = taken.map_err(|doubt| Refused::new(Code::LogFork, doubt.to_string()))?;
        match self.state.take_proofs(held, seen) {
            Ok(()) => Ok(self.state.held().clone()),
            Err(e) => Err(self.refused(e.into(), Code::LogUnproven)),
        }
    }
}

impl<H: Hands, S: Server> Agent<H, S> {
    /// Runs checks over the fetched repository. The outer error is the own disk's.
    pub(super) fn check<T>(
        &mut self,
        tick: &mut Tick,
        now: Timestamp,
        checks: impl FnOnce(&Court<'_>, &mut Pulled<'_, S>) -> Result<T, Refused>,
    ) -> Result<Result<T, Refused>, StateError> {
        let Some(repository) = tick.repository.take() else {
            return Ok(Err(Refused::new(Code::TufInvalid, "there is no verified repository")));
        };
        let Contact { floor, last } = self.state.contact();
        // A contact in the future was noted by a clock that was ahead; what the server's own said then counts.
        let last = if last > now.plus(limits::CLOCK_SKEW_SECS) { floor } else { last };
        let last_contact = last.max(tick.report.contact);
        let seen = self.state.seen().clone();
        let me = Me { key: self.key, host_class: &self.voice.host_class };
        let Repository { policy, control, .. } = &repository;
        let court = Court { policy, control, seen: &seen, me: &me, now, last_contact };
        let (state, server) = (&mut self.state, &mut self.server);
        let mut pulled =
            Pulled { state, server, repository: &repository, brought: None, storage: None, offline: None };
        let result = checks(&court, &mut pulled);
        let (storage, offline) = (pulled.storage.take(), pulled.offline.take());
        tick.repository = Some(repository);
        if let Some(e) = offline {
            self.lost(tick, "fetching what a change needs", &e);
            tick.unanswered = true;
        }
        match storage {
            Some(e) => Err(e),
            None => Ok(result),
        }
    }

    /// Answers one wish with a signed plan, or with a refusal.
    pub(super) fn plan(&mut self, wish: Digest, tick: &mut Tick) -> Result<(), StateError> {
        tick.dealt.insert(wish);
        let wishes = self.memory.work.iter().flat_map(|work| &work.plan_wishes);
        let Some(envelope) = wishes.into_iter().find(|e| e.digest() == wish).cloned() else { return Ok(()) };
        let change = match Statement::<Change>::open(envelope) {
            Ok(change) => change,
            Err(e) => {
                return self.refuse(
                    tick,
                    Subject::only(wish),
                    &Refused::new(Code::ChangeInvalid, e.to_string()),
                );
            }
        };
        let before = match self.memory.plans.get(&wish) {
            Some(digest) => self.state.plan(digest)?,
            None => None,
        };
        let plan = match before {
            Some(plan) => plan,
            None => match self.make_plan(&change, tick)? {
                Ok(plan) => plan,
                Err(refused) => return self.refuse(tick, subject_of(&change), &refused),
            },
        };
        match self.server.send_plan(&plan.envelope) {
            Ok(()) => {
                self.memory.sent.insert(wish);
                let body = &plan.body;
                tick.report.planned.push((body.change_id.clone(), body.revision));
                let (id, revision, count) = (&body.change_id, body.revision, body.actions.len());
                tick.report.line(format!("planned {id} revision {revision}: {count} actions"));
            }
            Err(e) => self.lost(tick, "sending a plan", &e),
        }
        Ok(())
    }

    fn make_plan(
        &mut self,
        change: &Statement<Change>,
        tick: &mut Tick,
    ) -> Result<Result<Statement<Plan>, Refused>, StateError> {
        let now = tick.now;
        let checked = self.check(tick, now, |court, pulled| {
            if now >= change.body.not_after {
                let message = format!("the change ended at {}", change.body.not_after);
                return Err(Refused::new(Code::TimeOver, message));
            }
            admit::check_revision(court.seen, &change.body)?;
            admit::plannable(court, change.clone(), pulled)
        })?;
        let plannable = match checked {
            Ok(plannable) => plannable,
            Err(refused) => return Ok(Err(refused)),
        };
        self.note_revision(change)?;
        let planned = match self.planned(&plannable.manifests, &change.body, None, tick) {
            Ok(planned) => planned,
            Err(refused) => return Ok(Err(refused)),
        };
        if let Err(refused) = self.not_quarantined(&change.body, &planned.actions) {
            return Ok(Err(refused));
        }
        let plan = Statement::sign(self.plan_body(change, planned, now), self.state.key());
        self.state.store_plan(&plan)?;
        self.memory.plans.insert(change.digest, plan.digest);
        Ok(Ok(plan))
    }

    pub(super) fn planned(
        &mut self,
        manifests: &[Verified<Manifest>],
        change: &Change,
        approved: Option<&Plan>,
        tick: &Tick,
    ) -> Result<Planned, Refused> {
        let manifests: Vec<&Manifest> = manifests.iter().map(Verified::get).collect();
        let vendor = tick.repository.as_ref().and_then(|found| found.policy.vendor.as_ref());
        self.hands.plan(&manifests, change, approved, vendor)
    }

    pub(super) fn plan_body(&self, change: &Statement<Change>, planned: Planned, now: Timestamp) -> Plan {
        let body = &change.body;
        Plan {
            site: body.site.clone(),
            agent_id: self.key.agent_id(),
            key: self.key,
            hostname: self.state.site().hostname.clone(),
            host_class: self.voice.host_class.clone(),
            change_id: body.change_id.clone(),
            revision: body.revision,
            change: change.digest,
            at: now,
            actions: planned.actions,
            health: planned.health,
            upholds: planned.upholds,
            notes: planned.notes,
            agent_version: program::version(),
        }
    }

    /// The newest revision that an author signed for this host; older ones are void from now on.
    pub(super) fn note_revision(&mut self, change: &Statement<Change>) -> Result<(), StateError> {
        let body = &change.body;
        let seen = SeenRevision { revision: body.revision, change: change.digest, not_after: body.over() };
        self.state.update_seen(|all| {
            all.revisions.insert(body.change_id.clone(), seen);
        })
    }

    /// Where a listed change stands now.
    pub(super) fn judge(&mut self, key: ChangeKey, tick: &mut Tick) -> Result<(), StateError> {
        if let Some(run) = self.state.seen().executed(&key.0, key.1).filter(|run| run.listed) {
            let outcome = run.outcome.map_or("running", HostOutcome::as_str);
            self.tell(&key, outcome, None);
            self.stand(&key, Standing::Over);
            return Ok(());
        }
        let now = tick.now;
        let bytes = match self.bundle_bytes(&key, tick)? {
            Ok(bytes) => bytes,
            Err(refused) => return self.no(key, subject_without(&refused), &refused, tick),
        };
        if !self.concerns_me(&bytes) {
            let refused = Refused::new(Code::ChangeNotForMe, "it does not name this host");
            self.tell(&key, "not_for_this_host", Some(&refused));
            self.stand(&key, Standing::Over);
            return Ok(());
        }
        if only_stands(&bytes, now) {
            self.tell(&key, "over", None);
            self.stand(&key, Standing::Over);
            return Ok(());
        }
        let judged = self.check(tick, now, |court, pulled| {
            let bundle = admit::open_bundle(court, &key.0, key.1, &bytes)?;
            admit::admit(court, &bundle, pulled)
        })?;
        let judged = match judged {
            Ok(admitted) => self.look_for_slots(&admitted.approved, tick)?,
            Err(refused) => Err(refused),
        };
        match judged {
            Ok(()) => {
                self.tell(&key, "ready", None);
                self.stand(&key, Standing::Ready);
                Ok(())
            }
            Err(refused) => {
                if prefetch::is_only_early(&refused) {
                    self.prefetch(&key, &bytes, tick)?;
                }
                self.no(key, subject_of_bundle(&bytes), &refused, tick)
            }
        }
    }

    pub(super) fn bundle_bytes(
        &mut self,
        key: &ChangeKey,
        tick: &mut Tick,
    ) -> Result<Result<Vec<u8>, Refused>, StateError> {
        let target = TargetName::Change { id: key.0.clone(), revision: key.1 };
        let now = tick.now;
        self.check(tick, now, |_, pulled| {
            let trusted = &pulled.repository.trusted;
            let listed = pull::target(pulled.state, pulled.server, trusted, &target);
            let listed = listed.map_err(|e| pulled.refused(e, Code::ChangeInvalid))?;
            listed.ok_or_else(|| Refused::new(Code::ChangeInvalid, "the repository stopped listing it"))
        })
    }

    /// Whether the bundle has anything to do with this host. One that cannot be read has: it is refused.
    fn concerns_me(&self, bytes: &[u8]) -> bool {
        let me = self.key.agent_id();
        Bundle::parse(bytes).map_or(true, |bundle| {
            bundle.change.body.targets.iter().any(|t| t.agent == me)
                || bundle.plan_set.plans.contains_key(&me)
        })
    }

    pub(super) fn no(
        &mut self,
        key: ChangeKey,
        subject: Subject,
        refused: &Refused,
        tick: &mut Tick,
    ) -> Result<(), StateError> {
        let standing = if refused.retry_at.is_some() { "waiting" } else { "refused" };
        self.tell(&key, standing, Some(refused));
        self.stand(&key, Standing::Refused { retry_at: refused.retry_at });
        let subject = Subject { change_id: Some(key.0), revision: Some(key.1), ..subject };
        self.refuse(tick, subject, refused)
    }

    fn stand(&mut self, key: &ChangeKey, standing: Standing) {
        if let Some(entry) = self.memory.standings.iter_mut().find(|(k, _)| k == key) {
            entry.1 = standing;
        }
    }

    pub(super) fn tell(&mut self, key: &ChangeKey, standing: &str, refused: Option<&Refused>) {
        let told = Told {
            change_id: key.0.clone(),
            revision: key.1,
            standing: standing.to_owned(),
            code: refused.map(|r| r.code),
            message: refused.map(|r| r.message.clone()).unwrap_or_default(),
            retry_at: refused.and_then(|r| r.retry_at),
        };
        self.memory.told.insert(key.clone(), told);
    }
}

/// Whether the change is listed for the sake of corrections on hosts that have run it; on others nothing starts any
/// more, and there is nothing to say about that each day.
fn only_stands(bytes: &[u8], now: Timestamp) -> bool {
    Bundle::parse(bytes).is_ok_and(|bundle| {
        let change = &bundle.change.body;
        change.correct_until.is_some() && now >= change.not_after
    })
}

/// A bundle that could not be had: what is known of it is why.
pub(super) fn subject_without(refused: &Refused) -> Subject {
    Subject::only(Digest::of(refused.message.as_bytes()))
}

/// A bundle that was refused, as far as it can be read.
pub(super) fn subject_of_bundle(bytes: &[u8]) -> Subject {
    let breaks = |bundle: Bundle| bundle.approvals.iter().any(|word| word.body.breakglass.is_some());
    let breakglass = Bundle::parse(bytes).is_ok_and(breaks);
    Subject { breakglass, ..Subject::only(Digest::of(bytes)) }
}

fn subject_of(change: &Statement<Change>) -> Subject {
    let body = &change.body;
    Subject {
        change_id: Some(body.change_id.clone()),
        revision: Some(body.revision),
        ..Subject::only(change.digest)
    }
}
