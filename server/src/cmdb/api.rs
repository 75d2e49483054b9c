//! The CMDB over HTTP.

use super::{declared, search, store};
use crate::kernel::clock::Clock;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Error;
use crate::kernel::http::person::{Allowed, Read};
use actix_web::get;
use actix_web::web::{Data, Json, Path, Query, ServiceConfig};
use schemars::JsonSchema;
use serde::Deserialize;
use shared::time::Timestamp;
use shared::wire::{CiFile, HealthPoint};

/// Routes for people.
pub fn routes(config: &mut ServiceConfig) {
    config.configure(search::routes).service(show).service(course).configure(declared::routes);
}

/// When an entry is looked at.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Then {
    /// As it was at this time; as it is when absent.
    at: Option<Timestamp>,
}

/// One CI by id or name: facts, as-recorded state per resource, history newest first; or as it was at a time.
#[get("/v1/cis/{name}")]
async fn show(
    _: Allowed<Read>,
    name: Path<String>,
    then: Query<Then>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<CiFile>, Error> {
    let (name, at, now) = (name.into_inner(), then.into_inner().at, clock.now());
    let read = move |tx: &mut Conn| match at {
        None => store::get_file(tx, &name),
        Some(at) => store::file_at(tx, &name, at, now),
    };
    Ok(Json(db.read("cmdb.show", read).await?))
}

/// States and numbers of one health check of a CI within the last week, the oldest first.
#[get("/v1/cis/{name}/health/{check}")]
async fn course(
    _: Allowed<Read>,
    path: Path<(String, String)>,
    db: Data<Db>,
) -> Result<Json<Vec<HealthPoint>>, Error> {
    let (name, check) = path.into_inner();
    Ok(Json(db.read("cmdb.course", move |tx| store::get_course(tx, &name, &check)).await?))
}
