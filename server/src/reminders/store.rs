//! All SQL of reminders.

use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::kernel::i18n::Language;
use diesel::prelude::*;
use shared::ids::PersonId;
use shared::time::Timestamp;
use shared::wire::MailLine;

diesel::table! {
    person_mail (person) {
        person -> Text,
        address -> Text,
        language -> Text,
        /// The day of the last daily letter, in days since 1970.
        mailed -> BigInt,
        /// Why the last letter did not go.
        error -> Nullable<Text>,
    }
}

diesel::table! {
    reminded (key) {
        key -> Text,
        at -> BigInt,
    }
}

/// What was said is known for so long; changes end before.
const KEPT_SECS: i64 = 400 * 86_400;

/// Where somebody's letters go, and in which language.
pub(super) struct Recipient {
    pub address: String,
    pub language: Language,
}

/// `None` ends it.
pub(super) fn record_mail(tx: &mut Conn, person: &PersonId, to: Option<(&str, Language)>) -> QueryResult<()> {
    let Some((address, language)) = to else {
        return diesel::delete(person_mail::table.find(person.as_str())).execute(tx).map(drop);
    };
    let row = (
        person_mail::person.eq(person.as_str()),
        person_mail::address.eq(address),
        person_mail::language.eq(language.tag()),
        person_mail::mailed.eq(0),
    );
    let anew = (
        person_mail::address.eq(address),
        person_mail::language.eq(language.tag()),
        person_mail::error.eq(None::<String>),
    );
    each!(tx, |c| diesel::insert_into(person_mail::table)
        .values(row)
        .on_conflict(person_mail::person)
        .do_update()
        .set(anew)
        .execute(c))
    .map(drop)
}

pub(super) fn find_recipient(tx: &mut Conn, person: &str) -> Result<Option<Recipient>, Error> {
    let row = person_mail::table.find(person).select((person_mail::address, person_mail::language));
    let row: Option<(String, String)> = row.first(tx).optional()?;
    let read = |(address, language): (String, String)| {
        let language = Language::parse(&language).ok_or_else(|| {
            Error::fault("reading an address for mail", format!("its language is {language:?}"))
        })?;
        Ok(Recipient { address, language })
    };
    row.map(read).transpose()
}

/// The day of the last daily letter; `None` without an address.
pub(super) fn find_mailed(tx: &mut Conn, person: &PersonId) -> QueryResult<Option<i64>> {
    person_mail::table.find(person.as_str()).select(person_mail::mailed).first(tx).optional()
}

pub(super) fn update_mailed(tx: &mut Conn, person: &PersonId, day: i64) -> QueryResult<()> {
    diesel::update(person_mail::table.find(person.as_str()))
        .set(person_mail::mailed.eq(day))
        .execute(tx)
        .map(drop)
}

pub(super) fn update_error(tx: &mut Conn, person: &str, error: Option<&str>) -> QueryResult<()> {
    diesel::update(person_mail::table.find(person)).set(person_mail::error.eq(error)).execute(tx).map(drop)
}

pub(super) fn list(tx: &mut Conn) -> Result<Vec<MailLine>, Error> {
    type Line = (String, String, String, Option<String>);
    let columns = (person_mail::person, person_mail::address, person_mail::language, person_mail::error);
    let rows: Vec<Line> = person_mail::table.order(person_mail::person).select(columns).load(tx)?;
    let line = |(person, address, language, last_error): Line| {
        let person = person.parse().map_err(|error| Error::fault("reading an address for mail", error))?;
        Ok(MailLine { person, address, language, last_error })
    };
    rows.into_iter().map(line).collect()
}

/// True the first time.
pub(super) fn record_said(tx: &mut Conn, key: &str, now: Timestamp) -> QueryResult<bool> {
    let row = (reminded::key.eq(key), reminded::at.eq(now.0));
    let new =
        each!(tx, |c| diesel::insert_into(reminded::table).values(row).on_conflict_do_nothing().execute(c))?;
    Ok(new == 1)
}

pub(super) fn forget(tx: &mut Conn, now: Timestamp) -> QueryResult<()> {
    let old = reminded::table.filter(reminded::at.le(now.plus(-KEPT_SECS).0));
    diesel::delete(old).execute(tx).map(drop)
}
