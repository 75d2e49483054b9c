//! A small signed site for this crate's tests: two persons, one host, one change; each part can be bent.

use crate::admit::Me;
use crate::approval::{Approval, Decision, Saw};
use crate::bundle::{Bundle, Control};
use crate::change::{Change, ChangeType, ManifestUse, Missed, PlanBinding, Reboot, Target, UndoPlan};
use crate::digest::Digest;
use crate::finding::{About, Difference, Expected, Finding, Presence};
use crate::ids::{HostClass, PersonId};
use crate::keys::SigningKey;
use crate::plan::{Action, Plan, PlanSet, Reversibility, UndoContract, Verb};
use crate::policy::{
    Assurance, ClockRules, DistinctFrom, LogRules, Match, Person, PersonKey, Policy, Require, Role, Rule,
    SCHEMA,
};
use crate::receipt::{Enrolment, Header, HostOutcome, Receipt, TufVersions};
use crate::risk::ActionClass;
use crate::signature::KeyKind;
use crate::statement::Statement;
use crate::strict::Map;
use crate::time::{Interval, Timestamp};
use crate::windows::Blackout;
use std::collections::BTreeSet;

pub const NOW: Timestamp = Timestamp(1_800_000_000);

pub fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

pub fn person_id(name: &str) -> PersonId {
    name.parse().unwrap()
}

fn person(name: &str, keys: &[(u8, &[Role], Assurance)]) -> Person {
    let keys = keys.iter().map(|(n, roles, assurance)| PersonKey {
        public: key(*n).public().into(),
        kind: KeyKind::File,
        roles: roles.iter().copied().collect(),
        assurance: *assurance,
        not_after: None,
    });
    Person { id: person_id(name), name: name.into(), keys: keys.collect() }
}

/// `author` (key 1), `first` (keys 2 and 3), `second` (key 4, server-rendered key 5), `publisher` (key 6).
pub fn policy(approvals: u32) -> Policy {
    let (own, web) = (Assurance::Independent, Assurance::ServerRendered);
    Policy {
        schema: SCHEMA.into(),
        site: "00112233aabbccdd".parse().unwrap(),
        version: 5,
        issued: NOW,
        one_person: false,
        persons: vec![
            person("author", &[(1, &[Role::Author, Role::Approver], own)]),
            person("first", &[(2, &[Role::Approver], own), (3, &[Role::Approver], own)]),
            person("second", &[(4, &[Role::Approver], own), (5, &[Role::Approver], web)]),
            person("publisher", &[(6, &[Role::Publisher, Role::Approver], own)]),
        ],
        rules: vec![Rule {
            name: "normal".into(),
            matches: Match::default(),
            require: Require {
                distinct_from: [DistinctFrom::Author, DistinctFrom::Publisher].into(),
                ..Require::of(approvals, 48)
            },
        }],
        clock: ClockRules { max_skew_s: 300, offline_grace_h: 24 },
        log: LogRules::new(vec!["assent".into()]),
        ca_spki: vec![],
        server_urls: vec![],
        vendor: None,
        groups: vec![],
        risk_rules: Vec::new(),
        conflicts: None,
        delegations: vec![],
        models: vec![],
        breakglass: None,
        governance: vec![],
    }
}

pub fn host() -> SigningKey {
    key(20)
}

pub fn change_body() -> Change {
    let host = host().public();
    Change {
        site: policy(1).site,
        change_id: "C-1".parse().unwrap(),
        revision: 1,
        change_type: ChangeType::Normal,
        model: None,
        title: "Base of every web server".into(),
        reason: "first roll-out".into(),
        author: person_id("author"),
        created: NOW.plus(-600),
        manifests: vec![ManifestUse {
            team: "main".parse().unwrap(),
            name: "web-base".parse().unwrap(),
            version: semver::Version::new(1, 2, 0),
            sha256: Digest::of(b"manifest"),
            params: Default::default(),
            rules: vec![],
        }],
        targets: vec![Target { agent: host.agent_id(), key: host.digest() }],
        intervals: vec![
            Interval { from: NOW.plus(-60), until: NOW.plus(3_600) },
            Interval { from: NOW.plus(86_400), until: NOW.plus(90_000) },
        ],
        window_rules: Vec::new(),
        not_after: NOW.plus(100_000),
        missed: Missed::Next,
        waves: vec![],
        plan_binding: PlanBinding::Within,
        action_classes: BTreeSet::from([ActionClass::File, ActionClass::Package]),
        downgrade: false,
        reboot: Reboot::Never,
        undo: UndoPlan { text: "restore the old file".into(), automatic: true },
        lift_quarantine: false,
        correct_until: None,
        halt_above: None,
        series: None,
        supersedes: None,
        accepts: vec![],
        retires: vec![],
    }
}

pub fn action(resource: &str, after: &str) -> Action {
    Action {
        resource: resource.parse().unwrap(),
        verb: Verb::Update,
        class: ActionClass::File,
        before: None,
        after: Digest::of(after.as_bytes()),
        summary: format!("update {resource}"),
        diff: None,
        undo: Reversibility { undo: UndoContract::Yes, why: String::new() },
        content: None,
        package: None,
        programs: Map::default(),
        satisfies: Vec::new(),
    }
}

pub fn plan(change: &Statement<Change>, actions: Vec<Action>) -> Statement<Plan> {
    let host = host();
    let body = Plan {
        site: change.body.site.clone(),
        agent_id: host.public().agent_id(),
        key: host.public(),
        hostname: "web1".into(),
        host_class: host_class(),
        change_id: change.body.change_id.clone(),
        revision: change.body.revision,
        change: change.digest,
        at: NOW,
        actions,
        health: Vec::new(),
        upholds: Vec::new(),
        notes: Vec::new(),
        agent_version: semver::Version::new(0, 1, 0),
    };
    Statement::sign(body, &host)
}

pub fn host_class() -> HostClass {
    "production".parse().unwrap()
}

pub fn me(class: &HostClass) -> Me<'_> {
    Me { key: host().public(), host_class: class }
}

/// A bundle with a signed change and the host's plan; approvals are added by the test.
pub struct Case {
    pub bundle: Bundle,
    pub plan: Statement<Plan>,
}

impl Case {
    pub fn of(change: Change) -> Self {
        let change = Statement::sign(change, &key(1));
        let plan = plan(&change, vec![action("file:/etc/motd", "hello")]);
        let plans = [(plan.body.agent_id, plan.digest)].into_iter().collect();
        let plan_set = PlanSet { change: change.digest, plans };
        Self { bundle: Bundle { change, plan_set, approvals: vec![] }, plan }
    }

    pub fn approval(&self, name: &str) -> Approval {
        let change = &self.bundle.change;
        Approval {
            site: change.body.site.clone(),
            change_id: change.body.change_id.clone(),
            revision: change.body.revision,
            change: change.digest,
            decision: Decision::Approve,
            person: person_id(name),
            at: NOW.plus(-30),
            expires: NOW.plus(86_400),
            saw: Saw { plan_set: self.bundle.plan_set.digest(), renderer: "test".into() },
            agents: None,
            nonce: name.into(),
            comment: String::new(),
            breakglass: None,
        }
    }

    pub fn add(&mut self, approval: Approval, key_number: u8) {
        self.bundle.approvals.push(Statement::sign(approval, &key(key_number)));
    }
}

/// What `host` says of a run of `change` that ended at `finished`.
pub fn receipt(
    host: &SigningKey,
    change: &Statement<Change>,
    finished: Timestamp,
    outcome: HostOutcome,
) -> Statement<Receipt> {
    let key = host.public();
    let header = Header {
        site: change.body.site.clone(),
        agent_id: key.agent_id(),
        key,
        host_class: host_class(),
        seq: 2,
        prev: Some(Digest::of(b"enrolment")),
        at: finished,
        boot_id: "boot".into(),
        agent_version: semver::Version::new(0, 1, 0),
        log_seen: None,
    };
    let body = Receipt {
        header,
        change_id: change.body.change_id.clone(),
        revision: change.body.revision,
        change: change.digest,
        wave: 0,
        interval: change.body.intervals[0],
        plan: Digest::of(b"plan"),
        plan_set: Digest::of(b"plan set"),
        approvals: vec![],
        policy: Digest::of(b"policy"),
        policy_version: 5,
        self_approved: false,
        tuf: TufVersions { root: 1, timestamp: 1, snapshot: 1, targets: 1 },
        started: finished,
        finished,
        results: vec![],
        health: vec![],
        outcome,
        patched: None,
        follows: None,
        corrects: None,
        breakglass: false,
        note: String::new(),
    };
    Statement::sign(body, host)
}

/// A finding of `host`, at this place of its chain.
pub fn finding(host: &SigningKey, seq: u64) -> Statement<Finding> {
    let key = host.public();
    let difference = Difference {
        resource: "file:/etc/motd".parse().unwrap(),
        expected: Digest::of(b"approved"),
        observed: Some(Digest::of(b"found")),
        summary: "content".into(),
        diff: Some("-by hand\n+approved\n".into()),
    };
    let body = Finding {
        header: Header {
            site: policy(1).site,
            agent_id: key.agent_id(),
            key,
            host_class: host_class(),
            seq,
            prev: Some(Digest::of(b"enrolment")),
            at: NOW.plus(-900),
            boot_id: "boot".into(),
            agent_version: semver::Version::new(0, 1, 0),
            log_seen: None,
        },
        number: 1,
        about: About::State(Expected {
            manifest: "main/web-base".into(),
            version: semver::Version::new(1, 2, 0),
            change_id: "C-1".parse().unwrap(),
            revision: 1,
            change: Digest::of(b"change"),
        }),
        cause: None,
        differences: vec![difference],
        more: 0,
        first_seen: NOW.plus(-1_000),
        last_seen: NOW.plus(-900),
        count: 1,
        flapping: false,
        presence: Presence::There,
        note: String::new(),
    };
    Statement::sign(body, host)
}

/// A retroactive change that accepts these findings.
pub fn accepting(findings: &[Statement<Finding>]) -> Change {
    let named = |finding: &Statement<Finding>| {
        let header = &finding.body.header;
        (Target { agent: header.agent_id, key: header.key.digest() }, finding.digest)
    };
    change_body().accepting(findings.iter().map(named))
}

/// How `host` joined.
pub fn enrolment(host: &SigningKey, hostname: &str) -> Statement<Enrolment> {
    let header = Header { seq: 1, prev: None, ..finding(host, 1).body.header };
    let (hostname, token) = (hostname.into(), Digest::of(b"token"));
    let body = Enrolment { header, hostname, token, csr: "csr".into(), recipient: None, came_from: None };
    Statement::sign(body, host)
}

/// A change that retires the first host of each pair, and names the second one as its successor.
pub fn retiring(hosts: &[(&Statement<Enrolment>, Option<&Statement<Enrolment>>)]) -> Change {
    let named = |joined: &Statement<Enrolment>| {
        let header = &joined.body.header;
        (Target { agent: header.agent_id, key: header.key.digest() }, joined.digest)
    };
    change_body().retiring(hosts.iter().map(|(host, successor)| (named(host), successor.map(named))))
}

/// From `from` on, for a day, nothing of any type may start anywhere.
pub fn all_closed(from: Timestamp) -> Control {
    let blackout = Blackout {
        name: "year-end".parse().unwrap(),
        title: "closing of the books".into(),
        agents: None,
        holds: [ChangeType::Standard, ChangeType::Normal, ChangeType::Emergency].into(),
        intervals: vec![Interval { from, until: from.plus(86_400) }],
    };
    Control { blackouts: vec![blackout], ..Control::default() }
}
