//! What has been seen of a change: one line of state for each host, and the lines of its messages.

use crate::error::{Context as _, Done, Failure};
use crate::lang::{Lang, Word};
use crate::text;
use jiff::tz::TimeZone;
use shared::change::Change;
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ids::{AgentId, SiteId};
use shared::progress::{Event, Progress, What, open_progress};
use shared::receipt::{HostOutcome, StepStatus};
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::wire::ProgressHost;
use std::collections::BTreeMap;

/// Hosts in one line of the verdict.
const NAMED: usize = 5;

pub struct Scene<'a> {
    site: &'a SiteId,
    change: Digest,
    revision: u32,
    hosts: BTreeMap<AgentId, Seen>,
}

/// One host.
struct Seen {
    name: String,
    state: State,
    steps: u32,
    /// Part and number of its last message.
    last: Option<(u32, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    NotBegun,
    /// In words that need no translation: step, resource.
    Runs(String),
    /// It says so itself; its receipt is still to come.
    Ended(HostOutcome),
    /// The server has its receipt.
    Reported,
    /// By its receipt.
    Proved(HostOutcome),
}

/// A message that is the host's own, and what is missing before it.
pub struct Told {
    pub host: String,
    pub message: Progress,
    missing: u64,
    steps: u32,
}

impl<'a> Scene<'a> {
    pub fn new(
        site: &'a SiteId,
        change: &Statement<Change>,
        targets: &[AgentId],
        names: &BTreeMap<AgentId, String>,
    ) -> Self {
        let seen = |agent: &AgentId| {
            let name = names.get(agent).cloned().unwrap_or_else(|| agent.to_string());
            (*agent, Seen { name, state: State::NotBegun, steps: 0, last: None })
        };
        let hosts = targets.iter().map(seen).collect();
        Self { site, change: change.digest, revision: change.body.revision, hosts }
    }

    pub fn revision(&self) -> u32 {
        self.revision
    }

    pub fn count(&self) -> usize {
        self.hosts.len()
    }

    pub fn has(&self, agent: &AgentId) -> bool {
        self.hosts.contains_key(agent)
    }

    pub fn is_about(&self, change: &Digest) -> bool {
        self.change == *change
    }

    /// Takes a message into the picture.
    ///
    /// # Errors
    /// It is not one of a host of this change about this revision.
    pub fn take(&mut self, message: &Envelope) -> Done<Told> {
        let refused = "a message that the server sent is not one of a host of this change";
        let message = open_progress(&message.to_bytes(), self.site).or_refuse(refused)?.body;
        let other = || Failure::refused(refused).why("it is about another change");
        if message.change != self.change {
            return Err(other());
        }
        let seen = self.hosts.get_mut(&message.agent_id).ok_or_else(other)?;
        let missing = match seen.last {
            Some((part, number)) if part == message.part => message.number.saturating_sub(number + 1),
            _ => message.number - 1,
        };
        seen.last = Some((message.part, message.number));
        message.events.iter().for_each(|event| seen.note(&event.what));
        Ok(Told { host: seen.name.clone(), missing, steps: seen.steps, message })
    }

    /// The server's word on who has reported.
    pub fn reported(&mut self, hosts: &[ProgressHost]) {
        for host in hosts.iter().filter(|host| host.receipt.is_some()) {
            if let Some(seen) = self.hosts.get_mut(&host.agent) {
                seen.state = State::Reported;
            }
        }
    }

    /// What receipts prove.
    pub fn ended(&mut self, outcomes: &BTreeMap<AgentId, HostOutcome>) {
        for (agent, outcome) in outcomes {
            if let Some(seen) = self.hosts.get_mut(agent) {
                seen.state = State::Proved(*outcome);
            }
        }
    }

    /// Whether nothing more will come: all have reported, the change is over, or it is halted and no host runs.
    pub fn is_over(&self, state: &str) -> bool {
        let any = |wanted: fn(&State) -> bool| self.hosts.values().any(|seen| wanted(&seen.state));
        match state {
            "review" | "closed" => true,
            "halted" => !any(|state| matches!(state, State::Runs(_) | State::Ended(_))),
            _ => !any(|state| !matches!(state, State::Reported | State::Proved(_))),
        }
    }

    /// Hosts without a receipt that says anything but failure, by name.
    pub fn failed(&self, outcomes: &BTreeMap<AgentId, HostOutcome>) -> Vec<String> {
        let fails =
            |agent: &AgentId| outcomes.get(agent).is_none_or(|outcome| outcome.succeeded() == Some(false));
        let mut names: Vec<String> =
            self.hosts.iter().filter(|(agent, _)| fails(agent)).map(|(_, seen)| seen.name.clone()).collect();
        let more = names.len().saturating_sub(NAMED);
        if more > 0 {
            names.truncate(NAMED);
            names.push(format!("+{more}"));
        }
        names
    }

    pub fn summary(&self, outcomes: &BTreeMap<AgentId, HostOutcome>) -> Vec<serde_json::Value> {
        let one = |(agent, seen): (&AgentId, &Seen)| {
            let outcome = outcomes.get(agent).map(|outcome| outcome.as_str());
            serde_json::json!({ "host": seen.name, "agent": agent.to_string(), "outcome": outcome })
        };
        self.hosts.iter().map(one).collect()
    }

    /// One line for each host.
    pub fn table(&self, lang: Lang, heading: &str) -> String {
        let mut hosts: Vec<&Seen> = self.hosts.values().collect();
        hosts.sort_by(|a, b| a.name.cmp(&b.name));
        let rows: Vec<_> =
            hosts.iter().map(|seen| vec![format!("  {}", seen.name), seen.state.words(lang)]).collect();
        format!("{heading}\n{}", text::table(&rows))
    }

    /// The lines of a message. What was under way and has ended in the same message is told by its end.
    pub fn lines(&self, told: &Told, lang: Lang, zone: &TimeZone) -> String {
        let mut out = String::new();
        let mut line = |at: Timestamp, text: &str| {
            out.push_str(&format!("{}  {}  {text}\n", clock(at, zone), told.host));
        };
        let Progress { lost, ref events, .. } = told.message;
        let first = events.first().map_or(Timestamp(0), |event| event.at);
        if told.missing > 0 {
            line(first, &format!("! {}", lang.fill(Word::MessagesMissing, &told.missing.to_string())));
        }
        if lost > 0 {
            line(first, &format!("! {}", lang.fill(Word::EventsLost, &lost.to_string())));
        }
        for (n, Event { at, what }) in events.iter().enumerate() {
            if let What::Under { first, .. } = what
                && events[n + 1..].iter().any(|later| ends(&later.what, *first))
            {
                continue;
            }
            words(what, told.steps, lang).iter().for_each(|text| line(*at, text));
        }
        out
    }
}

impl Seen {
    fn note(&mut self, what: &What) {
        match what {
            What::Began { steps } | What::Resumed { steps } => {
                self.steps = *steps;
                self.state = State::Runs(format!("0/{steps}"));
            }
            What::Under { first, resource, .. } | What::Step { step: first, resource, .. } => {
                self.state =
                    State::Runs(format!("{first}/{} {}", self.steps, text::clean(resource.as_str())));
            }
            What::Ended { outcome, .. } => self.state = State::Ended(*outcome),
            What::Output { .. }
            | What::Waiting { .. }
            | What::Check { .. }
            | What::Failed { .. }
            | What::Undone { .. }
            | What::Note { .. } => {}
        }
    }
}

impl State {
    fn words(&self, lang: Lang) -> String {
        match self {
            Self::NotBegun => lang.word(Word::NotBegun).to_owned(),
            Self::Runs(step) => lang.fill(Word::RunsAt, step),
            Self::Ended(outcome) => lang.fill(Word::EndedUnproved, outcome.as_str()),
            Self::Reported => lang.word(Word::Reported).to_owned(),
            Self::Proved(outcome) => lang.fill(Word::EndedProved, outcome.as_str()),
        }
    }
}

fn clock(at: Timestamp, zone: &TimeZone) -> String {
    let at = jiff::Timestamp::from_second(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string()
}

/// Whether it tells more than that the step is under way.
fn ends(what: &What, begun: u32) -> bool {
    match what {
        What::Step { step, .. } => *step >= begun,
        What::Failed { .. } | What::Ended { .. } => true,
        _ => false,
    }
}

/// One event in words; foreign text is one line and harmless.
fn words(what: &What, steps: u32, lang: Lang) -> Vec<String> {
    let behind =
        |text: &str| if text.is_empty() { String::new() } else { format!(": {}", text::clean(text)) };
    let one = match what {
        What::Began { steps } => lang.fill(Word::RunBegins, &steps.to_string()),
        What::Resumed { steps } => lang.fill(Word::RunGoesOn, &steps.to_string()),
        What::Under { first, last, resource, verb } => {
            let more = if last > first { format!(" +{}", last - first) } else { String::new() };
            format!("{first}/{steps} {} {}{more} …", verb.as_str(), text::clean(resource.as_str()))
        }
        What::Step { step, resource, verb, status, ms, note } => {
            let bad = !matches!(status, StepStatus::Done | StepStatus::Unneeded);
            let (mark, resource) = (if bad { "! " } else { "" }, text::clean(resource.as_str()));
            let (verb, status) = (verb.as_str(), status.as_str());
            format!("{mark}{step}/{steps} {verb} {resource} {status} ({ms} ms){}", behind(note))
        }
        What::Output { text } => return text::clean_lines(text).map(|line| format!("  | {line}")).collect(),
        What::Waiting { reason } => format!("{}{}", lang.word(Word::Waits), behind(reason)),
        What::Check { name, state, ok, output } => {
            let mark = if *ok { "" } else { "! " };
            let name = lang.fill(Word::HealthCheck, &text::clean(name));
            format!("{mark}{name}: {}{}", state.as_str(), behind(output))
        }
        What::Failed { why } => format!("! {}{}", lang.word(Word::RunFailed), behind(why)),
        What::Undone { step, resource, error: None } => {
            format!("{step}/{steps} {} {}", text::clean(resource.as_str()), lang.word(Word::TakenBack))
        }
        What::Undone { step, resource, error: Some(error) } => {
            let resource = text::clean(resource.as_str());
            format!("! {step}/{steps} {resource} {}{}", lang.word(Word::NotTakenBack), behind(error))
        }
        What::Note { text } => text::clean(text),
        What::Ended { outcome, note } => {
            format!("{}{}", lang.fill(Word::EndedUnproved, outcome.as_str()), behind(note))
        }
    };
    vec![one]
}
