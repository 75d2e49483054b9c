//! Builders for each role's metadata. They check the profile, so nothing is signed that a client refuses.
//!
//! Versions and expiries are arguments: who re-issues a role counts its version up by one.

use super::error::TufError;
use super::metadata::{
    Delegation, Delegations, Key, KeyId, MetaFile, RoleKeys, Root, RootRoles, RootType, SPEC_VERSION, Signed,
    Snapshot, SnapshotType, TargetFile, Targets, TargetsType, Timestamp, TimestampMeta, TimestampType,
};
use super::names::{MetaName, Role, TargetName};
use super::profile::{check_root, check_snapshot, check_targets};
use crate::ids::Team;
use crate::keys::PublicKey;
use crate::strict::Map;
use crate::time::Timestamp as Time;
use std::collections::BTreeMap;

/// Public keys and how many of them must sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    pub keys: Vec<PublicKey>,
    pub threshold: u32,
}

impl KeySet {
    pub fn one(key: PublicKey) -> Self {
        Self { keys: vec![key], threshold: 1 }
    }

    fn ids(&self) -> Vec<KeyId> {
        let mut ids: Vec<_> = self.keys.iter().map(|key| Key::new(*key).id()).collect();
        ids.sort();
        ids
    }

    fn role_keys(&self) -> RoleKeys {
        RoleKeys { keyids: self.ids(), threshold: self.threshold }
    }
}

fn key_map<'k>(sets: impl IntoIterator<Item = &'k KeySet>) -> Map<KeyId, Key> {
    let keys = sets.into_iter().flat_map(|set| &set.keys).map(|key| Key::new(*key));
    keys.map(|key| (key.id(), key)).collect()
}

/// A root: governance signs root and targets, the online keys sign snapshot and timestamp.
///
/// A new version replaces keys; it must be signed by the old and the new governance keys.
pub fn new_root(version: u64, expires: Time, governance: &KeySet, online: &KeySet) -> Result<Root, TufError> {
    let root = Root {
        kind: RootType::Root,
        consistent_snapshot: true,
        expires,
        keys: key_map([governance, online]),
        roles: RootRoles {
            root: governance.role_keys(),
            snapshot: online.role_keys(),
            targets: governance.role_keys(),
            timestamp: online.role_keys(),
        },
        spec_version: SPEC_VERSION.into(),
        version,
    };
    check_root(&root)?;
    Ok(root)
}

/// The top-level targets: `policy.json`, one delegation for each team, and `changes` for the online keys.
pub fn targets_with_policy(
    version: u64,
    expires: Time,
    policy: &[u8],
    teams: &BTreeMap<Team, KeySet>,
    changes: &KeySet,
) -> Result<Targets, TufError> {
    let delegation = |name: Role, keys: &KeySet| Delegation {
        keyids: keys.ids(),
        paths: name.paths(),
        name,
        terminating: true,
        threshold: keys.threshold,
    };
    let mut roles = vec![delegation(Role::Changes, changes)];
    roles.extend(teams.iter().map(|(team, keys)| delegation(Role::Content(team.clone()), keys)));
    let delegations = Delegations { keys: key_map(teams.values().chain([changes])), roles };
    let files = Map::from_iter([(TargetName::Policy, TargetFile::of(policy))]);
    files_of(&Role::Targets, version, expires, files, Some(delegations))
}

/// Metadata of `content.<team>`. To add a manifest: read the old one, insert, build the next version.
pub fn content(
    version: u64,
    expires: Time,
    team: &Team,
    manifests: Map<TargetName, TargetFile>,
) -> Result<Targets, TufError> {
    files_of(&Role::Content(team.clone()), version, expires, manifests, None)
}

/// Metadata of `changes`: active bundles, their index, and `control.json`.
pub fn changes(version: u64, expires: Time, files: Map<TargetName, TargetFile>) -> Result<Targets, TufError> {
    files_of(&Role::Changes, version, expires, files, None)
}

fn files_of(
    role: &Role,
    version: u64,
    expires: Time,
    targets: Map<TargetName, TargetFile>,
    delegations: Option<Delegations>,
) -> Result<Targets, TufError> {
    let kind = TargetsType::Targets;
    let targets = Targets { kind, delegations, expires, spec_version: SPEC_VERSION.into(), targets, version };
    check_targets(role, &targets)?;
    Ok(targets)
}

/// A snapshot of the signed files of `targets`, `changes` and the teams.
///
/// `before` is the last snapshot: its pins stay unless a newer file replaces them, because clients refuse a
/// snapshot in which a file disappears or goes back. Leave it out only with new online keys.
pub fn snapshot(
    version: u64,
    expires: Time,
    before: Option<&Snapshot>,
    files: &[(Role, &[u8])],
) -> Result<Snapshot, TufError> {
    let mut meta = before.map(|before| before.meta.clone()).unwrap_or_default();
    for (role, bytes) in files {
        let file = Signed::<Targets>::parse(role, bytes)?.signed;
        check_targets(role, &file)?;
        let name = MetaName(role.clone());
        let trusted = meta.get(&name).map_or(0, |pin| pin.version);
        if file.version < trusted {
            return Err(TufError::Rollback { what: name.to_string(), trusted, offered: file.version });
        }
        meta.insert(name, MetaFile::of(file.version, bytes));
    }
    let kind = SnapshotType::Snapshot;
    let snapshot = Snapshot { kind, expires, meta, spec_version: SPEC_VERSION.into(), version };
    check_snapshot(&snapshot)?;
    Ok(snapshot)
}

/// A timestamp that pins the signed snapshot `snapshot`; `issued` is the server's time.
pub fn timestamp(version: u64, expires: Time, issued: Time, snapshot: &[u8]) -> Result<Timestamp, TufError> {
    let pinned = Signed::<Snapshot>::parse(&Role::Snapshot, snapshot)?.signed;
    Ok(Timestamp {
        kind: TimestampType::Timestamp,
        expires,
        meta: TimestampMeta { snapshot: MetaFile::of(pinned.version, snapshot) },
        spec_version: SPEC_VERSION.into(),
        version,
        issued,
    })
}
