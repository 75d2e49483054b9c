//! The stored repository: every write signs a new snapshot and timestamp in the same transaction.

use super::edition;
use super::model::{Online, refused};
use super::store::{self, File, signed};
use crate::fleet;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::kernel::generation;
use shared::bundle::Control;
use shared::digest::{Digest, hex};
use shared::ids::{ChangeId, SiteId};
use shared::strict::{self, Map};
use shared::time::Timestamp;
use shared::tuf::client::{self, Stored};
use shared::tuf::metadata::Payload;
use shared::tuf::{
    Role, Root, Signed, Snapshot, TargetFile, TargetName, Targets, Timestamp as TufTimestamp, Trusted,
    TufError, profile, writer,
};
use std::collections::BTreeMap;
use std::path::Path;

const DAY: i64 = 86_400;
/// Short, because its age is all that protects against somebody who withholds news.
const TIMESTAMP_SECS: i64 = DAY;
const TIMESTAMP_EVERY_SECS: i64 = 3_600;
/// A week without a server still leaves hosts their running changes.
const SNAPSHOT_SECS: i64 = 7 * DAY;
/// Clients in the middle of a refresh still find what they were told of.
const KEPT_SECS: i64 = 2 * DAY;

/// From here to the end of the transaction nobody else writes to the repository, on any node.
/// Take it before the ledger's lock.
pub fn lock(tx: &mut Conn) -> Result<(), Error> {
    Ok(tx.lock("site")?)
}

/// Metadata to be stored and pinned.
pub(super) struct New {
    pub role: Role,
    pub version: u64,
    pub expires: Timestamp,
    pub bytes: Vec<u8>,
}

/// Stores `new`, pins it in a new snapshot and signs that. Returns the snapshot's version. The caller holds the lock.
pub(super) fn seal(tx: &mut Conn, online: &Online, new: &[New], now: Timestamp) -> Result<u64, Error> {
    let before = newest::<Snapshot>(tx, &Role::Snapshot)?;
    let version = before.as_ref().map_or(1, |before| before.version + 1);
    let files: Vec<(Role, &[u8])> =
        new.iter().map(|file| (file.role.clone(), file.bytes.as_slice())).collect();
    let expires = now.plus(SNAPSHOT_SECS);
    let snapshot = writer::snapshot(version, expires, before.as_ref(), &files).map_err(refused)?;
    let bytes = online.sign(snapshot);
    for file in new {
        insert(tx, &file.role, (file.version, file.expires, version), file.bytes.clone(), now)?;
    }
    insert(tx, &Role::Snapshot, (version, expires, version), bytes.clone(), now)?;
    stamp(tx, online, (version, &bytes), now)?;
    Ok(version)
}

fn insert(
    tx: &mut Conn,
    role: &Role,
    (version, expires, snapshot): (u64, Timestamp, u64),
    bytes: Vec<u8>,
    now: Timestamp,
) -> Result<(), Error> {
    let (version, snapshot) = (signed(version), signed(snapshot));
    Ok(store::insert_file(tx, role, &File { version, bytes, expires: expires.0, snapshot, stored: now.0 })?)
}

/// Signs a timestamp over the snapshot; only the newest is kept.
fn stamp(
    tx: &mut Conn,
    online: &Online,
    (pinned, snapshot): (u64, &[u8]),
    now: Timestamp,
) -> Result<(), Error> {
    let before = newest::<TufTimestamp>(tx, &Role::Timestamp)?;
    let version = before.map_or(1, |before| before.version + 1);
    let expires = now.plus(TIMESTAMP_SECS);
    let timestamp = writer::timestamp(version, expires, now, snapshot).map_err(refused)?;
    insert(tx, &Role::Timestamp, (version, expires, pinned), online.sign(timestamp), now)?;
    store::purge_files(tx, &Role::Timestamp, signed(version), Timestamp(i64::MAX))?;
    generation::bump(tx, fleet::TIMESTAMP)?;
    Ok(())
}

pub(super) fn insert_root(
    tx: &mut Conn,
    root: &shared::tuf::Root,
    bytes: Vec<u8>,
    snapshot: u64,
    now: Timestamp,
) -> Result<(), Error> {
    insert(tx, &Role::Root, (root.version, root.expires, snapshot), bytes, now)
}

/// The newest metadata of a role, which this server has verified or signed when it stored it.
pub(super) fn newest<T: Payload>(tx: &mut Conn, role: &Role) -> Result<Option<T>, Error> {
    let Some(file) = store::find_newest(tx, role)? else { return Ok(None) };
    let read = Signed::<T>::parse(role, &file.bytes).map_err(damaged)?;
    Ok(Some(read.signed))
}

pub(super) fn damaged(error: TufError) -> Error {
    Error::fault("reading the stored repository; restore the database from a backup", error)
}

/// What is listed of the changes' files under this name.
pub fn listed(tx: &mut Conn, name: &TargetName) -> Result<Option<TargetFile>, Error> {
    let newest = newest::<Targets>(tx, &Role::Changes)?;
    Ok(newest.and_then(|targets| targets.targets.get(name).cloned()))
}

/// Lists these files, and of `whole` changes no others. The caller holds the lock.
///
/// Writes nothing when everything is listed like that already.
pub fn set_changes(
    tx: &mut Conn,
    online: &Online,
    whole: &[ChangeId],
    files: &[(TargetName, Vec<u8>)],
    now: Timestamp,
) -> Result<(), Error> {
    let before = newest::<Targets>(tx, &Role::Changes)?;
    let version = before.as_ref().map_or(1, |before| before.version + 1);
    let listed = before.map(|before| before.targets).unwrap_or_default();
    let mut after = listed.clone();
    after.0.retain(|name, _| name.change().is_none_or(|id| !whole.contains(id)));
    for (name, bytes) in files {
        let file = TargetFile::of(bytes);
        if listed.get(name) != Some(&file) {
            store::record_target(tx, &name.to_string(), bytes, now)?;
        }
        after.insert(name.clone(), file);
    }
    for (name, old) in listed.iter().filter(|(name, old)| after.get(name) != Some(old)) {
        store::update_unlisted(tx, &name.to_string(), &old.hashes.sha256, now)?;
    }
    if after == listed && version > 1 {
        return Ok(());
    }
    let online = &signer(tx, online)?;
    let new = changes(online, version, after, now)?;
    seal(tx, online, &[new], now).map(drop)
}

pub(super) fn changes(
    online: &Online,
    version: u64,
    files: Map<TargetName, TargetFile>,
    now: Timestamp,
) -> Result<New, Error> {
    let expires = now.plus(SNAPSHOT_SECS);
    let targets = writer::changes(version, expires, files).map_err(refused)?;
    Ok(New { role: Role::Changes, version, expires, bytes: online.sign(targets) })
}

/// Signs again what is due: the timestamp every hour, snapshot and changes at half of their life.
/// True when something was signed.
pub fn resign(tx: &mut Conn, online: &Online, now: Timestamp) -> Result<bool, Error> {
    lock(tx)?;
    let Some(timestamp) = newest::<TufTimestamp>(tx, &Role::Timestamp)? else { return Ok(false) };
    let half = now.plus(SNAPSHOT_SECS / 2);
    let old_changes = newest::<Targets>(tx, &Role::Changes)?.filter(|changes| changes.expires <= half);
    let snapshot = store::find_newest(tx, &Role::Snapshot)?;
    let (Some(snapshot), Some((root, targets))) = (snapshot, anchors(tx)?) else { return Ok(false) };
    // A clock that went back must not leave hosts with a timestamp that ends too early.
    let age = now.since(timestamp.issued);
    let due =
        age >= TIMESTAMP_EVERY_SECS || timestamp.expires.since(now) < TIMESTAMP_SECS - TIMESTAMP_EVERY_SECS;
    let old_snapshot = snapshot.expires <= half.0;
    if !due && !old_snapshot && old_changes.is_none() {
        return Ok(false);
    }
    let online = &online.fitting(&root, &targets)?;
    match old_changes {
        Some(old) => {
            let new = changes(online, old.version + 1, old.targets, now)?;
            seal(tx, online, &[new], now)?;
        }
        None if old_snapshot => drop(seal(tx, online, &[], now)?),
        None => stamp(tx, online, (snapshot.version.cast_unsigned(), &snapshot.bytes), now)?,
    }
    purge(tx, now)?;
    Ok(true)
}

/// Old snapshots and lists of changes prove nothing; roots, targets and content stay for evidence.
fn purge(tx: &mut Conn, now: Timestamp) -> Result<(), Error> {
    let before = now.plus(-KEPT_SECS);
    for role in [Role::Snapshot, Role::Changes] {
        if let Some(newest) = store::find_newest(tx, &role)? {
            store::purge_files(tx, &role, newest.version, before)?;
        }
    }
    Ok(store::purge_targets(tx, before)?)
}

/// The root in force.
pub fn newest_root(tx: &mut Conn) -> Result<Root, Error> {
    let missing = || Error::fault("reading the site repository", "it has no root; start the server once");
    newest(tx, &Role::Root)?.ok_or_else(missing)
}

/// The newest root and top-level targets.
pub(super) fn anchors(tx: &mut Conn) -> Result<Option<(shared::tuf::Root, Targets)>, Error> {
    let root = newest(tx, &Role::Root)?;
    let targets = newest(tx, &Role::Targets)?;
    Ok(root.zip(targets))
}

/// Signs with the key that the newest root names; with the first one while there is no root.
pub(super) fn signer(tx: &mut Conn, online: &Online) -> Result<Online, Error> {
    match anchors(tx)? {
        Some((root, targets)) => Ok(online.fitting(&root, &targets)?),
        None => Ok(online.clone()),
    }
}

/// Verifies the whole stored repository as a host does at `now`.
pub(super) fn as_client(tx: &mut Conn, now: Timestamp) -> Result<Trusted, Error> {
    let mut stored = Stored::default();
    for role in store::list_roles(tx)? {
        let Some(file) = store::find_newest(tx, &role)? else { continue };
        match role {
            Role::Root => stored.root = file.bytes,
            role => drop(stored.others.insert(role, file.bytes)),
        }
    }
    Ok(client::offline(stored, now).map_err(refused)?)
}

/// Version of the newest timestamp; 0 before the first.
pub fn timestamp_version(tx: &mut Conn) -> Result<u64, Error> {
    Ok(store::find_newest(tx, &Role::Timestamp)?.map_or(0, |file| file.version.cast_unsigned()))
}

/// The files that the key ceremony left for the first start.
pub struct First {
    root: Vec<u8>,
    policy: Vec<u8>,
    targets: Vec<u8>,
    content: Vec<(Role, Vec<u8>)>,
}

impl First {
    /// `None` when there is no such directory: the database knows the site already.
    pub fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let failed = |path: &Path, error| Error::fault(format!("reading {}", path.display()), error);
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(dir, error)),
        };
        let mut found = BTreeMap::new();
        for entry in entries {
            let path = entry.map_err(|error| failed(dir, error))?.path();
            let bytes = std::fs::read(&path).map_err(|error| failed(&path, error))?;
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            found.insert(name, bytes);
        }
        let mut take = |name: &str| {
            let missing =
                || Error::fault(format!("importing {}", dir.display()), format!("{name} is missing"));
            found.remove(name).ok_or_else(missing)
        };
        let (root, targets, policy) = (take("1.root.json")?, take("1.targets.json")?, take("policy.json")?);
        let content = found.into_iter().filter_map(|(name, bytes)| {
            let role = name.strip_prefix("1.")?.strip_suffix(".json")?.parse().ok()?;
            matches!(role, Role::Content(_)).then_some((role, bytes))
        });
        Ok(Some(Self { root, policy, targets, content: content.collect() }))
    }

    #[cfg(test)]
    pub fn new(root: Vec<u8>, policy: Vec<u8>, targets: Vec<u8>, content: Vec<(Role, Vec<u8>)>) -> Self {
        Self { root, policy, targets, content }
    }
}

/// Takes over the first files, once, and signs the first snapshot. Nothing happens when a root is stored.
pub fn import(
    tx: &mut Conn,
    online: &Online,
    site: &SiteId,
    first: Option<&First>,
    now: Timestamp,
) -> Result<(), Error> {
    lock(tx)?;
    if store::find_newest(tx, &Role::Root)?.is_some() {
        return Ok(());
    }
    let doing = "importing the first files of the site";
    let Some(first) = first else {
        return Err(Error::fault(doing, "the directory `site` is missing; copy it from the key ceremony"));
    };
    if hex(&Digest::of(&first.root).0[..8]) != site.as_str() {
        return Err(Error::fault(doing, "1.root.json is not the root of the site that site_id names"));
    }
    let targets =
        profile::read_targets(&Role::Targets, &first.targets).map_err(|e| Error::fault(doing, e))?;
    let root = profile::read_root(&first.root).map_err(|e| Error::fault(doing, e))?;
    let online = &online.fitting(&root, &targets)?;
    insert(tx, &Role::Root, (1, root.expires, 1), first.root.clone(), now)?;
    edition::record(tx, &first.policy, &[&first.root], now)?;
    let control = strict::to_json(&Control::default());
    store::record_target(tx, Control::TARGET, &control, now)?;
    let listed = Map::from_iter([(TargetName::Control, TargetFile::of(&control))]);
    let mut new = vec![changes(online, 1, listed, now)?];
    new.push(New { role: Role::Targets, version: 1, expires: targets.expires, bytes: first.targets.clone() });
    for (role, bytes) in &first.content {
        let content = profile::read_targets(role, bytes).map_err(|e| Error::fault(doing, e))?;
        new.push(New { role: role.clone(), version: 1, expires: content.expires, bytes: bytes.clone() });
    }
    seal(tx, online, &new, now)?;
    as_client(tx, now).map(drop)
}

/// What an evidence bundle needs from the repository: everything that vouches for policies and manifests.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Policy documents by version.
    pub policies: BTreeMap<u64, Vec<u8>>,
    /// All roots and top-level targets, and the newest content of each team, by served name.
    pub keys: BTreeMap<String, Vec<u8>>,
}

pub fn evidence(tx: &mut Conn) -> Result<Evidence, Error> {
    let mut keys = BTreeMap::new();
    for role in store::list_roles(tx)? {
        let files = match role {
            Role::Root | Role::Targets => store::list_files(tx, &role)?,
            // Nothing is ever removed from a team's content, so the newest lists all there ever was.
            Role::Content(_) => store::find_newest(tx, &role)?.into_iter().collect(),
            Role::Timestamp | Role::Snapshot | Role::Changes | Role::Other(_) => Vec::new(),
        };
        keys.extend(files.into_iter().map(|file| (role.file(file.version.cast_unsigned()), file.bytes)));
    }
    Ok(Evidence { policies: store::list_policies(tx)?.into_iter().collect(), keys })
}
