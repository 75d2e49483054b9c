//! The server's people port, endpoint by endpoint. Paths hold only typed ids, so nothing needs escaping.

mod changes;
mod entries;
mod times;
mod webhooks;

pub use changes::{Act, Wanted};

use super::client::JSON;
use super::{Client, Method, Only, Reply, Request, Seen};
use crate::alarms::Alarm;
use crate::error::{Done, Failure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ids::{PersonId, SiteId, Team};
use shared::keys::PublicKey;
use shared::limits;
use shared::strict;
use shared::time::Timestamp;
use shared::wire::{AuditPage, Cosigned, ExportLine, Invitation, Invite, Recorded, WitnessList};
use std::collections::BTreeMap;

/// Lists and change files: a change for 2,000 hosts with plans and receipts.
const LARGE: u64 = 512 << 20;
const SMALL: u64 = 1 << 20;

/// `GET /v1/site`; nothing in it is believed, it is compared or shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SiteInfo {
    pub site: SiteId,
    pub root_sha256: Digest,
    pub server_spki: Digest,
    pub people_url: String,
    pub agent_address: String,
    pub policy_version: u64,
    pub log_vkey: String,
    /// Keys that a server has made which was put back to a backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextKeys>,
    /// TLS authorities that the server has.
    #[serde(default)]
    pub authorities: Vec<AuthorityLine>,
    /// What the node that answers has made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_backup: Option<LastBackup>,
    pub expiry: Vec<Expiry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LastBackup {
    pub at: Timestamp,
    pub files: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuthorityLine {
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki: Digest,
    /// PEM.
    pub certificate: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NextKeys {
    pub online: PublicKey,
    pub log_vkey: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Expiry {
    pub what: String,
    pub expires: Timestamp,
}

#[derive(Serialize)]
pub struct Publish<'a> {
    pub team: &'a Team,
    pub content: &'a str,
    /// Absent when the metadata is only renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<&'a Envelope>,
    pub older: bool,
}

/// `POST /v1/people/{person}/tokens`.
#[derive(Serialize)]
pub struct Grant<'a> {
    pub access: &'a str,
    pub days: u32,
    pub token_sha256: Digest,
}

/// `POST /v1/tokens`.
#[derive(Serialize)]
pub struct NewToken<'a> {
    pub name: &'a str,
    pub scopes: &'a [String],
    pub days: u32,
    pub token_sha256: Digest,
}

/// A line of `GET /v1/tokens`.
#[derive(Serialize, Deserialize)]
pub struct TokenLine {
    pub sha256: Digest,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    pub created: Timestamp,
    #[serde(default)]
    pub expires: Option<Timestamp>,
}

/// A line of `GET /v1/people`.
#[derive(Deserialize)]
pub struct PersonLine {
    pub person: String,
    pub access: String,
    #[serde(default)]
    pub disabled: Option<Timestamp>,
    /// Tokens that are still good.
    pub tokens: i64,
}

#[derive(Deserialize)]
pub struct Upload {
    pub id: String,
    pub offset: u64,
}

/// A signed edition of the policy; the same policy with new metadata renews its validity.
#[derive(Serialize)]
pub struct Edition<'a> {
    pub targets: &'a str,
    pub policy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<&'a str>,
    /// Roots before it that the server has lost.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub roots: &'a [String],
}

/// What became of an approval; `lines` explain it.
#[derive(Deserialize)]
pub struct ApproveReply {
    pub state: String,
    pub lines: Vec<String>,
}

/// A list that comes in pages.
struct Pages {
    what: &'static str,
    path: &'static str,
    /// What else is asked: each parameter with `&` before it.
    query: String,
    /// The parameter for the first page, where the list does not begin at its beginning.
    first: Option<String>,
    /// Lines on a full page.
    length: usize,
    most: Option<usize>,
}

impl Client {
    fn read<T: DeserializeOwned>(&self, what: &'static str, request: &Request<'_>) -> Done<T> {
        decode(what, &self.send(request)?.good()?)
    }

    /// What is to be written back; `None` when it is not there.
    fn see<T: DeserializeOwned>(&self, what: &'static str, request: &Request<'_>) -> Done<Option<Seen<T>>> {
        let reply = self.send(request)?;
        if reply.status == 404 { Ok(None) } else { seen(what, reply).map(Some) }
    }

    /// What was written, as it is now.
    fn wrote<T: DeserializeOwned>(&self, what: &'static str, request: &Request<'_>) -> Done<Seen<T>> {
        seen(what, self.send(request)?)
    }

    fn post<T: DeserializeOwned>(&self, what: &'static str, path: &str, body: &impl Serialize) -> Done<T> {
        self.read(what, &Request::json(Method::POST, path, strict::to_json(body), LARGE))
    }

    /// The lines of all pages, or as many as are wanted. `behind` is the parameter for the page behind a line.
    fn pages<T: DeserializeOwned>(&self, list: &Pages, behind: impl Fn(&T) -> String) -> Done<Vec<T>> {
        let Pages { what, path, query, first, length, most } = list;
        let (mut all, mut from): (Vec<T>, _) = (Vec::new(), first.clone());
        loop {
            let place = from.map(|from| format!("&{from}")).unwrap_or_default();
            let path = format!("{path}?limit={length}{query}{place}");
            let page: Vec<T> = self.read(what, &Request::get(&path, LARGE))?;
            let full = page.len() >= *length;
            all.extend(page);
            match all.last() {
                Some(last) if full && most.is_none_or(|most| all.len() < most) => from = Some(behind(last)),
                _ => break,
            }
        }
        all.truncate(most.unwrap_or(usize::MAX));
        Ok(all)
    }

    /// The site and the server's key as seen on the connection.
    pub fn site(&self) -> Done<(SiteInfo, Digest)> {
        let reply = self.send(&Request::get("/v1/site", SMALL))?.good()?;
        Ok((decode("the site", &reply)?, reply.server_spki))
    }

    /// Whether the server and its database answer.
    pub fn healthy(&self) -> Done {
        self.send(&Request::get("/healthz", SMALL))?.good().map(drop)
    }

    /// What programs can ask of the server: OpenAPI 3.1.
    pub fn description(&self) -> Done<serde_json::Value> {
        self.read("the description of the interface", &Request::get("/v1/openapi.json", SMALL * 8))
    }

    /// A file of the repository; `None` when it does not have it.
    pub fn tuf(&self, name: &str, cap: u64) -> Done<Option<Vec<u8>>> {
        let reply = self.send(&Request::get(&format!("/v1/tuf/{name}"), cap))?;
        if reply.status == 404 { Ok(None) } else { Ok(Some(reply.good()?.body)) }
    }

    pub fn publish(&self, body: &Publish<'_>) -> Done {
        self.send(&Request::json(Method::POST, "/v1/tuf/publish", strict::to_json(body), SMALL))?.good()?;
        Ok(())
    }

    pub fn publish_policy(&self, body: &Edition<'_>) -> Done {
        self.send(&Request::json(Method::POST, "/v1/tuf/policy", strict::to_json(body), SMALL))?.good()?;
        Ok(())
    }

    /// Who has access to the server, by its own word.
    pub fn people(&self) -> Done<Vec<PersonLine>> {
        self.read("the persons", &Request::get("/v1/people", LARGE))
    }

    /// Gives access by a secret that only the person has. Asking twice does no harm.
    pub fn grant(&self, person: &PersonId, grant: &Grant<'_>) -> Done {
        let path = format!("/v1/people/{person}/tokens");
        self.send(&Request::json(Method::POST, &path, strict::to_json(grant), SMALL))?.good()?;
        Ok(())
    }

    /// Takes all access away; false for somebody who never had any.
    pub fn end_access(&self, person: &PersonId) -> Done<bool> {
        let path = format!("/v1/people/{person}");
        let reply = self.send(&Request::json(Method::DELETE, &path, Vec::new(), SMALL))?;
        if reply.status == 404 { Ok(false) } else { reply.good().map(|_| true) }
    }

    /// Own tokens that are good.
    pub fn tokens(&self) -> Done<Vec<TokenLine>> {
        self.read("the tokens", &Request::get("/v1/tokens", SMALL))
    }

    pub fn new_token(&self, token: &NewToken<'_>) -> Done {
        self.send(&Request::json(Method::POST, "/v1/tokens", strict::to_json(token), SMALL))?.good().map(drop)
    }

    pub fn end_token(&self, sha256: &Digest) -> Done {
        let path = format!("/v1/tokens/{sha256}");
        self.send(&Request::json(Method::DELETE, &path, Vec::new(), SMALL))?.good().map(drop)
    }

    pub fn invite(&self, wish: &Invite) -> Done<Invitation> {
        // A lost answer leaves an unused token behind, which expires.
        self.post("the join token", "/v1/join-tokens", wish)
    }

    /// A recorded document, byte for byte; whoever asks compares its digest.
    pub fn statement(&self, digest: &Digest) -> Done<Vec<u8>> {
        let path = format!("/v1/statements/{digest}");
        Ok(self.send(&Request::get(&path, limits::ENVELOPE_BYTES as u64))?.good()?.body)
    }

    /// A page of the audit trail, newest first.
    pub fn audit(&self, wanted: &BTreeMap<&str, String>) -> Done<AuditPage> {
        let asked: Vec<_> = wanted.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let path = format!("/v1/audit?{}", asked.join("&"));
        self.read("the audit trail", &Request::get(&path, SMALL * 4))
    }

    pub fn alarms(&self) -> Done<Vec<Alarm>> {
        self.read("the list of alarms", &Request::get("/v1/alarms", SMALL * 4))
    }

    /// The newest checkpoint, and what witnesses have seen of the ledger.
    pub fn witnesses(&self) -> Done<WitnessList> {
        let most = (limits::POLICY_WITNESSES + 1) * limits::TLOG_PROOF_BYTES;
        self.read("the ledger's checkpoint", &Request::get("/v1/log/witnesses", most as u64))
    }

    pub fn cosigned(&self, checkpoint: String) -> Done {
        let body = strict::to_json(&Cosigned { checkpoint });
        self.send(&Request::json(Method::POST, "/v1/log/cosignatures", body, SMALL))?.good().map(drop)
    }

    /// The ledger's proof that it holds a statement.
    pub fn proof(&self, statement: &Digest) -> Done<Recorded> {
        self.read("the ledger's proof", &Request::get(&format!("/v1/log/proof?digest={statement}"), SMALL))
    }

    pub fn tile(&self, path: &str) -> Done<Vec<u8>> {
        Ok(self.send(&Request::get(&format!("/v1/log/{path}"), SMALL))?.good()?.body)
    }

    /// The contents of an artifact; whoever asks compares its digest.
    pub fn artifact(&self, sha256: &Digest, length: u64) -> Done<Vec<u8>> {
        Ok(self.send(&Request::get(&format!("/v1/artifacts/{sha256}"), length))?.good()?.body)
    }

    pub fn has_artifact(&self, sha256: &Digest) -> Done<bool> {
        let path = format!("/v1/artifacts/{sha256}");
        let reply = self.send(&Request { method: Method::HEAD, ..Request::get(&path, SMALL) })?;
        if reply.status == 404 { Ok(false) } else { reply.good().map(|_| true) }
    }

    pub fn begin_upload(&self, sha256: &Digest, length: u64) -> Done<Upload> {
        #[derive(Serialize)]
        struct Begin<'a> {
            sha256: &'a Digest,
            length: u64,
        }
        self.post("the upload", "/v1/uploads", &Begin { sha256, length })
    }

    /// Sends one piece; returns the offset that the server has now. A conflict answers with the same.
    pub fn upload_piece(&self, id: &str, offset: u64, piece: Vec<u8>) -> Done<u64> {
        #[derive(Deserialize)]
        struct At {
            offset: u64,
        }
        let path = format!("/v1/uploads/{}?offset={offset}", escape(id));
        let content_type = "application/octet-stream";
        let request =
            Request { content_type, again: false, ..Request::json(Method::PATCH, &path, piece, SMALL) };
        Ok(self.read::<At>("the upload", &request)?.offset)
    }

    /// Evidence bundles that were taken, oldest first.
    pub fn exports(&self) -> Done<Vec<ExportLine>> {
        self.read("the list of exports", &Request::get("/v1/exports", LARGE))
    }

    /// An evidence bundle, piece by piece into `sink`.
    pub fn export(&self, wish: &impl Serialize, sink: &mut dyn FnMut(&[u8]) -> Done) -> Done {
        let request = Request {
            content_type: JSON,
            ..Request::json(Method::POST, "/v1/exports", strict::to_json(wish), u64::MAX)
        };
        self.stream(&request, sink)?.good()?;
        Ok(())
    }
}

fn seen<T: DeserializeOwned>(what: &'static str, reply: Reply) -> Done<Seen<T>> {
    let reply = reply.good()?;
    let only = reply.etag.clone().map_or(Only::Whatever, Only::Same);
    Ok(Seen { it: decode(what, &reply)?, only })
}

fn decode<T: DeserializeOwned>(what: &'static str, reply: &Reply) -> Done<T> {
    let limit = usize::try_from(LARGE).unwrap_or(usize::MAX);
    strict::from_json(what, &reply.body, limit).map_err(|e| {
        Failure::fault("the server's answer cannot be read")
            .why(e)
            .remedy("check that server and command are of one version")
    })
}

/// Percent-encodes everything but letters, digits and `-._~` (RFC 3986), so that a name stays one path part.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_cannot_leave_their_place_in_a_path() {
        assert_eq!(super::escape("web-1.example"), "web-1.example");
        assert_eq!(super::escape("../x?a=b&c#é"), "..%2Fx%3Fa%3Db%26c%23%C3%A9");
    }
}
