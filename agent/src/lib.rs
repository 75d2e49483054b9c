//! The agent: pulls, verifies, plans, waits for its turn, applies, checks, undoes, reports.
//!
//! `run` is the only loop and `decide` its only choice; `host` is the only door to the machine, `disk` to the
//! agent's own files, `server` to the network, `clock` to the time. Never: a change without all tokens of
//! `shared::admit`.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod admit;
pub mod apply;
pub mod clock;
pub mod config;
#[expect(clippy::disallowed_methods, reason = "the door to the network process")]
pub mod courier;
pub mod decide;
#[expect(clippy::disallowed_methods, reason = "the door to the agent's own files")]
pub mod disk;
pub mod drift;
pub mod ear;
pub mod engine;
pub mod enrol;
pub mod facts;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod hands;
pub mod health;
#[expect(clippy::disallowed_methods, reason = "the door to the machine")]
pub mod host;
pub mod idle;
pub mod journal;
pub mod launch;
pub mod left;
pub mod net;
pub mod nodes;
pub mod plan;
pub mod program;
pub mod progress;
pub mod proxy;
pub mod pull;
pub mod receipt;
pub mod reset;
pub mod resource;
pub mod run;
pub mod say;
pub mod server;
pub mod slots;
pub mod spool;
pub mod state;
pub mod status;
pub mod tls;
pub mod undo;
pub mod vault;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests prepare files")]
mod tests;
