//! Hosts that refuse at run time what was approved for them: they stopped, and somebody has to say how it goes on.
//!
//! They are asked about once for each class of plans. It is over when they report, or when there is another revision.

use super::store::{self, Row, papers};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::digest::Digest;
use shared::ids::{AgentId, PersonId};
use shared::lifecycle::State;
use shared::refusal::Code;
use shared::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What a host says whose plan of this moment is not the approved one, or that cannot plan any more.
const STOPS: [Code; 7] = [
    Code::PlanFailed,
    Code::PlanHeld,
    Code::PlanRoom,
    Code::PlanDrift,
    Code::PlanClass,
    Code::PlanProgram,
    Code::PlanQuarantined,
];

/// Hosts of one class of plans that refuse what was approved.
pub struct Departure {
    pub row: Row,
    /// The class of their approved plans.
    pub class: Digest,
    pub hosts: u32,
    /// When the first of them said so, by its own clock.
    pub since: Timestamp,
    /// Whose word it is about: the author, and whoever approved.
    pub persons: BTreeSet<PersonId>,
}

/// Of all changes that run or may run.
pub fn list(tx: &mut Conn) -> Result<Vec<Departure>, Error> {
    let mut all = Vec::new();
    for row in store::list_in(tx, &[State::Approved, State::Running, State::Halted])? {
        let statement = row.statement()?;
        let classes = classes(tx, &statement)?;
        if classes.is_empty() {
            continue;
        }
        let mut persons = BTreeSet::from([row.author()?]);
        for person in papers::list_approvers(tx, &statement)? {
            persons.insert(person.parse().map_err(|_| store::damaged("the id of a person"))?);
        }
        all.extend(classes.into_iter().map(|(class, (hosts, since))| {
            let (row, persons) = (row.clone(), persons.clone());
            Departure { row, class, hosts, since, persons }
        }));
    }
    Ok(all)
}

/// By class: how many hosts, and since when.
fn classes(tx: &mut Conn, change: &Digest) -> Result<BTreeMap<Digest, (u32, Timestamp)>, Error> {
    let mut said: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for refusal in papers::list_refusals_of(tx, change, &STOPS)? {
        said.entry(refusal.agent).or_default().push(refusal.at);
    }
    if said.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut waiting = store::list_targets(tx, change)?;
    waiting.retain(|target| target.report.is_none() && said.contains_key(&target.agent));
    let agents = waiting.iter().map(store::Target::agent).collect::<Result<BTreeSet<AgentId>, Error>>()?;
    let retired = crate::fleet::list_retired(tx, &agents)?;
    let plans: Vec<&[u8]> = waiting.iter().filter_map(|target| target.plan.as_deref()).collect();
    let known = papers::list_plan_classes(tx, &plans)?;
    let mut all: BTreeMap<Digest, (u32, Timestamp)> = BTreeMap::new();
    for target in waiting.iter() {
        let Some((class, made)) = target.plan.as_ref().and_then(|plan| known.get(plan)) else { continue };
        // Before its plan it said why it had none. Both times are of its own clock.
        let since = said[&target.agent].iter().copied().filter(|at| at >= made).min();
        let (Some(since), false) = (since, retired.contains(&target.agent()?)) else { continue };
        let entry = all.entry(store::digest(class)?).or_insert((0, Timestamp(since)));
        *entry = (entry.0.saturating_add(1), entry.1.min(Timestamp(since)));
    }
    Ok(all)
}
