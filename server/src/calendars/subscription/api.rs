//! Subscriptions over HTTP.

use super::{model, store};
use crate::audit::{self, Action};
use crate::calendars::api::{check, file};
use crate::calendars::model::check_reason;
use crate::fleet;
use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Error;
use crate::kernel::http::condition::{Condition, Tagged};
use crate::kernel::http::person::{Allowed, Operate};
use actix_web::web::{Data, Json, Path, ServiceConfig};
use actix_web::{HttpResponse, delete, post, put};
use shared::windows::CalendarName;
use shared::wire::{AcceptCalendar, PutSubscription};

/// Routes for people.
pub(in crate::calendars) fn people(config: &mut ServiceConfig) {
    config.service(subscribe).service(unsubscribe).service(accept);
}

/// Says from where a calendar is read; it is read soon after.
#[put("/v1/calendars/{calendar}/subscription")]
async fn subscribe(
    person: Allowed<Operate>,
    name: Path<CalendarName>,
    wish: Json<PutSubscription>,
    (config, condition): (Data<Config>, Condition),
    (db, clock): (Data<Db>, Data<Clock>),
) -> Result<Tagged, Error> {
    let (name, wish, now) = (name.into_inner(), wish.into_inner(), clock.now());
    model::check(&wish, &config.reach)?;
    let write = move |tx: &mut Conn| {
        audit::record(tx, &Action::by(&person.person, "calendars.subscribe", &name, &wish), now)?;
        check(tx, (&condition, &name), now)?;
        let mut wish = wish.clone();
        wish.calendar.search = fleet::spelt_out(tx, wish.calendar.search.as_deref())?;
        store::insert(tx, &name, &wish, &person.person, now)?;
        file(tx, &name, now)
    };
    Ok(Tagged::of(&db.write("calendars.subscribe", write).await?))
}

/// Ends a subscription; the calendar stays as it was last read.
#[delete("/v1/calendars/{calendar}/subscription")]
async fn unsubscribe(
    person: Allowed<Operate>,
    name: Path<CalendarName>,
    condition: Condition,
    (db, clock): (Data<Db>, Data<Clock>),
) -> Result<HttpResponse, Error> {
    let (name, now) = (name.into_inner(), clock.now());
    db.write("calendars.unsubscribe", move |tx| {
        audit::record(tx, &Action::by(&person.person, "calendars.unsubscribe", &name, &()), now)?;
        check(tx, (&condition, &name), now)?;
        store::end(tx, &name)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Takes what was read and waits for a person's word.
#[post("/v1/calendars/{calendar}/accept")]
async fn accept(
    person: Allowed<Operate>,
    name: Path<CalendarName>,
    wish: Json<AcceptCalendar>,
    condition: Condition,
    (db, clock): (Data<Db>, Data<Clock>),
) -> Result<Tagged, Error> {
    let (name, wish, now) = (name.into_inner(), wish.into_inner(), clock.now());
    check_reason(&wish.reason)?;
    let write = move |tx: &mut Conn| {
        audit::record(tx, &Action::by(&person.person, "calendars.accept", &name, &wish), now)?;
        check(tx, (&condition, &name), now)?;
        store::accept(tx, &name, &wish, &person.person, now)?;
        file(tx, &name, now)
    };
    Ok(Tagged::of(&db.write("calendars.accept", write).await?))
}
