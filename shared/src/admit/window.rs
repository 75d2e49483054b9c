//! Step 13: whether it is the time. Signed intervals less blackouts, and whether the run would end in what is left.

use super::Approved;
use crate::change::Change;
use crate::policy::Policy;
use crate::refusal::{Code, Refused};
use crate::time::{Interval, Timestamp};
use crate::windows::Closed;

/// Proof that a start falls into a signed interval.
#[derive(Clone, Copy, Debug)]
pub struct InWindow {
    interval: Interval,
    open: Interval,
}

impl InWindow {
    /// The signed interval, whole.
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// What is left of it before a blackout begins: no step starts after its end.
    pub fn open(&self) -> Interval {
        self.open
    }

    fn of(interval: Interval, change: &Change, closed: Closed<'_>, now: Timestamp) -> Result<Self, Refused> {
        Ok(Self { interval, open: closed.leaves(change.change_type, interval, now)? })
    }
}

/// Step 13: a start at `now` falls into a signed interval and into no blackout; `last_contact` is when the server last
/// answered.
///
/// # Errors
/// `time.*`.
pub fn in_window(
    policy: &Policy,
    change: &Change,
    closed: Closed<'_>,
    now: Timestamp,
    last_contact: Timestamp,
) -> Result<InWindow, Refused> {
    in_contact(policy, now, last_contact)?;
    InWindow::of(change.interval_at(now)?, change, closed, now)
}

/// A run that would not end in what is left of its interval does not begin: half as much time again is kept free as the
/// slowest one took that was measured.
///
/// # Errors
/// `time.late`, until the next interval that counts.
pub fn ends_in_time(
    window: &InWindow,
    change: &Change,
    slowest_s: i64,
    now: Timestamp,
) -> Result<(), Refused> {
    let needed = slowest_s.saturating_add(slowest_s / 2);
    let left = window.open.until.since(now);
    if needed <= left {
        return Ok(());
    }
    let message = format!(
        "the slowest run so far took {slowest_s} s, so that {needed} s are kept free, and there are {left} s until {}",
        window.open.until
    );
    let next = change.usable().find(|interval| interval.from >= window.interval.until);
    Err(Refused { retry_at: next.map(|interval| interval.from), ..Refused::new(Code::TimeLate, message) })
}

/// The same for what is approved: where somebody has broken the glass, that person's hours are the window, no blackout
/// holds it, and whether the server can be reached is not asked.
///
/// # Errors
/// `time.*`.
pub fn in_time(
    policy: &Policy,
    approved: &Approved,
    closed: Closed<'_>,
    now: Timestamp,
    last_contact: Timestamp,
) -> Result<InWindow, Refused> {
    let change = &approved.change.body;
    let Some(interval) = approved.glass else {
        return in_window(policy, change, closed, now, last_contact);
    };
    if now >= change.not_after {
        return Err(Refused::new(Code::TimeOver, format!("the change ended at {}", change.not_after)));
    }
    if now >= interval.until {
        let message = format!("the glass was broken until {}", interval.until);
        return Err(Refused::new(Code::ApprovalExpired, message));
    }
    Ok(InWindow { interval, open: interval })
}

/// The same for corrections: from the first interval, in which the change came, until they end.
///
/// # Errors
/// `time.*`.
pub fn in_correction_window(
    policy: &Policy,
    change: &Change,
    closed: Closed<'_>,
    now: Timestamp,
    last_contact: Timestamp,
) -> Result<InWindow, Refused> {
    in_contact(policy, now, last_contact)?;
    let interval = change.correction_interval();
    match interval.filter(|interval| interval.contains(now)) {
        Some(interval) => InWindow::of(interval, change, closed, now),
        None => Err(Refused::new(Code::TimeOver, "it is not the time for corrections of this change")),
    }
}

fn in_contact(policy: &Policy, now: Timestamp, last_contact: Timestamp) -> Result<(), Refused> {
    let grace = i64::from(policy.clock.offline_grace_h) * 3_600;
    if now.since(last_contact) <= grace {
        return Ok(());
    }
    let message = format!(
        "no contact to the server since {last_contact}; after {} hours nothing starts",
        grace / 3_600
    );
    Err(Refused::new(Code::TimeOffline, message))
}
