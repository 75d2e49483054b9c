//! A mail server for tests: as much of RFC 5321 as a client speaks, on loopback, with STARTTLS and TLS. It answers as it is told.

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// One letter as it came.
#[derive(Clone, Debug, Default)]
pub struct Got {
    pub from: String,
    pub to: String,
    pub data: String,
    pub encrypted: bool,
}

/// What it says to `RCPT TO` and at the end of a letter.
#[derive(Clone, Debug)]
pub struct Says {
    pub recipient: &'static str,
    pub end: &'static str,
    /// It takes the letter and goes away without an answer.
    pub vanishes: bool,
}

impl Says {
    pub fn ok() -> Self {
        Self { recipient: "250 ok", end: "250 ok", vanishes: false }
    }
}

pub struct MailBox {
    pub port: u16,
    got: Arc<Mutex<Vec<Got>>>,
    says: Arc<Mutex<Says>>,
    task: JoinHandle<()>,
}

impl Drop for MailBox {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Plain,
    StartTls,
    Tls,
}

impl MailBox {
    /// With the certificate for `localhost` in this data directory.
    pub async fn start(way: Way, dir: &Path) -> Self {
        let certificate = CertificateDer::from_pem_file(dir.join("tls/people.crt")).unwrap();
        let key = PrivateKeyDer::from_pem_file(dir.join("tls/people.key")).unwrap();
        let builder = ServerConfig::builder_with_provider(crate::kernel::http::tls::provider());
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let tls = TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![certificate], key).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (got, says) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Says::ok())));
        let (noted, told) = (got.clone(), says.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, noted, told) = (tls.clone(), noted.clone(), told.clone());
                tokio::spawn(async move {
                    if way == Way::Tls {
                        let Ok(stream) = tls.accept(stream).await else { return };
                        talk(BufReader::new(stream), (&noted, &told), (false, true), true).await;
                        return;
                    }
                    let offers = (way == Way::StartTls, false);
                    if let Some(stream) = talk(BufReader::new(stream), (&noted, &told), offers, true).await {
                        let Ok(stream) = tls.accept(stream.into_inner()).await else { return };
                        talk(BufReader::new(stream), (&noted, &told), (false, true), false).await;
                    }
                });
            }
        });
        Self { port, got, says, task }
    }

    pub fn says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    /// What came since the last time.
    pub fn take(&self) -> Vec<Got> {
        std::mem::take(&mut *self.got.lock().unwrap())
    }
}

/// One conversation; the stream comes back where TLS shall begin on it.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
    (got, says): (&Mutex<Vec<Got>>, &Mutex<Says>),
    (starttls, encrypted): (bool, bool),
    greets: bool,
) -> Option<BufReader<S>> {
    if greets {
        stream.get_mut().write_all(b"220 mail.test ESMTP\r\n").await.ok()?;
    }
    let mut letter = Got { encrypted, ..Got::default() };
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let told = says.lock().unwrap().clone();
        let verb = line.split([' ', ':', '\r']).next().unwrap_or_default().to_uppercase();
        let answer = match verb.as_str() {
            "EHLO" if starttls => "250-mail.test\r\n250 STARTTLS",
            "EHLO" => "250 mail.test",
            "STARTTLS" => {
                stream.get_mut().write_all(b"220 go\r\n").await.ok()?;
                return Some(stream);
            }
            "MAIL" => {
                letter.from = line.trim().to_owned();
                "250 ok"
            }
            "RCPT" => {
                letter.to = line.trim().to_owned();
                told.recipient
            }
            "DATA" => {
                stream.get_mut().write_all(b"354 go\r\n").await.ok()?;
                letter.data = String::new();
                while !letter.data.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut letter.data).await.ok()? == 0 {
                        return None;
                    }
                }
                if told.end.starts_with('2') {
                    got.lock().unwrap().push(letter.clone());
                }
                if told.vanishes {
                    return None;
                }
                told.end
            }
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        stream.get_mut().write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
    }
}
