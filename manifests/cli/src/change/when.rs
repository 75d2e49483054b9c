//! When a change that is being written runs: its windows, its end, and until when hosts may correct.

use super::args::NewArgs;
use crate::error::{Context as _, Done, Failure};
use crate::lang::Word;
use crate::session::Session;
use crate::term;
use crate::window::kept::{self, Wish};
use crate::window::{self, every};
use shared::change::Change;
use shared::limits;
use shared::time::{Interval, Timestamp};
use shared::windows::{CalendarName, Phrase, WindowRule};

/// Windows, and the rules that all of them came of.
type Windows = (Vec<Interval>, Vec<WindowRule>);

/// Single windows as they are given, the next ones of rules or of a calendar, or those of the last revision.
pub(super) fn windows(session: &Session, args: &NewArgs, old: Option<&Change>) -> Done<Windows> {
    if let Some(calendar) = &args.window_from {
        return Ok((of_calendar(session, args, calendar)?, Vec::new()));
    }
    let missing = || {
        Failure::usage("--window is missing")
            .remedy("give one like --window \"2026-11-21 02:00..+2h\" --zone Europe/Berlin")
    };
    match (args.window.is_empty(), old.filter(|old| !old.intervals.is_empty())) {
        (false, _) => given(session, args),
        (true, None) => Err(missing()),
        (true, Some(old)) if args.window_anew => anew(session, args, old),
        (true, Some(old)) => Ok((old.intervals.clone(), old.window_rules.clone())),
    }
}

fn given(session: &Session, args: &NewArgs) -> Done<Windows> {
    let zone = args.zone.as_deref();
    let rules = args.window.iter().filter(|text| Phrase::is_meant(text)).count();
    if rules == 0 {
        if args.times.is_some() || args.first.is_some() {
            return Err(Failure::usage("--times and --first are for windows by rule or of a calendar")
                .remedy("give a rule like --window \"every 2nd tuesday 22:00..+4h\", or leave them out"));
        }
        return Ok((window::windows(&args.window, &window::zone(zone)?, session.now)?, Vec::new()));
    }
    if rules < args.window.len() {
        return Err(Failure::usage("windows are given by rules or one by one, not both")
            .remedy("`assent window RULE` shows the windows of a rule"));
    }
    let chosen = every::choose(&args.window, zone, args.first.as_deref(), times(args), session.now)?;
    Ok((chosen.windows.iter().map(|one| one.interval).collect(), chosen.rules))
}

/// A series has as many as a change can be made ahead for.
fn times(args: &NewArgs) -> usize {
    let most = limits::CHANGE_INTERVALS;
    args.times.map_or(if args.series.is_some() { most } else { 1 }, usize::from)
}

/// Windows of a calendar on the server, worked out and shown here: they are signed, the calendar is not trusted.
fn of_calendar(session: &Session, args: &NewArgs, name: &CalendarName) -> Done<Vec<Interval>> {
    let zone = window::zone(args.zone.as_deref())?;
    let file = session.api.calendar(name)?.ok_or_else(|| {
        Failure::refused(format!("there is no calendar {name}")).remedy("see `assent calendar list`")
    })?;
    let first = args.first.as_deref().map(|text| window::time(text, &zone, session.now)).transpose()?;
    let until = args.window_until.as_deref().map(|text| window::end(text, &zone, session.now)).transpose()?;
    let most = if until.is_some() { None } else { Some(times(args)) };
    let chosen = kept::choose(&file, Wish { first, until, most }, session.now)?;
    if file.subscription.as_ref().is_some_and(|of| of.stale) {
        term::note(&format!("note: {}\n", session.lang.fill(Word::CalendarIsOld, name.as_str())));
    }
    let revision = file.history.first().map_or(0, |step| step.revision);
    let named = format!("{name} ({} {revision})", session.lang.word(Word::Revision));
    let mut told = session.lang.fill(Word::WindowsOfCalendar, &named);
    for window in &chosen {
        told.push_str(&format!("\n  {}", window::told(session.lang, *window, &zone)));
    }
    term::note(&format!("{}\n", told));
    Ok(chosen)
}

/// What the rules of the last revision give by now, where that is something else; what changes is shown.
fn anew(session: &Session, args: &NewArgs, old: &Change) -> Done<Windows> {
    let differs = old.windows_differ(every::known).or_usage("the rules behind the windows give none")?;
    let Some(differs) = differs.and_then(|differs| differs.coming(session.now)) else {
        return Err(Failure::refused(format!(
            "the rules of {} give the windows that are signed",
            old.change_id
        ))
        .why("the time zone database of this machine says of them what it said when they were signed")
        .remedy("give other windows with --window, or update the time zone database of this machine"));
    };
    term::note(&window::difference(session.lang, &differs, &window::zone(args.zone.as_deref())?));
    let mut intervals = old.intervals.clone();
    intervals.retain(|time| !differs.signed.contains(time));
    intervals.extend(&differs.now);
    intervals.sort_by_key(|time| time.from);
    Ok((intervals, old.window_rules.clone()))
}

/// Until when hosts may correct; an earlier revision's word holds until its own time.
pub(super) fn correct_until(
    session: &Session,
    args: &NewArgs,
    old: Option<&Change>,
) -> Done<Option<Timestamp>> {
    let zone = || window::zone(args.zone.as_deref());
    match &args.correct_until {
        Some(text) => window::end(text, &zone()?, session.now).map(Some),
        None => Ok(old.and_then(|o| o.correct_until).filter(|end| *end > session.now)),
    }
}

/// A new window also moves the end, unless the author says otherwise.
pub(super) fn not_after(
    session: &Session,
    args: &NewArgs,
    old: Option<&Change>,
    intervals: &[Interval],
) -> Done<Timestamp> {
    let last = intervals.last().map_or(session.now, |interval| interval.until);
    let moved = !args.window.is_empty() || args.window_from.is_some();
    match (&args.not_after, old) {
        (Some(text), _) => window::time(text, &window::zone(args.zone.as_deref())?, session.now),
        // An end beyond the last window stays where it is.
        (None, Some(old)) if args.window_anew => Ok(match old.intervals.last() {
            Some(before) if before.until == old.not_after => last,
            _ => old.not_after.max(last),
        }),
        (None, Some(old)) if !moved => Ok(old.not_after),
        (None, _) => Ok(last),
    }
}
