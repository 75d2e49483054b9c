//! The only loop: situation in, one decision, one step, until there is nothing left to do in this tick.
//!
//! Owns the agent and what it remembers between ticks; all of that may be lost at any moment. Never: choices of
//! its own (`decide`), or a second way to start something.

mod authority;
mod carried;
mod change;
mod contact;
mod correct;
mod drift;
mod duration;
mod health;
mod lasting;
mod prefetch;
mod report;
mod start;
mod trial;
mod turn;

use authority::Authorities;
pub use carried::CARRIED;
pub use report::{Report, Said, Told};

use crate::admit;
use crate::clock::Clock;
use crate::config::{Config, ConfigError, Paths, host_class};
use crate::decide::{
    Action, ChangeKey, Chore, ClockState, Journal, Situation, Standing, Wishes, decide, splay_secs,
};
use crate::disk::Disk;
use crate::drift::Book;
use crate::hands::Hands;
use crate::host::watch::Watched;
use crate::net::{NetError, Open};
use crate::program;
use crate::pull::Repository;
use crate::receipt::{self, Subject, Voice};
use crate::server::{Remote, Server};
use crate::state::{State, StateError};
use crate::status::{self, Approved, Status};
use crate::tls::CertificateInfo;
use shared::digest::Digest;
use shared::health::HealthState;
use shared::ids::ChangeId;
use shared::keys::PublicKey;
use shared::limits;
use shared::refusal::Refused;
use shared::time::Timestamp;
use shared::wire::Work;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Steps in one tick; more would mean that two decisions undo each other.
const STEPS: usize = 10_000;

/// Why an agent cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("the host class is not pinned: write it into {0}, as it was when the host joined")]
    NoHostClass(String),
}

/// One agent. Ticks are synchronous and must not run on a thread of an asynchronous runtime.
pub struct Agent<H, S> {
    clock: Clock,
    config: Config,
    voice: Voice,
    key: PublicKey,
    state: State,
    server: S,
    hands: H,
    memory: Memory,
    /// Why another program of the agent should run.
    trouble: Option<String>,
    /// Why a trial that a run waits for cannot go on.
    stuck: Option<String>,
}

/// What is remembered between ticks; losing it costs only repeated questions.
struct Memory {
    etag: Option<String>,
    work: Option<Work>,
    /// Digest of the wish (change statement) to the plan made for it.
    plans: BTreeMap<Digest, Digest>,
    /// Wishes answered since the server last changed its work list.
    sent: BTreeSet<Digest>,
    /// Words that came by hand and that the server does not take in, by their files.
    unwanted: BTreeSet<String>,
    /// Digests of approved plans to the moment of the next look for their files; none when all are here.
    prefetch: BTreeMap<Digest, Option<Timestamp>>,
    /// The server holds other facts than this host has sent.
    facts_due: bool,
    next_facts: Timestamp,
    /// What could not be found out about the host.
    fact_notes: Vec<String>,
    /// Why the machine should be rebooted, whoever changed it.
    reboot: Vec<String>,
    /// Seconds by which this clock is ahead of the server's.
    ahead_s: Option<i64>,
    /// The server misses proven statements from this place on.
    resend_from: Option<u64>,
    /// By the clock of then, and by one that nobody sets.
    last_tick: (Timestamp, Instant),
    /// The clock of this host is ahead of the server's, by what the server said last.
    ahead: bool,
    /// The last tick judged changes, or would have if there were any.
    judges: bool,
    /// Why this host seems to be there twice, or to be an old copy of itself: nothing starts until that is over.
    copied: Option<String>,
    next_check_in: Timestamp,
    /// The server asked for so long to be sent nothing.
    quiet_until: Timestamp,
    certificate: Option<CertificateInfo>,
    authorities: Authorities,
    next_renewal: Timestamp,
    next_check: Timestamp,
    next_full_check: Timestamp,
    next_health: Timestamp,
    /// What the server was told of health checks last, and when.
    health: Option<(Timestamp, BTreeMap<String, HealthState>)>,
    /// Loaded with the first check.
    book: Option<Book>,
    /// What is worth a check at once when it is touched.
    watched: BTreeSet<Watched>,
    /// When accounts and units were last looked at by this process.
    looked: Option<Timestamp>,
    /// Numbers of findings that are to be put back.
    corrections: Vec<u64>,
    tls_trouble: bool,
    /// A tick came to its end in this process.
    proven: bool,
    standings: Vec<(ChangeKey, Standing)>,
    /// Readable standings of the last judgement, for the status.
    told: BTreeMap<(ChangeId, u32), Told>,
    /// Changes that people have brought by hand to this process: no list of the server has them.
    brought: BTreeSet<(ChangeId, u32)>,
    policy_version: u64,
    expiries: Vec<(String, Timestamp)>,
}

/// Why a sleep has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    InTime,
    /// Something that is watched was touched.
    Touched,
    /// The process is to end.
    Stopped,
}

/// One tick in progress.
struct Tick {
    now: Timestamp,
    /// A run has asked the machine to go down, or waits for another process.
    rebooting: bool,
    /// Of a program on trial: nothing is said in the host's name.
    silent: bool,
    /// Nobody is asked, and nothing is done but what is here already.
    alone: bool,
    pending: Chore,
    spool: Chore,
    check_in: Chore,
    facts: Chore,
    check: Chore,
    health: Chore,
    correct: Chore,
    carried: Chore,
    refresh: Chore,
    certificate: Chore,
    clock: ClockState,
    /// Wishes that need no further look in this tick.
    dealt: BTreeSet<Digest>,
    repository: Option<Repository>,
    /// Why nothing may start, whatever else holds.
    held: Option<String>,
    /// The own disk failed; a broken-off run has to wait.
    storage: Storage,
    /// The server did not answer in this tick.
    offline: bool,
    /// The last check failed for want of an answer: no statement is made about that.
    unanswered: bool,
    report: Report,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Storage {
    Works,
    Fails,
}

impl Tick {
    /// A failing disk ends the step and bars every start; the duties towards the server go on, so that the
    /// host is still heard. Nothing is signed about it, because signing needs that disk.
    fn broken(&mut self, action: &Action, error: &StateError) {
        self.report.fault(&error.refused().to_string());
        self.held = Some(error.to_string());
        self.storage = Storage::Fails;
        match action {
            Action::Follow => self.pending = Chore::Failed,
            Action::Renew => self.certificate = Chore::Failed,
            Action::Flush => self.spool = Chore::Failed,
            Action::CheckIn => self.check_in = Chore::Failed,
            Action::SendFacts => self.facts = Chore::Failed,
            Action::Check => self.check = Chore::Failed,
            Action::LookAtHealth => self.health = Chore::Failed,
            Action::Correct => self.correct = Chore::Failed,
            Action::TakeCarried => self.carried = Chore::Failed,
            Action::Resume
            | Action::Resend { .. }
            | Action::Refresh
            | Action::Plan(_)
            | Action::Judge(_)
            | Action::Start(_)
            | Action::Sleep { .. } => {}
        }
    }
}

impl<H: Hands> Agent<H, Remote> {
    /// Opens the agent of `paths` with the real server. Makes no contact yet.
    ///
    /// # Errors
    /// Not joined, damaged state, bad settings.
    pub fn open(
        paths: &Paths,
        clock: Clock,
        disk: Box<dyn Disk>,
        hands: H,
        open: Open,
    ) -> Result<Self, OpenError> {
        let config = Config::load(paths)?;
        let state = State::open(&paths.state(), disk)?;
        let remote = Remote::new(&state, &clock, config.limits(), &config.nodes, open)?;
        Self::with(paths, config, clock, state, remote, hands)
    }
}

impl<H: Hands, S: Server> Agent<H, S> {
    /// The same with another server or disk at the doors.
    ///
    /// # Errors
    /// No host class, unreadable plans.
    pub fn with(
        paths: &Paths,
        config: Config,
        clock: Clock,
        mut state: State,
        server: S,
        hands: H,
    ) -> Result<Self, OpenError> {
        let class = host_class(paths)?;
        let class =
            class.ok_or_else(|| OpenError::NoHostClass(paths.host_class_file().display().to_string()))?;
        state.take_over()?;
        let plans = state.plans()?;
        let certificate = state.read_file("tls.crt")?.and_then(|pem| CertificateInfo::read(&pem).ok());
        let authorities = Authorities::new(state.read_file("ca.crt")?.as_deref(), state.policy()?.as_deref());
        let voice = Voice { host_class: class, boot_id: hands.boot_id(), agent_version: program::version() };
        let memory = Memory {
            etag: None,
            work: None,
            plans: plans.iter().map(|plan| (plan.body.change, plan.digest)).collect(),
            sent: BTreeSet::new(),
            unwanted: BTreeSet::new(),
            prefetch: BTreeMap::new(),
            facts_due: true,
            next_facts: Timestamp(i64::MIN),
            fact_notes: Vec::new(),
            reboot: Vec::new(),
            ahead_s: None,
            resend_from: None,
            last_tick: (clock.now(), Instant::now()),
            ahead: false,
            copied: None,
            next_check_in: Timestamp(i64::MIN),
            quiet_until: Timestamp(i64::MIN),
            certificate,
            authorities,
            next_renewal: Timestamp(i64::MIN),
            next_check: Timestamp(i64::MIN),
            next_full_check: Timestamp(i64::MIN),
            next_health: Timestamp(i64::MIN),
            health: None,
            book: None,
            watched: BTreeSet::new(),
            looked: None,
            corrections: Vec::new(),
            tls_trouble: false,
            proven: false,
            judges: false,
            standings: Vec::new(),
            told: BTreeMap::new(),
            brought: BTreeSet::new(),
            policy_version: state.seen().policy_version,
            expiries: Vec::new(),
        };
        let key = state.key().public();
        Ok(Self { clock, config, voice, key, state, server, hands, memory, trouble: None, stuck: None })
    }

    /// The same, saying in each tick why another program should run.
    #[must_use]
    pub fn troubled(self, trouble: Option<String>) -> Self {
        Self { trouble, ..self }
    }

    /// The same, while a trial that a run waits for cannot go on: the host is heard, and nothing else begins.
    #[must_use]
    pub fn stuck(self, stuck: Option<String>) -> Self {
        Self { stuck, ..self }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn server(&mut self) -> &mut S {
        &mut self.server
    }

    pub fn hands(&mut self) -> &mut H {
        &mut self.hands
    }

    /// A whole tick with a check-in and a look at the host, whether or not they are due.
    pub fn once(&mut self) -> Report {
        self.memory.next_check_in = Timestamp(i64::MIN);
        self.memory.next_check = Timestamp(i64::MIN);
        self.memory.next_facts = Timestamp(i64::MIN);
        self.tick()
    }

    /// Only what was brought by hand, and a run that was broken off before it; nobody is asked for anything.
    pub fn carried(&mut self) -> Report {
        let mut tick = self.begin();
        (tick.alone, tick.offline) = (true, true);
        self.go_through(tick)
    }

    /// Does everything that is due now. Never fails as a whole: what went wrong is in the report.
    pub fn tick(&mut self) -> Report {
        let tick = self.begin();
        self.go_through(tick)
    }

    fn go_through(&mut self, mut tick: Tick) -> Report {
        for _ in 0..STEPS {
            let action = self.next(&tick);
            tracing::debug!(?action, "next");
            if let Action::Sleep { until } = action {
                tick.report.next = until;
                return self.finish(tick);
            }
            if let Err(e) = self.step(action.clone(), &mut tick) {
                tick.broken(&action, &e);
            }
        }
        tick.report.fault("the agent made no progress in this tick; please report this with its log");
        self.finish(tick)
    }

    fn begin(&mut self) -> Tick {
        let now = self.clock.now();
        self.look_at_clock(now);
        let due = now >= self.memory.next_check_in;
        let quiet = now < self.memory.quiet_until;
        self.memory.standings.clear();
        let mut report = Report::new(now, now.plus(i64::from(self.config.poll_secs)));
        if let Some(trouble) = &self.trouble {
            report.fault(trouble);
        }
        Tick {
            now,
            rebooting: false,
            silent: false,
            alone: false,
            pending: if due && !self.state.open_runs().is_empty() { Chore::Due } else { Chore::Settled },
            spool: if quiet { Chore::Failed } else { Chore::Due },
            check_in: if due { Chore::Due } else { Chore::Settled },
            facts: if due && !quiet && now >= self.memory.next_facts { Chore::Due } else { Chore::Settled },
            check: self.check_due(now),
            health: self.health_due(now, quiet),
            correct: Chore::Settled,
            carried: self.carried_due(),
            refresh: Chore::Due,
            certificate: self.renewal(now),
            clock: self.judge_clock(now),
            dealt: BTreeSet::new(),
            repository: None,
            held: self.memory.copied.clone(),
            storage: Storage::Works,
            offline: false,
            unanswered: false,
            report,
        }
    }

    fn judge_clock(&self, now: Timestamp) -> ClockState {
        match admit::clock(now, self.state.contact().floor, limits::CLOCK_SKEW_SECS) {
            Ok(()) if !self.memory.ahead => ClockState::Plausible,
            Ok(()) | Err(_) => ClockState::Suspect,
        }
    }

    /// Notes that the clock was set since the last tick: the server is asked what time it is, and what was to happen at
    /// a time of the old clock is due now, or it would be in days.
    fn look_at_clock(&mut self, now: Timestamp) {
        let memory = &mut self.memory;
        let (then, ticked) = std::mem::replace(&mut memory.last_tick, (now, Instant::now()));
        let passed = i64::try_from(ticked.elapsed().as_secs()).unwrap_or(i64::MAX);
        if now.since(then.plus(passed)).abs() <= limits::CLOCK_SKEW_SECS && now >= then {
            return;
        }
        memory.etag = None;
        if now >= then {
            return;
        }
        let never = Timestamp(i64::MIN);
        memory.ahead = false;
        (memory.next_check_in, memory.quiet_until) = (never, never);
        (memory.next_check, memory.next_full_check, memory.next_renewal) = (never, never, never);
        (memory.next_facts, memory.next_health) = (never, never);
        memory.prefetch.values_mut().flatten().for_each(|at| *at = never);
    }

    fn next(&self, tick: &Tick) -> Action {
        let wishes = self.wishes(tick);
        let unfinished = self.state.running().is_some() && tick.storage == Storage::Works;
        let chore = |chore| if tick.alone { Chore::Failed } else { chore };
        let situation = Situation {
            journal: match unfinished {
                true if tick.rebooting => Journal::Rebooting,
                true => Journal::Unfinished,
                false => Journal::Empty,
            },
            pending: chore(tick.pending),
            clock: tick.clock,
            certificate: chore(tick.certificate),
            spool: chore(tick.spool),
            check_in: chore(tick.check_in),
            facts: chore(tick.facts),
            check: chore(tick.check),
            health: chore(tick.health),
            correct: chore(tick.correct),
            carried: if tick.held.is_some() { Chore::Failed } else { tick.carried },
            refresh: if tick.held.is_some() { Chore::Failed } else { chore(tick.refresh) },
            wishes: &wishes,
            changes: &self.memory.standings,
            next_check_in: self.memory.next_check_in,
        };
        decide(&situation, tick.now)
    }

    fn wishes(&self, tick: &Tick) -> Wishes {
        let Some(work) = &self.memory.work else { return Wishes::default() };
        let open = work.plan_wishes.iter().map(shared::envelope::Envelope::digest);
        let quiet = tick.now < self.memory.quiet_until;
        let plans =
            open.filter(|d| !quiet && !self.memory.sent.contains(d) && !tick.dealt.contains(d)).collect();
        Wishes { plans, resend_from: self.memory.resend_from.filter(|_| !tick.offline && !quiet) }
    }

    fn step(&mut self, action: Action, tick: &mut Tick) -> Result<(), StateError> {
        match action {
            Action::Resume => self.resume(tick),
            Action::Follow => self.follow(tick),
            Action::Renew => self.renew(tick),
            Action::Flush => self.flush(tick),
            Action::CheckIn => self.check_in(tick),
            Action::Resend { from } => self.resend(from, tick),
            Action::SendFacts => self.send_facts(tick),
            Action::Check => self.compare(tick),
            Action::LookAtHealth => self.look_at_health(tick),
            Action::TakeCarried => self.take_carried(tick),
            Action::Refresh => self.refresh(tick),
            Action::Correct => self.correct(tick),
            Action::Plan(wish) => self.plan(wish, tick),
            Action::Judge(key) => self.judge(key, tick),
            Action::Start(key) => self.start(key, tick),
            Action::Sleep { .. } => Ok(()),
        }
    }

    fn finish(&mut self, mut tick: Tick) -> Report {
        tick.report.standings = self.memory.told.clone();
        let judged = tick.repository.is_some() && tick.refresh == Chore::Settled && tick.held.is_none();
        self.memory.judges = judged && tick.clock == ClockState::Plausible;
        if let Some(why) = &self.memory.copied
            && !tick.report.faults.contains(why)
        {
            tick.report.fault(why);
        }
        tick.report.leaving |= self.hands.leaves();
        if !self.memory.proven && !tick.rebooting {
            match self.hands.prove() {
                Ok(()) => self.memory.proven = true,
                Err(refused) => tick.report.fault(&refused.to_string()),
            }
        }
        let status = self.status(&tick);
        if let Err(e) = self.state.put(status::FILE, &status.to_bytes()) {
            tick.report.fault(&e.to_string());
        }
        tick.report
    }

    fn status(&self, tick: &Tick) -> Status {
        let certificate = self.memory.certificate.as_ref().map(|c| c.not_after);
        let mut expiries = self.memory.expiries.clone();
        expiries.extend(certificate.map(|at| ("certificate".to_owned(), at)));
        let contact = self.state.contact();
        Status {
            at: tick.now,
            site: self.state.site().site.clone(),
            agent: self.state.site().agent,
            host_class: self.voice.host_class.clone(),
            agent_version: self.voice.agent_version.clone(),
            hostname: self.state.site().hostname.clone(),
            process: status::Process::default(),
            running: None,
            // A state that cannot be read is one of the problems of the check.
            approved: Approved::all(
                self.state.seen(),
                &crate::drift::upheld(&self.state).unwrap_or_default(),
            ),
            program: self.hands.own().place,
            last_contact: if tick.offline { contact.last } else { contact.last.max(tick.report.contact) },
            server: self.server.in_use(),
            policy_version: self.memory.policy_version,
            seq: self.state.chain().seq,
            // A directory that cannot be listed is one of the problems already.
            spooled: self.state.spooled().map_or(0, |s| s.len() as u64),
            log_size: self.state.log_seen().map(|seen| seen.size),
            expiries,
            changes: self.memory.told.values().cloned().collect(),
            pending: self.state.open_runs().iter().map(status::Pending::of).collect(),
            reboot: self.memory.reboot.clone(),
            quarantine: self.state.quarantine().to_vec(),
            findings: self.findings(),
            problems: tick.report.problems(),
            fact_notes: self.memory.fact_notes.clone(),
            next: tick.report.next,
        }
    }

    /// Says no, as a signed statement, as a line and in the status; changes nothing on the host.
    fn refuse(&mut self, tick: &mut Tick, subject: Subject, reason: &Refused) -> Result<(), StateError> {
        if std::mem::take(&mut tick.unanswered) {
            // The network's failure is no judgement; it is reported as trouble.
            return Ok(());
        }
        tick.report.refused(subject.change_id.clone(), subject.revision, reason.clone());
        if tick.silent {
            return Ok(());
        }
        let said = receipt::refuse(&mut self.state, &self.voice, subject, reason, tick.now)?;
        if said.is_some() && tick.spool == Chore::Settled {
            tick.spool = Chore::Due;
        }
        Ok(())
    }

    /// The seconds between check-ins: the server's wish or the setting, and this host's share of the splay.
    fn poll_secs(&self) -> i64 {
        let asked =
            self.memory.work.as_ref().map_or(self.config.poll_secs, |work| work.poll_s.clamp(1, 86_400));
        i64::from(asked) + i64::from(splay_secs(self.state.site().agent, asked))
    }

    /// Runs until it is told to stop: ticks, and sleeps until the next one through `sleep`, which ends early when the
    /// process is told to stop or something was touched that is worth a check. Also ends when another program has to
    /// go on.
    pub fn run(
        &mut self,
        mut sleep: impl FnMut(std::time::Duration, &BTreeSet<Watched>) -> Woken,
        mut tell: impl FnMut(&Report),
    ) {
        loop {
            let report = self.tick();
            tell(&report);
            if report.leaving {
                return;
            }
            self.memory.watched.insert(Watched::Below(carried::CARRIED_PATH.to_owned()));
            let secs = u64::try_from(report.next.since(self.clock.now())).unwrap_or(0);
            match sleep(std::time::Duration::from_secs(secs.clamp(1, 86_400)), &self.memory.watched) {
                Woken::InTime => {}
                Woken::Touched => self.memory.next_check = Timestamp(i64::MIN),
                Woken::Stopped => return,
            }
        }
    }
}

/// Opens only the state, for commands that look at it.
///
/// # Errors
/// Not joined or damaged.
pub fn open_state(paths: &Paths, disk: Box<dyn Disk>) -> Result<State, StateError> {
    State::open(&paths.state(), disk)
}
