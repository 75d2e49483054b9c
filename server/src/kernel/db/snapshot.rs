//! A copy of the whole database as it is at one moment, while the server goes on.

use super::{DbError, DbUrl, PgTls, PgUrl, sqlite};
use crate::kernel::db::Conn;
use diesel::connection::SimpleConnection as _;
use diesel::{QueryableByName, RunQueryDsl as _, sql_query, sql_types};
use std::path::Path;
use std::process::Command;

/// The program that copies a PostgreSQL database.
const PG_DUMP: &str = "pg_dump";

#[derive(QueryableByName)]
struct Check {
    #[diesel(sql_type = sql_types::Text)]
    quick_check: String,
}

/// Writes the copy to `to`, a file that does not exist: a SQLite database, or what `pg_restore` reads (custom format).
///
/// # Errors
/// The database's; a copy that is damaged; a `pg_dump` that is not installed or older than the database.
pub fn snapshot(database: &str, to: &Path) -> Result<(), DbError> {
    match DbUrl::parse(database).map_err(|error| DbError::Connect(error.to_string()))? {
        DbUrl::Sqlite(path) => of_sqlite(&path, to),
        DbUrl::Postgres(url) => of_postgresql(&url, to),
    }
}

fn of_sqlite(path: &Path, to: &Path) -> Result<(), DbError> {
    sqlite::prepare(path, false)?;
    let mut conn = sqlite::open(path, false)?;
    let Conn::Sqlite(sqlite) = &mut conn else { return Err(DbError::Connect("not SQLite".into())) };
    let name = to.to_str().ok_or_else(|| DbError::Connect(format!("{to:?}: the path is not UTF-8")))?;
    sql_query("VACUUM INTO ?").bind::<sql_types::Text, _>(name).execute(sqlite)?;
    // The copy is read from the disk once more before anybody relies on it.
    let mut copy = sqlite::open(to, false)?;
    let Conn::Sqlite(sqlite) = &mut copy else { return Err(DbError::Connect("not SQLite".into())) };
    let check: Check = sql_query("PRAGMA quick_check(1)").get_result(sqlite)?;
    // One file, without a log beside it.
    sqlite.batch_execute("PRAGMA journal_mode=DELETE")?;
    match check.quick_check.as_str() {
        "ok" => Ok(()),
        damage => Err(DbError::Connect(format!("the copy of {} is damaged: {damage}", path.display()))),
    }
}

fn of_postgresql(url: &PgUrl, to: &Path) -> Result<(), DbError> {
    let failed = |why: String| DbError::Connect(format!("{PG_DUMP}: {why}"));
    let settings: tokio_postgres::Config =
        url.address.parse().map_err(|error: tokio_postgres::Error| failed(error.to_string()))?;
    let mut dump = Command::new(PG_DUMP);
    dump.args(["--format=custom", "--no-owner", "--no-password", "--file"]).arg(to);
    // In the environment, because every user sees the arguments of a program.
    let hosts: Vec<String> = settings.get_hosts().iter().map(host).collect();
    let ports: Vec<String> = settings.get_ports().iter().map(u16::to_string).collect();
    dump.env("PGHOST", hosts.join(",")).env("PGPORT", ports.join(","));
    for (name, value) in [("PGUSER", settings.get_user()), ("PGDATABASE", settings.get_dbname())] {
        if let Some(value) = value {
            dump.env(name, value);
        }
    }
    if let Some(password) = settings.get_password() {
        use std::os::unix::ffi::OsStrExt as _;
        dump.env("PGPASSWORD", std::ffi::OsStr::from_bytes(password));
    }
    match &url.tls {
        PgTls::Off => dump.env("PGSSLMODE", "disable"),
        PgTls::Verified(roots) => dump.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", roots),
    };
    let out = dump.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed("it is not installed; install the PostgreSQL client".into()),
        _ => failed(error.to_string()),
    })?;
    if out.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&out.stderr);
    Err(failed(shared::strict::shorten(said.lines().next().unwrap_or("it failed without a word"))))
}

fn host(host: &tokio_postgres::config::Host) -> String {
    match host {
        tokio_postgres::config::Host::Tcp(name) => name.clone(),
        tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
    }
}
