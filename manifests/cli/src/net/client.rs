//! The HTTP/1.1 client: bounded, with time limits, retrying only what may be sent twice.

use crate::clock;
use crate::error::{Done, Failure};
use crate::files;
use crate::lang::Lang;
use crate::profile::{Profile, SMALL};
use http_body_util::{BodyExt as _, Full};
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, ETAG, HOST, IF_MATCH, IF_NONE_MATCH, RETRY_AFTER,
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use shared::digest::{Digest, hex};
use shared::wire::Problem;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

pub use hyper::Method;

const CONNECT: Duration = Duration::from_secs(10);
/// The longest silence: an export of a year is prepared before its first byte.
const SILENCE: Duration = Duration::from_secs(120);
const ATTEMPTS: u32 = 4;
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Answers that are not documents.
const PROBLEM_BYTES: u64 = 64 << 10;

/// One request; `again` says that sending it twice does no harm.
pub struct Request<'a> {
    pub method: Method,
    pub path: &'a str,
    pub body: Vec<u8>,
    pub content_type: &'static str,
    /// Most bytes accepted as answer.
    pub cap: u64,
    pub again: bool,
    pub only: Only,
}

/// What of the server's state a request is meant for.
#[derive(Clone, Debug, Default)]
pub enum Only {
    #[default]
    Whatever,
    /// What had this tag when it was looked at.
    Same(String),
    /// Something that is not there yet.
    New,
}

/// What was read, and what a request says that writes it back.
#[derive(Clone, Debug)]
pub struct Seen<T> {
    pub it: T,
    pub only: Only,
}

impl<T> std::ops::Deref for Seen<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.it
    }
}

impl<T> Seen<T> {
    /// What a request says that writes what was read, or makes it.
    pub fn only(seen: Option<&Self>) -> Only {
        seen.map_or(Only::New, |seen| seen.only.clone())
    }
}

impl<'a> Request<'a> {
    pub fn get(path: &'a str, cap: u64) -> Self {
        Self::json(Method::GET, path, Vec::new(), cap)
    }

    pub fn json(method: Method, path: &'a str, body: Vec<u8>, cap: u64) -> Self {
        Self { method, path, body, content_type: JSON, cap, again: true, only: Only::Whatever }
    }
}

pub const JSON: &str = "application/json";

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    pub etag: Option<String>,
    /// SHA-256 of the SubjectPublicKeyInfo of the server's certificate, as seen on this connection.
    pub server_spki: Digest,
}

pub struct Client {
    url: String,
    host: String,
    port: u16,
    tls: Arc<ClientConfig>,
    token: Zeroizing<String>,
    lang: Lang,
    runtime: Runtime,
}

/// Why one attempt brought no answer.
struct Broken(String);

impl Client {
    /// `lang` is the language of the server's messages.
    pub fn new(profile: &Profile, lang: Lang) -> Done<Self> {
        let url = profile.config.people_url.clone();
        let bad = || Failure::usage(format!("{url:?} in the profile is not an https address"));
        let authority = url.strip_prefix("https://").ok_or_else(bad)?;
        let authority: hyper::http::uri::Authority = authority.parse().map_err(|_| bad())?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(443);
        let ca = files::read(&profile.dir.join(&profile.config.ca), SMALL)?;
        let tls = Arc::new(trusting(&ca)?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Failure::fault("the network cannot be used").why(e))?;
        Ok(Self { url, host, port, tls, token: profile.token()?, lang, runtime })
    }

    /// Sends and reads the whole answer, whatever its status.
    pub fn send(&self, request: &Request<'_>) -> Done<Reply> {
        let mut body = Vec::new();
        let mut reply = self.stream(request, &mut |part| {
            body.extend_from_slice(part);
            Ok(())
        })?;
        if reply.status < 300 {
            reply.body = body;
        }
        Ok(reply)
    }

    /// Sends, and passes the body of a successful answer on piece by piece. A retry happens only before
    /// the first piece.
    pub fn stream(&self, request: &Request<'_>, sink: &mut dyn FnMut(&[u8]) -> Done) -> Done<Reply> {
        let mut attempt = 1;
        // The same for each attempt: what is done although its answer was lost is not done again.
        let key = hex(&clock::random::<16>()?);
        loop {
            let outcome = self.runtime.block_on(self.attempt(request, &key));
            let wait = match outcome {
                Ok((response, _)) if response.status() == 503 && request.again && attempt < ATTEMPTS => {
                    retry_after(&response).unwrap_or(Duration::from_secs(1))
                }
                Ok((response, spki)) => {
                    return self.runtime.block_on(self.receive(request, response, spki, sink));
                }
                Err(Broken(_)) if request.again && attempt < ATTEMPTS => {
                    Duration::from_millis(200 << attempt)
                }
                Err(Broken(why)) => return Err(self.silent(&why)),
            };
            self.runtime.block_on(async { sleep(wait.min(LONGEST_WAIT)).await });
            attempt += 1;
        }
    }

    fn silent(&self, why: &str) -> Failure {
        Failure::fault(format!("the server at {} does not answer", self.url))
            .why(why)
            .remedy("check that assent-server runs there and that this machine reaches it")
    }

    async fn attempt(
        &self,
        request: &Request<'_>,
        key: &str,
    ) -> Result<(Response<Incoming>, Digest), Broken> {
        let tcp = timeout(CONNECT, TcpStream::connect((self.host.as_str(), self.port)));
        let tcp = tcp.await.map_err(|_| Broken("no connection within 10 seconds".into()))?.map_err(broken)?;
        let name = ServerName::try_from(self.host.clone()).map_err(broken)?;
        let tls = timeout(CONNECT, TlsConnector::from(self.tls.clone()).connect(name, tcp));
        let tls = tls.await.map_err(|_| Broken("no TLS answer within 10 seconds".into()))?.map_err(broken)?;
        let certificates = tls.get_ref().1.peer_certificates().unwrap_or_default();
        let spki = certificates
            .first()
            .and_then(spki_of)
            .ok_or_else(|| Broken("its certificate cannot be read".into()))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.map_err(broken)?;
        // Its errors reach us through the response; the task ends with the connection.
        tokio::spawn(connection);
        let message = hyper::Request::builder()
            .method(request.method.clone())
            .uri(request.path)
            .header(HOST, format!("{}:{}", self.host, self.port))
            .header(AUTHORIZATION, format!("Bearer {}", *self.token))
            .header(CONTENT_TYPE, request.content_type)
            .header(ACCEPT_LANGUAGE, self.lang.as_str())
            .header("idempotency-key", key);
        let message = match &request.only {
            Only::Whatever => message,
            Only::Same(tag) => message.header(IF_MATCH, tag),
            Only::New => message.header(IF_NONE_MATCH, "*"),
        };
        let message = message.body(Full::new(Bytes::from(request.body.clone()))).map_err(broken)?;
        let response = timeout(SILENCE, sender.send_request(message)).await;
        let response = response.map_err(|_| Broken("no answer within 2 minutes".into()))?.map_err(broken)?;
        Ok((response, spki))
    }

    async fn receive(
        &self,
        request: &Request<'_>,
        response: Response<Incoming>,
        server_spki: Digest,
        sink: &mut dyn FnMut(&[u8]) -> Done,
    ) -> Done<Reply> {
        let status = response.status().as_u16();
        let etag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let mut incoming = response.into_body();
        let success = status < 300;
        let cap = if success { request.cap } else { PROBLEM_BYTES };
        let (mut taken, mut problem) = (0, Vec::new());
        loop {
            let frame =
                timeout(SILENCE, incoming.frame()).await.map_err(|_| self.silent("the answer stopped"))?;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|e| self.silent(&e.to_string()))?;
            let Some(piece) = frame.data_ref() else { continue };
            taken += piece.len() as u64;
            if taken > cap {
                return Err(Failure::fault(format!(
                    "the answer to {} has more than {cap} bytes",
                    request.path
                )));
            }
            if success { sink(piece)? } else { problem.extend_from_slice(piece) }
        }
        Ok(Reply { status, body: problem, etag, server_spki })
    }
}

fn broken(error: impl std::error::Error) -> Broken {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    Broken(text)
}

fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn trusting(ca: &[u8]) -> Done<ClientConfig> {
    let failed = "the site's certificate authority cannot be used";
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca) {
        let certificate = certificate.map_err(|e| Failure::fault(failed).why(e))?;
        roots.add(certificate).map_err(|e| Failure::fault(failed).why(e))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.map_err(|e| Failure::fault("TLS cannot be used").why(e))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn spki_of(certificate: &CertificateDer<'_>) -> Option<Digest> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(Digest::of(parsed.public_key().raw))
}

impl Reply {
    /// The reply if it is a success; otherwise the server's problem as our failure.
    pub fn good(self) -> Done<Self> {
        if self.status < 300 { Ok(self) } else { Err(self.failure()) }
    }

    pub fn failure(&self) -> Failure {
        let fault = self.status >= 500;
        let new = if fault { Failure::fault } else { Failure::refused };
        let Ok(problem) = serde_json::from_slice::<Problem>(&self.body) else {
            return new(format!("the server answered with status {}", self.status));
        };
        // What was refused is no fault, and so not in the log.
        let place = match fault {
            true => format!(", reference {} in the server's log", problem.reference()),
            false => String::new(),
        };
        let why = format!("{} ({}{place})", problem.why, problem.code);
        new(problem.detail).why(why).remedy(problem.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_of_the_server_is_told_and_one_of_somebody_else_only_counted() {
        let told = |status: u16, body: &[u8]| {
            let failure =
                Reply { status, body: body.to_vec(), etag: None, server_spki: Digest::of(b"") }.failure();
            (failure.to_string(), failure.exit_code())
        };
        let problem = |code: &str, status| {
            let sentences = ["Kind.", "It happened.", "Because.", "Try this."].map(str::to_owned);
            shared::strict::to_json(&Problem::new(code, status, "00ff", sentences))
        };
        let (refused, code) = told(409, &problem("change.state", 409));
        assert_eq!(code, 1);
        assert!(refused.contains("It happened.") && refused.contains("Because. (change.state)"), "{refused}");
        assert!(refused.contains("Try this.") && !refused.contains("00ff"), "{refused}");
        let (fault, code) = told(500, &problem("server.fault", 500));
        assert_eq!(code, 3);
        assert!(fault.contains("(server.fault, reference 00ff in the server's log)"), "{fault}");
        let (foreign, _) = told(502, b"{\"title\":\"Bad Gateway\",\"status\":502}");
        assert!(foreign.contains("the server answered with status 502"), "{foreign}");
    }
}
