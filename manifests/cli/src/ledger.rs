//! `assent log verify`: the ledger has only grown since this directory last looked. Each person is a witness.
//!
//! The tree is computed here from the log's tiles; the server's own proofs are not needed.

use crate::error::{Context as _, Done, Failure};
use crate::net::Client;
use crate::session::Session;
use crate::{files, term};
use shared::digest::Digest;
use shared::ledger::tile::TILE_WIDTH;
use shared::ledger::{Checkpoint, ConsistencyProof, Tile, TileKind, VerifierKey, tree};
use shared::limits;
use std::collections::BTreeMap;

const SEEN: &str = "checkpoint";

pub fn verify(session: &Session) -> Done {
    let site = session.site()?;
    let vkey = site.policy.log.vkeys.first().map(String::as_str).unwrap_or_default();
    let key: VerifierKey = vkey.parse().or_refuse("the policy names no usable ledger key")?;
    let note = session.api.checkpoint()?;
    let now = Checkpoint::open(&note, &key).or_refuse("the ledger's checkpoint is not accepted")?;
    let path = session.profile.dir.join("trust").join(SEEN);
    let before = match files::try_read(&path, limits::NOTE_BYTES)? {
        Some(bytes) => Some(seen(&bytes, &key)?),
        None => None,
    };
    check_root(&session.api, &now)?;
    if let Some(before) = &before {
        check_growth(&session.api, before, &now)?;
    }
    files::replace(&path, note.as_bytes())?;
    let grown = match before {
        Some(before) => format!("it has only grown since {} statements were seen here", before.size),
        None => "seen here for the first time; the next look compares with it".to_owned(),
    };
    term::print(&format!(
        "the ledger {} holds {} statements; {grown}\n  root {}\n",
        now.origin, now.size, now.root
    ))
}

fn seen(bytes: &[u8], key: &VerifierKey) -> Done<Checkpoint> {
    let text = std::str::from_utf8(bytes).or_fault("the stored checkpoint is damaged")?;
    Checkpoint::open(text, key).or_refuse("the checkpoint seen before is of another log").map_err(|failure| {
        failure.remedy(
            "if the server was restored on purpose, compare both logs before you remove trust/checkpoint",
        )
    })
}

/// Computes the signed root from the tiles that the server shows.
fn check_root(api: &Client, now: &Checkpoint) -> Done {
    let nodes = fetch(api, &tree::root_nodes(now.size), now.size)?;
    let root = tree::root(now.size, &nodes).or_fault("the ledger's tiles are not complete")?;
    if root != now.root {
        return Err(Failure::refused("the ledger's tiles do not have the root that its key signed")
            .why(format!("computed {root}, signed {}", now.root)));
    }
    Ok(())
}

fn check_growth(api: &Client, before: &Checkpoint, now: &Checkpoint) -> Done {
    let rewritten = "the ledger was rewritten or cut since this directory last looked";
    let fail = |why: String| {
        Err(Failure::refused(rewritten)
            .why(why)
            .remedy("keep trust/checkpoint as evidence and look into the server"))
    };
    if now.size < before.size {
        return fail(format!("{} statements were seen before, now there are {}", before.size, now.size));
    }
    let wanted =
        tree::consistency_nodes(before.size, now.size).or_fault("the ledger's tiles are not complete")?;
    let nodes = fetch(api, &wanted, now.size)?;
    let hashes = tree::consistency_proof(before.size, now.size, &nodes)
        .or_fault("the ledger's tiles are not complete")?;
    let proof = ConsistencyProof { old_size: before.size, new_size: now.size, hashes };
    match proof.check(before, now) {
        Ok(()) => Ok(()),
        Err(why) => fail(why.to_string()),
    }
}

/// The nodes from the tiles that hold them.
fn fetch(api: &Client, wanted: &[tree::NodeRange], size: u64) -> Done<BTreeMap<(u8, u64), Digest>> {
    let mut nodes = BTreeMap::new();
    let width = u64::from(TILE_WIDTH);
    for range in wanted {
        let last = range.start + range.count.saturating_sub(1);
        for index in range.start / width..=last / width {
            if nodes.contains_key(&(range.level, index * width)) {
                continue;
            }
            let kind = TileKind::Hashes { level: range.level / 8 };
            let tile = Tile::at(kind, index, size)
                .ok_or_else(|| Failure::fault("the ledger's tiles are not complete"))?;
            let hashes = tile
                .read_hashes(&api.tile(&tile.to_string())?)
                .or_fault("a tile of the ledger cannot be read")?;
            let first = index * width;
            nodes.extend(
                hashes.into_iter().enumerate().map(|(at, hash)| ((range.level, first + at as u64), hash)),
            );
        }
    }
    Ok(nodes)
}
