//! Stored nodes for proofs, read tile by tile. Full tiles never change, so they are kept in memory.

use super::store::list_nodes;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::digest::Digest;
use shared::ledger::tile::TILE_WIDTH;
use shared::ledger::{NodeRange, Nodes};
use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::{Arc, Mutex, PoisonError};

const WIDTH: u64 = TILE_WIDTH as u64;
/// Full tiles in memory, 8 KiB each. When it is full, everything is dropped: reading again is cheap.
const KEPT: usize = 1_024;

/// Log, level, number of the tile.
type Key = (i64, u8, u64);

#[derive(Default)]
pub(super) struct Tiles(Mutex<HashMap<Key, Arc<[Digest]>>>);

/// The nodes that some proofs need.
#[derive(Default)]
pub(super) struct Loaded(BTreeMap<(u8, u64), Arc<[Digest]>>);

impl Nodes for Loaded {
    fn node(&self, level: u8, index: u64) -> Option<Digest> {
        let tile = self.0.get(&(level, index / WIDTH))?;
        tile.get(usize::try_from(index % WIDTH).ok()?).copied()
    }
}

impl Tiles {
    /// Reads every tile that the ranges touch. Only for transactions that see durable data:
    /// what is kept here must not be rolled back later.
    pub fn load(&self, tx: &mut Conn, log: i64, ranges: &[NodeRange]) -> Result<Loaded, Error> {
        let mut loaded = Loaded::default();
        for range in ranges {
            let last = (range.start + range.count.max(1) - 1) / WIDTH;
            for tile in range.start / WIDTH..=last {
                if let Entry::Vacant(missing) = loaded.0.entry((range.level, tile)) {
                    missing.insert(self.tile(tx, (log, range.level, tile))?);
                }
            }
        }
        Ok(loaded)
    }

    fn tile(&self, tx: &mut Conn, key: Key) -> Result<Arc<[Digest]>, Error> {
        if let Some(kept) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(kept.clone());
        }
        let (log, level, tile) = key;
        let read = list_nodes(tx, log, NodeRange { level, start: tile * WIDTH, count: WIDTH })?;
        let read: Arc<[Digest]> = read.into();
        if read.len() == usize::from(TILE_WIDTH) {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= KEPT {
                kept.clear();
            }
            kept.insert(key, read.clone());
        }
        Ok(read)
    }
}
