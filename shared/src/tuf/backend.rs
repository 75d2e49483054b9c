//! The only module that knows the TUF library, so that it can be exchanged, and its signature check.
//!
//! The library verifies signatures, versions, pins and expiry. Callers parse strictly and check the profile
//! first, because the library accepts more than a site repository may contain.

#[cfg(feature = "plain-tuf")]
pub mod plain;

use super::error::TufError;
use super::names::Role;
use crate::keys::PublicKey;
use crate::time::Timestamp as Time;
use sha2::Digest as _;
use sigstore_crypto::{CryptoProvider, Error as CryptoError, HashContext, SigningScheme};
use sigstore_tuf::metadata as library;
use sigstore_tuf::{Error, TrustedMetadataSet};
use sigstore_types::HashAlgorithm;
use std::sync::OnceLock;

/// ed25519 with strict verification, and SHA-2. Everything else is refused.
#[derive(Debug)]
struct Provider;

struct Sha2<D>(D);

impl<D: sha2::Digest + Send> HashContext for Sha2<D> {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
    fn finalize(self: Box<Self>) -> Vec<u8> {
        self.0.finalize().to_vec()
    }
}

impl CryptoProvider for Provider {
    fn hash(&self, algorithm: HashAlgorithm) -> sigstore_crypto::Result<Box<dyn HashContext>> {
        match algorithm {
            HashAlgorithm::Sha2256 => Ok(Box::new(Sha2(sha2::Sha256::new()))),
            HashAlgorithm::Sha2384 => Ok(Box::new(Sha2(sha2::Sha384::new()))),
            HashAlgorithm::Sha2512 => Ok(Box::new(Sha2(sha2::Sha512::new()))),
            other => Err(CryptoError::UnsupportedAlgorithm(format!("{other:?}"))),
        }
    }

    fn verify_raw(
        &self,
        scheme: SigningScheme,
        public: &[u8],
        data: &[u8],
        signature: &[u8],
    ) -> sigstore_crypto::Result<()> {
        let refused = |why: &str| CryptoError::Verification(why.into());
        if scheme != SigningScheme::Ed25519 {
            #[cfg(feature = "plain-tuf")]
            if let Some(verify) = plain::other_schemes() {
                let good = verify(scheme.name(), public, data, signature);
                return if good { Ok(()) } else { Err(refused("the signature does not match")) };
            }
            return Err(CryptoError::UnsupportedAlgorithm(scheme.name().into()));
        }
        let public: &[u8; 32] = public.try_into().map_err(|_| refused("an ed25519 key has 32 bytes"))?;
        let key = PublicKey::from_bytes(public).map_err(|e| refused(&e.to_string()))?;
        if key.verifies(data, signature) { Ok(()) } else { Err(refused("the signature does not match")) }
    }

    fn verify_prehashed(
        &self,
        scheme: SigningScheme,
        _public: &[u8],
        _digest: &[u8],
        _signature: &[u8],
    ) -> sigstore_crypto::Result<()> {
        Err(CryptoError::UnsupportedAlgorithm(scheme.name().into()))
    }
}

/// Makes our provider the one of this process; the library has no way to pass one along.
pub(super) fn install() -> Result<(), TufError> {
    static OURS: OnceLock<bool> = OnceLock::new();
    match OURS.get_or_init(|| sigstore_crypto::install_default_provider(&Provider).is_ok()) {
        true => Ok(()),
        false => Err(TufError::Backend),
    }
}

/// What became of a verified timestamp.
pub(super) enum Seen {
    Newer,
    Same,
    /// Validly signed but older than the trusted one: an old cache more likely than an attack.
    Older {
        trusted: u64,
        offered: u64,
    },
}

/// The set of trusted metadata, verified by the library.
#[derive(Debug)]
pub(super) struct Verifier(TrustedMetadataSet);

impl Verifier {
    /// Starts from a root that is trusted already.
    pub(super) fn from_root(bytes: &[u8]) -> Result<Self, TufError> {
        install()?;
        TrustedMetadataSet::from_root(bytes).map(Self).map_err(|e| refusal(&Role::Root, e))
    }

    pub(super) fn update_root(&mut self, bytes: &[u8]) -> Result<(), TufError> {
        self.0.update_root(bytes).map_err(|e| refusal(&Role::Root, e))
    }

    /// Takes a stored timestamp as rollback floor, however old it is. `None`: its keys have been replaced.
    pub(super) fn floor_timestamp(&mut self, bytes: &[u8]) -> Option<()> {
        self.0.update_timestamp(bytes, jiff::Timestamp::MIN).ok()
    }

    /// Takes a stored snapshot as rollback floor. True when the *root* still vouches for its signatures, even
    /// if the stored timestamp has moved on and the library therefore does not load it.
    pub(super) fn floor_snapshot(&mut self, bytes: &[u8]) -> bool {
        let vouched = signed_by_root::<library::Snapshot>(self.0.root(), &Role::Snapshot, bytes).is_ok();
        if vouched {
            // Fails when the stored timestamp has moved on. The caller compares every version itself; what
            // the library keeps is a second lock, not the only one.
            let _loaded = self.0.update_snapshot(bytes, jiff::Timestamp::MIN).is_ok();
        }
        vouched
    }

    pub(super) fn update_timestamp(&mut self, bytes: &[u8], now: Time) -> Result<Seen, TufError> {
        match self.0.update_timestamp(bytes, judged(now)) {
            Ok(()) => Ok(Seen::Newer),
            Err(Error::EqualVersion { .. }) => Ok(Seen::Same),
            Err(Error::Rollback { role, trusted, new }) if role == "timestamp" => {
                Ok(Seen::Older { trusted, offered: new })
            }
            Err(e) => Err(refusal(&Role::Timestamp, e)),
        }
    }

    pub(super) fn update_snapshot(&mut self, bytes: &[u8], now: Time) -> Result<(), TufError> {
        self.0.update_snapshot(bytes, judged(now)).map_err(|e| refusal(&Role::Snapshot, e))
    }

    /// `by` is the role that delegates to `role`; the root to the top-level targets.
    pub(super) fn update_targets(
        &mut self,
        role: &Role,
        by: &Role,
        bytes: &[u8],
        now: Time,
    ) -> Result<(), TufError> {
        let result = match role {
            Role::Targets => self.0.update_targets(bytes, judged(now)),
            role => self.0.update_delegated_targets(bytes, &role.to_string(), &by.to_string(), judged(now)),
        };
        result.map(|_| ()).map_err(|e| refusal(role, e))
    }
}

/// The library takes `expires == now` as valid, the specification does not; all our times are whole seconds.
fn judged(now: Time) -> jiff::Timestamp {
    jiff::Timestamp::from_second(now.plus(1).0).unwrap_or(jiff::Timestamp::MAX)
}

fn refusal(role: &Role, error: Error) -> TufError {
    let role = role.clone();
    match error {
        Error::Expired { role: name, expires } => {
            TufError::Expired { role: name.parse().unwrap_or(role), at: Time(expires.as_second()) }
        }
        Error::Rollback { role: what, trusted, new } => TufError::Rollback { what, trusted, offered: new },
        Error::BadRootVersion { trusted, new } => TufError::RootVersion { trusted, offered: new },
        Error::ThresholdNotMet { found, threshold, .. } => {
            TufError::Signature { role, why: format!("{found} of {threshold} are valid") }
        }
        Error::IntegrityMismatch(why) => TufError::Hash { file: role.stored_file(), why },
        Error::Json(_) | Error::NonIntegerNumber => TufError::Parse { role, why: error.to_string() },
        other => TufError::Signature { role, why: other.to_string() },
    }
}

fn signed_by_root<T: library::Role>(root: &library::Root, role: &Role, bytes: &[u8]) -> Result<(), TufError> {
    let file = library::Metadata::<T>::from_slice(bytes).map_err(|e| refusal(role, e))?;
    let name = role.to_string();
    let keys = root.role(&name).ok_or_else(|| TufError::profile(role, "the root does not know it"))?;
    file.verify_threshold(&root.keys, keys, &name).map_err(|e| refusal(role, e))
}

/// Whether the root in `root` signed `bytes` as `role`; no expiry, no pins. For old metadata in evidence.
pub(super) fn check_by_root(root: &[u8], role: &Role, bytes: &[u8]) -> Result<(), TufError> {
    install()?;
    let root = library::Metadata::<library::Root>::from_slice(root).map_err(|e| refusal(&Role::Root, e))?;
    match role {
        Role::Timestamp => signed_by_root::<library::Timestamp>(root.signed(), role, bytes),
        Role::Snapshot => signed_by_root::<library::Snapshot>(root.signed(), role, bytes),
        Role::Targets => signed_by_root::<library::Targets>(root.signed(), role, bytes),
        Role::Root | Role::Changes | Role::Content(_) | Role::Other(_) => {
            Err(TufError::profile(role, "the root does not vouch for this role"))
        }
    }
}

/// Whether the delegation in `targets` vouches for `bytes` as `role`; no expiry, no pins.
pub(super) fn check_by_targets(targets: &[u8], role: &Role, bytes: &[u8]) -> Result<(), TufError> {
    install()?;
    let read = |role: &Role, bytes: &[u8]| {
        library::Metadata::<library::Targets>::from_slice(bytes).map_err(|e| refusal(role, e))
    };
    let delegator = read(&Role::Targets, targets)?;
    let (name, file) = (role.to_string(), read(role, bytes)?);
    let found = delegator.signed().delegations.as_ref().and_then(|all| {
        all.roles.iter().find(|delegation| delegation.name == name).map(|delegation| (&all.keys, delegation))
    });
    let (keys, delegation) =
        found.ok_or_else(|| TufError::profile(role, "the targets do not delegate to it"))?;
    file.verify_threshold(keys, &delegation.role_keys(), &name).map_err(|e| refusal(role, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    #[test]
    fn only_ed25519_over_the_whole_message_is_verified() {
        let key = SigningKey::from_seed(&[1; 32]);
        let (public, signature) = (key.public(), key.sign(b"message"));
        let verify = |scheme, public: &[u8], message: &[u8]| {
            Provider.verify_raw(scheme, public, message, &signature).is_ok()
        };
        assert!(verify(SigningScheme::Ed25519, public.as_bytes(), b"message"));
        assert!(!verify(SigningScheme::Ed25519, public.as_bytes(), b"massage"));
        assert!(!verify(SigningScheme::Ed25519, &public.as_bytes()[..31], b"message"));
        assert!(!verify(SigningScheme::EcdsaP256Sha256, public.as_bytes(), b"message"));
        let prehashed =
            Provider.verify_prehashed(SigningScheme::Ed25519, public.as_bytes(), b"message", &signature);
        assert!(prehashed.is_err());
    }

    #[test]
    fn hashes_are_the_published_ones() {
        let hash = |algorithm| {
            let mut context = Provider.hash(algorithm).unwrap();
            context.update(b"a");
            context.update(b"bc");
            crate::digest::hex(&context.finalize())
        };
        assert!(hash(HashAlgorithm::Sha2256).starts_with("ba7816bf8f01cfea"));
        assert!(hash(HashAlgorithm::Sha2384).starts_with("cb00753f45a35e8b"));
        assert!(hash(HashAlgorithm::Sha2512).starts_with("ddaf35a193617aba"));
    }
}
