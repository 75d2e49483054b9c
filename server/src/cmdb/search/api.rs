//! Searches over HTTP.

use super::{saved, store};
use crate::audit::{self, Action};
use crate::cmdb::marks::Wanted;
use crate::cmdb::model::CiId;
use crate::cmdb::store as entries;
use crate::kernel::clock::Clock;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Error;
use crate::kernel::http::condition::{Condition, Tag, Tagged};
use crate::kernel::http::page::limit;
use crate::kernel::http::person::{Allowed, Operate, Read};
use actix_web::web::{Data, Json, Path, Query, ServiceConfig};
use actix_web::{HttpResponse, delete, get, put};
use schemars::JsonSchema;
use serde::Deserialize;
use shared::strict;
use shared::time::Timestamp;
use shared::wire::{CiLine, PutSearch, SavedSearch};

/// Entries in one answer, when nothing is said and at most.
const PAGE: (u16, u16) = (1_000, 5_000);

/// Routes for people.
pub fn routes(config: &mut ServiceConfig) {
    config.service(list).service(searches).service(show).service(save).service(forget);
}

/// Which entries are listed; all conditions hold together.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// A search, such as `os:debian-12 package:openssl<3.0.17 label:prod -class:device`.
    q: Option<String>,
    /// Only those behind this entry, by name and number: the last one of the page before.
    after: Option<CiRefId>,
    /// Entries on the page, 1,000 when absent and at most 5,000. A page with fewer is the last one.
    limit: Option<u16>,
    /// Those whose operating system gets no security updates any more.
    #[serde(default)]
    outdated_os: bool,
    /// Those that should be rebooted.
    #[serde(default)]
    reboot_needed: bool,
    /// Those with a certificate that ends within so many days, or has ended.
    certificate_expires_days: Option<u16>,
    /// Those that listen on this port, with any protocol.
    listening: Option<u16>,
    /// Those that have this updater, enabled or not.
    updater: Option<String>,
    /// Those whose clock is not synchronised or far from the server's.
    #[serde(default)]
    clock_wrong: bool,
}

/// Such as `CI-7`.
#[derive(Debug, Clone, Copy)]
struct CiRefId(CiId);

impl<'de> Deserialize<'de> for CiRefId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        CiId::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for CiRefId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CiId".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^CI-[1-9][0-9]*$" })
    }
}

impl Asked {
    fn wanted(&self) -> Vec<Wanted> {
        let days = |days: u16| Wanted::CertificateEnds { within_s: i64::from(days) * 86_400 };
        let all = [
            self.outdated_os.then_some(Wanted::OutdatedOs),
            self.reboot_needed.then_some(Wanted::RebootNeeded),
            self.certificate_expires_days.map(days),
            self.listening.map(|port| Wanted::Listening { port }),
            self.updater.clone().map(|name| Wanted::Updater { name }),
            self.clock_wrong.then_some(Wanted::ClockWrong),
        ];
        all.into_iter().flatten().collect()
    }
}

/// A page of entries by name; those that fit facts with what fits.
#[get("/v1/cis")]
async fn list(
    _: Allowed<Read>,
    asked: Query<Asked>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<Vec<CiLine>>, Error> {
    let (asked, now) = (asked.into_inner(), clock.now());
    Ok(Json(db.read("cmdb.list", move |tx| page(tx, &asked, now)).await?))
}

fn page(tx: &mut Conn, asked: &Asked, now: Timestamp) -> Result<Vec<CiLine>, Error> {
    let query = saved::resolved(tx, asked.q.as_deref().unwrap_or_default())?;
    let limit = limit(asked.limit, PAGE.0, PAGE.1)?;
    let after = asked.after.map(|CiRefId(id)| entries::place(tx, id)).transpose()?;
    fitting(tx, &query, (&asked.wanted(), now), after, i64::from(limit))
}

/// A page of entries with what of their facts fits.
pub(in crate::cmdb) fn fitting(
    tx: &mut Conn,
    query: &shared::search::Query,
    (wanted, now): (&[Wanted], Timestamp),
    after: Option<(String, i64)>,
    limit: i64,
) -> Result<Vec<CiLine>, Error> {
    let mut lines = store::page(tx, query, (wanted, now), after, limit)?;
    let ids: Vec<i64> = lines.iter().filter_map(|line| Some(line.ci.parse::<CiId>().ok()?.0)).collect();
    for wanted in wanted {
        let mut fitting = entries::fitting(tx, wanted, &ids, now)?;
        for line in &mut lines {
            let found = line.ci.parse::<CiId>().ok().and_then(|id| fitting.remove(&id));
            line.matched.extend(found.into_iter().flatten());
        }
    }
    Ok(lines)
}

/// Saved searches by name.
#[get("/v1/searches")]
async fn searches(_: Allowed<Read>, db: Data<Db>) -> Result<Json<Vec<SavedSearch>>, Error> {
    Ok(Json(db.read("cmdb.searches", store::list_saved).await?))
}

#[get("/v1/searches/{name}")]
async fn show(_: Allowed<Read>, name: Path<String>, db: Data<Db>) -> Result<Tagged, Error> {
    let name = name.into_inner();
    Ok(Tagged::of(&db.read("cmdb.saved_search", move |tx| saved::get(tx, &name)).await?))
}

fn check(tx: &mut Conn, condition: &Condition, name: &str) -> Result<(), Error> {
    condition.check(strict::shorten(name), || Ok(store::find_saved(tx, name)?.map(|saved| Tag::of(&saved))))
}

/// Saves a search, or changes it; the same again changes nothing.
#[put("/v1/searches/{name}")]
async fn save(
    person: Allowed<Operate>,
    name: Path<String>,
    wish: Json<PutSearch>,
    condition: Condition,
    (db, clock): (Data<Db>, Data<Clock>),
) -> Result<HttpResponse, Error> {
    let (name, wish, now) = (name.into_inner(), wish.into_inner(), clock.now());
    let write = move |tx: &mut Conn| {
        // One after another, so that two together make no circle.
        crate::ledger::lock(tx)?;
        if !saved::is_same(tx, &name, &wish)? {
            check(tx, &condition, &name)?;
            saved::put(tx, (&name, &wish), &person.person, now)?;
            audit::record(tx, &Action::by(&person.person, "cmdb.save_search", &name, &wish), now)?;
        }
        Ok::<_, Error>(())
    };
    db.write("cmdb.save_search", write).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Removes a saved search that no other one uses.
#[delete("/v1/searches/{name}")]
async fn forget(
    person: Allowed<Operate>,
    name: Path<String>,
    condition: Condition,
    (db, clock): (Data<Db>, Data<Clock>),
) -> Result<HttpResponse, Error> {
    let (name, now) = (name.into_inner(), clock.now());
    let write = move |tx: &mut Conn| {
        crate::ledger::lock(tx)?;
        check(tx, &condition, &name)?;
        saved::delete(tx, &name)?;
        audit::record(tx, &Action::by(&person.person, "cmdb.forget_search", &name, &name), now)
    };
    db.write("cmdb.forget_search", write).await?;
    Ok(HttpResponse::NoContent().finish())
}
