//! A proposal: the next root, targets and policy in one file that goes from one holder of a governance key to the next.
//!
//! Each signs on the own machine what that machine shows. The file itself is believed by nobody.

use super::holders::Holder;
use crate::digest::Digest;
use crate::ids::PersonId;
use crate::keys::{PublicKey, SigningKey};
use crate::limits;
use crate::policy::Policy;
use crate::strict::{self, ReadError};
use crate::time::Timestamp;
use crate::tuf::metadata::{Key, Payload, RoleKeys};
use crate::tuf::writer::KeySet;
use crate::tuf::{Role, Root, Signed, TargetFile, TargetName, Targets, TufError, profile};
use serde::{Deserialize, Serialize};

const SCHEMA: &str = "assent-proposal/1";
const WHAT: &str = "the proposal";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    schema: String,
    /// Who has made it, by their own word.
    pub by: PersonId,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Signed<Root>>,
    pub targets: Signed<Targets>,
    /// The text of the policy, as the targets pin it.
    pub policy: String,
    /// Roots before it that a restored server has lost, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<String>,
}

/// What a machine has verified last: a proposal must follow it directly.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    pub root: &'a Root,
    pub targets: &'a Targets,
    pub policy: &'a Policy,
}

/// Why a proposal is not to be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    #[error("its {what} is version {offered}, and version {known} is the last one that was seen here")]
    NotNext { what: &'static str, known: u64, offered: u64 },
    #[error("its {what} ends at {end}, which is over")]
    Over { what: &'static str, end: Timestamp },
    #[error("its targets do not pin its policy")]
    OtherPolicy,
    #[error("its policy is for another site")]
    OtherSite,
    #[error("its policy is not accepted: {0}")]
    Policy(ReadError),
}

/// One of the signatures that are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// On the root, by the keys that govern until then.
    RootBefore,
    /// On the root, by the keys that it names itself.
    Root,
    /// On the targets, by the keys that the root names for them.
    Targets,
}

/// Whose signatures one part has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub part: Part,
    pub signed: Vec<PublicKey>,
    pub may: Vec<PublicKey>,
    pub threshold: u32,
}

impl Standing {
    pub fn is_enough(&self) -> bool {
        self.threshold > 0 && self.signed.len() >= self.threshold as usize
    }

    /// Those who could still sign.
    pub fn missing(&self) -> impl Iterator<Item = &PublicKey> {
        self.may.iter().filter(|key| !self.signed.contains(key))
    }
}

impl Proposal {
    pub fn new(by: PersonId, at: Timestamp, root: Option<Root>, targets: Targets, policy: String) -> Self {
        let (root, targets) = (root.map(Signed::unsigned), Signed::unsigned(targets));
        Self { schema: SCHEMA.into(), by, at, root, targets, policy, roots: Vec::new() }
    }

    /// Reads a file and holds its metadata against the profile; says nothing about its signatures.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        let proposal: Self = strict::from_json(WHAT, bytes, limits::PROPOSAL_BYTES)?;
        let invalid = |why: String| ReadError::Invalid { what: WHAT, why };
        if proposal.schema != SCHEMA {
            return Err(invalid(format!("schema is {:?}, not {SCHEMA}", strict::shorten(&proposal.schema))));
        }
        let unfit = |error: TufError| invalid(error.to_string());
        if let Some(root) = &proposal.root {
            profile::read_root(&root.to_bytes()).map_err(unfit)?;
        }
        profile::read_targets(&Role::Targets, &proposal.targets.to_bytes()).map_err(unfit)?;
        Ok(proposal)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        strict::to_json(self)
    }

    /// Identity of what is proposed, whoever has signed it so far.
    pub fn digest(&self) -> Digest {
        let root = self.root.as_ref().map_or(Digest([0; 32]), Signed::digest);
        Digest::of_parts(&[&root.0, &self.targets.digest().0])
    }

    /// The root that counts afterwards.
    pub fn root_after<'a>(&'a self, base: &'a Root) -> &'a Root {
        self.root.as_ref().map_or(base, |root| &root.signed)
    }

    /// Whether it is the next step from `base` at `now`; gives its policy.
    pub fn check(&self, base: Base<'_>, now: Timestamp) -> Result<Policy, Misfit> {
        if let Some(root) = &self.root {
            follows("root", base.root.version, &root.signed, now)?;
        }
        follows("targets", base.targets.version, &self.targets.signed, now)?;
        let pin = self.targets.signed.targets.get(&TargetName::Policy);
        if pin != Some(&TargetFile::of(self.policy.as_bytes())) {
            return Err(Misfit::OtherPolicy);
        }
        let policy = Policy::parse(self.policy.as_bytes()).map_err(Misfit::Policy)?;
        if policy.site != base.policy.site {
            return Err(Misfit::OtherSite);
        }
        let (known, offered) = (base.policy.version, policy.version);
        if offered != known + 1 && policy != *base.policy {
            return Err(Misfit::NotNext { what: "policy", known, offered });
        }
        Ok(policy)
    }

    /// Adds what this key signs; false for a key that has no part in it.
    pub fn sign(&mut self, base: &Root, key: &SigningKey) -> bool {
        let id = Key::new(key.public()).id();
        let after = self.root_after(base);
        let in_root = [base, after].iter().any(|root| root.roles.root.keyids.contains(&id));
        let in_targets = after.roles.targets.keyids.contains(&id);
        if let Some(root) = self.root.as_mut().filter(|_| in_root) {
            root.sign(key);
        }
        if in_targets {
            self.targets.sign(key);
        }
        in_targets || (in_root && self.root.is_some())
    }

    /// Whose valid signatures each part has, and how many it needs.
    pub fn standing(&self, base: &Root) -> Vec<Standing> {
        let after = self.root_after(base);
        let mut parts = Vec::new();
        if let Some(root) = &self.root {
            parts.push(part(Part::RootBefore, root, base, &base.roles.root));
            parts.push(part(Part::Root, root, after, &after.roles.root));
        }
        parts.push(part(Part::Targets, &self.targets, after, &after.roles.targets));
        parts
    }

    pub fn is_complete(&self, base: &Root) -> bool {
        self.standing(base).iter().all(Standing::is_enough)
    }

    /// Who holds which key, by its policy and that before it.
    pub fn holders(&self, base: &Policy) -> Vec<Holder> {
        let mut all =
            Policy::parse(self.policy.as_bytes()).map(|policy| policy.governance).unwrap_or_default();
        let older = base.governance.iter().filter(|old| all.iter().all(|new| new.public != old.public));
        let older: Vec<_> = older.cloned().collect();
        all.extend(older);
        all
    }
}

fn follows(what: &'static str, known: u64, next: &impl Payload, now: Timestamp) -> Result<(), Misfit> {
    if next.version() != known + 1 {
        return Err(Misfit::NotNext { what, known, offered: next.version() });
    }
    if next.expires() <= now {
        return Err(Misfit::Over { what, end: next.expires() });
    }
    Ok(())
}

fn part<T: Payload>(part: Part, file: &Signed<T>, root: &Root, role: &RoleKeys) -> Standing {
    let may = keys_of(root, role).keys;
    let signed = file.signers(&may).into_iter().copied().collect();
    Standing { part, signed, may, threshold: role.threshold }
}

/// The keys of a role of this root; a root that keeps the profile holds each key that it names.
pub fn keys_of(root: &Root, role: &RoleKeys) -> KeySet {
    let keys = role.keyids.iter().filter_map(|id| root.keys.get(id)).map(|key| *key.public());
    KeySet { keys: keys.collect(), threshold: role.threshold }
}
