//! The result of a refresh: what the site's keys vouch for at one moment. Only the client can make it.

use super::error::TufError;
use super::metadata::{Root, TargetFile, Targets};
use super::names::{Role, TargetName};
use super::profile::check_expiry;
use super::rules::{Rules, Site};
use crate::ids::{ChangeId, ManifestName, Team};
use crate::time::Timestamp as Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Versions of the trusted metadata, for receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    pub root: u64,
    pub timestamp: u64,
    pub snapshot: u64,
    pub targets: u64,
}

/// Verified metadata of the whole site.
#[derive(Clone, Debug)]
pub struct Trusted(Parts<Site>);

#[derive(Clone, Debug)]
pub(super) struct Parts<R: Rules> {
    pub(super) root: R::Root,
    pub(super) timestamp: R::Timestamp,
    pub(super) snapshot: R::Snapshot,
    pub(super) targets: R::Targets,
    /// `changes` is always there and good; a team's entry may be the reason why it cannot be used.
    pub(super) delegated: BTreeMap<Role, Result<R::Targets, TufError>>,
}

impl Trusted {
    pub(super) fn new(parts: Parts<Site>) -> Self {
        Self(parts)
    }

    /// Length and digest of `policy.json`.
    pub fn policy(&self) -> Result<&TargetFile, TufError> {
        let missing = || TufError::Missing { file: TargetName::Policy.to_string() };
        self.0.targets.targets.get(&TargetName::Policy).ok_or_else(missing)
    }

    /// Length and digest of a target, from the one role that may list it; `None` when it is not listed.
    ///
    /// Fails with the team's own refusal when that team's metadata is expired or bad.
    pub fn find(&self, name: &TargetName) -> Result<Option<&TargetFile>, TufError> {
        Ok(self.role(&name.role())?.and_then(|targets| targets.targets.get(name)))
    }

    /// All manifests of one team, by name and version; empty for a team that has not published.
    pub fn manifests(
        &self,
        team: &Team,
    ) -> Result<Vec<(&ManifestName, &semver::Version, &TargetFile)>, TufError> {
        let listed = self.role(&Role::Content(team.clone()))?.into_iter();
        let listed = listed.flat_map(|targets| targets.targets.iter());
        Ok(listed
            .filter_map(|(target, file)| match target {
                TargetName::Manifest { name, version, .. } => Some((name, version, file)),
                _ => None,
            })
            .collect())
    }

    /// All that the server lists: bundles, what gates are judged by, and stop orders.
    pub fn active(&self) -> Result<impl Iterator<Item = (&TargetName, &TargetFile)>, TufError> {
        Ok(self.role(&Role::Changes)?.into_iter().flat_map(|targets| targets.targets.iter()))
    }

    /// All listed change bundles, by change and revision.
    pub fn changes(&self) -> Result<Vec<(&ChangeId, u32, &TargetFile)>, TufError> {
        Ok(self
            .active()?
            .filter_map(|(target, file)| match target {
                TargetName::Change { id, revision } => Some((id, *revision, file)),
                _ => None,
            })
            .collect())
    }

    /// Teams with an own role, and why a team's manifests cannot be used now, if so.
    pub fn teams(&self) -> Vec<(&Team, Option<&TufError>)> {
        let delegations = self.0.targets.delegations.iter().flat_map(|delegations| &delegations.roles);
        delegations
            .filter_map(|delegation| match &delegation.name {
                Role::Content(team) => Some((team, self.0.delegated.get(&delegation.name)?.as_ref().err())),
                _ => None,
            })
            .collect()
    }

    pub fn versions(&self) -> Versions {
        let parts = &self.0;
        Versions {
            root: parts.root.version,
            timestamp: parts.timestamp.version,
            snapshot: parts.snapshot.version,
            targets: parts.targets.version,
        }
    }

    /// When the server signed the timestamp, by its own clock.
    pub fn issued(&self) -> Time {
        self.0.timestamp.issued
    }

    pub fn root(&self) -> &Root {
        &self.0.root
    }

    /// The end of each role's metadata; teams whose metadata is refused are not listed.
    pub fn expiries(&self) -> Vec<(Role, Time)> {
        let parts = &self.0;
        let mut table = vec![
            (Role::Root, parts.root.expires),
            (Role::Timestamp, parts.timestamp.expires),
            (Role::Snapshot, parts.snapshot.expires),
            (Role::Targets, parts.targets.expires),
        ];
        let delegated = parts.delegated.iter().filter_map(|(role, targets)| {
            targets.as_ref().ok().map(|targets| (role.clone(), targets.expires))
        });
        table.extend(delegated);
        table
    }

    /// Judges expiry again later, before something new starts from a result that was kept.
    ///
    /// `for_target` adds the role that lists this target.
    pub fn still_valid(&self, now: Time, for_target: Option<&TargetName>) -> Result<(), TufError> {
        let parts = &self.0;
        check_expiry(&Role::Root, &parts.root, now)?;
        check_expiry(&Role::Timestamp, &parts.timestamp, now)?;
        check_expiry(&Role::Snapshot, &parts.snapshot, now)?;
        check_expiry(&Role::Targets, &parts.targets, now)?;
        for role in [Role::Changes].into_iter().chain(for_target.map(TargetName::role)) {
            if let Some(targets) = self.role(&role)? {
                check_expiry(&role, targets, now)?;
            }
        }
        Ok(())
    }

    /// The same of what governance and the publishers of these teams signed alone.
    pub fn lasts<'t>(&self, now: Time, teams: impl IntoIterator<Item = &'t Team>) -> Result<(), TufError> {
        check_expiry(&Role::Root, &self.0.root, now)?;
        check_expiry(&Role::Targets, &self.0.targets, now)?;
        for team in teams {
            let role = Role::Content(team.clone());
            if let Some(targets) = self.role(&role)? {
                check_expiry(&role, targets, now)?;
            }
        }
        Ok(())
    }

    fn role(&self, role: &Role) -> Result<Option<&Targets>, TufError> {
        if *role == Role::Targets {
            return Ok(Some(&self.0.targets));
        }
        match self.0.delegated.get(role) {
            Some(Ok(targets)) => Ok(Some(targets)),
            Some(Err(refused)) => Err(refused.clone()),
            None => Ok(None),
        }
    }
}
