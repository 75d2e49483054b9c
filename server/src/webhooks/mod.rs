//! Webhooks: news of the site for other programs, each signed for its subscriber, at least once.
//!
//! Owns subscriptions, events and how their deliveries go. Never decides anything, and nobody waits for it: slices below write
//! news in their own transactions, and a subscriber that is slow or gone holds up nobody else. Order is not promised.

mod api;
mod model;
mod post;
mod sender;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use api::Wanted;
pub use api::people;

use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::Db;
use crate::kernel::error::Error;
use crate::kernel::jobs::{Job, Tick};
use crate::kernel::{news, outbox};
use sender::Sender;
use shared::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Spreads news to subscribers, sends them, and forgets what is long over.
pub fn jobs(db: &Db, config: &Arc<Config>, clock: &Clock) -> Vec<Job> {
    let (spreading, sender, tidied) =
        ((db.clone(), config.clone()), Arc::new(Sender::new(db, config, clock)), db.clone());
    let spread_all = move |tick: Tick| {
        let (db, config) = spreading.clone();
        async move { spread(&db, &config, tick.now).await }
    };
    let send = move |_: Tick| {
        let sender = sender.clone();
        // The tick does not wait for them: what takes long is the matter of its subscriber alone.
        async move { sender.send().await.map(drop) }
    };
    let tidy = move |tick: Tick| {
        let db = tidied.clone();
        async move { db.write("webhooks.tidy", move |tx| store::tidy(tx, tick.now)).await }
    };
    vec![
        Job::new("webhooks.spread", Duration::from_secs(2), spread_all),
        Job::new("webhooks.send", Duration::from_secs(1), send),
        Job::new("webhooks.tidy", Duration::from_secs(300), tidy),
    ]
}

/// Makes events of the news that are waiting, and a delivery for each subscriber who wants to hear of it.
async fn spread(db: &Db, config: &Arc<Config>, now: Timestamp) -> Result<(), Error> {
    loop {
        let config = config.clone();
        let one = move |tx: &mut _, message: &outbox::Message| store::spread(tx, message, &config, now);
        if outbox::handle(db, news::TOPIC, now, one).await? == 0 {
            return Ok(());
        }
    }
}
