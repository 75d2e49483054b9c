//! How far a change has come on a host, told while it runs. Signed by the host and numbered within the run, but no part
//! of its chain and of no ledger: what a host did is in its receipt, this is for whoever watches.

use crate::digest::Digest;
use crate::health::HealthState;
use crate::ids::{AgentId, ChangeId, ResourceId, SiteId};
use crate::keys::PublicKey;
use crate::limits;
use crate::plan::Verb;
use crate::receipt::{HostOutcome, StepStatus};
use crate::statement::{Predicate, Statement, Subject};
use crate::strict::ReadError;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One message of a host about one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    pub site: SiteId,
    pub agent_id: AgentId,
    pub key: PublicKey,
    pub change_id: ChangeId,
    pub revision: u32,
    /// Digest of the change's statement.
    pub change: Digest,
    /// When the run began.
    pub started: Timestamp,
    /// From 1; another one each time that the agent was started within the run, as by a reboot.
    pub part: u32,
    /// From 1 within the part; one that is missing was not told, or not kept.
    pub number: u64,
    /// Events before this message that could not be told in time.
    #[serde(default, skip_serializing_if = "is_none")]
    pub lost: u64,
    /// In their order; never empty.
    pub events: Vec<Event>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_none(lost: &u64) -> bool {
    *lost == 0
}

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    pub at: Timestamp,
    pub what: What,
}

/// Steps are counted from 1, in the order of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    Began {
        steps: u32,
    },
    /// The agent was stopped in the run and brings it to its end.
    Resumed {
        steps: u32,
    },
    /// Steps are under way: one, or a group that shares its writes; named is the first.
    Under {
        first: u32,
        last: u32,
        resource: ResourceId,
        verb: Verb,
    },
    /// A step has ended.
    Step {
        step: u32,
        resource: ResourceId,
        verb: Verb,
        status: StepStatus,
        ms: u64,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
    },
    /// The end of what a program of a step has printed since the last time; several lines.
    Output {
        text: String,
    },
    /// What the run waits for, such as the lock of the package manager.
    Waiting {
        reason: String,
    },
    Check {
        name: String,
        state: HealthState,
        ok: bool,
        output: String,
    },
    /// The run has failed; what follows takes it back, if the change says so.
    Failed {
        why: String,
    },
    /// A step was taken back, or why not.
    Undone {
        step: u32,
        resource: ResourceId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// Something else that people want to know.
    Note {
        text: String,
    },
    /// The receipt follows.
    Ended {
        outcome: HostOutcome,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
    },
}

impl What {
    /// The longest of its texts in bytes.
    fn text(&self) -> usize {
        match self {
            Self::Began { .. } | Self::Resumed { .. } | Self::Under { .. } => 0,
            Self::Step { note, .. } | Self::Ended { note, .. } => note.len(),
            Self::Output { text } | Self::Note { text } => text.len(),
            Self::Waiting { reason: text } | Self::Failed { why: text } => text.len(),
            Self::Check { name, output, .. } => name.len().max(output.len()),
            Self::Undone { error, .. } => error.as_ref().map_or(0, String::len),
        }
    }

    /// The same with texts cut to what may be told.
    #[must_use]
    pub fn cut(mut self) -> Self {
        let texts = match &mut self {
            Self::Began { .. } | Self::Resumed { .. } | Self::Under { .. } => [None, None],
            Self::Step { note, .. } | Self::Ended { note, .. } => [Some(note), None],
            Self::Output { text } | Self::Note { text } => [Some(text), None],
            Self::Waiting { reason: text } | Self::Failed { why: text } => [Some(text), None],
            Self::Check { name, output, .. } => [Some(name), Some(output)],
            Self::Undone { error, .. } => [error.as_mut(), None],
        };
        for text in texts.into_iter().flatten() {
            let end = text.floor_char_boundary(limits::PROGRESS_TEXT_BYTES);
            text.truncate(end);
        }
        self
    }
}

impl Predicate for Progress {
    const TYPE: &'static str = "urn:assent:progress:v1";

    fn subjects(&self) -> Vec<Subject> {
        vec![Subject::new(format!("change:{}.{}", self.change_id, self.revision), self.change)]
    }
}

/// Reads a message: of this site, signed by the key that its host's id is the hash of, within limits.
///
/// # Errors
/// Whatever does not hold.
pub fn open_progress(bytes: &[u8], site: &SiteId) -> Result<Statement<Progress>, ReadError> {
    let statement = Statement::<Progress>::parse(bytes)?;
    let body = &statement.body;
    let holds = [
        (body.site == *site, "it belongs to another site"),
        (body.key.agent_id() == body.agent_id, "its key does not belong to its agent id"),
        (statement.is_signed_by(&body.key), "it is not signed by the host's key"),
        (body.part > 0 && body.number > 0, "part and number begin with 1"),
        (i64::try_from(body.number).is_ok(), "its number is too large"),
        ((1..=limits::PROGRESS_EVENTS).contains(&body.events.len()), "it has no events, or too many"),
        (body.events.iter().all(|e| e.what.text() <= limits::PROGRESS_TEXT_BYTES), "a text is too long"),
    ];
    match holds.into_iter().find(|(holds, _)| !holds) {
        Some((_, why)) => Err(ReadError::Invalid { what: Progress::TYPE, why: why.into() }),
        None => Ok(statement),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    fn message(events: Vec<Event>) -> Progress {
        let key = SigningKey::from_seed(&[7; 32]).public();
        Progress {
            site: "00112233aabbccdd".parse().unwrap(),
            agent_id: key.agent_id(),
            key,
            change_id: "C-7".parse().unwrap(),
            revision: 1,
            change: Digest::of(b"change"),
            started: Timestamp(1_000),
            part: 1,
            number: 1,
            lost: 0,
            events,
        }
    }

    fn note(text: &str) -> Event {
        Event { at: Timestamp(1_001), what: What::Note { text: text.into() } }
    }

    #[test]
    fn the_form_is_pinned() {
        let step = What::Step {
            step: 2,
            resource: "file:/etc/motd".parse().unwrap(),
            verb: Verb::Update,
            status: StepStatus::Done,
            ms: 3,
            note: String::new(),
        };
        let text = String::from_utf8(crate::strict::to_json(&message(vec![Event {
            at: Timestamp(1_001),
            what: step,
        }])))
        .unwrap();
        let (_, events) = text.split_once(r#""started":"#).unwrap();
        assert_eq!(
            events,
            r#""1970-01-01T00:16:40Z","part":1,"number":1,"events":[{"at":"1970-01-01T00:16:41Z","what":{"step":{"step":2,"resource":"file:/etc/motd","verb":"update","status":"done","ms":3}}}]}"#
        );
    }

    #[test]
    fn what_is_not_the_hosts_own_or_too_much_is_refused() {
        let key = SigningKey::from_seed(&[7; 32]);
        let site = message(vec![]).site;
        let open = |body: Progress| open_progress(&Statement::sign(body, &key).to_bytes(), &site);
        assert!(open(message(vec![note("x")])).is_ok());
        let long = "é".repeat(limits::PROGRESS_TEXT_BYTES);
        let cut = What::Note { text: long.clone() }.cut();
        assert!(open(message(vec![Event { at: Timestamp(1), what: cut }])).is_ok());
        let other = SigningKey::from_seed(&[8; 32]).public();
        for (bad, why) in [
            (message(vec![]), "no events"),
            (message(vec![note("x"); limits::PROGRESS_EVENTS + 1]), "too many"),
            (message(vec![note(&long)]), "too long"),
            (Progress { part: 0, ..message(vec![note("x")]) }, "begin with 1"),
            (Progress { number: 0, ..message(vec![note("x")]) }, "begin with 1"),
            (Progress { number: u64::MAX, ..message(vec![note("x")]) }, "too large"),
            (
                Progress { site: "ffffffffffffffff".parse().unwrap(), ..message(vec![note("x")]) },
                "another site",
            ),
            (Progress { key: other, ..message(vec![note("x")]) }, "does not belong"),
            (Progress { key: other, agent_id: other.agent_id(), ..message(vec![note("x")]) }, "not signed"),
        ] {
            let error = open(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{why}: {error}");
        }
    }
}
