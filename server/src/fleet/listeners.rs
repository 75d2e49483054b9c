//! Certificates of the server's own listeners, renewed from the site's authority: same key, same names.
//!
//! Hosts pin the key when they join, so it stays. Never: a certificate that another authority issued.

use super::authority::Authority;
use crate::kernel::config::{Config, Listener};
use crate::kernel::error::Error;
use crate::kernel::files;
use rcgen::{KeyPair, PublicKeyData as _, SanType};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use shared::time::Timestamp;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Renews what has less than a third of its life left; returns the files that were written.
///
/// `now` is the machine's own time: the other side of a connection judges certificates by its wall clock.
pub fn renew(config: &Config, now: Timestamp) -> Result<Vec<PathBuf>, Error> {
    let authority = Authority::load(&config.site_id, &config.ca_cert, &config.ca_key)?;
    let mut written = Vec::new();
    for listener in [&config.people, &config.agents] {
        if let Some(pem) = renewed((&authority, &authority), listener, now, is_late)? {
            replace(&listener.cert, &pem)?;
            written.push(listener.cert.clone());
        }
    }
    Ok(written)
}

/// Certificates of the first authority are replaced by ones of the second, whatever is left of their life.
pub(super) fn hand_over(
    config: &Config,
    authorities: (&Authority, &Authority),
    now: Timestamp,
) -> Result<(), Error> {
    for listener in [&config.people, &config.agents] {
        if let Some(pem) = renewed(authorities, listener, now, |_, _| true)? {
            replace(&listener.cert, &pem)?;
        }
    }
    Ok(())
}

/// Less than a third of its life is left.
fn is_late(life_secs: i64, left_secs: i64) -> bool {
    left_secs < life_secs / 3
}

fn failed(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::fault(format!("renewing the certificate {}", path.display()), error.to_string())
}

/// The next certificate, PEM; `None` while the old one holds or is not of the first authority.
fn renewed(
    (of, by): (&Authority, &Authority),
    listener: &Listener,
    now: Timestamp,
    is_due: impl Fn(i64, i64) -> bool,
) -> Result<Option<String>, Error> {
    let path = &listener.cert;
    let der = CertificateDer::from_pem_file(path).map_err(|error| failed(path, error))?;
    let (_, old) = X509Certificate::from_der(&der).map_err(|error| failed(path, error))?;
    let (from, until) = (old.validity().not_before.timestamp(), old.validity().not_after.timestamp());
    if !is_due(until.saturating_sub(from), until.saturating_sub(now.0)) || !is_of(&old, of)? {
        return Ok(None);
    }
    let pem = std::fs::read_to_string(&listener.key).map_err(|error| failed(&listener.key, error))?;
    let key = KeyPair::from_pem(&pem).map_err(|error| failed(&listener.key, error))?;
    if key.subject_public_key_info() != old.public_key().raw {
        return Err(failed(path, format!("{} is not its key", listener.key.display())));
    }
    let names = names(&old).map_err(|error| failed(path, error))?;
    by.issue_own(names, &key, now).map(Some)
}

fn names(old: &X509Certificate<'_>) -> Result<Vec<SanType>, String> {
    let found = old.subject_alternative_name().map_err(|error| error.to_string())?;
    let found = found.ok_or("it has no names")?;
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => {
            Some((*name).try_into().map(SanType::DnsName).map_err(|error: rcgen::Error| error.to_string()))
        }
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            Some(
                address.map(SanType::IpAddress).map_err(|_| "it has an address of another length".to_owned()),
            )
        }
        _ => None,
    };
    found.value.general_names.iter().filter_map(name).collect()
}

/// In one step: after a crash the file has the old or the new certificate.
fn replace(path: &Path, pem: &str) -> Result<(), Error> {
    let same = std::fs::metadata(path).map(|before| before.permissions());
    same.and_then(|same| files::replace(path, pem.as_bytes(), same)).map_err(|error| failed(path, error))
}

fn is_of(old: &X509Certificate<'_>, authority: &Authority) -> Result<bool, Error> {
    let fault = |error: String| Error::fault("reading the site's authority", error);
    let pem = authority.ca_pem().as_bytes();
    let der = CertificateDer::from_pem_slice(pem).map_err(|error| fault(error.to_string()))?;
    let (_, ca) = X509Certificate::from_der(&der).map_err(|error| fault(error.to_string()))?;
    Ok(old.issuer().as_raw() == ca.subject().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, date_time_ymd};
    use shared::digest::Digest;

    /// 2030-01-01.
    const NOW: Timestamp = Timestamp(1_893_456_000);

    fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// A configuration whose listeners have certificates of `issuer` until the end of `year`.
    fn config(
        dir: &Path,
        ours: &CertifiedIssuer<'_, KeyPair>,
        by: &CertifiedIssuer<'_, KeyPair>,
        year: i32,
    ) -> Config {
        let text = format!(
            "site_id = \"0011223344556677\"\ndata_dir = \"{}\"\n[people]\nurl = \"https://a.example\"\n[agents]\nurl = \"https://a.example:8444\"\n",
            dir.display()
        );
        std::fs::create_dir_all(dir.join("tls")).unwrap();
        std::fs::write(dir.join("tls/ca.crt"), ours.pem()).unwrap();
        std::fs::write(dir.join("tls/ca.key"), ours.key().serialize_pem()).unwrap();
        for name in ["people", "agents"] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec!["a.example".into(), "192.0.2.7".into()]).unwrap();
            params.not_before = date_time_ymd(2028, 1, 1);
            params.not_after = date_time_ymd(year, 12, 31);
            std::fs::write(dir.join(format!("tls/{name}.crt")), params.signed_by(&key, by).unwrap().pem())
                .unwrap();
            std::fs::write(dir.join(format!("tls/{name}.key")), key.serialize_pem()).unwrap();
        }
        Config::parse("test", &text, None).unwrap()
    }

    /// Key, end and names of a certificate file.
    fn read(path: &Path) -> (Digest, i64, usize) {
        let der = CertificateDer::from_pem_file(path).unwrap();
        let (_, read) = X509Certificate::from_der(&der).unwrap();
        let names = read.subject_alternative_name().unwrap().unwrap().value.general_names.len();
        (Digest::of(read.public_key().raw), read.validity().not_after.timestamp(), names)
    }

    #[test]
    fn a_certificate_near_its_end_gets_a_new_one_with_the_same_key_and_names() {
        let dir = tempfile::tempdir().unwrap();
        let ca = issuer("Assent site authority");
        let config = config(dir.path(), &ca, &ca, 2030);
        // One of three years is left; a month later it is less than a third.
        assert_eq!(renew(&config, NOW.plus(-86_400)).unwrap(), Vec::<PathBuf>::new(), "it holds");
        let before = read(&config.people.cert);
        let late = NOW.plus(30 * 86_400);
        assert_eq!(renew(&config, late).unwrap(), [config.people.cert.clone(), config.agents.cert.clone()]);
        let after = read(&config.people.cert);
        assert_eq!((before.0, before.2), (after.0, after.2));
        assert!(after.1 > late.0 + 700 * 86_400, "{after:?}");
        assert_eq!(renew(&config, late).unwrap(), Vec::<PathBuf>::new(), "once is enough");
    }

    #[test]
    fn certificates_of_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), &issuer("Assent site authority"), &issuer("Company"), 2029);
        assert_eq!(renew(&config, NOW).unwrap(), Vec::<PathBuf>::new());
        std::fs::write(&config.people.cert, "nothing").unwrap();
        assert!(renew(&config, NOW).is_err());
    }
}
