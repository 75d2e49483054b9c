//! `assent calendar …`: blackouts and maintenance windows on the server. They are the server's word; it can only stop things.

pub mod args;
mod free;
pub mod subscription;

use crate::author::list::print_json;
use crate::change::hosts::{find, pairs};
use crate::error::{Context as _, Done, Failure};
use crate::lang::{Lang, Word};
use crate::net::Seen;
use crate::session::Session;
use crate::window::{self, every};
use crate::written::{self, Written};
use crate::{clock, files, term, text};
use args::{CalendarCommand, ImportArgs, Scope, SetArgs};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use shared::change::ChangeType;
use shared::digest::Digest;
use shared::time::{Interval, Timestamp};
use shared::windows::ics::{self, NotTaken, Zones};
use shared::windows::{CalendarName, Phrase, WindowRule};
use shared::wire::{Calendar, CalendarFile, CalendarMode, CalendarStep, PutCalendar};

pub fn run(session: &Session, command: CalendarCommand) -> Done {
    match command {
        CalendarCommand::List { json } => list(session, json),
        CalendarCommand::Show { name, json } => show(session, &name, json),
        CalendarCommand::Set(args) => set(session, &args),
        CalendarCommand::End { name, reason, json } => {
            let Some(file) = session.api.calendar(&name)? else {
                return Err(Failure::refused(format!("there is no calendar {name}"))
                    .remedy("see `assent calendar list`"));
            };
            store(session, (&name, Some(&file)), (reason, None), json.json)
        }
        CalendarCommand::Free(args) => free::run(session, &args),
        CalendarCommand::Feed { end, json } => feed(session, end, json.json),
        CalendarCommand::Import(args) => import(session, &args),
        CalendarCommand::Subscribe(args) => subscription::subscribe(session, &args),
        CalendarCommand::Unsubscribe { name, json } => subscription::unsubscribe(session, &name, json.json),
        CalendarCommand::Accept { name, reason, json } => {
            subscription::accept(session, &name, &reason, json.json)
        }
    }
}

/// Makes an address of the schedule, or ends all that the person has.
fn feed(session: &Session, end: bool, json: bool) -> Done {
    let person = &session.profile.config.person;
    if end {
        session.api.end_feeds()?;
        let words = format!("{}\n", session.lang.word(Word::FeedsEnded));
        return written::tell(json, Written::ended("feed", person), &words);
    }
    let secret = shared::digest::hex(&clock::random::<32>()?);
    session.api.open_feed(&Digest::of(secret.as_bytes()))?;
    let url = format!("{}/v1/feeds/{secret}.ics", session.profile.config.people_url);
    let now = serde_json::json!({ "url": url });
    written::tell(json, Written::of("feed", person, &now)?, &format!("{url}\n"))?;
    term::note(&format!("{}\n", session.lang.word(Word::FeedSecret)));
    Ok(())
}

fn list(session: &Session, json: bool) -> Done {
    let lines = session.api.calendars()?;
    if json {
        return print_json(&lines);
    }
    let (lang, zone) = (session.lang, window::zone(None)?);
    if lines.is_empty() {
        return term::print(&format!("{}\n", lang.word(Word::NoCalendars)));
    }
    let mut rows = vec![lang.heads(Word::HeadsOfCalendars)];
    rows.extend(lines.iter().map(|line| {
        let next = line.next.map_or("-".to_owned(), |next| span(lang, next, &zone));
        let hosts = line.hosts.map_or_else(|| lang.word(Word::All).to_owned(), |hosts| hosts.to_string());
        let read = subscription::cell(session, line, &zone);
        vec![line.name.to_string(), line.mode.as_str().into(), hosts, next, read, text::clean(&line.title)]
    }));
    term::print(&text::table(&rows))
}

fn span(lang: Lang, time: Interval, zone: &TimeZone) -> String {
    let [from, until] = [time.from, time.until].map(|at| window::local_in(lang, at, zone));
    format!("{from} .. {until}")
}

fn show(session: &Session, name: &CalendarName, json: bool) -> Done {
    let file = session.api.calendar(name)?.ok_or_else(|| {
        Failure::refused(format!("there is no calendar {name}")).remedy("see `assent calendar list`")
    })?;
    if json { print_json(&file.it) } else { print(session, &file) }
}

fn print(session: &Session, file: &CalendarFile) -> Done {
    term::print(&page(session.lang, file, &window::zone(None)?))
}

/// What the calendar says, how reading it goes, its next times, and who changed it when.
fn page(lang: Lang, file: &CalendarFile, zone: &TimeZone) -> String {
    let mut out = String::new();
    match file.history.first().and_then(|step| step.calendar.as_ref()) {
        Some(calendar) => {
            let holds: Vec<_> = calendar.holds.iter().map(|held| word_of(*held)).collect();
            out.push_str(&format!("{}  {}\n", file.name, text::clean(&calendar.title)));
            let mode = match calendar.mode {
                CalendarMode::Hard => lang.fill(Word::CalendarHard, &holds.join(", ")),
                CalendarMode::Warn => lang.fill(Word::CalendarWarn, &holds.join(", ")),
                CalendarMode::Window => lang.fill(Word::CalendarWindow, &holds.join(", ")),
            };
            out.push_str(&format!("  {mode}\n"));
            if !calendar.labels.is_empty() || !calendar.hosts.is_empty() || calendar.search.is_some() {
                let labels: Vec<_> =
                    calendar.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let hosts = calendar.hosts.iter().map(|host| host.to_string());
                let search = calendar.search.iter().map(|search| format!("[{search}]"));
                let held: Vec<_> =
                    labels.into_iter().chain(hosts).chain(search).map(|text| text::clean(&text)).collect();
                out.push_str(&format!("  {}\n", lang.fill(Word::CalendarHosts, &held.join(" "))));
            }
            for rule in &calendar.rules {
                out.push_str(&format!("  {}\n", lang.fill(Word::WindowRule, &every::told(rule))));
            }
        }
        None if file.history.is_empty() => out.push_str(&format!("{}\n", file.name)),
        None => out.push_str(&format!("{}  {}\n", file.name, lang.word(Word::CalendarEnded))),
    }
    out.push_str(&subscription::lines(lang, file, zone));
    for time in &file.upcoming {
        out.push_str(&format!("  {}\n", window::told(lang, *time, zone)));
    }
    for step in &file.history {
        let at = window::local_in(lang, step.at, zone);
        let revision = lang.word(Word::Revision);
        out.push_str(&format!(
            "  {revision} {}  {at}  {}: {}\n",
            step.revision,
            step.by,
            text::clean(&step.reason)
        ));
    }
    out
}

fn word_of(held: ChangeType) -> &'static str {
    match held {
        ChangeType::Standard => "standard",
        ChangeType::Normal => "normal",
        ChangeType::Emergency => "emergency",
        ChangeType::Retroactive => "retroactive",
    }
}

fn set(session: &Session, args: &SetArgs) -> Done {
    let zone = window::zone(args.scope.zone.as_deref())?;
    let first = match &args.first {
        Some(text) => window::time(text, &zone, session.now)?,
        None => session.now,
    };
    let mut times = window::windows(&args.time, &zone, session.now)?;
    for text in &args.day {
        times.push(days(text, &zone)?);
    }
    let rules = args
        .rule
        .iter()
        .map(|text| {
            let phrase: Phrase = text
                .parse()
                .map_err(|e| Failure::usage(format!("{e}")).remedy("see `assent window --help`"))?;
            let local = jiff::Timestamp::from_second(first.0).or_usage("--first is out of range")?;
            Ok(phrase.begins(local.to_zoned(zone.clone()).date(), every::name_of(&zone)?))
        })
        .collect::<Done<Vec<_>>>()?;
    if times.is_empty() && rules.is_empty() {
        return Err(Failure::usage("no times are given")
            .remedy("give --rule \"every weekday 08:00..18:00\", --time FROM..UNTIL or --day DATE"));
    }
    let before = session.api.calendar(&args.scope.name)?;
    let calendar = calendar(session, &args.scope, before.as_deref(), None, (rules, times))?;
    store(
        session,
        (&args.scope.name, before.as_ref()),
        (args.scope.reason.clone(), Some(calendar)),
        args.scope.json.json,
    )
}

/// `2026-12-24`, or `2026-12-24..2027-01-02` with the last day.
fn days(text: &str, zone: &TimeZone) -> Done<Interval> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let date = |text: &str| -> Done<Date> {
        text.trim().parse().map_err(|e| {
            Failure::usage(format!("{text:?} is not a day"))
                .why(e)
                .remedy("write 2026-12-24, or 2026-12-24..2027-01-02")
        })
    };
    let (first, last) = (date(first)?, date(last)?);
    let end = last.tomorrow().or_usage(format!("{text:?} is out of range"))?;
    let time = Interval { from: midnight(first, zone)?, until: midnight(end, zone)? };
    match time.is_empty() {
        true => Err(Failure::usage(format!("{text:?} ends before it begins"))),
        false => Ok(time),
    }
}

fn midnight(day: Date, zone: &TimeZone) -> Done<Timestamp> {
    ics::midnight(day, zone).ok_or_else(|| Failure::usage(format!("{day} is out of range")))
}

fn calendar(
    session: &Session,
    scope: &Scope,
    before: Option<&CalendarFile>,
    title: Option<String>,
    (rules, mut times): (Vec<WindowRule>, Vec<Interval>),
) -> Done<Calendar> {
    let old = before.and_then(|file| file.history.first()).and_then(|step| step.calendar.as_ref());
    let title = scope.title.clone().or_else(|| old.map(|old| old.title.clone())).or(title);
    let hosts = match scope.target.is_empty() {
        true => Vec::new(),
        false => session.api.hosts(&[])?,
    };
    times.sort_by_key(|time| (time.from, time.until));
    times.dedup();
    let holds = match scope.hold.is_empty() {
        true => [ChangeType::Standard, ChangeType::Normal].into(),
        false => scope.hold.iter().map(|held| ChangeType::from(*held)).collect(),
    };
    Ok(Calendar {
        title: title.ok_or_else(|| {
            Failure::usage("--title is missing")
                .remedy("say in one line why nothing starts then, or what the times are for")
        })?,
        mode: match (scope.warn, scope.maintenance) {
            (true, _) => CalendarMode::Warn,
            (false, true) => CalendarMode::Window,
            (false, false) => CalendarMode::Hard,
        },
        labels: pairs(&scope.label)?.into_iter().collect(),
        search: scope.search.clone(),
        hosts: scope
            .target
            .iter()
            .map(|name| find(&hosts, name).map(|host| host.agent))
            .collect::<Done<_>>()?,
        holds,
        rules,
        times,
    })
}

fn store(
    session: &Session,
    (name, before): (&CalendarName, Option<&Seen<CalendarFile>>),
    (reason, calendar): (String, Option<Calendar>),
    json: bool,
) -> Done {
    let newest = before.and_then(|file| file.history.first());
    let same = |step: &CalendarStep| match (&step.calendar, &calendar) {
        (Some(old), Some(new)) => old.says_the_same(new, session.now),
        (old, new) => old.is_none() && new.is_none(),
    };
    if newest.is_some_and(same) {
        let words = format!("{}\n", session.lang.fill(Word::CalendarSame, name.as_str()));
        return written::tell_all(json, Vec::new(), &words);
    }
    let after = newest.map_or(0, |step| step.revision);
    let stored =
        session.api.put_calendar(name, &PutCalendar { after, reason, calendar }, Seen::only(before))?;
    tell(session, &stored, json)
}

/// What was written of a calendar.
fn tell(session: &Session, stored: &Seen<CalendarFile>, json: bool) -> Done {
    match json {
        true => written::tell(json, Written::seen("calendar", &stored.name, stored)?, ""),
        false => print(session, stored),
    }
}

fn import(session: &Session, args: &ImportArgs) -> Done {
    let zone = window::zone(args.scope.zone.as_deref())?;
    let text = files::read_text_or_input(&args.file, ics::LARGEST)?;
    let zones = Zones { own: &zone, find: |name| TimeZone::get(name).ok() };
    let read = ics::read(&text, zones, session.now).map_err(not_taken)?;
    if read.rules.is_empty() && read.times.is_empty() {
        return Err(Failure::usage("the calendar has no event that is not over"));
    }
    for note in &read.left_out {
        term::note(&format!("note: {note}\n"));
    }
    let before = session.api.calendar(&args.scope.name)?;
    let calendar = calendar(session, &args.scope, before.as_deref(), read.name, (read.rules, read.times))?;
    store(
        session,
        (&args.scope.name, before.as_ref()),
        (args.scope.reason.clone(), Some(calendar)),
        args.scope.json.json,
    )
}

fn not_taken(not: NotTaken) -> Failure {
    match not {
        NotTaken::NoCalendar(why) => Failure::usage("this is not an iCalendar file")
            .why(why)
            .remedy("export the calendar as .ics (RFC 5545)"),
        NotTaken::Nested => Failure::usage(not.to_string()).remedy("export only what is needed"),
        NotTaken::Event { summary, why } => {
            Failure::usage(format!("{summary:?} of this calendar cannot be taken"))
                .why(why)
                .remedy("take it out of the file and give its times with `assent calendar set`")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_days_there() {
        let berlin = window::zone(Some("Europe/Berlin")).unwrap();
        let told =
            |text: &str| days(text, &berlin).map(|time| (time.from.to_string(), time.until.to_string()));
        assert_eq!(
            told("2026-12-24").unwrap(),
            ("2026-12-23T23:00:00Z".into(), "2026-12-24T23:00:00Z".into())
        );
        assert_eq!(
            told("2026-10-24..2026-10-25").unwrap(),
            ("2026-10-23T22:00:00Z".into(), "2026-10-25T23:00:00Z".into()),
            "the last day has 25 hours"
        );
        // Clocks jump over midnight there.
        let beirut = window::zone(Some("Asia/Beirut")).unwrap();
        assert_eq!(days("2026-03-29", &beirut).unwrap().from.to_string(), "2026-03-28T22:00:00Z");
        for bad in ["2026-12-25..2026-12-24", "24.12.2026", "", "2026-02-30"] {
            assert_eq!(days(bad, &berlin).unwrap_err().exit_code(), 2, "{bad}");
        }
    }
}
