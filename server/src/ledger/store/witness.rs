//! SQL of witnesses: those of the policy, and the largest checkpoint that each has signed.

use crate::kernel::db::Conn;
use diesel::prelude::*;
use shared::ledger::{Checkpoint, WitnessKey};
use shared::time::Timestamp;

diesel::table! {
    ledger_witness (vkey) {
        vkey -> Text,
        place -> Integer,
        log -> Nullable<BigInt>,
        size -> Nullable<BigInt>,
        checkpoint -> Nullable<Text>,
        received -> Nullable<BigInt>,
    }
}

/// A witness of the policy.
#[derive(Debug, Clone, Queryable)]
pub struct Row {
    pub vkey: String,
    pub log: Option<i64>,
    /// The signed note with its line.
    pub checkpoint: Option<String>,
    pub received: Option<i64>,
}

/// Those of the policy in force, in its order. What a witness that stays has signed is kept.
pub fn set_witnesses(tx: &mut Conn, keys: &[WitnessKey]) -> QueryResult<()> {
    let vkeys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    let gone = ledger_witness::table.filter(diesel::dsl::not(ledger_witness::vkey.eq_any(&vkeys)));
    diesel::delete(gone).execute(tx)?;
    for (place, vkey) in (0i32..).zip(&vkeys) {
        let row = ledger_witness::table.find(vkey);
        if diesel::update(row).set(ledger_witness::place.eq(place)).execute(tx)? == 0 {
            let new = (ledger_witness::vkey.eq(vkey), ledger_witness::place.eq(place));
            diesel::insert_into(ledger_witness::table).values(new).execute(tx)?;
        }
    }
    Ok(())
}

pub(in crate::ledger) fn list_witnesses(tx: &mut Conn) -> QueryResult<Vec<Row>> {
    let columns =
        (ledger_witness::vkey, ledger_witness::log, ledger_witness::checkpoint, ledger_witness::received);
    ledger_witness::table.order(ledger_witness::place).select(columns).load(tx)
}

/// The largest size of this log that a witness has signed, at most `end`; 0 without one.
pub(in crate::ledger) fn largest_witnessed(tx: &mut Conn, log: i64, end: u64) -> QueryResult<u64> {
    let looks = ledger_witness::table.filter(ledger_witness::log.eq(log));
    let looks = looks.filter(ledger_witness::size.le(end.cast_signed()));
    let largest: Option<i64> = looks.select(diesel::dsl::max(ledger_witness::size)).first(tx)?;
    Ok(largest.map_or(0, i64::cast_unsigned))
}

/// Keeps what a witness has signed of this log, unless it has signed a larger checkpoint of it already.
pub(in crate::ledger) fn update_witness(
    tx: &mut Conn,
    vkey: &str,
    (log, seen): (i64, &Checkpoint),
    note: &str,
    now: Timestamp,
) -> QueryResult<()> {
    let size = seen.size.cast_signed();
    let older = ledger_witness::log.is_null().or(ledger_witness::log.ne(log));
    let older = older.or(ledger_witness::size.le(size));
    let row = ledger_witness::table.filter(ledger_witness::vkey.eq(vkey)).filter(older);
    let look = (
        ledger_witness::log.eq(log),
        ledger_witness::size.eq(size),
        ledger_witness::checkpoint.eq(note),
        ledger_witness::received.eq(now.0),
    );
    diesel::update(row).set(look).execute(tx).map(drop)
}
