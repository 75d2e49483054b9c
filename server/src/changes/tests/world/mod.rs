//! A real site for tests of the slices: its files as the key ceremony writes them, a real database, real
//! signatures. People come in over HTTP; hosts join over HTTP and speak through the functions behind it.

mod accepting;
mod ceremony;
mod retiring;
mod work;

pub use accepting::{WEEK, door};
pub use ceremony::{NOW, PUBLISHER, TOKEN, approver, content, key, policy, root, targets};
pub use work::{Reviewed, answer, calendar, hours, in_waves};

use crate::changes;
use crate::compliance::{self, Exporter};
use crate::fleet::{self, Board, Door, Sources, Strangers};
use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::{Conn, Connect, Db};
use crate::kernel::error::Error;
use crate::kernel::http::edge;
use crate::kernel::http::tries::Guesses;
use crate::kernel::objects::Objects;
use crate::kernel::testdb::{TestDb, each_engine};
use crate::ledger::{self, Log};
use crate::manifests::{self, Repository};
use crate::receipts::Intake;
use crate::{
    assess, budgets, calendars, cmdb, findings, kpi, people, reminders, rollout, schedule, webhooks,
};
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, test};
use ceremony::{LOG, ONLINE, certificates, write};
use rcgen::{CertificateParams, KeyPair};
use shared::change::Target;
use shared::digest::{Digest, hex};
use shared::ids::SiteId;
use shared::keys::SigningKey;
use shared::ledger::Leaf;
use shared::policy::Policy;
use shared::receipt::{Enrolment, Header};
use shared::statement::Statement;
use shared::strict::{self, Map};
use shared::time::Timestamp;
use shared::tuf::{TargetFile, TargetName};
use shared::wire::{Invitation, Join};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// The class of hosts, if nothing else is said.
const CLASS: &str = "production";

/// One server process with its memory.
pub struct Node {
    pub db: Db,
    pub repository: Repository,
    pub board: Board,
    pub intake: Intake,
    pub exporter: Exporter,
}

pub struct World {
    pub engine: &'static str,
    pub node: Node,
    pub config: Config,
    pub clock: Clock,
    pub log: Log,
    pub objects: Objects,
    pub site: SiteId,
    pub policy: Policy,
    pub hosts: Vec<Host>,
    /// Versions and listings of the repository as the publisher and governance know them.
    pub content: (u64, Map<TargetName, TargetFile>),
    door: Door,
    pub url: String,
    dir: TempDir,
    _test: TestDb,
}

/// A managed machine: its key and the end of its chain.
pub struct Host {
    pub key: SigningKey,
    pub name: String,
    seq: u64,
    prev: Option<Digest>,
}

impl Host {
    pub fn agent(&self) -> shared::ids::AgentId {
        self.key.public().agent_id()
    }

    /// The machine with this number, from 0, before it joins.
    pub fn new(n: usize) -> Self {
        let mut seed = [0x5a; 32];
        seed[..8].copy_from_slice(&n.to_le_bytes());
        let key = u8::try_from(100 + n).map_or_else(|_| SigningKey::from_seed(&seed), key);
        Self { key, name: format!("web{}", n + 1), seq: 0, prev: None }
    }

    /// The same machine with another name.
    pub fn named(n: usize, name: &str) -> Self {
        Self { name: name.into(), ..Self::new(n) }
    }

    /// A machine that nobody let in.
    pub fn stranger(number: u8) -> Self {
        Self { key: key(number), name: "stranger".into(), seq: 0, prev: None }
    }

    /// Signs what its chain goes on with.
    pub fn chain<P: shared::receipt::Chained>(&mut self, body: P) -> Statement<P> {
        let statement = Statement::sign(body, &self.key);
        self.prev = Some(statement.digest);
        statement
    }

    pub fn target(&self) -> Target {
        Target { agent: self.agent(), key: self.key.public().digest() }
    }
}

impl Node {
    async fn start(db: Db, config: &Config, log: &Log, clock: &Clock) -> Self {
        let repository = Repository::open(config).unwrap();
        repository.prepare(&db, config, clock.now()).await.unwrap();
        let sources = Sources { wishes: changes::wishes, timestamp_version: manifests::timestamp_version };
        let board = Board::new(sources);
        board.refresh(&db).await.unwrap();
        let intake = Intake::start(&db, log, &board, clock, crate::site::TOPICS);
        let exporter = Exporter::new(config.site_id.clone(), log.clone());
        Self { db, repository, board, intake, exporter }
    }
}

impl World {
    /// One world per database engine, with `hosts` machines and a rule that asks for `approvals`.
    pub async fn each(approvals: u32, hosts: usize) -> Vec<Self> {
        let mut all = Vec::new();
        for test in tokio::task::spawn_blocking(each_engine).await.unwrap() {
            let mut world = Self::new(test, approvals).await;
            for n in 0..hosts {
                world.join(n).await;
            }
            all.push(world);
        }
        all
    }

    async fn new(test: TestDb, approvals: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = root(1, ONLINE);
        let site: SiteId = hex(&Digest::of(&root).0[..8]).parse().unwrap();
        let policy = policy(&site, 1, approvals);
        let document = strict::to_json(&policy);
        write(&dir.path().join("site/1.root.json"), &root);
        write(&dir.path().join("site/policy.json"), &document);
        write(&dir.path().join("site/1.targets.json"), targets(1, &document));
        write(&dir.path().join("site/1.content.main.json"), content(1, Map::default(), PUBLISHER));
        write(&dir.path().join("keys/online.key"), key(ONLINE).to_pem().unwrap().as_bytes());
        write(&dir.path().join("keys/log.key"), key(LOG).to_pem().unwrap().as_bytes());
        certificates(dir.path());
        let bootstrap = serde_json::json!({
            "site": site, "root_sha256": Digest::of(&root), "person": "lead", "name": "First Approver",
            "token_sha256": Digest::of(TOKEN.as_bytes()), "log_vkey": policy.log.vkeys[0],
        });
        write(&dir.path().join("bootstrap.json"), bootstrap.to_string());
        let text = format!(
            "site_id = \"{site}\"\ndata_dir = \"{}\"\n[people]\nurl = \"https://localhost\"\n[agents]\nurl = \"https://localhost:8444\"\n",
            dir.path().display()
        );
        let config = Config::parse("test.toml", &text, Some(test.url.clone())).unwrap();
        let clock = Clock::fixed(NOW);
        let log = Log::load(&config.log_key, &config.site_id).unwrap();
        log.open(&test.db, NOW).await.unwrap();
        people::import_first_admin(&test.db, &config, &log, NOW).await.unwrap();
        let node = Node::start(test.db.clone(), &config, &log, &clock).await;
        Self {
            engine: test.engine,
            node,
            clock,
            objects: Objects::open(&config.data_dir, config.limits.object).unwrap(),
            door: Door::open(&config).unwrap(),
            config,
            log,
            site,
            policy,
            hosts: Vec::new(),
            content: (1, Map::default()),
            url: test.url.clone(),
            dir,
            _test: test,
        }
    }

    /// A second process on the same database; SQLite allows one only, so there it shares the connection.
    pub async fn second_node(&self) -> Node {
        let db = if self.engine == "sqlite" {
            self.node.db.clone()
        } else {
            let url = self.url.clone();
            tokio::task::spawn_blocking(move || Db::connect(&url, Connect { create: false }).unwrap())
                .await
                .unwrap()
        };
        Node::start(db, &self.config, &self.log, &self.clock).await
    }

    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The people's port of `node`.
    pub fn people(
        &self,
        node: &Node,
    ) -> App<
        impl ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<impl MessageBody + use<>>,
            Error = actix_web::Error,
            InitError = (),
        > + use<>,
    > {
        App::new()
            .wrap(from_fn(edge::edge))
            .app_data(Data::new(self.clock.clone()))
            .app_data(Data::new(node.db.clone()))
            .app_data(Data::new(self.objects.clone()))
            .app_data(Data::new(self.config.clone()))
            .app_data(Data::new(self.log.clone()))
            .app_data(Data::new(self.door.clone()))
            .app_data(Data::new(Strangers::default()))
            .app_data(Data::new(Guesses::<schedule::Feeds>::default()))
            .app_data(Data::new(Guesses::<budgets::FleetLock>::default()))
            .app_data(Data::new(node.board.clone()))
            .app_data(Data::new(node.repository.clone()))
            .app_data(Data::new(node.exporter.clone()))
            .app_data(Data::new(people::gate(&node.db)))
            .configure(edge::extractors(self.config.limits.body))
            .configure(ledger::routes)
            .configure(crate::audit::routes)
            .configure(fleet::people_routes)
            .configure(manifests::people)
            .configure(changes::people)
            .configure(calendars::people)
            .configure(budgets::people)
            .configure(schedule::people)
            .configure(assess::people)
            .configure(rollout::people)
            .configure(findings::people)
            .configure(kpi::people)
            .configure(cmdb::routes)
            .configure(people::routes)
            .configure(compliance::people)
            .configure(reminders::people)
            .configure(webhooks::people)
    }

    /// One request to the people's port of `node`.
    pub async fn call_on(&self, node: &Node, to: (&str, &str), token: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
        let (status, _, body) =
            self.send_on(node, to, &[("authorization", &format!("Bearer {token}"))], body).await;
        (status, body)
    }

    /// The same with headers of its own: status, tag and answer.
    pub async fn send_on(
        &self,
        node: &Node,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (u16, Option<String>, Vec<u8>) {
        let app = self.people(node);
        let app = test::init_service(app).await;
        let mut request = test::TestRequest::with_uri(path)
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .peer_addr("127.0.0.1:1".parse().unwrap())
            .insert_header(("accept-language", "en"))
            .insert_header(("content-type", "application/json"))
            .set_payload(body);
        for (name, value) in headers {
            request = request.append_header((*name, *value));
        }
        let response = test::call_service(&app, request.to_request()).await;
        let status = response.status().as_u16();
        let tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
        (status, tag, test::read_body(response).await.to_vec())
    }

    /// The same until the node is not too busy for it: that answer says that nothing was changed.
    pub async fn insist_on(
        &self,
        node: &Node,
        to: (&str, &str),
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (u16, Option<String>, Vec<u8>) {
        loop {
            let answer = self.send_on(node, to, headers, body.clone()).await;
            if answer.0 != 503 {
                return answer;
            }
            actix_web::rt::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn call(
        &self,
        method: &str,
        path: &str,
        body: impl serde::Serialize,
    ) -> (u16, serde_json::Value) {
        let (status, bytes) = self.call_on(&self.node, (method, path), TOKEN, strict::to_json(&body)).await;
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// A request for what has this tag: status, tag and answer.
    pub async fn if_match(
        &self,
        method: &str,
        path: &str,
        tag: Option<&str>,
        body: impl serde::Serialize,
    ) -> (u16, Option<String>, serde_json::Value) {
        let token = format!("Bearer {TOKEN}");
        let headers = [("authorization", token.as_str())].into_iter().chain(tag.map(|tag| ("if-match", tag)));
        let headers: Vec<_> = headers.collect();
        let (status, tag, bytes) =
            self.send_on(&self.node, (method, path), &headers, strict::to_json(&body)).await;
        (status, tag, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// A request that must succeed.
    pub async fn good(&self, method: &str, path: &str, body: impl serde::Serialize) -> serde_json::Value {
        let (status, answer) = self.call(method, path, body).await;
        assert!(status < 300, "{} {method} {path}: {status} {answer}", self.engine);
        answer
    }

    /// The code of a request that must be refused.
    pub async fn code(&self, method: &str, path: &str, body: impl serde::Serialize) -> String {
        let (status, answer) = self.call(method, path, body).await;
        assert!((400..500).contains(&status), "{} {method} {path}: {status} {answer}", self.engine);
        answer["code"].as_str().unwrap().to_owned()
    }

    /// A new token of a person.
    pub async fn token(&self, person: &str, access: &str) -> String {
        let grant = serde_json::json!({ "access": access, "days": 1 });
        let granted = self.good("POST", &format!("/v1/people/{person}/tokens"), grant).await;
        granted["token"].as_str().unwrap().to_owned()
    }

    pub async fn write<T: Send + 'static>(
        &self,
        body: impl Fn(&mut Conn) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.node.db.write("test", body).await
    }

    pub async fn read<T: Send + 'static>(
        &self,
        body: impl Fn(&mut Conn) -> Result<T, Error> + Send + 'static,
    ) -> T {
        self.node.db.read("test", body).await.unwrap()
    }

    /// The leaves of the ledger from this place on, in their order.
    pub async fn leaves(&self, from: usize) -> Vec<Leaf> {
        self.read(move |tx| ledger::leaves(tx, from as u64)).await
    }

    pub async fn sql(&self, text: &'static str) {
        use diesel::RunQueryDsl as _;
        self.write(move |tx| Ok(diesel::sql_query(text).execute(tx).map(drop)?)).await.unwrap();
    }

    /// Lets a new machine in through the join command's interface.
    async fn join(&mut self, n: usize) {
        self.join_as(Host::new(n), CLASS).await;
    }

    /// The request with which the host joins; its chain begins with it.
    pub fn joining(&self, host: &mut Host, invitation: Invitation) -> Join {
        self.joining_as(host, invitation, CLASS)
    }

    fn joining_as(&self, host: &mut Host, invitation: Invitation, class: &str) -> Join {
        let csr = CertificateParams::new(Vec::new()).unwrap();
        let csr = csr.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        let header = Header { host_class: class.parse().unwrap(), ..self.header(host) };
        let token = Digest::of(invitation.token.as_bytes());
        let body =
            Enrolment { header, hostname: host.name.clone(), token, csr, recipient: None, came_from: None };
        let enrolment = Statement::sign(body, &host.key);
        host.prev = Some(enrolment.digest);
        Join { enrolment: enrolment.envelope, token: invitation.token }
    }

    /// For the next statement of the host's chain.
    pub fn header(&self, host: &mut Host) -> Header {
        host.seq += 1;
        Header {
            site: self.site.clone(),
            agent_id: host.agent(),
            key: host.key.public(),
            host_class: CLASS.parse().unwrap(),
            seq: host.seq,
            prev: host.prev,
            at: self.now(),
            boot_id: "boot".into(),
            agent_version: semver::Version::new(0, 1, 0),
            log_seen: None,
        }
    }
}
