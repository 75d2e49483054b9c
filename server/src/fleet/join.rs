//! Joining and renewing: a host's own key is what counts; token and certificate only open the door.
//!
//! Both may be repeated after a lost reply and answer the same.

use super::authority::{Authority, Issued};
use super::board::Board;
use super::model::{check_hostname, check_labels};
use super::store::{self, NewHost, Token};
use super::{about, left};
use crate::audit::{self, Action};
use crate::cmdb::{self, EventKind, Field, NewEvent};
use crate::kernel::config::Config;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::news;
use crate::kernel::random::random;
use crate::ledger::{self, Document, Log, Question};
use arc_swap::ArcSwap;
use shared::digest::{Digest, hex};
use shared::ids::{AgentId, PersonId, SiteId};
use shared::ledger::LeafKind;
use shared::limits::{CLOCK_SKEW_SECS, JOIN_TOKEN_SECS};
use shared::news::{About, NewsKind};
use shared::receipt::{Enrolment, Renewal, open_chained};
use shared::reset;
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::wire::{Invitation, Invite, Join, Joined, Recorded};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What a host must be told about the site when it joins. Cheap to clone.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    site: SiteId,
    authorities: Arc<ArcSwap<Issuers>>,
    /// `1.root.json`, as the key ceremony made it.
    root: String,
    /// `host:port` of the agents' listener.
    agent_address: String,
    people_url: String,
    /// SHA-256 of the SubjectPublicKeyInfo of the people listener's certificate.
    pin: Digest,
    /// Address of the proxy that ends TLS for some hosts.
    proxy: Option<String>,
}

/// Who certifies hosts.
struct Issuers {
    /// The first one issues; hosts believe them all.
    named: Vec<Authority>,
    /// Public keys of all by whose certificates hosts get in.
    trusted: Vec<Digest>,
}

impl Issuers {
    fn first(&self) -> Result<&Authority, Error> {
        self.named.first().ok_or_else(|| Error::fault("issuing a certificate", "there is no authority"))
    }
}

impl Door {
    /// Reads certificate authority, first root and own certificate.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let authority = Authority::load(&config.site_id, &config.ca_cert, &config.ca_key)?;
        let issuers = Issuers { trusted: vec![authority.spki()], named: vec![authority] };
        let authorities = Arc::new(ArcSwap::from_pointee(issuers));
        let root = config.data_dir.join("site/1.root.json");
        let root = std::fs::read_to_string(&root)
            .map_err(|error| Error::fault(format!("reading {}", root.display()), error))?;
        let pin = pin(&config.people.cert)?;
        let agent_address = address(&config.agents.url);
        let (site, people_url) = (config.site_id.clone(), config.people.url.clone());
        let proxy = config.proxy.as_ref().map(|proxy| proxy.url.clone());
        Ok(Self(Arc::new(Inner { site, authorities, root, agent_address, people_url, pin, proxy })))
    }

    /// The same for hosts that come through the proxy: that is where they connect.
    #[must_use]
    pub fn behind_proxy(&self) -> Self {
        let mut inner = Inner::clone(&self.0);
        if let Some(url) = &inner.proxy {
            inner.agent_address = address(url);
        }
        Self(Arc::new(inner))
    }

    pub fn site(&self) -> &SiteId {
        &self.0.site
    }

    /// Issues by the first of these from now on. True when others than before let hosts in.
    pub(super) fn issue_by(&self, named: Vec<Authority>, trusted: Vec<Digest>) -> bool {
        let before = self.0.authorities.swap(Arc::new(Issuers { named, trusted: trusted.clone() }));
        before.trusted != trusted
    }

    #[cfg(test)]
    pub(super) fn issuing(&self) -> Vec<Authority> {
        self.0.authorities.load().named.clone()
    }

    fn issue(&self, csr: &str, agent: AgentId, now: Timestamp) -> Result<Issued, Error> {
        self.0.authorities.load().first()?.issue(csr, agent, now)
    }

    fn joined(&self, agent: AgentId, certificate: String, recorded: Option<Recorded>) -> Joined {
        Joined {
            site: self.0.site.clone(),
            agent,
            certificate,
            ca: self.0.authorities.load().named.iter().map(Authority::ca_pem).collect(),
            agent_address: self.0.agent_address.clone(),
            root: self.0.root.clone(),
            recorded,
        }
    }
}

/// `host:port` of an address without path; https has port 443.
pub fn address(url: &str) -> String {
    let host = url.strip_prefix("https://").unwrap_or(url);
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|c| c.is_ascii_digit()));
    if has_port { host.to_owned() } else { format!("{host}:443") }
}

fn pin(path: &std::path::Path) -> Result<Digest, Error> {
    use rustls::pki_types::pem::PemObject;
    let doing = || format!("loading {}", path.display());
    let der = rustls::pki_types::CertificateDer::from_pem_file(path)
        .map_err(|error| Error::fault(doing(), error))?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|error| Error::fault(doing(), error))?;
    Ok(Digest::of(certificate.public_key().raw))
}

/// A one-time secret for one host, with everything that its join command needs.
pub async fn invite(
    db: &Db,
    door: &Door,
    invite: Invite,
    by: PersonId,
    now: Timestamp,
) -> Result<Invitation, Error> {
    let Invite { host_class, labels, minutes } = invite;
    let seconds = i64::from(minutes) * 60;
    if !(60..=JOIN_TOKEN_SECS).contains(&seconds) {
        return Err(Refusal::unprocessable("join.bad_minutes").with("minutes", minutes).into());
    }
    let secret = random::<32>()?;
    let token = hex(&secret);
    let (sha256, expires) = (Digest::of(token.as_bytes()), now.plus(seconds));
    let (labels, class) = (check_labels(labels)?, host_class.clone());
    let row = Token { host_class: class, labels, created_by: by, expires, used_for: None };
    // The class and the digest of the secret tell which token it is, and nobody can join with them.
    let object = format!("join token for class {host_class}");
    db.write("fleet.invite", move |tx| {
        audit::record(tx, &Action::by(&row.created_by, "fleet.invite", &object, &sha256), now)?;
        Ok::<_, Error>(store::insert_token(tx, &sha256, &row, now)?)
    })
    .await?;
    Ok(Invitation {
        token,
        expires,
        host_class,
        site: door.site().clone(),
        root_sha256: Digest::of(door.0.root.as_bytes()),
        server: door.0.people_url.clone(),
        pin: door.0.pin,
        proxy: door.0.proxy.clone(),
    })
}

/// Lets a host in: uses up its token, records its enrolment, makes its CI and its certificate.
pub async fn join(
    (db, log, board, door): (&Db, &Log, &Board, &Door),
    join: Join,
    now: Timestamp,
) -> Result<Joined, Error> {
    let enrolment = open_enrolment(&join, door.site())?;
    let agent = enrolment.body.header.agent_id;
    // A certificate takes more work than a guess is worth.
    let token = enrolment.body.token;
    if db.read("fleet.token", move |tx| store::find_token(tx, &token)).await?.is_none() {
        return Err(Refusal::forbidden("join.token_unknown").into());
    }
    let issued = door.issue(&enrolment.body.csr, agent, now)?;
    let digest = enrolment.digest;
    let admission = Arc::new((enrolment, issued));
    let certificate = db.write("fleet.join", move |tx| admit(tx, &admission.0, &admission.1, now)).await?;
    board.refresh(db).await?;
    let (log, question) = (log.clone(), [Question { statement: digest, since: None, seen: None }]);
    let mut answers = db.read("fleet.joined", move |tx| log.prove(tx, &question)).await?;
    let recorded = answers.pop().flatten().map(|answer| answer.recorded);
    Ok(door.joined(agent, certificate, recorded))
}

fn open_enrolment(join: &Join, site: &SiteId) -> Result<Statement<Enrolment>, Error> {
    let bad = |detail: String| Refusal::unprocessable("join.bad_enrolment").with("detail", detail);
    let enrolment: Statement<Enrolment> =
        open_chained(&join.enrolment.to_bytes(), site).map_err(|error| bad(error.to_string()))?;
    check_hostname(&enrolment.body.hostname)?;
    if enrolment.body.header.seq != 1 {
        return Err(bad("an enrolment is the first statement of a host".into()).into());
    }
    if enrolment.body.token != Digest::of(join.token.as_bytes()) {
        return Err(bad("the enrolment was signed for another token".into()).into());
    }
    reset::departure(&enrolment.body, None).map_err(bad)?;
    Ok(enrolment)
}

/// The certificate of the host, which is the stored one if this enrolment was admitted before.
fn admit(
    tx: &mut Conn,
    enrolment: &Statement<Enrolment>,
    issued: &Issued,
    now: Timestamp,
) -> Result<String, Error> {
    ledger::lock(tx)?;
    let (body, agent) = (&enrolment.body, enrolment.body.header.agent_id);
    let token =
        store::find_token(tx, &body.token)?.ok_or_else(|| Refusal::forbidden("join.token_unknown"))?;
    match token.used_for {
        Some(used_for) if used_for == enrolment.digest => {
            let known = store::find_certified(tx, agent)?;
            let missing =
                || Error::fault("answering a join again", "the token is used but the host is missing");
            return Ok(known.ok_or_else(missing)?.certificate);
        }
        Some(_) => return Err(Refusal::forbidden("join.token_used").into()),
        None => {}
    }
    check_token(&token, body, now)?;
    if let Some(known) = store::find_certified(tx, agent)? {
        if let Some(change) = known.retired {
            return Err(left(agent, change).into());
        }
        return Err(Refusal::conflict("join.known_host").with("agent", agent).into());
    }
    store::update_token_used(tx, &body.token, &enrolment.digest, now)?;
    insert(tx, enrolment, token, issued, now)?;
    Ok(issued.pem.clone())
}

fn check_token(token: &Token, body: &Enrolment, now: Timestamp) -> Result<(), Error> {
    if token.expires <= now {
        return Err(Refusal::forbidden("join.token_expired").with("expired", token.expires).into());
    }
    if token.host_class != body.header.host_class {
        return Err(Refusal::unprocessable("join.host_class")
            .with("claimed", &body.header.host_class)
            .with("invited", &token.host_class)
            .into());
    }
    Ok(())
}

fn insert(
    tx: &mut Conn,
    enrolment: &Statement<Enrolment>,
    token: Token,
    issued: &Issued,
    now: Timestamp,
) -> Result<(), Error> {
    let (header, hostname) = (&enrolment.body.header, &enrolment.body.hostname);
    let (kind, bytes) = (LeafKind::Enrolment, enrolment.to_bytes());
    let document = Document::of_host(kind, enrolment.digest, (header.agent_id, 1), None, bytes)
        .map_err(|error| Error::fault("recording an enrolment", error))?;
    let index = ledger::record_one(tx, &document, now)?.index;
    let class = header.host_class.clone();
    let item = cmdb::NewHost { name: hostname.clone(), agent: header.agent_id, host_class: class.clone() };
    let ci = cmdb::insert_host(tx, &item, now)?;
    let event = NewEvent {
        by: Some(token.created_by.clone()),
        statement: Some((enrolment.digest, index)),
        ..NewEvent::new(ci, now, EventKind::Enrolled, hostname)
    };
    cmdb::insert_events(tx, &[event])?;
    let host = NewHost {
        agent: header.agent_id,
        key: header.key,
        ci,
        hostname: hostname.clone(),
        host_class: class,
        labels: token.labels,
        invited_by: token.created_by,
        enrolment: enrolment.digest,
        certificate: issued.pem.clone(),
        not_after: issued.not_after,
    };
    cmdb::record_words(tx, ci, &[Field::Label], &cmdb::labels(&host.labels), now)?;
    let about = About { person: Some(host.invited_by.clone()), ..about(ci, host.agent) };
    news::tell(tx, NewsKind::HostJoined, about, now)?;
    Ok(store::insert_host(tx, &host, now)?)
}

/// A new certificate for a host, authorised by its own key, so that it works after the old one has expired.
pub async fn renew(
    (db, door): (&Db, &Door),
    renewal: &Statement<Renewal>,
    now: Timestamp,
) -> Result<Joined, Error> {
    let (body, agent) = (&renewal.body, renewal.body.agent_id);
    let issued = door.issue(&body.csr, agent, now)?;
    let (digest, at) = (renewal.digest, body.at);
    let certificate = db.write("fleet.renew", move |tx| replace(tx, agent, (&digest, at), &issued)).await?;
    Ok(door.joined(agent, certificate, None))
}

/// A renewal that some host of this site may have signed.
pub fn open_renewal(envelope: &[u8], door: &Door, now: Timestamp) -> Result<Statement<Renewal>, Error> {
    let bad = |detail: String| Refusal::unprocessable("renew.bad_request").with("detail", detail);
    let renewal: Statement<Renewal> = Statement::parse(envelope).map_err(|error| bad(error.to_string()))?;
    let body = &renewal.body;
    if body.site != *door.site() || body.key.agent_id() != body.agent_id || !renewal.is_signed_by(&body.key) {
        return Err(bad("it is not signed by a key of this site's host".into()).into());
    }
    if body.at > now.plus(CLOCK_SKEW_SECS) {
        // Accepting it would make every renewal until then look old.
        return Err(Refusal::unprocessable("renew.clock").with("at", body.at).with("now", now).into());
    }
    Ok(renewal)
}

fn replace(
    tx: &mut Conn,
    agent: AgentId,
    (renewal, at): (&Digest, Timestamp),
    issued: &Issued,
) -> Result<String, Error> {
    let unknown = || Refusal::forbidden("renew.unknown_host").with("agent", agent);
    let host = store::find_certified(tx, agent)?.ok_or_else(unknown)?;
    if let Some(change) = host.retired {
        return Err(left(agent, change).into());
    }
    if !host.enabled {
        return Err(Refusal::forbidden("agent.not_enabled").with("agent", agent).into());
    }
    if host.renewal == Some(*renewal) {
        return Ok(host.certificate);
    }
    store::update_certificate(tx, agent, (&issued.pem, issued.not_after), (renewal, at))?;
    Ok(issued.pem.clone())
}
