//! What is wrong with a revision, judged from itself alone.

use super::{Change, ChangeType, Missed, PlanBinding, Reboot, Retirement};
use crate::ids::AgentId;
use crate::limits;
use crate::windows::WindowRule;
use std::collections::BTreeSet;

/// Collects every sentence that does not hold.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn need(&mut self, ok: bool, text: &str) {
        if !ok {
            self.0.push(text.to_owned());
        }
    }
}

impl Change {
    /// Everything about a revision that can be judged from itself alone; all problems at once.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Problems::default();
        self.words(&mut problems);
        match self.change_type {
            _ if self.is_retirement() => self.retirement(&mut problems),
            ChangeType::Standard | ChangeType::Normal | ChangeType::Emergency => self.planned(&mut problems),
            ChangeType::Retroactive => self.retroactive(&mut problems),
        }
        problems.0
    }

    /// What every change needs, whether or not it brings something.
    fn words(&self, problems: &mut Problems) {
        problems.need(self.revision >= 1, "revision starts at 1");
        problems.need(
            limits::is_text(&self.title) && !self.title.chars().any(char::is_control),
            "title must be one line of text",
        );
        problems.need(limits::is_text(&self.reason), "reason must not be empty");
        problems.need(
            limits::is_text(&self.undo.text),
            "an undo plan is mandatory: say how the change is taken back",
        );
        problems.need(
            (1..=limits::CHANGE_TARGETS).contains(&self.targets.len()),
            "1 to 2000 target hosts are needed",
        );
        problems.need(self.agents().len() == self.targets.len(), "a target host is named twice");
        problems
            .need(self.not_after <= self.latest_end(), "a change ends at most 90 days after it was created");
    }

    /// What a change needs that brings manifests to hosts.
    fn planned(&self, problems: &mut Problems) {
        let agents = self.agents();
        problems.need(
            (1..=limits::CHANGE_MANIFESTS).contains(&self.manifests.len()),
            "1 to 32 manifests are needed",
        );
        problems.need(
            (1..=limits::CHANGE_INTERVALS).contains(&self.intervals.len()),
            "1 to 64 intervals are needed",
        );
        problems.need(self.accepts.is_empty(), "only a retroactive change accepts findings");
        problems.need(
            self.model.is_none() || self.change_type == ChangeType::Standard,
            "only a standard change names a model",
        );
        let names: BTreeSet<_> = self.manifests.iter().map(|m| (&m.team, &m.name)).collect();
        problems.need(names.len() == self.manifests.len(), "a manifest is named twice");
        problems.need(
            self.manifests.iter().all(|m| m.rules_fit(&agents)),
            "a rule for values must name targets of the change, each once, and give them a value",
        );
        problems.need(self.intervals.iter().all(|i| !i.is_empty()), "an interval ends before it starts");
        problems.need(
            self.intervals.windows(2).all(|w| w[0].until <= w[1].from),
            "intervals must be ascending and must not overlap",
        );
        problems.need(
            self.intervals.iter().all(|i| i.until <= self.not_after),
            "an interval ends after not_after",
        );
        problems.need(
            self.window_rules.len() <= limits::WINDOW_RULES
                && self.window_rules.iter().all(WindowRule::length_fits),
            "a change has at most 16 rules for windows, each of a minute to a week",
        );
        problems.need(
            self.window_rules.iter().all(WindowRule::is_plain),
            "rules for the windows of a change have neither exceptions nor an end: its intervals say which there are",
        );
        problems.need(
            self.correct_until.is_none_or(|at| at > self.created && at <= self.latest_end()),
            "corrections end after the change was created and at most 90 days later",
        );
        problems.need(
            self.halt_above
                .is_none_or(|most| usize::try_from(most).is_ok_and(|most| most < self.targets.len())),
            "halt_above must be below the number of targets: more hosts than that can fail",
        );
        problems.need(self.waves_partition_targets(&agents), "waves must name each target exactly once");
        let gates: Vec<_> = self.waves.iter().map(|w| w.gate).collect();
        problems
            .need(gates.iter().flatten().all(|g| g.min_success >= 1), "a gate needs at least one success");
        problems.need(gates.iter().skip(1).all(Option::is_some), "every wave but the first needs a gate");
        problems.need(
            gates.first().is_none_or(Option::is_none),
            "the first wave has nobody before it to wait for",
        );
    }

    /// What a change needs that only accepts findings: them, and nothing that could ever be run.
    fn retroactive(&self, problems: &mut Problems) {
        let hosts: BTreeSet<AgentId> = self.accepts.iter().map(|a| a.agent).collect();
        problems.need(
            (1..=limits::ACCEPTED_FINDINGS).contains(&self.accepts.len()),
            "a retroactive change accepts 1 to 1000 findings",
        );
        problems.need(
            self.accepts.is_sorted_by(|a, b| a < b),
            "the findings that a retroactive change accepts must be sorted, each once",
        );
        problems.need(
            hosts == self.agents(),
            "the targets of a retroactive change are exactly the hosts whose findings it accepts",
        );
        self.record_only("a retroactive change", problems);
    }

    /// What a change needs that takes hosts out of the register: them, and nothing that could ever be run.
    fn retirement(&self, problems: &mut Problems) {
        let hosts: Vec<AgentId> =
            self.retires.iter().flat_map(Retirement::hosts).map(|host| host.agent).collect();
        let distinct: BTreeSet<AgentId> = hosts.iter().copied().collect();
        problems.need(
            self.change_type == ChangeType::Normal,
            "only a normal change retires hosts: `disable` shuts one out at once, and nothing is approved afterwards",
        );
        problems.need(
            self.retires.is_sorted_by(|a, b| a.host.agent < b.host.agent) && distinct.len() == hosts.len(),
            "the hosts that a change retires must be sorted, and each host is named once, as one that leaves or as a successor",
        );
        problems.need(
            distinct == self.agents(),
            "the targets of a change that retires hosts are exactly these hosts and their successors",
        );
        problems.need(self.accepts.is_empty(), "a change that retires hosts accepts no findings");
        self.record_only("a change that retires hosts", problems);
    }

    /// Nothing that a host could ever run.
    fn record_only(&self, what: &str, problems: &mut Problems) {
        let nothing = self.action_classes.is_empty()
            && self.reboot == Reboot::Never
            && !self.undo.automatic
            && !self.downgrade
            && !self.lift_quarantine;
        for (ok, why) in [
            (self.manifests.is_empty(), "brings no manifests"),
            (self.intervals.is_empty(), "has no intervals: nothing is run"),
            (self.window_rules.is_empty(), "has no windows: nothing is run"),
            (self.waves.is_empty(), "has no waves: nothing is run"),
            (self.correct_until.is_none(), "asks for no corrections"),
            (self.model.is_none(), "names no model"),
            (self.series.is_none(), "is of no series: nothing is run"),
            (self.halt_above.is_none(), "halts nowhere: nothing is run"),
            (
                nothing,
                "allows hosts nothing: no effects, reboots, automatic undo, downgrades, or lifted quarantine",
            ),
            (
                self.missed == Missed::Skip && self.plan_binding == PlanBinding::Exact,
                "says missed skip and binding exact",
            ),
        ] {
            problems.need(ok, &format!("{what} {why}"));
        }
    }

    fn agents(&self) -> BTreeSet<AgentId> {
        self.targets.iter().map(|t| t.agent).collect()
    }

    fn latest_end(&self) -> crate::time::Timestamp {
        self.created.plus(limits::CHANGE_DAYS * 86_400)
    }

    fn waves_partition_targets(&self, agents: &BTreeSet<AgentId>) -> bool {
        let named: Vec<AgentId> = self.waves.iter().flat_map(|w| w.agents.iter().copied()).collect();
        self.waves.is_empty()
            || (named.len() == agents.len() && named.iter().copied().collect::<BTreeSet<_>>() == *agents)
    }
}
