//! The work board: what every host is told when it checks in, in memory.
//!
//! A check-in touches no database. Other slices change their tables, bump a generation in the same transaction
//! and call [`Board::refresh`]; other nodes notice within a second. Lost memory is read again from the database.

use super::model::Standing;
use super::store;
use super::store::hindrance;
use crate::cmdb;
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Error;
use crate::kernel::generation;
use shared::digest::{Digest, Hasher};
use shared::envelope::Envelope;
use shared::ids::AgentId;
use shared::time::Timestamp;
use shared::wire::Work;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Bumped by this slice when a host changed.
pub(super) const HOSTS: &str = "fleet.hosts";
/// Bumped by whoever changes which plans are wished.
pub const WISHES: &str = "fleet.wishes";
/// Bumped by whoever publishes a new timestamp of the repository.
pub const TIMESTAMP: &str = "fleet.timestamp";

/// Check-ins per second that a node is to expect, whatever the size of the fleet.
const CHECK_INS_PER_SECOND: usize = 60;
const SHORTEST_POLL_SECS: usize = 10;
const LONGEST_POLL_SECS: usize = 300;

/// A change that wants a plan from a host: digest of the statement, and the statement.
pub type Wish = (AgentId, Digest, Arc<Envelope>);

/// Where the later slices' parts of the board are read from.
#[derive(Clone, Copy)]
pub struct Sources {
    /// All wished plans that did not arrive yet.
    pub wishes: fn(&mut Conn) -> Result<Vec<Wish>, Error>,
    /// Version of the newest `timestamp.json`.
    pub timestamp_version: fn(&mut Conn) -> Result<u64, Error>,
}

impl Sources {
    /// For a server without those slices.
    pub const NONE: Self = Self { wishes: |_| Ok(Vec::new()), timestamp_version: |_| Ok(0) };
}

/// Cheap to clone; all clones are one board.
#[derive(Clone)]
pub struct Board(Arc<Inner>);

struct Inner {
    sources: Sources,
    hosts: RwLock<HashMap<AgentId, Entry>>,
    timestamp_version: AtomicU64,
    loaded: tokio::sync::Mutex<Loaded>,
}

/// Generations that memory shows; -1 before the first load.
#[derive(Clone, Copy)]
struct Loaded {
    hosts: i64,
    wishes: i64,
    timestamp: i64,
}

struct Entry {
    standing: Standing,
    facts: Option<Digest>,
    wishes: BTreeMap<Digest, Arc<Envelope>>,
    /// Digest of everything above that a host is told.
    content: Digest,
    /// Unix seconds of the last check-in at this node, and the one that is stored; 0 is never.
    seen: AtomicI64,
    stored: AtomicI64,
    /// Of the last check-in at this node of which the host said that it judges changes.
    judged: AtomicI64,
}

impl Entry {
    fn new(standing: Standing) -> Self {
        let (facts, wishes) = (None, BTreeMap::new());
        let content = content(&standing, facts, &wishes);
        let [seen, stored, judged] = [0; 3].map(AtomicI64::new);
        Self { standing, facts, wishes, content, seen, stored, judged }
    }

    fn changed(&mut self) {
        self.content = content(&self.standing, self.facts, &self.wishes);
    }

    fn shown(&self) -> impl Iterator<Item = &Arc<Envelope>> {
        self.wishes.values().filter(|_| !self.standing.held)
    }
}

/// Equal on all nodes for equal content, so an agent may change nodes and still get `304`.
fn content(standing: &Standing, facts: Option<Digest>, wishes: &BTreeMap<Digest, Arc<Envelope>>) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(&standing.next_seq.to_be_bytes());
    hasher.update(&[u8::from(standing.held), u8::from(facts.is_some())]);
    hasher.update(&facts.unwrap_or(Digest([0; 32])).0);
    for digest in wishes.keys() {
        hasher.update(&digest.0);
    }
    hasher.finish()
}

/// What a node has heard of a host.
#[derive(Debug, Clone, Copy, Default)]
pub struct Contact {
    /// Its last check-in.
    pub seen: Option<Timestamp>,
    /// The last one of which it said that it judges changes.
    pub judged: Option<Timestamp>,
}

/// Answer to a check-in.
#[derive(Debug, Clone)]
pub enum CheckIn {
    /// Nothing new since the answer with this `ETag`.
    Same(String),
    News(String, Work),
}

impl Board {
    /// An empty board: nobody is admitted until the first [`Board::refresh`].
    pub fn new(sources: Sources) -> Self {
        let loaded = tokio::sync::Mutex::new(Loaded { hosts: -1, wishes: -1, timestamp: -1 });
        Self(Arc::new(Inner {
            sources,
            hosts: RwLock::default(),
            timestamp_version: AtomicU64::new(0),
            loaded,
        }))
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<AgentId, Entry>> {
        self.0.hosts.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<AgentId, Entry>> {
        self.0.hosts.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the host may speak to the server at all.
    pub fn admits(&self, agent: AgentId) -> bool {
        self.read().get(&agent).is_some_and(|entry| entry.standing.enabled)
    }

    /// Notes that the host is there, and tells it what is new. `None` for a host that the board does not have.
    pub fn check_in(&self, agent: AgentId, known: Option<&str>, now: Timestamp) -> Option<CheckIn> {
        let hosts = self.read();
        let entry = hosts.get(&agent)?;
        entry.seen.fetch_max(now.0, Ordering::Relaxed);
        let timestamp_version = self.timestamp_version();
        let tag = format!("\"{timestamp_version}.{}\"", entry.content);
        if known == Some(tag.as_str()) {
            return Some(CheckIn::Same(tag));
        }
        let work = Work {
            server_time: now,
            timestamp_version,
            plan_wishes: entry.shown().map(|wish| Envelope::clone(wish)).collect(),
            next_seq: entry.standing.next_seq,
            facts: entry.facts,
            poll_s: poll_secs(hosts.len()),
        };
        Some(CheckIn::News(tag, work))
    }

    /// Notes that the host judges changes.
    pub fn judges(&self, agent: AgentId, now: Timestamp) {
        if let Some(entry) = self.read().get(&agent) {
            entry.judged.fetch_max(now.0, Ordering::Relaxed);
        }
    }

    /// The version that hosts are told of.
    pub fn timestamp_version(&self) -> u64 {
        self.0.timestamp_version.load(Ordering::Acquire)
    }

    /// When the host was last seen by this node since it started.
    pub fn last_seen(&self, agent: AgentId) -> Option<Timestamp> {
        self.contact(agent).seen
    }

    /// What this node has heard of the host since it started.
    pub fn contact(&self, agent: AgentId) -> Contact {
        let hosts = self.read();
        let at = |of: fn(&Entry) -> &AtomicI64| {
            let at = of(hosts.get(&agent)?).load(Ordering::Relaxed);
            (at > 0).then_some(Timestamp(at))
        };
        Contact { seen: at(|entry| &entry.seen), judged: at(|entry| &entry.judged) }
    }

    /// The host's chain has grown up to and including `seq`.
    pub fn recorded(&self, agent: AgentId, seq: u64) {
        if let Some(entry) = self.write().get_mut(&agent)
            && entry.standing.next_seq <= seq
        {
            entry.standing.next_seq = seq + 1;
            entry.changed();
        }
    }

    /// A wished plan has arrived; other nodes learn it from the generation.
    pub fn drop_wish(&self, agent: AgentId, change: &Digest) {
        if let Some(entry) = self.write().get_mut(&agent)
            && entry.wishes.remove(change).is_some()
        {
            entry.changed();
        }
    }

    /// Brings the board up to date with what is durable. Cheap when nothing changed.
    pub async fn refresh(&self, db: &Db) -> Result<(), Error> {
        // One at a time: an older state must not overwrite a newer one.
        let mut loaded = self.0.loaded.lock().await;
        let (before, sources) = (*loaded, self.0.sources);
        let news = db.read("fleet.board", move |tx| News::read(tx, before, sources)).await?;
        *loaded = news.loaded;
        self.apply(news);
        Ok(())
    }

    fn apply(&self, news: News) {
        if let Some(version) = news.timestamp_version {
            self.0.timestamp_version.store(version, Ordering::Release);
        }
        if news.hosts.is_empty() && news.wishes.is_none() {
            return;
        }
        let mut hosts = self.write();
        for (standing, facts) in news.hosts {
            let entry = hosts.entry(standing.agent).or_insert_with(|| Entry::new(standing.clone()));
            // This reading may be a little older than what `recorded` was told.
            let next_seq = standing.next_seq.max(entry.standing.next_seq);
            (entry.standing, entry.facts) = (Standing { next_seq, ..standing }, facts);
            entry.changed();
        }
        if let Some(wishes) = news.wishes {
            let mut by_host: HashMap<AgentId, BTreeMap<Digest, Arc<Envelope>>> = HashMap::new();
            for (agent, change, envelope) in wishes {
                by_host.entry(agent).or_default().insert(change, envelope);
            }
            for (agent, entry) in hosts.iter_mut() {
                let wished = by_host.remove(agent).unwrap_or_default();
                if !wished.keys().eq(entry.wishes.keys()) {
                    entry.wishes = wished;
                    entry.changed();
                }
            }
        }
    }

    /// Stores when hosts were last seen, for those that were since the last time, and forgets what those said that judge
    /// changes again.
    pub async fn flush_seen(&self, db: &Db) -> Result<(), Error> {
        let seen = |(agent, entry): (&AgentId, &Entry)| {
            let (seen, stored) = (entry.seen.load(Ordering::Relaxed), entry.stored.load(Ordering::Relaxed));
            let judged = Timestamp(entry.judged.load(Ordering::Relaxed));
            (seen > stored).then_some(((*agent, seen), (*agent, judged)))
        };
        let (rows, judged): (Vec<_>, BTreeMap<_, _>) = self.read().iter().filter_map(seen).unzip();
        if rows.is_empty() {
            return Ok(());
        }
        let written = rows.clone();
        let body = move |tx: &mut Conn| {
            hindrance::clear(tx, &judged)?;
            Ok::<_, Error>(store::record_seen(tx, &written)?)
        };
        db.write("fleet.seen", body).await?;
        let hosts = self.read();
        for (agent, at) in rows {
            if let Some(entry) = hosts.get(&agent) {
                entry.stored.fetch_max(at, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// Longer for larger fleets, so that check-ins cost the same.
fn poll_secs(hosts: usize) -> u32 {
    let seconds = (hosts / CHECK_INS_PER_SECOND).clamp(SHORTEST_POLL_SECS, LONGEST_POLL_SECS);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// What changed in the database since the board was last brought up to date; one consistent reading.
struct News {
    loaded: Loaded,
    hosts: Vec<(Standing, Option<Digest>)>,
    wishes: Option<Vec<Wish>>,
    timestamp_version: Option<u64>,
}

impl News {
    fn read(tx: &mut Conn, before: Loaded, sources: Sources) -> Result<Self, Error> {
        let all = generation::read_all(tx)?;
        let value = |name: &str| all.get(name).copied().unwrap_or(0);
        let loaded = Loaded { hosts: value(HOSTS), wishes: value(WISHES), timestamp: value(TIMESTAMP) };
        let mut news = Self { loaded, hosts: Vec::new(), wishes: None, timestamp_version: None };
        if loaded.hosts != before.hosts {
            let standings = store::list_standings(tx, before.hosts)?;
            let ids: Vec<_> = standings.iter().map(|standing| standing.ci).collect();
            let facts = cmdb::facts_digests(tx, &ids)?;
            news.hosts = standings.into_iter().map(|s| (s.clone(), facts.get(&s.ci).copied())).collect();
        }
        if loaded.wishes != before.wishes {
            news.wishes = Some((sources.wishes)(tx)?);
        }
        if loaded.timestamp != before.timestamp {
            news.timestamp_version = Some((sources.timestamp_version)(tx)?);
        }
        Ok(news)
    }
}
