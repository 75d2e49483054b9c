//! Compliance: evidence bundles that an auditor verifies without this server.
//!
//! Owns which documents belong into a bundle, its archive form, and the record of what left the server.
//! Never: the bundle's contents or checks; those are shared with whoever verifies it.

mod api;
mod collect;
mod model;
mod store;
mod tar;
#[cfg(test)]
mod tests;

pub use api::people;
pub use model::{Exporter, Wish};

use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::evidence::{Files, Query, assemble, seal};
use shared::ids::PersonId;

/// Makes the bundle: the same wish of the same user at the same size of the ledger gives the same bytes.
/// `tx` is a reading one: only what is durable is signed.
pub fn export(
    tx: &mut Conn,
    exporter: &Exporter,
    wish: &Wish,
    user: &PersonId,
) -> Result<(Query, Files), Error> {
    let material = collect::material(tx, exporter, wish, user)?;
    let mut files =
        assemble(&material).map_err(|flaw| Error::fault("assembling an evidence bundle", flaw))?;
    seal(&mut files, exporter.log.signer(tx)?);
    Ok((material.query, files))
}
