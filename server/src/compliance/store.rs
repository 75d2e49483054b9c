//! The record of which bundles left the server.

use crate::each;
use crate::kernel::db::Conn;
use diesel::prelude::*;
use shared::digest::Digest;
use shared::ids::PersonId;
use shared::time::Timestamp;

diesel::table! {
    export (id, at, person) {
        id -> Text,
        at -> BigInt,
        person -> Text,
        query -> Text,
        sums -> Binary,
    }
}

/// `sums` is the digest of `SHA256SUMS`, which stands for all files of the bundle.
pub(super) fn record_export(
    tx: &mut Conn,
    (id, query): (&str, &str),
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
    );
    each!(tx, |c| diesel::insert_into(export::table).values(row).on_conflict_do_nothing().execute(c))
        .map(drop)
}

/// Id, person and time of every export, oldest first.
pub(super) fn list(tx: &mut Conn) -> QueryResult<Vec<(String, String, i64)>> {
    export::table.order((export::at, export::id)).select((export::id, export::person, export::at)).load(tx)
}
