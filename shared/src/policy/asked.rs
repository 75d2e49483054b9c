//! Whose word is missing: persons whose approval, signed now, would count for a rule that is not satisfied and whose turn it is.

use super::judge::rules_for;
use super::tally::Tally;
use super::{Case, Hearing, Policy};
use crate::ids::PersonId;
use crate::time::Timestamp;
use std::collections::BTreeSet;

/// Nobody where it was rejected, where a model allows it, or where no rule does.
pub fn asked(policy: &Policy, case: &Case<'_>, hearing: &Hearing, now: Timestamp) -> BTreeSet<PersonId> {
    if hearing.stopped().is_some() || case.change.model.is_some() {
        return BTreeSet::new();
    }
    let Ok(rules) = rules_for(policy, case) else { return BTreeSet::new() };
    let tallies = Tally::of_all(policy, &rules, case, hearing, now);
    let short = tallies.iter().filter(|tally| !tally.suffices() && !tally.waits);
    let lacking = short.flat_map(|tally| {
        let persons = policy.persons.iter().map(|person| &person.id);
        persons.filter(move |person| tally.lacks(policy, case, person, now))
    });
    lacking.cloned().collect()
}
