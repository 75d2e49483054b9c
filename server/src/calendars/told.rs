//! Calendars as calendar programs are told of them: with the times that they have lost, because programs keep what they have once
//! seen.

use super::{model, store};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::time::{Interval, Timestamp};
use shared::windows::{CalendarName, WindowRule};
use shared::wire::{CalendarMode, CalendarStep};
use std::collections::BTreeMap;

/// Rules of earlier revisions that are looked at, and times of one calendar.
const RULES: usize = 100;
const TIMES: usize = 400;

/// A calendar with its times, each start once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub name: CalendarName,
    pub title: String,
    pub mode: CalendarMode,
    /// Grows with each change of it.
    pub revision: u32,
    pub at: Timestamp,
    pub times: Vec<Interval>,
    /// Those of its last hundred revisions that it has no more.
    pub gone: Vec<Interval>,
}

/// All calendars by name, with their times that touch `span`; ended ones as well where they had some.
pub fn told(tx: &mut Conn, span: Interval) -> Result<Vec<Told>, Error> {
    let mut all = Vec::new();
    for (name, _) in store::list(tx)? {
        let steps = store::history(tx, &name)?;
        let Some(CalendarStep { revision, at, calendar, .. }) = steps.first().cloned() else { continue };
        let Some(newest) = steps.iter().find_map(|step| step.calendar.clone()) else { continue };
        let times = calendar.as_ref().map(|calendar| model::times(calendar, span)).transpose()?;
        let mut times = each_start_once(times.unwrap_or_default());
        let mut gone = gone(&steps, &times, span);
        times.truncate(TIMES);
        gone.truncate(TIMES);
        all.push(Told { name, title: newest.title, mode: newest.mode, revision, at, times, gone });
    }
    Ok(all)
}

/// What earlier revisions had and was taken away before it was over. The newest revision that has a start decides about it; a rule that
/// a newer one has as well says nothing new.
fn gone(steps: &[CalendarStep], times: &[Interval], span: Interval) -> Vec<Interval> {
    let mut decided: BTreeMap<Timestamp, Option<Interval>> =
        times.iter().map(|time| (time.from, None)).collect();
    let mut rules: Vec<&WindowRule> = Vec::new();
    rules.extend(steps.first().and_then(|step| step.calendar.as_ref()).iter().flat_map(|now| &now.rules));
    let most = rules.len().saturating_add(RULES);
    for pair in steps.windows(2) {
        let [newer, older] = pair else { continue };
        let Some(had) = &older.calendar else { continue };
        let mut found: Vec<Interval> = had.times.iter().filter(|time| time.meets(&span)).copied().collect();
        for rule in &had.rules {
            if !rules.contains(&rule) && rules.len() < most {
                rules.push(rule);
                // What cannot be worked out here any more is not told, and keeps nobody from reading the rest.
                found.extend(model::of_rule(rule, span).unwrap_or_default());
            }
        }
        found.sort_by_key(|time| (time.from, time.until));
        for time in each_start_once(found) {
            decided.entry(time.from).or_insert((time.until > newer.at).then_some(time));
        }
    }
    decided.into_values().flatten().collect()
}

/// Of times that begin together the longest, since a start names an event.
fn each_start_once(mut times: Vec<Interval>) -> Vec<Interval> {
    times.dedup_by(|later, first| {
        let same = later.from == first.from;
        if same {
            first.until = later.until;
        }
        same
    });
    times
}
