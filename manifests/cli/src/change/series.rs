//! Changes that come again: each occurrence is a change of its own, signed ahead and submitted by itself before its window.

use super::act;
use super::args::NewArgs;
use super::new::{Parts, Words, signed, written};
use crate::author::list::print_json;
use crate::error::{Context as _, Done, Failure};
use crate::lang::Word;
use crate::net::api::{Act, Wanted};
use crate::session::Session;
use crate::trust::Site;
use crate::written::{Outcome, Written};
use crate::{term, text, window};
use jiff::tz::TimeZone;
use shared::change::Change;
use shared::ids::{ChangeRef, SeriesName};
use shared::limits;
use shared::time::{Interval, Timestamp};
use shared::wire::{ChangeLine, SubmitLater};

/// Makes the occurrences that are not there yet, one for each window.
pub(super) fn make(
    session: &Session,
    site: &Site,
    (name, args, old): (&SeriesName, &NewArgs, Option<&Change>),
    parts: &Parts,
) -> Done {
    let lead = window::duration(&args.lead)?;
    let zone = window::zone(args.zone.as_deref())?;
    let there = session.api.changes(&Wanted { series: Some(name), ..Wanted::default() })?;
    tell_unsubmitted(&there)?;
    let Ahead { wanted, there, beyond } = ahead(&parts.intervals, &there, session.now);
    let mut outcome = Outcome::default();
    let made = wanted.into_iter().try_for_each(|interval| {
        let title = format!("{} {}", parts.words.title, day(interval.from, &zone)?);
        let words = Words { title, ..parts.words.clone() };
        let (intervals, not_after) = (vec![interval], interval.until);
        let own = Parts { intervals, not_after, words, ..parts.clone() };
        let id = session.api.new_change()?;
        let change = signed(session, site, written(session, args, old, own, id.clone()))?;
        session.api.put_revision(&id, change.body.revision, &change.envelope)?;
        let [from, until] = [interval.from, interval.until].map(|at| window::local(at, &zone));
        let at = interval.from.plus(-lead);
        let (line, submitted) = if at > session.now {
            let line = session.api.act(&id, Act::SubmitLater, &SubmitLater { at })?;
            (line, format!("submitted by itself {}", window::local(at, &zone)))
        } else {
            (session.api.act(&id, Act::Submit, &serde_json::json!({}))?, "submitted".into())
        };
        outcome.add(Written::seen("change", &id, &line)?);
        let words = format!("{id}  {from} .. {until}, {submitted}\n");
        if args.json.json { Ok(()) } else { term::print(&words) }
    });
    if args.json.json {
        // Also of those that there are when another one was refused.
        outcome.print()?;
        return made;
    }
    made?;
    if there > 0 {
        term::print(&format!("{there} windows have their change already\n"))?;
    }
    if beyond > 0 && args.times.is_some() {
        let days = limits::CHANGE_DAYS;
        term::note(&format!(
            "note: {beyond} windows end more than {days} days ahead; run the same command again later\n"
        ));
    }
    term::print("next: assent change series\n")
}

/// The windows of a series, as far as changes can be made for them.
#[derive(Debug, PartialEq, Eq)]
struct Ahead {
    wanted: Vec<Interval>,
    there: usize,
    beyond: usize,
}

fn ahead(intervals: &[Interval], lines: &[ChangeLine], now: Timestamp) -> Ahead {
    let latest = now.plus(limits::CHANGE_DAYS * 86_400);
    let (near, beyond): (Vec<Interval>, Vec<Interval>) =
        intervals.iter().partition(|interval| interval.until <= latest);
    let taken = |interval: &Interval| {
        lines.iter().filter_map(|line| line.next_interval).any(|other| other.meets(interval))
    };
    let (there, wanted): (Vec<Interval>, Vec<Interval>) = near.into_iter().partition(taken);
    Ahead { wanted, there: there.len(), beyond: beyond.len() }
}

/// Drafts that wait for somebody: they were made by hand, or the command was broken off before it could say when.
fn tell_unsubmitted(lines: &[ChangeLine]) -> Done {
    for line in lines.iter().filter(|line| line.state == "draft" && line.submit_at.is_none()) {
        term::note(&format!(
            "note: {id} is a draft that is not submitted by itself; assent change submit {id}, or with --at TIME\n",
            id = line.change_id
        ));
    }
    Ok(())
}

fn day(at: Timestamp, zone: &TimeZone) -> Done<jiff::civil::Date> {
    let at = jiff::Timestamp::from_second(at.0).or_usage("the window is out of range")?;
    Ok(at.to_zoned(zone.clone()).date())
}

/// `assent change submit --at`.
pub fn submit_later(session: &Session, named: &[ChangeRef], at: &str, json: bool) -> Done {
    let zone = window::zone(None)?;
    let at = match at {
        "never" => None,
        text => Some(window::time(text, &zone, session.now)?),
    };
    if at.is_some_and(|at| at <= session.now) {
        return Err(Failure::usage("--at is over").remedy("leave it out to submit now"));
    }
    let when = at.map_or("not submitted by itself".to_owned(), |at| {
        format!("submitted by itself {}", window::local(at, &zone))
    });
    act::each(session, (named, Act::SubmitLater.as_str()), json, |id| {
        let line = match at {
            Some(at) => session.api.act(id, Act::SubmitLater, &SubmitLater { at })?,
            None => session.api.keep_draft(id)?,
        };
        Ok((line, format!("{id} is {when}\n")))
    })
}

/// `assent change series`.
pub fn list(session: &Session, json: bool) -> Done {
    let lines = session.api.series()?;
    if json {
        return print_json(&lines);
    }
    let (zone, lang) = (window::zone(None)?, session.lang);
    let mut rows = vec![lang.heads(Word::HeadsOfSeries)];
    rows.extend(lines.iter().map(|line| {
        let runs_out = line.last_end < session.now.plus(limits::HORIZON_SECS);
        let runs_out = if runs_out { format!(" ({})", lang.word(Word::RunsOut)) } else { String::new() };
        let end = format!("{}{runs_out}", window::local_in(lang, line.last_end, &zone));
        let (open, all) = (line.open.to_string(), line.all.to_string());
        vec![line.name.to_string(), open, all, end, text::clean(&line.title)]
    }));
    term::print(&text::table(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::tests::{NOW, line};

    #[test]
    fn windows_that_have_their_change_and_those_too_far_ahead_are_left_out() {
        const DAY: i64 = 86_400;
        let window = |days: i64| Interval { from: NOW.plus(days * DAY), until: NOW.plus(days * DAY + 3_600) };
        let windows: Vec<Interval> = [1, 29, 60, 89, 90, 120].map(window).into();
        let taken = ChangeLine { next_interval: Some(window(29)), ..line() };
        let over = ChangeLine { next_interval: None, ..line() };
        let found = ahead(&windows, &[taken, over], NOW);
        let wanted = [1, 60, 89].map(window).into();
        assert_eq!(found, Ahead { wanted, there: 1, beyond: 2 });
        // Somebody moved an occurrence a little: it is still that one.
        let moved = Interval { from: window(60).from.plus(-600), until: window(60).from.plus(60) };
        let moved = ChangeLine { next_interval: Some(moved), ..line() };
        assert_eq!(ahead(&windows, &[moved], NOW).there, 1);
    }

    #[test]
    fn occurrences_are_named_by_the_day_where_people_are() {
        let at: Timestamp = "2026-12-08T23:30:00Z".parse().unwrap();
        let told = |zone: &str| day(at, &window::zone(Some(zone)).unwrap()).unwrap().to_string();
        assert_eq!([told("UTC"), told("Europe/Berlin")], ["2026-12-08", "2026-12-09"]);
    }
}
