//! The host's own X25519 key and what it opens.
//!
//! Owns: `secret.key` in the state directory (an age identity, made when joining). Never: keeps what it opened, or
//! lets it out in an error.

use crate::disk::Disk;
use crate::state::StateError;
use age::armor::ArmoredReader;
use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use shared::ids::{AgentId, SiteId};
use shared::limits;
use shared::manifest::Manifest;
use shared::refusal::{Code, Refused};
use shared::secret::{Opened, Purpose, Recipient, Secret};
use std::io::{self, Read};
use std::path::Path;
use zeroize::Zeroizing;

const FILE: &str = "secret.key";
/// One line of 74 characters.
const FILE_BYTES: u64 = 4 << 10;

/// What this host can open, and who it is.
pub struct Vault {
    agent: AgentId,
    key: Option<(SiteId, Identity)>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "vault of {}", self.agent)
    }
}

impl Vault {
    /// Of a host that has no key for secrets: it has not joined, or joined with an older agent.
    pub fn without_key(agent: AgentId) -> Self {
        Self { agent, key: None }
    }

    /// Reads the key of a host that has joined.
    ///
    /// # Errors
    /// Unreadable or no key. A missing one is none: only secrets are refused then.
    pub fn load(dir: &Path, disk: &dyn Disk, site: &SiteId, agent: AgentId) -> Result<Self, StateError> {
        Ok(Self { agent, key: read(dir, disk)?.map(|key| (site.clone(), key)) })
    }

    pub fn agent(&self) -> AgentId {
        self.agent
    }

    /// What may be opened for one manifest.
    pub fn opener<'a>(&'a self, manifest: &'a Manifest) -> Opener<'a> {
        Opener { vault: self, manifest }
    }
}

/// Opens the secrets of one manifest.
#[derive(Clone, Copy, Debug)]
pub struct Opener<'a> {
    vault: &'a Vault,
    manifest: &'a Manifest,
}

impl Opener<'_> {
    /// `what` names the secret for people.
    ///
    /// # Errors
    /// It was not encrypted for this host, or for something else.
    pub fn open(&self, secret: &Secret, what: &str) -> Result<Opened, Refused> {
        let no = |why: String| Refused::new(Code::PlanFailed, format!("{what} is a secret {why}"));
        let Some((site, key)) = &self.vault.key else {
            return Err(no("and this host has no key for secrets; join it again with this agent".into()));
        };
        let bytes = decrypt(secret, key).map_err(|why| match why {
            Unread::OtherKey => no(format!(
                "that was not encrypted for this host ({}); run assent secret rekey with this host among the hosts, and publish the manifest or revise the change with what it writes",
                self.vault.agent
            )),
            Unread::Damaged => no("that is damaged; encrypt it again".into()),
        })?;
        let opened = Opened::parse(&bytes).map_err(|error| no(format!("but {error}")))?;
        let Manifest { team, name, .. } = self.manifest;
        let here = Purpose { site: site.clone(), team: team.clone(), manifest: name.clone() };
        if opened.purpose != here {
            return Err(no(format!("that was made for {}, not for {here}", opened.purpose)));
        }
        Ok(opened)
    }
}

enum Unread {
    OtherKey,
    Damaged,
}

fn decrypt(secret: &Secret, key: &Identity) -> Result<Zeroizing<Vec<u8>>, Unread> {
    let armored = ArmoredReader::new(secret.as_str().as_bytes());
    let decryptor = age::Decryptor::new_buffered(armored).map_err(|_| Unread::Damaged)?;
    let read =
        decryptor.decrypt(std::iter::once(key as &dyn age::Identity)).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => Unread::OtherKey,
            _ => Unread::Damaged,
        })?;
    // Room for everything at once: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limits::SECRET_BYTES + HEAD_BYTES));
    let limit = bytes.capacity() as u64;
    let got = read.take(limit + 1).read_to_end(&mut bytes).map_err(|_: io::Error| Unread::Damaged)?;
    if got as u64 > limit { Err(Unread::Damaged) } else { Ok(bytes) }
}

/// What stands before the value.
const HEAD_BYTES: usize = 1 << 10;

/// The public part of the host's key, which is made and kept when there is none.
///
/// # Errors
/// The disk's, or a damaged key.
pub fn own_recipient(dir: &Path, disk: &mut dyn Disk) -> Result<Recipient, StateError> {
    let path = dir.join(FILE);
    let key = match read(dir, disk)? {
        Some(key) => key,
        None => {
            let key = Identity::generate();
            let line = Zeroizing::new(format!("{}\n", key.to_string().expose_secret()));
            let io = |source| StateError::Io { action: "write", path: path.clone(), source };
            disk.write(&path, line.as_bytes()).map_err(io)?;
            key
        }
    };
    let damaged = |e: shared::secret::NotARecipient| StateError::Damaged { path, why: e.to_string() };
    key.to_public().to_string().parse().map_err(damaged)
}

fn read(dir: &Path, disk: &dyn Disk) -> Result<Option<Identity>, StateError> {
    let path = dir.join(FILE);
    let io = |source| StateError::Io { action: "read", path: path.clone(), source };
    let Some(bytes) = disk.read(&path, FILE_BYTES).map_err(io)? else { return Ok(None) };
    let bytes = Zeroizing::new(bytes);
    let key = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
    let damaged = || StateError::Damaged { path: path.clone(), why: "it is no age identity".into() };
    key.map(Some).ok_or_else(damaged)
}

/// Keeps memory of this process out of core files and away from other users' debuggers, for as long as it lives.
///
/// Programs that the agent runs are not affected: the kernel sets it anew when they start (prctl(2)).
///
/// # Errors
/// The kernel's.
pub fn keep_memory_private() -> io::Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
