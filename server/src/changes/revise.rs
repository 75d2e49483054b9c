//! New changes and revisions: an author's signed statement, checked against policy, repository and fleet.

use super::course::{By, lock, step};
use super::models;
use super::retirement;
use super::retroactive::{self, Claim};
use super::store::{self, Row, accepts};
use crate::fleet;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use crate::ledger::{self, Document};
use crate::manifests;
use shared::admit;
use shared::change::Change;
use shared::ids::{AgentId, ChangeId, PersonId};
use shared::ledger::LeafKind;
use shared::lifecycle::Event;
use shared::limits;
use shared::policy::Policy;
use shared::refusal::Refused;
use shared::statement::Statement;
use shared::time::{Interval, Timestamp};
use std::collections::BTreeMap;

/// What the rules of the site refuse, with the code that hosts use.
pub(super) fn refused(refused: Refused) -> Refusal {
    Refusal::unprocessable("change.refused").with("code", refused.code).with("why", refused.message)
}

fn odd(why: impl std::fmt::Display) -> Refusal {
    Refusal::unprocessable("change.refused").with("code", "change.rule").with("why", why)
}

/// Stores a revision. It must be the next one; the same statement again changes nothing. `claims` are what a retroactive
/// change accepts.
pub(super) fn revise(
    tx: &mut Conn,
    (id, revision): (&ChangeId, u32),
    change: &Statement<Change>,
    claims: &[Claim],
    person: &PersonId,
    now: Timestamp,
) -> Result<Row, Error> {
    lock(tx)?;
    let mut row = store::get(tx, id)?;
    let body = &change.body;
    if body.change_id != *id || body.revision != revision {
        return Err(odd(format!("it is {} revision {}", body.change_id, body.revision)).into());
    }
    if let Some(known) = store::find_revision(tx, id, revision)? {
        if known == change.digest {
            return Ok(row);
        }
        let refusal = Refusal::conflict("change.revision_taken");
        return Err(refusal.with("change", id).with("revision", revision).into());
    }
    if revision != row.revision() + 1 {
        let refusal = Refusal::conflict("change.not_next").with("change", id);
        return Err(refusal.with("last", row.revision()).with("sent", revision).into());
    }
    if body.author != *person {
        return Err(Refusal::forbidden("change.other_author").with("author", &body.author).into());
    }
    let policy = manifests::policy(tx)?.policy;
    check(tx, &policy, &row, change, now)?;
    retroactive::check_free(tx, id, claims)?;
    retirement::check_free(tx, body)?;
    let document = Document::of_site(LeafKind::Change, change.digest, Some(id.clone()), change.to_bytes());
    let document = document.map_err(|error| Error::fault("recording a change", error))?;
    ledger::record_one(tx, &document, now)?;
    store::insert_revision(tx, change, now)?;
    accepts::insert(tx, &change.digest, claims)?;
    row.take(change);
    step(tx, &mut row, Event::Revise, By::person(person), now)?;
    Ok(row)
}

fn check(
    tx: &mut Conn,
    policy: &Policy,
    row: &Row,
    change: &Statement<Change>,
    now: Timestamp,
) -> Result<(), Error> {
    admit::check_author(policy, change, now).map_err(refused)?;
    let body = &change.body;
    if body.created > now.plus(limits::CLOCK_SKEW_SECS) {
        return Err(odd(format!("it says that it was created at {}, in the future", body.created)).into());
    }
    if body.not_after <= now {
        return Err(Refusal::conflict("change.over")
            .with("change", &row.id)
            .with("end", body.not_after)
            .into());
    }
    let kind = (body.is_retroactive(), body.is_retirement());
    if row.revision > 0 && kind != (row.retroactive, row.retires) {
        let why = "a change stays retroactive, one that retires hosts, or one that is run: make another one";
        return Err(odd(why).into());
    }
    let before = row.statement.as_deref().map(store::digest).transpose()?;
    if body.supersedes.is_some() && body.supersedes != before {
        return Err(odd("it supersedes another revision than the last one").into());
    }
    for named in &body.manifests {
        let published = manifests::find_published(tx, &named.sha256)?;
        let unknown = || Refusal::unprocessable("change.manifest_unknown").with("manifest", named.label());
        let published = published.ok_or_else(unknown)?;
        admit::verify_manifest(policy, &published.bytes, named, now).map_err(refused)?;
    }
    models::check(tx, policy, body, now)?;
    check_series(tx, body)?;
    check_targets(tx, body)?;
    retirement::check(tx, body)
}

/// A series has one occurrence at a time: whoever makes them twice is told.
fn check_series(tx: &mut Conn, body: &Change) -> Result<(), Error> {
    let Some(series) = &body.series else { return Ok(()) };
    for other in store::list_open_of(tx, series.as_str())? {
        let meets = |one: &Interval| body.intervals.iter().any(|own| own.meets(one));
        if other.id != body.change_id.as_str() && other.intervals()?.iter().any(meets) {
            let refusal = Refusal::conflict("change.series_taken").with("series", series);
            return Err(refusal.with("change", &other.id).into());
        }
    }
    Ok(())
}

/// Every target is a known and enabled host with exactly the key that the author signed.
fn check_targets(tx: &mut Conn, body: &Change) -> Result<(), Error> {
    let hosts: BTreeMap<AgentId, fleet::Host> =
        fleet::list(tx)?.into_iter().map(|host| (host.agent, host)).collect();
    let problems: Vec<String> = body
        .targets
        .iter()
        .filter_map(|target| match hosts.get(&target.agent) {
            None => Some(format!("{} is no host of this site", target.agent)),
            Some(host) if host.key.digest() != target.key => {
                Some(format!("{} has another key than the change names", host.hostname))
            }
            // What only puts on record does not reach the host.
            Some(_) if body.is_record() => None,
            Some(host) => match &host.retired {
                Some(change) => Some(format!("{} has left for good, with {change}", host.hostname)),
                None => (!host.enabled).then(|| format!("{} is disabled", host.hostname)),
            },
        })
        .collect();
    match problems.len() {
        0 => Ok(()),
        count => {
            let shown = problems.iter().take(5).cloned().collect::<Vec<_>>().join("; ");
            Err(Refusal::unprocessable("change.bad_targets").with("count", count).with("why", shown).into())
        }
    }
}
