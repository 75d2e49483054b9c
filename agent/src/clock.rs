//! The only reader of the wall clock. Everything else gets `now` as an argument, taken once per tick.

use shared::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Shifts the clock of a test installation, in seconds; never set on a real one.
pub const OFFSET: &str = "ASSENT_TEST_CLOCK_OFFSET_SECS";

/// The wall clock of the machine, or one that a test moves.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System { offset_secs: i64 },
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock, shifted if the environment says so.
    ///
    /// # Errors
    /// The variable is set to something other than whole seconds.
    pub fn from_env() -> Result<Self, String> {
        let offset_secs = match std::env::var(OFFSET) {
            Ok(text) => {
                text.parse().map_err(|_| format!("{OFFSET}={text:?}: write whole seconds, like -3600"))?
            }
            Err(_) => 0,
        };
        Ok(Self(Source::System { offset_secs }))
    }

    /// A clock that stands still until it is told otherwise; clones share it.
    pub fn fixed(at: Timestamp) -> Self {
        Self(Source::Set(Arc::new(AtomicI64::new(at.0))))
    }

    /// Moves a fixed clock; a system clock stays as it is.
    pub fn set(&self, at: Timestamp) {
        if let Source::Set(seconds) = &self.0 {
            seconds.store(at.0, Ordering::SeqCst);
        }
    }

    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { offset_secs } => Timestamp(system_seconds().saturating_add(*offset_secs)),
            Source::Set(seconds) => Timestamp(seconds.load(Ordering::SeqCst)),
        }
    }

    /// From now on, never behind what has really passed.
    pub fn steady(&self) -> Steady {
        Steady { clock: self.clone(), from: self.now(), began: Instant::now() }
    }
}

/// The wall clock since a moment. Setting it back gives no more time until an end; setting it ahead takes time away.
#[derive(Debug, Clone)]
pub struct Steady {
    clock: Clock,
    from: Timestamp,
    began: Instant,
}

impl Steady {
    pub fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.began.elapsed().as_secs()).unwrap_or(i64::MAX);
        self.clock.now().max(self.from.plus(passed))
    }
}

/// TLS judges certificates by the same clock as everything else.
impl rustls::time_provider::TimeProvider for Clock {
    fn current_time(&self) -> Option<rustls_pki_types::UnixTime> {
        let seconds = u64::try_from(self.now().0).ok()?;
        Some(rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the edge where time enters")]
fn system_seconds() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_time_goes_on_whatever_the_clock_says() {
        let (noon, clock) = (Timestamp(1_000_000), Clock::fixed(Timestamp(1_000_000)));
        let mut time = clock.steady();
        assert_eq!(time.now(), noon);
        for (set, shown) in [(-1, 0), (-86_400, 0), (30, 30), (0, 0)] {
            clock.set(noon.plus(set));
            assert_eq!(time.now(), noon.plus(shown), "{set}");
        }
        // A minute and a half has passed.
        time.began = time.began.checked_sub(Duration::from_secs(90)).unwrap();
        for (set, shown) in [(-86_400, 90), (0, 90), (89, 90), (91, 91)] {
            clock.set(noon.plus(set));
            assert_eq!(time.now(), noon.plus(shown), "{set}");
        }
    }
}
