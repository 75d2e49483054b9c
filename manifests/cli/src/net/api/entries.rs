//! Entries of the CMDB: hosts, what is declared, searches, findings.

use super::{LARGE, Pages, SMALL, escape};
use crate::error::Done;
use crate::net::{Client, Method, Only, Request, Seen};
use shared::limits;
use shared::strict::{self, Map};
use shared::time::Timestamp;
use shared::wire::{
    Because, CiFile, CiLine, CiRef, Declare, DeclareDone, DeclareItem, DeclaredPage, Dispose,
    DisposeMismatches, FindingFile, FindingLine, FindingPage, HealthPoint, HostLine, IgnoreRule, Impact,
    Item, MismatchLine, MismatchPage, NewIgnoreRule, PutLabels, PutSearch, SavedSearch,
};
use std::collections::BTreeMap;

/// A list from its beginning to its end, in the largest pages.
fn all(what: &'static str, path: &'static str, query: String) -> Pages {
    Pages { what, path, query, first: None, length: 5_000, most: None }
}

impl Client {
    /// Hosts that have all these labels, by name, from all pages.
    pub fn hosts(&self, labels: &[(String, String)]) -> Done<Vec<HostLine>> {
        let asked: Vec<_> =
            labels.iter().map(|(k, v)| format!("&label={}", escape(&format!("{k}={v}")))).collect();
        let list = all("the list of hosts", "/v1/hosts", asked.concat());
        self.pages(&list, |last: &HostLine| format!("after={}", last.agent))
    }

    pub fn enrolment(&self, ci: &str) -> Done<Vec<u8>> {
        let path = format!("/v1/hosts/{}/enrolment", escape(ci));
        Ok(self.send(&Request::get(&path, limits::ENVELOPE_BYTES as u64))?.good()?.body)
    }

    pub fn labels(&self, ci: &str) -> Done<Option<Seen<Map<String, String>>>> {
        self.see("the labels", &Request::get(&format!("/v1/hosts/{}/labels", escape(ci)), SMALL))
    }

    /// Replaces the labels, if they are still those that were seen.
    pub fn set_labels(&self, ci: &str, put: &PutLabels, only: Only) -> Done {
        let path = format!("/v1/hosts/{}/labels", escape(ci));
        let request = Request::json(Method::PUT, &path, strict::to_json(put), SMALL);
        self.send(&Request { only, ..request })?.good().map(drop)
    }

    pub fn set_enabled(&self, ci: &str, enabled: bool, why: &Because) -> Done {
        let path = match enabled {
            true => format!("/v1/hosts/{}/enable", escape(ci)),
            false => format!("/v1/hosts/{}/disable", escape(ci)),
        };
        self.send(&Request::json(Method::POST, &path, strict::to_json(why), SMALL))?.good().map(drop)
    }

    /// Entries that a search finds and that fit the conditions, from all pages.
    pub fn cis(&self, query: &str, conditions: &[(&str, String)]) -> Done<Vec<CiLine>> {
        let asked: Vec<_> =
            conditions.iter().map(|(name, value)| format!("&{name}={}", escape(value))).collect();
        let query = format!("&q={}{}", escape(query), asked.concat());
        let list = all("the list of CIs", "/v1/cis", query);
        self.pages(&list, |last: &CiLine| format!("after={}", escape(&last.ci)))
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

    /// What one of its health checks has said within the last week, the oldest first.
    pub fn health_course(&self, name: &str, check: &str) -> Done<Vec<HealthPoint>> {
        let path = format!("/v1/cis/{}/health/{}", escape(name), escape(check));
        self.read("the course of a health check", &Request::get(&path, LARGE))
    }

    /// As it was then.
    pub fn ci_at(&self, name: &str, at: Timestamp) -> Done<CiFile> {
        let path = format!("/v1/cis/{}?at={at}", escape(name));
        self.read("the configuration item", &Request::get(&path, LARGE))
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

    /// What is declared of one entry; `None` when there is no such entry.
    pub fn declaration(&self, item: &CiRef) -> Done<Option<Seen<Item>>> {
        let path = format!("/v1/declarations/{}", escape(&item.to_string()));
        self.see("what is declared", &Request::get(&path, SMALL))
    }

    pub fn declare_item(&self, item: &CiRef, wish: &DeclareItem, only: Only) -> Done<DeclareDone> {
        let path = format!("/v1/declarations/{}", escape(&item.to_string()));
        let request = Request::json(Method::PUT, &path, strict::to_json(wish), SMALL);
        self.read("the outcome", &Request { only, ..request })
    }

    pub fn declare(&self, wish: &Declare) -> Done<DeclareDone> {
        self.post("the outcome", "/v1/declarations", wish)
    }

    pub fn impact(&self, name: &str, depth: u8) -> Done<Impact> {
        let path = format!("/v1/cis/{}/impact?depth={depth}", escape(name));
        self.read("the impact", &Request::get(&path, LARGE))
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

    pub fn add_rule(&self, rule: &NewIgnoreRule) -> Done<IgnoreRule> {
        self.post("the rule", "/v1/finding-rules", rule)
    }

    pub fn remove_rule(&self, id: u64) -> Done {
        self.send(&Request::json(Method::DELETE, &format!("/v1/finding-rules/{id}"), Vec::new(), SMALL))?
            .good()?;
        Ok(())
    }
}
