//! The change: what its author signs. A revision is immutable; editing makes a new one without approvals.

mod problems;
pub mod rollout;

use crate::digest::Digest;
use crate::ids::{AgentId, ChangeId, ManifestName, ModelName, PersonId, SeriesName, SiteId, Team};
use crate::limits;
pub use crate::manifest::Reboot;
use crate::manifest::{ParamName, ParamValue};
use crate::refusal::{Code, Refused};
use crate::risk::ActionClass;
use crate::statement::{Predicate, Subject};
use crate::strict::Map;
use crate::time::{Interval, Timestamp};
use crate::windows::WindowRule;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChangeType {
    Standard,
    Normal,
    Emergency,
    /// Says afterwards that what hosts found may stay. It brings nothing: hosts refuse it, whoever approved it.
    Retroactive,
}

/// How closely the plan at run time must match the approved one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanBinding {
    /// The same actions, none missing.
    Exact,
    /// Every action must be an approved one; fewer is fine.
    Within,
}

/// What a host does that was away during an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// Only the first interval counts.
    Skip,
    /// The next of the signed intervals is taken.
    Next,
    /// Any time from the first interval's start until `not_after`.
    UntilExpiry,
}

/// One manifest brought by a change, bound by the digest of its signed statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestUse {
    pub team: Team,
    pub name: ManifestName,
    pub version: semver::Version,
    pub sha256: Digest,
    /// Values for all hosts.
    #[serde(default)]
    pub params: Map<ParamName, ParamValue>,
    /// Values for some of them, in the order in which they are laid over `params`: a later rule wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<ParamRule>,
}

/// Values for some hosts. The author resolved labels to hosts before signing: what a label means then is nobody's later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParamRule {
    /// How the author chose the hosts, such as `role=web`; for people. What counts is `agents`.
    pub chosen: String,
    pub agents: Vec<AgentId>,
    pub params: Map<ParamName, ParamValue>,
}

/// Two rules that give a host different values for one parameter; the later one counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Overruled {
    pub agent: AgentId,
    pub name: ParamName,
    pub earlier: String,
    pub later: String,
}

impl ManifestUse {
    /// The values for one host, defaults of the manifest not included.
    pub fn params_for(&self, agent: AgentId) -> Map<ParamName, ParamValue> {
        let mut params = self.params.clone();
        for rule in self.rules.iter().filter(|rule| rule.agents.contains(&agent)) {
            params.extend(rule.params.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        params
    }

    /// Where rules contradict each other, so that people see it.
    pub fn overruled(&self) -> Vec<Overruled> {
        let mut last: BTreeMap<(AgentId, &ParamName), (&str, &ParamValue)> = BTreeMap::new();
        let mut found = Vec::new();
        for rule in &self.rules {
            for (agent, (name, value)) in
                rule.agents.iter().flat_map(|agent| rule.params.iter().map(move |param| (*agent, param)))
            {
                let before = last.insert((agent, name), (&rule.chosen, value));
                if let Some((earlier, _)) = before.filter(|(_, before)| *before != value) {
                    let (earlier, later) = (earlier.to_owned(), rule.chosen.clone());
                    found.push(Overruled { agent, name: name.clone(), earlier, later });
                }
            }
        }
        found
    }

    fn rules_fit(&self, targets: &BTreeSet<AgentId>) -> bool {
        let fits = |rule: &ParamRule| {
            let agents: BTreeSet<_> = rule.agents.iter().copied().collect();
            let shown = !rule.chosen.is_empty() && rule.chosen.len() <= limits::PARAM_RULE_BYTES;
            !agents.is_empty()
                && agents.len() == rule.agents.len()
                && agents.is_subset(targets)
                && !rule.params.is_empty()
                && shown
                && !rule.chosen.chars().any(char::is_control)
        };
        self.rules.len() <= limits::PARAM_RULES && self.rules.iter().all(fits)
    }

    /// `name@version`, as people write it.
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// A host that the change is for: its id and the full digest of its public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub agent: AgentId,
    pub key: Digest,
}

/// A finding that a retroactive change accepts: the words of one host, by the digest of its signed statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    pub agent: AgentId,
    pub finding: Digest,
}

/// A host as it joined: its id and the digest of its signed enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolled {
    pub agent: AgentId,
    pub enrolment: Digest,
}

/// A host that leaves the site for good: its key opens no door any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retirement {
    pub host: Enrolled,
    /// The same machine under a newer key (reinstalled, key replaced, a clone sorted out): it goes on under the entry of
    /// the host that leaves. None when the machine itself is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Enrolled>,
}

impl Retirement {
    /// The host that leaves, and the one that goes on in its place.
    pub fn hosts(&self) -> impl Iterator<Item = Enrolled> {
        std::iter::once(self.host).chain(self.successor)
    }
}

/// What must hold of the earlier waves before this one may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Gate {
    pub min_success: u32,
    pub max_fail: u32,
    /// Seconds that must have passed since the last counted receipt.
    pub soak_s: u32,
}

/// A part of the targets that goes together. Without waves all targets form one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    pub agents: Vec<AgentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
}

/// How the change is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoPlan {
    /// In the author's words; never empty.
    pub text: String,
    /// Whether the host undoes by itself when a step or a health check fails.
    pub automatic: bool,
}

/// One immutable revision of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub site: SiteId,
    pub change_id: ChangeId,
    /// From 1.
    pub revision: u32,
    pub change_type: ChangeType,
    /// Of a standard change: the model of the policy that allows it. Without one it needs approvals like any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
    pub title: String,
    pub reason: String,
    pub author: PersonId,
    pub created: Timestamp,
    pub manifests: Vec<ManifestUse>,
    pub targets: Vec<Target>,
    /// Concrete UTC intervals, ascending, not overlapping.
    pub intervals: Vec<Interval>,
    /// The rules that all the intervals came of, for people and to notice when a zone's clocks are changed by law; none
    /// when the author gave the intervals one by one. No host reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub window_rules: Vec<WindowRule>,
    /// Nothing starts at or after this moment, whatever else holds.
    pub not_after: Timestamp,
    pub missed: Missed,
    #[serde(default)]
    pub waves: Vec<Wave>,
    pub plan_binding: PlanBinding,
    /// The author's upper bound: a plan with any other class is refused.
    pub action_classes: BTreeSet<ActionClass>,
    pub downgrade: bool,
    pub reboot: Reboot,
    pub undo: UndoPlan,
    /// Hosts may do again what failed there and was undone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lift_quarantine: bool,
    /// Until then hosts may put back by themselves what this change has brought, as far as its manifests say
    /// `on_drift: correct` and the policy lets approvals stand for it. Never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correct_until: Option<Timestamp>,
    /// The server halts the change by itself as soon as more hosts than this have failed. It alone sees to that: what hosts
    /// see to themselves are the gates. Never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt_above: Option<u32>,
    /// It is one occurrence of something that comes again, such as a monthly patch day; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<SeriesName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<Digest>,
    /// Of a retroactive change: the findings that it accepts, sorted, and its targets are their hosts. Of any other: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepts: Vec<Accepted>,
    /// Of a change of the register: the hosts that leave the site, sorted, and its targets are they and their successors.
    /// Of any other: none. No host ever runs such a change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retires: Vec<Retirement>,
}

impl Predicate for Change {
    const TYPE: &'static str = "urn:assent:change:v1";

    fn subjects(&self) -> Vec<Subject> {
        let manifests = self
            .manifests
            .iter()
            .map(|m| Subject::new(format!("manifest:{}/{}", m.team, m.label()), m.sha256));
        let targets = self.targets.iter().map(|t| Subject::new(format!("agent:{}", t.agent), t.key));
        let findings = self.accepts.iter().map(|a| Subject::new(format!("finding:{}", a.agent), a.finding));
        let hosts = self.retires.iter().flat_map(Retirement::hosts);
        let enrolments = hosts.map(|host| Subject::new(format!("enrolment:{}", host.agent), host.enrolment));
        manifests.chain(targets).chain(findings).chain(enrolments).collect()
    }
}

/// What every author says, whatever the change is about.
#[derive(Clone, Debug)]
pub struct Words {
    pub site: SiteId,
    pub change_id: ChangeId,
    pub revision: u32,
    pub title: String,
    pub reason: String,
    pub author: PersonId,
    pub created: Timestamp,
    pub not_after: Timestamp,
    /// How it is taken back.
    pub undo: String,
    pub supersedes: Option<Digest>,
}

impl Words {
    /// Them alone, about nothing yet.
    pub fn alone(self) -> Change {
        let Self { site, change_id, revision, title, reason, author, created, not_after, undo, supersedes } =
            self;
        Change {
            site,
            change_id,
            revision,
            change_type: ChangeType::Normal,
            model: None,
            title,
            reason,
            author,
            created,
            manifests: Vec::new(),
            targets: Vec::new(),
            intervals: Vec::new(),
            window_rules: Vec::new(),
            not_after,
            missed: Missed::Skip,
            waves: Vec::new(),
            plan_binding: PlanBinding::Exact,
            action_classes: BTreeSet::new(),
            downgrade: false,
            reboot: Reboot::Never,
            undo: UndoPlan { text: undo, automatic: false },
            lift_quarantine: false,
            correct_until: None,
            halt_above: None,
            series: None,
            supersedes,
            accepts: Vec::new(),
            retires: Vec::new(),
        }
    }
}

impl Change {
    pub fn is_retroactive(&self) -> bool {
        self.change_type == ChangeType::Retroactive
    }

    /// It takes hosts out of the register.
    pub fn is_retirement(&self) -> bool {
        !self.retires.is_empty()
    }

    /// It brings nothing to hosts, and its review is the approval: it accepts findings, or takes hosts out of the register.
    pub fn is_record(&self) -> bool {
        self.is_retroactive() || self.is_retirement()
    }

    /// What hosts have signed that a record is about, by digest and in its order.
    pub fn grounds(&self) -> Vec<Digest> {
        let findings = self.accepts.iter().map(|accepted| accepted.finding);
        let hosts = self.retires.iter().flat_map(Retirement::hosts);
        findings.chain(hosts.map(|host| host.enrolment)).collect()
    }

    /// The same words about these findings of hosts: a retroactive change, without anything that a host would run.
    #[must_use]
    pub fn accepting(self, found: impl IntoIterator<Item = (Target, Digest)>) -> Self {
        let accepted =
            |(target, finding): (Target, Digest)| (target, Accepted { agent: target.agent, finding });
        let (targets, accepts): (BTreeSet<Target>, BTreeSet<Accepted>) =
            found.into_iter().map(accepted).unzip();
        let accepts = accepts.into_iter().collect();
        Self { change_type: ChangeType::Retroactive, accepts, ..self.record(targets) }
    }

    /// The same words about hosts that leave, each with its successor if it has one: a change of the register, without
    /// anything that a host would run. Each host is given with the digest of its enrolment.
    #[must_use]
    pub fn retiring(
        self,
        hosts: impl IntoIterator<Item = ((Target, Digest), Option<(Target, Digest)>)>,
    ) -> Self {
        let (mut targets, mut retires) = (BTreeSet::new(), BTreeSet::new());
        let mut named = |(target, enrolment): (Target, Digest)| {
            targets.insert(target);
            Enrolled { agent: target.agent, enrolment }
        };
        for (host, successor) in hosts {
            retires.insert(Retirement { host: named(host), successor: successor.map(&mut named) });
        }
        let retires = retires.into_iter().collect();
        Self { change_type: ChangeType::Normal, retires, ..self.record(targets) }
    }

    /// The same words without anything that a host would run.
    fn record(self, targets: BTreeSet<Target>) -> Self {
        let Self {
            site,
            change_id,
            revision,
            title,
            reason,
            author,
            created,
            not_after,
            undo,
            supersedes,
            ..
        } = self;
        let undo = undo.text;
        let words =
            Words { site, change_id, revision, title, reason, author, created, not_after, undo, supersedes };
        Self { targets: targets.into_iter().collect(), ..words.alone() }
    }

    /// The wave of a host, counted from 0; `None` when the host is not a target.
    pub fn wave_of(&self, agent: AgentId) -> Option<usize> {
        if self.waves.is_empty() {
            return self.targets.iter().any(|t| t.agent == agent).then_some(0);
        }
        self.waves.iter().position(|w| w.agents.contains(&agent))
    }

    /// What must hold before this wave may start.
    pub fn gate_of(&self, wave: usize) -> Option<Gate> {
        self.waves.get(wave)?.gate
    }

    /// The hosts of the waves before this one.
    pub fn before(&self, wave: usize) -> BTreeSet<AgentId> {
        self.waves.iter().take(wave).flat_map(|earlier| earlier.agents.iter().copied()).collect()
    }

    /// The interval in which a start at `now` would fall, or why there is none and when to look again.
    pub fn interval_at(&self, now: Timestamp) -> Result<Interval, Refused> {
        if now >= self.not_after {
            return Err(Refused::new(Code::TimeOver, format!("the change ended at {}", self.not_after)));
        }
        if let Some(interval) = self.usable().find(|i| i.contains(now)) {
            return Ok(interval);
        }
        match self.usable().find(|i| i.from > now) {
            Some(next) => Err(Refused::until(
                Code::TimeWindow,
                format!("outside its window; the next interval is {} to {}", next.from, next.until),
                next.from,
            )),
            None => Err(Refused::new(Code::TimeOver, "its last interval is over")),
        }
    }

    /// When nothing can come of the change any more: no start, and no correction.
    pub fn over(&self) -> Timestamp {
        self.correct_until.map_or(self.not_after, |until| until.max(self.not_after))
    }

    /// When hosts may put back what the change brought.
    pub fn correction_interval(&self) -> Option<Interval> {
        let from = self.intervals.first()?.from;
        self.correct_until.map(|until| Interval { from, until })
    }

    /// The intervals that count, after `missed` is taken into account.
    pub fn usable(&self) -> impl Iterator<Item = Interval> + '_ {
        let first = self.intervals.first().copied();
        let (take, stretched) = match self.missed {
            Missed::Skip => (1, None),
            Missed::Next => (usize::MAX, None),
            Missed::UntilExpiry => (0, first.map(|i| Interval { from: i.from, until: self.not_after })),
        };
        self.intervals.iter().copied().take(take).chain(stretched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(n: u8) -> AgentId {
        AgentId::of_key(&[n; 32])
    }

    fn rule(chosen: &str, agents: &[u8], port: i64) -> ParamRule {
        ParamRule {
            chosen: chosen.into(),
            agents: agents.iter().map(|n| agent(*n)).collect(),
            params: [("port".parse().unwrap(), ParamValue::Integer(port))].into_iter().collect(),
        }
    }

    fn used(rules: Vec<ParamRule>) -> ManifestUse {
        let text = |text: &str| ParamValue::Text(text.into());
        ManifestUse {
            team: "main".parse().unwrap(),
            name: "web".parse().unwrap(),
            version: semver::Version::new(1, 0, 0),
            sha256: Digest::of(b"m"),
            params: [("port".parse().unwrap(), ParamValue::Integer(1)), ("name".parse().unwrap(), text("x"))]
                .into_iter()
                .collect(),
            rules,
        }
    }

    #[test]
    fn the_last_rule_for_a_host_counts_and_contradictions_are_told() {
        let used = used(vec![
            rule("role=web", &[1, 2], 80),
            rule("stage=test", &[2, 3], 8080),
            rule("same", &[3], 8080),
        ]);
        let port = |n| used.params_for(agent(n)).get(&"port".parse().unwrap()).cloned();
        assert_eq!([1, 2, 3, 4].map(port), [80, 8080, 8080, 1].map(|n| Some(ParamValue::Integer(n))));
        assert_eq!(used.params_for(agent(2)).len(), 2, "other values stay");
        let told: Vec<_> = used.overruled().into_iter().map(|o| (o.agent, o.earlier, o.later)).collect();
        assert_eq!(told, [(agent(2), "role=web".into(), "stage=test".into())]);
    }

    #[test]
    fn rules_name_targets_once_and_give_a_value() {
        let targets: BTreeSet<AgentId> = [agent(1), agent(2)].into();
        let fits = |rule| used(vec![rule]).rules_fit(&targets);
        assert!(fits(rule("role=web", &[1, 2], 80)));
        let empty = ParamRule { params: Map::default(), ..rule("a", &[1], 1) };
        for bad in [
            rule("a", &[], 1),
            rule("a", &[1, 1], 1),
            rule("a", &[1, 3], 1),
            rule("", &[1], 1),
            rule("a\nb", &[1], 1),
            rule(&"a".repeat(limits::PARAM_RULE_BYTES + 1), &[1], 1),
            empty,
        ] {
            assert!(!fits(bad.clone()), "{bad:?}");
        }
    }
}
