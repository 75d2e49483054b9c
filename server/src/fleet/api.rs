//! The fleet over HTTP: joining and renewing, check-ins and facts of hosts, and what people do with hosts.

use super::board::{Board, CheckIn};
use super::join::{self, Door};
use super::model::{Host, Labels, check_labels, check_reason};
use super::rates::Rates;
use super::{about, left, store};
use crate::audit::{self, Action};
use crate::cmdb::{self, CiId, EventKind, Field, NewEvent};
use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::agent::Agent;
use crate::kernel::http::condition::{Condition, Tag, Tagged};
use crate::kernel::http::edge;
use crate::kernel::http::page;
use crate::kernel::http::person::{Allowed, ManageHosts, Read};
use crate::kernel::http::tries::{Source, Tries};
use crate::kernel::news;
use crate::ledger::{self, Log};
use actix_web::http::header::{ETAG, IF_NONE_MATCH};
use actix_web::web::{self, Bytes, Data, Json, Path, PayloadConfig, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, get, patch, post, put};
use shared::digest::Digest;
use shared::facts::{Facts, NotApplied};
use shared::health::open_report;
use shared::ids::{AgentId, PersonId};
use shared::limits::{FACTS_BYTES, HEALTH_REPORT_BYTES};
use shared::news::{About, NewsKind};
use shared::strict::{Map, ReadError};
use shared::time::Timestamp;
use shared::wire::{
    AskWork, Because, FactsChange, FactsReport, HostLine, Invitation, Invite, Join, Joined, PutLabels, Renew,
};
use std::time::Instant;

/// A join command or a renewal is far shorter; whoever sends one is a stranger until it was read.
const STRANGER_BYTES: usize = 64 << 10;

/// Hosts in one answer, when nothing is said and at most.
const PAGE: (u16, u16) = (1_000, 5_000);

/// Join tokens and renewals that did not count; one for all worker threads.
#[derive(Default)]
pub struct Strangers(Tries);

impl Strangers {
    /// A refusal is the stranger's, a fault is not.
    fn note(&self, error: &Error, from: Option<Source>, at: Instant) {
        if matches!(error, Error::Refusal(_)) {
            self.0.note_wrong(from, at);
        }
    }
}

/// Routes for people. Needs `Data` of `Board`, `Door`, `Log` and `Strangers`.
pub fn people_routes(config: &mut ServiceConfig) {
    config.configure(strangers_routes).service(invite_host);
    config.service(hosts).service(show_labels).service(set_labels);
    config.service(disable).service(enable).service(show_enrolment);
}

/// What hosts ask before they can prove who they are. Needs `Data` of `Board`, `Door`, `Log` and `Strangers`.
pub fn strangers_routes(config: &mut ServiceConfig) {
    let short = edge::extractors(STRANGER_BYTES);
    config.service(web::scope("/v1/join").configure(short).route("", web::post().to(join_host)));
    let short = edge::extractors(STRANGER_BYTES);
    config.service(web::scope("/v1/renew").configure(short).route("", web::post().to(renew_host)));
}

/// Routes for agents. Needs `Data` of `Board` and `Rates`.
pub fn agent_routes(config: &mut ServiceConfig) {
    config.service(work);
    let health = web::resource("/agent/v1/health").app_data(PayloadConfig::new(HEALTH_REPORT_BYTES));
    config.service(health.route(web::post().to(post_health)));
    // Facts are larger than other documents; JSON escapes make them no more than twice as long.
    config.service(
        web::scope("/agent/v1/facts")
            .configure(edge::extractors(2 * FACTS_BYTES))
            .service(put_facts)
            .service(change_facts),
    );
}

/// A host joins with a one-time token. Sending the same enrolment again answers the same.
async fn join_host(
    req: HttpRequest,
    (db, clock): (Data<Db>, Data<Clock>),
    (log, board): (Data<Log>, Data<Board>),
    (door, strangers): (Data<Door>, Data<Strangers>),
    body: Json<Join>,
) -> Result<Json<Joined>, Error> {
    let (from, at, now) = (Source::of(&req), Instant::now(), clock.now());
    let token = Digest::of(body.token.as_bytes());
    let list = async || db.read("fleet.tokens", move |tx| store::list_tokens(tx, now)).await;
    strangers.0.admit(from, &token, at, list).await?;
    let joined = join::join((&db, &log, &board, &door), body.into_inner(), now).await;
    Ok(Json(joined.inspect_err(|error| strangers.note(error, from, at))?))
}

/// A new certificate, authorised by the host's own key.
async fn renew_host(
    req: HttpRequest,
    (db, clock): (Data<Db>, Data<Clock>),
    (door, board, strangers): (Data<Door>, Data<Board>, Data<Strangers>),
    body: Json<Renew>,
) -> Result<Json<Joined>, Error> {
    let (from, at, now) = (Source::of(&req), Instant::now(), clock.now());
    let renewal = join::open_renewal(&body.envelope.to_bytes(), &door, now);
    // The word of a host that belongs here counts; whoever has signed nothing knows no key.
    let known = renewal.as_ref().is_ok_and(|renewal| board.admits(renewal.body.agent_id));
    strangers.0.admit_known(from, known, at)?;
    let renewed = match renewal {
        Ok(renewal) => join::renew((&db, &door), &renewal, now).await,
        Err(refused) => Err(refused),
    };
    Ok(Json(renewed.inspect_err(|error| strangers.note(error, from, at))?))
}

/// A one-time secret for one host, with everything that its join command needs.
#[post("/v1/join-tokens")]
async fn invite_host(
    by: Allowed<ManageHosts>,
    (db, clock): (Data<Db>, Data<Clock>),
    door: Data<Door>,
    body: Json<Invite>,
) -> Result<Json<Invitation>, Error> {
    let invitation = join::invite(&db, &door, body.into_inner(), by.person, clock.now()).await?;
    Ok(Json(invitation))
}

/// What a list of hosts is asked for.
struct Listed {
    labels: Vec<(String, String)>,
    after: Option<AgentId>,
    limit: u16,
}

impl Listed {
    /// # Errors
    /// A parameter that is unknown or cannot be read, by its name.
    fn read(query: Vec<(String, String)>) -> Result<Self, Error> {
        let bad = |detail: &str| Refusal::bad_request("request.bad_parameter").with("detail", detail);
        let mut listed = Self { labels: Vec::new(), after: None, limit: PAGE.0 };
        for (name, value) in query {
            match name.as_str() {
                "label" => {
                    let (label, value) =
                        value.split_once('=').ok_or_else(|| bad("label: it is name=value"))?;
                    listed.labels.push((label.to_owned(), value.to_owned()));
                }
                "after" => {
                    listed.after = Some(value.parse().map_err(|_| bad("after: it is an agent id"))?);
                }
                "limit" => listed.limit = value.parse().map_err(|_| bad("limit: it is a number"))?,
                _ => return Err(bad("only label, after and limit are known").into()),
            }
        }
        page::limit(Some(listed.limit), PAGE.0, PAGE.1)?;
        Ok(listed)
    }

    fn page(&self, tx: &mut Conn) -> Result<Vec<Host>, Error> {
        let (wanted, mut after, mut found) = (usize::from(self.limit), self.after, Vec::new());
        loop {
            let some = store::list_behind(tx, after, i64::from(PAGE.1))?;
            let more = some.len() == usize::from(PAGE.1);
            after = some.last().map(|host| host.agent);
            let fits = |host: &Host| host.has_labels(self.labels.iter().map(|(label, value)| (label, value)));
            found.extend(some.into_iter().filter(fits).take(wanted - found.len()));
            if !more || found.len() == wanted {
                return Ok(found);
            }
        }
    }
}

/// A page of hosts by name; `label=name=value`, repeated, keeps those that have all these labels.
#[get("/v1/hosts")]
async fn hosts(
    _: Allowed<Read>,
    db: Data<Db>,
    board: Data<Board>,
    query: Query<Vec<(String, String)>>,
) -> Result<Json<Vec<HostLine>>, Error> {
    let listed = Listed::read(query.into_inner())?;
    let page = db.read("fleet.hosts", move |tx| listed.page(tx)).await?;
    Ok(Json(page.into_iter().map(|host| line(host, &board)).collect()))
}

fn line(host: Host, board: &Board) -> HostLine {
    HostLine {
        ci: host.ci.to_string(),
        hostname: host.hostname,
        agent: host.agent,
        agent_key: host.key,
        host_class: host.host_class,
        labels: Map(host.labels),
        enabled: host.enabled,
        held: host.held,
        last_seen: host.last_seen.max(board.last_seen(host.agent)),
        retired_by: host.retired,
    }
}

/// The labels of a host, as they are replaced.
#[get("/v1/hosts/{ci}/labels")]
async fn show_labels(_: Allowed<Read>, ci: Path<String>, db: Data<Db>) -> Result<Tagged, Error> {
    let ci = ci.into_inner();
    let host = db.read("fleet.show_labels", move |tx| store::get(tx, &ci)).await?;
    Ok(Tagged::of(&Map(host.labels)))
}

/// Replaces the labels of a host.
#[put("/v1/hosts/{ci}/labels")]
async fn set_labels(
    by: Allowed<ManageHosts>,
    (db, clock): (Data<Db>, Data<Clock>),
    ci: Path<String>,
    condition: Condition,
    body: Json<PutLabels>,
) -> Result<HttpResponse, Error> {
    let (wish, now, ci) = (body.into_inner(), clock.now(), ci.into_inner());
    check_reason(&wish.reason)?;
    let labels = check_labels(wish.labels.clone())?;
    let text = |labels: &Labels| {
        let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join(", ")
    };
    db.write("fleet.labels", move |tx| {
        let host = store::get(tx, &ci)?;
        let id = host.ci;
        audit::record(tx, &Action::by(&by.person, "fleet.labels", id, &wish), now)?;
        // As they are behind the lock that the trail takes.
        let before = store::get(tx, &host.agent.to_string())?.labels;
        // Sent again because its answer was lost, it finds its own work.
        if before != labels {
            condition.check(id, || Ok(Some(Tag::of(&Map(before)))))?;
        }
        store::update_labels(tx, host.agent, &labels)?;
        cmdb::record_words(tx, id, &[Field::Label], &cmdb::labels(&labels), now)?;
        note(
            tx,
            NewEvent::new(id, now, EventKind::Labelled, format!("{}: {}", wish.reason, text(&labels))),
            &by.person,
        )
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

fn note(tx: &mut Conn, event: NewEvent, by: &PersonId) -> Result<(), Error> {
    Ok(cmdb::insert_events(tx, &[NewEvent { by: Some(by.clone()), ..event }])?)
}

/// Shuts the host out at once, on open connections as well.
#[post("/v1/hosts/{ci}/disable")]
async fn disable(
    by: Allowed<ManageHosts>,
    (db, clock): (Data<Db>, Data<Clock>),
    board: Data<Board>,
    ci: Path<String>,
    why: Json<Because>,
) -> Result<HttpResponse, Error> {
    set_enabled((&db, &board, &clock), ci.into_inner(), (by.person, why.into_inner()), false).await
}

/// Lets the host in again, and ends a hold.
#[post("/v1/hosts/{ci}/enable")]
async fn enable(
    by: Allowed<ManageHosts>,
    (db, clock): (Data<Db>, Data<Clock>),
    board: Data<Board>,
    ci: Path<String>,
    why: Json<Because>,
) -> Result<HttpResponse, Error> {
    set_enabled((&db, &board, &clock), ci.into_inner(), (by.person, why.into_inner()), true).await
}

async fn set_enabled(
    (db, board, clock): (&Db, &Board, &Clock),
    ci: String,
    (by, why): (PersonId, Because),
    enabled: bool,
) -> Result<HttpResponse, Error> {
    check_reason(&why.reason)?;
    let (now, kind) = (clock.now(), if enabled { EventKind::Enabled } else { EventKind::Disabled });
    let name = if enabled { "fleet.enable" } else { "fleet.disable" };
    db.write("fleet.enabled", move |tx| {
        let host = store::get(tx, &ci)?;
        let id = host.ci;
        if let Some(change) = &host.retired {
            return Err(left(host.agent, change).into());
        }
        audit::record(tx, &Action::by(&by, name, id, &why), now)?;
        store::update_enabled(tx, host.agent, enabled)?;
        let about = About { person: Some(by.clone()), ..about(id, host.agent) };
        news::tell(tx, if enabled { NewsKind::HostEnabled } else { NewsKind::HostDisabled }, about, now)?;
        note(tx, NewEvent::new(id, now, kind, why.reason.as_str()), &by)
    })
    .await?;
    board.refresh(db).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The statement with which the host joined; it carries the key that approvals name.
#[get("/v1/hosts/{ci}/enrolment")]
async fn show_enrolment(_: Allowed<Read>, db: Data<Db>, ci: Path<String>) -> Result<HttpResponse, Error> {
    let ci = ci.into_inner();
    let bytes = db
        .read("fleet.enrolment", move |tx| {
            let digest = store::get(tx, &ci)?.enrolment;
            let gone =
                || Error::fault("reading an enrolment", format!("the statement {digest} is not stored"));
            ledger::find_statement(tx, &digest)?.ok_or_else(gone)
        })
        .await?;
    Ok(HttpResponse::Ok().content_type("application/json").body(bytes))
}

/// What is new for the host; `304` when nothing is. Memory only.
#[get("/agent/v1/work")]
async fn work(
    req: HttpRequest,
    agent: Agent,
    of: Query<AskWork>,
    board: Data<Board>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Error> {
    let known = req.headers().get(IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
    let id = agent.0.agent_id;
    // Between the gate and here another thread may have taken the host off the board.
    let gone = || Refusal::forbidden("agent.not_enabled").with("agent", id);
    let now = clock.now();
    if of.judges {
        board.judges(id, now);
    }
    match board.check_in(id, known, now).ok_or_else(gone)? {
        CheckIn::Same(tag) => Ok(HttpResponse::NotModified().insert_header((ETAG, tag)).finish()),
        CheckIn::News(tag, work) => Ok(HttpResponse::Ok().insert_header((ETAG, tag)).json(work)),
    }
}

/// What health checks of the host say outside of runs. Sending it again changes nothing.
async fn post_health(
    agent: Agent,
    (db, config): (Data<Db>, Data<Config>),
    rates: Data<Rates>,
    body: Bytes,
) -> Result<HttpResponse, Error> {
    let id = agent.0.agent_id;
    rates.health(id)?;
    let bad = |error: ReadError| Refusal::unprocessable("statement.invalid").with("detail", error);
    let report = open_report(&body, &config.site_id).map_err(bad)?;
    if report.body.agent_id != id {
        return Err(Refusal::forbidden("statement.other_host").with("agent", report.body.agent_id).into());
    }
    db.write("fleet.health", move |tx| {
        let unknown = || Refusal::forbidden("agent.not_enabled").with("agent", id);
        let host = store::find(tx, id)?.ok_or_else(unknown)?;
        cmdb::record_report(tx, host.ci, &report)
    })
    .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What the host says of itself.
#[put("")]
async fn put_facts(
    agent: Agent,
    (db, clock): (Data<Db>, Data<Clock>),
    (board, rates): (Data<Board>, Data<Rates>),
    body: Json<FactsReport>,
) -> Result<HttpResponse, Error> {
    rates.facts(agent.0.agent_id)?;
    let FactsReport { at, facts } = body.into_inner();
    facts.check().map_err(|error| Refusal::unprocessable("facts.bad").with("detail", error))?;
    let (id, now) = (agent.0.agent_id, clock.now());
    db.write("fleet.facts", move |tx| take_facts(tx, id, at, now, |_, _| Ok(facts.clone()))).await?;
    board.refresh(&db).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What changed in it, from the facts that are here.
#[patch("")]
async fn change_facts(
    agent: Agent,
    (db, clock): (Data<Db>, Data<Clock>),
    (board, rates): (Data<Board>, Data<Rates>),
    body: Json<FactsChange>,
) -> Result<HttpResponse, Error> {
    rates.facts(agent.0.agent_id)?;
    let FactsChange { at, delta } = body.into_inner();
    let (id, now) = (agent.0.agent_id, clock.now());
    let changed = move |tx: &mut Conn, ci| {
        let other = || Error::from(Refusal::conflict("facts.base"));
        let known = cmdb::find_facts(tx, ci)?.ok_or_else(other)?;
        delta.apply(&known).map_err(|error| match error {
            NotApplied::OtherBase => other(),
            NotApplied::OtherResult | NotApplied::Bad(_) => {
                Refusal::unprocessable("facts.bad").with("detail", error).into()
            }
        })
    };
    db.write("fleet.facts_change", move |tx| take_facts(tx, id, at, now, &changed)).await?;
    board.refresh(&db).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn take_facts(
    tx: &mut Conn,
    id: AgentId,
    at: Timestamp,
    now: Timestamp,
    facts: impl Fn(&mut Conn, CiId) -> Result<Facts, Error>,
) -> Result<(), Error> {
    let unknown = || Refusal::forbidden("agent.not_enabled").with("agent", id);
    let host = store::find(tx, id)?.ok_or_else(unknown)?;
    // First this row, then the CMDB's, as in every transaction that changes a host; what is changed is read after it.
    store::touch(tx, id)?;
    let facts = facts(tx, host.ci)?;
    if facts.host_class != host.host_class {
        return Err(Refusal::unprocessable("facts.host_class")
            .with("claimed", &facts.host_class)
            .with("enrolled", &host.host_class)
            .into());
    }
    cmdb::record_facts(tx, host.ci, at, &facts, now).map(drop)
}
