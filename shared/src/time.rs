//! Points in time as whole seconds and half-open intervals. No clock: `now` is always an argument.

use crate::strict;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Seconds since 1970-01-01T00:00:00Z; text form is RFC 3339 in UTC with `Z` and whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(pub i64);

/// Why a text is not a timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time like 2026-11-20T11:07:00Z (UTC, whole seconds)")]
pub struct NotATime(String);

impl Timestamp {
    /// The last second that has a text form (year 9999).
    pub const MAX: Self = Self(253_402_207_200);

    pub fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to `self`; negative when `self` is before it.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whether it is less than `seconds` before or after `other`.
    pub fn is_near(self, other: Self, seconds: i64) -> bool {
        other.plus(-seconds) < self && self < other.plus(seconds)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(at) => write!(f, "{}", at.strftime("%Y-%m-%dT%H:%M:%SZ")),
            Err(_) => write!(f, "out-of-range:{}", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = NotATime;
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let bad = || NotATime(strict::shorten(text));
        let shape = text.len() == 20 && text.ends_with('Z') && text.as_bytes().get(10) == Some(&b'T');
        let at: jiff::Timestamp = if shape { text.parse().map_err(|_| bad())? } else { return Err(bad()) };
        Ok(Self(at.as_second()))
    }
}

strict::text_serde!(Timestamp);
strict::text_schema!(
    Timestamp,
    "RFC 3339 in UTC with whole seconds.",
    { "format": "date-time", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$" }
);

/// Seconds of a length as people write it: `90s`, `5m`, `2h`, `1h30m`, `1d`, `2w`; never 0.
pub fn length(text: &str) -> Option<i64> {
    let (mut total, mut number) = (0i64, String::new());
    for c in text.trim().chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        let count: i64 = number.parse().ok()?;
        total = total.checked_add(count.checked_mul(unit)?)?;
        number.clear();
    }
    (total > 0 && number.is_empty()).then_some(total)
}

/// A length of time in its two largest units: `3 d 4 h`, `12 min`, `40 s`.
pub fn span(seconds: i64) -> String {
    let seconds = seconds.abs();
    let (days, hours, minutes) = (seconds / 86_400, seconds % 86_400 / 3_600, seconds % 3_600 / 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, m) => format!("{m} min"),
        (0, h, 0) => format!("{h} h"),
        (0, h, m) => format!("{h} h {m} min"),
        (d, 0, _) => format!("{d} d"),
        (d, h, _) => format!("{d} d {h} h"),
    }
}

/// From `from` (inclusive) to `until` (exclusive).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Interval {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl Interval {
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }

    pub fn is_empty(&self) -> bool {
        self.until <= self.from
    }

    /// Whether some moment is in both.
    pub fn meets(&self, other: &Self) -> bool {
        !self.overlap(other).is_empty()
    }

    /// What is in both; empty where nothing is.
    pub fn overlap(&self, other: &Self) -> Self {
        Self { from: self.from.max(other.from), until: self.until.min(other.until) }
    }

    /// What is left of it when all of `taken` is taken out, ascending.
    pub fn without(self, taken: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut taken: Vec<Self> = taken.into_iter().collect();
        taken.sort_by_key(|time| time.from);
        let (mut free, mut from) = (Vec::new(), self.from);
        for time in taken.into_iter().filter(|time| !time.is_empty() && time.from < self.until) {
            let before = Self { from, until: time.from };
            if !before.is_empty() {
                free.push(before);
            }
            from = from.max(time.until);
        }
        let rest = Self { from, until: self.until };
        if !rest.is_empty() {
            free.push(rest);
        }
        free
    }
}

/// These times, ascending; those that overlap or touch are one.
pub fn joined(mut times: Vec<Interval>) -> Vec<Interval> {
    times.retain(|time| !time.is_empty());
    times.sort_by_key(|time| time.from);
    let mut joined: Vec<Interval> = Vec::new();
    for time in times {
        match joined.last_mut() {
            Some(last) if time.from <= last.until => last.until = last.until.max(time.until),
            _ => joined.push(time),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_utc_with_whole_seconds_is_a_time() {
        let text = "2026-11-20T11:07:16Z";
        let at: Timestamp = text.parse().unwrap();
        assert_eq!((at.0, at.to_string().as_str()), (1_795_172_836, text));
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-30T22:00:00Z");
        for bad in [
            "",
            "2026-11-20 11:07:16Z",
            "2026-11-20T11:07:16+01:00",
            "2026-11-20T11:07:16.5Z",
            "2026-13-20T11:07:16Z",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    #[test]
    fn intervals_meet_in_a_moment_that_is_in_both() {
        let of = |from, until| Interval { from: Timestamp(from), until: Timestamp(until) };
        let one = of(10, 20);
        for (other, meets) in [
            (of(0, 10), false),
            (of(0, 11), true),
            (of(12, 13), true),
            (of(19, 30), true),
            (of(20, 30), false),
            (of(15, 15), false),
        ] {
            assert_eq!((one.meets(&other), other.meets(&one)), (meets, meets), "{other:?}");
        }
    }

    #[test]
    fn an_interval_excludes_its_end() {
        let interval = Interval { from: Timestamp(10), until: Timestamp(20) };
        assert_eq!([9, 10, 19, 20].map(|t| interval.contains(Timestamp(t))), [false, true, true, false]);
    }

    proptest! {
        /// Each moment is either free or taken, free times do not touch, and order does not matter.
        #[test]
        fn free_and_taken_are_the_whole(taken in proptest::collection::vec((0..100i64, 0..20i64), 0..12)) {
            let span = Interval { from: Timestamp(10), until: Timestamp(90) };
            let times: Vec<_> =
                taken.iter().map(|(from, length)| Interval { from: Timestamp(*from), until: Timestamp(from + length) }).collect();
            let free = span.without(times.iter().copied());
            for at in (10..90).map(Timestamp) {
                let is_taken = times.iter().any(|time| time.contains(at));
                prop_assert_eq!(free.iter().any(|time| time.contains(at)), !is_taken);
            }
            prop_assert!(free.windows(2).all(|pair| pair[0].until < pair[1].from));
            prop_assert!(free.iter().all(|time| !time.is_empty() && time.from >= span.from && time.until <= span.until));
            // Joined they are the same moments.
            let whole = joined(times.clone());
            let has = |all: &[Interval], at| all.iter().any(|time| time.contains(at));
            prop_assert!((0..120).map(Timestamp).all(|at| has(&whole, at) == has(&times, at)));
            prop_assert!(whole.windows(2).all(|pair| pair[0].until < pair[1].from));
            let mut turned = times;
            turned.reverse();
            prop_assert_eq!(span.without(turned), free);
        }
    }
}
