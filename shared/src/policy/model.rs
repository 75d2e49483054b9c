//! Models: what a standard change may bring without an approval of its own, because the policy allows it beforehand.
//!
//! Owns the caps and which of them a change keeps on one host. A host checks all of them but one: how many hosts all
//! changes of a model bring it to in a day. It checks that for the change alone; the server adds up the others, and the
//! evidence shows whether it did.

use super::{Case, Purpose};
use crate::change::{Change, ChangeType, ManifestUse};
use crate::ids::{HostClass, ModelName, Team};
use crate::limits;
use crate::risk::ActionClass;
use crate::strict;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Days after the policy was issued at which a model in it ends at the latest.
pub const LONGEST_DAYS: i64 = 90;
/// The time within which a standard change of a model starts everywhere: what "hosts a day" counts.
pub const DAY_SECS: i64 = 86_400;

/// A pre-approved pattern. Everything in it is a cap; what it does not name it does not allow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub name: ModelName,
    pub team: Team,
    /// A manifest's name, or its beginning followed by `*`.
    pub manifests: String,
    /// In the words of Cargo's version requirements, such as `~1.4` or `>=2.1, <2.4`.
    pub versions: semver::VersionReq,
    pub action_classes: BTreeSet<ActionClass>,
    pub host_classes: BTreeSet<HostClass>,
    pub hosts_per_day: u32,
    pub expires: Timestamp,
}

impl Model {
    pub(super) fn problems(&self, issued: Timestamp) -> Vec<String> {
        let mut problems = Vec::new();
        let mut need = |ok: bool, why: &str| {
            if !ok {
                problems.push(format!("model {}: {why}", self.name));
            }
        };
        let start = self.manifests.strip_suffix('*').unwrap_or(&self.manifests);
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        need(
            !start.is_empty() && start.len() <= 64 && start.chars().all(named),
            "manifests is a manifest's name, or its beginning followed by *",
        );
        need(
            self.versions != semver::VersionReq::STAR,
            "versions allows every version; name a range such as ~1.4",
        );
        need(!self.action_classes.is_empty(), "action_classes is empty, so it allows nothing");
        need(
            !self.action_classes.contains(&ActionClass::Trust),
            "action_classes names trust, which always needs an approval",
        );
        need(!self.host_classes.is_empty(), "host_classes is empty, so it allows no host");
        need(
            (1..=limits::CHANGE_TARGETS).contains(&(self.hosts_per_day as usize)),
            "hosts_per_day is from 1 to 2000",
        );
        need(
            self.expires <= issued.plus(LONGEST_DAYS * DAY_SECS),
            "expires more than 90 days after the policy was issued",
        );
        problems
    }

    /// The caps that a change breaks on one host; none when the change may start there.
    pub(super) fn broken(&self, case: &Case<'_>, now: Timestamp) -> Vec<String> {
        let mut broken = self.broken_by(case.change, now);
        if case.purpose == Purpose::Correction {
            broken.push("it covers no corrections".into());
        }
        let extra = case.classes.difference(&self.action_classes).map(|class| class.as_str());
        let extra: Vec<_> = extra.collect();
        if !extra.is_empty() {
            broken.push(format!("the host would run {}", extra.join(", ")));
        }
        if !self.host_classes.contains(case.host_class) {
            broken.push(format!("it is not for host class {}", case.host_class));
        }
        broken
    }

    /// The part of [`Self::broken`] that does not depend on the host.
    pub(super) fn broken_by(&self, change: &Change, now: Timestamp) -> Vec<String> {
        let mut broken = Vec::new();
        let mut need = |ok: bool, why: String| {
            if !ok {
                broken.push(why);
            }
        };
        need(change.change_type == ChangeType::Standard, "the change is not a standard change".into());
        need(now < self.expires, format!("it expired at {}", self.expires));
        for named in change.manifests.iter().filter(|named| !self.fits(named)) {
            let shown = format!("{}/{}", named.team, named.label());
            need(false, format!("{shown} is not {}/{} {}", self.team, self.manifests, self.versions));
        }
        let hosts = change.targets.len();
        need(
            hosts <= self.hosts_per_day as usize,
            format!("the change names {hosts} hosts; {} a day are allowed", self.hosts_per_day),
        );
        let first = change.intervals.first().map_or(change.created, |interval| interval.from);
        need(
            change.not_after <= first.plus(DAY_SECS),
            "the change ends more than 24 hours after it may begin".into(),
        );
        need(!change.downgrade, "the change is a downgrade".into());
        need(!change.lift_quarantine, "the change lifts a quarantine".into());
        need(change.correct_until.is_none(), "the change asks for corrections".into());
        broken
    }

    fn fits(&self, named: &ManifestUse) -> bool {
        let name = named.name.as_str();
        let fits = match self.manifests.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == self.manifests,
        };
        fits && named.team == self.team && self.versions.matches(&named.version)
    }

    /// For people, in one line.
    pub(super) fn shown(&self) -> String {
        strict::shorten(&format!("{}/{} {}", self.team, self.manifests, self.versions))
    }
}
