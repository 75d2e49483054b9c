//! The language both sides speak and the one verifier that agent, server, command line and auditor run.
//!
//! Owns: ids, time values, digests, keys, envelopes, statements, policy, manifests, plans, changes,
//! windows, receipts, ledger proofs, the TUF profile, wire messages and the evidence bundle's checks.
//! Never: input or output, a clock, randomness, async, the environment. Time and key seeds are arguments.

pub mod acceptance;
pub mod admit;
#[cfg(test)]
mod admit_tests;
pub mod approval;
pub mod assessment;
pub mod audit;
pub mod backup;
pub mod budgets;
pub mod bundle;
pub mod carried;
pub mod change;
pub mod conflict;
pub mod digest;
#[cfg(test)]
mod document_tests;
pub mod envelope;
pub mod evidence;
pub mod facts;
pub mod finding;
#[cfg(test)]
mod fixtures;
pub mod former;
pub mod governance;
pub mod health;
pub mod ids;
pub mod keys;
pub mod ledger;
pub mod lifecycle;
pub mod limits;
pub mod manifest;
pub mod news;
pub mod note;
pub mod pem;
pub mod plan;
pub mod plugin;
pub mod policy;
pub mod progress;
pub mod publication;
pub mod receipt;
pub mod refusal;
pub mod release;
pub mod request;
pub mod reset;
pub mod risk;
pub mod search;
pub mod secret;
pub mod signature;
pub mod sshsig;
pub mod statement;
pub mod strict;
pub mod summary;
pub mod template;
pub mod time;
pub mod tuf;
pub mod version;
pub mod visible;
pub mod webauthn;
pub mod webhook;
pub mod windows;
pub mod wire;
pub mod words;
