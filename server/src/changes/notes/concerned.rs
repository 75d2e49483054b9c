//! For what somebody may speak who objects: what the change is about, what stands on it or what it stands on, and who answers
//! for these, as far as the CMDB declares it.

use super::super::store::Row;
use super::super::view;
use crate::cmdb;
use crate::fleet;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use shared::ids::AgentId;
use std::collections::BTreeSet;

/// Entries that are looked at; of a change that reaches more, everything counts that is there.
const NEAR: usize = 20_000;

/// `name` is an entry of the CMDB (`service:shop`), or the owner of one.
///
/// # Errors
/// `note.not_concerned`: there is no such thing, or it is not near the change.
pub(super) fn check(tx: &mut Conn, row: &Row, name: &str) -> Result<(), Error> {
    let refused = || {
        let refusal = Refusal::unprocessable("note.not_concerned").with("change", &row.id);
        Error::from(refusal.with("name", shared::strict::shorten(name)))
    };
    let entry = match name.parse() {
        Ok(item) => Some(cmdb::find_declared(tx, &item)?.ok_or_else(refused)?),
        Err(_) => None,
    };
    let near = match row.statement {
        Some(_) => near(tx, row)?,
        // Nobody knows yet on which hosts.
        None => None,
    };
    let concerned = match (entry, &near) {
        (Some(entry), Some(near)) => near.contains(&entry),
        (Some(_), None) => true,
        (None, Some(near)) => cmdb::is_owner(tx, near, name)?,
        (None, None) => cmdb::is_any_owner(tx, name)?,
    };
    if concerned { Ok(()) } else { Err(refused()) }
}

/// The entries of its hosts, with all that stands on them and that they stand on; `None` where it is too much to follow.
fn near(tx: &mut Conn, row: &Row) -> Result<Option<BTreeSet<i64>>, Error> {
    let change = view::revision(tx, row)?.body;
    let targets: BTreeSet<AgentId> = change.targets.iter().map(|target| target.agent).collect();
    let hosts = fleet::list(tx)?;
    let starts: Vec<i64> =
        hosts.iter().filter(|host| targets.contains(&host.agent)).map(|host| host.ci.0).collect();
    let serving = cmdb::serving(tx, &starts, NEAR)?;
    let relying = cmdb::relying(tx, &starts, NEAR)?;
    Ok(serving.zip(relying).map(|(serving, relying)| serving.into_iter().chain(relying).collect()))
}
