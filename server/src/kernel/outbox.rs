//! Outbox: news for later slices and the outside, written in the transaction that caused it.
//!
//! Delivery is at least once: a message taken and neither done nor put off comes back after its hold.

use super::db::{Conn, Db};
use super::error::Error;
use diesel::prelude::*;
use shared::time::Timestamp;
use std::future::Future;
use std::sync::Arc;

diesel::table! {
    outbox (id) {
        id -> BigInt,
        topic -> Text,
        key -> Text,
        body -> Text,
        created -> BigInt,
        attempts -> Integer,
        next_at -> BigInt,
    }
}

/// `key` tells the handler what the message is about, `body` is its JSON; handlers are idempotent by `id`.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = outbox)]
pub struct Message {
    pub id: i64,
    pub topic: String,
    pub key: String,
    pub body: String,
    pub created: i64,
    /// How often it was taken, this time included.
    pub attempts: i32,
}

pub fn put(tx: &mut Conn, topic: &str, key: &str, body: &str, now: Timestamp) -> QueryResult<()> {
    diesel::insert_into(outbox::table)
        .values((
            outbox::topic.eq(topic),
            outbox::key.eq(key),
            outbox::body.eq(body),
            outbox::created.eq(now.0),
            outbox::attempts.eq(0),
            outbox::next_at.eq(now.0),
        ))
        .execute(tx)
        .map(drop)
}

/// Takes up to `limit` due messages of `topic`, oldest first, and hides them for `hold_secs`.
pub fn take_due(
    tx: &mut Conn,
    topic: &str,
    now: Timestamp,
    hold_secs: i64,
    limit: i64,
) -> QueryResult<Vec<Message>> {
    tx.lock("outbox.take")?;
    let ids: Vec<i64> = outbox::table
        .filter(outbox::topic.eq(topic))
        .filter(outbox::next_at.le(now.0))
        .order(outbox::id)
        .limit(limit)
        .select(outbox::id)
        .load(tx)?;
    diesel::update(outbox::table.filter(outbox::id.eq_any(&ids)))
        .set((outbox::attempts.eq(outbox::attempts + 1), outbox::next_at.eq(now.plus(hold_secs).0)))
        .execute(tx)?;
    let taken = outbox::table.filter(outbox::id.eq_any(&ids)).order(outbox::id);
    taken.select(Message::as_select()).load(tx)
}

/// Whether [`take_due`] would find anything.
pub fn is_due(tx: &mut Conn, topic: &str, now: Timestamp) -> QueryResult<bool> {
    let due = outbox::table.filter(outbox::topic.eq(topic)).filter(outbox::next_at.le(now.0));
    Ok(due.select(outbox::id).first::<i64>(tx).optional()?.is_some())
}

pub fn done(tx: &mut Conn, id: i64) -> QueryResult<()> {
    diesel::delete(outbox::table.find(id)).execute(tx).map(drop)
}

pub fn retry_later(tx: &mut Conn, id: i64, at: Timestamp) -> QueryResult<()> {
    diesel::update(outbox::table.find(id)).set(outbox::next_at.eq(at.0)).execute(tx).map(drop)
}

/// Messages per call; a job that finds more gets them at its next turn.
const BATCH: i64 = 100;
/// A message that is taken is hidden this long, in case its handler dies.
const HOLD_SECS: i64 = 300;
/// The longest pause between two attempts.
const LONGEST_PAUSE_SECS: i64 = 3_600;

/// Handles due messages inside the database: effect and removal of a message are one transaction.
/// A handler that fails puts its message off; the others go on. Returns how many were handled.
pub async fn handle(
    db: &Db,
    topic: &'static str,
    now: Timestamp,
    handler: impl Fn(&mut Conn, &Message) -> Result<(), Error> + Send + Sync + 'static,
) -> Result<usize, Error> {
    let handler = Arc::new(handler);
    let mut handled = 0;
    for message in take(db, topic, now).await? {
        let (handler, message) = (handler.clone(), Arc::new(message));
        let shown = message.clone();
        let result = db.write(topic, move |tx| {
            handler(tx, &message)?;
            done(tx, message.id).map_err(Error::from)
        });
        match result.await {
            Ok(()) => handled += 1,
            Err(error) => put_off(db, &shown, &error, now).await?,
        }
    }
    Ok(handled)
}

/// Sends due messages to the outside, at least once each: a crash between sending and removal repeats one.
pub async fn send<F, Fut>(db: &Db, topic: &'static str, now: Timestamp, sender: F) -> Result<usize, Error>
where
    F: Fn(Message) -> Fut,
    Fut: Future<Output = Result<(), Error>>,
{
    let mut sent = 0;
    for message in take(db, topic, now).await? {
        match sender(message.clone()).await {
            Ok(()) => {
                let id = message.id;
                db.write(topic, move |tx| done(tx, id).map_err(Error::from)).await?;
                sent += 1;
            }
            Err(error) => put_off(db, &message, &error, now).await?,
        }
    }
    Ok(sent)
}

async fn take(db: &Db, topic: &'static str, now: Timestamp) -> Result<Vec<Message>, Error> {
    db.write("outbox.take", move |tx| take_due(tx, topic, now, HOLD_SECS, BATCH).map_err(Error::from)).await
}

/// 10, 20, 40 … seconds after `now`, never for good: what is owed stays owed and shows in the log.
async fn put_off(db: &Db, message: &Message, error: &Error, now: Timestamp) -> Result<(), Error> {
    let attempts = message.attempts;
    tracing::warn!(
        topic = message.topic,
        key = message.key,
        attempts,
        error = error.chain(),
        "message put off"
    );
    let pause = (5_i64 << attempts.clamp(1, 20)).min(LONGEST_PAUSE_SECS);
    let id = message.id;
    db.write("outbox.put_off", move |tx| retry_later(tx, id, now.plus(pause)).map_err(Error::from)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::generation;
    use crate::kernel::testdb::each_engine;

    #[tokio::test]
    async fn effect_and_removal_are_one_and_a_failing_message_holds_up_nobody() {
        for test in tokio::task::spawn_blocking(each_engine).await.unwrap() {
            let (db, now) = (&test.db, Timestamp(1_000));
            let put_both = move |tx: &mut Conn| {
                put(tx, "news", "bad", "{}", now)?;
                put(tx, "news", "good", "{}", now).map_err(Error::from)
            };
            db.write("put", put_both).await.unwrap();
            let count = |tx: &mut Conn, message: &Message| {
                generation::bump(tx, &message.key)?;
                if message.key == "bad" { Err(Error::Busy) } else { Ok(()) }
            };
            assert_eq!(handle(db, "news", now, count).await.unwrap(), 1, "{}", test.engine);
            let seen = db.read("seen", |tx| generation::read_all(tx).map_err(Error::from)).await.unwrap();
            assert_eq!(seen.keys().collect::<Vec<_>>(), ["good"], "{}", test.engine);
            assert_eq!(handle(db, "news", now.plus(9), |_, _| Ok(())).await.unwrap(), 0);
            let sent = std::cell::RefCell::new(Vec::new());
            let deliver = |message: Message| {
                sent.borrow_mut().push((message.key, message.attempts));
                std::future::ready(Ok(()))
            };
            assert_eq!(send(db, "news", now.plus(10), deliver).await.unwrap(), 1);
            assert_eq!(send(db, "news", now.plus(9_999), deliver).await.unwrap(), 0);
            assert_eq!(*sent.borrow(), [("bad".to_owned(), 2)], "{}", test.engine);
        }
    }
}
