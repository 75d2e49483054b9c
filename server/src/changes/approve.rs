//! Approvals, rejections and withdrawals: verified as hosts verify them, recorded, judged.

use super::bundle;
use super::conflicts;
use super::course::{By, is_listed, lock, stands, step, unfit};
use super::judging::{Judged, Papers, judge_hosts, plan_set};
use super::plans::plans_lock;
use super::record;
use super::reports::is_done;
use super::store::{self, Row, papers};
use crate::fleet;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::ledger::{self, Document};
use crate::manifests::Online;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::approval::{Approval, Decision};
use shared::digest::Digest;
use shared::ids::{AgentId, ChangeId};
use shared::ledger::LeafKind;
use shared::lifecycle::{Event, State};
use shared::plan::PlanSet;
use shared::policy::{Purpose, verify_approval};
use shared::refusal::Code;
use shared::statement::Statement;
use shared::time::Timestamp;
use std::collections::BTreeSet;

/// What became of an approval: the state of the change, and what counted for which hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ApprovalAnswer")]
pub struct Answer {
    pub state: String,
    pub lines: Vec<String>,
}

/// A statement about a change with the plan set that its person saw.
pub(super) struct Sent {
    pub plan_set: PlanSet,
    pub approval: Statement<Approval>,
}

/// Records what a person signed. The same statement again changes nothing.
pub(super) fn approve(
    tx: &mut Conn,
    online: &Online,
    id: &ChangeId,
    sent: &Sent,
    now: Timestamp,
) -> Result<Answer, Error> {
    lock(tx)?;
    let mut row = store::get(tx, id)?;
    let statement = row.statement()?;
    tx.lock(&plans_lock(&statement))?;
    let mut papers = Papers::load(tx, &row)?;
    if !papers::has_approval(tx, &sent.approval.digest)? {
        check(tx, &row, &papers, sent, now)?;
        record(tx, &row, sent, now)?;
        papers.approvals.push(sent.approval.clone());
        take(tx, &mut row, &papers, sent, now)?;
        bundle::refresh(tx, online, std::slice::from_mut(&mut row), now)?;
    }
    let judged = judged(tx, &row, &papers, now)?;
    Ok(Answer { state: row.state.clone(), lines: judged.lines })
}

fn judged(tx: &mut Conn, row: &Row, papers: &Papers, now: Timestamp) -> Result<Judged, Error> {
    if row.is_record() {
        let lines = record::told(record::judge(tx, papers, now)?);
        return Ok(Judged { allowed: Vec::new(), lines });
    }
    match row.plan_set()? {
        Some(digest) => {
            let set = plan_set(tx, &digest)?;
            judge_hosts(tx, papers, &set, Purpose::Start, now)
        }
        None => Ok(Judged::default()),
    }
}

fn check(tx: &mut Conn, row: &Row, papers: &Papers, sent: &Sent, now: Timestamp) -> Result<(), Error> {
    let body = &sent.approval.body;
    let change = &papers.change;
    if body.change_id != change.body.change_id {
        return Err(refuse("approval.other_change", "it is about another change").into());
    }
    if body.change != change.digest || body.revision != change.body.revision {
        let refusal = Refusal::conflict("approval.other_revision").with("change", &row.id);
        return Err(refusal.with("current", row.revision).with("signed", body.revision).into());
    }
    let state = row.state()?;
    if row.is_record() {
        return record::check(tx, papers, row, sent, || verify(papers, sent, now), now);
    }
    // While hosts may put things back, a person may still take the word back.
    let standing = body.decision != Decision::Approve && stands(row, now)?;
    if state != State::InReview && !is_listed(state) && !standing {
        return Err(unfit(row, Event::QuorumReached, "in_review").into());
    }
    verify(papers, sent, now)?;
    if body.decision != Decision::Approve {
        return Ok(());
    }
    if let Some(model) = &change.body.model {
        let why = format!("model {model} allows it or does not; approvals count nothing for it");
        return Err(refuse(Code::PolicyModel, why).into());
    }
    if body.breakglass.is_none() {
        conflicts::check(tx, &papers.policy, &change.body, body.agents.as_deref(), now)?;
    }
    check_plans(tx, papers, &sent.plan_set)?;
    match papers.standing(row.plan_set()?, now) {
        Some(standing) if standing != body.saw.plan_set => {
            match widens(tx, state, &standing, &sent.plan_set)? {
                true => Ok(()),
                false => Err(Refusal::conflict("approval.other_plan_set").with("change", &row.id).into()),
            }
        }
        _ => Ok(()),
    }
}

/// The person's signature, and that the set which was sent is the one that was signed.
fn verify(papers: &Papers, sent: &Sent, now: Timestamp) -> Result<(), Refusal> {
    verify_approval(&papers.policy, &papers.change, &sent.approval, now)
        .map_err(|refused| refuse(refused.code, refused.message))?;
    if sent.plan_set.change != papers.change.digest
        || sent.plan_set.digest() != sent.approval.body.saw.plan_set
    {
        return Err(refuse("approval.plan_set", "the plan set sent is not the one that was signed"));
    }
    Ok(())
}

/// Whether a set holds all plans of the standing one and more, before anything is approved: whoever approves few hosts
/// first must not be able to keep the others out.
fn widens(tx: &mut Conn, state: State, standing: &Digest, set: &PlanSet) -> Result<bool, Error> {
    let before = plan_set(tx, standing)?;
    let holds = before.plans.iter().all(|(agent, plan)| set.plans.get(agent) == Some(plan));
    Ok(state == State::InReview && holds && set.plans.len() > before.plans.len())
}

pub(super) fn refuse(code: impl std::fmt::Display, why: impl std::fmt::Display) -> Refusal {
    Refusal::unprocessable("approval.refused").with("code", code).with("why", why)
}

/// The set names plans that this server has, each the current one of a target of this revision.
fn check_plans(tx: &mut Conn, papers: &Papers, set: &PlanSet) -> Result<(), Error> {
    if set.plans.is_empty() {
        return Err(refuse("approval.plan_set", "the plan set is empty").into());
    }
    let current = store::current_plans(tx, &papers.change.digest)?;
    let stale: Vec<String> = set
        .plans
        .iter()
        .filter(|(agent, plan)| current.get(agent) != Some(plan))
        .map(|(agent, _)| agent.to_string())
        .collect();
    if let Some(first) = stale.first() {
        let refusal = Refusal::conflict("approval.stale_plans");
        return Err(refusal.with("count", stale.len()).with("agent", first).into());
    }
    Ok(())
}

/// Makes the statement durable, with the plan set that it approves.
pub(super) fn record(tx: &mut Conn, row: &Row, sent: &Sent, now: Timestamp) -> Result<(), Error> {
    let change = row.change_id()?;
    let approval = &sent.approval;
    let document = |kind, digest, bytes| {
        Document::of_site(kind, digest, Some(change.clone()), bytes)
            .map_err(|error| Error::fault("recording an approval", error))
    };
    let mut documents = Vec::new();
    let counts = approval.body.decision == Decision::Approve;
    if counts {
        let bytes = sent.plan_set.to_bytes();
        documents.push(document(LeafKind::PlanSet, sent.plan_set.digest(), bytes)?);
    }
    documents.push(document(LeafKind::Approval, approval.digest, approval.to_bytes())?);
    ledger::record(tx, &documents, now)?;
    if counts {
        papers::record_plan_set(tx, &sent.plan_set, now)?;
    }
    papers::record_approval(tx, approval, now)?;
    Ok(())
}

/// The hosts of a plan set whose reports are waited for: those that somebody stands behind and that have not left for good,
/// or that have reported.
pub(super) fn awaited(tx: &mut Conn, papers: &Papers, set: &PlanSet, now: Timestamp) -> Result<i32, Error> {
    let reach = papers.reach(Some(set.digest()), now);
    let retired = fleet::list_retired(tx, &set.plans.keys().copied().collect())?;
    let left_out = |agent: &AgentId| reach.leaves_out(*agent) || retired.contains(agent);
    let mut awaited = set.plans.len();
    if set.plans.keys().any(left_out) {
        let targets = store::list_targets(tx, &papers.change.digest)?;
        let reported = targets.iter().filter(|target| target.report.is_some()).map(|target| target.agent());
        let reported: BTreeSet<AgentId> = reported.collect::<Result<_, _>>()?;
        awaited = set.plans.keys().filter(|agent| !left_out(agent) || reported.contains(*agent)).count();
    }
    Ok(i32::try_from(awaited).unwrap_or(i32::MAX))
}

/// What follows from the statement for the change itself.
fn take(tx: &mut Conn, row: &mut Row, papers: &Papers, sent: &Sent, now: Timestamp) -> Result<(), Error> {
    if row.is_record() {
        return record::take(tx, row, papers, sent, now);
    }
    let body = &sent.approval.body;
    let reason = body.breakglass.as_ref().map(|glass| format!("break-glass: {}", glass.reason));
    let note = reason.as_deref().unwrap_or(&body.comment);
    let by = By { person: Some(&body.person), note };
    let state = row.state()?;
    row.unpublished |= is_listed(state) || row.correct_until.is_some();
    match body.decision {
        Decision::Approve => {
            row.plan_set = Some(body.saw.plan_set.0.to_vec());
            row.planned = awaited(tx, papers, &sent.plan_set, now)?;
            let judged = judge_hosts(tx, papers, &sent.plan_set, Purpose::Start, now)?;
            let enough = !judged.allowed.is_empty();
            match state {
                State::InReview if enough => step(tx, row, Event::QuorumReached, by, now),
                // Hosts that are left out now may have been the last ones to be waited for.
                State::Running | State::Halted if is_done(tx, row)? => {
                    step(tx, row, Event::Finished, By::default(), now)
                }
                _ => store::update(tx, row),
            }
        }
        Decision::Reject => match state {
            State::InReview | State::Approved => step(tx, row, Event::Reject, by, now),
            // Hosts may have begun: the bundle goes, an operator decides about the change.
            _ => store::update(tx, row),
        },
        Decision::Withdraw => match state {
            State::Approved => step(tx, row, Event::Withdraw, by, now),
            State::Halted if row.review_due.is_none() => step(tx, row, Event::Withdraw, by, now),
            _ => {
                if state == State::InReview {
                    // Without anybody behind the plans hosts may plan again; else those count that somebody is behind.
                    let standing = papers.standing(row.plan_set()?, now);
                    row.planned = match &standing {
                        Some(digest) => i32::try_from(plan_set(tx, digest)?.plans.len()).unwrap_or(i32::MAX),
                        None => 0,
                    };
                    row.plan_set = standing.map(|digest| digest.0.to_vec());
                }
                store::update(tx, row)
            }
        },
    }
}
