//! A request that makes something new, sent again because its answer was lost: it is done once and answered the same.
//!
//! By the header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header), for a day. The answer is stored in the
//! transaction that does the work, so there is no moment in which one exists without the other. Never: an answer with a secret.

use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use diesel::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::digest::Digest;
use shared::ids::PersonId;
use shared::strict;
use shared::time::Timestamp;
use std::future::{Ready, ready};

diesel::table! {
    once_answer (person, key) {
        person -> Text,
        key -> Text,
        request -> Binary,
        answer -> Text,
        at -> BigInt,
    }
}

/// Name of the header, as routes describe it.
pub const HEADER: &str = "Idempotency-Key";
/// A random UUID has 36.
const KEY_BYTES: usize = 128;
/// How long an answer is kept: whoever asks again later has given the request up in between.
const KEPT_SECS: i64 = 86_400;

/// Extractor: the key of a request, if it has one, and its place.
#[derive(Debug, Clone)]
pub struct Once {
    key: Option<String>,
    /// Method and path.
    place: String,
}

impl FromRequest for Once {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let place = format!("{} {}", req.method(), req.path());
        let Some(value) = req.headers().get(HEADER) else { return ready(Ok(Self { key: None, place })) };
        let fits = |text: &&str| {
            (1..=KEY_BYTES).contains(&text.len()) && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
        };
        let key = value.to_str().ok().filter(fits).map(str::to_owned);
        let refusal = || Refusal::bad_request("request.bad_key").with("limit", KEY_BYTES).into();
        ready(key.ok_or_else(refusal).map(|key| Self { key: Some(key), place }))
    }
}

impl Once {
    /// Does the work, or answers as it was answered before. `asked` is what the request says.
    ///
    /// # Errors
    /// Those of the work; the same key with another request.
    pub fn run<T: Serialize + DeserializeOwned>(
        &self,
        tx: &mut Conn,
        (person, asked): (&PersonId, &impl Serialize),
        now: Timestamp,
        work: impl FnOnce(&mut Conn) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(key) = &self.key else { return work(tx) };
        let request = Digest::of(&strict::to_json(&(&self.place, asked)));
        // The first lock of all: two nodes with the same request wait for each other here.
        tx.lock("once")?;
        let known: Option<(Vec<u8>, String)> = once_answer::table
            .find((person.as_str(), key))
            .filter(once_answer::at.gt(now.0 - KEPT_SECS))
            .select((once_answer::request, once_answer::answer))
            .first(tx)
            .optional()?;
        if let Some((before, answer)) = known {
            if before != request.0 {
                return Err(Refusal::unprocessable("request.key_reused").with("key", key).into());
            }
            return serde_json::from_str(&answer)
                .map_err(|error| Error::fault("reading an answer that was given before", error));
        }
        diesel::delete(once_answer::table.filter(once_answer::at.le(now.0 - KEPT_SECS))).execute(tx)?;
        let answer = work(tx)?;
        let text = strict::to_text(&answer);
        let row = (
            once_answer::person.eq(person.as_str()),
            once_answer::key.eq(key),
            once_answer::request.eq(request.0.as_slice()),
            once_answer::answer.eq(text),
            once_answer::at.eq(now.0),
        );
        each!(tx, |c| diesel::insert_into(once_answer::table).values(row).execute(c))?;
        Ok(answer)
    }
}
