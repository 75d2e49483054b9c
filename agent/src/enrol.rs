//! Joining a site, and renewing the TLS certificate. No trust on first use: the join command pins everything.
//!
//! Keys are made on the host and stay there. Each step is durable before the next; joining again after a
//! break sends the same statement again. Never: accepts a root, site or server other than the pinned ones.

use crate::clock::Clock;
use crate::config::{ConfigError, Paths, host_class};
use crate::disk::Disk;
use crate::net::{Address, Limits, NetError, Open};
use crate::program;
use crate::server::{self, Server};
use crate::state::{self, Founding, Proxy, Site, State, StateError};
use crate::tls::{self, CertificateInfo, Trust};
use crate::vault;
use shared::digest::Digest;
use shared::ids::{HostClass, SiteId};
use shared::keys::SigningKey;
use shared::policy::Policy;
use shared::receipt::{Enrolment, Header, Renewal, open_chained};
use shared::reset::CameFrom;
use shared::statement::Statement;
use shared::strict;
use shared::time::Timestamp;
use shared::tuf::profile;
use shared::wire::{Join, Joined};
use std::path::Path;

/// What the join command says.
#[derive(Debug, Clone)]
pub struct Order {
    pub site: SiteId,
    pub root_sha256: Digest,
    pub server: Address,
    pub way: Way,
    pub token: String,
    pub host_class: Option<HostClass>,
    pub hostname: String,
    pub boot_id: String,
}

/// Whom the host finds at the server's address.
#[derive(Debug, Clone)]
pub enum Way {
    /// The server; SHA-256 of its SubjectPublicKeyInfo.
    Server(Digest),
    /// A proxy that ends TLS. What it passes on is held to the pinned root, as ever.
    Proxy(Proxy),
}

/// Why a host did not join or got no certificate.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error(
        "this host belongs to site {site} already\n  try: if that site is lost, assent-agent reset-trust with the same \
         words takes this host to the new one. Otherwise, to join another one, stop the agent, look that {state}/spool is \
         empty, and move {state} away; its key and its place in the chain go with it"
    )]
    AlreadyJoined { site: SiteId, state: String },
    #[error("the host class is not known; give --host-class, or write it into {path}")]
    NoHostClass { path: String },
    #[error("this host is pinned to class {pinned}, the join command says {given}")]
    OtherHostClass { pinned: HostClass, given: HostClass },
    #[error("the server's answer is refused: {0}")]
    Answer(String),
    #[error("cannot make a key: {0}")]
    Key(String),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Net(#[from] NetError),
}

/// Joins the host and leaves a complete state directory behind.
///
/// # Errors
/// See [`EnrolError`]; nothing of a refused answer is kept.
pub fn join(
    paths: &Paths,
    disk: &mut dyn Disk,
    order: &Order,
    clock: &Clock,
    (limits, open): (Limits, Open),
) -> Result<Site, EnrolError> {
    let dir = paths.state();
    if let Some(site) = state::read_own::<Site>(disk, &dir.join("site.json"))? {
        return Err(EnrolError::AlreadyJoined { site: site.site, state: dir.display().to_string() });
    }
    join_into(&dir, None, paths, disk, order, clock, (limits, open))
}

/// The same with everything kept in another directory, for a host that comes from another site.
///
/// # Errors
/// See [`EnrolError`].
pub fn join_into(
    dir: &Path,
    came_from: Option<&CameFrom>,
    paths: &Paths,
    disk: &mut dyn Disk,
    order: &Order,
    clock: &Clock,
    (limits, open): (Limits, Open),
) -> Result<Site, EnrolError> {
    let now = clock.now();
    let host_class = pin_host_class(paths, disk, order)?;
    let key = own_key(dir, disk)?;
    let request = own_tls_key(dir, disk)?;
    let said = (&key, &host_class, request.csr.as_str(), came_from);
    let enrolment = enrolment(dir, disk, order, said, now)?;
    let (pin, proxy) = match order.way.clone() {
        Way::Server(pin) => (Some(pin), None),
        Way::Proxy(proxy) => (None, Some(proxy)),
    };
    let server = order.server.to_string();
    let trust = server::door_trust(pin, proxy.as_ref(), &server)?;
    let mut link = open(order.server.clone(), &trust, clock, limits)?;
    let join = Join { enrolment: enrolment.envelope.clone(), token: order.token.clone() };
    let joined = server::join(&mut *link, &join)?;
    check_answer(order, &key, &request.key, &joined)?;
    let site = Site {
        site: order.site.clone(),
        agent: key.public().agent_id(),
        hostname: order.hostname.clone(),
        root_sha256: order.root_sha256,
        pin,
        proxy,
        server,
        agent_address: joined.agent_address.clone(),
    };
    let founding = Founding {
        site: &site,
        root: joined.root.as_bytes(),
        ca: joined.ca.as_bytes(),
        certificate: joined.certificate.as_bytes(),
        enrolment: enrolment.digest,
        proof: joined.recorded.as_ref().map(strict::to_json),
        now,
    };
    state::found(dir, disk, &founding)?;
    Ok(site)
}

/// The class is written once; a join command cannot change it later.
fn pin_host_class(paths: &Paths, disk: &mut dyn Disk, order: &Order) -> Result<HostClass, EnrolError> {
    let path = paths.host_class_file();
    match (host_class(paths)?, order.host_class.clone()) {
        (Some(pinned), Some(given)) if pinned != given => Err(EnrolError::OtherHostClass { pinned, given }),
        (Some(pinned), _) => Ok(pinned),
        (None, Some(given)) => {
            put(disk, &path, format!("{given}\n").as_bytes())?;
            Ok(given)
        }
        (None, None) => Err(EnrolError::NoHostClass { path: path.display().to_string() }),
    }
}

fn put(disk: &mut dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let io = |source| StateError::Io { action: "write", path: path.to_owned(), source };
    disk.write(path, bytes).map_err(io)
}

fn own_key(dir: &Path, disk: &mut dyn Disk) -> Result<SigningKey, EnrolError> {
    if let Some(key) = state::host_key(dir, disk)? {
        return Ok(key);
    }
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|e| EnrolError::Key(e.to_string()))?;
    let key = SigningKey::from_seed(&seed);
    let pem = key.to_pem().map_err(|e| EnrolError::Key(e.to_string()))?;
    put(disk, &dir.join("identity.pem"), pem.as_bytes())?;
    Ok(key)
}

fn own_tls_key(dir: &Path, disk: &mut dyn Disk) -> Result<tls::KeyRequest, EnrolError> {
    let path = dir.join("tls.key");
    let io = |source| StateError::Io { action: "read", path: path.clone(), source };
    if let Some(pem) = disk.read(&path, 64 << 10).map_err(io)? {
        return tls::key_request(&String::from_utf8_lossy(&pem)).map_err(EnrolError::Key);
    }
    let request = tls::new_key_request().map_err(EnrolError::Key)?;
    put(disk, &path, request.key.as_bytes())?;
    Ok(request)
}

/// The enrolment, made once for a token: the same statement goes out again when an answer was lost.
fn enrolment(
    dir: &Path,
    disk: &mut dyn Disk,
    order: &Order,
    (key, host_class, csr, came_from): (&SigningKey, &HostClass, &str, Option<&CameFrom>),
    now: Timestamp,
) -> Result<Statement<Enrolment>, EnrolError> {
    let path = dir.join("spool/1.json");
    let token = Digest::of(order.token.as_bytes());
    let io = |source| StateError::Io { action: "read", path: path.clone(), source };
    let before = disk.read(&path, 1 << 20).map_err(io)?;
    // Anything but the statement for this very token is replaced; no server has accepted it.
    let before = before.and_then(|bytes| open_chained::<Enrolment>(&bytes, &order.site).ok());
    if let Some(made) = before.filter(|made| made.body.token == token && made.body.header.key == key.public())
    {
        return Ok(made);
    }
    let header = Header {
        site: order.site.clone(),
        agent_id: key.public().agent_id(),
        key: key.public(),
        host_class: host_class.clone(),
        seq: 1,
        prev: None,
        at: now,
        boot_id: order.boot_id.clone(),
        agent_version: program::version(),
        log_seen: None,
    };
    let recipient = Some(vault::own_recipient(dir, disk)?);
    let (hostname, csr) = (order.hostname.clone(), csr.to_owned());
    let body = Enrolment { header, hostname, token, csr, recipient, came_from: came_from.cloned() };
    let statement = Statement::sign(body, key);
    put(disk, &path, &statement.to_bytes())?;
    Ok(statement)
}

/// Everything that the join command pins, and that the certificate is for this host's keys.
fn check_answer(order: &Order, key: &SigningKey, tls_key: &str, joined: &Joined) -> Result<(), EnrolError> {
    let no = |why: String| Err(EnrolError::Answer(why));
    let found = Digest::of(joined.root.as_bytes());
    if found != order.root_sha256 {
        return no(format!("its root has sha256 {found}, the join command says {}", order.root_sha256));
    }
    if joined.site != order.site {
        return no(format!("it is of site {}, the join command says {}", joined.site, order.site));
    }
    if let Err(e) = profile::read_root(joined.root.as_bytes()) {
        return no(e.to_string());
    }
    if let Err(why) = joined.agent_address.parse::<Address>() {
        return no(why);
    }
    if joined.recorded.is_none() {
        return no("it has no proof that the enrolment is in the ledger".into());
    }
    check_certificate(&order.site, key, tls_key, joined)
}

fn check_certificate(
    site: &SiteId,
    key: &SigningKey,
    tls_key: &str,
    joined: &Joined,
) -> Result<(), EnrolError> {
    let answer = EnrolError::Answer;
    let agent = key.public().agent_id();
    if joined.agent != agent {
        return Err(answer(format!("it is for agent {}, this host is {agent}", joined.agent)));
    }
    CertificateInfo::read(joined.ca.as_bytes()).map_err(answer)?;
    let certificate = CertificateInfo::read(joined.certificate.as_bytes()).map_err(answer)?;
    if certificate.public != tls::public_of(tls_key).map_err(answer)? {
        return Err(answer("its certificate is for another key".into()));
    }
    let name = format!("urn:assent:{site}:{agent}");
    match certificate.uris.contains(&name) {
        true => Ok(()),
        false => Err(answer(format!("its certificate does not name {name}"))),
    }
}

/// A new certificate.
#[derive(Debug)]
pub enum Renewed {
    /// It is stored and used.
    InUse { certificate: CertificateInfo },
    /// It is of an authority that the policy does not name, and is used for nothing but to fetch the newest policy.
    Unnamed { spki: Digest, ca: Vec<u8>, certificate: Vec<u8> },
}

/// Asks for a new certificate; authorised by the host key, so it works after expiry as well.
///
/// Other authorities than those in use are kept only if the policy names them. The server has proven its pinned key here, so
/// one that is named nowhere yet may be spoken to; whoever asked decides by the policy that is found there.
///
/// # Errors
/// See [`EnrolError`]; the old certificate stays in use then.
pub fn renew(
    state: &mut State,
    server: &mut dyn Server,
    policy: Option<&Policy>,
    now: Timestamp,
) -> Result<Renewed, EnrolError> {
    let (site, agent_id) = (state.site().site.clone(), state.site().agent);
    let tls_key = state.read_file("tls.key")?.unwrap_or_default();
    let tls_key = zeroize::Zeroizing::new(String::from_utf8_lossy(&tls_key).into_owned());
    let request = tls::key_request(&tls_key).map_err(EnrolError::Key)?;
    let key = state.key();
    let body = Renewal { site: site.clone(), agent_id, key: key.public(), at: now, csr: request.csr };
    let renewal = Statement::sign(body, key);
    let joined = server.renew(&renewal.envelope)?;
    check_certificate(&site, state.key(), &tls_key, &joined)?;
    let known = tls::authorities(&state.read_file("ca.crt")?.unwrap_or_default()).unwrap_or_default();
    let counts = |spki: &Digest| {
        known.iter().any(|(one, _)| one == spki) || policy.is_some_and(|policy| policy.ca_spki.contains(spki))
    };
    let offered = tls::authorities(joined.ca.as_bytes()).map_err(EnrolError::Answer)?;
    let (issuer, issuer_pem) =
        offered.first().ok_or_else(|| EnrolError::Answer("it names no authority".into()))?;
    let (issuer, certificate) = (*issuer, joined.certificate.into_bytes());
    if !counts(&issuer) {
        if state.site().proxy.is_some() {
            let why = "its certificate authority is not one that the policy pins";
            return Err(EnrolError::Answer(why.into()));
        }
        let ca = issuer_pem.clone().into_bytes();
        let key = tls_key.as_bytes().to_vec();
        server.use_trust(&Trust::Site { ca: ca.clone(), certificate: certificate.clone(), key })?;
        return Ok(Renewed::Unnamed { spki: issuer, ca, certificate });
    }
    let kept: String = offered.iter().filter(|(spki, _)| counts(spki)).map(|(_, pem)| pem.as_str()).collect();
    state.put("ca.crt", kept.as_bytes())?;
    state.put("tls.crt", &certificate)?;
    server.use_trust(&server::stored_trust(state)?)?;
    let certificate = CertificateInfo::read(&certificate).map_err(EnrolError::Answer)?;
    Ok(Renewed::InUse { certificate })
}
