//! The rules of a site repository beyond the TUF specification. Pure checks; signatures are not its business.
//!
//! Key id = hash of the key, distinct keys in a role, 1 ≤ threshold ≤ keys, fixed delegations and names.

use super::error::TufError;
use super::metadata::{Dated, Key, KeyId, Root, Signed, Snapshot, Targets, Timestamp};
use super::names::{Role, TargetName};
use crate::limits;
use crate::strict::Map;
use std::collections::BTreeSet;

/// Reads a root and checks it against the profile.
pub fn read_root(bytes: &[u8]) -> Result<Root, TufError> {
    let root = Signed::<Root>::parse(&Role::Root, bytes)?.signed;
    check_root(&root)?;
    Ok(root)
}

/// Reads a timestamp; the types hold all its rules.
pub fn read_timestamp(bytes: &[u8]) -> Result<Timestamp, TufError> {
    Ok(Signed::parse(&Role::Timestamp, bytes)?.signed)
}

/// Reads a snapshot and checks it against the profile.
pub fn read_snapshot(bytes: &[u8]) -> Result<Snapshot, TufError> {
    let snapshot = Signed::<Snapshot>::parse(&Role::Snapshot, bytes)?.signed;
    check_snapshot(&snapshot)?;
    Ok(snapshot)
}

/// Reads the metadata of `role` (`targets` or a delegated role) and checks it against the profile.
pub fn read_targets(role: &Role, bytes: &[u8]) -> Result<Targets, TufError> {
    let targets = Signed::<Targets>::parse(role, bytes)?.signed;
    check_targets(role, &targets)?;
    Ok(targets)
}

pub fn check_root(root: &Root) -> Result<(), TufError> {
    let role = &Role::Root;
    if !root.consistent_snapshot {
        return Err(TufError::profile(role, "consistent_snapshot must be true"));
    }
    check_keys(role, &root.keys)?;
    let roles = &root.roles;
    for (name, keys) in [
        ("root", &roles.root),
        ("targets", &roles.targets),
        ("snapshot", &roles.snapshot),
        ("timestamp", &roles.timestamp),
    ] {
        check_role_keys(role, name, &root.keys, &keys.keyids, keys.threshold)?;
    }
    let offline: BTreeSet<_> = roles.root.keyids.iter().chain(&roles.targets.keyids).collect();
    if roles.snapshot.keyids.iter().chain(&roles.timestamp.keyids).any(|id| offline.contains(id)) {
        return Err(TufError::profile(role, "a governance key is also an online key of the server"));
    }
    Ok(())
}

pub fn check_snapshot(snapshot: &Snapshot) -> Result<(), TufError> {
    let role = &Role::Snapshot;
    if let Some(name) = snapshot.meta.keys().find(|name| name.0 != Role::Targets && !name.0.is_delegated()) {
        return Err(TufError::profile(role, format!("it pins {name}")));
    }
    if snapshot.pin(&Role::Targets).is_none() {
        return Err(TufError::profile(role, "it does not pin targets.json"));
    }
    Ok(())
}

pub fn check_targets(role: &Role, targets: &Targets) -> Result<(), TufError> {
    for (name, file) in targets.targets.iter() {
        if &name.role() != role {
            return Err(TufError::profile(role, format!("it may not list {name}")));
        }
        if file.length > name.max_bytes() {
            let (size, limit) = (file.length, name.max_bytes());
            return Err(TufError::Size { file: name.to_string(), size, limit });
        }
    }
    if *role == Role::Targets {
        return check_top(targets);
    }
    if targets.delegations.is_some() {
        return Err(TufError::profile(role, "a delegated role may not delegate further"));
    }
    Ok(())
}

fn check_top(targets: &Targets) -> Result<(), TufError> {
    let role = &Role::Targets;
    if !targets.targets.contains_key(&TargetName::Policy) {
        return Err(TufError::profile(role, "it does not list policy.json"));
    }
    let delegations =
        targets.delegations.as_ref().ok_or_else(|| TufError::profile(role, "it has no delegations"))?;
    if delegations.roles.len() > limits::TUF_TEAMS + 1 {
        return Err(TufError::profile(role, format!("it has more than {} teams", limits::TUF_TEAMS)));
    }
    check_keys(role, &delegations.keys)?;
    let mut names = BTreeSet::new();
    let (mut online, mut publishers) = (BTreeSet::<&KeyId>::new(), BTreeSet::<&KeyId>::new());
    for delegation in &delegations.roles {
        let name = &delegation.name;
        if !name.is_delegated() || !names.insert(name) {
            return Err(TufError::profile(role, format!("it may not delegate to {name} (again)")));
        }
        if !delegation.terminating || delegation.paths != name.paths() {
            let paths = name.paths().join(" ");
            return Err(TufError::profile(role, format!("{name} must be terminating with paths {paths}")));
        }
        check_role_keys(
            role,
            &name.to_string(),
            &delegations.keys,
            &delegation.keyids,
            delegation.threshold,
        )?;
        if *name == Role::Changes { &mut online } else { &mut publishers }.extend(&delegation.keyids);
    }
    if !names.contains(&Role::Changes) {
        return Err(TufError::profile(role, "it does not delegate to changes"));
    }
    if online.intersection(&publishers).next().is_some() {
        return Err(TufError::profile(role, "a publisher key is also an online key of the server"));
    }
    Ok(())
}

fn check_keys(role: &Role, keys: &Map<KeyId, Key>) -> Result<(), TufError> {
    match keys.iter().find(|(id, key)| key.id() != **id) {
        Some((id, _)) => Err(TufError::profile(role, format!("key id {id} is not the hash of its key"))),
        None => Ok(()),
    }
}

fn check_role_keys(
    role: &Role,
    name: &str,
    keys: &Map<KeyId, Key>,
    keyids: &[KeyId],
    threshold: u32,
) -> Result<(), TufError> {
    if keyids.len() > limits::TUF_KEYS {
        return Err(TufError::profile(role, format!("{name} has more than {} keys", limits::TUF_KEYS)));
    }
    // Public keys are compared, not ids: whoever gives one key two ids must not count twice.
    let mut distinct = BTreeSet::new();
    for id in keyids {
        let key =
            keys.get(id).ok_or_else(|| TufError::profile(role, format!("key {id} of {name} is missing")))?;
        if !distinct.insert(key.public()) {
            return Err(TufError::profile(role, format!("{name} lists one key twice")));
        }
    }
    if threshold == 0 || threshold as usize > distinct.len() {
        return Err(TufError::profile(
            role,
            format!("{name} asks for {threshold} signatures and has {} keys", distinct.len()),
        ));
    }
    Ok(())
}

/// Refuses metadata whose end has come; `expires == now` is already too late.
pub(super) fn check_expiry(
    role: &Role,
    payload: &impl Dated,
    now: crate::time::Timestamp,
) -> Result<(), TufError> {
    if payload.expires() <= now {
        return Err(TufError::Expired { role: role.clone(), at: payload.expires() });
    }
    Ok(())
}
