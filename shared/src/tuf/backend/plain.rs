//! The client by the specification alone: any names, keys and delegations. For comparing it with other clients.
//!
//! Nothing that is installed contains this (feature `plain-tuf`). Consistent snapshots are taken for granted.

use super::{library, refusal};
use crate::time::Timestamp as Time;
use crate::tuf::client::{Step, Targeted};
use crate::tuf::error::TufError;
use crate::tuf::metadata::Dated;
use crate::tuf::names::{Role, quoted};
use crate::tuf::rules::{Ahead, Pin, Rules};
use sha2::Digest as _;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Whether a signature is good: name of the scheme, raw public key, message, signature.
pub type Verify = fn(&str, &[u8], &[u8], &[u8]) -> bool;

static OTHER_SCHEMES: OnceLock<Verify> = OnceLock::new();

/// From now on signatures of other schemes than ed25519 are verified by `verify`. The first call counts.
pub fn also_verify(verify: Verify) {
    OTHER_SCHEMES.get_or_init(|| verify);
}

pub(super) fn other_schemes() -> Option<Verify> {
    OTHER_SCHEMES.get().copied()
}

/// The rules of any repository; the target that is looked for, if one is.
#[derive(Clone, Debug, Default)]
pub struct Plain {
    wanted: Option<String>,
}

impl Plain {
    pub fn looking_for(target: &str) -> Self {
        Self { wanted: Some(target.into()) }
    }
}

/// The end of a refresh, and of the search for a target.
#[derive(Debug)]
pub struct Search(Targeted<Plain>);

impl Search {
    /// The target that was looked for, from the first role in the order of delegations that lists it.
    pub fn found(&self) -> Option<Target> {
        let name = self.0.rules().wanted.as_ref()?;
        let file = self.0.seen().find_map(|targets| targets.target(name))?;
        Some(Target { name: name.clone(), length: file.length, hashes: file.hashes.clone() })
    }

    /// Looks for another target with the same files, as far as they are the ones.
    pub fn again(self, target: &str) -> Result<Step<Plain>, TufError> {
        self.0.again(Plain::looking_for(target))
    }
}

/// What a repository says of a target.
#[derive(Clone, Debug)]
pub struct Target {
    name: String,
    /// Bytes.
    pub length: u64,
    hashes: BTreeMap<String, String>,
}

impl Target {
    /// The path below the address of the targets: `<directory>/<digest>.<file>`, percent-encoded.
    pub fn served_as(&self) -> Result<String, TufError> {
        let known = ["sha256", "sha512"].into_iter().find_map(|algorithm| self.hashes.get(algorithm));
        let digest = known.ok_or_else(|| self.refused("it has no digest of a known kind".into()))?;
        let mut parts: Vec<String> = self.name.split('/').map(quoted).collect();
        if let Some(file) = parts.last_mut() {
            *file = format!("{}.{file}", quoted(digest));
        }
        Ok(parts.join("/"))
    }

    /// A file name for it, the same for all its versions; never a path.
    pub fn kept_as(&self) -> String {
        quoted(&self.name)
    }

    /// Whether `bytes` are the target: its length, and every digest of a known kind; there must be one.
    pub fn check(&self, bytes: &[u8]) -> Result<(), TufError> {
        if bytes.len() as u64 != self.length {
            let why = format!("it has {} bytes, {} are signed", bytes.len(), self.length);
            return Err(self.refused(why));
        }
        let mut known = false;
        for (algorithm, signed) in &self.hashes {
            let found = match algorithm.as_str() {
                "sha256" => hex(&sha2::Sha256::digest(bytes)),
                "sha512" => hex(&sha2::Sha512::digest(bytes)),
                _ => continue,
            };
            if found != *signed {
                return Err(self.refused(format!("its {algorithm} is {found}, {signed} is signed")));
            }
            known = true;
        }
        if known { Ok(()) } else { Err(self.refused("it has no digest of a known kind".into())) }
    }

    fn refused(&self, why: String) -> TufError {
        TufError::Hash { file: crate::strict::shorten(&self.name), why }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

macro_rules! dated {
    ($($type:ident),*) => {$(
        impl Dated for library::$type {
            fn version(&self) -> u64 {
                self.version
            }
            fn expires(&self) -> Time {
                Time(self.expires.as_second())
            }
        }
    )*};
}
dated!(Root, Timestamp, Snapshot, Targets);

fn read<T: library::Role + Clone>(role: &Role, bytes: &[u8]) -> Result<T, TufError> {
    let file = library::Metadata::<T>::from_slice(bytes).map_err(|e| refusal(role, e))?;
    Ok(file.signed().clone())
}

fn pin(file: &library::MetaFile) -> Pin {
    let sha256 = file.hashes.as_ref().and_then(|hashes| hashes.get("sha256")?.parse().ok());
    Pin { version: file.version, length: file.length, sha256 }
}

fn named(role: &str) -> Role {
    if role == "targets" { Role::Targets } else { Role::Other(role.into()) }
}

impl Rules for Plain {
    type Root = library::Root;
    type Timestamp = library::Timestamp;
    type Snapshot = library::Snapshot;
    type Targets = library::Targets;
    type Result = Search;
    const SEARCHES: bool = true;

    fn read_root(&self, bytes: &[u8]) -> Result<library::Root, TufError> {
        read(&Role::Root, bytes)
    }

    fn read_timestamp(&self, bytes: &[u8]) -> Result<library::Timestamp, TufError> {
        read(&Role::Timestamp, bytes)
    }

    fn read_snapshot(&self, bytes: &[u8]) -> Result<library::Snapshot, TufError> {
        read(&Role::Snapshot, bytes)
    }

    fn read_targets(&self, role: &Role, bytes: &[u8]) -> Result<library::Targets, TufError> {
        read(role, bytes)
    }

    fn snapshot_pin(timestamp: &library::Timestamp) -> Result<Pin, TufError> {
        let unpinned = || TufError::profile(&Role::Timestamp, "it does not pin snapshot.json");
        timestamp.snapshot_meta().map(pin).ok_or_else(unpinned)
    }

    fn pin(snapshot: &library::Snapshot, role: &Role) -> Option<Pin> {
        snapshot.meta.get(&format!("{role}.json")).map(pin)
    }

    fn versions(snapshot: &library::Snapshot) -> BTreeMap<Role, u64> {
        let named = |name: &str| named(name.strip_suffix(".json").unwrap_or(name));
        snapshot.meta.iter().map(|(name, file)| (named(name), file.version)).collect()
    }

    /// Nothing more when the target is found; else the delegations that its name matches, up to one that ends the
    /// search (specification 5.6.7).
    fn ahead(&self, _: &library::Snapshot, targets: &library::Targets) -> Result<Ahead, TufError> {
        let Some(wanted) = &self.wanted else { return Ok(Ahead::default()) };
        if targets.target(wanted).is_some() {
            return Ok(Ahead { roles: Vec::new(), forgets_others: true });
        }
        let mut ahead = Ahead::default();
        for delegation in targets.delegations.iter().flat_map(|delegations| &delegations.roles) {
            if !delegation.matches_path(wanted).map_err(|e| refusal(&Role::Targets, e))? {
                continue;
            }
            ahead.roles.push(Role::Other(delegation.name.clone()));
            if delegation.terminating {
                ahead.forgets_others = true;
                break;
            }
        }
        Ok(ahead)
    }

    fn is_needed(_: &Role) -> bool {
        true
    }

    fn done(walked: Targeted<Self>) -> Search {
        Search(walked)
    }
}
