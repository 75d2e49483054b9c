//! A whole small site in memory: its bundle verifies, and every kind of tampering is named.

mod accepted;
mod audit;
mod ledger;
mod record;
mod retired;
mod years;

use super::{
    ChangeEvent, Files, Material, Query, Received, ServerChange, ServerWord, TableFacts, assemble, seal,
    verify,
};
use crate::bundle::Bundle;
use crate::digest::{Digest, hex};
use crate::fixtures::{self as fix, Case, NOW, change_body, host, key, person_id};
use crate::ids::SiteId;
use crate::keys::SigningKey;
use crate::ledger::{Checkpoint, Frontier, Leaf, LeafKind, VerifierKey, WitnessKey, Witnessed, tree};
use crate::lifecycle::Outcome;
use crate::manifest::Manifest;
use crate::note::{ChangeNote, LinkKind, Review, Said};
use crate::plan::Verb;
use crate::policy::Policy;
use crate::publication::Publication;
use crate::receipt::{Enrolment, Header, HostOutcome, LogSeen, Receipt, StepResult, StepStatus, TufVersions};
use crate::statement::Statement;
use crate::strict;
use crate::time::Timestamp;
use crate::tuf::metadata::{Signed, TargetFile};
use crate::tuf::names::TargetName;
use crate::tuf::writer::{self, KeySet};
use std::collections::BTreeMap;

const ORIGIN: &str = "assent.example";

struct Site {
    id: SiteId,
    policy: Policy,
    material: Material,
}

/// The ledger of the test: leaves in order, nodes for proofs.
#[derive(Default)]
struct Log {
    frontier: Frontier,
    nodes: BTreeMap<(u8, u64), Digest>,
    leaves: Vec<(Digest, Leaf)>,
}

impl Log {
    fn add(&mut self, kind: LeafKind, digest: Digest, seq: Option<u64>) {
        self.add_of(&host(), kind, digest, seq);
    }

    fn add_of(&mut self, host: &SigningKey, kind: LeafKind, digest: Digest, seq: Option<u64>) {
        let agent = seq.map(|_| host.public().agent_id());
        let change = Some("C-1".parse().unwrap());
        let leaf = Leaf::new(kind, digest, agent, seq, change).unwrap();
        for node in self.frontier.append(leaf.hash()) {
            self.nodes.insert((node.level, node.index), node.digest);
        }
        self.leaves.push((digest, leaf));
    }

    fn root_at(&self, size: u64) -> Digest {
        tree::root(size, &self.nodes).unwrap()
    }
}

fn governed(
    policy_of: impl Fn(SiteId) -> Policy,
    publication: impl Fn(SiteId) -> Statement<Publication>,
) -> Site {
    let (governance, online, publisher) = (key(30), key(31), key(6));
    let end = NOW.plus(400 * 86_400);
    let set = |k: &crate::keys::SigningKey| KeySet::one(k.public());
    let root = writer::new_root(1, end, &set(&governance), &set(&online)).unwrap();
    let root = Signed::by(root, &[&governance]).to_bytes();
    let id: SiteId = hex(&Digest::of(&root).0[..8]).parse().unwrap();
    let policy = policy_of(id.clone());
    let document = strict::to_json(&policy);
    let teams = BTreeMap::from([("main".parse().unwrap(), set(&publisher))]);
    let targets = writer::targets_with_policy(1, end, &document, &teams, &set(&online)).unwrap();
    let targets = Signed::by(targets, &[&governance]).to_bytes();
    let published = publication(id.clone());
    let name = published.body.target_name();
    let target: TargetName = name.parse().unwrap();
    let listed = [(target, TargetFile::of(&published.to_bytes()))].into_iter().collect();
    let content = writer::content(1, end, &"main".parse().unwrap(), listed).unwrap();
    let content = Signed::by(content, &[&publisher]).to_bytes();
    let query = Query {
        schema: Query::SCHEMA.into(),
        site: id.clone(),
        change: Some("C-1".parse().unwrap()),
        from: None,
        to: None,
        log_size: 0,
        previous_log_size: None,
        user: Some(person_id("lead")),
        tables: TableFacts::default(),
        software: "test".into(),
    };
    let material = Material {
        query,
        statements: BTreeMap::new(),
        manifests: BTreeMap::from([(name, published.to_bytes())]),
        plan_sets: BTreeMap::new(),
        events: BTreeMap::new(),
        notes: BTreeMap::new(),
        audit: BTreeMap::new(),
        policies: BTreeMap::from([(policy.version, document)]),
        keys: BTreeMap::from([
            ("1.root.json".into(), root),
            ("1.targets.json".into(), targets),
            ("1.content.main.json".into(), content),
        ]),
        checkpoint: String::new(),
        witnessed: Vec::new(),
        proofs: BTreeMap::new(),
        consistency: Vec::new(),
        server: ServerWord::default(),
    };
    Site { id, policy, material }
}

fn header(site: &SiteId, seq: u64, prev: Option<Digest>, log_seen: Option<LogSeen>) -> Header {
    let key = host().public();
    Header {
        site: site.clone(),
        agent_id: key.agent_id(),
        key,
        host_class: fix::host_class(),
        seq,
        prev,
        at: NOW,
        boot_id: "boot".into(),
        agent_version: semver::Version::new(0, 1, 0),
        log_seen,
    }
}

fn publication(site: SiteId) -> Statement<Publication> {
    let manifest = br#"{"manifest":"web-base","version":"1.2.0","team":"main","title":"Base","resources":[{"file":{"path":"/etc/motd","content":"hello","satisfies":["xccdf_org.example_rule_banner"]}},{"file":{"path":"/etc/issue","content":"hi","satisfies":["xccdf_org.example_rule_banner","xccdf_org.example_rule_issue"]}}],"on_drift":"report"}"#;
    let manifest = Manifest::from_json(manifest).unwrap();
    let body = Publication {
        site,
        publisher: person_id("publisher"),
        at: NOW.plus(-900),
        source: Digest::of(b"yaml"),
        manifest,
    };
    Statement::sign(body, &key(6))
}

fn case(site: &SiteId) -> Case {
    let mut change = change_body();
    change.site = site.clone();
    change.manifests[0].sha256 = publication(site.clone()).digest;
    let mut case = Case::of(change);
    let mut plan = case.plan.body.clone();
    plan.site = site.clone();
    case.plan = Statement::sign(plan, &host());
    case.bundle.plan_set.plans.insert(case.plan.body.agent_id, case.plan.digest);
    let mut approval = case.approval("first");
    approval.site = site.clone();
    case.add(approval, 2);
    case
}

fn step(event: &str, state: &str) -> ChangeEvent {
    ChangeEvent {
        schema: ChangeEvent::SCHEMA.into(),
        change: "C-1".parse().unwrap(),
        version: if event == "halt" { 4 } else { 5 },
        revision: 1,
        event: event.into(),
        person: Some(person_id("lead")),
        note: format!("{event}, because"),
        state: state.into(),
        outcome: None,
        at: NOW.plus(60),
        register: None,
    }
}

/// What people said of the change of the bundle.
fn notes() -> Vec<ChangeNote> {
    let review = Review {
        outcome: Outcome::Successful,
        found: "all sites answer".into(),
        deviation: "an hour later".into(),
        lessons: String::new(),
        waived: strict::Map::default(),
    };
    let said = [
        Said::Objection { text: "not on a Friday".into(), speaks_for: None },
        Said::Attachment { name: "test.txt".into(), sha256: Digest::of(b"passed"), length: 6 },
        Said::Link { relation: LinkKind::External, to: "INC 7".into() },
        Said::Review(review),
    ];
    let note = |(number, said)| ChangeNote {
        schema: ChangeNote::SCHEMA.into(),
        change: "C-1".parse().unwrap(),
        number,
        person: person_id("lead"),
        at: NOW.plus(61),
        said,
    };
    (1..).zip(said).map(note).collect()
}

fn receipt(site: &Site, case: &Case, prev: Digest, seen: LogSeen) -> Receipt {
    let Bundle { change, plan_set, approvals, .. } = &case.bundle;
    let action = &case.plan.body.actions[0];
    Receipt {
        header: header(&site.id, 2, Some(prev), Some(seen)),
        change_id: change.body.change_id.clone(),
        revision: 1,
        change: change.digest,
        wave: 0,
        interval: change.body.intervals[0],
        plan: case.plan.digest,
        plan_set: plan_set.digest(),
        approvals: approvals.iter().map(|a| a.digest).collect(),
        policy: Digest::of(&strict::to_json(&site.policy)),
        policy_version: site.policy.version,
        self_approved: false,
        tuf: TufVersions { root: 1, timestamp: 1, snapshot: 1, targets: 1 },
        started: NOW,
        finished: NOW.plus(2),
        results: vec![StepResult {
            resource: action.resource.clone(),
            verb: Verb::Update,
            before: None,
            after: action.after,
            status: StepStatus::Done,
            ms: 3,
            note: String::new(),
        }],
        health: vec![],
        outcome: HostOutcome::Applied,
        patched: None,
        follows: None,
        corrects: None,
        breakglass: false,
        note: String::new(),
    }
}

/// The site of all tests, with the key of its ledger.
fn site() -> (Site, SigningKey) {
    site_with(|_| ())
}

fn site_with(bend: impl Fn(&mut Policy)) -> (Site, SigningKey) {
    let log_key = key(40);
    let vkey = VerifierKey::new(ORIGIN.parse().unwrap(), log_key.public());
    let policy = |id| {
        let mut policy = fix::policy(1);
        policy.site = id;
        policy.issued = NOW.plus(-10_000);
        policy.log.vkeys = vec![vkey.to_string()];
        bend(&mut policy);
        policy
    };
    (governed(policy, publication), log_key)
}

fn enrolled(site: &Site) -> Statement<Enrolment> {
    let enrolment = Enrolment {
        header: header(&site.id, 1, None, None),
        hostname: "web1".into(),
        token: Digest::of(b"token"),
        csr: "csr".into(),
        recipient: None,
        came_from: None,
    };
    Statement::sign(enrolment, &host())
}

/// Proves everything in the log, lays the bundle out and seals it.
fn sealed(mut site: Site, (log, seen): (&Log, u64), looks: &[u64], log_key: &SigningKey) -> Files {
    let size = log.frontier.size();
    let checkpoint = Checkpoint { origin: ORIGIN.parse().unwrap(), size, root: log.frontier.root() };
    let material = &mut site.material;
    material.query.log_size = size;
    material.checkpoint = checkpoint.sign(log_key).unwrap().to_string();
    let hashes = tree::consistency_proof(seen, size, &log.nodes).unwrap();
    material.consistency.push(proof(seen, size, hashes));
    for (n, looked) in (0u8..).zip(looks) {
        let then =
            Checkpoint { size: *looked, root: log.root_at(*looked), origin: checkpoint.origin.clone() };
        let mut note = then.sign(log_key).unwrap();
        note.cosign(witness(n).name(), &key(50 + n), NOW.plus(i64::from(n)));
        let hashes = tree::consistency_proof(*looked, size, &log.nodes).unwrap();
        let consistency = proof(*looked, size, hashes);
        material.witnessed.push(Witnessed { checkpoint: note.to_string(), consistency });
    }
    for (n, (digest, leaf)) in (0u64..).zip(&log.leaves) {
        let hashes = tree::inclusion_proof(n, size, &log.nodes).unwrap();
        let leaf = String::from_utf8(leaf.to_bytes()).unwrap();
        material.proofs.insert(*digest, crate::ledger::InclusionProof { leaf, index: n, hashes });
    }
    let mut files = assemble(material).unwrap();
    seal(&mut files, log_key);
    files
}

fn witness(n: u8) -> WitnessKey {
    WitnessKey::new(format!("w{n}.test").parse().unwrap(), key(50 + n).public())
}

/// Builds a bundle; `bend` changes the receipt before its host signs it, and the case that it belongs to.
fn bundle(bend: impl Fn(&mut Receipt, &mut Case)) -> Files {
    bundle_with(bend, |_| None)
}

/// The same with a second receipt of the host, made from the first.
fn bundle_with(
    bend: impl Fn(&mut Receipt, &mut Case),
    second: impl Fn(&Statement<Receipt>) -> Option<Receipt>,
) -> Files {
    built(|_| (), bend, second, (2, &[]))
}

/// The same under another policy.
fn bundle_of(policy: impl Fn(&mut Policy), bend: impl Fn(&mut Receipt, &mut Case)) -> Files {
    built(policy, bend, |_| None, (2, &[]))
}

/// The same of a host that had seen so many leaves of the ledger when it began.
fn bundle_seeing(policy: impl Fn(&mut Policy), seen: u64) -> Files {
    bundle_witnessed(policy, seen, &[])
}

/// The same with witnesses who looked when the ledger had so many leaves.
fn bundle_witnessed(policy: impl Fn(&mut Policy), seen: u64, looks: &[u64]) -> Files {
    built(policy, |_, _| (), |_| None, (seen, looks))
}

fn built(
    policy: impl Fn(&mut Policy),
    bend: impl Fn(&mut Receipt, &mut Case),
    second: impl Fn(&Statement<Receipt>) -> Option<Receipt>,
    looked: (u64, &[u64]),
) -> Files {
    built_at(site_with(policy), bend, second, looked)
}

/// The same of a site that the test has made.
fn built_at(
    (mut site, log_key): (Site, SigningKey),
    bend: impl Fn(&mut Receipt, &mut Case),
    second: impl Fn(&Statement<Receipt>) -> Option<Receipt>,
    (seen, looks): (u64, &[u64]),
) -> Files {
    let mut case = case(&site.id);
    let enrolment = enrolled(&site);
    let mut log = Log::default();
    let published = publication(site.id.clone()).digest;
    log.add(LeafKind::Manifest, published, None);
    log.add(LeafKind::Enrolment, enrolment.digest, Some(1));
    let two = LogSeen { origin: ORIGIN.into(), size: 2, root: log.root_at(2) };
    let mut body = receipt(&site, &case, enrolment.digest, two);
    bend(&mut body, &mut case);
    let plan_set = case.bundle.plan_set.to_bytes();
    log.add(LeafKind::Change, case.bundle.change.digest, None);
    log.add(LeafKind::PlanSet, Digest::of(&plan_set), None);
    for approval in &case.bundle.approvals {
        log.add(LeafKind::Approval, approval.digest, None);
    }
    if seen > 2 {
        body.header.log_seen = Some(LogSeen { origin: ORIGIN.into(), size: seen, root: log.root_at(seen) });
    }
    let receipt = Statement::sign(body, &host());
    log.add(LeafKind::Receipt, receipt.digest, Some(2));
    let second = second(&receipt).map(|mut body| {
        (body.header.seq, body.header.prev) = (3, Some(receipt.digest));
        Statement::sign(body, &host())
    });
    if let Some(second) = &second {
        log.add(LeafKind::Receipt, second.digest, Some(3));
    }
    for (event, state) in [("halt", "halted"), ("close", "closed")] {
        let bytes = strict::to_json(&step(event, state));
        log.add(LeafKind::Audit, Digest::of(&bytes), None);
        site.material.events.insert(Digest::of(&bytes), bytes);
    }
    for note in notes() {
        let bytes = note.to_bytes();
        log.add(LeafKind::Audit, Digest::of(&bytes), None);
        site.material.notes.insert(Digest::of(&bytes), bytes);
    }
    let material = &mut site.material;
    material.plan_sets.insert(Digest::of(&plan_set), plan_set);
    let Case { bundle: Bundle { change, approvals, .. }, plan } = case;
    let mut keep = |digest, bytes| material.statements.insert(digest, bytes);
    keep(change.digest, change.to_bytes());
    keep(plan.digest, plan.to_bytes());
    keep(enrolment.digest, enrolment.to_bytes());
    keep(receipt.digest, receipt.to_bytes());
    second.iter().for_each(|second| drop(keep(second.digest, second.to_bytes())));
    for approval in approvals {
        keep(approval.digest, approval.to_bytes());
    }
    for digest in std::iter::once(receipt.digest).chain(second.as_ref().map(|second| second.digest)) {
        let taken = Received { at: NOW.plus(5), ci: "CI-1".into(), hostname: "web1".into() };
        material.server.received.insert(digest, taken);
    }
    let server = ServerChange { state: "review".into(), ..ServerChange::default() };
    material.server.changes.insert("C-1".parse().unwrap(), server);
    sealed(site, (&log, seen), looks, &log_key)
}

fn proof(old_size: u64, new_size: u64, hashes: Vec<Digest>) -> crate::ledger::ConsistencyProof {
    crate::ledger::ConsistencyProof { old_size, new_size, hashes }
}

fn flaws(files: &Files) -> String {
    verify(files, None).flaws.iter().map(|f| format!("{f}\n")).collect()
}

/// Signs the checksums anew, as somebody with the log key would after changing a file.
fn reseal(files: &mut Files) {
    files.retain(|path, _| !path.starts_with("SHA256SUMS"));
    files.remove("signer.pub");
    seal(files, &key(40));
}

#[test]
fn a_good_bundle_has_no_flaw_and_is_the_same_every_time() {
    let files = bundle(|_, _| ());
    let root = Digest::of(&files["keys/1.root.json"]);
    let report = verify(&files, Some(root));
    assert_eq!((flaws(&files).as_str(), report.root_sha256), ("", Some(root)));
    assert!(
        report.checked.iter().all(|(count, what)| *count > 0
            || [
                "administrative",
                "refusals",
                "findings",
                "retroactive",
                "changes that retire",
                "starts without"
            ]
            .iter()
            .any(|none| what.starts_with(none))),
        "{report:?}"
    );
    assert_eq!(files, bundle(|_, _| ()));
    let applications = String::from_utf8(files["data/applications.csv"].clone()).unwrap();
    assert!(applications.contains("file:/etc/motd") && applications.contains(",applied,"), "{applications}");
    assert!(verify(&files, Some(Digest::of(b"other"))).flaws[0].message.contains("another site"));
}

fn row(files: &Files, table: &str) -> strict::Map<String, String> {
    let bytes = &files[&format!("data/{table}.json")];
    let read: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    serde_json::from_value(read["rows"][0].clone()).unwrap()
}

/// What auditors ask for and statements give stands in the tables; what has no source yet is there and empty.
#[test]
fn tables_have_the_columns_of_the_export_set() {
    let files = bundle(|_, _| ());
    let [change, applied, approved] = ["changes", "applications", "approvals"].map(|name| row(&files, name));
    let publisher = publication(crate::fixtures::change_body().site).body.publisher;
    for (row, column, value) in [
        (&change, "approvals_required", "1"),
        (&change, "waves", "1:n=1"),
        (&change, "halt_reason", "halt, because"),
        (&change, "halted_at", &NOW.plus(60).to_string()),
        (&change, "post_review_by", "lead"),
        (&change, "affected_services", ""),
        (&change, "test_ref", &format!("test.txt:{}", Digest::of(b"passed"))),
        (&change, "objections", "1"),
        (&change, "objections_open", "1"),
        (&change, "links", "external:INC 7"),
        (&change, "post_review_found", "all sites answer"),
        (&change, "deviation", "an hour later"),
        (&change, "decision", "rule \"normal\": 1 of 1 counted: person first"),
        (&applied, "signature_verified", "true"),
        (&applied, "signer", publisher.as_str()),
        (&approved, "person_ref", "first"),
    ] {
        assert_eq!(row.get(column).map(String::as_str), Some(value), "{column}");
    }
    assert_eq!(approved.get("statement_sha256"), approved.get("approval_id"));
    let table: serde_json::Value = serde_json::from_slice(&files["data/rules.json"]).unwrap();
    let cell = |row: &serde_json::Value, column: &str| row[column].as_str().unwrap().to_owned();
    let rules: Vec<String> = table["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            ["rule_id", "resource_id", "manifest", "host", "result", "signature_verified"]
                .map(|c| cell(row, c))
                .join(" ")
        })
        .collect();
    let of = |rule: &str, path: &str, result: &str| {
        format!("xccdf_org.example_rule_{rule} file:/etc/{path} main/web-base@1.2.0 web1 {result} true")
    };
    assert_eq!(
        rules,
        [of("banner", "motd", "fixed"), of("banner", "issue", "pass"), of("issue", "issue", "pass")]
    );
    for empty in [
        "model_id",
        "priority",
        "security_impact",
        "significant",
        "window_rule",
        "blackout_checked",
        "incidents",
        "post_review_due",
    ] {
        assert_eq!(change.get(empty).map(String::as_str), Some(""), "{empty}");
    }
    let query: Query = serde_json::from_slice(&files["query.json"]).unwrap();
    let facts = query.tables.0.get("changes").unwrap();
    assert_eq!((facts.rows, facts.csv_sha256), (1, Digest::of(&files["data/changes.csv"])));
}

/// The server's steps count as they were said: a changed one is not in the ledger.
#[test]
fn a_step_that_was_rewritten_and_other_table_facts_are_flaws() {
    let mut files = bundle(|_, _| ());
    let path = files.keys().find(|path| path.starts_with("events/")).unwrap().clone();
    let mut other = step("halt", "halted");
    other.note = "another reason".into();
    let bytes = strict::to_json(&other);
    files.remove(&path);
    files.insert(format!("events/{}.json", Digest::of(&bytes)), bytes);
    reseal(&mut files);
    assert!(flaws(&files).contains("is not proven to be in the ledger"), "{}", flaws(&files));

    let mut files = bundle(|_, _| ());
    let mut query: Query = serde_json::from_slice(&files["query.json"]).unwrap();
    query.tables = TableFacts::default();
    files.insert("query.json".into(), strict::to_json(&query));
    reseal(&mut files);
    assert!(flaws(&files).contains("query.json: names other tables"), "{}", flaws(&files));
}

/// Nothing that people said of a change can be left out, added or reworded.
#[test]
fn notes_that_were_left_out_or_changed_are_flaws() {
    let path = |note: &ChangeNote| format!("notes/{}.json", Digest::of(&note.to_bytes()));
    let all = notes();
    let report = verify(&bundle(|_, _| ()), None);
    assert!(report.remarks.iter().any(|said| said.contains("lead objected to C-1 (note 1)")), "{report:?}");
    let flaws = |bend: &dyn Fn(&mut Files)| {
        let mut files = bundle(|_, _| ());
        bend(&mut files);
        reseal(&mut files);
        flaws(&files)
    };
    let without = flaws(&|files| drop(files.remove(&path(&all[1]))));
    assert!(without.contains("note 2 on C-1 is missing"), "{without}");
    let reworded = ChangeNote { person: person_id("first"), ..all[0].clone() };
    for added in [
        reworded.clone(),
        ChangeNote { number: 5, ..all[0].clone() },
        ChangeNote { change: "C-9".parse().unwrap(), ..all[0].clone() },
    ] {
        let told = flaws(&|files| drop(files.insert(path(&added), added.to_bytes())));
        assert!(told.contains("is not proven to be in the ledger"), "{told}");
    }
    let swapped = flaws(&|files| {
        files.remove(&path(&all[0]));
        files.insert(path(&reworded), reworded.to_bytes());
    });
    assert!(swapped.contains("proves a statement that is not in the bundle"), "{swapped}");
    let foreign = flaws(&|files| {
        let other = ChangeNote { change: "C-9".parse().unwrap(), ..all[0].clone() };
        files.insert(path(&other), other.to_bytes());
    });
    assert!(foreign.contains("is about C-9, of which nothing else is in the bundle"), "{foreign}");
}

/// Applied, but not in effect before the next boot: neither success nor failure, until the host says so.
#[test]
fn a_receipt_that_follows_says_how_what_was_pending_ended() {
    let result = |second: &dyn Fn(&Statement<Receipt>) -> Option<Receipt>| {
        let files = bundle_with(|receipt, _| receipt.outcome = HostOutcome::PendingReboot, second);
        assert_eq!(flaws(&files), "");
        let changes: serde_json::Value = serde_json::from_slice(&files["data/changes.json"]).unwrap();
        changes["rows"][0]["result"].as_str().unwrap().to_owned()
    };
    let ended = |outcome: HostOutcome| {
        move |first: &Statement<Receipt>| {
            let follows = Some(first.digest);
            Some(Receipt { outcome, follows, results: vec![], finished: NOW.plus(900), ..first.body.clone() })
        }
    };
    assert_eq!(result(&|_| None), "pending_reboot");
    assert_eq!(result(&ended(HostOutcome::Applied)), "success");
    assert_eq!(result(&ended(HostOutcome::Failed)), "failed");
}

/// One flipped bit in any file is found, and the file is named.
#[test]
fn every_flipped_byte_is_found_and_its_file_named() {
    let files = bundle(|_, _| ());
    for path in files.keys() {
        for place in [0, files[path].len() / 2, files[path].len() - 1] {
            let mut bent = files.clone();
            bent.get_mut(path).unwrap()[place] ^= 1;
            let found = verify(&bent, None).flaws;
            assert!(found.iter().any(|flaw| flaw.path == *path), "{path} {place}: {found:?}");
        }
    }
}

#[test]
fn added_and_missing_files_are_found() {
    let files = bundle(|_, _| ());
    let mut added = files.clone();
    added.insert("data/extra.csv".into(), b"x".to_vec());
    assert!(flaws(&added).contains("data/extra.csv: is not listed"));
    for path in files.keys() {
        let mut fewer = files.clone();
        fewer.remove(path);
        assert!(verify(&fewer, None).flaws.iter().any(|flaw| flaw.path == *path), "{path}");
    }
}

/// Even who holds the log key and seals again cannot change what others signed.
#[test]
fn a_new_seal_does_not_cover_a_changed_table_proof_or_statement() {
    let files = bundle(|_, _| ());
    for path in ["data/changes.csv", "data/approvals.json", "data/applications.csv"] {
        let mut bent = files.clone();
        let bytes = bent.get_mut(path).unwrap();
        *bytes = String::from_utf8(bytes.clone())
            .unwrap()
            .replacen("first", "second", 1)
            .replacen("web1", "web2", 1)
            .into_bytes();
        reseal(&mut bent);
        assert!(flaws(&bent).contains(path), "{path}: {}", flaws(&bent));
    }
    for wanted in ["statements/", "proofs/", "manifests/", "plan_sets/", "policy/", "keys/1"] {
        for path in files.keys().filter(|p| p.starts_with(wanted)) {
            let mut fewer = files.clone();
            fewer.remove(path);
            reseal(&mut fewer);
            assert!(!flaws(&fewer).is_empty(), "{path} can be left out");
        }
    }
}

#[test]
fn a_receipt_that_no_approval_covers_is_a_flaw() {
    type Bend = fn(&mut Receipt, &mut Case);
    let bends: [(&str, Bend); 8] = [
        ("another interval", |r, _| r.interval.until = NOW.plus(9_999)),
        ("window", |r, _| r.started = NOW.plus(-61)),
        ("not in the approved plan", |r, _| r.results[0].after = Digest::of(b"evil")),
        ("self_approved", |r, _| r.self_approved = true),
        ("approval.", |_, case| case.bundle.approvals.clear()),
        ("0 of 1 counted", |r, _| r.approvals.clear()),
        ("policy that it names", |r, _| r.policy = Digest::of(b"x")),
        ("plan that it names", |r, _| r.plan = Digest::of(b"x")),
    ];
    for (why, bend) in bends {
        let found = flaws(&bundle(bend));
        assert!(found.contains(why), "{why}: {found}");
    }
}

/// A rejection that the server kept back, or that came too late, is told and does not make the host a liar.
#[test]
fn a_no_that_the_host_did_not_hear_is_a_remark() {
    let files = bundle(|_, case| {
        let mut no = case.approval("second");
        no.decision = crate::approval::Decision::Reject;
        no.at = NOW.plus(-5);
        no.site = case.bundle.change.body.site.clone();
        case.add(no, 4);
    });
    let report = verify(&files, None);
    assert_eq!(flaws(&files), "");
    assert!(report.remarks.iter().any(|r| r.contains("second said reject")), "{:?}", report.remarks);
}

/// Who holds the ledger's key can add statements, but not the word of another person.
#[test]
fn an_approval_that_its_person_did_not_sign_is_a_flaw_and_counts_in_no_table() {
    let files = bundle(|_, case| {
        let mut forged = case.approval("second");
        forged.site = case.bundle.change.body.site.clone();
        case.add(forged, 9);
    });
    assert!(
        flaws(&files).contains("no policy edition accepts it as the word of second"),
        "{}",
        flaws(&files)
    );
    let changes = String::from_utf8(files["data/changes.csv"].clone()).unwrap();
    assert!(changes.contains(",1,first,") && !changes.contains("second"), "{changes}");
}

/// Without an approval a model must cover the start.
#[test]
fn a_start_by_a_model_is_covered_as_long_as_the_model_holds() {
    let standard = |hosts_per_day: u32, expires: Timestamp| {
        let bend = move |policy: &mut Policy| {
            policy.models.push(crate::policy::Model {
                name: "web".parse().unwrap(),
                team: "main".parse().unwrap(),
                manifests: "web-*".into(),
                versions: "~1.2".parse().unwrap(),
                action_classes: [crate::risk::ActionClass::File].into(),
                host_classes: [fix::host_class()].into(),
                hosts_per_day,
                expires,
            });
        };
        bundle_of(bend, |receipt, case| {
            let mut body = case.bundle.change.body.clone();
            body.change_type = crate::change::ChangeType::Standard;
            body.model = Some("web".parse().unwrap());
            body.intervals.truncate(1);
            body.not_after = body.intervals[0].until;
            let mut other = Case::of(body);
            let mut plan = other.plan.body.clone();
            plan.site = other.bundle.change.body.site.clone();
            other.plan = Statement::sign(plan, &host());
            other.bundle.plan_set.plans.insert(other.plan.body.agent_id, other.plan.digest);
            (receipt.change, receipt.plan) = (other.bundle.change.digest, other.plan.digest);
            receipt.plan_set = other.bundle.plan_set.digest();
            receipt.approvals.clear();
            *case = other;
        })
    };
    let files = standard(1, NOW.plus(86_400));
    assert_eq!(flaws(&files), "");
    let change = row(&files, "changes");
    for (column, value) in [
        ("model_id", "web"),
        ("approvals_required", "0"),
        ("approvals_given", "0"),
        ("self_approved", "false"),
        ("decision", "model web allows it without an approval: main/web-* ~1.2"),
    ] {
        assert_eq!(change.get(column).map(String::as_str), Some(value), "{column}");
    }
    assert!(flaws(&standard(1, NOW)).contains("model web does not allow it: it expired"));
}
