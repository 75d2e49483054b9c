//! How hosts follow each other: named presets, and edges between hosts. What comes of it are plain waves, which the author
//! signs; nobody works them out again later.

use super::{Gate, Wave};
use crate::ids::AgentId;
use crate::strict;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// A way of rolling out, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Everybody at once.
    Once,
    /// One host, then the others.
    Canary,
    /// One host, a tenth, half, and the rest.
    Careful,
    /// These shares of all hosts, each counted from the beginning; the last one is 100.
    Percent(Vec<u8>),
}

/// The presets as they are written, for help and errors.
pub const PRESETS: &str = "once (all at once), canary (one host, then the others), careful (one host, 10 %, 50 %, the rest), \
     percent:1,10,50,100 (these shares, counted from the beginning)";

/// Why a text names no preset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no way of rolling out: {why}; there are {PRESETS}")]
pub struct NotAPreset {
    text: String,
    why: &'static str,
}

impl FromStr for Preset {
    type Err = NotAPreset;
    fn from_str(text: &str) -> Result<Self, NotAPreset> {
        let bad = |why| NotAPreset { text: strict::shorten(text), why };
        match text.split_once(':') {
            None if text == "once" => Ok(Self::Once),
            None if text == "canary" => Ok(Self::Canary),
            None if text == "careful" => Ok(Self::Careful),
            Some(("percent", shares)) => {
                let shares: Vec<u8> = shares
                    .split(',')
                    .map(|share| share.trim().parse().map_err(|_| bad("a share is a number from 1 to 100")))
                    .collect::<Result<_, _>>()?;
                let ascends = shares.windows(2).all(|two| two[0] < two[1]);
                let fits = shares.first().is_some_and(|first| *first > 0) && ascends;
                match shares.last() {
                    Some(100) if fits => Ok(Self::Percent(shares)),
                    Some(100) => Err(bad("the shares go from 1 to 100, each larger than the one before")),
                    Some(_) | None => Err(bad("the last share is 100")),
                }
            }
            None | Some(_) => Err(bad("nothing is called like that")),
        }
    }
}

impl Preset {
    /// How many of `all` hosts have begun with each wave, ascending; the last is all of them.
    fn begun(&self, all: usize) -> Vec<usize> {
        let share = |percent: u8| all.saturating_mul(percent.into()).div_ceil(100);
        let mut begun = match self {
            Self::Once => vec![all],
            Self::Canary => vec![1, all],
            Self::Careful => vec![1, share(10), share(50), all],
            Self::Percent(shares) => shares.iter().map(|percent| share(*percent)).collect(),
        };
        begun.retain(|count| (1..=all).contains(count));
        begun.dedup();
        begun
    }
}

/// What lets the next wave begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Seconds for which earlier waves are watched.
    pub soak_s: u32,
    /// Hosts of earlier waves that may have failed.
    pub max_fail: u32,
}

impl Pace {
    fn gate(self, earlier: usize) -> Gate {
        let earlier = u32::try_from(earlier).unwrap_or(u32::MAX);
        let max_fail = self.max_fail.min(earlier.saturating_sub(1));
        Gate { min_success: earlier.saturating_sub(max_fail).max(1), max_fail, soak_s: self.soak_s }
    }
}

/// Of two hosts the first one is done before the second one begins.
pub type Edges = BTreeSet<(AgentId, AgentId)>;

/// Edges that go in a circle, so that no order keeps to them; the hosts of one circle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circle(pub Vec<AgentId>);

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|agent| agent.to_string()).collect();
        f.write_str(&names.join(" before "))
    }
}

/// The waves of these hosts: as the preset says, in the order of `hosts`, and each host in a later wave than all that come
/// before it by an edge. A single wave is none.
///
/// # Errors
/// The edges go in a circle.
pub fn waves(hosts: &[AgentId], preset: &Preset, pace: Pace, edges: &Edges) -> Result<Vec<Wave>, Circle> {
    let before = Before::of(hosts, edges);
    let ordered = before.ordered(hosts)?;
    let begun = preset.begun(ordered.len());
    let mut place: BTreeMap<AgentId, usize> = BTreeMap::new();
    for (number, host) in ordered.iter().enumerate() {
        let by_preset = begun.iter().position(|count| number < *count).unwrap_or_default();
        let by_edges = before.of_host(*host).filter_map(|first| place.get(&first)).max();
        let by_edges = by_edges.map_or(0, |wave| wave.saturating_add(1));
        place.insert(*host, by_preset.max(by_edges));
    }
    let mut groups: BTreeMap<usize, Vec<AgentId>> = BTreeMap::new();
    for host in &ordered {
        groups.entry(place.get(host).copied().unwrap_or_default()).or_default().push(*host);
    }
    let mut earlier = 0;
    let mut waves = Vec::new();
    for agents in groups.into_values() {
        let gate = (earlier > 0).then(|| pace.gate(earlier));
        earlier += agents.len();
        waves.push(Wave { agents, gate });
    }
    Ok(if waves.len() > 1 { waves } else { Vec::new() })
}

/// Edges between hosts that are looked at, by the later one.
struct Before(BTreeMap<AgentId, Vec<AgentId>>);

impl Before {
    fn of(hosts: &[AgentId], edges: &Edges) -> Self {
        let all: BTreeSet<AgentId> = hosts.iter().copied().collect();
        let mut before: BTreeMap<AgentId, Vec<AgentId>> = BTreeMap::new();
        for (first, then) in edges.iter().filter(|(first, then)| all.contains(first) && all.contains(then)) {
            before.entry(*then).or_default().push(*first);
        }
        Self(before)
    }

    fn of_host(&self, host: AgentId) -> impl Iterator<Item = AgentId> + '_ {
        self.0.get(&host).into_iter().flatten().copied()
    }

    /// Each host behind all that come before it; else in the order in which they are given.
    fn ordered(&self, hosts: &[AgentId]) -> Result<Vec<AgentId>, Circle> {
        let mut depth: BTreeMap<AgentId, usize> = BTreeMap::new();
        let mut waiting: Vec<AgentId> = hosts.to_vec();
        for layer in 0.. {
            let is_ready = |host: &AgentId| self.of_host(*host).all(|first| depth.contains_key(&first));
            let (ready, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_ready);
            if ready.is_empty() {
                return if rest.is_empty() { Ok(sorted(hosts, &depth)) } else { Err(self.circle(&rest)) };
            }
            depth.extend(ready.into_iter().map(|host| (host, layer)));
            waiting = rest;
        }
        Ok(sorted(hosts, &depth))
    }

    /// Each of `rest` has somebody of them before it: going back from any one leads into a circle.
    fn circle(&self, rest: &[AgentId]) -> Circle {
        let mut way: Vec<AgentId> = Vec::new();
        let mut at = rest.first().copied();
        while let Some(host) = at {
            if let Some(begins) = way.iter().position(|seen| *seen == host) {
                let mut circle: Vec<AgentId> = way.into_iter().skip(begins).collect();
                circle.reverse();
                return Circle(circle);
            }
            way.push(host);
            at = self.of_host(host).find(|first| rest.contains(first));
        }
        Circle(way)
    }
}

fn sorted(hosts: &[AgentId], depth: &BTreeMap<AgentId, usize>) -> Vec<AgentId> {
    let mut sorted = hosts.to_vec();
    sorted.sort_by_key(|host| depth.get(host).copied().unwrap_or_default());
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { soak_s: 600, max_fail: 0 };

    fn host(n: u8) -> AgentId {
        AgentId::of_key(&[n; 32])
    }

    fn hosts(count: u8) -> Vec<AgentId> {
        (1..=count).map(host).collect()
    }

    fn sizes(waves: &[Wave]) -> Vec<usize> {
        waves.iter().map(|wave| wave.agents.len()).collect()
    }

    #[test]
    fn presets_are_read_and_give_shares_that_are_rounded_up() {
        for (text, count, expected) in [
            ("once", 10, &[][..]),
            ("canary", 10, &[1, 9]),
            ("canary", 1, &[]),
            ("careful", 100, &[1, 9, 40, 50]),
            ("careful", 3, &[1, 1, 1]),
            ("careful", 2, &[1, 1]),
            ("percent:1,10,50,100", 200, &[2, 18, 80, 100]),
            ("percent:1,10,50,100", 3, &[1, 1, 1]),
            ("percent: 50, 100", 5, &[3, 2]),
            ("percent:100", 5, &[]),
        ] {
            let waves = waves(&hosts(count), &text.parse().unwrap(), PACE, &Edges::new()).unwrap();
            assert_eq!(sizes(&waves), expected, "{text} of {count}");
        }
        for bad in [
            "",
            "slow",
            "canary:1",
            "percent",
            "percent:",
            "percent:0,100",
            "percent:10,50",
            "percent:50,10,100",
            "percent:101",
        ] {
            let error = bad.parse::<Preset>().unwrap_err().to_string();
            assert!(error.contains("careful (one host"), "{error}");
        }
    }

    #[test]
    fn each_gate_asks_for_all_earlier_hosts_but_those_that_may_fail() {
        let careful = "careful".parse().unwrap();
        let told = |max_fail| {
            let waves = waves(&hosts(100), &careful, Pace { soak_s: 60, max_fail }, &Edges::new()).unwrap();
            let gates = waves.iter().filter_map(|wave| wave.gate);
            gates.map(|gate| (gate.min_success, gate.max_fail, gate.soak_s)).collect::<Vec<_>>()
        };
        assert_eq!(told(0), [(1, 0, 60), (10, 0, 60), (50, 0, 60)]);
        assert_eq!(told(3), [(1, 0, 60), (7, 3, 60), (47, 3, 60)], "one canary is always asked for");
    }

    #[test]
    fn an_edge_puts_a_host_into_a_later_wave_whatever_the_preset_says() {
        let edges: Edges = [(host(3), host(1)), (host(4), host(3)), (host(5), host(1))].into();
        for text in ["once", "canary", "careful", "percent:20,40,60,80,100"] {
            let waves = waves(&hosts(6), &text.parse().unwrap(), PACE, &edges).unwrap();
            let wave_of = |n| waves.iter().position(|wave| wave.agents.contains(&host(n))).unwrap();
            for (first, then) in [(3, 1), (4, 3), (5, 1)] {
                assert!(wave_of(first) < wave_of(then), "{text}: {first} before {then}: {waves:?}");
            }
            assert_eq!(sizes(&waves).iter().sum::<usize>(), 6, "{text}: everybody once");
            assert!(
                waves.iter().skip(1).all(|wave| wave.gate.is_some()) && waves[0].gate.is_none(),
                "{text}"
            );
        }
        let once = waves(&hosts(6), &Preset::Once, PACE, &edges).unwrap();
        assert_eq!(sizes(&once), [4, 1, 1], "no more waves than needed");
        // Hosts that are no targets order nothing.
        let elsewhere = [(host(9), host(1)), (host(1), host(9))].into();
        assert_eq!(waves(&hosts(6), &Preset::Once, PACE, &elsewhere).unwrap(), []);
    }

    #[test]
    fn edges_in_a_circle_are_named() {
        let edges: Edges =
            [(host(1), host(2)), (host(2), host(3)), (host(3), host(2)), (host(3), host(4))].into();
        let Circle(named) = waves(&hosts(4), &Preset::Once, PACE, &edges).unwrap_err();
        assert_eq!(named.iter().copied().collect::<BTreeSet<_>>(), [host(2), host(3)].into());
    }

    #[test]
    fn thousands_of_hosts_are_ordered_in_a_moment() {
        let many: Vec<AgentId> = (0..5_000_u32)
            .map(|n| {
                let mut key = [0; 32];
                key[..4].copy_from_slice(&n.to_be_bytes());
                AgentId::of_key(&key)
            })
            .collect();
        let edges: Edges = many.chunks(2).map(|two| (two[1], two[0])).collect();
        let begun = std::time::Instant::now();
        let made = waves(&many, &Preset::Careful, PACE, &edges).unwrap();
        assert_eq!(sizes(&made).iter().sum::<usize>(), 5_000);
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}
