//! Addresses that people write: their host, whether it is this machine, and how they are shown.

use hyper::http::uri::Authority;
use std::net::IpAddr;

/// The name or address before the port, without brackets.
pub fn host(authority: &Authority) -> String {
    authority.host().trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// The port, if there is one.
///
/// # Errors
/// What stands there is no port.
pub fn port(authority: &Authority) -> Result<Option<u16>, &'static str> {
    let behind_login = authority.as_str().rsplit('@').next().unwrap_or_default();
    match behind_login.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        None => Ok(None),
        Some(_) => {
            let port = authority.port_u16().filter(|port| *port > 0);
            port.map(Some).ok_or("its port is no number up to 65535")
        }
    }
}

/// By its name or a loopback address.
pub fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// For logs and people: the address without its password.
pub fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.rsplit_once('@') {
        Some((login, host)) => {
            format!("{scheme}://{}:***@{host}", login.split(':').next().unwrap_or_default())
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_found_behind_the_host_and_nowhere_else() {
        for (written, expected) in [
            ("a.example", Ok(None)),
            ("a.example:25", Ok(Some(25))),
            ("u:p@a.example", Ok(None)),
            ("u:p@a.example:25", Ok(Some(25))),
            ("[::1]", Ok(None)),
            ("u:7@[::1]:25", Ok(Some(25))),
            ("a.example:0", Err(())),
            ("a.example:65536", Err(())),
        ] {
            assert_eq!(port(&written.parse().unwrap()).map_err(drop), expected, "{written}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        assert_eq!(masked("smtps://u:p@ss@mail.example.org:465"), "smtps://u:***@mail.example.org:465");
        assert_eq!(masked("smtp://mail.example.org"), "smtp://mail.example.org");
        assert_eq!(masked("nothing"), "nothing");
    }
}
