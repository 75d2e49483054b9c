//! Documents that people keep by name: each revision whole, with who, when and why. One without content ends the document.
//!
//! Owns their order, and that of two people only one follows a revision. Never: what a document says, or what becomes of it.

use super::db::Conn;
use super::error::Error;
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::ids::PersonId;
use shared::strict;
use shared::time::Timestamp;
use std::str::FromStr;

diesel::table! {
    document_revision (kind, name, revision) {
        kind -> Text,
        name -> Text,
        revision -> BigInt,
        at -> BigInt,
        person -> Text,
        reason -> Text,
        content -> Nullable<Text>,
    }
}

diesel::alias!(document_revision as newer: Newer);

/// Revisions that are shown of one document.
const HISTORY: i64 = 100;

/// One revision of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision<T> {
    /// From 1.
    pub number: u32,
    pub at: Timestamp,
    pub by: PersonId,
    pub reason: String,
    /// Absent: the document ended then.
    pub content: Option<T>,
}

type Row = (String, i64, i64, String, String, Option<String>);

fn read<N: FromStr, T: DeserializeOwned>(kind: &str, row: Row) -> Result<(N, Revision<T>), Error> {
    let (name, number, at, person, reason, content) = row;
    let damaged = || {
        let why = format!("{name} is damaged; restore the database from a backup");
        Error::fault(format!("reading a {kind}"), why)
    };
    let content = content.map(|text| serde_json::from_str(&text).map_err(|_| damaged())).transpose()?;
    let revision = Revision {
        number: u32::try_from(number).map_err(|_| damaged())?,
        at: Timestamp(at),
        by: person.parse().map_err(|_| damaged())?,
        reason,
        content,
    };
    Ok((name.parse().map_err(|_| damaged())?, revision))
}

/// The newest revision of each document of a kind by name, ended ones included.
pub fn list<N: FromStr, T: DeserializeOwned>(
    tx: &mut Conn,
    kind: &str,
) -> Result<Vec<(N, Revision<T>)>, Error> {
    let of_same = newer.field(document_revision::kind).eq(document_revision::kind);
    let of_same = of_same.and(newer.field(document_revision::name).eq(document_revision::name));
    let later =
        newer.filter(of_same.and(newer.field(document_revision::revision).gt(document_revision::revision)));
    let newest = document_revision::table.filter(document_revision::kind.eq(kind)).filter(not(exists(later)));
    let newest: Vec<Row> = newest.order(document_revision::name).select(COLUMNS).load(tx)?;
    newest.into_iter().map(|row| read(kind, row)).collect()
}

const COLUMNS: (
    document_revision::name,
    document_revision::revision,
    document_revision::at,
    document_revision::person,
    document_revision::reason,
    document_revision::content,
) = (
    document_revision::name,
    document_revision::revision,
    document_revision::at,
    document_revision::person,
    document_revision::reason,
    document_revision::content,
);

/// The revisions of one document, newest first; none when there is no such document.
pub fn history<T: DeserializeOwned>(
    tx: &mut Conn,
    (kind, name): (&str, &str),
) -> Result<Vec<Revision<T>>, Error> {
    let rows = document_revision::table.filter(document_revision::kind.eq(kind));
    let rows = rows.filter(document_revision::name.eq(name)).order(document_revision::revision.desc());
    let rows: Vec<Row> = rows.limit(HISTORY).select(COLUMNS).load(tx)?;
    rows.into_iter().map(|row| read::<String, T>(kind, row).map(|(_, revision)| revision)).collect()
}

/// Stores the revision that follows `after`, or answers the number of the last one: somebody else was first, on whichever
/// node.
pub fn append<T: Serialize>(
    tx: &mut Conn,
    (kind, name): (&str, &str),
    (after, reason, content): (u32, &str, Option<&T>),
    person: &PersonId,
    now: Timestamp,
) -> Result<Result<(), i64>, Error> {
    let last: Option<i64> = document_revision::table
        .filter(document_revision::kind.eq(kind))
        .filter(document_revision::name.eq(name))
        .select(diesel::dsl::max(document_revision::revision))
        .first(tx)?;
    let last = last.unwrap_or_default();
    if last != i64::from(after) {
        return Ok(Err(last));
    }
    let row = (
        document_revision::kind.eq(kind),
        document_revision::name.eq(name),
        document_revision::revision.eq(last + 1),
        document_revision::at.eq(now.0),
        document_revision::person.eq(person.as_str()),
        document_revision::reason.eq(reason),
        document_revision::content.eq(content.map(|content| strict::to_text(content))),
    );
    diesel::insert_into(document_revision::table).values(row).execute(tx)?;
    Ok(Ok(()))
}
