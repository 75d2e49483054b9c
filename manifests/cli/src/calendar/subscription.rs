//! Calendars that the server reads from an address, as a person sees and steers them.

use super::args::SubscribeArgs;
use super::{calendar, span, tell};
use crate::error::{Done, Failure};
use crate::files;
use crate::lang::{Lang, Word};
use crate::net::Seen;
use crate::session::Session;
use crate::window::{self, every};
use crate::written::{self, Written};
use crate::{term, text};
use jiff::tz::TimeZone;
use shared::limits::URL_BYTES;
use shared::windows::CalendarName;
use shared::wire::{
    AcceptCalendar, CalendarFile, CalendarLine, PutSubscription, Subscription, WaitingCalendar,
};
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
    tell(session, &stored, args.scope.json.json)?;
    term::note(&read_soon(session.lang, &args.scope.name));
    Ok(())
}

pub fn unsubscribe(session: &Session, name: &CalendarName, json: bool) -> Done {
    session.api.unsubscribe_calendar(name)?;
    written::tell(json, Written::ended("subscription", name), &unsubscribed(session.lang, name))
}

pub(super) fn read_soon(lang: Lang, name: &CalendarName) -> String {
    format!("{}\n", lang.fill(Word::CalendarReadSoon, name.as_str()))
}

pub(super) fn unsubscribed(lang: Lang, name: &CalendarName) -> String {
    format!("{}\n", lang.fill(Word::CalendarUnsubscribed, name.as_str()))
}

/// What would be open by what waits.
pub(super) fn opening(lang: Lang, waiting: &WaitingCalendar, zone: &TimeZone) -> String {
    let mut out = format!("{}\n", lost(lang, waiting.lost, waiting.of));
    for time in &waiting.first {
        out.push_str(&format!("  {}\n", span(lang, *time, zone)));
    }
    out
}

/// Takes what waits, as it is now; what would be open is shown first.
pub fn accept(session: &Session, name: &CalendarName, reason: &str, json: bool) -> Done {
    let file = session.api.calendar(name)?;
    let waiting = file.as_ref().and_then(|file| file.subscription.as_ref()?.waiting.as_ref());
    let Some(waiting) = waiting else {
        return Err(Failure::refused(format!("nothing waits for a word about the calendar {name}"))
            .remedy(format!("see `assent calendar show {name}`")));
    };
    term::note(&opening(session.lang, waiting, &window::zone(None)?));
    let accept = AcceptCalendar { sha256: waiting.sha256, reason: reason.to_owned() };
    tell(session, &session.api.accept_calendar(name, &accept)?, json)
}

fn lost(lang: Lang, lost: u32, of: u32) -> String {
    lang.fill(Word::TimesOpened, &format!("{lost}/{of}"))
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
pub(super) fn lines(lang: Lang, file: &CalendarFile, zone: &TimeZone) -> String {
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
        opening(lang, waiting, zone).lines().for_each(|each| line(each.to_owned()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::page;
    use super::*;
    use crate::change::tests::check_golden;
    use serde_json::json;

    fn file(subscription: &serde_json::Value) -> CalendarFile {
        let rules = json!([{
            "rrule": "FREQ=WEEKLY;BYDAY=MO", "first": "2026-11-23T18:00", "end": { "after_s": 7_200 },
            "zone": "Europe/Berlin", "except": ["2026-12-21T18:00", "2026-12-28T18:00"], "last": "2027-01-31T23:59",
        }]);
        let calendar = json!({
            "title": "Office\u{1b}[2J freeze", "mode": "hard", "holds": ["standard", "normal"], "rules": rules,
        });
        let step = json!({
            "revision": 1, "at": "2026-11-20T10:00:00Z", "by": "lead", "calendar": calendar,
            "reason": "read from https://calendar.example.org/***",
        });
        let history = if subscription["read"].is_null() { json!([]) } else { json!([step]) };
        let times = [json!({ "from": "2026-11-23T17:00:00Z", "until": "2026-11-23T19:00:00Z" })];
        let upcoming = if subscription["read"].is_null() { json!([]) } else { json!(times) };
        serde_json::from_value(json!({
            "name": "freeze", "history": history, "upcoming": upcoming, "subscription": subscription,
        }))
        .unwrap()
    }

    fn subscription(more: &serde_json::Value) -> serde_json::Value {
        let mut all = json!({
            "from": "https://calendar.example.org/***", "every_s": 21_600, "zone": "Europe/Berlin", "by": "lead",
            "since": "2026-11-20T09:59:00Z", "reason": "kept by the office", "next": "2026-11-20T09:59:00Z",
            "stale": false,
        });
        for (key, value) in more.as_object().unwrap() {
            all[key] = value.clone();
        }
        all
    }

    #[test]
    fn what_the_commands_of_subscriptions_say() {
        let zone = window::zone(Some("Europe/Berlin")).unwrap();
        let name: CalendarName = "freeze".parse().unwrap();
        let new = file(&subscription(&json!({})));
        let first = [json!({ "from": "2026-11-23T17:00:00Z", "until": "2026-11-23T19:00:00Z" })];
        let waiting = json!({
            "sha256": "00".repeat(32), "since": "2026-11-20T10:00:00Z", "of": 3, "lost": 2, "first": first,
        });
        let old = file(&subscription(&json!({
            "read": "2026-11-20T10:00:00Z", "changed": "2026-11-20T10:00:00Z", "next": "2026-11-24T10:00:00Z",
            "failing_since": "2026-11-21T10:00:00Z", "last_error": "it answered with 500", "stale": true,
            "waiting": waiting,
        })));
        for (lang, ending) in [(Lang::En, "en"), (Lang::De, "de")] {
            let golden =
                |what: &str, text: String| check_golden(&format!("calendar-{what}.{ending}.txt"), &text);
            golden("subscribe", format!("{}{}", page(lang, &new, &zone), read_soon(lang, &name)));
            golden("unsubscribe", unsubscribed(lang, &name));
            let waits = old.subscription.as_ref().and_then(|of| of.waiting.as_ref()).unwrap();
            golden("accept", format!("{}{}", opening(lang, waits, &zone), page(lang, &old, &zone)));
        }
    }
}
