//! Calendars over HTTP.

use super::{model, store};
use crate::audit::{self, Action};
use crate::fleet::{self, Chosen};
use crate::kernel::clock::Clock;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Error;
use crate::kernel::http::person::{Allowed, Operate, Read};
use actix_web::web::{Data, Json, Path, ServiceConfig};
use actix_web::{get, put};
use shared::time::{Interval, Timestamp};
use shared::windows::CalendarName;
use shared::wire::{CalendarFile, CalendarLine, PutCalendar};

/// Times that are shown of one calendar.
const SHOWN: usize = 50;
/// How far ahead they are looked for.
const AHEAD_SECS: i64 = 400 * 86_400;

/// Routes for people.
pub fn people(config: &mut ServiceConfig) {
    config.service(list).service(show).service(revise);
}

fn ahead(now: Timestamp) -> Interval {
    Interval { from: now, until: now.plus(AHEAD_SECS) }
}

/// Calendars that have not ended, by name.
#[get("/v1/calendars")]
async fn list(_: Allowed<Read>, db: Data<Db>, clock: Data<Clock>) -> Result<Json<Vec<CalendarLine>>, Error> {
    let now = clock.now();
    let read = move |tx: &mut Conn| {
        let (mut lines, mut chosen) = (Vec::new(), Chosen::default());
        for (name, step) in store::list(tx)? {
            let Some(calendar) = step.calendar else { continue };
            lines.push(CalendarLine {
                name,
                revision: step.revision,
                mode: calendar.mode,
                hosts: chosen.of(tx, &calendar)?.map(|held| u32::try_from(held.len()).unwrap_or(u32::MAX)),
                next: model::times(&calendar, ahead(now))?.first().copied(),
                title: calendar.title,
            });
        }
        Ok::<_, Error>(lines)
    };
    Ok(Json(db.read("calendars.list", read).await?))
}

fn file(tx: &mut Conn, name: CalendarName, now: Timestamp) -> Result<CalendarFile, Error> {
    let history = store::history(tx, &name)?;
    let current = history.first().and_then(|step| step.calendar.as_ref());
    let mut upcoming = current.map_or(Ok(Vec::new()), |calendar| model::times(calendar, ahead(now)))?;
    upcoming.truncate(SHOWN);
    Ok(CalendarFile { name, history, upcoming })
}

#[get("/v1/calendars/{calendar}")]
async fn show(
    _: Allowed<Read>,
    name: Path<CalendarName>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<CalendarFile>, Error> {
    let (name, now) = (name.into_inner(), clock.now());
    Ok(Json(db.read("calendars.show", move |tx| file(tx, name.clone(), now)).await?))
}

/// Stores the next revision of a calendar, or its end.
#[put("/v1/calendars/{calendar}")]
async fn revise(
    person: Allowed<Operate>,
    name: Path<CalendarName>,
    wish: Json<PutCalendar>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<CalendarFile>, Error> {
    let (name, wish, now) = (name.into_inner(), wish.into_inner(), clock.now());
    model::check(&wish, now)?;
    let write = move |tx: &mut Conn| {
        audit::record(tx, &Action::by(&person.person, "calendars.store", &name, &wish), now)?;
        let mut wish = wish.clone();
        if let Some(calendar) = &mut wish.calendar {
            calendar.search = fleet::spelt_out(tx, calendar.search.as_deref())?;
        }
        store::insert(tx, &name, &wish, &person.person, now)?;
        file(tx, name.clone(), now)
    };
    Ok(Json(db.write("calendars.store", write).await?))
}
