//! All SQL of people.

use super::model::{Bootstrap, NewToken, OWN_TOKENS, PersonLine, TokenLine};
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::person::{Access, Caller, Scopes};
use diesel::prelude::*;
use shared::digest::Digest;
use shared::ids::PersonId;
use shared::time::Timestamp;
use std::collections::HashSet;

diesel::table! {
    person (id) {
        id -> Text,
        access -> Text,
        created -> BigInt,
        disabled -> Nullable<BigInt>,
    }
}

diesel::table! {
    person_token (sha256) {
        sha256 -> Binary,
        person -> Text,
        created -> BigInt,
        created_by -> Nullable<Text>,
        expires -> Nullable<BigInt>,
        /// What it is for, in its person's words.
        name -> Nullable<Text>,
        /// Names of permissions with blanks between them.
        scopes -> Nullable<Text>,
    }
}

diesel::joinable!(person_token -> person (person));
diesel::allow_tables_to_appear_in_same_query!(person, person_token);

/// Good at `now`: known, not expired, and its person is not disabled.
pub(super) fn find_caller(tx: &mut Conn, secret: &Digest, now: Timestamp) -> Result<Option<Caller>, Error> {
    let found: Option<(String, String, Option<String>)> = person_token::table
        .inner_join(person::table)
        .filter(person_token::sha256.eq(secret.0.as_slice()))
        .filter(person_token::expires.is_null().or(person_token::expires.gt(now.0)))
        .filter(person::disabled.is_null())
        .select((person::id, person::access, person_token::scopes))
        .first(tx)
        .optional()?;
    let Some((id, access, scopes)) = found else { return Ok(None) };
    let unreadable =
        |what: &str| Error::fault("reading a person", format!("{what} in the database is not valid"));
    let access = Access::parse(&access).ok_or_else(|| unreadable("the access"))?;
    let scopes = scopes.as_deref().map(read_scopes);
    Ok(Some(Caller { person: id.parse().map_err(|_| unreadable("the id"))?, access, scopes }))
}

fn read_scopes(text: &str) -> Scopes {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Stores a token of a person who has access; the same one again changes nothing.
pub(super) fn insert_token(
    tx: &mut Conn,
    person: &PersonId,
    new: &NewToken,
    (secret, scopes): (&Digest, &Scopes),
    (now, expires): (Timestamp, Timestamp),
) -> Result<(), Error> {
    let standing = list_own(tx, person, now)?;
    if standing.len() >= OWN_TOKENS && !standing.iter().any(|line| line.sha256 == *secret) {
        return Err(Refusal::conflict("person.too_many_tokens").with("limit", OWN_TOKENS).into());
    }
    let words = scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let row = (
        person_token::sha256.eq(secret.0.as_slice()),
        person_token::person.eq(person.as_str()),
        person_token::created.eq(now.0),
        person_token::created_by.eq(person.as_str()),
        person_token::expires.eq(expires.0),
        person_token::name.eq(&new.name),
        person_token::scopes.eq(words),
    );
    let done = each!(tx, |c| diesel::insert_into(person_token::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(c))?;
    match done == 1 || standing.iter().any(|line| line.sha256 == *secret) {
        true => Ok(()),
        false => Err(Refusal::conflict("person.token_taken").with("person", person).into()),
    }
}

/// Tokens of a person that are good at `now`, oldest first.
pub(super) fn list_own(tx: &mut Conn, person: &PersonId, now: Timestamp) -> Result<Vec<TokenLine>, Error> {
    type Row = (Vec<u8>, i64, Option<i64>, Option<String>, Option<String>);
    let rows: Vec<Row> = person_token::table
        .filter(person_token::person.eq(person.as_str()))
        .filter(person_token::expires.is_null().or(person_token::expires.gt(now.0)))
        .order((person_token::created, person_token::sha256))
        .select((
            person_token::sha256,
            person_token::created,
            person_token::expires,
            person_token::name,
            person_token::scopes,
        ))
        .load(tx)?;
    let line = |(sha256, created, expires, name, scopes): Row| {
        let sha256 = sha256.try_into().map(Digest).map_err(|_| {
            Error::fault("reading a token", "its digest is damaged; restore the database from a backup")
        })?;
        let scopes = scopes.as_deref().map(read_scopes);
        Ok(TokenLine { sha256, name, scopes, created: Timestamp(created), expires: expires.map(Timestamp) })
    };
    rows.into_iter().map(line).collect()
}

/// Ends a token of this person. The last one of the last administrator stays: nobody could let anybody in afterwards.
pub(super) fn end_token(
    tx: &mut Conn,
    person: &PersonId,
    secret: &Digest,
    now: Timestamp,
) -> Result<(), Error> {
    tx.lock("people")?;
    let own = list_own(tx, person, now)?;
    if !own.iter().any(|line| line.sha256 == *secret) {
        return Err(Refusal::not_found("person.no_such_token").with("sha256", secret).into());
    }
    if !own.iter().any(|line| line.sha256 != *secret && line.scopes.is_none()) {
        refuse_without_admin(tx, person, now)?;
    }
    let row = person_token::table.find(secret.0.as_slice());
    Ok(diesel::delete(row).execute(tx).map(drop)?)
}

/// Whether the server knows the person, and nobody has taken the access away.
pub fn has_access(tx: &mut Conn, id: &str) -> QueryResult<bool> {
    let known = person::table.find(id).filter(person::disabled.is_null());
    Ok(known.select(person::id).first::<String>(tx).optional()?.is_some())
}

/// Digests of all secrets that are good at `now`.
pub(super) fn list_tokens(tx: &mut Conn, now: Timestamp) -> Result<HashSet<Digest>, Error> {
    let found: Vec<Vec<u8>> = person_token::table
        .inner_join(person::table)
        .filter(person_token::expires.is_null().or(person_token::expires.gt(now.0)))
        .filter(person::disabled.is_null())
        .select(person_token::sha256)
        .load(tx)?;
    // What is no digest is nobody's token.
    Ok(found.into_iter().filter_map(|bytes| bytes.try_into().ok().map(Digest)).collect())
}

/// Records the first administrator; true the first time. A person who is here already keeps what was changed since.
pub(super) fn record_bootstrap(tx: &mut Conn, first: &Bootstrap, now: Timestamp) -> QueryResult<bool> {
    let row = (
        person::id.eq(first.person.as_str()),
        person::access.eq(Access::Admin.as_str()),
        person::created.eq(now.0),
    );
    each!(tx, |c| diesel::insert_into(person::table).values(row).on_conflict_do_nothing().execute(c))?;
    let token = (
        person_token::sha256.eq(first.token_sha256.0.as_slice()),
        person_token::person.eq(first.person.as_str()),
        person_token::created.eq(now.0),
    );
    each!(tx, |c| diesel::insert_into(person_token::table).values(token).on_conflict_do_nothing().execute(c))
        .map(|rows| rows == 1)
}

/// Gives a person access (for the first time, or another one) and a token.
pub(super) fn record_grant(
    tx: &mut Conn,
    id: &PersonId,
    access: Access,
    secret: &Digest,
    (now, expires): (Timestamp, Timestamp),
    by: &PersonId,
) -> Result<(), Error> {
    tx.lock("people")?;
    if access != Access::Admin {
        refuse_without_admin(tx, id, now)?;
    }
    let row = (
        person::id.eq(id.as_str()),
        person::access.eq(access.as_str()),
        person::created.eq(now.0),
        person::disabled.eq(None::<i64>),
    );
    let changed = (person::access.eq(access.as_str()), person::disabled.eq(None::<i64>));
    each!(tx, |c| diesel::insert_into(person::table)
        .values(row)
        .on_conflict(person::id)
        .do_update()
        .set(changed)
        .execute(c))?;
    let token = (
        person_token::sha256.eq(secret.0.as_slice()),
        person_token::person.eq(id.as_str()),
        person_token::created.eq(now.0),
        person_token::created_by.eq(by.as_str()),
        person_token::expires.eq(expires.0),
    );
    let new = each!(tx, |c| diesel::insert_into(person_token::table)
        .values(token)
        .on_conflict_do_nothing()
        .execute(c))?;
    if new == 1 {
        return Ok(());
    }
    // The same request again, or a secret that somebody else uses already.
    let own = person_token::table.find(secret.0.as_slice()).filter(person_token::person.eq(id.as_str()));
    match diesel::update(own).set(person_token::expires.eq(expires.0)).execute(tx)? {
        0 => Err(Refusal::conflict("person.token_taken").with("person", id).into()),
        _ => Ok(()),
    }
}

/// Takes all access away; the person's signatures stay what the policy says.
pub(super) fn update_disabled(tx: &mut Conn, id: &PersonId, now: Timestamp) -> Result<(), Error> {
    tx.lock("people")?;
    refuse_without_admin(tx, id, now)?;
    let row = person::table.find(id.as_str());
    match diesel::update(row).set(person::disabled.eq(now.0)).execute(tx)? {
        0 => Err(Refusal::not_found("person.not_found").with("person", id).into()),
        _ => Ok(()),
    }
}

/// Somebody else must be able to give access afterwards.
fn refuse_without_admin(tx: &mut Conn, id: &PersonId, now: Timestamp) -> Result<(), Error> {
    let admins = person_token::table
        .inner_join(person::table)
        .filter(person::access.eq(Access::Admin.as_str()))
        .filter(person::disabled.is_null())
        .filter(person_token::expires.is_null().or(person_token::expires.gt(now.0)))
        // A token for some uses gives nobody access.
        .filter(person_token::scopes.is_null())
        .select(person::id)
        .distinct()
        .load::<String>(tx)?;
    if admins == [id.as_str()] {
        return Err(Refusal::conflict("person.last_admin").with("person", id).into());
    }
    Ok(())
}

pub(super) fn list(tx: &mut Conn, now: Timestamp) -> QueryResult<Vec<PersonLine>> {
    let persons: Vec<(String, String, i64, Option<i64>)> = person::table.order(person::id).load(tx)?;
    let tokens: Vec<String> = person_token::table
        .filter(person_token::expires.is_null().or(person_token::expires.gt(now.0)))
        .select(person_token::person)
        .load(tx)?;
    let line = |(id, access, created, disabled): (String, String, i64, Option<i64>)| PersonLine {
        tokens: i64::try_from(tokens.iter().filter(|person| **person == id).count()).unwrap_or(i64::MAX),
        person: id,
        access,
        created: Timestamp(created),
        disabled: disabled.map(Timestamp),
    };
    Ok(persons.into_iter().map(line).collect())
}
