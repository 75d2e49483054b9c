//! `assent change show` and `list`.

use super::forecast::Forecast;
use super::render::{Style, render};
use super::review::Review;
use super::{assessment, conflicts, document, notes, stages};
use crate::author::list::print_json;
use crate::error::Done;
use crate::lang::{Lang, Word};
use crate::net::api::Wanted;
use crate::session::Session;
use crate::trust::Site;
use crate::{term, text, window};
use shared::digest::Digest;
use shared::ids::{AgentId, ChangeId};
use shared::time::Timestamp;
use shared::wire::ChangeLine;
use std::collections::{BTreeMap, BTreeSet};

/// The change from the server, verified.
pub fn fetch(session: &Session, site: &Site, id: &ChangeId) -> Done<Review> {
    let file = session.api.change(id)?;
    Review::of(&site.policy, id, file, |named| site.manifest_of(&session.api, named), session.now)
}

pub fn show(session: &Session, id: &ChangeId, json: bool) -> Done {
    let site = session.site()?;
    let review = fetch(session, &site, id)?;
    if json {
        return document::print(session, &site, &review);
    }
    print(session, &site, &review)
}

/// Prints the page that is looked at and decided on.
pub fn print(session: &Session, site: &Site, review: &Review) -> Done {
    let unplanned = !review.uncovered().0.is_empty();
    let known = if unplanned { session.api.hosts(&[])? } else { Vec::new() };
    let names = known.into_iter().map(|host| (host.agent, host.hostname)).collect();
    let zone = window::zone(None)?;
    let style = Style { lang: session.lang, zone: &zone, colour: term::has_colour(), names: &names };
    term::print(&render(review, &site.policy, &style))?;
    if let Some(due) = review_due(&review.line, session.lang, &zone, session.now) {
        term::print(&format!("{due}\n"))?;
    }
    notes::tell_open(session, &review.change.body.change_id, review.line.objections)?;
    assessment::tell(session, review)?;
    conflicts::tell(session, review)?;
    tell_what_counts(session, site, review)?;
    stages::tell(session, &review.line)?;
    tell_what_moved(session, review)
}

/// What the policy makes of the approvals now, in the words of the hosts' own check.
pub(super) fn tell_what_counts(session: &Session, site: &Site, review: &Review) -> Done {
    let open = matches!(review.line.state.as_str(), "in_review" | "approved" | "running" | "halted");
    if !open || review.change.body.is_record() || review.plans.is_empty() {
        return Ok(());
    }
    let forecast = Forecast::of(&site.policy, review, None, session.now);
    let mut out = format!("{}\n", session.lang.word(Word::Counted));
    for line in forecast.lines.iter().chain(&forecast.reasons()) {
        out.push_str(&format!("  {}\n", text::clean(line)));
    }
    term::print(&out)
}

/// What a change accepts may look otherwise by now; that is the server's word.
fn tell_what_moved(session: &Session, review: &Review) -> Done {
    if !matches!(review.line.state.as_str(), "draft" | "review") {
        return Ok(());
    }
    let prints: BTreeSet<Digest> =
        review.grounds.findings.iter().map(|found| found.body.fingerprint()).collect();
    for fingerprint in prints {
        let asked = BTreeMap::from([("fingerprint", fingerprint.to_string()), ("current", "true".into())]);
        let still: BTreeSet<AgentId> =
            session.api.findings(&asked)?.into_iter().map(|line| line.agent).collect();
        let alike = review.grounds.findings.iter().filter(|found| found.body.fingerprint() == fingerprint);
        for found in alike.filter(|found| !still.contains(&found.body.header.agent_id)) {
            let (agent, what) = (found.body.header.agent_id, text::clean(&found.body.named()));
            let moved = session.lang.word(Word::MovedSince);
            term::note(&format!("note: {agent}: {what}: {moved}\n"));
        }
    }
    Ok(())
}

pub fn list(session: &Session, wanted: &Wanted<'_>, json: bool) -> Done {
    let lines = session.api.changes(wanted)?;
    if json {
        return print_json(&lines);
    }
    let mut rows = vec![session.lang.heads(Word::HeadsOfChanges)];
    let zone = window::zone(None)?;
    rows.extend(lines.iter().map(|line| row(line, session.lang, &zone, session.now)));
    term::print(&text::table(&rows))
}

/// Until when somebody has to look at what was done because the glass was broken.
fn review_due(line: &ChangeLine, lang: Lang, zone: &jiff::tz::TimeZone, now: Timestamp) -> Option<String> {
    let due = line.review_due?;
    let word = if due <= now { Word::ReviewOverdue } else { Word::ReviewDue };
    Some(lang.fill(word, &window::local_in(lang, due, zone)))
}

fn row(line: &ChangeLine, lang: Lang, zone: &jiff::tz::TimeZone, now: Timestamp) -> Vec<String> {
    let outcome = line.outcome.as_ref().map(|outcome| format!(" ({outcome})")).unwrap_or_default();
    let next =
        line.next_interval.map_or("-".to_owned(), |interval| window::local_in(lang, interval.from, zone));
    let counted = |text: String| if line.retroactive || line.retires { "-".to_owned() } else { text };
    let kind = match (line.retroactive, line.retires) {
        (true, _) => ", retroactive",
        (_, true) => lang.word(Word::Retires),
        (false, false) => "",
    };
    let due = review_due(line, lang, zone, now).map(|due| format!(", {due}")).unwrap_or_default();
    let open = match line.objections {
        0 => String::new(),
        count => format!(", {}", lang.fill(Word::ObjectionsOpen, &count.to_string())),
    };
    let later = line.submit_at.map(|at| window::local_in(lang, at, zone));
    let later = later.map(|at| format!(", {}", lang.fill(Word::SubmittedAt, &at))).unwrap_or_default();
    let register = line.register.as_ref().map(|number| format!(" ({number})")).unwrap_or_default();
    vec![
        text::clean(&format!("{}{register}", line.change_id)),
        line.revision.to_string(),
        text::clean(&format!("{}{outcome}{kind}{later}{due}{open}", line.state)),
        counted(format!("{}/{}", line.plans, line.targets)),
        counted(line.plan_classes.len().to_string()),
        counted(format!("{}/{}", line.reported, line.targets)),
        next,
        line.author.to_string(),
        text::clean(&line.title),
    ]
}
