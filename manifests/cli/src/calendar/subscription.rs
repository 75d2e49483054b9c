//! Calendars that the server reads from an address, as a person sees and steers them.

use super::args::SubscribeArgs;
use super::{calendar, print, span};
use crate::error::{Done, Failure};
use crate::files;
use crate::lang::Word;
use crate::net::Seen;
use crate::session::Session;
use crate::window::{self, every};
use crate::{term, text};
use jiff::tz::TimeZone;
use shared::limits::URL_BYTES;
use shared::windows::CalendarName;
use shared::wire::{AcceptCalendar, CalendarFile, CalendarLine, PutSubscription, Subscription};
use std::path::Path;

pub fn subscribe(session: &Session, args: &SubscribeArgs) -> Done {
    let zone = window::zone(args.scope.zone.as_deref())?;
    let url = match args.url.as_str() {
        "-" => files::read_text_or_input(Path::new("-"), URL_BYTES)?.trim().to_owned(),
        url => url.to_owned(),
    };
    let every_s = u32::try_from(window::duration(&args.every)?)
        .map_err(|_| Failure::usage("--every is too long").remedy("write one like 6h, at most 1w"))?;
    let before = session.api.calendar(&args.scope.name)?;
    let put = PutSubscription {
        url,
        every_s,
        zone: every::name_of(&zone)?,
        reason: args.scope.reason.clone(),
        calendar: calendar(session, &args.scope, before.as_deref(), None, (Vec::new(), Vec::new()))?,
    };
    let stored = session.api.subscribe_calendar(&args.scope.name, &put, Seen::only(before.as_ref()))?;
    print(session, &stored)?;
    let hint = session.lang.fill(Word::CalendarReadSoon, args.scope.name.as_str());
    term::note(&format!("{hint}\n"));
    Ok(())
}

pub fn unsubscribe(session: &Session, name: &CalendarName) -> Done {
    session.api.unsubscribe_calendar(name)?;
    term::print(&format!("{}\n", session.lang.fill(Word::CalendarUnsubscribed, name.as_str())))
}

/// Takes what waits, as it is now; what would be open is shown first.
pub fn accept(session: &Session, name: &CalendarName, reason: &str) -> Done {
    let file = session.api.calendar(name)?;
    let waiting = file.as_ref().and_then(|file| file.subscription.as_ref()?.waiting.as_ref());
    let Some(waiting) = waiting else {
        return Err(Failure::refused(format!("nothing waits for a word about the calendar {name}"))
            .remedy(format!("see `assent calendar show {name}`")));
    };
    let zone = window::zone(None)?;
    let mut out = format!("{}\n", lost(session, waiting.lost, waiting.of));
    for time in &waiting.first {
        out.push_str(&format!("  {}\n", span(session, *time, &zone)));
    }
    term::note(&out);
    let accept = AcceptCalendar { sha256: waiting.sha256, reason: reason.to_owned() };
    print(session, &session.api.accept_calendar(name, &accept)?)
}

fn lost(session: &Session, lost: u32, of: u32) -> String {
    session.lang.fill(Word::TimesOpened, &format!("{lost}/{of}"))
}

/// In one cell of a table: how reading it goes.
pub fn cell(session: &Session, line: &CalendarLine, zone: &TimeZone) -> String {
    let lang = session.lang;
    let Some(subscription) = &line.subscription else { return "-".into() };
    let at = |word, at| lang.fill(word, &window::local_in(lang, at, zone));
    match subscription {
        Subscription { waiting: Some(_), .. } => lang.word(Word::AwaitsConsent).to_owned(),
        Subscription { failing_since: Some(since), .. } => at(Word::FailingSince, *since),
        Subscription { read: Some(read), .. } => at(Word::ReadAt, *read),
        Subscription { read: None, .. } => lang.word(Word::NotReadYet).to_owned(),
    }
}

/// What a person should look at: a calendar that waits for a word, or one that is old.
pub fn worries(session: &Session) -> Done<Vec<String>> {
    let told = |line: CalendarLine| {
        let subscription = line.subscription?;
        let name = line.name.as_str();
        let word = match (&subscription.waiting, subscription.stale) {
            (Some(_), _) => Word::CalendarWaits,
            (None, true) => Word::CalendarIsOld,
            (None, false) => return None,
        };
        Some(session.lang.fill(word, name))
    };
    Ok(session.api.calendars()?.into_iter().filter_map(told).collect())
}

/// The lines of `assent calendar show` about it.
pub fn lines(session: &Session, file: &CalendarFile, zone: &TimeZone) -> String {
    let lang = session.lang;
    let Some(of) = &file.subscription else { return String::new() };
    let at = |at| window::local_in(lang, at, zone);
    let mut out = String::new();
    let mut line = |text: String| out.push_str(&format!("  {text}\n"));
    let from = format!("{}  ({}, {})", text::clean(&of.from), text::span(i64::from(of.every_s)), of.zone);
    line(lang.fill(Word::ReadFrom, &from));
    let since = format!("{}  {}: {}", at(of.since), of.by, text::clean(&of.reason));
    line(lang.fill(Word::SubscribedSince, &since));
    match of.read {
        Some(read) => line(lang.fill(Word::ReadAt, &at(read))),
        None => line(lang.word(Word::NotReadYet).to_owned()),
    }
    if let Some(changed) = of.changed {
        line(lang.fill(Word::ChangedAt, &at(changed)));
    }
    line(lang.fill(Word::ReadNext, &at(of.next)));
    if let Some(since) = of.failing_since {
        let error = of.last_error.as_deref().map(text::clean).unwrap_or_default();
        line(format!("{}: {error}", lang.fill(Word::FailingSince, &at(since))));
    }
    if of.stale {
        line(lang.fill(Word::CalendarIsOld, file.name.as_str()));
    }
    if let Some(waiting) = &of.waiting {
        line(lang.fill(Word::CalendarWaits, file.name.as_str()));
        line(lost(session, waiting.lost, waiting.of));
        for time in &waiting.first {
            line(format!("  {}", span(session, *time, zone)));
        }
    }
    out
}
