//! Sites that this host has left: what it said there and never saw proven, and how that comes to whom it belongs.
//!
//! Owns what is done with `former/`, in which nothing is ever deleted. Never: says anything new in a chain of such a site.

use crate::disk::Disk;
use crate::net::NetError;
use crate::reset::FORMER;
use crate::server::{CheckIn, Server};
use crate::spool::{self, SendError};
use crate::state::{self, Site, State, StateError};
use shared::envelope::Envelope;
use shared::former::Former;
use shared::ids::SiteId;
use std::path::Path;

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Left {
    /// The directory below `former/`.
    pub name: String,
    pub site: SiteId,
    /// How many statements were never seen proven.
    pub undelivered: usize,
}

/// All of them, the first one left first.
///
/// # Errors
/// The disk's.
pub fn list(dir: &Path, disk: &dyn Disk) -> Result<Vec<Left>, StateError> {
    let former = dir.join(FORMER);
    let names = |dir: &Path| {
        disk.list(dir).map_err(|source| StateError::Io { action: "list", path: dir.to_owned(), source })
    };
    let mut all = Vec::new();
    for name in names(&former)? {
        let own = former.join(&name);
        // Without it the change of sites has not come to its end.
        let Some(site) = state::read_own::<Site>(disk, &own.join("site.json"))? else { continue };
        let spooled = names(&own.join("spool"))?;
        let undelivered = spooled.iter().filter(|name| name.ends_with(".json")).count();
        all.push(Left { name, site: site.site, undelivered });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// The state of one of them; none when there is no such one.
///
/// # Errors
/// Damaged, or the disk's.
pub fn open<D: Disk + Clone + 'static>(
    dir: &Path,
    disk: &D,
    name: &str,
) -> Result<Option<State>, StateError> {
    if !list(dir, disk)?.iter().any(|left| left.name == name) {
        return Ok(None);
    }
    State::open(&dir.join(FORMER).join(name), Box::new(disk.clone())).map(Some)
}

/// Hands in at the old server what it does not have, by the same proofs as ever; how many statements it has proven.
///
/// # Errors
/// The first thing that stops it; what is not proven stays.
pub fn send(state: &mut State, server: &mut dyn Server) -> Result<usize, SendError> {
    match server.check_in(None, false)? {
        CheckIn::News { work, .. } => spool::resend(state, work.next_seq)?,
        CheckIn::Unchanged => None,
    };
    spool::flush(state, server)
}

/// Everything that is kept of the host's chain there.
///
/// # Errors
/// Damaged, or the disk's.
pub fn export(state: &State) -> Result<Former, StateError> {
    let undelivered = state.spooled()?;
    let mut statements = Vec::new();
    for (dir, all) in [("sent", state.sent()?), ("spool", undelivered.clone())] {
        for seq in all {
            let name = format!("{dir}/{seq}.json");
            let Some(bytes) = state.read_file(&name)? else { continue };
            let damaged = |why: String| StateError::Damaged { path: state.dir().join(&name), why };
            let envelope = Envelope::parse(&bytes).map_err(|e| damaged(e.to_string()))?;
            statements.push((seq, envelope));
        }
    }
    statements.sort_by_key(|(seq, _)| *seq);
    let site = state.site();
    Ok(Former {
        schema: Former::SCHEMA.into(),
        site: site.site.clone(),
        root: site.root_sha256,
        agent: site.agent,
        undelivered,
        statements: statements.into_iter().map(|(_, envelope)| envelope).collect(),
    })
}

/// Whether nobody answered, or the server said no: the administrator has to do something there.
pub fn is_the_servers(error: &SendError) -> bool {
    matches!(error, SendError::Net(NetError::Refused { .. }) | SendError::Clone { .. })
}
