//! Where TLS ends in a proxy before the server: the host signs each request, and checks the proxy's certificate as browsers do.
//!
//! The host's own key stays in this process: what goes to the network process is the finished header of one request.
//! Never: trust in what comes back, which a proxy could alter; everything is verified by whoever asked.

use crate::clock::Clock;
use crate::courier::AUTHORITIES_BYTES;
use crate::disk::{Disk as _, RealDisk};
use crate::net::{Call, Carrier, Download, Limits, NetError, Reply, Sink};
use crate::state::Proxy;
use crate::tls::Trust;
use hyper::{Method, StatusCode};
use shared::digest::{Digest, hex};
use shared::ids::SiteId;
use shared::keys::SigningKey;
use shared::limits::REQUEST_SECS;
use shared::pem::BUNDLES;
use shared::request::Request;
use shared::strict;
use shared::wire::Problem;
use std::path::Path;
use std::sync::Arc;

/// What a server says that has seen this very request before.
const REPLAYED: &str = "request.replayed";

impl Proxy {
    /// What the proxy must show, by the file of the moment: authorities come and go.
    ///
    /// # Errors
    /// The file cannot be read, or there is none on this machine.
    pub fn trust(&self, address: &str) -> Result<Trust, NetError> {
        let unusable = |why: String| NetError::Tls { address: address.to_owned(), why };
        let read = |path: &Path| match RealDisk.read(path, AUTHORITIES_BYTES) {
            Ok(bytes) => Ok(bytes),
            Err(e) => Err(unusable(format!("{}: {e}", path.display()))),
        };
        let found = match &self.authorities {
            Some(path) => read(path)?,
            None => BUNDLES.iter().find_map(|path| read(Path::new(path)).transpose()).transpose()?,
        };
        let missing = || match &self.authorities {
            Some(path) => unusable(format!("there is no file {}", path.display())),
            None => unusable(
                "this machine has no bundle of certificate authorities; join with --proxy-ca FILE".into(),
            ),
        };
        Ok(Trust::Proxy { authorities: found.ok_or_else(missing)? })
    }
}

/// Signs requests of this host.
#[derive(Clone)]
pub struct Seal {
    pub key: Arc<SigningKey>,
    pub site: SiteId,
    pub clock: Clock,
}

impl Seal {
    /// The header of one request, good for a minute and once.
    fn header(&self, audience: &str, method: &Method, path: &str, body: &[u8]) -> Result<String, NetError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|e| NetError::Protocol {
            what: path.into(),
            why: format!("it cannot be signed: {e}"),
        })?;
        let (public, now) = (self.key.public(), self.clock.now());
        let request = Request {
            site: self.site.clone(),
            agent_id: public.agent_id(),
            key: public,
            audience: audience.to_owned(),
            method: method.to_string(),
            path: path.to_owned(),
            body_sha256: Digest::of(body),
            issued_at: now,
            expires: now.plus(REQUEST_SECS),
            nonce: hex(&random),
        };
        Ok(request.sign(&self.key))
    }
}

/// A carrier whose requests are signed.
pub struct Signing {
    pub inner: Box<dyn Carrier>,
    pub seal: Seal,
    /// `host:port` that the requests go to.
    pub audience: String,
}

impl Carrier for Signing {
    fn begin_anew(&mut self, limits: Limits) {
        self.inner.begin_anew(limits);
    }

    fn call(&mut self, call: &Call<'_>) -> Result<Reply, NetError> {
        let mut send = || {
            let body = call.body.as_deref().unwrap_or_default();
            let proof = self.seal.header(&self.audience, &call.method, call.path, body)?;
            self.inner.call(&Call { proof: Some(&proof), ..call.clone() })
        };
        let reply = send()?;
        // A kept connection broke after the request had arrived, and it was sent again as it was.
        if is_replayed(&reply) { send() } else { Ok(reply) }
    }

    fn download(&mut self, what: &Download<'_>, sink: &mut dyn Sink) -> Result<Option<()>, NetError> {
        let proof = self.seal.header(&self.audience, &Method::GET, what.path, &[])?;
        self.inner.download(&Download { proof: Some(&proof), ..*what }, sink)
    }
}

fn is_replayed(reply: &Reply) -> bool {
    let problem = || strict::from_json::<Problem>("the problem", &reply.body, reply.body.len());
    reply.status == StatusCode::CONFLICT && problem().is_ok_and(|problem| problem.code == REPLAYED)
}
