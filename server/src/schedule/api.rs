//! The schedule over HTTP.

use super::store;
use crate::kernel::clock::Clock;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::person::{Allowed, Read};
use actix_web::get;
use actix_web::web::{Data, Json, Path, Query, ServiceConfig};
use schemars::JsonSchema;
use shared::ids::ChangeId;
use shared::time::{Interval, Timestamp};
use shared::wire::{Conflict, FreeTimes};

/// How far ahead free times are looked for.
const FURTHEST: i64 = 400 * 86_400;

/// Routes for people.
pub fn people(config: &mut ServiceConfig) {
    config.service(conflicts).service(free);
}

/// What gets in the way of a change.
#[get("/v1/changes/{id}/conflicts")]
async fn conflicts(
    _: Allowed<Read>,
    id: Path<ChangeId>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<Vec<Conflict>>, Error> {
    let (id, now) = (id.into_inner(), clock.now());
    Ok(Json(db.read("schedule.conflicts", move |tx| store::conflicts(tx, &id, now)).await?))
}

/// Which hosts and what time free times are wanted of.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the handler reads pairs, because a query struct cannot hold repeated names")]
pub struct Asked {
    /// `name=value`; may be repeated, and hosts have all of them.
    label: Option<Vec<String>>,
    /// Id of the CI, id of the agent, or name of the host; may be repeated.
    host: Option<Vec<String>>,
    /// From now on when absent.
    from: Option<Timestamp>,
    until: Timestamp,
}

#[get("/v1/free-times")]
async fn free(
    _: Allowed<Read>,
    query: Query<Vec<(String, String)>>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<FreeTimes>, Error> {
    let bad = |detail: String| Refusal::bad_request("request.bad_parameter").with("detail", detail);
    let (mut labels, mut hosts, mut from, mut until) = (Vec::new(), Vec::new(), clock.now(), None);
    for (name, value) in query.into_inner() {
        let time = |value: &str| value.parse::<Timestamp>().map_err(|why| bad(why.to_string()));
        match (name.as_str(), value.split_once('=')) {
            ("label", Some((label, value))) => labels.push((label.to_owned(), value.to_owned())),
            ("host", _) => hosts.push(value),
            ("from", _) => from = time(&value)?,
            ("until", _) => until = Some(time(&value)?),
            _ => return Err(bad("only label=name=value, host, from and until are known".into()).into()),
        }
    }
    let until = until.ok_or_else(|| bad("until is missing".into()))?;
    let span = Interval { from, until };
    if span.is_empty() || until.since(from) > FURTHEST {
        return Err(
            bad(format!("until must be after from, and at most {} days later", FURTHEST / 86_400)).into()
        );
    }
    let read = move |tx: &mut Conn| store::free(tx, (&labels, &hosts), span);
    Ok(Json(db.read("schedule.free", read).await?))
}
