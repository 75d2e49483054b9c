//! Delegation: somebody else gives an approver's word for a while.
//!
//! Owns for whom a key may speak at a moment. Never: a chain (only whoever is an approver by an own key can be stood in
//! for), and never a second voice: what is counted is persons who are stood for, each once (`judge`).

use super::{PersonKey, Policy, Role};
use crate::ids::PersonId;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Days that one delegation lasts at most; a longer absence is another edition of the policy.
pub const LONGEST_DAYS: i64 = 90;

/// `to` may approve in the place of `by`, who is an approver, with a key of their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delegation {
    pub by: PersonId,
    pub to: PersonId,
    pub from: Timestamp,
    /// What the delegate approved counts until then and not after, as with a key that is taken out of the policy.
    pub until: Timestamp,
}

impl Delegation {
    fn holds(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }

    pub(super) fn problems(&self, policy: &Policy) -> Vec<String> {
        let Self { by, to, .. } = self;
        let mut problems = Vec::new();
        let mut need = |ok: bool, why: String| {
            if !ok {
                problems.push(format!("the delegation of {by} to {to} {why}"));
            }
        };
        need(by != to, "names one person twice".into());
        need(self.from < self.until, "ends before it begins".into());
        let longest = self.from.plus(LONGEST_DAYS * 86_400);
        need(self.until <= longest, format!("is longer than {LONGEST_DAYS} days"));
        let approves =
            |id| policy.person(id).is_some_and(|p| p.keys.iter().any(|k| k.roles.contains(&Role::Approver)));
        need(approves(by), format!("is of nobody's word: {by} is no approver of this policy"));
        let signs = policy.person(to).is_some_and(|p| p.keys.iter().any(may_stand_in));
        need(signs, format!("gives {to} a word without a key: list one that does not only publish"));
        problems
    }
}

/// Whether a key can be a delegate's. A publisher's own key often lies on a build machine and approves nothing.
fn may_stand_in(key: &PersonKey) -> bool {
    key.roles.contains(&Role::Approver) || !key.roles.contains(&Role::Publisher)
}

impl Policy {
    /// For whom a word counts that `person` signed at `at` with `key`, when it is judged at `now`: the person, if that key
    /// approves, and everybody whose delegation to the person held then and holds still.
    pub(super) fn stood_for(
        &self,
        person: &PersonId,
        key: &PersonKey,
        at: Timestamp,
        now: Timestamp,
    ) -> BTreeSet<PersonId> {
        let own = key.roles.contains(&Role::Approver).then_some(person);
        let given = self.delegations.iter().filter(|d| {
            let dated = d.to == *person && d.holds(at) && d.holds(now);
            dated && may_stand_in(key) && !self.keys_for(&d.by, Role::Approver, now).is_empty()
        });
        own.into_iter().chain(given.map(|d| &d.by)).cloned().collect()
    }

    /// Whether the person can approve at `now`, in the own name or in somebody's place.
    pub fn may_approve(&self, person: &PersonId, now: Timestamp) -> bool {
        !self.approving_keys(person, now).is_empty()
    }

    /// The keys with which the person can do so.
    pub fn approving_keys(&self, person: &PersonId, now: Timestamp) -> Vec<&PersonKey> {
        let keys = self.current_keys(person, now);
        keys.filter(|key| !self.stood_for(person, key, now, now).is_empty()).collect()
    }
}
