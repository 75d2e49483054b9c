//! Database addresses, parsed by hand so that a typo is an error and never a new empty database.

use crate::kernel::address;
use crate::kernel::http::tls;
use std::path::PathBuf;

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DbUrl {
    Sqlite(PathBuf),
    Postgres(PgUrl),
}

/// `address` is what the driver gets: without the TLS parameters, which are ours to enforce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgUrl {
    pub address: String,
    pub tls: PgTls,
}

/// Encrypted always means verified: certificate chain and host name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PgTls {
    Off,
    /// PEM file with the accepted roots.
    Verified(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    #[error(
        "unknown kind of database address; write sqlite:///absolute/path, sqlite:relative/path or postgresql://user@host/database"
    )]
    Kind,
    #[error("the SQLite address names no file; write sqlite:///absolute/path or sqlite:relative/path")]
    NoFile,
    #[error(
        "sqlite://{0} would name a host; write sqlite:///absolute/path (three slashes) or sqlite:relative/path"
    )]
    Host(String),
    #[error("a SQLite address takes no parameters; remove everything from the `?` on")]
    Parameters,
    #[error(
        "sslmode={0} is not supported; write disable, require or verify-full (both of the latter verify)"
    )]
    SslMode(String),
    #[error("sslmode=require and verify-full need sslrootcert=/path/to/roots.pem, or sslrootcert=system")]
    NoRoots,
    #[error("sslrootcert is given but sslmode is not require or verify-full, so nothing would be encrypted")]
    RootsUnused,
}

impl DbUrl {
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        if let Some(rest) = text.strip_prefix("sqlite:") {
            return sqlite(rest).map(Self::Sqlite);
        }
        if text.starts_with("postgresql://") || text.starts_with("postgres://") {
            return postgres(text).map(Self::Postgres);
        }
        Err(BadUrl::Kind)
    }

    /// For logs and `config explain`: never shows a password.
    pub fn masked(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres(url) => {
                let without_query = url.address.split('?').next().unwrap_or_default();
                address::masked(without_query)
            }
        }
    }
}

fn sqlite(rest: &str) -> Result<PathBuf, BadUrl> {
    if rest.contains('?') {
        return Err(BadUrl::Parameters);
    }
    let path = match rest.strip_prefix("//") {
        Some(absolute) if absolute.starts_with('/') => absolute,
        Some(host) => return Err(BadUrl::Host(host.to_owned())),
        None => rest,
    };
    if path.is_empty() || path.ends_with('/') { Err(BadUrl::NoFile) } else { Ok(path.into()) }
}

fn postgres(text: &str) -> Result<PgUrl, BadUrl> {
    let (base, query) = text.split_once('?').unwrap_or((text, ""));
    let (mut mode, mut roots, mut kept) = ("disable", None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = value,
            Some(("sslrootcert", value)) => roots = Some(value),
            _ => kept.push(pair),
        }
    }
    let tls = match (mode, roots) {
        ("disable", None) => PgTls::Off,
        ("disable", Some(_)) => return Err(BadUrl::RootsUnused),
        ("require" | "verify-full", Some("system")) => PgTls::Verified(tls::system_authorities()),
        ("require" | "verify-full", Some(path)) => PgTls::Verified(path.into()),
        ("require" | "verify-full", None) => return Err(BadUrl::NoRoots),
        (other, _) => return Err(BadUrl::SslMode(other.to_owned())),
    };
    kept.push(if tls == PgTls::Off { "sslmode=disable" } else { "sslmode=require" });
    Ok(PgUrl { address: format!("{base}?{}", kept.join("&")), tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_an_error_and_never_a_new_database() {
        let table = [
            ("sqlite:///var/lib/assent/db", Ok(DbUrl::Sqlite("/var/lib/assent/db".into()))),
            ("sqlite:db.sqlite", Ok(DbUrl::Sqlite("db.sqlite".into()))),
            ("sqlite://var/lib/db", Err(BadUrl::Host("var/lib/db".into()))),
            ("sqlite:", Err(BadUrl::NoFile)),
            ("sqlite:///dir/", Err(BadUrl::NoFile)),
            ("sqlite:db?mode=ro", Err(BadUrl::Parameters)),
            ("postgre://host/db", Err(BadUrl::Kind)),
            ("/var/lib/db", Err(BadUrl::Kind)),
            ("mysql://host/db", Err(BadUrl::Kind)),
            ("postgresql://h/d?sslmode=prefer", Err(BadUrl::SslMode("prefer".into()))),
            ("postgresql://h/d?sslmode=require", Err(BadUrl::NoRoots)),
            ("postgresql://h/d?sslrootcert=/r.pem", Err(BadUrl::RootsUnused)),
        ];
        for (text, expected) in table {
            assert_eq!(DbUrl::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn tls_parameters_are_taken_out_and_enforced() {
        let url =
            DbUrl::parse("postgresql://u:p@h/d?sslmode=verify-full&application_name=x&sslrootcert=/r.pem");
        let expected = PgUrl {
            address: "postgresql://u:p@h/d?application_name=x&sslmode=require".into(),
            tls: PgTls::Verified("/r.pem".into()),
        };
        assert_eq!(url, Ok(DbUrl::Postgres(expected)));
    }

    #[test]
    fn a_masked_address_shows_no_password() {
        let url = DbUrl::parse("postgresql://u:p%40ss@h/d?password=hidden").unwrap();
        assert_eq!(url.masked(), "postgresql://u:***@h/d");
    }
}
