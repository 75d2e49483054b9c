//! Budgets as they are stored, documents of the kernel revision by revision; all SQL of leases.

use super::lease::{Claimant, Covering};
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::kernel::revisions::{self, Revision};
use diesel::prelude::*;
use shared::digest::Digest;
use shared::ids::{BudgetName, PersonId};
use shared::time::Timestamp;
use shared::wire::{Budget, BudgetStep, PutBudget};
use std::collections::HashSet;

diesel::table! {
    budget_lease (budget, claimant) {
        budget -> Text,
        claimant -> Text,
        change -> Nullable<Binary>,
        since -> BigInt,
        until -> BigInt,
    }
}

diesel::table! {
    budget_address (sha256) {
        sha256 -> Binary,
        budget -> Text,
        person -> Text,
        created -> BigInt,
        ended -> Nullable<BigInt>,
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = budget_lease)]
pub struct LeaseRow {
    pub(super) budget: String,
    pub(super) claimant: String,
    pub(super) change: Option<Vec<u8>>,
    pub(super) since: i64,
    pub(super) until: i64,
}

const KIND: &str = "budget";

fn step(revision: Revision<Budget>) -> BudgetStep {
    let Revision { number, at, by, reason, content } = revision;
    BudgetStep { revision: number, at, by, reason, budget: content }
}

/// From here to the end of the transaction nobody else gives slots out or changes a budget, on any node.
pub(super) fn lock(tx: &mut Conn) -> QueryResult<()> {
    tx.lock("budgets")
}

/// The newest revision of each budget by name, ended ones included.
pub(super) fn list(tx: &mut Conn) -> Result<Vec<(BudgetName, BudgetStep)>, Error> {
    let all = revisions::list(tx, KIND)?.into_iter();
    Ok(all.map(|(name, revision)| (name, step(revision))).collect())
}

/// Newest first; none when there is no such budget.
pub(super) fn find_history(tx: &mut Conn, name: &BudgetName) -> Result<Vec<BudgetStep>, Error> {
    let all = revisions::history(tx, (KIND, name.as_str()))?;
    Ok(all.into_iter().map(step).collect())
}

/// Newest first.
///
/// # Errors
/// `budget.unknown`.
pub(super) fn history(tx: &mut Conn, name: &BudgetName) -> Result<Vec<BudgetStep>, Error> {
    match find_history(tx, name)? {
        none if none.is_empty() => Err(Refusal::not_found("budget.unknown").with("budget", name).into()),
        history => Ok(history),
    }
}

/// Stores the next revision. Two that follow the same one: the second is refused, whichever node they ask.
///
/// # Errors
/// `budget.moved`.
pub(super) fn insert(
    tx: &mut Conn,
    name: &BudgetName,
    put: &PutBudget,
    person: &PersonId,
    now: Timestamp,
) -> Result<(), Error> {
    let new = (put.after, put.reason.as_str(), put.budget.as_ref());
    let moved = |last| {
        let refusal = Refusal::conflict("budget.moved").with("budget", name);
        refusal.with("after", put.after).with("revision", last)
    };
    Ok(revisions::append(tx, (KIND, name.as_str()), new, person, now)?.map_err(moved)?)
}

/// All leases of these budgets, the earliest first.
pub(super) fn list_leases(tx: &mut Conn, of: &Covering) -> QueryResult<Vec<LeaseRow>> {
    let names: Vec<&str> = of.iter().map(|(name, _)| name.as_str()).collect();
    let rows = budget_lease::table.filter(budget_lease::budget.eq_any(names));
    rows.order((budget_lease::since, budget_lease::claimant)).load(tx)
}

pub(super) fn record_lease(tx: &mut Conn, lease: &LeaseRow) -> QueryResult<()> {
    each!(tx, |c| diesel::insert_into(budget_lease::table)
        .values(lease)
        .on_conflict((budget_lease::budget, budget_lease::claimant))
        .do_update()
        .set((
            budget_lease::change.eq(&lease.change),
            budget_lease::since.eq(lease.since),
            budget_lease::until.eq(lease.until),
        ))
        .execute(c))
    .map(drop)
}

pub(super) fn delete_lease(tx: &mut Conn, lease: &LeaseRow) -> QueryResult<()> {
    diesel::delete(budget_lease::table.find((&lease.budget, &lease.claimant))).execute(tx).map(drop)
}

pub(super) fn delete_of(tx: &mut Conn, claimant: &Claimant, of: &BudgetName) -> QueryResult<()> {
    diesel::delete(budget_lease::table.find((of.as_str(), claimant.to_string()))).execute(tx).map(drop)
}

/// Ends what a claimant has for one change.
pub(super) fn delete_of_change(tx: &mut Conn, claimant: &Claimant, change: &Digest) -> QueryResult<()> {
    let own = budget_lease::table.filter(budget_lease::claimant.eq(claimant.to_string()));
    diesel::delete(own.filter(budget_lease::change.eq(Some(change.0.as_slice())))).execute(tx).map(drop)
}

/// Ends what anybody has of a budget.
pub(super) fn delete_all(tx: &mut Conn, name: &BudgetName) -> QueryResult<()> {
    diesel::delete(budget_lease::table.filter(budget_lease::budget.eq(name.as_str()))).execute(tx).map(drop)
}

/// # Errors
/// `budget.address_taken` when somebody has this address already.
pub(super) fn insert_address(
    tx: &mut Conn,
    secret: &Digest,
    of: &BudgetName,
    person: &PersonId,
    now: Timestamp,
) -> Result<(), Error> {
    let row = (
        budget_address::sha256.eq(secret.0.as_slice()),
        budget_address::budget.eq(of.as_str()),
        budget_address::person.eq(person.as_str()),
        budget_address::created.eq(now.0),
    );
    let new = each!(tx, |c| diesel::insert_into(budget_address::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(c))?;
    if new == 1 { Ok(()) } else { Err(Refusal::conflict("budget.address_taken").into()) }
}

/// Ends all addresses of a budget.
pub(super) fn end_addresses(tx: &mut Conn, of: &BudgetName, now: Timestamp) -> QueryResult<()> {
    let open = budget_address::table.filter(budget_address::budget.eq(of.as_str()));
    let open = open.filter(budget_address::ended.is_null());
    diesel::update(open).set(budget_address::ended.eq(now.0)).execute(tx).map(drop)
}

/// All addresses that have not ended, by the digests of their secrets.
pub(super) fn list_addresses(tx: &mut Conn) -> Result<HashSet<Digest>, Error> {
    let open = budget_address::table.filter(budget_address::ended.is_null());
    let rows: Vec<Vec<u8>> = open.select(budget_address::sha256).load(tx)?;
    let damaged = |_| Error::fault("reading the addresses of budgets", "one of them is no digest");
    rows.into_iter().map(|row| row.try_into().map(Digest).map_err(damaged)).collect()
}

/// The budget whose machines come under this address.
pub(super) fn find_address(tx: &mut Conn, secret: &Digest) -> Result<Option<BudgetName>, Error> {
    let row = budget_address::table.find(secret.0.as_slice()).filter(budget_address::ended.is_null());
    let name: Option<String> = row.select(budget_address::budget).first(tx).optional()?;
    let damaged = |error| Error::fault("reading an address of a budget", error);
    name.map(|name| name.parse().map_err(damaged)).transpose()
}
