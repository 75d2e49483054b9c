//! Conditions of requests that write (RFC 9110 §13.1): it is still as it was looked at, or there is none yet.
//!
//! Owns the tags of what is shown, and their comparison: a tag is strong and the same on every node. Never: when it is compared.
//! That is the transaction that writes, behind the lock that all who write the same take.

use crate::kernel::error::{Error, Refusal};
use actix_web::body::BoxBody;
use actix_web::dev::Payload;
use actix_web::http::header::{self, ContentType, EntityTag, Header as _, IfMatch, IfNoneMatch};
use actix_web::{FromRequest, HttpRequest, HttpResponse, Responder};
use serde::Serialize;
use shared::digest::Digest;
use shared::strict;
use std::fmt::{self, Display};
use std::future::{Ready, ready};

/// The version of something that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag(EntityTag);

impl Tag {
    /// Of a document: another one where any of it differs.
    pub fn of<T: Serialize>(shown: &T) -> Self {
        Self::of_bytes(&strict::to_json(shown))
    }

    /// Of something whose number grows with each write.
    pub fn numbered(id: &str, version: i64) -> Self {
        Self(EntityTag::new_strong(format!("{id}.{version}")))
    }

    fn of_bytes(shown: &[u8]) -> Self {
        Self(EntityTag::new_strong(Digest::of(shown).to_string()))
    }
}

impl Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An answer in JSON with its tag.
#[derive(Debug)]
pub struct Tagged {
    tag: Tag,
    body: Vec<u8>,
}

impl Tagged {
    pub fn of<T: Serialize>(shown: &T) -> Self {
        let body = strict::to_json(shown);
        Self { tag: Tag::of_bytes(&body), body }
    }

    pub fn with<T: Serialize>(tag: Tag, shown: &T) -> Self {
        Self { tag, body: strict::to_json(shown) }
    }
}

impl Responder for Tagged {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let Tag(tag) = self.tag;
        HttpResponse::Ok().insert_header(header::ETag(tag)).insert_header(ContentType::json()).body(self.body)
    }
}

/// Extractor: what a request says of the state that it is meant for. A header that cannot be read is met by nothing: what was
/// asked for with a condition is not done without one.
#[derive(Debug, Clone)]
pub struct Condition {
    same: Option<Result<IfMatch, Unreadable>>,
    none: Option<Result<IfNoneMatch, Unreadable>>,
}

#[derive(Debug, Clone)]
struct Unreadable;

impl Condition {
    pub fn of(req: &HttpRequest) -> Self {
        let said = |name| req.headers().contains_key(name);
        let same = said(header::IF_MATCH).then(|| IfMatch::parse(req).map_err(|_| Unreadable));
        // The framework reads what is no tag as none at all.
        let tags = |none: IfNoneMatch| match none {
            IfNoneMatch::Items(tags) if tags.is_empty() => Err(Unreadable),
            none => Ok(none),
        };
        let none = said(header::IF_NONE_MATCH)
            .then(|| IfNoneMatch::parse(req).map_err(|_| Unreadable).and_then(tags));
        Self { same, none }
    }

    /// Whether the request may write. `now` gives the tag of what is there and is asked only where it counts.
    ///
    /// # Errors
    /// `request.other_version`, `request.not_there`, `request.exists`; those of `now`.
    pub fn check(
        &self,
        what: impl Display,
        now: impl FnOnce() -> Result<Option<Tag>, Error>,
    ) -> Result<(), Error> {
        if self.same.is_none() && self.none.is_none() {
            return Ok(());
        }
        let now = now()?;
        self.refusal(now.as_ref()).map_or(Ok(()), |refusal| {
            let tag = now.map(|tag| tag.to_string()).unwrap_or_default();
            Err(refusal.with("what", what).with("tag", tag).into())
        })
    }

    fn refusal(&self, now: Option<&Tag>) -> Option<Refusal> {
        let same = match (&self.same, now) {
            (None, _) | (Some(Ok(IfMatch::Any)), Some(_)) => true,
            (Some(_), None) => return Some(Refusal::precondition("request.not_there")),
            (Some(Ok(IfMatch::Items(tags))), Some(Tag(now))) => tags.iter().any(|tag| tag.strong_eq(now)),
            (Some(Err(Unreadable)), Some(_)) => false,
        };
        let none = match (&self.none, now) {
            (None, _) | (Some(Ok(_)), None) => true,
            (Some(Ok(IfNoneMatch::Any)), Some(_)) => return Some(Refusal::precondition("request.exists")),
            (Some(Ok(IfNoneMatch::Items(tags))), Some(Tag(now))) => !tags.iter().any(|tag| tag.weak_eq(now)),
            (Some(Err(Unreadable)), _) => false,
        };
        (!same || !none).then(|| Refusal::precondition("request.other_version"))
    }
}

impl FromRequest for Condition {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(req)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn answer(headers: &[(&str, &str)], now: Option<&Tag>) -> Option<&'static str> {
        let request =
            headers.iter().fold(TestRequest::get(), |request, header| request.append_header(*header));
        let checked = Condition::of(&request.to_http_request()).check("it", || Ok(now.cloned()));
        checked.err().map(|error| error.as_refusal().code)
    }

    #[test]
    fn what_was_asked_for_with_a_condition_is_done_only_where_it_holds() {
        let now = Tag::of(&["a"]);
        let (own, weak) = (now.to_string(), format!("W/{now}"));
        let other = Tag::of(&["b"]).to_string();
        assert_ne!(own, other);
        let both = format!("{other}, {own}");
        let (moved, missing, exists) =
            (Some("request.other_version"), Some("request.not_there"), Some("request.exists"));
        for (header, value, there, absent) in [
            ("if-match", own.as_str(), None, missing),
            ("if-match", &both, None, missing),
            ("if-match", "*", None, missing),
            ("if-match", &other, moved, missing),
            // A weak tag is never equal to anything here.
            ("if-match", &weak, moved, missing),
            ("if-match", "7", moved, missing),
            ("if-match", "", moved, missing),
            ("if-none-match", "*", exists, None),
            ("if-none-match", &own, moved, None),
            ("if-none-match", &weak, moved, None),
            ("if-none-match", &other, None, None),
            ("if-none-match", "7", moved, moved),
            ("accept", "*/*", None, None),
        ] {
            assert_eq!(answer(&[(header, value)], Some(&now)), there, "{header}: {value}");
            assert_eq!(answer(&[(header, value)], None), absent, "{header}: {value}, none there");
        }
        // Both hold or nothing is done.
        assert_eq!(answer(&[("if-match", &own), ("if-none-match", &other)], Some(&now)), None);
        assert_eq!(answer(&[("if-match", &own), ("if-none-match", &own)], Some(&now)), moved);
    }
}
