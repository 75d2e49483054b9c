//! The review that follows when somebody broke the glass: it opens by itself, and nothing else closes the change.

use super::course::{By, step};
use super::judging::Papers;
use super::store::{self, Row};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use shared::ids::PersonId;
use shared::lifecycle::{Event, State};
use shared::policy::REVIEW_SECS;
use shared::receipt::Receipt;
use shared::time::Timestamp;

/// A host says that it ran the change because somebody broke the glass.
pub(super) fn call(tx: &mut Conn, row: &mut Row, receipt: &Receipt, now: Timestamp) -> Result<(), Error> {
    let due = receipt.started.plus(REVIEW_SECS).0;
    row.review_due = Some(row.review_due.map_or(due, |before| before.min(due)));
    match row.state()? {
        State::Approved | State::Running | State::Halted | State::Review => store::update(tx, row),
        State::Draft | State::InReview | State::Closed(_) => {
            step(tx, row, Event::BrokenGlass, By::default(), now)
        }
    }
}

/// Whether the person's word closes the change: it says something, and is not of whoever broke the glass.
///
/// At a one-person site there is nobody else, and the evidence says so.
pub(super) fn check(tx: &mut Conn, row: &Row, by: By<'_>) -> Result<(), Error> {
    if row.review_due.is_none() {
        return Ok(());
    }
    if by.note.trim().is_empty() {
        return Err(Refusal::unprocessable("change.review_note").with("change", &row.id).into());
    }
    let papers = Papers::load(tx, row)?;
    let broke = |person: &PersonId| {
        papers.approvals.iter().any(|a| a.body.breakglass.is_some() && a.body.person == *person)
    };
    match by.person.filter(|person| !papers.policy.one_person && broke(person)) {
        None => Ok(()),
        Some(person) => Err(Refusal::unprocessable("change.review_own")
            .with("change", &row.id)
            .with("person", person)
            .into()),
    }
}
