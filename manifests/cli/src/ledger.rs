//! `assent log verify`: the ledger has only grown since this directory last looked.
//!
//! The tree is computed here from the log's tiles; the server's own proofs are not needed.

pub mod witness;

use crate::author::list::print_json;
use crate::error::{Context as _, Done, Failure};
use crate::session::Session;
use crate::{files, term};
use serde::Serialize;
use shared::digest::Digest;
use shared::ledger::tile::TILE_WIDTH;
use shared::ledger::{
    Checkpoint, ConsistencyProof, KeyName, Leaf, Opening, Tile, TileKind, VerifierKey, Witnessed, tree,
};
use shared::limits;
use shared::policy::{LogRules, Look, Policy};
use shared::wire::WitnessList;
use std::collections::BTreeMap;

const SEEN: &str = "checkpoint";

/// Where tiles come from.
type Tiles<'t> = dyn Fn(&Tile) -> Done<Vec<u8>> + 't;

/// The key of the ledger that grows.
pub fn key(policy: &Policy) -> Done<VerifierKey> {
    policy.log.current().or_refuse("the policy names no usable ledger key")
}

/// What `assent log verify --json` says: all of it was computed here.
#[derive(Serialize)]
pub struct Looked {
    origin: KeyName,
    size: u64,
    root: Digest,
    /// Statements when this directory looked last, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_before: Option<u64>,
    witnesses: Vec<Look>,
    /// The signed note that was accepted.
    note: String,
}

/// `assent log verify`.
pub fn look(session: &Session, json: bool) -> Done {
    term::for_programs(json);
    let looked = verify(session)?;
    if json { print_json(&looked) } else { Ok(()) }
}

/// Looks, tells, and keeps what was seen for the next look.
///
/// # Errors
/// The ledger is not the one that was seen before, or what is said of witnesses is wrong.
fn verify(session: &Session) -> Done<Looked> {
    let site = session.site()?;
    let key = key(&site.policy)?;
    let path = session.profile.dir.join("trust").join(SEEN);
    // Two looks at once would each go on from the same checkpoint, and could accept two stories.
    let _alone = files::lock(&files::beside(&path, ".lock"))?;
    let WitnessList { checkpoint: note, witnesses } = session.api.witnesses()?;
    let now = Checkpoint::open(&note, &key).or_refuse("the ledger's checkpoint is not accepted")?;
    let before = match files::try_read(&path, limits::NOTE_BYTES)? {
        Some(bytes) => Some(seen(&bytes, &site.policy.log.vkeys)?),
        None => None,
    };
    let tiles = |tile: &Tile| session.api.tile(&tile.to_string());
    check_root(&tiles, &now)?;
    let grown = match &before {
        Some(before) if before.origin == now.origin => {
            check_growth(&tiles, before, &now)?;
            format!("it has only grown since {} statements were seen here", before.size)
        }
        Some(before) => begun_anew(session, &tiles, before, (&now, &site.policy.log.vkeys))?,
        None => "seen here for the first time; the next look compares with it".to_owned(),
    };
    let shown: Vec<Witnessed> = witnesses.into_iter().filter_map(|witness| witness.seen).collect();
    let looks = site.policy.log.witnessed(&now, &shown);
    let looks = looks.or_refuse("what the server shows of witnesses is not accepted")?;
    files::replace(&path, note.as_bytes())?;
    term::print(&format!(
        "the ledger {} holds {} statements; {grown}\n  root {}\n{}",
        now.origin,
        now.size,
        now.root,
        outside(&site.policy.log, &looks)
    ))?;
    let seen_before = before.map(|before| before.size);
    Ok(Looked { origin: now.origin, size: now.size, root: now.root, seen_before, witnesses: looks, note })
}

/// What witnesses saw, a line for each.
fn outside(rules: &LogRules, looks: &[Look]) -> String {
    let mut lines = String::new();
    for Look { witness, size, at } in looks {
        lines.push_str(&match at {
            Some(at) => format!("  witness {witness} saw {size} of them at {at}\n"),
            None => format!("  witness {witness} has not looked yet\n"),
        });
    }
    if rules.quorum > 0 {
        let reach = rules.reach(looks);
        lines.push_str(&format!("  as many as the policy asks for ({}) have seen {reach}\n", rules.quorum));
    }
    lines
}

fn seen(bytes: &[u8], vkeys: &[String]) -> Done<Checkpoint> {
    let text = std::str::from_utf8(bytes).or_fault("the stored checkpoint is damaged")?;
    open_any(text, vkeys).ok_or_else(|| {
        Failure::refused("the checkpoint seen before is of a log that the policy does not name")
            .remedy("keep trust/checkpoint as evidence and look into the policy")
    })
}

fn open_any(note: &str, vkeys: &[String]) -> Option<Checkpoint> {
    let keys = vkeys.iter().filter_map(|vkey| vkey.parse::<VerifierKey>().ok());
    keys.into_iter().find_map(|key| Checkpoint::open(note, &key).ok())
}

/// Governance has put another log first: its first leaf must name the one seen before. Answers in words what of that
/// one it goes on with.
fn begun_anew(
    session: &Session,
    tiles: &Tiles<'_>,
    before: &Checkpoint,
    (now, vkeys): (&Checkpoint, &[String]),
) -> Done<String> {
    let fault = "the first leaf of the ledger cannot be read";
    let tile = Tile::at(TileKind::Entries, 0, now.size).ok_or_else(|| Failure::fault(fault))?;
    let bytes = tiles(&tile)?;
    let first = tile.read_entries(&bytes).or_fault(fault)?.first().copied().map(Leaf::parse);
    let leaf = first.ok_or_else(|| Failure::fault(fault))?.or_fault(fault)?;
    check_growth(tiles, &Checkpoint { size: 1, root: leaf.hash(), origin: now.origin.clone() }, now)?;
    let document = session.api.statement(&leaf.sha256)?;
    let opening = Opening::parse(&document).ok().filter(|_| Digest::of(&document) == leaf.sha256);
    let previous =
        opening.filter(|opening| opening.origin == now.origin).and_then(|opening| opening.previous);
    let previous = previous.and_then(|note| open_any(&note, vkeys)).filter(|old| old.origin == before.origin);
    let anew = Failure::refused(format!(
        "the ledger {} was begun anew, and does not name {}",
        now.origin, before.origin
    ))
    .remedy("keep trust/checkpoint as evidence and look into the server");
    let previous = previous.ok_or(anew)?;
    if previous.size == before.size && previous.root != before.root {
        return Err(Failure::refused(format!(
            "the ledger {} was rewritten before it was left",
            before.origin
        ))
        .why(format!(
            "at {} statements {} was seen here, {} is named now",
            before.size, before.root, previous.root
        ))
        .remedy("keep trust/checkpoint as evidence and look into the server"));
    }
    let lost = match before.size.saturating_sub(previous.size) {
        0 => "all that were seen here".to_owned(),
        lost => format!("{lost} fewer than were seen here; hosts send theirs again"),
    };
    Ok(format!(
        "after a restore it goes on from {}, of which the backup had {} statements, {lost}",
        before.origin, previous.size
    ))
}

/// Computes the signed root from the tiles that the server shows.
fn check_root(tiles: &Tiles<'_>, now: &Checkpoint) -> Done {
    let nodes = fetch(tiles, &tree::root_nodes(now.size), now.size)?;
    let root = tree::root(now.size, &nodes).or_fault("the ledger's tiles are not complete")?;
    if root != now.root {
        return Err(Failure::refused("the ledger's tiles do not have the root that its key signed")
            .why(format!("computed {root}, signed {}", now.root)));
    }
    Ok(())
}

fn check_growth(tiles: &Tiles<'_>, before: &Checkpoint, now: &Checkpoint) -> Done {
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
    let nodes = fetch(tiles, &wanted, now.size)?;
    let hashes = tree::consistency_proof(before.size, now.size, &nodes)
        .or_fault("the ledger's tiles are not complete")?;
    let proof = ConsistencyProof { old_size: before.size, new_size: now.size, hashes };
    match proof.check(before, now) {
        Ok(()) => Ok(()),
        Err(why) => fail(why.to_string()),
    }
}

/// The nodes from the tiles that hold them.
fn fetch(tiles: &Tiles<'_>, wanted: &[tree::NodeRange], size: u64) -> Done<BTreeMap<(u8, u64), Digest>> {
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
            let hashes = tile.read_hashes(&tiles(&tile)?).or_fault("a tile of the ledger cannot be read")?;
            let first = index * width;
            nodes.extend(
                hashes.into_iter().enumerate().map(|(at, hash)| ((range.level, first + at as u64), hash)),
            );
        }
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::ledger::{Frontier, Node, merkle};

    /// A log whose leaves are the numbers below `size`, from `fork` on other ones.
    fn log(size: u64, fork: u64) -> (Checkpoint, BTreeMap<(u8, u64), Digest>) {
        let mut frontier = Frontier::default();
        let mut stored = BTreeMap::new();
        for leaf in 0..size {
            let text = if leaf < fork { format!("{leaf}") } else { format!("forged {leaf}") };
            let hash = merkle::leaf_hash(text.as_bytes());
            stored.insert((0, leaf), hash);
            for Node { level, index, digest } in frontier.append(hash) {
                stored.insert((level, index), digest);
            }
        }
        (Checkpoint { origin: "test".parse().unwrap(), size, root: frontier.root() }, stored)
    }

    fn tiles(stored: &BTreeMap<(u8, u64), Digest>) -> impl Fn(&Tile) -> Done<Vec<u8>> {
        move |tile| {
            let range = tile.nodes();
            let hashes: Option<Vec<_>> = (range.start..range.start + range.count)
                .map(|at| stored.get(&(range.level, at)).copied())
                .collect();
            Ok(shared::ledger::tile::write_hashes(&hashes.unwrap()))
        }
    }

    #[test]
    fn a_log_that_only_grew_is_accepted_at_any_size() {
        for (old, new) in [(0, 1), (1, 1), (3, 5), (255, 256), (256, 257), (300, 700), (700, 700)] {
            let ((before, _), (now, stored)) = (log(old, u64::MAX), log(new, u64::MAX));
            let tiles = tiles(&stored);
            check_root(&tiles, &now).unwrap();
            check_growth(&tiles, &before, &now).unwrap();
        }
    }

    #[test]
    fn a_rewritten_cut_or_wrongly_signed_log_is_refused() {
        let (before, _) = log(300, u64::MAX);
        let (rewritten, stored) = log(700, 299);
        check_root(&tiles(&stored), &rewritten).unwrap();
        let failure = check_growth(&tiles(&stored), &before, &rewritten).unwrap_err();
        assert!(failure.message.contains("rewritten or cut"), "{failure}");
        let (cut, stored) = log(200, u64::MAX);
        assert!(
            check_growth(&tiles(&stored), &before, &cut).unwrap_err().message.contains("rewritten or cut")
        );
        let (mut wrong, stored) = log(10, u64::MAX);
        wrong.root = before.root;
        assert_eq!(check_root(&tiles(&stored), &wrong).unwrap_err().exit_code(), 1);
    }
}
