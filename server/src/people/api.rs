//! People over HTTP: who has access, giving it, taking it.

use super::model::{Grant, Granted, NewToken, PersonLine, TokenLine};
use super::store;
use crate::audit::{self, Action};
use crate::kernel::clock::Clock;
use crate::kernel::db::Db;
use crate::kernel::error::Error;
use crate::kernel::http::person::{Allowed, ManagePeople, OwnTokens, Read};
use crate::kernel::random::random;
use actix_web::web::{Data, Json, Path, ServiceConfig};
use actix_web::{HttpResponse, delete, get, post};
use shared::digest::{Digest, hex};
use shared::ids::PersonId;

/// Routes for people.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list)
        .service(grant)
        .service(disable)
        .service(own_tokens)
        .service(new_token)
        .service(end_token);
}

#[get("/v1/people")]
async fn list(_: Allowed<Read>, db: Data<Db>, clock: Data<Clock>) -> Result<Json<Vec<PersonLine>>, Error> {
    let now = clock.now();
    Ok(Json(db.read("people.list", move |tx| Ok::<_, Error>(store::list(tx, now)?)).await?))
}

/// Gives access and one token: one that the person has made, or a new one whose secret is only in this answer.
#[post("/v1/people/{person}/tokens")]
async fn grant(
    by: Allowed<ManagePeople>,
    db: Data<Db>,
    clock: Data<Clock>,
    person: Path<PersonId>,
    body: Json<Grant>,
) -> Result<Json<Granted>, Error> {
    let (access, seconds) = body.read()?;
    let (now, person) = (clock.now(), person.into_inner());
    let (secret, token) = secret(body.token_sha256)?;
    let expires = now.plus(seconds);
    let id = person.clone();
    let asked = body.into_inner();
    db.write("people.grant", move |tx| {
        let object = format!("person {id}");
        audit::record(tx, &Action::by(&by.person, "people.grant", object, &asked), now)?;
        store::record_grant(tx, &id, access, &secret, (now, expires), &by.person)
    })
    .await?;
    Ok(Json(Granted { person, token, expires }))
}

/// Ends all access of a person.
#[delete("/v1/people/{person}")]
async fn disable(
    by: Allowed<ManagePeople>,
    db: Data<Db>,
    clock: Data<Clock>,
    person: Path<PersonId>,
) -> Result<HttpResponse, Error> {
    let (now, id) = (clock.now(), person.into_inner());
    db.write("people.disable", move |tx| {
        let object = format!("person {id}");
        audit::record(tx, &Action::by(&by.person, "people.disable", object, &id), now)?;
        store::update_disabled(tx, &id, now)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The caller's own tokens that are good.
#[get("/v1/tokens")]
async fn own_tokens(
    person: Allowed<OwnTokens>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<Vec<TokenLine>>, Error> {
    let now = clock.now();
    Ok(Json(db.read("people.own_tokens", move |tx| store::list_own(tx, &person.person, now)).await?))
}

/// A token for a program that works for the caller, with less than the caller may do.
#[post("/v1/tokens")]
async fn new_token(
    by: Allowed<OwnTokens>,
    body: Json<NewToken>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<Granted>, Error> {
    let (new, now) = (body.into_inner(), clock.now());
    let expires = now.plus(new.read(by.access, by.scopes.as_ref())?);
    let (secret, token) = secret(new.token_sha256)?;
    let person = by.person.clone();
    db.write("people.new_token", move |tx| {
        let object = format!("person {}", by.person);
        audit::record(tx, &Action::by(&by.person, "people.new_token", object, &new), now)?;
        store::insert_token(tx, &by.person, &new, (&secret, &new.scopes), (now, expires))
    })
    .await?;
    Ok(Json(Granted { person, token, expires }))
}

/// Ends one of the caller's own tokens.
#[delete("/v1/tokens/{sha256}")]
async fn end_token(
    by: Allowed<OwnTokens>,
    sha256: Path<Digest>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Error> {
    let (now, sha256) = (clock.now(), sha256.into_inner());
    db.write("people.end_token", move |tx| {
        let object = format!("person {}", by.person);
        audit::record(tx, &Action::by(&by.person, "people.end_token", object, &sha256), now)?;
        store::end_token(tx, &by.person, &sha256, now)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The digest of a secret that somebody else has made, or of a new one.
fn secret(own: Option<Digest>) -> Result<(Digest, Option<String>), Error> {
    Ok(match own {
        Some(own) => (own, None),
        None => {
            let token = new_secret()?;
            (Digest::of(token.as_bytes()), Some(token))
        }
    })
}

/// 256 random bits as hex.
fn new_secret() -> Result<String, Error> {
    let secret = random::<32>()?;
    Ok(hex(&secret))
}
