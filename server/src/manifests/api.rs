//! The repository over HTTP: thin handlers around the functions of this slice.

use super::model::{Accepted, Edition, Publish as Sent};
use super::{Repository, artifacts, edition, publish, site};
use crate::backup;
use crate::fleet::Board;
use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::Db;
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::agent::Agent;
use crate::kernel::http::person::{Allowed, Publish, Read};
use crate::kernel::objects::Objects;
use crate::ledger::Log;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{self, Bytes, Data, Json, PayloadConfig, ServiceConfig};
use actix_web::{HttpResponse, get};
use serde::de::DeserializeOwned;
use shared::{limits, strict};

/// Metadata of one team as a JSON text within JSON, and a manifest in base64.
const PUBLISH_BYTES: usize = 2 * limits::TUF_DELEGATED_BYTES + 2 * limits::ENVELOPE_BYTES;

/// Routes for people. Needs `Data<Repository>`.
pub fn people(config: &mut ServiceConfig) {
    let large = |path: &str| web::resource(path).app_data(PayloadConfig::new(PUBLISH_BYTES));
    config
        .service(large("/v1/tuf/publish").route(web::post().to(post_publish)))
        .service(large("/v1/tuf/policy").route(web::post().to(post_policy)))
        .service(get_site)
        .service(file_for_people)
        .service(artifacts::begin)
        .service(artifacts::append)
        .service(artifacts::ask)
        .service(artifacts::for_people);
}

/// Routes for agents. Needs `Data<Repository>`.
pub fn agents(config: &mut ServiceConfig) {
    config.service(file_for_agents).service(artifacts::for_agents);
}

fn read<T: DeserializeOwned>(what: &'static str, body: &Bytes) -> Result<T, Error> {
    let read = strict::from_json(what, body, PUBLISH_BYTES);
    Ok(read.map_err(Refusal::bad_json)?)
}

/// Adds a manifest. Sending the same again answers the same.
async fn post_publish(
    _: Allowed<Publish>,
    body: Bytes,
    db: Data<Db>,
    clock: Data<Clock>,
    objects: Data<Objects>,
    repository: Data<Repository>,
) -> Result<Json<Accepted>, Error> {
    let sent: Sent = read("the publication", &body)?;
    let manifest = publish::Sent::read(&sent)?;
    if let Some(manifest) = &manifest {
        artifacts::check_present(&objects, &manifest.artifacts()).await?;
    }
    let (online, now) = (repository.online.clone(), clock.now());
    let write = move |tx: &mut crate::kernel::db::Conn| {
        publish::publish(tx, &online, (&sent, manifest.as_ref()), now)
    };
    let accepted = db.write("site.publish", write).await?;
    repository.files.expire();
    Ok(Json(accepted))
}

/// Takes over a policy edition that governance signed.
async fn post_policy(
    _: Allowed<Publish>,
    body: Bytes,
    db: Data<Db>,
    clock: Data<Clock>,
    (repository, log): (Data<Repository>, Data<Log>),
) -> Result<Json<Accepted>, Error> {
    let sent: Edition = read("the policy edition", &body)?;
    let (online, now) = (repository.online.clone(), clock.now());
    let accepted =
        db.write("site.policy", move |tx| edition::publish(tx, (&online, &log), &sent, now)).await?;
    repository.files.expire();
    Ok(Json(accepted))
}

#[get("/v1/site")]
async fn get_site(
    _: Allowed<Read>,
    db: Data<Db>,
    (repository, log): (Data<Repository>, Data<Log>),
    config: Data<Config>,
) -> Result<Json<site::Site>, Error> {
    let show = move |tx: &mut crate::kernel::db::Conn| {
        Ok::<_, Error>(site::Site {
            last_backup: backup::last(&config),
            ..site::site(tx, &repository, &log)?
        })
    };
    Ok(Json(db.read("site.show", show).await?))
}

#[get("/v1/tuf/{file}")]
async fn file_for_people(
    _: Allowed<Read>,
    file: web::Path<String>,
    db: Data<Db>,
    repository: Data<Repository>,
) -> Result<HttpResponse, Error> {
    serve(&file, &db, &repository, 0).await
}

#[get("/agent/v1/tuf/{file}")]
async fn file_for_agents(
    _: Agent,
    file: web::Path<String>,
    (db, board): (Data<Db>, Data<Board>),
    repository: Data<Repository>,
) -> Result<HttpResponse, Error> {
    serve(&file, &db, &repository, board.timestamp_version()).await
}

async fn serve(name: &str, db: &Db, repository: &Repository, announced: u64) -> Result<HttpResponse, Error> {
    let Some((bytes, changes)) = repository.files.get_announced(db, name, announced).await? else {
        return Err(Refusal::not_found("site.no_file").with("name", strict::shorten(name)).into());
    };
    let cache = if changes { "no-store" } else { "public, max-age=31536000, immutable" };
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, cache)).content_type("application/json").body(bytes))
}
