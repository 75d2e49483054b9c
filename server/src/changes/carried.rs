//! Words that were carried to hosts by hand: taken in afterwards, when hosts that ran by them bring them here.
//!
//! A word that comes late moves nothing by itself: the receipt of the host does, and calls for the review. Never: a
//! statement that no key of the policy made.

use super::approve::{Sent, record, refuse};
use super::course::lock;
use super::judging::Papers;
use super::plans::plans_lock;
use super::store::{self, papers};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use shared::approval::Decision;
use shared::policy::{is_carried, verify_approval};
use shared::time::Timestamp;

/// Records a word that breaks the glass by hand. The same again changes nothing.
///
/// It is judged at the moment at which it was signed: it may have ended long ago, and what a host did by it is a fact.
///
/// # Errors
/// The change or its revision is not known here, or the word is not one by the policy of now.
pub(super) fn take_in(tx: &mut Conn, sent: &Sent, now: Timestamp) -> Result<(), Error> {
    lock(tx)?;
    let body = &sent.approval.body;
    let mut row = store::get(tx, &body.change_id)?;
    tx.lock(&plans_lock(&body.change))?;
    if papers::has_approval(tx, &sent.approval.digest)? {
        return Ok(());
    }
    let current = row.statement()?;
    if current != body.change {
        let refusal = Refusal::conflict("approval.other_revision").with("change", &row.id);
        return Err(refusal.with("current", row.revision).with("signed", body.revision).into());
    }
    let known = Papers::load(tx, &row)?;
    if body.decision != Decision::Approve || !is_carried([body]) {
        return Err(refuse("approval.breakglass", "it is no word that was to be carried by hand").into());
    }
    if body.at > now.plus(shared::limits::CLOCK_SKEW_SECS) {
        return Err(refuse("approval.invalid", "it is signed in the future").into());
    }
    verify_approval(&known.policy, &known.change, &sent.approval, body.at)
        .map_err(|refused| refuse(refused.code, refused.message))?;
    if sent.plan_set.change != body.change || sent.plan_set.digest() != body.saw.plan_set {
        return Err(refuse("approval.plan_set", "the plan set sent is not the one that was signed").into());
    }
    record(tx, &row, sent, now)?;
    if row.plan_set.is_none() {
        row.plan_set = Some(body.saw.plan_set.0.to_vec());
        row.planned = i32::try_from(body.agents.as_ref().map_or(0, Vec::len)).unwrap_or(i32::MAX);
        store::update(tx, &mut row)?;
    }
    Ok(())
}
