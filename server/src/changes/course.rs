//! The course of a change: every step goes through the shared state machine and leaves a record in the ledger.

use super::store::{self, EventRow, Row};
use super::{review, view};
use crate::audit::{self, Action};
use crate::fleet;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::kernel::generation;
use crate::kernel::news;
use crate::kernel::register;
use crate::ledger::{self, Document};
use crate::manifests;
use shared::change::ChangeType;
use shared::digest::Digest;
use shared::evidence::ChangeEvent;
use shared::ids::{ChangeId, PersonId};
use shared::ledger::LeafKind;
use shared::lifecycle::{Event, Outcome, State};
use shared::news::{About, NewsKind};
use shared::strict;
use shared::time::Timestamp;

/// Who moved the change, and what they said; nobody when it moved by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct By<'a> {
    pub person: Option<&'a PersonId>,
    pub note: &'a str,
}

impl<'a> By<'a> {
    pub fn person(person: &'a PersonId) -> Self {
        Self { person: Some(person), note: "" }
    }
}

/// Locks in their one order: the repository, the ledger, then rows. Everything that moves a change starts here,
/// so that no two of them think at the same time.
pub(super) fn lock(tx: &mut Conn) -> Result<(), Error> {
    manifests::lock(tx)?;
    Ok(ledger::lock(tx)?)
}

pub(super) fn unfit(row: &Row, event: Event, needed: &'static str) -> Refusal {
    Refusal::conflict("change.state")
        .with("change", &row.id)
        .with("state", &row.state)
        .with("event", event)
        .with("needed", needed)
}

/// Where the event leads to.
fn next(row: &Row, event: Event) -> Result<State, Error> {
    let state = row.state()?;
    let moved = if row.is_record() { state.on_record(event) } else { state.on(event) };
    Ok(moved.map_err(|error| unfit(row, event, error.needed))?)
}

/// Moves the change and writes its row. Fields of `row` that the caller set before are written along.
pub(super) fn step(
    tx: &mut Conn,
    row: &mut Row,
    event: Event,
    by: By<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    let before = row.state()?;
    let after = next(row, event)?;
    let closes = matches!(after, State::Closed(_)) && !matches!(before, State::Closed(_));
    if closes && !matches!(event, Event::Close(_)) && row.review_due.is_some() {
        return Err(unfit(row, event, "a review first: close it").into());
    }
    if closes {
        row.review_due = None;
    }
    row.state = after.as_str().into();
    row.outcome = after.outcome().map(|outcome| outcome.as_str().into());
    // The repository lists active changes; whatever enters or leaves that circle is listed anew.
    row.unpublished |= is_listed(before) || is_listed(after) || row.correct_until.is_some();
    if let State::Closed(_) = after {
        row.closed = Some(now.0);
    }
    let mut register = None;
    if event == Event::Submit || closes {
        (row.submit_at, row.submit_by) = (None, None);
    }
    if event == Event::Submit {
        row.submitted = Some(now.0);
        if row.register.is_none() {
            let kind = register_kind(view::revision(tx, row)?.body.change_type);
            row.register = Some(register::give(tx, kind, &row.id, now)?.to_string());
            register.clone_from(&row.register);
        }
    }
    if after == State::Review && before != State::Review && !row.is_record() {
        review::demand(tx, row, now)?;
    }
    let record = ChangeEvent {
        schema: ChangeEvent::SCHEMA.into(),
        change: row.change_id()?,
        version: (row.version + 1).cast_unsigned(),
        revision: row.revision.cast_unsigned(),
        event: event.to_string(),
        person: by.person.cloned(),
        note: by.note.into(),
        state: row.state.clone(),
        outcome: row.outcome.clone(),
        at: now,
        register,
    };
    let bytes = strict::to_json(&record);
    let statement = Digest::of(&bytes);
    let document = Document::of_site(LeafKind::Audit, statement, Some(row.change_id()?), bytes);
    let document = document.map_err(|error| Error::fault("recording a step of a change", error))?;
    ledger::record_one(tx, &document, now)?;
    store::update(tx, row)?;
    if before == State::InReview || after == State::InReview {
        generation::bump(tx, fleet::WISHES)?;
    }
    tell(tx, row, event, by, now)?;
    let event = EventRow {
        version: row.version,
        event: event.to_string(),
        person: by.person.map(ToString::to_string),
        note: by.note.into(),
        state: row.state.clone(),
        outcome: row.outcome.clone(),
        at: now.0,
        statement: Some(statement.0.to_vec()),
    };
    Ok(store::insert_event(tx, &row.id.clone(), &event)?)
}

/// Says outside what happened to the change.
fn tell(tx: &mut Conn, row: &Row, event: Event, by: By<'_>, now: Timestamp) -> Result<(), Error> {
    let kind = match event {
        Event::Submit => NewsKind::ChangeSubmitted,
        Event::Revise => NewsKind::ChangeRevised,
        Event::QuorumReached => NewsKind::ChangeApproved,
        Event::Reject => NewsKind::ChangeRejected,
        Event::Withdraw => NewsKind::ChangeWithdrawn,
        Event::Started => NewsKind::ChangeStarted,
        Event::Halt => NewsKind::ChangeHalted,
        Event::Resume => NewsKind::ChangeResumed,
        Event::Finished => NewsKind::ChangeFinished,
        Event::Expire => NewsKind::ChangeExpired,
        Event::Close(_) => NewsKind::ChangeClosed,
        Event::BrokenGlass => NewsKind::GlassBroken,
        Event::StopCorrecting => return Ok(()),
    };
    Ok(news::tell(tx, kind, About { person: by.person.cloned(), ..about(row)? }, now)?)
}

/// The change as news name it.
pub(super) fn about(row: &Row) -> Result<About, Error> {
    Ok(About {
        change: Some(row.change_id()?),
        register: row.register.clone(),
        revision: Some(row.revision.cast_unsigned()),
        state: Some(row.state.clone()),
        outcome: row.outcome.clone(),
        ..About::default()
    })
}

/// The letter by which changes of a type are counted.
fn register_kind(of: ChangeType) -> &'static str {
    match of {
        ChangeType::Standard => "S",
        ChangeType::Normal => "N",
        ChangeType::Emergency => "E",
        ChangeType::Retroactive => "R",
    }
}

/// States whose bundle is in the repository.
pub(super) fn is_listed(state: State) -> bool {
    matches!(state, State::Approved | State::Running | State::Halted)
}

/// Whether hosts may still put back what it brought, after everything else about it is done.
pub(super) fn stands(row: &Row, now: Timestamp) -> Result<bool, Error> {
    let went_well = matches!(
        row.state()?,
        State::Review | State::Closed(Outcome::Successful | Outcome::SuccessfulWithIssues)
    );
    Ok(went_well && row.correct_until.is_some_and(|end| now.0 < end))
}

/// What an operator or requester may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Submit,
    Halt,
    Resume,
    Withdraw,
    /// Hosts put nothing back any more.
    StopCorrecting,
}

/// Carries out a person's wish. Asking for the state that is there already changes nothing.
pub(super) fn wish(
    tx: &mut Conn,
    id: &ChangeId,
    wish: Wish,
    by: By<'_>,
    now: Timestamp,
) -> Result<Row, Error> {
    lock(tx)?;
    let mut row = store::get(tx, id)?;
    let (event, there) = match wish {
        Wish::Submit if row.is_record() => (Event::Submit, State::Review),
        Wish::Submit => (Event::Submit, State::InReview),
        Wish::Halt => (Event::Halt, State::Halted),
        Wish::Resume => (Event::Resume, State::Running),
        Wish::Withdraw => (Event::Withdraw, State::Closed(Outcome::Withdrawn)),
        Wish::StopCorrecting => {
            if row.correct_until.take().is_some() {
                row.unpublished = true;
                step(tx, &mut row, Event::StopCorrecting, by, now)?;
            }
            return Ok(row);
        }
    };
    if row.state()? == there {
        return Ok(row);
    }
    if wish == Wish::Resume {
        // Whoever resumes it has seen what failed; the count begins anew.
        row.failed_known = store::count_failed(tx, &row.statement()?)?;
    }
    if wish == Wish::Submit {
        row.statement()?;
        if row.not_after.is_some_and(|end| end <= now.0) {
            let end = Timestamp(row.not_after.unwrap_or_default());
            return Err(Refusal::conflict("change.over").with("change", id).with("end", end).into());
        }
    }
    step(tx, &mut row, event, by, now)?;
    Ok(row)
}

/// Lets a draft be submitted by itself at some time, or no more. Asking for the same again changes nothing.
pub(super) fn submit_later(
    tx: &mut Conn,
    id: &ChangeId,
    at: Option<Timestamp>,
    person: &PersonId,
    now: Timestamp,
) -> Result<Row, Error> {
    lock(tx)?;
    let mut row = store::get(tx, id)?;
    if row.submit_at == at.map(|at| at.0) {
        return Ok(row);
    }
    next(&row, Event::Submit)?;
    row.statement()?;
    if let Some(at) = at {
        let end = Timestamp(row.not_after.unwrap_or(i64::MAX));
        if at <= now || at >= end {
            let refusal = Refusal::unprocessable("change.submit_at").with("change", id);
            return Err(refusal.with("at", at).with("end", end).into());
        }
    }
    (row.submit_at, row.submit_by) = (at.map(|at| at.0), at.map(|_| person.to_string()));
    let action = if at.is_some() { "change.submit_later" } else { "change.keep_draft" };
    audit::record(tx, &Action::by(person, action, id, &at), now)?;
    store::update(tx, &mut row)?;
    Ok(row)
}

/// Submits a draft whose time for that has come, as the person who asked for it. True when it moved.
pub(super) fn submit_due(tx: &mut Conn, id: &ChangeId, now: Timestamp) -> Result<bool, Error> {
    lock(tx)?;
    let row = store::get(tx, id)?;
    let (Some(at), Some(person)) = (row.submit_at, row.submit_by()?) else { return Ok(false) };
    if at > now.0 || row.state()? != State::Draft || row.not_after.is_none_or(|end| end <= now.0) {
        return Ok(false);
    }
    let note = format!("as asked for, since {}", Timestamp(at));
    wish(tx, id, Wish::Submit, By { person: Some(&person), note: &note }, now)?;
    Ok(true)
}

/// Closes a change with what its review found. Asking for the same end again changes nothing.
pub(super) fn close(
    tx: &mut Conn,
    id: &ChangeId,
    wish: review::Wish,
    person: &PersonId,
    now: Timestamp,
) -> Result<Row, Error> {
    lock(tx)?;
    let mut row = store::get(tx, id)?;
    let outcome = wish.review.outcome;
    if row.state()? == State::Closed(outcome) {
        return Ok(row);
    }
    next(&row, Event::Close(outcome))?;
    review::check(tx, &row, &wish.review, person)?;
    let note = wish.review.found.clone();
    review::record(tx, &row, wish, person, now)?;
    step(tx, &mut row, Event::Close(outcome), By { person: Some(person), note: &note }, now)?;
    Ok(row)
}

/// Closes or reviews a change whose time is over. True when it moved.
pub(super) fn tend(tx: &mut Conn, id: &ChangeId, now: Timestamp) -> Result<bool, Error> {
    lock(tx)?;
    let mut row = store::get(tx, id)?;
    if row.correct_until.is_some_and(|end| end <= now.0) {
        (row.correct_until, row.unpublished) = (None, true);
        store::update(tx, &mut row)?;
    }
    if row.not_after.is_none_or(|end| now.0 < end) {
        return Ok(false);
    }
    let statement = row.statement()?;
    let reported = store::list_targets(tx, &statement)?.iter().any(|target| target.report.is_some());
    let event = match row.state()? {
        State::Running => Event::Finished,
        State::Halted if reported => Event::Finished,
        State::Draft | State::InReview | State::Approved | State::Halted => Event::Expire,
        State::Review if row.is_record() => Event::Expire,
        State::Review | State::Closed(_) => return Ok(false),
    };
    step(tx, &mut row, event, By::default(), now)?;
    Ok(true)
}
