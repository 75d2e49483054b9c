//! A small fleet for tests: keys and certificates of a site on disk, real databases, and hosts that sign for
//! themselves as agents do.

use crate::app::{self, Kernel, Slices, Through};
use crate::fleet::{self, Board, Door, Sources};
use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::{Conn, Connect, Db};
use crate::kernel::error::Error;
use crate::kernel::http::tests::Connection;
use crate::kernel::testdb::{TestDb, each_engine};
use crate::ledger::{self, Log};
use crate::receipts::{self, Intake};
use crate::{cmdb, people};
use actix_web::web::{Data, ServiceConfig};
use diesel::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ids::{AgentId, SiteId};
use shared::keys::SigningKey;
use shared::plan::Verb;
use shared::receipt::{
    Enrolment, Header, HostOutcome, LogSeen, Receipt, Refusal, Renewal, StepResult, StepStatus, TufVersions,
};
use shared::refusal::{Code, Refused};
use shared::request::Request;
use shared::reset::TrustReset;
use shared::statement::Statement;
use shared::time::{Interval, Timestamp};
use shared::wire::{Invite, Join, Joined, Recorded};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

pub const SITE: &str = "0011223344556677";
pub const NOW: Timestamp = Timestamp(1_800_000_000);

/// One site on one database. `node` makes further server processes of it.
pub struct World {
    pub engine: &'static str,
    pub url: String,
    pub clock: Clock,
    pub config: Config,
    pub ca_pem: String,
    pub node: Node,
    _test: TestDb,
    _dir: TempDir,
}

/// What one server process has: connections of its own and memory of its own.
#[derive(Clone)]
pub struct Node {
    pub db: Db,
    pub log: Log,
    pub board: Board,
    pub door: Door,
    pub intake: Intake,
}

impl World {
    /// One world per engine.
    pub async fn each() -> Vec<Self> {
        let mut all = Vec::new();
        for test in tokio::task::spawn_blocking(each_engine).await.unwrap() {
            all.push(Self::on(test).await);
        }
        all
    }

    async fn on(test: TestDb) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca_pem = write_site(dir.path());
        let listener = "listen = \"127.0.0.1:0\"\nurl = \"https://localhost:1\"\n";
        let text = format!(
            "site_id = \"{SITE}\"\ndata_dir = \"{}\"\nlanguage = \"en\"\n[people]\n{listener}[agents]\n{listener}[proxy]\n{listener}",
            dir.path().display()
        );
        let config = Config::parse("test.toml", &text, Some(test.url.clone())).unwrap();
        let clock = Clock::fixed(NOW);
        let node = Node::open(test.db.clone(), &config, &clock).await;
        let (engine, url) = (test.engine, test.url.clone());
        Self { engine, url, clock, config, ca_pem, node, _test: test, _dir: dir }
    }

    /// Another server process: on PostgreSQL with connections of its own, on SQLite, which one process has
    /// to itself, with memory of its own.
    pub async fn second_node(&self) -> Node {
        let db = match self.engine {
            "postgresql" => {
                let url = self.url.clone();
                let connect = move || Db::connect(&url, Connect { create: false }).unwrap();
                tokio::task::spawn_blocking(connect).await.unwrap()
            }
            _ => self.node.db.clone(),
        };
        Node::open(db, &self.config, &self.clock).await
    }

    /// Lets a host in and gives the world's answer.
    pub async fn enrol(&self, host: &mut Host) -> Joined {
        let join = host.join(&self.node.invite(host.class).await);
        let joined = self.node.join(join, self.clock.now()).await.unwrap();
        host.joined();
        joined
    }

    pub async fn sql(&self, text: impl Into<String>) {
        let text = text.into();
        let run = move |tx: &mut Conn| diesel::sql_query(&text).execute(tx).map(drop).map_err(Error::from);
        self.node.db.write("test.sql", run).await.unwrap();
    }

    /// The number `n` that a query gives.
    pub async fn count(&self, text: impl Into<String>) -> i64 {
        #[derive(QueryableByName)]
        struct Count {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            n: i64,
        }
        let text = text.into();
        let run = move |tx: &mut Conn| Ok::<_, Error>(diesel::sql_query(&text).get_result::<Count>(tx)?.n);
        self.node.db.read("test.count", run).await.unwrap()
    }

    /// What must hold of the database whatever happened.
    pub async fn check(&self) {
        let problems = self.node.db.read("test.check", ledger::check).await.unwrap();
        assert_eq!(problems, [""; 0], "{}", self.engine);
    }
}

impl Node {
    async fn open(db: Db, config: &Config, clock: &Clock) -> Self {
        let log = Log::load(&config.log_key, &config.site_id).unwrap();
        log.open(&db, clock.now()).await.unwrap();
        let (door, board) = (Door::open(config).unwrap(), Board::new(Sources::NONE));
        board.refresh(&db).await.unwrap();
        let intake = Intake::start(&db, &log, &board, clock, crate::site::TOPICS);
        Self { db, log, board, door, intake }
    }

    /// A join token for a host of this class, good for an hour.
    pub async fn invite(&self, class: &str) -> String {
        let invite = Invite { host_class: class.parse().unwrap(), labels: Default::default(), minutes: 60 };
        let by = "admin".parse().unwrap();
        fleet::invite(&self.db, &self.door, invite, by, NOW).await.unwrap().token
    }

    pub async fn join(&self, join: Join, now: Timestamp) -> Result<Joined, Error> {
        fleet::join((&self.db, &self.log, &self.board, &self.door), join, now).await
    }

    /// Whether a signed request is the first of its kind.
    pub async fn uses(&self, request: &Request) -> Result<bool, Error> {
        fleet::once(&self.db).first(request.clone()).await
    }

    /// Sends a statement as the host that it names would, over the intake.
    pub async fn send(&self, envelope: &Envelope) -> Result<Recorded, Error> {
        self.send_with(envelope, None).await
    }

    pub async fn send_with(&self, envelope: &Envelope, log_size: Option<u64>) -> Result<Recorded, Error> {
        let agent = agent_of(envelope);
        let incoming = crate::receipts::Incoming::open(envelope, &SITE.parse().unwrap(), agent)?;
        self.intake.record(incoming, log_size).await
    }
}

/// A node that listens on both ports, in a thread with its own actix runtime.
pub struct Served {
    pub people: SocketAddr,
    pub agents: SocketAddr,
    pub proxied: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Served {
    fn drop(&mut self) {
        if let (Some(stop), Some(thread)) = (self.stop.take(), self.thread.take()) {
            stop.send(()).unwrap();
            thread.join().unwrap();
        }
    }
}

impl World {
    /// Serves the slices up to receipts, without the repository. Blocks.
    pub fn serve(&self) -> Served {
        let (config, clock) = (self.config.clone(), self.clock.clone());
        let (started, addresses) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let kernel = Kernel::open(config, clock).unwrap();
            actix_web::rt::System::new().block_on(async move {
                let node = Node::open(kernel.db.clone(), &kernel.config, &kernel.clock).await;
                let upkeep = tokio::spawn(fleet::keep_up(node.board.clone(), node.db.clone()));
                let running = app::start(&kernel, node.slices()).unwrap();
                started.send((running.people, running.agents, running.proxied.unwrap())).unwrap();
                stopped.await.unwrap();
                upkeep.abort();
                running.stop().await;
            });
        });
        let (people, agents, proxied) = addresses.recv().unwrap();
        Served { people, agents, proxied, stop: Some(stop), thread: Some(thread) }
    }

    /// A connection that trusts the site's certificate authority, as a host if it has a certificate.
    pub fn connect(&self, to: SocketAddr, host: Option<(&Host, &Joined)>) -> Connection {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).unwrap()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(crate::kernel::http::tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let config = match host {
            None => config.with_no_client_auth(),
            Some((host, joined)) => {
                let certificate = CertificateDer::from_pem_slice(joined.certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::try_from(host.tls.serialize_der()).unwrap();
                config.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        Connection::new(to, config)
    }
}

impl Node {
    fn slices(&self) -> Slices {
        let people = self.clone();
        let gate = people::gate(&self.db);
        let strangers = Data::new(fleet::Strangers::default());
        let people = move |config: &mut ServiceConfig| {
            config.app_data(Data::new(people.log.clone())).app_data(Data::new(people.board.clone()));
            config.app_data(Data::new(people.door.clone())).app_data(Data::new(gate.clone()));
            config.app_data(strangers.clone());
            for routes in
                [ledger::routes, people::routes, cmdb::routes, fleet::people_routes, receipts::people_routes]
            {
                config.configure(routes);
            }
        };
        let (agents, rates) = (self.clone(), Data::new(fleet::Rates::default()));
        let agents = move |config: &mut ServiceConfig| {
            config.app_data(Data::new(agents.board.clone())).app_data(Data::new(agents.intake.clone()));
            config.app_data(rates.clone()).app_data(Data::new(agents.log.clone()));
            config.configure(fleet::agent_routes).configure(receipts::agent_routes);
        };
        let (joining, knocks) = (self.clone(), Data::new(fleet::Strangers::default()));
        let strangers = move |config: &mut ServiceConfig| {
            config.app_data(Data::new(joining.log.clone())).app_data(Data::new(joining.board.clone()));
            config.app_data(Data::new(joining.door.behind_proxy())).app_data(knocks.clone());
            config.configure(fleet::strangers_routes);
        };
        let through = Through { strangers: Arc::new(strangers), once: fleet::once(&self.db) };
        let (people, agents) = (Arc::new(people), Arc::new(agents));
        Slices { people, agents, through, jobs: fleet::jobs(&self.db), gate: fleet::gate(&self.board) }
    }
}

/// Status, `ETag` and JSON body of one request on an open connection.
pub fn ask(
    connection: &mut Connection,
    to: (&str, &str),
    headers: &str,
    body: &str,
) -> (u16, String, serde_json::Value) {
    let (status, head, body) = exchange(connection, to, headers, body);
    (status, header(&head, "etag"), serde_json::from_str(&body).unwrap_or_default())
}

/// A header of an answer; empty when it has none of that name.
pub fn header(head: &str, name: &str) -> String {
    let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned());
    head.lines().find_map(value).unwrap_or_default()
}

/// Status, head and body of one request on an open connection.
pub fn exchange(
    connection: &mut Connection,
    (method, path): (&str, &str),
    headers: &str,
    body: &str,
) -> (u16, String, String) {
    let length = body.len();
    let response = connection
        .send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Language: en\r\n{headers}\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .unwrap_or_else(|error| panic!("{method} {path} {headers}: {error}"));
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}

/// The agent that an envelope says to be from.
pub fn agent_of(envelope: &Envelope) -> AgentId {
    let statement: serde_json::Value = serde_json::from_slice(&envelope.payload).unwrap();
    statement["predicate"]["header"]["agent_id"].as_str().unwrap().parse().unwrap()
}

fn write_site(dir: &Path) -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = params.self_signed(&key).unwrap().pem();
    let ca_key = key.serialize_pem();
    let issuer = Issuer::new(params, key);
    for part in ["tls", "keys", "site"] {
        std::fs::create_dir(dir.join(part)).unwrap();
    }
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    };
    write("tls/ca.crt", &ca_pem);
    write("tls/ca.key", &ca_key);
    for name in ["people", "agents"] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        write(&format!("tls/{name}.crt"), &params.signed_by(&key, &issuer).unwrap().pem());
        write(&format!("tls/{name}.key"), &key.serialize_pem());
    }
    write("keys/log.key", &SigningKey::from_seed(&[7; 32]).to_pem().unwrap());
    write("site/1.root.json", "{\"signed\":{}}");
    ca_pem
}

/// A host with its own key and chain.
pub struct Host {
    pub key: SigningKey,
    pub tls: KeyPair,
    pub class: &'static str,
    pub name: String,
    pub seq: u64,
    pub prev: Option<Digest>,
    pub log_seen: Option<LogSeen>,
    pub enrolment: Option<Digest>,
}

impl Host {
    pub fn new(number: u8) -> Self {
        Self {
            key: SigningKey::from_seed(&[number; 32]),
            tls: KeyPair::generate().unwrap(),
            class: "lab",
            name: format!("host{number}"),
            seq: 0,
            prev: None,
            log_seen: None,
            enrolment: None,
        }
    }

    /// The same key and chain on another machine.
    pub fn copied(&self) -> Self {
        Self {
            key: SigningKey::from_seed(&self.key.seed()),
            tls: KeyPair::generate().unwrap(),
            class: self.class,
            name: self.name.clone(),
            log_seen: None,
            enrolment: None,
            ..*self
        }
    }

    pub fn agent(&self) -> AgentId {
        self.key.public().agent_id()
    }

    pub fn site() -> SiteId {
        SITE.parse().unwrap()
    }

    pub fn header(&self) -> Header {
        Header {
            site: Self::site(),
            agent_id: self.agent(),
            key: self.key.public(),
            host_class: self.class.parse().unwrap(),
            seq: self.seq + 1,
            prev: self.prev,
            at: NOW,
            boot_id: "boot".into(),
            agent_version: semver::Version::new(0, 1, 0),
            log_seen: self.log_seen.clone(),
        }
    }

    pub fn csr(&self) -> String {
        let params = CertificateParams::new(vec!["ignored.example".into()]).unwrap();
        params.serialize_request(&self.tls).unwrap().pem().unwrap()
    }

    pub fn join(&mut self, token: &str) -> Join {
        let (header, csr) = (self.header(), self.csr());
        let body = Enrolment {
            header,
            hostname: self.name.clone(),
            token: Digest::of(token.as_bytes()),
            csr,
            recipient: None,
            came_from: None,
        };
        let statement = Statement::sign(body, &self.key);
        self.enrolment = Some(statement.digest);
        Join { enrolment: statement.envelope, token: token.to_owned() }
    }

    /// The server took the last enrolment.
    pub fn joined(&mut self) {
        (self.seq, self.prev) = (1, self.enrolment);
    }

    /// A request to the proxy of a [`World`], unsigned.
    pub fn request_of(&self, (method, path): (&str, &str), body: &[u8]) -> Request {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).unwrap();
        Request {
            site: Self::site(),
            agent_id: self.agent(),
            key: self.key.public(),
            audience: "localhost:1".into(),
            method: method.into(),
            path: path.into(),
            body_sha256: Digest::of(body),
            issued_at: NOW,
            expires: NOW.plus(60),
            nonce: shared::digest::hex(&nonce),
        }
    }

    /// The header of a request, after somebody has had a hand in it.
    pub fn request(&self, what: (&str, &str), body: &[u8], edit: impl FnOnce(&mut Request)) -> String {
        let mut request = self.request_of(what, body);
        edit(&mut request);
        request.sign(&self.key)
    }

    pub fn renewal(&self, at: Timestamp) -> Envelope {
        let (site, agent_id, key) = (Self::site(), self.agent(), self.key.public());
        Statement::sign(Renewal { site, agent_id, key, at, csr: self.csr() }, &self.key).envelope
    }

    /// The next statement of the chain: the host leaves for another site.
    pub fn leave(&mut self) -> Envelope {
        let (header, root, new_root) = (self.header(), Digest::of(b"root"), Digest::of(b"new root"));
        let body = TrustReset { header, root, new_site: "ffeeddccbbaa0099".parse().unwrap(), new_root };
        self.sign(body)
    }

    /// The next receipt of the chain; the chain goes on after it.
    pub fn receipt(&mut self, edit: impl FnOnce(&mut Receipt)) -> Envelope {
        let mut body = Receipt {
            header: self.header(),
            change_id: "C-1".parse().unwrap(),
            revision: 1,
            change: Digest::of(b"change"),
            wave: 0,
            interval: Interval { from: NOW, until: NOW.plus(3_600) },
            plan: Digest::of(b"plan"),
            plan_set: Digest::of(b"plan set"),
            approvals: vec![],
            policy: Digest::of(b"policy"),
            policy_version: 1,
            self_approved: false,
            tuf: TufVersions { root: 1, timestamp: 1, snapshot: 1, targets: 1 },
            started: NOW,
            finished: NOW.plus(5),
            results: vec![step("file:/etc/motd", "hello", StepStatus::Done)],
            health: vec![],
            outcome: HostOutcome::Applied,
            patched: None,
            follows: None,
            corrects: None,
            breakglass: false,
            note: String::new(),
        };
        edit(&mut body);
        self.sign(body)
    }

    /// A receipt at a later place of the chain.
    pub fn sign_after(mut self, seq: u64) -> Envelope {
        self.seq = seq;
        self.receipt(|_| {})
    }

    pub fn refusal(&mut self, edit: impl FnOnce(&mut Refusal)) -> Envelope {
        let mut body = Refusal {
            header: self.header(),
            change_id: Some("C-1".parse().unwrap()),
            revision: Some(1),
            evidence: Digest::of(b"bundle"),
            reason: Refused::until(Code::TimeWindow, "outside its window", NOW.plus(600)),
            breakglass: false,
        };
        edit(&mut body);
        self.sign(body)
    }

    fn sign<P: shared::receipt::Chained>(&mut self, body: P) -> Envelope {
        let seq = body.header().seq;
        let statement = Statement::sign(body, &self.key);
        (self.seq, self.prev) = (seq, Some(statement.digest));
        statement.envelope
    }
}

pub fn step(resource: &str, after: &str, status: StepStatus) -> StepResult {
    StepResult {
        resource: resource.parse().unwrap(),
        verb: Verb::Update,
        before: None,
        after: Digest::of(after.as_bytes()),
        status,
        ms: 3,
        note: String::new(),
    }
}

/// The code of a refusal; anything else is a failed test.
pub fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    match result {
        Err(Error::Refusal(refusal)) => refusal.code,
        other => panic!("expected a refusal, got {other:?}"),
    }
}
