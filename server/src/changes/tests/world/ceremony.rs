//! What the key ceremony leaves behind, made with fixed keys.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use shared::ids::SiteId;
use shared::keys::SigningKey;
use shared::ledger::VerifierKey;
use shared::policy::{
    ClockRules, DistinctFrom, LogRules, Match, Model, Person, PersonKey, Policy, Require, Role, Rule, SCHEMA,
};
use shared::risk::ActionClass;
use shared::strict::Map;
use shared::time::Timestamp;
use shared::tuf::writer::{self, KeySet};
use shared::tuf::{Signed, TargetFile, TargetName};
use std::collections::BTreeMap;
use std::path::Path;

pub const NOW: Timestamp = Timestamp(1_800_000_000);
pub(super) const DAY: i64 = 86_400;
/// Token of lead, who is administrator, author and nothing else.
pub const TOKEN: &str = "a-token-for-tests";

pub fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

const GOVERNANCE: u8 = 30;
pub(super) const ONLINE: u8 = 31;
pub(super) const LOG: u8 = 32;
pub const PUBLISHER: u8 = 6;
pub(super) const AUTHOR: u8 = 1;

/// Approvers and the numbers of their keys.
pub fn approver(name: &str) -> u8 {
    match name {
        "peer" => 2,
        "cora" => 3,
        _ => panic!("{name} is no approver"),
    }
}

pub(super) fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(bytes.as_ref()).unwrap();
}

pub(super) fn certificates(dir: &Path) {
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
    let key = PersonKey::file(key(key_number).public(), roles);
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
            person("lead", AUTHOR, &[Role::Author, Role::Approver, Role::BreakGlass]),
            person("peer", approver("peer"), &[Role::Approver]),
            person("cora", approver("cora"), &[Role::Approver, Role::BreakGlass]),
            person("pia", PUBLISHER, &[Role::Publisher]),
        ],
        rules: vec![Rule {
            name: "normal".into(),
            matches: Match::default(),
            require: Require {
                distinct_from: [DistinctFrom::Author, DistinctFrom::Publisher].into(),
                max_correction_h: 240,
                ..Require::of(approvals, 72)
            },
        }],
        clock: ClockRules { max_skew_s: 300, offline_grace_h: 24 },
        log: LogRules::new(vec![VerifierKey::new(origin, key(LOG).public()).to_string()]),
        ca_spki: vec![],
        server_urls: vec![],
        vendor: None,
        delegations: Vec::new(),
        groups: Vec::new(),
        risk_rules: Vec::new(),
        conflicts: None,
        breakglass: None,
        governance: Vec::new(),
        models: vec![Model {
            name: "patches".parse().unwrap(),
            team: "main".parse().unwrap(),
            manifests: "base".into(),
            versions: "~1.0".parse().unwrap(),
            action_classes: [ActionClass::File].into(),
            host_classes: ["production".parse().unwrap()].into(),
            hosts_per_day: 3,
            expires: NOW.plus(30 * DAY),
        }],
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
