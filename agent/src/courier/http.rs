//! One GET request, inside of the network process. HTTP/1.0, so that no server answers in pieces (chunks), and the end
//! of the connection is the end of the body. Certificates are checked against the authorities that are given.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const BODY_BYTES: usize = 64 << 10;
const HEAD_BYTES: usize = 64 << 10;
/// Why there is no answer when the time is over.
pub const LATE: &str = "no whole answer within the time limit";

pub struct Answer {
    pub status: u16,
    /// At most the first 64 KiB.
    pub body: Vec<u8>,
}

struct Address<'a> {
    secure: bool,
    /// Host and port as written, for the Host header.
    authority: &'a str,
    host: &'a str,
    port: u16,
    path: &'a str,
}

fn parse(url: &str) -> Result<Address<'_>, String> {
    let bad = || format!("{:?} is no http or https address", shared::strict::shorten(url));
    let (secure, rest) = match url.split_once("://") {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        _ => return Err(bad()),
    };
    if rest.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(bad());
    }
    let rest = rest.split('#').next().unwrap_or(rest);
    let split = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(split);
    let default = if secure { 443 } else { 80 };
    // The last colon starts a port unless it is part of an IPv6 address in brackets.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| bad())?),
        _ => (authority, default),
    };
    if host.is_empty() || authority.contains('@') {
        return Err(bad());
    }
    Ok(Address { secure, authority, host, port, path })
}

/// Tries each address of the name in turn, all within `timeout`.
///
/// # Errors
/// One line for people.
pub fn connect(host: &str, port: u16, timeout: Duration) -> Result<TcpStream, String> {
    let ends = Instant::now() + timeout;
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = (name, port).to_socket_addrs().map_err(|e| format!("{host}: {e}"))?;
    let mut last = format!("{host} has no address");
    for address in addresses {
        let left = ends.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(last)
}

/// Asks once; `timeout` covers the whole exchange.
///
/// # Errors
/// One line for people.
pub fn get(url: &str, timeout: Duration, authorities: &[u8]) -> Result<Answer, String> {
    let address = parse(url)?;
    let ends = Instant::now() + timeout;
    let stream = connect(address.host, address.port, timeout)?;
    let slash = if address.path.starts_with('/') { "" } else { "/" };
    let request = format!(
        "GET {slash}{} HTTP/1.0\r\nHost: {}\r\nUser-Agent: assent-agent\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        address.path, address.authority
    );
    if address.secure {
        let connection = client(address.host, authorities)?;
        let tcp = stream.try_clone().map_err(|e| e.to_string())?;
        exchange(StreamOwned::new(connection, stream), &tcp, &request, ends)
    } else {
        let tcp = stream.try_clone().map_err(|e| e.to_string())?;
        exchange(stream, &tcp, &request, ends)
    }
}

fn client(name: &str, authorities: &[u8]) -> Result<ClientConnection, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(authorities).flatten());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned()).map_err(|e| e.to_string())?;
    ClientConnection::new(Arc::new(config), name).map_err(|e| e.to_string())
}

fn exchange(
    mut stream: impl Read + Write,
    tcp: &TcpStream,
    request: &str,
    ends: Instant,
) -> Result<Answer, String> {
    let limit = |tcp: &TcpStream| {
        let left = ends.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(LATE.to_owned());
        }
        tcp.set_read_timeout(Some(left))
            .and_then(|()| tcp.set_write_timeout(Some(left)))
            .map_err(|e| e.to_string())
    };
    limit(tcp)?;
    stream.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    let mut piece = [0; 8 << 10];
    while bytes.len() < HEAD_BYTES + BODY_BYTES {
        limit(tcp)?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&piece[..n]),
            // Servers close TLS without saying so.
            Err(e) if e.kind() == ErrorKind::UnexpectedEof && !bytes.is_empty() => break,
            Err(e) => return Err(e.to_string()),
        }
    }
    answer(&bytes).ok_or_else(|| "the answer is no HTTP".to_owned())
}

/// RFC 9112, section 4: `HTTP/1.x SP 3DIGIT`, then fields up to an empty line.
fn answer(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let line = bytes.split(|b| *b == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let version = words.next()?;
    let status = words.next()?;
    if !version.starts_with("HTTP/1.") || status.len() != 3 {
        return None;
    }
    let body = &bytes[end + 4..];
    Some(Answer { status: status.parse().ok()?, body: body[..body.len().min(BODY_BYTES)].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (url, host, port, path) in [
            ("http://127.0.0.1:8080/a?b", "127.0.0.1", 8080, "/a?b"),
            ("https://host.example", "host.example", 443, ""),
            ("http://[::1]:80/", "[::1]", 80, "/"),
            ("http://[::1]", "[::1]", 80, ""),
            ("http://h?x#frag", "h", 80, "?x"),
        ] {
            let address = parse(url).unwrap();
            assert_eq!((address.host, address.port, address.path), (host, port, path), "{url}");
        }
        for bad in ["", "ftp://h", "http://", "http://u@h/", "http://h:99999/", "http://h/\r\nX: y"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn status_and_body() {
        let good = answer(b"HTTP/1.1 204 No Content\r\nA: b\r\n\r\nbody").unwrap();
        assert_eq!((good.status, good.body.as_slice()), (204, &b"body"[..]));
        for bad in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n"] {
            assert!(answer(bad).is_none());
        }
    }
}
