//! The assessment of a change over HTTP.

use super::facts;
use crate::changes;
use crate::kernel::clock::Clock;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Error;
use crate::kernel::http::person::{Allowed, Read};
use actix_web::get;
use actix_web::web::{Data, Json, Path, ServiceConfig};
use shared::ids::ChangeRef;
use shared::wire::Assessment;

/// Routes for people.
pub fn people(config: &mut ServiceConfig) {
    config.service(assessment);
}

/// How much may go wrong with a change, and what an outage of its hosts would reach.
#[get("/v1/changes/{id}/assessment")]
async fn assessment(
    _: Allowed<Read>,
    id: Path<ChangeRef>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<Assessment>, Error> {
    let now = clock.now();
    let read = move |tx: &mut Conn| {
        let id = changes::named(tx, &id)?;
        facts::assess(tx, &id, now)
    };
    Ok(Json(db.read("assess.change", read).await?))
}
