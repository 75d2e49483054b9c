//! What the host says of itself: receipts and refusals, signed into its chain and spooled.
//!
//! Owns the order "spool first, chain second", so that a place in the chain is never given away twice, and
//! the rate limit of refusals. Never: sends anything (`spool`).

use crate::apply::Followed;
use crate::journal::Outcome;
use crate::state::{Chain, Open, RefusedBefore, Running, State, StateError};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::finding::Finding;
use shared::ids::{ChangeId, HostClass};
use shared::receipt::{Chained, Enrolment, Header, Receipt, Refusal, open_chained};
use shared::refusal::{Code, Refused};
use shared::reset::TrustReset;
use shared::statement::{Statement, type_of};
use shared::strict::ReadError;
use shared::time::Timestamp;

/// Seconds before an unchanged refusal of the same change is signed again.
const REPEAT_SECS: i64 = 3_600;
/// The same for a host that only waits (window, wave): the message says until when.
const WAITING_SECS: i64 = 86_400;
/// Refusals signed within one hour, whatever they are about: what is served must not fill the disk.
const PER_HOUR: usize = 120;

/// What is the same in all statements of one run of the agent.
#[derive(Clone, Debug)]
pub struct Voice {
    pub host_class: HostClass,
    /// Changes with each boot of the host.
    pub boot_id: String,
    pub agent_version: semver::Version,
}

/// The header of a spooled statement, whatever its type.
///
/// # Errors
/// Not readable, or of a type that hosts do not chain.
pub fn header_of(envelope: &Envelope) -> Result<Header, ReadError> {
    fn read<P: Chained + Clone>(envelope: &Envelope) -> Result<Header, ReadError> {
        Statement::<P>::open(envelope.clone()).map(|s| s.body.header().clone())
    }
    use shared::statement::Predicate;
    match type_of(envelope)?.as_str() {
        Receipt::TYPE => read::<Receipt>(envelope),
        Refusal::TYPE => read::<Refusal>(envelope),
        Finding::TYPE => read::<Finding>(envelope),
        Enrolment::TYPE => read::<Enrolment>(envelope),
        TrustReset::TYPE => read::<TrustReset>(envelope),
        other => Err(ReadError::Invalid { what: "the spooled statement", why: format!("it is a {other}") }),
    }
}

/// Signs the next statement of the chain and makes it durable in the spool.
///
/// # Errors
/// The disk's; then nothing was said and the place in the chain is still free.
pub fn emit<P: Chained>(
    state: &mut State,
    voice: &Voice,
    now: Timestamp,
    make: impl FnOnce(Header) -> P,
) -> Result<Statement<P>, StateError> {
    state.adopt_spooled()?;
    let chain = state.chain();
    let key = state.key();
    let header = Header {
        site: state.site().site.clone(),
        agent_id: state.site().agent,
        key: key.public(),
        host_class: voice.host_class.clone(),
        seq: chain.seq + 1,
        prev: Some(chain.prev),
        at: now,
        boot_id: voice.boot_id.clone(),
        agent_version: voice.agent_version.clone(),
        log_seen: state.log_seen().cloned(),
    };
    let seq = header.seq;
    let statement = Statement::sign(make(header), key);
    state.put(&format!("spool/{seq}.json"), &statement.to_bytes())?;
    state.set_chain(Chain { seq, prev: statement.digest })?;
    Ok(statement)
}

/// Signs the receipt of a run, once: a receipt that is in the spool already, or was sent since, is found again.
///
/// # Errors
/// The disk's.
pub fn receipt(
    state: &mut State,
    voice: &Voice,
    running: &Running,
    ended: Outcome,
    now: Timestamp,
) -> Result<Statement<Receipt>, StateError> {
    if let Some(made) = made_receipt(state, running, None)? {
        return Ok(made);
    }
    said(state, voice, running, ended, None, now)
}

/// Signs, once, that what an earlier receipt left pending is over.
///
/// # Errors
/// The disk's.
pub fn follow_up(
    state: &mut State,
    voice: &Voice,
    open: &Open,
    followed: Followed,
    now: Timestamp,
) -> Result<Statement<Receipt>, StateError> {
    if let Some(made) = made_receipt(state, &open.running, Some(open.receipt))? {
        return Ok(made);
    }
    let Followed { patched, health, outcome, note } = followed;
    let ended = Outcome { health, patched: Some(patched), ..Outcome::bare(outcome, note) };
    said(state, voice, &open.running, ended, Some(open.receipt), now)
}

fn said(
    state: &mut State,
    voice: &Voice,
    running: &Running,
    ended: Outcome,
    follows: Option<Digest>,
    now: Timestamp,
) -> Result<Statement<Receipt>, StateError> {
    let run = running.clone();
    let mut note = ended.note;
    if now < run.started {
        let back = "the clock of this host was set back during the run";
        note = if note.is_empty() { back.into() } else { format!("{note}; {back}") };
    }
    emit(state, voice, now, |header| Receipt {
        header,
        change_id: run.change_id,
        revision: run.revision,
        change: run.change,
        wave: run.wave,
        interval: run.interval,
        plan: run.plan,
        plan_set: run.plan_set,
        approvals: run.approvals,
        policy: run.policy,
        policy_version: run.policy_version,
        self_approved: run.self_approved,
        tuf: run.tuf,
        started: run.started,
        finished: now,
        results: ended.results,
        health: ended.health,
        outcome: ended.outcome,
        note,
        patched: ended.patched,
        follows,
        corrects: run.correction.map(|correcting| correcting.finding),
        breakglass: run.breakglass,
    })
}

/// A run that a failing disk did not let go of may have been sent and proven meanwhile.
fn made_receipt(
    state: &State,
    running: &Running,
    follows: Option<Digest>,
) -> Result<Option<Statement<Receipt>>, StateError> {
    let newest = |dir: &str, all: Vec<u64>| {
        let names = all.into_iter().rev().take(16).map(|seq| format!("{dir}/{seq}.json"));
        names.collect::<Vec<_>>()
    };
    let names = [newest("spool", state.spooled()?), newest("sent", state.sent()?)].concat();
    for name in names {
        let Some(bytes) = state.read_file(&name)? else { continue };
        // Another type of statement is no receipt; that is not an error here.
        let Ok(receipt) = open_chained::<Receipt>(&bytes, &state.site().site) else { continue };
        let body = &receipt.body;
        let corrects = running.correction.map(|correcting| correcting.finding);
        let same = (body.follows, body.corrects) == (follows, corrects);
        if same && body.change == running.change && body.started == running.started {
            return Ok(Some(receipt));
        }
    }
    Ok(None)
}

/// What was refused, as far as it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub change_id: Option<ChangeId>,
    pub revision: Option<u32>,
    /// Digest of the refused bytes or statement.
    pub evidence: Digest,
    /// It came with the word of somebody who breaks the glass.
    pub breakglass: bool,
}

impl Subject {
    /// Something that is about no change, or cannot be read so far.
    pub fn only(evidence: Digest) -> Self {
        Self { change_id: None, revision: None, evidence, breakglass: false }
    }
}

/// Signs a refusal unless the same was said a short while ago. `None` when it was held back.
///
/// # Errors
/// The disk's.
pub fn refuse(
    state: &mut State,
    voice: &Voice,
    subject: Subject,
    reason: &Refused,
    now: Timestamp,
) -> Result<Option<Statement<Refusal>>, StateError> {
    let entry = RefusedBefore {
        code: reason.code,
        change_id: subject.change_id.clone(),
        message: Digest::of(reason.message.as_bytes()),
        at: now,
    };
    let mut before = state.refused().to_vec();
    // A clock that was ahead must not silence refusals for long.
    before.retain(|b| (-REPEAT_SECS..WAITING_SECS).contains(&now.since(b.at)));
    if !is_due(&before, &entry) {
        return Ok(None);
    }
    before.retain(|b| b.code != entry.code || b.change_id != entry.change_id || b.message != entry.message);
    before.push(entry);
    let Subject { change_id, revision, evidence, breakglass } = subject;
    let reason = reason.clone();
    let said = emit(state, voice, now, |header| Refusal {
        header,
        change_id,
        revision,
        evidence,
        reason,
        breakglass,
    })?;
    // Said twice after a crash is better than not at all.
    state.set_refused(before)?;
    Ok(Some(said))
}

/// Whether a refusal is said: its message is new for this code and change, or the last time is long ago.
fn is_due(before: &[RefusedBefore], next: &RefusedBefore) -> bool {
    let quiet = match next.code {
        Code::TimeWindow
        | Code::TimeBlackout
        | Code::TimeOver
        | Code::WaveGate
        | Code::LockHeld
        | Code::AgentCopy => WAITING_SECS,
        _ => REPEAT_SECS,
    };
    let last_hour = before.iter().filter(|b| next.at.since(b.at) < REPEAT_SECS).count();
    let same = |b: &&RefusedBefore| {
        b.code == next.code && b.change_id == next.change_id && b.message == next.message
    };
    let said = before.iter().filter(same).any(|b| next.at.since(b.at) < quiet);
    !said && last_hour < PER_HOUR
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(code: Code, message: &str, at: i64) -> RefusedBefore {
        let message = Digest::of(message.as_bytes());
        RefusedBefore { code, change_id: Some("C-1".parse().unwrap()), message, at: Timestamp(at) }
    }

    #[test]
    fn a_refusal_is_repeated_when_its_message_changes_or_after_an_hour() {
        let quorum = |message: &str, at| entry(Code::ApprovalQuorum, message, at);
        let before = [quorum("1 of 2", 0)];
        assert!(!is_due(&before, &quorum("1 of 2", 3_599)));
        assert!(is_due(&before, &quorum("1 of 2", 3_600)));
        assert!(is_due(&before, &quorum("0 of 2", 1)));
        let waiting = |at| entry(Code::TimeWindow, "next is", at);
        assert!(!is_due(&[waiting(0)], &waiting(80_000)));
        let flood: Vec<_> = (0..PER_HOUR).map(|n| quorum(&n.to_string(), 0)).collect();
        assert!(!is_due(&flood, &quorum("new", 10)));
        assert!(is_due(&flood, &quorum("new", 3_600)));
    }
}
