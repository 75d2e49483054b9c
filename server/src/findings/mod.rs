//! Findings: where hosts differ from what was approved for them, and what people make of it.
//!
//! Owns the newest word of each host about each finding, dispositions with their history, and rules by which findings
//! are ignored. Never changes a host: a disposition is a record, only an approved change brings a state back.

mod api;
mod mismatch;
mod model;
mod store;
#[cfg(test)]
mod tests;

pub use api::{Filter, people};
pub use mismatch::Wanted;
use model::check_judgement;
pub use store::confirmed_in;

use crate::changes;
use crate::kernel::db::Db;
use crate::kernel::error::Error;
use crate::kernel::jobs::{Job, Tick};
use crate::kernel::outbox;
use std::time::Duration;

/// Hears of findings that were recorded.
pub const TOPIC: &str = "findings.said";
/// Hears of receipts of corrections that were recorded.
pub const CORRECTED: &str = "findings.corrected";

/// Takes over what hosts said, what retroactive changes accept and which hosts left, and opens again what was ignored until
/// now.
pub fn jobs(db: &Db) -> Vec<Job> {
    let (heard, ended, compared) = (db.clone(), db.clone(), db.clone());
    let look = move |tick: Tick| {
        let db = compared.clone();
        async move { mismatch::look(&db, tick.now).await }
    };
    let hear = move |tick: Tick| {
        let db = heard.clone();
        async move { hear(&db, tick.now).await }
    };
    let reopen = move |tick: Tick| {
        let db = ended.clone();
        async move { db.write("findings.reopen", move |tx| store::reopen_ended(tx, tick.now)).await }
    };
    vec![
        Job::new("findings.hear", Duration::from_secs(2), hear),
        Job::new("findings.reopen", Duration::from_secs(60), reopen),
        Job::new("findings.look", Duration::from_secs(300), look),
    ]
}

pub(crate) async fn hear(db: &Db, now: shared::time::Timestamp) -> Result<(), Error> {
    while outbox::handle(db, TOPIC, now, move |tx, message| store::take_in(tx, &message.key, now)).await? > 0
    {
    }
    while outbox::handle(db, CORRECTED, now, move |tx, message| store::corrected(tx, &message.key, now))
        .await?
        > 0
    {}
    while outbox::handle(db, changes::ACCEPTED, now, move |tx, message| {
        store::accepted(tx, &message.key, now)
    })
    .await?
        > 0
    {}
    while outbox::handle(db, changes::RETIRED, now, move |tx, message| store::left(tx, &message.key, now))
        .await?
        > 0
    {}
    Ok(())
}
