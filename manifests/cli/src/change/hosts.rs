//! Choosing target hosts. The server's list is only a finding aid: each chosen host is checked by its own key.

use crate::error::{Context as _, Done, Failure};
use crate::net::Client;
use shared::change::Target;
use shared::ids::SiteId;
use shared::receipt::{Enrolment, open_chained};
use shared::wire::HostLine;
use std::collections::BTreeMap;

/// How a command names hosts.
pub struct Choice<'a> {
    pub names: &'a [String],
    pub labels: &'a [String],
    pub all: bool,
}

impl Choice<'_> {
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.labels.is_empty() && !self.all
    }
}

/// The chosen hosts by agent id, each verified.
pub fn choose(api: &Client, site: &SiteId, choice: &Choice<'_>) -> Done<Vec<(HostLine, Target)>> {
    let labels = pairs(choice.labels)?;
    let known = api.hosts(&[])?;
    let mut chosen = BTreeMap::new();
    for name in choice.names {
        let host = find(&known, name)?;
        if !host.enabled {
            return Err(Failure::refused(format!("{name} is disabled")).remedy("enable it, or leave it out"));
        }
        chosen.insert(host.agent, host);
    }
    let by_rule = choice.all || !labels.is_empty();
    for host in known.iter().filter(|host| by_rule && host.enabled && has_labels(host, &labels)) {
        chosen.insert(host.agent, host);
    }
    if chosen.is_empty() {
        return Err(Failure::refused("no host is chosen by these options").remedy("see `assent ci list`"));
    }
    chosen.into_values().map(|host| Ok((host.clone(), verified(api, site, host)?))).collect()
}

/// One host by CI, host name or agent id.
pub fn find<'h>(known: &'h [HostLine], name: &str) -> Done<&'h HostLine> {
    let matching: Vec<_> = known
        .iter()
        .filter(|host| host.ci == name || host.hostname == name || host.agent.to_string() == name)
        .collect();
    match matching.as_slice() {
        [host] => Ok(host),
        [] => Err(Failure::refused(format!("there is no host {name}")).remedy("see `assent ci list`")),
        several => {
            let ids: Vec<_> = several.iter().map(|host| host.agent.to_string()).collect();
            let message = format!("{} hosts are named {name}", several.len());
            Err(Failure::refused(message).why(ids.join(", ")).remedy("give the agent id"))
        }
    }
}

fn has_labels(host: &HostLine, labels: &[(String, String)]) -> bool {
    labels.iter().all(|(key, value)| host.labels.get(key) == Some(value))
}

/// The target as its own key proves it: id = hash of the key, and an enrolment signed with that key.
fn verified(api: &Client, site: &SiteId, host: &HostLine) -> Done<Target> {
    let name = &host.hostname;
    if host.agent_key.agent_id() != host.agent {
        return Err(Failure::refused(format!("the server names a key for {name} that is not its own"))
            .why(format!("agent id {} does not belong to the key", host.agent)));
    }
    let refused = format!("the enrolment of {name} does not prove that it belongs to this site");
    let enrolment = open_chained::<Enrolment>(&api.enrolment(&host.ci)?, site).or_refuse(&*refused)?;
    if enrolment.body.header.key != host.agent_key {
        return Err(Failure::refused(refused).why("it is the enrolment of another key"));
    }
    if enrolment.body.header.host_class != host.host_class {
        eprintln!(
            "note: the server lists {name} as {}, it enrolled as {}",
            host.host_class, enrolment.body.header.host_class
        );
    }
    Ok(Target { agent: host.agent, key: host.agent_key.digest() })
}

/// `KEY=VALUE` options.
pub fn pairs(texts: &[String]) -> Done<Vec<(String, String)>> {
    let pair = |text: &String| {
        let found = text.split_once('=').filter(|(key, _)| !key.is_empty());
        let bad = || Failure::usage(format!("{text:?} is not KEY=VALUE")).remedy("write one like role=web");
        found.map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(bad)
    };
    texts.iter().map(pair).collect()
}
