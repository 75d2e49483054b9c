//! The ledger: the append-only Merkle log over every signed statement, and the statements themselves.
//!
//! Owns leaves, nodes, checkpoints, proofs, what witnesses signed of it, and the content-addressed store of statements.
//! Never judges a statement: whoever records one has verified it before.
//!
//! A transaction that records takes the ledger's lock until it ends, so a transaction that also changes
//! rows which others change must record (or call [`lock`]) before it touches them.

mod api;
mod check;
mod log;
mod model;
mod store;
#[cfg(test)]
mod tests;
mod tiles;
mod witness;

pub(crate) use api::ProofOf;
pub use api::routes;
pub use check::check;
pub use log::{Answer, Log, Question};
pub use model::{Document, Placed};
#[cfg(test)]
pub use store::leaves;
pub use store::{
    find_statement, find_statements, head, keep_statement, known, list_receipts, lock, record, record_one,
    set_witnesses,
};
