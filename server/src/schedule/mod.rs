//! The schedule: what changes and blackouts make of the time together, for people and their calendars.
//!
//! Owns the addresses under which calendars of people read it; else it reads what the slices below know. Never holds anything
//! up: hosts do that, and approvers decide.

mod api;
mod feed;
mod store;
#[cfg(test)]
mod tests;

pub use api::{Asked, Feeds, OpenFeed, people};
