//! From a rule to UTC intervals: the crate `rrule` counts days on the wall, the zone says when those moments are.

use super::{Differs, RuleEnd, WallTime, WindowRule, ZoneName};
use crate::change::Change;
use crate::time::{Interval, Timestamp};
use jiff::ToSpan;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use rrule::{RRule, RRuleSet, Unvalidated};

/// How far a rule is followed: a window of 29 February can be eight years away.
const YEARS: i64 = 11;
/// Clocks are moved by a few hours at most, and zones lie within a day of UTC.
const DAY: i64 = 86_400;

/// What the clocks do to one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clocks {
    /// Nothing.
    Quiet,
    /// They jump over its start, which counts by the clock before the jump: 02:30 becomes 03:30 (RFC 5545 §3.3.5).
    StartSkipped,
    /// They show its start twice; the first counts (RFC 5545 §3.3.5).
    StartTwice,
    /// They change while it is open.
    During,
}

/// One window of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    pub interval: Interval,
    /// Its start as the rule has it, on the wall.
    pub wall: WallTime,
    pub clocks: Clocks,
}

/// Why a rule gives no windows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoWindows {
    #[error("the rule {0} contradicts itself: {1}")]
    Contradiction(String, String),
    #[error("the windows of the rule {0} overlap: one is not over when the next begins")]
    Overlap(String),
    #[error("{0:?} is not a time zone that this machine knows")]
    Zone(String),
}

impl WindowRule {
    /// The first `most` windows that begin at `from` or later, earliest first; those of the next eleven years.
    ///
    /// # Errors
    /// The rule can never be met by its own words, or its windows overlap.
    pub fn occurrences(
        &self,
        zone: &TimeZone,
        from: Timestamp,
        most: usize,
    ) -> Result<Vec<Occurrence>, NoWindows> {
        let days = self.days()?;
        let end = from.plus(YEARS * 366 * DAY);
        let mut found: Vec<Occurrence> = Vec::new();
        for day in &days {
            let Some(wall) = off_the_wall(&day) else { break };
            if self.last.is_some_and(|last| wall > last.civil()) {
                break;
            }
            let Some(next) = self.occurrence(wall, zone) else { break };
            if next.interval.from < from {
                continue;
            }
            if next.interval.from > end {
                break;
            }
            if self.takes_out(&next, zone) {
                continue;
            }
            if found.last().is_some_and(|last| last.interval.until > next.interval.from) {
                return Err(NoWindows::Overlap(self.rrule.to_string()));
            }
            // One more than asked for is looked at, so that an overlap does not depend on how many are wanted.
            if found.len() == most {
                break;
            }
            found.push(next);
        }
        Ok(found)
    }

    /// The start on the wall of its window of this number, from 1, whatever is taken out; `None` where there are fewer.
    ///
    /// # Errors
    /// The rule can never be met by its own words.
    pub fn nth(&self, number: usize) -> Result<Option<WallTime>, NoWindows> {
        let days = self.days()?;
        let mut days = days.into_iter().skip(number.saturating_sub(1));
        Ok(days.next().and_then(|day| off_the_wall(&day)).map(WallTime::from))
    }

    /// The days of its windows, each with the time of day at which one starts, as if they were in UTC.
    fn days(&self) -> Result<RRuleSet, NoWindows> {
        let contradiction =
            |why: String| NoWindows::Contradiction(self.rrule.to_string(), crate::strict::shorten(&why));
        let first = on_the_wall(self.first.civil()).ok_or_else(|| contradiction("its start".into()))?;
        let rule: RRule<Unvalidated> =
            self.rrule.as_str().parse().map_err(|e: rrule::RRuleError| contradiction(e.to_string()))?;
        let rule = rule.validate(first).map_err(|e| contradiction(e.to_string()))?;
        Ok(RRuleSet::new(first).rrule(rule).limit())
    }

    /// Where clocks jump over a start, it is named by itself or by when the window really starts.
    fn takes_out(&self, window: &Occurrence, zone: &TimeZone) -> bool {
        let starts = || {
            let at = jiff::Timestamp::from_second(window.interval.from.0).ok()?;
            Some(WallTime::from(zone.to_datetime(at)))
        };
        !self.except.is_empty()
            && (self.except.contains(&window.wall) || starts().is_some_and(|at| self.except.contains(&at)))
    }

    fn occurrence(&self, wall: DateTime, zone: &TimeZone) -> Option<Occurrence> {
        let start = zone.to_ambiguous_zoned(wall);
        let kind = start.offset();
        let from = start.compatible().ok()?.timestamp().as_second();
        let (until, nominal) = match self.end {
            RuleEnd::AfterS(seconds) => (from.checked_add(i64::from(seconds))?, i64::from(seconds)),
            RuleEnd::At(time) => {
                let same_day = wall.date().to_datetime(time.civil());
                let end = if same_day > wall { same_day } else { same_day.checked_add(1.day()).ok()? };
                let nominal = end.duration_since(wall).as_secs();
                let until = zone.to_ambiguous_zoned(end).compatible().ok()?.timestamp().as_second();
                // The jump of the clocks took all of it: it is as long as on other days.
                (if until > from { until } else { from.checked_add(nominal)? }, nominal)
            }
        };
        let offset = |at| jiff::Timestamp::from_second(at).ok().map(|at| zone.to_offset(at));
        let clocks = match kind {
            AmbiguousOffset::Gap { .. } => Clocks::StartSkipped,
            AmbiguousOffset::Fold { .. } => Clocks::StartTwice,
            _ if offset(from)? != offset(until)? || until - from != nominal => Clocks::During,
            _ => Clocks::Quiet,
        };
        let interval = Interval { from: Timestamp(from), until: Timestamp(until) };
        Some(Occurrence { interval, wall: wall.into(), clocks })
    }
}

/// All windows of several rules, in order: the first `most` that begin at `from` or later.
///
/// # Errors
/// As of one rule; or windows of two rules overlap; or a zone is not known.
pub fn all(
    rules: &[WindowRule],
    zone: impl Fn(&ZoneName) -> Option<TimeZone>,
    from: Timestamp,
    most: usize,
) -> Result<Vec<Occurrence>, NoWindows> {
    let mut found = Vec::new();
    for rule in rules {
        let zone = zone(&rule.zone).ok_or_else(|| NoWindows::Zone(rule.zone.to_string()))?;
        found.extend(rule.occurrences(&zone, from, most)?);
    }
    found.sort_by_key(|occurrence| occurrence.interval.from);
    found.truncate(most);
    let over = |pair: &[Occurrence]| pair[0].interval.until > pair[1].interval.from;
    match found.windows(2).any(over) {
        true => {
            let names: Vec<_> = rules.iter().map(|rule| rule.rrule.as_str()).collect();
            Err(NoWindows::Overlap(names.join(" and ")))
        }
        false => Ok(found),
    }
}

impl Change {
    /// Whether the signed windows are still those of the rules beside them; `None` when they are, or there are no rules.
    ///
    /// # Errors
    /// A rule gives no windows, or its zone is not known.
    pub fn windows_differ(
        &self,
        zone: impl Fn(&ZoneName) -> Option<TimeZone>,
    ) -> Result<Option<Differs>, NoWindows> {
        let Some((first, last)) = self.intervals.first().zip(self.intervals.last()) else { return Ok(None) };
        if self.window_rules.is_empty() {
            return Ok(None);
        }
        // A zone moves by hours, and the windows of a rule lie a day apart.
        let span = Interval { from: first.from.plus(-DAY / 4), until: last.from.plus(DAY / 4) };
        let most = self.intervals.len().saturating_add(2 * self.window_rules.len());
        let now = all(&self.window_rules, zone, span.from, most)?;
        let now = now.into_iter().map(|found| found.interval).filter(|found| span.contains(found.from));
        let now: Vec<_> = now.collect();
        let without = |these: &[Interval], those: &[Interval]| {
            these.iter().filter(|one| !those.contains(one)).copied().collect::<Vec<_>>()
        };
        let differs = Differs { signed: without(&self.intervals, &now), now: without(&now, &self.intervals) };
        Ok((!differs.signed.is_empty() || !differs.now.is_empty()).then_some(differs))
    }
}

fn off_the_wall(day: &chrono::DateTime<rrule::Tz>) -> Option<DateTime> {
    let at = jiff::Timestamp::from_second(day.timestamp()).ok()?;
    Some(TimeZone::UTC.to_datetime(at))
}

/// The reading of a clock on the wall as if it were in UTC: only days are counted there, and UTC has no jumps.
fn on_the_wall(at: DateTime) -> Option<chrono::DateTime<rrule::Tz>> {
    let seconds = TimeZone::UTC.to_timestamp(at).ok()?.as_second();
    chrono::DateTime::from_timestamp(seconds, 0).map(|at| at.with_timezone(&rrule::Tz::UTC))
}
