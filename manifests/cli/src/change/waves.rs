//! The waves of a change: by preset, by canaries, and in the order that the CMDB's relations ask for. They are worked out
//! here, shown, and signed as they are.

use super::args::NewArgs;
use crate::error::{Context as _, Done, Failure};
use crate::lang::Word;
use crate::session::Session;
use crate::{term, text, window};
use shared::change::rollout::{Circle, Edges, Pace, Preset, waves as in_waves};
use shared::change::{Change, Gate, Target, Wave};
use shared::ids::AgentId;
use shared::wire::{CiClass, CiRef, HostLine, Item, RelationKind};
use std::collections::{BTreeMap, BTreeSet};

/// Hosts that a line names.
const NAMED: usize = 12;

/// What the author asks for, else what the last revision had.
pub(super) fn waves(
    session: &Session,
    args: &NewArgs,
    old: Option<&Change>,
    hosts: &[HostLine],
    targets: &[Target],
) -> Done<Vec<Wave>> {
    let names = names(hosts);
    if !args.canary.is_empty() {
        return canaries(args, &names, targets);
    }
    if args.waves.is_none() && !args.order {
        let same = |o: &&Change| o.targets == targets;
        return Ok(old.filter(same).map(|o| o.waves.clone()).unwrap_or_default());
    }
    let edges = match args.order {
        true => edges(&session.api.declarations()?, hosts),
        false => Edges::new(),
    };
    let agents: Vec<AgentId> = targets.iter().map(|target| target.agent).collect();
    let pace = Pace { soak_s: soak(args)?, max_fail: args.max_fail };
    let preset = args.waves.as_ref().unwrap_or(&Preset::Once);
    let made = in_waves(&agents, preset, pace, &edges).map_err(|circle| no_order(&circle, &names))?;
    show(session, &made, &edges, &names);
    Ok(made)
}

fn names(hosts: &[HostLine]) -> BTreeMap<AgentId, String> {
    hosts.iter().map(|host| (host.agent, text::clean(&host.hostname))).collect()
}

fn soak(args: &NewArgs) -> Done<u32> {
    u32::try_from(window::duration(&args.soak)?).or_usage("--soak is too long")
}

/// Canaries first; the rest starts when all of them have succeeded and were watched.
fn canaries(args: &NewArgs, names: &BTreeMap<AgentId, String>, targets: &[Target]) -> Done<Vec<Wave>> {
    let mut first = Vec::new();
    for name in &args.canary {
        let fits = |t: &&Target| t.agent.to_string() == *name || names.get(&t.agent) == Some(name);
        let target = targets.iter().find(fits);
        let target =
            target.ok_or_else(|| Failure::usage(format!("the canary {name} is not among the targets")))?;
        first.push(target.agent);
    }
    let rest: Vec<_> = targets.iter().map(|t| t.agent).filter(|id| !first.contains(id)).collect();
    let soak_s = soak(args)?;
    let min_success = u32::try_from(first.len()).unwrap_or(u32::MAX);
    let mut waves = vec![Wave { agents: first, gate: None }];
    if !rest.is_empty() {
        waves.push(Wave { agents: rest, gate: Some(Gate { min_success, max_fail: 0, soak_s }) });
    }
    Ok(waves)
}

/// Whatever runs on or depends on something goes before it: guests before their hypervisor, a replica before its primary. What
/// is no target itself, such as a service, passes it on.
fn edges(declared: &[Item], hosts: &[HostLine]) -> Edges {
    let orders = |kind: RelationKind| matches!(kind, RelationKind::RunsOn | RelationKind::DependsOn);
    let mut leads: BTreeMap<&CiRef, Vec<&CiRef>> = BTreeMap::new();
    for item in declared {
        let relations = item.relations.iter().flatten().filter(|relation| orders(relation.kind));
        leads.entry(&item.item).or_default().extend(relations.map(|relation| &relation.to));
    }
    let targets_of = |item: &CiRef| -> Vec<AgentId> {
        let named = |host: &&HostLine| item.class == CiClass::Host && host.hostname == item.name;
        hosts.iter().filter(named).map(|host| host.agent).collect()
    };
    let mut edges = Edges::new();
    for begins in leads.keys() {
        let firsts = targets_of(begins);
        if firsts.is_empty() {
            continue;
        }
        let (mut seen, mut ahead) = (BTreeSet::from([*begins]), vec![*begins]);
        while let Some(item) = ahead.pop() {
            for next in leads.get(item).into_iter().flatten() {
                let then = targets_of(next);
                edges.extend(firsts.iter().flat_map(|first| then.iter().map(move |then| (*first, *then))));
                if then.is_empty() && seen.insert(next) {
                    ahead.push(next);
                }
            }
        }
    }
    // One that comes back to itself through something else orders nothing.
    edges.retain(|(first, then)| first != then);
    edges
}

fn no_order(Circle(agents): &Circle, names: &BTreeMap<AgentId, String>) -> Failure {
    let name = |agent: &AgentId| names.get(agent).cloned().unwrap_or_else(|| agent.to_string());
    let mut circle: Vec<String> = agents.iter().map(name).collect();
    circle.extend(agents.first().map(name));
    Failure::refused("the relations of these hosts go in a circle, so that none can be first")
        .why(format!("each before the next: {}", circle.join(", ")))
        .remedy("see `assent ci impact`, correct what is declared, or leave --order out")
}

/// Before anything is signed: who goes with whom, and after how many.
fn show(session: &Session, waves: &[Wave], edges: &Edges, names: &BTreeMap<AgentId, String>) {
    let lang = session.lang;
    if waves.is_empty() {
        return term::note(&format!("{}\n", lang.word(Word::AllAtOnce)));
    }
    let name = |agent: &AgentId| names.get(agent).cloned().unwrap_or_else(|| agent.to_string());
    let mut out = format!("{}\n", lang.word(Word::Waves));
    for (number, wave) in waves.iter().enumerate() {
        let some: Vec<_> = wave.agents.iter().take(NAMED).map(name).collect();
        let more = if wave.agents.len() > NAMED { ", ..." } else { "" };
        let gate = wave.gate.map(told).unwrap_or_default();
        out.push_str(&format!("  {}: {}{more}{gate}\n", number + 1, some.join(", ")));
    }
    for (first, then) in edges.iter().take(NAMED) {
        let both = format!("{}, {}", name(first), name(then));
        out.push_str(&format!("  {}\n", lang.fill(Word::OneBeforeOther, &both)));
    }
    term::note(&out);
}

/// What a gate asks for, as the page of a change shows it.
pub(super) fn told(gate: Gate) -> String {
    let Gate { min_success, max_fail, soak_s } = gate;
    format!("; >= {min_success} ok, <= {max_fail} failed, {soak_s} s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::digest::Digest;
    use shared::keys::SigningKey;
    use shared::wire::{Declared, Relation};

    fn host(name: &str) -> HostLine {
        HostLine {
            ci: format!("ci-{name}"),
            hostname: name.into(),
            agent: agent(name),
            agent_key: SigningKey::from_seed(&[1; 32]).public(),
            host_class: "production".parse().unwrap(),
            labels: [].into_iter().collect(),
            enabled: true,
            held: None,
            last_seen: None,
            retired_by: None,
        }
    }

    fn agent(name: &str) -> AgentId {
        AgentId::of_key(&Digest::of(name.as_bytes()).0)
    }

    fn item(from: &str, relations: &[(RelationKind, &str)]) -> Item {
        let to = |(kind, to): &(RelationKind, &str)| Relation { kind: *kind, to: to.parse().unwrap() };
        Item {
            item: from.parse().unwrap(),
            declared: Declared::default(),
            relations: Some(relations.iter().map(to).collect()),
        }
    }

    #[test]
    fn guests_come_before_their_hypervisor_and_replicas_before_their_primary_also_through_what_is_no_target()
    {
        use RelationKind::{DependsOn, PartOf, RunsOn};
        let hosts = ["guest", "hyper", "primary", "replica", "other"].map(host);
        let declared = [
            item("host:guest", &[(RunsOn, "host:hyper")]),
            item("host:replica", &[(DependsOn, "service:db")]),
            item("service:db", &[(RunsOn, "host:primary"), (DependsOn, "data:rows")]),
            item("data:rows", &[(DependsOn, "service:db")]),
            item("host:other", &[(PartOf, "host:primary"), (DependsOn, "host:elsewhere")]),
        ];
        let expected: Edges = [(agent("guest"), agent("hyper")), (agent("replica"), agent("primary"))].into();
        assert_eq!(edges(&declared, &hosts), expected);
        assert_eq!(edges(&declared, &hosts[..1]), Edges::new(), "hosts that are no targets order nothing");
    }

    #[test]
    fn a_circle_is_told_by_the_names_of_its_hosts() {
        let hosts = ["a", "b"].map(host);
        let declared = [
            item("host:a", &[(RelationKind::DependsOn, "host:b")]),
            item("host:b", &[(RelationKind::DependsOn, "host:a")]),
        ];
        let agents: Vec<_> = hosts.iter().map(|host| host.agent).collect();
        let pace = Pace { soak_s: 0, max_fail: 0 };
        let circle = in_waves(&agents, &Preset::Once, pace, &edges(&declared, &hosts)).unwrap_err();
        let told = format!("{}", no_order(&circle, &names(&hosts)));
        assert!(told.contains("circle"), "{told}");
    }
}
