//! The connection every store function gets: one of two engines behind one type.
//!
//! Ordinary diesel works on it directly. What the derive cannot express (upsert, several rows in one insert,
//! `returning` with `as_returning`) goes through [`each!`](crate::each), which writes the same query for both.

use super::pg_conn::{PgConn, Seen};
use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use sha2::{Digest as _, Sha256};

#[derive(diesel::MultiConnection)]
#[expect(clippy::large_enum_variant, reason = "a few dozen exist, and they are passed by reference")]
pub enum Conn {
    Sqlite(SqliteConnection),
    Pg(PgConn),
}

/// Runs one query text on whichever engine `$conn` is: `each!(tx, |c| insert_into(..)…execute(c))`.
#[macro_export]
macro_rules! each {
    ($conn:expr, |$inner:ident| $query:expr) => {
        match $conn {
            $crate::kernel::db::Conn::Sqlite($inner) => $query,
            $crate::kernel::db::Conn::Pg($inner) => $query,
        }
    };
}

impl Conn {
    /// Serialises with every other transaction that takes the same name, on all nodes, until this one ends.
    /// SQLite needs nothing: it has one writer.
    pub fn lock(&mut self, name: &str) -> QueryResult<()> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Pg(pg) => diesel::sql_query("SELECT pg_advisory_xact_lock($1)")
                .bind::<BigInt, _>(lock_key(name))
                .execute(pg)
                .map(drop),
        }
    }

    /// `BEGIN`, on SQLite taking the write lock at once so that no later statement can fail for want of it.
    pub(super) fn begin_write(&mut self) -> QueryResult<()> {
        match self {
            Self::Sqlite(sqlite) => AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN IMMEDIATE"),
            Self::Pg(_) => begin(self),
        }
    }

    pub(super) fn take_seen(&mut self) -> Seen {
        match self {
            Self::Sqlite(_) => Seen::default(),
            Self::Pg(pg) => pg.take_seen(),
        }
    }
}

/// Begins a transaction, or a savepoint inside one.
pub(super) fn begin(conn: &mut Conn) -> QueryResult<()> {
    <Conn as Connection>::TransactionManager::begin_transaction(conn)
}

pub(super) fn commit(conn: &mut Conn) -> QueryResult<()> {
    <Conn as Connection>::TransactionManager::commit_transaction(conn)
}

pub(super) fn rollback(conn: &mut Conn) -> QueryResult<()> {
    <Conn as Connection>::TransactionManager::rollback_transaction(conn)
}

/// Advisory locks are numbers; a hash keeps names apart without a register of them.
pub(super) fn lock_key(name: &str) -> i64 {
    let digest = Sha256::digest(name.as_bytes());
    let mut key = [0; 8];
    key.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(key)
}
