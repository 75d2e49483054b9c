//! DSSE envelopes: signatures over the exact stored bytes; nobody re-serialises a signed document.
//!
//! Source: secure-systems-lab/dsse `protocol.md` (PAE) and `envelope.md` (JSON form), v1.0.

use crate::digest::Digest;
use crate::keys::{PublicKey, SigningKey};
use crate::limits;
use crate::signature::Verifier;
use crate::strict::{self, ReadError};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

/// The only payload type that we write and accept.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// One signature. `keyid` is a hint and never used for a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignatureEntry {
    #[serde(default)]
    pub keyid: String,
    /// base64: the 64-byte ed25519 signature over the PAE bytes, or what `ext` says.
    pub sig: String,
    /// Of a signature that is not over the PAE bytes themselves: what it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ext: Option<Extension>,
}

/// Other forms of signatures than that of a file key or a host; which one counts says the key in the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Extension {
    /// `sig` is an SSH signature without its text form, in the namespace of the statement's type.
    Sshsig {},
    /// `sig` is of a passkey; base64 of authenticator data and client data, whose challenge is the digest of the PAE bytes.
    Webauthn { ad: String, cdj: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Wire {
    #[cfg_attr(feature = "schema", schemars(extend("const" = IN_TOTO)))]
    payload_type: String,
    /// The signed document, an in-toto statement.
    #[cfg_attr(feature = "schema", schemars(extend("contentEncoding" = "base64")))]
    payload: String,
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = limits::ENVELOPE_SIGNATURES)))]
    signatures: Vec<SignatureEntry>,
}

/// A parsed envelope: payload bytes as signed, and its signatures, not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub payload: Vec<u8>,
    pub signatures: Vec<SignatureEntry>,
}

/// DSSE pre-authentication encoding: the bytes that are signed.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {} {} ", payload_type.len(), payload_type, payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

impl Envelope {
    /// Signs `payload` with one key.
    pub fn sign(payload: Vec<u8>, key: &SigningKey) -> Self {
        let mut envelope = Self { payload, signatures: Vec::new() };
        envelope.add_signature(key);
        envelope
    }

    pub fn add_signature(&mut self, key: &SigningKey) {
        let sig = BASE64.encode(key.sign(&self.signed_bytes()));
        self.signatures.push(SignatureEntry { keyid: key.public().digest().hex(), sig, ext: None });
    }

    /// Reads the JSON form; refuses other payload types, no or too many signatures, and bad base64.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        let what = "the signed envelope";
        let wire: Wire = strict::from_json(what, bytes, limits::ENVELOPE_BYTES)?;
        let invalid = |why: String| ReadError::Invalid { what, why };
        if wire.payload_type != IN_TOTO {
            return Err(invalid(format!(
                "payloadType is {:?}, expected {IN_TOTO:?}",
                strict::shorten(&wire.payload_type)
            )));
        }
        if wire.signatures.is_empty() || wire.signatures.len() > limits::ENVELOPE_SIGNATURES {
            return Err(invalid(format!(
                "it has {} signatures; 1 to {} are accepted",
                wire.signatures.len(),
                limits::ENVELOPE_SIGNATURES
            )));
        }
        let payload =
            BASE64.decode(&wire.payload).map_err(|_| invalid("the payload is not base64".into()))?;
        Ok(Self { payload, signatures: wire.signatures })
    }

    /// The JSON form; equal envelopes give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        strict::to_json(&Wire {
            payload_type: IN_TOTO.into(),
            payload: BASE64.encode(&self.payload),
            signatures: self.signatures.clone(),
        })
    }

    /// The bytes that every signature covers.
    pub fn signed_bytes(&self) -> Vec<u8> {
        pae(IN_TOTO, &self.payload)
    }

    /// SHA-256 of the signed bytes: the identity of the statement, independent of who signed it.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.signed_bytes())
    }

    /// Whether `key` made at least one of the plain signatures.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        !self.signers([key]).is_empty()
    }

    /// Whether a person's key made at least one of the signatures, in the form of its kind, over a statement of this type.
    pub fn is_signed_with(&self, verifier: Verifier<'_>, statement_type: &str) -> bool {
        let message = self.signed_bytes();
        self.signatures.iter().any(|entry| verifier.verifies(entry, statement_type, &message))
    }

    /// Those of `keys` that made a plain signature, each once, in the order given.
    pub fn signers<'k>(&self, keys: impl IntoIterator<Item = &'k PublicKey>) -> Vec<&'k PublicKey> {
        let message = self.signed_bytes();
        let plain = self.signatures.iter().filter(|entry| entry.ext.is_none());
        let signatures: Vec<_> = plain.filter_map(|entry| BASE64.decode(&entry.sig).ok()).collect();
        let mut found: Vec<&PublicKey> = Vec::new();
        for key in keys {
            if !found.contains(&key) && signatures.iter().any(|sig| key.verifies(&message, sig)) {
                found.push(key);
            }
        }
        found
    }
}

impl Serialize for Envelope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let payload = BASE64.encode(&self.payload);
        Wire { payload_type: IN_TOTO.into(), payload, signatures: self.signatures.clone() }
            .serialize(serializer)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Envelope {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Envelope".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut schema = Wire::json_schema(generator);
        schema.insert("description".to_owned(), "A signed document (DSSE 1.0).".into());
        schema
    }
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        Self::parse(&strict::to_json(&wire)).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pae_is_the_published_example() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn a_signature_counts_once_per_key_and_only_over_the_exact_bytes() {
        let (a, b) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        let mut envelope = Envelope::sign(b"{}".to_vec(), &a);
        envelope.add_signature(&a);
        let (ka, kb) = (a.public(), b.public());
        assert_eq!(envelope.signers([&ka, &kb, &ka]), [&ka]);
        let read = Envelope::parse(&envelope.to_bytes()).unwrap();
        assert_eq!(
            (read.digest(), read.is_signed_by(&ka), read.is_signed_by(&kb)),
            (envelope.digest(), true, false)
        );
        // A key id is a hint: the same signature under others is still one signer, and nobody else's.
        let second = read.signatures[0].clone();
        for ids in [["", "a"], ["a", "b"], [&kb.to_string(), &ka.to_string()]] {
            let mut aliased = read.clone();
            aliased.signatures =
                ids.map(|id| SignatureEntry { keyid: id.to_owned(), ..second.clone() }).into();
            assert_eq!(aliased.signers([&ka, &kb]), [&ka], "{ids:?}");
        }
        let mut changed = read;
        changed.payload[0] = b'[';
        assert!(!changed.is_signed_by(&ka));
    }

    #[test]
    fn foreign_envelopes_are_refused_with_a_reason() {
        let good =
            String::from_utf8(Envelope::sign(b"{}".to_vec(), &SigningKey::from_seed(&[1; 32])).to_bytes())
                .unwrap();
        assert!(Envelope::parse(good.as_bytes()).is_ok());
        for (bad, why) in [
            (good.replace("vnd.in-toto", "vnd.other"), "payloadType"),
            (good.replace("\"payload\":\"e30=\"", "\"payload\":\"e30\""), "base64"),
            (good.replace("{\"payloadType\"", "{\"extra\":1,\"payloadType\""), "unknown field"),
            (good.replace("{\"payloadType\"", "{\"payload\":\"\",\"payloadType\""), "duplicate"),
            ("[]".into(), "invalid"),
        ] {
            assert!(Envelope::parse(bad.as_bytes()).unwrap_err().to_string().contains(why), "{why}: {bad}");
        }
    }
}
