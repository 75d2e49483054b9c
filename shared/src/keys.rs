//! ed25519 keys: one wrapper, strict verification only, standard encodings (SPKI and PKCS#8 PEM).
//!
//! Private keys come in as 32-byte seeds (randomness is the caller's) or as PEM; they are wiped on drop.

use crate::digest::Digest;
use crate::ids::AgentId;
use crate::strict;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, spki::der::pem::LineEnding};
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// Why a key could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("an ed25519 public key is 32 bytes in base64; this is not one")]
    Encoding,
    #[error(
        "a public key is base64 of 32 bytes (ed25519) or of 65 (an uncompressed P-256 point); this is neither"
    )]
    Person,
    #[error("this ed25519 public key is weak (small order) and is refused")]
    Weak,
    #[error("this is not a private key in PKCS#8 PEM form")]
    NotPkcs8,
    #[error("the passphrase does not open this key")]
    Passphrase,
}

/// A public ed25519 key (32 bytes, never of small order); text form is base64 of the raw bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    pub fn from_bytes(raw: &[u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(raw).map_err(|_| KeyError::Encoding)?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        Ok(Self(key))
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// SHA-256 of the raw key; the hint carried as `keyid` and the digest named by statements.
    pub fn digest(&self) -> Digest {
        Digest::of(self.as_bytes())
    }

    pub fn agent_id(&self) -> AgentId {
        AgentId::of_key(self.as_bytes())
    }

    /// True for a signature that `verify_strict` accepts (no small-order key, canonical S and R).
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        self.0.verify_strict(message, &signature).is_ok()
    }

    /// SubjectPublicKeyInfo in PEM, as `openssl pkeyutl -pubin` reads it (RFC 8410).
    pub fn to_pem(&self) -> String {
        self.0.to_public_key_pem(LineEnding::LF).unwrap_or_default()
    }
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let raw = BASE64.decode(text).map_err(|_| KeyError::Encoding)?;
        Self::from_bytes(&raw.try_into().map_err(|_| KeyError::Encoding)?)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ed25519:{self}")
    }
}

strict::text_serde!(PublicKey);
strict::text_schema!(
    PublicKey,
    "A public ed25519 key: base64 of its 32 bytes.",
    { "contentEncoding": "base64", "pattern": "^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$" }
);

/// A P-256 point as passkeys have it: 65 bytes, uncompressed (SEC 1, 2.3.3). One that is not on the curve verifies nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct P256Key([u8; 65]);

/// A person's public key; text form is base64 of 32 bytes of ed25519 or of 65 bytes of a P-256 point.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnyKey {
    Ed25519(PublicKey),
    P256(P256Key),
}

impl AnyKey {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Ed25519(key) => key.as_bytes(),
            Self::P256(key) => &key.0,
        }
    }

    /// SHA-256 of the bytes of the key.
    pub fn digest(&self) -> Digest {
        Digest::of(self.as_bytes())
    }

    pub fn ed25519(&self) -> Option<&PublicKey> {
        match self {
            Self::Ed25519(key) => Some(key),
            Self::P256(_) => None,
        }
    }

    /// Ed25519 as [`PublicKey::verifies`]; P-256 with SHA-256 and an ASN.1 signature.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => key.verifies(message, signature),
            Self::P256(key) => {
                let algorithm = &ring::signature::ECDSA_P256_SHA256_ASN1;
                ring::signature::UnparsedPublicKey::new(algorithm, key.0).verify(message, signature).is_ok()
            }
        }
    }
}

impl From<PublicKey> for AnyKey {
    fn from(key: PublicKey) -> Self {
        Self::Ed25519(key)
    }
}

impl FromStr for AnyKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let raw = BASE64.decode(text).map_err(|_| KeyError::Person)?;
        match (<[u8; 32]>::try_from(raw.as_slice()), <[u8; 65]>::try_from(raw.as_slice())) {
            (Ok(raw), _) => PublicKey::from_bytes(&raw).map(Self::Ed25519),
            (_, Ok(raw)) if raw[0] == 4 => Ok(Self::P256(P256Key(raw))),
            (Err(_), _) => Err(KeyError::Person),
        }
    }
}

impl fmt::Display for AnyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.as_bytes()))
    }
}

impl fmt::Debug for AnyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ed25519(key) => key.fmt(f),
            Self::P256(_) => write!(f, "p256:{self}"),
        }
    }
}

strict::text_serde!(AnyKey);

/// A private ed25519 key. Not printable, not comparable.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// The 32-byte seed, for the printed recovery form.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// Unencrypted PKCS#8 PEM (RFC 8410), for keys that a machine uses without a person.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        self.0.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::NotPkcs8)
    }

    /// PKCS#8 PEM, plain or `ENCRYPTED PRIVATE KEY` (PBES2); `passphrase` is needed for the latter.
    pub fn from_pem(pem: &str, passphrase: Option<&str>) -> Result<Self, KeyError> {
        if !pem.contains("BEGIN ENCRYPTED PRIVATE KEY") {
            return ed25519_dalek::SigningKey::from_pkcs8_pem(pem).map(Self).map_err(|_| KeyError::NotPkcs8);
        }
        let passphrase = passphrase.ok_or(KeyError::Passphrase)?;
        let (_, sealed) = pkcs8::SecretDocument::from_pem(pem).map_err(|_| KeyError::NotPkcs8)?;
        let sealed =
            pkcs8::EncryptedPrivateKeyInfoRef::try_from(sealed.as_bytes()).map_err(|_| KeyError::NotPkcs8)?;
        let plain = sealed.decrypt(passphrase).map_err(|_| KeyError::Passphrase)?;
        ed25519_dalek::SigningKey::from_pkcs8_der(plain.as_bytes()).map(Self).map_err(|_| KeyError::NotPkcs8)
    }

    /// `ENCRYPTED PRIVATE KEY` PEM: PBES2 with scrypt (N=2^15) and AES-256-CBC (RFC 8018, RFC 7914).
    ///
    /// `salt` and `iv` are fresh random bytes from the caller.
    pub fn to_encrypted_pem(
        &self,
        passphrase: &str,
        salt: &[u8; 16],
        iv: [u8; 16],
    ) -> Result<Zeroizing<String>, KeyError> {
        let plain = self.0.to_pkcs8_der().map_err(|_| KeyError::NotPkcs8)?;
        let cost = pkcs8::pkcs5::scrypt::Params::new(15, 8, 1).map_err(|_| KeyError::NotPkcs8)?;
        let scheme = pkcs8::pkcs5::pbes2::Parameters::generate_scrypt_aes256cbc(cost, salt, iv)
            .map_err(|_| KeyError::NotPkcs8)?;
        let info = pkcs8::PrivateKeyInfoRef::try_from(plain.as_bytes()).map_err(|_| KeyError::NotPkcs8)?;
        let sealed = info.encrypt_with_params(scheme, passphrase).map_err(|_| KeyError::NotPkcs8)?;
        sealed.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).map_err(|_| KeyError::NotPkcs8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_opens_only_with_its_passphrase() {
        let key = SigningKey::from_seed(&[7; 32]);
        let sealed = key.to_encrypted_pem("correct horse", &[1; 16], [2; 16]).unwrap();
        assert!(sealed.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        let opened = SigningKey::from_pem(&sealed, Some("correct horse")).unwrap();
        assert_eq!(opened.public(), key.public());
        assert_eq!(SigningKey::from_pem(&sealed, Some("wrong")).err(), Some(KeyError::Passphrase));
        assert_eq!(SigningKey::from_pem(&sealed, None).err(), Some(KeyError::Passphrase));
        assert_eq!(SigningKey::from_pem("rubbish", None).err(), Some(KeyError::NotPkcs8));
    }

    /// The small-order keys of the ed25519-speccheck cases 0 and 1 sign any message under lax rules.
    #[test]
    fn small_order_keys_are_refused() {
        let raw = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa";
        let raw = crate::digest::unhex::<32>(raw).unwrap();
        assert_eq!(PublicKey::from_bytes(&raw).err(), Some(KeyError::Weak));
    }

    #[test]
    fn a_changed_message_key_or_signature_does_not_verify() {
        let key = SigningKey::from_seed(&[1; 32]);
        let mut signature = key.sign(b"hello");
        assert!(key.public().verifies(b"hello", &signature));
        assert!(!key.public().verifies(b"hellp", &signature));
        assert!(!SigningKey::from_seed(&[2; 32]).public().verifies(b"hello", &signature));
        assert!(!key.public().verifies(b"hello", &signature[..63]));
        signature[40] ^= 1;
        assert!(!key.public().verifies(b"hello", &signature));
    }

    /// S and S + L give the same point, so lax verifiers take a second form of each signature (RFC 8032, 5.1.7).
    #[test]
    fn a_signature_has_one_form() {
        /// The order of the base point, little-endian.
        const L: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let key = SigningKey::from_seed(&[1; 32]);
        let good = key.sign(b"hello");
        let mut other = good;
        let mut carry = 0_u16;
        for (byte, order) in other[32..].iter_mut().zip(L) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
        }
        assert_eq!(carry, 0);
        assert!(key.public().verifies(b"hello", &good));
        assert!(!key.public().verifies(b"hello", &other), "S + L");
        other = good;
        other[63] |= 0x80;
        assert!(!key.public().verifies(b"hello", &other), "a bit that no S has");
        // R of small order with S = 0 and so on: nothing without the key.
        for r in [1_u8, 0] {
            let mut none = [0; 64];
            none[0] = r;
            assert!(!key.public().verifies(b"hello", &none));
        }
    }

    /// All points of small order, and their forms above the field's order, wherever a person's or a host's key is read.
    #[test]
    fn no_form_of_a_small_order_point_is_a_key() {
        let good = AnyKey::from(SigningKey::from_seed(&[1; 32]).public()).to_string();
        assert!(good.parse::<AnyKey>().is_ok() && good.parse::<PublicKey>().is_ok());
        for hex in [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "0100000000000000000000000000000000000000000000000000000000000080",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ] {
            let text = BASE64.encode(crate::digest::unhex::<32>(hex).unwrap());
            assert!(text.parse::<PublicKey>().is_err() && text.parse::<AnyKey>().is_err(), "{hex}");
        }
    }
}
