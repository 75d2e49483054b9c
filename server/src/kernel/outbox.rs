//! Outbox: news for later slices and the outside, written in the transaction that caused it.
//!
//! Delivery is at least once: a message taken and neither done nor put off comes back after its hold.

use super::db::Conn;
use diesel::prelude::*;
use shared::time::Timestamp;

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

pub fn done(tx: &mut Conn, id: i64) -> QueryResult<()> {
    diesel::delete(outbox::table.find(id)).execute(tx).map(drop)
}

pub fn retry_later(tx: &mut Conn, id: i64, at: Timestamp) -> QueryResult<()> {
    diesel::update(outbox::table.find(id)).set(outbox::next_at.eq(at.0)).execute(tx).map(drop)
}
