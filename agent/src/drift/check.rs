//! The check: what planning the approved states again would change. Reads only; nothing of a manifest is run.
//!
//! Files that were not touched since the last check (by their stamps) are not read again, except by a full check.
//! Never: patch runs, commands, external kinds and restarts, which are no states, or the question who changed something.

use super::{ApprovedState, Brought, Upheld};
use crate::host::{Host, Stamp};
use crate::plan::{self, Ask, Item};
use crate::resource::agent;
use crate::resource::entry;
use crate::resource::file::READABLE_BYTES;
use crate::resource::package::{self, Inventory};
use crate::vault::Vault;
use shared::digest::Digest;
use shared::finding::Difference;
use shared::ids::ResourceId;
use shared::manifest::{PackageWant, Reboot, Resource, WantedVersion};
use shared::plan::{Action, Verb};
use shared::refusal::Refused;
use shared::strict::{self, Map};
use shared::time::Timestamp;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Two changes within the grain of a file system's clock leave one stamp; younger stamps prove nothing.
const GRAIN_SECS: i64 = 2;
/// What the owners of files are called is read from here.
const ACCOUNTS: [&str; 2] = ["/etc/passwd", "/etc/group"];

/// How closely a check looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Files whose stamps are as before count as unchanged.
    Quick,
    /// Everything is read again.
    Full,
}

/// One difference and the state (by its place in the list) that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deviation {
    pub state: usize,
    pub difference: Difference,
}

/// What earlier checks found as approved, by its stamps. Losing it costs one reading of everything.
#[derive(Debug, Default)]
pub struct Memory {
    accounts: Vec<Option<Stamp>>,
    clean: BTreeMap<Digest, Vec<Option<Stamp>>>,
}

/// Compares the host with all states, the oldest first; sorted by state and resource.
///
/// # Errors
/// The host cannot be looked at, or a state cannot be planned as a whole.
pub fn check(
    upheld: &Upheld,
    vault: &Vault,
    depth: Depth,
    memory: &mut Memory,
    now: Timestamp,
    host: &mut impl Host,
) -> Result<Vec<Deviation>, Refused> {
    let accounts = stamps(ACCOUNTS.iter().copied().map(Cow::Borrowed), host)?;
    if depth == Depth::Full || memory.accounts != accounts {
        memory.clean.clear();
        memory.accounts = accounts;
    }
    let Upheld { states, packages: brought } = upheld;
    let claims = Claims::of(states);
    let mut inventory = None;
    let mut clean = BTreeMap::new();
    let mut found = Vec::new();
    for (number, state) in states.iter().enumerate() {
        let mut one = One { number, state, claims: &claims, brought, memory, now, clean: BTreeMap::new() };
        let mut all = one.files_and_units(vault, host)?;
        all.extend(one.packages(&mut inventory, host)?);
        all.extend(one.programs(host)?);
        all.sort_by(|a, b| a.resource.cmp(&b.resource));
        clean.append(&mut one.clean);
        found.extend(all.into_iter().map(|difference| Deviation { state: number, difference }));
    }
    memory.clean = clean;
    Ok(found)
}

fn stamps<'a>(
    paths: impl IntoIterator<Item = Cow<'a, str>>,
    host: &impl Host,
) -> Result<Vec<Option<Stamp>>, Refused> {
    paths.into_iter().map(|path| host.stamp(&path).map_err(plan::refused)).collect()
}

/// Which state a thing belongs to when several name it: the last one.
struct Claims<'a> {
    resources: BTreeMap<ResourceId, usize>,
    /// Paths that belong to a resource as a whole.
    wholes: BTreeMap<Cow<'a, str>, usize>,
    /// These, and files of which parts belong to resources.
    paths: BTreeMap<Cow<'a, str>, usize>,
}

impl<'a> Claims<'a> {
    fn of(states: &'a [ApprovedState]) -> Self {
        let mut claims = Self { resources: BTreeMap::new(), wholes: BTreeMap::new(), paths: BTreeMap::new() };
        for (number, state) in states.iter().enumerate() {
            for resource in state.manifest.resources() {
                claims.resources.insert(resource.id(), number);
                let edited = resource.edits().map(|path| (Cow::Borrowed(path), number));
                let wholes = resource.paths().map(|path| (path, number));
                claims.paths.extend(wholes.clone().chain(edited));
                claims.wholes.extend(wholes);
            }
        }
        claims
    }

    /// Whether a later state has taken the resource over: itself, its path, or the file of which it is a part. Parts
    /// of one file may belong to several states.
    fn is_taken(&self, number: usize, resource: &Resource) -> bool {
        let later = |owner: Option<&usize>| owner.is_some_and(|owner| *owner > number);
        later(self.resources.get(&resource.id()))
            || resource.paths().any(|path| later(self.paths.get(&path)))
            || resource.edits().is_some_and(|path| later(self.wholes.get(path)))
    }

    /// Whether what lies below a directory belongs to another state.
    fn is_foreign(&self, number: usize, resource: &ResourceId) -> bool {
        let owner = entry::path_of(resource).and_then(|path| self.paths.get(path));
        owner.is_some_and(|owner| *owner != number)
    }
}

/// The check of one state.
struct One<'a> {
    number: usize,
    state: &'a ApprovedState,
    claims: &'a Claims<'a>,
    brought: &'a Map<String, Brought>,
    memory: &'a Memory,
    now: Timestamp,
    clean: BTreeMap<Digest, Vec<Option<Stamp>>>,
}

impl One<'_> {
    fn files_and_units(&mut self, vault: &Vault, host: &mut impl Host) -> Result<Vec<Difference>, Refused> {
        let ApprovedState { manifest, params, facts, .. } = self.state;
        let ask = Ask {
            manifests: vec![(manifest, params.clone())],
            facts,
            vault,
            downgrade: true,
            approved: None,
            reboot: Reboot::Never,
            vendor: None,
        };
        let mut untouched = BTreeMap::new();
        for resource in manifest.resources() {
            if let Some(stamps) = self.watched(resource, host)? {
                untouched.insert(resource.id(), stamps);
            }
        }
        let is_clean = |id: &ResourceId| {
            untouched.get(id).is_some_and(|now| self.memory.clean.get(&self.key(id)) == Some(now))
        };
        let is_due = |resource: &Resource, id: &ResourceId| {
            !self.claims.is_taken(self.number, resource) && !is_clean(id)
        };
        let large = |id: &ResourceId| {
            let stamps = untouched.get(id).into_iter().flatten().flatten();
            stamps.into_iter().any(|stamp| stamp.length > READABLE_BYTES)
        };
        let files = manifest.resources().iter().filter(|resource| matches!(resource, Resource::File(_)));
        let large = files.filter(|file| large(&file.id()) && is_due(file, &file.id()));
        host.hash_ahead(&large.flat_map(Resource::paths).map(Cow::into_owned).collect::<Vec<_>>());
        let wanted = |item: &Item<'_>| {
            let is_state = !matches!(
                item.resource,
                Resource::Package(_) | Resource::Command(_) | Resource::External(_) | Resource::Agent(_)
            );
            is_state && is_due(item.resource, &item.id())
        };
        let looked = plan::deviations(&ask, wanted, host)?;
        // What was hashed and not asked for is no answer to a later question.
        host.hash_ahead(&[]);
        let mut found = Vec::new();
        let mut dirty = BTreeSet::new();
        for (id, resource, planned) in looked {
            let before = found.len();
            match planned {
                Ok(actions) => found.extend(self.differences(&actions)),
                Err(refused) => found.push(unplannable(&id, resource, &refused)),
            }
            if found.len() > before {
                dirty.insert(id);
            }
        }
        for (id, stamps) in untouched {
            let settled = |stamp: &Stamp| self.now.since(Timestamp(stamp.changed.0)) > GRAIN_SECS;
            if !dirty.contains(&id) && stamps.iter().flatten().all(settled) {
                self.clean.insert(self.key(&id), stamps);
            }
        }
        Ok(found)
    }

    /// The stamps that show whether the resource was touched; `None` where more than files decide.
    fn watched(&self, resource: &Resource, host: &impl Host) -> Result<Option<Vec<Option<Stamp>>>, Refused> {
        match resource {
            Resource::File(_) | Resource::Symlink(_) | Resource::Sudoers(_) => {
                stamps(resource.paths(), host).map(Some)
            }
            Resource::Line(_) | Resource::Block(_) | Resource::Setting(_) => {
                stamps(resource.edits().map(Cow::Borrowed), host).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The same resource of the same approved state.
    fn key(&self, id: &ResourceId) -> Digest {
        let expected = &self.state.expected;
        Digest::of(&strict::to_json(&(expected.change, &expected.manifest, id)))
    }

    /// One difference a resource; restarts and checks are no states.
    fn differences(&self, actions: &[Action]) -> Vec<Difference> {
        let mut all: BTreeMap<&ResourceId, Vec<&Action>> = BTreeMap::new();
        for action in actions {
            let state = !matches!(action.verb, Verb::Run | Verb::Restart | Verb::Reboot);
            if state && !self.claims.is_foreign(self.number, &action.resource) {
                all.entry(&action.resource).or_default().push(action);
            }
        }
        all.into_iter().map(|(id, actions)| difference(id, &actions)).collect()
    }

    /// A program of the agent that does not run, such as one whose slot is damaged.
    fn programs(&self, host: &impl Host) -> Result<Vec<Difference>, Refused> {
        let mut found = Vec::new();
        for resource in self.state.manifest.resources() {
            let Resource::Agent(wanted) = resource else { continue };
            if self.claims.is_taken(self.number, resource) {
                continue;
            }
            if let Some((observed, summary)) = agent::differs(wanted, host).map_err(plan::refused)? {
                let expected = Digest::of(&strict::to_json(wanted));
                let (resource, observed) = (resource.id(), Some(observed));
                found.push(Difference { resource, expected, observed, summary, diff: None });
            }
        }
        Ok(found)
    }

    fn packages(
        &self,
        inventory: &mut Option<Inventory>,
        host: &impl Host,
    ) -> Result<Vec<Difference>, Refused> {
        let mut found = Vec::new();
        for resource in self.state.manifest.resources() {
            let Resource::Package(wanted) = resource else { continue };
            if self.claims.is_taken(self.number, resource) {
                continue;
            }
            if inventory.is_none() {
                *inventory = Some(package::inventory(host).map_err(plan::refused)?);
            }
            let name = wanted.name.as_str();
            // A later approved run has brought it there, such as that of a patch.
            let later = self.brought.get(name).filter(|brought| brought.since > self.state.since);
            let now = inventory.as_ref().map_or(package::Found::Absent, |all| package::inspect(name, all));
            if later.is_some_and(|brought| brought.to.as_deref() == now.version() && now.is_whole()) {
                continue;
            }
            if let Some(summary) = package_differs(wanted, &now, host)? {
                found.push(Difference {
                    resource: resource.id(),
                    expected: Digest::of(&strict::to_json(wanted)),
                    observed: now.version().map(|_| package::digest(name, &now)),
                    summary,
                    diff: None,
                });
            }
        }
        Ok(found)
    }
}

/// How a package differs from what was approved. A newer offer is no difference: nobody changed the host.
fn package_differs(
    wanted: &shared::manifest::Package,
    now: &package::Found,
    host: &impl Host,
) -> Result<Option<String>, Refused> {
    let name = wanted.name.as_str();
    let PackageWant::Present { version, hold, .. } = &wanted.want else {
        return Ok(now
            .version()
            .map(|version| format!("{name} {version} is installed; approved: not installed")));
    };
    let approved = match version {
        WantedVersion::Exact(exact) => exact.to_string(),
        WantedVersion::Range(range) => range.as_str().to_owned(),
        WantedVersion::Latest => "installed".to_owned(),
    };
    let Some(have) = now.version() else {
        return Ok(Some(format!("{name} is not installed; approved: {approved}")));
    };
    let fits = match version {
        WantedVersion::Exact(exact) => have == exact.as_str(),
        WantedVersion::Range(range) => {
            let order = host.packager().order();
            range
                .contains(have, order)
                .map_err(|e| Refused::new(shared::refusal::Code::PlanFailed, e.to_string()))?
        }
        WantedVersion::Latest => true,
    };
    if !fits {
        return Ok(Some(format!("{name} {have} is installed; approved: {approved}")));
    }
    if !now.is_whole() {
        return Ok(Some(format!("{name} {have} is only half installed")));
    }
    Ok(match hold {
        Some(true) if !now.held() => Some(format!("{name} is not held any more")),
        Some(false) if now.held() => Some(format!("{name} is held; approved: not held")),
        _ => None,
    })
}

fn difference(id: &ResourceId, actions: &[&Action]) -> Difference {
    let joined = |texts: Vec<&str>, between: &str| texts.join(between);
    let diffs: Vec<&str> = actions.iter().filter_map(|action| action.diff.as_deref()).collect();
    Difference {
        resource: id.clone(),
        expected: match actions {
            [one] => one.after,
            several => Digest::of(&strict::to_json(&several.iter().map(|a| a.after).collect::<Vec<_>>())),
        },
        observed: match actions {
            [one] => one.before,
            several => {
                Some(Digest::of(&strict::to_json(&several.iter().map(|a| a.before).collect::<Vec<_>>())))
            }
        },
        summary: joined(actions.iter().map(|action| action.summary.as_str()).collect(), "; "),
        diff: (!diffs.is_empty()).then(|| joined(diffs, "\n")),
    }
}

/// What stands in the way of a resource is a difference too, such as a directory in the place of a file.
fn unplannable(id: &ResourceId, resource: &Resource, refused: &Refused) -> Difference {
    Difference {
        resource: id.clone(),
        expected: Digest::of(&strict::to_json(resource)),
        observed: Some(Digest::of(refused.message.as_bytes())),
        summary: refused.message.clone(),
        diff: None,
    }
}
