//! For whom a change waits: whose word the policy still asks for, and who reviews it.

use super::judging::Papers;
use super::store::{self, Row, papers};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::digest::Digest;
use shared::ids::{AgentId, PersonId};
use shared::lifecycle::{Outcome, State};
use shared::plan::PlanSet;
use shared::policy::{self, Case, Purpose};
use shared::risk::risk_of;
use shared::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Changes in review, and those whose review at the end has to be done.
pub fn list_waiting(tx: &mut Conn) -> Result<Vec<Row>, Error> {
    let mut rows = store::list_in(tx, &[State::InReview, State::Review])?;
    rows.retain(|row| {
        !row.retroactive && (row.state == State::InReview.as_str() || row.review_due.is_some())
    });
    Ok(rows)
}

/// Changes that nobody approved in time, since then.
pub fn list_expired(tx: &mut Conn, since: Timestamp) -> Result<Vec<Row>, Error> {
    Ok(store::list_closed(tx, &[Outcome::Expired], since)?)
}

/// Whose approval would count now; nobody before a host has planned. Hosts that are alike are asked for once.
pub fn asked(tx: &mut Conn, row: &Row, now: Timestamp) -> Result<BTreeSet<PersonId>, Error> {
    let papers = Papers::load(tx, row)?;
    let change = &papers.change;
    let Ok(sources) = papers.accepted_sources(tx, now)? else { return Ok(BTreeSet::new()) };
    let targets = store::list_targets(tx, &change.digest)?;
    let plans = targets.iter().filter_map(|target| target.plan.as_deref()).map(store::digest);
    let plans: Vec<Digest> = plans.collect::<Result<_, _>>()?;
    let plans = papers::find_plans(tx, &change.digest, &plans)?;
    let plan_set = match row.plan_set()? {
        Some(set) => set,
        None => {
            let mut set = PlanSet::empty(change.digest);
            set.plans.extend(plans.values().map(|plan| (plan.agent, plan.statement)));
            set.digest()
        }
    };
    let mut alike: BTreeMap<_, AgentId> = BTreeMap::new();
    for plan in plans.values() {
        let classes = sources.classes_with(plan.action_classes.iter().copied());
        alike.entry((plan.host_class.clone(), classes)).or_insert(plan.agent);
    }
    let heard = papers.heard(now);
    let mut asked = BTreeSet::new();
    for ((host_class, classes), agent) in &alike {
        let case = Case {
            purpose: Purpose::Start,
            change: &change.body,
            publishers: sources.publishers(),
            agent: *agent,
            host_class,
            classes,
            risk: risk_of(classes),
            plan_set,
        };
        asked.extend(policy::asked(&papers.policy, &case, &heard, now));
    }
    Ok(asked)
}

/// Who closes it with a review: its author, or else those who may approve, without whoever broke the glass.
pub fn reviewers(tx: &mut Conn, row: &Row, now: Timestamp) -> Result<BTreeSet<PersonId>, Error> {
    let Papers { policy, change, approvals } = Papers::load(tx, row)?;
    let broke = approvals.iter().filter(|approval| approval.body.breakglass.is_some());
    let broke: BTreeSet<&PersonId> = broke.map(|approval| &approval.body.person).collect();
    let author = change.body.author.clone();
    if policy.one_person || !broke.contains(&author) {
        return Ok(BTreeSet::from([author]));
    }
    let persons = policy.persons.iter().map(|person| &person.id);
    let others = persons.filter(|id| !broke.contains(id) && policy.may_approve(id, now));
    Ok(others.cloned().collect())
}
