//! Telling the server how far a run has come, beside the run: on a thread of its own, over a line of its own.
//!
//! The run itself only puts events into a queue that never makes it wait; what does not fit, or cannot be sent, is
//! counted and left out. Never: a part of the host's chain, or a reason for a run to go otherwise.

use crate::clock::Clock;
use crate::journal::{Log, Record, Step};
use crate::net::NetError;
use crate::server::Line;
use crate::state::Running;
use shared::budgets::{AskSlots, SlotWish, Slots};
use shared::envelope::Envelope;
use shared::ids::SiteId;
use shared::keys::SigningKey;
use shared::limits;
use shared::progress::{Event, Progress, What};
use shared::statement::Statement;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Events that wait to be told: some groups of file steps.
const QUEUE: usize = 1_024;
/// Signed messages that wait for a server that is away; older ones are let go of.
const BACKLOG: usize = 64;
/// Between two questions whether the server has something new, such as a halt.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between two questions for the slots of a run: several times within the shortest lease.
const KEEP_EVERY: Duration = Duration::from_secs(60);
/// Between two messages, so that fast steps share them.
const GATHER: Duration = Duration::from_millis(100);
/// Between two tries to reach a server that is away.
const AGAIN: Duration = Duration::from_secs(5);
/// How long the end of a run waits for its last events to be told.
const END: Duration = Duration::from_secs(3);

/// Where a run says what happens in it. Cheap to clone; saying something never waits, and does nothing once the run
/// has ended.
#[derive(Clone, Debug)]
pub struct Ear {
    /// One for all clones: a program's output may be read longer than its run takes.
    queue: Arc<Mutex<Option<SyncSender<Event>>>>,
    lost: Arc<AtomicU64>,
    clock: Clock,
    programs: bool,
}

impl Ear {
    pub fn say(&self, what: What) {
        let event = Event { at: self.clock.now(), what: what.cut() };
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.as_ref().is_some_and(|queue| queue.try_send(event).is_err()) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether what programs print may be told: not where the change brings secrets, which they might print.
    pub fn hears_programs(&self) -> bool {
        self.programs
    }

    /// Says what records of the journal tell; `log` has them already.
    pub fn records(&self, records: &[Record], log: &Log) {
        let mut rest = records;
        while let Some((record, after)) = rest.split_first() {
            rest = after;
            if let Record::Before(Step(first), _) = record {
                let same = rest.iter().take_while(|record| matches!(record, Record::Before(..))).count();
                rest = &rest[same..];
                self.under(*first, first + same, log);
            } else {
                self.record(record, log);
            }
        }
    }

    fn under(&self, first: usize, last: usize, log: &Log) {
        let Some(action) = log.start.actions.get(first) else { return };
        let (resource, verb) = (action.resource.clone(), action.verb);
        self.say(What::Under { first: number(first), last: number(last), resource, verb });
    }

    fn record(&self, record: &Record, log: &Log) {
        let action = |step: &Step| log.start.actions.get(step.0);
        match record {
            Record::Start(start) => self.say(What::Began { steps: count(start.actions.len()) }),
            Record::After(step, status, ms, note) => {
                let Some(action) = action(step) else { return };
                let (step, resource, verb) = (number(step.0), action.resource.clone(), action.verb);
                self.say(What::Step { step, resource, verb, status: *status, ms: *ms, note: note.clone() });
            }
            Record::UndoAfter(step, error) => {
                let Some(action) = action(step) else { return };
                let (step, resource) = (number(step.0), action.resource.clone());
                self.say(What::Undone { step, resource, error: error.clone() });
            }
            Record::Failure(why) => self.say(What::Failed { why: why.clone() }),
            Record::Deferred(why) => self.say(What::Note { text: why.clone() }),
            Record::Restarted(units) if !units.is_empty() => {
                self.say(What::Note { text: format!("restarted {}", units.join(", ")) });
            }
            Record::Health(results) => results.iter().for_each(|result| {
                let (name, output) = (result.name.clone(), result.output.clone());
                self.say(What::Check { name, state: result.state(), ok: result.ok, output });
            }),
            Record::Finished(end) => self.say(What::Ended { outcome: end.outcome, note: end.note.clone() }),
            Record::Before(..)
            | Record::Restarted(_)
            | Record::Installed(_)
            | Record::UndoBefore(_)
            | Record::ReceiptMade(_) => {}
        }
    }
}

fn count(steps: usize) -> u32 {
    u32::try_from(steps).unwrap_or(u32::MAX)
}

/// Steps are counted from 1 for people.
fn number(step: usize) -> u32 {
    count(step + 1)
}

/// What all messages of one part of a run have in common.
pub struct Speaker {
    pub site: SiteId,
    pub key: Arc<SigningKey>,
    pub running: Running,
}

impl Speaker {
    fn sign(&self, number: u64, lost: u64, events: Vec<Event>) -> Envelope {
        let (key, run) = (self.key.public(), &self.running);
        let body = Progress {
            site: self.site.clone(),
            agent_id: key.agent_id(),
            key,
            change_id: run.change_id.clone(),
            revision: run.revision,
            change: run.change,
            started: run.started,
            part: run.part,
            number,
            lost,
            events,
        };
        Statement::sign(body, &self.key).envelope
    }
}

/// The thread that tells.
pub struct Teller {
    ear: Ear,
    news: Arc<AtomicBool>,
    done: Receiver<()>,
}

impl Teller {
    /// Starts telling through `line`; `programs` is whether what programs print may be told.
    pub fn start(line: Box<dyn Line>, speaker: Speaker, clock: Clock, programs: bool) -> Self {
        let (queue, events) = sync_channel(QUEUE);
        let (ended, done) = sync_channel(1);
        let (lost, news) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let queue = Arc::new(Mutex::new(Some(queue)));
        let ear = Ear { queue, lost: lost.clone(), clock, programs };
        let course =
            Course { line, speaker, events, lost, news: news.clone(), number: 0, backlog: VecDeque::new() };
        thread::spawn(move || {
            course.run();
            drop(ended);
        });
        Self { ear, news, done }
    }

    pub fn ear(&self) -> Ear {
        self.ear.clone()
    }

    /// Whether the server has had something new since the last call: stop orders are looked at then.
    pub fn has_news(&self) -> bool {
        self.news.swap(false, Ordering::AcqRel)
    }

    /// Lets the last events be told, for a moment.
    pub fn end(self) {
        let Self { ear, news: _, done } = self;
        drop(ear.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        if done.recv_timeout(END) == Err(RecvTimeoutError::Timeout) {
            tracing::debug!("the end of the run could not be told in time; its receipt tells it");
        }
    }
}

/// What the thread works on.
struct Course {
    line: Box<dyn Line>,
    speaker: Speaker,
    events: Receiver<Event>,
    lost: Arc<AtomicU64>,
    news: Arc<AtomicBool>,
    number: u64,
    backlog: VecDeque<Envelope>,
}

impl Course {
    fn run(mut self) {
        let mut next_try = Instant::now();
        let mut next_look = Instant::now();
        let mut next_keep = Instant::now();
        loop {
            let wakes = if self.backlog.is_empty() { next_look } else { next_look.min(next_try) };
            let ended = self.gather(wakes.saturating_duration_since(Instant::now()));
            let now = Instant::now();
            if ended || now >= next_try {
                let told = self.tell();
                next_try = if told { now } else { Instant::now() + AGAIN };
            }
            if ended {
                return;
            }
            if now >= next_look {
                if self.line.has_news().unwrap_or(false) {
                    self.news.store(true, Ordering::Release);
                }
                next_look = Instant::now() + LOOK_EVERY;
            }
            if now >= next_keep {
                self.keep_slots();
                next_keep = Instant::now() + KEEP_EVERY;
            }
        }
    }

    /// A run goes on whatever becomes of its slots: to stop in the middle would disturb more.
    fn keep_slots(&mut self) {
        let Speaker { running, .. } = &self.speaker;
        if running.slots.is_empty() {
            return;
        }
        let ask = AskSlots { change: running.change, wish: SlotWish::Keep };
        match self.line.keep_slots(&ask) {
            Ok(Slots::Granted(lease)) => running.slots.difference(&lease.budgets).for_each(|lost| {
                tracing::warn!(budget = %lost, "the slot of this run has ended: others may begin beside it");
            }),
            Ok(other) => tracing::debug!(?other, "no answer to keeping slots"),
            Err(error) => tracing::debug!(%error, "the slots of a run cannot be kept now"),
        }
    }

    /// Waits for events and signs them; true when no more will come.
    fn gather(&mut self, patience: Duration) -> bool {
        let mut events = Vec::new();
        let mut until = Instant::now() + patience;
        let mut ended = false;
        while events.len() < limits::PROGRESS_EVENTS {
            match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(event) => {
                    if events.is_empty() {
                        until = Instant::now() + GATHER;
                    }
                    events.push(event);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    ended = true;
                    break;
                }
            }
        }
        if !events.is_empty() {
            self.number += 1;
            let lost = self.lost.swap(0, Ordering::Relaxed);
            self.backlog.push_back(self.speaker.sign(self.number, lost, events));
            // Their numbers will be missing, and that is what shows.
            self.backlog.drain(..self.backlog.len().saturating_sub(BACKLOG));
        }
        ended
    }

    /// Sends what waits; false when the server cannot be told now.
    fn tell(&mut self) -> bool {
        while let Some(message) = self.backlog.front() {
            match self.line.tell(message) {
                Ok(()) => drop(self.backlog.pop_front()),
                // Too much at once is a matter of time; everything else that a server refuses it refuses again.
                Err(NetError::Refused { status, code, .. }) if status != 429 => {
                    tracing::debug!(code, "the server did not take what is told of a run");
                    self.backlog.pop_front();
                }
                Err(error) => {
                    tracing::debug!(%error, "what happens in a run cannot be told now");
                    return false;
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
