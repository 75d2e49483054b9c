//! Passkeys: whether an assertion of an authenticator is a person's word about exactly these bytes.
//!
//! Source: W3C Web Authentication Level 3, §7.2, for an assertion whose challenge is the SHA-256 of what is signed. Keys:
//! ed25519 and P-256. The browser shows what the page shows, so this protects from everybody but the server; the policy says
//! how much that is worth (`Assurance`).

use crate::digest::Digest;
use crate::keys::AnyKey;
use crate::limits;
use crate::strict;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde::{Deserialize, Serialize};

/// Of the flags of authenticator data: somebody touched it (UP), and it knew who (UV).
const PRESENT: u8 = 1;
const VERIFIED: u8 = 1 << 2;
/// A key that may be on several devices (BE), and one that is (BS); the second never without the first.
const MAY_BE_COPIED: u8 = 1 << 3;
const COPIED: u8 = 1 << 4;
/// Attested credential data, which no assertion has (AT), and extensions (ED).
const ATTESTED: u8 = 1 << 6;
const EXTENDED: u8 = 1 << 7;
/// Digest of the relying party, flags and counter.
const SHORTEST: usize = 37;

/// Where a passkey was made and is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelyingParty {
    /// The domain that the key belongs to, such as `assent.example.org`.
    pub rp_id: String,
    /// The one page that may ask for it, such as `https://assent.example.org:8443`.
    pub origin: String,
}

impl RelyingParty {
    /// What is wrong with it, in a few words.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let host =
            self.origin.strip_prefix("https://").map(|rest| rest.split(':').next().unwrap_or_default());
        let Some(host) = host else { return Some("origin must begin with https://") };
        let plain = |text: &str| {
            !text.is_empty()
                && text.len() <= 253
                && text
                    .bytes()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-'))
        };
        if !plain(&self.rp_id) || !plain(host) || self.origin.ends_with('/') {
            return Some(
                "rp_id is a domain in small letters, and origin https://, a domain and perhaps a port",
            );
        }
        let within =
            host == self.rp_id || host.strip_suffix(&self.rp_id).is_some_and(|sub| sub.ends_with('.'));
        (!within).then_some("origin is not within the domain rp_id")
    }
}

/// What the browser says about the question; further members are allowed by the specification (§5.8.1).
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default, rename = "crossOrigin")]
    cross_origin: bool,
    #[serde(default, rename = "topOrigin")]
    top_origin: Option<String>,
}

/// An assertion as the authenticator and the browser made it.
#[derive(Clone, Copy, Debug)]
pub struct Assertion<'a> {
    pub authenticator_data: &'a [u8],
    pub client_data: &'a [u8],
    /// ASN.1 for P-256, 64 bytes for ed25519.
    pub signature: &'a [u8],
}

/// Whether the assertion is over `message`, by `key`, for this relying party, with somebody present and verified.
pub fn verifies(assertion: &Assertion<'_>, key: &AnyKey, party: &RelyingParty, message: &[u8]) -> bool {
    let Assertion { authenticator_data, client_data, signature } = *assertion;
    if !asks_for(client_data, party, message) || !was_verified(authenticator_data, party) {
        return false;
    }
    let mut signed = authenticator_data.to_vec();
    signed.extend_from_slice(&Digest::of(client_data).0);
    key.verifies(&signed, signature)
}

fn asks_for(client_data: &[u8], party: &RelyingParty, message: &[u8]) -> bool {
    let read = strict::from_json::<ClientData>("client data", client_data, limits::CLIENT_DATA_BYTES);
    let Ok(said) = read else { return false };
    said.kind == "webauthn.get"
        && said.challenge == BASE64URL.encode(Digest::of(message).0)
        && said.origin == party.origin
        && !said.cross_origin
        && said.top_origin.is_none()
}

fn was_verified(data: &[u8], party: &RelyingParty) -> bool {
    let Some((digest, [flags, _, _, _, _, extensions @ ..])) = data.split_first_chunk::<32>() else {
        return false;
    };
    let has = |flag| flags & flag != 0;
    digest == &Digest::of(party.rp_id.as_bytes()).0
        && data.len() >= SHORTEST
        && data.len() <= limits::AUTHENTICATOR_DATA_BYTES
        && has(PRESENT)
        && has(VERIFIED)
        && !has(ATTESTED)
        && (has(MAY_BE_COPIED) || !has(COPIED))
        && has(EXTENDED) != extensions.is_empty()
}
