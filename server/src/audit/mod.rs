//! The audit trail: every administrative action has a record in the ledger, made in the transaction that does it.
//!
//! Owns the records and their order. Never: a secret, a person's name, or a record of something that did not happen.
//!
//! What has a signed document of its own in the ledger (a revision, an approval, a policy) or a step of a change needs no
//! second record; a test holds that every writing route has one or the other.

mod api;
mod store;

pub(crate) use api::Wanted;
pub use api::routes;

use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::ledger::{self, Document};
use serde::Serialize;
use shared::audit::AuditRecord;
use shared::digest::Digest;
use shared::ids::PersonId;
use shared::ledger::LeafKind;
use shared::strict;
use shared::time::Timestamp;

/// An action that is being done.
#[derive(Debug)]
pub struct Action<'a> {
    /// Absent for commands of the server itself.
    pub by: Option<&'a PersonId>,
    pub name: &'static str,
    pub object: String,
    pub request: Digest,
}

impl<'a> Action<'a> {
    /// What a person asks for; of `request` only the digest is kept.
    pub fn by<T: Serialize>(
        person: &'a PersonId,
        name: &'static str,
        object: impl ToString,
        request: &T,
    ) -> Self {
        let request = Digest::of(&strict::to_json(request));
        Self { by: Some(person), name, object: object.to_string(), request }
    }
}

/// Records an action in the transaction that does it: both become durable, or none. Takes the ledger's lock, so it comes
/// before rows that others change.
pub fn record(tx: &mut Conn, action: &Action<'_>, now: Timestamp) -> Result<(), Error> {
    append(tx, LeafKind::Audit, action, now)
}

/// Records that a bundle is handed out. A leaf of its own kind, which bundles leave out at the end of the ledger: otherwise
/// the same question would never get the same answer again.
pub fn record_export(tx: &mut Conn, action: &Action<'_>, now: Timestamp) -> Result<(), Error> {
    append(tx, LeafKind::Export, action, now)
}

fn append(tx: &mut Conn, kind: LeafKind, action: &Action<'_>, now: Timestamp) -> Result<(), Error> {
    ledger::lock(tx)?;
    let record = AuditRecord {
        schema: AuditRecord::SCHEMA.into(),
        number: store::last_number(tx)? + 1,
        at: now,
        person: action.by.cloned(),
        action: action.name.into(),
        object: action.object.clone(),
        request: action.request,
    };
    let document = Document::of_site(kind, record.digest(), None, record.to_bytes());
    let document = document.map_err(|error| Error::fault("recording an action", error))?;
    ledger::record_one(tx, &document, now)?;
    Ok(store::insert(tx, &record)?)
}

/// Digests of the records of a time, in their order, without so many of the newest records of all.
pub fn list_between(
    tx: &mut Conn,
    (from, to): (Timestamp, Timestamp),
    without_newest: u64,
) -> Result<Vec<Digest>, Error> {
    let end = store::last_number(tx)?.saturating_sub(without_newest);
    store::list_between(tx, (from, to), end)
}
