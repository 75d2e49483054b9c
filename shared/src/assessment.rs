//! How much may go wrong with a change as a whole: the first rule that fits says it, by facts that the site itself has.
//!
//! For people to look at, never for admission: hosts judge the risk of their own plan. Pure.

use crate::limits;
use crate::risk::{ActionClass, Risk};
use crate::wire::Criticality;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What is known of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RiskFacts {
    pub targets: u32,
    /// Kinds of effects: of the hosts' plans, or what its author allows while there are none.
    pub classes: BTreeSet<ActionClass>,
    /// The highest one declared of its hosts and of all that depends on them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criticality: Option<Criticality>,
    /// CMDB entries that an outage of its hosts would reach.
    pub affected: u32,
    pub reboot: bool,
    /// Hosts undo by themselves when a step or a check fails, and no step that they have planned is for good.
    pub undone_by_itself: bool,
    /// Changes with one of its manifests that failed or were rolled back within half a year.
    pub past_failures: u32,
    /// A calendar that warns covers one of its windows, such as one of business hours.
    pub warned: bool,
    /// One of its windows lies outside of those of calendars in which hosts are meant to be changed.
    #[serde(default)]
    pub outside_window: bool,
}

/// One rule: all its conditions hold, or it says nothing. What it does not name does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskRule {
    pub name: String,
    pub risk: Risk,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_targets: Option<u32>,
    /// At least one of these.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub classes: BTreeSet<ActionClass>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_criticality: Option<Criticality>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_affected: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_by_itself: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_past_failures: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warned: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside_window: Option<bool>,
}

/// What the rules make of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RiskTold {
    pub risk: Risk,
    /// The rule that fits; absent when none does, and the risk is low.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The facts by which it fits.
    pub reasons: Vec<String>,
}

impl RiskRule {
    fn named(name: &str, risk: Risk) -> Self {
        Self {
            name: name.into(),
            risk,
            min_targets: None,
            classes: BTreeSet::new(),
            min_criticality: None,
            min_affected: None,
            reboot: None,
            undone_by_itself: None,
            min_past_failures: None,
            warned: None,
            outside_window: None,
        }
    }

    /// The facts by which it fits; `None` when it does not.
    fn fits(&self, facts: &RiskFacts) -> Option<Vec<String>> {
        let mut reasons = Vec::new();
        let mut need = |holds: bool, reason: String| {
            reasons.push(reason);
            holds
        };
        let classes: Vec<&str> =
            self.classes.intersection(&facts.classes).map(|class| class.as_str()).collect();
        let at_least = |asked: Option<u32>, there: u32| asked.map(|least| (there >= least, there));
        let mut all = true;
        if let Some((holds, count)) = at_least(self.min_targets, facts.targets) {
            all &= need(holds, format!("hosts: {count}"));
        }
        if !self.classes.is_empty() {
            all &= need(!classes.is_empty(), format!("effects: {}", classes.join(", ")));
        }
        if let Some(least) = self.min_criticality {
            let there = facts.criticality.map_or("none declared", Criticality::as_str);
            all &=
                need(facts.criticality.is_some_and(|there| there >= least), format!("criticality: {there}"));
        }
        if let Some((holds, count)) = at_least(self.min_affected, facts.affected) {
            all &= need(holds, format!("an outage would reach: {count}"));
        }
        if let Some(asked) = self.reboot {
            all &= need(facts.reboot == asked, format!("reboot: {}", yes(facts.reboot)));
        }
        if let Some(asked) = self.undone_by_itself {
            all &= need(
                facts.undone_by_itself == asked,
                format!("undone by itself: {}", yes(facts.undone_by_itself)),
            );
        }
        if let Some((holds, count)) = at_least(self.min_past_failures, facts.past_failures) {
            all &= need(holds, format!("failed before: {count}"));
        }
        if let Some(asked) = self.warned {
            all &= need(facts.warned == asked, format!("a calendar warns: {}", yes(facts.warned)));
        }
        if let Some(asked) = self.outside_window {
            let told = yes(facts.outside_window);
            all &= need(facts.outside_window == asked, format!("outside of maintenance windows: {told}"));
        }
        all.then_some(reasons)
    }

    /// What is wrong with it.
    pub fn problem(&self) -> Option<String> {
        let unnamed = self.name.trim().is_empty()
            || self.name.len() > limits::REFERENCE_BYTES
            || self.name.chars().any(char::is_control);
        unnamed
            .then(|| format!("risk rule {:?} needs a name of one line", crate::strict::shorten(&self.name)))
    }
}

fn yes(holds: bool) -> &'static str {
    if holds { "yes" } else { "no" }
}

/// The rules of a site that has none of its own.
pub fn defaults() -> Vec<RiskRule> {
    use ActionClass::{Command, External, SensitiveFile, Trust};
    let rule = RiskRule::named;
    vec![
        RiskRule { classes: [Trust].into(), ..rule("what the agent trusts", Risk::Critical) },
        RiskRule {
            min_criticality: Some(Criticality::Critical),
            undone_by_itself: Some(false),
            ..rule("critical, and taken back by hand", Risk::Critical)
        },
        RiskRule { min_past_failures: Some(1), ..rule("failed before", Risk::High) },
        RiskRule { min_criticality: Some(Criticality::Critical), ..rule("critical", Risk::High) },
        RiskRule {
            min_criticality: Some(Criticality::High),
            reboot: Some(true),
            ..rule("important, with a reboot", Risk::High)
        },
        RiskRule {
            classes: [Command, External, SensitiveFile].into(),
            undone_by_itself: Some(false),
            ..rule("programs or sensitive files, taken back by hand", Risk::High)
        },
        RiskRule {
            classes: [Command, External, SensitiveFile].into(),
            ..rule("programs or sensitive files", Risk::Medium)
        },
        RiskRule { min_criticality: Some(Criticality::High), ..rule("important", Risk::Medium) },
        RiskRule { min_targets: Some(50), ..rule("many hosts", Risk::Medium) },
        RiskRule { min_affected: Some(20), ..rule("much depends on it", Risk::Medium) },
        RiskRule { warned: Some(true), ..rule("in a time that a calendar warns of", Risk::Medium) },
        RiskRule { outside_window: Some(true), ..rule("outside of maintenance windows", Risk::Medium) },
        RiskRule { undone_by_itself: Some(false), ..rule("taken back by hand", Risk::Medium) },
        RiskRule { reboot: Some(true), ..rule("with a reboot", Risk::Medium) },
    ]
}

/// What the first rule that fits says; low when none does.
pub fn assess(rules: &[RiskRule], facts: &RiskFacts) -> RiskTold {
    let first = rules.iter().find_map(|rule| rule.fits(facts).map(|reasons| (rule, reasons)));
    match first {
        Some((rule, reasons)) => RiskTold { risk: rule.risk, rule: Some(rule.name.clone()), reasons },
        None => RiskTold { risk: Risk::Low, rule: None, reasons: Vec::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_says_it_with_its_reasons() {
        let good = RiskFacts {
            targets: 3,
            classes: [ActionClass::File].into(),
            undone_by_itself: true,
            ..RiskFacts::default()
        };
        let told = |bend: fn(&mut RiskFacts)| {
            let mut facts = good.clone();
            bend(&mut facts);
            let told = assess(&defaults(), &facts);
            (told.risk, told.rule.unwrap_or_default(), told.reasons.join("; "))
        };
        let text = |text: &str| text.to_owned();
        assert_eq!(told(|_| {}), (Risk::Low, String::new(), String::new()));
        for (bend, risk, rule, reasons) in [
            (
                (|f| f.classes = [ActionClass::Trust, ActionClass::File].into()) as fn(&mut RiskFacts),
                Risk::Critical,
                "what the agent trusts",
                "effects: trust",
            ),
            (
                |f| (f.criticality, f.undone_by_itself) = (Some(Criticality::Critical), false),
                Risk::Critical,
                "critical, and taken back by hand",
                "criticality: critical; undone by itself: no",
            ),
            (|f| f.past_failures = 2, Risk::High, "failed before", "failed before: 2"),
            (
                |f| (f.criticality, f.reboot) = (Some(Criticality::High), true),
                Risk::High,
                "important, with a reboot",
                "criticality: high; reboot: yes",
            ),
            (|f| f.targets = 50, Risk::Medium, "many hosts", "hosts: 50"),
            (
                |f| f.warned = true,
                Risk::Medium,
                "in a time that a calendar warns of",
                "a calendar warns: yes",
            ),
            (
                |f| f.outside_window = true,
                Risk::Medium,
                "outside of maintenance windows",
                "outside of maintenance windows: yes",
            ),
            (|f| f.affected = 20, Risk::Medium, "much depends on it", "an outage would reach: 20"),
        ] {
            assert_eq!(told(bend), (risk, text(rule), text(reasons)));
        }
        assert_eq!(told(|f| f.targets = 49).0, Risk::Low);
        assert_eq!(told(|f| f.criticality = Some(Criticality::Medium)).0, Risk::Low);
        // Of two that fit, the first counts.
        assert_eq!(told(|f| (f.past_failures, f.targets) = (1, 500)).1, "failed before");
        let own = [RiskRule { min_targets: Some(1), ..RiskRule::named("all", Risk::Critical) }];
        assert_eq!(assess(&own, &good).risk, Risk::Critical);
        assert_eq!(assess(&[], &good).risk, Risk::Low);
    }

    #[test]
    fn a_rule_without_a_name_or_with_an_unknown_word_is_refused() {
        assert!(RiskRule::named("", Risk::Low).problem().is_some());
        assert!(RiskRule::named("a\nb", Risk::Low).problem().is_some());
        assert!(RiskRule::named("a", Risk::Low).problem().is_none());
        let read = |text: &str| serde_json::from_str::<RiskRule>(text).is_ok();
        assert!(read(r#"{"name":"a","risk":"high","min_criticality":"high"}"#));
        assert!(!read(r#"{"name":"a","risk":"high","min_importance":"high"}"#));
        assert!(!read(r#"{"name":"a","risk":"enormous"}"#));
    }
}
