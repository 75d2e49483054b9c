//! Calendars over HTTP.

use super::{model, store, subscription};
use crate::audit::{self, Action};
use crate::fleet::{self, Chosen};
use crate::kernel::clock::Clock;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::condition::{Condition, Tag, Tagged};
use crate::kernel::http::person::{Allowed, Operate, Read};
use actix_web::web::{Data, Json, Path, ServiceConfig};
use actix_web::{get, put};
use shared::time::Timestamp;
use shared::windows::CalendarName;
use shared::wire::{CalendarFile, CalendarLine, CalendarStep, PutCalendar};
use std::collections::BTreeMap;

/// Times that are shown of one calendar.
const SHOWN: usize = 50;

/// Routes for people.
pub fn people(config: &mut ServiceConfig) {
    config.service(list).service(show).service(revise);
    subscription::people(config);
}

/// Calendars that have not ended or are subscribed to, by name.
#[get("/v1/calendars")]
async fn list(_: Allowed<Read>, db: Data<Db>, clock: Data<Clock>) -> Result<Json<Vec<CalendarLine>>, Error> {
    let now = clock.now();
    let read = move |tx: &mut Conn| {
        let (mut lines, mut chosen) = (Vec::new(), Chosen::default());
        let mut subscribed = subscription::list(tx, now)?;
        // Not read yet, or without times, a subscription says what it will hold.
        let mut all = BTreeMap::new();
        for (name, listed) in &subscribed {
            all.insert(name.clone(), (0, Some(listed.scope.clone())));
        }
        for (name, CalendarStep { revision, calendar, .. }) in store::list(tx)? {
            let scope = all.get(&name).and_then(|(_, scope)| scope.clone());
            all.insert(name, (revision, calendar.or(scope)));
        }
        for (name, (revision, calendar)) in all {
            let Some(calendar) = calendar else { continue };
            let subscription = subscribed.remove(&name);
            lines.push(CalendarLine {
                name,
                revision,
                subscription: subscription.map(|subscription| subscription.shown),
                mode: calendar.mode,
                hosts: chosen.of(tx, &calendar)?.map(|held| u32::try_from(held.len()).unwrap_or(u32::MAX)),
                next: model::times(&calendar, model::ahead(now))?.first().copied(),
                title: calendar.title,
            });
        }
        Ok::<_, Error>(lines)
    };
    Ok(Json(db.read("calendars.list", read).await?))
}

/// # Errors
/// `calendar.unknown` where there is neither a calendar nor a subscription of this name.
pub(super) fn file(tx: &mut Conn, name: &CalendarName, now: Timestamp) -> Result<CalendarFile, Error> {
    let unknown = || Refusal::not_found("calendar.unknown").with("calendar", name);
    find_file(tx, name, now)?.ok_or_else(|| unknown().into())
}

/// Whether a request may write, for what is shown of the calendar. Nobody else writes it until the end of the transaction.
pub(super) fn check(
    tx: &mut Conn,
    (condition, name): (&Condition, &CalendarName),
    now: Timestamp,
) -> Result<(), Error> {
    subscription::lock(tx)?;
    condition.check(name, || Ok(find_file(tx, name, now)?.map(|file| Tag::of(&file))))
}

fn find_file(tx: &mut Conn, name: &CalendarName, now: Timestamp) -> Result<Option<CalendarFile>, Error> {
    let subscription = subscription::find(tx, name, now)?.map(|subscription| subscription.shown);
    let history = store::history(tx, name)?;
    if history.is_empty() && subscription.is_none() {
        return Ok(None);
    }
    let current = history.first().and_then(|step| step.calendar.as_ref());
    let mut upcoming =
        current.map_or(Ok(Vec::new()), |calendar| model::times(calendar, model::ahead(now)))?;
    upcoming.truncate(SHOWN);
    Ok(Some(CalendarFile { name: name.clone(), history, upcoming, subscription }))
}

#[get("/v1/calendars/{calendar}")]
async fn show(
    _: Allowed<Read>,
    name: Path<CalendarName>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Tagged, Error> {
    let (name, now) = (name.into_inner(), clock.now());
    Ok(Tagged::of(&db.read("calendars.show", move |tx| file(tx, &name, now)).await?))
}

/// Stores the next revision of a calendar, or its end.
#[put("/v1/calendars/{calendar}")]
async fn revise(
    person: Allowed<Operate>,
    name: Path<CalendarName>,
    wish: Json<PutCalendar>,
    condition: Condition,
    (db, clock): (Data<Db>, Data<Clock>),
) -> Result<Tagged, Error> {
    let (name, wish, now) = (name.into_inner(), wish.into_inner(), clock.now());
    model::check(&wish, now)?;
    let write = move |tx: &mut Conn| {
        audit::record(tx, &Action::by(&person.person, "calendars.store", &name, &wish), now)?;
        check(tx, (&condition, &name), now)?;
        subscription::assert_none(tx, &name)?;
        let mut wish = wish.clone();
        if let Some(calendar) = &mut wish.calendar {
            calendar.search = fleet::spelt_out(tx, calendar.search.as_deref())?;
        }
        store::insert(tx, &name, &wish, &person.person, now)?;
        file(tx, &name, now)
    };
    Ok(Tagged::of(&db.write("calendars.store", write).await?))
}
