//! Connections kept for reuse: at most `size` in use, callers wait a bounded time for one.

use super::{Conn, DbError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Waiting longer than this means the database cannot keep up; the caller is told to come back.
const WAIT: Duration = Duration::from_secs(10);

type Open = Box<dyn Fn() -> Result<Conn, DbError> + Send + Sync>;

pub(super) struct Pool {
    idle: Mutex<Vec<Conn>>,
    slots: Arc<Semaphore>,
    open: Open,
}

impl Pool {
    pub fn new(size: usize, open: Open) -> Arc<Self> {
        Arc::new(Self { idle: Mutex::default(), slots: Arc::new(Semaphore::new(size)), open })
    }

    /// The right to use one connection; hold it as long as the connection.
    pub async fn slot(&self) -> Result<OwnedSemaphorePermit, DbError> {
        match tokio::time::timeout(WAIT, self.slots.clone().acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            _ => Err(DbError::Busy),
        }
    }

    /// Blocks while connecting.
    pub fn take(&self) -> Result<Conn, DbError> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.map_or_else(|| (self.open)(), Ok)
    }

    pub fn put_back(&self, conn: Conn) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
    }

    /// After a lost connection the others are most likely lost too.
    pub fn forget_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
