//! Why a host judges no change at all: its newest refusal that is about none of them.
//!
//! Kept until the host says something about a change, or that it judges changes again. Never a reason to hold anything up:
//! hosts do that themselves.

use crate::each;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use diesel::prelude::*;
use diesel::upsert::excluded;
use shared::ids::AgentId;
use shared::receipt::{Header, Refusal};
use shared::statement::Statement;
use shared::time::Timestamp;
use std::collections::BTreeMap;

diesel::table! {
    host_refusal (agent) {
        agent -> Text,
        statement -> Binary,
        seq -> BigInt,
        code -> Text,
        message -> Text,
        retry_at -> Nullable<BigInt>,
        received -> BigInt,
    }
}

/// A host's word about itself as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = host_refusal, treat_none_as_default_value = false)]
pub struct Hindrance {
    pub agent: String,
    pub statement: Vec<u8>,
    pub seq: i64,
    pub code: String,
    pub message: String,
    pub retry_at: Option<i64>,
    /// By the server's clock, because the host's may be what is wrong.
    pub received: i64,
}

impl Hindrance {
    /// Whether it still stands, as far as a node knows that heard at `judged` last that the host judges changes.
    pub fn stands(&self, judged: Option<Timestamp>) -> bool {
        judged.is_none_or(|judged| judged.0 <= self.received)
    }
}

/// Keeps the refusal if it stops its host as a whole.
pub fn record(tx: &mut Conn, refusal: &Statement<Refusal>, now: Timestamp) -> QueryResult<()> {
    let body = &refusal.body;
    if body.change_id.is_some() || !body.reason.code.stops_host() {
        return Ok(());
    }
    let row = Hindrance {
        agent: body.header.agent_id.to_string(),
        statement: refusal.digest.0.to_vec(),
        seq: body.header.seq.cast_signed(),
        code: body.reason.code.as_str().to_owned(),
        message: body.reason.message.clone(),
        retry_at: body.reason.retry_at.map(|at| at.0),
        received: now.0,
    };
    // Statements of a host are recorded in the order of its chain.
    each!(tx, |c| diesel::insert_into(host_refusal::table)
        .values(&row)
        .on_conflict(host_refusal::agent)
        .do_update()
        .set((
            host_refusal::statement.eq(excluded(host_refusal::statement)),
            host_refusal::seq.eq(excluded(host_refusal::seq)),
            host_refusal::code.eq(excluded(host_refusal::code)),
            host_refusal::message.eq(excluded(host_refusal::message)),
            host_refusal::retry_at.eq(excluded(host_refusal::retry_at)),
            host_refusal::received.eq(excluded(host_refusal::received)),
        ))
        .execute(c))
    .map(drop)
}

/// The host has said something about a change since, so it judges them.
pub fn supersede(tx: &mut Conn, header: &Header) -> QueryResult<()> {
    let row = host_refusal::table.find(header.agent_id.to_string());
    let row = row.filter(host_refusal::seq.lt(header.seq.cast_signed()));
    diesel::delete(row).execute(tx).map(drop)
}

/// Forgets those of hosts that have said since that they judge changes.
pub fn clear(tx: &mut Conn, judged: &BTreeMap<AgentId, Timestamp>) -> Result<(), Error> {
    let over = |(agent, found): (AgentId, Hindrance)| {
        (!found.stands(judged.get(&agent).copied())).then_some(found.agent)
    };
    let over: Vec<String> = list(tx)?.into_iter().filter_map(over).collect();
    for agent in over {
        diesel::delete(host_refusal::table.find(agent)).execute(tx)?;
    }
    Ok(())
}

pub fn find(tx: &mut Conn, agent: AgentId) -> QueryResult<Option<Hindrance>> {
    host_refusal::table.find(agent.to_string()).first(tx).optional()
}

pub fn list(tx: &mut Conn) -> Result<BTreeMap<AgentId, Hindrance>, Error> {
    let rows: Vec<Hindrance> = host_refusal::table.load(tx)?;
    let read = |row: Hindrance| {
        let agent =
            row.agent.parse().map_err(|_| Error::fault("reading refusals", "an agent id is damaged"))?;
        Ok((agent, row))
    };
    rows.into_iter().map(read).collect()
}
