//! The schedule over HTTP.

use super::store::Wanted;
use super::{feed, store};
use crate::audit::{self, Action};
use crate::changes;
use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::person::{Allowed, Read};
use crate::kernel::http::tries::Guesses;
use crate::kernel::i18n::Language;
use actix_web::http::header::{self, EntityTag};
use actix_web::web::{Data, Json, Path, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::conflict::Conflict;
use shared::digest::Digest;
use shared::ids::ChangeRef;
use shared::time::{Interval, Timestamp};
use shared::wire::FreeTimes;

/// How far ahead free times are looked for.
const FURTHEST: i64 = 400 * 86_400;

/// Addresses of feeds that nobody has.
pub struct Feeds;

/// Routes for people. Needs `Data<Guesses<Feeds>>`.
pub fn people(config: &mut ServiceConfig) {
    config.service(conflicts).service(free).service(open_feed).service(end_feeds).service(read_feed);
}

/// What gets in the way of a change.
#[get("/v1/changes/{id}/conflicts")]
async fn conflicts(
    _: Allowed<Read>,
    id: Path<ChangeRef>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<Vec<Conflict>>, Error> {
    let (id, now) = (id.into_inner(), clock.now());
    let read = move |tx: &mut Conn| {
        let id = changes::named(tx, &id)?;
        changes::conflicts(tx, &id, now)
    };
    Ok(Json(db.read("schedule.conflicts", read).await?))
}

/// Under which secret a calendar reads the schedule.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenFeed {
    /// Digest of a secret of 64 hex digits that only its owner has.
    sha256: Digest,
}

/// Lets whoever has the secret read the schedule, until the person ends it or loses the access.
#[post("/v1/feeds")]
async fn open_feed(
    person: Allowed<Read>,
    wish: Json<OpenFeed>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Error> {
    let (wish, now) = (wish.into_inner(), clock.now());
    db.write("schedule.open_feed", move |tx| {
        audit::record(tx, &Action::by(&person.person, "schedule.open_feed", "feed", &wish), now)?;
        store::insert_feed(tx, &wish.sha256, &person.person, now)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Ends all feeds of the person who asks.
#[delete("/v1/feeds")]
async fn end_feeds(person: Allowed<Read>, db: Data<Db>, clock: Data<Clock>) -> Result<HttpResponse, Error> {
    let now = clock.now();
    db.write("schedule.end_feeds", move |tx| {
        audit::record(tx, &Action::by(&person.person, "schedule.end_feeds", "feeds", &()), now)?;
        Ok::<_, Error>(store::end_feeds(tx, &person.person, now)?)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The schedule as an iCalendar file. The secret in the path is all that a calendar program can send.
#[get("/v1/feeds/{secret}.ics")]
async fn read_feed(
    request: HttpRequest,
    secret: Path<String>,
    config: Data<Config>,
    language: Language,
    (db, guesses): (Data<Db>, Data<Guesses<Feeds>>),
    clock: Data<Clock>,
) -> Result<HttpResponse, Error> {
    let (secret, now) = (Digest::of(secret.as_bytes()), clock.now());
    let list =
        async || db.read("schedule.feeds", |tx| Ok(store::list_feeds(tx)?.into_iter().collect())).await;
    let site = config.site_id.clone();
    let read = move |tx: &mut Conn| match store::is_feed(tx, &secret)? {
        true => feed::render(tx, &site, language, now).map(Some),
        false => Ok(None),
    };
    let find = async || db.read("schedule.feed", read).await;
    let text = guesses.look_up(&request, &secret, list, find).await?;
    let text = text.ok_or_else(|| Refusal::not_found("feed.unknown"))?;
    let tag = EntityTag::new_strong(Digest::of(text.as_bytes()).to_string());
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|known| known.contains(tag.tag()));
    let mut answer = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer.insert_header(header::ETag(tag)).insert_header((header::CACHE_CONTROL, "private, no-cache"));
    Ok(match is_known {
        true => answer.finish(),
        false => answer.content_type("text/calendar; charset=utf-8").body(text),
    })
}

/// Which hosts and what time free times are wanted of.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the handler reads pairs, because a query struct cannot hold repeated names")]
pub struct Asked {
    /// `name=value`; may be repeated, and hosts have all of them.
    label: Option<Vec<String>>,
    /// Id of the CI, id of the agent, or name of the host; may be repeated.
    host: Option<Vec<String>>,
    /// Hosts that this search of the CMDB finds as well.
    search: Option<String>,
    /// `true`: also outside of the windows of calendars in whose reach the hosts are.
    anywhere: Option<bool>,
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
    let now = clock.now();
    let (wanted, span) = wanted(query.into_inner(), now)?;
    let read = move |tx: &mut Conn| store::free(tx, &wanted, span, now);
    Ok(Json(db.read("schedule.free", read).await?))
}

/// # Errors
/// `request.bad_parameter`.
fn wanted(query: Vec<(String, String)>, now: Timestamp) -> Result<(Wanted, Interval), Refusal> {
    let bad = |detail: String| Refusal::bad_request("request.bad_parameter").with("detail", detail);
    let (mut wanted, mut from, mut until) = (Wanted::default(), now, None);
    for (name, value) in query {
        let time = |value: &str| value.parse::<Timestamp>().map_err(|why| bad(why.to_string()));
        match (name.as_str(), value.split_once('=')) {
            ("label", Some((label, value))) => {
                let other = wanted.labels.0.insert(label.to_owned(), value.to_owned());
                if other.is_some_and(|other| other != value) {
                    return Err(bad(format!("no host has two values of the label {label}")));
                }
            }
            ("search", _) => wanted.search = Some(value),
            ("host", _) => wanted.hosts.push(value),
            ("anywhere", _) => {
                wanted.anywhere = value.parse().map_err(|_| bad("anywhere is true or false".into()))?;
            }
            ("from", _) => from = time(&value)?,
            ("until", _) => until = Some(time(&value)?),
            _ => {
                let known = "only label=name=value, host, search, anywhere, from and until are known";
                return Err(bad(known.into()));
            }
        }
    }
    let until = until.ok_or_else(|| bad("until is missing".into()))?;
    let span = Interval { from, until };
    match span.is_empty() || until.since(from) > FURTHEST {
        true => Err(bad(format!("until must be after from, and at most {} days later", FURTHEST / 86_400))),
        false => Ok((wanted, span)),
    }
}
