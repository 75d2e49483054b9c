//! The site's certificate authority and the server's two certificates: for TLS only, no authority over content.

use super::Addresses;
use crate::error::{Context as _, Done};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SanType,
};
use shared::digest::Digest;
use shared::time::Timestamp;
use zeroize::Zeroizing;

const CA_DAYS: i64 = 3_650;
/// Browsers refuse server certificates that live longer than 825 days.
const SERVER_DAYS: i64 = 800;
/// The first hosts may have clocks that are behind.
const BACKDATE_DAYS: i64 = 2;

pub struct Pair {
    /// PEM.
    pub certificate: String,
    /// PKCS#8 PEM, not encrypted: the server starts without a person.
    pub key: Zeroizing<String>,
}

pub struct Certificates {
    pub ca: Pair,
    /// SHA-256 of the authority's SubjectPublicKeyInfo; hosts accept it because the policy names it.
    pub ca_spki: Digest,
    pub people: Pair,
    pub agents: Pair,
}

impl Certificates {
    pub fn issue(addresses: &Addresses, now: Timestamp) -> Done<Self> {
        let issue = || -> Result<Self, rcgen::Error> {
            let issuer = CertifiedIssuer::self_signed(authority(now), new_key()?)?;
            let ca = Pair { certificate: issuer.pem(), key: Zeroizing::new(issuer.key().serialize_pem()) };
            let ca_spki = Digest::of(&issuer.key().subject_public_key_info());
            let hosts = [addresses.people_host.clone(), addresses.agents_host.clone()];
            let people = server(&issuer, &hosts, now)?;
            let agents = server(&issuer, &hosts, now)?;
            Ok(Self { ca, ca_spki, people, agents })
        };
        issue().or_fault("the certificates could not be made")
    }
}

/// P-256, because browsers know no ed25519 certificates.
fn new_key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
}

fn authority(now: Timestamp) -> CertificateParams {
    let mut params = valid(CertificateParams::default(), now, CA_DAYS);
    params.distinguished_name.push(DnType::CommonName, "Assent site authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server(
    issuer: &CertifiedIssuer<'_, KeyPair>,
    hosts: &[String],
    now: Timestamp,
) -> Result<Pair, rcgen::Error> {
    let mut params = valid(CertificateParams::default(), now, SERVER_DAYS);
    params.distinguished_name.push(DnType::CommonName, "Assent server");
    for host in hosts {
        let name = match host.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(host.as_str().try_into()?),
        };
        if !params.subject_alt_names.contains(&name) {
            params.subject_alt_names.push(name);
        }
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = new_key()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok(Pair { certificate: certificate.pem(), key: Zeroizing::new(key.serialize_pem()) })
}

fn valid(mut params: CertificateParams, now: Timestamp, days: i64) -> CertificateParams {
    let (year, month, date) = day(now.plus(-BACKDATE_DAYS * 86_400));
    params.not_before = rcgen::date_time_ymd(year, month, date);
    let (year, month, date) = day(now.plus(days * 86_400));
    params.not_after = rcgen::date_time_ymd(year, month, date);
    params
}

/// Year, month and day in UTC; rcgen's own time type is not among our dependencies.
fn day(at: Timestamp) -> (i32, u8, u8) {
    let date = jiff::Timestamp::from_second(at.0)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_zoned(jiff::tz::TimeZone::UTC);
    // Month and day are never negative.
    (i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
}
