//! People: who may use this server, by which tokens.
//!
//! Owns access to the server. Never says who may approve: the signed policy alone does, and hosts check it.

mod api;
mod model;
mod store;
#[cfg(test)]
mod tests;

pub use api::routes;
pub use model::PersonLine;

use crate::kernel::db::Db;
use crate::kernel::error::Error;
use crate::kernel::http::person::PersonGate;
use std::path::Path;

/// Recognises people by the digest of their token.
pub fn gate(db: &Db) -> PersonGate {
    let db = db.clone();
    PersonGate::new(move |secret, now| {
        let db = db.clone();
        async move { db.read("people.caller", move |tx| store::find_caller(tx, &secret, now)).await }
    })
}

/// Takes over the first administrator from `bootstrap.json` in the data directory, if the file is there.
/// Reading it again changes nothing.
pub async fn import_first_admin(db: &Db, data_dir: &Path) -> Result<(), Error> {
    let path = data_dir.join("bootstrap.json");
    let doing = || format!("reading {}", path.display());
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::fault(doing(), error)),
    };
    let first: model::Bootstrap = shared::strict::from_json("bootstrap.json", &bytes, 4_096)
        .map_err(|error| Error::fault(doing(), error))?;
    db.write("people.bootstrap", move |tx| Ok::<_, Error>(store::record_bootstrap(tx, &first)?)).await
}
