//! The site's certificate authority: client certificates of agents, good for TLS and nothing else.

use crate::kernel::error::{Error, Refusal};
use crate::kernel::random::random;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PublicKeyData as _, SanType, SerialNumber, date_time_ymd,
};
use shared::digest::Digest;
use shared::ids::{AgentId, SiteId};
use shared::time::Timestamp;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Days that a certificate is good for; agents renew after a third of it.
const DAYS: i64 = 90;
const DAY_SECS: i64 = 86_400;
/// Browsers refuse server certificates that live longer than 825 days.
const OWN_DAYS: i64 = 800;
/// An authority that has ended still works for hosts; this is when people are told.
const AUTHORITY_DAYS: i64 = 3_650;
/// Hosts may have clocks that are behind.
const OWN_BACKDATE_DAYS: i64 = 2;

/// Cheap to clone.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

struct Inner {
    site: SiteId,
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
    /// SHA-256 of its SubjectPublicKeyInfo, by which the policy names it.
    spki: Digest,
}

/// A certificate that was issued but not yet given to anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Issued {
    pub pem: String,
    pub not_after: Timestamp,
}

impl Authority {
    pub fn load(site: &SiteId, cert: &Path, key: &Path) -> Result<Self, Error> {
        let read = |path: &Path| {
            let doing = || format!("loading {}", path.display());
            std::fs::read_to_string(path).map_err(|error| Error::fault(doing(), error))
        };
        Self::new(site, &read(cert)?, &read(key)?)
    }

    pub fn new(site: &SiteId, ca_pem: &str, key_pem: &str) -> Result<Self, Error> {
        let fault = |error| Error::fault("loading the site's certificate authority", error);
        let key = KeyPair::from_pem(key_pem).map_err(fault)?;
        let issuer = Issuer::from_ca_cert_pem(ca_pem, key).map_err(fault)?;
        let spki = Digest::of(&issuer.key().subject_public_key_info());
        Ok(Self(Arc::new(Inner { site: site.clone(), issuer, ca_pem: ca_pem.to_owned(), spki })))
    }

    pub fn spki(&self) -> Digest {
        self.0.spki
    }

    /// The certificate of the authority, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.0.ca_pem
    }

    /// Certifies the public key of a signing request for `agent`; whatever else the request says is ignored.
    pub(super) fn issue(&self, csr: &str, agent: AgentId, now: Timestamp) -> Result<Issued, Error> {
        let refuse = |error: rcgen::Error| Refusal::unprocessable("join.bad_csr").with("detail", error);
        let request = CertificateSigningRequestParams::from_pem(csr).map_err(refuse)?;
        let fault = |error| Error::fault("issuing a certificate", error);
        let mut params = CertificateParams::new(Vec::new()).map_err(fault)?;
        let name = format!("urn:assent:{}:{agent}", self.0.site);
        let name = name.try_into().map_err(fault)?;
        params.subject_alt_names = vec![SanType::URI(name)];
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, agent.to_string());
        params.serial_number = Some(serial()?);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        // The beginning says nothing that counts, and a host whose clock is late must be able to connect.
        params.not_before = date_time_ymd(2000, 1, 1);
        let not_after = Timestamp(now.plus((DAYS + 1) * DAY_SECS).0.div_euclid(DAY_SECS) * DAY_SECS);
        let (year, month, day) = date(not_after)
            .ok_or_else(|| Error::fault("issuing a certificate", "the clock shows no year of four digits"))?;
        params.not_after = date_time_ymd(year, month, day);
        let certificate = params.signed_by(&request.public_key, &self.0.issuer).map_err(fault)?;
        Ok(Issued { pem: certificate.pem(), not_after })
    }

    /// Certifies a key of the server itself under `names`.
    pub(super) fn issue_own(
        &self,
        names: Vec<SanType>,
        key: &KeyPair,
        now: Timestamp,
    ) -> Result<String, Error> {
        let fault = |error| Error::fault("issuing a certificate of the server", error);
        let day = |at: Timestamp| {
            date(at).map(|(year, month, day)| date_time_ymd(year, month, day)).ok_or_else(|| {
                Error::fault("issuing a certificate of the server", "the clock shows no year of four digits")
            })
        };
        let mut params = CertificateParams::new(Vec::new()).map_err(fault)?;
        params.subject_alt_names = names;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Assent server");
        params.serial_number = Some(serial()?);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = day(now.plus(-OWN_BACKDATE_DAYS * DAY_SECS))?;
        params.not_after = day(now.plus(OWN_DAYS * DAY_SECS))?;
        Ok(params.signed_by(key, &self.0.issuer).map_err(fault)?.pem())
    }
}

/// A new authority, not in use yet: its certificate and its key, PEM.
///
/// The name tells it from others: by it is seen whose a certificate is.
pub(super) fn new_pair(now: Timestamp) -> Result<(String, Zeroizing<String>), Error> {
    let fault = |error: rcgen::Error| Error::fault("making a certificate authority", error);
    let day = |at: Timestamp| {
        let (year, month, day) = date(at).ok_or_else(|| {
            Error::fault("making a certificate authority", "the clock shows no year of four digits")
        })?;
        Ok::<_, Error>(date_time_ymd(year, month, day))
    };
    // P-256, because browsers know no ed25519 certificates.
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(fault)?;
    let name = Digest::of(&key.subject_public_key_info()).hex();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Assent site authority {}", &name[..8]));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = day(now.plus(-OWN_BACKDATE_DAYS * DAY_SECS))?;
    params.not_after = day(now.plus(AUTHORITY_DAYS * DAY_SECS))?;
    let certificate = params.self_signed(&key).map_err(fault)?;
    Ok((certificate.pem(), Zeroizing::new(key.serialize_pem())))
}

fn serial() -> Result<SerialNumber, Error> {
    let mut serial = random::<16>()?;
    // Positive as RFC 5280 §4.1.2.2 wants it.
    serial[0] &= 0x7f;
    Ok(SerialNumber::from_slice(&serial))
}

/// Year, month and day in UTC.
fn date(at: Timestamp) -> Option<(i32, u8, u8)> {
    let text = at.to_string();
    let mut parts = text.get(..10)?.split('-');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
