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

    /// By its labels or itself.
    fn names(&self, host: &Host) -> bool {
        let labelled = !self.labels.is_empty() && host.has_labels(self.labels.iter());
        labelled || self.named.contains(&host.agent)
    }
}

/// Hosts with their labels, read when they are asked for the first time.
#[derive(Default)]
pub struct Chosen(Option<Vec<Host>>);

impl Chosen {
    /// The hosts that are meant now; `None` means all. Where the search finds too much to be followed all are meant: what only
    /// holds back may hold too many.
    pub fn of<'a>(
        &mut self,
        tx: &mut Conn,
        scope: impl Into<Scope<'a>>,
    ) -> Result<Option<BTreeSet<AgentId>>, Error> {
        let scope = scope.into();
        Ok(followed(scope, self.exactly(tx, scope))?.flatten())
    }

    /// The same for a scope that somebody asks for now.
    ///
    /// # Errors
    /// `ci.search_…`: the search cannot be followed.
    pub fn exactly(&mut self, tx: &mut Conn, scope: Scope<'_>) -> Result<Option<BTreeSet<AgentId>>, Error> {
        if scope.is_all() {
            return Ok(None);
        }
        let mut agents = scope.named.clone();
        if scope.labels.is_empty() && scope.search.is_none() {
            return Ok(Some(agents));
        }
        let found = scope.search.map(|search| cmdb::fitting_all(tx, search)).transpose()?.unwrap_or_default();
        let hosts = match self.0.take() {
            Some(hosts) => hosts,
            None => list(tx)?.into_iter().filter(|host| host.retired.is_none()).collect(),
        };
        let meant = hosts.iter().filter(|host| scope.names(host) || found.contains(&host.ci));
        agents.extend(meant.map(|host| host.agent));
        self.0 = Some(hosts);
        Ok(Some(agents))
    }

    /// Whether this host is one of them.
    pub fn has<'a>(tx: &mut Conn, host: &Host, scope: impl Into<Scope<'a>>) -> Result<bool, Error> {
        let scope = scope.into();
        if scope.is_all() || scope.names(host) {
            return Ok(true);
        }
        let Some(search) = scope.search else { return Ok(false) };
        Ok(followed(scope, cmdb::is_fitting(tx, search, host.ci))?.unwrap_or(true))
    }
}

/// `None` where the search cannot be followed.
fn followed<T>(scope: Scope<'_>, found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::Refusal(refusal)) => {
            let (search, code) = (scope.search, refusal.code);
            tracing::error!(search, code, "a search cannot be followed; all hosts are meant");
            Ok(None)
        }
        Err(other) => Err(other),
    }
}

/// A search as it is kept: with the saved ones in their places, and tried once.
///
/// # Errors
/// As [`Chosen::exactly`].
pub fn spelt_out(tx: &mut Conn, search: Option<&str>) -> Result<Option<String>, Error> {
    let Some(search) = search else { return Ok(None) };
    let search = cmdb::spelt_out(tx, search)?;
    cmdb::fitting_all(tx, &search)?;
    Ok(Some(search))
}
