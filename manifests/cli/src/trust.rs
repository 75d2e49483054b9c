//! What the site's own keys vouch for: the repository, verified from the pinned root kept in `trust/`.
//!
//! Owns the trusted files on disk (the floors against rollback) and the highest policy version seen.
//! Never: a document that was not verified.

use crate::error::{Context as _, Done, Failure};
use crate::files;
use crate::net::Client;
use crate::profile::Profile;
use serde::{Deserialize, Serialize};
use shared::admit::{Verified, admit_policy, verify_publication};
use shared::change::ManifestUse;
use shared::ids::Team;
use shared::manifest::Manifest;
use shared::policy::Policy;
use shared::strict;
use shared::time::Timestamp;
use shared::tuf::client::{self, Step, Stored};
use shared::tuf::{Role, Root, Signed, TargetFile, TargetName, Targets, Trusted, TufError};
use std::path::{Path, PathBuf};

/// The verified site at one moment.
#[derive(Debug)]
pub struct Site {
    pub trusted: Trusted,
    pub policy: Policy,
    pub now: Timestamp,
    dir: PathBuf,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    policy_version: u64,
}

const SEEN: &str = "seen.json";
const POLICY: &str = "policy.json";

/// What governance signed last, as far as this machine has verified it.
#[derive(Debug)]
pub struct Last {
    pub root: Root,
    pub targets: Targets,
    pub policy: Policy,
    dir: PathBuf,
}

/// From the files of this machine alone: a server that was put back to a backup knows less.
///
/// # Errors
/// Something is missing or damaged, or this machine has never kept the newest policy.
pub fn last(profile: &Profile) -> Done<Last> {
    let dir = profile.dir.join("trust");
    let _only_one = files::lock(&dir.join("lock"))?;
    let read = |role: Role| files::read(&dir.join(role.stored_file()), role.max_bytes());
    let damaged = "the trusted metadata is damaged";
    let root = Signed::<Root>::parse(&Role::Root, &read(Role::Root)?).or_fault(damaged)?.signed;
    let targets = Signed::<Targets>::parse(&Role::Targets, &read(Role::Targets)?).or_fault(damaged)?.signed;
    let kept = files::try_read(&dir.join(POLICY), TargetName::Policy.max_bytes() as usize)?;
    let fits = |bytes: &Vec<u8>| targets.targets.get(&TargetName::Policy) == Some(&TargetFile::of(bytes));
    let bytes = kept.filter(fits).ok_or_else(|| {
        Failure::refused("this machine does not hold the policy that governance signed last")
            .remedy("run the command on the machine on which it was signed")
    })?;
    let policy = Policy::parse(&bytes).or_fault("the kept policy is damaged")?;
    Ok(Last { root, targets, policy, dir })
}

impl Last {
    /// A root that this machine has followed, byte for byte.
    pub fn root(&self, version: u64) -> Done<Option<Vec<u8>>> {
        let name =
            if version == self.root.version { Role::Root.stored_file() } else { Role::Root.file(version) };
        files::try_read(&self.dir.join(name), Role::Root.max_bytes())
    }
}

/// Refreshes the trusted metadata from the server and reads the policy that it vouches for.
///
/// # Errors
/// Refused when a signature, version or expiry does not hold; a fault when files cannot be written.
pub fn refresh(profile: &Profile, api: &Client, now: Timestamp) -> Done<Site> {
    let dir = profile.dir.join("trust");
    // Without it a slower command could put older files, the rollback floors, over newer ones.
    let _only_one = files::lock(&dir.join("lock"))?;
    let trusted = follow(client::start(load(&dir)?, now), &dir, api)?;
    site_of(profile, api, dir, trusted, now)
}

/// Like [`refresh`], but what has expired is judged at its last second, so that it can be signed again.
///
/// Signatures and versions are checked as ever; only freshness is given up. Nothing but a renewal may use it.
pub fn refresh_expired(profile: &Profile, api: &Client, now: Timestamp) -> Done<Site> {
    let dir = profile.dir.join("trust");
    let _only_one = files::lock(&dir.join("lock"))?;
    let mut at = now;
    loop {
        match walk(client::start(load(&dir)?, at), &dir, api) {
            Ok(trusted) => return site_of(profile, api, dir, trusted, now),
            // Each turn goes back behind the end of one more role; there are few roles.
            Err(Stop::Tuf(TufError::Expired { at: end, .. })) if end <= at => at = end.plus(-1),
            Err(stop) => return Err(stop.into()),
        }
    }
}

/// What this machine verified last, for when the server is away: the freshness that only the server's keys give does not
/// count, and nothing newer can be known. What governance and publishers signed holds as long as it says.
///
/// # Errors
/// What governance signed has ended, or this machine does not hold the policy that goes with it.
pub fn kept(profile: &Profile, now: Timestamp) -> Done<Site> {
    let Last { policy, dir, .. } = last(profile)?;
    let _only_one = files::lock(&dir.join("lock"))?;
    let trusted = client::lasting(&load(&dir)?, now);
    let trusted = trusted.or_refuse("what this machine knows of the site does not hold any more")?;
    Ok(Site { trusted, policy, now, dir })
}

fn site_of(profile: &Profile, api: &Client, dir: PathBuf, trusted: Trusted, now: Timestamp) -> Done<Site> {
    let file = *trusted.policy().or_refuse("the site's policy is not in the repository")?;
    let bytes = fetch(api, &TargetName::Policy, &file)?;
    let seen = read_seen(&dir)?;
    let policy = admit_policy(&bytes, &profile.config.site, seen.policy_version)
        .or_refuse("the site's policy is not accepted")?;
    if policy.version > seen.policy_version {
        files::replace(&dir.join(SEEN), &strict::to_json(&Seen { policy_version: policy.version }))?;
    }
    // The one before may have been longer.
    let kept = files::try_read(&dir.join(POLICY), TargetName::Policy.max_bytes() as usize)?;
    if kept.is_none_or(|kept| kept != bytes) {
        files::replace(&dir.join(POLICY), &bytes)?;
    }
    Ok(Site { trusted, policy, now, dir })
}

/// Why a refresh ended without trust.
enum Stop {
    Tuf(TufError),
    Other(Failure),
}

impl From<TufError> for Stop {
    fn from(error: TufError) -> Self {
        Self::Tuf(error)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Other(failure) => failure,
            Stop::Tuf(error) => {
                let failure = Self::refused("the server's repository is not accepted").why(&error);
                match error {
                    TufError::Expired { role: Role::Root | Role::Targets | Role::Content(_), .. } => {
                        failure.remedy("assent renew --dry-run")
                    }
                    _ => failure,
                }
            }
        }
    }
}

fn follow(first: Result<Step, TufError>, dir: &Path, api: &Client) -> Done<Trusted> {
    Ok(walk(first, dir, api)?)
}

fn walk(first: Result<Step, TufError>, dir: &Path, api: &Client) -> Result<Trusted, Stop> {
    let mut step = first?;
    loop {
        step = match step {
            Step::Fetch(fetch) => match api.tuf(fetch.name(), fetch.max_bytes())? {
                Some(bytes) => fetch.found(&bytes),
                None => fetch.not_found(),
            }?,
            Step::Store(store) => {
                if *store.role() == Role::Root {
                    // For a server that loses it.
                    let version = Signed::<Root>::parse(&Role::Root, store.bytes())?.signed.version;
                    files::replace(&dir.join(Role::Root.file(version)), store.bytes())?;
                }
                files::replace(&dir.join(store.role().stored_file()), store.bytes())?;
                store.stored()?
            }
            Step::Stale(stale) => {
                let message = format!(
                    "the server offers version {} of the repository's timestamp; {} was seen here before",
                    stale.offered, stale.trusted
                );
                return Err(Failure::refused(message)
                    .why("an old backup was restored, or somebody replays old files")
                    .remedy(
                        "if a backup was put back: `assent-server restored` on the server, then `assent site restore` here",
                    )
                    .into());
            }
            Step::Done(trusted) => return Ok(*trusted),
        }
    }
}

/// The trusted files on disk; the first root came with `assent init`.
fn load(dir: &Path) -> Done<Stored> {
    let root = files::read(&dir.join("root.json"), Role::Root.max_bytes())?;
    let mut stored = Stored { root, ..Stored::default() };
    let entries = std::fs::read_dir(dir).or_fault(format!("could not read {}", dir.display()))?;
    for entry in entries {
        let name = entry.or_fault(format!("could not read {}", dir.display()))?.file_name();
        let role = name
            .to_str()
            .and_then(|name| name.strip_suffix(".json"))
            .and_then(|name| name.parse::<Role>().ok());
        let Some(role) = role.filter(|role| *role != Role::Root) else { continue };
        let bytes = files::read(&dir.join(&name), role.max_bytes())?;
        stored.others.insert(role, bytes);
    }
    Ok(stored)
}

fn read_seen(dir: &Path) -> Done<Seen> {
    match files::try_read(&dir.join(SEEN), 1 << 10)? {
        Some(bytes) => strict::from_json("the note of what was seen", &bytes, 1 << 10)
            .or_fault("trust/seen.json is damaged"),
        None => Ok(Seen::default()),
    }
}

fn fetch(api: &Client, name: &TargetName, file: &shared::tuf::TargetFile) -> Done<Vec<u8>> {
    let cap = name.max_bytes();
    if file.length > cap {
        return Err(Failure::refused(format!(
            "{name} has {} bytes; at most {cap} are accepted",
            file.length
        )));
    }
    let bytes = api.tuf(&name.served_as(file), file.length)?;
    let bytes =
        bytes.ok_or_else(|| Failure::refused(format!("the repository lists {name} but does not have it")))?;
    file.check(name, &bytes).or_refuse(format!("the server sent another {name} than the signed one"))?;
    Ok(bytes)
}

impl Site {
    /// A published manifest, verified through the repository and its publisher's signature.
    pub fn manifest(
        &self,
        api: &Client,
        team: &Team,
        name: &shared::ids::ManifestName,
        version: &semver::Version,
    ) -> Done<Verified<Manifest>> {
        let bytes = self.manifest_bytes(api, team, name, version)?;
        verify_publication(&self.policy, &bytes, self.now)
            .or_refuse(format!("{name}@{version} is not accepted"))
    }

    /// The manifest that a change names: listed now, signed by a publisher, and the very same statement.
    pub fn manifest_of(&self, api: &Client, named: &ManifestUse) -> Done<Verified<Manifest>> {
        let bytes = self.manifest_bytes(api, &named.team, &named.name, &named.version)?;
        shared::admit::verify_manifest(&self.policy, &bytes, named, self.now)
            .or_refuse(format!("{} is not accepted", named.label()))
    }

    /// The same from a text that was kept elsewhere: it must be the one that is listed.
    pub fn kept_manifest(&self, named: &ManifestUse, texts: &[String]) -> Done<Verified<Manifest>> {
        let target = TargetName::manifest(&named.team, &named.name, &named.version);
        let label = named.label();
        let listed = self.trusted.find(&target);
        let listed = listed.or_refuse(format!("the manifests of team {} cannot be used", named.team))?;
        let fits = |text: &&String| listed.is_some_and(|file| file.check(&target, text.as_bytes()).is_ok());
        let text = texts.iter().find(fits);
        let text =
            text.ok_or_else(|| Failure::refused(format!("{label} is not in the file as it was published")))?;
        shared::admit::verify_manifest(&self.policy, text.as_bytes(), named, self.now)
            .or_refuse(format!("{label} is not accepted"))
    }

    /// A published manifest as it is served.
    pub fn manifest_bytes(
        &self,
        api: &Client,
        team: &Team,
        name: &shared::ids::ManifestName,
        version: &semver::Version,
    ) -> Done<Vec<u8>> {
        let target = TargetName::manifest(team, name, version);
        let file =
            self.trusted.find(&target).or_refuse(format!("the manifests of team {team} cannot be used"))?;
        let file = *file.ok_or_else(|| {
            Failure::refused(format!("{team}/{name}@{version} is not published"))
                .remedy("see `assent manifest list`")
        })?;
        fetch(api, &target, &file)
    }

    /// The top-level targets, as verified by the refresh that made this value.
    pub fn targets(&self) -> Done<Targets> {
        let role = Role::Targets;
        let bytes = files::read(&self.dir.join(role.stored_file()), role.max_bytes())?;
        Ok(Signed::<Targets>::parse(&role, &bytes).or_fault("the trusted metadata is damaged")?.signed)
    }

    /// The policy document, byte for byte as governance signed it.
    pub fn policy_bytes(&self, api: &Client) -> Done<Vec<u8>> {
        let file = *self.trusted.policy().or_refuse("the site's policy is not in the repository")?;
        fetch(api, &TargetName::Policy, &file)
    }

    /// A team's metadata even when it has expired; `None` before its first. For renewals only.
    pub fn expired_content(&self, team: &Team) -> Done<Option<Targets>> {
        let role = Role::Content(team.clone());
        match files::try_read(&self.dir.join(role.stored_file()), role.max_bytes())? {
            Some(bytes) => Ok(Some(
                Signed::<Targets>::parse(&role, &bytes).or_fault("the trusted metadata is damaged")?.signed,
            )),
            None => Ok(None),
        }
    }

    /// A team's current metadata, as verified by the refresh that made this value; `None` before its first.
    pub fn content(&self, team: &Team) -> Done<Option<Targets>> {
        self.trusted.manifests(team).or_refuse(format!("the manifests of team {team} cannot be used"))?;
        self.expired_content(team)
    }
}
