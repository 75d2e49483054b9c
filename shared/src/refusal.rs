//! Refusals: what was not done and why, with a stable code. The same codes on host, server and page.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! codes {
    ($($variant:ident = $text:literal),+ $(,)?) => {
        /// Stable reason codes, in the order of checks on the host.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Code { $(#[serde(rename = $text)] $variant),+ }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$variant),+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

codes! {
    TimeSuspect = "time.suspect",
    TufExpired = "tuf.expired",
    TufRollback = "tuf.rollback",
    TufInvalid = "tuf.invalid",
    TufProfile = "tuf.profile",
    PolicyInvalid = "policy.invalid",
    PolicySite = "policy.site",
    PolicyRollback = "policy.rollback",
    ChangeRetroactive = "change.retroactive",
    ChangeInvalid = "change.invalid",
    ChangeSite = "change.site",
    ChangeRevision = "change.revision",
    ChangeHalted = "change.halted",
    ChangeAuthor = "change.author",
    ChangeNotForMe = "change.not_for_me",
    ManifestUnknown = "manifest.unknown",
    ManifestInvalid = "manifest.invalid",
    ManifestPublisher = "manifest.publisher",
    ManifestDowngrade = "manifest.downgrade",
    ApprovalMissing = "approval.missing",
    ApprovalInvalid = "approval.invalid",
    ApprovalOther = "approval.other_change",
    ApprovalExpired = "approval.expired",
    ApprovalUnknownKey = "approval.unknown_key",
    ApprovalWithdrawn = "approval.withdrawn",
    ApprovalQuorum = "approval.quorum",
    ApprovalBreakGlass = "approval.breakglass",
    PolicyRule = "policy.rule",
    PolicyModel = "policy.model",
    LogUnproven = "log.unproven",
    TimeWindow = "time.window",
    TimeBlackout = "time.blackout",
    TimeLate = "time.late",
    TimeOver = "time.over",
    TimeOffline = "time.offline",
    WaveGate = "wave.gate",
    LockHeld = "lock.held",
    LockUnanswered = "lock.unanswered",
    ChangeReplay = "change.replay",
    ArtifactMissing = "artifact.missing",
    ArtifactDigest = "artifact.digest",
    PlanMissing = "plan.missing",
    PlanFailed = "plan.failed",
    PlanHeld = "plan.held",
    PlanRoom = "plan.room",
    PlanDrift = "plan.drift",
    PlanClass = "plan.class",
    PlanProgram = "plan.program",
    PlanQuarantined = "plan.quarantined",
    ReleaseUnsigned = "release.unsigned",
    ReleaseUnfit = "release.unfit",
    LogFork = "log.fork",
    AgentStorage = "agent.storage",
    AgentCopy = "agent.copy",
}

impl Code {
    /// Whether a host that says this about no change judges none of them until it is over.
    pub fn stops_host(self) -> bool {
        use Code::{
            AgentStorage, PolicyInvalid, PolicyRollback, PolicySite, TimeSuspect, TufExpired, TufInvalid,
            TufProfile, TufRollback,
        };
        matches!(
            self,
            TimeSuspect
                | TufExpired
                | TufRollback
                | TufInvalid
                | TufProfile
                | PolicyInvalid
                | PolicySite
                | PolicyRollback
                | AgentStorage
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A check said no. `retry_at` is the next moment at which the answer may change by itself, if one is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
#[serde(deny_unknown_fields)]
pub struct Refused {
    pub code: Code,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
}

impl Refused {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_at: None }
    }

    pub fn until(code: Code, message: impl Into<String>, retry_at: Timestamp) -> Self {
        Self { code, message: message.into(), retry_at: Some(retry_at) }
    }
}
