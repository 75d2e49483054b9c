//! What a budget may say.

use crate::kernel::error::Refusal;
use shared::limits;
use shared::wire::PutBudget;
use std::ops::RangeInclusive;

/// Hosts that one budget names; more are chosen by labels.
const HOSTS: usize = 2_000;
/// More at once is no budget any more.
const SLOTS: u32 = 100_000;
/// A host keeps its slots once a minute while it runs, and a machine starts again within a day.
const LEASE_SECS: RangeInclusive<u32> = 300..=86_400;

/// Whether this can be stored as a revision.
///
/// # Errors
/// `budget.bad` with what is wrong.
pub(super) fn check(put: &PutBudget) -> Result<(), Refusal> {
    let bad = |why: String| Err(Refusal::unprocessable("budget.bad").with("why", why));
    if !limits::is_text(&put.reason) {
        return bad(format!("the reason must be a text of 1 to {} bytes", limits::TEXT_BYTES));
    }
    let Some(budget) = &put.budget else { return Ok(()) };
    if !limits::is_text(&budget.title) || budget.title.chars().any(char::is_control) {
        return bad(format!("the title must be one line of 1 to {} bytes", limits::TEXT_BYTES));
    }
    if budget.slots > SLOTS {
        return bad(format!("at most {SLOTS} slots"));
    }
    if !LEASE_SECS.contains(&budget.lease_s) {
        let (least, most) = (LEASE_SECS.start(), LEASE_SECS.end());
        return bad(format!("a slot must be leased for {least} to {most} seconds"));
    }
    if budget.hosts.len() > HOSTS {
        return bad(format!("at most {HOSTS} hosts by name; choose more of them by labels"));
    }
    Ok(())
}
