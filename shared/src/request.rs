//! A request that a host signs with its own key, for sites whose TLS ends in a proxy: the connection that reaches the
//! server cannot prove there who asks.
//!
//! Travels in one header beside the request, and says which host asks whom for what, with which body, until when. It says
//! nothing of the answer, and no other statement can be made of it.

use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::ids::{AgentId, SiteId};
use crate::keys::{PublicKey, SigningKey};
use crate::limits::{CLOCK_SKEW_SECS, REQUEST_HEADER_BYTES, REQUEST_PATH_BYTES, REQUEST_SECS};
use crate::statement::{Predicate, Statement, Subject};
use crate::strict::ReadError;
use crate::time::Timestamp;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

/// The header; its value is the signed envelope in base64.
pub const HEADER: &str = "Assent-Request";
/// What makes each request another one, in hex digits.
const NONCE_DIGITS: usize = 32;

/// One request of one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub site: SiteId,
    pub agent_id: AgentId,
    pub key: PublicKey,
    /// Whom the host asks: `host:port` of the proxy, as the host was told when it joined.
    pub audience: String,
    pub method: String,
    /// With its query, as it stands in the request line.
    pub path: String,
    /// Of the whole body; of no bytes when there is none.
    pub body_sha256: Digest,
    pub issued_at: Timestamp,
    pub expires: Timestamp,
    /// 32 hex digits that the host draws anew for each request.
    pub nonce: String,
}

impl Predicate for Request {
    const TYPE: &'static str = "urn:assent:request:v1";

    fn subjects(&self) -> Vec<Subject> {
        vec![Subject::new(format!("request:{}", self.nonce), self.body_sha256)]
    }
}

/// What arrived beside the header, and when.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    pub site: &'a SiteId,
    /// `host:port` under which the server is reached there.
    pub audience: &'a str,
    pub method: &'a str,
    pub path: &'a str,
    pub now: Timestamp,
}

/// Why a signed request does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRequested {
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// It was signed for something else than what arrived.
    #[error("its {0} is another one")]
    Other(&'static str),
    #[error("it counts from {issued_at} to {expires}, and it is {now}")]
    Clock { issued_at: Timestamp, expires: Timestamp, now: Timestamp },
}

impl Request {
    /// The value of the header.
    pub fn sign(self, key: &SigningKey) -> String {
        BASE64.encode(Statement::sign(self, key).to_bytes())
    }

    pub fn carries(&self, body: &[u8]) -> bool {
        self.body_sha256 == Digest::of(body)
    }

    /// The first moment at which nobody accepts it any more, whatever has become of its nonce.
    pub fn over(&self) -> Timestamp {
        self.expires.plus(CLOCK_SKEW_SECS)
    }
}

/// Reads the header's value: signed by the key that its host's id is the hash of, for what arrived, and in time. The caller
/// compares the body, looks whether the host may ask at all, and lets each nonce of a host count once.
///
/// # Errors
/// Whatever does not hold.
pub fn open_request(value: &[u8], arrived: Arrived<'_>) -> Result<Request, NotRequested> {
    let what = Request::TYPE;
    if value.len() > REQUEST_HEADER_BYTES {
        return Err(ReadError::TooLarge { what, size: value.len(), limit: REQUEST_HEADER_BYTES }.into());
    }
    let invalid = |why: &str| ReadError::Invalid { what, why: why.into() };
    let bytes = BASE64.decode(value).map_err(|_| invalid("it is not base64"))?;
    let statement = Statement::<Request>::open(Envelope::parse(&bytes)?)?;
    let body = &statement.body;
    let is_digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    let life = body.expires.since(body.issued_at);
    let holds = [
        (body.site == *arrived.site, "it belongs to another site"),
        (body.key.agent_id() == body.agent_id, "its key does not belong to its agent id"),
        (statement.is_signed_by(&body.key), "it is not signed by the host's key"),
        (body.path.len() <= REQUEST_PATH_BYTES, "its path is too long"),
        (
            body.nonce.len() == NONCE_DIGITS && body.nonce.bytes().all(is_digit),
            "its nonce is not 32 hex digits",
        ),
        ((1..=REQUEST_SECS).contains(&life), "it lives longer than a minute, or not at all"),
    ];
    if let Some((_, why)) = holds.into_iter().find(|(holds, _)| !holds) {
        return Err(invalid(why).into());
    }
    let same = [
        // Names of hosts are the same in capital letters.
        ("audience", body.audience.eq_ignore_ascii_case(arrived.audience)),
        ("method", body.method == arrived.method),
        ("path", body.path == arrived.path),
    ];
    if let Some((what, _)) = same.into_iter().find(|(_, same)| !same) {
        return Err(NotRequested::Other(what));
    }
    let (issued_at, expires, now) = (body.issued_at, body.expires, arrived.now);
    if issued_at > now.plus(CLOCK_SKEW_SECS) || now >= body.over() {
        return Err(NotRequested::Clock { issued_at, expires, now });
    }
    Ok(statement.body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::Renewal;

    const NOW: Timestamp = Timestamp(1_800_000_000);
    const SITE: &str = "00112233aabbccdd";

    fn key() -> SigningKey {
        SigningKey::from_seed(&[7; 32])
    }

    fn request() -> Request {
        let key = key().public();
        Request {
            site: SITE.parse().unwrap(),
            agent_id: key.agent_id(),
            key,
            audience: "assent.example.org:443".into(),
            method: "POST".into(),
            path: "/agent/v1/plans?x=1".into(),
            body_sha256: Digest::of(b"body"),
            issued_at: NOW,
            expires: NOW.plus(60),
            nonce: "00112233445566778899aabbccddeeff".into(),
        }
    }

    fn open_at(value: &str, now: Timestamp) -> Result<Request, NotRequested> {
        let site = SITE.parse().unwrap();
        let audience = "assent.example.org:443";
        let arrived = Arrived { site: &site, audience, method: "POST", path: "/agent/v1/plans?x=1", now };
        open_request(value.as_bytes(), arrived)
    }

    fn open(request: Request) -> Result<Request, NotRequested> {
        open_at(&request.sign(&key()), NOW)
    }

    #[test]
    fn the_form_is_pinned() {
        let statement = Statement::sign(request(), &key());
        let text = String::from_utf8(statement.envelope.payload).unwrap();
        let (_, predicate) = text.split_once(r#""predicate":"#).unwrap();
        assert_eq!(
            predicate,
            r#"{"site":"00112233aabbccdd","agent_id":"fe812c12f3ab4ce6ac5db69ac352f906","key":"6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=","audience":"assent.example.org:443","method":"POST","path":"/agent/v1/plans?x=1","body_sha256":"230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5","issued_at":"2027-01-15T08:00:00Z","expires":"2027-01-15T08:01:00Z","nonce":"00112233445566778899aabbccddeeff"}}"#
        );
    }

    #[test]
    fn a_request_counts_for_what_was_signed_and_nothing_else() {
        let good = open(request()).unwrap();
        assert!(good.carries(b"body") && !good.carries(b"Body") && !good.carries(b""));
        assert!(open(Request { audience: "ASSENT.example.org:443".into(), ..request() }).is_ok());
        for (bad, what) in [
            (Request { audience: "assent.example.org:8444".into(), ..request() }, "audience"),
            (Request { audience: "other.example.org:443".into(), ..request() }, "audience"),
            (Request { method: "GET".into(), ..request() }, "method"),
            (Request { method: "post".into(), ..request() }, "method"),
            (Request { path: "/agent/v1/plans".into(), ..request() }, "path"),
            (Request { path: "/agent/v1/plans?x=2".into(), ..request() }, "path"),
            (Request { path: "/agent/v1/Plans?x=1".into(), ..request() }, "path"),
        ] {
            assert_eq!(open(bad), Err(NotRequested::Other(what)));
        }
    }

    #[test]
    fn what_is_not_a_signed_request_of_a_host_of_this_site_is_refused() {
        let other = SigningKey::from_seed(&[8; 32]).public();
        for (bad, why) in [
            (Request { site: "ffffffffffffffff".parse().unwrap(), ..request() }, "another site"),
            (Request { key: other, ..request() }, "does not belong"),
            (Request { agent_id: other.agent_id(), ..request() }, "does not belong"),
            (Request { key: other, agent_id: other.agent_id(), ..request() }, "not signed"),
            (Request { path: "/".repeat(REQUEST_PATH_BYTES + 1), ..request() }, "too long"),
            (Request { nonce: "0".repeat(31), ..request() }, "32 hex"),
            (Request { nonce: "0".repeat(33), ..request() }, "32 hex"),
            (Request { nonce: "G".repeat(32), ..request() }, "32 hex"),
            (Request { nonce: "A".repeat(32), ..request() }, "32 hex"),
            (Request { expires: NOW.plus(61), ..request() }, "longer than a minute"),
            (Request { expires: NOW, ..request() }, "not at all"),
            (Request { expires: NOW.plus(-1), ..request() }, "not at all"),
        ] {
            let error = open(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{why}: {error}");
        }
    }

    #[test]
    fn no_changed_byte_of_the_header_goes_unnoticed() {
        let good = request().sign(&key());
        let read = open_at(&good, NOW).unwrap();
        for at in 0..good.len() {
            for with in [b'A', b'z', b'=', b' ', b'0'] {
                let mut bad = good.clone().into_bytes();
                if bad[at] == with {
                    continue;
                }
                bad[at] = with;
                // Only names of keys may be another; they are never looked at.
                let opened = open_at(std::str::from_utf8(&bad).unwrap(), NOW);
                assert!(opened.is_err() || opened.as_ref() == Ok(&read), "byte {at}: {opened:?}");
            }
        }
    }

    #[test]
    fn other_statements_of_the_host_are_no_requests() {
        let Request { site, agent_id, key: public, issued_at: at, .. } = request();
        let renewal = Renewal { site, agent_id, key: public, at, csr: String::new() };
        let value = BASE64.encode(Statement::sign(renewal, &key()).to_bytes());
        assert!(matches!(open_at(&value, NOW), Err(NotRequested::Unreadable(_))));
        for bad in ["", "e30=", "%%%", "[]"] {
            assert!(matches!(open_at(bad, NOW), Err(NotRequested::Unreadable(_))), "{bad}");
        }
        let long = "A".repeat(REQUEST_HEADER_BYTES + 1);
        assert!(open_at(&long, NOW).unwrap_err().to_string().contains("at most"));
    }

    #[test]
    fn clocks_may_differ_by_as_much_as_elsewhere() {
        let value = request().sign(&key());
        let clock = |now| matches!(open_at(&value, now), Err(NotRequested::Clock { .. }));
        assert!(!clock(NOW.plus(-CLOCK_SKEW_SECS)) && clock(NOW.plus(-CLOCK_SKEW_SECS - 1)));
        let over = request().over();
        assert!(!clock(over.plus(-1)) && clock(over));
        let ages = Request { issued_at: Timestamp(i64::MIN), expires: Timestamp::MAX, ..request() };
        assert!(open(ages).is_err());
    }

    #[test]
    fn the_longest_path_fits_into_the_header() {
        let path = "/".repeat(REQUEST_PATH_BYTES);
        let audience = format!("{}:65535", "a".repeat(253));
        assert!(Request { path, audience, ..request() }.sign(&key()).len() <= REQUEST_HEADER_BYTES);
    }
}
