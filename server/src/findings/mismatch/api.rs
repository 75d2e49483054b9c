//! Mismatches over HTTP.

use super::store::{self, Listed};
use crate::audit::{self, Action};
use crate::cmdb::{self, CiId};
use crate::kernel::clock::Clock;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Error;
use crate::kernel::http::person::{Allowed, Operate, Read};
use actix_web::web::{Data, Json, Query, ServiceConfig};
use actix_web::{HttpResponse, get, post};
use schemars::JsonSchema;
use serde::Deserialize;
use shared::wire::{DisposeMismatches, Disposition, MismatchPage};

/// Routes for people.
pub fn routes(config: &mut ServiceConfig) {
    config.service(list).service(dispose);
}

/// Which mismatches are listed; all conditions hold together.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    disposition: Option<Disposition>,
    /// Only those that are not gone.
    #[serde(default)]
    current: bool,
    /// Number or name of an entry.
    entry: Option<String>,
    /// Only those with a smaller id.
    before: Option<u64>,
}

/// A page of mismatches, newest first.
#[get("/v1/mismatches")]
async fn list(_: Allowed<Read>, wanted: Query<Wanted>, db: Data<Db>) -> Result<Json<MismatchPage>, Error> {
    let Wanted { disposition, current, entry, before } = wanted.into_inner();
    let read = move |tx: &mut Conn| {
        let of = |name: &String| Ok::<_, Error>(cmdb::get(tx, name)?.ci.parse::<CiId>().ok());
        let ci = entry.as_ref().map(of).transpose()?.flatten();
        store::list(tx, &Listed { disposition, current, ci, before })
    };
    Ok(Json(db.read("mismatches.list", read).await?))
}

/// Judges mismatches, all or none.
#[post("/v1/mismatch-dispositions")]
async fn dispose(
    person: Allowed<Operate>,
    wish: Json<DisposeMismatches>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Error> {
    let (wish, now) = (wish.into_inner(), clock.now());
    db.write("mismatches.dispose", move |tx| {
        let object = format!("{} mismatches", wish.mismatches.len());
        audit::record(tx, &Action::by(&person.person, "mismatches.dispose", object, &wish), now)?;
        store::dispose(tx, &wish, &person.person, now)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}
