//! Whom an approval is for, where it is not for all hosts: those that are named, those of plan classes, all but some.

use super::args::ApproveArgs;
use super::review::Review;
use crate::error::{Done, Failure};
use shared::approval::{Approval, Decision, last_words};
use shared::ids::{AgentId, PersonId};
use std::collections::BTreeSet;

/// Whom an approval is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Narrowed {
    /// All hosts of the plan set when absent.
    pub agents: Option<Vec<AgentId>>,
    /// So many of them only because the own approval before was for them.
    pub kept: usize,
}

impl Narrowed {
    const ALL: Self = Self { agents: None, kept: 0 };
}

/// The hosts that are named, those of the plan classes, and those that the own approval before was for; without those that
/// are left out. What else is shown is not approved. A person's last word counts alone, so whoever approves one class after
/// the other would hold back the first again; that takes `--instead`.
pub(super) fn narrowed(review: &Review, args: &ApproveArgs, person: &PersonId) -> Done<Narrowed> {
    let named = only(review, &args.only)?;
    let of_classes = in_classes(review, &args.class)?;
    let left_out: BTreeSet<AgentId> = find(review, &args.skip)?.into_iter().collect();
    if !left_out.is_empty() && args.comment.trim().is_empty() {
        return Err(Failure::usage("--skip needs a reason").remedy("say why with --comment"));
    }
    let names_some = named.is_some() || of_classes.is_some();
    if !names_some && left_out.is_empty() {
        return Ok(Narrowed::ALL);
    }
    let fresh: BTreeSet<AgentId> = named.into_iter().chain(of_classes).flatten().collect();
    // A word that breaks the glass is for those hosts that it names and for nobody else.
    let own = own_word(review, person).filter(|_| !(names_some && (args.instead || args.break_glass)));
    let before: BTreeSet<AgentId> = match own.map(|word| &word.agents) {
        Some(Some(agents)) => agents.iter().copied().collect(),
        Some(None) if names_some => return Err(holds_back(review)),
        None if names_some => BTreeSet::new(),
        Some(None) | None => review.set.plans.keys().copied().collect(),
    };
    let agents: Vec<AgentId> = fresh.union(&before).filter(|id| !left_out.contains(*id)).copied().collect();
    if agents.is_empty() {
        return Err(Failure::usage("nobody is left whom the approval would be for")
            .remedy("`assent reject` or `assent withdraw` says no to the whole"));
    }
    let kept = if names_some { agents.iter().filter(|id| !fresh.contains(*id)).count() } else { 0 };
    Ok(Narrowed { agents: Some(agents), kept })
}

fn holds_back(review: &Review) -> Failure {
    let id = &review.change.body.change_id;
    Failure::refused(format!("you have approved {id} for all of its hosts already"))
        .why("a person's last word counts: one for some hosts would hold the others back that have not begun")
        .remedy("--instead, if they shall wait; else there is nothing left to approve")
}

/// What this person said last, if it is a yes to the plan set on the page.
fn own_word<'a>(review: &'a Review, person: &PersonId) -> Option<&'a Approval> {
    let set = review.set.digest();
    let own = review.approvals.iter().filter(|spoken| spoken.checked.is_ok()).map(|spoken| &spoken.statement);
    let own = own.filter(|word| word.body.person == *person && word.body.breakglass.is_none());
    let last =
        last_words(own, |word| (word.body.person.clone(), word.body.at, word.body.decision, word.digest));
    let word = &last.into_values().next()?.body;
    (word.decision == Decision::Approve && word.saw.plan_set == set).then_some(word)
}

/// The hosts of these plan classes, which are numbered as the page shows them.
pub(super) fn in_classes(review: &Review, numbers: &[usize]) -> Done<Option<Vec<AgentId>>> {
    if numbers.is_empty() {
        return Ok(None);
    }
    let classes = review.classes();
    let hosts = |number: &usize| {
        let class = number.checked_sub(1).and_then(|place| classes.get(place));
        let class = class.ok_or_else(|| {
            Failure::usage(format!("there is no plan class {number}"))
                .why(format!("the plans of this change form {} classes", classes.len()))
                .remedy("give a number that stands above, such as --class 1")
        })?;
        Ok(class.hosts.iter().map(|plan| plan.agent_id))
    };
    let hosts = numbers.iter().map(hosts).collect::<Done<Vec<_>>>()?;
    Ok(Some(hosts.into_iter().flatten().collect()))
}

/// The hosts of these names, if there are any.
pub(super) fn only(review: &Review, names: &[String]) -> Done<Option<Vec<AgentId>>> {
    Ok(Some(find(review, names)?).filter(|found| !found.is_empty()))
}

/// Hosts by their names or ids, whose plans are in the set.
fn find(review: &Review, names: &[String]) -> Done<Vec<AgentId>> {
    let one = |name: &String| {
        let named = |id: &AgentId| review.plans.get(id).is_some_and(|plan| plan.body.hostname == *name);
        let mut fitting = review.set.plans.keys().filter(|id| named(id) || id.to_string() == *name);
        match (fitting.next(), fitting.next()) {
            (Some(id), None) => Ok(*id),
            (None, _) => Err(Failure::usage(format!("{name} has no plan in this change"))
                .remedy("give a host that is listed above")),
            (Some(_), Some(_)) => {
                Err(Failure::usage(format!("several hosts are named {name}")).remedy("give the agent id"))
            }
        }
    };
    names.iter().map(one).collect()
}
