//! Wrong credentials: who comes with too many of them is not listened to for a while.
//!
//! In the memory of each node; a restart begins anew. Never a reason to refuse a credential that counts: many people
//! and hosts may share one address with whoever guesses (`shared/decisions/0037-door.md`).

use super::proxied::source;
use crate::kernel::error::{Error, Refusal};
use crate::kernel::limiter::Limiter;
use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use shared::digest::Digest;
use std::collections::HashSet;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Mistakes of one address: a rack that is set up with old commands, then a steady trickle.
const BURST: u32 = 60;
const PER_MINUTE: u32 = 12;
/// How old the list of credentials that count may be.
const LIST_AGE: Duration = Duration::from_secs(5);

/// One customer of a network: an IPv4 address, or the 64 bits that are routed to one place in IPv6 (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

impl Source {
    /// The other end of the connection, or whom a proxy names that is believed.
    pub fn of(req: &HttpRequest) -> Option<Self> {
        source(req).map(Self::from)
    }
}

/// The credentials of one kind that count, as far as this node knows.
#[derive(Default)]
struct Counting {
    read: Option<Instant>,
    all: HashSet<Digest>,
}

/// Tries with credentials of one kind; one for all worker threads.
pub struct Tries {
    wrong: Limiter<Option<Source>>,
    counting: Mutex<Counting>,
}

impl Default for Tries {
    fn default() -> Self {
        Self { wrong: Limiter::new(BURST, PER_MINUTE), counting: Mutex::default() }
    }
}

impl Tries {
    /// Whether a credential from there is worth looking up. After too many wrong ones only those are that count:
    /// `list` is asked for them, at most every five seconds.
    ///
    /// # Errors
    /// Too many, with the time after which any will do, or what `list` says.
    pub async fn admit(
        &self,
        from: Option<Source>,
        credential: &Digest,
        now: Instant,
        list: impl AsyncFnOnce() -> Result<HashSet<Digest>, Error>,
    ) -> Result<(), Error> {
        let Some(wait) = self.wrong.wait(&from, now) else { return Ok(()) };
        let mut counting = self.counting.lock().await;
        if counting.read.is_none_or(|read| now.saturating_duration_since(read) >= LIST_AGE) {
            *counting = Counting { all: list().await?, read: Some(now) };
        }
        if counting.all.contains(credential) { Ok(()) } else { Err(too_many(wait).into()) }
    }

    /// The same for a credential of which the caller knows by itself whether it may count.
    ///
    /// # Errors
    /// Too many, with the time after which any will do.
    pub fn admit_known(&self, from: Option<Source>, known: bool, now: Instant) -> Result<(), Error> {
        match self.wrong.wait(&from, now) {
            Some(wait) if !known => Err(too_many(wait).into()),
            Some(_) | None => Ok(()),
        }
    }

    /// A credential from there did not count.
    pub fn note_wrong(&self, from: Option<Source>, now: Instant) {
        if self.wrong.take(from, 1, now).is_ok() && self.wrong.wait(&from, now).is_some() {
            tracing::warn!(?from, "too many wrong credentials; only those that count are looked up for now");
        }
    }
}

/// Tries of addresses with a secret in their path, of one kind of routes; one for all worker threads.
pub struct Guesses<K>(Tries, PhantomData<fn() -> K>);

impl<K> Default for Guesses<K> {
    fn default() -> Self {
        Self(Tries::default(), PhantomData)
    }
}

impl<K> Guesses<K> {
    /// What `find` has for the secret of a request; nothing counts as a guess. After too many guesses from one place only
    /// secrets that `list` names are looked up for it.
    ///
    /// # Errors
    /// Too many, or what `list` and `find` say.
    pub async fn look_up<T>(
        &self,
        request: &HttpRequest,
        secret: &Digest,
        list: impl AsyncFnOnce() -> Result<HashSet<Digest>, Error>,
        find: impl AsyncFnOnce() -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let (from, at) = (Source::of(request), Instant::now());
        self.0.admit(from, secret, at, list).await?;
        let found = find().await?;
        if found.is_none() {
            self.0.note_wrong(from, at);
        }
        Ok(found)
    }
}

fn too_many(wait: Duration) -> Refusal {
    let secs = wait.as_secs().saturating_add(1);
    let refusal = Refusal::new("request.too_many", StatusCode::TOO_MANY_REQUESTS);
    refusal.with("secs", secs).retry_after(secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Option<Source> {
        Some(address.parse::<IpAddr>().unwrap().into())
    }

    #[test]
    fn a_source_is_an_address_or_the_network_of_one() {
        assert_eq!(from("192.0.2.7"), from("::ffff:192.0.2.7"));
        assert_ne!(from("192.0.2.7"), from("192.0.2.8"));
        assert_eq!(from("2001:db8:0:1::1"), from("2001:db8:0:1:ffff::2"));
        assert_ne!(from("2001:db8:0:1::1"), from("2001:db8:0:2::1"));
    }

    #[actix_web::test]
    async fn after_too_many_wrong_ones_only_what_counts_is_looked_up() {
        let (tries, now) = (Tries::default(), Instant::now());
        let (good, new, wrong) = (Digest::of(b"good"), Digest::of(b"new"), Digest::of(b"wrong"));
        let (hostile, other) = (from("192.0.2.7"), from("192.0.2.8"));
        let later = |secs: u64| now + Duration::from_secs(secs);
        let never = async || -> Result<HashSet<Digest>, Error> { panic!("nothing is read before") };
        for _ in 0..BURST {
            tries.admit(hostile, &wrong, now, never).await.unwrap();
            tries.note_wrong(hostile, now);
        }
        let old = async || Ok(HashSet::from([good]));
        let refused = tries.admit(hostile, &wrong, now, old).await.unwrap_err().as_refusal();
        assert_eq!((refused.code, refused.retry_after), ("request.too_many", Some(6)));
        assert!(tries.admit_known(hostile, false, now).is_err());
        tries.admit_known(hostile, true, now).unwrap();
        tries.admit(hostile, &good, later(1), never).await.unwrap();
        tries.admit(other, &wrong, later(1), never).await.unwrap();
        assert!(tries.admit(hostile, &new, later(4), never).await.is_err());
        // One more mistake each five seconds.
        tries.admit(hostile, &wrong, later(5), never).await.unwrap();
        tries.note_wrong(hostile, later(5));
        // What was given out since counts a moment later.
        let renewed = async || Ok(HashSet::from([good, new]));
        tries.admit(hostile, &new, now + LIST_AGE, renewed).await.unwrap();
        assert!(tries.admit(hostile, &wrong, later(5), never).await.is_err());
        tries.admit(hostile, &wrong, later(600), never).await.unwrap();
    }
}
