//! Somebody whom the server calls, for tests: a real listener on loopback that notes what it gets and answers as it is told.

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use shared::news::NewsEvent;
use shared::time::Timestamp;
use shared::webhook::WebhookSecret;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

#[derive(Clone, Debug)]
pub struct Got {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Got {
    pub fn event(&self) -> NewsEvent {
        serde_json::from_str(&self.body).unwrap()
    }

    /// As a subscriber does it.
    pub fn is_signed(&self, secret: &WebhookSecret, now: Timestamp) -> bool {
        let at = Timestamp(self.headers["webhook-timestamp"].parse().unwrap());
        let (id, signatures) = (&self.headers["webhook-id"], &self.headers["webhook-signature"]);
        secret.verify((id, at), signatures, self.body.as_bytes(), now)
    }
}

/// What it answers; the text of a status may hold headers.
#[derive(Clone, Debug)]
pub enum Answer {
    Status(String),
    /// All of it, and then the end of the connection.
    Raw(Vec<u8>),
    Silence,
    /// Success, and then a body without an end.
    Endless,
}

impl Answer {
    /// A file, with these headers.
    pub fn file(headers: &[(&str, &str)], body: &str) -> Self {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        Self::Raw(format!("HTTP/1.1 200 OK\r\n{headers}content-length: {length}\r\n\r\n{body}").into())
    }

    pub fn ok() -> Self {
        Self::Status("204 No Content".into())
    }
}

#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    got: Arc<Mutex<Vec<Got>>>,
    answer: Arc<Mutex<Answer>>,
    _task: Arc<Abort>,
}

struct Abort(JoinHandle<()>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Receiver {
    pub async fn plain() -> Self {
        Self::start(None).await
    }

    /// With the certificate for `localhost` in this data directory.
    pub async fn tls(dir: &Path) -> Self {
        let certificate = CertificateDer::from_pem_file(dir.join("tls/people.crt")).unwrap();
        let key = PrivateKeyDer::from_pem_file(dir.join("tls/people.key")).unwrap();
        let builder = ServerConfig::builder_with_provider(super::http::tls::provider());
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = builder.with_single_cert(vec![certificate], key).unwrap();
        Self::start(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (got, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Answer::ok())));
        let (noted, told) = (got.clone(), answer.clone());
        let scheme = if tls.is_some() { "https://localhost" } else { "http://127.0.0.1" };
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, noted, told) = (tls.clone(), noted.clone(), told.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            // A client that does not like the certificate is the test's matter.
                            let Ok(stream) = tls.accept(stream).await else { return };
                            serve(stream, noted, told).await;
                        }
                        None => serve(stream, noted, told).await,
                    }
                });
            }
        });
        Self { url: format!("{scheme}:{port}/hook?a=b"), got, answer, _task: Arc::new(Abort(task)) }
    }

    pub fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub fn status(&self, status: &str) {
        self.answers(Answer::Status(status.into()));
    }

    /// What came since the last time.
    pub fn take(&self) -> Vec<Got> {
        std::mem::take(&mut *self.got.lock().unwrap())
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    got: Arc<Mutex<Vec<Got>>>,
    answer: Arc<Mutex<Answer>>,
) {
    let Some(request) = read(&mut stream).await else { return };
    got.lock().unwrap().push(request);
    let answer = answer.lock().unwrap().clone();
    let written = match answer {
        Answer::Status(status) => stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await,
        Answer::Raw(bytes) => stream.write_all(&bytes).await,
        Answer::Silence => {
            std::future::pending::<()>().await;
            Ok(())
        }
        Answer::Endless => {
            let mut written =
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n").await;
            while written.is_ok() {
                written = stream.write_all(&[b'x'; 4_096]).await;
            }
            written
        }
    };
    drop(written);
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Got> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let line = lines.next()?.to_owned();
            let pair = |line: &str| line.split_once(": ").map(|(k, v)| (k.to_lowercase(), v.to_owned()));
            let headers: BTreeMap<_, _> = lines.filter_map(pair).collect();
            if headers.get("content-length").is_none_or(|length| *length == body.len().to_string()) {
                return Some(Got { line, headers, body: body.to_owned() });
            }
        }
        let mut piece = [0; 4_096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
    }
}
