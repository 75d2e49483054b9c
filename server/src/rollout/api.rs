//! "Why not yet?" over HTTP.

use super::store;
use crate::fleet::Board;
use crate::kernel::clock::Clock;
use crate::kernel::db::Db;
use crate::kernel::error::Error;
use crate::kernel::http::person::{Allowed, Read};
use crate::kernel::i18n::Language;
use actix_web::get;
use actix_web::web::{Data, Json, Path, ServiceConfig};
use shared::ids::ChangeId;
use shared::wire::Why;

/// Routes for people. Needs `Data<Board>`.
pub fn people(config: &mut ServiceConfig) {
    config.service(why);
}

#[get("/v1/why/{host}/{change}")]
async fn why(
    _: Allowed<Read>,
    place: Path<(String, ChangeId)>,
    language: Language,
    db: Data<Db>,
    clock: Data<Clock>,
    board: Data<Board>,
) -> Result<Json<Why>, Error> {
    let (host, change) = place.into_inner();
    let now = clock.now();
    let read = move |tx: &mut crate::kernel::db::Conn| {
        store::why(tx, (&host, &change), |agent| board.last_seen(agent), language, now)
    };
    Ok(Json(db.read("rollout.why", read).await?))
}
