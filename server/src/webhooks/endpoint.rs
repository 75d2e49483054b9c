//! Where a subscriber is: its address taken apart.

use crate::kernel::address;
use hyper::Uri;
use std::net::IpAddr;

/// Characters of an address; longer ones carry more than a place.
const URL_BYTES: usize = 2_048;

/// An address that may be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub tls: bool,
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// As it stands in the header `Host`.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

impl Endpoint {
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
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
        if authority.as_str().contains('@') {
            return Err("a name or password before the host is not sent; put a secret into the path".into());
        }
        let host = address::host(authority);
        if host.is_empty() {
            return Err("it names no host".into());
        }
        let port = address::port(authority)?.unwrap_or(if tls { 443 } else { 80 });
        let endpoint = Self {
            tls,
            host,
            port,
            authority: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
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
}
