//! The FleetLock protocol (coreos/zincati, docs/development/fleetlock/protocol.md): machines without an agent that update
//! themselves, such as Fedora CoreOS, take a slot of a budget before they start again.
//!
//! Such a client sends no token of ours, so the secret is a part of the address that it is given.

use super::lease::{self, Claimant, Covering};
use super::{current, store};
use crate::audit::{self, Action};
use crate::kernel::clock::Clock;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::edge::RequestId;
use crate::kernel::http::person::{Allowed, Operate};
use crate::kernel::http::tries::Guesses;
use crate::kernel::i18n::{Language, Sentence};
use actix_web::http::header::CONTENT_LANGUAGE;
use actix_web::web::{Bytes, Data, Json, Path, ServiceConfig};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, delete, post};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::budgets::Slots;
use shared::digest::Digest;
use shared::ids::BudgetName;
use shared::strict;
use shared::wire::Problem;

/// "must contain a `fleet-lock-protocol` header with a fixed value of `true`" (Headers).
const HEADER: &str = "fleet-lock-protocol";
/// A node's name or a UUID.
const ID_BYTES: usize = 200;

/// Routes for people, and for machines on the same listener.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(open_address).service(end_addresses).service(pre_reboot).service(steady_state);
}

/// Under which secret machines take slots.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenAddress {
    /// Digest of a secret of 64 hex digits.
    sha256: Digest,
}

/// What a machine says of itself (Body). Members that this server does not know are left aside: the protocol is not ours.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FleetLock {
    client_params: ClientParams,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct ClientParams {
    id: String,
    group: String,
}

/// A problem that the protocol's clients can read as well (Errors).
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    problem: Problem,
    kind: &'static str,
    value: String,
}

/// Lets machines that have the secret take slots of this budget, until somebody ends its addresses.
#[post("/v1/budgets/{budget}/addresses")]
async fn open_address(
    person: Allowed<Operate>,
    name: Path<BudgetName>,
    wish: Json<OpenAddress>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Error> {
    let (name, wish, now) = (name.into_inner(), wish.into_inner(), clock.now());
    let write = move |tx: &mut Conn| {
        audit::record(tx, &Action::by(&person.person, "budgets.open_address", &name, &wish), now)?;
        store::history(tx, &name)?;
        store::insert_address(tx, &wish.sha256, &name, &person.person, now)
    };
    db.write("budgets.open_address", write).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Ends all addresses of this budget. Slots that machines have stay theirs until their time is over.
#[delete("/v1/budgets/{budget}/addresses")]
async fn end_addresses(
    person: Allowed<Operate>,
    name: Path<BudgetName>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<HttpResponse, Error> {
    let (name, now) = (name.into_inner(), clock.now());
    let write = move |tx: &mut Conn| {
        audit::record(tx, &Action::by(&person.person, "budgets.end_addresses", &name, &()), now)?;
        store::history(tx, &name)?;
        Ok::<_, Error>(store::end_addresses(tx, &name, now)?)
    };
    db.write("budgets.end_addresses", write).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// RecursiveLock: a machine takes a slot before it starts again, or keeps the one that it has.
#[post("/v1/fleet-lock/{secret}/v1/pre-reboot")]
async fn pre_reboot(
    (request, secret, body): (HttpRequest, Path<String>, Bytes),
    with: With,
    language: Language,
) -> Result<HttpResponse, Error> {
    said(machine(&request, (&secret, &body), &with, Wish::Take).await, &request, language)
}

/// UnlockIfHeld: a machine is up again and gives its slot back, if it has one.
#[post("/v1/fleet-lock/{secret}/v1/steady-state")]
async fn steady_state(
    (request, secret, body): (HttpRequest, Path<String>, Bytes),
    with: With,
    language: Language,
) -> Result<HttpResponse, Error> {
    said(machine(&request, (&secret, &body), &with, Wish::GiveBack).await, &request, language)
}

type With = (Data<Db>, Data<Clock>, Data<Guesses<FleetLock>>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Take,
    GiveBack,
}

/// Header and body, whatever the content type says: clients send none.
fn read(request: &HttpRequest, body: &[u8]) -> Result<ClientParams, Refusal> {
    let bad = |why: String| Refusal::bad_request("fleetlock.bad").with("why", why);
    let header = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
    if header != Some("true") {
        return Err(bad(format!("the header {HEADER} must be there and say true")));
    }
    let asked: FleetLock = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    let ClientParams { id, group } = &asked.client_params;
    if id.is_empty() || id.len() > ID_BYTES || id.chars().any(char::is_control) {
        return Err(bad(format!("client_params.id must be a text of 1 to {ID_BYTES} bytes")));
    }
    if group.is_empty() {
        return Err(bad("client_params.group must not be empty".into()));
    }
    Ok(asked.client_params)
}

/// The group is the budget's name: an address of one budget gives no slot of another one.
async fn machine(
    request: &HttpRequest,
    (secret, body): (&str, &[u8]),
    (db, clock, guesses): &With,
    wish: Wish,
) -> Result<(), Error> {
    let params = read(request, body)?;
    let (secret, now) = (Digest::of(secret.as_bytes()), clock.now());
    let list = async || db.read("budgets.addresses", store::list_addresses).await;
    let find = async || db.read("budgets.address", move |tx| store::find_address(tx, &secret)).await;
    // Nothing is written for whoever has no address.
    guesses.look_up(request, &secret, list, find).await?.ok_or_else(unknown)?;
    let write = move |tx: &mut Conn| {
        store::lock(tx)?;
        let name = store::find_address(tx, &secret)?.ok_or_else(unknown)?;
        let other = || Refusal::not_found("fleetlock.group").with("group", strict::shorten(&params.group));
        if name.as_str() != params.group {
            return Err(other().into());
        }
        let claimant = Claimant::Machine(params.id.clone());
        let covering: Covering = current(tx)?.into_iter().filter(|(budget, _)| *budget == name).collect();
        match wish {
            Wish::GiveBack => lease::give_back(tx, &claimant, &name),
            Wish::Take if covering.is_empty() => Err(other().into()),
            Wish::Take => match lease::take(tx, &covering, (&claimant, None), now)? {
                Slots::Held(used) => {
                    let why = used.refused().message;
                    Err(Refusal::conflict("fleetlock.full").with("why", why).into())
                }
                Slots::Granted(_) | Slots::Free | Slots::Returned => Ok(()),
            },
        }
    };
    db.write("budgets.machine", write).await
}

fn unknown() -> Refusal {
    Refusal::not_found("fleetlock.unknown")
}

/// "If the operation is succesful, a 200 status code is returned"; refusals carry `kind` and `value` beside what all of ours do.
fn said(done: Result<(), Error>, request: &HttpRequest, language: Language) -> Result<HttpResponse, Error> {
    let refusal = match done {
        Ok(()) => return Ok(HttpResponse::Ok().json(serde_json::json!({}))),
        Err(Error::Refusal(refusal)) => refusal,
        Err(other) => return Err(other),
    };
    let id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let Sentence { title, message, why, remedy } = language.refusal(refusal.code, &refusal.with);
    let value = format!("{message} {why}");
    let problem = Problem::new(refusal.code, refusal.status.as_u16(), &id, [title, message, why, remedy]);
    let told = Told { problem, kind: refusal.code, value };
    let mut answer = HttpResponse::build(refusal.status);
    answer.insert_header((CONTENT_LANGUAGE, language.tag())).content_type(Problem::MEDIA);
    Ok(answer.body(strict::to_json(&told)))
}
