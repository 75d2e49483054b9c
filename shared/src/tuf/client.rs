//! The refresh of trusted metadata as a state machine: it asks, the caller fetches and stores.
//!
//! Each [`Step`] is consumed to get the next one, so no order can be got wrong: a root is durable before the
//! next is fetched, the timestamp before the snapshot. A failed write ends the refresh: drop the step.
//! What a repository must keep beyond the specification is a parameter: [`Rules`]; hosts know only [`Site`].
//! Source: TUF specification 1.0.34, section 5.3 to 5.6.

use super::backend::{Seen, Verifier};
use super::error::TufError;
use super::metadata::Dated as _;
use super::names::Role;
use super::profile::check_expiry;
use super::rules::{Ahead, Pin, Rules, Site};
use super::trusted::{Parts, Trusted};
use crate::limits;
use crate::time::Timestamp as Time;
use std::collections::BTreeMap;

/// The trusted files on disk, as stored by earlier refreshes. They hold the floors against rollback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The newest trusted root; at first the one whose hash came with the enrolment.
    pub root: Vec<u8>,
    /// The other roles by name; absent ones have not been fetched yet.
    pub others: BTreeMap<Role, Vec<u8>>,
}

/// What the caller has to do next.
#[derive(Debug)]
#[must_use]
pub enum Step<R: Rules = Site> {
    Fetch(Fetch<R>),
    Store(Store<R>),
    /// The source is older than what is trusted already; ask another one.
    Stale(Stale<R>),
    Done(Box<R::Result>),
}

/// A file to fetch from the repository. Sources answer with the bytes or with "not found".
#[derive(Debug)]
#[must_use]
pub struct Fetch<R: Rules = Site> {
    name: String,
    max_bytes: u64,
    then: Asked<R>,
}

/// A verified file that must be durable on disk before the refresh goes on.
#[derive(Debug)]
#[must_use]
pub struct Store<R: Rules = Site> {
    role: Role,
    bytes: Vec<u8>,
    then: Kept<R>,
}

/// A validly signed timestamp that is older than the trusted one.
#[derive(Debug)]
#[must_use]
pub struct Stale<R: Rules = Site> {
    /// Version of the trusted timestamp.
    pub trusted: u64,
    /// Version that the source offered.
    pub offered: u64,
    again: Fetch<R>,
}

#[derive(Debug)]
enum Asked<R: Rules> {
    Root(Box<Rooted<R>>),
    Timestamp(Box<Rooted<R>>),
    Snapshot(Box<Timed<R>>),
    Targets(Box<Snapped<R>>),
    Delegated(Box<Targeted<R>>, Edge),
}

#[derive(Debug)]
enum Kept<R: Rules> {
    Root(Box<Rooted<R>>),
    Timed(Box<Timed<R>>),
    Snapped(Box<Snapped<R>>),
    Targeted(Box<Targeted<R>>, Role),
}

#[derive(Debug)]
struct Rooted<R: Rules> {
    rules: R,
    verifier: Verifier,
    stored: Stored,
    now: Time,
    root: R::Root,
    rotations: u32,
    floor: Floor<R>,
}

/// Versions that must not go back. Empty before the roots are complete, or when their keys were replaced.
#[derive(Debug)]
struct Floor<R: Rules> {
    timestamp: Option<R::Timestamp>,
    snapshot: Option<R::Snapshot>,
}

#[derive(Debug)]
struct Timed<R: Rules> {
    rooted: Rooted<R>,
    timestamp: R::Timestamp,
}

#[derive(Debug)]
struct Snapped<R: Rules> {
    timed: Timed<R>,
    snapshot: R::Snapshot,
}

/// The verified files of the top level, and the walk through the delegations.
#[derive(Debug)]
pub struct Targeted<R: Rules> {
    snapped: Snapped<R>,
    targets: R::Targets,
    /// Delegations still to follow, last first.
    todo: Vec<Edge>,
    delegated: BTreeMap<Role, Result<R::Targets, TufError>>,
}

/// A delegation: who vouches for whom. One role may be reached over several.
#[derive(Clone, Debug)]
struct Edge {
    by: Role,
    role: Role,
}

/// Begins a refresh at `now`; the whole refresh is judged at this one moment.
pub fn start(stored: Stored, now: Time) -> Result<Step, TufError> {
    start_by(Site, stored, now)
}

/// The same by other rules than a site's.
pub fn start_by<R: Rules>(rules: R, stored: Stored, now: Time) -> Result<Step<R>, TufError> {
    Rooted::new(rules, stored, now)?.ask_root()
}

/// Verifies the stored files alone, without any source: what is trusted while nothing can be fetched.
///
/// Fails with [`TufError::Expired`] as a refresh would, and with [`TufError::Missing`] when a file is absent.
pub fn offline(stored: Stored, now: Time) -> Result<Trusted, TufError> {
    let mut rooted = Rooted::new(Site, stored, now)?;
    check_expiry(&Role::Root, &rooted.root, now)?;
    rooted.load_floor()?;
    let missing = || TufError::Missing { file: Role::Timestamp.stored_file() };
    let timestamp = rooted.floor.timestamp.clone().ok_or_else(missing)?;
    let mut step = Timed { rooted, timestamp }.go_on()?;
    loop {
        step = match step {
            Step::Fetch(fetch) => fetch.not_found()?,
            Step::Store(store) => store.stored()?,
            Step::Stale(stale) => Step::Fetch(stale.again()),
            Step::Done(trusted) => return Ok(*trusted),
        }
    }
}

/// The same where the freshness that only the server's own keys give does not count: timestamp, snapshot and the list of
/// changes may have ended, signatures, versions and digests hold as ever. What governance and publishers signed has not
/// ended for that: [`Trusted::lasts`] is to be asked.
pub fn lasting(stored: &Stored, now: Time) -> Result<Trusted, TufError> {
    let mut at = now;
    loop {
        match offline(stored.clone(), at) {
            // Each turn goes back behind the end of one more of three files.
            Err(TufError::Expired { role: Role::Timestamp | Role::Snapshot | Role::Changes, at: end })
                if end <= at =>
            {
                at = end.plus(-1);
            }
            ended => return ended.and_then(|trusted| trusted.lasts(now, []).map(|()| trusted)),
        }
    }
}

impl<R: Rules> Fetch<R> {
    /// Name below the metadata address of the repository; never contains a slash.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The transport must stop reading after this many bytes.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// The source sent `bytes`.
    pub fn found(self, bytes: &[u8]) -> Result<Step<R>, TufError> {
        let sized = check_size(&self.name, bytes, self.max_bytes);
        match self.then {
            Asked::Root(state) => sized.and_then(|()| state.root_found(bytes)),
            Asked::Timestamp(state) => sized.and_then(|()| state.timestamp_found(bytes)),
            Asked::Snapshot(state) => sized.and_then(|()| state.snapshot_found(bytes)),
            Asked::Targets(state) => sized.and_then(|()| state.targets_found(bytes)),
            Asked::Delegated(state, edge) => state.found(edge, bytes, sized),
        }
    }

    /// The source does not have the file. For a root this is the normal end of the chain.
    pub fn not_found(self) -> Result<Step<R>, TufError> {
        let missing = TufError::Missing { file: self.name };
        match self.then {
            Asked::Root(state) => state.roots_complete(),
            Asked::Delegated(state, edge) => state.settle(edge.role, Err(missing)),
            Asked::Timestamp(_) | Asked::Snapshot(_) | Asked::Targets(_) => Err(missing),
        }
    }
}

impl<R: Rules> Store<R> {
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// The exact bytes as fetched.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Say this only after the bytes are durable (written, fsynced, renamed, directory fsynced).
    pub fn stored(self) -> Result<Step<R>, TufError> {
        match self.then {
            Kept::Root(state) => state.ask_root(),
            Kept::Timed(state) => state.go_on(),
            Kept::Snapped(state) => state.go_on(),
            Kept::Targeted(mut state, role) => {
                if R::SEARCHES {
                    state.snapped.timed.rooted.stored.others.insert(role, self.bytes);
                }
                state.go_on()
            }
        }
    }
}

impl<R: Rules> Stale<R> {
    /// The same question for another source.
    pub fn again(self) -> Fetch<R> {
        self.again
    }
}

impl<R: Rules> Rooted<R> {
    fn new(rules: R, stored: Stored, now: Time) -> Result<Self, TufError> {
        let root = rules.read_root(&stored.root)?;
        let verifier = Verifier::from_root(&stored.root)?;
        let floor = Floor { timestamp: None, snapshot: None };
        Ok(Self { rules, verifier, stored, now, root, rotations: 0, floor })
    }

    fn ask_root(self) -> Result<Step<R>, TufError> {
        let trusted = self.root.version();
        let next = trusted.checked_add(1).ok_or(TufError::RootVersion { trusted, offered: trusted })?;
        Ok(Step::Fetch(ask(&Role::Root, next, None, Asked::Root(Box::new(self)))))
    }

    fn root_found(mut self, bytes: &[u8]) -> Result<Step<R>, TufError> {
        if self.rotations == limits::TUF_ROOT_ROTATIONS {
            return Err(TufError::Rotations(self.rotations));
        }
        let root = self.rules.read_root(bytes)?;
        self.verifier.update_root(bytes)?;
        self.root = root;
        self.rotations += 1;
        Ok(keep(Role::Root, bytes.to_vec(), Kept::Root(Box::new(self))))
    }

    fn roots_complete(mut self) -> Result<Step<R>, TufError> {
        check_expiry(&Role::Root, &self.root, self.now)?;
        self.load_floor()?;
        Ok(Step::Fetch(self.ask_timestamp()))
    }

    fn ask_timestamp(self) -> Fetch<R> {
        ask(&Role::Timestamp, 0, None, Asked::Timestamp(Box::new(self)))
    }

    /// Stored files that the root no longer vouches for are dropped: new keys are how a site recovers from
    /// versions that somebody pushed far ahead. Files that cannot be read are an error, never dropped.
    fn load_floor(&mut self) -> Result<(), TufError> {
        if let Some(bytes) = self.stored.others.get(&Role::Timestamp) {
            let timestamp = self.rules.read_timestamp(bytes).map_err(|e| damaged(&Role::Timestamp, &e))?;
            self.floor.timestamp = self.verifier.floor_timestamp(bytes).map(|()| timestamp);
        }
        if let Some(bytes) = self.stored.others.get(&Role::Snapshot) {
            let snapshot = self.rules.read_snapshot(bytes).map_err(|e| damaged(&Role::Snapshot, &e))?;
            self.floor.snapshot = self.verifier.floor_snapshot(bytes).then_some(snapshot);
        }
        Ok(())
    }

    fn timestamp_found(mut self, bytes: &[u8]) -> Result<Step<R>, TufError> {
        let timestamp = self.rules.read_timestamp(bytes)?;
        let seen = self.verifier.update_timestamp(bytes, self.now)?;
        match seen {
            Seen::Newer => {
                let timed = Timed { rooted: self, timestamp };
                Ok(keep(Role::Timestamp, bytes.to_vec(), Kept::Timed(Box::new(timed))))
            }
            Seen::Same => {
                // The trusted bytes stay; another file with the same version changes nothing.
                let timestamp = self.floor.timestamp.take().unwrap_or(timestamp);
                Timed { rooted: self, timestamp }.go_on()
            }
            Seen::Older { trusted, offered } => {
                Ok(Step::Stale(Stale { trusted, offered, again: self.ask_timestamp() }))
            }
        }
    }

    /// The stored file of `role` if it may be the pinned one; it is verified again like a fetched one.
    fn reusable(&self, role: &Role, pin: &Pin) -> Option<Vec<u8>> {
        let bytes = self.stored.others.get(role)?;
        pin.check(role, bytes).is_ok().then(|| bytes.clone())
    }
}

impl<R: Rules> Timed<R> {
    fn go_on(mut self) -> Result<Step<R>, TufError> {
        check_expiry(&Role::Timestamp, &self.timestamp, self.rooted.now)?;
        let pin = R::snapshot_pin(&self.timestamp)?;
        if let Some(bytes) = self.rooted.reusable(&Role::Snapshot, &pin) {
            match self.verify(&bytes) {
                Ok(snapshot) => return Snapped { timed: self, snapshot }.go_on(),
                Err(refused) if pin.is_exact() => return Err(refused),
                Err(_) => {}
            }
        }
        Ok(Step::Fetch(ask(&Role::Snapshot, pin.version, Some(&pin), Asked::Snapshot(Box::new(self)))))
    }

    fn verify(&mut self, bytes: &[u8]) -> Result<R::Snapshot, TufError> {
        R::snapshot_pin(&self.timestamp)?.check(&Role::Snapshot, bytes)?;
        let snapshot = self.rooted.rules.read_snapshot(bytes)?;
        self.rooted.floor.check(&snapshot)?;
        self.rooted.verifier.update_snapshot(bytes, self.rooted.now)?;
        Ok(snapshot)
    }

    fn snapshot_found(mut self, bytes: &[u8]) -> Result<Step<R>, TufError> {
        let snapshot = self.verify(bytes)?;
        let snapped = Snapped { timed: self, snapshot };
        Ok(keep(Role::Snapshot, bytes.to_vec(), Kept::Snapped(Box::new(snapped))))
    }
}

impl<R: Rules> Snapped<R> {
    fn pin(&self, role: &Role) -> Result<Pin, TufError> {
        let unpinned = || TufError::profile(&Role::Snapshot, format!("it does not pin {role}.json"));
        R::pin(&self.snapshot, role).ok_or_else(unpinned)
    }

    fn go_on(mut self) -> Result<Step<R>, TufError> {
        check_expiry(&Role::Snapshot, &self.snapshot, self.timed.rooted.now)?;
        let edge = Edge { by: Role::Root, role: Role::Targets };
        let pin = self.pin(&Role::Targets)?;
        if let Some(bytes) = self.timed.rooted.reusable(&Role::Targets, &pin) {
            match self.verify(&edge, &bytes) {
                Ok(targets) => return self.targeted(targets)?.go_on(),
                Err(refused) if pin.is_exact() => return Err(refused),
                Err(_) => {}
            }
        }
        Ok(Step::Fetch(ask(&Role::Targets, pin.version, Some(&pin), Asked::Targets(Box::new(self)))))
    }

    /// Checks a targets file (top-level or delegated) in the order: digest, form, profile, signatures, expiry.
    fn verify(&mut self, edge: &Edge, bytes: &[u8]) -> Result<R::Targets, TufError> {
        self.pin(&edge.role)?.check(&edge.role, bytes)?;
        let rooted = &mut self.timed.rooted;
        let targets = rooted.rules.read_targets(&edge.role, bytes)?;
        rooted.verifier.update_targets(&edge.role, &edge.by, bytes, rooted.now)?;
        Ok(targets)
    }

    fn targets_found(mut self, bytes: &[u8]) -> Result<Step<R>, TufError> {
        let targets = self.verify(&Edge { by: Role::Root, role: Role::Targets }, bytes)?;
        let targeted = Box::new(self.targeted(targets)?);
        Ok(keep(Role::Targets, bytes.to_vec(), Kept::Targeted(targeted, Role::Targets)))
    }

    fn targeted(self, targets: R::Targets) -> Result<Targeted<R>, TufError> {
        let ahead = self.timed.rooted.rules.ahead(&self.snapshot, &targets)?;
        let mut targeted = Targeted { snapped: self, targets, todo: Vec::new(), delegated: BTreeMap::new() };
        targeted.look_ahead(&Role::Targets, ahead);
        Ok(targeted)
    }
}

impl<R: Rules> Targeted<R> {
    /// Depth first, in the order of the delegating file (specification 5.6.7).
    fn look_ahead(&mut self, by: &Role, ahead: Ahead) {
        if ahead.forgets_others {
            self.todo.clear();
        }
        let edges = ahead.roles.into_iter().map(|role| Edge { by: by.clone(), role });
        self.todo.extend(edges.rev());
    }

    fn go_on(mut self) -> Result<Step<R>, TufError> {
        let edge = loop {
            match self.todo.pop() {
                None => return Ok(Step::Done(Box::new(R::done(self)))),
                Some(seen) if self.delegated.contains_key(&seen.role) => {}
                Some(edge) => break edge,
            }
        };
        if self.delegated.len() > limits::TUF_TEAMS {
            let why = format!("there are more than {} delegations", limits::TUF_TEAMS);
            return Err(TufError::profile(&Role::Targets, why));
        }
        let pin = self.snapped.pin(&edge.role)?;
        if let Some(bytes) = self.snapped.timed.rooted.reusable(&edge.role, &pin) {
            let result = self.snapped.verify(&edge, &bytes);
            if result.is_ok() || pin.is_exact() {
                return self.settle(edge.role, result);
            }
        }
        let name = edge.role.clone();
        Ok(Step::Fetch(ask(&name, pin.version, Some(&pin), Asked::Delegated(Box::new(self), edge))))
    }

    fn found(mut self, edge: Edge, bytes: &[u8], sized: Result<(), TufError>) -> Result<Step<R>, TufError> {
        let result = sized.and_then(|()| self.snapped.verify(&edge, bytes));
        if result.is_err() {
            return self.settle(edge.role, result);
        }
        self.take(edge.role.clone(), result)?;
        Ok(keep(edge.role.clone(), bytes.to_vec(), Kept::Targeted(Box::new(self), edge.role)))
    }

    fn settle(mut self, role: Role, result: Result<R::Targets, TufError>) -> Result<Step<R>, TufError> {
        self.take(role, result)?;
        self.go_on()
    }

    /// One team's bad or expired metadata must not stop the other teams: it is kept as that team's error.
    fn take(&mut self, role: Role, result: Result<R::Targets, TufError>) -> Result<(), TufError> {
        match &result {
            Ok(targets) => {
                let ahead = self.snapped.timed.rooted.rules.ahead(&self.snapped.snapshot, targets)?;
                self.look_ahead(&role, ahead);
            }
            Err(refused) if R::is_needed(&role) => return Err(refused.clone()),
            Err(_) => {}
        }
        self.delegated.insert(role, result);
        Ok(())
    }

    pub(super) fn into_parts(self) -> Parts<R> {
        let Self { snapped: Snapped { timed, snapshot }, targets, delegated, .. } = self;
        let Timed { rooted, timestamp } = timed;
        Parts { root: rooted.root, timestamp, snapshot, targets, delegated }
    }
}

/// A search that goes on with the files of the last one.
#[cfg(feature = "plain-tuf")]
impl<R: Rules> Targeted<R> {
    pub(super) fn again(mut self, rules: R) -> Result<Step<R>, TufError> {
        self.snapped.timed.rooted.rules = rules;
        self.snapped.targeted(self.targets)?.go_on()
    }

    pub(super) fn rules(&self) -> &R {
        &self.snapped.timed.rooted.rules
    }

    /// The files in which a search has looked.
    pub(super) fn seen(&self) -> impl Iterator<Item = &R::Targets> {
        std::iter::once(&self.targets).chain(self.delegated.values().flatten())
    }
}

impl<R: Rules> Floor<R> {
    /// No pinned file may go back or disappear (specification 5.5.5), whatever the timestamp says.
    fn check(&self, offered: &R::Snapshot) -> Result<(), TufError> {
        let Some(trusted) = &self.snapshot else { return Ok(()) };
        let back = |what: String, trusted, offered| TufError::Rollback { what, trusted, offered };
        if offered.version() < trusted.version() {
            return Err(back("snapshot".into(), trusted.version(), offered.version()));
        }
        let pinned = R::versions(offered);
        for (role, version) in R::versions(trusted) {
            let now = pinned.get(&role).copied().unwrap_or(0);
            if now < version {
                return Err(back(format!("{role}.json"), version, now));
            }
        }
        Ok(())
    }
}

fn ask<R: Rules>(role: &Role, version: u64, pin: Option<&Pin>, then: Asked<R>) -> Fetch<R> {
    let cap = role.max_bytes() as u64;
    let max_bytes = pin.and_then(|pin| pin.length).map_or(cap, |length| length.min(cap));
    Fetch { name: role.file(version), max_bytes, then }
}

fn keep<R: Rules>(role: Role, bytes: Vec<u8>, then: Kept<R>) -> Step<R> {
    Step::Store(Store { role, bytes, then })
}

fn check_size(name: &str, bytes: &[u8], limit: u64) -> Result<(), TufError> {
    let size = bytes.len() as u64;
    if size > limit {
        return Err(TufError::Size { file: name.into(), size, limit });
    }
    Ok(())
}

fn damaged(role: &Role, why: &TufError) -> TufError {
    TufError::Store { role: role.clone(), why: why.to_string() }
}
