//! Notes on changes: comments, objections and their answers, links, attachments, reviews. They are only ever added to.
//!
//! Owns their order and which of them stand. Never: what becomes of a change; a note starts nothing and stops nothing.

mod api;
mod concerned;
mod store;
#[cfg(test)]
mod tests;

pub(super) use api::routes;
pub(super) use store::{count_open_objections, list_digests};

use super::store as changes;
use super::store::Row;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::kernel::register;
use crate::ledger::{self, Document};
use shared::digest::Digest;
use shared::ids::{ChangeId, PersonId, YearNumber};
use shared::ledger::LeafKind;
use shared::limits;
use shared::note::{ChangeNote, LinkKind, Said, is_settled, open_objections};
use shared::time::Timestamp;
use shared::wire::ChangeNotes;

/// Adds a note. A link or an attachment that is there already is answered as it is. The caller holds the ledger's lock.
///
/// # Errors
/// Nothing is said, or too much; what it refers to is not there, or is settled.
pub(super) fn add(
    tx: &mut Conn,
    row: &Row,
    said: Said,
    person: &PersonId,
    now: Timestamp,
) -> Result<ChangeNote, Error> {
    let said = with_id(tx, said)?;
    if let Some((field, why)) = said.problem() {
        return Err(Refusal::unprocessable("note.text").with("field", field).with("why", why).into());
    }
    let notes = list(tx, &row.id)?;
    if let Some(same) = notes.iter().find(|note| repeats(&notes, note, &said)) {
        return Ok(same.clone());
    }
    check(tx, row, &notes, &said)?;
    let number = notes.last().map_or(1, |last| last.number.saturating_add(1));
    if number > limits::CHANGE_NOTES {
        let refusal = Refusal::conflict("note.too_many").with("change", &row.id);
        return Err(refusal.with("limit", limits::CHANGE_NOTES).into());
    }
    let note = ChangeNote {
        schema: ChangeNote::SCHEMA.into(),
        change: row.change_id()?,
        number,
        person: person.clone(),
        at: now,
        said,
    };
    let bytes = note.to_bytes();
    let statement = Digest::of(&bytes);
    let document = Document::of_site(LeafKind::Audit, statement, Some(note.change.clone()), bytes);
    let document = document.map_err(|error| Error::fault("recording a note", error))?;
    ledger::record_one(tx, &document, now)?;
    store::insert(tx, &note, &statement)?;
    Ok(note)
}

/// A note keeps the id of the change to which it leads.
fn with_id(tx: &mut Conn, said: Said) -> Result<Said, Error> {
    match said {
        Said::Link { relation, to } if relation != LinkKind::External => match to.parse::<YearNumber>() {
            Ok(number) => Ok(Said::Link { relation, to: register::get(tx, &number)? }),
            Err(_) => Ok(Said::Link { relation, to }),
        },
        said => Ok(said),
    }
}

/// What belongs to a change belongs to it once; words may be said twice.
fn repeats(notes: &[ChangeNote], note: &ChangeNote, said: &Said) -> bool {
    match said {
        Said::Link { .. } | Said::Attachment { .. } => note.said == *said && !is_settled(notes, note.number),
        Said::Comment { .. }
        | Said::Objection { .. }
        | Said::Answer { .. }
        | Said::Unlink { .. }
        | Said::Review(_) => false,
    }
}

fn check(tx: &mut Conn, row: &Row, notes: &[ChangeNote], said: &Said) -> Result<(), Error> {
    if let Some(number) = said.settles() {
        let wanted = if matches!(said, Said::Answer { .. }) { "objection" } else { "link" };
        let there = notes.iter().any(|note| note.number == number && note.said.kind() == wanted);
        let refusal = match (there, is_settled(notes, number)) {
            (true, false) => return Ok(()),
            (true, true) => Refusal::conflict("note.settled"),
            (false, _) => Refusal::unprocessable("note.unknown"),
        };
        return Err(refusal.with("change", &row.id).with("number", number).with("kind", wanted).into());
    }
    if let Said::Objection { speaks_for: Some(name), .. } = said {
        return concerned::check(tx, row, name);
    }
    let Said::Link { relation, to } = said else { return Ok(()) };
    let other: ChangeId = match to.parse() {
        Ok(_) if *relation == LinkKind::External => return Ok(()),
        Ok(other) => other,
        Err(_) if relation.may_lead_elsewhere() => return Ok(()),
        Err(_) => return Err(Refusal::not_found("change.unknown").with("change", to).into()),
    };
    if other.as_str() == row.id {
        return Err(Refusal::unprocessable("note.own_link").with("change", &row.id).into());
    }
    changes::get(tx, &other).map(drop)
}

/// Open changes with objections that nobody has answered, and when the first of them was made.
pub fn list_objected(tx: &mut Conn) -> Result<Vec<(Row, Timestamp)>, Error> {
    use shared::lifecycle::State;
    let open = [State::Draft, State::InReview, State::Approved, State::Running, State::Halted, State::Review];
    let rows = changes::list_in(tx, &open)?;
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let counts = count_open_objections(tx, &ids)?;
    let mut found = Vec::new();
    for row in rows {
        if counts.get(&row.id).is_none_or(|count| *count == 0) {
            continue;
        }
        let notes = list(tx, &row.id)?;
        if let Some(first) = open_objections(&notes).first() {
            found.push((row, first.at));
        }
    }
    Ok(found)
}

/// All notes on a change, by number, as they were written.
pub(super) fn list(tx: &mut Conn, change: &str) -> Result<Vec<ChangeNote>, Error> {
    let digests = store::list_digests(tx, change)?;
    read(tx, &digests)
}

/// Everything that is said of a change.
pub(super) fn all(tx: &mut Conn, id: &ChangeId) -> Result<ChangeNotes, Error> {
    changes::get(tx, id)?;
    let links = store::list_links_to(tx, id.as_str())?;
    Ok(ChangeNotes { notes: list(tx, id.as_str())?, linked_from: read(tx, &links)? })
}

fn read(tx: &mut Conn, digests: &[Digest]) -> Result<Vec<ChangeNote>, Error> {
    let found = ledger::find_statements(tx, digests)?;
    let note = |digest| {
        let bytes: Option<&Vec<u8>> = found.get(digest);
        bytes.and_then(|bytes| ChangeNote::parse(bytes).ok()).ok_or_else(|| changes::damaged("a note"))
    };
    digests.iter().map(note).collect()
}
