//! Simulated hosts with real keys: each joins through the real endpoints and holds a real certificate.

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::digest::Digest;
use shared::keys::SigningKey;
use shared::ledger::Checkpoint;
use shared::receipt::{Enrolment, Header, LogSeen};
use shared::statement::Statement;
use shared::wire::{Invitation, Invite, Join, Joined};
use std::path::Path;
use std::sync::Arc;
use tests::World;
use tests::http::{self, Message};

/// A host as the server sees it.
pub struct Agent {
    pub hostname: String,
    pub key: SigningKey,
    /// For its next statement.
    pub header: Header,
    pub tls: Arc<ClientConfig>,
}

/// Joins that many hosts.
pub fn enrol(world: &World, count: usize) -> Vec<Agent> {
    (0..count).map(|number| join(world, number)).collect()
}

fn join(world: &World, number: usize) -> Agent {
    let invite =
        Invite { host_class: "production".parse().unwrap(), labels: Default::default(), minutes: 60 };
    let invitation: Invitation = post(world, "/v1/join-tokens", &invite);
    let hostname = format!("bench{number}");
    let mut seed = [0x5a; 32];
    seed[..8].copy_from_slice(&u64::try_from(number).unwrap().to_le_bytes());
    let key = SigningKey::from_seed(&seed);
    let mut header = Header {
        site: invitation.site.clone(),
        agent_id: key.public().agent_id(),
        key: key.public(),
        host_class: invitation.host_class.clone(),
        seq: 1,
        prev: None,
        at: world.now(),
        boot_id: "5d3c1c3e-0000-4000-8000-000000000000".into(),
        agent_version: semver::Version::new(0, 1, 0),
        log_seen: None,
    };
    let tls_key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let request =
        rcgen::CertificateParams::new(Vec::<String>::new()).unwrap().serialize_request(&tls_key).unwrap();
    let enrolment = Enrolment {
        header: header.clone(),
        hostname: hostname.clone(),
        token: Digest::of(invitation.token.as_bytes()),
        csr: request.pem().unwrap(),
    };
    let enrolment = Statement::sign(enrolment, &key);
    let order = Join { enrolment: enrolment.envelope.clone(), token: invitation.token };
    let joined: Joined = post(world, "/v1/join", &order);
    header.seq = 2;
    header.prev = Some(enrolment.digest);
    header.log_seen = joined.recorded.as_ref().map(|recorded| seen(&recorded.checkpoint));
    let tls = identity(
        &world.site().join("ca.crt"),
        joined.certificate.as_bytes(),
        tls_key.serialize_pem().as_bytes(),
    );
    Agent { hostname, key, header, tls }
}

/// The body of a checkpoint, believed as it is: a simulated host is no witness.
fn seen(note: &str) -> LogSeen {
    let (text, _) = note.split_once("\n\n").unwrap();
    let Checkpoint { origin, size, root } = Checkpoint::parse(&format!("{text}\n")).unwrap();
    LogSeen { origin: origin.as_str().to_owned(), size, root }
}

/// What a host shows and believes when it connects, the same as the agent's: TLS 1.3 only.
pub fn identity(ca: &Path, certificate: &[u8], key: &[u8]) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(http::provider());
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let chain = CertificateDer::pem_slice_iter(certificate).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(key).unwrap();
    Arc::new(builder.with_root_certificates(http::roots(ca)).with_client_auth_cert(chain, key).unwrap())
}

fn post<T: DeserializeOwned>(world: &World, path: &str, body: &impl Serialize) -> T {
    let request = Message::request("POST", path, &serde_json::to_vec(body).unwrap());
    let request = request.with("authorization", &format!("Bearer {}", world.token()));
    let reply = world.people().send(request);
    assert_eq!(reply.status(), 200, "POST {path}: {}", reply.text());
    serde_json::from_slice(&reply.body).unwrap()
}
