//! What to do next. Pure and total: the situation in, one action out; the executor (`run`) has no choices.
//!
//! The order is the agent's safety: an unfinished run first and without any network, then what was said but
//! not yet proven, then contact, then findings, then plans, then changes. Never: time, disk or network of its own.

use shared::digest::Digest;
use shared::ids::ChangeId;
use shared::time::Timestamp;

/// Seconds between two looks at a machine that is on its way down.
const GOING_DOWN_SECS: i64 = 30;

/// A change in one revision.
pub type ChangeKey = (ChangeId, u32);

/// Whether a run was broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    Empty,
    /// `running.json` exists: a run has begun and has no receipt yet.
    Unfinished,
    /// The run has asked the machine to go down, or waits for another process of the agent; nothing else begins until
    /// then.
    Rebooting,
}

/// One duty of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chore {
    Due,
    /// Done, or nothing to do.
    Settled,
    /// Tried in this tick without success; the next tick tries again.
    Failed,
}

/// Whether the host's clock can be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockState {
    Plausible,
    /// Only reports; nothing is judged by this clock.
    Suspect,
}

/// What is known of a listed change in this tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Unjudged,
    /// A check said no; the answer may change at this moment, if one is known.
    Refused {
        retry_at: Option<Timestamp>,
    },
    /// Every check passed.
    Ready,
    /// It has run here, or is not for this host.
    Over,
}

/// What the server asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Changes (statement digests) that want a plan which was not sent yet.
    pub plans: Vec<Digest>,
    /// The server misses statements from this place on.
    pub resend_from: Option<u64>,
}

/// Everything that the next step depends on.
#[derive(Clone, Debug)]
pub struct Situation<'a> {
    pub journal: Journal,
    pub clock: ClockState,
    /// Runs whose software is not in effect yet.
    pub pending: Chore,
    pub certificate: Chore,
    pub spool: Chore,
    pub check_in: Chore,
    pub facts: Chore,
    /// The look whether the host still is as it was approved.
    pub check: Chore,
    /// The look at health checks of what is approved.
    pub health: Chore,
    /// Differences that their manifests want to be put back.
    pub correct: Chore,
    /// What a person has brought to this host by hand.
    pub carried: Chore,
    /// The repository; due again after each change that ran.
    pub refresh: Chore,
    pub wishes: &'a Wishes,
    /// In the order of change number and revision.
    pub changes: &'a [(ChangeKey, Standing)],
    pub next_check_in: Timestamp,
}

/// The next step of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Bring the broken-off run to its end and make its receipt.
    Resume,
    /// See whether what earlier runs left pending is over.
    Follow,
    Renew,
    Flush,
    CheckIn,
    Resend {
        from: u64,
    },
    SendFacts,
    /// See whether the host still is as it was approved, and tell what is not.
    Check,
    /// Look at health checks, and tell what is otherwise than before.
    LookAtHealth,
    /// Judge what a person has brought by hand, and run it.
    TakeCarried,
    Refresh,
    /// Put back what was approved, where that approval stands.
    Correct,
    Plan(Digest),
    Judge(ChangeKey),
    Start(ChangeKey),
    /// Nothing until then.
    Sleep {
        until: Timestamp,
    },
}

/// The next step.
pub fn decide(situation: &Situation<'_>, now: Timestamp) -> Action {
    match situation.journal {
        Journal::Unfinished => return Action::Resume,
        Journal::Rebooting => return Action::Sleep { until: now.plus(GOING_DOWN_SECS) },
        Journal::Empty => {}
    }
    for (chore, action) in [
        (situation.pending, Action::Follow),
        (situation.certificate, Action::Renew),
        (situation.spool, Action::Flush),
        (situation.check_in, Action::CheckIn),
    ] {
        match chore {
            Chore::Due => return action,
            Chore::Settled | Chore::Failed => {}
        }
    }
    if let Some(from) = situation.wishes.resend_from {
        return Action::Resend { from };
    }
    for (chore, action) in [
        (situation.facts, Action::SendFacts),
        (situation.check, Action::Check),
        (situation.health, Action::LookAtHealth),
    ] {
        match chore {
            Chore::Due => return action,
            Chore::Settled | Chore::Failed => {}
        }
    }
    match situation.clock {
        ClockState::Suspect => sleep(situation, now),
        ClockState::Plausible => changes(situation, now),
    }
}

fn changes(situation: &Situation<'_>, now: Timestamp) -> Action {
    // It is there because the server is not, so it waits for no repository.
    if situation.carried == Chore::Due {
        return Action::TakeCarried;
    }
    match situation.refresh {
        Chore::Due => return Action::Refresh,
        // Without a verified repository nothing is planned, judged or started.
        Chore::Failed => return sleep(situation, now),
        Chore::Settled => {}
    }
    if situation.correct == Chore::Due {
        return Action::Correct;
    }
    if let Some(change) = situation.wishes.plans.first() {
        return Action::Plan(*change);
    }
    let find =
        |wanted: &Standing| situation.changes.iter().find(|(_, s)| s == wanted).map(|(k, _)| k.clone());
    // Ready ones first: after a run everything is judged anew.
    if let Some(key) = find(&Standing::Ready) {
        return Action::Start(key);
    }
    if let Some(key) = find(&Standing::Unjudged) {
        return Action::Judge(key);
    }
    sleep(situation, now)
}

/// Until the next check-in, or earlier when a change may become possible.
fn sleep(situation: &Situation<'_>, now: Timestamp) -> Action {
    let openings = situation.changes.iter().filter_map(|(_, standing)| match standing {
        Standing::Refused { retry_at } => *retry_at,
        Standing::Unjudged | Standing::Ready | Standing::Over => None,
    });
    let next = openings.filter(|at| *at > now).fold(situation.next_check_in, Timestamp::min);
    Action::Sleep { until: next.max(now.plus(1)) }
}

/// Seconds that this host waits more than others, so that a fleet does not ask all at once: its own share of
/// a tenth of the interval, fixed by its id.
pub fn splay_secs(agent: shared::ids::AgentId, poll_secs: u32) -> u32 {
    let share = Digest::of(agent.to_string().as_bytes()).0;
    let number = u32::from_be_bytes([share[0], share[1], share[2], share[3]]);
    number % (poll_secs / 10).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    fn key(n: u32) -> ChangeKey {
        (format!("C-{n}").parse().unwrap(), 1)
    }

    /// A situation with everything due; the table settles one thing after the other.
    fn all_due<'a>(wishes: &'a Wishes, changes: &'a [(ChangeKey, Standing)]) -> Situation<'a> {
        Situation {
            journal: Journal::Unfinished,
            clock: ClockState::Plausible,
            pending: Chore::Due,
            certificate: Chore::Due,
            spool: Chore::Due,
            check_in: Chore::Due,
            facts: Chore::Due,
            check: Chore::Due,
            health: Chore::Due,
            correct: Chore::Due,
            carried: Chore::Due,
            refresh: Chore::Due,
            wishes,
            changes,
            next_check_in: NOW.plus(60),
        }
    }

    #[test]
    fn the_order_of_a_tick_is_fixed() {
        let plan = Digest::of(b"change");
        let asks = Wishes { plans: vec![plan], resend_from: Some(7) };
        let none = Wishes::default();
        let listed = [(key(1), Standing::Unjudged), (key(2), Standing::Ready)];
        let mut s = all_due(&asks, &listed);
        assert_eq!(decide(&s, NOW), Action::Resume);
        s.journal = Journal::Rebooting;
        assert_eq!(decide(&s, NOW), Action::Sleep { until: NOW.plus(GOING_DOWN_SECS) });
        s.journal = Journal::Empty;
        assert_eq!(decide(&s, NOW), Action::Follow);
        s.pending = Chore::Failed;
        assert_eq!(decide(&s, NOW), Action::Renew);
        s.certificate = Chore::Failed;
        assert_eq!(decide(&s, NOW), Action::Flush);
        s.spool = Chore::Failed;
        assert_eq!(decide(&s, NOW), Action::CheckIn);
        s.check_in = Chore::Settled;
        assert_eq!(decide(&s, NOW), Action::Resend { from: 7 });
        s.wishes = &none;
        assert_eq!(decide(&s, NOW), Action::SendFacts);
        s.facts = Chore::Settled;
        assert_eq!(decide(&s, NOW), Action::Check);
        s.check = Chore::Settled;
        assert_eq!(decide(&s, NOW), Action::LookAtHealth);
        s.health = Chore::Failed;
        assert_eq!(decide(&s, NOW), Action::TakeCarried);
        s.carried = Chore::Settled;
        assert_eq!(decide(&s, NOW), Action::Refresh);
        s.refresh = Chore::Settled;
        assert_eq!(decide(&s, NOW), Action::Correct);
        s.correct = Chore::Settled;
        let wants_plan = Wishes { resend_from: None, ..asks.clone() };
        s.wishes = &wants_plan;
        assert_eq!(decide(&s, NOW), Action::Plan(plan));
        s.wishes = &none;
        assert_eq!(decide(&s, NOW), Action::Start(key(2)));
        let judged = [(key(1), Standing::Unjudged), (key(2), Standing::Over)];
        s.changes = &judged;
        assert_eq!(decide(&s, NOW), Action::Judge(key(1)));
        s.changes = &[];
        assert_eq!(decide(&s, NOW), Action::Sleep { until: NOW.plus(60) });
    }

    #[test]
    fn nothing_starts_with_a_suspect_clock_or_without_a_verified_repository() {
        let wishes = Wishes { plans: vec![Digest::of(b"x")], resend_from: None };
        let ready = [(key(1), Standing::Ready)];
        let settled = Situation {
            journal: Journal::Empty,
            pending: Chore::Settled,
            certificate: Chore::Settled,
            spool: Chore::Settled,
            check_in: Chore::Settled,
            facts: Chore::Settled,
            check: Chore::Settled,
            health: Chore::Settled,
            correct: Chore::Settled,
            carried: Chore::Settled,
            ..all_due(&wishes, &ready)
        };
        for (clock, refresh) in [
            (ClockState::Suspect, Chore::Due),
            (ClockState::Suspect, Chore::Settled),
            (ClockState::Plausible, Chore::Failed),
        ] {
            let s = Situation { clock, refresh, ..settled.clone() };
            assert_eq!(decide(&s, NOW), Action::Sleep { until: NOW.plus(60) }, "{clock:?} {refresh:?}");
        }
        // What somebody carried here needs no repository, but a clock.
        for (clock, carried) in [(ClockState::Plausible, true), (ClockState::Suspect, false)] {
            let s = Situation { clock, refresh: Chore::Failed, carried: Chore::Due, ..settled.clone() };
            assert_eq!(decide(&s, NOW) == Action::TakeCarried, carried, "{clock:?}");
        }
        // Reports go on all the same.
        let s = Situation { clock: ClockState::Suspect, spool: Chore::Due, ..settled.clone() };
        assert_eq!(decide(&s, NOW), Action::Flush);
        let s = Situation { refresh: Chore::Failed, facts: Chore::Due, ..settled.clone() };
        assert_eq!(decide(&s, NOW), Action::SendFacts);
        let s = Situation { clock: ClockState::Suspect, check: Chore::Due, ..settled };
        assert_eq!(decide(&s, NOW), Action::Check);
    }

    #[test]
    fn the_agent_wakes_for_the_next_interval_even_between_check_ins() {
        let wishes = Wishes::default();
        let at = |secs: i64| Standing::Refused { retry_at: Some(NOW.plus(secs)) };
        for (changes, until) in [
            (vec![(key(1), at(20)), (key(2), at(10))], 10),
            (vec![(key(1), at(600))], 60),
            (vec![(key(1), at(-5)), (key(2), Standing::Refused { retry_at: None })], 60),
        ] {
            let s = Situation {
                journal: Journal::Empty,
                pending: Chore::Settled,
                certificate: Chore::Settled,
                spool: Chore::Settled,
                check_in: Chore::Settled,
                facts: Chore::Settled,
                check: Chore::Settled,
                health: Chore::Settled,
                correct: Chore::Settled,
                carried: Chore::Failed,
                refresh: Chore::Settled,
                ..all_due(&wishes, &changes)
            };
            assert_eq!(decide(&s, NOW), Action::Sleep { until: NOW.plus(until) });
        }
    }

    #[test]
    fn splay_is_a_fixed_share_of_the_interval() {
        let id = |n: u8| shared::ids::AgentId::of_key(&[n; 32]);
        let all: Vec<u32> = (0..100).map(|n| splay_secs(id(n), 600)).collect();
        assert!(all.iter().all(|s| *s < 60));
        assert!(all.iter().collect::<std::collections::BTreeSet<_>>().len() > 30);
        assert_eq!(splay_secs(id(1), 600), all[1]);
        assert_eq!(splay_secs(id(1), 5), 0);
    }
}
