//! Certificates and TLS settings of both listeners. TLS 1.3 only, without resumption.
//!
//! Resumed sessions skip the client certificate check, so there are none; what a certificate is worth is decided
//! per request (`agent.rs`). Certificates and the site CA can be replaced while connections stay open.

use crate::kernel::clock::Clock;
use crate::kernel::error::Error;
use crate::kernel::keys;
use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};
use shared::pem::BUNDLES;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The only place that names the cryptography library of TLS.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The file of authorities that this machine trusts.
pub fn system_authorities() -> PathBuf {
    let found = BUNDLES.iter().find(|path| Path::new(path).exists());
    found.unwrap_or(&BUNDLES[0]).into()
}

/// TLS towards others, whose certificates must come from one of the authorities in this file (PEM).
pub fn trusting(authorities: &Path) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authorities)? {
        roots.add(certificate).map_err(|error| unreadable(authorities, error))?;
    }
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Error::fault("setting up TLS", error))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A certificate chain and key from files, replaceable at run time.
#[derive(Debug)]
pub struct HotCert {
    cert: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
}

impl HotCert {
    pub fn load(cert: &Path, key: &Path) -> Result<Arc<Self>, Error> {
        let current = ArcSwap::from_pointee(certified_key(cert, key)?);
        Ok(Arc::new(Self { cert: cert.to_owned(), key: key.to_owned(), current }))
    }

    /// Reads the files again; on an error the old certificate stays in use.
    pub fn reload(&self) -> Result<(), Error> {
        self.current.store(Arc::new(certified_key(&self.cert, &self.key)?));
        Ok(())
    }
}

impl HotCert {
    /// The leaf certificate in use, DER.
    pub fn leaf(&self) -> CertificateDer<'static> {
        self.current.load().cert.first().cloned().unwrap_or_else(|| CertificateDer::from(Vec::new()))
    }
}

impl ResolvesServerCert for HotCert {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn certified_key(cert: &Path, key: &Path) -> Result<CertifiedKey, Error> {
    let mode = std::fs::metadata(key).map_err(|error| unreadable(key, error))?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(unreadable(key, "every user of the machine can read this key; run chmod o= on it"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, error))?;
    CertifiedKey::from_der(certificates(cert)?, private, &provider()).map_err(|error| unreadable(cert, error))
}

/// All certificates of a PEM file.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| unreadable(path, error))?.collect();
    let all = all.map_err(|error| unreadable(path, error))?;
    if all.is_empty() { Err(unreadable(path, "holds no PEM certificate")) } else { Ok(all) }
}

fn unreadable(path: &Path, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::fault(format!("loading {}", path.display()), cause)
}

/// Accepts client certificates of the site CA, which is replaceable at run time.
#[derive(Debug)]
pub struct HotVerifier {
    ca: PathBuf,
    current: ArcSwap<Arc<dyn ClientCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl HotVerifier {
    pub fn load(ca: &Path) -> Result<Arc<Self>, Error> {
        let current = ArcSwap::from_pointee(verifier(ca)?);
        let algorithms = provider().signature_verification_algorithms;
        Ok(Arc::new(Self { ca: ca.to_owned(), current, algorithms }))
    }

    /// Reads the CA file again, and the one of the CA that is to follow; on an error what was read before stays in use.
    pub fn reload(&self) -> Result<(), Error> {
        self.current.store(Arc::new(verifier(&self.ca)?));
        Ok(())
    }
}

fn verifier(ca: &Path) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    let next = keys::following(ca);
    let next = if next.exists() { certificates(&next)? } else { Vec::new() };
    for certificate in certificates(ca)?.into_iter().chain(next) {
        roots.add(certificate).map_err(|error| unreadable(ca, error))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| unreadable(ca, error))
}

impl ClientCertVerifier for HotVerifier {
    // A reference cannot be swapped; agents have one certificate and need no hint.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.current.load().verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// For people: no client certificate.
pub fn people(cert: Arc<HotCert>, clock: Clock) -> Result<ServerConfig, Error> {
    Ok(without_resumption(tls13(clock)?.with_no_client_auth().with_cert_resolver(cert)))
}

/// For agents: a client certificate of the site CA is required, which is valid by `clock`.
pub fn agents(cert: Arc<HotCert>, verifier: Arc<HotVerifier>, clock: Clock) -> Result<ServerConfig, Error> {
    Ok(without_resumption(tls13(clock)?.with_client_cert_verifier(verifier).with_cert_resolver(cert)))
}

fn tls13(clock: Clock) -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, Error> {
    ServerConfig::builder_with_details(provider(), Arc::new(clock))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Error::fault("setting up TLS", error))
}

/// TLS judges certificates by the same clock as everything else.
impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.now().0).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

fn without_resumption(mut config: ServerConfig) -> ServerConfig {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}
