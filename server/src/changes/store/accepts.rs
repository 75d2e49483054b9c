//! SQL for the findings that revisions of retroactive changes accept.

use super::{ROWS, change, damaged, digest};
use crate::changes::retroactive::{Claim, Claimed};
use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use diesel::prelude::*;
use shared::digest::Digest;
use shared::ids::AgentId;
use shared::lifecycle::{Outcome, State};
use std::collections::HashSet;

diesel::table! {
    change_accepts (statement, finding) {
        statement -> Binary,
        finding -> Binary,
        agent -> Text,
        number -> BigInt,
        fingerprint -> Binary,
    }
}

diesel::allow_tables_to_appear_in_same_query!(change, change_accepts);

#[derive(Insertable)]
#[diesel(table_name = change_accepts)]
struct NewAccepts<'a> {
    statement: &'a [u8],
    finding: &'a [u8],
    agent: String,
    number: i64,
    fingerprint: &'a [u8],
}

/// Stores what a revision accepts; fails if that was stored before.
pub(in crate::changes) fn insert(tx: &mut Conn, change: &Digest, claims: &[Claim]) -> QueryResult<()> {
    let rows: Vec<_> = claims
        .iter()
        .map(|claim| NewAccepts {
            statement: &change.0,
            finding: &claim.finding.0,
            agent: claim.agent.to_string(),
            number: claim.number.cast_signed(),
            fingerprint: &claim.fingerprint.0,
        })
        .collect();
    for some in rows.chunks(ROWS) {
        each!(tx, |c| diesel::insert_into(change_accepts::table).values(some).execute(c))?;
    }
    Ok(())
}

type Columns =
    (change_accepts::agent, change_accepts::finding, change_accepts::number, change_accepts::fingerprint);
const COLUMNS: Columns =
    (change_accepts::agent, change_accepts::finding, change_accepts::number, change_accepts::fingerprint);
type Tuple = (String, Vec<u8>, i64, Vec<u8>);

fn claim((agent, finding, number, fingerprint): Tuple) -> Result<Claim, Error> {
    Ok(Claim {
        agent: agent.parse().map_err(|_| damaged("an agent id"))?,
        finding: digest(&finding)?,
        number: number.cast_unsigned(),
        fingerprint: digest(&fingerprint)?,
    })
}

/// What a revision accepts, in the order of hosts and their numbers.
pub(in crate::changes) fn list(tx: &mut Conn, change: &Digest) -> Result<Vec<Claim>, Error> {
    let rows = change_accepts::table.filter(change_accepts::statement.eq(change.0.as_slice()));
    let rows = rows.order((change_accepts::agent, change_accepts::number)).select(COLUMNS);
    rows.load::<Tuple>(tx)?.into_iter().map(claim).collect()
}

/// Who accepts these findings of hosts, or is to: current revisions of changes that are open or went well.
pub(in crate::changes) fn list_claims(
    tx: &mut Conn,
    findings: &HashSet<(AgentId, u64)>,
) -> Result<Vec<Claimed>, Error> {
    let wanted: Vec<_> = findings.iter().copied().collect();
    let counts = change::state
        .ne(State::Closed(Outcome::Successful).as_str())
        .or(change::outcome.eq(Outcome::Successful.as_str()));
    let mut all = Vec::new();
    for some in wanted.chunks(ROWS) {
        let agents: Vec<String> = some.iter().map(|(agent, _)| agent.to_string()).collect();
        let numbers: Vec<i64> = some.iter().map(|(_, number)| number.cast_signed()).collect();
        let current = change::table.on(change::statement.eq(change_accepts::statement.nullable()));
        let rows = change_accepts::table
            .inner_join(current)
            .filter(change_accepts::agent.eq_any(agents))
            .filter(change_accepts::number.eq_any(numbers))
            .filter(counts)
            .order(change::number)
            .select((COLUMNS, (change::id, change::state, change::outcome)));
        for (tuple, (id, state, outcome)) in rows.load::<(Tuple, (String, String, Option<String>))>(tx)? {
            let claim = claim(tuple)?;
            // The query asks for hosts and numbers each by itself.
            if some.contains(&(claim.agent, claim.number)) {
                let change = id.parse().map_err(|_| damaged("the id of a change"))?;
                let state = State::from_parts(&state, outcome.as_deref());
                let state = state.ok_or_else(|| damaged("the state of a change"))?;
                all.push(Claimed { claim, change, state });
            }
        }
    }
    Ok(all)
}
