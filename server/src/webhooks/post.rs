//! One attempt over HTTP/1.1: bounded in time, without redirects, and nothing of the answer counts but its status and how long to
//! wait. The body of an answer is not read at all: it would show what answers at an address.

use super::endpoint::Endpoint;
use super::model::{out_of_reach, retry_after};
use crate::kernel::reach::Reach;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use shared::time::Timestamp;
use shared::webhook::WebhookSecret;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// From the look-up of the name to the status.
const PATIENCE: Duration = Duration::from_secs(15);
/// Status and headers of an answer.
const HEAD_BYTES: usize = 16 << 10;
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;

/// What one attempt carries.
pub(super) struct Message<'a> {
    pub id: &'a str,
    pub body: &'a str,
    pub secret: &'a WebhookSecret,
    /// When this attempt begins.
    pub at: Timestamp,
}

/// It did not arrive, or nobody knows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub why: String,
    /// Seconds that the subscriber asks for.
    pub wait: Option<i64>,
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self { why, wait: None }
    }
}

/// Plain where there is no `tls`, which is for addresses of this machine alone.
///
/// # Errors
/// Anything but a 2xx answer in time.
pub(super) async fn post(
    endpoint: &Endpoint,
    message: &Message<'_>,
    (tls, reach): (Option<&Arc<ClientConfig>>, &Reach),
) -> Result<(), Failed> {
    let attempt = async {
        let tcp = connect(endpoint, reach).await?;
        let Some(tls) = tls else { return exchange(tcp, endpoint, message).await };
        let name = ServerName::try_from(endpoint.host.clone())
            .map_err(|_| format!("{} is no name that a certificate could have", endpoint.host))?;
        let stream = TlsConnector::from(tls.clone()).connect(name, tcp).await;
        exchange(stream.map_err(|error| format!("TLS: {error}"))?, endpoint, message).await
    };
    let late = |_| Failed::from(format!("no answer within {} seconds", PATIENCE.as_secs()));
    timeout(PATIENCE, attempt).await.map_err(late)?
}

/// Connects to an address that may be reached: the very one that was looked at, so a name that changes in between changes nothing.
async fn connect(endpoint: &Endpoint, reach: &Reach) -> Result<TcpStream, Failed> {
    let found = lookup_host((endpoint.host.as_str(), endpoint.port)).await;
    let found = found.map_err(|error| format!("looking up {}: {error}", endpoint.host))?;
    let mut last = format!("{} has no address", endpoint.host);
    let mut tried = 0;
    for address in found {
        if !may_reach(endpoint, reach, address) {
            last = out_of_reach(&endpoint.host);
            continue;
        }
        if tried == ADDRESSES {
            break;
        }
        tried += 1;
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = format!("connecting to {}: {error}", endpoint.authority),
        }
    }
    Err(last.into())
}

fn may_reach(endpoint: &Endpoint, reach: &Reach, address: SocketAddr) -> bool {
    reach.allows(address.ip()) && (endpoint.tls || address.ip().to_canonical().is_loopback())
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    endpoint: &Endpoint,
    message: &Message<'_>,
) -> Result<(), Failed> {
    let broken = |error: hyper::Error| Failed::from(format!("sending: {error}"));
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Dropped at the end of this attempt, and with it the connection and whatever else comes over it.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let request = Request::post(&endpoint.path)
        .header(HOST, &endpoint.authority)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("assent-server/", env!("CARGO_PKG_VERSION")))
        .header("webhook-id", message.id)
        .header("webhook-timestamp", message.at.0)
        .header("webhook-signature", message.secret.sign(message.id, message.at, message.body.as_bytes()))
        .body(Full::new(Bytes::copy_from_slice(message.body.as_bytes())))
        .map_err(|error| format!("making the request: {error}"))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let redirect = if status.is_redirection() { "; redirects are not followed" } else { "" };
    let why = format!("it answered {}{redirect}", status.as_u16());
    Err(Failed { why, wait: wait.and_then(|header| retry_after(header, message.at)) })
}
