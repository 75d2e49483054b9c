//! Addresses that the server connects to because somebody named them over the interface, taken apart.

use super::address;
use hyper::Uri;
use shared::limits::URL_BYTES;
use std::fmt;
use std::net::IpAddr;

/// Name and password before the host, with a colon between them, as they are sent (RFC 7617).
#[derive(Clone, PartialEq, Eq)]
pub struct Login(String);

impl Login {
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a login")
    }
}

/// An address that may be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub tls: bool,
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// As it stands in the header `Host`.
    pub authority: String,
    /// Path and query.
    pub path: String,
    pub login: Option<Login>,
}

impl Endpoint {
    /// One without a login.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match Self::with_login(text)? {
            Self { login: Some(_), .. } => {
                Err("a name or password before the host is not sent; put a secret into the path".into())
            }
            endpoint => Ok(endpoint),
        }
    }

    /// One that may have a login.
    ///
    /// # Errors
    /// What is wrong with it, without anything of the login.
    pub fn with_login(text: &str) -> Result<Self, String> {
        if text.len() > URL_BYTES {
            return Err(format!("it has more than {URL_BYTES} bytes"));
        }
        if text.contains('#') {
            return Err("a part behind # reaches nobody".into());
        }
        let uri: Uri = text.parse().map_err(|error| format!("it is no address: {error}"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("it must begin with https://".into()),
        };
        let authority = uri.authority().ok_or("it names no host")?;
        let (login, shown) = match authority.as_str().rsplit_once('@') {
            Some((login, shown)) => (Some(read_login(login)?), shown),
            None => (None, authority.as_str()),
        };
        let host = address::host(authority);
        if host.is_empty() {
            return Err("it names no host".into());
        }
        let port = address::port(authority)?.unwrap_or(if tls { 443 } else { 80 });
        let endpoint = Self {
            tls,
            host,
            port,
            authority: shown.to_owned(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            login,
        };
        if !tls && !address::is_this_machine(&endpoint.host) {
            return Err("http:// is for this machine only (localhost, 127.0.0.1, [::1]); use https://".into());
        }
        Ok(endpoint)
    }

    /// The address, where it is no name.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Characters such as @ and : within name or password are written %40 and %3A (RFC 3986 §2.1).
fn read_login(text: &str) -> Result<Login, String> {
    let bad = || "its name and password cannot be read; write user:password@ with @ as %40 and % as %25";
    let mut parts = text.splitn(2, ':').map(unescape);
    let name = parts.next().flatten().filter(|name| !name.contains(':')).ok_or_else(bad)?;
    let password = parts.next().unwrap_or_else(|| Some(String::new())).ok_or_else(bad)?;
    let login = format!("{name}:{password}");
    if login.chars().any(char::is_control) {
        return Err(bad().into());
    }
    Ok(Login(login))
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let table = [
            ("https://hooks.example.org/a?b=c", (true, "hooks.example.org", 443, "/a?b=c")),
            ("https://hooks.example.org:8443", (true, "hooks.example.org", 8_443, "/")),
            ("https://[2001:db8::1]/x", (true, "2001:db8::1", 443, "/x")),
            ("https://[2001:db8::1]:9/x", (true, "2001:db8::1", 9, "/x")),
            ("http://localhost:9/x", (false, "localhost", 9, "/x")),
            ("http://127.0.0.1", (false, "127.0.0.1", 80, "/")),
            ("http://[::1]:9/", (false, "::1", 9, "/")),
        ];
        for (text, expected) in table {
            let endpoint = Endpoint::parse(text).unwrap();
            let parts = (endpoint.tls, endpoint.host.as_str(), endpoint.port, endpoint.path.as_str());
            assert_eq!(parts, expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_sent_to_is_refused() {
        let long = format!("https://a.example/{}", "x".repeat(URL_BYTES));
        for bad in [
            "",
            "/a",
            "hooks.example.org",
            "ftp://a.example/",
            "file:///etc/passwd",
            "https:///a",
            "https://u:p@a.example/",
            "https://u@a.example/",
            "https://a.example/#x",
            "https://a.example:0/",
            "https://a.example:99999/",
            "https://a.example:/",
            "https://a b.example/",
            "https://a.example/\r\nX: y",
            "http://a.example/",
            "http://192.0.2.7/",
            "http://localhost.example/",
            "http://[::ffff:127.0.0.1]/",
            &long,
        ] {
            assert!(Endpoint::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_login_is_read_where_it_may_be_and_never_shown() {
        for (text, login) in [
            ("https://a.example/x", None),
            ("https://u:p@a.example/x", Some("u:p")),
            ("https://u@a.example/x", Some("u:")),
            ("https://u%40firm.example:p%3A%25%c3%a4@a.example:8443/x", Some("u@firm.example:p:%ä")),
            ("https://u:p:q@a.example/x", Some("u:p:q")),
        ] {
            let endpoint = Endpoint::with_login(text).unwrap();
            assert_eq!(endpoint.login.as_ref().map(Login::reveal), login, "{text}");
            assert!(endpoint.authority.starts_with("a.example"), "{text}: {}", endpoint.authority);
            assert!(!format!("{endpoint:?}").contains("u:"), "{endpoint:?}");
        }
        for bad in [
            "https://u:%0d%0a@a.example/",
            "https://u:%4@a.example/",
            "https://u:%zz@a.example/",
            "https://u:%ff@a.example/",
            "https://u%3A:p@a.example/",
            "https://secret@b.example:p/",
        ] {
            let why = Endpoint::with_login(bad).unwrap_err();
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
