//! The intake: statements of many hosts share a transaction, and each host gets its own proof.
//!
//! While one batch becomes durable, the next one gathers. Nothing is answered before it is durable;
//! a host that does not get the answer sends again and gets the same.

use super::model::{AlarmKind, Incoming, NewAlarm, Verdict};
use super::record::{Topics, raise as raise_in, record};
use crate::fleet::Board;
use crate::kernel::clock::Clock;
use crate::kernel::db::Db;
use crate::kernel::error::{Error, Refusal};
use crate::ledger::{Answer, Log, Question};
use shared::digest::Digest;
use shared::ids::AgentId;
use shared::time::Timestamp;
use shared::wire::Recorded;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Statements in one transaction.
const BATCH: usize = 128;
/// Statements that wait; beyond that hosts are told to come back.
const QUEUE: usize = 2_048;

/// Cheap to clone; all clones feed one queue. It ends when the last one is dropped.
#[derive(Clone)]
pub struct Intake {
    queue: mpsc::Sender<Job>,
}

struct Job {
    incoming: Arc<Incoming>,
    log_size: Option<u64>,
    reply: oneshot::Sender<Result<Recorded, Error>>,
}

#[derive(Clone)]
struct Worker {
    db: Db,
    log: Log,
    board: Board,
    clock: Clock,
    topics: Topics,
}

impl Intake {
    /// Starts the worker on the current runtime.
    pub fn start(db: &Db, log: &Log, board: &Board, clock: &Clock, topics: Topics) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (db, log, board, clock) = (db.clone(), log.clone(), board.clone(), clock.clone());
        tokio::spawn(Worker { db, log, board, clock, topics }.run(jobs));
        Self { queue }
    }

    /// Makes the statement durable and proves it. Sending it again answers the same.
    pub async fn record(&self, incoming: Incoming, log_size: Option<u64>) -> Result<Recorded, Error> {
        let (reply, answer) = oneshot::channel();
        let job = Job { incoming: Arc::new(incoming), log_size, reply };
        self.queue.try_send(job).map_err(|_| Error::Busy)?;
        answer.await.unwrap_or_else(|_| Err(Error::fault("recording a statement", "the worker has ended")))
    }
}

impl Worker {
    async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(BATCH);
        while jobs.recv_many(&mut batch, BATCH).await > 0 {
            let taken = std::mem::take(&mut batch);
            let verdicts = self.write(&taken).await;
            let now = self.clock.now();
            match verdicts {
                // Proving needs no writer: the next batch may begin.
                Ok(verdicts) => drop(tokio::spawn(self.clone().answer(taken, verdicts, now))),
                Err(error) => self.one_by_one(taken, error).await,
            }
        }
    }

    async fn write(&self, jobs: &[Job]) -> Result<Vec<Verdict>, Error> {
        let statements: Vec<Arc<Incoming>> = jobs.iter().map(|job| job.incoming.clone()).collect();
        let (topics, now) = (self.topics, self.clock.now());
        let body = move |tx: &mut crate::kernel::db::Conn| {
            let batch: Vec<&Incoming> = statements.iter().map(|statement| &**statement).collect();
            record(tx, &batch, topics, now)
        };
        self.db.write("receipts.record", body).await
    }

    /// One statement that cannot be stored must not stop the others.
    async fn one_by_one(&self, jobs: Vec<Job>, error: Error) {
        let alone = jobs.len() == 1;
        let mut error = Some(error);
        for job in jobs {
            let result = match error.take_if(|error| alone || matches!(error, Error::Busy)) {
                Some(error) => Err(error),
                None => self.write(std::slice::from_ref(&job)).await,
            };
            match result {
                Ok(verdicts) => self.clone().answer(vec![job], verdicts, self.clock.now()).await,
                Err(error) => reply(job.reply, Err(error)),
            }
        }
    }

    async fn answer(self, jobs: Vec<Job>, verdicts: Vec<Verdict>, now: Timestamp) {
        let mut proven = Vec::with_capacity(jobs.len());
        for (job, verdict) in jobs.into_iter().zip(verdicts) {
            match refused(&job.incoming, &verdict) {
                Some(refusal) => reply(job.reply, Err(refusal.into())),
                None => proven.push(job),
            }
        }
        if proven.is_empty() {
            return;
        }
        for job in &proven {
            let header = job.incoming.header();
            self.board.recorded(header.agent_id, header.seq);
        }
        let answers = match self.prove(&proven).await {
            Ok(answers) => answers,
            Err(error) => {
                // They are durable; the hosts ask again and are then told so.
                tracing::error!(error = error.chain(), "statements recorded, but no proof could be made");
                proven.into_iter().for_each(|job| reply(job.reply, Err(Error::Busy)));
                return;
            }
        };
        for (job, answer) in proven.into_iter().zip(answers) {
            let missing = || Error::fault("proving a statement", "it has no leaf");
            let result = match answer.ok_or_else(missing) {
                Ok(answer) => {
                    self.note_contradiction(&job.incoming, &answer, now).await.map(|()| answer.recorded)
                }
                Err(error) => Err(error),
            };
            reply(job.reply, result);
        }
    }

    async fn prove(&self, jobs: &[Job]) -> Result<Vec<Option<Answer>>, Error> {
        let ask = |job: &Job| Question {
            statement: job.incoming.digest(),
            since: job.log_size,
            seen: job.incoming.header().log_seen.clone(),
        };
        let (log, questions): (_, Vec<Question>) = (self.log.clone(), jobs.iter().map(ask).collect());
        self.db.read("receipts.prove", move |tx| log.prove(tx, &questions)).await
    }

    /// The fleet is the witness of the ledger: what it saw otherwise is kept, whatever we answer.
    async fn note_contradiction(
        &self,
        incoming: &Incoming,
        answer: &Answer,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Some(detail) = answer.contradiction.clone() else { return Ok(()) };
        let (agent, evidence) = (incoming.header().agent_id, incoming.digest());
        let alarm = NewAlarm { kind: AlarmKind::LogContradiction, agent, detail, evidence, held: None };
        raise(&self.db, alarm, now).await
    }
}

/// The host may have gone away; it will ask again.
fn reply(to: oneshot::Sender<Result<Recorded, Error>>, result: Result<Recorded, Error>) {
    if to.send(result).is_err() {
        tracing::debug!("a host did not wait for its answer");
    }
}

fn refused(incoming: &Incoming, verdict: &Verdict) -> Option<Refusal> {
    let header = incoming.header();
    match verdict {
        Verdict::Next | Verdict::NextAfterLoss { .. } | Verdict::Again => None,
        Verdict::Gap { expected } => {
            Some(Refusal::conflict("chain.gap").with("expected", expected).with("got", header.seq))
        }
        Verdict::Fork => Some(Refusal::conflict("chain.fork").with("seq", header.seq)),
        Verdict::Unknown => Some(Refusal::forbidden("agent.not_enabled").with("agent", header.agent_id)),
    }
}

/// Keeps an alarm; the same one is kept once.
pub(super) async fn raise(db: &Db, alarm: NewAlarm, now: Timestamp) -> Result<(), Error> {
    db.write("receipts.alarm", move |tx| raise_in(tx, &alarm, now)).await
}

/// A statement that is not this host's own, or not signed by it.
pub(super) async fn raise_forged(
    db: &Db,
    agent: AgentId,
    bytes: &[u8],
    detail: String,
    now: Timestamp,
) -> Result<(), Error> {
    let alarm = NewAlarm { kind: AlarmKind::Forged, agent, detail, evidence: Digest::of(bytes), held: None };
    raise(db, alarm, now).await
}
