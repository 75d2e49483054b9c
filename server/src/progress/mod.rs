//! Progress: what hosts tell of a change while it runs, kept for a while for whoever watches.
//!
//! Owns a bounded share of messages for each host of a revision, in the order in which they were stored. Never: a
//! record of what happened (receipts are), or a reason for anything to start or stop.

mod api;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use api::Wanted;
pub use api::{agents, people};

use crate::kernel::db::Db;
use crate::kernel::jobs::{Job, Tick};
use std::time::Duration;

/// Seconds for which messages are kept.
const KEPT_SECS: i64 = 14 * 86_400;

/// Lets go of old messages.
pub fn jobs(db: &Db) -> Vec<Job> {
    let db = db.clone();
    let purge = move |tick: Tick| {
        let db = db.clone();
        async move { db.write("progress.purge", move |tx| store::purge(tx, tick.now.plus(-KEPT_SECS))).await }
    };
    vec![Job::new("progress.purge", Duration::from_secs(3_600), purge)]
}
