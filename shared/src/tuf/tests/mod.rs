//! A site repository in memory, written by our own writer, and a host that refreshes from it.

mod attacks;
mod client;
mod written;

use super::client::{Step, Stored, start};
use super::error::TufError;
use super::metadata::{MetaFile, Signed, Snapshot, TargetFile, Targets};
use super::names::{MetaName, Role, TargetName};
use super::trusted::Trusted;
use super::writer::{self, KeySet};
use crate::ids::Team;
use crate::keys::SigningKey;
use crate::strict::Map;
use crate::time::Timestamp as Time;
use std::collections::BTreeMap;

const NOW: Time = Time(1_790_000_000);
const DAY: i64 = 86_400;
const POLICY: &[u8] = b"{\"policy\":1}";
const MANIFEST: &[u8] = b"{\"manifest\":1}";

/// Governance keys are 1 to 3 (two must sign), the online key is 10, the teams' keys are 20 and 21.
fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

fn governance() -> KeySet {
    KeySet { keys: [1, 2, 3].map(|n| key(n).public()).to_vec(), threshold: 2 }
}

fn online(number: u8) -> KeySet {
    KeySet::one(key(number).public())
}

fn team(name: &str) -> Team {
    name.parse().unwrap()
}

fn content(name: &str) -> Role {
    Role::Content(team(name))
}

fn target(name: &str) -> TargetName {
    name.parse().unwrap()
}

fn later(days: i64) -> Time {
    NOW.plus(days * DAY)
}

fn files(names: &[&str]) -> Map<TargetName, TargetFile> {
    names.iter().map(|name| (target(name), TargetFile::of(MANIFEST))).collect()
}

/// What a repository serves, and what its holders need to write the next version.
struct Site {
    served: BTreeMap<String, Vec<u8>>,
    meta: Map<MetaName, MetaFile>,
    online: u8,
}

impl Site {
    /// Version 1 of everything; team `db` has not published yet.
    fn new() -> Self {
        let mut site = Self { served: BTreeMap::new(), meta: Map::default(), online: 10 };
        site.put_root(&root_file(1, 10, &[1, 2]));
        site.put(Role::Targets, 1, top(1, 10));
        site.put(Role::Changes, 1, changes_file(1, 10));
        site.put(content("web"), 1, web(1, &["manifest.web.base.1.0.0.json"]));
        site.seal(1);
        site
    }

    fn put_root(&mut self, root: &(u64, Vec<u8>)) {
        self.served.insert(Role::Root.file(root.0), root.1.clone());
    }

    fn put(&mut self, role: Role, version: u64, bytes: Vec<u8>) {
        self.meta.insert(MetaName(role.clone()), MetaFile::of(version, &bytes));
        self.served.insert(role.file(version), bytes);
    }

    /// Signs snapshot and timestamp of this version over what has been put.
    fn seal(&mut self, version: u64) {
        self.seal_as(version, version);
    }

    fn seal_as(&mut self, snapshot_version: u64, timestamp_version: u64) {
        let empty = &[(Role::Targets, top(1, self.online))];
        let empty = empty.each_ref().map(|(role, bytes)| (role.clone(), bytes.as_slice()));
        let mut snapshot = writer::snapshot(snapshot_version, later(7), None, &empty).unwrap();
        snapshot.meta = self.meta.clone();
        self.seal_with(snapshot, timestamp_version);
    }

    fn seal_with(&mut self, snapshot: Snapshot, timestamp_version: u64) {
        let signer = key(self.online);
        let version = snapshot.version;
        let bytes = Signed::by(snapshot, &[&signer]).to_bytes();
        let timestamp = writer::timestamp(timestamp_version, later(1), NOW, &bytes).unwrap();
        self.served.insert(Role::Snapshot.file(version), bytes);
        self.served.insert("timestamp.json".into(), Signed::by(timestamp, &[&signer]).to_bytes());
    }

    fn file(&self, name: &str) -> Vec<u8> {
        self.served[name].clone()
    }
}

fn root_file(version: u64, online_key: u8, signers: &[u8]) -> (u64, Vec<u8>) {
    let root = writer::new_root(version, later(400), &governance(), &online(online_key)).unwrap();
    (version, sign(root, signers))
}

fn sign<T: super::metadata::Payload>(payload: T, signers: &[u8]) -> Vec<u8> {
    let mut file = Signed::unsigned(payload);
    signers.iter().for_each(|number| file.sign(&key(*number)));
    file.to_bytes()
}

fn top_targets(version: u64, online_key: u8) -> Targets {
    let teams = BTreeMap::from([(team("web"), online(20)), (team("db"), online(21))]);
    writer::targets_with_policy(version, later(400), POLICY, &teams, &online(online_key)).unwrap()
}

fn top(version: u64, online_key: u8) -> Vec<u8> {
    sign(top_targets(version, online_key), &[1, 3])
}

fn changes_file(version: u64, signer: u8) -> Vec<u8> {
    let files = files(&["change.C-1.1.json", "change.index.json", "control.json"]);
    sign(writer::changes(version, later(7), files).unwrap(), &[signer])
}

fn web_targets(version: u64, names: &[&str]) -> Targets {
    writer::content(version, later(400), &team("web"), files(names)).unwrap()
}

fn web(version: u64, names: &[&str]) -> Vec<u8> {
    sign(web_targets(version, names), &[20])
}

/// A host with its trusted files; every refresh begins from them, as after a restart.
#[derive(Clone)]
struct Host {
    stored: Stored,
    asked: Vec<(String, u64)>,
    kept: Vec<String>,
    /// The write with this number (from 0) fails.
    full_disk_at: Option<usize>,
}

impl Host {
    fn new(root: &[u8]) -> Self {
        let stored = Stored { root: root.to_vec(), others: BTreeMap::new() };
        Self { stored, asked: Vec::new(), kept: Vec::new(), full_disk_at: None }
    }

    fn enrolled(site: &Site) -> Self {
        Self::new(&site.file("1.root.json"))
    }

    fn refresh(&mut self, site: &Site, now: Time) -> Result<Trusted, TufError> {
        match self.run(&site.served, now)? {
            Ended::Trusted(trusted) => Ok(*trusted),
            other => panic!("ended as {}", other.word()),
        }
    }

    /// How a refresh ends, in one word: `trusted`, `stale`, `disk` or the code of the refusal.
    fn outcome(&mut self, site: &Site, now: Time) -> &'static str {
        match self.run(&site.served, now) {
            Ok(ended) => ended.word(),
            Err(refused) => refused.code(),
        }
    }

    fn run(&mut self, served: &BTreeMap<String, Vec<u8>>, now: Time) -> Result<Ended, TufError> {
        (self.asked, self.kept) = (Vec::new(), Vec::new());
        let mut step = start(self.stored.clone(), now)?;
        loop {
            step = match step {
                Step::Fetch(fetch) => {
                    self.asked.push((fetch.name().to_owned(), fetch.max_bytes()));
                    match served.get(fetch.name()) {
                        Some(bytes) => fetch.found(bytes)?,
                        None => fetch.not_found()?,
                    }
                }
                Step::Store(store) => {
                    if self.full_disk_at == Some(self.kept.len()) {
                        return Ok(Ended::Disk);
                    }
                    self.kept.push(store.role().to_string());
                    match store.role() {
                        Role::Root => self.stored.root = store.bytes().to_vec(),
                        role => drop(self.stored.others.insert(role.clone(), store.bytes().to_vec())),
                    }
                    store.stored()?
                }
                Step::Stale(_) => return Ok(Ended::Stale),
                Step::Done(trusted) => return Ok(Ended::Trusted(trusted)),
            }
        }
    }
}

enum Ended {
    Trusted(Box<Trusted>),
    Stale,
    Disk,
}

impl Ended {
    fn word(&self) -> &'static str {
        match self {
            Self::Trusted(_) => "trusted",
            Self::Stale => "stale",
            Self::Disk => "disk",
        }
    }
}
