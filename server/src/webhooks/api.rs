//! Webhooks over HTTP, for administrators.

use super::{model, store};
use crate::audit::{self, Action};
use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Error;
use crate::kernel::http::person::{Allowed, ManageWebhooks};
use crate::kernel::random::random;
use actix_web::web::{Data, Json, Path, Query, ServiceConfig};
use actix_web::{HttpResponse, delete, get, post};
use schemars::JsonSchema;
use serde::Deserialize;
use shared::ids::WebhookName;
use shared::webhook::WebhookSecret;
use shared::wire::{DeliveryPage, NewWebhook, WebhookLine, WebhookMade, WebhookTried};

/// Routes for people.
pub fn people(config: &mut ServiceConfig) {
    config.service(list).service(add).service(end).service(try_out).service(deliveries).service(again);
}

#[get("/v1/webhooks")]
async fn list(
    _: Allowed<ManageWebhooks>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<Vec<WebhookLine>>, Error> {
    let now = clock.now();
    Ok(Json(db.read("webhooks.list", move |tx| store::list(tx, now)).await?))
}

/// Subscribes to news. With a secret of one's own the same request again changes nothing.
#[post("/v1/webhooks")]
async fn add(
    person: Allowed<ManageWebhooks>,
    new: Json<NewWebhook>,
    config: Data<Config>,
    (db, clock): (Data<Db>, Data<Clock>),
) -> Result<Json<WebhookMade>, Error> {
    let (new, now) = (new.into_inner(), clock.now());
    let own = model::check(&new, &config.reach)?;
    let (secret, shown) = match own {
        Some(own) => (own, None),
        None => {
            let made = draw()?;
            let shown = made.reveal().to_string();
            (made, Some(shown))
        }
    };
    let name = new.name.clone();
    db.write("webhooks.add", move |tx| {
        // Of an address only the digest is kept, and nothing of the secret.
        let asked = (&new.name, &new.url, &new.kinds);
        audit::record(tx, &Action::by(&person.person, "webhooks.add", &new.name, &asked), now)?;
        store::insert(tx, (&new, &secret), &person.person, now)
    })
    .await?;
    Ok(Json(WebhookMade { name, secret: shown }))
}

fn draw() -> Result<WebhookSecret, Error> {
    WebhookSecret::of(&random::<32>()?).map_err(|error| Error::fault("making a secret", error))
}

/// Ends a subscription; nothing more is sent.
#[delete("/v1/webhooks/{webhook}")]
async fn end(
    person: Allowed<ManageWebhooks>,
    name: Path<WebhookName>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Error> {
    let (name, now) = (name.into_inner(), clock.now());
    db.write("webhooks.end", move |tx| {
        audit::record(tx, &Action::by(&person.person, "webhooks.end", &name, &()), now)?;
        store::end(tx, &name, now)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Sends one subscriber an event that means nothing.
#[post("/v1/webhooks/{webhook}/test")]
async fn try_out(
    person: Allowed<ManageWebhooks>,
    name: Path<WebhookName>,
    config: Data<Config>,
    (db, clock): (Data<Db>, Data<Clock>),
) -> Result<Json<WebhookTried>, Error> {
    let (name, now, config) = (name.into_inner(), clock.now(), config.into_inner());
    let write = move |tx: &mut Conn| {
        audit::record(tx, &Action::by(&person.person, "webhooks.test", &name, &()), now)?;
        store::insert_test(tx, &name, &person.person, &config, now)
    };
    Ok(Json(WebhookTried { event: db.write("webhooks.test", write).await? }))
}

/// Which deliveries are listed.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Only those with a smaller number.
    before: Option<u64>,
}

/// A page of the deliveries of a subscription, newest first.
#[get("/v1/webhooks/{webhook}/deliveries")]
async fn deliveries(
    _: Allowed<ManageWebhooks>,
    name: Path<WebhookName>,
    wanted: Query<Wanted>,
    db: Data<Db>,
) -> Result<Json<DeliveryPage>, Error> {
    let (name, before) = (name.into_inner(), wanted.into_inner().before);
    Ok(Json(db.read("webhooks.deliveries", move |tx| store::list_deliveries(tx, &name, before)).await?))
}

/// Sends a delivery again, whatever became of it.
#[post("/v1/webhooks/{webhook}/deliveries/{number}/again")]
async fn again(
    person: Allowed<ManageWebhooks>,
    place: Path<(WebhookName, u64)>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Error> {
    let ((name, number), now) = (place.into_inner(), clock.now());
    db.write("webhooks.again", move |tx| {
        audit::record(tx, &Action::by(&person.person, "webhooks.redeliver", &name, &number), now)?;
        store::again(tx, &name, number, now)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}
