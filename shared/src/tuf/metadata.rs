//! The four metadata types and their signed envelope, as plain values that are written and read strictly.
//!
//! Reading refuses unknown and duplicate keys, weak keys, second spellings and everything over its cap; it
//! verifies no signature. Source: TUF specification 1.0.34, section 4.

use super::canonical;
use super::error::TufError;
use super::names::{MetaName, Role, TargetName};
use crate::digest::{Digest, hex, unhex};
use crate::keys::{PublicKey, SigningKey};
use crate::limits;
use crate::strict::{self, Map, ReadError};
use crate::time::Timestamp as Time;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// The specification version that we write; any `1.0.x` is read.
pub const SPEC_VERSION: &str = "1.0.34";

macro_rules! one_word {
    ($type:ident, $variant:ident, $word:literal) => {
        /// A field that holds one fixed word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $type {
            #[serde(rename = $word)]
            $variant,
        }
    };
}
one_word!(RootType, Root, "root");
one_word!(TargetsType, Targets, "targets");
one_word!(SnapshotType, Snapshot, "snapshot");
one_word!(TimestampType, Timestamp, "timestamp");
one_word!(Ed25519, Ed25519, "ed25519");

/// Id of a key: SHA-256 of its canonical JSON. The profile check enforces it.
pub type KeyId = Digest;

/// A raw ed25519 public key in lower-case hex, as TUF writes it; never a weak key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HexKey(pub PublicKey);

impl fmt::Display for HexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.0.as_bytes()))
    }
}

impl FromStr for HexKey {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let raw = unhex::<32>(text).ok_or("an ed25519 key is 64 lower-case hex digits")?;
        PublicKey::from_bytes(&raw).map(Self).map_err(|_| "this is no ed25519 key, or a weak one")
    }
}

strict::text_serde!(HexKey);

/// A 64-byte ed25519 signature in lower-case hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HexSignature(pub [u8; 64]);

impl fmt::Display for HexSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl FromStr for HexSignature {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        unhex(text).map(Self).ok_or("an ed25519 signature is 128 lower-case hex digits")
    }
}

strict::text_serde!(HexSignature);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyVal {
    pub public: HexKey,
}

/// A public key as TUF declares it; only ed25519.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    pub keytype: Ed25519,
    pub keyval: KeyVal,
    pub scheme: Ed25519,
}

impl Key {
    pub fn new(public: PublicKey) -> Self {
        Self {
            keytype: Ed25519::Ed25519,
            keyval: KeyVal { public: HexKey(public) },
            scheme: Ed25519::Ed25519,
        }
    }

    pub fn public(&self) -> &PublicKey {
        &self.keyval.public.0
    }

    pub fn id(&self) -> KeyId {
        Digest::of(&canonical_bytes(self))
    }
}

/// The keys that may sign for a role and how many of them must.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleKeys {
    pub keyids: Vec<KeyId>,
    pub threshold: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootRoles {
    pub root: RoleKeys,
    pub snapshot: RoleKeys,
    pub targets: RoleKeys,
    pub timestamp: RoleKeys,
}

/// The trust anchor: governance keys and the online key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    #[serde(rename = "_type")]
    pub kind: RootType,
    pub consistent_snapshot: bool,
    pub expires: Time,
    pub keys: Map<KeyId, Key>,
    pub roles: RootRoles,
    pub spec_version: String,
    pub version: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hashes {
    pub sha256: Digest,
}

/// Length and digest of a target file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetFile {
    pub hashes: Hashes,
    /// Bytes.
    pub length: u64,
}

impl TargetFile {
    pub fn of(bytes: &[u8]) -> Self {
        Self { hashes: Hashes { sha256: Digest::of(bytes) }, length: bytes.len() as u64 }
    }

    /// Whether `bytes` are exactly this file; `name` is for the message.
    pub fn check(&self, name: &impl fmt::Display, bytes: &[u8]) -> Result<(), TufError> {
        check_pin(&name.to_string(), Some(self.length), Some(self.hashes.sha256), bytes)
    }
}

/// A delegation of the top-level targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegation {
    pub keyids: Vec<KeyId>,
    pub name: Role,
    pub paths: Vec<String>,
    pub terminating: bool,
    pub threshold: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegations {
    pub keys: Map<KeyId, Key>,
    pub roles: Vec<Delegation>,
}

/// Metadata of `targets` (with delegations), `changes` or `content.<team>` (without).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Targets {
    #[serde(rename = "_type")]
    pub kind: TargetsType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegations: Option<Delegations>,
    pub expires: Time,
    pub spec_version: String,
    pub targets: Map<TargetName, TargetFile>,
    pub version: u64,
}

/// Version, length and digest of another metadata file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetaFile {
    pub hashes: Hashes,
    pub length: u64,
    pub version: u64,
}

impl MetaFile {
    pub fn of(version: u64, bytes: &[u8]) -> Self {
        Self { hashes: Hashes { sha256: Digest::of(bytes) }, length: bytes.len() as u64, version }
    }
}

/// Pins every targets file, so that all hosts see one consistent set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    #[serde(rename = "_type")]
    pub kind: SnapshotType,
    pub expires: Time,
    pub meta: Map<MetaName, MetaFile>,
    pub spec_version: String,
    pub version: u64,
}

impl Snapshot {
    pub fn pin(&self, role: &Role) -> Option<&MetaFile> {
        self.meta.get(&MetaName(role.clone()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimestampMeta {
    #[serde(rename = "snapshot.json")]
    pub snapshot: MetaFile,
}

/// Pins the snapshot; signed again every hour, so it also says how late it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timestamp {
    #[serde(rename = "_type")]
    pub kind: TimestampType,
    pub expires: Time,
    pub meta: TimestampMeta,
    pub spec_version: String,
    pub version: u64,
    /// When it was signed, by the clock of the server.
    #[serde(rename = "x-issued")]
    pub issued: Time,
}

/// Whether `bytes` have this length and SHA-256, as far as they are signed; `name` is for the message.
pub(super) fn check_pin(
    name: &str,
    length: Option<u64>,
    sha256: Option<Digest>,
    bytes: &[u8],
) -> Result<(), TufError> {
    let refuse = |why: String| TufError::Hash { file: name.into(), why };
    if let Some(length) = length
        && bytes.len() as u64 != length
    {
        return Err(refuse(format!("it has {} bytes, {length} are signed", bytes.len())));
    }
    let Some(sha256) = sha256 else { return Ok(()) };
    let found = Digest::of(bytes);
    if found != sha256 {
        return Err(refuse(format!("its SHA-256 is {found}, {sha256} is signed")));
    }
    Ok(())
}

/// What every metadata file says of itself.
pub trait Dated {
    fn version(&self) -> u64;
    fn expires(&self) -> Time;
}

/// What our four metadata types have in common.
pub trait Payload: Dated + Serialize + DeserializeOwned {
    fn spec_version(&self) -> &str;
}

macro_rules! payload {
    ($($type:ident),*) => {$(
        impl Dated for $type {
            fn version(&self) -> u64 {
                self.version
            }
            fn expires(&self) -> Time {
                self.expires
            }
        }
        impl Payload for $type {
            fn spec_version(&self) -> &str {
                &self.spec_version
            }
        }
    )*};
}
payload!(Root, Targets, Snapshot, Timestamp);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    pub keyid: KeyId,
    pub sig: HexSignature,
}

/// Metadata with its signatures, which may still be too few: several people sign one root in turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed<T> {
    pub signatures: Vec<Signature>,
    pub signed: T,
}

impl<T: Payload> Signed<T> {
    pub fn unsigned(signed: T) -> Self {
        Self { signatures: Vec::new(), signed }
    }

    /// Signs with each of `keys`; a second signature of the same key replaces the first.
    pub fn by(signed: T, keys: &[&SigningKey]) -> Self {
        let mut file = Self::unsigned(signed);
        keys.iter().for_each(|key| file.sign(key));
        file
    }

    pub fn sign(&mut self, key: &SigningKey) {
        let keyid = Key::new(key.public()).id();
        let sig = HexSignature(key.sign(&canonical_bytes(&self.signed)));
        self.signatures.retain(|other| other.keyid != keyid);
        self.signatures.push(Signature { keyid, sig });
        self.signatures.sort_by_key(|signature| signature.keyid);
    }

    /// Those of `keys` whose signature on this file is valid, for showing who has signed already.
    pub fn signers<'k>(&self, keys: impl IntoIterator<Item = &'k PublicKey>) -> Vec<&'k PublicKey> {
        let message = canonical_bytes(&self.signed);
        keys.into_iter()
            .filter(|public| {
                let keyid = Key::new(**public).id();
                self.signatures.iter().any(|s| s.keyid == keyid && public.verifies(&message, &s.sig.0))
            })
            .collect()
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        strict::to_json(self)
    }

    /// Digest of what its signatures cover.
    pub fn digest(&self) -> Digest {
        Digest::of(&canonical_bytes(&self.signed))
    }

    /// Reads metadata without verifying it; `role` gives the cap and the name in messages.
    pub fn parse(role: &Role, bytes: &[u8]) -> Result<Self, TufError> {
        let parse = |why: String| TufError::Parse { role: role.clone(), why };
        let file: Self =
            strict::from_json("it", bytes, role.max_bytes()).map_err(|refused| match refused {
                ReadError::TooLarge { size, limit, .. } => {
                    TufError::Size { file: role.stored_file(), size: size as u64, limit: limit as u64 }
                }
                ReadError::Invalid { why, .. } => parse(why),
            })?;
        let keyids: BTreeSet<KeyId> = file.signatures.iter().map(|signature| signature.keyid).collect();
        if file.signatures.len() > limits::TUF_KEYS {
            return Err(parse(format!("it has more than {} signatures", limits::TUF_KEYS)));
        }
        if keyids.len() != file.signatures.len() {
            return Err(TufError::Signature { role: role.clone(), why: "one key signs it twice".into() });
        }
        if !file.signed.spec_version().starts_with("1.0.") || file.signed.spec_version().len() > 8 {
            return Err(parse("its spec_version is not 1.0.x".into()));
        }
        if file.signed.version() == 0 {
            return Err(parse("its version is 0; versions start at 1".into()));
        }
        Ok(file)
    }
}

/// The canonical JSON of one of our own values.
///
/// # Panics
/// Never: the types above hold no floats and no maps with keys other than text.
pub(super) fn canonical_bytes(value: &impl Serialize) -> Vec<u8> {
    #[expect(
        clippy::expect_used,
        reason = "our own types hold integers, text, lists and text-keyed maps only"
    )]
    serde_json::to_value(value)
        .ok()
        .and_then(|value| canonical::encode(&value).ok())
        .expect("own types encode")
}
