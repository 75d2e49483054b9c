//! Changes: from the author's signed revision over the hosts' plans and people's approvals to the end.
//!
//! Owns states, plans, approvals and which bundle is in the repository. Never starts anything: a bundle that is
//! not carried by signatures is not listed, and hosts check them again.
//!
//! Locks are taken in this order: repository, ledger, plans of a revision, rows.

mod api;
mod approve;
mod asked;
mod bundle;
mod carried;
mod conflicts;
mod course;
mod departed;
mod horizon;
mod judging;
mod models;
mod notes;
mod plans;
mod record;
mod reports;
mod retirement;
mod retroactive;
mod review;
mod revise;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod view;

pub(crate) use api::{Close, Created, Note, Nothing, Which};
pub use api::{agents, people};
pub use approve::Answer;
pub use asked::{list_expired, list_waiting, waits};
pub use bundle::ends_before;
pub use conflicts::conflicts;
pub use departed::{Departure, list as list_departures};
pub use horizon::{SeriesEnd, list_astray, list_differing, list_ending};
pub use judging::{all_carried, carried, plan_set, reach};
pub use notes::list_objected;
pub use plans::wishes;
pub use reports::{doubt, on_receipt, on_refusal};
pub use retirement::{RETIRED, retired_by};
pub use retroactive::{ACCEPTED, Claim, Claimed, claims_of, claims_on};
pub use store::papers::RefusalRow;
pub use store::{Row, Target};
pub use view::{
    Course, Scheduled, count_failures, course, courses, effects, file, line, lines, list_open, open,
    revision, scheduled,
};

use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Error;
use crate::kernel::jobs::{Job, Tick};
use crate::manifests::{self, Online, Repository};
use shared::bundle::Control;
use shared::change::Change;
use shared::digest::Digest;
use shared::ids::{AgentId, ChangeId, ChangeRef, PersonId};
use shared::lifecycle::{Event, State};
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::tuf::{TargetFile, TargetName};
use std::collections::BTreeMap;
use std::time::Duration;

/// Ends changes whose time is over, begins those that a model allows, and hands receipts of earlier waves on through the repository.
pub fn jobs(db: &Db, repository: &Repository) -> Vec<Job> {
    let (over, ready, listed) = (db.clone(), db.clone(), (db.clone(), repository.clone()));
    let tend = move |tick: Tick| {
        let db = over.clone();
        async move { tend(&db, tick.now).await }
    };
    let begin = move |tick: Tick| {
        let db = ready.clone();
        async move { begin_standard(&db, tick.now).await }
    };
    let publish = move |tick: Tick| {
        let (db, repository) = listed.clone();
        async move { publish(&db, &repository, tick.now).await }
    };
    let (closing, files) = (db.clone(), repository.clone());
    let control = move |tick: Tick| {
        let (db, repository) = (closing.clone(), files.clone());
        async move { control(&db, &repository, tick.now).await }
    };
    vec![
        Job::new("changes.control", Duration::from_secs(10), control),
        Job::new("changes.tend", Duration::from_secs(30), tend),
        Job::new("changes.begin", Duration::from_secs(5), begin),
        Job::new("changes.publish", Duration::from_secs(3), publish),
    ]
}

/// Ends what is over and submits drafts that are due. Each change in a transaction of its own: one that cannot be moved does not hold up the others.
pub async fn tend(db: &Db, now: Timestamp) -> Result<(), Error> {
    let over = db.read("change.over", move |tx| Ok::<_, Error>(store::list_over(tx, now)?)).await?;
    for id in over {
        let id: ChangeId = id.parse().map_err(|_| store::damaged("the id of a change"))?;
        db.write("change.tend", move |tx| course::tend(tx, &id, now)).await?;
    }
    let due = db.read("change.due", move |tx| Ok::<_, Error>(store::list_due(tx, now)?)).await?;
    for id in due {
        let id: ChangeId = id.parse().map_err(|_| store::damaged("the id of a change"))?;
        db.write("change.submit_due", move |tx| course::submit_due(tx, &id, now)).await?;
    }
    Ok(())
}

/// Begins standard changes of a model whose hosts have planned.
pub async fn begin_standard(db: &Db, now: Timestamp) -> Result<(), Error> {
    models::begin_ready(db, now).await
}

/// Lists what changed since the last time, all in one new version of the repository.
pub async fn publish(db: &Db, repository: &Repository, now: Timestamp) -> Result<(), Error> {
    let waiting = db.read("change.waiting", |tx| Ok::<_, Error>(!store::list_unpublished(tx)?.is_empty()));
    if !waiting.await? {
        return Ok(());
    }
    let online = repository.online.clone();
    let refresh = move |tx: &mut Conn| {
        course::lock(tx)?;
        let mut rows = store::list_unpublished(tx)?;
        bundle::refresh(tx, &online, &mut rows, now)
    };
    db.write("change.publish", refresh).await?;
    repository.files.expire();
    Ok(())
}

/// Publishes the control file when blackouts make it another one than hosts have.
pub async fn control(db: &Db, repository: &Repository, now: Timestamp) -> Result<(), Error> {
    let differs = |tx: &mut Conn, now: Timestamp| {
        let listed = manifests::listed(tx, &TargetName::Control)?;
        let bytes = bundle::control(tx, now)?;
        // Before the first change, no blackouts and no file say the same.
        let nothing =
            listed.is_none() && Control::parse(&bytes).is_ok_and(|control| control == Control::default());
        Ok::<_, Error>(!nothing && listed != Some(TargetFile::of(&bytes)))
    };
    if !db.read("change.control_due", move |tx| differs(tx, now)).await? {
        return Ok(());
    }
    let online = repository.online.clone();
    let refresh = move |tx: &mut Conn| {
        course::lock(tx)?;
        bundle::refresh_control(tx, &online, now)
    };
    db.write("change.control", refresh).await?;
    repository.files.expire();
    Ok(())
}

/// After a restore: nothing that was approved starts before a person has looked at it, because what was withdrawn or
/// halted since the backup is not known here; and numbers that were given away since are not given again. Answers the
/// changes that are held now.
pub fn hold_all(tx: &mut Conn, online: &Online, skip: u32, now: Timestamp) -> Result<Vec<String>, Error> {
    course::lock(tx)?;
    store::skip_numbers(tx, skip)?;
    let mut rows = store::list_in(tx, &[State::Approved, State::Running])?;
    let by = course::By { person: None, note: "the server was put back to a backup" };
    for row in &mut rows {
        course::step(tx, row, Event::Halt, by, now)?;
    }
    bundle::refresh(tx, online, &mut rows, now)?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// The change that a person names.
///
/// # Errors
/// `number.unknown`, `number.none`.
pub fn named(tx: &mut Conn, named: &ChangeRef) -> Result<ChangeId, Error> {
    store::named(tx, named)
}

/// The change with this id.
pub fn get(tx: &mut Conn, id: &ChangeId) -> Result<Row, Error> {
    store::get(tx, id)
}

/// Stores a revision of a retroactive change, which accepts what is claimed; the same statement again changes nothing.
///
/// # Errors
/// A rule that it breaks, or another change that accepts one of the findings.
pub fn revise(
    tx: &mut Conn,
    place: (&ChangeId, u32),
    change: &Statement<Change>,
    claims: &[Claim],
    person: &PersonId,
    now: Timestamp,
) -> Result<Row, Error> {
    revise::revise(tx, place, change, claims, person, now)
}

/// Locks that everything which moves a change takes first, in their order.
pub fn lock(tx: &mut Conn) -> Result<(), Error> {
    course::lock(tx)
}

/// Changes created in `from..to`, by number.
pub fn list_created(tx: &mut Conn, from: Timestamp, to: Timestamp) -> Result<Vec<String>, Error> {
    Ok(store::list_created(tx, from, to)?)
}

/// The change that a revision with this digest belongs to.
pub fn find_by_statement(tx: &mut Conn, statement: &Digest) -> Result<Option<Row>, Error> {
    store::find_by_statement(tx, statement)
}

/// One host of a revision.
pub fn find_target(tx: &mut Conn, change: &Digest, agent: AgentId) -> Result<Option<Target>, Error> {
    Ok(store::find_target(tx, change, agent)?)
}

/// All hosts of a revision, in the order of their ids.
pub fn list_targets(tx: &mut Conn, change: &Digest) -> Result<Vec<Target>, Error> {
    Ok(store::list_targets(tx, change)?)
}

/// The newest refusal of a host about a revision.
pub fn find_refusal(tx: &mut Conn, change: &Digest, agent: AgentId) -> Result<Option<RefusalRow>, Error> {
    Ok(store::papers::find_refusal(tx, change, agent)?)
}

/// The newest refusal of each host about a revision.
pub fn last_refusals(tx: &mut Conn, change: &Digest) -> Result<BTreeMap<AgentId, RefusalRow>, Error> {
    let all = store::papers::list_refusals(tx, change)?;
    let agent = |row: &RefusalRow| row.agent.parse().map_err(|_| store::damaged("the id of a host"));
    all.into_iter().map(|row| Ok((agent(&row)?, row))).collect()
}

/// Who approved the plan set of a revision, by the recorded statements; for display.
pub fn approvers(tx: &mut Conn, change: &Digest) -> Result<Vec<String>, Error> {
    Ok(store::papers::list_approvers(tx, change)?)
}

/// Digests of everything signed about all revisions of a change, for evidence.
#[derive(Debug, Clone, Default)]
pub struct Dossier {
    pub revisions: Vec<Digest>,
    pub plan_sets: Vec<Digest>,
    pub approvals: Vec<Digest>,
    pub receipts: Vec<Digest>,
    pub refusals: Vec<Digest>,
    /// Steps of the change's course, as recorded in the ledger.
    pub events: Vec<Digest>,
    /// What people said of it, as recorded in the ledger.
    pub notes: Vec<Digest>,
    pub state: String,
    pub outcome: Option<String>,
    pub submitted: Option<Timestamp>,
    pub closed: Option<Timestamp>,
}

pub fn dossier(tx: &mut Conn, id: &ChangeId) -> Result<Dossier, Error> {
    let row = store::get(tx, id)?;
    let mut dossier = Dossier {
        state: row.state,
        outcome: row.outcome,
        submitted: row.submitted.map(Timestamp),
        closed: row.closed.map(Timestamp),
        ..Dossier::default()
    };
    for event in store::list_events(tx, id.as_str())? {
        if let Some(statement) = &event.statement {
            dossier.events.push(store::digest(statement)?);
        }
    }
    dossier.notes = notes::list_digests(tx, id.as_str())?;
    for revision in store::list_revisions(tx, id.as_str())? {
        dossier.plan_sets.extend(store::papers::list_plan_sets(tx, &revision)?);
        dossier.approvals.extend(store::papers::list_approvals(tx, &revision)?);
        for refusal in store::papers::list_refusals(tx, &revision)? {
            dossier.refusals.push(store::digest(&refusal.statement)?);
        }
        for target in store::list_targets(tx, &revision)? {
            if let Some(report) = target.report.as_deref() {
                dossier.receipts.push(store::digest(report)?);
            }
        }
        dossier.revisions.push(revision);
    }
    Ok(dossier)
}
