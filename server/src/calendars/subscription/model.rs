//! What a subscription may say, how it is shown, and when it is read.

use crate::calendars::model::{bad, check_reason, check_scope, zone};
use crate::kernel::endpoint::Endpoint;
use crate::kernel::error::Refusal;
use crate::kernel::pauses;
use crate::kernel::reach::{Reach, out_of_reach};
use shared::time::Timestamp;
use shared::wire::PutSubscription;

/// Subscriptions of a site.
pub(super) const MOST: i64 = 50;
/// Seconds between two readings, from a quarter of an hour to a week.
const EVERY_SECS: std::ops::RangeInclusive<u32> = 900..=604_800;
/// A calendar is old when nothing was read for four intervals, and for this time at least.
const STALE_SECS: i64 = 86_400;
/// Pauses after the first, second … failure in a row, seconds.
const PAUSES_SECS: [i64; 6] = [60, 300, 900, 1_800, 3_600, 7_200];

/// Whether this can be stored.
///
/// # Errors
/// `calendar.bad` with what is wrong.
pub(super) fn check(put: &PutSubscription, reach: &Reach) -> Result<(), Refusal> {
    check_reason(&put.reason)?;
    check_scope(&put.calendar).map_err(bad)?;
    if !put.calendar.rules.is_empty() || !put.calendar.times.is_empty() {
        return Err(bad("its rules and times come from the address".into()));
    }
    if !EVERY_SECS.contains(&put.every_s) {
        return Err(bad("it can be read every 15 minutes up to once a week".into()));
    }
    if zone(&put.zone).is_none() {
        return Err(bad(format!("the server does not know the time zone {}", put.zone)));
    }
    let endpoint = Endpoint::with_login(&put.url).map_err(|why| bad(format!("the address: {why}")))?;
    // Names are looked up when it is read, each time: what they lead to changes.
    match endpoint.address().filter(|address| !reach.allows(*address)) {
        Some(address) => Err(bad(out_of_reach(&address.to_string()))),
        None => Ok(()),
    }
}

/// What everybody may see of an address: the rest of it is a secret of many calendars.
pub(super) fn shown(url: &str) -> String {
    let Ok(endpoint) = Endpoint::with_login(url) else { return "***".into() };
    let scheme = if endpoint.tls { "https" } else { "http" };
    let login = if endpoint.login.is_some() { "***@" } else { "" };
    let path = if endpoint.path == "/" { "/" } else { "/***" };
    format!("{scheme}://{login}{}{path}", endpoint.authority)
}

/// Whether what was last read at `read` may be old by now.
pub(super) fn is_stale(read: Timestamp, every_s: i64, now: Timestamp) -> bool {
    now > old_from(read, every_s)
}

/// When what was read at `read` becomes old.
pub(super) fn old_from(read: Timestamp, every_s: i64) -> Timestamp {
    read.plus(every_s.saturating_mul(4).max(STALE_SECS))
}

/// Seconds until it is read again, after so many failures in a row, or none. `wait` is what the other side asks for.
pub(super) fn pause(every_s: i64, failures: i32, wait: Option<i64>, spread: u8) -> i64 {
    match failures {
        0 => pauses::spread_out(every_s, spread),
        _ => pauses::pause(&PAUSES_SECS, failures, spread).max(wait.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_only_the_host_is_shown() {
        for (url, expected) in [
            ("https://a.example", "https://a.example/"),
            ("https://a.example:8443/private-abc/basic.ics?key=abc", "https://a.example:8443/***"),
            ("https://user:abc@a.example/x.ics", "https://***@a.example/***"),
            ("http://user:a%40bc@127.0.0.1:80/", "http://***@127.0.0.1:80/"),
            ("user:abc@a.example", "***"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn pauses_grow_and_a_calendar_is_old_after_four_intervals_and_a_day() {
        let all: Vec<i64> = (1..20).map(|failures| pause(900, failures, None, 0)).collect();
        assert!(all.is_sorted() && all[0] < 900 && all[18] == 7_200, "{all:?}");
        assert_eq!((pause(900, 0, Some(9_000), 0), pause(900, 0, None, 255)), (900, 1_080));
        assert_eq!(pause(900, 1, Some(86_400), 0), 86_400);
        let at = Timestamp(1_000_000);
        for (every, secs, expected) in [
            (900, 86_400, false),
            (900, 86_401, true),
            (86_400, 4 * 86_400, false),
            (86_400, 4 * 86_400 + 1, true),
            (900, -999_999, false),
        ] {
            assert_eq!(is_stale(at, every, at.plus(secs)), expected, "{every} {secs}");
        }
    }
}
