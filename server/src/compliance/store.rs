//! The record of which bundles left the server.

use crate::each;
use crate::kernel::db::Conn;
use diesel::prelude::*;
use shared::digest::Digest;
use shared::ids::PersonId;
use shared::ledger::Checkpoint;
use shared::time::Timestamp;

diesel::table! {
    export (id, at, person) {
        id -> Text,
        at -> BigInt,
        person -> Text,
        query -> Text,
        sums -> Binary,
        log -> Nullable<Text>,
        log_size -> Nullable<BigInt>,
    }
}

/// `sums` is the digest of `SHA256SUMS`, which stands for all files of the bundle.
pub(super) fn record_export(
    tx: &mut Conn,
    (id, query): (&str, &str),
    (log, size): (&str, u64),
    person: &PersonId,
    sums: &Digest,
    now: Timestamp,
) -> QueryResult<()> {
    let row = (
        export::id.eq(id),
        export::at.eq(now.0),
        export::person.eq(person.as_str()),
        export::query.eq(query),
        export::sums.eq(sums.0.as_slice()),
        export::log.eq(log),
        export::log_size.eq(size.cast_signed()),
    );
    each!(tx, |c| diesel::insert_into(export::table).values(row).on_conflict_do_nothing().execute(c))
        .map(drop)
}

/// Size of this log at the last export that saw fewer leaves than it has now.
pub(super) fn find_previous(tx: &mut Conn, head: &Checkpoint) -> QueryResult<Option<u64>> {
    let before = export::table
        .filter(export::log.eq(head.origin.as_str()))
        .filter(export::log_size.lt(head.size.cast_signed()))
        .select(diesel::dsl::max(export::log_size))
        .first::<Option<i64>>(tx)?;
    Ok(before.map(i64::cast_unsigned))
}

/// Id, person and time of every export, oldest first.
pub(super) fn list(tx: &mut Conn) -> QueryResult<Vec<(String, String, i64)>> {
    export::table.order((export::at, export::id)).select((export::id, export::person, export::at)).load(tx)
}
