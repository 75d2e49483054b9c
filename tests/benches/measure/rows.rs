//! The reference for durable receipts: plain rows of their size in groups of 64, by one writer that does nothing
//! else, in the same database with the same settings.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use shared::digest::Digest;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;

const GROUP: usize = 64;
const ROW_BYTES: usize = 900;
const TABLE: &str = "CREATE TABLE IF NOT EXISTS plain_row";

diesel::table! {
    plain_row (digest) {
        digest -> Binary,
        body -> Binary,
        received -> BigInt,
    }
}

/// Digests in no order, as those of statements are.
struct Rows {
    body: Vec<u8>,
    next: i64,
}

impl Rows {
    fn group(&mut self) -> Vec<(Digest, i64)> {
        let first = self.next;
        self.next += GROUP as i64;
        (first..self.next).map(|number| (Digest::of(&number.to_le_bytes()), number)).collect()
    }
}

/// Rows per second that are durable in a new SQLite file, with the settings of the server.
pub fn sqlite(dir: &Path, time: Duration) -> f64 {
    let file = tempfile::NamedTempFile::new_in(dir).unwrap();
    let mut conn = SqliteConnection::establish(file.path().to_str().unwrap()).unwrap();
    let columns = "(digest BLOB PRIMARY KEY NOT NULL, body BLOB NOT NULL, received BIGINT NOT NULL)";
    let settings = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL";
    conn.batch_execute(&format!("{settings}; {TABLE} {columns}")).unwrap();
    let mut rows = Rows { body: vec![b'r'; ROW_BYTES], next: 0 };
    let started = Instant::now();
    while started.elapsed() < time {
        let group = rows.group();
        let insert = |tx: &mut SqliteConnection| {
            group.iter().try_for_each(|(digest, number)| {
                let row = (
                    plain_row::digest.eq(digest.0.as_slice()),
                    plain_row::body.eq(&rows.body),
                    plain_row::received.eq(number),
                );
                diesel::insert_into(plain_row::table).values(row).execute(tx).map(drop)
            })
        };
        conn.immediate_transaction::<_, diesel::result::Error, _>(insert).unwrap();
    }
    rows.next as f64 / started.elapsed().as_secs_f64()
}

/// The same in a PostgreSQL database; one statement a group.
pub fn postgresql(url: &str, time: Duration) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let columns = "(digest BYTEA PRIMARY KEY, body BYTEA NOT NULL, received BIGINT NOT NULL)";
        client.batch_execute(&format!("{TABLE} {columns}; TRUNCATE plain_row")).await.unwrap();
        let insert = "INSERT INTO plain_row SELECT * FROM UNNEST($1::bytea[], $2::bytea[], $3::bigint[])";
        let insert = client.prepare(insert).await.unwrap();
        let mut rows = Rows { body: vec![b'r'; ROW_BYTES], next: 0 };
        let started = Instant::now();
        while started.elapsed() < time {
            let (digests, numbers): (Vec<_>, Vec<_>) = rows.group().into_iter().unzip();
            let digests: Vec<&[u8]> = digests.iter().map(|digest| digest.0.as_slice()).collect();
            let bodies = vec![rows.body.as_slice(); GROUP];
            client.execute(&insert, &[&digests, &bodies, &numbers]).await.unwrap();
        }
        let rate = rows.next as f64 / started.elapsed().as_secs_f64();
        drop(client);
        connection.await.unwrap().unwrap();
        rate
    })
}
