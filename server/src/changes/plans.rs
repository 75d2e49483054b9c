//! Plans of hosts: which are wished, and taking them in.

use super::store::{self, papers};
use crate::fleet;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::kernel::generation;
use crate::ledger;
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ids::{AgentId, SiteId};
use shared::lifecycle::State;
use shared::plan::Plan;
use shared::statement::Statement;
use shared::time::Timestamp;
use std::sync::Arc;

/// Plans of one host for one revision, the replaced ones included: they are evidence and stay.
const PLANS_OF_HOST: i64 = 16;

/// Every plan that is wished and did not arrive: targets without a plan of changes in review.
pub fn wishes(tx: &mut Conn) -> Result<Vec<fleet::Wish>, Error> {
    let mut wishes = Vec::new();
    for row in store::list_in(tx, &[State::InReview])? {
        let digest = row.statement()?;
        let bytes = ledger::find_statement(tx, &digest)?.ok_or_else(|| store::damaged("a revision"))?;
        let envelope = Arc::new(Envelope::parse(&bytes).map_err(|_| store::damaged("a revision"))?);
        for target in store::list_targets(tx, &digest)? {
            if target.plan.is_none() {
                wishes.push((target.agent()?, digest, envelope.clone()));
            }
        }
    }
    Ok(wishes)
}

/// Takes in a plan that its host signed. A newer plan replaces an older one until somebody approved.
/// Sending the same again changes nothing.
pub fn accept(
    tx: &mut Conn,
    (site, agent): (&SiteId, AgentId),
    plan: &Statement<Plan>,
    now: Timestamp,
) -> Result<(), Error> {
    let body = &plan.body;
    if body.agent_id != agent {
        return Err(Refusal::forbidden("plan.other_agent").with("agent", body.agent_id).into());
    }
    let unknown = || Refusal::not_found("plan.unknown_change").with("change", &body.change_id);
    // One plan of a revision at a time, and none while somebody approves it.
    tx.lock(&plans_lock(&body.change))?;
    let row = store::find_by_statement(tx, &body.change)?.ok_or_else(unknown)?;
    let target = store::find_target(tx, &body.change, agent)?;
    let target = target.ok_or_else(|| Refusal::forbidden("plan.no_target").with("change", &row.id))?;
    let stored = target.plan.as_deref().map(store::digest).transpose()?;
    if stored == Some(plan.digest) {
        return Ok(());
    }
    let current = row.statement()? == body.change && row.state()? == State::InReview;
    if !current || (stored.is_some() && row.plan_set.is_some()) {
        return Err(Refusal::conflict("plan.not_wanted")
            .with("change", &row.id)
            .with("state", &row.state)
            .into());
    }
    if body.site != *site || body.change_id.as_str() != row.id || body.revision != row.revision() {
        return Err(Refusal::unprocessable("plan.other_change").with("change", &row.id).into());
    }
    if papers::count_plans(tx, &body.change, agent)? >= PLANS_OF_HOST {
        return Err(Refusal::conflict("plan.too_many")
            .with("change", &row.id)
            .with("limit", PLANS_OF_HOST)
            .into());
    }
    ledger::keep_statement(tx, "plan", &plan.digest, &plan.to_bytes(), now)?;
    papers::record_plan(tx, plan, now)?;
    store::update_plan(tx, &body.change, agent, &plan.digest)?;
    Ok(generation::bump(tx, fleet::WISHES)?)
}

pub(super) fn plans_lock(change: &Digest) -> String {
    format!("plans.{change}")
}

/// A plan that this host made, byte for byte.
pub(super) fn find_own(tx: &mut Conn, plan: &Digest, agent: AgentId) -> Result<Vec<u8>, Error> {
    let unknown = || Refusal::not_found("plan.unknown").with("digest", plan);
    let owner = papers::find_owner(tx, plan)?;
    if owner.as_deref() != Some(agent.to_string().as_str()) {
        return Err(unknown().into());
    }
    Ok(ledger::find_statement(tx, plan)?.ok_or_else(unknown)?)
}
