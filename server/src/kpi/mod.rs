//! Key figures: what a period's changes and findings come to, by definitions that have an edition and are printed with them.
//!
//! Owns the definitions. Never stores a figure: it is worked out from the records each time it is asked for.

mod api;
mod model;
#[cfg(test)]
mod tests;

pub use api::{Period, people};
