//! `assent finding accept --retroactive`: the draft of a change that accepts what hosts found. The author signs the digest of
//! every host's own statement, each verified here first.

use super::args::{Draft, Judgement};
use super::{checked, chosen, is_open};
use crate::change::record::{self, Kind, Words};
use crate::error::{Done, Failure};
use crate::session::Session;
use crate::written::{self, Written};
use crate::{term, text};
use shared::change::{Change, Target};
use shared::finding::Finding;
use shared::limits;
use shared::statement::Statement;
use shared::wire::{ChangeLine, FindingLine};
use std::collections::BTreeMap;

const UNDO: &str = "hosts run nothing for this; a change of its own brings the approved state back";
const NOTE: &str = "note: manifests stay as they are: the next run of one brings its own state again, and hosts that correct \
go on doing so, until a version says what is there now\n";

pub fn draft(session: &Session, judgement: &Judgement, draft: &Draft) -> Done {
    let found = found(session, judgement)?;
    let words = Words {
        title: draft.title.as_deref().unwrap_or_default(),
        reason: &judgement.reason,
        undo: draft.undo.as_deref().unwrap_or(UNDO),
        review_by: &draft.review_by,
        revise: draft.revise.as_ref(),
    };
    let target = |said: &Statement<Finding>| {
        let header = &said.body.header;
        Target { agent: header.agent_id, key: header.key.digest() }
    };
    let about =
        |change: Change| change.accepting(found.values().map(|(_, said)| (target(said), said.digest)));
    let (change, line) = record::draft(session, Kind::Retroactive, &words, about)?;
    term::note(NOTE);
    let written = Written::of("change", &change.change_id, &line)?;
    written::tell(judgement.json.json, written, &told(&change, &line, &found))
}

/// Each finding as it is listed, and as its host signed it.
type Found = BTreeMap<u64, (FindingLine, Statement<Finding>)>;

fn found(session: &Session, judgement: &Judgement) -> Done<Found> {
    let chosen = chosen(session, judgement, is_open)?;
    if chosen.len() > limits::ACCEPTED_FINDINGS {
        let message =
            format!("{} findings are chosen; one change accepts {}", chosen.len(), limits::ACCEPTED_FINDINGS);
        return Err(Failure::usage(message).remedy("name fewer, and make several changes"));
    }
    let mut found = Found::new();
    for (id, seen) in chosen {
        let file = session.api.finding(id)?;
        let said = checked(&file, &session.profile.config.site)?;
        if said.body.fingerprint() != seen.fingerprint {
            return Err(Failure::refused(format!("finding {id} looks otherwise than a moment ago"))
                .remedy(format!("look at it again: assent finding show {id}")));
        }
        found.insert(id, (file.line, said));
    }
    Ok(found)
}

fn told(change: &Change, line: &ChangeLine, found: &Found) -> String {
    let id = &change.change_id;
    let (state, title) = (text::clean(&line.state), text::clean(&change.title));
    let mut out = format!("{id} revision {} is {state} (retroactive): {title}\n", change.revision);
    for (number, (line, _)) in found {
        let (host, what) = (text::clean(&line.hostname), text::clean(&line.what));
        out.push_str(&format!("  accepts   {number}: {host}: {what}\n"));
    }
    out.push_str(&format!("  until     {}\n", change.not_after));
    out.push_str(&record::next(id));
    out
}
