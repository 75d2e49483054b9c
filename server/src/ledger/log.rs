//! The log as others see it: signed checkpoints and proofs, always of what is durable.

use super::store::{self, Head, damaged, find_leaves, find_log};
use super::tiles::{Loaded, Tiles};
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::keys;
use shared::digest::{Digest, hex};
use shared::ids::SiteId;
use shared::keys::{PublicKey, SigningKey};
use shared::ledger::{
    Checkpoint, ConsistencyProof, InclusionProof, KeyName, NodeRange, Opening, Tile, TreeError, VerifierKey,
    tree,
};
use shared::receipt::LogSeen;
use shared::time::Timestamp;
use shared::wire::{AskProofs, Proofs, Recorded};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// The log keys with the origins that they sign for. Cheap to clone.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    /// The key in use, and after a restore the one of the log that follows. One key may sign for two origins:
    /// the first log of a site is named after the site alone.
    keys: Vec<(SigningKey, Vec<KeyName>)>,
    tiles: Tiles,
}

/// Enough of a key's digest to tell the logs of a site apart.
const ORIGIN_BYTES: usize = 4;

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
        Self(Arc::new(Inner { keys: vec![(key, vec![origin])], tiles: Tiles::default() }))
    }

    /// The key from its file, and the one that follows. The first log of a site is `assent.<site>`, each later one
    /// `assent.<site>/<beginning of its key's digest>`.
    pub fn load(path: &Path, site: &SiteId) -> Result<Self, Error> {
        let name = |text: String| text.parse().map_err(|error| Error::fault("naming the log", error));
        let mut named = Vec::new();
        for key in keys::load(path)? {
            let digest = hex(&Digest::of(key.public().as_bytes()).0[..ORIGIN_BYTES]);
            let mut origins: Vec<KeyName> = vec![name(format!("assent.{site}/{digest}"))?];
            if named.is_empty() {
                origins.insert(0, name(format!("assent.{site}"))?);
            }
            named.push((key, origins));
        }
        Ok(Self(Arc::new(Inner { keys: named, tiles: Tiles::default() })))
    }

    /// Of the first log of the site.
    pub fn vkey(&self) -> VerifierKey {
        let (key, origins) = &self.0.keys[0];
        VerifierKey::new(origins[0].clone(), key.public())
    }

    fn key(&self, origin: &str) -> Option<(&SigningKey, &KeyName)> {
        let all = self.0.keys.iter().flat_map(|(key, origins)| origins.iter().map(move |name| (key, name)));
        all.into_iter().find(|(_, name)| name.as_str() == origin)
    }

    /// Whether this key is the one for the log of this origin.
    pub fn signs_with(&self, key: &PublicKey, origin: &KeyName) -> bool {
        self.key(origin.as_str()).is_some_and(|(signing, _)| signing.public() == *key)
    }

    /// The key of the log that grows.
    pub fn signer(&self, tx: &mut Conn) -> Result<&SigningKey, Error> {
        let origin = store::current(tx)?.origin;
        self.signing(&origin)
    }

    pub(super) fn signing(&self, origin: &str) -> Result<&SigningKey, Error> {
        let missing = || damaged("the origin", "none of this server's keys signs it");
        self.key(origin).map(|(key, _)| key).ok_or_else(missing)
    }

    pub(super) fn nodes(&self, tx: &mut Conn, head: &Head, ranges: &[NodeRange]) -> Result<Loaded, Error> {
        self.0.tiles.load(tx, head.log, ranges)
    }

    /// The key that is to sign the log after a restore, unless it does already.
    pub fn next(&self, tx: &mut Conn) -> Result<Option<VerifierKey>, Error> {
        let origin = store::current(tx)?.origin;
        let next = self.0.keys.get(1).and_then(|(key, origins)| Some((key, origins.last()?)));
        let next = next.filter(|(_, name)| name.as_str() != origin);
        Ok(next.map(|(key, name)| VerifierKey::new(name.clone(), key.public())))
    }

    /// Opens the log if the database has none. Several nodes may do this at once.
    pub async fn open(&self, db: &Db, now: Timestamp) -> Result<(), Error> {
        let log = self.clone();
        db.write("ledger.open", move |tx| log.open_in(tx, now)).await
    }

    fn open_in(&self, tx: &mut Conn, now: Timestamp) -> Result<(), Error> {
        store::lock(tx)?;
        match store::find_current(tx)? {
            None => {
                let opening = Opening { origin: self.vkey().name().clone(), previous: None };
                store::insert_log(tx, &opening, now)
            }
            Some(head) if self.key(&head.origin).is_some() => Ok(()),
            Some(head) => Err(Error::fault(
                "opening the ledger",
                format!(
                    "the database's log is {}, and none of this server's keys signs it; put back the keys that \
                     belong to the database",
                    head.origin
                ),
            )),
        }
    }

    /// The policy names the log of the site. When that is another than the current one, it begins here: its first
    /// leaf names the last checkpoint of the log before, so that the two cannot be taken for one, and it goes on with
    /// all that was in it, so that one log proves everything.
    ///
    /// # Errors
    /// This server has no such key.
    pub fn go_on_as(&self, tx: &mut Conn, vkey: &str, now: Timestamp) -> Result<(), Error> {
        store::lock(tx)?;
        let head = store::current(tx)?;
        let named = vkey.parse::<VerifierKey>().ok();
        let known = named.and_then(|named| {
            let (key, name) = self.key(named.name().as_str())?;
            (VerifierKey::new(name.clone(), key.public()) == named).then_some(name)
        });
        let Some(origin) = known else {
            let refusal = Refusal::conflict("site.log_key");
            return Err(refusal
                .with("sent", shared::strict::shorten(vkey))
                .with("have", &head.origin)
                .into());
        };
        if head.origin == origin.as_str() {
            return Ok(());
        }
        if store::find_log(tx, origin.as_str())?.is_some() {
            return Err(Refusal::conflict("site.log_key")
                .with("sent", vkey)
                .with("have", &head.origin)
                .into());
        }
        let opening = Opening { origin: origin.clone(), previous: Some(self.sign(&head.checkpoint()?)?) };
        store::insert_log(tx, &opening, now)?;
        store::carry_over(tx, head.log)
    }

    /// The signed note of the newest checkpoint. `tx` is a reading one: only durable sizes are ever signed.
    pub fn checkpoint(&self, tx: &mut Conn) -> Result<String, Error> {
        self.sign(&store::head(tx)?)
    }

    /// The log before those leaves at its end that only say who took a bundle: what bundles are made of, so that
    /// taking one does not change the next one. At least what witnesses have seen.
    pub fn settled(&self, tx: &mut Conn) -> Result<Checkpoint, Error> {
        let head = store::current(tx)?;
        let newest = head.checkpoint()?;
        // What a witness has seen must be a beginning of it.
        let seen = store::largest_witnessed(tx, head.log, newest.size)?;
        let size = store::settled_size(tx, head.log)?.max(seen);
        if size == newest.size {
            return Ok(newest);
        }
        let nodes = self.0.tiles.load(tx, head.log, &tree::root_nodes(size))?;
        Ok(Checkpoint { size, root: tree::root(size, &nodes).map_err(broken)?, ..newest })
    }

    /// The signed note of a checkpoint that this log gave; `tx` was a reading one.
    pub fn sign(&self, checkpoint: &Checkpoint) -> Result<String, Error> {
        let key = self.signing(checkpoint.origin.as_str())?;
        let note = checkpoint.sign(key).map_err(|error| Error::fault("signing a checkpoint", error))?;
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
        let newest = store::head(tx)?;
        self.prove_to(tx, &newest, questions)
    }

    /// As [`Log::prove`], to a checkpoint that may be an older one of the current log: later leaves are as if they were
    /// not there.
    pub fn prove_to(
        &self,
        tx: &mut Conn,
        to: &Checkpoint,
        questions: &[Question],
    ) -> Result<Vec<Option<Answer>>, Error> {
        let log = store::current(tx)?.log;
        let (checkpoint, size) = (self.sign(to)?, to.size);
        let digests: Vec<Digest> = questions.iter().map(|question| question.statement).collect();
        let mut leaves = find_leaves(tx, log, &digests)?;
        leaves.retain(|_, (index, _)| *index < size);
        let nodes = self.0.tiles.load(tx, log, &wanted(questions, &leaves, to)?)?;
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
                Some(seen) => self.contradiction(tx, seen, to, &nodes)?,
                None => None,
            };
            answers.push(Some(Answer { recorded, index: *index, contradiction }));
        }
        Ok(answers)
    }

    /// Proofs of those of the statements that have a leaf, for a host that wants to begin a change.
    ///
    /// `tx` is a reading one: only durable sizes are ever signed.
    pub fn proofs(&self, tx: &mut Conn, wanted: &AskProofs) -> Result<Proofs, Error> {
        let head = store::current(tx)?;
        let size = head.frontier.size();
        let leaves = find_leaves(tx, head.log, &wanted.statements)?;
        let mut ranges = Vec::new();
        for (index, _) in leaves.values() {
            ranges.extend(tree::inclusion_nodes(*index, size).map_err(broken)?);
        }
        if let Some(since) = wanted.log_size.filter(|since| *since <= size) {
            ranges.extend(tree::consistency_nodes(since, size).map_err(broken)?);
        }
        let nodes = self.0.tiles.load(tx, head.log, &ranges)?;
        let mut inclusion = Vec::with_capacity(leaves.len());
        for (index, leaf) in leaves.into_values() {
            let hashes = tree::inclusion_proof(index, size, &nodes).map_err(broken)?;
            inclusion.push(InclusionProof { leaf, index, hashes });
        }
        inclusion.sort_by_key(|proof| proof.index);
        let consistency = consistency(wanted.log_size, size, &nodes)?;
        let newest = head.checkpoint()?;
        let witnessed = self.witnessed(tx, &newest)?;
        Ok(Proofs { checkpoint: self.sign(&newest)?, inclusion, consistency, witnessed })
    }

    fn contradiction(
        &self,
        tx: &mut Conn,
        seen: &LogSeen,
        head: &Checkpoint,
        nodes: &Loaded,
    ) -> Result<Option<String>, Error> {
        let size = head.size;
        let ours = if seen.origin == head.origin.as_str() {
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
    head: &Checkpoint,
) -> Result<Vec<NodeRange>, Error> {
    let size = head.size;
    let mut ranges = Vec::new();
    for question in questions {
        if let Some((index, _)) = leaves.get(&question.statement) {
            ranges.extend(tree::inclusion_nodes(*index, size).map_err(broken)?);
        }
        if let Some(since) = question.since.filter(|since| *since <= size) {
            ranges.extend(tree::consistency_nodes(since, size).map_err(broken)?);
        }
        if let Some(seen) = &question.seen
            && seen.origin == head.origin.as_str()
            && seen.size <= size
        {
            ranges.extend(tree::root_nodes(seen.size));
        }
    }
    Ok(ranges)
}

/// None for an asker that holds a larger log: there is nothing true to prove, and it must notice.
pub(super) fn consistency(
    since: Option<u64>,
    size: u64,
    nodes: &Loaded,
) -> Result<Option<ConsistencyProof>, Error> {
    let Some(old_size) = since.filter(|since| *since <= size) else { return Ok(None) };
    let hashes = tree::consistency_proof(old_size, size, nodes).map_err(broken)?;
    Ok(Some(ConsistencyProof { old_size, new_size: size, hashes }))
}

pub(super) fn broken(error: TreeError) -> Error {
    damaged("a node", error)
}
