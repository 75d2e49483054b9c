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
pub(crate) use model::{Grant, Granted, NewToken, TokenLine};
pub use store::has_access;

use crate::audit::{self, Action};
use crate::kernel::config::Config;
use crate::kernel::db::Db;
use crate::kernel::error::Error;
use crate::kernel::http::person::PersonGate;
use crate::ledger::Log;
use shared::digest::Digest;
use shared::time::Timestamp;

/// Recognises people by the digest of their token.
pub fn gate(db: &Db) -> PersonGate {
    let (db, all) = (db.clone(), db.clone());
    let find = move |secret, now| {
        let db = db.clone();
        async move { db.read("people.caller", move |tx| store::find_caller(tx, &secret, now)).await }
    };
    let list = move |now| {
        let db = all.clone();
        async move { db.read("people.tokens", move |tx| store::list_tokens(tx, now)).await }
    };
    PersonGate::new(find, list)
}

/// Takes over the first administrator from `bootstrap.json` in the data directory, if the file is there.
/// Reading it again changes nothing. A file of another site or another log key is a mix-up and stops the start.
pub async fn import_first_admin(db: &Db, config: &Config, log: &Log, now: Timestamp) -> Result<(), Error> {
    let path = config.data_dir.join("bootstrap.json");
    let doing = || format!("reading {}", path.display());
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::fault(doing(), error)),
    };
    let first: model::Bootstrap = shared::strict::from_json("bootstrap.json", &bytes, 4_096)
        .map_err(|error| Error::fault(doing(), error))?;
    if first.site != config.site_id {
        return Err(Error::fault(
            doing(),
            format!("it is for the site {}, this is {}", first.site, config.site_id),
        ));
    }
    if first.log_vkey != log.vkey() {
        return Err(Error::fault(
            doing(),
            format!("its log key is not the one in {}", config.log_key.display()),
        ));
    }
    db.write("people.bootstrap", move |tx| {
        if !store::record_bootstrap(tx, &first, now)? {
            return Ok::<_, Error>(());
        }
        // Nobody had access before, so nobody else waits for these rows.
        let (object, request) = (format!("person {}", first.person), Digest::of(&first.token_sha256.0));
        audit::record(tx, &Action { by: None, name: "people.bootstrap", object, request }, now)
    })
    .await
}
