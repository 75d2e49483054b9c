//! What people say of a change beside their approvals: the server keeps it, and puts it into the ledger.

pub mod args;
#[cfg(test)]
mod tests;

use crate::author::artifact;
use crate::author::list::print_json;
use crate::error::{Done, Failure};
use crate::lang::{Lang, Word};
use crate::session::Session;
use crate::written::{self, Written};
use crate::{files, term, text, window};
use args::NoteCommand;
use jiff::tz::TimeZone;
use shared::ids::ChangeId;
use shared::limits;
use shared::note::{ChangeNote, Said, is_settled, open_objections};
use shared::wire::{Addition, ChangeNotes, Remark};
use std::path::Path;

pub fn run(session: &Session, command: &NoteCommand) -> Done {
    use NoteCommand as Do;
    let said = |text: &String| text.clone();
    let change = &session.change(command.change())?;
    let note = match command {
        Do::Notes { json: true, .. } => return print_json(&session.api.notes(change)?),
        Do::Notes { json: false, .. } => {
            let notes = session.api.notes(change)?;
            return term::print(&page(&notes, session.lang, &window::zone(None)?));
        }
        Do::Attachment { number, out, .. } => return fetch(session, change, *number, out),
        Do::Comment { text, .. } => session.api.remark(change, &Remark::Comment { text: said(text) })?,
        Do::Object { text, speaks_for, .. } => {
            let speaks_for = speaks_for.clone();
            session.api.remark(change, &Remark::Objection { text: said(text), speaks_for })?
        }
        Do::Answer { objection, text, .. } => {
            session.api.remark(change, &Remark::Answer { to: *objection, text: said(text) })?
        }
        Do::Link { relation, to, .. } => {
            let link = Addition::Link { relation: (*relation).into(), to: to.clone() };
            session.api.add_note(change, &link)?
        }
        Do::Unlink { link, text, .. } => {
            session.api.add_note(change, &Addition::Unlink { link: *link, text: said(text) })?
        }
        Do::Attach { file, .. } => session.api.add_note(change, &attached(session, file)?)?,
    };
    let words = format!("note {} on {change}\n", note.number);
    written::tell(command.json(), Written::of("note", note.number, &note)?, &words)
}

/// The file is stored first: what names it stands for its contents.
fn attached(session: &Session, path: &Path) -> Done<Addition> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Failure::usage(format!("{} has no readable name", path.display())))?;
    let (sha256, _) = artifact::store(session, path, limits::ATTACHMENT_BYTES)?;
    Ok(Addition::Attachment { name: name.to_owned(), sha256 })
}

fn fetch(session: &Session, id: &ChangeId, number: u32, out: &Path) -> Done {
    let notes = session.api.notes(id)?.notes;
    let found = notes.iter().find_map(|note| match &note.said {
        Said::Attachment { name, sha256, length } if note.number == number => Some((name, sha256, *length)),
        _ => None,
    });
    let (name, sha256, length) = found.ok_or_else(|| {
        Failure::refused(format!("note {number} on {id} is no attached file"))
            .remedy(format!("assent change notes {id}"))
    })?;
    if length > limits::ATTACHMENT_BYTES {
        return Err(Failure::refused(format!("the server says that it has {length} bytes")));
    }
    let bytes = session.api.artifact(sha256, length)?;
    files::write_new(out, &bytes)?;
    term::print(&format!("{}: {} ({length} bytes)\n", out.display(), text::clean(name)))
}

/// Objections that nobody has answered, for whoever decides.
pub fn tell_open(session: &Session, id: &ChangeId, count: u32) -> Done {
    if count == 0 {
        return Ok(());
    }
    let notes = session.api.notes(id)?.notes;
    let zone = window::zone(None)?;
    let mut out = format!("{}\n", session.lang.word(Word::Objections));
    for note in open_objections(&notes) {
        out.push_str(&line(note, &notes, session.lang, &zone));
    }
    term::print(&out)
}

/// All notes, by number, then links of other changes.
fn page(all: &ChangeNotes, lang: Lang, zone: &TimeZone) -> String {
    if all.notes.is_empty() && all.linked_from.is_empty() {
        return format!("{}\n", lang.word(Word::NoNotes));
    }
    let mut out: String = all.notes.iter().map(|note| line(note, &all.notes, lang, zone)).collect();
    for note in &all.linked_from {
        if let Said::Link { relation, .. } = &note.said {
            out.push_str(&format!("  {} {} {}\n", note.change, relation.as_str(), lang.word(Word::This)));
        }
    }
    out
}

fn line(note: &ChangeNote, all: &[ChangeNote], lang: Lang, zone: &TimeZone) -> String {
    let settled = is_settled(all, note.number);
    let (what, words) = match &note.said {
        Said::Comment { text } => (String::new(), vec![text.clone()]),
        Said::Objection { text, speaks_for } => {
            let word = if settled { Word::ObjectedAnswered } else { Word::Objected };
            let whom = speaks_for.as_ref().map(|item| format!(" ({item})")).unwrap_or_default();
            (format!("{}{whom}: ", lang.word(word)), vec![text.clone()])
        }
        Said::Answer { to, text } => {
            (format!("{}: ", lang.fill(Word::Answers, &to.to_string())), vec![text.clone()])
        }
        Said::Link { relation, to } => {
            let over = if settled { format!(" ({})", lang.word(Word::LinkEnded)) } else { String::new() };
            (format!("{} {to}{over}", relation.as_str()), Vec::new())
        }
        Said::Unlink { link, text } => {
            (format!("{}: ", lang.fill(Word::EndsLink, &link.to_string())), vec![text.clone()])
        }
        Said::Attachment { name, sha256, length } => {
            (format!("{} {name} ({length} bytes, sha256 {sha256})", lang.word(Word::Attached)), Vec::new())
        }
        Said::Review(review) => {
            let labelled =
                |word, text: &String| (!text.is_empty()).then(|| format!("{}: {text}", lang.word(word)));
            let said = [
                Some(review.found.clone()).filter(|found| !found.is_empty()),
                labelled(Word::Deviation, &review.deviation),
                labelled(Word::Lessons, &review.lessons),
            ];
            let waived = review.waived.iter().map(|(agent, why)| format!("{agent}: {why}"));
            let said = said.into_iter().flatten().chain(waived).collect();
            (format!("{} {}: ", lang.word(Word::Reviewed), review.outcome.as_str()), said)
        }
    };
    let at = window::local_in(lang, note.at, zone);
    let mut out = format!("{:>4}  {at}  {}\n", note.number, note.person);
    let mut first = text::clean(&what);
    for each in words.iter().flat_map(|said| text::clean_lines(said)) {
        out.push_str(&format!("      {first}{each}\n"));
        first.clear();
    }
    if !first.is_empty() {
        out.push_str(&format!("      {}\n", first.trim_end_matches(": ")));
    }
    out
}
