//! Findings, and the retroactive changes that accept them, over HTTP.

use super::store::{self, Listed};
use crate::audit::{self, Action};
use crate::changes;
use crate::fleet;
use crate::kernel::clock::Clock;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::once::Once;
use crate::kernel::http::person::{Allowed, Operate, Propose, Read};
use actix_web::web::{self, Bytes, Data, Json, Path, PayloadConfig, Query, ServiceConfig};
use actix_web::{HttpResponse, delete, get, post};
use schemars::JsonSchema;
use serde::Deserialize;
use shared::change::Change;
use shared::digest::Digest;
use shared::ids::ChangeRef;
use shared::limits;
use shared::statement::Statement;
use shared::wire::{ChangeLine, Dispose, Disposition, FindingFile, FindingPage, IgnoreRule, NewIgnoreRule};

/// Routes for people.
pub fn people(config: &mut ServiceConfig) {
    config
        .configure(super::mismatch::routes)
        .service(list)
        .service(dispose)
        .service(rules)
        .service(make_rule)
        .service(withdraw_rule)
        .service(show)
        .service(
            web::resource("/v1/retroactive-changes/{id}/revisions/{revision}")
                .app_data(PayloadConfig::new(limits::ENVELOPE_BYTES))
                .route(web::put().to(put_revision)),
        );
}

/// Which findings are listed; all conditions hold together.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    disposition: Option<Disposition>,
    /// Only those that are not gone.
    #[serde(default)]
    current: bool,
    /// Id of the CI, id of the agent, or name of the host.
    host: Option<String>,
    /// `team/name`.
    manifest: Option<String>,
    fingerprint: Option<Digest>,
    /// Only those with a smaller id.
    before: Option<u64>,
}

/// A page of findings, newest first.
#[get("/v1/findings")]
async fn list(_: Allowed<Read>, filter: Query<Filter>, db: Data<Db>) -> Result<Json<FindingPage>, Error> {
    let Filter { disposition, current, host, manifest, fingerprint, before } = filter.into_inner();
    let read = move |tx: &mut Conn| {
        let ci = host.as_deref().map(|name| fleet::get(tx, name)).transpose()?.map(|host| host.ci);
        let manifest = manifest.clone();
        store::list(tx, &Listed { disposition, current, ci, manifest, fingerprint, before })
    };
    Ok(Json(db.read("findings.list", read).await?))
}

#[get("/v1/findings/{finding}")]
async fn show(_: Allowed<Read>, id: Path<u64>, db: Data<Db>) -> Result<Json<FindingFile>, Error> {
    let id = id.into_inner();
    Ok(Json(db.read("findings.show", move |tx| store::file(tx, id)).await?))
}

/// Judges findings, all or none.
#[post("/v1/finding-dispositions")]
async fn dispose(
    person: Allowed<Operate>,
    wish: Json<Dispose>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Error> {
    let (wish, now) = (wish.into_inner(), clock.now());
    db.write("findings.dispose", move |tx| {
        let object = format!("{} findings", wish.findings.len());
        audit::record(tx, &Action::by(&person.person, "findings.dispose", object, &wish), now)?;
        store::dispose(tx, &wish, &person.person, now)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Rules that hold now, oldest first.
#[get("/v1/finding-rules")]
async fn rules(_: Allowed<Read>, db: Data<Db>, clock: Data<Clock>) -> Result<Json<Vec<IgnoreRule>>, Error> {
    let now = clock.now();
    Ok(Json(db.read("findings.rules", move |tx| store::list_rules(tx, now)).await?))
}

#[post("/v1/finding-rules")]
async fn make_rule(
    person: Allowed<Operate>,
    rule: Json<NewIgnoreRule>,
    once: Once,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<IgnoreRule>, Error> {
    let (rule, now) = (rule.into_inner(), clock.now());
    let make = move |tx: &mut Conn| {
        once.run(tx, (&person.person, &rule), now, |tx| {
            audit::record(tx, &Action::by(&person.person, "findings.make_rule", "rule", &rule), now)?;
            store::insert_rule(tx, &rule, &person.person, now)
        })
    };
    Ok(Json(db.write("findings.make_rule", make).await?))
}

#[delete("/v1/finding-rules/{rule}")]
async fn withdraw_rule(
    person: Allowed<Operate>,
    id: Path<u64>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Error> {
    let (id, now) = (id.into_inner(), clock.now());
    db.write("findings.withdraw_rule", move |tx| {
        let object = format!("rule {id}");
        audit::record(tx, &Action::by(&person.person, "findings.withdraw_rule", object, &id), now)?;
        store::withdraw_rule(tx, id, &person.person, now)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Stores a signed revision of a change that accepts findings. Sending the same again answers the same.
async fn put_revision(
    person: Allowed<Propose>,
    place: Path<(ChangeRef, u32)>,
    body: Bytes,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<ChangeLine>, Error> {
    let change = Statement::<Change>::parse(&body).map_err(Refusal::bad_json)?;
    let ((id, revision), now) = (place.into_inner(), clock.now());
    let revise = move |tx: &mut Conn| {
        let id = changes::named(tx, &id)?;
        let row = store::revise(tx, (&id, revision), &change, &person.person, now)?;
        changes::line(tx, &row, now)
    };
    Ok(Json(db.write("findings.propose", revise).await?))
}
