//! Who a person's request comes from, and whether they may: the permission is part of the handler's signature.
//!
//! Says who may use the server, never who may approve: that is in the signed policy alone.

use super::tries::{Source, Tries};
use crate::kernel::clock::Clock;
use crate::kernel::error::{Error, Refusal};
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use shared::digest::Digest;
use shared::ids::PersonId;
use shared::time::Timestamp;
use std::collections::{BTreeSet, HashSet};
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

/// How much of the server a person may use; each level includes the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Sees everything, may comment and object, changes nothing: auditors, colleagues, owners of services.
    Reader,
    /// Writes, publishes, approves and runs changes, as far as the policy lets their signatures count.
    Member,
    /// Also invites and disables hosts and gives others access.
    Admin,
}

impl Access {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Reader, Self::Member, Self::Admin].into_iter().find(|access| access.as_str() == text)
    }
}

/// What a handler does, as a type.
pub trait Permission: 'static {
    const NAME: &'static str;
    /// The least access that is enough.
    const NEEDS: Access;
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $type:ident $name:literal $needs:ident),+ $(,)?) => {
        $($(#[$doc])* #[derive(Debug, Clone, Copy)] pub struct $type;
        impl Permission for $type {
            const NAME: &'static str = $name;
            const NEEDS: Access = Access::$needs;
        })+

        /// All permissions by name, with the access that each needs.
        pub const PERMISSIONS: &[(&str, Access)] = &[$(($name, Access::$needs)),+];
    };
}

permissions! {
    Read "read" Reader,
    /// Speaks about a change, without a word that counts.
    Comment "comment" Reader,
    /// An evidence bundle leaves the server.
    Export "export" Reader,
    /// Changes: new ones, revisions, submitting.
    Propose "propose" Member,
    Publish "publish" Member,
    Approve "approve" Member,
    /// Halt, resume, withdraw, close.
    Operate "operate" Member,
    /// Invite, label, enable and disable hosts.
    ManageHosts "manage-hosts" Admin,
    ManagePeople "manage-people" Admin,
    /// Where news are sent to, and how it goes: addresses of webhooks often hold a secret.
    ManageWebhooks "manage-webhooks" Admin,
    /// Tokens of one's own: new ones, the list, their end.
    OwnTokens "own-tokens" Reader,
}

/// What a token may be used for: names of permissions.
pub type Scopes = BTreeSet<String>;

/// A person that the server knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub person: PersonId,
    pub access: Access,
    /// The token is for these alone; absent: for all that the person may do.
    pub scopes: Option<Scopes>,
}

type Soon<T> = Pin<Box<dyn Future<Output = Result<T, Error>>>>;

/// Recognises people by the digests of their secrets. Supplied by the slice that owns people. Cheap to clone.
#[derive(Clone)]
pub struct PersonGate {
    find: Arc<dyn Fn(Digest, Timestamp) -> Soon<Option<Caller>> + Send + Sync>,
    list: Arc<dyn Fn(Timestamp) -> Soon<HashSet<Digest>> + Send + Sync>,
    tries: Arc<Tries>,
}

impl PersonGate {
    /// `find` says whose secret it is, if it counts at that time; `list` says all that do.
    pub fn new<F, L, Found, Listed>(find: F, list: L) -> Self
    where
        F: Fn(Digest, Timestamp) -> Found + Send + Sync + 'static,
        L: Fn(Timestamp) -> Listed + Send + Sync + 'static,
        Found: Future<Output = Result<Option<Caller>, Error>> + 'static,
        Listed: Future<Output = Result<HashSet<Digest>, Error>> + 'static,
    {
        Self {
            find: Arc::new(move |secret, now| Box::pin(find(secret, now))),
            list: Arc::new(move |now| Box::pin(list(now))),
            tries: Arc::default(),
        }
    }

    async fn recognise(&self, secret: Digest, from: Option<Source>, now: Timestamp) -> Result<Caller, Error> {
        let at = Instant::now();
        self.tries.admit(from, &secret, at, async || (self.list)(now).await).await?;
        if let Some(caller) = (self.find)(secret, now).await? {
            return Ok(caller);
        }
        self.tries.note_wrong(from, at);
        Err(Refusal::new("person.unknown", StatusCode::UNAUTHORIZED).into())
    }
}

/// Who the token of a request belongs to, or why nobody; found out before anything of its body is read.
struct Recognised(Result<Caller, Error>);

/// Notes on a request whose token it carries, on listeners for people.
pub async fn recognise(req: &HttpRequest) {
    let (Some(clock), Some(gate)) = (req.app_data::<Data<Clock>>(), req.app_data::<Data<PersonGate>>())
    else {
        return;
    };
    if let Some(secret) = bearer(req) {
        let found = gate.recognise(secret, Source::of(req), clock.now()).await;
        req.extensions_mut().insert(Recognised(found));
    }
}

/// Extractor: the request comes from a person that may do `P`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed<P> {
    pub person: PersonId,
    pub access: Access,
    /// What the token of the request is for; absent: for all that the person may do.
    pub scopes: Option<Scopes>,
    permission: PhantomData<P>,
}

impl<P: Permission> FromRequest for Allowed<P> {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(admit(req))
    }
}

fn admit<P: Permission>(req: &HttpRequest) -> Result<Allowed<P>, Error> {
    let found = req.extensions_mut().remove::<Recognised>();
    let no_token = || Refusal::new("person.no_token", StatusCode::UNAUTHORIZED);
    let Caller { person, access, scopes } = found.ok_or_else(no_token)?.0?;
    if access < P::NEEDS {
        return Err(Refusal::forbidden("person.not_allowed")
            .with("person", &person)
            .with("access", access.as_str())
            .with("needed", P::NEEDS.as_str())
            .with("permission", P::NAME)
            .into());
    }
    if scopes.as_ref().is_some_and(|scopes| !scopes.contains(P::NAME)) {
        let shown = scopes.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let refusal = Refusal::forbidden("person.out_of_scope").with("permission", P::NAME);
        return Err(refusal.with("scopes", shown).into());
    }
    Ok(Allowed { person, access, scopes, permission: PhantomData })
}

/// Digest of the token in `Authorization: Bearer <token>` (RFC 6750 §2.1).
fn bearer(req: &HttpRequest) -> Option<Digest> {
    let value = req.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| Digest::of(token.trim().as_bytes()))
}
