//! PostgreSQL: connecting (with verified TLS or none) and repeating a transaction that met a conflict.

use super::attempt::{Failed, attempt};
use super::conn::begin;
use super::pg_conn::PgConn;
use super::pool::Pool;
use super::url::{PgTls, PgUrl};
use super::{Conn, DbError};
use crate::kernel::error::chain;
use crate::kernel::http::tls;
use diesel_async::AsyncPgConnection;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Attempts after the first; with the pauses below the last one starts about a second later.
const RETRIES: u32 = 8;

/// No statement of ours takes this long; without a bound a stuck one would keep its connection for ever.
const PATIENCE: &str = "-c statement_timeout=60s -c idle_in_transaction_session_timeout=60s";

/// Connects from a blocking thread of `runtime`, and is usable only there.
pub(super) struct Connector {
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
    runtime: Handle,
}

impl Connector {
    pub fn new(url: &PgUrl, read_only: bool, runtime: Handle) -> Result<Self, DbError> {
        let bad =
            |error: tokio_postgres::Error| DbError::Connect(format!("database address: {}", chain(&error)));
        let mut config = tokio_postgres::Config::from_str(&url.address).map_err(bad)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(10));
        }
        // A server that vanished is noticed within half a minute instead of the system's default of hours.
        config.keepalives_idle(Duration::from_secs(15)).tcp_user_timeout(Duration::from_secs(30));
        // One snapshot per read, so that a page does not mix two states.
        let ours = if read_only {
            "-c default_transaction_read_only=on -c default_transaction_isolation=repeatable\\ read"
        } else {
            "-c default_transaction_isolation=read\\ committed"
        };
        let theirs = config.get_options().map(str::to_owned).unwrap_or_default();
        config.options(format!("{theirs} {ours} {PATIENCE}").trim());
        let tls = match &url.tls {
            PgTls::Off => None,
            PgTls::Verified(roots) => Some(verified(roots)?),
        };
        Ok(Self { config, tls, runtime })
    }

    pub fn connect(&self) -> Result<Conn, DbError> {
        let connected = self.runtime.block_on(async {
            match &self.tls {
                None => establish(&self.config, tokio_postgres::NoTls).await,
                Some(tls) => establish(&self.config, tls.clone()).await,
            }
        });
        connected.map(|conn| Conn::Pg(PgConn::new(conn))).map_err(DbError::Connect)
    }
}

async fn establish<T>(config: &tokio_postgres::Config, tls: T) -> Result<AsyncPgConnection, String>
where
    T: tokio_postgres::tls::MakeTlsConnect<tokio_postgres::Socket>,
    T::Stream: Send + Unpin + 'static,
{
    let (client, connection) = config.connect(tls).await.map_err(|error| chain(&error))?;
    AsyncPgConnection::try_from_client_and_connection(client, connection).await.map_err(|error| chain(&error))
}

fn verified(roots: &Path) -> Result<MakeRustlsConnect, DbError> {
    let config = tls::trusting(roots);
    let config = config.map_err(|error| DbError::Connect(format!("sslrootcert: {}", error.chain())))?;
    Ok(MakeRustlsConnect::new(config))
}

/// Runs `body` in a transaction, again after a conflict or a connection lost before COMMIT.
pub(super) fn transact<T, E: From<DbError>>(
    pool: &Pool,
    name: &'static str,
    body: &impl Fn(&mut Conn) -> Result<T, E>,
) -> Result<T, E> {
    for retry in 0.. {
        let mut conn = pool.take()?;
        let outcome = attempt(&mut conn, begin, body);
        if outcome.as_ref().err().is_none_or(Failed::keeps_connection) {
            pool.put_back(conn);
        }
        match outcome {
            Ok(value) => return Ok(value),
            Err(Failed::Body(said)) => return Err(said),
            Err(Failed::Panicked) => return Err(DbError::Panicked { name }.into()),
            Err(Failed::Refused(error)) => return Err(DbError::NotCommitted(error.to_string()).into()),
            Err(Failed::Unknown(error)) => return Err(DbError::Unknown(error.to_string()).into()),
            Err(Failed::Again(..)) if retry < RETRIES => {}
            Err(Failed::Lost(..)) if retry < RETRIES => pool.forget_idle(),
            Err(Failed::Again(..)) => return Err(DbError::Busy.into()),
            Err(Failed::Lost(said, error)) => {
                return Err(said.unwrap_or_else(|| DbError::Query(error).into()));
            }
        }
        pause(retry);
    }
    Err(DbError::Busy.into())
}

/// 2, 4, 8 … 256 ms, each between half and the whole of it, so that two rivals do not meet again.
fn pause(retry: u32) {
    let ceiling = 2_000_u64 << retry.min(7);
    let mut random = [0; 8];
    // Without randomness the pause is the whole; a rival's then most likely differs by scheduling.
    let jitter =
        if getrandom::fill(&mut random).is_ok() { u64::from_le_bytes(random) % (ceiling / 2) } else { 0 };
    std::thread::sleep(Duration::from_micros(ceiling - jitter));
}
