//! The hosts that something on the server is about: those with labels, those that a search finds, those that are named, or
//! all.

use super::{Host, list};
use crate::cmdb;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::ids::AgentId;
use shared::strict::Map;
use shared::wire::{Budget, Calendar};
use std::collections::BTreeSet;

/// Whom something is about; all hosts when none of it is said.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// Hosts that have all of them.
    pub labels: &'a Map<String, String>,
    pub named: &'a BTreeSet<AgentId>,
    /// Hosts whose entries it finds.
    pub search: Option<&'a str>,
}

impl<'a> From<&'a Calendar> for Scope<'a> {
    fn from(calendar: &'a Calendar) -> Self {
        Self { labels: &calendar.labels, named: &calendar.hosts, search: calendar.search.as_deref() }
    }
}

impl<'a> From<&'a Budget> for Scope<'a> {
    fn from(budget: &'a Budget) -> Self {
        Self { labels: &budget.labels, named: &budget.hosts, search: budget.search.as_deref() }
    }
}

impl Scope<'_> {
    fn is_all(&self) -> bool {
        self.labels.is_empty() && self.named.is_empty() && self.search.is_none()
    }
}

/// Hosts with their labels, read when they are asked for the first time.
#[derive(Default)]
pub struct Chosen(Option<Vec<Host>>);

impl Chosen {
    /// The hosts that are meant now; `None` means all.
    ///
    /// # Errors
    /// Of the search, and of the database.
    pub fn of<'a>(
        &mut self,
        tx: &mut Conn,
        scope: impl Into<Scope<'a>>,
    ) -> Result<Option<BTreeSet<AgentId>>, Error> {
        let scope = scope.into();
        if scope.is_all() {
            return Ok(None);
        }
        let mut agents = scope.named.clone();
        if scope.labels.is_empty() && scope.search.is_none() {
            return Ok(Some(agents));
        }
        let found = match scope.search {
            Some(search) => match followed(search, cmdb::fitting_all(tx, search))? {
                Some(found) => found,
                None => return Ok(None),
            },
            None => BTreeSet::new(),
        };
        let hosts = match self.0.take() {
            Some(hosts) => hosts,
            None => list(tx)?,
        };
        let labelled = |host: &Host| !scope.labels.is_empty() && host.has_labels(scope.labels.iter());
        let meant = hosts.iter().filter(|host| labelled(host) || found.contains(&host.ci));
        agents.extend(meant.map(|host| host.agent));
        self.0 = Some(hosts);
        Ok(Some(agents))
    }

    /// Whether this host is one of them.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn has<'a>(tx: &mut Conn, host: &Host, scope: impl Into<Scope<'a>>) -> Result<bool, Error> {
        let scope = scope.into();
        let labelled = !scope.labels.is_empty() && host.has_labels(scope.labels.iter());
        if scope.is_all() || labelled || scope.named.contains(&host.agent) {
            return Ok(true);
        }
        let Some(search) = scope.search else { return Ok(false) };
        Ok(followed(search, cmdb::is_fitting(tx, search, host.ci))?.unwrap_or(true))
    }
}

/// Where a search finds too much to be followed, all hosts are meant: what only holds back may hold too many.
fn followed<T>(search: &str, found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::Refusal(refusal)) => {
            tracing::error!(search, code = refusal.code, "a search cannot be followed; all hosts are meant");
            Ok(None)
        }
        Err(other) => Err(other),
    }
}

/// A search as it is kept: with the saved ones in their places, and tried once.
///
/// # Errors
/// As [`Chosen::of`].
pub fn spelt_out(tx: &mut Conn, search: Option<&str>) -> Result<Option<String>, Error> {
    let Some(search) = search else { return Ok(None) };
    let search = cmdb::spelt_out(tx, search)?;
    cmdb::fitting_all(tx, &search)?;
    Ok(Some(search))
}
