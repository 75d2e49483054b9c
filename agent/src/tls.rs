//! Whom the host believes to be the server, and how the host proves itself: the only user of TLS settings.
//!
//! Three kinds of trust: a pinned public key (joining and renewal, works whatever certificates say), the site's certificate
//! authority with the host's own certificate, and authorities that name a proxy. Also makes requests for certificates.

use crate::clock::Clock;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use shared::digest::Digest;
use shared::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What the server must show.
#[derive(Clone)]
pub enum Trust {
    /// SHA-256 of its SubjectPublicKeyInfo.
    Pinned(Digest),
    /// A certificate of the site CA; the host shows its own. All in PEM.
    Site { ca: Vec<u8>, certificate: Vec<u8>, key: Vec<u8> },
    /// A certificate for the name that was asked, in force, of one of these authorities (PEM). It is that of a proxy.
    Proxy { authorities: Vec<u8> },
}

/// The cryptography in use; one function, so that it can be exchanged.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// # Errors
/// What is wrong with the certificates or the key.
pub fn client_config(trust: &Trust, clock: &Clock) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_details(provider(), Arc::new(clock.clone()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| e.to_string())?;
    match trust {
        Trust::Proxy { authorities } => proxy_config(authorities, clock),
        Trust::Pinned(pin) => {
            let verifier = Arc::new(PinnedKey { pin: *pin, provider: provider() });
            Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
        }
        Trust::Site { ca, certificate, key } => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(ca)? {
                roots.add(authority).map_err(|e| format!("the site's certificate authority: {e}"))?;
            }
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| format!("tls.key: {e}"))?;
            let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
            let inner = inner.build().map_err(|e| format!("the site's certificate authority: {e}"))?;
            let authorities = certificates(ca)?;
            let verifier = Arc::new(SiteServer { inner, authorities });
            let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
            let chain = certificates(certificate)?;
            builder.with_client_auth_cert(chain, key).map_err(|e| format!("tls.crt with tls.key: {e}"))
        }
    }
}

/// As browsers judge it; also TLS 1.2, which is all that some appliances speak.
fn proxy_config(authorities: &[u8], clock: &Clock) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    // Bundles of distributions hold certificates that no library reads; others may be fine.
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(authorities).flatten());
    if roots.is_empty() {
        return Err("there is no certificate authority in the file by which the proxy is to be judged".into());
    }
    let builder = ClientConfig::builder_with_details(provider(), Arc::new(clock.clone()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Whether a file of the state holds what its name says: a key or certificates.
///
/// # Errors
/// What it holds instead.
pub fn check(name: &str, pem: &[u8]) -> Result<(), String> {
    if name.ends_with(".key") {
        return PrivateKeyDer::from_pem_slice(pem).map(drop).map_err(|e| format!("not a key in PEM: {e}"));
    }
    let mut roots = RootCertStore::empty();
    certificates(pem)?.into_iter().try_for_each(|one| roots.add(one)).map_err(|e| e.to_string())
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err("there is no certificate in the PEM text".into()),
        Ok(all) => Ok(all),
        Err(e) => Err(format!("not a certificate in PEM: {e}")),
    }
}

/// A third of the 90 days that a certificate lives: time to notice that renewing fails.
const RENEW_BEFORE_SECS: i64 = 30 * 86_400;

/// What the agent needs to know of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    pub not_after: Timestamp,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub spki: Digest,
    /// SHA-256 of the raw public key.
    pub public: Vec<u8>,
    /// URI names.
    pub uris: Vec<String>,
}

impl CertificateInfo {
    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(pem: &[u8]) -> Result<Self, String> {
        let all = certificates(pem)?;
        let first = all.first().ok_or("there is no certificate")?;
        let (_, parsed) = X509Certificate::from_der(first).map_err(|e| format!("not a certificate: {e}"))?;
        let names = parsed.subject_alternative_name().map_err(|e| e.to_string())?;
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let uris = names.filter_map(|name| match name {
            x509_parser::extensions::GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        });
        Ok(Self {
            not_after: Timestamp(parsed.validity().not_after.timestamp()),
            spki: Digest::of(parsed.public_key().raw),
            public: parsed.public_key().subject_public_key.data.to_vec(),
            uris: uris.collect(),
        })
    }

    /// In its last month a certificate is renewed. Its beginning says nothing about when it was issued.
    pub fn wants_renewal(&self, now: Timestamp) -> bool {
        now >= self.not_after.plus(-RENEW_BEFORE_SECS)
    }
}

/// The certificates of a PEM text, one by one: digest of the SubjectPublicKeyInfo, and PEM.
///
/// # Errors
/// What is wrong with one of them.
pub fn authorities(pem: &[u8]) -> Result<Vec<(Digest, String)>, String> {
    let text = std::str::from_utf8(pem).map_err(|e| e.to_string())?;
    let one = |pem: String| Ok((CertificateInfo::read(pem.as_bytes())?.spki, pem));
    shared::pem::certificates(text).into_iter().map(one).collect()
}

/// A fresh TLS key and a request for a certificate, both PEM.
pub struct KeyRequest {
    pub key: zeroize::Zeroizing<String>,
    pub csr: String,
}

/// # Errors
/// The cryptography failed.
pub fn new_key_request() -> Result<KeyRequest, String> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).map_err(|e| e.to_string())?;
    request_for(key)
}

/// A request for the key that is in use already.
///
/// # Errors
/// The key cannot be read.
pub fn key_request(pem: &str) -> Result<KeyRequest, String> {
    request_for(rcgen::KeyPair::from_pem(pem).map_err(|e| format!("tls.key: {e}"))?)
}

fn request_for(key: rcgen::KeyPair) -> Result<KeyRequest, String> {
    let params = rcgen::CertificateParams::new(Vec::<String>::new()).map_err(|e| e.to_string())?;
    let request = params.serialize_request(&key).map_err(|e| e.to_string())?;
    let csr = request.pem().map_err(|e| e.to_string())?;
    Ok(KeyRequest { key: key.serialize_pem().into(), csr })
}

/// The raw public key of a private key in PEM.
///
/// # Errors
/// The key cannot be read.
pub fn public_of(pem: &str) -> Result<Vec<u8>, String> {
    use rcgen::PublicKeyData;
    let key = rcgen::KeyPair::from_pem(pem).map_err(|e| format!("tls.key: {e}"))?;
    Ok(key.der_bytes().to_vec())
}

/// A server of the site CA, by name and key, judged at a time at which its certificates are in force.
///
/// Nothing that changes the host rests on TLS, there is no revocation that an end date would replace, and a
/// host must be heard when certificates or its own clock are off; so dates alone never cut it off.
#[derive(Debug)]
struct SiteServer {
    inner: Arc<WebPkiServerVerifier>,
    authorities: Vec<CertificateDer<'static>>,
}

impl SiteServer {
    /// The time in force of all certificates that is nearest to `now`.
    fn in_force(&self, end_entity: &CertificateDer<'_>, now: UnixTime) -> Option<UnixTime> {
        let mut at = i64::try_from(now.as_secs()).ok()?;
        for der in self.authorities.iter().chain([end_entity]) {
            let (_, parsed) = X509Certificate::from_der(der).ok()?;
            let validity = parsed.validity();
            // Not `clamp`, which panics when a certificate ends before it begins.
            at = at.max(validity.not_before.timestamp()).min(validity.not_after.timestamp());
        }
        let since = Duration::from_secs(u64::try_from(at).ok()?);
        Some(UnixTime::since_unix_epoch(since))
    }
}

impl ServerCertVerifier for SiteServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let at = self.in_force(end_entity, now).unwrap_or(now);
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Accepts exactly one public key, proven by the handshake signature; names and dates do not matter.
#[derive(Debug)]
struct PinnedKey {
    pin: Digest,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let bad = |e: String| rustls::Error::General(e);
        let (_, parsed) = X509Certificate::from_der(end_entity).map_err(|e| bad(e.to_string()))?;
        let found = Digest::of(parsed.public_key().raw);
        if found != self.pin {
            let why = format!("the server's key is {found}, the join command pins {}", self.pin);
            return Err(bad(why));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
