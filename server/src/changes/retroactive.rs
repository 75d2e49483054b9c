//! Retroactive changes: they accept findings, no host ever gets them, and their review is the approval.
//!
//! Owns which change accepts which finding. Never: what a finding is, or what becomes of it. A later slice knows that; it
//! brings the claims of a revision, and hears of what was accepted through [`ACCEPTED`].

use super::approve::Sent;
use super::course::{By, step};
use super::judging::Papers;
use super::store::{self, Row, accepts};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::kernel::outbox;
use crate::ledger;
use shared::acceptance::{self, Acceptance, judge_acceptance};
use shared::approval::Decision;
use shared::digest::Digest;
use shared::ids::{AgentId, ChangeId};
use shared::lifecycle::{Event, State};
use shared::time::Timestamp;
use std::collections::HashSet;

/// Hears of retroactive changes whose quorum was reached; the key is the change.
pub const ACCEPTED: &str = "changes.accepted";

/// A finding as a revision accepts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub agent: AgentId,
    /// The host's own count of its findings.
    pub number: u64,
    /// Digest of the statement that is accepted.
    pub finding: Digest,
    /// How it looked then: what looks otherwise was not accepted.
    pub fingerprint: Digest,
}

/// A change that is open or went well, and one finding that it accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    pub claim: Claim,
    pub change: ChangeId,
    pub state: State,
}

impl Claimed {
    /// Nobody has decided yet.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed(_))
    }
}

/// Who accepts these findings of hosts, or is to.
pub fn claims_on(tx: &mut Conn, findings: &HashSet<(AgentId, u64)>) -> Result<Vec<Claimed>, Error> {
    accepts::list_claims(tx, findings)
}

/// What a revision accepts.
pub fn claims_of(tx: &mut Conn, change: &Digest) -> Result<Vec<Claim>, Error> {
    accepts::list(tx, change)
}

/// A finding, as it looks, is accepted by one change only.
pub(super) fn check_free(tx: &mut Conn, id: &ChangeId, claims: &[Claim]) -> Result<(), Error> {
    let places = claims.iter().map(|claim| (claim.agent, claim.number)).collect();
    let taken = accepts::list_claims(tx, &places)?.into_iter().find(|other| {
        let same = |claim: &Claim| {
            let place = (claim.agent, claim.number, claim.fingerprint);
            place == (other.claim.agent, other.claim.number, other.claim.fingerprint)
        };
        other.change != *id && claims.iter().any(same)
    });
    match taken {
        None => Ok(()),
        Some(Claimed { claim, change, state }) => {
            let refusal = Refusal::conflict("change.finding_taken").with("change", change);
            Err(refusal.with("state", state).with("agent", claim.agent).with("digest", claim.finding).into())
        }
    }
}

/// Whether the approvals accept it now: judged from the signed statements, never from columns.
pub(super) fn judge(tx: &mut Conn, papers: &Papers, now: Timestamp) -> Result<Acceptance, Error> {
    let change = &papers.change;
    let digests: Vec<Digest> = change.body.accepts.iter().map(|accepted| accepted.finding).collect();
    let known = ledger::find_statements(tx, &digests)?;
    let findings = acceptance::findings(&change.body, |digest| known.get(digest).cloned());
    let findings = findings.map_err(|why| Error::fault("reading what a change accepts", why))?;
    Ok(judge_acceptance(&papers.policy, change, &findings, &papers.heard(now), now))
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
            Ok(outbox::put(tx, ACCEPTED, &row.id, "{}", now)?)
        }
    }
}
