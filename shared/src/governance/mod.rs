//! Governance: who holds the keys that sign root and policy, how that set changes, and how signatures of several persons on
//! several machines come together.
//!
//! Owns the pure rules for proposing and for telling what is missing. Never: what counts as signed in the end; the client
//! of the repository alone decides that, on every host.

mod holders;
mod introduction;
mod proposal;
mod rehearsal;
#[cfg(test)]
mod tests;

pub use holders::{Holder, Keeper, NoSet, Wish, next_set};
pub use introduction::{Introduction, NewKey, NoIntroduction};
pub use proposal::{Base, Misfit, Part, Proposal, Standing, keys_of};
pub use rehearsal::{REHEARSAL_DAYS, Rehearsal};
