//! Standard changes of a model: they begin by themselves once their hosts have planned, without an approval.
//!
//! Owns the one cap that no host can check: how many hosts all changes of a model bring it to within a day. A server that is
//! in foreign hands can pass over that sum, but only with changes that an author has signed, each of which hosts hold to
//! all other caps; the evidence shows the sum.

use super::conflicts;
use super::course::{By, lock, step};
use super::judging::{Papers, judge_hosts};
use super::plans::plans_lock;
use super::revise::refused;
use super::store::{self, Row, papers};
use super::view;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::{Error, Refusal};
use crate::ledger::{self, Document};
use shared::change::Change;
use shared::digest::Digest;
use shared::ids::{AgentId, ChangeId, ModelName};
use shared::ledger::LeafKind;
use shared::lifecycle::{Event, State};
use shared::plan::PlanSet;
use shared::policy::{DAY_SECS, Policy, Purpose};
use shared::refusal::{Code, Refused};
use shared::time::Timestamp;
use std::collections::BTreeMap;

/// Begins what is ready; each change in a transaction of its own.
pub(super) async fn begin_ready(db: &Db, now: Timestamp) -> Result<(), Error> {
    let waiting = db.read("change.standard", waiting).await?;
    for id in waiting {
        db.write("change.begin", move |tx| begin(tx, &id, now)).await?;
    }
    Ok(())
}

/// Changes in review that name a model.
fn waiting(tx: &mut Conn) -> Result<Vec<ChangeId>, Error> {
    let mut found = Vec::new();
    for row in store::list_in(tx, &[State::InReview])? {
        if view::revision(tx, &row)?.body.model.is_some() {
            found.push(row.change_id()?);
        }
    }
    Ok(found)
}

/// Refuses a change that its model cannot allow, or not so many hosts on that day.
pub(super) fn check(tx: &mut Conn, policy: &Policy, change: &Change, now: Timestamp) -> Result<(), Error> {
    let Some(name) = &change.model else { return Ok(()) };
    let no = |why| Err(refused(Refused::new(Code::PolicyModel, why)).into());
    if let Some(why) = policy.not_standard(change, now) {
        return no(why);
    }
    let most = policy.model(name).map_or(0, |model| model.hosts_per_day as usize);
    let others = hosts_of_day(tx, name, change)?;
    if others + change.targets.len() <= most {
        return Ok(());
    }
    no(format!(
        "model {name} allows {most} hosts a day; other changes of that time have {others}, this one {}",
        change.targets.len()
    ))
}

/// Hosts of other changes of the model that have begun and may start within a day of the first start of `change`.
fn hosts_of_day(tx: &mut Conn, name: &ModelName, change: &Change) -> Result<usize, Error> {
    let Some(first) = change.intervals.first().map(|interval| interval.from) else { return Ok(0) };
    let mut hosts = 0;
    for row in store::list_ending_after(tx, first.plus(-DAY_SECS))? {
        let begun = row.plan_set.is_some() && !matches!(row.state()?, State::Draft | State::InReview);
        let other = row.id != change.change_id.as_str();
        let near = row.intervals()?.first().is_some_and(|i| i.from.since(first).abs() < DAY_SECS);
        if begun && other && near {
            let body = view::revision(tx, &row)?.body;
            hosts += if body.model.as_ref() == Some(name) { body.targets.len() } else { 0 };
        }
    }
    Ok(hosts)
}

/// Takes the plans that are there for the plan set, and lists the change where the model allows at least one host.
fn begin(tx: &mut Conn, id: &ChangeId, now: Timestamp) -> Result<(), Error> {
    lock(tx)?;
    let mut row = store::get(tx, id)?;
    let statement = row.statement()?;
    tx.lock(&plans_lock(&statement))?;
    if row.state()? != State::InReview {
        return Ok(());
    }
    let papers = Papers::load(tx, &row)?;
    let Some(plans) = ready(tx, &papers.change.body, &statement, now)? else { return Ok(()) };
    let change = &papers.change.body;
    let allowed = check(tx, &papers.policy, change, now);
    match allowed.and_then(|()| conflicts::check(tx, &papers.policy, change, None, now)) {
        Ok(()) => {}
        Err(Error::Refusal(refusal)) => return told(&row, &refusal),
        Err(other) => return Err(other),
    }
    let set = PlanSet { change: statement, plans: plans.into_iter().collect() };
    let judged = judge_hosts(tx, &papers, &set, Purpose::Start, now)?;
    if judged.allowed.is_empty() {
        let refusal = Refusal::conflict("change.not_carried").with("change", &row.id);
        return told(&row, &refusal.with("why", judged.lines.join("; ")));
    }
    record(tx, &row, &set, now)?;
    row.plan_set = Some(set.digest().0.to_vec());
    row.planned = i32::try_from(set.plans.len()).unwrap_or(i32::MAX);
    let note = judged.lines.join("; ");
    step(tx, &mut row, Event::QuorumReached, By { person: None, note: &note }, now)
}

fn told(row: &Row, refusal: &Refusal) -> Result<(), Error> {
    tracing::warn!(change = row.id, code = refusal.code, facts = ?refusal.with, "the standard change does not begin");
    Ok(())
}

/// The plans, once every host has one; those that are there, once the first window has begun.
fn ready(
    tx: &mut Conn,
    change: &Change,
    statement: &Digest,
    now: Timestamp,
) -> Result<Option<BTreeMap<AgentId, Digest>>, Error> {
    let plans = store::current_plans(tx, statement)?;
    let all = plans.len() == change.targets.len();
    let begun = change.intervals.first().is_some_and(|interval| interval.from <= now);
    Ok((all || (begun && !plans.is_empty())).then_some(plans))
}

fn record(tx: &mut Conn, row: &Row, set: &PlanSet, now: Timestamp) -> Result<(), Error> {
    let document = Document::of_site(LeafKind::PlanSet, set.digest(), Some(row.change_id()?), set.to_bytes());
    let document = document.map_err(|error| Error::fault("recording a plan set", error))?;
    ledger::record_one(tx, &document, now)?;
    Ok(papers::record_plan_set(tx, set, now)?)
}
