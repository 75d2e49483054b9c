//! What one tick did, as lines for people and as data for tests and the status.

use serde::{Deserialize, Serialize};
use shared::ids::ChangeId;
use shared::receipt::HostOutcome;
use shared::refusal::{Code, Refused};
use shared::time::Timestamp;
use std::collections::BTreeMap;

/// Where a change stands on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    pub change_id: ChangeId,
    pub revision: u32,
    /// `ready`, `refused`, `waiting`, `not_for_this_host`, or the outcome of its run.
    pub standing: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
}

/// One refusal of a tick, whether it was signed again or held back by the rate limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub change_id: Option<ChangeId>,
    pub revision: Option<u32>,
    pub reason: Refused,
}

impl Said {
    /// As it stands among the lines of its report.
    pub fn line(&self) -> String {
        let what = self.change_id.as_ref().map(|id| format!("{id} ")).unwrap_or_default();
        format!("refused: {what}{}", self.reason)
    }
}

/// The result of one tick.
#[derive(Clone, Debug)]
pub struct Report {
    pub at: Timestamp,
    /// When the next tick has something to do.
    pub next: Timestamp,
    /// When the server answered; zero when it did not.
    pub contact: Timestamp,
    pub lines: Vec<String>,
    pub refusals: Vec<Said>,
    /// Runs that ended in this tick, resumed ones included.
    pub ran: Vec<(ChangeId, u32, HostOutcome)>,
    /// Another program has to go on in this process's place.
    pub leaving: bool,
    /// Changes that were planned in this tick.
    pub planned: Vec<(ChangeId, u32)>,
    /// Every listed change and where it stands.
    pub standings: BTreeMap<(ChangeId, u32), Told>,
    /// What is broken: disk, journal, network setup. Not refusals.
    pub faults: Vec<String>,
    /// Why the server could not be used; tried again at the next tick.
    pub troubles: Vec<String>,
}

impl Report {
    pub(super) fn new(at: Timestamp, next: Timestamp) -> Self {
        Self {
            at,
            next,
            contact: Timestamp::default(),
            lines: Vec::new(),
            refusals: Vec::new(),
            ran: Vec::new(),
            leaving: false,
            planned: Vec::new(),
            standings: BTreeMap::new(),
            faults: Vec::new(),
            troubles: Vec::new(),
        }
    }

    pub(super) fn line(&mut self, text: impl Into<String>) {
        let text = text.into();
        tracing::info!("{text}");
        self.lines.push(text);
    }

    pub(super) fn fault(&mut self, text: &str) {
        tracing::error!("{text}");
        self.lines.push(format!("fault: {text}"));
        self.faults.push(text.to_owned());
    }

    /// A failure that the next tick may not see again.
    pub(super) fn trouble(&mut self, text: &str) {
        tracing::warn!("{text}");
        self.lines.push(format!("trouble: {text}"));
        self.troubles.push(text.to_owned());
    }

    pub(super) fn refused(&mut self, change_id: Option<ChangeId>, revision: Option<u32>, reason: Refused) {
        let said = Said { change_id, revision, reason };
        self.line(said.line());
        self.refusals.push(said);
    }

    /// Codes of all refusals, in order.
    pub fn codes(&self) -> Vec<Code> {
        self.refusals.iter().map(|said| said.reason.code).collect()
    }

    /// Everything that an operator should see that is not about one change.
    pub(super) fn problems(&self) -> Vec<String> {
        let general = self.refusals.iter().filter(|said| said.change_id.is_none());
        let general = general.map(|said| said.reason.to_string());
        self.faults.iter().cloned().chain(self.troubles.iter().cloned()).chain(general).collect()
    }

    /// Whether the tick went through: refusals are answers, faults and a missing server are not.
    pub fn went_through(&self) -> bool {
        self.faults.is_empty() && self.troubles.is_empty()
    }
}
