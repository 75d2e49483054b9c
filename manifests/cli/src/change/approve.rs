//! `assent approve`, `reject`, `withdraw`: a person's word, signed here after everything was verified here.

use super::args::ApproveArgs;
use super::conflicts;
use super::forecast::{self, Forecast};
use super::glass;
use super::narrow::{self, Narrowed};
use super::review::Review;
use super::show::{fetch, print};
use super::unseen;
use crate::args::AsJson;
use crate::clock;
use crate::error::{Done, Failure};
use crate::lang::Word;
use crate::profile::KeyUse;
use crate::session::Session;
use crate::ssh::{self, Place};
use crate::trust::Site;
use crate::written::{self, Written};
use crate::{files, term, text, window};
use shared::approval::{Approval, BreakGlass, Decision, Saw};
use shared::digest::hex;
use shared::facts::Facts;
use shared::ids::{AgentId, ChangeId, ChangeRef};
use shared::limits;
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::wire::Approve;
use std::path::Path;

const RENDERER: &str = concat!("assent ", env!("CARGO_PKG_VERSION"));

/// Shows the whole change, asks, signs, sends, and says whether it suffices.
pub fn approve(session: &Session, args: &ApproveArgs) -> Done {
    let json = args.json.begin();
    let site = session.site()?;
    match args.glass() {
        Some(reason) => glass::check(session, &site, reason)?,
        None => check_role(session, &site)?,
    }
    check_named(args)?;
    let id = session.change(&args.change)?;
    let mut review = fetch(session, &site, &id)?;
    if args.all_plans && review.widen() {
        term::note(&format!("note: {}\n", session.lang.word(Word::Widened)));
    }
    let review = review;
    print(session, &site, &review)?;
    review.check_approvable()?;
    if review.change.body.is_record() {
        accept(session, &site, &review, args)?;
        return tell(session, &id, json);
    }
    // A host whose facts cannot be had only leaves its contents unseen.
    let facts = |agent: AgentId| {
        let host = session.api.hosts(&[]).ok()?.into_iter().find(|host| host.agent == agent)?;
        session.api.ci(&host.ci).ok()?.facts
    };
    show_hidden(session, &review, (args.diff_to.as_deref(), args.accept_unseen), facts)?;
    let Narrowed { agents, kept } = narrow::narrowed(&review, args, &session.profile.config.person)?;
    if kept > 0 {
        let told = session.lang.fill(Word::KeptApproved, &kept.to_string());
        term::note(&format!("note: {told}\n"));
    }
    if agents.is_none() && args.glass().is_none() {
        conflicts::check(session, &id)?;
    }
    let expires = match args.glass() {
        Some(_) => glass::expires(session, &site, args.expires.as_deref())?,
        None => {
            let expires = expires(&review, args.expires.as_deref(), session.now)?;
            warn_about_age(&site, &review, session.now);
            tell_standing(session, &site, &review, expires);
            expires
        }
    };
    if review.change.body.author == session.profile.config.person {
        term::note(&format!("note: {}\n", session.lang.word(Word::SelfApproved)));
    }
    term::confirm(&format!("{}:", session.lang.word(Word::TypeToApprove)), id.as_str(), args.yes)?;
    let breakglass = args.glass().map(|reason| BreakGlass { reason: reason.to_owned(), by_hand: false });
    let said = Said { decision: Decision::Approve, expires, agents, comment: &args.comment, breakglass };
    let statement = signed(session, &site, &review, said, args.ssh.place())?;
    let forecast = Forecast::of(&site.policy, &review, Some(&statement), session.now);
    send(session, &review, &statement)?;
    term::print(&told(session, &review, &forecast))?;
    tell(session, &id, json)
}

/// For programs: the change as it is after the word.
fn tell(session: &Session, id: &ChangeId, json: bool) -> Done {
    if !json {
        return Ok(());
    }
    written::tell(json, Written::of("change", id, &session.api.change_line(id)?)?, "")
}

/// Whoever does not look at the page that is signed must not leave it to the server which change that is.
fn check_named(args: &ApproveArgs) -> Done {
    match &args.change {
        ChangeRef::Number(number) if args.yes => {
            Err(Failure::usage(format!("with --yes the change is named by its own id, not as {number}"))
                .why("which change has a number of the year is only the server's word; the id is signed")
                .remedy(format!("leave --yes out, or see `assent change show {number}` for the id")))
        }
        ChangeRef::Number(_) | ChangeRef::Id(_) => Ok(()),
    }
}

/// The same for a change that brings nothing to hosts: as a whole, and for nothing that hosts would do.
fn accept(session: &Session, site: &Site, review: &Review, args: &ApproveArgs) -> Done {
    if !args.only.is_empty() || !args.class.is_empty() || !args.skip.is_empty() || args.instead {
        return Err(Failure::usage(
            "a change that brings nothing to hosts is accepted as a whole, not for some",
        )
        .remedy("reject it, and let its author leave out what you do not accept"));
    }
    if args.glass().is_some() {
        return Err(Failure::usage("this change runs nowhere; there is no glass to break for it"));
    }
    let (id, lang) = (&review.change.body.change_id, session.lang);
    let expires = expires(review, args.expires.as_deref(), session.now)?;
    if review.change.body.author == session.profile.config.person {
        term::note(&format!("note: {}\n", lang.word(Word::SelfAccepted)));
    }
    term::confirm(&format!("{}:", lang.word(Word::TypeToApprove)), id.as_str(), args.yes)?;
    let said =
        Said { decision: Decision::Approve, expires, agents: None, comment: &args.comment, breakglass: None };
    let statement = signed(session, site, review, said, args.ssh.place())?;
    let acceptance = forecast::acceptance(&site.policy, review, &statement, session.now);
    let state = send(session, review, &statement)?;
    let verdict = if acceptance.verdict.is_ok() { Word::Suffices } else { Word::DoesNotSuffice };
    let mut out = format!("{id} is {}: {}\n", text::clean(&state), lang.word(verdict));
    for line in acceptance.lines.into_iter().chain(acceptance.verdict.err().map(|e| format!("! {e}"))) {
        out.push_str(&format!("  {}\n", text::clean(&line)));
    }
    term::print(&out)
}

/// Nobody approves what is cut without having been shown the whole, or saying so.
pub(super) fn show_hidden(
    session: &Session,
    review: &Review,
    (diff_to, accept_unseen): (Option<&Path>, bool),
    facts: impl Fn(AgentId) -> Option<Facts>,
) -> Done {
    let hidden = unseen::hidden(review, facts);
    let text = unseen::shown(&hidden);
    match diff_to {
        Some(file) if !text.is_empty() => {
            files::write_new(file, text.as_bytes())?;
            term::note(&format!("note: {} {}\n", session.lang.word(Word::WholeContentsIn), file.display()));
        }
        _ if text.is_empty() => {}
        _ => term::print(&format!("\n{}\n{text}\n", session.lang.word(Word::WholeContents)))?,
    }
    let unseen: Vec<&str> =
        hidden.iter().filter(|one| one.text.is_none()).map(|one| one.what.as_str()).collect();
    if unseen.is_empty() {
        return Ok(());
    }
    let names = unseen.join(", ");
    if accept_unseen {
        term::note(&format!("note: {} {names}\n", session.lang.word(Word::ApprovedUnseen)));
        return Ok(());
    }
    Err(Failure::refused(format!("the plans show only a part of {names}"))
        .why("the whole cannot be made here from the manifest, or has another digest than the host signed")
        .remedy(
            "look at it on the host, then approve with --accept-unseen, or have it brought in smaller parts",
        ))
}

/// A no needs no plans; it says which plan set it is about all the same.
pub fn refuse(
    session: &Session,
    id: &ChangeId,
    (decision, comment): (Decision, &str),
    (ssh, json): (Option<Place<'_>>, AsJson),
) -> Done {
    let json = json.begin();
    let site = session.site()?;
    let broke = decision == Decision::Withdraw
        && !site.policy.glass_keys(&session.profile.config.person, session.now).is_empty();
    if !broke {
        check_role(session, &site)?;
    }
    let review = fetch(session, &site, id)?;
    let expires = session.now.plus(limits::CHANGE_DAYS * 86_400);
    let said = Said { decision, expires, agents: None, comment, breakglass: None };
    let statement = signed(session, &site, &review, said, ssh)?;
    let state = send(session, &review, &statement)?;
    let title = text::clean(&review.change.body.title);
    term::print(&format!(
        "{id} ({title}): {} signed and sent; state {}\n",
        decision.as_str(),
        text::clean(&state)
    ))?;
    tell(session, id, json)
}

pub(super) struct Said<'a> {
    pub decision: Decision,
    pub expires: Timestamp,
    pub agents: Option<Vec<AgentId>>,
    pub comment: &'a str,
    pub breakglass: Option<BreakGlass>,
}

pub(super) fn signed(
    session: &Session,
    site: &Site,
    review: &Review,
    said: Said<'_>,
    place: Option<Place<'_>>,
) -> Done<Statement<Approval>> {
    if said.comment.len() > limits::TEXT_BYTES {
        return Err(Failure::usage(format!("the comment has more than {} bytes", limits::TEXT_BYTES)));
    }
    let change = &review.change;
    let approval = Approval {
        site: change.body.site.clone(),
        change_id: change.body.change_id.clone(),
        revision: change.body.revision,
        change: change.digest,
        decision: said.decision,
        person: session.profile.config.person.clone(),
        at: session.now,
        expires: said.expires,
        saw: Saw { plan_set: review.set.digest(), renderer: RENDERER.into() },
        agents: said.agents,
        nonce: hex(&clock::random::<16>()?),
        comment: said.comment.to_owned(),
        breakglass: said.breakglass,
    };
    let Some(place) = place else { return Ok(Statement::sign(approval, &session.key(KeyUse::Approver)?)) };
    let keys = match approval.breakglass {
        Some(_) => site.policy.glass_keys(&approval.person, session.now),
        None => site.policy.approving_keys(&approval.person, session.now),
    };
    let mut statement = Statement::unsigned(approval);
    ssh::sign(&mut statement, &keys, place)?;
    Ok(statement)
}

/// The state afterwards; the policy's lines as the server sees them are printed.
fn send(session: &Session, review: &Review, statement: &Statement<Approval>) -> Done<String> {
    let body = Approve { plan_set: review.set.clone(), approval: statement.envelope.clone() };
    let reply = session.api.approve(&review.change.body.change_id, &body)?;
    for line in &reply.lines {
        term::print(&format!("  server: {}\n", text::clean(line)))?;
    }
    Ok(reply.state)
}

pub(super) fn told(session: &Session, review: &Review, forecast: &Forecast) -> String {
    let (id, lang) = (&review.change.body.change_id, session.lang);
    let (allowed, all) = (forecast.allowed(), forecast.hosts.len());
    let verdict = if allowed > 0 { Word::Suffices } else { Word::DoesNotSuffice };
    let mut out = format!("{id}: {}\n", lang.word(verdict));
    for line in &forecast.lines {
        out.push_str(&format!("  {}\n", text::clean(line)));
    }
    out.push_str(&format!("  {}: {allowed}/{all}\n", lang.word(Word::WouldBeAllowed)));
    for reason in forecast.reasons() {
        out.push_str(&format!("  ! {}\n", text::clean(&reason)));
    }
    out
}

fn check_role(session: &Session, site: &Site) -> Done {
    let person = &session.profile.config.person;
    if !site.policy.may_approve(person, session.now) {
        let message = format!("{person} is no approver at this site");
        return Err(Failure::refused(message).why(format!(
            "policy version {} has no such key, and no delegation that holds now",
            site.policy.version
        )));
    }
    Ok(())
}

fn expires(review: &Review, given: Option<&str>, now: Timestamp) -> Done<Timestamp> {
    match given {
        Some(length) => Ok(now.plus(window::duration(length)?)),
        None if review.change.body.not_after <= now => Err(Failure::refused(format!(
            "{} ended at {}",
            review.change.body.change_id, review.change.body.not_after
        ))),
        None => Ok(review.change.body.over()),
    }
}

/// What the approval covers besides the run: that hosts put back what they were approved for, and until when at most.
fn tell_standing(session: &Session, site: &Site, review: &Review, expires: Timestamp) {
    let Some(asked) = review.change.body.correct_until else { return };
    let ends = review.set.plans.keys().filter_map(|id| review.plans.get(id)).map(|plan| {
        forecast::corrections_until(&site.policy, review, plan, session.now)
            .map(|end| end.min(asked).min(expires))
    });
    let lang = session.lang;
    let text = match ends.flatten().max() {
        Some(end) => match window::zone(None) {
            Ok(zone) => lang.fill(Word::Stands, &window::local_in(lang, end, &zone)),
            Err(_) => lang.fill(Word::Stands, &end.to_string()),
        },
        None => lang.word(Word::StandsNot).to_owned(),
    };
    term::note(&format!("note: {text}\n"));
}

/// An approval that is too old when the window opens helps nobody.
fn warn_about_age(site: &Site, review: &Review, now: Timestamp) {
    let Some(hours) = site.policy.rules.iter().map(|rule| rule.require.max_validity_h).min() else { return };
    let end = now.plus(i64::from(hours) * 3_600);
    if review.change.body.intervals.iter().all(|interval| interval.from >= end) {
        term::note(&format!(
            "note: approvals are good for {hours} hours at this site; yours ends before the first window\n"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Approve {
        #[command(flatten)]
        args: ApproveArgs,
    }

    #[test]
    fn nobody_approves_unseen_what_only_the_server_says_the_number_is_of() {
        for (words, allowed) in [
            (&["x", "N-2026-0014", "--yes"][..], false),
            (&["x", "N-2026-0014"], true),
            (&["x", "C-114", "--yes"], true),
        ] {
            let Approve { args } = Approve::parse_from(words);
            let checked = check_named(&args);
            assert_eq!(checked.is_ok(), allowed, "{words:?}");
            assert!(checked.err().is_none_or(|failure| failure.to_string().contains("its own id")));
        }
    }
}
