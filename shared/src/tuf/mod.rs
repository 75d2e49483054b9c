//! The site repository: our TUF profile, its writer and its verifying client.
//!
//! Owns: metadata types and their canonical form, file and target names, the profile checks, the refresh
//! state machine, and checks of old metadata for evidence. Only `backend` knows the TUF library.
//! Never: fetches or stores anything; callers carry out [`client::Step`]s and report back.
//! Source: The Update Framework specification 1.0.34.

mod backend;
pub mod canonical;
pub mod client;
pub mod error;
pub mod history;
pub mod metadata;
pub mod names;
pub mod profile;
mod rules;
pub mod trusted;
pub mod writer;

#[cfg(feature = "plain-tuf")]
pub use backend::plain;
pub use client::{Step, Stored};
pub use error::TufError;
pub use metadata::{Root, Signed, Snapshot, TargetFile, Targets, Timestamp};
pub use names::{Role, TargetName};
pub use rules::{Rules, Site};
pub use trusted::Trusted;

#[cfg(test)]
mod tests;
