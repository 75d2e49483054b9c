//! What a reading would leave open that is closed now. Pure.
//!
//! Times count as lost when they are not closed as a whole any more, whatever the events are called: a freeze that shrinks to an
//! hour is no freeze.

use shared::time::{Interval, Timestamp};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// Coming times as they are now.
    pub of: usize,
    /// Those that would be open, wholly or in part.
    pub lost: Vec<Interval>,
    /// Seconds that are closed now, and would be open.
    closed_secs: i64,
    open_secs: i64,
    running: bool,
}

impl Losses {
    /// Whether a person has to say so first: more than half of the times, or of their length, or one that has begun.
    pub fn need_a_word(&self) -> bool {
        self.running || self.lost.len() * 2 > self.of || self.open_secs * 2 > self.closed_secs
    }
}

/// Of the times `old`, those that `new` does not close from `now` on.
pub(super) fn losses(old: &[Interval], new: &[Interval], now: Timestamp) -> Losses {
    let length = |time: &Interval| time.until.since(time.from);
    let mut found = Losses::default();
    for time in old.iter().filter(|time| time.until > now && !time.is_empty()) {
        let coming = Interval { from: time.from.max(now), until: time.until };
        let open: i64 = coming.without(new.iter().copied()).iter().map(length).sum();
        found.of += 1;
        found.closed_secs += length(&coming);
        if open > 0 {
            found.open_secs += open;
            found.running |= time.from <= now;
            found.lost.push(*time);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn hours(times: &[(i64, i64)]) -> Vec<Interval> {
        let at = |hour: i64| NOW.plus(hour * 3_600);
        times.iter().map(|(from, until)| Interval { from: at(*from), until: at(*until) }).collect()
    }

    #[test]
    fn what_would_be_open_needs_a_word_when_it_is_much_or_has_begun() {
        let old = [(10, 12), (20, 22), (30, 32), (40, 42)];
        for (old, new, lost, word) in [
            (&old[..], &old[..], 0, false),
            (&old, &[(0, 99)], 0, false),
            (&old, &[(10, 11), (11, 12), (20, 22), (30, 32), (35, 45)], 0, false),
            (&old, &[(20, 22), (30, 32), (40, 42), (50, 52)], 1, false),
            (&old, &[(30, 32), (40, 42)], 2, false),
            (&old, &[(40, 42)], 3, true),
            (&old, &[], 4, true),
            // All of them, each by an hour.
            (&old, &[(11, 12), (21, 22), (31, 32), (41, 42)], 4, true),
            // One of three, and nearly all of the time.
            (&[(10, 11), (20, 21), (30, 900)], &[(10, 11), (20, 21), (30, 31)], 1, true),
            // It has begun.
            (&[(-1, 2), (10, 12), (20, 22), (30, 32)], &[(10, 12), (20, 22), (30, 32)], 1, true),
            (&[(-1, 2), (10, 12), (20, 22), (30, 32)], &[(0, 2), (10, 12), (20, 22), (30, 32)], 0, false),
            // Over, or none.
            (&[(-9, -1), (-1, 0)], &[], 0, false),
            (&[], &[], 0, false),
            (&[], &[(1, 2)], 0, false),
        ] {
            let found = losses(&hours(old), &hours(new), NOW);
            assert_eq!((found.lost.len(), found.need_a_word()), (lost, word), "{old:?} {new:?}");
        }
    }
}
