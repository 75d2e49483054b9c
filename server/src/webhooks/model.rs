//! What a subscription may say, and when what did not arrive is tried again.

use crate::kernel::endpoint::Endpoint;
use crate::kernel::error::Refusal;
use crate::kernel::pauses;
use crate::kernel::reach::{Reach, out_of_reach};
use shared::webhook::WebhookSecret;
use shared::wire::NewWebhook;

/// Subscriptions of a site that have not ended; each is sent all its news.
pub(super) const MOST: i64 = 50;
/// What did not arrive for so long never does.
pub(super) const GIVE_UP_SECS: i64 = 5 * 86_400;
/// Deliveries that are over are shown for so long.
pub(super) const KEPT_SECS: i64 = 30 * 86_400;

/// Pauses after the first, second … failed attempt of one delivery, seconds, as the specification suggests; the last one goes on.
const PAUSES_SECS: [i64; 9] = [5, 60, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000];
/// Pauses of a whole subscription after so many failures in a row, seconds. Shorter than those of one delivery: a subscriber who
/// is back hears of everything within the hour.
const RESTS_SECS: [i64; 7] = [1, 5, 30, 120, 600, 1_800, 3_600];

/// Whether this can be stored.
///
/// # Errors
/// `webhook.bad` with what is wrong.
pub(super) fn check(new: &NewWebhook, reach: &Reach) -> Result<Option<WebhookSecret>, Refusal> {
    let bad = |why: String| Refusal::unprocessable("webhook.bad").with("why", why);
    let endpoint = Endpoint::parse(&new.url).map_err(|why| bad(format!("the address: {why}")))?;
    // Names are looked up when something is sent, each time: what they lead to changes.
    if let Some(address) = endpoint.address().filter(|address| !reach.allows(*address)) {
        return Err(bad(out_of_reach(&address.to_string())));
    }
    let secret = new.secret.as_ref().map(|secret| secret.parse::<WebhookSecret>());
    secret.transpose().map_err(|why| bad(why.to_string()))
}

/// Seconds until the next attempt of one delivery, after `attempts` of them. `spread` makes it up to a fifth longer, so that not
/// all come back at once.
pub(super) fn pause(attempts: i32, spread: u8) -> i64 {
    pauses::pause(&PAUSES_SECS, attempts, spread)
}

/// Seconds until anything is tried again at a subscriber with so many failures in a row.
pub(super) fn rest(failures: i32, spread: u8) -> i64 {
    pauses::pause(&RESTS_SECS, failures, spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_spread_and_end_before_it_is_given_up() {
        for of in [pause, rest] {
            let all: Vec<i64> = (1..20).map(|attempts| of(attempts, 0)).collect();
            assert!(all.is_sorted() && all[0] >= 1, "{all:?}");
            for attempts in 1..20 {
                let (least, most) = (of(attempts, 0), of(attempts, 255));
                assert_eq!(most, least + least / 5);
            }
        }
        assert!((1..=9).map(|attempts| pause(attempts, 255)).sum::<i64>() < GIVE_UP_SECS);
        assert_eq!((pause(0, 0), pause(i32::MAX, 0), rest(i32::MAX, 0)), (5, 72_000, 3_600));
    }
}
