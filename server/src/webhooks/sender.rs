//! Sends what is due: one task for each subscriber, a few deliveries one after the other.
//!
//! What is taken is hidden for a while, on all nodes; a process that dies in between leaves it to be sent again then. So a delivery
//! is sent at least once, and by two nodes only where one of them slept for longer than the hold.

use super::post::{Failed, Message, post};
use super::store::{self, Due, Hook};
use crate::kernel::call::Way;
use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::Db;
use crate::kernel::endpoint::Endpoint;
use crate::kernel::error::Error;
use crate::kernel::http::tls;
use crate::kernel::random::random;
use rustls::ClientConfig;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinHandle;

pub(super) struct Sender {
    db: Db,
    config: Arc<Config>,
    clock: Clock,
    /// Subscriptions with a task on this node.
    busy: Arc<Mutex<BTreeSet<i64>>>,
}

/// A subscription's place among those with a task, given back however the task ends.
struct Seat {
    busy: Arc<Mutex<BTreeSet<i64>>>,
    hook: i64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.hook);
    }
}

impl Sender {
    pub fn new(db: &Db, config: &Arc<Config>, clock: &Clock) -> Self {
        Self { db: db.clone(), config: config.clone(), clock: clock.clone(), busy: Arc::default() }
    }

    /// Starts a task for each subscriber to whom something is due and who has none; answers the tasks.
    pub async fn send(&self) -> Result<Vec<JoinHandle<()>>, Error> {
        let now = self.clock.now();
        let due = self.db.read("webhooks.due", move |tx| store::list_due(tx, now)).await?;
        let free = |hook: &i64| self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(*hook);
        let start = |hook: i64| {
            let seat = Seat { busy: self.busy.clone(), hook };
            let (db, config, clock) = (self.db.clone(), self.config.clone(), self.clock.clone());
            tokio::spawn(async move {
                if let Err(error) = serve(&db, &config, &clock, seat.hook).await {
                    tracing::error!(
                        webhook = seat.hook,
                        error = error.chain(),
                        "deliveries are sent again later"
                    );
                }
            })
        };
        Ok(due.into_iter().filter(free).map(start).collect())
    }
}

/// Sends what one subscriber is owed now, up to the first failure: whoever does not take one thing is left alone for a while.
async fn serve(db: &Db, config: &Config, clock: &Clock, hook: i64) -> Result<(), Error> {
    let now = clock.now();
    let Some((hook, due)) = db.write("webhooks.take", move |tx| store::take(tx, hook, now)).await? else {
        return Ok(());
    };
    // Read each time: authorities are renewed with the system's packages.
    let trust = tls::trusting(&config.outgoing_ca).map(Arc::new);
    let mut rest = due.into_iter();
    for one in rest.by_ref() {
        let outcome = attempt(config, clock, &hook, &one, &trust).await;
        let now = clock.now();
        let (id, failed) = (hook.id, outcome.is_err());
        let spread = random::<2>()?;
        db.write("webhooks.note", move |tx| match &outcome {
            Ok(()) => store::record_delivered(tx, id, one.number, now),
            Err(why) => store::record_failed(tx, id, &one, (&why.why, why.wait), spread, now),
        })
        .await?;
        if failed {
            break;
        }
    }
    let left: Vec<i64> = rest.map(|one| one.number).collect();
    let now = clock.now();
    db.write("webhooks.release", move |tx| Ok::<_, Error>(store::release(tx, &left, now)?)).await
}

async fn attempt(
    config: &Config,
    clock: &Clock,
    hook: &Hook,
    one: &Due,
    trust: &Result<Arc<ClientConfig>, Error>,
) -> Result<(), Failed> {
    let endpoint = Endpoint::parse(&hook.url)?;
    let message = Message { id: &one.event, body: &one.body, secret: &hook.secret, at: clock.now() };
    post(&endpoint, &message, Way { trust, reach: &config.reach }).await
}
