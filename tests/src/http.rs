//! The smallest HTTP over TLS that a test needs: whole messages, and raw bytes where they must be wrong.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longest wait for any answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port on 127.0.0.1 that nobody uses at the moment, given out once by this process.
///
/// From below the range that Linux takes for outgoing connections (32768 and up): one of those could take a port
/// between the moment when it is given out and the moment when a server listens on it.
pub fn free_port() -> u16 {
    const FIRST: u32 = 20_000;
    const PORTS: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test processes that run side by side begin at different places.
    let start = std::process::id().wrapping_mul(97);
    loop {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(turn < PORTS, "no port from {FIRST} on is free");
        let port = u16::try_from(FIRST + start.wrapping_add(turn) % PORTS).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A request or an answer: start line, headers with lower-case names, body.
#[derive(Clone, Debug)]
pub struct Message {
    pub start: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Message {
    pub fn request(method: &str, path: &str, body: &[u8]) -> Self {
        let headers = vec![
            ("host".into(), "127.0.0.1".into()),
            ("content-type".into(), "application/json".into()),
            ("content-length".into(), body.len().to_string()),
        ];
        Self { start: format!("{method} {path} HTTP/1.1"), headers, body: body.to_vec() }
    }

    pub fn reply(status: u16, body: &[u8]) -> Self {
        let headers = vec![("content-length".into(), body.len().to_string())];
        Self { start: format!("HTTP/1.1 {status} x"), headers, body: body.to_vec() }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self
    }

    /// Replaces the body and its length.
    pub fn carrying(self, body: &[u8]) -> Self {
        let mut message = self.without("transfer-encoding").with("content-length", &body.len().to_string());
        message.body = body.to_vec();
        message
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    pub fn path(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// # Panics
    /// The start line is not that of an answer.
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("{self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {} {}", self.start, self.text()))
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut head = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }

    /// Reads one message; `None` when the other side closed before its first byte.
    pub fn read(stream: &mut impl Read, bodiless: bool) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(0) if head.is_empty() => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => head.push(byte[0]),
                Err(e) => return Err(e),
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let pair = |line: &str| line.split_once(':').map(|(n, v)| (n.to_lowercase(), v.trim().to_owned()));
        let headers: Vec<_> = lines.filter_map(pair).collect();
        let mut message = Self { start, headers, body: Vec::new() };
        if !bodiless {
            message.body = message.read_body(stream)?;
        }
        Ok(Some(message))
    }

    fn read_body(&self, stream: &mut impl Read) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if self.header("transfer-encoding").is_some_and(|v| v.contains("chunked")) {
            while let size @ 1.. = read_chunk_size(stream)? {
                stream.take(size).read_to_end(&mut body)?;
                stream.read_exact(&mut [0; 2])?;
            }
            stream.read_exact(&mut [0; 2])?;
        } else if let Some(length) = self.header("content-length").and_then(|v| v.parse().ok()) {
            stream.take(length).read_to_end(&mut body)?;
        } else if self.start.starts_with("HTTP/") && self.status() != 304 && self.status() != 204 {
            stream.read_to_end(&mut body)?;
        }
        Ok(body)
    }
}

fn read_chunk_size(stream: &mut impl Read) -> io::Result<u64> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&line);
    u64::from_str_radix(text.trim(), 16).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

/// Someone who talks to one port, with or without a certificate.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Client {
    /// `identity` is a certificate file with its key file.
    pub fn new(address: SocketAddr, ca: &Path, identity: Option<(&Path, &Path)>) -> Self {
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_root_certificates(roots(ca));
        let tls = match identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => builder.with_client_auth_cert(certificates(cert), private_key(key)).unwrap(),
        };
        Self { address, tls: Arc::new(tls) }
    }

    pub fn connect(&self) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let tcp = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::from(self.address.ip());
        let tls = ClientConnection::new(self.tls.clone(), name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(tls, tcp))
    }

    /// Sends bytes as they are and reads one answer.
    pub fn raw(&self, bytes: &[u8]) -> io::Result<Message> {
        let mut stream = self.connect()?;
        // A server may answer and close before it has read everything; its answer counts, not our write.
        let written = stream.write_all(bytes).and_then(|()| stream.flush());
        match Message::read(&mut stream, bytes.starts_with(b"HEAD ")) {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => written.and(Err(io::ErrorKind::UnexpectedEof.into())),
            Err(e) => Err(e),
        }
    }

    pub fn try_send(&self, request: Message) -> io::Result<Message> {
        self.raw(&request.with("connection", "close").to_bytes())
    }

    /// # Panics
    /// There is no answer.
    pub fn send(&self, request: Message) -> Message {
        let what = request.start.clone();
        self.try_send(request).unwrap_or_else(|e| panic!("{what}: {e}"))
    }
}

/// The cryptography that the parts under test use as well.
pub fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub fn certificates(file: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(file).unwrap().map(Result::unwrap).collect()
}

pub fn private_key(file: &Path) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(file).unwrap()
}

pub fn roots(ca: &Path) -> RootCertStore {
    let mut store = RootCertStore::empty();
    for certificate in certificates(ca) {
        store.add(certificate).unwrap();
    }
    store
}
