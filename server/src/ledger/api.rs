//! The ledger over HTTP: statements, checkpoints, proofs and tiles, all of them readable by any tool.

use super::log::{Log, Question};
use super::store;
use crate::kernel::clock::Clock;
use crate::kernel::db::Db;
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::person::{Allowed, Read};
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use actix_web::web::{Data, Json, Path, Query, ServiceConfig};
use actix_web::{HttpResponse, get, post};
use schemars::JsonSchema;
use serde::Deserialize;
use shared::digest::Digest;
use shared::ledger::Tile;
use shared::wire::{Cosigned, Recorded, WitnessList};

/// A full tile and a statement never change.
const FOR_EVER: (HeaderName, HeaderValue) =
    (CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));

/// Routes for people. Needs `Data<Log>` and `Data<Clock>`.
pub fn routes(config: &mut ServiceConfig) {
    config.service(statement).service(checkpoint).service(proof).service(witnesses).service(cosigned);
    config.service(tile);
}

/// The document with this digest, byte for byte.
#[get("/v1/statements/{digest}")]
async fn statement(_: Allowed<Read>, db: Data<Db>, digest: Path<Digest>) -> Result<HttpResponse, Error> {
    let digest = digest.into_inner();
    let found =
        db.read("ledger.statement", move |tx| Ok::<_, Error>(store::find_statement(tx, &digest)?)).await?;
    let bytes = found.ok_or_else(|| unknown(&digest))?;
    Ok(HttpResponse::Ok().insert_header(FOR_EVER).content_type("application/json").body(bytes))
}

/// The newest signed checkpoint (C2SP tlog-checkpoint).
#[get("/v1/log/checkpoint")]
async fn checkpoint(_: Allowed<Read>, db: Data<Db>, log: Data<Log>) -> Result<HttpResponse, Error> {
    let note = db.read("ledger.checkpoint", move |tx| log.checkpoint(tx)).await?;
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(note))
}

/// What witnesses of the policy have seen of the ledger.
#[get("/v1/log/witnesses")]
async fn witnesses(_: Allowed<Read>, db: Data<Db>, log: Data<Log>) -> Result<Json<WitnessList>, Error> {
    Ok(Json(db.read("ledger.witnesses", move |tx| log.witnesses(tx)).await?))
}

/// Takes a checkpoint with the line of a witness (C2SP tlog-cosignature). Whoever brings it, it is the witness's word.
#[post("/v1/log/cosignatures")]
async fn cosigned(
    _: Allowed<Read>,
    (db, log, clock): (Data<Db>, Data<Log>, Data<Clock>),
    body: Json<Cosigned>,
) -> Result<HttpResponse, Error> {
    let (text, now) = (body.into_inner().checkpoint, clock.now());
    db.write("ledger.cosigned", move |tx| log.take_cosigned(tx, &text, now)).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProofOf {
    digest: Digest,
    /// Size of the checkpoint that the asker holds.
    since: Option<u64>,
}

/// Inclusion proof of one statement, and consistency with an older checkpoint.
#[get("/v1/log/proof")]
async fn proof(
    _: Allowed<Read>,
    db: Data<Db>,
    log: Data<Log>,
    query: Query<ProofOf>,
) -> Result<Json<Recorded>, Error> {
    let ProofOf { digest, since } = query.into_inner();
    let question = [Question { statement: digest, since, seen: None }];
    let mut answers = db.read("ledger.proof", move |tx| log.prove(tx, &question)).await?;
    let answer = answers.pop().flatten().ok_or_else(|| unknown(&digest))?;
    Ok(Json(answer.recorded))
}

/// A tile of hashes or entries (C2SP tlog-tiles).
#[get("/v1/log/{tile:tile/.+}")]
async fn tile(
    _: Allowed<Read>,
    db: Data<Db>,
    log: Data<Log>,
    path: Path<String>,
) -> Result<HttpResponse, Error> {
    let unknown = || Error::from(Refusal::not_found("ledger.no_tile"));
    let tile: Tile = path.parse().map_err(|_| unknown())?;
    let bytes = db.read("ledger.tile", move |tx| log.tile(tx, tile)).await?.ok_or_else(unknown)?;
    let mut response = HttpResponse::Ok();
    response.content_type("application/octet-stream").insert_header(FOR_EVER);
    Ok(response.body(bytes))
}

fn unknown(digest: &Digest) -> Error {
    Refusal::not_found("ledger.unknown_statement").with("digest", digest).into()
}
