//! Rollout: why a host is not changing yet, as data, with the next moment at which the answer may change.
//!
//! Owns nothing of its own: it reads what the slices below know. Never holds anything up; hosts do that.

mod api;
mod model;
mod store;
#[cfg(test)]
mod tests;

pub use api::{Of, people};
pub use store::why;
