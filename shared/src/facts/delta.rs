//! What changed between two states of a host's facts. It says from which state it starts and to which it leads, by
//! digest: whoever holds another one learns that, instead of making a mixture.

use super::{BadFacts, Certificate, Facts, LocalFact, Mount, Package, Service, Socket, Updater, User};
use crate::digest::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Entries of one list that are gone and new; a changed entry is both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ListDeltaOf{T}"))]
pub struct ListDelta<T> {
    pub gone: Vec<T>,
    pub new: Vec<T>,
}

impl<T> Default for ListDelta<T> {
    fn default() -> Self {
        Self { gone: Vec::new(), new: Vec::new() }
    }
}

impl<T> ListDelta<T> {
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.new.is_empty()
    }
}

impl<T: Ord + Clone> ListDelta<T> {
    pub fn between(old: &[T], new: &[T]) -> Self {
        let (before, after): (BTreeSet<&T>, BTreeSet<&T>) = (old.iter().collect(), new.iter().collect());
        let of =
            |one: &BTreeSet<&T>, other: &BTreeSet<&T>| one.difference(other).map(|t| (*t).clone()).collect();
        Self { gone: of(&before, &after), new: of(&after, &before) }
    }

    /// Sorted; entries that are there or missing against the word of the delta show in the digest of the whole.
    fn apply(&self, old: &[T]) -> Vec<T> {
        let mut all: BTreeSet<&T> = old.iter().collect();
        for gone in &self.gone {
            all.remove(gone);
        }
        all.extend(&self.new);
        all.into_iter().cloned().collect()
    }
}

/// The difference between two states of the facts of one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Delta {
    /// Digest of the facts that it starts from.
    pub base: Digest,
    /// Digest of the facts that it leads to.
    pub result: Digest,
    /// All that is no long list, when any of it changed: the new facts with these lists empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<Box<Facts>>,
    #[serde(default, skip_serializing_if = "ListDelta::is_empty")]
    pub packages: ListDelta<Package>,
    #[serde(default, skip_serializing_if = "ListDelta::is_empty")]
    pub services: ListDelta<Service>,
    #[serde(default, skip_serializing_if = "ListDelta::is_empty")]
    pub listening: ListDelta<Socket>,
    #[serde(default, skip_serializing_if = "ListDelta::is_empty")]
    pub users: ListDelta<User>,
    #[serde(default, skip_serializing_if = "ListDelta::is_empty")]
    pub mounts: ListDelta<Mount>,
    #[serde(default, skip_serializing_if = "ListDelta::is_empty")]
    pub certificates: ListDelta<Certificate>,
    #[serde(default, skip_serializing_if = "ListDelta::is_empty")]
    pub updaters: ListDelta<Updater>,
    #[serde(default, skip_serializing_if = "ListDelta::is_empty")]
    pub local: ListDelta<LocalFact>,
}

/// Why a delta does not lead to facts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotApplied {
    /// The facts at hand are not those that it starts from; the whole is needed.
    #[error("the delta starts from other facts")]
    OtherBase,
    #[error("the delta does not lead to the facts that it names")]
    OtherResult,
    #[error(transparent)]
    Bad(#[from] BadFacts),
}

impl Delta {
    pub fn between(old: &Facts, new: &Facts) -> Self {
        let rest = rest(new);
        Self {
            base: Digest::of(&old.to_json()),
            result: Digest::of(&new.to_json()),
            packages: ListDelta::between(&old.packages, &new.packages),
            services: ListDelta::between(&old.services, &new.services),
            listening: ListDelta::between(&old.listening, &new.listening),
            users: ListDelta::between(&old.users, &new.users),
            mounts: ListDelta::between(&old.mounts, &new.mounts),
            certificates: ListDelta::between(&old.certificates, &new.certificates),
            updaters: ListDelta::between(&old.updaters, &new.updaters),
            local: ListDelta::between(&old.local, &new.local),
            rest: if self::rest(old) == rest { None } else { Some(Box::new(rest)) },
        }
    }

    /// The facts that it leads to, within the limits.
    ///
    /// # Errors
    /// `old` is not what it starts from, or the result is not the promised one or above a limit.
    pub fn apply(&self, old: &Facts) -> Result<Facts, NotApplied> {
        if Digest::of(&old.to_json()) != self.base {
            return Err(NotApplied::OtherBase);
        }
        let rest = self.rest.as_deref().map_or_else(|| self::rest(old), self::rest);
        let facts = Facts {
            packages: self.packages.apply(&old.packages),
            services: self.services.apply(&old.services),
            listening: self.listening.apply(&old.listening),
            users: self.users.apply(&old.users),
            mounts: self.mounts.apply(&old.mounts),
            certificates: self.certificates.apply(&old.certificates),
            updaters: self.updaters.apply(&old.updaters),
            local: self.local.apply(&old.local),
            ..rest
        };
        facts.check()?;
        if Digest::of(&facts.to_json()) != self.result {
            return Err(NotApplied::OtherResult);
        }
        Ok(facts)
    }
}

/// The facts with empty lists.
fn rest(facts: &Facts) -> Facts {
    // Each field by its name: one that is forgotten here would make every delta of it a lie.
    let Facts {
        hostname,
        fqdn,
        os,
        kernel,
        arch,
        packages: _,
        services: _,
        addresses,
        agent_version,
        agent_slot,
        host_class,
        hardware,
        virtualisation,
        support,
        clock,
        reboot,
        listening: _,
        users: _,
        mounts: _,
        certificates: _,
        updaters: _,
        local: _,
        omitted,
        notes,
    } = facts;
    Facts {
        hostname: hostname.clone(),
        fqdn: fqdn.clone(),
        os: os.clone(),
        kernel: kernel.clone(),
        arch: arch.clone(),
        addresses: addresses.clone(),
        agent_slot: agent_slot.clone(),
        hardware: hardware.clone(),
        virtualisation: virtualisation.clone(),
        support: support.clone(),
        clock: clock.clone(),
        reboot: reboot.clone(),
        omitted: omitted.clone(),
        notes: notes.clone(),
        ..Facts::empty(agent_version.clone(), host_class.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::PackageStatus;
    use proptest::prelude::*;

    fn package(name: u8, version: u8) -> Package {
        let text = |n: u8| n.to_string();
        Package {
            name: text(name),
            version: text(version),
            arch: "all".into(),
            source: text(name),
            source_version: text(version),
            vendor: None,
            status: PackageStatus::Installed,
            origin: None,
        }
    }

    /// Few names and versions, so that two states have much in common.
    fn facts() -> impl Strategy<Value = Facts> {
        let packages = proptest::collection::btree_set((0_u8..6, 0_u8..2), 0..8);
        let local = proptest::collection::btree_map("[a-c]", "[x-z]{0,2}", 0..3);
        let agent = (0_u64..2, proptest::option::of("slot [ab]"));
        (packages, local, "[a-b]", proptest::option::of(any::<bool>()), agent).prop_map(
            |(packages, local, release, synced, (minor, slot))| {
                let mut facts = Facts::empty(semver::Version::new(0, minor, 0), "lab".parse().unwrap());
                facts.agent_slot = slot;
                facts.packages = packages.into_iter().map(|(name, version)| package(name, version)).collect();
                facts.packages.sort();
                facts.local = local.into_iter().map(|(name, value)| LocalFact { name, value }).collect();
                facts.kernel.release = release;
                facts.clock =
                    synced.map(|yes| super::super::Clock { synchronised: Some(yes), ..Default::default() });
                facts
            },
        )
    }

    proptest! {
        #[test]
        fn a_delta_leads_from_one_state_to_the_other_and_from_no_third(a in facts(), b in facts(), c in facts()) {
            let delta = Delta::between(&a, &b);
            let sent = crate::strict::to_json(&delta);
            let read: Delta = crate::strict::from_json("a delta", &sent, sent.len()).unwrap();
            prop_assert_eq!(&read, &delta);
            prop_assert_eq!(read.apply(&a), Ok(b.clone()));
            if c != a {
                prop_assert_eq!(delta.apply(&c), Err(NotApplied::OtherBase));
            }
        }
    }

    #[test]
    fn one_upgraded_package_of_thousands_is_a_short_delta() {
        let mut old = Facts::empty(semver::Version::new(0, 1, 0), "lab".parse().unwrap());
        old.packages = (0..250).map(|n| package(n, 1)).collect();
        old.packages.sort();
        let mut new = old.clone();
        new.packages.iter_mut().find(|p| p.name == "7").unwrap().version = "2".into();
        let delta = Delta::between(&old, &new);
        assert_eq!((delta.packages.gone.len(), delta.packages.new.len(), delta.rest.is_none()), (1, 1, true));
        assert!(crate::strict::to_json(&delta).len() < 500);
        let lied = Delta { result: delta.base, ..delta };
        assert_eq!(lied.apply(&old), Err(NotApplied::OtherResult));
    }

    #[test]
    fn a_delta_beyond_the_limits_is_refused() {
        let old = Facts::empty(semver::Version::new(0, 1, 0), "lab".parse().unwrap());
        let long = LocalFact { name: "local.a.b".into(), value: "x".repeat(300) };
        let new = Facts { local: vec![long], ..old.clone() };
        assert!(matches!(
            Delta::between(&old, &new).apply(&old),
            Err(NotApplied::Bad(BadFacts::BadText { .. }))
        ));
    }
}
