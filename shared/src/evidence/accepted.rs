//! Retroactive changes in a bundle: every finding that one accepts is there as its host's own word, and what the server
//! calls successful was accepted by the persons that the policy asks for.

use super::editions::from_then_on;
use super::{Contents, Flaw, Report};
use crate::acceptance::{Acceptance, judge_acceptance};
use crate::approval::Decision;
use crate::change::Change;
use crate::digest::Digest;
use crate::finding::Finding;
use crate::lifecycle::{Outcome, State};
use crate::policy::Hearing;
use crate::statement::Statement;
use std::collections::{BTreeMap, BTreeSet};

/// The findings that a change accepts, as the bundle has them.
pub(super) fn findings(contents: &Contents, change: &Change) -> Result<Vec<Statement<Finding>>, String> {
    crate::acceptance::findings(change, |digest| contents.findings.get(digest).map(Statement::to_bytes))
}

pub(super) fn check(contents: &Contents, report: &mut Report) {
    let mut taken: BTreeMap<Digest, &Statement<Change>> = BTreeMap::new();
    let mut count = 0;
    for change in contents.changes.values().filter(|change| change.body.is_retroactive()) {
        count += 1;
        let mut flaw = |why: String| {
            report.flaws.push(Flaw::at(format!("statements/{}.json", change.digest), why));
        };
        let found = match findings(contents, &change.body) {
            Ok(found) => found,
            Err(why) => {
                flaw(why);
                continue;
            }
        };
        if !is_successful(contents, change) {
            continue;
        }
        for finding in &found {
            if let Some(other) = taken.insert(finding.digest, change) {
                flaw(format!("accepts {}, which {} accepted as well", finding.digest, other.body.change_id));
            }
        }
        match judged(contents, change, &found) {
            Some(Acceptance { verdict: Ok(persons), .. }) if persons.iter().eq([&change.body.author]) => {
                report.remarks.push(format!("{} was accepted by its own author", change.body.change_id));
            }
            Some(Acceptance { verdict: Ok(_), .. }) => {}
            Some(Acceptance { verdict: Err(refused), .. }) => {
                flaw(format!("is called successful, but {refused}"));
            }
            None => flaw("is called successful, but nobody has approved it".into()),
        }
    }
    report.checked.push((count, "retroactive changes, each accepted finding signed by its host"));
}

/// The server says so of the change, and this is its last revision.
fn is_successful(contents: &Contents, change: &Statement<Change>) -> bool {
    let body = &change.body;
    let of_this = contents.changes.values().map(|c| &c.body).filter(|c| c.change_id == body.change_id);
    let last = of_this.map(|c| c.revision).max() == Some(body.revision);
    let said = contents.server.changes.get(&body.change_id);
    let state = said.and_then(|s| State::from_parts(&s.state, s.outcome.as_deref()));
    last && state == Some(State::Closed(Outcome::Successful))
}

/// What the approvals came to when the last one was signed, by the edition of the policy that lets most of them count,
/// of those that were or came into force; `None` without any.
fn judged(
    contents: &Contents,
    change: &Statement<Change>,
    findings: &[Statement<Finding>],
) -> Option<Acceptance> {
    let of_this: Vec<_> = contents.approvals.values().filter(|a| a.body.change == change.digest).collect();
    let yes = of_this.iter().filter(|a| a.body.decision == Decision::Approve);
    let at = yes.map(|a| a.body.at).max()?;
    let said: Vec<_> = of_this.into_iter().filter(|a| a.body.at <= at).collect();
    let judged = from_then_on(contents, at).map(|policy| {
        let hearing = Hearing::of(policy, change, said.iter().copied(), at);
        judge_acceptance(policy, change, findings, &hearing, at)
    });
    judged.max_by_key(|acceptance| acceptance.verdict.is_ok())
}

/// What the signatures say of a retroactive change, whatever the server says.
pub(super) fn result(contents: &Contents, change: &Statement<Change>) -> &'static str {
    let found = findings(contents, &change.body);
    let judged = found.ok().and_then(|found| judged(contents, change, &found));
    if judged.is_some_and(|acceptance| acceptance.verdict.is_ok()) { "accepted" } else { "not_accepted" }
}

/// What counted, in words.
pub(super) fn decision(contents: &Contents, change: &Statement<Change>) -> Vec<String> {
    let found = findings(contents, &change.body).ok();
    found.and_then(|found| judged(contents, change, &found)).map(|judged| judged.lines).unwrap_or_default()
}

/// Nobody but its author stands behind a retroactive change.
pub(super) fn by_author_alone(change: &Change, approvers: &BTreeSet<String>) -> bool {
    change.is_retroactive() && approvers.iter().map(String::as_str).eq([change.author.as_str()])
}
