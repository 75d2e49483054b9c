//! Changes that take hosts out of the register: whether what one says can come about, and that it does, in the transaction in
//! which the last approval arrives that it needs.
//!
//! Never: a host that is shut out or let in for a change which the signed words do not carry.

use super::approve::awaited;
use super::course::{By, step};
use super::judging::{Papers, plan_set};
use super::record;
use super::reports::is_done;
use super::store::{self, Row, leaving};
use crate::cmdb::{self, Source, Succession};
use crate::fleet::{self, Host};
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::kernel::news;
use shared::change::{Change, Retirement};
use shared::digest::Digest;
use shared::ids::{AgentId, ChangeId};
use shared::lifecycle::{Event, State};
use shared::news::{About, NewsKind};
use shared::time::Timestamp;
use std::collections::BTreeSet;

/// Hears of changes that have taken hosts out of the register; the key is the change.
pub const RETIRED: &str = "changes.retired";

/// The hosts that a change retires, each with its successor.
pub fn retired_by(tx: &mut Conn, id: &ChangeId) -> Result<Vec<(AgentId, Option<AgentId>)>, Error> {
    let row = store::get(tx, id)?;
    let body = super::view::revision(tx, &row)?.body;
    let pair = |one: &Retirement| (one.host.agent, one.successor.map(|successor| successor.agent));
    Ok(body.retires.iter().map(pair).collect())
}

/// A host is to be retired or to follow another one by one change at a time.
pub(super) fn check_free(tx: &mut Conn, body: &Change) -> Result<(), Error> {
    if !body.is_retirement() {
        return Ok(());
    }
    match leaving::find_retiring(tx, body)? {
        None => Ok(()),
        Some((change, state, agent)) => {
            let refusal = Refusal::conflict("change.host_taken").with("change", change);
            Err(refusal.with("state", state).with("agent", agent).into())
        }
    }
}

/// Whether what the change says can come about now; true of every change that retires nobody.
///
/// # Errors
/// `change.refused` where the hosts joined otherwise than the author says, `host.retired`, `host.followed` and
/// `change.successor` about the first host that does not fit.
pub(super) fn check(tx: &mut Conn, body: &Change) -> Result<(), Error> {
    if !body.is_retirement() {
        return Ok(());
    }
    if let Err(why) = record::grounds(tx, body)? {
        let refusal = Refusal::unprocessable("change.refused");
        return Err(refusal.with("code", "change.rule").with("why", why).into());
    }
    for retirement in &body.retires {
        let host = host(tx, retirement.host.agent)?;
        let Some(successor) = retirement.successor else {
            match host.retired {
                None => continue,
                Some(change) => return Err(fleet::left(host.agent, change).into()),
            }
        };
        // A host that left without one may still be followed: its machine came back with another key.
        cmdb::check_unfollowed(tx, host.agent)?;
        let follows = self::host(tx, successor.agent)?;
        if let Some(change) = follows.retired {
            return Err(fleet::left(follows.agent, change).into());
        }
        if !follows.enabled || follows.ci != follows.joined_as {
            let refusal = Refusal::unprocessable("change.successor").with("host", &follows.hostname);
            return Err(refusal.with("agent", follows.agent).with("entry", follows.ci).into());
        }
    }
    Ok(())
}

fn host(tx: &mut Conn, agent: AgentId) -> Result<Host, Error> {
    let unknown = || Refusal::not_found("host.not_found").with("name", agent);
    Ok(fleet::find(tx, agent)?.ok_or_else(unknown)?)
}

/// Does what the change says, which [`check`] found to be possible in this transaction.
pub(super) fn carry_out(tx: &mut Conn, body: &Change, now: Timestamp) -> Result<(), Error> {
    let source =
        Source { author: &body.author, change: (body.change_id.clone(), body.revision), title: &body.title };
    for retirement in &body.retires {
        let before = host(tx, retirement.host.agent)?;
        if before.retired.is_none() {
            fleet::retire(tx, before.agent, &body.change_id)?;
            tell(tx, NewsKind::HostRetired, &before, body, now)?;
        }
        match retirement.successor {
            None => cmdb::retire(tx, (before.ci, before.agent), &source, now)?,
            Some(successor) => {
                let follows = host(tx, successor.agent)?;
                fleet::go_on(tx, follows.agent, &before)?;
                let succession = Succession {
                    entry: before.ci,
                    former: follows.ci,
                    predecessor: before.agent,
                    successor: follows.agent,
                };
                cmdb::succeed(tx, &succession, &source, now)?;
                tell(tx, NewsKind::HostSucceeded, &Host { ci: before.ci, ..follows }, body, now)?;
            }
        }
    }
    let gone: BTreeSet<AgentId> = body.retires.iter().map(|retirement| retirement.host.agent).collect();
    for mut row in leaving::list_awaiting(tx, &gone)? {
        stop_waiting(tx, &mut row, now)?;
    }
    Ok(())
}

fn tell(tx: &mut Conn, kind: NewsKind, host: &Host, body: &Change, now: Timestamp) -> Result<(), Error> {
    let about = About {
        change: Some(body.change_id.clone()),
        revision: Some(body.revision),
        person: Some(body.author.clone()),
        ..fleet::about(host.ci, host.agent)
    };
    Ok(news::tell(tx, kind, about, now)?)
}

/// An open change does not wait for hosts any more that have left. Gates are the hosts' own: they still count what they hear.
fn stop_waiting(tx: &mut Conn, row: &mut Row, now: Timestamp) -> Result<(), Error> {
    let Some(set) = row.plan_set()? else { return Ok(()) };
    let papers = Papers::load(tx, row)?;
    let set = plan_set(tx, &set)?;
    row.planned = awaited(tx, &papers, &set, now)?;
    let runs = matches!(row.state()?, State::Running | State::Halted);
    if runs && (row.planned == 0 || is_done(tx, row)?) {
        let by = By { person: None, note: "the hosts that it waited for have left the site" };
        return step(tx, row, Event::Finished, by, now);
    }
    store::update(tx, row)
}

/// The enrolments of a change's hosts, by digest and in its order.
pub(super) fn enrolments(body: &Change) -> Vec<Digest> {
    body.retires.iter().flat_map(Retirement::hosts).map(|host| host.enrolment).collect()
}
