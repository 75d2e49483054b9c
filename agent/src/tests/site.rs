//! A whole site in memory with real keys, documents, repository metadata and ledger; it speaks the agent port.
//!
//! Tests bend single parts of it; everything else stays validly signed.

use crate::clock::Clock;
use crate::net::{NetError, Sink};
use crate::server::{CheckIn, Server};
use crate::tls::Trust;
use shared::approval::{Approval, Decision, Saw};
use shared::budgets::{AskSlots, Lease, SlotWish, Slots, UsedUp};
use shared::bundle::{Bundle, Control};
use shared::change::{
    Change, ChangeType, Gate, ManifestUse, Missed, PlanBinding, Reboot, Target, UndoPlan, Wave,
};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::facts::Facts;
use shared::ids::{AgentId, SiteId, Team};
use shared::keys::{PublicKey, SigningKey};
use shared::ledger::{
    Checkpoint, ConsistencyProof, Frontier, InclusionProof, KeyName, Leaf, LeafKind, VerifierKey, tree,
};
use shared::manifest::Manifest;
use shared::plan::{Plan, PlanSet, open_plan};
use shared::policy::{
    ClockRules, DistinctFrom, LogRules, Match, Person, PersonKey, Policy, Require, Role as Part, Rule, SCHEMA,
};
use shared::publication::Publication;
use shared::receipt::{HostOutcome, Renewal};
use shared::risk::ActionClass;
use shared::statement::Statement;
use shared::strict::{self, Map};
use shared::summary::Summary;
use shared::time::{Interval, Timestamp};
use shared::tuf::writer::{self, KeySet};
use shared::tuf::{Role, Signed, Snapshot, TargetFile, TargetName};
use shared::wire::{Approve, AskProofs, FactsChange, FactsReport, Joined, Proofs, Record, Recorded, Work};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub const NOW: Timestamp = Timestamp(1_800_000_000);

pub fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

pub const AUTHOR: u8 = 1;
pub const FIRST: u8 = 2;
pub const FIRST_AGAIN: u8 = 3;
pub const SECOND: u8 = 4;
pub const PUBLISHER: u8 = 6;
const GOVERNANCE: u8 = 10;
const ONLINE: u8 = 11;
const LOG: u8 = 12;
pub const HOST: u8 = 20;

pub fn site_id() -> SiteId {
    "00112233aabbccdd".parse().unwrap()
}

fn log_name() -> KeyName {
    "assent.test/ledger".parse().unwrap()
}

/// Two approvals of distinct persons who are neither author nor publisher.
pub fn policy() -> Policy {
    let person = |name: &str, keys: &[(u8, &[Part])]| Person {
        id: name.parse().unwrap(),
        name: name.into(),
        keys: keys.iter().map(|(n, roles)| PersonKey::file(key(*n).public(), roles)).collect(),
    };
    Policy {
        schema: SCHEMA.into(),
        site: site_id(),
        version: 5,
        issued: NOW,
        one_person: false,
        persons: vec![
            person("author", &[(AUTHOR, &[Part::Author, Part::Approver])]),
            person("first", &[(FIRST, &[Part::Approver]), (FIRST_AGAIN, &[Part::Approver])]),
            person("second", &[(SECOND, &[Part::Approver, Part::BreakGlass])]),
            person("publisher", &[(PUBLISHER, &[Part::Publisher, Part::Approver])]),
        ],
        rules: vec![Rule {
            name: "normal".into(),
            matches: Match::default(),
            require: Require {
                distinct_from: [DistinctFrom::Author, DistinctFrom::Publisher].into(),
                ..Require::of(2, 48)
            },
        }],
        clock: ClockRules { max_skew_s: 300, offline_grace_h: 24 },
        log: LogRules::new(vec![VerifierKey::new(log_name(), key(LOG).public()).to_string()]),
        ca_spki: vec![],
        server_urls: vec![],
        vendor: None,
        delegations: Vec::new(),
        groups: Vec::new(),
        risk_rules: Vec::new(),
        conflicts: None,
        models: Vec::new(),
        breakglass: None,
        governance: Vec::new(),
    }
}

/// The append-only ledger of the site.
pub struct Ledger {
    name: KeyName,
    key: SigningKey,
    frontier: Frontier,
    nodes: BTreeMap<(u8, u64), Digest>,
    leaves: Vec<String>,
}

impl Default for Ledger {
    fn default() -> Self {
        let (frontier, nodes, leaves) = (Frontier::default(), BTreeMap::new(), Vec::new());
        Self { name: log_name(), key: key(LOG), frontier, nodes, leaves }
    }
}

impl Ledger {
    /// The same leaves under another name and key, as after a restore.
    pub fn go_on_as(&mut self, name: &str, key: SigningKey) {
        (self.name, self.key) = (name.parse().unwrap(), key);
    }

    pub fn append(&mut self, leaf: &Leaf) -> u64 {
        self.leaves.push(String::from_utf8(leaf.to_bytes()).unwrap());
        for node in self.frontier.append(leaf.hash()) {
            self.nodes.insert((node.level, node.index), node.digest);
        }
        self.leaves.len() as u64 - 1
    }

    fn inclusion(&self, index: u64) -> InclusionProof {
        let hashes = tree::inclusion_proof(index, self.frontier.size(), &self.nodes).unwrap();
        InclusionProof { leaf: self.leaves[usize::try_from(index).unwrap()].clone(), index, hashes }
    }

    fn consistency(&self, from: Option<u64>) -> Option<ConsistencyProof> {
        let new_size = self.frontier.size();
        from.filter(|old| *old <= new_size).map(|old_size| ConsistencyProof {
            old_size,
            new_size,
            hashes: tree::consistency_proof(old_size, new_size, &self.nodes).unwrap(),
        })
    }

    fn checkpoint(&self) -> String {
        let (size, root) = (self.frontier.size(), self.frontier.root());
        Checkpoint { origin: self.name.clone(), size, root }.sign(&self.key).unwrap().to_string()
    }

    fn proof(&self, index: u64, from: Option<u64>) -> Recorded {
        Recorded {
            inclusion: self.inclusion(index),
            checkpoint: self.checkpoint(),
            consistency: self.consistency(from),
        }
    }

    fn proofs(&self, wanted: &AskProofs) -> Proofs {
        let wanted_leaf =
            |leaf: &String| wanted.statements.contains(&Leaf::parse(leaf.as_bytes()).unwrap().sha256);
        let places = (0..).zip(&self.leaves).filter(|(_, leaf)| wanted_leaf(leaf));
        Proofs {
            checkpoint: self.checkpoint(),
            inclusion: places.map(|(index, _)| self.inclusion(index)).collect(),
            consistency: self.consistency(wanted.log_size),
            witnessed: Vec::new(),
        }
    }
}

/// What the server holds. Shared between the test and the agent.
pub struct Held {
    pub policy: Policy,
    pub manifests: BTreeMap<TargetName, Vec<u8>>,
    pub bundles: BTreeMap<TargetName, Vec<u8>>,
    pub control: Control,
    pub files: BTreeMap<String, Vec<u8>>,
    /// Files of the repository in the order in which they were asked for.
    pub fetched: Vec<String>,
    pub versions: u64,
    snapshot: Option<Snapshot>,
    pub wishes: Vec<Envelope>,
    pub plans: BTreeMap<Digest, Envelope>,
    pub statements: Vec<Envelope>,
    pub ledger: Ledger,
    indexes: BTreeMap<Digest, u64>,
    pub facts: Vec<Facts>,
    /// How often facts came as a whole.
    pub whole: u32,
    /// The next change of facts meets a node that holds older ones.
    pub stale_facts: bool,
    /// What was told of health checks.
    pub health: Vec<shared::health::HealthReport>,
    pub artifacts: BTreeMap<Digest, Vec<u8>>,
    /// Words that hosts brought, each with the number of statements that were here before it.
    pub words: Vec<(Digest, usize)>,
    pub refuse_words: bool,
    /// What hosts asked for slots.
    pub asked: Vec<AskSlots>,
    /// The budget that has none left.
    pub used_up: Option<UsedUp>,
    /// A host that takes a slot finds its clock set to this.
    pub sets_clock: Option<(Clock, Timestamp)>,
    /// False: nobody answers.
    pub online: bool,
    /// The answer to the next statement is lost after it was recorded.
    pub lose_answer: bool,
    /// What hosts send is turned away, with so many seconds to wait.
    pub too_much: Option<u32>,
    pub turned_away: u32,
    pub check_ins: u32,
    /// What the last check-in said of judging.
    pub judges: bool,
    /// Who has seen an answer to a check-in is told only what is new since.
    pub etags: bool,
    pub now: Timestamp,
    /// Who certifies hosts; nobody at first.
    pub authority: Option<Certifier>,
    /// Other authorities that it names beside that one, PEM.
    pub beside: String,
    /// Whose certificate hosts are shown; with none, they look at nothing.
    pub shows: Option<Digest>,
    /// Whom the host believes, as it said last.
    pub believed: Vec<Digest>,
}

/// A certificate authority of a site.
pub struct Certifier {
    pub pem: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Certifier {
    pub fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: rcgen::Issuer::from_ca_cert_pem(&pem, key).unwrap(), pem }
    }

    /// A client certificate for the key of a request, from the year `from` to the year `to`.
    pub fn certify(&self, csr: &str, agent: AgentId, (from, to): (i32, i32)) -> String {
        let request = rcgen::CertificateSigningRequestParams::from_pem(csr).unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        let name = format!("urn:assent:{}:{agent}", site_id());
        params.subject_alt_names = vec![rcgen::SanType::URI(name.as_str().try_into().unwrap())];
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        params.signed_by(&request.public_key, &self.issuer).unwrap().pem()
    }
}

/// The agent's end of the site; clones are the same site.
#[derive(Clone)]
pub struct TestSite(pub Rc<RefCell<Held>>);

pub fn team() -> Team {
    "main".parse().unwrap()
}

/// A manifest in its compiled form with one file.
pub fn manifest(version: &str, content: &str) -> Manifest {
    let text = format!(
        r#"{{"manifest":"web-base","version":"{version}","team":"main","title":"t",
            "resources":[{{"file":{{"path":"/etc/motd","content":"{content}"}}}}]}}"#
    );
    Manifest::from_json(text.as_bytes()).unwrap()
}

impl TestSite {
    pub fn new() -> Self {
        let held = Held {
            policy: policy(),
            manifests: BTreeMap::new(),
            bundles: BTreeMap::new(),
            control: Control::default(),
            files: BTreeMap::new(),
            fetched: Vec::new(),
            versions: 0,
            snapshot: None,
            wishes: vec![],
            plans: BTreeMap::new(),
            statements: vec![],
            ledger: Ledger::default(),
            indexes: BTreeMap::new(),
            facts: vec![],
            whole: 0,
            stale_facts: false,
            health: vec![],
            artifacts: BTreeMap::new(),
            words: vec![],
            refuse_words: false,
            asked: vec![],
            used_up: None,
            sets_clock: None,
            online: true,
            lose_answer: false,
            too_much: None,
            turned_away: 0,
            check_ins: 0,
            judges: false,
            etags: false,
            now: NOW,
            authority: None,
            beside: String::new(),
            shows: None,
            believed: vec![],
        };
        let site = Self(Rc::new(RefCell::new(held)));
        let (governance, online) = (KeySet::one(key(GOVERNANCE).public()), KeySet::one(key(ONLINE).public()));
        let root = writer::new_root(1, NOW.plus(400 * 86_400), &governance, &online).unwrap();
        let root = Signed::by(root, &[&key(GOVERNANCE)]).to_bytes();
        site.0.borrow_mut().files.insert("1.root.json".into(), root);
        site.publish();
        site
    }

    pub fn root(&self) -> Vec<u8> {
        self.0.borrow().files["1.root.json"].clone()
    }

    /// Signs the whole repository again as it should be now.
    pub fn publish(&self) {
        let mut held = self.0.borrow_mut();
        held.versions += 1;
        let (version, now) = (held.versions, held.now);
        let days = |n: i64| now.plus(n * 86_400);
        let policy = strict::to_json(&held.policy);
        let publishers = BTreeMap::from([(team(), KeySet::one(key(PUBLISHER).public()))]);
        let online = KeySet::one(key(ONLINE).public());
        let targets = writer::targets_with_policy(version, days(400), &policy, &publishers, &online).unwrap();
        let control = strict::to_json(&held.control);
        let mut files: BTreeMap<TargetName, Vec<u8>> = held.bundles.clone();
        files.insert(TargetName::Control, control);
        let listed = |files: &BTreeMap<TargetName, Vec<u8>>| -> Map<TargetName, TargetFile> {
            files.iter().map(|(name, bytes)| (name.clone(), TargetFile::of(bytes))).collect()
        };
        let content = writer::content(version, days(400), &team(), listed(&held.manifests)).unwrap();
        let changes = writer::changes(version, days(7), listed(&files)).unwrap();
        let signed = [
            (Role::Targets, Signed::by(targets, &[&key(GOVERNANCE)]).to_bytes()),
            (Role::Content(team()), Signed::by(content, &[&key(PUBLISHER)]).to_bytes()),
            (Role::Changes, Signed::by(changes, &[&key(ONLINE)]).to_bytes()),
        ];
        let pins: Vec<_> = signed.iter().map(|(role, bytes)| (role.clone(), bytes.as_slice())).collect();
        let snapshot = writer::snapshot(version, days(7), held.snapshot.as_ref(), &pins).unwrap();
        let snapshot_bytes = Signed::by(snapshot.clone(), &[&key(ONLINE)]).to_bytes();
        let timestamp = writer::timestamp(version, days(1), now, &snapshot_bytes).unwrap();
        let timestamp = Signed::by(timestamp, &[&key(ONLINE)]).to_bytes();
        files.extend(held.manifests.clone());
        files.insert(TargetName::Policy, policy);
        for (name, bytes) in files {
            held.files.insert(name.served_as(&TargetFile::of(&bytes)), bytes);
        }
        for (role, bytes) in signed {
            held.files.insert(role.file(version), bytes);
        }
        held.files.insert(Role::Snapshot.file(version), snapshot_bytes);
        held.files.insert("timestamp.json".into(), timestamp);
        held.snapshot = Some(snapshot);
    }

    /// Publishes a manifest under its publisher's signature; gives what a change names.
    pub fn add_manifest(&self, manifest: Manifest) -> ManifestUse {
        let (name, version) = (manifest.name.clone(), manifest.version.clone());
        let body = Publication {
            site: site_id(),
            publisher: "publisher".parse().unwrap(),
            at: NOW,
            source: Digest::of(b"source"),
            manifest,
        };
        let statement = Statement::sign(body, &key(PUBLISHER));
        let target = TargetName::Manifest { team: team(), name: name.clone(), version: version.clone() };
        self.0.borrow_mut().manifests.insert(target, statement.to_bytes());
        ManifestUse {
            team: team(),
            name,
            version,
            sha256: statement.digest,
            params: Map::default(),
            rules: vec![],
        }
    }

    /// Replaces the only manifest's statement by a bent one.
    pub fn resign_manifest(&self, signer: u8, bend: impl FnOnce(&mut Publication)) {
        let mut held = self.0.borrow_mut();
        let bytes = held.manifests.values_mut().next().unwrap();
        let mut body = Statement::<Publication>::parse(bytes).unwrap().body;
        bend(&mut body);
        *bytes = Statement::sign(body, &key(signer)).to_bytes();
    }

    pub fn only_manifest_digest(&self) -> Digest {
        let held = self.0.borrow();
        Statement::<Publication>::parse(held.manifests.values().next().unwrap()).unwrap().digest
    }

    /// A change of one manifest for the test host, not yet signed.
    pub fn change(&self, number: u32, manifest: ManifestUse) -> Change {
        let host = key(HOST).public();
        let now = self.0.borrow().now;
        Change {
            site: site_id(),
            change_id: format!("C-{number}").parse().unwrap(),
            revision: 1,
            change_type: ChangeType::Normal,
            title: "Base of every web server".into(),
            reason: "roll-out".into(),
            author: "author".parse().unwrap(),
            created: now.plus(-600),
            manifests: vec![manifest],
            targets: vec![Target { agent: host.agent_id(), key: host.digest() }],
            intervals: vec![Interval { from: now.plus(-60), until: now.plus(3_600) }],
            window_rules: Vec::new(),
            not_after: now.plus(100_000),
            missed: Missed::Next,
            waves: vec![],
            plan_binding: PlanBinding::Within,
            action_classes: BTreeSet::from([ActionClass::File, ActionClass::Package]),
            downgrade: false,
            reboot: Reboot::Never,
            undo: UndoPlan { text: "the old file".into(), automatic: true },
            lift_quarantine: false,
            correct_until: None,
            halt_above: None,
            series: None,
            model: None,
            supersedes: None,
            accepts: Vec::new(),
            retires: Vec::new(),
        }
    }

    /// Asks the host for a plan of the change.
    pub fn wish(&self, change: &Statement<Change>) {
        self.0.borrow_mut().wishes = vec![change.envelope.clone()];
    }

    /// The bundle with the plans that hosts sent for the change.
    pub fn bundle(&self, change: &Statement<Change>) -> Bundle {
        let held = self.0.borrow();
        let plans = held.plans.values().map(|e| open_plan(&e.to_bytes()).unwrap());
        let plans: Vec<Statement<Plan>> = plans.filter(|p| p.body.change == change.digest).collect();
        let plans = plans.iter().map(|p| (p.body.agent_id, p.digest)).collect();
        let plan_set = PlanSet { change: change.digest, plans };
        Bundle { change: change.clone(), plan_set, approvals: vec![] }
    }

    /// Lists a bundle and signs the repository again.
    pub fn list(&self, bundle: &Bundle) {
        let body = &bundle.change.body;
        let name = TargetName::Change { id: body.change_id.clone(), revision: body.revision };
        self.0.borrow_mut().bundles.insert(name, bundle.to_bytes());
        self.publish();
    }

    /// What the gate of this wave is judged by, from the next publication on.
    pub fn show_gate(&self, change: &Change, wave: u32, bytes: &[u8]) {
        let name = TargetName::Gate { id: change.change_id.clone(), revision: change.revision, wave };
        self.0.borrow_mut().bundles.insert(name, bytes.to_vec());
    }

    pub fn unlist_all(&self) {
        self.0.borrow_mut().bundles.clear();
        self.publish();
    }

    /// Reasons of all refusals that the server has recorded.
    pub fn refusals(&self) -> Vec<shared::receipt::Refusal> {
        self.read_all::<shared::receipt::Refusal>()
    }

    pub fn receipts(&self) -> Vec<shared::receipt::Receipt> {
        self.read_all::<shared::receipt::Receipt>()
    }

    pub fn findings(&self) -> Vec<shared::finding::Finding> {
        self.read_all::<shared::finding::Finding>()
    }

    fn read_all<P: shared::receipt::Chained>(&self) -> Vec<P> {
        let held = self.0.borrow();
        let open = |e: &Envelope| shared::receipt::open_chained::<P>(&e.to_bytes(), &site_id()).ok();
        held.statements.iter().filter_map(open).map(|s| s.body).collect()
    }

    /// Records an enrolment as joining does, and proves it.
    pub fn record_enrolment(&self, enrolment: &Statement<shared::receipt::Enrolment>) -> Recorded {
        let record = Record { statement: enrolment.envelope.clone(), summary: None, log_size: None };
        self.0.borrow_mut().record(&record).unwrap()
    }

    /// Forgets all recorded statements but the first `keep`, as a server restored from a backup does.
    pub fn forget_statements(&self, keep: usize) {
        let mut held = self.0.borrow_mut();
        for gone in held.statements.split_off(keep) {
            held.indexes.remove(&gone.digest());
        }
    }

    /// Statements and ledger as they were when there were so many of each: a server from a backup.
    pub fn restore(&self, statements: usize, leaves: usize) {
        self.forget_statements(statements);
        let mut held = self.0.borrow_mut();
        let old = std::mem::take(&mut held.ledger).leaves;
        for leaf in old.iter().take(leaves) {
            held.ledger.append(&Leaf::parse(leaf.as_bytes()).unwrap());
        }
    }

    /// Gives a statement about the first change its leaf.
    pub fn log(&self, kind: LeafKind, digest: Digest) {
        let leaf = Leaf::new(kind, digest, None, None, Some("C-1".parse().unwrap())).unwrap();
        self.0.borrow_mut().ledger.append(&leaf);
    }

    /// Replaces the ledger by another one with the same name and key.
    pub fn fork_ledger(&self) {
        let mut held = self.0.borrow_mut();
        let leaves = held.ledger.leaves.len();
        held.ledger = Ledger::default();
        for n in 0..=leaves {
            let leaf = Leaf::new(LeafKind::Policy, Digest::of(&n.to_be_bytes()), None, None, None).unwrap();
            held.ledger.append(&leaf);
        }
    }

    /// The chain of the host as the server has it: unbroken, each place once.
    pub fn check_chain(&self) {
        let held = self.0.borrow();
        let mut prev = None;
        for (place, envelope) in held.statements.iter().enumerate() {
            let header = crate::receipt::header_of(envelope).unwrap();
            assert_eq!(header.seq, place as u64 + 1);
            assert_eq!(header.prev, prev, "place {}", header.seq);
            prev = Some(envelope.digest());
        }
    }
}

/// An approval by a person with one of the test keys.
/// Key of a host that goes before the one that is tested.
pub const CANARY: u8 = 81;

/// The tested host comes after the canary has succeeded and was watched for a minute.
pub fn behind_a_canary(change: &mut Change) {
    let canary = key(CANARY).public();
    let me = change.targets[0].agent;
    change.targets.push(Target { agent: canary.agent_id(), key: canary.digest() });
    let gate = Some(Gate { min_success: 1, max_fail: 0, soak_s: 60 });
    change.waves =
        vec![Wave { agents: vec![canary.agent_id()], gate: None }, Wave { agents: vec![me], gate }];
}

/// How the canary says that it ended.
pub fn canary_said(change: &Statement<Change>, outcome: HostOutcome, finished: Timestamp) -> Envelope {
    let canary = key(CANARY).public();
    let summary = Summary {
        site: site_id(),
        agent_id: canary.agent_id(),
        key: canary,
        change: change.digest,
        receipt: Digest::of(b"receipt"),
        outcome,
        started: finished,
        finished,
    };
    Statement::sign(summary, &key(CANARY)).envelope
}

pub fn approval(bundle: &Bundle, name: &str, now: Timestamp) -> Approval {
    let change = &bundle.change;
    Approval {
        site: change.body.site.clone(),
        change_id: change.body.change_id.clone(),
        revision: change.body.revision,
        change: change.digest,
        decision: Decision::Approve,
        person: name.parse().unwrap(),
        at: now.plus(-30),
        expires: now.plus(86_400),
        saw: Saw { plan_set: bundle.plan_set.digest(), renderer: "test".into() },
        agents: None,
        nonce: name.into(),
        comment: String::new(),
        breakglass: None,
    }
}

pub fn approve(bundle: &mut Bundle, names: &[(&str, u8)], now: Timestamp) {
    for (name, n) in names {
        let body = approval(bundle, name, now);
        bundle.approvals.push(Statement::sign(body, &key(*n)));
    }
}

fn refused(what: &str, code: &str) -> NetError {
    NetError::Refused {
        what: what.into(),
        status: 409,
        code: code.into(),
        message: "no".into(),
        retry_after_secs: None,
    }
}

impl Held {
    fn answer<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T, NetError>) -> Result<T, NetError> {
        if !self.online {
            return Err(NetError::Unreachable { address: "test".into(), why: "off".into() });
        }
        if self.shows.is_some_and(|spki| !self.believed.contains(&spki)) {
            return Err(NetError::Tls { address: "test".into(), why: "not believed".into() });
        }
        act(self)
    }

    /// As `answer`, for what a server may have too much of.
    fn take<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T, NetError>) -> Result<T, NetError> {
        self.answer(|held| match held.too_much {
            None => act(held),
            Some(secs) => {
                held.turned_away += 1;
                Err(NetError::Refused {
                    what: "it".into(),
                    status: 429,
                    code: "agent.too_much".into(),
                    message: "no".into(),
                    retry_after_secs: Some(secs),
                })
            }
        })
    }

    /// As the contract says: the next place is recorded, the same again answers the same.
    fn record(&mut self, record: &Record) -> Result<Recorded, NetError> {
        let digest = record.statement.digest();
        if !self.indexes.contains_key(&digest) {
            let header = crate::receipt::header_of(&record.statement).unwrap();
            assert!(record.statement.is_signed_by(&header.key));
            let next = self.statements.len() as u64 + 1;
            if header.seq > next {
                return Err(refused("statement", "chain.gap"));
            }
            if header.seq < next {
                return Err(refused("statement", "chain.fork"));
            }
            let (agent, seq) = (Some(header.agent_id), Some(header.seq));
            let leaf = Leaf::new(LeafKind::Refusal, digest, agent, seq, None).unwrap();
            let index = self.ledger.append(&leaf);
            self.indexes.insert(digest, index);
            self.statements.push(record.statement.clone());
        }
        if std::mem::take(&mut self.lose_answer) {
            return Err(NetError::Unreachable { address: "test".into(), why: "the answer was lost".into() });
        }
        Ok(self.ledger.proof(self.indexes[&digest], record.log_size))
    }
}

impl Server for TestSite {
    fn check_in(&mut self, etag: Option<&str>, judges: bool) -> Result<CheckIn, NetError> {
        self.0.borrow_mut().answer(|held| {
            held.check_ins += 1;
            held.judges = judges;
            let work = Work {
                server_time: held.now,
                timestamp_version: held.versions,
                plan_wishes: held.wishes.clone(),
                next_seq: held.statements.len() as u64 + 1,
                facts: held.facts.last().map(|f| Digest::of(&f.to_json())),
                poll_s: 60,
            };
            let news = (work.timestamp_version, work.plan_wishes.len(), work.next_seq, work.facts);
            let tag = held.etags.then(|| format!("{news:?}"));
            if tag.is_some() && tag.as_deref() == etag {
                return Ok(CheckIn::Unchanged);
            }
            Ok(CheckIn::News { work: Box::new(work), etag: tag })
        })
    }

    fn reach(&mut self, _within: std::time::Duration) -> Result<(), NetError> {
        self.0.borrow_mut().answer(|_| Ok(()))
    }

    fn repository_file(&mut self, name: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, NetError> {
        self.0.borrow_mut().answer(|held| {
            held.fetched.push(name.to_owned());
            let bytes = held.files.get(name).cloned();
            match bytes {
                Some(bytes) if bytes.len() as u64 > max_bytes => {
                    Err(NetError::TooLarge { what: name.into(), limit: max_bytes })
                }
                bytes => Ok(bytes),
            }
        })
    }

    fn send_plan(&mut self, plan: &Envelope) -> Result<(), NetError> {
        self.0.borrow_mut().take(|held| {
            held.plans.insert(plan.digest(), plan.clone());
            Ok(())
        })
    }

    fn own_plan(&mut self, digest: &Digest) -> Result<Option<Envelope>, NetError> {
        self.0.borrow_mut().answer(|held| Ok(held.plans.get(digest).cloned()))
    }

    fn record(&mut self, record: &Record) -> Result<Recorded, NetError> {
        self.0.borrow_mut().take(|held| held.record(record))
    }

    fn slots(&mut self, ask: &AskSlots) -> Result<Slots, NetError> {
        self.0.borrow_mut().answer(|held| {
            held.asked.push(*ask);
            if let (SlotWish::Take, Some((clock, to))) = (ask.wish, &held.sets_clock) {
                clock.set(*to);
            }
            Ok(match (ask.wish, &held.used_up) {
                (SlotWish::GiveBack, _) => Slots::Returned,
                (SlotWish::Look | SlotWish::Take | SlotWish::Keep, Some(used)) => Slots::Held(used.clone()),
                (SlotWish::Look, None) => Slots::Free,
                (SlotWish::Take | SlotWish::Keep, None) => {
                    let budgets = held.control.budgets.iter().map(|budget| budget.name.clone()).collect();
                    Slots::Granted(Lease { budgets, until: held.now.plus(1_800) })
                }
            })
        })
    }

    fn bring_word(&mut self, word: &Approve) -> Result<(), NetError> {
        self.0.borrow_mut().answer(|held| {
            if held.refuse_words {
                return Err(refused("/agent/v1/words", "change.unknown"));
            }
            held.words.push((word.approval.digest(), held.statements.len()));
            Ok(())
        })
    }

    fn proofs(&mut self, wanted: &AskProofs) -> Result<Proofs, NetError> {
        self.0.borrow_mut().answer(|held| Ok(held.ledger.proofs(wanted)))
    }

    fn send_facts(&mut self, report: &FactsReport) -> Result<(), NetError> {
        self.0.borrow_mut().take(|held| {
            held.facts.push(report.facts.clone());
            held.whole += 1;
            Ok(())
        })
    }

    fn change_facts(&mut self, change: &FactsChange) -> Result<(), NetError> {
        self.0.borrow_mut().take(|held| {
            let stale = std::mem::take(&mut held.stale_facts);
            let known = held.facts.last().filter(|_| !stale).and_then(|facts| change.delta.apply(facts).ok());
            let other = || NetError::Refused {
                what: "/agent/v1/facts".into(),
                status: 409,
                code: "facts.base".into(),
                message: "The server holds other facts.".into(),
                retry_after_secs: None,
            };
            held.facts.push(known.ok_or_else(other)?);
            Ok(())
        })
    }

    fn send_health(&mut self, report: &Envelope) -> Result<(), NetError> {
        self.0.borrow_mut().take(|held| {
            let report = shared::health::open_report(&report.to_bytes(), &site_id()).unwrap();
            held.health.push(report.body);
            Ok(())
        })
    }

    fn artifact(
        &mut self,
        sha256: &Digest,
        from: u64,
        _length: u64,
        sink: &mut dyn Sink,
    ) -> Result<Option<()>, NetError> {
        self.0.borrow_mut().answer(|held| {
            let Some(bytes) = held.artifacts.get(sha256) else { return Ok(None) };
            let part = if from > 0 { crate::net::Part::Continued } else { crate::net::Part::FromStart };
            let from = usize::try_from(from).unwrap();
            let sent = sink.begin(part).and_then(|()| sink.bytes(&bytes[from..]));
            sent.map_err(|e| NetError::Sink(e.to_string()))?;
            Ok(Some(()))
        })
    }

    fn renew(&mut self, renewal: &Envelope) -> Result<Joined, NetError> {
        let renewal = Statement::<Renewal>::open(renewal.clone()).unwrap();
        assert!(renewal.is_signed_by(&key(HOST).public()), "the host's own key authorises it");
        let root = String::from_utf8(self.root()).unwrap();
        let held = self.0.borrow();
        // Over the port on which the server's own key is pinned.
        if !held.online {
            return Err(NetError::Unreachable { address: "test".into(), why: "off".into() });
        }
        let authority = held.authority.as_ref().ok_or_else(|| refused("renew", "not.here"))?;
        Ok(Joined {
            site: site_id(),
            agent: host_id(),
            certificate: authority.certify(&renewal.body.csr, host_id(), (2027, 2030)),
            ca: authority.pem.clone() + &held.beside,
            agent_address: String::new(),
            root,
            recorded: None,
        })
    }

    fn use_trust(&mut self, trust: &Trust) -> Result<(), NetError> {
        if let Trust::Site { ca, .. } = trust {
            let known = crate::tls::authorities(ca).unwrap();
            self.0.borrow_mut().believed = known.into_iter().map(|(spki, _)| spki).collect();
        }
        Ok(())
    }
}

/// A key of nobody.
pub fn stranger() -> PublicKey {
    key(99).public()
}

pub fn host_id() -> AgentId {
    key(HOST).public().agent_id()
}
