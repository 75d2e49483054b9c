//! Numbers of a year, given without gaps for each kind, and the records that they belong to.
//!
//! Never: which record gets one, or when. Whoever gives numbers holds a lock for it.

use super::db::Conn;
use super::error::{Error, Refusal};
use diesel::prelude::*;
use shared::ids::YearNumber;
use shared::time::Timestamp;

diesel::table! {
    change_register (kind, year) {
        kind -> Text,
        year -> BigInt,
        last -> BigInt,
    }
}

diesel::table! {
    year_number (number) {
        number -> Text,
        object -> Text,
    }
}

/// Gives a record the next number of the year, such as `N-2026-0014`.
pub fn give(tx: &mut Conn, kind: &str, object: &str, now: Timestamp) -> Result<YearNumber, Error> {
    let year: i64 = now.to_string().get(..4).and_then(|year| year.parse().ok()).unwrap_or_default();
    let row = change_register::table.find((kind, year));
    let raised = diesel::update(row).set(change_register::last.eq(change_register::last + 1));
    let last: Option<i64> = raised.returning(change_register::last).get_result(tx).optional()?;
    let last = match last {
        Some(last) => last,
        None => {
            let first = (
                change_register::kind.eq(kind),
                change_register::year.eq(year),
                change_register::last.eq(1_i64),
            );
            diesel::insert_into(change_register::table).values(first).execute(tx)?;
            1
        }
    };
    let number: YearNumber = written(kind, year, last)
        .parse()
        .map_err(|error| Error::fault("giving a number of the year", error))?;
    let row = (year_number::number.eq(number.as_str()), year_number::object.eq(object));
    diesel::insert_into(year_number::table).values(row).execute(tx)?;
    Ok(number)
}

fn written(kind: &str, year: i64, number: i64) -> String {
    format!("{kind}-{year}-{number:04}")
}

/// The record that has a number.
///
/// # Errors
/// `number.unknown` with the last one that was given, or `number.none` where its kind has none in that year.
pub fn get(tx: &mut Conn, number: &YearNumber) -> Result<String, Error> {
    let row = year_number::table.find(number.as_str()).select(year_number::object);
    if let Some(object) = row.first(tx).optional()? {
        return Ok(object);
    }
    let (kind, year) = number.of_kind();
    let last = change_register::table.find((kind, i64::from(year))).select(change_register::last);
    let last: Option<i64> = last.first(tx).optional()?;
    let refusal = match last {
        Some(last) => Refusal::not_found("number.unknown").with("last", written(kind, year.into(), last)),
        None => Refusal::not_found("number.none").with("kind", kind),
    };
    Err(refusal.with("number", number).with("year", year).into())
}

/// Leaves out the next so many numbers of each kind and year.
pub fn skip(tx: &mut Conn, count: u32) -> QueryResult<()> {
    diesel::update(change_register::table)
        .set(change_register::last.eq(change_register::last + i64::from(count)))
        .execute(tx)
        .map(drop)
}
