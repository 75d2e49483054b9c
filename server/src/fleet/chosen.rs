//! The hosts that something on the server is about: those with labels, those that are named, or all.

use super::{Host, list};
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use shared::ids::AgentId;
use shared::strict::Map;
use std::collections::BTreeSet;

/// Hosts with their labels, read when they are asked for the first time.
#[derive(Default)]
pub struct Chosen(Option<Vec<Host>>);

impl Chosen {
    /// The hosts that have all these labels now or are named; `None` when neither is said, which means all.
    pub fn of(
        &mut self,
        tx: &mut Conn,
        labels: &Map<String, String>,
        named: &BTreeSet<AgentId>,
    ) -> Result<Option<BTreeSet<AgentId>>, Error> {
        if labels.is_empty() && named.is_empty() {
            return Ok(None);
        }
        let mut agents = named.clone();
        if !labels.is_empty() {
            let hosts = match self.0.take() {
                Some(hosts) => hosts,
                None => list(tx)?,
            };
            let fits = |host: &&Host| host.has_labels(labels.iter());
            agents.extend(hosts.iter().filter(fits).map(|host| host.agent));
            self.0 = Some(hosts);
        }
        Ok(Some(agents))
    }

    /// Whether this host is one of them.
    pub fn has(host: &Host, labels: &Map<String, String>, named: &BTreeSet<AgentId>) -> bool {
        let labelled = !labels.is_empty() && host.has_labels(labels.iter());
        (labels.is_empty() && named.is_empty()) || labelled || named.contains(&host.agent)
    }
}
