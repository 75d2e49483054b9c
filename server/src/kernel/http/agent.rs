//! Who an agent's connection belongs to, and whether that still counts, asked again for every request.

use crate::kernel::clock::Clock;
use crate::kernel::error::{Error, Refusal};
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::{Extensions, Payload};
use actix_web::rt::net::TcpStream;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use shared::ids::{AgentId, SiteId};
use shared::time::Timestamp;
use std::future::{Ready, ready};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Who asks: what the client certificate of a connection says, immutable for the life of the connection, or who has signed
/// this one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentIdentity {
    pub agent_id: AgentId,
    /// The end of the certificate; a signed request was in time when it was admitted.
    pub not_after: Option<Timestamp>,
}

/// Decides per request whether an identity may act: its agent is enabled.
/// Must be quick (memory only). Kept up to date by the slice that owns agents.
#[derive(Clone)]
pub struct AgentGate(Arc<dyn Fn(&AgentIdentity) -> bool + Send + Sync>);

impl AgentGate {
    pub fn new(admits: impl Fn(&AgentIdentity) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(admits))
    }

    /// # Errors
    /// The agent is not enabled.
    pub(super) fn check(&self, identity: &AgentIdentity) -> Result<(), Error> {
        let refused = || Refusal::forbidden("agent.not_enabled").with("agent", identity.agent_id);
        if (self.0)(identity) { Ok(()) } else { Err(refused().into()) }
    }
}

/// Beside a request that its host has signed; only `proxied` puts it there.
#[derive(Debug, Clone)]
pub(super) struct Signed(pub AgentIdentity);

/// Extractor: the request comes from an agent that is enabled and whose certificate is valid now, or that has signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent(pub AgentIdentity);

impl AgentIdentity {
    /// Reads `urn:assent:<site>:<agent_id>` from the certificate's alternative names.
    /// `None` when there is no such name, more than one, or it belongs to another site.
    pub fn from_der(der: &[u8], site: &SiteId) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate.subject_alternative_name().ok()??;
        let mut ours = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix("urn:assent:"),
            _ => None,
        });
        let (named_site, agent) = ours.next()?.split_once(':')?;
        if ours.next().is_some() || named_site != site.as_str() {
            return None;
        }
        let not_after = Some(Timestamp(certificate.validity().not_after.timestamp()));
        Some(Self { agent_id: agent.parse().ok()?, not_after })
    }
}

/// Notes for the requests of a connection of the agents' listener whose certificate it showed.
pub fn identify(site: SiteId) -> impl Fn(&TlsStream<TcpStream>, &mut Extensions) + Send + Clone + 'static {
    move |stream, data| {
        let certificate = stream.get_ref().1.peer_certificates().and_then(|all| all.first());
        if let Some(identity) = certificate.and_then(|der| AgentIdentity::from_der(der, &site)) {
            data.insert(identity);
        }
    }
}

impl FromRequest for Agent {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(admit(req).map(Self))
    }
}

/// What the agents' listener knows of a connection, for tests that have none: the request is of this agent.
#[cfg(test)]
pub fn as_if_of(req: &actix_web::dev::ServiceRequest, agent_id: AgentId) {
    req.extensions_mut().insert(Signed(AgentIdentity { agent_id, not_after: None }));
}

fn admit(req: &HttpRequest) -> Result<AgentIdentity, Error> {
    let signed = req.extensions().get::<Signed>().map(|signed| signed.0.clone());
    let identity = signed.or_else(|| req.conn_data::<AgentIdentity>().cloned());
    let identity = identity.ok_or_else(|| Refusal::forbidden("agent.no_identity"))?;
    let (Some(clock), Some(gate)) = (req.app_data::<Data<Clock>>(), req.app_data::<Data<AgentGate>>()) else {
        return Err(Error::fault("admitting an agent", "the listener has no clock or gate"));
    };
    if let Some(until) = identity.not_after.filter(|until| clock.now() >= *until) {
        return Err(Refusal::forbidden("agent.certificate_expired").with("until", until).into());
    }
    gate.check(&identity)?;
    Ok(identity)
}
