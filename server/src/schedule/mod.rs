//! The schedule: what changes and blackouts make of the time together. Conflicts of a change, and free times.
//!
//! Owns nothing: it reads what the slices below know. Never holds anything up: hosts do that, and approvers decide.

mod api;
mod model;
mod store;
#[cfg(test)]
mod tests;

pub use api::{Asked, people};
