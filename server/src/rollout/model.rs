//! The answer to "why not yet?", judged from facts alone.

use crate::kernel::i18n::Language;
use shared::lifecycle::State;
use shared::refusal::{Code, Refused};
use shared::time::{Interval, Timestamp};

/// A host that was not seen for so long is away: three times the longest pause between check-ins.
const AWAY_SECS: i64 = 900;

/// What is known of one host and one change.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub state: State,
    /// It accepts findings: no host ever runs it.
    pub retroactive: bool,
    /// It takes hosts out of the register: no host ever runs it.
    pub retires: bool,
    pub target: Option<Target>,
    /// The host has left for good.
    pub retired: bool,
    pub enabled: bool,
    pub held: bool,
    pub last_seen: Option<Timestamp>,
    /// Whether the approvals carry the change on this host now.
    pub carried: Result<(), Refused>,
    /// The interval that is open, or why none is.
    pub interval: Result<Interval, Refused>,
    /// Whether the earlier waves let this host begin.
    pub turn: Result<(), Refused>,
    /// Whether the host could have a slot of each budget that covers it.
    pub slots: Result<(), Refused>,
    /// Its last word about this revision.
    pub refusal: Option<HostRefusal>,
    /// Why it judges no change at all.
    pub hindered: Option<HostRefusal>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub planned: bool,
    /// The host's plan is in the plan set that people approved.
    pub approved: bool,
    /// How the host's report says it went, once there is one.
    pub report: Option<Report>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    Applied,
    Failed,
    /// Failed by its health checks.
    Unhealthy,
    PendingReboot,
}

impl Report {
    pub fn of(succeeded: Option<bool>, unhealthy: bool) -> Self {
        match succeeded {
            Some(true) => Self::Applied,
            Some(false) if unhealthy => Self::Unhealthy,
            Some(false) => Self::Failed,
            None => Self::PendingReboot,
        }
    }
}

/// What a host said last.
#[derive(Debug, Clone)]
pub(super) struct HostRefusal {
    pub code: String,
    pub message: String,
    pub retry_at: Option<Timestamp>,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Waiting,
    Refused,
    /// The host had all it needs and was there; its report has not arrived.
    Running,
    Reported,
    NotTargeted,
}

impl Standing {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::Running => "running",
            Self::Reported => "reported",
            Self::NotTargeted => "not_targeted",
        }
    }
}

/// Without a message of whoever judged, the text is the catalogue's under `why.<code>`; what a host says follows that text,
/// where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Because {
    pub standing: Standing,
    pub code: String,
    pub message: Option<String>,
    /// The message is the host's own.
    pub by_host: bool,
    pub retry_at: Option<Timestamp>,
}

impl Because {
    fn new(standing: Standing, code: &str) -> Self {
        Self { standing, code: code.to_owned(), message: None, by_host: false, retry_at: None }
    }

    fn waiting(code: &str) -> Self {
        Self::new(Standing::Waiting, code)
    }

    fn told(refused: &Refused) -> Self {
        let standing = match refused.code {
            Code::TimeOver => Standing::Refused,
            _ => Standing::Waiting,
        };
        Self {
            message: Some(refused.message.clone()),
            retry_at: refused.retry_at,
            ..Self::new(standing, refused.code.as_str())
        }
    }

    fn host(refusal: &HostRefusal) -> Self {
        let mut because = Self::new(Standing::Refused, &refusal.code);
        because.message = Some(refusal.message.clone());
        because.by_host = true;
        because.retry_at = refusal.retry_at;
        because
    }

    /// The text in the reader's language.
    pub fn text(&self, language: Language) -> String {
        let key = format!("why.{}", self.code);
        let text = language.text(&key);
        match &self.message {
            // A key without a text is answered as it is.
            Some(message) if self.by_host && text != key => format!("{text} {message}"),
            Some(message) => message.clone(),
            None => text.to_owned(),
        }
    }
}

/// The first thing that stands in the way, in the order in which people can do something about it.
pub(super) fn because(facts: &Facts, now: Timestamp) -> Because {
    let Some(target) = facts.target else {
        return Because::new(Standing::NotTargeted, Code::ChangeNotForMe.as_str());
    };
    if let Some(report) = target.report {
        let code = match report {
            Report::Applied => "host.applied",
            Report::Failed => "host.failed",
            Report::Unhealthy => "host.unhealthy",
            Report::PendingReboot => "host.pending_reboot",
        };
        return Because::new(Standing::Reported, code);
    }
    if facts.retroactive {
        return Because::new(Standing::Refused, Code::ChangeRetroactive.as_str());
    }
    if facts.retires {
        return Because::new(Standing::Refused, "change.retires");
    }
    if facts.retired {
        return Because::new(Standing::Refused, "host.retired");
    }
    match facts.state {
        State::Draft => Because::waiting("change.draft"),
        State::InReview if target.planned => Because::waiting(Code::ApprovalMissing.as_str()),
        State::InReview => planning(facts, now),
        State::Halted => Because::waiting(Code::ChangeHalted.as_str()),
        State::Review | State::Closed(_) => Because::new(Standing::Refused, "change.closed"),
        State::Approved | State::Running => starting(facts, target, now),
    }
}

/// The server waits for the host's plan.
fn planning(facts: &Facts, now: Timestamp) -> Because {
    match facts.hindered.as_ref().or(facts.refusal.as_ref()) {
        Some(refusal) => Because::host(refusal),
        None => presence(facts, now).unwrap_or_else(|| Because::waiting("plan.wished")),
    }
}

fn starting(facts: &Facts, target: Target, now: Timestamp) -> Because {
    if !target.approved {
        return Because::new(Standing::Refused, Code::PlanMissing.as_str());
    }
    if let Err(refused) = &facts.carried {
        return Because::told(refused);
    }
    if let Some(away) = blocked(facts) {
        return away;
    }
    // Before the time comes, somebody may still do something about it.
    if let Some(hindered) = &facts.hindered {
        return Because::host(hindered);
    }
    let interval = match &facts.interval {
        Ok(interval) => *interval,
        // A host judges approvals before the time: with what it misses there, waiting does not help.
        Err(refused) => {
            let approvals = facts.refusal.as_ref().filter(|refusal| refusal.code.starts_with("approval."));
            return approvals.map_or_else(|| Because::told(refused), Because::host);
        }
    };
    if let Err(refused) = &facts.turn {
        return Because::told(refused);
    }
    // What the host said before this interval began no longer answers the question; who has the slots, the server knows.
    let said = facts.refusal.as_ref().filter(|refusal| interval.contains(refusal.at));
    if let Some(refusal) = said.filter(|refusal| refusal.code != Code::LockHeld.as_str()) {
        return Because::host(refusal);
    }
    if let Err(refused) = &facts.slots {
        return Because::told(refused);
    }
    if let Some(away) = presence(facts, now) {
        return Because { retry_at: None, ..away };
    }
    match facts.last_seen {
        Some(seen) if seen >= interval.from => Because::new(Standing::Running, "host.busy"),
        _ => Because::waiting("host.soon"),
    }
}

fn blocked(facts: &Facts) -> Option<Because> {
    if !facts.enabled {
        return Some(Because::waiting("host.disabled"));
    }
    facts.held.then(|| Because::waiting("host.held"))
}

fn presence(facts: &Facts, now: Timestamp) -> Option<Because> {
    if let Some(blocked) = blocked(facts) {
        return Some(blocked);
    }
    let away = facts.last_seen.is_none_or(|seen| now.since(seen) > AWAY_SECS);
    away.then(|| Because::waiting("host.away"))
}
