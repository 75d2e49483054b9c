//! The duties towards the server: renewal, spool, check-in, facts, repository.

use super::{Agent, Tick};
use crate::decide::{ChangeKey, Chore, ClockState, Standing};
use crate::hands::Hands;
use crate::net::NetError;
use crate::pull::{self, PullError, Repository, Source};
use crate::receipt::Subject;
use crate::server::{CheckIn, Server};
use crate::spool::{self, SendError};
use crate::state::StateError;
use shared::digest::Digest;
use shared::facts::{Delta, Facts};
use shared::refusal::{Code, Refused};
use shared::strict;
use shared::time::Timestamp;
use shared::wire::{FactsChange, FactsReport, Work};

/// What a host signs whose chain is behind; always the same words, so that it is said once.
const OLDER: &str = "the server knows later statements of this host than the host itself: its state is an old copy, \
                     or there is a second one of this host; nothing starts here";
/// What people do about a host that is there twice.
const WAY_OUT: &str = "Nothing starts here. Look for another machine with a copy of this state directory. On the copy, \
                       or here when the directory came from a backup: stop the agent, move the directory away, and \
                       join again with a new token (assent agent token)";
/// A window that is open by this clock may be years away, and who of the two is wrong this host cannot know.
const AHEAD: &str = "the clock of this host is ahead of the server's by more than five minutes; set right which of them is wrong";
/// The facts that were sent last, below the state directory.
const FACTS: &str = "facts-sent.json";
/// What a server says that holds other facts than those that a change of them starts from, or reads the change
/// differently: the whole is sent then.
const OTHER_FACTS: [&str; 2] = ["facts.base", "facts.bad"];

impl<H: Hands, S: Server> Agent<H, S> {
    pub(super) fn flush(&mut self, tick: &mut Tick) -> Result<(), StateError> {
        // Before the receipts that rest on them.
        if let Err(lost) = self.bring_words(tick)? {
            self.lost(tick, "bringing a word that came by hand", &lost);
            tick.spool = Chore::Failed;
            return Ok(());
        }
        match spool::flush(&mut self.state, &mut self.server) {
            Ok(proven) => {
                tick.spool = Chore::Settled;
                if proven > 0 {
                    tick.report.line(format!("{proven} statements are proven in the ledger"));
                }
                return Ok(());
            }
            Err(SendError::State(e)) => return Err(e),
            Err(SendError::Net(e)) => self.lost(tick, "sending statements", &e),
            Err(SendError::Gap { seq }) => {
                self.memory.etag = None;
                tick.report.line(format!("the server misses statements before {seq}"));
            }
            Err(e @ SendError::Clone { .. }) => self.held_as_copy(&e.to_string(), tick),
            Err(e @ (SendError::Fork { evidence, .. } | SendError::Behind { evidence, .. })) => {
                tick.spool = Chore::Failed;
                let subject = Subject::only(evidence);
                self.refuse(tick, subject, &Refused::new(Code::LogFork, e.to_string()))?;
            }
        }
        tick.spool = Chore::Failed;
        Ok(())
    }

    pub(super) fn check_in(&mut self, tick: &mut Tick) -> Result<(), StateError> {
        // First, or a disk that fails while the answer is noted makes the next one due at once.
        self.memory.next_check_in = tick.now.plus(self.poll_secs());
        let before = self.clock.now();
        // Only news tell what time it is there.
        let known = self.memory.etag.as_deref().filter(|_| !self.memory.ahead);
        let answer = self.server.check_in(known, self.memory.judges);
        let took = self.clock.now().since(before).max(0);
        if let Ok(CheckIn::News { work, .. }) = &answer {
            let ahead = before.plus(took / 2).since(work.server_time);
            self.memory.ahead_s = Some(apart(self.memory.ahead_s, ahead, took));
        }
        let mut asked = 0;
        match answer {
            Ok(answer) => {
                let server_time = self.heard(answer, tick)?;
                tick.check_in = Chore::Settled;
                tick.report.contact = tick.now;
                // A clock that is ahead must not become the floor, so the server's time bounds it.
                let floor = server_time.map_or(self.state.contact().floor, |at| at.min(tick.now));
                self.state.advance(floor, Some(tick.now))?;
                if let Some(at) = server_time {
                    self.memory.ahead = tick.now.since(at) > shared::limits::CLOCK_SKEW_SECS;
                }
                tick.clock = self.judge_clock(tick.now);
                if tick.clock == ClockState::Suspect {
                    self.report_clock(tick)?;
                }
            }
            Err(e) => {
                tick.check_in = Chore::Failed;
                tick.facts = Chore::Failed;
                asked = retry_after(&e);
                self.lost(tick, "the check-in", &e);
            }
        }
        let wait = self.poll_secs().max(asked);
        self.memory.next_check_in = tick.now.plus(wait);
        Ok(())
    }

    /// Remembers the work list; its time by the server's clock, when there was news.
    fn heard(&mut self, answer: CheckIn, tick: &mut Tick) -> Result<Option<Timestamp>, StateError> {
        match answer {
            CheckIn::Unchanged => {
                tick.report.line("checked in, nothing new");
                Ok(None)
            }
            CheckIn::News { work, etag } => {
                tick.report.line(format!("checked in, {} plans are wanted", work.plan_wishes.len()));
                self.memory.etag = etag;
                self.memory.sent.clear();
                self.memory.facts_due = self.state.facts_sent() != work.facts;
                if self.memory.facts_due
                    && tick.facts == Chore::Settled
                    && tick.now >= self.memory.quiet_until
                {
                    tick.facts = Chore::Due;
                }
                let at = work.server_time;
                self.check_chain(&work, tick)?;
                self.memory.work = Some(*work);
                Ok(Some(at))
            }
        }
    }

    /// Compares the two ends of the host's chain. A server that knows more than the host means that the state
    /// is an old copy; one that knows less has lost statements that were proven.
    fn check_chain(&mut self, work: &Work, tick: &mut Tick) -> Result<(), StateError> {
        let known = self.state.chain().seq;
        self.memory.resend_from = None;
        if work.next_seq > known + 1 {
            let why = format!(
                "the server has statements of this host up to {}, this host knows {known}: its state is an old copy",
                work.next_seq - 1
            );
            self.held_as_copy(&why, tick);
            // Its place belongs to another statement: the server keeps this one as evidence, and tells people.
            let evidence = Digest::of(&work.next_seq.to_be_bytes());
            let refused = Refused::new(Code::AgentCopy, OLDER);
            return self.refuse(tick, Subject::only(evidence), &refused);
        }
        if tick.spool != Chore::Failed {
            self.memory.copied = None;
        }
        if work.next_seq <= known && work.next_seq > 0 {
            let spooled = self.state.spooled()?;
            let lost = spooled.first().is_none_or(|first| *first > work.next_seq);
            self.memory.resend_from = lost.then_some(work.next_seq);
        }
        Ok(())
    }

    /// Nothing starts here, in this tick and in those to come, until the chains of host and server agree again.
    fn held_as_copy(&mut self, why: &str, tick: &mut Tick) {
        let why = format!("{why}. {WAY_OUT}");
        tick.report.fault(&why);
        tick.held = Some(why.clone());
        self.memory.copied = Some(why);
    }

    fn report_clock(&mut self, tick: &mut Tick) -> Result<(), StateError> {
        let floor = self.state.contact().floor;
        let skew = shared::limits::CLOCK_SKEW_SECS;
        let refused = match crate::admit::clock(tick.now, floor, skew) {
            Err(refused) => refused,
            Ok(()) if self.memory.ahead => Refused::new(Code::TimeSuspect, AHEAD),
            Ok(()) => return Ok(()),
        };
        let evidence = Digest::of(floor.to_string().as_bytes());
        self.refuse(tick, Subject::only(evidence), &refused)
    }

    pub(super) fn resend(&mut self, from: u64, tick: &mut Tick) -> Result<(), StateError> {
        self.memory.resend_from = None;
        match spool::resend(&mut self.state, from)? {
            Some(kept) if kept <= from => {
                tick.report.line(format!("the server asks for statements from {from} on again"));
            }
            Some(_) | None => tick.report.trouble(&format!(
                "the server asks for statements from {from} on, which are proven and no longer kept here"
            )),
        }
        tick.spool = Chore::Due;
        Ok(())
    }

    pub(super) fn send_facts(&mut self, tick: &mut Tick) -> Result<(), StateError> {
        tick.facts = Chore::Settled;
        let mut facts = match self.hands.facts() {
            Ok(facts) => facts,
            Err(refused) => {
                tick.report.fault(&format!("the facts of this host cannot be read: {refused}"));
                return Ok(());
            }
        };
        facts.clock.get_or_insert_default().ahead_s = self.memory.ahead_s;
        self.memory.fact_notes.clone_from(&facts.notes);
        self.memory.reboot.clone_from(&facts.reboot);
        let body = facts.to_json();
        let digest = Digest::of(&body);
        if self.state.facts_sent() == Some(digest) && !self.memory.facts_due {
            self.memory.next_facts = tick.now.plus(self.config.facts_secs.into());
            return Ok(());
        }
        match self.tell_facts(facts, body.len(), tick.now) {
            Ok(how) => {
                // This one first: without it, the whole is sent the next time.
                self.state.put(FACTS, &body)?;
                self.state.set_facts_sent(digest)?;
                self.memory.facts_due = false;
                self.memory.next_facts = tick.now.plus(self.config.facts_secs.into());
                tick.report.line(how);
            }
            Err(e) => {
                tick.facts = Chore::Failed;
                self.lost(tick, "sending facts", &e);
            }
        }
        Ok(())
    }

    /// What changed, where the server holds what was sent last; else the whole. In words, what was sent.
    fn tell_facts(&mut self, facts: Facts, whole: usize, at: Timestamp) -> Result<&'static str, NetError> {
        let delta = self.known_facts().map(|known| Delta::between(&known, &facts));
        if let Some(delta) = delta.filter(|delta| 2 * strict::to_json(delta).len() < whole) {
            match self.server.change_facts(&FactsChange { at, delta }) {
                Ok(()) => return Ok("changed facts sent"),
                // Restored, another node that is behind, or another version of the server.
                Err(NetError::Refused { code, .. }) if OTHER_FACTS.contains(&code.as_str()) => {}
                Err(e) => return Err(e),
            }
        }
        self.server.send_facts(&FactsReport { at, facts })?;
        Ok("facts sent")
    }

    /// The facts that the server holds as far as this host knows.
    fn known_facts(&self) -> Option<Facts> {
        let sent = self.state.facts_sent().filter(|_| !self.memory.facts_due)?;
        // Unreadable, older or damaged: the whole is sent then.
        let body = self.state.read_file(FACTS).ok().flatten()?;
        (Digest::of(&body) == sent).then(|| Facts::from_json(&body).ok()).flatten()
    }

    /// Steps 2 to 4: the repository; afterwards every listed change is unjudged.
    pub(super) fn refresh(&mut self, tick: &mut Tick) -> Result<(), StateError> {
        tick.repository = None;
        self.memory.standings.clear();
        let pulled = match tick.offline {
            true => pull::kept(&mut self.state, &mut self.server, tick.now),
            false => pull::repository(&mut self.state, &mut self.server, tick.now),
        };
        let pulled = pulled.and_then(|r| self.follow_authorities(&r).map(|()| r));
        match pulled {
            Ok(repository) => self.opened(repository, tick),
            Err(PullError::State(e)) => Err(e),
            Err(PullError::Net(e)) => {
                tick.refresh = Chore::Failed;
                self.lost(tick, "reading the repository", &e);
                Ok(())
            }
            Err(PullError::Refused(refused)) => {
                tick.refresh = Chore::Failed;
                self.server.look_elsewhere();
                let stored = self.state.tuf().others.values().map(Vec::as_slice).collect::<Vec<_>>();
                self.refuse(tick, Subject::only(Digest::of_parts(&stored)), &refused)
            }
        }
    }

    fn opened(&mut self, repository: Repository, tick: &mut Tick) -> Result<(), StateError> {
        let listed = repository.trusted.changes().unwrap_or_default();
        let mut keys: Vec<_> = listed.iter().map(|(id, revision, _)| ((*id).clone(), *revision)).collect();
        keys.sort_by_key(|(id, revision)| (id.as_str().len(), id.as_str().to_owned(), *revision));
        if repository.source == Source::Server {
            pull::prune_cache(&mut self.state, &repository.trusted)?;
            // A run that is no longer listed is over; if it is listed again later, that is a replay.
            self.state.update_seen(|seen| {
                for run in &mut seen.executed {
                    let listed = |(id, rev): &ChangeKey| *id == run.change_id && *rev == run.revision;
                    run.listed &= run.by_hand || keys.iter().any(listed);
                }
            })?;
        }
        let expiries = repository.trusted.expiries().into_iter();
        self.memory.expiries = expiries.map(|(role, at)| (role.to_string(), at)).collect();
        self.memory.policy_version = repository.policy.version;
        let brought = &self.memory.brought;
        self.memory.told.retain(|key, _| keys.contains(key) || brought.contains(key));
        self.memory.standings = keys.into_iter().map(|key| (key, Standing::Unjudged)).collect();
        tick.repository = Some(repository);
        tick.refresh = Chore::Settled;
        if crate::admit::clock(tick.now, self.state.contact().floor, shared::limits::CLOCK_SKEW_SECS).is_err()
        {
            tick.clock = ClockState::Suspect;
            self.report_clock(tick)?;
        }
        // The first policy makes it possible to judge proofs.
        if tick.spool == Chore::Settled && !self.state.spooled()?.is_empty() {
            tick.spool = Chore::Due;
        }
        Ok(())
    }

    /// Notes a failed call; the network is not asked again in this tick when nobody answered.
    pub(super) fn lost(&mut self, tick: &mut Tick, doing: &str, error: &NetError) {
        match error {
            NetError::Unreachable { .. } | NetError::Deadline { .. } => tick.offline = true,
            NetError::Tls { .. } => {
                tick.offline = true;
                self.memory.tls_trouble = true;
                // A new certificate may be what is missing.
                if tick.now >= self.memory.next_renewal {
                    tick.certificate = Chore::Due;
                }
            }
            // What this host has to say waits; check-ins go on, because they bring stop orders.
            NetError::Refused { .. } => {
                let until = tick.now.plus(retry_after(error));
                self.memory.quiet_until = self.memory.quiet_until.max(until);
            }
            NetError::TooSlow { .. }
            | NetError::TooLarge { .. }
            | NetError::Protocol { .. }
            | NetError::Sink(_) => {}
        }
        tick.report.trouble(&format!("{doing} failed: {error}"));
    }
}

/// Seconds between two clocks; what rounding and the way of the answer may explain is none, or no news.
fn apart(before: Option<i64>, ahead: i64, took: i64) -> i64 {
    let doubt = u64::try_from((took / 2).saturating_add(2)).unwrap_or(u64::MAX);
    match before {
        Some(before) if ahead.abs_diff(before) <= doubt => before,
        _ if ahead.unsigned_abs() <= doubt => 0,
        _ => ahead,
    }
}

/// The seconds that the server asks for, as far as a host listens: a server must not silence it for long.
fn retry_after(error: &NetError) -> i64 {
    const LONGEST_SECS: u32 = 3_600;
    match error {
        NetError::Refused { retry_after_secs, .. } => {
            i64::from(retry_after_secs.unwrap_or(0).min(LONGEST_SECS))
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::apart;

    #[test]
    fn clocks_are_apart_only_beyond_what_an_answer_may_take() {
        for (before, ahead, took, told) in [
            (None, 2, 0, 0),
            (None, -3, 0, -3),
            (None, -3, 2, 0),
            (Some(0), 3, 4, 0),
            (Some(40), 41, 0, 40),
            (Some(40), 44, 0, 44),
            (Some(40), 0, 0, 0),
            (None, i64::MIN, 0, i64::MIN),
        ] {
            assert_eq!(apart(before, ahead, took), told, "{before:?} {ahead} {took}");
        }
    }
}
