//! All SQL of the ledger. One log is current; logs before a restore stay readable under their number.

mod witness;

pub use witness::set_witnesses;
pub(super) use witness::{Row, largest_witnessed, list_witnesses, update_witness};

use super::model::{Document, Placed, kind_text};
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use diesel::prelude::*;
use shared::digest::Digest;
use shared::ledger::{Checkpoint, Frontier, Leaf, LeafKind, Node, NodeRange, Opening, TileKind};
use shared::time::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};

diesel::table! {
    statement (digest) {
        digest -> Binary,
        kind -> Text,
        body -> Binary,
        received -> BigInt,
    }
}

diesel::table! {
    ledger_log (id) {
        id -> BigInt,
        origin -> Text,
        size -> BigInt,
        frontier -> Binary,
    }
}

diesel::table! {
    ledger_leaf (log, idx) {
        log -> BigInt,
        idx -> BigInt,
        hash -> Binary,
        entry -> Text,
        statement -> Binary,
    }
}

diesel::table! {
    ledger_node (log, level, idx) {
        log -> BigInt,
        level -> Integer,
        idx -> BigInt,
        hash -> Binary,
    }
}

diesel::allow_tables_to_appear_in_same_query!(statement, ledger_leaf);

/// Rows per statement: far below SQLite's 32,766 variables.
const ROWS: usize = 1_000;

#[derive(Insertable)]
#[diesel(table_name = ledger_leaf, treat_none_as_default_value = false)]
struct NewLeaf<'a> {
    log: i64,
    idx: i64,
    hash: &'a [u8],
    entry: &'a str,
    statement: &'a [u8],
}

#[derive(Insertable)]
#[diesel(table_name = ledger_node, treat_none_as_default_value = false)]
struct NewNode<'a> {
    log: i64,
    level: i32,
    idx: i64,
    hash: &'a [u8],
}

#[derive(Insertable)]
#[diesel(table_name = statement, treat_none_as_default_value = false)]
struct NewStatement<'a> {
    digest: &'a [u8],
    kind: &'a str,
    body: &'a [u8],
    received: i64,
}

/// A log and how far it has grown.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub log: i64,
    pub origin: String,
    pub frontier: Frontier,
}

impl Head {
    pub fn checkpoint(&self) -> Result<Checkpoint, Error> {
        let origin = self.origin.parse().map_err(|error| damaged("its origin", error))?;
        Ok(Checkpoint { origin, size: self.frontier.size(), root: self.frontier.root() })
    }
}

pub(super) fn damaged(what: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::fault(format!("reading the ledger: {what} is damaged; restore the database from a backup"), cause)
}

pub(super) fn digest(bytes: &[u8]) -> Result<Digest, Error> {
    bytes.try_into().map(Digest).map_err(|error| damaged("a hash", error))
}

/// From here to the end of the transaction nobody else records, on any node.
pub fn lock(tx: &mut Conn) -> QueryResult<()> {
    tx.lock("ledger")
}

/// The log that grows, if one was opened.
pub(super) fn find_current(tx: &mut Conn) -> Result<Option<Head>, Error> {
    let row: Option<LogRow> = ledger_log::table.order(ledger_log::id.desc()).first(tx).optional()?;
    let Some((log, origin, size, bytes)) = row else { return Ok(None) };
    let frontier = Frontier::from_bytes(&bytes).map_err(|error| damaged("the head", error))?;
    if i64::try_from(frontier.size()) != Ok(size) {
        return Err(damaged("the head", "its size and its hashes differ"));
    }
    Ok(Some(Head { log, origin, frontier }))
}

pub(super) fn current(tx: &mut Conn) -> Result<Head, Error> {
    let missing = || Error::fault("using the ledger", "no log was opened; restart the server");
    find_current(tx)?.ok_or_else(missing)
}

/// The number of the log with this origin.
pub(super) fn find_log(tx: &mut Conn, origin: &str) -> QueryResult<Option<(i64, i64)>> {
    let log = ledger_log::table.filter(ledger_log::origin.eq(origin));
    log.select((ledger_log::id, ledger_log::size)).first(tx).optional()
}

/// Size and root of the current log; within `db.read`, those that are durable.
pub fn head(tx: &mut Conn) -> Result<Checkpoint, Error> {
    current(tx)?.checkpoint()
}

/// Opens a log; its first leaf is the opening. The caller holds the lock.
pub(super) fn insert_log(tx: &mut Conn, opening: &Opening, now: Timestamp) -> Result<(), Error> {
    let before = find_current(tx)?;
    let log = before.map_or(1, |head| head.log + 1);
    diesel::insert_into(ledger_log::table)
        .values((
            ledger_log::id.eq(log),
            ledger_log::origin.eq(opening.origin.as_str()),
            ledger_log::size.eq(0),
            ledger_log::frontier.eq(Frontier::default().to_bytes()),
        ))
        .execute(tx)?;
    record_one(tx, &Document { leaf: opening.leaf(), bytes: opening.to_bytes() }, now).map(drop)
}

/// Appends the leaves of an earlier log to the current one, in their order, but for its opening. The caller holds the lock.
pub(super) fn carry_over(tx: &mut Conn, from: i64) -> Result<(), Error> {
    let mut start = 0;
    loop {
        let entries = list_entries(tx, from, NodeRange { level: 0, start, count: ROWS as u64 })?;
        if entries.is_empty() {
            return Ok(());
        }
        start += entries.len() as u64;
        let mut head = current(tx)?;
        let old_size = head.frontier.size();
        let leaves: Result<Vec<Leaf>, _> =
            entries.iter().map(|entry| Leaf::parse(entry.as_bytes())).collect();
        let leaves = leaves.map_err(|error| damaged("a leaf", error))?;
        let mut growth = Growth::default();
        for leaf in leaves.iter().filter(|leaf| leaf.kind != LeafKind::Origin) {
            growth.add(&mut head, leaf);
        }
        growth.store(tx, &head, old_size)?;
    }
}

/// What a log grows by.
#[derive(Default)]
struct Growth<'l> {
    leaves: Vec<(u64, Digest, &'l Leaf)>,
    nodes: Vec<Node>,
}

impl<'l> Growth<'l> {
    /// Appends a leaf; its index.
    fn add(&mut self, head: &mut Head, leaf: &'l Leaf) -> u64 {
        let (index, hash) = (head.frontier.size(), leaf.hash());
        self.nodes.extend(head.frontier.append(hash).into_iter().filter(|node| node.level > 0));
        self.leaves.push((index, hash, leaf));
        index
    }

    fn store(&self, tx: &mut Conn, head: &Head, old_size: u64) -> Result<(), Error> {
        insert_leaves(tx, head.log, &self.leaves)?;
        insert_nodes(tx, head.log, &self.nodes)?;
        if self.leaves.is_empty() { Ok(()) } else { update_head(tx, head, old_size) }
    }
}

pub fn record_one(tx: &mut Conn, document: &Document, now: Timestamp) -> Result<Placed, Error> {
    let placed = record(tx, std::slice::from_ref(document), now)?;
    placed.first().copied().ok_or_else(|| Error::fault("recording a statement", "no place was given"))
}

/// Makes the documents durable and appends a leaf for each that the current log does not have.
///
/// Idempotent by digest; answers in the order given. Takes the lock; see the module's rule about its order.
pub fn record(tx: &mut Conn, documents: &[Document], now: Timestamp) -> Result<Vec<Placed>, Error> {
    lock(tx)?;
    let mut head = current(tx)?;
    let digests: Vec<&[u8]> = documents.iter().map(|d| d.leaf.sha256.0.as_slice()).collect();
    let mut here: HashMap<Digest, u64> = HashMap::new();
    let mut seen: HashSet<Digest> = HashSet::new();
    for (log, idx, sha256) in leaves_of(tx, &digests)? {
        let sha256 = digest(&sha256)?;
        seen.insert(sha256);
        if log == head.log {
            here.insert(sha256, idx.cast_unsigned());
        }
    }
    let old_size = head.frontier.size();
    let (mut placed, mut growth) = (Vec::with_capacity(documents.len()), Growth::default());
    for Document { leaf, .. } in documents {
        let fresh = seen.insert(leaf.sha256);
        let index = *here.entry(leaf.sha256).or_insert_with(|| growth.add(&mut head, leaf));
        placed.push(Placed { index, fresh });
    }
    insert_statements(tx, documents, now)?;
    growth.store(tx, &head, old_size)?;
    Ok(placed)
}

/// Those of the statements that have a leaf in some log of this database.
pub fn known(tx: &mut Conn, digests: &[Digest]) -> Result<HashSet<Digest>, Error> {
    let keys: Vec<&[u8]> = digests.iter().map(|digest| digest.0.as_slice()).collect();
    leaves_of(tx, &keys)?.iter().map(|(_, _, sha256)| digest(sha256)).collect()
}

fn leaves_of(tx: &mut Conn, digests: &[&[u8]]) -> QueryResult<Vec<(i64, i64, Vec<u8>)>> {
    let mut all = Vec::new();
    for some in digests.chunks(ROWS) {
        let found = ledger_leaf::table.filter(ledger_leaf::statement.eq_any(some));
        let columns = (ledger_leaf::log, ledger_leaf::idx, ledger_leaf::statement);
        all.extend(found.select(columns).load::<(i64, i64, Vec<u8>)>(tx)?);
    }
    Ok(all)
}

/// Compare-and-swap on the size: whatever slipped past the lock loses here instead of forking the log.
fn update_head(tx: &mut Conn, head: &Head, old_size: u64) -> Result<(), Error> {
    let unchanged = ledger_log::table.find(head.log).filter(ledger_log::size.eq(old_size.cast_signed()));
    let grown = (
        ledger_log::size.eq(head.frontier.size().cast_signed()),
        ledger_log::frontier.eq(head.frontier.to_bytes()),
    );
    match diesel::update(unchanged).set(grown).execute(tx)? {
        1 => Ok(()),
        _ => Err(Error::Busy),
    }
}

fn insert_statements(tx: &mut Conn, documents: &[Document], now: Timestamp) -> QueryResult<()> {
    for some in documents.chunks(ROWS) {
        let rows: Vec<_> = some
            .iter()
            .map(|document| NewStatement {
                digest: &document.leaf.sha256.0,
                kind: kind_text(document.leaf.kind),
                body: &document.bytes,
                received: now.0,
            })
            .collect();
        each!(tx, |c| diesel::insert_into(statement::table)
            .values(&rows)
            .on_conflict_do_nothing()
            .execute(c))?;
    }
    Ok(())
}

fn insert_leaves(tx: &mut Conn, log: i64, leaves: &[(u64, Digest, &Leaf)]) -> Result<(), Error> {
    for some in leaves.chunks(ROWS) {
        let entries: Vec<String> = some
            .iter()
            .map(|(_, _, leaf)| String::from_utf8(leaf.to_bytes()))
            .collect::<Result<_, _>>()
            .map_err(|error| Error::fault("writing a ledger leaf as text", error))?;
        let rows: Vec<_> = some
            .iter()
            .zip(&entries)
            .map(|((index, hash, leaf), entry)| NewLeaf {
                log,
                idx: index.cast_signed(),
                hash: &hash.0,
                entry,
                statement: &leaf.sha256.0,
            })
            .collect();
        each!(tx, |c| diesel::insert_into(ledger_leaf::table).values(&rows).execute(c))?;
    }
    Ok(())
}

fn insert_nodes(tx: &mut Conn, log: i64, nodes: &[Node]) -> QueryResult<()> {
    for some in nodes.chunks(ROWS) {
        let rows: Vec<_> = some
            .iter()
            .map(|node| NewNode {
                log,
                level: i32::from(node.level),
                idx: node.index.cast_signed(),
                hash: &node.digest.0,
            })
            .collect();
        each!(tx, |c| diesel::insert_into(ledger_node::table).values(&rows).execute(c))?;
    }
    Ok(())
}

/// Stores a signed document that has no leaf of its own (a host's plan) under its digest.
/// True the first time.
pub fn keep_statement(
    tx: &mut Conn,
    kind: &str,
    digest: &Digest,
    bytes: &[u8],
    now: Timestamp,
) -> QueryResult<bool> {
    let row = NewStatement { digest: &digest.0, kind, body: bytes, received: now.0 };
    let inserted = each!(tx, |c| diesel::insert_into(statement::table)
        .values(&row)
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(inserted == 1)
}

/// The document with this digest, byte for byte as it was recorded or kept.
/// A statement with its place: the log and the index in it.
pub struct Placement {
    pub place: (i64, u64),
    pub body: Vec<u8>,
}

/// Receipts behind a place, in the order of the ledger, at most so many.
pub fn list_receipts(tx: &mut Conn, after: Option<(i64, u64)>, most: usize) -> QueryResult<Vec<Placement>> {
    let (log, index) = after.map_or((-1, -1), |(log, index)| (log, index.cast_signed()));
    let behind = ledger_leaf::log.gt(log).or(ledger_leaf::log.eq(log).and(ledger_leaf::idx.gt(index)));
    let rows =
        ledger_leaf::table.inner_join(statement::table.on(statement::digest.eq(ledger_leaf::statement)));
    let rows = rows.filter(behind).filter(statement::kind.eq(kind_text(LeafKind::Receipt)));
    let rows =
        rows.order((ledger_leaf::log, ledger_leaf::idx)).limit(i64::try_from(most).unwrap_or(i64::MAX));
    let rows: Vec<(i64, i64, Vec<u8>)> =
        rows.select((ledger_leaf::log, ledger_leaf::idx, statement::body)).load(tx)?;
    let one =
        |(log, index, body): (i64, i64, Vec<u8>)| Placement { place: (log, index.cast_unsigned()), body };
    Ok(rows.into_iter().map(one).collect())
}

pub fn find_statement(tx: &mut Conn, digest: &Digest) -> QueryResult<Option<Vec<u8>>> {
    statement::table.find(digest.0.as_slice()).select(statement::body).first(tx).optional()
}

/// Those of the documents that are here, in no order.
pub fn find_statements(tx: &mut Conn, digests: &[Digest]) -> Result<BTreeMap<Digest, Vec<u8>>, Error> {
    let mut all = BTreeMap::new();
    for some in digests.chunks(ROWS) {
        let keys: Vec<&[u8]> = some.iter().map(|digest| digest.0.as_slice()).collect();
        let found = statement::table.filter(statement::digest.eq_any(keys));
        for (key, body) in
            found.select((statement::digest, statement::body)).load::<(Vec<u8>, Vec<u8>)>(tx)?
        {
            all.insert(digest(&key)?, body);
        }
    }
    Ok(all)
}

/// Index and entry of these statements' leaves in one log.
pub(super) fn find_leaves(
    tx: &mut Conn,
    log: i64,
    digests: &[Digest],
) -> Result<HashMap<Digest, (u64, String)>, Error> {
    let mut all = HashMap::new();
    for some in digests.chunks(ROWS) {
        let keys: Vec<&[u8]> = some.iter().map(|digest| digest.0.as_slice()).collect();
        let found =
            ledger_leaf::table.filter(ledger_leaf::statement.eq_any(keys)).filter(ledger_leaf::log.eq(log));
        let columns = (ledger_leaf::statement, ledger_leaf::idx, ledger_leaf::entry);
        for (key, idx, entry) in found.select(columns).load::<(Vec<u8>, i64, String)>(tx)? {
            all.insert(digest(&key)?, (idx.cast_unsigned(), entry));
        }
    }
    Ok(all)
}

/// Hashes of stored nodes `start..start + count` of one level; fewer if the log does not have them.
pub(super) fn list_nodes(tx: &mut Conn, log: i64, range: NodeRange) -> Result<Vec<Digest>, Error> {
    let (from, until) = (range.start.cast_signed(), (range.start + range.count).cast_signed());
    let rows: Vec<Vec<u8>> = if range.level == 0 {
        let row = ledger_leaf::table.filter(ledger_leaf::log.eq(log));
        let row = row.filter(ledger_leaf::idx.ge(from)).filter(ledger_leaf::idx.lt(until));
        row.order(ledger_leaf::idx).select(ledger_leaf::hash).load(tx)?
    } else {
        let row = ledger_node::table.filter(ledger_node::log.eq(log));
        let row = row.filter(ledger_node::level.eq(i32::from(range.level)));
        let row = row.filter(ledger_node::idx.ge(from)).filter(ledger_node::idx.lt(until));
        row.order(ledger_node::idx).select(ledger_node::hash).load(tx)?
    };
    rows.iter().map(|hash| digest(hash)).collect()
}

pub(super) fn list_entries(tx: &mut Conn, log: i64, range: NodeRange) -> QueryResult<Vec<String>> {
    let row = ledger_leaf::table.filter(ledger_leaf::log.eq(log));
    let row = row.filter(ledger_leaf::idx.ge(range.start.cast_signed()));
    let row = row.filter(ledger_leaf::idx.lt((range.start + range.count).cast_signed()));
    row.order(ledger_leaf::idx).select(ledger_leaf::entry).load(tx)
}

/// The leaves from this place on, in their order.
#[cfg(test)]
pub fn leaves(tx: &mut Conn, from: u64) -> Result<Vec<Leaf>, Error> {
    let rows = ledger_leaf::table.filter(ledger_leaf::idx.ge(from.cast_signed())).order(ledger_leaf::idx);
    let entries = rows.select(ledger_leaf::entry).load::<String>(tx)?;
    Ok(entries.iter().map(|entry| Leaf::parse(entry.as_bytes()).unwrap()).collect())
}

/// A log as it is stored: number, origin, size and the bytes of the frontier.
pub(super) type LogRow = (i64, String, i64, Vec<u8>);

pub(super) fn list_logs(tx: &mut Conn) -> QueryResult<Vec<LogRow>> {
    ledger_log::table.order(ledger_log::id).load(tx)
}

/// Index of the last leaf of a log.
pub(super) fn last_leaf(tx: &mut Conn, log: i64) -> QueryResult<Option<i64>> {
    let rows = ledger_leaf::table.filter(ledger_leaf::log.eq(log));
    rows.select(diesel::dsl::max(ledger_leaf::idx)).first(tx)
}

/// How many leaves of a log there are before those at its end that only say who took a bundle.
pub(super) fn settled_size(tx: &mut Conn, log: i64) -> QueryResult<u64> {
    let leaves =
        ledger_leaf::table.inner_join(statement::table.on(statement::digest.eq(ledger_leaf::statement)));
    let leaves =
        leaves.filter(ledger_leaf::log.eq(log)).filter(statement::kind.ne(kind_text(LeafKind::Export)));
    let last: Option<i64> =
        leaves.order(ledger_leaf::idx.desc()).select(ledger_leaf::idx).first(tx).optional()?;
    Ok(last.map_or(0, |index| index.cast_unsigned() + 1))
}

/// How many leaves of a log stand for documents that are not stored.
pub(super) fn count_without_document(tx: &mut Conn, log: i64) -> QueryResult<i64> {
    let stored = statement::table.filter(statement::digest.eq(ledger_leaf::statement));
    let rows = ledger_leaf::table.filter(ledger_leaf::log.eq(log));
    rows.filter(diesel::dsl::not(diesel::dsl::exists(stored))).count().get_result(tx)
}

/// The nodes of a tile as stored; `None` if the log is not that large.
pub(super) fn find_tile(
    tx: &mut Conn,
    head: &Head,
    tile: shared::ledger::Tile,
) -> Result<Option<Vec<u8>>, Error> {
    if !tile.is_within(head.frontier.size()) {
        return Ok(None);
    }
    let bytes = match tile.kind {
        TileKind::Hashes { .. } => {
            shared::ledger::tile::write_hashes(&list_nodes(tx, head.log, tile.nodes())?)
        }
        TileKind::Entries => shared::ledger::tile::write_entries(&list_entries(tx, head.log, tile.nodes())?)
            .map_err(|error| damaged("an entry", error))?,
    };
    Ok(Some(bytes))
}
