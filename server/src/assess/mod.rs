//! Assessment: what a change reaches, and how much may go wrong. For people to look at.
//!
//! Owns nothing that is stored; it is worked out each time. Never: a decision, or a host that is added to a change.

mod api;
mod facts;
#[cfg(test)]
mod tests;

pub use api::people;
