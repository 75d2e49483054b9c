//! Drafts of changes that bring nothing to hosts: what is the same for findings that are accepted and for hosts that leave.

use super::new::previous;
use crate::error::{Context as _, Done, Failure};
use crate::profile::KeyUse;
use crate::session::Session;
use crate::window;
use shared::admit::check_author;
use shared::change::{self, Change};
use shared::ids::{ChangeId, ChangeRef};
use shared::statement::Statement;
use shared::wire::ChangeLine;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Retroactive,
    Retirement,
}

/// What the author says beside what the change is about.
pub struct Words<'a> {
    pub title: &'a str,
    pub reason: &'a str,
    pub undo: &'a str,
    /// When somebody must have decided.
    pub review_by: &'a str,
    /// The change of which this is the next revision.
    pub revise: Option<&'a ChangeRef>,
}

/// Signs the draft and stores it; `about` adds to its words what it is about.
pub fn draft(
    session: &Session,
    kind: Kind,
    words: &Words<'_>,
    about: impl FnOnce(Change) -> Change,
) -> Done<(Change, ChangeLine)> {
    let site = session.site()?;
    let before = words.revise.map(|named| previous(session, &session.change(named)?)).transpose()?;
    if let Some(other) = before.as_ref().filter(|before| kind_of(&before.body) != Some(kind)) {
        let what = match kind {
            Kind::Retroactive => "is not retroactive",
            Kind::Retirement => "retires no hosts",
        };
        return Err(Failure::refused(format!("{} {what}", other.body.change_id))
            .remedy("leave --revise out, and a new change is made"));
    }
    let not_after = window::end(words.review_by, &window::zone(None)?, session.now)?;
    // The number is asked for last: a mistake above must not use one up.
    let change_id = match &before {
        Some(before) => before.body.change_id.clone(),
        None => session.api.new_change()?,
    };
    let words = change::Words {
        site: session.profile.config.site.clone(),
        change_id,
        revision: before.as_ref().map_or(1, |before| before.body.revision.saturating_add(1)),
        title: words.title.to_owned(),
        reason: words.reason.to_owned(),
        author: session.profile.config.person.clone(),
        created: session.now,
        not_after,
        undo: words.undo.to_owned(),
        supersedes: before.as_ref().map(|before| before.digest),
    };
    let change = about(words.alone());
    if let Some(problem) = change.problems().into_iter().next() {
        return Err(Failure::usage(format!("this change would be refused: {problem}")));
    }
    let statement = Statement::sign(change, &session.key(KeyUse::Approver)?);
    check_author(&site.policy, &statement, session.now).or_refuse("your signature would not be accepted")?;
    let (id, revision) = (statement.body.change_id.clone(), statement.body.revision);
    let line = match kind {
        Kind::Retroactive => session.api.put_retroactive(&id, revision, &statement.envelope)?,
        Kind::Retirement => session.api.put_revision(&id, revision, &statement.envelope)?.it,
    };
    Ok((statement.body, line))
}

/// Which kind a change is of; `None` for one that hosts run.
pub fn kind_of(change: &Change) -> Option<Kind> {
    match (change.is_retroactive(), change.is_retirement()) {
        (true, _) => Some(Kind::Retroactive),
        (false, true) => Some(Kind::Retirement),
        (false, false) => None,
    }
}

/// Who does what next with such a draft.
pub fn next(id: &ChangeId) -> String {
    format!("next: assent change submit {id}; then somebody else decides: assent approve {id}\n")
}
