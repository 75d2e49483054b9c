//! Who a person's request comes from, and whether they may: the permission is part of the handler's signature.
//!
//! Says who may use the server, never who may approve: that is in the signed policy alone.

use crate::kernel::clock::Clock;
use crate::kernel::error::{Error, Refusal};
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use shared::digest::Digest;
use shared::ids::PersonId;
use shared::time::Timestamp;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

/// How much of the server a person may use; each level includes the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Sees everything, changes nothing: auditors, colleagues.
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
    };
}

permissions! {
    Read "read" Reader,
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
}

/// A person that the server knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub person: PersonId,
    pub access: Access,
}

type Answer = Pin<Box<dyn Future<Output = Result<Option<Caller>, Error>>>>;

/// Finds the person whose secret has this digest, if it counts at that time. Supplied by the slice that owns people.
#[derive(Clone)]
pub struct PersonGate(Arc<dyn Fn(Digest, Timestamp) -> Answer + Send + Sync>);

impl PersonGate {
    pub fn new<F, Fut>(find: F) -> Self
    where
        F: Fn(Digest, Timestamp) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<Caller>, Error>> + 'static,
    {
        Self(Arc::new(move |secret, now| Box::pin(find(secret, now))))
    }
}

/// Extractor: the request comes from a person that may do `P`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed<P> {
    pub person: PersonId,
    pub access: Access,
    permission: PhantomData<P>,
}

impl<P: Permission> FromRequest for Allowed<P> {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let found = ask(req);
        Box::pin(async move {
            let Caller { person, access } =
                found?.await?.ok_or_else(|| Refusal::new("person.unknown", StatusCode::UNAUTHORIZED))?;
            if access < P::NEEDS {
                return Err(Refusal::forbidden("person.not_allowed")
                    .with("person", &person)
                    .with("access", access.as_str())
                    .with("needed", P::NEEDS.as_str())
                    .with("permission", P::NAME)
                    .into());
            }
            Ok(Self { person, access, permission: PhantomData })
        })
    }
}

fn ask(req: &HttpRequest) -> Result<Answer, Error> {
    let secret = bearer(req).ok_or_else(|| Refusal::new("person.no_token", StatusCode::UNAUTHORIZED))?;
    let (Some(clock), Some(gate)) = (req.app_data::<Data<Clock>>(), req.app_data::<Data<PersonGate>>())
    else {
        return Err(Error::fault("recognising a person", "the listener has no clock or gate"));
    };
    Ok((gate.0)(secret, clock.now()))
}

/// Digest of the token in `Authorization: Bearer <token>` (RFC 6750 §2.1).
fn bearer(req: &HttpRequest) -> Option<Digest> {
    let value = req.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| Digest::of(token.trim().as_bytes()))
}
