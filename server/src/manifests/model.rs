//! Requests, the online key, and the pure rules of what may be added to a team's content.

use crate::kernel::error::{Error, Refusal};
use crate::kernel::keys;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::envelope::Envelope;
use shared::ids::Team;
use shared::keys::{PublicKey, SigningKey};
use shared::refusal::Refused;
use shared::strict::ReadError;
use shared::tuf::metadata::{Key, KeyId, Payload};
use shared::tuf::{Role, Root, Signed, TargetFile, TargetName, Targets, TufError};
use std::path::Path;
use std::sync::Arc;

/// A manifest with its team's next metadata.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    pub team: Team,
    /// The text of the new `content.<team>.json`, signed by the team.
    pub content: String,
    /// Absent when the metadata is only renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Envelope>,
    /// The version is lower than the highest published one, on purpose.
    #[serde(default)]
    pub older: bool,
}

/// A new edition of the policy, signed by governance. The same policy with new metadata renews its validity.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PolicyEdition")]
pub struct Edition {
    pub targets: String,
    pub policy: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Roots before it that a restored server has lost, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<String>,
}

/// The snapshot from which on the repository contains what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    pub version: u64,
}

/// The server's own repository key. It can stop and withhold, and vouch for nothing but freshness.
///
/// After a restore there are two: the second signs from the root on that names it. Cheap to clone.
#[derive(Clone)]
pub struct Online {
    keys: Arc<[SigningKey]>,
    /// The one that signs.
    using: usize,
}

impl Online {
    pub fn new(key: SigningKey) -> Self {
        Self { keys: [key].into(), using: 0 }
    }

    pub fn load(path: &Path) -> Result<Self, Error> {
        Ok(Self { keys: keys::load(path)?.into(), using: 0 })
    }

    pub(super) fn sign<T: Payload>(&self, payload: T) -> Vec<u8> {
        Signed::by(payload, &[&self.keys[self.using]]).to_bytes()
    }

    /// The key that is to follow the one in `path`, unless this root names it already.
    pub fn next(&self, root: &Root) -> Option<PublicKey> {
        let next = self.keys.get(1)?.public();
        (!root.roles.timestamp.keyids.contains(&key_id(&next))).then_some(next)
    }

    /// The same, signing with the key that root and targets accept alone for snapshot, timestamp and changes.
    pub(super) fn fitting(&self, root: &Root, targets: &Targets) -> Result<Self, Refusal> {
        let fits = |using: &usize| accepts(root, targets, &key_id(&self.keys[*using].public()));
        let first = fits(&0);
        match (1..self.keys.len()).find(|using| fits(using).is_ok()) {
            Some(using) if first.is_err() => Ok(Self { using, ..self.clone() }),
            _ => first.map(|()| Self { using: 0, ..self.clone() }),
        }
    }
}

/// By which metadata names a key.
pub fn key_id(key: &PublicKey) -> KeyId {
    Key::new(*key).id()
}

fn accepts(root: &Root, targets: &Targets, id: &KeyId) -> Result<(), Refusal> {
    let enough = |keyids: &[KeyId], threshold: u32| threshold == 1 && keyids.contains(id);
    let delegations = targets.delegations.iter().flat_map(|delegations| &delegations.roles);
    let changes = delegations.into_iter().find(|delegation| delegation.name == Role::Changes);
    let roles = &root.roles;
    let missing = if !enough(&roles.snapshot.keyids, roles.snapshot.threshold) {
        "snapshot"
    } else if !enough(&roles.timestamp.keyids, roles.timestamp.threshold) {
        "timestamp"
    } else if !changes.is_some_and(|role| enough(&role.keyids, role.threshold)) {
        "changes"
    } else {
        return Ok(());
    };
    Err(Refusal::conflict("site.online_key").with("role", missing))
}

/// What clients would refuse is refused here, with the same code.
pub(super) fn refused(error: TufError) -> Refusal {
    Refusal::unprocessable("site.refused").with("code", error.code()).with("why", error)
}

pub(super) fn unfit(refused: Refused) -> Refusal {
    Refusal::unprocessable("site.refused").with("code", refused.code).with("why", refused.message)
}

pub(super) fn unreadable(error: ReadError) -> Refusal {
    Refusal::unprocessable("site.refused").with("code", "site.unreadable").with("why", error)
}

pub(super) fn odd(why: impl std::fmt::Display) -> Refusal {
    Refusal::unprocessable("site.refused").with("code", "site.rule").with("why", why)
}

/// What was published stays as it is: only `name` may be new, and nothing may be removed or replaced.
pub(super) fn check_addition(
    before: Option<&Targets>,
    after: &Targets,
    name: &TargetName,
    file: &TargetFile,
    older: bool,
) -> Result<(), Refusal> {
    let version = before.map_or(0, |before| before.version);
    if after.version != version + 1 {
        let refusal = Refusal::conflict("site.not_next");
        return Err(refusal
            .with("file", name.role().stored_file())
            .with("have", version)
            .with("sent", after.version));
    }
    let empty = Default::default();
    let listed = before.map_or(&empty, |before| &before.targets);
    for (old, pinned) in listed.iter() {
        match after.targets.get(old) {
            Some(now) if now == pinned => {}
            Some(_) => return Err(Refusal::conflict("manifest.replaced").with("name", old)),
            None => return Err(Refusal::conflict("manifest.removed").with("name", old)),
        }
    }
    if after.targets.get(name) != Some(file) {
        return Err(odd(format!("the metadata does not list {name} with the digest of the manifest sent")));
    }
    if let Some(other) = after.targets.keys().find(|other| *other != name && !listed.contains_key(*other)) {
        return Err(odd(format!("the metadata lists {other}, which was not sent")));
    }
    if !listed.contains_key(name) && !older {
        check_order(listed.keys(), name)?;
    }
    Ok(())
}

/// A renewal lists exactly what was listed.
pub(super) fn check_renewal(role: &Role, before: Option<&Targets>, after: &Targets) -> Result<(), Refusal> {
    let version = before.map_or(0, |before| before.version);
    if after.version != version + 1 {
        let refusal = Refusal::conflict("site.not_next").with("file", role.stored_file());
        return Err(refusal.with("have", version).with("sent", after.version));
    }
    if before.is_none_or(|before| before.targets != after.targets) {
        return Err(odd("metadata without a manifest must list exactly what is published already"));
    }
    Ok(())
}

/// A version below the highest one is published on purpose only.
fn check_order<'a>(listed: impl Iterator<Item = &'a TargetName>, new: &TargetName) -> Result<(), Refusal> {
    let TargetName::Manifest { name, version, .. } = new else {
        return Err(odd(format!("{new} is not the name of a manifest")));
    };
    let highest = listed
        .filter_map(|other| match other {
            TargetName::Manifest { name: other, version, .. } if other == name => Some(version),
            _ => None,
        })
        .max();
    match highest {
        Some(highest) if highest > version => Err(Refusal::conflict("manifest.older")
            .with("name", name)
            .with("highest", highest)
            .with("sent", version)),
        _ => Ok(()),
    }
}
