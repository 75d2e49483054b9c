//! All SQL of budgets and leases.

use super::lease::{Claimant, Covering, LeaseRow};
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use diesel::prelude::*;
use shared::digest::Digest;
use shared::ids::{BudgetName, PersonId};
use shared::strict;
use shared::time::Timestamp;
use shared::wire::{BudgetStep, PutBudget};

diesel::table! {
    budgets (name, revision) {
        name -> Text,
        revision -> BigInt,
        at -> BigInt,
        person -> Text,
        reason -> Text,
        content -> Nullable<Text>,
    }
}

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

type Row = (String, i64, i64, String, String, Option<String>);

/// Revisions that are shown of one budget.
const HISTORY: i64 = 100;

fn step((name, revision, at, person, reason, content): Row) -> Result<(BudgetName, BudgetStep), Error> {
    let damaged =
        || Error::fault("reading budgets", format!("{name} is damaged; restore the database from a backup"));
    let read = |text: String| serde_json::from_str(&text).map_err(|_| damaged());
    let step = BudgetStep {
        revision: u32::try_from(revision).map_err(|_| damaged())?,
        at: Timestamp(at),
        by: person.parse().map_err(|_| damaged())?,
        reason,
        budget: content.map(read).transpose()?,
    };
    Ok((name.parse().map_err(|_| damaged())?, step))
}

/// From here to the end of the transaction nobody else gives slots out or changes a budget, on any node.
pub(super) fn lock(tx: &mut Conn) -> QueryResult<()> {
    tx.lock("budgets")
}

/// The newest revision of each budget by name, ended ones included.
pub(super) fn list(tx: &mut Conn) -> Result<Vec<(BudgetName, BudgetStep)>, Error> {
    let rows: Vec<Row> = budgets::table.order((budgets::name, budgets::revision.desc())).load(tx)?;
    let mut newest: Vec<Row> = Vec::new();
    for row in rows {
        if newest.last().is_none_or(|last| last.0 != row.0) {
            newest.push(row);
        }
    }
    newest.into_iter().map(step).collect()
}

/// Newest first.
///
/// # Errors
/// `budget.unknown`.
pub(super) fn history(tx: &mut Conn, name: &BudgetName) -> Result<Vec<BudgetStep>, Error> {
    let rows: Vec<Row> = budgets::table
        .filter(budgets::name.eq(name.as_str()))
        .order(budgets::revision.desc())
        .limit(HISTORY)
        .load(tx)?;
    if rows.is_empty() {
        return Err(Refusal::not_found("budget.unknown").with("budget", name).into());
    }
    rows.into_iter().map(|row| step(row).map(|(_, step)| step)).collect()
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
    let last: Option<i64> = budgets::table
        .filter(budgets::name.eq(name.as_str()))
        .select(diesel::dsl::max(budgets::revision))
        .first(tx)?;
    let last = last.unwrap_or_default();
    if last != i64::from(put.after) {
        let refusal = Refusal::conflict("budget.moved").with("budget", name);
        return Err(refusal.with("after", put.after).with("revision", last).into());
    }
    let content =
        put.budget.as_ref().map(|budget| String::from_utf8_lossy(&strict::to_json(budget)).into_owned());
    diesel::insert_into(budgets::table)
        .values((
            budgets::name.eq(name.as_str()),
            budgets::revision.eq(last + 1),
            budgets::at.eq(now.0),
            budgets::person.eq(person.as_str()),
            budgets::reason.eq(&put.reason),
            budgets::content.eq(content),
        ))
        .execute(tx)?;
    Ok(())
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

/// The budget whose machines come under this address.
pub(super) fn find_address(tx: &mut Conn, secret: &Digest) -> Result<Option<BudgetName>, Error> {
    let row = budget_address::table.find(secret.0.as_slice()).filter(budget_address::ended.is_null());
    let name: Option<String> = row.select(budget_address::budget).first(tx).optional()?;
    let damaged = |error| Error::fault("reading an address of a budget", error);
    name.map(|name| name.parse().map_err(damaged)).transpose()
}
