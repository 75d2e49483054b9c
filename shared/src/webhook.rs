//! Signatures of webhooks by the Standard Webhooks specification (symmetric, `v1`): HMAC-SHA256 over
//! `webhook-id.webhook-timestamp.body` with a secret that server and subscriber share.

use crate::time::Timestamp;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ring::hmac;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use zeroize::Zeroizing;

/// Before the base64 of a secret (specification, "Signature scheme").
const PREFIX: &str = "whsec_";
/// Bytes of a secret ("between 24 bytes (192 bits) and 64 bytes (512 bits)").
const BYTES: RangeInclusive<usize> = 24..=64;
/// A delivery that is older or younger was replayed, or a clock is wrong.
pub const TOLERANCE_SECS: i64 = 300;

/// What signs the deliveries of one subscription. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret is whsec_ and the base64 of 24 to 64 random bytes")]
pub struct NotASecret;

impl WebhookSecret {
    pub fn of(bytes: &[u8]) -> Result<Self, NotASecret> {
        if BYTES.contains(&bytes.len()) { Ok(Self(Zeroizing::new(bytes.to_vec()))) } else { Err(NotASecret) }
    }

    /// As people pass it on.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}", BASE64.encode(&*self.0)))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The header `webhook-signature` of one attempt.
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        let tag = hmac::sign(&self.key(), &signed(id, at, body));
        format!("v1,{}", BASE64.encode(tag.as_ref()))
    }

    /// What a subscriber checks: one of the signatures holds and the time is near `now`.
    pub fn verify(&self, (id, at): (&str, Timestamp), signatures: &str, body: &[u8], now: Timestamp) -> bool {
        let message = signed(id, at, body);
        let holds = |signature: &str| {
            let tag = signature.strip_prefix("v1,").and_then(|text| BASE64.decode(text).ok());
            tag.is_some_and(|tag| hmac::verify(&self.key(), &message, &tag).is_ok())
        };
        now.since(at).abs() <= TOLERANCE_SECS && signatures.split(' ').any(holds)
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

fn signed(id: &str, at: Timestamp, body: &[u8]) -> Vec<u8> {
    [format!("{id}.{}.", at.0).as_bytes(), body].concat()
}

impl FromStr for WebhookSecret {
    type Err = NotASecret;

    fn from_str(text: &str) -> Result<Self, NotASecret> {
        let bytes = text.strip_prefix(PREFIX).and_then(|text| BASE64.decode(text).ok());
        Self::of(&Zeroizing::new(bytes.ok_or(NotASecret)?))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: Timestamp = Timestamp(1_614_265_330);
    const BODY: &[u8] = b"{\"test\": 2432232314}";

    /// Secret, message and signature of the specification's own libraries.
    #[test]
    fn the_vector_of_the_specification_holds_and_nothing_else_does() {
        let secret: WebhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let signature = secret.sign(ID, AT, BODY);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let good = |id, at, signatures: &str, body, now| secret.verify((id, at), signatures, body, now);
        assert!(good(ID, AT, &signature, BODY, AT.plus(TOLERANCE_SECS)));
        assert!(good(ID, AT, &format!("v1a,xyz {signature}"), BODY, AT), "one of several is enough");
        assert!(!good("msg_other", AT, &signature, BODY, AT));
        assert!(!good(ID, AT.plus(1), &signature, BODY, AT));
        assert!(!good(ID, AT, &signature, b"{\"test\": 1}", AT));
        assert!(!good(ID, AT, &signature, BODY, AT.plus(TOLERANCE_SECS + 1)), "replayed");
        assert!(!good(ID, AT, &signature, BODY, AT.plus(-TOLERANCE_SECS - 1)));
        assert!(!good(ID, AT, signature.trim_start_matches("v1,"), BODY, AT));
        let other = WebhookSecret::of(&[7; 24]).unwrap();
        assert!(!other.verify((ID, AT), &signature, BODY, AT));
    }

    #[test]
    fn secrets_have_a_form_and_stay_out_of_logs() {
        let secret = WebhookSecret::of(&[7; 32]).unwrap();
        assert_eq!(secret.reveal().parse(), Ok(secret.clone()));
        assert_eq!(format!("{secret:?}"), "WebhookSecret");
        let short = format!("whsec_{}", BASE64.encode([7; 23]));
        let long = format!("whsec_{}", BASE64.encode([7; 65]));
        for bad in ["", "whsec_", "whsec_***", &BASE64.encode([7; 32]), &short, &long] {
            assert_eq!(bad.parse::<WebhookSecret>(), Err(NotASecret), "{bad}");
        }
    }
}
