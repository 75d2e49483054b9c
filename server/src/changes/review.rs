//! The review at the end of a change. After an emergency, a failure, or when somebody broke the glass it opens by itself, and
//! nothing else closes the change.

use super::course::{By, about, step};
use super::judging::Papers;
use super::store::{self, Row};
use super::{notes, view};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::kernel::news;
use shared::change::ChangeType;
use shared::ids::{ChangeRef, PersonId};
use shared::lifecycle::{Event, Outcome, State};
use shared::news::{About, NewsKind};
use shared::note::{LinkKind, Review, Said};
use shared::policy::REVIEW_SECS;
use shared::receipt::Receipt;
use shared::time::Timestamp;
use std::collections::BTreeSet;

/// Hosts that a refusal names.
const SHOWN: usize = 5;

/// A host says that it ran the change because somebody broke the glass.
pub(super) fn call(tx: &mut Conn, row: &mut Row, receipt: &Receipt, now: Timestamp) -> Result<(), Error> {
    set_due(tx, row, receipt.started.plus(REVIEW_SECS), now)?;
    match row.state()? {
        State::Approved | State::Running | State::Halted | State::Review => store::update(tx, row),
        State::Draft | State::InReview | State::Closed(_) => {
            step(tx, row, Event::BrokenGlass, By::default(), now)
        }
    }
}

/// What a person says at the end of a change, and what is to be done because of it.
pub(super) struct Wish {
    pub review: Review,
    /// Numbers of changes, or what names records elsewhere.
    pub follow_ups: Vec<String>,
}

/// An emergency, or a change that failed somewhere, is reviewed within the time that is set for it. The caller writes the
/// row.
pub(super) fn demand(tx: &mut Conn, row: &mut Row, now: Timestamp) -> Result<(), Error> {
    let emergency = view::revision(tx, row)?.body.change_type == ChangeType::Emergency;
    let targets = store::list_targets(tx, &row.statement()?)?;
    if emergency || targets.iter().any(|target| target.succeeded == Some(false)) {
        set_due(tx, row, now.plus(REVIEW_SECS), now)?;
    }
    Ok(())
}

/// The earliest end counts; the first one is news.
fn set_due(tx: &mut Conn, row: &mut Row, due: Timestamp, now: Timestamp) -> Result<(), Error> {
    if row.review_due.is_none() {
        news::tell(tx, NewsKind::ReviewDue, About { due: Some(due), ..about(row)? }, now)?;
    }
    row.review_due = Some(row.review_due.map_or(due.0, |before| before.min(due.0)));
    Ok(())
}

/// Whether the review closes the change: it says something where that is asked for, it is not of whoever broke the glass,
/// and nothing counts as successful that hosts did not report as such, unless it says why.
///
/// At a one-person site there is nobody else, and the evidence says so.
pub(super) fn check(tx: &mut Conn, row: &Row, review: &Review, person: &PersonId) -> Result<(), Error> {
    let asked = row.review_due.is_some() || matches!(review.outcome, Outcome::Failed | Outcome::RolledBack);
    if asked && review.found.trim().is_empty() {
        return Err(Refusal::unprocessable("change.review_note").with("change", &row.id).into());
    }
    if row.review_due.is_some() {
        let papers = Papers::load(tx, row)?;
        if !papers.policy.one_person && papers.who_broke_glass().contains(person) {
            let refusal = Refusal::unprocessable("change.review_own").with("change", &row.id);
            return Err(refusal.with("person", person).into());
        }
    }
    check_waived(tx, row, review)
}

fn check_waived(tx: &mut Conn, row: &Row, review: &Review) -> Result<(), Error> {
    let targets = match row.statement.as_deref().map(store::digest).transpose()? {
        Some(statement) => store::list_targets(tx, &statement)?,
        None => Vec::new(),
    };
    let mut short = BTreeSet::new();
    for target in &targets {
        if target.succeeded != Some(true) {
            short.insert(target.agent()?);
        }
    }
    if let Some(agent) = review.waived.keys().find(|agent| !short.contains(*agent)) {
        let refusal = Refusal::unprocessable("change.waived_needlessly").with("change", &row.id);
        return Err(refusal.with("agent", agent).into());
    }
    // Of a change that brings nothing to hosts nothing is run.
    if review.outcome != Outcome::Successful || row.is_record() {
        return Ok(());
    }
    let left: Vec<String> =
        short.iter().filter(|agent| !review.waived.contains_key(*agent)).map(ToString::to_string).collect();
    if left.is_empty() {
        return Ok(());
    }
    let some = left.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    let refusal = Refusal::unprocessable("change.not_successful").with("change", &row.id);
    Err(refusal.with("count", left.len()).with("agents", some).into())
}

/// Puts down what the review found, and links what is to be done because of it.
pub(super) fn record(
    tx: &mut Conn,
    row: &Row,
    wish: Wish,
    person: &PersonId,
    now: Timestamp,
) -> Result<(), Error> {
    for to in wish.follow_ups {
        let relation = if to.parse::<ChangeRef>().is_ok() { LinkKind::FollowUp } else { LinkKind::External };
        notes::add(tx, row, Said::Link { relation, to }, person, now)?;
    }
    notes::add(tx, row, Said::Review(wish.review), person, now).map(drop)
}
