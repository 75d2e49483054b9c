//! The refresh of trusted metadata as a state machine: it asks, the caller fetches and stores.
//!
//! Each [`Step`] is consumed to get the next one, so no order can be got wrong: a root is durable before the
//! next is fetched, the timestamp before the snapshot. A failed write ends the refresh: drop the step.
//! Source: TUF specification 1.0.34, section 5.3 to 5.6.

use super::backend::{Seen, Verifier};
use super::error::TufError;
use super::metadata::{MetaFile, Root, Snapshot, Targets, Timestamp};
use super::names::Role;
use super::profile::{check_expiry, read_root, read_snapshot, read_targets, read_timestamp};
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
pub enum Step {
    Fetch(Fetch),
    Store(Store),
    /// The source is older than what is trusted already; ask another one.
    Stale(Stale),
    Done(Box<Trusted>),
}

/// A file to fetch from the repository. Sources answer with the bytes or with "not found".
#[derive(Debug)]
#[must_use]
pub struct Fetch {
    name: String,
    max_bytes: u64,
    then: Asked,
}

/// A verified file that must be durable on disk before the refresh goes on.
#[derive(Debug)]
#[must_use]
pub struct Store {
    role: Role,
    bytes: Vec<u8>,
    then: Kept,
}

/// A validly signed timestamp that is older than the trusted one.
#[derive(Debug)]
#[must_use]
pub struct Stale {
    /// Version of the trusted timestamp.
    pub trusted: u64,
    /// Version that the source offered.
    pub offered: u64,
    again: Fetch,
}

#[derive(Debug)]
enum Asked {
    Root(Box<Rooted>),
    Timestamp(Box<Rooted>),
    Snapshot(Box<Timed>),
    Targets(Box<Snapped>),
    Delegated(Box<Targeted>, Role),
}

#[derive(Debug)]
enum Kept {
    Root(Box<Rooted>),
    Timed(Box<Timed>),
    Snapped(Box<Snapped>),
    Targeted(Box<Targeted>),
}

#[derive(Debug)]
struct Rooted {
    verifier: Verifier,
    stored: Stored,
    now: Time,
    root: Root,
    rotations: u32,
    floor: Floor,
}

/// Versions that must not go back. Empty before the roots are complete, or when their keys were replaced.
#[derive(Debug, Default)]
struct Floor {
    timestamp: Option<Timestamp>,
    snapshot: Option<Snapshot>,
}

#[derive(Debug)]
struct Timed {
    rooted: Rooted,
    timestamp: Timestamp,
}

#[derive(Debug)]
struct Snapped {
    timed: Timed,
    snapshot: Snapshot,
}

#[derive(Debug)]
struct Targeted {
    snapped: Snapped,
    targets: Targets,
    /// Delegated roles still to load, last first.
    todo: Vec<Role>,
    delegated: BTreeMap<Role, Result<Targets, TufError>>,
}

/// Begins a refresh at `now`; the whole refresh is judged at this one moment.
pub fn start(stored: Stored, now: Time) -> Result<Step, TufError> {
    Rooted::new(stored, now)?.ask_root()
}

/// Verifies the stored files alone, without any source: what is trusted while nothing can be fetched.
///
/// Fails with [`TufError::Expired`] as a refresh would, and with [`TufError::Missing`] when a file is absent.
pub fn offline(stored: Stored, now: Time) -> Result<Trusted, TufError> {
    let mut rooted = Rooted::new(stored, now)?;
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

impl Fetch {
    /// Name below the metadata address of the repository; never contains a slash.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The transport must stop reading after this many bytes.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// The source sent `bytes`.
    pub fn found(self, bytes: &[u8]) -> Result<Step, TufError> {
        let sized = check_size(&self.name, bytes, self.max_bytes);
        match self.then {
            Asked::Root(state) => sized.and_then(|()| state.root_found(bytes)),
            Asked::Timestamp(state) => sized.and_then(|()| state.timestamp_found(bytes)),
            Asked::Snapshot(state) => sized.and_then(|()| state.accept(bytes.to_vec(), true)),
            Asked::Targets(state) => sized.and_then(|()| state.accept(bytes.to_vec(), true)),
            Asked::Delegated(state, role) => state.found(role, bytes, sized),
        }
    }

    /// The source does not have the file. For a root this is the normal end of the chain.
    pub fn not_found(self) -> Result<Step, TufError> {
        let missing = TufError::Missing { file: self.name };
        match self.then {
            Asked::Root(state) => state.roots_complete(),
            Asked::Delegated(state, role) => state.settle(role, Err(missing)),
            Asked::Timestamp(_) | Asked::Snapshot(_) | Asked::Targets(_) => Err(missing),
        }
    }
}

impl Store {
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// The exact bytes as fetched.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Say this only after the bytes are durable (written, fsynced, renamed, directory fsynced).
    pub fn stored(self) -> Result<Step, TufError> {
        match self.then {
            Kept::Root(state) => state.ask_root(),
            Kept::Timed(state) => state.go_on(),
            Kept::Snapped(state) => state.go_on(),
            Kept::Targeted(state) => state.go_on(),
        }
    }
}

impl Stale {
    /// The same question for another source.
    pub fn again(self) -> Fetch {
        self.again
    }
}

impl Rooted {
    fn new(stored: Stored, now: Time) -> Result<Self, TufError> {
        let root = read_root(&stored.root)?;
        let verifier = Verifier::from_root(&stored.root)?;
        Ok(Self { verifier, stored, now, root, rotations: 0, floor: Floor::default() })
    }

    fn ask_root(self) -> Result<Step, TufError> {
        let trusted = self.root.version;
        let next = trusted.checked_add(1).ok_or(TufError::RootVersion { trusted, offered: trusted })?;
        Ok(Step::Fetch(ask(&Role::Root, next, None, Asked::Root(Box::new(self)))))
    }

    fn root_found(mut self, bytes: &[u8]) -> Result<Step, TufError> {
        if self.rotations == limits::TUF_ROOT_ROTATIONS {
            return Err(TufError::Rotations(self.rotations));
        }
        let root = read_root(bytes)?;
        self.verifier.update_root(bytes)?;
        self.root = root;
        self.rotations += 1;
        Ok(keep(Role::Root, bytes.to_vec(), Kept::Root(Box::new(self))))
    }

    fn roots_complete(mut self) -> Result<Step, TufError> {
        check_expiry(&Role::Root, &self.root, self.now)?;
        self.load_floor()?;
        Ok(Step::Fetch(self.ask_timestamp()))
    }

    fn ask_timestamp(self) -> Fetch {
        ask(&Role::Timestamp, 0, None, Asked::Timestamp(Box::new(self)))
    }

    /// Stored files that the root no longer vouches for are dropped: new keys are how a site recovers from
    /// versions that somebody pushed far ahead. Files that cannot be read are an error, never dropped.
    fn load_floor(&mut self) -> Result<(), TufError> {
        if let Some(bytes) = self.stored.others.get(&Role::Timestamp) {
            let timestamp = read_timestamp(bytes).map_err(|e| damaged(&Role::Timestamp, &e))?;
            self.floor.timestamp = self.verifier.floor_timestamp(bytes).map(|()| timestamp);
        }
        if let Some(bytes) = self.stored.others.get(&Role::Snapshot) {
            let snapshot = read_snapshot(bytes).map_err(|e| damaged(&Role::Snapshot, &e))?;
            self.floor.snapshot = self.verifier.floor_snapshot(bytes).then_some(snapshot);
        }
        Ok(())
    }

    fn timestamp_found(mut self, bytes: &[u8]) -> Result<Step, TufError> {
        let timestamp = read_timestamp(bytes)?;
        let seen = self.verifier.update_timestamp(bytes, self.now)?;
        match seen {
            Seen::Newer => {
                let timed = Timed { rooted: self, timestamp };
                Ok(keep(Role::Timestamp, bytes.to_vec(), Kept::Timed(Box::new(timed))))
            }
            Seen::Same => {
                // The trusted bytes stay; another file with the same version changes nothing.
                let timestamp = self.floor.timestamp.clone().unwrap_or(timestamp);
                Timed { rooted: self, timestamp }.go_on()
            }
            Seen::Older { trusted, offered } => {
                Ok(Step::Stale(Stale { trusted, offered, again: self.ask_timestamp() }))
            }
        }
    }
}

impl Timed {
    fn go_on(self) -> Result<Step, TufError> {
        check_expiry(&Role::Timestamp, &self.timestamp, self.rooted.now)?;
        let pin = self.timestamp.meta.snapshot;
        match self.rooted.reusable(&Role::Snapshot, &pin) {
            Some(bytes) => self.accept(bytes, false),
            None => {
                Ok(Step::Fetch(ask(&Role::Snapshot, pin.version, Some(pin), Asked::Snapshot(Box::new(self)))))
            }
        }
    }

    fn accept(mut self, bytes: Vec<u8>, fetched: bool) -> Result<Step, TufError> {
        self.timestamp.meta.snapshot.check(&Role::Snapshot.stored_file(), &bytes)?;
        let snapshot = read_snapshot(&bytes)?;
        self.rooted.floor.check(&snapshot)?;
        self.rooted.verifier.update_snapshot(&bytes, self.rooted.now)?;
        let snapped = Snapped { timed: self, snapshot };
        if !fetched {
            return snapped.go_on();
        }
        Ok(keep(Role::Snapshot, bytes, Kept::Snapped(Box::new(snapped))))
    }
}

impl Snapped {
    fn pin(&self, role: &Role) -> Result<MetaFile, TufError> {
        let unpinned = || TufError::profile(&Role::Snapshot, format!("it does not pin {role}.json"));
        self.snapshot.pin(role).copied().ok_or_else(unpinned)
    }

    fn go_on(self) -> Result<Step, TufError> {
        check_expiry(&Role::Snapshot, &self.snapshot, self.timed.rooted.now)?;
        let pin = self.pin(&Role::Targets)?;
        match self.timed.rooted.reusable(&Role::Targets, &pin) {
            Some(bytes) => self.accept(bytes, false),
            None => {
                Ok(Step::Fetch(ask(&Role::Targets, pin.version, Some(pin), Asked::Targets(Box::new(self)))))
            }
        }
    }

    /// Checks a targets file (top-level or delegated) in the order: digest, form, profile, signatures, expiry.
    fn verify(&mut self, role: &Role, bytes: &[u8]) -> Result<Targets, TufError> {
        self.pin(role)?.check(&role.stored_file(), bytes)?;
        let targets = read_targets(role, bytes)?;
        let rooted = &mut self.timed.rooted;
        rooted.verifier.update_targets(role, bytes, rooted.now)?;
        Ok(targets)
    }

    fn accept(mut self, bytes: Vec<u8>, fetched: bool) -> Result<Step, TufError> {
        let targets = self.verify(&Role::Targets, &bytes)?;
        let delegations = targets.delegations.iter().flat_map(|delegations| &delegations.roles);
        // A team that has not published yet is delegated to but not pinned; `changes` must always be there.
        let todo = delegations
            .map(|delegation| delegation.name.clone())
            .filter(|role| *role == Role::Changes || self.snapshot.pin(role).is_some())
            .rev()
            .collect();
        let targeted = Targeted { snapped: self, targets, todo, delegated: BTreeMap::new() };
        if !fetched {
            return targeted.go_on();
        }
        Ok(keep(Role::Targets, bytes, Kept::Targeted(Box::new(targeted))))
    }
}

impl Targeted {
    fn go_on(mut self) -> Result<Step, TufError> {
        let Some(role) = self.todo.pop() else { return Ok(self.finish()) };
        let pin = self.snapped.pin(&role)?;
        match self.snapped.timed.rooted.reusable(&role, &pin) {
            Some(bytes) => {
                let result = self.snapped.verify(&role, &bytes);
                self.settle(role, result)
            }
            None => {
                let name = role.clone();
                Ok(Step::Fetch(ask(&name, pin.version, Some(pin), Asked::Delegated(Box::new(self), role))))
            }
        }
    }

    fn found(mut self, role: Role, bytes: &[u8], sized: Result<(), TufError>) -> Result<Step, TufError> {
        let result = sized.and_then(|()| self.snapped.verify(&role, bytes));
        if result.is_err() {
            return self.settle(role, result);
        }
        self.delegated.insert(role.clone(), result);
        Ok(keep(role, bytes.to_vec(), Kept::Targeted(Box::new(self))))
    }

    /// One team's bad or expired metadata must not stop the other teams: it is kept as that team's error.
    fn settle(mut self, role: Role, result: Result<Targets, TufError>) -> Result<Step, TufError> {
        if let (Role::Changes, Err(refused)) = (&role, &result) {
            return Err(refused.clone());
        }
        self.delegated.insert(role, result);
        self.go_on()
    }

    fn finish(self) -> Step {
        let Self { snapped: Snapped { timed, snapshot }, targets, delegated, .. } = self;
        let Timed { rooted, timestamp } = timed;
        let parts = Parts { root: rooted.root, timestamp, snapshot, targets, delegated };
        Step::Done(Box::new(Trusted::new(parts)))
    }
}

impl Rooted {
    /// The stored file of `role` if it is exactly the pinned one; it is verified again like a fetched one.
    fn reusable(&self, role: &Role, pin: &MetaFile) -> Option<Vec<u8>> {
        let bytes = self.stored.others.get(role)?;
        pin.check(role, bytes).is_ok().then(|| bytes.clone())
    }
}

impl Floor {
    /// No pinned file may go back or disappear (specification 5.5.5), whatever the timestamp says.
    fn check(&self, offered: &Snapshot) -> Result<(), TufError> {
        let Some(trusted) = &self.snapshot else { return Ok(()) };
        let back = |what: String, trusted, offered| TufError::Rollback { what, trusted, offered };
        if offered.version < trusted.version {
            return Err(back("snapshot".into(), trusted.version, offered.version));
        }
        for (name, pin) in trusted.meta.iter() {
            let now = offered.meta.get(name).map_or(0, |pin| pin.version);
            if now < pin.version {
                return Err(back(name.to_string(), pin.version, now));
            }
        }
        Ok(())
    }
}

fn ask(role: &Role, version: u64, pin: Option<MetaFile>, then: Asked) -> Fetch {
    let cap = role.max_bytes() as u64;
    let max_bytes = pin.map_or(cap, |pin| pin.length.min(cap));
    Fetch { name: role.file(version), max_bytes, then }
}

fn keep(role: Role, bytes: Vec<u8>, then: Kept) -> Step {
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
