//! Certificates in files of the places where services keep theirs. Files of private keys are not opened; from a file with
//! both, only the certificate is taken, and the bytes are wiped.

use crate::host::{Entry, Fault, Host, Stamp};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use shared::digest::Digest;
use shared::facts::{CERTIFICATES, Certificate, clean};
use shared::time::Timestamp;
use std::collections::BTreeMap;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// Where services keep certificates by custom. The authorities that a host trusts are not meant.
pub const PLACES: [&str; 11] = [
    "/etc/letsencrypt/live",
    "/etc/nginx",
    "/etc/apache2",
    "/etc/httpd",
    "/etc/haproxy",
    "/etc/postfix",
    "/etc/dovecot",
    "/etc/postgresql",
    "/etc/ldap",
    "/etc/pki/tls/certs",
    "/etc/ssl/local",
];
/// A certificate with its chain; bundles of authorities are larger.
const BYTES: u64 = 64 << 10;
/// Directories below a place.
const DEPTH: u32 = 3;
/// Names that are looked at in all: more is no place for certificates.
const NAMES: usize = 4_096;

/// What a file was like when it was read, and what was in it.
pub type Read = BTreeMap<String, (Stamp, Option<Certificate>)>;

/// By path; each certificate once, however many files it is in. What cannot be looked at is told in `notes`.
pub fn find(
    host: &impl Host,
    places: &[String],
    known: &mut Read,
    notes: &mut Vec<String>,
) -> Vec<Certificate> {
    let (mut files, mut left) = (Vec::new(), NAMES);
    for place in places {
        if let Err(fault) = walk(host, place, DEPTH, &mut left, &mut files) {
            notes.push(format!("certificates in {place} are not told: {}", fault.text()));
        }
    }
    if left == 0 {
        notes.push(format!("certificates are looked for in {NAMES} files and no more"));
    }
    let mut read = Read::new();
    for path in files {
        match file(host, &path, known) {
            Ok(Some(found)) => {
                read.insert(path, found);
            }
            Ok(None) => {}
            Err(fault) => notes.push(format!("{path} is not told: {}", fault.text())),
        }
    }
    *known = read;
    let mut once = BTreeMap::new();
    for certificate in known.values().filter_map(|(_, certificate)| certificate.as_ref()) {
        once.entry(certificate.sha256).or_insert_with(|| certificate.clone());
    }
    let mut all: Vec<Certificate> = once.into_values().collect();
    all.sort();
    all.truncate(CERTIFICATES);
    all
}

fn walk(
    host: &impl Host,
    path: &str,
    depth: u32,
    left: &mut usize,
    files: &mut Vec<String>,
) -> Result<(), Fault> {
    match host.look(path)? {
        Entry::Directory { .. } if depth > 0 => {
            for name in host.list(path)? {
                if *left == 0 {
                    break;
                }
                *left -= 1;
                walk(host, &format!("{path}/{name}"), depth - 1, left, files)?;
            }
        }
        // Links to directories are not followed, so that nothing is gone through twice.
        Entry::File { .. } | Entry::Link { .. } if is_certificate(path) => files.push(path.to_owned()),
        Entry::File { .. } | Entry::Link { .. } | Entry::Directory { .. } | Entry::Other | Entry::Absent => {}
    }
    Ok(())
}

fn is_certificate(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    [".pem", ".crt", ".cer", ".cert"].iter().any(|end| name.ends_with(end)) && !name.contains("key")
}

fn file(host: &impl Host, path: &str, known: &Read) -> Result<Option<(Stamp, Option<Certificate>)>, Fault> {
    let Some(real) = host.real(path)? else { return Ok(None) };
    let Entry::File { length, .. } = host.look(&real)? else { return Ok(None) };
    let Some(stamp) = host.stamp(&real)? else { return Ok(None) };
    if let Some((before, certificate)) = known.get(path)
        && *before == stamp
    {
        return Ok(Some((stamp, certificate.clone())));
    }
    if length > BYTES {
        return Ok(Some((stamp, None)));
    }
    let bytes = Zeroizing::new(host.read(&real, BYTES)?.unwrap_or_default());
    Ok(Some((stamp, read(path, &bytes))))
}

/// The first certificate of a PEM text.
pub(crate) fn read(path: &str, pem: &[u8]) -> Option<Certificate> {
    let der = CertificateDer::from_pem_slice(pem).ok()?;
    let (_, parsed) = X509Certificate::from_der(&der).ok()?;
    Some(Certificate {
        path: clean(path),
        subject: clean(&parsed.subject().to_string()),
        issuer: clean(&parsed.issuer().to_string()),
        not_after: Timestamp(parsed.validity().not_after.timestamp()),
        sha256: Digest::of(&der),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Attrs;
    use crate::host::fake::{Fake, Node, ROOT};

    fn pem(name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn put(host: &Fake, path: &str, node: Node) {
        let mut world = host.world.borrow_mut();
        for (at, _) in path.match_indices('/').filter(|(at, _)| *at > 0) {
            let dir = Node::Dir(Attrs { mode: 0o755, ..ROOT });
            world.nodes.entry(path[..at].to_owned()).or_insert(dir);
        }
        world.nodes.insert(path.to_owned(), node);
    }

    #[test]
    fn certificates_are_told_once_and_keys_never() {
        let host = Fake::default();
        let ((web, key), (mail, mail_key)) = (pem("web.example"), pem("mail.example"));
        let file = |text: &str| Node::File(ROOT, text.into());
        put(&host, "/etc/letsencrypt/archive/web/cert1.pem", file(&web));
        put(
            &host,
            "/etc/letsencrypt/live/web/cert.pem",
            Node::Link("/etc/letsencrypt/archive/web/cert1.pem".into()),
        );
        put(&host, "/etc/letsencrypt/live/web/fullchain.pem", file(&format!("{web}{mail}")));
        put(&host, "/etc/letsencrypt/live/web/privkey.pem", file(&key));
        put(&host, "/etc/haproxy/certs/both.pem", file(&format!("{mail_key}{mail}")));
        put(
            &host,
            "/etc/nginx/broken.crt",
            file("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        );
        put(&host, "/etc/nginx/large.crt", file(&"x".repeat(70_000)));
        let places: Vec<String> = PLACES.iter().map(|place| (*place).to_owned()).collect();
        let (mut known, mut notes) = (Read::new(), Vec::new());
        let found = find(&host, &places, &mut known, &mut notes);
        let told: Vec<(&str, &str)> = found.iter().map(|c| (c.path.as_str(), c.subject.as_str())).collect();
        assert_eq!(
            told,
            [
                ("/etc/haproxy/certs/both.pem", "CN=mail.example"),
                ("/etc/letsencrypt/live/web/cert.pem", "CN=web.example")
            ]
        );
        assert_eq!(notes, [""; 0]);
        assert!(!known.keys().any(|path| path.contains("privkey")), "{known:?}");
        assert_eq!(find(&host, &places, &mut known, &mut notes), found, "from memory");
        put(&host, "/etc/haproxy/certs/both.pem", file(&web));
        assert_eq!(find(&host, &places, &mut known, &mut notes).len(), 1, "a changed file is read again");
    }
}
