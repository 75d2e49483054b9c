//! A real site for tests of the slices: its files as the key ceremony writes them, a real database, real
//! signatures. People come in over HTTP; hosts join over HTTP and speak through the functions behind it.

use crate::changes::{self, approve, bundle, course, plans};
use crate::compliance::{self, Exporter};
use crate::fleet::{self, Board, Door, Sources, Strangers};
use crate::kernel::clock::Clock;
use crate::kernel::config::Config;
use crate::kernel::db::{Conn, Connect, Db};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::edge;
use crate::kernel::objects::Objects;
use crate::kernel::testdb::{TestDb, each_engine};
use crate::ledger::{self, Log};
use crate::manifests::{self, Repository};
use crate::receipts::{Incoming, Intake};
use crate::{people, rollout};
use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, test};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use shared::approval::{Approval, Decision, Saw};
use shared::change::{Change, ChangeType, ManifestUse, Missed, PlanBinding, Reboot, Target, UndoPlan, Wave};
use shared::digest::{Digest, hex};
use shared::ids::{ChangeId, HostClass, SiteId};
use shared::keys::SigningKey;
use shared::ledger::{Checkpoint, VerifierKey};
use shared::manifest::Manifest;
use shared::plan::{Action, Plan, PlanSet, Reversibility, UndoContract, Verb};
use shared::policy::{
    Assurance, ClockRules, DistinctFrom, LogRules, Match, Person, PersonKey, Policy, Require, Role, Rule,
    SCHEMA,
};
use shared::publication::Publication;
use shared::receipt::{
    Enrolment, Header, HostOutcome, LogSeen, Receipt, Refusal as HostRefusal, StepResult, StepStatus,
    TufVersions,
};
use shared::refusal::{Code, Refused};
use shared::risk::ActionClass;
use shared::statement::Statement;
use shared::strict::{self, Map};
use shared::time::{Interval, Timestamp};
use shared::tuf::writer::{self, KeySet};
use shared::tuf::{Signed, TargetFile, TargetName};
use shared::wire::{Invitation, Invite, Join};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tempfile::TempDir;

pub const NOW: Timestamp = Timestamp(1_800_000_000);
const DAY: i64 = 86_400;
/// Token of anna, who is administrator, author and nothing else.
pub const TOKEN: &str = "a-token-for-tests";

pub fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

const GOVERNANCE: u8 = 30;
const ONLINE: u8 = 31;
const LOG: u8 = 32;
pub const PUBLISHER: u8 = 6;
const AUTHOR: u8 = 1;

/// Approvers and the numbers of their keys.
pub fn approver(name: &str) -> u8 {
    match name {
        "ben" => 2,
        "cora" => 3,
        _ => panic!("{name} is no approver"),
    }
}

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

    /// A machine that nobody let in.
    pub fn stranger(number: u8) -> Self {
        Self { key: key(number), name: "stranger".into(), seq: 0, prev: None }
    }

    pub fn target(&self) -> Target {
        Target { agent: self.agent(), key: self.key.public().digest() }
    }
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(bytes.as_ref()).unwrap();
}

fn certificates(dir: &Path) {
    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write(&dir.join("tls/ca.crt"), params.self_signed(&ca_key).unwrap().pem());
    write(&dir.join("tls/ca.key"), ca_key.serialize_pem());
    let issuer = Issuer::new(params, ca_key);
    for name in ["people", "agents"] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        write(&dir.join(format!("tls/{name}.crt")), params.signed_by(&key, &issuer).unwrap().pem());
        write(&dir.join(format!("tls/{name}.key")), key.serialize_pem());
    }
}

fn person(name: &str, key_number: u8, roles: &[Role]) -> Person {
    let key = PersonKey {
        public: key(key_number).public(),
        roles: roles.iter().copied().collect(),
        assurance: Assurance::Independent,
        not_after: None,
    };
    Person { id: name.parse().unwrap(), name: name.into(), keys: vec![key] }
}

/// `approvals` distinct approvers who are neither author nor publisher.
pub fn policy(site: &SiteId, version: u64, approvals: u32) -> Policy {
    let origin = format!("assent.{site}").parse().unwrap();
    Policy {
        schema: SCHEMA.into(),
        site: site.clone(),
        version,
        issued: NOW.plus(-DAY),
        one_person: false,
        persons: vec![
            person("anna", AUTHOR, &[Role::Author, Role::Approver]),
            person("ben", approver("ben"), &[Role::Approver]),
            person("cora", approver("cora"), &[Role::Approver]),
            person("pia", PUBLISHER, &[Role::Publisher]),
        ],
        rules: vec![Rule {
            name: "normal".into(),
            matches: Match::default(),
            require: Require {
                approvals,
                distinct_from: [DistinctFrom::Author, DistinctFrom::Publisher].into(),
                min_assurance: Assurance::Independent,
                max_validity_h: 72,
            },
        }],
        clock: ClockRules { max_skew_s: 300, offline_grace_h: 24 },
        log: LogRules { vkeys: vec![VerifierKey::new(origin, key(LOG).public()).to_string()] },
        ca_spki: vec![],
        server_urls: vec![],
    }
}

fn teams() -> BTreeMap<shared::ids::Team, KeySet> {
    BTreeMap::from([("main".parse().unwrap(), KeySet::one(key(PUBLISHER).public()))])
}

/// Text of the top-level targets of one version.
pub fn targets(version: u64, policy: &[u8]) -> Vec<u8> {
    let online = KeySet::one(key(ONLINE).public());
    let targets =
        writer::targets_with_policy(version, NOW.plus(400 * DAY), policy, &teams(), &online).unwrap();
    Signed::by(targets, &[&key(GOVERNANCE)]).to_bytes()
}

pub fn root(version: u64, online: u8) -> Vec<u8> {
    let set = |n: u8| KeySet::one(key(n).public());
    let root = writer::new_root(version, NOW.plus(400 * DAY), &set(GOVERNANCE), &set(online)).unwrap();
    Signed::by(root, &[&key(GOVERNANCE)]).to_bytes()
}

/// Text of the content of team `main`.
pub fn content(version: u64, listed: Map<TargetName, TargetFile>, signer: u8) -> Vec<u8> {
    let content = writer::content(version, NOW.plus(400 * DAY), &"main".parse().unwrap(), listed).unwrap();
    Signed::by(content, &[&key(signer)]).to_bytes()
}

impl Node {
    async fn start(db: Db, config: &Config, log: &Log, clock: &Clock) -> Self {
        let repository = Repository::open(config).unwrap();
        repository.prepare(&db, config, clock.now()).await.unwrap();
        let sources = Sources { wishes: changes::wishes, timestamp_version: manifests::timestamp_version };
        let board = Board::new(sources);
        board.refresh(&db).await.unwrap();
        let intake = Intake::start(&db, log, &board, clock, &[]);
        let exporter = Exporter::open(config, log).unwrap();
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
            "site": site, "root_sha256": Digest::of(&root), "person": "anna", "name": "Anna",
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

    /// One request to the people's port of `node`.
    pub async fn call_on(
        &self,
        node: &Node,
        (method, path): (&str, &str),
        token: &str,
        body: Vec<u8>,
    ) -> (u16, Vec<u8>) {
        let app = App::new()
            .wrap(from_fn(edge::edge))
            .app_data(Data::new(self.clock.clone()))
            .app_data(Data::new(node.db.clone()))
            .app_data(Data::new(self.objects.clone()))
            .app_data(Data::new(self.config.clone()))
            .app_data(Data::new(self.log.clone()))
            .app_data(Data::new(self.door.clone()))
            .app_data(Data::new(Strangers::default()))
            .app_data(Data::new(node.board.clone()))
            .app_data(Data::new(node.repository.clone()))
            .app_data(Data::new(node.exporter.clone()))
            .app_data(Data::new(people::gate(&node.db)))
            .configure(edge::extractors(self.config.limits.body))
            .configure(ledger::routes)
            .configure(fleet::people_routes)
            .configure(manifests::people)
            .configure(changes::people)
            .configure(rollout::people)
            .configure(compliance::people);
        let app = test::init_service(app).await;
        let request = test::TestRequest::with_uri(path)
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .peer_addr("127.0.0.1:1".parse().unwrap())
            .insert_header(("authorization", format!("Bearer {token}")))
            .insert_header(("accept-language", "en"))
            .insert_header(("content-type", "application/json"))
            .set_payload(body)
            .to_request();
        let response = test::call_service(&app, request).await;
        let status = response.status().as_u16();
        (status, test::read_body(response).await.to_vec())
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

    pub async fn sql(&self, text: &'static str) {
        use diesel::RunQueryDsl as _;
        self.write(move |tx| Ok(diesel::sql_query(text).execute(tx).map(drop)?)).await.unwrap();
    }

    /// Lets a new machine in through the join command's interface.
    async fn join(&mut self, n: usize) {
        let class: HostClass = "production".parse().unwrap();
        let invite = Invite { host_class: class.clone(), labels: Map::default(), minutes: 10 };
        let invitation: Invitation =
            serde_json::from_value(self.good("POST", "/v1/join-tokens", invite).await).unwrap();
        let mut host = Host { key: key(100 + n as u8), name: format!("web{}", n + 1), seq: 0, prev: None };
        let csr = CertificateParams::new(Vec::new()).unwrap();
        let csr = csr.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        let header = self.header(&mut host);
        let token = Digest::of(invitation.token.as_bytes());
        let body = Enrolment { header, hostname: host.name.clone(), token, csr };
        let enrolment = Statement::sign(body, &host.key);
        host.prev = Some(enrolment.digest);
        let join = Join { enrolment: enrolment.envelope, token: invitation.token };
        self.good("POST", "/v1/join", join).await;
        self.hosts.push(host);
    }

    fn header(&self, host: &mut Host) -> Header {
        host.seq += 1;
        Header {
            site: self.site.clone(),
            agent_id: host.agent(),
            key: host.key.public(),
            host_class: "production".parse().unwrap(),
            seq: host.seq,
            prev: host.prev,
            at: self.now(),
            boot_id: "boot".into(),
            agent_version: semver::Version::new(0, 1, 0),
            log_seen: None,
        }
    }

    pub fn publication(&self, name: &str, version: &str, text: &str) -> Statement<Publication> {
        let manifest = serde_json::json!({
            "manifest": name, "version": version, "team": "main", "title": "Test",
            "resources": [{"file": {"path": "/etc/motd", "content": text}}], "on_drift": "report",
        });
        let manifest = Manifest::from_json(manifest.to_string().as_bytes()).unwrap();
        let body = Publication {
            site: self.site.clone(),
            publisher: "pia".parse().unwrap(),
            at: NOW.plus(-900),
            source: Digest::of(b"yaml"),
            manifest,
        };
        Statement::sign(body, &key(PUBLISHER))
    }

    /// The request that publishes this manifest next, and what the repository lists afterwards.
    pub fn publishing(
        &self,
        published: &Statement<Publication>,
    ) -> (manifests::Publish, Map<TargetName, TargetFile>) {
        let (version, mut listed) = self.content.clone();
        let name: TargetName = published.body.target_name().parse().unwrap();
        listed.insert(name, TargetFile::of(&published.to_bytes()));
        let text = String::from_utf8(content(version + 1, listed.clone(), PUBLISHER)).unwrap();
        let target = published.envelope.clone();
        (manifests::Publish { team: "main".parse().unwrap(), content: text, target, older: false }, listed)
    }

    /// Publishes a manifest over HTTP.
    pub async fn publish(&mut self, name: &str, version: &str) -> ManifestUse {
        let published = self.publication(name, version, version);
        let (request, listed) = self.publishing(&published);
        self.good("POST", "/v1/tuf/publish", &request).await;
        self.content = (self.content.0 + 1, listed);
        used(&published)
    }

    /// A revision of all hosts in waves of one each when `gate` is given.
    pub fn change(&self, id: &ChangeId, revision: u32, manifest: &ManifestUse) -> Change {
        Change {
            site: self.site.clone(),
            change_id: id.clone(),
            revision,
            change_type: ChangeType::Normal,
            title: format!("Base of every web server, {revision}"),
            reason: "first roll-out".into(),
            author: "anna".parse().unwrap(),
            created: self.now(),
            manifests: vec![manifest.clone()],
            targets: self.hosts.iter().map(Host::target).collect(),
            intervals: vec![
                Interval { from: NOW.plus(3_600), until: NOW.plus(7_200) },
                Interval { from: NOW.plus(DAY), until: NOW.plus(DAY + 3_600) },
            ],
            not_after: NOW.plus(2 * DAY),
            missed: Missed::Next,
            waves: Vec::new(),
            plan_binding: PlanBinding::Within,
            action_classes: BTreeSet::from([ActionClass::File]),
            downgrade: false,
            reboot: Reboot::Never,
            undo: UndoPlan { text: "restore the old file".into(), automatic: true },
            supersedes: None,
        }
    }

    /// A change that all hosts have planned for, in review.
    pub async fn in_review(&mut self, manifest: &ManifestUse, bend: impl Fn(&mut Change)) -> Reviewed {
        let created = self.good("POST", "/v1/changes", serde_json::json!({})).await;
        let id: ChangeId = serde_json::from_value(created["change_id"].clone()).unwrap();
        let mut change = self.change(&id, 1, manifest);
        bend(&mut change);
        let change = Statement::sign(change, &key(AUTHOR));
        self.good("PUT", &format!("/v1/changes/{id}/revisions/1"), &change.envelope).await;
        self.good("POST", &format!("/v1/changes/{id}/submit"), serde_json::json!({})).await;
        let mut plans = BTreeMap::new();
        for host in &self.hosts {
            let plan = self.plan(host, &change, "hello");
            self.send_plan(host, &plan).await.unwrap();
            plans.insert(host.agent(), plan);
        }
        Reviewed { id, change, plans }
    }

    pub fn sign(&self, change: Change) -> Statement<Change> {
        Statement::sign(change, &key(AUTHOR))
    }

    pub fn plan(&self, host: &Host, change: &Statement<Change>, text: &str) -> Statement<Plan> {
        let action = Action {
            resource: "file:/etc/motd".parse().unwrap(),
            verb: Verb::Create,
            class: ActionClass::File,
            before: None,
            after: Digest::of(text.as_bytes()),
            summary: "create file:/etc/motd".into(),
            diff: None,
            undo: Reversibility { undo: UndoContract::Yes, why: String::new() },
            package: None,
        };
        let body = Plan {
            site: self.site.clone(),
            agent_id: host.agent(),
            key: host.key.public(),
            hostname: host.name.clone(),
            host_class: "production".parse().unwrap(),
            change_id: change.body.change_id.clone(),
            revision: change.body.revision,
            change: change.digest,
            at: self.now(),
            actions: vec![action],
            agent_version: semver::Version::new(0, 1, 0),
        };
        Statement::sign(body, &host.key)
    }

    pub async fn send_plan(&self, host: &Host, plan: &Statement<Plan>) -> Result<(), Error> {
        let (site, agent) = (self.site.clone(), host.agent());
        let bytes = plan.to_bytes();
        let now = self.now();
        self.write(move |tx| {
            let plan = shared::plan::open_plan(&bytes)
                .map_err(|e| Refusal::bad_request("request.bad_json").with("detail", e))?;
            plans::accept(tx, (&site, agent), &plan, now)
        })
        .await
    }

    pub fn approval(&self, of: &Reviewed, name: &str, decision: Decision) -> Approval {
        Approval {
            site: self.site.clone(),
            change_id: of.id.clone(),
            revision: of.change.body.revision,
            change: of.change.digest,
            decision,
            person: name.parse().unwrap(),
            at: self.now(),
            expires: self.now().plus(2 * DAY),
            saw: Saw { plan_set: of.plan_set().digest(), renderer: "test".into() },
            agents: None,
            nonce: format!("{name}-{}-{}", decision.as_str(), self.now()),
            comment: String::new(),
        }
    }

    pub fn approving(&self, of: &Reviewed, name: &str, decision: Decision) -> shared::wire::Approve {
        let approval = Statement::sign(self.approval(of, name, decision), &key(approver(name)));
        shared::wire::Approve { plan_set: of.plan_set(), approval: approval.envelope }
    }

    pub async fn approve(&self, of: &Reviewed, name: &str) -> serde_json::Value {
        let sent = self.approving(of, name, Decision::Approve);
        self.good("POST", &format!("/v1/changes/{}/approvals", of.id), sent).await
    }

    pub async fn state(&self, id: &ChangeId) -> String {
        let id = id.clone();
        self.read(move |tx| Ok(changes::get(tx, &id)?.state)).await
    }

    /// Bundles that hosts would find now, by name, verified as a host does.
    pub async fn listed(&self) -> Vec<String> {
        let now = self.now();
        let trusted = self.read(move |tx| manifests::tests::as_client(tx, now)).await;
        trusted.changes().unwrap().iter().map(|(id, revision, _)| format!("{id}.{revision}")).collect()
    }

    pub async fn bundle(&self, name: &str) -> shared::bundle::Bundle {
        let now = self.now();
        let name: TargetName = name.parse().unwrap();
        let trusted = self.read(move |tx| manifests::tests::as_client(tx, now)).await;
        let file = *trusted.find(&name).unwrap().unwrap();
        let (bytes, _) =
            self.node.repository.files.get(&self.node.db, &name.served_as(&file)).await.unwrap().unwrap();
        file.check(&name, &bytes).unwrap();
        shared::bundle::Bundle::parse(&bytes).unwrap()
    }

    pub async fn checkpoint(&self) -> Checkpoint {
        self.read(ledger::head).await
    }

    /// The host's receipt for the change, sent and proven.
    pub async fn report(&mut self, n: usize, of: &Reviewed, outcome: HostOutcome) -> Digest {
        let head = self.checkpoint().await;
        let policy = self.read(manifests::policy).await;
        let mut host = self.hosts.remove(n);
        let plan = &of.plans[&host.agent()];
        let mut header = self.header(&mut host);
        header.log_seen = Some(LogSeen { origin: head.origin.to_string(), size: head.size, root: head.root });
        let status = if outcome.is_success() { StepStatus::Done } else { StepStatus::Failed };
        let step = &plan.body.actions[0];
        let approvals = self.approvals_of(&of.change.digest).await;
        let body = Receipt {
            header,
            change_id: of.id.clone(),
            revision: of.change.body.revision,
            change: of.change.digest,
            wave: u32::try_from(of.change.body.wave_of(host.agent()).unwrap()).unwrap(),
            interval: of.change.body.interval_at(self.now()).unwrap(),
            plan: plan.digest,
            plan_set: of.plan_set().digest(),
            approvals,
            policy: policy.digest,
            policy_version: policy.policy.version,
            self_approved: false,
            tuf: TufVersions { root: 1, timestamp: 1, snapshot: 1, targets: 1 },
            started: self.now(),
            finished: self.now().plus(5),
            results: vec![StepResult {
                resource: step.resource.clone(),
                verb: step.verb,
                before: None,
                after: step.after,
                status,
                ms: 5,
                note: String::new(),
            }],
            health: Vec::new(),
            outcome,
            note: String::new(),
        };
        let receipt = Statement::sign(body, &host.key);
        host.prev = Some(receipt.digest);
        self.send(&host, &receipt.envelope).await;
        self.hosts.insert(n, host);
        receipt.digest
    }

    async fn approvals_of(&self, change: &Digest) -> Vec<Digest> {
        let change = *change;
        self.read(move |tx| changes::store::papers::list_approvals(tx, &change)).await
    }

    async fn send(&self, host: &Host, envelope: &shared::envelope::Envelope) {
        let incoming = Incoming::open(envelope, &self.site, host.agent()).unwrap();
        self.node.intake.record(incoming, None).await.unwrap();
    }

    /// The host says that it does not do the change.
    pub async fn refuse(&mut self, n: usize, of: &Reviewed, code: Code, retry_at: Option<Timestamp>) {
        let mut host = self.hosts.remove(n);
        let body = HostRefusal {
            header: self.header(&mut host),
            change_id: Some(of.id.clone()),
            revision: Some(of.change.body.revision),
            evidence: of.change.digest,
            reason: Refused { code, message: "for the test".into(), retry_at },
        };
        let refusal = Statement::sign(body, &host.key);
        host.prev = Some(refusal.digest);
        self.send(&host, &refusal.envelope).await;
        self.hosts.insert(n, host);
    }

    /// What the publishing job does.
    pub async fn publish_waiting(&self) {
        changes::publish(&self.node.db, &self.node.repository, self.now()).await.unwrap();
    }

    /// Publishes what a row says, as an intruder with the database would have it done.
    pub async fn refresh_all(&self) -> Result<(), Error> {
        let (online, now) = (self.node.repository.online.clone(), self.now());
        self.write(move |tx| {
            course::lock(tx)?;
            let mut rows = changes::store::list_unpublished(tx)?;
            bundle::refresh(tx, &online, &mut rows, now)
        })
        .await
    }
}

pub fn used(published: &Statement<Publication>) -> ManifestUse {
    let manifest = &published.body.manifest;
    ManifestUse {
        team: manifest.team.clone(),
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        sha256: published.digest,
        params: Map::default(),
    }
}

/// Each host its own wave; the later ones wait for one success of the earlier ones.
pub fn in_waves(change: &mut Change) {
    let gate = shared::change::Gate { min_success: 1, max_fail: 0, soak_s: 60 };
    change.waves = change
        .targets
        .iter()
        .enumerate()
        .map(|(n, target)| Wave { agents: vec![target.agent], gate: (n > 0).then_some(gate) })
        .collect();
}

/// A change in review with the plans of its hosts.
pub struct Reviewed {
    pub id: ChangeId,
    pub change: Statement<Change>,
    pub plans: BTreeMap<shared::ids::AgentId, Statement<Plan>>,
}

impl Reviewed {
    pub fn plan_set(&self) -> PlanSet {
        let plans = self.plans.iter().map(|(agent, plan)| (*agent, plan.digest)).collect();
        PlanSet { change: self.change.digest, plans }
    }
}

pub fn answer(value: &serde_json::Value) -> approve::Answer {
    serde_json::from_value(value.clone()).unwrap()
}
