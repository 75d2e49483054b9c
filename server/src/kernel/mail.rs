//! Where mail goes out, as the configuration says it.

use super::address::{self, masked};
use super::error::chain;
use hyper::Uri;
use lettre::message::Mailbox;
use lettre::{AsyncSmtpTransport, Tokio1Executor};
use std::fmt;
use std::net::Ipv6Addr;

/// How the way to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// To this machine itself only.
    None,
    /// STARTTLS, or nothing is sent.
    StartTls,
    Tls,
}

#[derive(Clone)]
pub struct MailServer {
    /// As it was written, with user and password.
    pub url: String,
    pub host: String,
    pub port: u16,
    pub security: Security,
    pub from: Mailbox,
}

impl fmt::Debug for MailServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.url))
    }
}

impl MailServer {
    /// # Errors
    /// What is wrong with the address of the server or of the sender.
    pub fn parse(url: &str, from: &str) -> Result<Self, String> {
        let bad = |why: &str| {
            format!(
                "{:?} is no mail server: {why}; write smtps://user:password@mail.example.org",
                masked(url)
            )
        };
        let uri: Uri = url.parse().map_err(|_| bad("it is no address"))?;
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(bad("nothing comes behind the host"));
        }
        let host = address::host(authority);
        let own = address::is_this_machine(&host);
        let (security, port) = match uri.scheme_str() {
            Some("smtps") => (Security::Tls, 465),
            Some("smtp") if own => (Security::None, 25),
            Some("smtp") => (Security::StartTls, 587),
            _ => return Err(bad("it begins with smtps:// (TLS) or smtp:// (STARTTLS)")),
        };
        if host.is_empty() {
            return Err(bad("it names no host"));
        }
        if host.parse::<Ipv6Addr>().is_ok() {
            return Err(bad("give a name or an IPv4 address"));
        }
        AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(|error| bad(&chain(&error)))?;
        let from: Mailbox = from.parse().map_err(|error| {
            format!("mail.from: {from:?} is no sender: {error}; write \"Assent <assent@example.org>\"")
        })?;
        let port = address::port(authority).map_err(bad)?.unwrap_or(port);
        Ok(Self { url: url.to_owned(), host, port, security, from })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_server_is_protected_unless_it_is_this_machine() {
        let table = [
            ("smtps://u:p@mail.example.org", (Security::Tls, 465, "mail.example.org")),
            ("smtp://mail.example.org", (Security::StartTls, 587, "mail.example.org")),
            ("smtp://mail.example.org:25/", (Security::StartTls, 25, "mail.example.org")),
            ("smtp://localhost", (Security::None, 25, "localhost")),
            ("smtp://127.0.0.1:2525", (Security::None, 2_525, "127.0.0.1")),
        ];
        for (url, expected) in table {
            let server = MailServer::parse(url, "Assent <assent@example.org>").unwrap();
            assert_eq!((server.security, server.port, server.host.as_str()), expected, "{url}");
        }
        let bad = [
            "",
            "mail.example.org",
            "http://mail.example.org",
            "smtp://",
            "smtp://a.example/x",
            "smtp://a.example?tls=none",
            "smtp://a.example:99999",
            "smtp://a.example:0",
            "smtp://[::1]:2525",
            "smtps://u:%ff@a.example",
        ];
        for url in bad {
            assert!(MailServer::parse(url, "a@example.org").is_err(), "{url}");
        }
        assert!(MailServer::parse("smtps://a.example", "nobody").unwrap_err().contains("mail.from"));
    }

    #[test]
    fn the_password_is_masked() {
        let server = MailServer::parse("smtps://u:secret@mail.example.org", "a@example.org").unwrap();
        assert!(!format!("{server:?}").contains("secret"));
        assert!(
            !MailServer::parse("smtpx://u:secret@mail.example.org", "a@example.org")
                .unwrap_err()
                .contains("secret")
        );
    }
}
