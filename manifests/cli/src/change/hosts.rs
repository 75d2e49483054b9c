//! Choosing target hosts. The server's list is only a finding aid: each chosen host is checked by its own key.

use crate::ci::search;
use crate::error::{Context as _, Done, Failure};
use crate::net::Client;
use crate::session::Session;
use shared::change::Target;
use shared::ids::SiteId;
use shared::receipt::{Enrolment, open_chained};
use shared::statement::Statement;
use shared::wire::HostLine;
use std::collections::{BTreeMap, BTreeSet};

/// How a command names hosts.
pub struct Choice<'a> {
    pub names: &'a [String],
    pub labels: &'a [String],
    pub all: bool,
    /// A search of the CMDB; what it finds now is chosen, and nothing that it finds later.
    pub search: Option<&'a str>,
}

impl Choice<'_> {
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.labels.is_empty() && self.search.is_none() && !self.all
    }
}

/// A host as the server lists it, and what it has proved itself.
pub struct Chosen {
    pub host: HostLine,
    pub target: Target,
    pub enrolment: Statement<Enrolment>,
}

/// The chosen hosts by name, each verified.
pub fn choose(api: &Client, site: &SiteId, choice: &Choice<'_>) -> Done<Vec<Chosen>> {
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
    let found: Option<BTreeSet<String>> = match choice.search {
        None => None,
        Some(text) => {
            let query = format!("class:host ({})", search::read(text)?);
            Some(api.cis(&query, &[])?.into_iter().map(|line| line.ci).collect())
        }
    };
    let by_rule = choice.all || !labels.is_empty() || found.is_some();
    let is_found = |host: &HostLine| found.as_ref().is_none_or(|found| found.contains(&host.ci));
    let fits = |host: &&HostLine| host.enabled && has_labels(host, &labels) && is_found(host);
    for host in known.iter().filter(|host| by_rule && fits(host)) {
        chosen.insert(host.agent, host);
    }
    if chosen.is_empty() {
        return Err(Failure::refused("no host is chosen by these options").remedy("see `assent ci list`"));
    }
    let mut hosts: Vec<_> = chosen.into_values().collect();
    hosts.sort_by(|a, b| (&a.hostname, a.agent).cmp(&(&b.hostname, b.agent)));
    hosts.into_iter().map(|host| chosen_one(api, site, host)).collect()
}

/// One host, whether or not it is let in, verified.
pub fn proven(session: &Session, host: &HostLine) -> Done<Chosen> {
    chosen_one(&session.api, &session.profile.config.site, host)
}

fn chosen_one(api: &Client, site: &SiteId, host: &HostLine) -> Done<Chosen> {
    // By its own id: an entry may have gone on with another host.
    let enrolment = verified(site, host, &api.enrolment(&host.agent.to_string())?)?;
    let target = Target { agent: host.agent, key: host.agent_key.digest() };
    Ok(Chosen { host: host.clone(), target, enrolment })
}

/// One host by CI, host name or agent id; of several one that has not left for good, if there is one.
pub fn find<'h>(known: &'h [HostLine], name: &str) -> Done<&'h HostLine> {
    let named = |host: &&HostLine| host.ci == name || host.hostname == name || host.agent.to_string() == name;
    let (here, left): (Vec<_>, Vec<_>) =
        known.iter().filter(named).partition(|host| host.retired_by.is_none());
    let matching = if here.is_empty() { left } else { here };
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
    labels.iter().all(|(key, value)| has_label(host, key, value))
}

pub fn has_label(host: &HostLine, key: &str, value: &str) -> bool {
    host.labels.get(key).is_some_and(|has| has == value)
}

/// The host as its own key proves it: id = hash of the key, and an enrolment signed with that key.
fn verified(site: &SiteId, host: &HostLine, enrolment: &[u8]) -> Done<Statement<Enrolment>> {
    let name = &host.hostname;
    if host.agent_key.agent_id() != host.agent {
        return Err(Failure::refused(format!("the server names a key for {name} that is not its own"))
            .why(format!("agent id {} does not belong to the key", host.agent)));
    }
    let refused = format!("the enrolment of {name} does not prove that it belongs to this site");
    let enrolment = open_chained::<Enrolment>(enrolment, site).or_refuse(&*refused)?;
    let header = &enrolment.body.header;
    if header.key != host.agent_key {
        return Err(Failure::refused(refused).why("it is the enrolment of another key"));
    }
    if header.host_class != host.host_class {
        let why = format!("listed as {}, enrolled as {}", host.host_class, header.host_class);
        return Err(Failure::refused(format!("the server moved {name} to another host class")).why(why));
    }
    Ok(enrolment)
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

#[cfg(test)]
mod tests {
    use super::*;
    use shared::digest::Digest;
    use shared::keys::SigningKey;
    use shared::receipt::Header;
    use shared::time::Timestamp;

    const SITE: &str = "00112233aabbccdd";

    fn key(n: u8) -> SigningKey {
        SigningKey::from_seed(&[n; 32])
    }

    fn line(n: u8) -> HostLine {
        let public = key(n).public();
        HostLine {
            ci: format!("CI-{n}"),
            hostname: "web1".into(),
            agent: public.agent_id(),
            agent_key: public,
            host_class: "production".parse().unwrap(),
            labels: [("role".to_owned(), "web".to_owned())].into_iter().collect(),
            enabled: true,
            held: None,
            last_seen: None,
            retired_by: None,
        }
    }

    /// The enrolment of host `n`, signed by `signer`.
    fn enrolment(site: &str, n: u8, signer: u8) -> Vec<u8> {
        let header = Header {
            site: site.parse().unwrap(),
            agent_id: key(n).public().agent_id(),
            key: key(n).public(),
            host_class: "production".parse().unwrap(),
            seq: 1,
            prev: None,
            at: Timestamp(1_795_172_836),
            boot_id: "b".into(),
            agent_version: semver::Version::new(0, 1, 0),
            log_seen: None,
        };
        let body = Enrolment {
            header,
            hostname: "web1".into(),
            token: Digest::of(b"t"),
            csr: "csr".into(),
            recipient: None,
            came_from: None,
        };
        Statement::sign(body, &key(signer)).to_bytes()
    }

    /// A database that maps a name to another machine, or to another class, does not move a change there.
    #[test]
    fn a_host_is_taken_only_with_its_own_key_enrolment_and_class() {
        let site = SITE.parse().unwrap();
        let own = verified(&site, &line(1), &enrolment(SITE, 1, 1)).unwrap();
        assert_eq!(own.body.header.key, key(1).public());
        let mut other_id = line(1);
        other_id.agent = key(2).public().agent_id();
        let mut moved = line(1);
        moved.host_class = "lab".parse().unwrap();
        for (host, bytes) in [
            (other_id, enrolment(SITE, 1, 1)),
            (moved, enrolment(SITE, 1, 1)),
            (line(1), enrolment(SITE, 2, 2)),
            (line(1), enrolment(SITE, 1, 2)),
            (line(1), enrolment("ffffffffffffffff", 1, 1)),
            (line(1), b"{}".to_vec()),
        ] {
            assert_eq!(verified(&site, &host, &bytes).unwrap_err().exit_code(), 1);
        }
    }

    #[test]
    fn names_must_be_unambiguous_and_labels_all_fit() {
        let known = [line(1), line(2)];
        assert!(find(&known, "web1").unwrap_err().message.contains("2 hosts are named web1"));
        assert_eq!(find(&known, "CI-2").unwrap().agent, known[1].agent);
        assert_eq!(find(&known, &known[0].agent.to_string()).unwrap().ci, "CI-1");
        assert!(find(&known, "web9").is_err());
        let labels = |text: &str| pairs(&text.split(' ').map(str::to_owned).collect::<Vec<_>>()).unwrap();
        assert!(has_labels(&known[0], &labels("role=web")));
        assert!(!has_labels(&known[0], &labels("role=web stage=test")));
        assert!(pairs(&["novalue".to_owned()]).is_err());
    }
}
