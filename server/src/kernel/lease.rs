//! Leases: at most one node does a single-writer task (publishing, ledger sequencing) at a time.
//!
//! A lease alone does not stop a node that slept past its end; its writes check the fence with [`assert_held`].

use super::db::{Conn, DbError};
use crate::each;
use diesel::prelude::*;
use shared::time::Timestamp;

diesel::table! {
    lease (name) {
        name -> Text,
        holder -> Text,
        until -> BigInt,
        fence -> BigInt,
    }
}

/// Grows with every change of holder; proof of a lease while [`assert_held`] agrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(pub i64);

/// Takes or renews the lease until `now + ttl_secs`; `None` while another holder has it.
pub fn acquire(
    tx: &mut Conn,
    name: &str,
    holder: &str,
    now: Timestamp,
    ttl_secs: i64,
) -> QueryResult<Option<Fence>> {
    let until = lease::until.eq(now.plus(ttl_secs).0);
    let row = lease::table.find(name);
    let renewed = diesel::update(row.filter(lease::holder.eq(holder)).filter(lease::until.gt(now.0)))
        .set(until)
        .returning(lease::fence)
        .get_result(tx)
        .optional()?;
    if let Some(fence) = renewed {
        return Ok(Some(Fence(fence)));
    }
    let taken = diesel::update(row.filter(lease::until.le(now.0)))
        .set((lease::holder.eq(holder), until, lease::fence.eq(lease::fence + 1)))
        .returning(lease::fence)
        .get_result(tx)
        .optional()?;
    if let Some(fence) = taken {
        return Ok(Some(Fence(fence)));
    }
    let first = (lease::name.eq(name), lease::holder.eq(holder), until, lease::fence.eq(1));
    let inserted =
        each!(tx, |c| diesel::insert_into(lease::table).values(first).on_conflict_do_nothing().execute(c))?;
    Ok((inserted == 1).then_some(Fence(1)))
}

/// Gives the lease back early, so that another node need not wait; nothing happens if it is already lost.
pub fn release(tx: &mut Conn, name: &str, fence: Fence) -> QueryResult<()> {
    diesel::update(lease::table.find(name).filter(lease::fence.eq(fence.0)))
        .set(lease::until.eq(0))
        .execute(tx)
        .map(drop)
}

/// For the transaction of a single-writer task: fails with [`DbError::Busy`] if someone else took over.
/// Keeps the row, so nobody can take over until this transaction ends.
pub fn assert_held(tx: &mut Conn, name: &str, fence: Fence) -> Result<(), DbError> {
    let held = lease::table.find(name).filter(lease::fence.eq(fence.0));
    match diesel::update(held).set(lease::fence.eq(fence.0)).execute(tx)? {
        1 => Ok(()),
        _ => Err(DbError::Busy),
    }
}
