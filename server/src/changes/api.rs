//! Changes over HTTP: thin handlers around the functions of this slice.

use super::approve::{self, Answer};
use super::course::{self, By, Wish};
use super::store::{self, Row};
use super::view;
use super::{bundle, carried, notes, plans, review, revise};
use crate::audit::{self, Action};
use crate::fleet::{Board, Rates};
use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::agent::Agent;
use crate::kernel::http::condition::{Condition, Tag, Tagged};
use crate::kernel::http::once::Once;
use crate::kernel::http::page;
use crate::kernel::http::person::{Allowed, Approve, Operate, Propose, Read};
use crate::ledger;
use crate::manifests::Repository;
use actix_web::web::{self, Bytes, Data, Json, Path, PayloadConfig, Query, ServiceConfig};
use actix_web::{HttpResponse, delete, get, post};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::change::Change;
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ids::{AgentId, ChangeId, ChangeRef, SeriesName, YearNumber};
use shared::lifecycle::{Outcome, State};
use shared::note::Review;
use shared::statement::Statement;
use shared::strict::Map;
use shared::time::Timestamp;
use shared::wire::{ChangeLine, CourseStep, SeriesLine, SubmitLater};
use shared::{limits, strict};

/// Changes in one answer, when nothing is said and at most.
const PAGE: u16 = 200;

/// Routes for people. Needs `Data<Repository>` and `Data<Board>`.
pub fn people(config: &mut ServiceConfig) {
    let large = |path: &str| web::resource(path).app_data(PayloadConfig::new(limits::ENVELOPE_BYTES));
    config
        .service(create)
        .service(
            large("/v1/changes/{id}/revisions/{revision}")
                .route(web::put().to(put_revision))
                .route(web::get().to(show_revision)),
        )
        .service(large("/v1/changes/{id}/approvals").route(web::post().to(post_approval)))
        .service(submit)
        .service(submit_later)
        .service(keep_draft)
        .service(halt)
        .service(stop_correcting)
        .service(resume)
        .service(withdraw)
        .service(close)
        .service(list)
        .service(list_series)
        .service(show)
        .service(show_course)
        .configure(notes::routes);
}

/// Routes for agents. Needs `Data` of `Board` and `Rates`.
pub fn agents(config: &mut ServiceConfig) {
    let large = |path: &str| web::resource(path).app_data(PayloadConfig::new(limits::ENVELOPE_BYTES));
    config
        .service(large("/agent/v1/plans").route(web::post().to(post_plan)))
        .service(large("/agent/v1/words").route(web::post().to(post_word)))
        .service(plan_again);
}

fn read<T: DeserializeOwned>(what: &'static str, body: &[u8]) -> Result<T, Error> {
    Ok(strict::from_json(what, body, limits::ENVELOPE_BYTES).map_err(Refusal::bad_json)?)
}

/// An object without members.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Nothing {}

impl<'de> Deserialize<'de> for Nothing {
    /// The derived form would take an empty list as well.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Map::<String, serde::de::IgnoredAny>::deserialize(deserializer)?;
        match members.keys().next() {
            None => Ok(Self {}),
            Some(name) => Err(serde::de::Error::unknown_field(name, &[])),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Created {
    change_id: ChangeId,
}

/// Allots the next number.
#[post("/v1/changes")]
async fn create(
    person: Allowed<Propose>,
    _: Json<Nothing>,
    once: Once,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<Created>, Error> {
    let now = clock.now();
    let create = move |tx: &mut Conn| {
        once.run(tx, (&person.person, &()), now, |tx| {
            ledger::lock(tx)?;
            let id = store::insert(tx, &person.person, now)?;
            audit::record(tx, &Action::by(&person.person, "change.create", &id, &id), now)?;
            Ok(Created { change_id: id })
        })
    };
    Ok(Json(db.write("change.create", create).await?))
}

/// Stores a signed revision of a change that is run. Sending the same again answers the same.
async fn put_revision(
    person: Allowed<Propose>,
    place: Path<(ChangeRef, u32)>,
    body: Bytes,
    with: With,
) -> Result<Tagged, Error> {
    let change = Statement::<Change>::parse(&body).map_err(Refusal::bad_json)?;
    let (id, revision) = place.into_inner();
    if change.body.is_retroactive() {
        return Err(Refusal::unprocessable("change.retroactive").with("change", id).into());
    }
    let work = move |tx: &mut Conn, id: &ChangeId, now| {
        revise::revise(tx, (id, revision), &change, &[], &person.person, now)
    };
    with.write("change.revise", id, work).await
}

/// Asks the hosts for plans; a change that brings them nothing waits for its review.
#[post("/v1/changes/{id}/submit")]
async fn submit(person: Allowed<Propose>, id: Path<ChangeRef>, with: With) -> Result<Tagged, Error> {
    let work = move |tx: &mut Conn, id: &ChangeId, now| {
        course::wish(tx, id, Wish::Submit, By::person(&person.person), now)
    };
    with.write("change.submit", id.into_inner(), work).await
}

/// Lets a draft be submitted by itself later.
#[post("/v1/changes/{id}/submit-later")]
async fn submit_later(
    person: Allowed<Propose>,
    id: Path<ChangeRef>,
    body: Bytes,
    with: With,
) -> Result<Tagged, Error> {
    let SubmitLater { at } = read("the wish", &body)?;
    let work =
        move |tx: &mut Conn, id: &ChangeId, now| course::submit_later(tx, id, Some(at), &person.person, now);
    with.write("change.submit_later", id.into_inner(), work).await
}

/// The draft is not submitted by itself any more.
#[delete("/v1/changes/{id}/submit-later")]
async fn keep_draft(person: Allowed<Propose>, id: Path<ChangeRef>, with: With) -> Result<Tagged, Error> {
    let work =
        move |tx: &mut Conn, id: &ChangeId, now| course::submit_later(tx, id, None, &person.person, now);
    with.write("change.keep_draft", id.into_inner(), work).await
}

/// Why an operator steps in; kept with the step.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Note {
    #[serde(default)]
    note: String,
}

impl Note {
    /// An empty body says nothing.
    fn read(body: &Bytes) -> Result<String, Error> {
        let Self { note } = if body.is_empty() { Self::default() } else { read("the note", body)? };
        short(note)
    }
}

fn short(note: String) -> Result<String, Error> {
    if note.len() > limits::TEXT_BYTES {
        return Err(Refusal::too_large("request.too_large").with("limit", limits::TEXT_BYTES).into());
    }
    Ok(note)
}

#[post("/v1/changes/{id}/halt")]
async fn halt(
    person: Allowed<Operate>,
    id: Path<ChangeRef>,
    body: Bytes,
    with: With,
) -> Result<Tagged, Error> {
    with.wish(person, id.into_inner(), Wish::Halt, Note::read(&body)?).await
}

#[post("/v1/changes/{id}/resume")]
async fn resume(
    person: Allowed<Operate>,
    id: Path<ChangeRef>,
    body: Bytes,
    with: With,
) -> Result<Tagged, Error> {
    with.wish(person, id.into_inner(), Wish::Resume, Note::read(&body)?).await
}

#[post("/v1/changes/{id}/withdraw")]
async fn withdraw(
    person: Allowed<Operate>,
    id: Path<ChangeRef>,
    body: Bytes,
    with: With,
) -> Result<Tagged, Error> {
    with.wish(person, id.into_inner(), Wish::Withdraw, Note::read(&body)?).await
}

#[post("/v1/changes/{id}/stop-correcting")]
async fn stop_correcting(
    person: Allowed<Operate>,
    id: Path<ChangeRef>,
    body: Bytes,
    with: With,
) -> Result<Tagged, Error> {
    with.wish(person, id.into_inner(), Wish::StopCorrecting, Note::read(&body)?).await
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Close {
    outcome: Outcome,
    /// What the review found.
    #[serde(default)]
    note: String,
    /// What went otherwise than planned.
    #[serde(default)]
    deviation: String,
    /// What is done differently the next time.
    #[serde(default)]
    lessons: String,
    /// What is to be done because of it: numbers of changes, or what names records elsewhere.
    #[serde(default)]
    follow_ups: Vec<String>,
    /// Hosts that did not succeed, and why the change counts as successful all the same.
    #[serde(default)]
    waived: Map<AgentId, String>,
}

/// A person says how it went.
#[post("/v1/changes/{id}/close")]
async fn close(
    person: Allowed<Operate>,
    id: Path<ChangeRef>,
    body: Json<Close>,
    with: With,
) -> Result<Tagged, Error> {
    let Close { outcome, note, deviation, lessons, follow_ups, waived } = body.into_inner();
    let judged = [Outcome::Successful, Outcome::SuccessfulWithIssues, Outcome::Failed, Outcome::RolledBack];
    if !judged.contains(&outcome) {
        return Err(Refusal::unprocessable("change.not_a_judgement")
            .with("outcome", outcome.as_str())
            .into());
    }
    let review = Review { outcome, found: note, deviation, lessons, waived };
    let work = move |tx: &mut Conn, id: &ChangeId, now| {
        let wish = review::Wish { review: review.clone(), follow_ups: follow_ups.clone() };
        course::close(tx, id, wish, &person.person, now)
    };
    with.write("change.close", id.into_inner(), work).await
}

/// Records an approval, rejection or withdrawal. Sending the same again changes nothing.
async fn post_approval(
    _: Allowed<Approve>,
    id: Path<ChangeRef>,
    body: Bytes,
    with: With,
) -> Result<Json<Answer>, Error> {
    let shared::wire::Approve { plan_set, approval } = read("the approval", &body)?;
    let approval = Statement::open(approval).map_err(Refusal::bad_json)?;
    let sent = approve::Sent { plan_set, approval };
    let (online, now) = (with.repository.online.clone(), with.clock.now());
    let work = move |tx: &mut Conn| {
        let id = store::named(tx, &id)?;
        approve::approve(tx, &online, &id, &sent, now)
    };
    let answer = with.db.write("change.approve", work).await?;
    with.told().await;
    Ok(Json(answer))
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    state: Option<String>,
    /// Only occurrences of this series.
    series: Option<SeriesName>,
    /// Only this one.
    id: Option<ChangeId>,
    /// Only the one with this number of the year.
    number: Option<YearNumber>,
    /// Only those made before this one: the last one of the page before.
    before: Option<ChangeRef>,
    /// Changes on the page, 200 when absent and at most. A page with fewer is the last one.
    limit: Option<u16>,
}

/// A page of changes, newest first.
#[get("/v1/changes")]
async fn list(
    _: Allowed<Read>,
    which: Query<Which>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Json<Vec<ChangeLine>>, Error> {
    let Which { state, series, id, number, before, limit } = which.into_inner();
    let known = |state: &String| State::from_parts(state, None).is_some() || state == "closed";
    if let Some(unknown) = state.as_ref().filter(|state| !known(state)) {
        let refusal = Refusal::bad_request("change.unknown_state");
        return Err(refusal.with("state", strict::shorten(unknown)).into());
    }
    let limit = page::limit(limit, PAGE, PAGE)?;
    let only = id.map(ChangeRef::Id).or(number.map(ChangeRef::Number));
    let now = clock.now();
    let read = move |tx: &mut Conn| {
        let only = only.as_ref().map(|only| store::named(tx, only)).transpose()?;
        let before = before.as_ref().map(|before| store::named(tx, before)).transpose()?;
        let before = before.and_then(|id| id.as_str().strip_prefix("C-")?.parse().ok());
        let rows = match only {
            Some(id) => vec![store::get(tx, &id)?],
            None => store::list(tx, state.as_deref(), series.as_ref(), before, i64::from(limit))?,
        };
        view::lines(tx, &rows, now)
    };
    Ok(Json(db.read("change.list", read).await?))
}

/// Changes that come again, each series as one.
#[get("/v1/series")]
async fn list_series(_: Allowed<Read>, db: Data<Db>) -> Result<Json<Vec<SeriesLine>>, Error> {
    Ok(Json(db.read("change.series", view::series).await?))
}

/// Everything signed about the current revision. Its tag is for `If-Match`: it grows with every step of the change.
#[get("/v1/changes/{id}")]
async fn show(
    _: Allowed<Read>,
    id: Path<ChangeRef>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Tagged, Error> {
    let now = clock.now();
    let read = move |tx: &mut Conn| {
        let id = store::named(tx, &id)?;
        let tag = tag(&store::get(tx, &id)?);
        Ok::<_, Error>((tag, view::file(tx, &id, now)?))
    };
    let (tag, file) = db.read("change.show", read).await?;
    Ok(Tagged::with(tag, &file))
}

/// One revision, the current or an earlier one.
async fn show_revision(
    _: Allowed<Read>,
    place: Path<(ChangeRef, u32)>,
    db: Data<Db>,
) -> Result<Json<Envelope>, Error> {
    let (id, revision) = place.into_inner();
    let read = move |tx: &mut Conn| {
        let id = store::named(tx, &id)?;
        view::earlier(tx, &id, revision)
    };
    Ok(Json(db.read("change.revision", read).await?))
}

#[get("/v1/changes/{id}/course")]
async fn show_course(
    _: Allowed<Read>,
    id: Path<ChangeRef>,
    db: Data<Db>,
) -> Result<Json<Vec<CourseStep>>, Error> {
    let read = move |tx: &mut Conn| {
        let id = store::named(tx, &id)?;
        view::course(tx, &id)
    };
    Ok(Json(db.read("change.course", read).await?))
}

/// Takes in a plan. Sending the same again changes nothing.
async fn post_plan(
    agent: Agent,
    body: Bytes,
    db: Data<Db>,
    clock: Data<Clock>,
    (board, rates): (Data<Board>, Data<Rates>),
    config: Data<Config>,
) -> Result<HttpResponse, Error> {
    rates.plan(agent.0.agent_id, body.len())?;
    let plan = shared::plan::open_plan(&body).map_err(Refusal::bad_json)?;
    let (now, who, site) = (clock.now(), agent.0.agent_id, config.site_id.clone());
    let change = plan.body.change;
    db.write("change.plan", move |tx| plans::accept(tx, (&site, who), &plan, now)).await?;
    board.drop_wish(who, &change);
    Ok(HttpResponse::NoContent().finish())
}

/// Takes in a person's word that was carried to a host by hand. Bringing the same again changes nothing.
async fn post_word(
    agent: Agent,
    body: Bytes,
    db: Data<Db>,
    clock: Data<Clock>,
    rates: Data<Rates>,
) -> Result<HttpResponse, Error> {
    rates.plan(agent.0.agent_id, body.len())?;
    let shared::wire::Approve { plan_set, approval } = read("the word", &body)?;
    let approval = Statement::open(approval).map_err(Refusal::bad_json)?;
    let (now, sent) = (clock.now(), approve::Sent { plan_set, approval });
    db.write("change.word", move |tx| carried::take_in(tx, &sent, now)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A host fetches a plan of its own again.
#[get("/agent/v1/plans/{digest}")]
async fn plan_again(agent: Agent, digest: Path<Digest>, db: Data<Db>) -> Result<HttpResponse, Error> {
    let (digest, who) = (digest.into_inner(), agent.0.agent_id);
    let bytes = db.read("change.plan_again", move |tx| plans::find_own(tx, &digest, who)).await?;
    Ok(HttpResponse::Ok().content_type("application/json").body(bytes))
}

/// Grows with every step.
fn tag(row: &Row) -> Tag {
    Tag::numbered(&row.id, row.version)
}

/// What a handler needs that writes and then tells this node's memory.
struct With {
    db: Data<Db>,
    clock: Data<Clock>,
    repository: Data<Repository>,
    board: Data<Board>,
    /// The request is meant for the change as it was then.
    condition: Condition,
}

impl actix_web::FromRequest for With {
    type Error = Error;
    type Future = std::future::Ready<Result<Self, Error>>;

    fn from_request(req: &actix_web::HttpRequest, _: &mut actix_web::dev::Payload) -> Self::Future {
        let found = (|| {
            Some(Self {
                db: req.app_data::<Data<Db>>()?.clone(),
                clock: req.app_data::<Data<Clock>>()?.clone(),
                repository: req.app_data::<Data<Repository>>()?.clone(),
                board: req.app_data::<Data<Board>>()?.clone(),
                condition: Condition::of(req),
            })
        })();
        std::future::ready(
            found.ok_or_else(|| Error::fault("handling a change", "the listener is not wired")),
        )
    }
}

impl With {
    /// Moves a change, lists what is active, and answers with its line and its new tag: one transaction.
    async fn write(
        self,
        name: &'static str,
        named: ChangeRef,
        work: impl Fn(&mut Conn, &ChangeId, Timestamp) -> Result<Row, Error> + Send + 'static,
    ) -> Result<Tagged, Error> {
        let (online, now) = (self.repository.online.clone(), self.clock.now());
        let condition = self.condition.clone();
        let write = move |tx: &mut Conn| {
            let id = store::named(tx, &named)?;
            condition.check(&id, || {
                course::lock(tx)?;
                Ok(Some(tag(&store::get(tx, &id)?)))
            })?;
            let mut row = work(tx, &id, now)?;
            bundle::refresh(tx, &online, std::slice::from_mut(&mut row), now)?;
            Ok::<_, Error>((tag(&row), view::line(tx, &row, now)?))
        };
        let (tag, line) = self.db.write(name, write).await?;
        self.told().await;
        Ok(Tagged::with(tag, &line))
    }

    async fn wish(
        self,
        person: Allowed<Operate>,
        id: ChangeRef,
        wish: Wish,
        note: String,
    ) -> Result<Tagged, Error> {
        let work = move |tx: &mut Conn, id: &ChangeId, now| {
            let by = By { person: Some(&person.person), note: &note };
            course::wish(tx, id, wish, by, now)
        };
        self.write("change.wish", id, work).await
    }

    /// This node shows at once what it has just written; the others notice within a second.
    async fn told(&self) {
        self.repository.files.expire();
        if let Err(error) = self.board.refresh(&self.db).await {
            tracing::warn!(error = error.chain(), "the work board will be brought up to date later");
        }
    }
}
