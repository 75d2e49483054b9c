//! Tiles: the paths and bytes under which a log is served, all of them static files.
//!
//! Never: whether a tile may be served; `Tile::width_at` says what a log of a given size has.
//!
//! Source: C2SP tlog-tiles, "Merkle Tree" and "Log entries".

use super::tree::NodeRange;
use crate::digest::Digest;
use crate::limits;
use crate::strict;
use std::fmt;
use std::str::FromStr;

/// Hashes or entries in a full tile.
pub const TILE_WIDTH: u16 = 256;
/// Highest tile level of a log below 2^63 leaves (the specification's own bound of 63 is never reached).
const TOP_LEVEL: u8 = 7;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TileKind {
    /// Node hashes of tree level `8 * level`, 32 bytes each.
    Hashes { level: u8 },
    /// The leaves themselves, each with its length before it.
    Entries,
}

/// One tile: text form `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    pub kind: TileKind,
    pub index: u64,
    /// 256 for a full tile, 1 to 255 for a partial one.
    width: u16,
}

/// Why a path or the bytes of a tile are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    #[error("{0:?} is not a tile path such as tile/0/x001/234.p/5 or tile/entries/000")]
    Path(String),
    #[error("the tile {tile} has {got} bytes, expected {expected}")]
    Length { tile: Tile, got: usize, expected: usize },
    #[error("the entries of {tile} end in the middle of entry {entry} or do not end after it")]
    Entry { tile: Tile, entry: usize },
    #[error("entry {entry} has {got} bytes; a bundle holds entries up to 65535 bytes")]
    LongEntry { entry: usize, got: usize },
}

impl Tile {
    /// The tile with this kind and number, as wide as a log of `size` leaves has it; `None` if that log
    /// has no such tile.
    pub fn at(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let full = Self { kind, index, width: TILE_WIDTH };
        let width = full.width_at(size);
        (full.level() <= TOP_LEVEL && width > 0).then_some(Self { width, ..full })
    }

    /// Hashes or entries in this tile, 1 to 256.
    pub fn width(&self) -> u16 {
        self.width
    }

    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// How wide the tile of this kind and number is in a log of `size` leaves; 0 if it has none.
    pub fn width_at(&self, size: u64) -> u16 {
        let nodes = size.checked_shr(8 * u32::from(self.level())).unwrap_or(0);
        let before = self.index.saturating_mul(u64::from(TILE_WIDTH));
        nodes.saturating_sub(before).min(u64::from(TILE_WIDTH)) as u16
    }

    /// True if a log of `size` leaves serves exactly this tile or has outgrown it.
    pub fn is_within(&self, size: u64) -> bool {
        self.width <= self.width_at(size)
    }

    /// The stored nodes (or, for entries, the leaves) that make up this tile.
    pub fn nodes(&self) -> NodeRange {
        let start = self.index.saturating_mul(u64::from(TILE_WIDTH));
        NodeRange { level: 8 * self.level(), start, count: u64::from(self.width) }
    }

    fn level(&self) -> u8 {
        match self.kind {
            TileKind::Hashes { level } => level,
            TileKind::Entries => 0,
        }
    }

    /// The hashes of a hash tile from its bytes.
    pub fn read_hashes(&self, bytes: &[u8]) -> Result<Vec<Digest>, TileError> {
        let expected = usize::from(self.width) * 32;
        match bytes.as_chunks::<32>() {
            (hashes, []) if bytes.len() == expected => Ok(hashes.iter().copied().map(Digest).collect()),
            _ => Err(TileError::Length { tile: *self, got: bytes.len(), expected }),
        }
    }

    /// The entries of an entry bundle from its bytes.
    pub fn read_entries<'b>(&self, bytes: &'b [u8]) -> Result<Vec<&'b [u8]>, TileError> {
        let mut entries = Vec::with_capacity(usize::from(self.width));
        let mut rest = bytes;
        for entry in 0..usize::from(self.width) {
            let cut = TileError::Entry { tile: *self, entry };
            let Some((length, after)) = rest.split_first_chunk::<2>() else { return Err(cut) };
            let Some((data, after)) = after.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
                return Err(cut);
            };
            entries.push(data);
            rest = after;
        }
        if rest.is_empty() {
            return Ok(entries);
        }
        Err(TileError::Entry { tile: *self, entry: entries.len() - 1 })
    }
}

/// Bytes of a hash tile.
pub fn write_hashes(hashes: &[Digest]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// Bytes of an entry bundle: each entry with its length in two big-endian bytes before it.
pub fn write_entries<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, TileError> {
    let mut bytes = Vec::new();
    for (entry, data) in entries.iter().enumerate() {
        let data = data.as_ref();
        let length =
            u16::try_from(data.len()).map_err(|_| TileError::LongEntry { entry, got: data.len() })?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes { level } => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        let digits = format!("{:03}", self.index);
        let digits = format!("{digits:0>width$}", width = digits.len().next_multiple_of(3));
        for (at, digit) in digits.char_indices() {
            let more_follows = at + 3 < digits.len();
            if at % 3 == 0 && at > 0 {
                f.write_str("/")?;
            }
            if at % 3 == 0 && more_follows {
                f.write_str("x")?;
            }
            write!(f, "{digit}")?;
        }
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

impl FromStr for Tile {
    type Err = TileError;
    fn from_str(text: &str) -> Result<Self, TileError> {
        // One text per tile: whatever is not written exactly as we would write it is refused.
        read_path(text)
            .filter(|tile| tile.to_string() == text)
            .ok_or_else(|| TileError::Path(strict::shorten(text)))
    }
}

fn read_path(text: &str) -> Option<Tile> {
    let (kind, rest) = text.strip_prefix("tile/")?.split_once('/')?;
    let kind = match kind {
        "entries" => TileKind::Entries,
        level => TileKind::Hashes { level: level.parse().ok().filter(|level| *level <= TOP_LEVEL)? },
    };
    let (number, width) = match rest.split_once(".p/") {
        Some((number, width)) => {
            (number, width.parse().ok().filter(|width| (1..TILE_WIDTH).contains(width))?)
        }
        None => (rest, TILE_WIDTH),
    };
    if number.len() > 32 {
        return None;
    }
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let index = digits.parse().ok().filter(|index| *index <= limits::LEDGER_LEAVES)?;
    Some(Tile { kind, index, width })
}
