//! Checks of old metadata, for evidence bundles: signatures and profile, but neither pins nor expiry.
//!
//! Each check returns a value that only a passed check can make; the next check hangs on it.

use super::backend;
use super::error::TufError;
use super::metadata::{Root, Snapshot, Targets, Timestamp};
use super::names::Role;
use super::profile::{read_root, read_snapshot, read_targets, read_timestamp};

/// A root that an unbroken chain from version 1 leads to.
#[derive(Clone, Debug)]
pub struct ProvenRoot {
    bytes: Vec<u8>,
    root: Root,
}

/// Top-level targets that a proven root vouches for.
#[derive(Clone, Debug)]
pub struct ProvenTargets {
    bytes: Vec<u8>,
    targets: Targets,
}

/// Verifies roots 1 to n: each signed by the threshold of its predecessor and by its own.
///
/// Whoever calls compares the digest of the first with the one that the site id or the auditor names.
pub fn verify_root_chain<B: AsRef<[u8]>>(chain: &[B]) -> Result<Vec<ProvenRoot>, TufError> {
    let mut proven: Vec<ProvenRoot> = Vec::with_capacity(chain.len());
    let mut verifier: Option<backend::Verifier> = None;
    for bytes in chain {
        let bytes = bytes.as_ref();
        let root = read_root(bytes)?;
        match &mut verifier {
            Some(verifier) => verifier.update_root(bytes)?,
            None if root.version == 1 => verifier = Some(backend::Verifier::from_root(bytes)?),
            None => {
                return Err(TufError::RootVersion { trusted: 0, offered: root.version });
            }
        }
        proven.push(ProvenRoot { bytes: bytes.to_vec(), root });
    }
    if proven.is_empty() {
        return Err(TufError::Missing { file: Role::Root.file(1) });
    }
    Ok(proven)
}

impl ProvenRoot {
    pub fn root(&self) -> &Root {
        &self.root
    }

    pub fn timestamp(&self, bytes: &[u8]) -> Result<Timestamp, TufError> {
        let timestamp = read_timestamp(bytes)?;
        backend::check_by_root(&self.bytes, &Role::Timestamp, bytes)?;
        Ok(timestamp)
    }

    pub fn snapshot(&self, bytes: &[u8]) -> Result<Snapshot, TufError> {
        let snapshot = read_snapshot(bytes)?;
        backend::check_by_root(&self.bytes, &Role::Snapshot, bytes)?;
        Ok(snapshot)
    }

    pub fn targets(&self, bytes: &[u8]) -> Result<ProvenTargets, TufError> {
        let targets = read_targets(&Role::Targets, bytes)?;
        backend::check_by_root(&self.bytes, &Role::Targets, bytes)?;
        Ok(ProvenTargets { bytes: bytes.to_vec(), targets })
    }
}

impl ProvenTargets {
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Metadata of `changes` or `content.<team>` that these targets delegate to.
    pub fn delegated(&self, role: &Role, bytes: &[u8]) -> Result<Targets, TufError> {
        let targets = read_targets(role, bytes)?;
        backend::check_by_targets(&self.bytes, role, bytes)?;
        Ok(targets)
    }
}
