//! One kept-alive TLS connection to the server, with a cap, a deadline and a least speed for everything.
//!
//! Owns: connecting, trust in the server's certificate (pinned key or site CA), one request at a time, one
//! retry when a kept connection turned out to be closed. Never: what is asked for (`server`), or any thread
//! besides the caller's; each call runs a small runtime until it is done.

use crate::clock::Clock;
use crate::tls::{self, Trust};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH, RANGE, RETRY_AFTER,
};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

/// A transfer may be slow for this long before its speed is judged.
const WARM_UP: Duration = Duration::from_secs(10);
/// An answer without a body of interest is read up to this many bytes.
pub const PROBLEM_BYTES: u64 = 64 << 10;

/// Carries requests to one server, wherever that is done.
pub trait Carrier: Send {
    /// Lets go of the connection; the next call makes a new one, within these limits.
    fn begin_anew(&mut self, limits: Limits);
    /// One request and its whole answer, whatever its status.
    fn call(&mut self, call: &Call<'_>) -> Result<Reply, NetError>;
    /// Streams a body into `sink`. `None` when the server does not have it.
    fn download(&mut self, what: &Download<'_>, sink: &mut dyn Sink) -> Result<Option<()>, NetError>;
}

/// Makes a carrier without contact.
pub type Open = fn(Address, &Trust, &Clock, Limits) -> Result<Box<dyn Carrier>, NetError>;

/// A carrier in this process.
///
/// # Errors
/// As [`Link::new`].
pub fn open(
    address: Address,
    trust: &Trust,
    clock: &Clock,
    limits: Limits,
) -> Result<Box<dyn Carrier>, NetError> {
    Ok(Box::new(Link::new(address, trust, clock, limits)?))
}

/// Bounds on time and speed of every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub connect: Duration,
    /// One request with its answer.
    pub request: Duration,
    /// Bytes a second.
    pub min_rate: u64,
}

/// Why there is no answer, or not one that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetError {
    #[error("{address} cannot be reached: {why}")]
    Unreachable { address: String, why: String },
    #[error("{address} did not prove to be this site's server, or does not accept this host: {why}")]
    Tls { address: String, why: String },
    #[error("{what} took longer than {secs} seconds")]
    Deadline { what: String, secs: u64 },
    #[error("{what} comes in with less than {min_rate} bytes a second")]
    TooSlow { what: String, min_rate: u64 },
    #[error("{what} is larger than {limit} bytes")]
    TooLarge { what: String, limit: u64 },
    #[error("the answer to {what} breaks the protocol: {why}")]
    Protocol { what: String, why: String },
    #[error("the server refused {what} with status {status}: {code}: {message}")]
    Refused { what: String, status: u16, code: String, message: String, retry_after_secs: Option<u32> },
    #[error("what was received could not be kept: {0}")]
    Sink(String),
}

/// `host:port`, as certificates and connections need it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The same host at the port of another address.
    pub fn at_port_of(&self, other: &Self) -> Self {
        Self { host: self.host.clone(), port: other.port }
    }
}

impl TryFrom<String> for Address {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Address {
    type Err = String;
    /// Reads `host:port`, `[v6]:port` or `https://host[:port][/]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not an address; write host:port or https://host:port");
        let rest = text.strip_prefix("https://").unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(v6) => {
                let (host, after) = v6.split_once(']').ok_or_else(bad)?;
                (host, after.strip_prefix(':'))
            }
            None => match rest.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().map_err(|_| bad())?,
            None if text.starts_with("https://") => 443,
            None => return Err(bad()),
        };
        if ServerName::try_from(host.to_owned()).is_err() {
            return Err(bad());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// One request; the path is below the server's root.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    pub method: Method,
    pub path: &'a str,
    pub body: Option<Vec<u8>>,
    pub etag: Option<&'a str>,
    /// The header by which the host has signed it, where the connection proves nothing.
    pub proof: Option<&'a str>,
    /// Most bytes of the answer.
    pub max_bytes: u64,
}

/// A body of exactly `length` bytes, the first `from` of which are here already.
#[derive(Debug, Clone, Copy)]
pub struct Download<'a> {
    pub path: &'a str,
    pub from: u64,
    pub length: u64,
    /// As that of a [`Call`].
    pub proof: Option<&'a str>,
}

impl<'a> Call<'a> {
    pub fn get(path: &'a str, max_bytes: u64) -> Self {
        Self { method: Method::GET, path, body: None, etag: None, proof: None, max_bytes }
    }

    pub fn send(method: Method, path: &'a str, body: Vec<u8>, max_bytes: u64) -> Self {
        Self { method, path, body: Some(body), etag: None, proof: None, max_bytes }
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub etag: Option<String>,
    pub retry_after_secs: Option<u32>,
    pub body: Vec<u8>,
}

/// Where a download goes on after `from` bytes, or begins anew when the server ignores ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Continued,
    FromStart,
}

/// Receives a download: first which part it is, then its bytes.
pub trait Sink {
    fn begin(&mut self, part: Part) -> io::Result<()>;
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// The connection. Made without contact; connects at the first call.
pub struct Link {
    runtime: Runtime,
    address: Address,
    over: Over,
    limits: Limits,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// What requests go over.
enum Over {
    Tls(Arc<ClientConfig>),
    /// Nothing, to a server on this machine, for comparing the client with others.
    #[cfg(feature = "loopback")]
    Plain,
}

impl Link {
    /// # Errors
    /// Certificates or keys that cannot be read, or no resources for a runtime.
    pub fn new(address: Address, trust: &Trust, clock: &Clock, limits: Limits) -> Result<Self, NetError> {
        let unusable = |why: String| NetError::Tls { address: address.to_string(), why };
        let tls = tls::client_config(trust, clock).map_err(unusable)?;
        Self::over(address, Over::Tls(Arc::new(tls)), limits)
    }

    /// Without TLS, to a server on this machine only.
    ///
    /// # Errors
    /// No resources for a runtime.
    #[cfg(feature = "loopback")]
    pub fn loopback(port: u16, limits: Limits) -> Result<Self, NetError> {
        let host = std::net::Ipv4Addr::LOCALHOST.to_string();
        Self::over(Address { host, port }, Over::Plain, limits)
    }

    fn over(address: Address, over: Over, limits: Limits) -> Result<Self, NetError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let unusable = |why: String| NetError::Tls { address: address.to_string(), why };
        let runtime = runtime.map_err(|e| unusable(e.to_string()))?;
        Ok(Self { runtime, address, over, limits, sender: None })
    }

    /// Runs one exchange until its deadline; after any failure the connection is given up.
    fn bounded<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        exchange: impl AsyncFnOnce(&mut Wire<'_>) -> Result<T, NetError>,
    ) -> Result<T, NetError> {
        let Self { runtime, address, over, limits, sender } = self;
        let late = || NetError::Deadline { what: what.into(), secs: deadline.as_secs() };
        let mut wire = Wire { address, over, limits, sender };
        let done = runtime.block_on(async {
            tokio::time::timeout(deadline, exchange(&mut wire)).await.map_err(|_| late())?
        });
        if done.is_err() {
            *sender = None;
        }
        done
    }
}

impl Carrier for Link {
    fn begin_anew(&mut self, limits: Limits) {
        self.sender = None;
        self.limits = limits;
    }

    fn call(&mut self, call: &Call<'_>) -> Result<Reply, NetError> {
        let deadline = self.limits.request;
        let min_rate = self.limits.min_rate;
        self.bounded(call.path, deadline, async |wire| {
            let response = wire.exchange(call, None).await?;
            let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
            let etag = header(ETAG).map(str::to_owned);
            let retry_after_secs = header(RETRY_AFTER).and_then(|v| v.parse().ok());
            let status = response.status();
            let cap = if status.is_success() { call.max_bytes } else { call.max_bytes.max(PROBLEM_BYTES) };
            let mut body = Vec::new();
            let take = |bytes: &[u8]| {
                body.extend_from_slice(bytes);
                Ok(())
            };
            read_body(call.path, response, cap, min_rate, take).await?;
            Ok(Reply { status, etag, retry_after_secs, body })
        })
    }

    fn download(&mut self, what: &Download<'_>, sink: &mut dyn Sink) -> Result<Option<()>, NetError> {
        let Download { path, from, length, proof } = *what;
        let min_rate = self.limits.min_rate;
        let transfer = Duration::from_secs(length.saturating_sub(from) / min_rate.max(1));
        let deadline = self.limits.request.saturating_add(transfer);
        self.bounded(path, deadline, async |wire| {
            let call = Call { proof, ..Call::get(path, length) };
            let response = wire.exchange(&call, (from > 0).then_some(from)).await?;
            let protocol = |why: String| NetError::Protocol { what: path.into(), why };
            let part = match response.status() {
                StatusCode::OK => Part::FromStart,
                StatusCode::PARTIAL_CONTENT => {
                    let range = response.headers().get(CONTENT_RANGE).and_then(|v| v.to_str().ok());
                    let wanted = format!("bytes {from}-{}/{length}", length.saturating_sub(1));
                    if range != Some(wanted.as_str()) {
                        return Err(protocol(format!("content-range is {range:?}, expected {wanted:?}")));
                    }
                    Part::Continued
                }
                StatusCode::NOT_FOUND => return Ok(None),
                status => return Err(protocol(format!("status {status} for a download"))),
            };
            let failed = |e: io::Error| NetError::Sink(e.to_string());
            sink.begin(part).map_err(failed)?;
            let cap = if part == Part::Continued { length - from } else { length };
            read_body(path, response, cap, min_rate, |b| sink.bytes(b).map_err(failed)).await?;
            Ok(Some(()))
        })
    }
}

/// The borrowed parts of a link while a request runs.
struct Wire<'a> {
    address: &'a Address,
    over: &'a Over,
    limits: &'a Limits,
    sender: &'a mut Option<SendRequest<Full<Bytes>>>,
}

impl Wire<'_> {
    /// Sends on the kept connection; when that was closed meanwhile, once more on a new one. All calls of
    /// the protocol may be repeated.
    async fn exchange(&mut self, call: &Call<'_>, from: Option<u64>) -> Result<Response<Incoming>, NetError> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
            && let Ok(response) = sender.send_request(self.request(call, from)?).await
        {
            *self.sender = Some(sender);
            return Ok(response);
        }
        let mut sender = self.connect().await?;
        let response = sender.send_request(self.request(call, from)?).await.map_err(|e| self.failed(&e))?;
        *self.sender = Some(sender);
        Ok(response)
    }

    fn request(&self, call: &Call<'_>, from: Option<u64>) -> Result<Request<Full<Bytes>>, NetError> {
        let mut request =
            Request::builder().method(&call.method).uri(call.path).header(HOST, self.address.to_string());
        if let Some(etag) = call.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(proof) = call.proof {
            request = request.header(shared::request::HEADER, proof);
        }
        if let Some(from) = from {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if call.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(call.body.clone().unwrap_or_default()));
        let invalid =
            |e: hyper::http::Error| NetError::Protocol { what: call.path.into(), why: e.to_string() };
        request.body(body).map_err(invalid)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, NetError> {
        let secs = self.limits.connect.as_secs();
        let late = |_| NetError::Deadline { what: format!("connecting to {}", self.address), secs };
        tokio::time::timeout(self.limits.connect, self.handshake()).await.map_err(late)?
    }

    async fn handshake(&self) -> Result<SendRequest<Full<Bytes>>, NetError> {
        let address = || self.address.to_string();
        let unreachable = |e: io::Error| NetError::Unreachable { address: address(), why: e.to_string() };
        let tcp = TcpStream::connect((self.address.host.as_str(), self.address.port)).await;
        let tcp = tcp.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        match self.over {
            Over::Tls(config) => {
                let name = ServerName::try_from(self.address.host.clone());
                let name = name.map_err(|e| NetError::Tls { address: address(), why: e.to_string() })?;
                let tls = TlsConnector::from(config.clone()).connect(name, tcp).await;
                self.speak(tls.map_err(|e| tls_or_lost(address(), &e))?).await
            }
            #[cfg(feature = "loopback")]
            Over::Plain => self.speak(tcp).await,
        }
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<SendRequest<Full<Bytes>>, NetError> {
        let shaken = http1::Builder::new().max_headers(64).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|e| self.failed(&e))?;
        // The task ends with the connection; its error is seen by the request that needed it.
        drop(tokio::spawn(async move { drop(connection.await) }));
        Ok(sender)
    }

    /// With TLS 1.3 the server refuses a client certificate only after the handshake, at the first read.
    fn failed(&self, error: &hyper::Error) -> NetError {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(e) = source {
            if let Some(io) = e.downcast_ref::<io::Error>() {
                return tls_or_lost(self.address.to_string(), io);
            }
            source = e.source();
        }
        NetError::Unreachable { address: self.address.to_string(), why: error.to_string() }
    }
}

fn tls_or_lost(address: String, error: &io::Error) -> NetError {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(e) => NetError::Tls { address, why: e.to_string() },
        None => NetError::Unreachable { address, why: lost(error) },
    }
}

/// Why a connection was lost; rustls sends people to its manual when the other side just goes.
fn lost(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the other side closed the connection".to_owned(),
        _ => error.to_string(),
    }
}

async fn read_body(
    what: &str,
    response: Response<Incoming>,
    limit: u64,
    min_rate: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), NetError>,
) -> Result<(), NetError> {
    let too_large = || NetError::TooLarge { what: what.into(), limit };
    let announced = response.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let started = Instant::now();
    let mut body = response.into_body();
    let mut got: u64 = 0;
    loop {
        let frame = match tokio::time::timeout(WARM_UP, body.frame()).await {
            Err(_) => return Err(NetError::TooSlow { what: what.into(), min_rate }),
            Ok(None) => return Ok(()),
            Ok(Some(Err(e))) => {
                return Err(NetError::Unreachable { address: what.into(), why: e.to_string() });
            }
            Ok(Some(Ok(frame))) => frame,
        };
        let Some(bytes) = frame.data_ref() else { continue };
        got += bytes.len() as u64;
        if got > limit {
            return Err(too_large());
        }
        take(bytes)?;
        let elapsed = started.elapsed();
        if elapsed > WARM_UP && got < min_rate.saturating_mul(elapsed.as_secs()) {
            return Err(NetError::TooSlow { what: what.into(), min_rate });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_the_forms_people_write() {
        for (text, shown) in [
            ("https://assent.example.org", "assent.example.org:443"),
            ("https://assent.example.org:8443/", "assent.example.org:8443"),
            ("127.0.0.1:8443", "127.0.0.1:8443"),
            ("https://[::1]:8443", "[::1]:8443"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for bad in ["", "assent.example.org", "http://x:1", "https://x:port", "https://x/path", "[::1"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
