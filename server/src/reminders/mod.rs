//! Reminders: what waits for whom, and mail about it.
//!
//! Owns addresses for mail and what was said already. Never decides who counts: the signed policy does, and what is told here is
//! only whose word it asks for. Mail is quiet: at most one a day for each person, and one at once when an emergency waits.

mod api;
mod letter;
mod look;
mod post;
mod store;
#[cfg(test)]
mod tests;
mod waiting;

pub(crate) use api::PutMail;
pub use api::people;

use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::Db;
use crate::kernel::error::Error;
use crate::kernel::jobs::{Job, Tick};
use crate::kernel::outbox;
use post::Post;
use shared::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Letters that are to be sent, by person.
const TOPIC: &str = "reminders.mail";

/// Looks what waits for whom, and sends letters; none without `mail.server` in the configuration.
pub fn jobs(db: &Db, config: &Arc<Config>, clock: &Clock) -> Vec<Job> {
    let (looked, sent) = (db.clone(), (db.clone(), config.clone(), clock.clone()));
    let mails = config.mail.is_some();
    let look = move |tick: Tick| {
        let db = looked.clone();
        async move { look::look(&db, mails, tick.now).await }
    };
    let send = move |_: Tick| {
        let (db, config, clock) = sent.clone();
        async move { send(&db, &config, &clock).await }
    };
    vec![
        Job::new("reminders.look", Duration::from_secs(60), look),
        Job::new("reminders.send", Duration::from_secs(5), send),
    ]
}

/// Sends the letters that are due, each at least once: a process that dies between sending and noting it sends one again.
async fn send(db: &Db, config: &Arc<Config>, clock: &Clock) -> Result<(), Error> {
    let Some(mail) = &config.mail else { return Ok(()) };
    let now = clock.now();
    let due = db.read("reminders.due", move |tx| Ok::<_, Error>(outbox::is_due(tx, TOPIC, now)?)).await?;
    if !due {
        return Ok(());
    }
    let post = Arc::new(Post::open(mail, &config.outgoing_ca)?);
    let deliver = |message: outbox::Message| {
        let (db, config, post) = (db.clone(), config.clone(), post.clone());
        async move { letter::send(&db, &config, &post, &message, now).await }
    };
    outbox::send(db, TOPIC, now, deliver).await.map(drop)
}

/// Seconds after midnight, UTC, from which daily letters are sent: people read them when they begin to work.
const MORNING_SECS: i64 = 6 * 3_600;

/// The day of a letter; it begins in the morning, so that what is written in an evening still counts in the night.
fn day(at: Timestamp) -> i64 {
    at.plus(-MORNING_SECS).0.div_euclid(86_400)
}
