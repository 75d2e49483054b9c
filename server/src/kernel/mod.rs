//! What every slice stands on: configuration, clock, database, HTTP edge, blobs, jobs, messages.
//!
//! Knows nothing of changes, agents' work or people; slices never reach around it.

pub mod db;
pub mod generation;
pub mod http;
pub mod lease;
pub mod outbox;
#[cfg(test)]
pub mod testdb;
