//! All durable state of the agent except the journal: one file for one fact, each replaced in one step.
//!
//! A file that is missing or damaged after the host has joined is an error that holds the agent: these files
//! protect against replay and rollback, so they are never silently begun anew. Each type says who goes on
//! with it after a crash. Never: decisions; they are made from copies of these values.

mod documents;

pub use documents::{
    Chain, Contact, Correcting, Executed, Open, Proxy, Quarantined, RefusedBefore, Running, Seen,
    SeenRevision, Site,
};

use crate::disk::Disk;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::keys::SigningKey;
use shared::limits;
use shared::plan::{Plan, open_plan};
use shared::policy::Held;
use shared::receipt::LogSeen;
use shared::refusal::{Code, Refused};
use shared::statement::Statement;
use shared::strict;
use shared::time::Timestamp;
use shared::tuf::{Role, Stored};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Own documents are far smaller; a larger file is damaged or foreign.
const OWN_BYTES: u64 = 8 << 20;
/// Below the state directory, where files are replaced in one step.
const WRITTEN_DIRS: [&str; 11] = [
    "",
    "artifacts",
    "cache",
    "carried",
    "journal",
    "journal/saved",
    "plans",
    "sent",
    "spool",
    "tuf",
    "words",
];
/// Runs that wait for a boot or for old processes to end; one boot ends the wait of all.
const OPEN_RUNS: usize = 8;
/// Days after which a plan cannot belong to a living change any more (a change lives 90 days).
const PLAN_DAYS: i64 = 100;

/// Why the state cannot be used. The agent is held until it is repaired.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("cannot {action} {path}: {source}; nothing starts until this works again", path = path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "{path} is damaged ({why}); it protects against replay and rollback, so restore it from a backup \
         or join this host again",
        path = path.display()
    )]
    Damaged { path: PathBuf, why: String },
    #[error("{path} cannot be used ({why}); restore it from a backup or join this host again", path = path.display())]
    Unusable { path: PathBuf, why: String },
    #[error("this host has not joined a site ({path} does not exist); run assent-agent join", path = path.display())]
    NotJoined { path: PathBuf },
}

impl StateError {
    /// The same as a refusal, for what an operator sees.
    pub fn refused(&self) -> Refused {
        Refused::new(Code::AgentStorage, self.to_string())
    }
}

/// A value that is written even when there is none yet, so that a lost file is noticed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Maybe<T> {
    value: Option<T>,
}

/// The durable state in memory. Each setter writes first and changes the memory only after that.
pub struct State {
    dir: PathBuf,
    disk: Box<dyn Disk>,
    key: Arc<SigningKey>,
    site: Site,
    chain: Chain,
    seen: Seen,
    contact: Contact,
    log_seen: Option<LogSeen>,
    held: Held,
    facts_sent: Option<Digest>,
    running: Option<Running>,
    open: Vec<Open>,
    quarantine: Vec<Quarantined>,
    refused: Vec<RefusedBefore>,
    tuf: Stored,
}

/// Everything that joining leaves behind, in the order in which it is written.
pub struct Founding<'a> {
    pub site: &'a Site,
    pub root: &'a [u8],
    pub ca: &'a [u8],
    pub certificate: &'a [u8],
    pub enrolment: Digest,
    /// JSON of the server's proof of the enrolment, if it gave one.
    pub proof: Option<Vec<u8>>,
    pub now: Timestamp,
}

/// Writes the state of a host that has just joined; `site.json` last.
///
/// # Errors
/// The disk's. Joining again repeats everything.
pub fn found(dir: &Path, disk: &mut dyn Disk, founding: &Founding<'_>) -> Result<(), StateError> {
    let mut put = |name: &str, bytes: &[u8]| write(disk, &dir.join(name), bytes);
    put("tuf/root.json", founding.root)?;
    put("ca.crt", founding.ca)?;
    put("tls.crt", founding.certificate)?;
    put("seen.json", &strict::to_json(&Seen::default()))?;
    put("contact.json", &strict::to_json(&Contact { floor: founding.now, last: founding.now }))?;
    put("log_seen.json", &strict::to_json(&Maybe::<LogSeen> { value: None }))?;
    put("facts.json", &strict::to_json(&Maybe::<Digest> { value: None }))?;
    put("refused.json", b"[]")?;
    put("open.json", b"[]")?;
    put("quarantine.json", b"[]")?;
    if let Some(proof) = &founding.proof {
        put("spool/1.proof", proof)?;
    }
    put("chain.json", &strict::to_json(&Chain { seq: 1, prev: founding.enrolment }))?;
    put("site.json", &strict::to_json(founding.site))
}

fn write(disk: &mut dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let io = |source| StateError::Io { action: "write", path: path.to_owned(), source };
    disk.write(path, bytes).map_err(io)
}

/// Reads and parses an own document; `None` when it does not exist.
pub fn read_own<T: DeserializeOwned>(disk: &dyn Disk, path: &Path) -> Result<Option<T>, StateError> {
    let Some(bytes) = read(disk, path, OWN_BYTES)? else { return Ok(None) };
    let damaged = |e: strict::ReadError| StateError::Damaged { path: path.to_owned(), why: e.to_string() };
    strict::from_json("it", &bytes, bytes.len()).map(Some).map_err(damaged)
}

fn read(disk: &dyn Disk, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, StateError> {
    let io = |source| StateError::Io { action: "read", path: path.to_owned(), source };
    disk.read(path, limit).map_err(io)
}

/// The host key of a state directory; `None` when there is none yet.
///
/// # Errors
/// Unreadable or not a key.
pub fn host_key(dir: &Path, disk: &dyn Disk) -> Result<Option<SigningKey>, StateError> {
    let path = dir.join("identity.pem");
    let Some(bytes) = read(disk, &path, OWN_BYTES)? else { return Ok(None) };
    let damaged = |why: String| StateError::Damaged { path: path.clone(), why };
    let pem = zeroize::Zeroizing::new(String::from_utf8(bytes).map_err(|e| damaged(e.to_string()))?);
    SigningKey::from_pem(&pem, None).map(Some).map_err(|e| damaged(e.to_string()))
}

impl State {
    /// Opens the state of a host that has joined. Writes nothing, so that everybody may look; whoever works with it
    /// begins with [`State::take_over`].
    ///
    /// # Errors
    /// [`StateError::NotJoined`], or any file that is missing, unreadable or damaged.
    pub fn open(dir: &Path, disk: Box<dyn Disk>) -> Result<Self, StateError> {
        let site_path = dir.join("site.json");
        let not_joined = StateError::NotJoined { path: site_path.clone() };
        let site: Site = read_own(&*disk, &site_path)?.ok_or(not_joined)?;
        let missing = |path: PathBuf| StateError::Damaged { path, why: "it is missing".into() };
        let key = host_key(dir, &*disk)?.ok_or_else(|| missing(dir.join("identity.pem")))?;
        if key.public().agent_id() != site.agent {
            let why = format!("it is not the key of {}", site.agent);
            return Err(StateError::Damaged { path: dir.join("identity.pem"), why });
        }
        fn must<T: DeserializeOwned>(disk: &dyn Disk, path: PathBuf) -> Result<T, StateError> {
            let missing = StateError::Damaged { path: path.clone(), why: "it is missing".into() };
            read_own(disk, &path)?.ok_or(missing)
        }
        Ok(Self {
            chain: must(&*disk, dir.join("chain.json"))?,
            seen: must(&*disk, dir.join("seen.json"))?,
            contact: must(&*disk, dir.join("contact.json"))?,
            log_seen: must::<Maybe<_>>(&*disk, dir.join("log_seen.json"))?.value,
            facts_sent: must::<Maybe<_>>(&*disk, dir.join("facts.json"))?.value,
            refused: must(&*disk, dir.join("refused.json"))?,
            running: read_own(&*disk, &dir.join("running.json"))?,
            // Hosts have none of these before they are first needed.
            held: read_own(&*disk, &dir.join("held.json"))?.unwrap_or_default(),
            open: read_own(&*disk, &dir.join("open.json"))?.unwrap_or_default(),
            quarantine: read_own(&*disk, &dir.join("quarantine.json"))?.unwrap_or_default(),
            tuf: read_tuf(dir, &*disk)?,
            dir: dir.to_owned(),
            disk,
            key: Arc::new(key),
            site,
        })
    }

    /// Finishes what a crash left between two writes. Only for the one agent that works in this directory.
    ///
    /// A disk that cannot be written is no error here: every write says so later, and the host is heard meanwhile.
    ///
    /// # Errors
    /// A spooled statement that does not follow the chain.
    pub fn take_over(&mut self) -> Result<(), StateError> {
        for dir in WRITTEN_DIRS {
            let swept = self.disk.sweep(&self.dir.join(dir));
            if let Err(e) = swept {
                tracing::warn!("what a crash left unfinished in {dir:?} stays for now: {e}");
            }
        }
        match self.adopt_spooled() {
            Err(StateError::Io { .. }) => Ok(()),
            adopted => adopted,
        }
    }

    /// A statement that was spooled just before a crash or a full disk is part of the chain: it may already
    /// be believed to exist, so its place must not be given away again.
    ///
    /// # Errors
    /// The disk's, or a spooled statement that does not follow the chain.
    pub fn adopt_spooled(&mut self) -> Result<(), StateError> {
        let last = self.spooled()?.last().copied();
        let Some(last) = last.filter(|last| *last > self.chain.seq) else { return Ok(()) };
        let path = self.dir.join(format!("spool/{last}.json"));
        let damaged = |why: &str| StateError::Damaged { path: path.clone(), why: why.into() };
        let bytes = self.read_file(&format!("spool/{last}.json"))?.ok_or_else(|| damaged("it vanished"))?;
        let envelope = shared::envelope::Envelope::parse(&bytes).map_err(|e| damaged(&e.to_string()))?;
        let header = crate::receipt::header_of(&envelope).map_err(|e| damaged(&e.to_string()))?;
        if last != self.chain.seq + 1 || header.seq != last || header.prev != Some(self.chain.prev) {
            return Err(damaged("it does not follow the chain"));
        }
        self.set_chain(Chain { seq: last, prev: envelope.digest() })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The same for another thread.
    pub fn shared_key(&self) -> Arc<SigningKey> {
        self.key.clone()
    }

    pub fn site(&self) -> &Site {
        &self.site
    }

    pub fn chain(&self) -> Chain {
        self.chain
    }

    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    pub fn contact(&self) -> Contact {
        self.contact
    }

    pub fn log_seen(&self) -> Option<&LogSeen> {
        self.log_seen.as_ref()
    }

    /// What the ledger was proven to hold of changes.
    pub fn held(&self) -> &Held {
        &self.held
    }

    pub fn facts_sent(&self) -> Option<Digest> {
        self.facts_sent
    }

    pub fn running(&self) -> Option<&Running> {
        self.running.as_ref()
    }

    /// Runs whose software is not in effect yet.
    pub fn open_runs(&self) -> &[Open] {
        &self.open
    }

    pub fn quarantine(&self) -> &[Quarantined] {
        &self.quarantine
    }

    pub fn refused(&self) -> &[RefusedBefore] {
        &self.refused
    }

    /// The trusted repository metadata, for the next refresh.
    pub fn tuf(&self) -> &Stored {
        &self.tuf
    }

    pub fn set_chain(&mut self, chain: Chain) -> Result<(), StateError> {
        self.put("chain.json", &strict::to_json(&chain))?;
        self.chain = chain;
        Ok(())
    }

    /// Changes `seen.json` through a copy, so that a failed write changes nothing.
    pub fn update_seen(&mut self, change: impl FnOnce(&mut Seen)) -> Result<(), StateError> {
        let mut seen = self.seen.clone();
        change(&mut seen);
        if seen != self.seen {
            seen.prune(self.contact.floor);
            self.put("seen.json", &strict::to_json(&seen))?;
            self.seen = seen;
        }
        Ok(())
    }

    /// Moves the floor of the clock and the last contact forward, never back.
    ///
    /// Kept on disk in steps of five minutes: a floor that is a little too low only refuses a little less.
    pub fn advance(&mut self, floor: Timestamp, last: Option<Timestamp>) -> Result<(), StateError> {
        let mut next = self.contact;
        next.floor = next.floor.max(floor);
        next.last = last.unwrap_or(next.last);
        let far = |a: Timestamp, b: Timestamp| a.since(b).abs() >= 300;
        if far(next.floor, self.contact.floor) || far(next.last, self.contact.last) {
            self.put("contact.json", &strict::to_json(&next))?;
            self.contact = next;
        }
        Ok(())
    }

    pub fn set_log_seen(&mut self, seen: LogSeen) -> Result<(), StateError> {
        let seen = Some(seen);
        if seen != self.log_seen {
            self.put("log_seen.json", &strict::to_json(&Maybe { value: seen.clone() }))?;
            self.log_seen = seen;
        }
        Ok(())
    }

    /// Notes what `proofs` prove about statements of changes; after a crash in between it is asked for again.
    pub fn take_proofs(&mut self, held: Held, seen: LogSeen) -> Result<(), StateError> {
        self.set_log_seen(seen)?;
        if held != self.held {
            self.put("held.json", &strict::to_json(&held))?;
            self.held = held;
        }
        Ok(())
    }

    pub fn set_facts_sent(&mut self, facts: Digest) -> Result<(), StateError> {
        self.put("facts.json", &strict::to_json(&Maybe { value: Some(facts) }))?;
        self.facts_sent = Some(facts);
        Ok(())
    }

    pub fn set_running(&mut self, running: Running) -> Result<(), StateError> {
        self.put("running.json", &strict::to_json(&running))?;
        self.running = Some(running);
        Ok(())
    }

    pub fn clear_running(&mut self) -> Result<(), StateError> {
        self.remove("running.json")?;
        self.running = None;
        Ok(())
    }

    /// The oldest give way: a host with so many is told by its newest ones.
    pub fn set_open(&mut self, mut open: Vec<Open>) -> Result<(), StateError> {
        open.drain(..open.len().saturating_sub(OPEN_RUNS));
        self.put("open.json", &strict::to_json(&open))?;
        self.open = open;
        Ok(())
    }

    pub fn set_quarantine(&mut self, quarantine: Vec<Quarantined>) -> Result<(), StateError> {
        self.put("quarantine.json", &strict::to_json(&quarantine))?;
        self.quarantine = quarantine;
        Ok(())
    }

    pub fn set_refused(&mut self, refused: Vec<RefusedBefore>) -> Result<(), StateError> {
        self.put("refused.json", &strict::to_json(&refused))?;
        self.refused = refused;
        Ok(())
    }

    /// Makes one trusted metadata file durable.
    pub fn store_tuf(&mut self, role: &Role, bytes: &[u8]) -> Result<(), StateError> {
        self.put(&format!("tuf/{}", role.stored_file()), bytes)?;
        if *role == Role::Root {
            self.tuf.root = bytes.to_vec();
        } else {
            self.tuf.others.insert(role.clone(), bytes.to_vec());
        }
        Ok(())
    }

    /// The policy that was last admitted; kept apart from the cache, so that proofs can be judged offline.
    pub fn policy(&self) -> Result<Option<Vec<u8>>, StateError> {
        self.read_file("policy.json")
    }

    pub fn store_policy(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        self.put("policy.json", bytes)
    }

    /// An own plan by its digest; `None` when it is not stored here.
    ///
    /// # Errors
    /// Unreadable, damaged, or not this host's plan.
    pub fn plan(&self, digest: &Digest) -> Result<Option<Statement<Plan>>, StateError> {
        let name = format!("plans/{digest}.json");
        let Some(bytes) = self.read_file(&name)? else { return Ok(None) };
        let damaged = |why: String| StateError::Damaged { path: self.dir.join(&name), why };
        let plan = open_plan(&bytes).map_err(|e| damaged(e.to_string()))?;
        if plan.digest != *digest || plan.body.agent_id != self.site.agent {
            return Err(damaged("it is not this host's plan of that digest".into()));
        }
        Ok(Some(plan))
    }

    pub fn store_plan(&mut self, plan: &Statement<Plan>) -> Result<(), StateError> {
        self.put(&format!("plans/{}.json", plan.digest), &plan.to_bytes())
    }

    /// All stored plans; those of changes that are long over are removed. What is over is judged by the floor of the
    /// clock: one wrong hour ahead must not cost the plans that are approved.
    pub fn plans(&mut self) -> Result<Vec<Statement<Plan>>, StateError> {
        let floor = self.contact.floor;
        let mut plans = Vec::new();
        for name in self.list("plans")? {
            let Some(Ok(digest)) = name.strip_suffix(".json").map(str::parse::<Digest>) else { continue };
            let Some(plan) = self.plan(&digest)? else { continue };
            if floor.since(plan.body.at) <= PLAN_DAYS * 86_400 {
                plans.push(plan);
            } else if let Err(e) = self.remove(&format!("plans/{name}")) {
                tracing::warn!("{e}");
            }
        }
        Ok(plans)
    }

    /// Places in the chain of the statements that the server has not proven yet, ascending.
    pub fn spooled(&self) -> Result<Vec<u64>, StateError> {
        self.numbered("spool")
    }

    /// Places of proven statements that are still kept, for a server that lost them.
    pub fn sent(&self) -> Result<Vec<u64>, StateError> {
        self.numbered("sent")
    }

    fn numbered(&self, dir: &str) -> Result<Vec<u64>, StateError> {
        let names = self.list(dir)?;
        let mut all: Vec<u64> = names.iter().filter_map(|n| n.strip_suffix(".json")?.parse().ok()).collect();
        all.sort_unstable();
        Ok(all)
    }

    /// A file below the state directory.
    pub fn read_file(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        read(&*self.disk, &self.dir.join(name), OWN_BYTES)
    }

    /// An own document below the state directory.
    pub fn read_own<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StateError> {
        read_own(&*self.disk, &self.dir.join(name))
    }

    pub fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        write(&mut *self.disk, &self.dir.join(name), bytes)
    }

    pub fn remove(&mut self, name: &str) -> Result<(), StateError> {
        let path = self.dir.join(name);
        let done = self.disk.remove(&path);
        done.map_err(|source| StateError::Io { action: "remove", path, source })
    }

    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), StateError> {
        let (path, to) = (self.dir.join(from), self.dir.join(to));
        let done = self.disk.rename(&path, &to);
        done.map_err(|source| StateError::Io { action: "move", path, source })
    }

    pub fn list(&self, dir: &str) -> Result<Vec<String>, StateError> {
        let path = self.dir.join(dir);
        let names = self.disk.list(&path);
        names.map_err(|source| StateError::Io { action: "list", path, source })
    }

    /// The disk itself, for downloads.
    pub fn disk(&mut self) -> &mut dyn Disk {
        &mut *self.disk
    }
}

/// The trusted metadata; a root must be there, the others come with the first refresh.
fn read_tuf(dir: &Path, disk: &dyn Disk) -> Result<Stored, StateError> {
    let dir = dir.join("tuf");
    let io = |source| StateError::Io { action: "list", path: dir.clone(), source };
    let damaged = |name: &str, why: &str| StateError::Damaged { path: dir.join(name), why: why.into() };
    let mut stored = Stored::default();
    for name in disk.list(&dir).map_err(io)? {
        let role = name.strip_suffix(".json").and_then(|n| n.parse::<Role>().ok());
        let role = role.ok_or_else(|| damaged(&name, "no role has this name"))?;
        let bytes = read(disk, &dir.join(&name), limits::TUF_DELEGATED_BYTES as u64)?.unwrap_or_default();
        if role == Role::Root {
            stored.root = bytes;
        } else {
            stored.others.insert(role, bytes);
        }
    }
    if stored.root.is_empty() {
        return Err(damaged("root.json", "it is missing"));
    }
    Ok(stored)
}
