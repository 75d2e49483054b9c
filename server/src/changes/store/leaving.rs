//! SQL for changes that are about the same hosts as one that retires them.

use super::{ROWS, Row, change, change_target};
use crate::kernel::db::Conn;
use diesel::prelude::*;
use shared::change::Change;
use shared::ids::AgentId;
use shared::lifecycle::State;
use std::collections::{BTreeMap, BTreeSet};

/// Another open change that is to retire one of the hosts of this one, or to let it follow another: with its state.
pub(in crate::changes) fn find_retiring(
    tx: &mut Conn,
    body: &Change,
) -> QueryResult<Option<(String, String, String)>> {
    let agents: Vec<String> = body.targets.iter().map(|target| target.agent.to_string()).collect();
    for some in agents.chunks(ROWS) {
        let current = change::table.on(change::statement.eq(change_target::statement.nullable()));
        let rows = change_target::table.inner_join(current).filter(change_target::agent.eq_any(some));
        let rows = rows.filter(change::retires.eq(true)).filter(change::closed.is_null());
        let rows = rows.filter(change::id.ne(body.change_id.as_str())).order(change::number);
        let found = rows.select((change::id, change::state, change_target::agent)).first(tx).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Changes that may still run and have not heard of one of these hosts.
pub(in crate::changes) fn list_awaiting(tx: &mut Conn, agents: &BTreeSet<AgentId>) -> QueryResult<Vec<Row>> {
    let states = [State::InReview, State::Approved, State::Running, State::Halted].map(State::as_str);
    let agents: Vec<String> = agents.iter().map(AgentId::to_string).collect();
    let mut found = BTreeMap::new();
    for some in agents.chunks(ROWS) {
        let waits = change_target::table.filter(change_target::agent.eq_any(some));
        let waits = waits.filter(change_target::report.is_null()).select(change_target::statement.nullable());
        let rows = change::table.filter(change::state.eq_any(states)).filter(change::retires.eq(false));
        let rows = rows.filter(change::statement.eq_any(waits));
        found.extend(rows.load::<Row>(tx)?.into_iter().map(|row| (row.number, row)));
    }
    Ok(found.into_values().collect())
}
