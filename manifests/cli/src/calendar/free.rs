//! The first free times: no blackout, no other change on the same hosts, long enough, within the windows of calendars and the
//! wanted hours.

use super::args::FreeArgs;
use crate::author::list::print_json;
use crate::change::hosts::pairs;
use crate::error::{Done, Failure};
use crate::lang::{Lang, Word};
use crate::session::Session;
use crate::window::{self, every};
use crate::{term, text};
use shared::time::{Interval, Timestamp};
use shared::wire::FreeTimes;

/// Starts lie on quarters of an hour.
const GRID: i64 = 15 * 60;

pub fn run(session: &Session, args: &FreeArgs) -> Done {
    let zone = window::zone(args.zone.as_deref())?;
    let length = window::duration(&args.length)?;
    let until = window::end(&args.until, &zone, session.now)?;
    let span = Interval { from: session.now, until };
    if span.is_empty() {
        return Err(Failure::usage(format!("--until {} is over", args.until)));
    }
    let (labels, search) = (pairs(&args.label)?, args.search.as_deref());
    let found = session.api.free_times(&labels, &args.target, search, (span, args.anywhere))?;
    let wanted = match args.within.is_empty() {
        true => vec![span],
        false => {
            let chosen = every::choose(&args.within, args.zone.as_deref(), None, 800, session.now)?;
            chosen.windows.into_iter().map(|one| one.interval).collect()
        }
    };
    let slots = slots(&found.free, &wanted, length, usize::from(args.times));
    if args.json {
        return print_json(&slots);
    }
    if slots.is_empty() {
        let until = window::local(until, &zone);
        return Err(nothing_free(&found, &args.length, &until));
    }
    let mut out = heading(session.lang, &found);
    for slot in slots {
        out.push_str(&format!("  {}\n", window::told(session.lang, slot, &zone)));
    }
    term::print(&text::clean_lines(&out).map(|line| format!("{line}\n")).collect::<String>())
}

fn nothing_free(found: &FreeTimes, length: &str, until: &str) -> Failure {
    let failure = Failure::refused(format!("no {length} are free on {} hosts until {until}", found.hosts));
    match found.within.is_empty() {
        true => failure
            .remedy("look further with --until, or see `assent calendar list` and `assent change list`"),
        false => failure
            .why(format!("only the windows of {} were looked at", found.within.join(", ")))
            .remedy("look further with --until, or outside of those windows with --anywhere"),
    }
}

/// On how many hosts, within which windows, and which budgets make several turns of a change.
fn heading(lang: Lang, found: &FreeTimes) -> String {
    let mut out = format!("{}\n", lang.fill(Word::FreeFor, &found.hosts.to_string()));
    if !found.within.is_empty() {
        out.push_str(&format!("  {}\n", lang.fill(Word::FreeWithin, &found.within.join(", "))));
    }
    for short in &found.short {
        let told = format!("{} ({}/{})", short.budget, short.slots, short.hosts);
        out.push_str(&format!("  {}\n", lang.fill(Word::FreeShort, &told)));
    }
    out
}

/// The first start in each free time within each wanted one, on the grid.
fn slots(free: &[Interval], wanted: &[Interval], length: i64, most: usize) -> Vec<Interval> {
    let both = wanted.iter().flat_map(|want| {
        free.iter().map(|free| Interval { from: free.from.max(want.from), until: free.until.min(want.until) })
    });
    let first = both.filter_map(|time| {
        let from = Timestamp(time.from.0.div_euclid(GRID) * GRID);
        let from = if from < time.from { from.plus(GRID) } else { from };
        let slot = Interval { from, until: from.plus(length) };
        (slot.until <= time.until).then_some(slot)
    });
    let mut slots: Vec<_> = first.collect();
    slots.sort_by_key(|slot| slot.from);
    slots.dedup();
    slots.truncate(most);
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::wire::ShortBudget;

    fn minutes(from: i64, until: i64) -> Interval {
        Interval { from: Timestamp(from * 60), until: Timestamp(until * 60) }
    }

    #[test]
    fn whoever_looks_is_told_of_windows_and_of_budgets_that_take_turns() {
        let mut found = FreeTimes { hosts: 5, free: vec![], within: vec![], short: vec![] };
        assert_eq!(heading(Lang::En, &found), "free on 5 hosts:\n");
        assert!(nothing_free(&found, "2h", "then").to_string().contains("--until"));
        found.within = vec!["nights".into(), "weekends".into()];
        found.short = vec![ShortBudget { budget: "databases".parse().unwrap(), slots: 1, hosts: 3 }];
        let told = heading(Lang::De, &found);
        assert!(
            told.contains("Wartungsfenster von nights, weekends") && told.contains("databases (1/3)"),
            "{told}"
        );
        assert!(nothing_free(&found, "2h", "then").to_string().contains("--anywhere"));
    }

    #[test]
    fn a_slot_is_the_first_start_that_is_free_wanted_and_long_enough() {
        let free = [minutes(0, 100), minutes(121, 300), minutes(400, 420)];
        let slots = |wanted: &[Interval], length: i64| super::slots(&free, wanted, length * 60, 10);
        assert_eq!(slots(&[minutes(7, 1_000)], 60), [minutes(15, 75), minutes(135, 195)]);
        assert_eq!(slots(&[minutes(7, 1_000)], 165), [minutes(135, 300)]);
        assert_eq!(slots(&[minutes(7, 1_000)], 166), []);
        assert_eq!(slots(&[minutes(40, 90), minutes(200, 240)], 30), [minutes(45, 75), minutes(210, 240)]);
        assert_eq!(super::slots(&free, &[minutes(0, 1_000)], 60, 2), [minutes(0, 1), minutes(135, 136)]);
    }
}
