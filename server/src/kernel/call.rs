//! One exchange over HTTP/1.1 with a server whose address somebody named over the interface: bounded in time and size, without
//! redirects, and only with an address that may be reached.

use super::endpoint::Endpoint;
use super::error::Error;
use super::reach::{Reach, out_of_reach};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, RETRY_AFTER, USER_AGENT};
use hyper::http::request::Builder;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::fmt::rfc2822::DateTimeParser;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use shared::time::Timestamp;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Status and headers of an answer.
const HEAD_BYTES: usize = 16 << 10;
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;
/// A server may ask for at most so much time.
const LONGEST_WISH_SECS: i64 = 86_400;

/// What a call may cost.
#[derive(Clone, Copy)]
pub struct Limits {
    /// From the look-up of the name to the end of what is read.
    pub patience: Duration,
    /// Bytes of a body that are read; without it none is: it would show what answers at an address.
    pub body: Option<usize>,
}

/// Whom the server believes, and where it connects to.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    pub trust: &'a Result<Arc<ClientConfig>, Error>,
    pub reach: &'a Reach,
}

/// What came back.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Empty where none was asked for, or the answer is no success.
    pub body: Bytes,
}

impl Answer {
    /// What an answer that is no success says, for people.
    pub fn told(&self) -> String {
        let redirect = if self.status.is_redirection() { "; redirects are not followed" } else { "" };
        format!("it answered {}{redirect}", self.status.as_u16())
    }

    /// Seconds that it asks to wait.
    pub fn wait(&self, now: Timestamp) -> Option<i64> {
        let header = self.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        header.and_then(|header| retry_after(header, now))
    }
}

/// Sends `request` (method and headers; the rest comes from `endpoint`) and reads the answer. Plain where the endpoint has no TLS,
/// which is for addresses of this machine alone.
///
/// # Errors
/// No answer in time, or one that is too long: what happened, for people.
pub async fn call(
    endpoint: &Endpoint,
    (request, body): (Builder, Bytes),
    way: Way<'_>,
    limits: Limits,
) -> Result<Answer, String> {
    let trust = match (endpoint.tls, way.trust) {
        (true, Err(error)) => return Err(error.chain()),
        (true, Ok(trust)) => Some(trust),
        (false, _) => None,
    };
    let sent = (request, body);
    let attempt = async {
        let tcp = connect(endpoint, way.reach).await?;
        let Some(trust) = trust else { return exchange(tcp, endpoint, sent, limits).await };
        let name = ServerName::try_from(endpoint.host.clone())
            .map_err(|_| format!("{} is no name that a certificate could have", endpoint.host))?;
        let stream = TlsConnector::from(trust.clone()).connect(name, tcp).await;
        exchange(stream.map_err(|error| format!("TLS: {error}"))?, endpoint, sent, limits).await
    };
    let late = |_| format!("no answer within {} seconds", limits.patience.as_secs());
    timeout(limits.patience, attempt).await.map_err(late)?
}

/// Connects to an address that may be reached: the very one that was looked at, so a name that changes in between changes nothing.
async fn connect(endpoint: &Endpoint, reach: &Reach) -> Result<TcpStream, String> {
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
    Err(last)
}

fn may_reach(endpoint: &Endpoint, reach: &Reach, address: SocketAddr) -> bool {
    reach.allows(address.ip()) && (endpoint.tls || address.ip().to_canonical().is_loopback())
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    endpoint: &Endpoint,
    (request, body): (Builder, Bytes),
    limits: Limits,
) -> Result<Answer, String> {
    let broken = |error: hyper::Error| format!("sending: {error}");
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Dropped at the end of this call, and with it the connection and whatever else comes over it.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let mut request = request
        .uri(&endpoint.path)
        .header(HOST, &endpoint.authority)
        .header(USER_AGENT, concat!("assent-server/", env!("CARGO_PKG_VERSION")));
    if let Some(login) = &endpoint.login {
        request = request.header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(login.reveal())));
    }
    let request = request.body(Full::new(body)).map_err(|error| format!("making the request: {error}"))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = match limits.body {
        Some(most) if status.is_success() => read(response, most).await?,
        _ => Bytes::new(),
    };
    Ok(Answer { status, headers, body })
}

async fn read(response: Response<Incoming>, most: usize) -> Result<Bytes, String> {
    let whole = Limited::new(response.into_body(), most).collect().await;
    let whole = whole.map_err(|error| match error.is::<http_body_util::LengthLimitError>() {
        true => format!("it answered with more than {} MiB", most >> 20),
        false => format!("reading: {error}"),
    })?;
    Ok(whole.to_bytes())
}

/// Seconds that an answer asks to wait: a number, or a date (RFC 9110 §10.2.3).
fn retry_after(header: &str, now: Timestamp) -> Option<i64> {
    let secs = match header.parse::<u32>() {
        Ok(secs) => i64::from(secs),
        Err(_) => {
            let at = DateTimeParser::new().relaxed_weekday(true).parse_timestamp(header).ok()?;
            Timestamp(at.as_second()).since(now)
        }
    };
    (secs > 0).then(|| secs.min(LONGEST_WISH_SECS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_asks_for_time_by_seconds_or_date() {
        let now = Timestamp(784_111_777);
        let table = [
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some(120)),
            ("999999999", Some(86_400)),
            ("Sun, 06 Nov 2094 08:51:37 GMT", Some(86_400)),
            ("0", None),
            ("-5", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("soon", None),
            ("", None),
        ];
        for (header, expected) in table {
            assert_eq!(retry_after(header, now), expected, "{header}");
        }
    }
}
