//! Token buckets in memory: how often one asker may do something.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Askers remembered at once; beyond that those with a full bucket are forgotten.
const ASKERS: usize = 10_000;

/// Lets each asker do `burst` things at once and `per_minute` in the long run.
pub struct Limiter<K> {
    burst: f64,
    per_second: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl<K: Hash + Eq> Limiter<K> {
    pub fn new(burst: u32, per_minute: u32) -> Self {
        let per_second = f64::from(per_minute) / 60.0;
        Self { burst: f64::from(burst), per_second, buckets: Mutex::default() }
    }

    /// How long until `asker` may go on, if not at once. Takes nothing; `now` is a reading of the monotonic clock.
    pub fn wait(&self, asker: &K, now: Instant) -> Option<Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.has_room(&mut buckets, asker, now) {
            return Some(self.refill(self.burst));
        }
        let left = buckets.get(asker).map_or(self.burst, |bucket| self.filled(*bucket, now));
        (left < 1.0).then(|| self.refill(1.0 - left))
    }

    /// Takes `cost` out of the asker's bucket; what costs more than all of it needs it full.
    ///
    /// # Errors
    /// How long until it would be admitted.
    pub fn take(&self, asker: K, cost: u32, now: Instant) -> Result<(), Duration> {
        let cost = f64::from(cost).min(self.burst);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.has_room(&mut buckets, &asker, now) {
            return Err(self.refill(self.burst));
        }
        let bucket = buckets.entry(asker).or_insert(Bucket { left: self.burst, at: now });
        let left = self.filled(*bucket, now);
        let admitted = left >= cost;
        *bucket = Bucket { left: if admitted { left - cost } else { left }, at: now };
        if admitted { Ok(()) } else { Err(self.refill(cost - left)) }
    }

    /// In a flood from many addresses strangers wait until the first buckets are full again.
    fn has_room(&self, buckets: &mut HashMap<K, Bucket>, asker: &K, now: Instant) -> bool {
        if buckets.len() >= ASKERS && !buckets.contains_key(asker) {
            buckets.retain(|_, bucket| self.filled(*bucket, now) < self.burst);
        }
        buckets.len() < ASKERS || buckets.contains_key(asker)
    }

    /// How long so much takes to come back.
    fn refill(&self, missing: f64) -> Duration {
        Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(Duration::MAX)
    }

    fn filled(&self, bucket: Bucket, now: Instant) -> f64 {
        let seconds = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.left + seconds * self.per_second).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_is_allowed_and_then_the_rate() {
        let limiter = Limiter::new(3, 6);
        let start = Instant::now();
        let ask = |asker: u8, seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            let free = limiter.wait(&asker, now).is_none();
            assert_eq!(free, limiter.wait(&asker, now).is_none(), "looking takes nothing");
            assert_eq!(limiter.take(asker, 1, now).is_ok(), free);
            free
        };
        assert_eq!([ask(1, 0), ask(1, 0), ask(1, 0), ask(1, 0)], [true, true, true, false]);
        assert!(ask(2, 0), "another asker has its own bucket");
        assert_eq!([ask(1, 9), ask(1, 10), ask(1, 11)], [false, true, false]);
        assert_eq!([ask(1, 900), ask(1, 900), ask(1, 900), ask(1, 900)], [true, true, true, false]);
    }

    #[test]
    fn what_is_refused_names_the_wait_that_helps() {
        let limiter = Limiter::new(100, 60);
        let start = Instant::now();
        assert_eq!(limiter.take(1, 70, start), Ok(()));
        assert_eq!(limiter.take(1, 70, start), Err(Duration::from_secs(40)));
        assert_eq!(limiter.take(1, 70, start + Duration::from_secs(40)), Ok(()));
        assert_eq!(limiter.take(1, 1_000, start + Duration::from_secs(41)), Err(Duration::from_secs(99)));
        assert_eq!(limiter.take(1, 1_000, start + Duration::from_secs(140)), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_full_buckets_are_forgotten() {
        let limiter = Limiter::new(1, 60);
        let start = Instant::now();
        for asker in 0..ASKERS {
            assert_eq!(limiter.take(asker, 1, start), Ok(()));
        }
        assert!(limiter.wait(&ASKERS, start).is_some() && limiter.take(ASKERS, 1, start).is_err());
        assert_eq!(limiter.take(ASKERS, 1, start + Duration::from_secs(2)), Ok(()));
        assert_eq!(limiter.buckets.lock().unwrap().len(), 1);
    }
}
