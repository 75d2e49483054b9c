//! Budgets over HTTP: people make them, hosts ask for slots.

use super::lease::{self, Claimant, Covering};
use super::{current, fleetlock, model, store};
use crate::audit::{self, Action};
use crate::fleet::{self, Chosen, Rates};
use crate::kernel::clock::Clock;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::agent::Agent;
use crate::kernel::http::condition::{Condition, Tag, Tagged};
use crate::kernel::http::person::{Allowed, Operate, Read};
use actix_web::web::{Data, Json, Path, ServiceConfig};
use actix_web::{get, post, put};
use shared::budgets::{AskSlots, SlotWish, Slots};
use shared::ids::{AgentId, BudgetName};
use shared::time::Timestamp;
use shared::wire::{BudgetFile, BudgetLine, BudgetStep, PutBudget};

/// Routes for people, and for machines without an agent.
pub fn people(config: &mut ServiceConfig) {
    config.service(list).service(show).service(revise).configure(fleetlock::routes);
}

/// Routes for agents. Needs `Data<Rates>`.
pub fn agents(config: &mut ServiceConfig) {
    config.service(ask_for_slots);
}

/// Budgets that have not ended, by name.
#[get("/v1/budgets")]
async fn list(_: Allowed<Read>, db: Data<Db>, clock: Data<Clock>) -> Result<Json<Vec<BudgetLine>>, Error> {
    let now = clock.now();
    let read = move |tx: &mut Conn| {
        let (mut lines, mut chosen) = (Vec::new(), Chosen::default());
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        for (name, step) in store::list(tx)? {
            let Some(budget) = step.budget else { continue };
            let hosts = chosen.of(tx, &budget)?;
            let (title, slots) = (budget.title.clone(), budget.slots);
            let taken = lease::alive(tx, &vec![(name.clone(), budget)], now)?.len();
            let (taken, hosts) = (count(taken), hosts.map(|hosts| count(hosts.len())));
            lines.push(BudgetLine { name, revision: step.revision, title, slots, taken, hosts });
        }
        Ok::<_, Error>(lines)
    };
    Ok(Json(db.read("budgets.list", read).await?))
}

fn file(tx: &mut Conn, name: BudgetName, now: Timestamp) -> Result<BudgetFile, Error> {
    let history = store::history(tx, &name)?;
    let current = history.first().and_then(|step| step.budget.clone());
    let of: Covering = current.map(|budget| (name.clone(), budget)).into_iter().collect();
    let leases = lease::alive(tx, &of, now)?;
    let names = lease::names(tx, &leases)?;
    let holders = leases.iter().map(|lease| lease.holder(&names)).collect();
    Ok(BudgetFile { name, history, holders })
}

#[get("/v1/budgets/{budget}")]
async fn show(
    _: Allowed<Read>,
    name: Path<BudgetName>,
    db: Data<Db>,
    clock: Data<Clock>,
) -> Result<Tagged, Error> {
    let (name, now) = (name.into_inner(), clock.now());
    let file = db.read("budgets.show", move |tx| file(tx, name.clone(), now)).await?;
    Ok(Tagged::with(tag(&file.history), &file))
}

/// Of what people write. Slots come and go by themselves, many times a minute while changes run: with them nobody would get
/// anything written.
fn tag(history: &[BudgetStep]) -> Tag {
    Tag::of(&history)
}

/// Stores the next revision of a budget, or its end.
#[put("/v1/budgets/{budget}")]
async fn revise(
    person: Allowed<Operate>,
    name: Path<BudgetName>,
    wish: Json<PutBudget>,
    condition: Condition,
    (db, clock): (Data<Db>, Data<Clock>),
) -> Result<Tagged, Error> {
    let (name, wish, now) = (name.into_inner(), wish.into_inner(), clock.now());
    model::check(&wish)?;
    let write = move |tx: &mut Conn| {
        audit::record(tx, &Action::by(&person.person, "budgets.store", &name, &wish), now)?;
        store::lock(tx)?;
        condition.check(&name, || {
            let history = store::find_history(tx, &name)?;
            Ok((!history.is_empty()).then(|| tag(&history)))
        })?;
        let mut wish = wish.clone();
        if let Some(budget) = &mut wish.budget {
            budget.search = fleet::spelt_out(tx, budget.search.as_deref())?;
        }
        store::insert(tx, &name, &wish, &person.person, now)?;
        if wish.budget.is_none() {
            store::delete_all(tx, &name)?;
        }
        file(tx, name.clone(), now)
    };
    let file = db.write("budgets.store", write).await?;
    Ok(Tagged::with(tag(&file.history), &file))
}

/// The connected host asks for slots, keeps them or gives them back. Asking again gets the same.
#[post("/agent/v1/slots")]
async fn ask_for_slots(
    agent: Agent,
    ask: Json<AskSlots>,
    (db, clock, rates): (Data<Db>, Data<Clock>, Data<Rates>),
) -> Result<Json<Slots>, Error> {
    let (agent, ask, now) = (agent.0.agent_id, ask.into_inner(), clock.now());
    rates.slots(agent)?;
    Ok(Json(asked(&db, agent, ask, now).await?))
}

/// What a host that asks now is answered.
pub(super) async fn asked(db: &Db, agent: AgentId, ask: AskSlots, now: Timestamp) -> Result<Slots, Error> {
    let claimant = Claimant::Host(agent);
    if ask.wish == SlotWish::Look {
        let look = move |tx: &mut Conn| {
            let covering = covering(tx, agent)?;
            lease::look(tx, &covering, &claimant, now)
        };
        return db.read("budgets.look", look).await;
    }
    let write = move |tx: &mut Conn| {
        store::lock(tx)?;
        let covering = covering(tx, agent)?;
        match ask.wish {
            SlotWish::Take => lease::take(tx, &covering, (&claimant, Some(ask.change)), now),
            SlotWish::Keep => lease::keep(tx, &covering, (&claimant, ask.change), now),
            SlotWish::Look | SlotWish::GiveBack => {
                lease::end_run(tx, &claimant, &ask.change)?;
                Ok(Slots::Returned)
            }
        }
    };
    db.write("budgets.slots", write).await
}

/// The budgets that cover a host now.
fn covering(tx: &mut Conn, agent: AgentId) -> Result<Covering, Error> {
    let unknown = || Refusal::forbidden("agent.not_enabled").with("agent", agent);
    let host = fleet::find(tx, agent)?.filter(|host| host.enabled).ok_or_else(unknown)?;
    let mut covering = Covering::new();
    for (name, budget) in current(tx)? {
        if Chosen::has(tx, &host, &budget)? {
            covering.push((name, budget));
        }
    }
    Ok(covering)
}
