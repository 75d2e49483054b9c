//! What the host fetches: repository metadata, verified target files, artifacts.
//!
//! The refresh is driven through `shared::tuf`; each file is durable before the next is asked for. Targets are
//! cached by digest and checked again at each use. Never: judges a change (`admit`).

use crate::disk::Disk;
use crate::net::{NetError, Part, Sink};
use crate::server::Server;
use crate::state::{State, StateError};
use shared::admit::admit_policy;
use shared::bundle::Control;
use shared::digest::{Digest, Hasher};
use shared::limits;
use shared::manifest::Artifact;
use shared::policy::Policy;
use shared::refusal::{Code, Refused};
use shared::time::Timestamp;
use shared::tuf::{Role, Rules, Step, TargetFile, TargetName, Trusted, TufError, client};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Why something could not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// A check said no; told to the operator as a signed refusal.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No answer; tried again at the next tick.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The own disk; holds the agent.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<TufError> for PullError {
    fn from(error: TufError) -> Self {
        Self::Refused(refused(&error))
    }
}

/// A refusal with the code that the host's statements use.
pub fn refused(error: &TufError) -> Refused {
    let code = match error {
        TufError::Expired { .. } => Code::TufExpired,
        TufError::Rollback { .. } => Code::TufRollback,
        TufError::Profile { .. } | TufError::Name(_) => Code::TufProfile,
        TufError::Store { .. } => Code::AgentStorage,
        TufError::Signature { .. }
        | TufError::Hash { .. }
        | TufError::Size { .. }
        | TufError::Parse { .. }
        | TufError::RootVersion { .. }
        | TufError::Missing { .. }
        | TufError::Rotations(_)
        | TufError::Backend => Code::TufInvalid,
    };
    Refused::new(code, error.to_string())
}

/// The site's repository at one moment, with its policy and stop orders.
#[derive(Debug, Clone)]
pub struct Repository {
    pub trusted: Trusted,
    pub policy: Policy,
    pub policy_sha256: Digest,
    pub control: Control,
    pub source: Source,
}

/// Where the metadata came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Server,
    /// The server did not answer; what is stored still holds.
    Kept,
}

/// Steps 2 to 4 of the host's verification: metadata, profile, policy, and the control file.
///
/// When the server does not answer, the stored metadata is used as long as it has not expired; how long a
/// host may start something without contact is judged later, by the policy's grace.
///
/// # Errors
/// `tuf.*` and `policy.*` refusals; the network's only when nothing is stored either.
pub fn repository(
    state: &mut State,
    server: &mut dyn Server,
    now: Timestamp,
) -> Result<Repository, PullError> {
    match refresh(state, server, now) {
        Ok(trusted) => read(state, server, trusted, Source::Server, now),
        Err(PullError::Net(lost)) => match kept(state, server, now) {
            Err(PullError::Refused(refused)) if refused.code == Code::TufInvalid => Err(lost.into()),
            kept => kept,
        },
        Err(e) => Err(e),
    }
}

/// The same from what is stored, while the server does not answer.
///
/// # Errors
/// As [`repository`]; `tuf.expired` when the stored metadata has come to its end.
pub fn kept(state: &mut State, server: &mut dyn Server, now: Timestamp) -> Result<Repository, PullError> {
    drop(begun(state, now)?);
    let trusted = client::offline(state.tuf().clone(), now).map_err(|e| stored(state, e))?;
    read(state, server, trusted, Source::Kept, now)
}

fn read(
    state: &mut State,
    server: &mut dyn Server,
    trusted: Trusted,
    source: Source,
    now: Timestamp,
) -> Result<Repository, PullError> {
    let bytes = target(state, server, &trusted, &TargetName::Policy)?;
    let bytes =
        bytes.ok_or_else(|| Refused::new(Code::PolicyInvalid, "the repository has no policy.json"))?;
    let policy = admit_policy(&bytes, &state.site().site, state.seen().policy_version)?;
    if policy.version > state.seen().policy_version || state.policy()?.as_deref() != Some(&bytes[..]) {
        state.store_policy(&bytes)?;
        state.update_seen(|seen| seen.policy_version = policy.version)?;
    }
    let control = match target(state, server, &trusted, &TargetName::Control)? {
        None => Control::default(),
        Some(bytes) => Control::parse(&bytes).map_err(|e| Refused::new(Code::TufInvalid, e.to_string()))?,
    };
    // A time that is far ahead is the server's mistake and must not become this host's floor.
    if trusted.issued() <= now.plus(86_400) {
        state.advance(trusted.issued(), None)?;
    }
    Ok(Repository { trusted, policy, policy_sha256: Digest::of(&bytes), control, source })
}

/// What this host has verified before, for what a person brings by hand: no server is asked, and the freshness that only
/// the server's keys give does not count. Stop orders are those that were seen last.
///
/// # Errors
/// `tuf.*` and `policy.*`: what governance or a publisher signed has ended, or something of it is not kept here.
pub fn by_hand(state: &State, now: Timestamp) -> Result<Repository, PullError> {
    let trusted = client::lasting(state.tuf(), now).map_err(|e| stored(state, e))?;
    let missing = |what: &str| {
        let message =
            format!("this host does not hold {what}, which its newest metadata names; it needs the server");
        Refused::new(Code::TufInvalid, message)
    };
    let bytes = kept_target(state, &trusted, &TargetName::Policy)?.ok_or_else(|| missing("the policy"))?;
    let policy = admit_policy(&bytes, &state.site().site, state.seen().policy_version)?;
    let control = match trusted.find(&TargetName::Control)? {
        None => Control::default(),
        Some(_) => {
            let kept = kept_target(state, &trusted, &TargetName::Control)?;
            let bytes = kept.ok_or_else(|| missing("the stop orders"))?;
            Control::parse(&bytes).map_err(|e| Refused::new(Code::TufInvalid, e.to_string()))?
        }
    };
    Ok(Repository { trusted, policy, policy_sha256: Digest::of(&bytes), control, source: Source::Kept })
}

/// A target file that was fetched before; `None` when it is not listed, or not here.
///
/// # Errors
/// The team's own refusal, or the disk's.
pub fn kept_target(
    state: &State,
    trusted: &Trusted,
    name: &TargetName,
) -> Result<Option<Vec<u8>>, PullError> {
    let Some(file) = trusted.find(name)? else { return Ok(None) };
    let cached = state.read_file(&cache_name(&file.hashes.sha256))?;
    Ok(cached.filter(|bytes| file.check(name, bytes).is_ok()))
}

/// Keeps a target file that somebody brought, if it is the one that is listed.
///
/// # Errors
/// The team's own refusal, or the disk's.
pub fn keep_target(
    state: &mut State,
    trusted: &Trusted,
    name: &TargetName,
    bytes: &[u8],
) -> Result<(), PullError> {
    match trusted.find(name)? {
        Some(file) if file.check(name, bytes).is_ok() => {
            Ok(state.put(&cache_name(&file.hashes.sha256), bytes)?)
        }
        Some(_) | None => Ok(()),
    }
}

/// One refresh of the metadata against the server alone.
fn refresh(state: &mut State, server: &mut dyn Server, now: Timestamp) -> Result<Trusted, PullError> {
    let step = begun(state, now)?;
    let ended = follow(
        step,
        |name, max_bytes| server.repository_file(name, max_bytes),
        |role, bytes| state.store_tuf(role, bytes),
    );
    ended.map_err(|e| match e {
        Stopped::Refused(e) => stored(state, e),
        Stopped::Net(e) => e.into(),
        Stopped::State(e) => e.into(),
    })
}

/// Why a refresh did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    #[error(transparent)]
    Refused(#[from] TufError),
    #[error(transparent)]
    Net(#[from] NetError),
    #[error(transparent)]
    State(#[from] StateError),
}

/// Carries out the steps of a refresh with one source: each file is durable before the next is asked for.
///
/// # Errors
/// The first check, answer or write that fails; what was stored before stays.
pub fn follow<R: Rules>(
    mut step: Step<R>,
    mut fetch: impl FnMut(&str, u64) -> Result<Option<Vec<u8>>, NetError>,
    mut store: impl FnMut(&Role, &[u8]) -> Result<(), StateError>,
) -> Result<R::Result, Stopped> {
    loop {
        step = match step {
            Step::Fetch(wanted) => match fetch(wanted.name(), wanted.max_bytes())? {
                Some(bytes) => wanted.found(&bytes)?,
                None => wanted.not_found()?,
            },
            Step::Store(file) => {
                store(file.role(), file.bytes())?;
                file.stored()?
            }
            Step::Stale(stale) => {
                let (trusted, offered) = (stale.trusted, stale.offered);
                return Err(TufError::Rollback { what: Role::Timestamp.to_string(), trusted, offered }.into());
            }
            Step::Done(result) => return Ok(*result),
        };
    }
}

/// The first step judges nothing but the own root.
fn begun(state: &State, now: Timestamp) -> Result<Step, PullError> {
    client::start(state.tuf().clone(), now)
        .map_err(|e| stored(state, TufError::Store { role: Role::Root, why: e.to_string() }))
}

/// Names the own file where that is what is wrong: the repository cannot mend it.
fn stored(state: &State, error: TufError) -> PullError {
    let TufError::Store { role, why } = error else { return error.into() };
    let path = state.dir().join("tuf").join(role.stored_file());
    StateError::Damaged { path, why }.refused().into()
}

/// A target file as verified metadata names it; `None` when it is not listed.
///
/// # Errors
/// The team's own refusal, a file that is not the listed one, or no answer.
pub fn target(
    state: &mut State,
    server: &mut dyn Server,
    trusted: &Trusted,
    name: &TargetName,
) -> Result<Option<Vec<u8>>, PullError> {
    if let Some(bytes) = kept_target(state, trusted, name)? {
        return Ok(Some(bytes));
    }
    let Some(file) = trusted.find(name)? else { return Ok(None) };
    let served = name.served_as(file);
    let bytes = server.repository_file(&served, file.length)?;
    let bytes = bytes.ok_or(TufError::Missing { file: served })?;
    file.check(name, &bytes)?;
    state.put(&cache_name(&file.hashes.sha256), &bytes)?;
    Ok(Some(bytes))
}

fn cache_name(sha256: &Digest) -> String {
    format!("cache/{sha256}")
}

/// Removes cached files that the repository does not list any more.
pub fn prune_cache(state: &mut State, trusted: &Trusted) -> Result<(), StateError> {
    let mut listed: BTreeSet<String> = BTreeSet::new();
    let mut keep = |file: &TargetFile| {
        listed.insert(file.hashes.sha256.hex());
    };
    trusted.policy().into_iter().for_each(&mut keep);
    trusted.active().into_iter().flatten().for_each(|(_, file)| keep(file));
    for (team, _) in trusted.teams() {
        trusted.manifests(team).into_iter().flatten().for_each(|(_, _, file)| keep(file));
    }
    for name in state.list("cache")? {
        if !listed.contains(&name) {
            state.remove(&format!("cache/{name}"))?;
        }
    }
    Ok(())
}

/// Where a complete artifact lies: `artifacts/<sha256>` below the state directory.
pub fn artifact_path(state: &State, sha256: &Digest) -> PathBuf {
    state.dir().join(format!("artifacts/{sha256}"))
}

/// Brings an artifact onto the disk: streamed, capped, continued after a break, checked, durable.
///
/// # Errors
/// `artifact.missing`, `artifact.digest`, the network's or the disk's.
pub fn artifact(state: &mut State, server: &mut dyn Server, wanted: Artifact) -> Result<PathBuf, PullError> {
    let path = artifact_path(state, &wanted.sha256);
    if wanted.length > limits::ARTIFACT_BYTES {
        let message = format!("artifact {} is larger than {} bytes", wanted.sha256, limits::ARTIFACT_BYTES);
        return Err(Refused::new(Code::ArtifactDigest, message).into());
    }
    if hash_file(state.disk(), &path, wanted.length)? == Some((wanted.sha256, wanted.length)) {
        return Ok(path);
    }
    let part = state.dir().join(format!("artifacts/{}.part", wanted.sha256));
    let there = hash_file(state.disk(), &part, wanted.length)?.map_or(0, |(_, length)| length);
    let from = if there < wanted.length { there } else { 0 };
    if there > 0 && from == 0 {
        state.remove(&format!("artifacts/{}.part", wanted.sha256))?;
    }
    let mut sink = PartFile { disk: state.disk(), path: part.clone() };
    if wanted.length == 0 {
        sink.begin(Part::FromStart).map_err(|e| disk_error(&part, e))?;
    } else if server.artifact(&wanted.sha256, from, wanted.length, &mut sink)?.is_none() {
        let message = format!("the server does not have artifact {}", wanted.sha256);
        return Err(Refused::new(Code::ArtifactMissing, message).into());
    }
    let found = hash_file(state.disk(), &part, wanted.length)?;
    if found != Some((wanted.sha256, wanted.length)) {
        state.remove(&format!("artifacts/{}.part", wanted.sha256))?;
        let message = format!("what the server sent as artifact {} is something else", wanted.sha256);
        return Err(Refused::new(Code::ArtifactDigest, message).into());
    }
    state.disk().sync(&part).map_err(|e| disk_error(&part, e))?;
    state.rename(&format!("artifacts/{}.part", wanted.sha256), &format!("artifacts/{}", wanted.sha256))?;
    Ok(path)
}

/// Removes all artifacts; they are only needed while a change runs.
pub fn drop_artifacts(state: &mut State) -> Result<(), StateError> {
    for name in state.list("artifacts")? {
        state.remove(&format!("artifacts/{name}"))?;
    }
    Ok(())
}

fn disk_error(path: &Path, source: io::Error) -> StateError {
    StateError::Io { action: "write", path: path.to_owned(), source }
}

struct PartFile<'a> {
    disk: &'a mut dyn Disk,
    path: PathBuf,
}

impl Sink for PartFile<'_> {
    fn begin(&mut self, part: Part) -> io::Result<()> {
        match part {
            Part::Continued => Ok(()),
            Part::FromStart => {
                self.disk.remove(&self.path)?;
                self.disk.append(&self.path, b"")
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.append(&self.path, bytes)
    }
}

/// Digest and length of a file, without holding it in memory; `None` when it does not exist.
///
/// A file above `limit` bytes is not read to its end; its length is then above the limit.
fn hash_file(disk: &dyn Disk, path: &Path, limit: u64) -> Result<Option<(Digest, u64)>, StateError> {
    let io = |source| StateError::Io { action: "read", path: path.to_owned(), source };
    let Some(mut file) = disk.open(path).map_err(io)? else { return Ok(None) };
    let mut hasher = Hasher::default();
    let (mut length, mut buffer) = (0_u64, vec![0; 64 << 10]);
    loop {
        let got = file.read(&mut buffer).map_err(io)?;
        length += got as u64;
        if got == 0 || length > limit {
            return Ok(Some((hasher.finish(), length)));
        }
        hasher.update(&buffer[..got]);
    }
}
