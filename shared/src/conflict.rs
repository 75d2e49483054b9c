//! What gets in the way of a change, and which of it keeps the change from being approved.

use crate::change::ChangeType;
use crate::ids::AgentId;
use crate::time::{Interval, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What gets in the way of a change, or of the hosts that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ConflictKind {
    /// A blackout leaves hosts nothing of the change's windows.
    Closed,
    /// A blackout takes a part of the windows.
    Blackout,
    /// Hosts are meant to be changed in the times of calendars, and a part of the windows lies in none of them.
    OutsideWindow,
    /// A calendar that only warns.
    Warning,
    /// Another change may run on the same hosts at the same time.
    SameHosts,
    /// Another change may run at the same time on what hosts of this one stand on, or on what relies on them.
    Related,
    /// A disruption budget lets fewer hosts change at once than there are of the change.
    Slots,
}

/// One conflict of a change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Conflict {
    pub kind: ConflictKind,
    /// The calendar, the other change or the budget; of several calendars all of them.
    pub with: String,
    pub title: String,
    /// The first time at which both are; the first one outside of what is meant.
    pub at: Interval,
    /// How many hosts of the change it is about.
    pub hosts: u32,
    /// Some of them.
    pub some: Vec<AgentId>,
    /// By the policy the change is not approved while this stands.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blocks: bool,
}

impl ConflictKind {
    /// As documents write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Blackout => "blackout",
            Self::OutsideWindow => "outside_window",
            Self::Warning => "warning",
            Self::SameHosts => "same_hosts",
            Self::Related => "related",
            Self::Slots => "slots",
        }
    }
}

/// Which conflicts keep a change from being approved; all others only warn. The server sees to it, for no host knows of other
/// changes, and so it protects against oversight and not against a taken-over server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConflictRules {
    pub block: BTreeSet<ConflictKind>,
    /// Types of changes that are approved all the same.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub except: BTreeSet<ChangeType>,
}

impl ConflictRules {
    pub fn blocks(&self, of: ChangeType, kind: ConflictKind) -> bool {
        self.block.contains(&kind) && !self.except.contains(&of)
    }
}

/// The first part of these windows, from `now` on, that lies in none of the times that are meant for them. Times may overlap, and those
/// that touch are one.
pub fn first_outside(
    windows: impl IntoIterator<Item = Interval>,
    meant: &[Interval],
    now: Timestamp,
) -> Option<Interval> {
    let coming = windows.into_iter().map(|time| Interval { from: time.from.max(now), ..time });
    let outside = coming.flat_map(|time| time.without(meant.iter().copied()));
    outside.min_by_key(|time| time.from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windows::{Occurrence, Phrase, WindowRule};
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    fn of(from: i64, until: i64) -> Interval {
        Interval { from: Timestamp(from), until: Timestamp(until) }
    }

    #[test]
    fn what_lies_in_no_time_that_is_meant_is_outside() {
        let meant = [of(10, 20), of(20, 30), of(25, 28), of(50, 60)];
        for (windows, now, expected) in [
            (&[of(12, 29)][..], 0, None),
            (&[of(10, 30), of(50, 60)], 0, None),
            (&[of(9, 30)], 0, Some(of(9, 10))),
            // What is over does not count any more.
            (&[of(9, 30)], 10, None),
            (&[of(0, 5)], 5, None),
            (&[of(25, 55)], 0, Some(of(30, 50))),
            (&[of(70, 80), of(29, 31)], 0, Some(of(30, 31))),
            (&[], 0, None),
        ] {
            assert_eq!(
                first_outside(windows.iter().copied(), &meant, Timestamp(now)),
                expected,
                "{windows:?}"
            );
        }
        assert_eq!(first_outside([of(1, 2)], &[], Timestamp(0)), Some(of(1, 2)), "a calendar without times");
    }

    proptest! {
        /// It is the first moment of a window that no meant time has, whatever the order, and there is none where there is no such moment.
        #[test]
        fn the_first_moment_outside_is_found(
            windows in proptest::collection::vec((0..100i64, 0..20i64), 0..6),
            meant in proptest::collection::vec((0..100i64, 0..30i64), 0..8),
            now in 0..100i64,
        ) {
            let times = |of: &[(i64, i64)]| of.iter().map(|(from, length)| self::of(*from, from + length)).collect::<Vec<_>>();
            let (windows, meant) = (times(&windows), times(&meant));
            let is_outside = |at: &Timestamp| {
                windows.iter().any(|time| time.contains(*at)) && !meant.iter().any(|time| time.contains(*at))
            };
            let first = (now..130).map(Timestamp).find(is_outside);
            let found = first_outside(windows.iter().copied(), &meant, Timestamp(now));
            prop_assert_eq!(found.map(|time| time.from), first);
            prop_assert!(found.is_none_or(|time| (time.from.0..time.until.0).map(Timestamp).all(|at| is_outside(&at))));
        }
    }

    /// Windows by the clocks on the wall stay within a calendar by the same clocks; those by UTC are outside in summer, for an hour.
    #[test]
    fn clocks_that_are_moved_are_seen() {
        let nights = |zone: &str| -> Vec<Interval> {
            let phrase: Phrase = "every day 22:00..06:00".parse().unwrap();
            let rule: WindowRule = phrase.begins("2026-01-01".parse().unwrap(), zone.parse().unwrap());
            let known = TimeZone::get(zone).unwrap();
            let found = rule.occurrences(&known, "2026-01-01T12:00:00Z".parse().unwrap(), 365 * 3).unwrap();
            found.into_iter().map(|Occurrence { interval, .. }| interval).collect()
        };
        let [berlin, utc] = [nights("Europe/Berlin"), nights("UTC")];
        let outside = |window: &Interval| first_outside([*window], &berlin, Timestamp(0));
        assert!(berlin.iter().all(|window| outside(window).is_none()));
        let found: Vec<Interval> = utc.iter().filter_map(outside).collect();
        // Berlin is one hour ahead in winter and two in summer, from the night in which they are moved on.
        assert!(found.iter().all(|time| [3_600, 7_200].contains(&time.until.since(time.from))), "{found:?}");
        let summer = found.iter().find(|time| time.until.since(time.from) == 7_200).unwrap();
        assert_eq!(summer.from.to_string(), "2026-03-29T04:00:00Z");
    }
}
