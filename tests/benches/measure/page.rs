//! A page of the server over a kept connection, in turn with the database's own work for the same rows.

use super::middle::median;
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use std::io::Write as _;
use std::time::Instant;
use tests::World;
use tests::http::Message;

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    n: i64,
}

/// The database of the site, beside the server.
pub fn database(world: &World) -> SqliteConnection {
    let file = world.site().join("server/assent.sqlite");
    let mut plain = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    plain.batch_execute("PRAGMA busy_timeout=60000").unwrap();
    plain
}

/// Medians in milliseconds of the page and of `sql`, which counts something as `n`; each reply with that number goes to `see`.
pub fn in_turn(
    world: &World,
    plain: &mut SqliteConnection,
    (path, sql): (&str, &str),
    rounds: usize,
    mut see: impl FnMut(&Message, i64),
) -> (f64, f64) {
    let request =
        Message::request("GET", path, b"").with("authorization", &format!("Bearer {}", world.token()));
    let bytes = request.to_bytes();
    let mut stream = world.people().connect().unwrap();
    let (mut page, mut rows) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let started = Instant::now();
        stream.write_all(&bytes).unwrap();
        let reply = Message::read(&mut stream, false).unwrap().unwrap();
        page.push(started.elapsed().as_secs_f64() * 1e3);
        assert_eq!(reply.status(), 200, "{}", reply.text());
        let started = Instant::now();
        let counted = diesel::sql_query(sql).get_result::<Counted>(plain).unwrap().n;
        rows.push(started.elapsed().as_secs_f64() * 1e3);
        see(&reply, counted);
    }
    (median(page), median(rows))
}
