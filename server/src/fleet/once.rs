//! Signed requests count once: their nonces are kept on all nodes alike for as long as somebody could send one again.

use super::rates::take;
use super::store;
use crate::kernel::db::Db;
use crate::kernel::error::Error;
use crate::kernel::http::proxied::OnceGate;
use crate::kernel::jobs::{Job, Tick};
use crate::kernel::limiter::Limiter;
use shared::ids::AgentId;
use shared::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// A host that was away sends all that it has to say; a steady one asks once a minute. Bounds what is kept of one host.
const REQUEST_BURST: u32 = 1_000;
const REQUESTS_PER_MINUTE: u32 = 600;
/// Nonces are good for eleven minutes at most.
const PURGE_EVERY: Duration = Duration::from_secs(60);

/// Notes each request in the database before it is answered.
pub fn once(db: &Db) -> OnceGate {
    let (db, rates) = (db.clone(), Arc::new(Limiter::<AgentId>::new(REQUEST_BURST, REQUESTS_PER_MINUTE)));
    OnceGate::new(move |request| {
        let (db, rates) = (db.clone(), rates.clone());
        async move {
            take(&rates, request.agent_id, 1)?;
            db.write("fleet.request", move |tx| Ok(store::record_request(tx, &request)?)).await
        }
    })
}

/// Lets go of nonces that no request counts with any more.
///
/// # Errors
/// The database's.
pub async fn purge(db: &Db, now: Timestamp) -> Result<(), Error> {
    db.write("fleet.requests", move |tx| Ok(store::purge_requests(tx, now)?)).await
}

pub fn jobs(db: &Db) -> Vec<Job> {
    let db = db.clone();
    let run = move |tick: Tick| {
        let db = db.clone();
        async move { purge(&db, tick.now).await }
    };
    vec![Job::new("fleet.requests", PURGE_EVERY, run)]
}
