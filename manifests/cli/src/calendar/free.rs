//! The first free times: no blackout, no other change on the same hosts, long enough, within the wanted hours.

use super::args::FreeArgs;
use crate::author::list::print_json;
use crate::change::hosts::pairs;
use crate::error::{Done, Failure};
use crate::lang::Word;
use crate::session::Session;
use crate::window::{self, every};
use crate::{term, text};
use shared::time::{Interval, Timestamp};

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
    let found = session.api.free_times(&pairs(&args.label)?, &args.target, args.search.as_deref(), span)?;
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
        return Err(Failure::refused(format!(
            "no {} are free on {} hosts until {}",
            args.length,
            found.hosts,
            window::local(until, &zone)
        ))
        .remedy("look further with --until, or see `assent calendar list` and `assent change list`"));
    }
    let mut out = format!("{}\n", session.lang.fill(Word::FreeFor, &found.hosts.to_string()));
    for slot in slots {
        let [from, end] = [slot.from, slot.until].map(|at| window::local_in(session.lang, at, &zone));
        out.push_str(&format!("  {from} .. {end}  ({} .. {} UTC)\n", slot.from, slot.until));
    }
    term::print(&text::clean_lines(&out).map(|line| format!("{line}\n")).collect::<String>())
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

    fn minutes(from: i64, until: i64) -> Interval {
        Interval { from: Timestamp(from * 60), until: Timestamp(until * 60) }
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
