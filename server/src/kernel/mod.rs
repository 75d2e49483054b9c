//! What every slice stands on: configuration, clock, database, HTTP edge, blobs, jobs, messages.
//!
//! Knows nothing of changes, agents' work or people; slices never reach around it.

pub mod address;
pub mod call;
pub mod clock;
pub mod config;
pub mod db;
pub mod endpoint;
pub mod error;
pub mod files;
pub mod generation;
pub mod http;
pub mod i18n;
pub mod jobs;
pub mod keys;
pub mod lease;
pub mod limiter;
pub mod mail;
pub mod news;
pub mod objects;
pub mod outbox;
pub mod pauses;
pub mod random;
pub mod reach;
pub mod register;
pub mod revisions;
#[cfg(test)]
pub mod testdb;
#[cfg(test)]
pub mod testpeer;
