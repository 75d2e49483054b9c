//! The states of a change and the events that move it. Pure and total: an event that does not fit is a refusal.
//!
//! `draft → in_review → approved → running ⇄ halted → review → closed`; the outcome stands beside the state
//! only where the change is closed. Who resumes each state after a crash is said at the state.
//!
//! A change that only puts something on record (retroactive, or of the register) brings nothing to hosts:
//! `draft → review → closed`, and its review is the approval.

use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Outcome {
    Successful,
    SuccessfulWithIssues,
    Failed,
    RolledBack,
    Rejected,
    Withdrawn,
    Expired,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Its author goes on with it; nothing runs by itself.
    Draft,
    /// Hosts are asked for plans at each check-in; approvals arrive.
    InReview,
    /// The bundle is in the repository; hosts wait for the window. The scheduler expires it.
    Approved,
    /// At least one host has reported; each further receipt moves it on.
    Running,
    /// An operator stopped it; resumed or closed by an operator.
    Halted,
    /// Every host has reported or the time is over; a person looks at it and closes it. Of one that brings nothing
    /// to hosts: approvals arrive, and the quorum closes it. The scheduler expires it.
    Review,
    Closed(Outcome),
}

/// What can happen to a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Submit,
    /// A new revision was signed: everything said about the old one is void.
    Revise,
    QuorumReached,
    Reject,
    Withdraw,
    /// The first host reported.
    Started,
    Halt,
    Resume,
    /// All hosts reported, or `not_after` passed with at least one report.
    Finished,
    /// `not_after` passed and no host had started.
    Expire,
    Close(Outcome),
    /// An operator ends that hosts put back by themselves what it brought.
    StopCorrecting,
    /// A host ran it because one person broke the glass: whatever it was, people look at it now.
    BrokenGlass,
}

/// The event does not fit the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the change is {state}; {event} needs {needed}")]
pub struct Unfit {
    pub state: State,
    pub event: Event,
    pub needed: &'static str,
}

impl State {
    pub fn on(self, event: Event) -> Result<State, Unfit> {
        use State::{Approved, Closed, Draft, Halted, InReview, Review, Running};
        let unfit = |needed| Err(Unfit { state: self, event, needed });
        match event {
            Event::Submit => match self {
                Draft => Ok(InReview),
                _ => unfit("draft"),
            },
            Event::Revise => match self {
                Draft | InReview | Approved => Ok(Draft),
                _ => unfit("draft, in_review or approved"),
            },
            Event::QuorumReached => match self {
                InReview => Ok(Approved),
                Approved | Running => Ok(self),
                _ => unfit("in_review"),
            },
            Event::Reject => match self {
                InReview | Approved => Ok(Closed(Outcome::Rejected)),
                _ => unfit("in_review or approved"),
            },
            Event::Withdraw => match self {
                Draft | InReview | Approved | Halted => Ok(Closed(Outcome::Withdrawn)),
                _ => unfit("draft, in_review, approved or halted"),
            },
            Event::Started => match self {
                Approved => Ok(Running),
                Running | Halted | Review | Closed(_) => Ok(self),
                Draft | InReview => unfit("approved"),
            },
            Event::Halt => match self {
                Approved | Running => Ok(Halted),
                _ => unfit("approved or running"),
            },
            Event::Resume => match self {
                Halted => Ok(Running),
                _ => unfit("halted"),
            },
            Event::Finished => match self {
                Running | Halted => Ok(Review),
                Review | Closed(_) => Ok(self),
                _ => unfit("running"),
            },
            Event::Expire => match self {
                Draft | InReview | Approved | Halted => Ok(Closed(Outcome::Expired)),
                _ => unfit("draft, in_review, approved or halted"),
            },
            Event::Close(outcome) => match self {
                Review | Halted => Ok(Closed(outcome)),
                _ => unfit("review or halted"),
            },
            Event::StopCorrecting => match self {
                Review | Closed(_) => Ok(self),
                _ => unfit("review or closed"),
            },
            Event::BrokenGlass => match self {
                Running | Halted => Ok(self),
                Draft | InReview | Approved | Review | Closed(_) => Ok(Review),
            },
        }
    }

    /// The same for a change that brings nothing to hosts: nothing is planned or run, so nothing else leads to `successful`
    /// than the quorum.
    ///
    /// # Errors
    /// The event does not fit the state of such a change.
    pub fn on_record(self, event: Event) -> Result<State, Unfit> {
        use State::{Closed, Draft, Review};
        let unfit = |needed| Err(Unfit { state: self, event, needed });
        match event {
            Event::Submit if self == Draft => Ok(Review),
            Event::Submit => unfit("draft"),
            Event::Revise if matches!(self, Draft | Review) => Ok(Draft),
            Event::Withdraw if matches!(self, Draft | Review) => Ok(Closed(Outcome::Withdrawn)),
            Event::Expire if matches!(self, Draft | Review) => Ok(Closed(Outcome::Expired)),
            Event::Revise | Event::Withdraw | Event::Expire => unfit("draft or review"),
            Event::QuorumReached if self == Review => Ok(Closed(Outcome::Successful)),
            Event::Reject if self == Review => Ok(Closed(Outcome::Rejected)),
            Event::Close(Outcome::Failed) if self == Review => Ok(Closed(Outcome::Failed)),
            Event::Close(outcome) if outcome != Outcome::Failed => unfit(
                "the outcome failed: only an approval makes a change successful that brings nothing to hosts",
            ),
            Event::QuorumReached | Event::Reject | Event::Close(_) => unfit("review"),
            Event::Started
            | Event::Halt
            | Event::Resume
            | Event::Finished
            | Event::StopCorrecting
            | Event::BrokenGlass => unfit("a change that is run; this one brings nothing to hosts"),
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::InReview => "in_review",
            Self::Approved => "approved",
            Self::Running => "running",
            Self::Halted => "halted",
            Self::Review => "review",
            Self::Closed(_) => "closed",
        }
    }

    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Closed(outcome) => Some(outcome),
            Self::Draft | Self::InReview | Self::Approved | Self::Running | Self::Halted | Self::Review => {
                None
            }
        }
    }

    /// The state stored as two columns; `None` when they do not belong together.
    pub fn from_parts(state: &str, outcome: Option<&str>) -> Option<Self> {
        match (state, outcome) {
            ("draft", None) => Some(Self::Draft),
            ("in_review", None) => Some(Self::InReview),
            ("approved", None) => Some(Self::Approved),
            ("running", None) => Some(Self::Running),
            ("halted", None) => Some(Self::Halted),
            ("review", None) => Some(Self::Review),
            ("closed", Some(outcome)) => {
                Outcome::ALL.into_iter().find(|o| o.as_str() == outcome).map(Self::Closed)
            }
            _ => None,
        }
    }
}

impl Outcome {
    pub const ALL: [Self; 7] = [
        Self::Successful,
        Self::SuccessfulWithIssues,
        Self::Failed,
        Self::RolledBack,
        Self::Rejected,
        Self::Withdrawn,
        Self::Expired,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Successful => "successful",
            Self::SuccessfulWithIssues => "successful_with_issues",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Submit => "submit",
            Self::Revise => "revise",
            Self::QuorumReached => "the quorum",
            Self::Reject => "reject",
            Self::Withdraw => "withdraw",
            Self::Started => "a receipt",
            Self::Halt => "halt",
            Self::Resume => "resume",
            Self::Finished => "finish",
            Self::Expire => "expire",
            Self::Close(_) => "close",
            Self::StopCorrecting => "stop_correcting",
            Self::BrokenGlass => "a broken glass",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 7] = [
        State::Draft,
        State::InReview,
        State::Approved,
        State::Running,
        State::Halted,
        State::Review,
        State::Closed(Outcome::Successful),
    ];

    const EVENTS: [Event; 14] = [
        Event::Submit,
        Event::Revise,
        Event::QuorumReached,
        Event::Reject,
        Event::Withdraw,
        Event::Started,
        Event::Halt,
        Event::Resume,
        Event::Finished,
        Event::Expire,
        Event::Close(Outcome::Failed),
        Event::Close(Outcome::Successful),
        Event::StopCorrecting,
        Event::BrokenGlass,
    ];

    /// A change that brings nothing to hosts never gets to where hosts would run it, and only the quorum makes it successful.
    #[test]
    fn what_brings_nothing_to_hosts_is_reviewed_and_never_run() {
        for state in STATES {
            for event in EVENTS {
                let Ok(next) = state.on_record(event) else { continue };
                assert!(matches!(next, State::Draft | State::Review | State::Closed(_)), "{state} {event}");
                assert!(matches!(state, State::Draft | State::Review), "{state} {event}");
                if next == State::Closed(Outcome::Successful) {
                    assert_eq!((state, event), (State::Review, Event::QuorumReached));
                }
            }
        }
        assert_eq!(State::Draft.on_record(Event::Submit), Ok(State::Review));
        assert_eq!(
            State::Review.on_record(Event::Close(Outcome::Failed)),
            Ok(State::Closed(Outcome::Failed))
        );
    }

    /// No event leads from before approval to running, and nothing reopens a closed change; only what a host has done
    /// because somebody broke the glass comes before people at any time.
    #[test]
    fn only_the_quorum_leads_to_approved_and_closed_stays_closed() {
        for state in STATES {
            for event in EVENTS {
                let Ok(next) = state.on(event) else { continue };
                if event == Event::BrokenGlass {
                    assert!(matches!(next, State::Running | State::Halted | State::Review), "{state}");
                    continue;
                }
                if next == State::Approved && state != State::Approved {
                    assert_eq!((state, event), (State::InReview, Event::QuorumReached));
                }
                if matches!(state, State::Draft | State::InReview) {
                    assert!(
                        !matches!(next, State::Running | State::Halted | State::Review),
                        "{state} {event}"
                    );
                }
                if matches!(state, State::Closed(_)) {
                    assert_eq!(next, state, "{event}");
                }
            }
        }
    }

    #[test]
    fn states_survive_storage() {
        for state in STATES {
            assert_eq!(State::from_parts(state.as_str(), state.outcome().map(Outcome::as_str)), Some(state));
        }
        assert_eq!(State::from_parts("approved", Some("failed")), None);
        assert_eq!(State::from_parts("closed", None), None);
    }
}
