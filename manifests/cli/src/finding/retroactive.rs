//! `assent finding accept --retroactive`: the draft of a change that accepts what hosts found. The author signs the digest of
//! every host's own statement, each verified here first.

use super::args::{Draft, Judgement};
use super::{checked, chosen};
use crate::change;
use crate::error::{Context as _, Done, Failure};
use crate::profile::KeyUse;
use crate::session::Session;
use crate::{term, text, window};
use shared::admit::check_author;
use shared::change::{Change, ChangeType, Missed, PlanBinding, Reboot, Target, UndoPlan};
use shared::finding::Finding;
use shared::ids::ChangeId;
use shared::limits;
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::wire::{ChangeLine, FindingLine};
use std::collections::{BTreeMap, BTreeSet};

const UNDO: &str = "hosts run nothing for this; a change of its own brings the approved state back";
const NOTE: &str = "note: manifests stay as they are: the next run of one brings its own state again, and hosts that correct \
go on doing so, until a version says what is there now\n";

pub fn draft(session: &Session, judgement: &Judgement, draft: &Draft) -> Done {
    let site = session.site()?;
    let before = draft.revise.as_ref().map(|id| change::previous(session, id)).transpose()?;
    if let Some(other) = before.as_ref().filter(|before| !before.body.is_retroactive()) {
        return Err(Failure::refused(format!("{} is not retroactive", other.body.change_id))
            .remedy("leave --revise out, and a new change is made"));
    }
    let not_after = window::end(&draft.review_by, &window::zone(None)?, session.now)?;
    let found = found(session, judgement)?;
    // The number is asked for last: a mistake above must not use one up.
    let change_id = match &before {
        Some(before) => before.body.change_id.clone(),
        None => session.api.new_change()?,
    };
    let mut change = written(session, (judgement, draft), &found, change_id, not_after);
    if let Some(before) = &before {
        change.revision = before.body.revision.saturating_add(1);
        change.supersedes = Some(before.digest);
    }
    if let Some(problem) = change.problems().into_iter().next() {
        return Err(Failure::usage(format!("this change would be refused: {problem}")));
    }
    let statement = Statement::sign(change, &session.key(KeyUse::Approver)?);
    check_author(&site.policy, &statement, session.now).or_refuse("your signature would not be accepted")?;
    let body = &statement.body;
    let line = session.api.put_retroactive(&body.change_id, body.revision, &statement.envelope)?;
    term::note(NOTE);
    term::print(&told(body, &line, &found))
}

/// Each finding as it is listed, and as its host signed it.
type Found = BTreeMap<u64, (FindingLine, Statement<Finding>)>;

fn found(session: &Session, judgement: &Judgement) -> Done<Found> {
    let chosen = chosen(session, judgement)?;
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

fn written(
    session: &Session,
    (judgement, draft): (&Judgement, &Draft),
    found: &Found,
    change_id: ChangeId,
    not_after: Timestamp,
) -> Change {
    let target = |said: &Statement<Finding>| {
        let header = &said.body.header;
        Target { agent: header.agent_id, key: header.key.digest() }
    };
    let words = Change {
        site: session.profile.config.site.clone(),
        change_id,
        revision: 1,
        change_type: ChangeType::Retroactive,
        title: draft.title.clone().unwrap_or_default(),
        reason: judgement.reason.clone(),
        author: session.profile.config.person.clone(),
        created: session.now,
        manifests: Vec::new(),
        targets: Vec::new(),
        intervals: Vec::new(),
        window_rules: Vec::new(),
        not_after,
        missed: Missed::Skip,
        waves: Vec::new(),
        plan_binding: PlanBinding::Exact,
        action_classes: BTreeSet::new(),
        downgrade: false,
        reboot: Reboot::Never,
        undo: UndoPlan { text: draft.undo.clone().unwrap_or_else(|| UNDO.into()), automatic: false },
        lift_quarantine: false,
        correct_until: None,
        halt_above: None,
        series: None,
        model: None,
        supersedes: None,
        accepts: Vec::new(),
    };
    words.accepting(found.values().map(|(_, said)| (target(said), said.digest)))
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
    out.push_str(&format!(
        "next: assent change submit {id}; then somebody else decides: assent approve {id}\n"
    ));
    out
}
