//! Simulated hosts with real keys: each joins through the real endpoints and holds a real certificate.

use crate::link::{self, Link};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use shared::digest::Digest;
use shared::keys::SigningKey;
use shared::ledger::Checkpoint;
use shared::receipt::{Enrolment, Header, LogSeen};
use shared::statement::Statement;
use shared::wire::{Invitation, Invite, Join, Joined};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use tests::{World, http};

/// Hosts that join from one address: the server lets only so many strangers of one address in at once.
const NEIGHBOURS: usize = 40;

/// A host as the server sees it.
pub struct Agent {
    pub hostname: String,
    pub key: SigningKey,
    /// For its next statement.
    pub header: Header,
    pub tls: Arc<ClientConfig>,
}

/// Joins the hosts of these numbers.
pub fn enrol(world: &World, numbers: Range<usize>) -> Vec<Agent> {
    let people = SocketAddr::from(([127, 0, 0, 1], world.nodes[0].people));
    let ca = std::fs::read(world.site().join("ca.crt")).unwrap();
    let invited: Vec<_> = numbers.map(|number| (number, invite(world))).collect();
    let now = world.now();
    link::spread(invited, move |(number, invitation)| {
        let ca = ca.clone();
        async move { join(people, &ca, number, invitation, now).await }
    })
}

fn invite(world: &World) -> Invitation {
    let invite =
        Invite { host_class: "production".parse().unwrap(), labels: Default::default(), minutes: 60 };
    let reply = world.api("POST", "/v1/join-tokens", &serde_json::to_vec(&invite).unwrap());
    assert_eq!(reply.status(), 200, "{}", reply.text());
    serde_json::from_slice(&reply.body).unwrap()
}

async fn join(
    people: SocketAddr,
    ca: &[u8],
    number: usize,
    invitation: Invitation,
    now: shared::time::Timestamp,
) -> Agent {
    let mut seed = [0x5a; 32];
    seed[..8].copy_from_slice(&u64::try_from(number).unwrap().to_le_bytes());
    let (hostname, key) = (format!("bench{number}"), SigningKey::from_seed(&seed));
    let mut header = Header {
        site: invitation.site,
        agent_id: key.public().agent_id(),
        key: key.public(),
        host_class: invitation.host_class,
        seq: 1,
        prev: None,
        at: now,
        boot_id: "5d3c1c3e-0000-4000-8000-000000000000".into(),
        agent_version: semver::Version::new(0, 1, 0),
        log_seen: None,
    };
    let tls_key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let request = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap().serialize_request(&tls_key);
    let token = Digest::of(invitation.token.as_bytes());
    let csr = request.unwrap().pem().unwrap();
    let enrolment = Enrolment {
        header: header.clone(),
        hostname: hostname.clone(),
        token,
        csr,
        recipient: None,
        came_from: None,
    };
    let enrolment = Statement::sign(enrolment, &key);
    let order = Join { enrolment: enrolment.envelope.clone(), token: invitation.token };
    let source = Ipv4Addr::new(127, 0, 1, u8::try_from(1 + number / NEIGHBOURS).unwrap());
    let mut link = Link::open_from(source, people, identity(ca, None)).await;
    let status = link.call(&link::post("/v1/join", &serde_json::to_vec(&order).unwrap())).await.unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(link.body()));
    let joined: Joined = serde_json::from_slice(link.body()).unwrap();
    (header.seq, header.prev) = (2, Some(enrolment.digest));
    header.log_seen = joined.recorded.as_ref().map(|recorded| seen(&recorded.checkpoint));
    let tls = identity(ca, Some((joined.certificate.as_bytes(), tls_key.serialize_pem().as_bytes())));
    Agent { hostname, key, header, tls }
}

/// The body of a checkpoint, believed as it is: a simulated host is no witness.
fn seen(note: &str) -> LogSeen {
    let (text, _) = note.split_once("\n\n").unwrap();
    let Checkpoint { origin, size, root } = Checkpoint::parse(&format!("{text}\n")).unwrap();
    LogSeen { origin: origin.as_str().to_owned(), size, root }
}

/// What a host shows and believes when it connects, the same as the agent's: TLS 1.3 only. In PEM: the
/// authority, and certificate and key once it has them.
fn identity(ca: &[u8], own: Option<(&[u8], &[u8])>) -> Arc<ClientConfig> {
    let certificates = |pem| CertificateDer::pem_slice_iter(pem).map(Result::unwrap).collect::<Vec<_>>();
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(certificates(ca));
    let builder = ClientConfig::builder_with_provider(http::provider());
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let builder = builder.with_root_certificates(roots);
    Arc::new(match own {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key).unwrap();
            builder.with_client_auth_cert(certificates(chain), key).unwrap()
        }
    })
}
