//! "Why not yet?" over HTTP.

use super::store;
use crate::changes;
use crate::fleet::Board;
use crate::kernel::clock::Clock;
use crate::kernel::db::Db;
use crate::kernel::error::Error;
use crate::kernel::http::person::{Allowed, Read};
use crate::kernel::i18n::Language;
use actix_web::get;
use actix_web::web::{Data, Json, Path, Query, ServiceConfig};
use schemars::JsonSchema;
use serde::Deserialize;
use shared::ids::ChangeRef;
use shared::wire::{Waiting, WaveLine, Why};

/// Routes for people. Needs `Data<Board>`.
pub fn people(config: &mut ServiceConfig) {
    config.service(why).service(waiting).service(in_waves);
}

#[get("/v1/why/{host}/{change}")]
async fn why(
    _: Allowed<Read>,
    place: Path<(String, ChangeRef)>,
    language: Language,
    db: Data<Db>,
    clock: Data<Clock>,
    board: Data<Board>,
) -> Result<Json<Why>, Error> {
    let (host, change) = place.into_inner();
    let now = clock.now();
    let read = move |tx: &mut crate::kernel::db::Conn| {
        let change = changes::named(tx, &change)?;
        store::why(tx, (&host, &change), |agent| board.contact(agent), language, now)
    };
    Ok(Json(db.read("rollout.why", read).await?))
}

/// Of which change; of all open ones when absent.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Of {
    change: Option<ChangeRef>,
}

/// What hosts wait for, counted.
#[get("/v1/waiting")]
async fn waiting(
    _: Allowed<Read>,
    of: Query<Of>,
    language: Language,
    db: Data<Db>,
    clock: Data<Clock>,
    board: Data<Board>,
) -> Result<Json<Vec<Waiting>>, Error> {
    let (of, now) = (of.into_inner().change, clock.now());
    let read = move |tx: &mut crate::kernel::db::Conn| {
        let of = of.as_ref().map(|of| changes::named(tx, of)).transpose()?;
        store::waiting(tx, of.as_ref(), |agent| board.contact(agent), language, now)
    };
    Ok(Json(db.read("rollout.waiting", read).await?))
}

/// Where the hosts of each wave stand, and when it may begin.
#[get("/v1/changes/{change}/waves")]
async fn in_waves(
    _: Allowed<Read>,
    change: Path<ChangeRef>,
    db: Data<Db>,
    clock: Data<Clock>,
    board: Data<Board>,
) -> Result<Json<Vec<WaveLine>>, Error> {
    let (change, now) = (change.into_inner(), clock.now());
    let read = move |tx: &mut crate::kernel::db::Conn| {
        let change = changes::named(tx, &change)?;
        store::in_waves(tx, &change, |agent| board.contact(agent), now)
    };
    Ok(Json(db.read("rollout.waves", read).await?))
}
