//! Searching the CMDB: what is known of entries by words, with times, and saved searches.
//!
//! Owns the words; who knows something of an entry says so with [`record`]. Never: the language of searches, which is `shared`'s.

mod api;
mod condition;
mod saved;
mod terms;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) use api::fitting;
pub use api::{Asked, routes};
pub(super) use terms::{FOREVER, Known, of_declared, of_facts, past};
pub use terms::{Field, found, labels, observed, record};
