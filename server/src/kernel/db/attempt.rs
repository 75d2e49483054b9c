//! One run of a body inside one transaction or savepoint, and what became of it.

use super::Conn;
use super::conn::{commit, rollback};
use diesel::QueryResult;
use diesel::connection::SimpleConnection;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why nothing, or possibly nothing, was written.
pub(super) enum Failed<E> {
    /// The body said no; rolled back.
    Body(E),
    /// The body panicked; rolled back.
    Panicked,
    /// Nothing was written; trying again may help. `Some` when the body gave the reason.
    Again(Option<E>, diesel::result::Error),
    /// The connection broke, certainly before anything was written. `Some` when the body gave the reason.
    Lost(Option<E>, diesel::result::Error),
    /// COMMIT was refused; nothing was written.
    Refused(diesel::result::Error),
    /// The connection broke during COMMIT: written or not, nobody knows.
    Unknown(diesel::result::Error),
}

impl<E> Failed<E> {
    /// Whether the connection may be used again.
    pub fn keeps_connection(&self) -> bool {
        matches!(self, Self::Body(_) | Self::Again(..))
    }
}

pub(super) fn attempt<T, E>(
    conn: &mut Conn,
    begin: fn(&mut Conn) -> QueryResult<()>,
    body: &impl Fn(&mut Conn) -> Result<T, E>,
) -> Result<T, Failed<E>> {
    conn.take_seen();
    begin(conn).map_err(|error| Failed::Lost(None, error))?;
    match catch_unwind(AssertUnwindSafe(|| body(conn))) {
        Ok(Ok(value)) => finish(conn).map(|()| value),
        Ok(Err(said)) => Err(undo(conn, Some(said))),
        Err(_panic) => Err(match undo::<E>(conn, None) {
            lost @ Failed::Lost(..) => lost,
            _ => Failed::Panicked,
        }),
    }
}

fn finish<E>(conn: &mut Conn) -> Result<(), Failed<E>> {
    let seen = conn.take_seen();
    // A body that swallowed a failed statement has an aborted transaction on PostgreSQL,
    // and COMMIT would roll back without an error: ask before telling the caller it is stored.
    if seen.failure
        && let Err(aborted) = conn.batch_execute("SELECT 1")
    {
        return Err(match rollback(conn) {
            Err(error) => Failed::Lost(None, error),
            Ok(()) if seen.conflict => Failed::Again(None, aborted),
            Ok(()) => Failed::Refused(aborted),
        });
    }
    let Err(error) = commit(conn) else { return Ok(()) };
    let conflict = conn.take_seen().conflict;
    let answered = conn.batch_execute("SELECT 1").is_ok();
    Err(match (conflict, answered) {
        (true, _) => Failed::Again(None, error),
        (false, true) => Failed::Refused(error),
        (false, false) => Failed::Unknown(error),
    })
}

/// Rolls back; `None` stands for a body that gave no reason.
fn undo<E>(conn: &mut Conn, said: Option<E>) -> Failed<E> {
    let conflict = conn.take_seen().conflict;
    match (rollback(conn), said) {
        (Err(error), said) => Failed::Lost(said, error),
        (Ok(()), said) if conflict => Failed::Again(said, diesel::result::Error::RollbackTransaction),
        (Ok(()), Some(said)) => Failed::Body(said),
        (Ok(()), None) => Failed::Panicked,
    }
}
