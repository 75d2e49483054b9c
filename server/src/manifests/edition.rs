//! Policy editions: which one counts now, and how governance brings the next one.

use super::model::{Accepted, Edition, Online, odd, refused, unreadable};
use super::publish::record_metadata;
use super::repository::{self, New, lock, newest, seal};
use super::store;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::ledger::{self, Document, Log};
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

/// Stores a policy document (and the roots that came with it) with their ledger leaves. True for a new edition.
pub(super) fn record(tx: &mut Conn, bytes: &[u8], roots: &[&[u8]], now: Timestamp) -> Result<bool, Error> {
    let policy = Policy::parse(bytes).map_err(unreadable)?;
    let digest = Digest::of(bytes);
    let mut documents = Vec::new();
    for (kind, bytes) in roots.iter().map(|root| (LeafKind::Root, *root)).chain([(LeafKind::Policy, bytes)]) {
        let document = Document::of_site(kind, Digest::of(bytes), None, bytes.to_vec());
        documents.push(document.map_err(|error| Error::fault("recording a policy edition", error))?);
    }
    ledger::record(tx, &documents, now)?;
    store::record_target(tx, &TargetName::Policy.to_string(), bytes, now)?;
    let known = store::find_policy(tx)?.is_some_and(|(current, _)| current == digest);
    if !known {
        store::insert_policy(tx, policy.version, &digest, now)?;
        ledger::set_witnesses(tx, &policy.log.witnesses)?;
    }
    Ok(!known)
}

/// Checks a new edition as hosts would, stores it and signs the repository again.
pub(super) fn publish(
    tx: &mut Conn,
    (online, log): (&Online, &Log),
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
    let (root, new) = root(tx, sent)?;
    let before = newest::<Root>(tx, &Role::Root)?;
    let keys = |root: &Root| root.roles.timestamp.keyids.clone();
    let renewed_keys = before.is_some_and(|before| keys(&before) != keys(root.root()));
    let policy = check(tx, &targets, sent.policy.as_bytes(), renewed_keys, now)?;
    let online = &online.fitting(root.root(), &targets)?;
    let vkey = policy.log.vkeys.first().map(String::as_str).unwrap_or_default();
    log.go_on_as(tx, vkey, now)?;
    let roots: Vec<&[u8]> = new.iter().map(|(_, text)| text.as_bytes()).collect();
    if !record(tx, sent.policy.as_bytes(), &roots, now)? {
        record_metadata(tx, sent.targets.as_bytes(), now)?;
    }
    let version = seal_with(tx, online, (&targets, &sent.targets), &new, now)?;
    // The signatures of governance are checked here, in the way in which hosts check them.
    repository::as_client(tx, now)?;
    Ok(Accepted { version })
}

fn seal_with(
    tx: &mut Conn,
    online: &Online,
    (targets, text): (&Targets, &str),
    roots: &[NewRoot<'_>],
    now: Timestamp,
) -> Result<u64, Error> {
    let bytes = text.as_bytes().to_vec();
    let new = New { role: Role::Targets, version: targets.version, expires: targets.expires, bytes };
    let mut files = vec![new];
    if !roots.is_empty()
        && let Some(changes) = newest::<Targets>(tx, &Role::Changes)?
    {
        // New online keys must have signed the list of changes too.
        files.push(repository::changes(online, changes.version + 1, changes.targets, now)?);
    }
    let version = seal(tx, online, &files, now)?;
    for (root, text) in roots {
        repository::insert_root(tx, root, text.as_bytes().to_vec(), version, now)?;
    }
    Ok(version)
}

/// A root that is not stored yet, and its text.
type NewRoot<'a> = (Root, &'a str);

/// The root that counts afterwards, proven by the chain, and those that are new.
fn root<'a>(tx: &mut Conn, sent: &'a Edition) -> Result<(ProvenRoot, Vec<NewRoot<'a>>), Error> {
    let stored = store::list_files(tx, &Role::Root)?;
    let mut chain: Vec<Vec<u8>> = stored.into_iter().map(|file| file.bytes).collect();
    let known = chain.len();
    let all = sent.roots.iter().chain(&sent.root).map(String::as_str);
    let new: Vec<&str> = all.filter(|text| !chain.iter().any(|known| known == text.as_bytes())).collect();
    chain.extend(new.iter().map(|text| text.as_bytes().to_vec()));
    let mut proven = verify_root_chain(&chain).map_err(refused)?;
    let new = proven.iter().skip(known).map(|proven| proven.root().clone()).zip(new).collect();
    Ok((proven.pop().ok_or_else(|| odd("the site has no root"))?, new))
}

/// With new online keys versions may be left out: a restored server does not know those that it has lost.
fn check(
    tx: &mut Conn,
    targets: &Targets,
    policy: &[u8],
    renewed_keys: bool,
    now: Timestamp,
) -> Result<Policy, Error> {
    let have = newest::<Targets>(tx, &Role::Targets)?.map_or(0, |targets| targets.version);
    if targets.version != have + 1 && !(renewed_keys && targets.version > have) {
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
    Ok(new)
}
