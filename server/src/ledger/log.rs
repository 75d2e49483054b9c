//! The log as others see it: signed checkpoints and proofs, always of what is durable.

use super::store::{self, Head, damaged, find_leaves, find_log};
use super::tiles::{Loaded, Tiles};
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::Error;
use shared::digest::Digest;
use shared::ids::SiteId;
use shared::keys::SigningKey;
use shared::ledger::{
    Checkpoint, ConsistencyProof, InclusionProof, KeyName, NodeRange, Opening, Tile, TreeError, VerifierKey,
    tree,
};
use shared::receipt::LogSeen;
use shared::time::Timestamp;
use shared::wire::Recorded;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// The log key with its origin. Cheap to clone.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    key: SigningKey,
    origin: KeyName,
    tiles: Tiles,
}

/// What is asked about one recorded statement.
#[derive(Debug, Clone)]
pub struct Question {
    pub statement: Digest,
    /// The size of the checkpoint that the asker holds.
    pub since: Option<u64>,
    /// What the asker says to have seen; it is compared with what we have.
    pub seen: Option<LogSeen>,
}

/// `contradiction` says how `seen` differs from this database's log, if it does.
#[derive(Debug, Clone)]
pub struct Answer {
    pub recorded: Recorded,
    pub index: u64,
    pub contradiction: Option<String>,
}

impl Log {
    pub fn new(key: SigningKey, origin: KeyName) -> Self {
        Self(Arc::new(Inner { key, origin, tiles: Tiles::default() }))
    }

    /// The key from its file; the origin is `assent.<site>`.
    pub fn load(key: &Path, site: &SiteId) -> Result<Self, Error> {
        let doing = || format!("loading the log key {}", key.display());
        let pem = std::fs::read_to_string(key).map_err(|error| Error::fault(doing(), error))?;
        let key = SigningKey::from_pem(&pem, None).map_err(|error| Error::fault(doing(), error))?;
        let origin =
            format!("assent.{site}").parse().map_err(|error| Error::fault("naming the log", error))?;
        Ok(Self::new(key, origin))
    }

    pub fn vkey(&self) -> VerifierKey {
        VerifierKey::new(self.0.origin.clone(), self.0.key.public())
    }

    /// Opens the log if the database has none. Several nodes may do this at once.
    pub async fn open(&self, db: &Db, now: Timestamp) -> Result<(), Error> {
        let log = self.clone();
        db.write("ledger.open", move |tx| log.open_in(tx, now)).await
    }

    fn open_in(&self, tx: &mut Conn, now: Timestamp) -> Result<(), Error> {
        store::lock(tx)?;
        let origin = &self.0.origin;
        match store::find_current(tx)? {
            None => {
                let opening = Opening { origin: origin.clone(), previous: None };
                store::insert_log(tx, &opening, now)
            }
            Some(head) if head.origin == origin.as_str() => Ok(()),
            Some(head) => Err(Error::fault(
                "opening the ledger",
                format!(
                    "the database's log is {}, this server's is {origin}; a new log is opened on purpose only, \
                     with the restore command",
                    head.origin
                ),
            )),
        }
    }

    /// After a restore: opens a new log that names the last checkpoint of the old one, so that the two cannot
    /// be taken for one. Nothing happens if the new log is already the current one.
    pub fn supersede(&self, tx: &mut Conn, previous: &str, now: Timestamp) -> Result<(), Error> {
        store::lock(tx)?;
        if store::find_current(tx)?.is_some_and(|head| head.origin == self.0.origin.as_str()) {
            return Ok(());
        }
        let opening = Opening { origin: self.0.origin.clone(), previous: Some(previous.to_owned()) };
        store::insert_log(tx, &opening, now)
    }

    /// The signed note of the newest checkpoint. `tx` is a reading one: only durable sizes are ever signed.
    pub fn checkpoint(&self, tx: &mut Conn) -> Result<String, Error> {
        self.sign(&store::head(tx)?)
    }

    fn sign(&self, checkpoint: &Checkpoint) -> Result<String, Error> {
        if checkpoint.origin != self.0.origin {
            return Err(damaged("the origin", "it is not the origin of this server's log"));
        }
        let note =
            checkpoint.sign(&self.0.key).map_err(|error| Error::fault("signing a checkpoint", error))?;
        Ok(note.to_string())
    }

    /// Bytes of a tile; `None` if the log does not have it.
    pub fn tile(&self, tx: &mut Conn, tile: Tile) -> Result<Option<Vec<u8>>, Error> {
        let head = store::current(tx)?;
        store::find_tile(tx, &head, tile)
    }

    /// Proofs for recorded statements, all to one checkpoint; `None` for a statement without a leaf.
    ///
    /// `tx` is a reading one: only durable sizes are ever signed.
    pub fn prove(&self, tx: &mut Conn, questions: &[Question]) -> Result<Vec<Option<Answer>>, Error> {
        let head = store::current(tx)?;
        let checkpoint = self.sign(&head.checkpoint()?)?;
        let size = head.frontier.size();
        let digests: Vec<Digest> = questions.iter().map(|question| question.statement).collect();
        let leaves = find_leaves(tx, head.log, &digests)?;
        let nodes = self.0.tiles.load(tx, head.log, &wanted(questions, &leaves, &head)?)?;
        let mut answers = Vec::with_capacity(questions.len());
        for question in questions {
            let Some((index, leaf)) = leaves.get(&question.statement) else {
                answers.push(None);
                continue;
            };
            let hashes = tree::inclusion_proof(*index, size, &nodes).map_err(broken)?;
            let inclusion = InclusionProof { leaf: leaf.clone(), index: *index, hashes };
            let consistency = consistency(question.since, size, &nodes)?;
            let recorded = Recorded { inclusion, checkpoint: checkpoint.clone(), consistency };
            let contradiction = match &question.seen {
                Some(seen) => self.contradiction(tx, seen, &head, &nodes)?,
                None => None,
            };
            answers.push(Some(Answer { recorded, index: *index, contradiction }));
        }
        Ok(answers)
    }

    fn contradiction(
        &self,
        tx: &mut Conn,
        seen: &LogSeen,
        head: &Head,
        nodes: &Loaded,
    ) -> Result<Option<String>, Error> {
        let size = head.frontier.size();
        let ours = if seen.origin == head.origin {
            if seen.size > size {
                return Ok(Some(format!("it saw {} leaves, this log has {size}", seen.size)));
            }
            tree::root(seen.size, nodes).map_err(broken)?
        } else {
            let Some((log, older)) = find_log(tx, &seen.origin)? else {
                let origin = shared::strict::shorten(&seen.origin);
                return Ok(Some(format!("it saw a log {origin:?} that this server does not know")));
            };
            if seen.size > older.cast_unsigned() {
                return Ok(Some(format!(
                    "it saw {} leaves of the older log {}, this server has {older}",
                    seen.size, seen.origin
                )));
            }
            let nodes = self.0.tiles.load(tx, log, &tree::root_nodes(seen.size))?;
            tree::root(seen.size, &nodes).map_err(broken)?
        };
        let same = ours == seen.root;
        Ok((!same)
            .then(|| format!("at {} leaves it saw the root {}, this log has {ours}", seen.size, seen.root)))
    }
}

fn wanted(
    questions: &[Question],
    leaves: &HashMap<Digest, (u64, String)>,
    head: &Head,
) -> Result<Vec<NodeRange>, Error> {
    let size = head.frontier.size();
    let mut ranges = Vec::new();
    for question in questions {
        if let Some((index, _)) = leaves.get(&question.statement) {
            ranges.extend(tree::inclusion_nodes(*index, size).map_err(broken)?);
        }
        if let Some(since) = question.since.filter(|since| *since <= size) {
            ranges.extend(tree::consistency_nodes(since, size).map_err(broken)?);
        }
        if let Some(seen) = &question.seen
            && seen.origin == head.origin
            && seen.size <= size
        {
            ranges.extend(tree::root_nodes(seen.size));
        }
    }
    Ok(ranges)
}

/// None for an asker that holds a larger log: there is nothing true to prove, and it must notice.
fn consistency(since: Option<u64>, size: u64, nodes: &Loaded) -> Result<Option<ConsistencyProof>, Error> {
    let Some(old_size) = since.filter(|since| *since <= size) else { return Ok(None) };
    let hashes = tree::consistency_proof(old_size, size, nodes).map_err(broken)?;
    Ok(Some(ConsistencyProof { old_size, new_size: size, hashes }))
}

fn broken(error: TreeError) -> Error {
    damaged("a node", error)
}
