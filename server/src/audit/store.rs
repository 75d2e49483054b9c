//! All SQL of the audit trail.

use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use diesel::prelude::*;
use shared::audit::AuditRecord;
use shared::digest::Digest;
use shared::ids::PersonId;
use shared::time::Timestamp;

diesel::table! {
    audit (number) {
        number -> BigInt,
        at -> BigInt,
        person -> Nullable<Text>,
        action -> Text,
        object -> Text,
        request -> Binary,
        statement -> Binary,
    }
}

type Row = (i64, i64, Option<String>, String, String, Vec<u8>, Vec<u8>);

/// Records in one answer.
pub(super) const PAGE: u8 = 200;

/// The highest number so far, 0 before the first. The caller holds the ledger's lock.
pub(super) fn last_number(tx: &mut Conn) -> QueryResult<u64> {
    let last = audit::table.select(diesel::dsl::max(audit::number)).first::<Option<i64>>(tx)?;
    Ok(last.map_or(0, i64::cast_unsigned))
}

pub(super) fn insert(tx: &mut Conn, record: &AuditRecord) -> QueryResult<()> {
    let statement = record.digest();
    diesel::insert_into(audit::table)
        .values((
            audit::number.eq(record.number.cast_signed()),
            audit::at.eq(record.at.0),
            audit::person.eq(record.person.as_ref().map(PersonId::as_str)),
            audit::action.eq(&record.action),
            audit::object.eq(&record.object),
            audit::request.eq(record.request.0.as_slice()),
            audit::statement.eq(statement.0.as_slice()),
        ))
        .execute(tx)
        .map(drop)
}

/// Newest first; `before` is a number of the page before. One more than a page, if there are more.
pub(super) fn list(
    tx: &mut Conn,
    (person, action): (Option<&str>, Option<&str>),
    before: Option<u64>,
) -> Result<Vec<AuditRecord>, Error> {
    let mut rows = audit::table.into_boxed().order(audit::number.desc());
    if let Some(person) = person {
        rows = rows.filter(audit::person.eq(person.to_owned()));
    }
    if let Some(action) = action {
        rows = rows.filter(audit::action.eq(action.to_owned()));
    }
    if let Some(before) = before {
        rows = rows.filter(audit::number.lt(i64::try_from(before).unwrap_or(i64::MAX)));
    }
    let rows: Vec<Row> = rows.limit(i64::from(PAGE) + 1).load(tx)?;
    rows.into_iter().map(record).collect()
}

fn damaged(what: &str) -> Error {
    Error::fault("reading the audit trail", format!("{what} is damaged; restore the database from a backup"))
}

fn digest(bytes: &[u8]) -> Result<Digest, Error> {
    bytes.try_into().map(Digest).map_err(|_| damaged("a digest"))
}

fn record((number, at, person, action, object, request, statement): Row) -> Result<AuditRecord, Error> {
    let person = person.map(|id| id.parse()).transpose().map_err(|_| damaged("a person"))?;
    let (request, number) = (digest(&request)?, number.cast_unsigned());
    let schema = AuditRecord::SCHEMA.into();
    let record = AuditRecord { schema, number, at: Timestamp(at), person, action, object, request };
    match record.digest() == digest(&statement)? {
        true => Ok(record),
        false => Err(damaged(&format!("record {number}"))),
    }
}

/// Documents of the records from the first to the last one of `from..to`, in their order. A clock that was set back leaves
/// no gap. `end` is the last number that is wanted.
pub(super) fn list_between(
    tx: &mut Conn,
    (from, to): (Timestamp, Timestamp),
    end: u64,
) -> Result<Vec<Digest>, Error> {
    let within = audit::table.filter(audit::at.ge(from.0)).filter(audit::at.lt(to.0));
    let within = within.filter(audit::number.le(end.cast_signed()));
    let ends = (diesel::dsl::min(audit::number), diesel::dsl::max(audit::number));
    let (Some(first), Some(last)) = within.select(ends).first::<(Option<i64>, Option<i64>)>(tx)? else {
        return Ok(Vec::new());
    };
    let rows = audit::table.filter(audit::number.between(first, last)).order(audit::number);
    let rows: Vec<Vec<u8>> = rows.select(audit::statement).load(tx)?;
    rows.iter().map(|row| digest(row)).collect()
}
