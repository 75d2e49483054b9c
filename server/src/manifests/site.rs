//! What a person needs to know of the site: who it is, how it is reached, and what ends when.

use super::edition::policy;
use super::{Repository, repository, store};
use crate::backup::LastBackup;
use crate::fleet;
use crate::kernel::config::Config;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::kernel::keys::following;
use crate::ledger::Log;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::ids::SiteId;
use shared::keys::PublicKey;
use shared::time::Timestamp;
use shared::tuf::{Role, Root};
use std::path::{Path, PathBuf};
use x509_parser::prelude::{FromDer, X509Certificate};

/// What the files of this node say; read once, at the start.
#[derive(Debug, Clone)]
pub struct Facts {
    site: SiteId,
    people_url: String,
    agent_address: String,
    /// SHA-256 of the SubjectPublicKeyInfo of the people's listener.
    pub server_spki: Digest,
    /// What people call them, and where they are; read at each question, because they are renewed.
    certificates: [(&'static str, PathBuf); 3],
    /// The authority in use, and where the one is that is to follow.
    authorities: [PathBuf; 2],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expiry {
    /// A role of the repository, a certificate, the certificates of all enabled hosts together, or a person's key.
    pub what: String,
    pub expires: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Site {
    pub site: SiteId,
    pub root_sha256: Digest,
    pub server_spki: Digest,
    pub people_url: String,
    /// `host:port`
    pub agent_address: String,
    pub policy_version: u64,
    pub log_vkey: String,
    /// Present after a restore, until governance has put these keys into root and policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextKeys>,
    /// TLS authorities by whose certificates hosts get in; the one that is to follow last.
    pub authorities: Vec<AuthorityLine>,
    /// What the node that answers has made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_backup: Option<LastBackup>,
    /// Soonest first.
    pub expiry: Vec<Expiry>,
}

/// A TLS authority that the server has; whether it counts says the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorityLine {
    /// SHA-256 of its SubjectPublicKeyInfo, by which the policy names it.
    pub spki: Digest,
    /// PEM.
    pub certificate: String,
}

/// Keys that the server has made for the time after a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NextKeys {
    /// For snapshot, timestamp and changes.
    #[schemars(with = "String")]
    pub online: PublicKey,
    /// Verifier key of the new ledger, which names its origin.
    pub log_vkey: String,
}

impl Facts {
    pub fn read(config: &Config) -> Result<Self, Error> {
        let (server_spki, _) = certificate(&config.people.cert)?;
        let certificates = [
            ("people certificate", config.people.cert.clone()),
            ("agents certificate", config.agents.cert.clone()),
            ("site authority", config.ca_cert.clone()),
        ];
        Ok(Self {
            site: config.site_id.clone(),
            people_url: config.people.url.clone(),
            agent_address: with_port(config.agents.url.trim_start_matches("https://")),
            server_spki,
            certificates,
            authorities: [config.ca_cert.clone(), following(&config.ca_cert)],
        })
    }
}

fn with_port(address: &str) -> String {
    let port = address.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|c| c.is_ascii_digit()));
    if port { address.to_owned() } else { format!("{address}:443") }
}

/// Digest of the public key and end of the first certificate in a file.
fn certificate(path: &Path) -> Result<(Digest, Timestamp), Error> {
    let doing = || format!("reading the certificate {}", path.display());
    let der =
        CertificateDer::from_pem_file(path).map_err(|error| Error::fault(doing(), error.to_string()))?;
    let (_, read) =
        X509Certificate::from_der(&der).map_err(|error| Error::fault(doing(), error.to_string()))?;
    let end = Timestamp(read.validity().not_after.timestamp());
    Ok((Digest::of(read.public_key().raw), end))
}

pub(super) fn site(tx: &mut Conn, repository: &Repository, log: &Log) -> Result<Site, Error> {
    let facts = &repository.facts;
    let policy = policy(tx)?.policy;
    let missing = || Error::fault("describing the site", "its first root is missing; restart the server");
    let root = store::find_file(tx, &Role::Root, 1)?.ok_or_else(missing)?;
    let mut expiry = Vec::new();
    for (what, path) in &facts.certificates {
        expiry.push(Expiry { what: (*what).into(), expires: certificate(path)?.1 });
    }
    let authorities = authorities(&facts.authorities)?;
    for role in store::list_roles(tx)? {
        if let Some(file) = store::find_newest(tx, &role)? {
            expiry.push(Expiry { what: role.stored_file(), expires: Timestamp(file.expires) });
        }
    }
    for person in &policy.persons {
        let ends = person.keys.iter().filter_map(|key| key.not_after);
        expiry.extend(ends.map(|expires| Expiry { what: format!("key of {}", person.id), expires }));
    }
    if let Some((hosts, expires)) = fleet::first_certificate_end(tx)? {
        expiry.push(Expiry { what: format!("certificates of {hosts} hosts, the first"), expires });
    }
    expiry.sort_by(|a, b| (a.expires, &a.what).cmp(&(b.expires, &b.what)));
    Ok(Site {
        site: facts.site.clone(),
        root_sha256: Digest::of(&root.bytes),
        server_spki: facts.server_spki,
        people_url: facts.people_url.clone(),
        agent_address: facts.agent_address.clone(),
        policy_version: policy.version,
        log_vkey: policy.log.vkeys.first().cloned().unwrap_or_default(),
        next: next_keys(tx, repository, log)?,
        authorities,
        last_backup: None,
        expiry,
    })
}

fn authorities(paths: &[PathBuf]) -> Result<Vec<AuthorityLine>, Error> {
    let there = paths.iter().filter(|path| path.exists());
    let line = |path: &PathBuf| {
        let text = std::fs::read_to_string(path);
        let certificate_pem =
            text.map_err(|error| Error::fault(format!("reading {}", path.display()), error))?;
        Ok(AuthorityLine { spki: certificate(path)?.0, certificate: certificate_pem })
    };
    there.map(line).collect()
}

fn next_keys(tx: &mut Conn, site: &Repository, log: &Log) -> Result<Option<NextKeys>, Error> {
    let root = repository::newest::<Root>(tx, &Role::Root)?;
    let online = root.and_then(|root| site.online.next(&root));
    let vkey = log.next(tx)?;
    Ok(online.zip(vkey).map(|(online, vkey)| NextKeys { online, log_vkey: vkey.to_string() }))
}
