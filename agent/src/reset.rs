//! Changing sites on purpose: another first root in the place of one whose keys are all lost.
//!
//! Everything of the new site is made in `next/` while the host belongs to the old one. A mark turns it over, and whoever
//! starts after a crash brings that to its end: a host belongs to the one or to the other, and to none never. Nothing is
//! deleted; what was is in `former/`. Never: asks anybody (`assent-agent reset-trust` does), or begins in the middle of
//! a run.

use crate::clock::Clock;
use crate::config::Paths;
use crate::disk::Disk;
use crate::enrol::{self, EnrolError, Order};
use crate::net::{Limits, Open};
use crate::receipt::{Voice, emit};
use crate::run::CARRIED;
use crate::state::{self, Site, State, StateError};
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::ids::SiteId;
use shared::reset::{CameFrom, TrustReset};
use shared::strict;
use shared::time::Timestamp;
use std::io;
use std::path::Path;

/// Below the state directory: what becomes of the host next.
const NEXT: &str = "next";
/// Below the state directory, one directory for each site that the host has left.
pub const FORMER: &str = "former";
/// The change of sites is made and must come to its end.
const MARK: &str = "next.json";
/// In `next/`: whose it is.
const PREPARED: &str = "prepared.json";
/// What is of the machine and not of a site: the lock, programs of the agent, and what resources note of the machine.
const STAYS: [&str; 9] =
    ["lock", "slots", "archives", "external", "firewall.json", "firewall-former.nft", FORMER, NEXT, MARK];

/// Why a host stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    #[error("this host is of that very site: its first root is {0} already")]
    SameRoot(Digest),
    #[error(
        "something is half done on this host: {0}\n  try: let the agent bring it to its end (assent-agent status), and \
         change sites then"
    )]
    HalfDone(String),
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    #[error(transparent)]
    State(#[from] StateError),
}

/// Made ready for one join command (`next/prepared.json`); the same command goes on with it after a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prepared {
    site: SiteId,
    root: Digest,
    /// SHA-256 of the one-time secret.
    token: Digest,
    came_from: CameFrom,
}

/// How far the turn is (`next.json`); [`finish`] goes on with it after a crash.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    /// The directory below `former/`.
    former: String,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    /// What was goes aside.
    Out,
    /// What was made ready takes its place.
    In,
}

/// Where the host is now, and where it was.
#[derive(Debug)]
pub struct Moved {
    pub site: Site,
    /// The directory below `former/`.
    pub former: String,
}

/// Looks whether the host could leave its site now. Changes nothing.
///
/// # Errors
/// The same root, or something half done.
pub fn check(state: &State, root: &Digest) -> Result<(), ResetError> {
    if state.site().root_sha256 == *root {
        return Err(ResetError::SameRoot(*root));
    }
    if let Some(running) = state.running() {
        return Err(ResetError::HalfDone(format!(
            "{} revision {} runs, or was interrupted",
            running.change_id, running.revision
        )));
    }
    if let Some(open) = state.open_runs().first() {
        let running = &open.running;
        return Err(ResetError::HalfDone(format!(
            "{} revision {} waits until its software is in effect",
            running.change_id, running.revision
        )));
    }
    match state.list(CARRIED)?.first() {
        Some(name) => Err(ResetError::HalfDone(format!("{CARRIED}/{name} was brought by hand and waits"))),
        None => Ok(()),
    }
}

/// Leaves the old site and joins the one that `order` pins. Doing the same again goes on where it was broken off.
///
/// # Errors
/// See [`ResetError`]; the host then stays at its old site.
pub fn change<D: Disk + Clone + 'static>(
    paths: &Paths,
    disk: &mut D,
    order: &Order,
    voice: &Voice,
    clock: &Clock,
    net: (Limits, Open),
) -> Result<Moved, ResetError> {
    let (dir, now) = (paths.state(), clock.now());
    let next = dir.join(NEXT);
    let mut state = State::open(&dir, Box::new(disk.clone()))?;
    state.take_over()?;
    check(&state, &order.root_sha256)?;
    let prepared = prepare(&mut state, order, voice, now)?;
    if state.read_file(&format!("{NEXT}/identity.pem"))?.is_none() {
        let key = state.read_file("identity.pem")?.unwrap_or_default();
        state.put(&format!("{NEXT}/identity.pem"), &zeroize::Zeroizing::new(key))?;
    }
    let site = match state::read_own::<Site>(disk, &next.join("site.json"))? {
        Some(site) => site,
        None => enrol::join_into(&next, Some(&prepared.came_from), paths, disk, order, clock, net)?,
    };
    // What the old site did since comes before the last word there.
    if state.chain().prev != prepared.came_from.statement {
        say(&mut state, order, voice, now)?;
    }
    let former = name(&state, now)?;
    let mark = Mark { former: former.clone(), step: Step::Out };
    state.put(MARK, &strict::to_json(&mark))?;
    drop(state);
    finish(&dir, disk)?;
    Ok(Moved { site, former })
}

/// The last word at the old site, and what the first one at the new site says of it.
fn prepare(state: &mut State, order: &Order, voice: &Voice, now: Timestamp) -> Result<Prepared, ResetError> {
    let (name, token) = (format!("{NEXT}/{PREPARED}"), Digest::of(order.token.as_bytes()));
    let before = state.read_own::<Prepared>(&name)?;
    let same = |p: &Prepared| p.site == order.site && p.root == order.root_sha256 && p.token == token;
    if let Some(prepared) = before.filter(same) {
        return Ok(prepared);
    }
    // What was made ready for another command is of no use; the answer to that one first.
    state.remove(&format!("{NEXT}/site.json"))?;
    let came_from = say(state, order, voice, now)?;
    let prepared = Prepared { site: order.site.clone(), root: order.root_sha256, token, came_from };
    state.put(&name, &strict::to_json(&prepared))?;
    Ok(prepared)
}

fn say(state: &mut State, order: &Order, voice: &Voice, now: Timestamp) -> Result<CameFrom, StateError> {
    let root = state.site().root_sha256;
    let (new_site, new_root) = (order.site.clone(), order.root_sha256);
    let said = emit(state, voice, now, |header| TrustReset { header, root, new_site, new_root })?;
    let header = said.body.header;
    let (statement, seq) = (said.digest, header.seq);
    Ok(CameFrom { site: header.site, root, statement, seq, said: Some(said.envelope) })
}

/// The day and the site; a second time on that day gets a number.
fn name(state: &State, now: Timestamp) -> Result<String, StateError> {
    let there = state.list(FORMER)?;
    let day = now.to_string().chars().take(10).collect::<String>();
    let name = format!("{day}-{}", state.site().site);
    let numbered = (2..).map(|n| format!("{name}-{n}"));
    Ok(std::iter::once(name.clone()).chain(numbered).find(|name| !there.contains(name)).unwrap_or(name))
}

/// Brings a change of sites to its end that a crash has interrupted, under the lock of the state directory. False when
/// there was none.
///
/// # Errors
/// The disk's; the next start goes on.
pub fn finish(dir: &Path, disk: &mut dyn Disk) -> Result<bool, StateError> {
    let path = dir.join(MARK);
    let Some(mark) = state::read_own::<Mark>(disk, &path)? else { return Ok(false) };
    let (former, next) = (dir.join(FORMER).join(&mark.former), dir.join(NEXT));
    if mark.step == Step::Out {
        for name in list(disk, dir)?.iter().filter(|name| !STAYS.contains(&name.as_str())) {
            rename(disk, &dir.join(name), &former.join(name))?;
        }
        let mark = Mark { step: Step::In, ..mark };
        let io = |source| StateError::Io { action: "write", path: path.clone(), source };
        disk.write(&path, &strict::to_json(&mark)).map_err(io)?;
    }
    let mut coming = list(disk, &next)?;
    // Its presence means that the host has joined.
    coming.sort_by_key(|name| name == "site.json");
    for name in coming {
        let to = if name == PREPARED { &former } else { dir };
        rename(disk, &next.join(&name), &to.join(&name))?;
    }
    let io = |source| StateError::Io { action: "remove", path: path.clone(), source };
    disk.remove(&path).map_err(io)?;
    Ok(true)
}

/// Whether a change of sites was interrupted.
///
/// # Errors
/// The disk's.
pub fn is_unfinished(dir: &Path, disk: &dyn Disk) -> Result<bool, StateError> {
    Ok(state::read_own::<Mark>(disk, &dir.join(MARK))?.is_some())
}

fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, StateError> {
    disk.list(dir).map_err(|source| StateError::Io { action: "list", path: dir.to_owned(), source })
}

fn rename(disk: &mut dyn Disk, from: &Path, to: &Path) -> Result<(), StateError> {
    let done: io::Result<()> = disk.rename(from, to);
    done.map_err(|source| StateError::Io { action: "move", path: from.to_owned(), source })
}
