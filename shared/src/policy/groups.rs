//! Groups: persons whom rules name together, and the order in which rules are satisfied.

use super::{Policy, Rule};
use crate::ids::{GroupName, PersonId};
use crate::limits;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Persons whose words a rule asks for, such as the owners of the databases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub name: GroupName,
    pub persons: BTreeSet<PersonId>,
}

static NOBODY: BTreeSet<PersonId> = BTreeSet::new();

impl Policy {
    /// The persons of a group; nobody when there is no such group.
    pub fn members(&self, name: &GroupName) -> &BTreeSet<PersonId> {
        self.groups.iter().find(|group| group.name == *name).map_or(&NOBODY, |group| &group.persons)
    }

    /// What is wrong with groups, and with the order of rules.
    pub(super) fn step_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.groups.len() > limits::POLICY_GROUPS {
            problems.push(format!("{} groups; at most {}", self.groups.len(), limits::POLICY_GROUPS));
        }
        let mut names = BTreeSet::new();
        for group in &self.groups {
            if !names.insert(&group.name) {
                problems.push(format!("group {} is listed twice", group.name));
            }
            if group.persons.is_empty() {
                problems
                    .push(format!("group {} is empty, so nothing that asks for it can start", group.name));
            }
            for person in group.persons.iter().filter(|person| self.person(person).is_none()) {
                problems
                    .push(format!("group {} names {person}, who is not a person of the policy", group.name));
            }
        }
        for rule in &self.rules {
            match &rule.require.from {
                Some(name) if !names.contains(name) => {
                    problems
                        .push(format!("rule {:?} asks for the group {name}, which is not there", rule.name));
                }
                None if rule.require.everyone => {
                    problems.push(format!("rule {:?} asks for everyone, but for no group", rule.name));
                }
                Some(_) | None => {}
            }
            for first in &rule.require.after {
                if !self.rules.iter().any(|other| other.name == *first) {
                    problems.push(format!("rule {:?} comes after {first:?}, which is not there", rule.name));
                }
            }
        }
        if let Some(stuck) = in_order(&self.rules.iter().collect::<Vec<_>>()).1.first() {
            problems.push(format!("rule {:?} comes after itself, by a circle of rules", stuck.name));
        }
        problems
    }
}

/// Rules so that each stands behind those that it comes after, and those that a circle leaves over.
pub(super) fn in_order<'p>(rules: &[&'p Rule]) -> (Vec<&'p Rule>, Vec<&'p Rule>) {
    let (mut done, mut left) = (Vec::new(), rules.to_vec());
    loop {
        let waits = |rule: &&Rule| left.iter().any(|other| rule.require.after.contains(&other.name));
        let (wait, ready): (Vec<&Rule>, Vec<&Rule>) = left.iter().copied().partition(waits);
        if ready.is_empty() {
            return (done, wait);
        }
        done.extend(ready);
        left = wait;
    }
}
