//! Calendars that the server reads from an address, again and again.
//!
//! What is read replaces the times of the calendar as if a person had imported it, but for what would leave closed times open: that
//! waits for a person's word, since a broken file must not end a freeze. Whatever fails changes nothing.

mod api;
mod losses;
mod model;
mod reader;
mod store;

pub(super) use api::people;
#[cfg(test)]
pub(super) use reader::{Brought, Failed, Reader};
#[cfg(test)]
pub(super) use store::{Taken, record, take};
pub use store::{Worry, worries};
pub(super) use store::{assert_none, find, list, lock};

use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::Db;
use crate::kernel::jobs::{Job, Tick};
use std::sync::Arc;
use std::time::Duration;

/// Reads the calendars that are due.
pub fn jobs(db: &Db, config: &Arc<Config>, clock: &Clock) -> Vec<Job> {
    let reader = Arc::new(reader::Reader::new(db, config, clock));
    let read = move |_: Tick| {
        let reader = reader.clone();
        async move { reader.read_due().await }
    };
    vec![Job::new("calendars.read", Duration::from_secs(30), read)]
}
