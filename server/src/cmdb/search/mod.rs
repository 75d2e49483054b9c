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
pub use terms::{Field, found, labels, record};
pub(super) use terms::{of_declared, of_facts};
