//! The audit trail over HTTP. Everybody who may read may read it: whoever watches must be watched too.

use super::store::{self, PAGE};
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Error;
use crate::kernel::http::person::{Allowed, Read};
use actix_web::get;
use actix_web::web::{Data, Json, Query, ServiceConfig};
use schemars::JsonSchema;
use serde::Deserialize;
use shared::ids::PersonId;
use shared::wire::AuditPage;

/// Routes for people.
pub fn routes(config: &mut ServiceConfig) {
    config.service(list);
}

/// Which records are listed; all conditions hold together.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    person: Option<PersonId>,
    /// Such as `people.grant`.
    action: Option<String>,
    /// Only those with a smaller number.
    before: Option<u64>,
}

/// A page of the audit trail, newest first.
#[get("/v1/audit")]
async fn list(_: Allowed<Read>, wanted: Query<Wanted>, db: Data<Db>) -> Result<Json<AuditPage>, Error> {
    let Wanted { person, action, before } = wanted.into_inner();
    let read = move |tx: &mut Conn| {
        store::list(tx, (person.as_ref().map(PersonId::as_str), action.as_deref()), before)
    };
    let mut records = db.read("audit.list", read).await?;
    let more = records.len() > usize::from(PAGE);
    records.truncate(usize::from(PAGE));
    Ok(Json(AuditPage { records, more }))
}
