//! The only reader of the wall clock and the only source of randomness; taken once per command.

use crate::error::{Context as _, Done, Failure};
use shared::time::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Shifts the clock of a test installation, in seconds; never set on a real one.
const OFFSET: &str = "ASSENT_TEST_CLOCK_OFFSET_SECS";

/// The machine's time, shifted if the environment says so.
pub fn now() -> Done<Timestamp> {
    let offset: i64 = match std::env::var(OFFSET) {
        Ok(text) => text.parse().map_err(|_| {
            Failure::usage(format!("{OFFSET}={text:?} is not a number"))
                .remedy("write whole seconds, like -3600")
        })?,
        Err(_) => 0,
    };
    Ok(Timestamp(system_seconds().saturating_add(offset)))
}

#[expect(clippy::disallowed_methods, reason = "this is the edge where time enters")]
fn system_seconds() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    }
}

/// `N` bytes from the operating system's random source.
pub fn random<const N: usize>() -> Done<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).or_fault("this machine gives no random numbers")?;
    Ok(bytes)
}
