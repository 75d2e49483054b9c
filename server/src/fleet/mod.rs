//! The fleet: which hosts belong to the site, how they join, and what they are told when they check in.
//!
//! Owns hosts, join tokens, client certificates, the ends of the hosts' chains, and the work board.
//! Never decides what a host may do: certificates only open the door, approvals name the host's own key.

mod api;
mod authorities;
mod authority;
mod board;
mod chosen;
mod join;
mod listeners;
mod model;
mod once;
mod rates;
mod store;
#[cfg(test)]
mod tests;

pub use api::{Strangers, agent_routes, people_routes, strangers_routes};
pub use authorities::{follow as follow_authorities, make_next as make_next_authority};
pub use board::{Board, CheckIn, Contact, Sources, TIMESTAMP, WISHES, Wish};
pub use chosen::{Chosen, Scope, spelt_out};
pub use join::{Door, address, invite, join, renew};
pub use listeners::renew as renew_listeners;
pub use model::{ChainHead, Host, Labels};
#[cfg(test)]
pub use once::purge;
pub use once::{jobs, once};
pub use rates::Rates;
pub use store::hindrance::{
    Hindrance, find as find_hindrance, list as list_hindrances, record as record_hindrance,
    supersede as supersede_hindrance,
};
pub use store::{
    allow_gaps, chain_heads, extend_chains, find, first_certificate_end, get, go_on, list, list_retired,
    repair_head, retire,
};

use crate::cmdb::{self, CiId, EventKind, NewEvent};
use crate::kernel::db::{Conn, Db};
use crate::kernel::error::{Error, Refusal};
use crate::kernel::http::agent::AgentGate;
use crate::kernel::news;
use shared::ids::AgentId;
use shared::news::{About, NewsKind};
use shared::time::Timestamp;
use std::time::Duration;

/// How far this node may lag behind what another one did.
const REFRESH: Duration = Duration::from_secs(1);
/// Check-ins are stored every so many refreshes.
const FLUSH_EVERY: u32 = 30;

/// Admits hosts that are enabled, by the board.
pub fn gate(board: &Board) -> AgentGate {
    let board = board.clone();
    AgentGate::new(move |identity| board.admits(identity.agent_id))
}

/// Holds a host: it gets no new work until someone enables it again. Says so once in its history.
pub fn hold(tx: &mut Conn, agent: AgentId, why: &str, now: Timestamp) -> Result<(), Error> {
    if store::update_held(tx, agent, why)?
        && let Some(host) = store::find(tx, agent)?
    {
        cmdb::insert_events(tx, &[NewEvent::new(host.ci, now, EventKind::Held, why)])?;
        news::tell(tx, NewsKind::HostHeld, about(host.ci, agent), now)?;
    }
    Ok(())
}

/// A host that has left for good; nothing brings this key back.
pub(super) fn left(agent: AgentId, change: impl std::fmt::Display) -> Refusal {
    Refusal::forbidden("host.retired").with("agent", agent).with("change", change)
}

/// The host as news name it.
pub fn about(ci: CiId, agent: AgentId) -> About {
    About { ci: Some(ci.to_string()), agent: Some(agent), ..About::default() }
}

/// Keeps this node's board up to date and stores when hosts were seen, for as long as the process runs.
/// Every node does this for itself, so it is no job under a lease.
pub async fn keep_up(board: Board, db: Db) {
    let mut turn = 0_u32;
    loop {
        tokio::time::sleep(REFRESH).await;
        turn = turn.wrapping_add(1);
        if let Err(error) = board.refresh(&db).await {
            tracing::error!(error = error.chain(), "the work board may be out of date");
        }
        if turn.is_multiple_of(FLUSH_EVERY)
            && let Err(error) = board.flush_seen(&db).await
        {
            tracing::error!(error = error.chain(), "check-ins not stored yet");
        }
    }
}
