//! For whom a change waits: whose word the policy still asks for, and who reviews it.

use super::judging::{Papers, case_of};
use super::record;
use super::store::{self, Row, papers};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::change::Change;
use shared::digest::Digest;
use shared::ids::PersonId;
use shared::lifecycle::{Outcome, State};
use shared::policy::{self, Purpose};
use shared::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Changes in review, those that bring nothing to hosts included, and those whose review at the end has to be done.
pub fn list_waiting(tx: &mut Conn) -> Result<Vec<Row>, Error> {
    let mut rows = store::list_in(tx, &[State::InReview, State::Review])?;
    rows.retain(|row| row.is_record() || row.state == State::InReview.as_str() || row.review_due.is_some());
    Ok(rows)
}

/// Changes that nobody approved in time, since then.
pub fn list_expired(tx: &mut Conn, since: Timestamp) -> Result<Vec<Row>, Error> {
    Ok(store::list_closed(tx, &[Outcome::Expired], since)?)
}

/// One of [`list_waiting`], and for whom it waits.
pub fn waits(tx: &mut Conn, row: &Row, now: Timestamp) -> Result<(Change, BTreeSet<PersonId>), Error> {
    let papers = Papers::load(tx, row)?;
    let persons = match row.review_due {
        Some(_) => reviewers(&papers, now),
        None if row.is_record() => record::asked(tx, &papers, now)?,
        None => asked(tx, row, &papers, now)?,
    };
    Ok((papers.change.body, persons))
}

/// Whose approval would count now; nobody before a host has planned. Hosts that are alike are asked for once.
fn asked(tx: &mut Conn, row: &Row, papers: &Papers, now: Timestamp) -> Result<BTreeSet<PersonId>, Error> {
    let Ok(sources) = papers.accepted_sources(tx, now)? else { return Ok(BTreeSet::new()) };
    let plans: Vec<Digest> = store::current_plans(tx, &papers.change.digest)?.into_values().collect();
    let plans = papers::find_plans(tx, &papers.change.digest, &plans)?;
    // Without a set nobody stands behind any, and no word is compared with it.
    let plan_set = row.plan_set()?.unwrap_or(papers.change.digest);
    let mut alike = BTreeMap::new();
    for plan in plans.values() {
        let classes = sources.classes_with(plan.action_classes.iter().copied());
        alike.entry((&plan.host_class, classes)).or_insert(plan);
    }
    let heard = papers.heard(now);
    let mut asked = BTreeSet::new();
    for ((_, classes), plan) in &alike {
        if let Ok(case) = case_of(papers, (plan, plan_set, Purpose::Start), &sources, classes) {
            asked.extend(policy::asked(&papers.policy, &case, &heard, now));
        }
    }
    Ok(asked)
}

/// Who closes it with a review: its author, or else those who may approve, without whoever broke the glass.
fn reviewers(papers: &Papers, now: Timestamp) -> BTreeSet<PersonId> {
    let (policy, broke, author) = (&papers.policy, papers.who_broke_glass(), &papers.change.body.author);
    if policy.one_person || !broke.contains(author) {
        return BTreeSet::from([author.clone()]);
    }
    let persons = policy.persons.iter().map(|person| &person.id);
    persons.filter(|id| !broke.contains(id) && policy.may_approve(id, now)).cloned().collect()
}
