//! Publishing a manifest: checked as a host would, stored, recorded and signed in one transaction.

use super::edition::policy;
use super::model::{
    Accepted, Online, Publish, check_addition, check_renewal, odd, refused, unfit, unreadable,
};
use super::repository::{self, New, lock, newest, seal};
use super::store::{self, NewManifest};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::ledger::{self, Document};
use shared::admit::{self, Verified};
use shared::digest::Digest;
use shared::ledger::LeafKind;
use shared::limits;
use shared::manifest::{Artifact, Manifest};
use shared::publication::Publication;
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::tuf::{Role, TargetFile, TargetName, Targets};

/// A manifest whose own signature and form were checked.
pub(super) struct Sent {
    statement: Statement<Publication>,
    bytes: Vec<u8>,
    name: TargetName,
}

impl Sent {
    /// Everything that does not depend on what is stored; `None` when metadata is only renewed.
    pub fn read(publish: &Publish) -> Result<Option<Self>, Error> {
        let Some(target) = publish.target.clone() else { return Ok(None) };
        let statement = Statement::<Publication>::open(target).map_err(unreadable)?;
        let manifest = &statement.body.manifest;
        if manifest.team != publish.team {
            return Err(odd(format!("{} belongs to team {}", manifest.id(), manifest.team)).into());
        }
        let name = statement.body.target_name().parse().map_err(refused)?;
        Ok(Some(Self { bytes: statement.to_bytes(), statement, name }))
    }

    /// The blobs that hosts will ask for.
    pub fn artifacts(&self) -> Vec<Artifact> {
        self.statement.body.manifest.artifacts().collect()
    }
}

/// Adds a manifest to its team's content. Sending the same again answers the same.
pub(super) fn publish(
    tx: &mut Conn,
    online: &Online,
    (publish, sent): (&Publish, Option<&Sent>),
    now: Timestamp,
) -> Result<Accepted, Error> {
    lock(tx)?;
    let role = Role::Content(publish.team.clone());
    let bytes = publish.content.as_bytes();
    let content = shared::tuf::profile::read_targets(&role, bytes).map_err(refused)?;
    if let Some(known) = store::find_file(tx, &role, store::signed(content.version))?
        && known.bytes == bytes
    {
        return Ok(Accepted { version: known.snapshot.cast_unsigned() });
    }
    let before = newest::<Targets>(tx, &role)?;
    let fresh = match sent {
        Some(sent) => {
            let verified = check_publisher(tx, sent, now)?;
            let file = TargetFile::of(&sent.bytes);
            check_addition(before.as_ref(), &content, &sent.name, &file, publish.older)?;
            store_manifest(tx, sent, &verified, now)?
        }
        None => {
            check_renewal(&role, before.as_ref(), &content)?;
            false
        }
    };
    if !fresh {
        // Renewed metadata alone: it has a leaf too, so that the ledger's size tells what is to be seen here.
        record_metadata(tx, bytes, now)?;
    }
    let new = New { role, version: content.version, expires: content.expires, bytes: bytes.to_vec() };
    let online = &repository::signer(tx, online)?;
    let version = seal(tx, online, &[new], now)?;
    // The team's signature is checked here, in the way in which hosts check it.
    let trusted = repository::as_client(tx, now)?;
    match sent {
        Some(sent) => trusted.find(&sent.name).map_err(refused)?.map(drop),
        None => trusted.manifests(&publish.team).map(drop).map(Some).map_err(refused)?,
    }
    .ok_or_else(|| odd("hosts would not find it"))?;
    Ok(Accepted { version })
}

fn check_publisher(tx: &mut Conn, sent: &Sent, now: Timestamp) -> Result<Verified<Manifest>, Error> {
    let current = policy(tx)?;
    let verified = admit::verify_publication(&current.policy, &sent.bytes, now).map_err(unfit)?;
    if sent.statement.body.at > now.plus(limits::CLOCK_SKEW_SECS) {
        return Err(
            odd(format!("it is signed for {}, which is in the future", sent.statement.body.at)).into()
        );
    }
    Ok(verified)
}

/// A leaf for metadata that brings no new document.
pub(super) fn record_metadata(tx: &mut Conn, bytes: &[u8], now: Timestamp) -> Result<(), Error> {
    let document = Document::of_site(LeafKind::Audit, Digest::of(bytes), None, bytes.to_vec());
    let document = document.map_err(|error| Error::fault("recording metadata", error))?;
    ledger::record_one(tx, &document, now).map(drop)
}

/// True when the manifest is new to the ledger.
fn store_manifest(
    tx: &mut Conn,
    sent: &Sent,
    verified: &Verified<Manifest>,
    now: Timestamp,
) -> Result<bool, Error> {
    let (manifest, digest) = (verified.get(), verified.digest());
    let document = Document::of_site(LeafKind::Manifest, digest, None, sent.bytes.clone());
    let document = document.map_err(|error| Error::fault("recording a publication", error))?;
    let fresh = ledger::record_one(tx, &document, now)?.fresh;
    let target = sent.name.to_string();
    store::record_target(tx, &target, &sent.bytes, now)?;
    let new = NewManifest {
        team: &manifest.team,
        name: &manifest.name,
        version: &manifest.version,
        statement: &digest,
        target: &target,
        sha256: &Digest::of(&sent.bytes),
        publisher: verified.publisher(),
    };
    store::record_manifest(tx, &new, now)?;
    Ok(fresh)
}
