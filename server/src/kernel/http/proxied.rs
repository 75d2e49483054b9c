//! Requests that come through a proxy which ends TLS: the host's own signature over the request stands in the place of its
//! client certificate.
//!
//! Owns the order of the checks: signature and time, then whether the host may ask at all, then the body, then that nobody
//! has sent this very request before. Nothing is read of the body of a request that is refused before it.

use super::agent::{AgentGate, AgentIdentity, Signed};
use super::pace::broken;
use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::error::{Error, Refusal};
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_LENGTH, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, BytesMut, Data};
use actix_web::{HttpMessage as _, HttpRequest};
use futures_util::StreamExt as _;
use shared::limits::FACTS_BYTES;
use shared::request::{Arrived, HEADER, NotRequested, Request, open_request};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

/// The largest body that any route takes of a host: facts, whose JSON escapes may double them.
const BODY_BYTES: usize = 2 * FACTS_BYTES;

type Answer = Pin<Box<dyn Future<Output = Result<bool, Error>>>>;

/// Lets each signed request of a host count once, on all nodes. Supplied by the slice that owns agents.
#[derive(Clone)]
pub struct OnceGate(Arc<dyn Fn(Request) -> Answer + Send + Sync>);

impl OnceGate {
    /// `first` tells whether the request is the first with its nonce.
    pub fn new<F, Fut>(first: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<bool, Error>> + 'static,
    {
        Self(Arc::new(move |request| Box::pin(first(request))))
    }

    /// True the first time, false for a request that was used before.
    ///
    /// # Errors
    /// Too many of this host, or the database's.
    pub async fn first(&self, request: Request) -> Result<bool, Error> {
        (self.0)(request).await
    }
}

/// `host:port` under which hosts reach the proxy.
#[derive(Debug, Clone)]
pub struct Audience(pub String);

/// The header in which the proxy of this listener says whose request it is.
#[derive(Debug, Clone)]
pub struct AddressHeader(pub HeaderName);

/// Whom limits count: the address of the connection, or what a proxy that is believed says of it.
///
/// Of a list the last one counts: the others came from outside.
pub fn source(req: &HttpRequest) -> Option<IpAddr> {
    let peer = || req.peer_addr().map(|peer| peer.ip());
    let Some(header) = req.app_data::<Data<AddressHeader>>() else { return peer() };
    let said = req.headers().get_all(&header.0).last().and_then(|value| value.to_str().ok());
    let last = said.and_then(|text| text.rsplit(',').next()).and_then(|text| text.trim().parse().ok());
    last.or_else(peer)
}

/// Middleware of the hosts' routes on the proxy's listener.
pub async fn guard<B: MessageBody + 'static>(
    mut req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    match admit(&mut req).await {
        Ok(()) => {
            let mut response = next.call(req).await?.map_into_left_body();
            // What a proxy keeps it would give to others, who have signed nothing.
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok(response)
        }
        Err(error) => Ok(req.error_response(error).map_into_right_body()),
    }
}

async fn admit(req: &mut ServiceRequest) -> Result<(), Error> {
    let missing = || Error::fault("admitting a signed request", "the listener lacks what it needs for it");
    let of = req.request();
    let (Some(clock), Some(gate)) = (of.app_data::<Data<Clock>>(), of.app_data::<Data<AgentGate>>()) else {
        return Err(missing());
    };
    let (Some(config), Some(audience), Some(once)) =
        (of.app_data::<Data<Config>>(), of.app_data::<Data<Audience>>(), of.app_data::<Data<OnceGate>>())
    else {
        return Err(missing());
    };
    let (once, path) = (once.clone(), of.uri().path_and_query().map_or("", |path| path.as_str()));
    let arrived = Arrived {
        site: &config.site_id,
        audience: &audience.0,
        method: of.method().as_str(),
        path,
        now: clock.now(),
    };
    let request = signed(of, arrived)?;
    let identity = AgentIdentity { agent_id: request.agent_id, not_after: None };
    gate.check(&identity)?;
    let body = body(req).await?;
    if !request.carries(&body) {
        return Err(Refusal::forbidden("request.other").with("what", "body").into());
    }
    if !once.first(request).await? {
        return Err(Refusal::conflict("request.replayed").into());
    }
    req.set_payload(Payload::from(body));
    req.extensions_mut().insert(Signed(identity));
    Ok(())
}

/// What the one header says, if it holds.
fn signed(req: &HttpRequest, arrived: Arrived<'_>) -> Result<Request, Error> {
    let mut values = req.headers().get_all(HEADER);
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Refusal::forbidden("request.unsigned").with("header", HEADER).into());
    };
    let refused = |error: NotRequested| match error {
        NotRequested::Unreadable(error) => Refusal::forbidden("request.forged").with("detail", error),
        NotRequested::Other(what) => Refusal::forbidden("request.other").with("what", what),
        NotRequested::Clock { issued_at, now, .. } => {
            Refusal::forbidden("request.clock").with("at", issued_at).with("now", now)
        }
    };
    Ok(open_request(value.as_bytes(), arrived).map_err(refused)?)
}

async fn body(req: &mut ServiceRequest) -> Result<Bytes, Error> {
    let too_large = || Refusal::too_large("request.too_large").with("limit", BODY_BYTES);
    let announced = req.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > BODY_BYTES) {
        return Err(too_large().into());
    }
    let (mut payload, mut whole) = (req.take_payload(), BytesMut::new());
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|error| broken(&error))?;
        if whole.len() + piece.len() > BODY_BYTES {
            return Err(too_large().into());
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}
