//! Progress over HTTP: hosts tell, people watch.

use super::store;
use crate::changes;
use crate::fleet::{self, Rates};
use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::agent::Agent;
use crate::kernel::http::person::{Allowed, Read};
use actix_web::web::{self, Bytes, Data, Json, Path, PayloadConfig, Query, ServiceConfig};
use actix_web::{HttpResponse, get};
use schemars::JsonSchema;
use serde::Deserialize;
use shared::ids::ChangeRef;
use shared::limits::PROGRESS_BYTES;
use shared::progress::open_progress;
use shared::wire::ProgressPage;

/// Routes for agents. Needs `Data<Rates>`.
pub fn agents(config: &mut ServiceConfig) {
    let resource = web::resource("/agent/v1/progress").app_data(PayloadConfig::new(PROGRESS_BYTES));
    config.service(resource.route(web::post().to(tell)));
}

/// Routes for people.
pub fn people(config: &mut ServiceConfig) {
    config.service(watch);
}

/// Keeps what the connected host tells of a run. Sending it again changes nothing.
async fn tell(
    agent: Agent,
    (db, clock, config): (Data<Db>, Data<Clock>, Data<Config>),
    rates: Data<Rates>,
    body: Bytes,
) -> Result<HttpResponse, Error> {
    let connected = agent.0.agent_id;
    rates.progress(connected)?;
    let bad =
        |error: &dyn std::fmt::Display| Refusal::unprocessable("statement.invalid").with("detail", error);
    let message = open_progress(&body, &config.site_id).map_err(|error| bad(&error))?;
    if message.body.agent_id != connected {
        return Err(Refusal::forbidden("statement.other_host").with("agent", message.body.agent_id).into());
    }
    let now = clock.now();
    db.write("progress.tell", move |tx| store::record(tx, &message, now)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What is wanted of a change's messages.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Only what was stored after this place.
    #[serde(default)]
    after: u64,
    /// Id of the CI, id of the agent, or name of the host.
    host: Option<String>,
}

/// What hosts told of the present revision of a change, in the order of its places.
#[get("/v1/changes/{id}/progress")]
async fn watch(
    _: Allowed<Read>,
    id: Path<ChangeRef>,
    wanted: Query<Wanted>,
    db: Data<Db>,
) -> Result<Json<ProgressPage>, Error> {
    let (id, Wanted { after, host }) = (id.into_inner(), wanted.into_inner());
    let read = move |tx: &mut Conn| {
        let host = host.as_deref().map(|name| fleet::get(tx, name)).transpose()?;
        let id = changes::named(tx, &id)?;
        store::page(tx, &id, after, host.map(|host| host.agent))
    };
    Ok(Json(db.read("progress.watch", read).await?))
}
