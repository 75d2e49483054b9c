//! What a repository must keep beyond the specification, as a parameter of the one client.
//!
//! [`Site`] is the profile of a site repository, the only one that hosts know. The other rules, which ask for
//! nothing more than the specification, exist to compare the client with others (`plain`).

use super::client::Targeted;
use super::error::TufError;
use super::metadata::{Dated, MetaFile, Root, Snapshot, Targets, Timestamp, check_pin};
use super::names::Role;
use super::profile::{read_root, read_snapshot, read_targets, read_timestamp};
use super::trusted::Trusted;
use crate::digest::Digest;
use std::collections::BTreeMap;
use std::fmt;

/// How metadata is read, which delegations are followed, and what a refresh gives.
///
/// Reading checks everything but signatures, pins, versions and expiry; those are the client's.
pub trait Rules: fmt::Debug + Sized {
    type Root: Dated + fmt::Debug;
    type Timestamp: Dated + fmt::Debug;
    type Snapshot: Dated + fmt::Debug;
    type Targets: Dated + fmt::Debug;
    type Result: fmt::Debug;
    /// Whether a result goes on searching, from the files that were fetched for it.
    const SEARCHES: bool;

    fn read_root(&self, bytes: &[u8]) -> Result<Self::Root, TufError>;
    fn read_timestamp(&self, bytes: &[u8]) -> Result<Self::Timestamp, TufError>;
    fn read_snapshot(&self, bytes: &[u8]) -> Result<Self::Snapshot, TufError>;
    fn read_targets(&self, role: &Role, bytes: &[u8]) -> Result<Self::Targets, TufError>;
    fn snapshot_pin(timestamp: &Self::Timestamp) -> Result<Pin, TufError>;
    fn pin(snapshot: &Self::Snapshot, role: &Role) -> Option<Pin>;
    /// The pinned versions; none of them may go back.
    fn versions(snapshot: &Self::Snapshot) -> BTreeMap<Role, u64>;
    /// The delegations of `targets` that are followed next.
    fn ahead(&self, snapshot: &Self::Snapshot, targets: &Self::Targets) -> Result<Ahead, TufError>;
    /// Whether a refresh fails when this delegated role cannot be used.
    fn is_needed(role: &Role) -> bool;
    fn done(walked: Targeted<Self>) -> Self::Result;
}

/// Which delegated roles come next, in their order.
#[derive(Debug, Default)]
pub struct Ahead {
    pub roles: Vec<Role>,
    /// A terminating delegation: what was to come after it is not looked at any more.
    pub forgets_others: bool,
}

/// What signed metadata says of another metadata file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    pub version: u64,
    /// Bytes.
    pub length: Option<u64>,
    pub sha256: Option<Digest>,
}

impl Pin {
    /// Whether only one file can be the pinned one.
    pub fn is_exact(&self) -> bool {
        self.sha256.is_some()
    }

    /// Whether `bytes` may be the pinned file of `role`.
    pub fn check(&self, role: &Role, bytes: &[u8]) -> Result<(), TufError> {
        check_pin(&role.stored_file(), self.length, self.sha256, bytes)
    }
}

impl From<&MetaFile> for Pin {
    fn from(file: &MetaFile) -> Self {
        Self { version: file.version, length: Some(file.length), sha256: Some(file.hashes.sha256) }
    }
}

/// The profile of a site repository (`profile`): all teams' metadata is fetched, one bad team stops nobody else.
#[derive(Clone, Copy, Debug)]
pub struct Site;

impl Rules for Site {
    type Root = Root;
    type Timestamp = Timestamp;
    type Snapshot = Snapshot;
    type Targets = Targets;
    type Result = Trusted;
    const SEARCHES: bool = false;

    fn read_root(&self, bytes: &[u8]) -> Result<Root, TufError> {
        read_root(bytes)
    }

    fn read_timestamp(&self, bytes: &[u8]) -> Result<Timestamp, TufError> {
        read_timestamp(bytes)
    }

    fn read_snapshot(&self, bytes: &[u8]) -> Result<Snapshot, TufError> {
        read_snapshot(bytes)
    }

    fn read_targets(&self, role: &Role, bytes: &[u8]) -> Result<Targets, TufError> {
        read_targets(role, bytes)
    }

    fn snapshot_pin(timestamp: &Timestamp) -> Result<Pin, TufError> {
        Ok(Pin::from(&timestamp.meta.snapshot))
    }

    fn pin(snapshot: &Snapshot, role: &Role) -> Option<Pin> {
        snapshot.pin(role).map(Pin::from)
    }

    fn versions(snapshot: &Snapshot) -> BTreeMap<Role, u64> {
        snapshot.meta.iter().map(|(name, pin)| (name.0.clone(), pin.version)).collect()
    }

    /// A team that has not published yet is delegated to but not pinned; `changes` must always be there.
    fn ahead(&self, snapshot: &Snapshot, targets: &Targets) -> Result<Ahead, TufError> {
        let delegations = targets.delegations.iter().flat_map(|delegations| &delegations.roles);
        let roles = delegations
            .map(|delegation| delegation.name.clone())
            .filter(|role| *role == Role::Changes || snapshot.pin(role).is_some());
        Ok(Ahead { roles: roles.collect(), forgets_others: false })
    }

    fn is_needed(role: &Role) -> bool {
        *role == Role::Changes
    }

    fn done(walked: Targeted<Self>) -> Trusted {
        Trusted::new(walked.into_parts())
    }
}
