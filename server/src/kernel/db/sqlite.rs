//! SQLite: one thread writes, many jobs share one COMMIT; reads have their own connections.
//!
//! A caller is answered only after the COMMIT that holds its job. Each job runs in its own savepoint,
//! so one that fails or panics takes only itself back.

use super::attempt::{Failed, attempt};
use super::conn::{begin, commit, rollback};
use super::{Conn, DbError};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Jobs that may wait; at the measured rate this is well under a second of work. More means 503.
const QUEUE: usize = 4096;
/// Jobs in one COMMIT: bounds how long the first one waits.
const GROUP: usize = 256;

/// Gives the caller its result; the argument says whether the COMMIT held.
type Answer = Box<dyn FnOnce(Result<(), DbError>) + Send>;

enum Ran {
    Answer(Answer),
    /// SQLite rolled the whole group back (full disk, I/O error); the job's caller gets `Answer` all the same.
    GroupLost(Answer),
}

/// Without a connection the body is not run and the caller gets the reason.
type Job = Box<dyn FnOnce(Option<&mut Conn>) -> Ran + Send>;

pub(super) struct Writer(SyncSender<Job>);

impl Writer {
    pub fn start(path: PathBuf) -> Result<Self, DbError> {
        let conn = open(&path, false)?;
        let (sender, receiver) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || serve(conn, &path, &receiver))
            .map_err(|error| DbError::Connect(format!("starting the writer thread: {error}")))?;
        Ok(Self(sender))
    }

    pub async fn write<T, E>(
        &self,
        name: &'static str,
        body: impl Fn(&mut Conn) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let (reply, result) = oneshot::channel::<Result<T, E>>();
        let job: Job = Box::new(move |conn| run(conn, name, body, reply));
        self.0.try_send(job).map_err(|error| {
            E::from(match error {
                TrySendError::Full(_) => DbError::Busy,
                TrySendError::Disconnected(_) => DbError::Connect("the writer thread has ended".into()),
            })
        })?;
        result.await.unwrap_or_else(|_| Err(DbError::Panicked { name }.into()))
    }
}

fn run<T, E>(
    conn: Option<&mut Conn>,
    name: &'static str,
    body: impl Fn(&mut Conn) -> Result<T, E>,
    reply: oneshot::Sender<Result<T, E>>,
) -> Ran
where
    T: Send + 'static,
    E: From<DbError> + Send + 'static,
{
    let mut group_lost = false;
    let outcome = conn.map(|conn| {
        attempt(conn, begin, &body).map_err(|failed| match failed {
            Failed::Body(said) => said,
            Failed::Panicked => DbError::Panicked { name }.into(),
            Failed::Again(said, error) | Failed::Lost(said, error) => {
                group_lost = true;
                said.unwrap_or_else(|| DbError::Query(error).into())
            }
            Failed::Refused(error) | Failed::Unknown(error) => {
                group_lost = true;
                DbError::Query(error).into()
            }
        })
    });
    let answer: Answer = Box::new(move |committed| {
        let committed = committed.map_err(E::from);
        let result = match outcome {
            Some(outcome) => outcome.and_then(|value| committed.map(|()| value)),
            None => Err(committed.err().unwrap_or_else(|| DbError::Busy.into())),
        };
        // A caller that went away no longer wants its answer.
        drop(reply.send(result));
    });
    if group_lost { Ran::GroupLost(answer) } else { Ran::Answer(answer) }
}

fn serve(mut conn: Conn, path: &Path, jobs: &Receiver<Job>) {
    let mut waiting = VecDeque::new();
    loop {
        if waiting.is_empty() {
            match jobs.recv() {
                Ok(first) => waiting.push_back(first),
                Err(_) => return,
            }
        }
        waiting.extend(jobs.try_iter().take(GROUP.saturating_sub(waiting.len())));
        if group(&mut conn, &mut waiting).is_err() {
            match open(path, false) {
                Ok(fresh) => conn = fresh,
                Err(error) => tracing::error!(%error, "the database file cannot be reopened"),
            }
        }
    }
}

/// Takes jobs from the front of `waiting` until the group is full; an error means the connection is spoilt.
fn group(conn: &mut Conn, waiting: &mut VecDeque<Job>) -> Result<(), ()> {
    if let Err(error) = conn.begin_write() {
        tracing::warn!(%error, "no write lock on the database; is another process using the file?");
        for job in waiting.drain(..) {
            let (Ran::Answer(answer) | Ran::GroupLost(answer)) = job(None);
            answer(Err(DbError::Busy));
        }
        return Err(());
    }
    let (answers, whole) = run_all(conn, waiting);
    let committed =
        if whole { commit(conn).map_err(|error| error.to_string()) } else { Err(ROLLED_BACK.to_owned()) };
    for answer in answers {
        answer(committed.clone().map_err(DbError::NotCommitted));
    }
    if committed.is_err() {
        // Best effort: the connection is replaced in any case.
        drop(rollback(conn));
        return Err(());
    }
    Ok(())
}

const ROLLED_BACK: &str = "the database rolled the whole group back, as it does when the disk is full";

/// Stops at a job after which the transaction is gone: later ones would run outside of it.
fn run_all(conn: &mut Conn, waiting: &mut VecDeque<Job>) -> (Vec<Answer>, bool) {
    let mut answers = Vec::new();
    while let Some(job) = waiting.pop_front() {
        match job(Some(&mut *conn)) {
            Ran::Answer(answer) => answers.push(answer),
            Ran::GroupLost(answer) => {
                answers.push(answer);
                return (answers, false);
            }
        }
    }
    (answers, true)
}

/// `path` must exist. A read-only connection refuses every write, so none can slip past the writer thread.
pub(super) fn open(path: &Path, read_only: bool) -> Result<Conn, DbError> {
    let uri = format!("file:{}?mode=rw", escape(path)?);
    let failed = |error: &dyn std::fmt::Display| DbError::Connect(format!("{}: {error}", path.display()));
    let mut sqlite = SqliteConnection::establish(&uri).map_err(|error| failed(&error))?;
    write_ahead(&mut sqlite).map_err(|error| failed(&error))?;
    let settings = "PRAGMA busy_timeout=10000; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; \
                    PRAGMA temp_store=MEMORY;";
    sqlite.batch_execute(settings).map_err(|error| failed(&error))?;
    if read_only {
        sqlite.batch_execute("PRAGMA query_only=ON").map_err(|error| failed(&error))?;
    }
    Ok(Conn::Sqlite(sqlite))
}

/// How long somebody else may hold a file that is not in write-ahead mode yet.
const NEW_FILE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Puts the file into write-ahead mode, or finds that it is. While another connection does the same SQLite says at once
/// that the file is locked, whatever `busy_timeout` says (sqlite3_busy_handler), so waiting is done here.
fn write_ahead(sqlite: &mut SqliteConnection) -> QueryResult<()> {
    let started = Instant::now();
    loop {
        match sqlite.batch_execute("PRAGMA busy_timeout=1000; PRAGMA journal_mode=WAL") {
            Err(diesel::result::Error::DatabaseError(_, info))
                if info.message().contains("locked") && started.elapsed() < NEW_FILE =>
            {
                std::thread::sleep(PAUSE);
            }
            ended => return ended,
        }
    }
}

/// Creates an empty file only when asked to, and never a directory.
pub(super) fn prepare(path: &Path, create: bool) -> Result<(), DbError> {
    if path.is_file() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Err(DbError::Connect(format!(
            "{}: the directory does not exist; create it",
            parent.display()
        )));
    }
    if !create {
        let remedy = "does not exist; run `assent-server migrate` to create it";
        return Err(DbError::Connect(format!("{}: {remedy}", path.display())));
    }
    // Not `create_new`: another node may have been faster, and an existing file is left as it is.
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map(drop)
        .map_err(|error| DbError::Connect(format!("{}: {error}", path.display())))
}

/// A file name may hold characters that mean something in a URI.
fn escape(path: &Path) -> Result<String, DbError> {
    let text = path.to_str().ok_or_else(|| DbError::Connect(format!("{path:?}: the path is not UTF-8")))?;
    Ok(text.replace('%', "%25").replace('?', "%3f").replace('#', "%23"))
}
