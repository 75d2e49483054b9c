//! The server's people port, endpoint by endpoint. Paths hold only typed ids, so nothing needs escaping.

use super::client::JSON;
use super::{Client, Method, Reply, Request};
use crate::alarms::Alarm;
use crate::error::{Done, Failure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ids::{BudgetName, ChangeId, PersonId, SiteId, Team};
use shared::keys::PublicKey;
use shared::limits;
use shared::note::ChangeNote;
use shared::strict::{self, Map};
use shared::time::{Interval, Timestamp};
use shared::windows::CalendarName;
use shared::wire::{
    Addition, Approve, Assessment, AuditPage, BudgetFile, BudgetLine, CalendarFile, CalendarLine, ChangeFile,
    ChangeLine, ChangeNotes, CiFile, CiLine, CiRef, Conflict, Cosigned, Declare, DeclareDone, DeclaredPage,
    Dispose, DisposeMismatches, FindingFile, FindingLine, FindingPage, FreeTimes, HostLine, IgnoreRule,
    Impact, Invitation, Invite, Item, Kpis, MismatchLine, MismatchPage, NewIgnoreRule, ProgressPage,
    PutBudget, PutCalendar, PutSearch, Recorded, Remark, SavedSearch, Waiting, Why, WitnessList,
};
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

impl Client {
    fn read<T: DeserializeOwned>(&self, what: &'static str, request: &Request<'_>) -> Done<T> {
        decode(what, &self.send(request)?.good()?)
    }

    fn post<T: DeserializeOwned>(&self, what: &'static str, path: &str, body: &impl Serialize) -> Done<T> {
        self.read(what, &Request::json(Method::POST, path, strict::to_json(body), LARGE))
    }

    /// The site and the server's key as seen on the connection.
    pub fn site(&self) -> Done<(SiteInfo, Digest)> {
        let reply = self.send(&Request::get("/v1/site", SMALL))?.good()?;
        Ok((decode("the site", &reply)?, reply.server_spki))
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

    pub fn hosts(&self, labels: &[(String, String)]) -> Done<Vec<HostLine>> {
        let query: Vec<_> =
            labels.iter().map(|(k, v)| format!("label={}", escape(&format!("{k}={v}")))).collect();
        let path = format!("/v1/hosts?{}", query.join("&"));
        self.read("the list of hosts", &Request::get(path.trim_end_matches('?'), LARGE))
    }

    /// A recorded document, byte for byte; whoever asks compares its digest.
    pub fn statement(&self, digest: &Digest) -> Done<Vec<u8>> {
        let path = format!("/v1/statements/{digest}");
        Ok(self.send(&Request::get(&path, limits::ENVELOPE_BYTES as u64))?.good()?.body)
    }

    pub fn enrolment(&self, ci: &str) -> Done<Vec<u8>> {
        let path = format!("/v1/hosts/{}/enrolment", escape(ci));
        Ok(self.send(&Request::get(&path, limits::ENVELOPE_BYTES as u64))?.good()?.body)
    }

    pub fn set_labels(&self, ci: &str, labels: &Map<String, String>) -> Done {
        let path = format!("/v1/hosts/{}/labels", escape(ci));
        self.send(&Request::json(Method::PUT, &path, strict::to_json(labels), SMALL))?.good()?;
        Ok(())
    }

    pub fn set_enabled(&self, ci: &str, enabled: bool) -> Done {
        let word = if enabled { "enable" } else { "disable" };
        let path = format!("/v1/hosts/{}/{word}", escape(ci));
        self.send(&Request::json(Method::POST, &path, b"{}".to_vec(), SMALL))?.good()?;
        Ok(())
    }

    /// Entries that a search finds and that fit the conditions, from all pages.
    pub fn cis(&self, query: &str, conditions: &[(&str, String)]) -> Done<Vec<CiLine>> {
        const PAGE: usize = 5_000;
        let asked: Vec<_> =
            conditions.iter().map(|(name, value)| format!("&{name}={}", escape(value))).collect();
        let asked = format!("/v1/cis?limit={PAGE}&q={}{}", escape(query), asked.concat());
        let (mut all, mut after): (Vec<CiLine>, String) = (Vec::new(), String::new());
        loop {
            let page: Vec<CiLine> =
                self.read("the list of CIs", &Request::get(&format!("{asked}{after}"), LARGE))?;
            let full = page.len() >= PAGE;
            all.extend(page);
            match all.last() {
                Some(last) if full => after = format!("&after={}", escape(&last.ci)),
                _ => return Ok(all),
            }
        }
    }

    /// Those that are there and open, or all; from all pages.
    pub fn mismatches(&self, entry: Option<&str>, all: bool) -> Done<Vec<MismatchLine>> {
        let mut asked = entry.map(|entry| format!("entry={}&", escape(entry))).unwrap_or_default();
        if !all {
            asked.push_str("current=true&disposition=open&");
        }
        let (mut found, mut before) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/mismatches?{asked}{before}");
            let page: MismatchPage = self.read("the mismatches", &Request::get(&path, SMALL * 8))?;
            found.extend(page.mismatches);
            match page.next {
                Some(next) => before = format!("before={next}"),
                None => return Ok(found),
            }
        }
    }

    pub fn dispose_mismatches(&self, wish: &DisposeMismatches) -> Done {
        let body = strict::to_json(wish);
        self.send(&Request::json(Method::POST, "/v1/mismatch-dispositions", body, SMALL))?.good().map(drop)
    }

    pub fn searches(&self) -> Done<Vec<SavedSearch>> {
        self.read("the saved searches", &Request::get("/v1/searches", SMALL * 8))
    }

    pub fn save_search(&self, name: &str, wish: &PutSearch) -> Done {
        let path = format!("/v1/searches/{}", escape(name));
        self.send(&Request::json(Method::PUT, &path, strict::to_json(wish), SMALL))?.good().map(drop)
    }

    pub fn forget_search(&self, name: &str) -> Done {
        let path = format!("/v1/searches/{}", escape(name));
        self.send(&Request::json(Method::DELETE, &path, Vec::new(), SMALL))?.good().map(drop)
    }

    pub fn ci(&self, name: &str) -> Done<CiFile> {
        self.read("the configuration item", &Request::get(&format!("/v1/cis/{}", escape(name)), LARGE))
    }

    /// As it was then.
    pub fn ci_at(&self, name: &str, at: Timestamp) -> Done<CiFile> {
        let path = format!("/v1/cis/{}?at={at}", escape(name));
        self.read("the configuration item", &Request::get(&path, LARGE))
    }

    /// Allots the next change number; sent once, because each answer uses one up.
    pub fn new_change(&self) -> Done<ChangeId> {
        #[derive(Deserialize)]
        struct Allotted {
            change_id: ChangeId,
        }
        let request =
            Request { again: false, ..Request::json(Method::POST, "/v1/changes", b"{}".into(), SMALL) };
        Ok(self.read::<Allotted>("the new change", &request)?.change_id)
    }

    pub fn put_revision(&self, id: &ChangeId, revision: u32, change: &Envelope) -> Done<ChangeLine> {
        let path = format!("/v1/changes/{id}/revisions/{revision}");
        self.read("the change", &Request::json(Method::PUT, &path, change.to_bytes(), SMALL))
    }

    /// The same for a change that accepts findings.
    pub fn put_retroactive(&self, id: &ChangeId, revision: u32, change: &Envelope) -> Done<ChangeLine> {
        let path = format!("/v1/retroactive-changes/{id}/revisions/{revision}");
        self.read("the change", &Request::json(Method::PUT, &path, change.to_bytes(), SMALL))
    }

    /// `submit`, `halt`, `resume`, `stop-correcting`, `withdraw` or `close`.
    pub fn act(&self, id: &ChangeId, action: &str, body: &impl Serialize) -> Done<ChangeLine> {
        self.post("the change", &format!("/v1/changes/{id}/{action}"), body)
    }

    pub fn changes(&self, state: Option<&str>) -> Done<Vec<ChangeLine>> {
        let path =
            state.map_or("/v1/changes".to_owned(), |state| format!("/v1/changes?state={}", escape(state)));
        self.read("the list of changes", &Request::get(&path, LARGE))
    }

    pub fn change(&self, id: &ChangeId) -> Done<ChangeFile> {
        self.read("the change", &Request::get(&format!("/v1/changes/{id}"), LARGE))
    }

    /// One revision, as its author signed it.
    pub fn revision(&self, id: &ChangeId, revision: u32) -> Done<Envelope> {
        self.read("the revision", &Request::get(&format!("/v1/changes/{id}/revisions/{revision}"), LARGE))
    }

    pub fn notes(&self, id: &ChangeId) -> Done<ChangeNotes> {
        self.read("the notes", &Request::get(&format!("/v1/changes/{id}/notes"), LARGE))
    }

    /// A comment, an objection or an answer.
    pub fn remark(&self, id: &ChangeId, remark: &Remark) -> Done<ChangeNote> {
        self.post("the note", &format!("/v1/changes/{id}/comments"), remark)
    }

    /// A link, its end, or a file that is uploaded.
    pub fn add_note(&self, id: &ChangeId, addition: &Addition) -> Done<ChangeNote> {
        self.post("the note", &format!("/v1/changes/{id}/notes"), addition)
    }

    pub fn approve(&self, id: &ChangeId, body: &Approve) -> Done<ApproveReply> {
        self.post("the answer to the approval", &format!("/v1/changes/{id}/approvals"), body)
    }

    /// A page of the audit trail, newest first.
    pub fn audit(&self, wanted: &BTreeMap<&str, String>) -> Done<AuditPage> {
        let asked: Vec<_> = wanted.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let path = format!("/v1/audit?{}", asked.join("&"));
        self.read("the audit trail", &Request::get(&path, SMALL * 4))
    }

    pub fn budgets(&self) -> Done<Vec<BudgetLine>> {
        self.read("the list of budgets", &Request::get("/v1/budgets", SMALL * 4))
    }

    /// `None` when there is none of this name, and never was.
    pub fn budget(&self, name: &BudgetName) -> Done<Option<BudgetFile>> {
        let reply = self.send(&Request::get(&format!("/v1/budgets/{name}"), LARGE))?;
        if reply.status == 404 {
            return Ok(None);
        }
        decode("the budget", &reply.good()?).map(Some)
    }

    pub fn put_budget(&self, name: &BudgetName, put: &PutBudget) -> Done<BudgetFile> {
        let path = format!("/v1/budgets/{name}");
        let request = Request::json(Method::PUT, &path, strict::to_json(put), LARGE);
        self.read("the budget", &Request { again: false, ..request })
    }

    pub fn calendars(&self) -> Done<Vec<CalendarLine>> {
        self.read("the list of calendars", &Request::get("/v1/calendars", SMALL * 4))
    }

    /// `None` when there is none of this name, and never was.
    pub fn calendar(&self, name: &CalendarName) -> Done<Option<CalendarFile>> {
        let reply = self.send(&Request::get(&format!("/v1/calendars/{name}"), LARGE))?;
        if reply.status == 404 {
            return Ok(None);
        }
        decode("the calendar", &reply.good()?).map(Some)
    }

    pub fn put_calendar(&self, name: &CalendarName, put: &PutCalendar) -> Done<CalendarFile> {
        let path = format!("/v1/calendars/{name}");
        let request = Request::json(Method::PUT, &path, strict::to_json(put), LARGE);
        self.read("the calendar", &Request { again: false, ..request })
    }

    /// Everything that is declared.
    pub fn declarations(&self) -> Done<Vec<Item>> {
        let (mut all, mut path) = (Vec::new(), "/v1/declarations".to_owned());
        loop {
            let page: DeclaredPage = self.read("what is declared", &Request::get(&path, LARGE))?;
            all.extend(page.items);
            match page.next {
                Some(next) => path = format!("/v1/declarations?from={next}"),
                None => return Ok(all),
            }
        }
    }

    /// What is declared of one entry, and the number of the newest record of all.
    pub fn declaration(&self, item: &CiRef) -> Done<(Option<Item>, u64)> {
        let path = format!("/v1/declarations?item={}", escape(&item.to_string()));
        let page: DeclaredPage = self.read("what is declared", &Request::get(&path, SMALL))?;
        Ok((page.items.into_iter().find(|found| found.item == *item), page.newest))
    }

    pub fn declare(&self, wish: &Declare) -> Done<DeclareDone> {
        self.post("the outcome", "/v1/declarations", wish)
    }

    pub fn impact(&self, name: &str, depth: u8) -> Done<Impact> {
        let path = format!("/v1/cis/{}/impact?depth={depth}", escape(name));
        self.read("the impact", &Request::get(&path, LARGE))
    }

    /// Lets whoever has the secret of this digest read the schedule.
    pub fn open_feed(&self, sha256: &Digest) -> Done {
        self.open("/v1/feeds", sha256)
    }

    /// Lets machines that have the secret of this digest take slots of a budget.
    pub fn open_address(&self, name: &BudgetName, sha256: &Digest) -> Done {
        self.open(&format!("/v1/budgets/{name}/addresses"), sha256)
    }

    pub fn end_addresses(&self, name: &BudgetName) -> Done {
        let path = format!("/v1/budgets/{name}/addresses");
        self.send(&Request::json(Method::DELETE, &path, Vec::new(), SMALL))?.good().map(drop)
    }

    fn open(&self, path: &str, sha256: &Digest) -> Done {
        #[derive(Serialize)]
        struct Open<'a> {
            sha256: &'a Digest,
        }
        let body = strict::to_json(&Open { sha256 });
        self.send(&Request::json(Method::POST, path, body, SMALL))?.good().map(drop)
    }

    pub fn end_feeds(&self) -> Done {
        self.send(&Request::json(Method::DELETE, "/v1/feeds", Vec::new(), SMALL))?.good().map(drop)
    }

    pub fn kpis(&self, period: Interval) -> Done<Kpis> {
        let path = format!("/v1/kpis?from={}&to={}", period.from, period.until);
        self.read("the key figures", &Request::get(&path, SMALL))
    }

    /// What hosts of one change wait for, or of all open ones.
    pub fn waiting(&self, id: Option<&ChangeId>) -> Done<Vec<Waiting>> {
        let path = id.map_or("/v1/waiting".to_owned(), |id| format!("/v1/waiting?change={id}"));
        self.read("what hosts wait for", &Request::get(&path, LARGE))
    }

    pub fn assessment(&self, id: &ChangeId) -> Done<Assessment> {
        self.read("the assessment", &Request::get(&format!("/v1/changes/{id}/assessment"), LARGE))
    }

    pub fn conflicts(&self, id: &ChangeId) -> Done<Vec<Conflict>> {
        self.read("the conflicts", &Request::get(&format!("/v1/changes/{id}/conflicts"), SMALL * 4))
    }

    pub fn free_times(
        &self,
        labels: &[(String, String)],
        hosts: &[String],
        span: Interval,
    ) -> Done<FreeTimes> {
        let mut path = format!("/v1/free-times?from={}&until={}", span.from, span.until);
        for (name, value) in labels {
            path.push_str(&format!("&label={}", escape(&format!("{name}={value}"))));
        }
        for host in hosts {
            path.push_str(&format!("&host={}", escape(host)));
        }
        self.read("the free times", &Request::get(&path, SMALL * 4))
    }

    pub fn alarms(&self) -> Done<Vec<Alarm>> {
        self.read("the list of alarms", &Request::get("/v1/alarms", SMALL * 4))
    }

    pub fn why(&self, host: &str, id: &ChangeId) -> Done<Why> {
        self.read("the reason", &Request::get(&format!("/v1/why/{}/{id}", escape(host)), SMALL * 4))
    }

    /// What hosts tell of a running change behind a place.
    pub fn progress(&self, id: &ChangeId, after: u64, host: Option<&str>) -> Done<ProgressPage> {
        let host = host.map(|host| format!("&host={}", escape(host))).unwrap_or_default();
        let path = format!("/v1/changes/{id}/progress?after={after}{host}");
        self.read("what hosts tell", &Request::get(&path, LARGE))
    }

    /// All findings that fit, page by page.
    pub fn findings(&self, wanted: &BTreeMap<&str, String>) -> Done<Vec<FindingLine>> {
        let asked: Vec<String> =
            wanted.iter().map(|(key, value)| format!("{key}={}", escape(value))).collect();
        let mut path = format!("/v1/findings?{}", asked.join("&"));
        let mut all = Vec::new();
        loop {
            let page: FindingPage = self.read("the list of findings", &Request::get(&path, LARGE))?;
            all.extend(page.findings);
            match page.next {
                Some(before) => path = format!("/v1/findings?{}&before={before}", asked.join("&")),
                None => return Ok(all),
            }
        }
    }

    pub fn finding(&self, id: u64) -> Done<FindingFile> {
        self.read("the finding", &Request::get(&format!("/v1/findings/{id}"), SMALL * 4))
    }

    pub fn dispose(&self, wish: &Dispose) -> Done {
        let body = strict::to_json(wish);
        self.send(&Request::json(Method::POST, "/v1/finding-dispositions", body, SMALL))?.good()?;
        Ok(())
    }

    pub fn rules(&self) -> Done<Vec<IgnoreRule>> {
        self.read("the list of rules", &Request::get("/v1/finding-rules", SMALL * 4))
    }

    /// Sent once: each answer is another rule.
    pub fn add_rule(&self, rule: &NewIgnoreRule) -> Done<IgnoreRule> {
        let body = strict::to_json(rule);
        let request = Request::json(Method::POST, "/v1/finding-rules", body, SMALL);
        self.read("the rule", &Request { again: false, ..request })
    }

    pub fn remove_rule(&self, id: u64) -> Done {
        self.send(&Request::json(Method::DELETE, &format!("/v1/finding-rules/{id}"), Vec::new(), SMALL))?
            .good()?;
        Ok(())
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
