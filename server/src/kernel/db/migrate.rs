//! Brings the schema up to date, one process at a time; refuses a database that is newer than this program.

use super::conn::lock_key;
use super::{Conn, DbError};
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::fmt::Display;

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRESQL: EmbeddedMigrations = embed_migrations!("migrations/postgresql");

/// Another node may be at it, on a slow disk with a large database; PostgreSQL waits without end. Ten minutes.
const SQLITE_WAITS: &str = "PRAGMA busy_timeout=600000";

/// `conn` is of no use for anything else afterwards.
pub(super) fn run(conn: &mut Conn) -> Result<(), DbError> {
    match conn {
        Conn::Sqlite(sqlite) => {
            sqlite.batch_execute(SQLITE_WAITS).map_err(failed)?;
            AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN IMMEDIATE").map_err(failed)?;
            let applied = apply(sqlite, SQLITE);
            match applied {
                Ok(()) => AnsiTransactionManager::commit_transaction(sqlite).map_err(failed),
                Err(error) => {
                    AnsiTransactionManager::rollback_transaction(sqlite).map_err(failed)?;
                    Err(error)
                }
            }
        }
        Conn::Pg(pg) => {
            // Held by the session: the connection is dropped afterwards, which frees it in every case.
            let key = lock_key("migrations");
            pg.batch_execute(&format!("SET statement_timeout = 0; SELECT pg_advisory_lock({key})"))
                .map_err(failed)?;
            apply(pg, POSTGRESQL)
        }
    }
}

fn apply<C, DB>(conn: &mut C, source: EmbeddedMigrations) -> Result<(), DbError>
where
    DB: diesel::backend::Backend,
    C: MigrationHarness<DB>,
    EmbeddedMigrations: diesel::migration::MigrationSource<DB>,
{
    use diesel::migration::MigrationSource;
    let known: Vec<String> = MigrationSource::<DB>::migrations(&source)
        .map_err(failed)?
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect();
    for version in conn.applied_migrations().map_err(failed)? {
        if !known.contains(&version.to_string()) {
            let remedy = "install the newer assent-server, or restore the backup made before the upgrade";
            return Err(DbError::Migration(format!(
                "the database has migration {version}, which this program does not know; {remedy}"
            )));
        }
    }
    conn.run_pending_migrations(source).map(drop).map_err(failed)
}

fn failed(error: impl Display) -> DbError {
    DbError::Migration(error.to_string())
}

#[cfg(test)]
mod tests {
    /// Of two migrations with one number only one is ever run, and nobody says so.
    #[test]
    fn each_migration_has_a_number_of_its_own() {
        for database in ["sqlite", "postgresql"] {
            let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database);
            let names =
                std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
            let mut numbers: Vec<String> = names.map(|n| n.split('_').next().unwrap().to_owned()).collect();
            numbers.sort();
            let all = numbers.len();
            numbers.dedup();
            assert_eq!(numbers.len(), all, "{database}: {numbers:?}");
        }
    }
}
