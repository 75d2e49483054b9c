//! Changes in a bundle that brought nothing to hosts: every finding that one accepts, and the enrolment of every host that
//! one retires, is there as its host's own word, and what the server calls successful was accepted by the persons that the
//! policy asks for.

use super::editions::from_then_on;
use super::{Contents, Flaw, Report};
use crate::acceptance::{Acceptance, Grounds, judge_acceptance};
use crate::approval::Decision;
use crate::change::Change;
use crate::digest::Digest;
use crate::lifecycle::{Outcome, State};
use crate::policy::Hearing;
use crate::statement::Statement;
use std::collections::{BTreeMap, BTreeSet};

/// What hosts have signed that a change is about, as the bundle has it.
pub(super) fn grounds(contents: &Contents, change: &Change) -> Result<Grounds, String> {
    Grounds::of(change, |digest| {
        let finding = contents.findings.get(digest).map(Statement::to_bytes);
        finding.or_else(|| contents.enrolments.get(digest).map(Statement::to_bytes))
    })
}

pub(super) fn check(contents: &Contents, report: &mut Report) {
    let mut taken: BTreeMap<(Digest, bool), &Statement<Change>> = BTreeMap::new();
    let (mut retroactive, mut retiring) = (0, 0);
    for change in contents.changes.values().filter(|change| change.body.is_record()) {
        let body = &change.body;
        *if body.is_retirement() { &mut retiring } else { &mut retroactive } += 1;
        let mut flaw = |why: String| {
            report.flaws.push(Flaw::at(format!("statements/{}.json", change.digest), why));
        };
        let grounds = match grounds(contents, body) {
            Ok(grounds) => grounds,
            Err(why) => {
                flaw(why);
                continue;
            }
        };
        if !is_successful(contents, change) {
            continue;
        }
        for once in happened_once(body) {
            if let Some(other) = taken.insert(once, change) {
                flaw(format!("names {}, which {} named as well", once.0, other.body.change_id));
            }
        }
        match judged(contents, change, &grounds) {
            Some(Acceptance { verdict: Ok(persons), .. }) if persons.iter().eq([&body.author]) => {
                report.remarks.push(format!("{} was accepted by its own author", body.change_id));
            }
            Some(Acceptance { verdict: Ok(_), .. }) => {}
            Some(Acceptance { verdict: Err(refused), .. }) => {
                flaw(format!("is called successful, but {refused}"));
            }
            None => flaw("is called successful, but nobody has approved it".into()),
        }
    }
    report.checked.push((retroactive, "retroactive changes, each accepted finding signed by its host"));
    report.checked.push((retiring, "changes that retire hosts, each host known by its own enrolment"));
}

/// What only one change can have done: accept a finding, retire a host without a successor, have one followed by another.
fn happened_once(change: &Change) -> Vec<(Digest, bool)> {
    let accepted = change.accepts.iter().map(|accepted| (accepted.finding, false));
    let left = change.retires.iter().map(|one| (one.host.enrolment, one.successor.is_some()));
    let followed = change.retires.iter().filter_map(|one| Some((one.successor?.enrolment, true)));
    accepted.chain(left).chain(followed).collect()
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
fn judged(contents: &Contents, change: &Statement<Change>, grounds: &Grounds) -> Option<Acceptance> {
    let of_this: Vec<_> = contents.approvals.values().filter(|a| a.body.change == change.digest).collect();
    let yes = of_this.iter().filter(|a| a.body.decision == Decision::Approve);
    let at = yes.map(|a| a.body.at).max()?;
    let said: Vec<_> = of_this.into_iter().filter(|a| a.body.at <= at).collect();
    let judged = from_then_on(contents, at).map(|policy| {
        let hearing = Hearing::of(policy, change, said.iter().copied(), at);
        judge_acceptance(policy, change, grounds, &hearing, at)
    });
    judged.max_by_key(|acceptance| acceptance.verdict.is_ok())
}

/// What the signatures say of such a change, whatever the server says.
pub(super) fn result(contents: &Contents, change: &Statement<Change>) -> &'static str {
    let found = grounds(contents, &change.body);
    let judged = found.ok().and_then(|found| judged(contents, change, &found));
    if judged.is_some_and(|acceptance| acceptance.verdict.is_ok()) { "accepted" } else { "not_accepted" }
}

/// What counted, in words.
pub(super) fn decision(contents: &Contents, change: &Statement<Change>) -> Vec<String> {
    let found = grounds(contents, &change.body).ok();
    found.and_then(|found| judged(contents, change, &found)).map(|judged| judged.lines).unwrap_or_default()
}

/// Nobody but its author stands behind a change that brought nothing to hosts.
pub(super) fn by_author_alone(change: &Change, approvers: &BTreeSet<String>) -> bool {
    change.is_record() && approvers.iter().map(String::as_str).eq([change.author.as_str()])
}

/// The hosts that a change retires, each with `>` and its successor where it has one.
pub(super) fn retired(change: &Change) -> String {
    let one = |retirement: &crate::change::Retirement| match retirement.successor {
        Some(successor) => format!("{}>{}", retirement.host.agent, successor.agent),
        None => retirement.host.agent.to_string(),
    };
    change.retires.iter().map(one).collect::<Vec<_>>().join(" ")
}
