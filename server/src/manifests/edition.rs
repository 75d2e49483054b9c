//! Policy editions: which one counts now, and how governance brings the next one.

use super::model::{Accepted, Edition, Online, odd, refused, unreadable};
use super::publish::record_metadata;
use super::repository::{self, New, lock, newest, seal};
use super::store;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::ledger::{self, Document};
use shared::digest::Digest;
use shared::ledger::LeafKind;
use shared::policy::Policy;
use shared::time::Timestamp;
use shared::tuf::history::{ProvenRoot, verify_root_chain};
use shared::tuf::{Role, Root, TargetFile, TargetName, Targets};

/// The policy in force, with the digest of its document.
#[derive(Debug, Clone)]
pub struct CurrentPolicy {
    pub policy: Policy,
    pub digest: Digest,
}

/// The newest edition.
pub fn policy(tx: &mut Conn) -> Result<CurrentPolicy, Error> {
    let doing = "reading the policy";
    let found = store::find_policy(tx)?;
    let (digest, bytes) =
        found.ok_or_else(|| Error::fault(doing, "none was imported; restart the server"))?;
    let policy = Policy::parse(&bytes).map_err(|error| Error::fault(doing, error))?;
    Ok(CurrentPolicy { policy, digest })
}

/// Stores a policy document (and the root that came with it) with their ledger leaves. True for a new edition.
pub(super) fn record(
    tx: &mut Conn,
    bytes: &[u8],
    root: Option<&[u8]>,
    now: Timestamp,
) -> Result<bool, Error> {
    let policy = Policy::parse(bytes).map_err(unreadable)?;
    let digest = Digest::of(bytes);
    let mut documents = Vec::new();
    for (kind, bytes) in
        root.map(|root| (LeafKind::Root, root)).into_iter().chain([(LeafKind::Policy, bytes)])
    {
        let document = Document::of_site(kind, Digest::of(bytes), None, bytes.to_vec());
        documents.push(document.map_err(|error| Error::fault("recording a policy edition", error))?);
    }
    ledger::record(tx, &documents, now)?;
    store::record_target(tx, &TargetName::Policy.to_string(), bytes, now)?;
    let known = store::find_policy(tx)?.is_some_and(|(current, _)| current == digest);
    if !known {
        store::insert_policy(tx, policy.version, &digest, now)?;
    }
    Ok(!known)
}

/// Checks a new edition as hosts would, stores it and signs the repository again.
pub(super) fn publish(
    tx: &mut Conn,
    online: &Online,
    sent: &Edition,
    now: Timestamp,
) -> Result<Accepted, Error> {
    lock(tx)?;
    let targets =
        shared::tuf::profile::read_targets(&Role::Targets, sent.targets.as_bytes()).map_err(refused)?;
    if let Some(known) = store::find_file(tx, &Role::Targets, store::signed(targets.version))?
        && known.bytes == sent.targets.as_bytes()
    {
        return Ok(Accepted { version: known.snapshot.cast_unsigned() });
    }
    let (root, new_root) = root(tx, sent.root.as_deref())?;
    check(tx, &targets, sent.policy.as_bytes(), now)?;
    online.check(root.root(), &targets)?;
    if !record(tx, sent.policy.as_bytes(), new_root.map(str::as_bytes), now)? {
        record_metadata(tx, sent.targets.as_bytes(), now)?;
    }
    let version =
        seal_with(tx, online, (&targets, &sent.targets), new_root.map(|text| (root.root(), text)), now)?;
    // The signatures of governance are checked here, in the way in which hosts check them.
    repository::as_client(tx, now)?;
    Ok(Accepted { version })
}

fn seal_with(
    tx: &mut Conn,
    online: &Online,
    (targets, text): (&Targets, &str),
    root: Option<(&Root, &str)>,
    now: Timestamp,
) -> Result<u64, Error> {
    let bytes = text.as_bytes().to_vec();
    let new = New { role: Role::Targets, version: targets.version, expires: targets.expires, bytes };
    let mut files = vec![new];
    if root.is_some()
        && let Some(changes) = newest::<Targets>(tx, &Role::Changes)?
    {
        // New online keys must have signed the list of changes too.
        files.push(repository::changes(online, changes.version + 1, changes.targets, now)?);
    }
    let version = seal(tx, online, &files, now)?;
    if let Some((root, text)) = root {
        repository::insert_root(tx, root, text.as_bytes().to_vec(), version, now)?;
    }
    Ok(version)
}

/// The root that counts afterwards, proven by the chain, and the new one if there is one.
fn root<'a>(tx: &mut Conn, sent: Option<&'a str>) -> Result<(ProvenRoot, Option<&'a str>), Error> {
    let stored = store::list_files(tx, &Role::Root)?;
    let mut chain: Vec<Vec<u8>> = stored.into_iter().map(|file| file.bytes).collect();
    let new = sent.filter(|text| chain.last().is_none_or(|last| last.as_slice() != text.as_bytes()));
    chain.extend(new.map(|text| text.as_bytes().to_vec()));
    let proven = verify_root_chain(&chain).map_err(refused)?;
    let newest = proven.into_iter().next_back();
    Ok((newest.ok_or_else(|| odd("the site has no root"))?, new))
}

fn check(tx: &mut Conn, targets: &Targets, policy: &[u8], now: Timestamp) -> Result<(), Error> {
    let have = newest::<Targets>(tx, &Role::Targets)?.map_or(0, |targets| targets.version);
    if targets.version != have + 1 {
        let refusal = Refusal::conflict("site.not_next").with("file", Role::Targets.stored_file());
        return Err(refusal.with("have", have).with("sent", targets.version).into());
    }
    if targets.expires <= now {
        return Err(odd(format!("the new targets expired at {}", targets.expires)).into());
    }
    if targets.targets.get(&TargetName::Policy) != Some(&TargetFile::of(policy)) {
        return Err(odd("the targets do not list policy.json with the digest of the policy sent").into());
    }
    let new = Policy::parse(policy).map_err(unreadable)?;
    let current = self::policy(tx)?;
    if new.site != current.policy.site {
        return Err(odd(format!("the policy is for site {}", new.site)).into());
    }
    let renewed = Digest::of(policy) == current.digest;
    if !renewed && new.version <= current.policy.version {
        let refusal = Refusal::conflict("policy.not_newer");
        return Err(refusal.with("have", current.policy.version).with("sent", new.version).into());
    }
    Ok(())
}
