//! Generations: a number per cached thing that grows whenever the thing changes, so that other nodes
//! notice that their in-memory copy is old. Bump it in the transaction that changes the thing.

use super::db::Conn;
use crate::each;
use diesel::prelude::*;
use std::collections::BTreeMap;

diesel::table! {
    generation (name) {
        name -> Text,
        value -> BigInt,
    }
}

pub fn bump(tx: &mut Conn, name: &str) -> QueryResult<()> {
    let first = (generation::name.eq(name), generation::value.eq(1));
    each!(tx, |c| diesel::insert_into(generation::table)
        .values(first)
        .on_conflict(generation::name)
        .do_update()
        .set(generation::value.eq(generation::value + 1))
        .execute(c))
    .map(drop)
}

/// All generations by name; a name that was never bumped is absent and counts as 0.
pub fn read_all(tx: &mut Conn) -> QueryResult<BTreeMap<String, i64>> {
    Ok(generation::table.load::<(String, i64)>(tx)?.into_iter().collect())
}
