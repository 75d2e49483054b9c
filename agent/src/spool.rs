//! Statements on their way: each stays in `spool/` until the ledger proves that it has it.
//!
//! Owns: the check of the proof, the last checkpoint seen, and what a forked log means. Whoever starts after a
//! crash goes on sending from the lowest place. Never: drops a statement without proof.

use crate::net::NetError;
use crate::server::Server;
use crate::state::{State, StateError};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ledger::Proven;
use shared::policy::{Doubt, Policy};
use shared::receipt::{LogSeen, Receipt, open_chained};
use shared::strict;
use shared::summary::Summary;
use shared::wire::{Record, Recorded};

/// Proven statements that are kept for a server that lost them.
const KEPT_AFTER_PROOF: usize = 256;

/// Why sending stopped before the spool was empty.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error(transparent)]
    State(#[from] StateError),
    /// The ledger is not the one that this host has seen before, or the proof is wrong.
    #[error("statement {seq} stays in the spool: {why}")]
    Fork { seq: u64, evidence: Digest, why: String },
    /// The ledger is smaller than the one that this host has seen: the server was put back to a backup.
    #[error(
        "statement {seq} stays in the spool: the ledger has {now} leaves, this host has seen one of {seen}; was the server \
         restored from a backup?"
    )]
    Behind { seq: u64, evidence: Digest, now: u64, seen: u64 },
    /// The server misses an earlier statement; it says at the next check-in from where.
    #[error("the server misses statements before {seq}")]
    Gap { seq: u64 },
    /// The server holds another statement at this place: this host was cloned, or its state is an old copy.
    #[error(
        "the server holds another statement of this host at place {seq}: there is a copy of this host, or its state is an old one"
    )]
    Clone { seq: u64 },
}

/// Sends everything spooled, in order; returns how many statements were proven.
///
/// Without a policy nothing is sent yet, because its answer could not be judged. A server that was put back to a backup
/// gets everything before it is judged: only then its ledger can be again what this host has seen.
///
/// # Errors
/// The first thing that stops it; the rest stays spooled.
pub fn flush(state: &mut State, server: &mut dyn Server) -> Result<usize, SendError> {
    let Some(policy) = stored_policy(state)? else { return Ok(0) };
    // Only what the chain knows goes out, or its place could be given away again.
    state.adopt_spooled()?;
    let (mut proven, mut behind) = (0, None);
    for _ in 0..2 {
        behind = None;
        for seq in state.spooled()? {
            match flush_one(state, server, &policy, seq) {
                Ok(one) => proven += one,
                Err(e @ SendError::Behind { .. }) => behind = behind.or(Some(e)),
                Err(e) => return Err(e),
            }
        }
        if behind.is_none() {
            break;
        }
    }
    if proven > 0 {
        prune_sent(state)?;
    }
    behind.map_or(Ok(proven), Err)
}

/// How many statements that proved: this one, or none when it is not there any more.
fn flush_one(
    state: &mut State,
    server: &mut dyn Server,
    policy: &Policy,
    seq: u64,
) -> Result<usize, SendError> {
    let name = format!("spool/{seq}.json");
    let Some(bytes) = state.read_file(&name)? else { return Ok(0) };
    let damaged = |why: String| StateError::Damaged { path: state.dir().join(&name), why };
    let statement = Envelope::parse(&bytes).map_err(|e| damaged(e.to_string()))?;
    let evidence = statement.digest();
    let recorded = match enrolment_proof(state, seq)? {
        Some(recorded) => recorded,
        None => {
            let (summary, log_size) = (summary(state, &statement), state.log_seen().map(|seen| seen.size));
            send(server, Record { statement, summary, log_size }, seq)?
        }
    };
    let new = match verify(policy, state.log_seen(), &recorded, &evidence, seq) {
        Ok(new) => new,
        Err(Doubt::Fork(why)) => return Err(SendError::Fork { seq, evidence, why }),
        Err(Doubt::Behind { now, seen }) => return Err(SendError::Behind { seq, evidence, now, seen }),
    };
    state.set_log_seen(new)?;
    state.rename(&name, &format!("sent/{seq}.json"))?;
    state.remove(&format!("spool/{seq}.proof"))?;
    Ok(1)
}

/// The proof that came with the answer to joining, kept until a policy could judge it.
fn enrolment_proof(state: &State, seq: u64) -> Result<Option<Recorded>, StateError> {
    let name = format!("spool/{seq}.proof");
    let Some(bytes) = state.read_file(&name)? else { return Ok(None) };
    let damaged =
        |e: strict::ReadError| StateError::Damaged { path: state.dir().join(&name), why: e.to_string() };
    strict::from_json("the proof", &bytes, bytes.len()).map(Some).map_err(damaged)
}

fn stored_policy(state: &State) -> Result<Option<Policy>, StateError> {
    let Some(bytes) = state.policy()? else { return Ok(None) };
    let path = state.dir().join("policy.json");
    let damaged = |e: strict::ReadError| StateError::Damaged { path, why: e.to_string() };
    Policy::parse(&bytes).map(Some).map_err(damaged)
}

/// What this host says to gates, where the statement is a receipt of its own.
fn summary(state: &State, statement: &Envelope) -> Option<Envelope> {
    let receipt = open_chained::<Receipt>(&statement.to_bytes(), &state.site().site).ok()?;
    Summary::signed(&receipt, state.key())
}

fn send(server: &mut dyn Server, record: Record, seq: u64) -> Result<Recorded, SendError> {
    match server.record(&record) {
        Err(NetError::Refused { code, .. }) if code == "chain.gap" => Err(SendError::Gap { seq }),
        Err(NetError::Refused { code, .. }) if code == "chain.fork" => Err(SendError::Clone { seq }),
        answer => Ok(answer?),
    }
}

/// Checks that the statement is in the ledger, and that this ledger continues the one seen before.
fn verify(
    policy: &Policy,
    seen: Option<&LogSeen>,
    recorded: &Recorded,
    digest: &Digest,
    seq: u64,
) -> Result<LogSeen, Doubt> {
    let Recorded { inclusion, checkpoint, consistency } = recorded;
    let (new, _) = policy.log.follow(seen, checkpoint, consistency.as_ref())?;
    let proven = Proven::within(inclusion, &new).map_err(|e| Doubt::Fork(e.to_string()))?;
    if proven.leaf().sha256 != *digest {
        return Err(Doubt::Fork(format!("its proof is of {}", proven.leaf().sha256)));
    }
    if proven.leaf().seq.is_some_and(|s| s != seq) {
        return Err(Doubt::Fork(format!("its leaf names place {:?} instead of {seq}", proven.leaf().seq)));
    }
    Ok(LogSeen::from(&new))
}

/// Puts proven statements back into the spool from `seq` on, because the server asks for them again.
///
/// Returns the lowest place that is kept; statements before it cannot be sent again.
///
/// # Errors
/// The disk's.
pub fn resend(state: &mut State, seq: u64) -> Result<Option<u64>, StateError> {
    let kept = state.sent()?;
    // The enrolment is the server's since joining and is never sent this way.
    for seq in kept.iter().filter(|kept| **kept >= seq.max(2)).rev() {
        state.rename(&format!("sent/{seq}.json"), &format!("spool/{seq}.json"))?;
    }
    Ok(kept.first().copied())
}

fn prune_sent(state: &mut State) -> Result<(), StateError> {
    let sent = state.sent()?;
    for seq in sent.iter().take(sent.len().saturating_sub(KEPT_AFTER_PROOF)) {
        state.remove(&format!("sent/{seq}.json"))?;
    }
    Ok(())
}
