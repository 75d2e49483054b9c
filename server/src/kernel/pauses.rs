//! How long something rests that failed, and how what comes again is spread.

/// Seconds after so many failures in a row, out of growing pauses of which the last one goes on. `spread` is random.
pub fn pause(pauses: &[i64], failures: i32, spread: u8) -> i64 {
    let place = usize::try_from(failures.saturating_sub(1)).unwrap_or(0);
    spread_out(pauses.get(place).or(pauses.last()).copied().unwrap_or_default(), spread)
}

/// Up to a fifth longer, so that not all come back at once.
pub fn spread_out(secs: i64, spread: u8) -> i64 {
    secs + secs * i64::from(spread) / (5 * 255)
}
