//! Collects the facts for one host and one change from the slices below. It has no tables of its own.

use super::model::{Because, Facts, HostRefusal, Report, Target, because};
use crate::calendars;
use crate::changes;
use crate::fleet;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::kernel::i18n::Language;
use crate::ledger;
use shared::admit;
use shared::bundle::Control;
use shared::change::Change;
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ids::{AgentId, ChangeId};
use shared::lifecycle::State;
use shared::refusal::{Code, Refused};
use shared::statement::Statement;
use shared::time::Timestamp;
use shared::wire::Why;

/// Why `host` (name, CI or agent id) is not changing yet. `seen_here` is when this node last heard of it.
pub fn why(
    tx: &mut Conn,
    (host, id): (&str, &ChangeId),
    seen_here: impl Fn(AgentId) -> Option<Timestamp>,
    language: Language,
    now: Timestamp,
) -> Result<Why, Error> {
    let host = fleet::get(tx, host)?;
    let row = changes::get(tx, id)?;
    let last_seen = host.last_seen.max(seen_here(host.agent));
    let mut refusal = None;
    let because = match row.statement.is_some() {
        false => Because {
            standing: super::model::Standing::NotTargeted,
            code: "change.draft".into(),
            message: None,
            retry_at: None,
        },
        true => {
            let statement = row.statement()?;
            let stored = changes::find_refusal(tx, &statement, host.agent)?;
            let facts = Facts { last_seen, ..facts(tx, &row, &host, stored.as_ref(), now)? };
            refusal = match stored {
                Some(stored) => envelope(tx, &stored.statement)?,
                None => None,
            };
            because(&facts, now)
        }
    };
    Ok(Why {
        hostname: host.hostname,
        agent: host.agent,
        change_id: id.clone(),
        standing: because.standing.as_str().into(),
        message: because.text(language),
        code: because.code,
        retry_at: because.retry_at,
        last_seen,
        refusal,
    })
}

fn facts(
    tx: &mut Conn,
    row: &changes::Row,
    host: &fleet::Host,
    refusal: Option<&changes::RefusalRow>,
    now: Timestamp,
) -> Result<Facts, Error> {
    let change = changes::revision(tx, row)?;
    let found = changes::find_target(tx, &change.digest, host.agent)?;
    let approved = match row.plan_set()? {
        Some(set) => changes::plan_set(tx, &set)?.plans.contains_key(&host.agent),
        None => false,
    };
    let target = found.map(|found| Target {
        planned: found.plan.is_some(),
        approved,
        report: found.report.map(|_| Report::of(found.succeeded)),
    });
    let state = row.state()?;
    // Asked only where the answer counts: it reads and verifies every approval.
    let carried = match state {
        State::Approved | State::Running if approved => changes::carried(tx, row, host.agent, now)?,
        _ => Ok(()),
    };
    let interval = match change.body.interval_at(now) {
        Ok(open) => {
            let blackouts = calendars::published(tx, now)?;
            calendars::closed(&blackouts, host.agent).leaves(change.body.change_type, open, now)
        }
        Err(refused) => Err(refused),
    };
    Ok(Facts {
        state,
        retroactive: row.retroactive,
        target,
        enabled: host.enabled,
        held: host.held.is_some(),
        last_seen: None,
        carried,
        interval,
        turn: turn(tx, &change, (state, host.agent), now)?,
        refusal: refusal.map(|refusal| HostRefusal {
            code: refusal.code.clone(),
            message: refusal.message.clone(),
            retry_at: refusal.retry_at.map(Timestamp),
            at: Timestamp(refusal.at),
        }),
    })
}

/// The gate of the host's wave, by the same function that the host uses.
fn turn(
    tx: &mut Conn,
    change: &Statement<Change>,
    (state, agent): (State, AgentId),
    now: Timestamp,
) -> Result<Result<(), Refused>, Error> {
    let Some(wave) = change.body.wave_of(agent) else {
        return Ok(Err(Refused::new(Code::ChangeNotForMe, "this host is in no wave")));
    };
    let gated = change.body.waves.get(wave).is_some_and(|wave| wave.gate.is_some());
    let active = matches!(state, State::Approved | State::Running);
    let receipts =
        if gated && active { changes::receipts_before(tx, &change.digest, wave)? } else { Vec::new() };
    Ok(admit::turn(change, &Control::default(), &receipts, agent, now).map(drop))
}

fn envelope(tx: &mut Conn, digest: &[u8]) -> Result<Option<Envelope>, Error> {
    let Ok(digest) = digest.try_into().map(Digest) else { return Ok(None) };
    let bytes = ledger::find_statement(tx, &digest)?;
    Ok(bytes.and_then(|bytes| Envelope::parse(&bytes).ok()))
}
