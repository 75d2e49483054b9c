//! The one door to the database: `db.read("name", |tx| …)` and `db.write("name", |tx| …)`.
//!
//! Owns connections, transactions, retries and migrations for SQLite and PostgreSQL.
//! Never runs a side effect for a body: a body may run more than once, so effects go to the outbox.

mod attempt;
mod conn;
mod migrate;
mod pg;
mod pg_conn;
mod pool;
mod snapshot;
mod sqlite;
#[cfg(test)]
mod tests;
mod url;

pub use conn::{Conn, MultiBackend};
pub use snapshot::snapshot;
pub use url::{BadUrl, DbUrl, PgTls, PgUrl};

use attempt::{Failed, attempt};
use conn::begin;
use pool::Pool;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// PostgreSQL connections that write; a few groups' worth, well below the server's usual limit of 100.
const PG_WRITERS: usize = 16;
const READERS: usize = 8;
/// A transaction that takes longer is logged with its name.
const SLOW: Duration = Duration::from_secs(1);

/// What can go wrong with the database itself.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// Too much is waiting, or a conflict outlasted all retries. Nothing was written; come back later.
    #[error("the database is busy")]
    Busy,
    #[error("a query failed")]
    Query(#[from] diesel::result::Error),
    #[error("{0}")]
    Connect(String),
    #[error("the transaction {name:?} panicked; nothing of it was written")]
    Panicked { name: &'static str },
    #[error("not committed: {0}")]
    NotCommitted(String),
    /// The connection broke during COMMIT. Safe to repeat because writes are idempotent by key.
    #[error("the connection broke during commit, so the outcome is unknown: {0}")]
    Unknown(String),
    #[error("migration: {0}")]
    Migration(String),
}

/// Cheap to clone; all clones share the connections.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    engine: Engine,
    readers: Arc<Pool>,
    /// Runs all blocking database work and drives PostgreSQL connections, apart from the HTTP workers.
    runtime: Option<Runtime>,
}

enum Engine {
    Sqlite(sqlite::Writer),
    Pg(Arc<Pool>),
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What to do with a SQLite file that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connect {
    pub create: bool,
}

impl Db {
    /// Connects and brings the schema up to date under a lock. Blocks; meant for the start of the process.
    pub fn connect(url: &str, how: Connect) -> Result<Self, DbError> {
        let url = DbUrl::parse(url).map_err(|error| DbError::Connect(format!("database.url: {error}")))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(PG_WRITERS + READERS + 1)
            .thread_name("database")
            .enable_all()
            .build()
            .map_err(|error| DbError::Connect(format!("starting the database threads: {error}")))?;
        let inner = match url {
            DbUrl::Sqlite(path) => {
                sqlite::prepare(&path, how.create)?;
                migrate::run(&mut sqlite::open(&path, false)?)?;
                let writer = sqlite::Writer::start(path.clone())?;
                let readers = Pool::new(READERS, Box::new(move || sqlite::open(&path, true)));
                Inner { engine: Engine::Sqlite(writer), readers, runtime: Some(runtime) }
            }
            DbUrl::Postgres(url) => {
                let write = pg::Connector::new(&url, false, runtime.handle().clone())?;
                let read = pg::Connector::new(&url, true, runtime.handle().clone())?;
                let write = on_runtime(&runtime, move || {
                    migrate::run(&mut write.connect()?)?;
                    Ok(write)
                })?;
                let writers = Pool::new(PG_WRITERS, Box::new(move || write.connect()));
                let readers = Pool::new(READERS, Box::new(move || read.connect()));
                Inner { engine: Engine::Pg(writers), readers, runtime: Some(runtime) }
            }
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Runs `body` in a transaction that is committed when it returns `Ok` and taken back otherwise.
    ///
    /// `name` is for logs. `body` may run more than once.
    pub async fn write<T, E>(
        &self,
        name: &'static str,
        body: impl Fn(&mut Conn) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let started = Instant::now();
        let result = match &self.0.engine {
            Engine::Sqlite(writer) => writer.write(name, body).await,
            Engine::Pg(writers) => {
                self.blocking(writers, name, move |pool| pg::transact(pool, name, &body)).await
            }
        };
        warn_if_slow(name, started);
        result
    }

    /// Runs `body` on one unchanging state of the data; a write in it is an error.
    pub async fn read<T, E>(
        &self,
        name: &'static str,
        body: impl Fn(&mut Conn) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let started = Instant::now();
        let result = match &self.0.engine {
            Engine::Sqlite(_) => {
                self.blocking(&self.0.readers, name, move |pool| read_sqlite(pool, name, &body)).await
            }
            Engine::Pg(_) => {
                self.blocking(&self.0.readers, name, move |pool| pg::transact(pool, name, &body)).await
            }
        };
        warn_if_slow(name, started);
        result
    }

    async fn blocking<T, E>(
        &self,
        pool: &Arc<Pool>,
        name: &'static str,
        work: impl FnOnce(&Pool) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let slot = pool.slot().await?;
        let Some(runtime) = &self.0.runtime else { return Err(DbError::Busy.into()) };
        let pool = pool.clone();
        let task = runtime.spawn_blocking(move || {
            let result = work(&pool);
            drop(slot);
            result
        });
        task.await.unwrap_or_else(|_| Err(DbError::Panicked { name }.into()))
    }
}

fn read_sqlite<T, E: From<DbError>>(
    pool: &Pool,
    name: &'static str,
    body: &impl Fn(&mut Conn) -> Result<T, E>,
) -> Result<T, E> {
    let mut conn = pool.take()?;
    let outcome = attempt(&mut conn, begin, body);
    if outcome.as_ref().err().is_none_or(Failed::keeps_connection) {
        pool.put_back(conn);
    }
    outcome.map_err(|failed| match failed {
        Failed::Body(said) => said,
        Failed::Panicked => DbError::Panicked { name }.into(),
        Failed::Again(said, error) | Failed::Lost(said, error) => {
            said.unwrap_or_else(|| DbError::Query(error).into())
        }
        Failed::Refused(error) | Failed::Unknown(error) => DbError::Query(error).into(),
    })
}

fn warn_if_slow(name: &'static str, started: Instant) {
    let took = started.elapsed();
    if took > SLOW {
        tracing::warn!(transaction = name, took_ms = took.as_millis(), "slow transaction");
    }
}

/// The wrapped PostgreSQL connection may be used only on a blocking thread of the runtime it was made in.
fn on_runtime<T: Send + 'static>(
    runtime: &Runtime,
    work: impl FnOnce() -> Result<T, DbError> + Send + 'static,
) -> Result<T, DbError> {
    let (sender, receiver) = std::sync::mpsc::channel();
    runtime.spawn_blocking(move || drop(sender.send(work())));
    receiver.recv().unwrap_or_else(|_| Err(DbError::Panicked { name: "migrate" }))
}
