//! Searching the CMDB: what is known of entries by words, with times, and saved searches.
//!
//! Owns the words; who knows something of an entry says so with [`record`]. Never: the language of searches, which is `shared`'s.

mod api;
mod model;
mod saved;
mod store;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) use api::fitting;
pub use api::{Asked, routes};
pub use model::{Field, found, labels};
pub(super) use model::{Known, of_declared, of_facts};
pub use saved::{fitting_all, is_fitting, spelt_out};
pub(super) use store::{FOREVER, past};
pub use store::{observed, record};
