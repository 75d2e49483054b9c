//! Values of parameters in a change: for all hosts, and by rule for some of them.
//!
//! A rule names a label or a host. It is resolved to hosts here, by what the server lists, and these hosts are what is
//! signed; approvers see the values of each host. Rules are laid over each other in the order given; the last one wins.

use super::hosts::has_label;
use crate::error::{Context as _, Done, Failure};
use crate::{files, text};
use shared::admit::Verified;
use shared::change::{ManifestUse, ParamRule};
use shared::ids::AgentId;
use shared::limits;
use shared::manifest::{Manifest, ParamName, ParamValue, ParameterType, resolve_params};
use shared::strict::Map;
use shared::wire::HostLine;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The manifests of a change with their values.
pub type Used = Vec<(ManifestUse, Verified<Manifest>)>;

/// Lays rules over the values: pairs of a label or host and `name.key=value`. Without any, those of the revision
/// before stay, if they still fit the targets.
pub fn set_rules(used: &mut Used, rules: &[String], hosts: &[HostLine]) -> Done {
    let targets: BTreeSet<AgentId> = hosts.iter().map(|host| host.agent).collect();
    if rules.is_empty() {
        let stale = used.iter().flat_map(|(named, _)| &named.rules).find(|rule| {
            !rule.agents.iter().all(|agent| targets.contains(agent))
                || resolved(&rule.chosen, hosts) != rule.agents
        });
        return match stale {
            None => Ok(()),
            Some(rule) => {
                let message =
                    format!("the hosts of the rule {} are other ones now", text::clean(&rule.chosen));
                Err(Failure::usage(message).remedy("give every --param-for again"))
            }
        };
    }
    used.iter_mut().for_each(|(named, _)| named.rules.clear());
    for pair in rules.chunks(2) {
        let [chosen, setting] = pair else {
            return Err(Failure::usage("--param-for needs a rule and a value")
                .remedy("write --param-for role=web web-base.port=8080"));
        };
        let agents = resolved(chosen, hosts);
        if agents.is_empty() {
            return Err(Failure::usage(format!("the rule {chosen} fits none of the targets"))
                .remedy("give KEY=VALUE of a label, a host name or an agent id; see `assent ci list`"));
        }
        let (named, key, value) = read(used, setting)?;
        match named.rules.last_mut().filter(|rule| rule.chosen == *chosen && !rule.params.contains_key(&key))
        {
            Some(rule) => {
                rule.params.insert(key, value);
            }
            None => {
                let params = [(key, value)].into_iter().collect();
                named.rules.push(ParamRule { chosen: chosen.clone(), agents, params });
            }
        }
    }
    Ok(())
}

/// The targets that a rule means, in order.
fn resolved(chosen: &str, hosts: &[HostLine]) -> Vec<AgentId> {
    let fits = |host: &&HostLine| match chosen.split_once('=') {
        Some((key, value)) => has_label(host, key, value),
        None => host.hostname == chosen || host.ci == chosen || host.agent.to_string() == chosen,
    };
    let mut agents: Vec<AgentId> = hosts.iter().filter(fits).map(|host| host.agent).collect();
    agents.sort_unstable();
    agents
}

/// Every host gets a value of the right type for every parameter.
pub fn check(used: &Used, hosts: &[HostLine]) -> Done {
    for (named, manifest) in used {
        let mut seen = Vec::new();
        // Without hosts that the server knows the values for all are checked alone.
        let everybody = [(String::new(), named.params.clone())];
        let each = hosts.iter().map(|host| (text::clean(&host.hostname), named.params_for(host.agent)));
        for (host, params) in everybody.into_iter().filter(|_| hosts.is_empty()).chain(each) {
            if seen.contains(&params) {
                continue;
            }
            let given: Map<String, ParamValue> =
                params.iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
            resolve_params(&manifest.get().parameters, &given).map_err(|problems| {
                let why: Vec<_> = problems.iter().map(ToString::to_string).collect();
                let whose = if host.is_empty() { String::new() } else { format!(" on {host}") };
                Failure::usage(format!("the parameters of {} do not fit{whose}", named.label()))
                    .why(why.join(" | "))
                    .remedy(format!("give --param {}.KEY=VALUE, or --param-for for some hosts", named.name))
            })?;
            seen.push(params);
        }
    }
    Ok(())
}

/// Rules with their hosts, and where they contradict each other.
pub fn told(named: &ManifestUse, names: &BTreeMap<AgentId, String>) -> String {
    let name = |agent: &AgentId| names.get(agent).cloned().unwrap_or_else(|| agent.to_string());
    let mut out = String::new();
    for rule in &named.rules {
        let hosts: Vec<_> = rule.agents.iter().map(name).collect();
        for (key, value) in rule.params.iter() {
            let line = format!("    {}: {key} = {value} ({})\n", text::clean(&rule.chosen), hosts.join(", "));
            out.push_str(&line);
        }
    }
    for over in named.overruled() {
        out.push_str(&format!(
            "    note: on {} the value of {} for {} is replaced by the one for {}\n",
            name(&over.agent),
            over.name,
            text::clean(&over.earlier),
            text::clean(&over.later)
        ));
    }
    out
}

/// `name.key=value`, read by the type that the manifest declares.
pub fn set(used: &mut Used, text: &str) -> Done {
    let (named, key, value) = read(used, text)?;
    named.params.insert(key, value);
    Ok(())
}

/// The manifest, the name and the value that a text means.
fn read<'u>(used: &'u mut Used, text: &str) -> Done<(&'u mut ManifestUse, ParamName, ParamValue)> {
    let shape = text.split_once('=').and_then(|(place, value)| Some((place.split_once('.')?, value)));
    let ((name, key), value) = shape.ok_or_else(|| {
        Failure::usage(format!("{text:?} is not a parameter"))
            .remedy("write NAME.KEY=VALUE, such as web-base.port=8080")
    })?;
    let entry = used.iter_mut().find(|(named, _)| named.name.as_str() == name);
    let (named, manifest) =
        entry.ok_or_else(|| Failure::usage(format!("the change has no manifest {name}")))?;
    let key: ParamName =
        key.parse().map_err(|e| Failure::usage(format!("{key:?} is not a parameter name")).why(e))?;
    let declared = manifest.get().parameters.get(&key).ok_or_else(|| {
        let known: Vec<_> = manifest.get().parameters.keys().map(ToString::to_string).collect();
        Failure::usage(format!("{} has no parameter {key}", named.label()))
            .remedy(format!("it has: {}", known.join(", ")))
    })?;
    let wrong = |wanted: &str| Failure::usage(format!("{text:?}: the value must be {wanted}"));
    let value = match declared.value_type {
        ParameterType::String => ParamValue::Text(value.to_owned()),
        ParameterType::Integer => ParamValue::Integer(value.parse().map_err(|_| wrong("a whole number"))?),
        ParameterType::Boolean => ParamValue::Boolean(value.parse().map_err(|_| wrong("true or false"))?),
        // Never the value itself: command lines are seen by others and kept by shells.
        ParameterType::Secret => {
            let text = files::read_text(Path::new(value), limits::SECRET_ARMOR_BYTES)?;
            let secret = text.parse().or_usage(format!("{value} does not hold a secret"));
            ParamValue::Secret(
                secret.map_err(|e| e.remedy("give the file with the output of assent secret encrypt"))?,
            )
        }
    };
    Ok((named, key, value))
}
