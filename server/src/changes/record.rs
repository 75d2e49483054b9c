//! Changes that bring nothing to hosts (retroactive ones, and those that retire hosts): their review is the approval.

use super::approve::{Sent, refuse};
use super::course::{By, step, unfit};
use super::judging::Papers;
use super::store::{self, Row};
use super::{retirement, retroactive};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::kernel::outbox;
use crate::ledger;
use shared::acceptance::{self, Acceptance, Grounds, judge_acceptance};
use shared::approval::Decision;
use shared::change::Change;
use shared::ids::PersonId;
use shared::lifecycle::{Event, State};
use shared::time::Timestamp;
use std::collections::BTreeSet;

/// What hosts have signed that the change is about; or why it is not what the author says.
pub(super) fn grounds(tx: &mut Conn, change: &Change) -> Result<Result<Grounds, String>, Error> {
    let known = ledger::find_statements(tx, &change.grounds())?;
    Ok(Grounds::of(change, |digest| known.get(digest).cloned()))
}

/// Whether the approvals accept it now: judged from the signed statements, never from columns.
pub(super) fn judge(tx: &mut Conn, papers: &Papers, now: Timestamp) -> Result<Acceptance, Error> {
    let grounds = grounds(tx, &papers.change.body)?;
    let grounds = grounds.map_err(|why| Error::fault("reading what a change is about", why))?;
    Ok(judge_acceptance(&papers.policy, &papers.change, &grounds, &papers.heard(now), now))
}

/// Whose approval would count now.
pub(super) fn asked(tx: &mut Conn, papers: &Papers, now: Timestamp) -> Result<BTreeSet<PersonId>, Error> {
    let Ok(grounds) = grounds(tx, &papers.change.body)? else { return Ok(BTreeSet::new()) };
    Ok(acceptance::asked(&papers.policy, &papers.change, &grounds, &papers.heard(now), now))
}

/// The lines of a judgement, with what they come to.
pub(super) fn told(acceptance: Acceptance) -> Vec<String> {
    let Acceptance { verdict, mut lines } = acceptance;
    lines.push(match verdict {
        Ok(persons) => {
            let persons: Vec<&str> = persons.iter().map(|person| person.as_str()).collect();
            format!("accepted by {}", persons.join(", "))
        }
        Err(refused) => refused.to_string(),
    });
    lines
}

/// It is judged in its review and before its end, without plans, and accepted only while what it says can come about.
pub(super) fn check(
    tx: &mut Conn,
    papers: &Papers,
    row: &Row,
    sent: &Sent,
    verify: impl FnOnce() -> Result<(), Refusal>,
    now: Timestamp,
) -> Result<(), Error> {
    if row.state()? != State::Review {
        return Err(unfit(row, Event::QuorumReached, "review").into());
    }
    let body = &papers.change.body;
    let end = body.not_after;
    if end <= now {
        return Err(Refusal::conflict("change.over").with("change", &row.id).with("end", end).into());
    }
    verify()?;
    if !sent.plan_set.plans.is_empty() {
        return Err(refuse("approval.plan_set", "a change that brings nothing to hosts has no plans").into());
    }
    match sent.approval.body.decision {
        Decision::Approve => retirement::check(tx, body),
        Decision::Reject | Decision::Withdraw => Ok(()),
    }
}

/// What follows from a person's statement.
pub(super) fn take(
    tx: &mut Conn,
    row: &mut Row,
    papers: &Papers,
    sent: &Sent,
    now: Timestamp,
) -> Result<(), Error> {
    let body = &sent.approval.body;
    let by = By { person: Some(&body.person), note: &body.comment };
    match body.decision {
        Decision::Reject => step(tx, row, Event::Reject, by, now),
        // The word of one person less; the others may still suffice, once another one is added.
        Decision::Withdraw => store::update(tx, row),
        Decision::Approve => {
            row.plan_set = Some(body.saw.plan_set.0.to_vec());
            if judge(tx, papers, now)?.verdict.is_err() {
                return store::update(tx, row);
            }
            step(tx, row, Event::QuorumReached, by, now)?;
            let topic = match row.retires {
                true => {
                    retirement::carry_out(tx, &papers.change.body, now)?;
                    retirement::RETIRED
                }
                false => retroactive::ACCEPTED,
            };
            Ok(outbox::put(tx, topic, &row.id, "{}", now)?)
        }
    }
}
