//! The language both sides speak and the one verifier that agent, server, command line and auditor run.
//!
//! Owns: ids, time values, digests, keys, envelopes, statements, policy, manifests, plans, changes,
//! windows, receipts, ledger proofs, the TUF profile, wire messages and the evidence bundle's checks.
//! Never: input or output, a clock, randomness, async, the environment. Time and key seeds are arguments.

pub mod digest;
pub mod envelope;
pub mod facts;
pub mod ids;
pub mod keys;
pub mod limits;
pub mod manifest;
pub mod strict;
pub mod template;
pub mod time;
