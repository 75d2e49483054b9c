//! What people said of changes: columns of tables, and whether anything of it was left out.

use super::verify::Report;
use super::{Contents, Flaw};
use crate::ids::ChangeId;
use crate::note::{ChangeNote, Review, Said, links, open_objections};
use std::collections::{BTreeMap, BTreeSet};

/// Notes are numbered without gaps, so that none can be left out, and belong to changes of the bundle.
pub(super) fn check(contents: &Contents, report: &mut Report) {
    let changes: BTreeSet<&ChangeId> = contents.changes.values().map(|c| &c.body.change_id).collect();
    let mut by_change: BTreeMap<&ChangeId, Vec<&ChangeNote>> = BTreeMap::new();
    for (digest, note) in &contents.notes {
        if !changes.contains(&note.change) {
            let why = format!("is about {}, of which nothing else is in the bundle", note.change);
            report.flaws.push(Flaw::at(format!("notes/{digest}.json"), why));
        }
        by_change.entry(&note.change).or_default().push(note);
    }
    for (change, mut notes) in by_change {
        notes.sort_by_key(|note| note.number);
        if let Some(wanted) = (1u32..).zip(&notes).find(|(n, note)| *n != note.number).map(|(n, _)| n) {
            report
                .flaws
                .push(Flaw::at("notes", format!("note {wanted} on {change} is missing or there twice")));
        }
        let notes: Vec<ChangeNote> = notes.into_iter().cloned().collect();
        for note in open_objections(&notes) {
            report.remarks.push(format!(
                "{} objected to {change} (note {}); nobody answered",
                note.person, note.number
            ));
        }
    }
    report.checked.push((contents.notes.len(), "notes of people on changes, fixed in the ledger"));
}

/// What people said of a change beside their approvals.
pub(super) struct Notes(Vec<ChangeNote>);

impl Notes {
    pub fn of(contents: &Contents, change: &ChangeId) -> Self {
        let mut notes: Vec<_> =
            contents.notes.values().filter(|note| note.change == *change).cloned().collect();
        notes.sort_by_key(|note| note.number);
        Self(notes)
    }

    pub fn objections(&self) -> usize {
        self.0.iter().filter(|note| matches!(note.said, Said::Objection { .. })).count()
    }

    pub fn objections_open(&self) -> usize {
        open_objections(&self.0).len()
    }

    /// `relation:record`, separated by ` | `: a record elsewhere may be named with blanks.
    pub fn links(&self) -> String {
        let link = |note: &&ChangeNote| match &note.said {
            Said::Link { relation, to } => Some(format!("{}:{to}", relation.as_str())),
            _ => None,
        };
        links(&self.0).iter().filter_map(link).collect::<Vec<_>>().join(" | ")
    }

    /// `name:digest`, separated by ` | `.
    pub fn attachments(&self) -> String {
        let file = |note: &ChangeNote| match &note.said {
            Said::Attachment { name, sha256, .. } => Some(format!("{name}:{sha256}")),
            _ => None,
        };
        self.0.iter().filter_map(file).collect::<Vec<_>>().join(" | ")
    }

    /// The last one.
    pub fn review(&self) -> Option<&Review> {
        self.0.iter().rev().find_map(|note| match &note.said {
            Said::Review(review) => Some(review),
            _ => None,
        })
    }

    /// `host:reason`, separated by ` | `.
    pub fn waived(&self) -> String {
        let all = self.review().map(|review| review.waived.iter()).into_iter().flatten();
        all.map(|(agent, reason)| format!("{agent}:{reason}")).collect::<Vec<_>>().join(" | ")
    }
}
