//! Mismatches: findings that the server makes itself, where what is declared and what is observed do not fit together.
//!
//! Owns them and what people make of them. Never: a host's statement (nobody signs these), or a change of either side.

mod api;
mod model;
mod store;
#[cfg(test)]
mod tests;

pub use api::{Wanted, routes};
pub use store::look;
