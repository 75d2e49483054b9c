//! The mail server, by SMTP (RFC 5321): TLS, or STARTTLS that must succeed (RFC 3207), and plain only to this machine itself.

use super::letter::Letter;
use crate::kernel::error::{Error, chain, one_line};
use crate::kernel::http::tls;
use crate::kernel::mail::{MailServer, Security};
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use std::path::Path;
use std::time::Duration;

/// Of one step of the conversation.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Post {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// Why a letter did not go; `for_good` when the server says that it never will (5yz, RFC 5321 §4.2.1).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Undelivered {
    pub why: String,
    pub for_good: bool,
}

impl Post {
    pub fn open(server: &MailServer, authorities: &Path) -> Result<Self, Error> {
        let bad = |error: lettre::transport::smtp::Error| Error::fault("setting up mail", error);
        let security = match server.security {
            Security::None => Tls::None,
            Security::Tls => Tls::Wrapper(trusting(&server.host, authorities)?),
            Security::StartTls => Tls::Required(trusting(&server.host, authorities)?),
        };
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&server.url).map_err(bad)?;
        let transport = builder.port(server.port).tls(security).timeout(Some(PATIENCE)).build();
        Ok(Self { transport, from: server.from.clone() })
    }

    pub async fn send(&self, to: &str, letter: &Letter, id: &str) -> Result<(), Undelivered> {
        let message = self.message(to, letter, id).map_err(|why| Undelivered { why, for_good: true })?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let for_good = error.is_permanent();
                Err(Undelivered { why: one_line(&chain(&error)), for_good })
            }
        }
    }

    fn message(&self, to: &str, letter: &Letter, id: &str) -> Result<Message, String> {
        let to: Mailbox = to.parse().map_err(|error| format!("{to:?} is no address: {error}"))?;
        Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(&letter.subject)
            .message_id(Some(id.to_owned()))
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text.clone())
            .map_err(|error| error.to_string())
    }
}

fn trusting(host: &str, authorities: &Path) -> Result<TlsParameters, Error> {
    let bad = |error: lettre::transport::smtp::Error| Error::fault("setting up TLS for mail", error);
    let mut builder = TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::None);
    for certificate in tls::certificates(authorities)? {
        builder = builder.add_root_certificate(Certificate::from_der(certificate.to_vec()).map_err(bad)?);
    }
    builder.build().map_err(bad)
}
