//! The HTTP edge: two listeners in one process, people over TLS and agents over mutual TLS, and a third one for agents whose
//! TLS ends in a proxy.
//!
//! Owns certificates, connection limits, request ids, errors as seen from outside. Knows no route of any slice.

pub mod agent;
pub mod condition;
pub mod edge;
pub mod listen;
pub mod once;
mod outgoing;
mod pace;
pub mod page;
pub mod person;
pub mod proxied;
pub mod seats;
pub mod tls;
pub mod tries;

#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

pub use pace::broken;

/// Longer than the usual 60 s between polls, so that an agent keeps one connection.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// A client that has not sent its request head by then is dropped; so is one that stalls in the TLS handshake.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time to close the TLS session before the connection is dropped.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
