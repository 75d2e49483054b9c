//! Services that still use replaced files: which of them are restarted, and what is told of the others.

use super::{refuse, service, state};
use crate::host::{Fault, Host, Outdated};
use serde::{Deserialize, Serialize};
use shared::ids::ResourceId;
use shared::manifest::{Restart, RestartServices, UnitGlob};
use shared::plan::{Action, Reversibility, UndoContract, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;
use shared::strict::Map;
use std::collections::BTreeMap;

/// The resource of the step that restarts them.
pub const ID: &str = "services:outdated";

/// Restarting these ends logins, cuts connections, takes guests down or stops the agent in its course.
const NEVER: [&str; 34] = [
    "dbus",
    "dbus-broker",
    "systemd-logind",
    "user@*",
    "user-runtime-dir@*",
    "getty@*",
    "serial-getty@*",
    "console-getty",
    "container-getty@*",
    "autovt@*",
    "emergency",
    "rescue",
    "display-manager",
    "gdm*",
    "lightdm",
    "sddm",
    "xdm",
    "greetd",
    "slim",
    "networking",
    "NetworkManager",
    "systemd-networkd",
    "wpa_supplicant*",
    "ifup@*",
    "docker",
    "containerd",
    "libvirtd",
    "virtqemud",
    "lxc*",
    "systemd-machined",
    "systemd-nspawn@*",
    "apt-daily*",
    "unattended-upgrades",
    "assent-agent",
];

/// The units that a step restarts, as they were, and the rules that chose them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    pub rules: Vec<Restart>,
    pub units: Vec<(String, service::Found)>,
}

/// What becomes of everything that is outdated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sorted {
    /// Units to restart.
    pub restart: Vec<String>,
    /// The others, each with the reason.
    pub left: Vec<String>,
}

fn is_never(unit: &str) -> bool {
    NEVER.iter().any(|pattern| pattern.parse::<UnitGlob>().is_ok_and(|glob| glob.matches(unit)))
}

/// Some rule wants it, and none makes an exception of it.
fn selects(rules: &[&Restart], unit: &str) -> bool {
    let excepted = |rule: &&Restart| rule.except.iter().any(|glob| glob.matches(unit));
    rules.iter().any(|rule| rule.selects(unit)) && !rules.iter().any(excepted)
}

/// Sorts what is outdated by the rules of the change.
///
/// # Errors
/// systemd cannot be asked.
pub fn sort(rules: &[&Restart], all: &[Outdated], host: &impl Host) -> Result<Sorted, Fault> {
    let mut units: BTreeMap<&str, &Outdated> = BTreeMap::new();
    let mut sorted = Sorted::default();
    for found in all {
        match &found.unit {
            Some(unit) => drop(units.entry(unit).or_insert(found)),
            None => sorted.left.push(line(found, "belongs to no unit")),
        }
    }
    for (unit, found) in units {
        match keeps(rules, unit, host)? {
            None => sorted.restart.push(unit.to_owned()),
            Some(why) => sorted.left.push(line(found, why)),
        }
    }
    Ok(sorted)
}

/// Why a unit is not restarted; `None` if it is.
fn keeps(rules: &[&Restart], unit: &str, host: &impl Host) -> Result<Option<&'static str>, Fault> {
    if unit == "init.scope" {
        return Ok(Some("is the system manager itself"));
    }
    if !unit.ends_with(".service") {
        return Ok(Some("is a session or was started from outside"));
    }
    if is_never(unit) {
        return Ok(Some("is never restarted by the agent"));
    }
    if !selects(rules, unit) {
        return Ok(Some("is left out by the manifest"));
    }
    let found = host.unit(unit)?;
    // A job that is under way would be cut off and perhaps not begun again.
    Ok((found.active != "active").then_some("is a job that is under way"))
}

fn line(found: &Outdated, why: &str) -> String {
    let name = found.unit.as_ref().unwrap_or(&found.program);
    format!("{name} {why} and uses the old {}", found.file)
}

/// The step that restarts whatever will be outdated then, by rules that are approved.
///
/// # Errors
/// Never, but for an id that is none.
pub fn action(rules: &[&Restart]) -> Result<Action, Refused> {
    let mut texts: Vec<String> = rules.iter().map(|rule| text(rule)).collect();
    texts.sort_unstable();
    texts.dedup();
    let diff = format!("{}never: {}\n", texts.concat(), NEVER.join(" "));
    let except: Vec<&str> = rules.iter().flat_map(|rule| &rule.except).map(UnitGlob::as_str).collect();
    let except = if except.is_empty() { String::new() } else { format!(", except {}", except.join(", ")) };
    let which = match rules.iter().all(|rule| rule.services == RestartServices::Named) {
        true => "those named services",
        false => "services",
    };
    Ok(Action {
        resource: id()?,
        verb: Verb::Restart,
        class: ActionClass::Service,
        before: None,
        // The exceptions of the program itself are not bound: they only ever make it do less.
        after: state(&("outdated", &texts)),
        summary: format!(
            "restart {which} that use replaced files{except}; logins, networks and the like never are"
        ),
        diff: Some(diff),
        undo: Reversibility { undo: UndoContract::Yes, why: String::new() },
        package: None,
        programs: Map::default(),
        satisfies: Vec::new(),
        content: None,
    })
}

fn id() -> Result<ResourceId, Refused> {
    ID.parse().map_err(|_| refuse("the step that restarts services has no name"))
}

fn text(rule: &Restart) -> String {
    let words = |globs: &[UnitGlob]| globs.iter().map(UnitGlob::as_str).collect::<Vec<_>>().join(" ");
    let mut text = match rule.services {
        RestartServices::Auto => "restart: all that use replaced files\n".to_owned(),
        RestartServices::Named => format!("restart: {}\n", words(&rule.names)),
        RestartServices::Never => "restart: none\n".to_owned(),
    };
    if !rule.except.is_empty() {
        text.push_str(&format!("except: {}\n", words(&rule.except)));
    }
    text
}

/// Restarts a unit and checks that it is up again.
///
/// # Errors
/// systemd's, or it is not.
pub fn restart(unit: &str, host: &mut impl Host) -> Result<(), Fault> {
    service::apply(unit, Verb::Restart, host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Unit;
    use crate::host::fake::Fake;

    fn rule(text: &str) -> Restart {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_people_and_guests_live_on_is_never_restarted() {
        let host = Fake::default();
        let unit = |active: &str| Unit { loaded: true, active: active.into(), enabled: String::new() };
        let mut all = Vec::new();
        for (name, active) in [
            ("web.service", "active"),
            ("db@main.service", "active"),
            ("job.service", "activating"),
            ("dbus.service", "active"),
            ("getty@tty1.service", "active"),
            ("user@0.service", "active"),
            ("gdm3.service", "active"),
            ("assent-agent.service", "active"),
            ("session-1.scope", "active"),
            ("init.scope", "active"),
        ] {
            host.world.borrow_mut().units.insert(name.into(), unit(active));
            all.push(Outdated { unit: Some(name.into()), program: "x".into(), file: "/usr/lib/x.so".into() });
        }
        all.push(Outdated { unit: None, program: "alone".into(), file: "/usr/bin/alone".into() });
        for (rules, restarted) in [
            (vec!["{}"], "db@main.service web.service"),
            (vec![r#"{"except":["db@*"]}"#], "web.service"),
            (vec![r#"{"services":"named","names":["db@*","dbus"]}"#], "db@main.service"),
            (vec![r#"{"services":"never"}"#], ""),
            (vec!["{}", r#"{"except":["web"]}"#], "db@main.service"),
        ] {
            let read: Vec<Restart> = rules.iter().map(|text| rule(text)).collect();
            let sorted = sort(&read.iter().collect::<Vec<_>>(), &all, &host).unwrap();
            assert_eq!(sorted.restart.join(" "), restarted, "{rules:?}");
            assert_eq!(sorted.restart.len() + sorted.left.len(), all.len(), "{rules:?}: {:?}", sorted.left);
        }
    }

    #[test]
    fn other_rules_are_another_effect() {
        let action = |text: &str| action(&[&rule(text)]).unwrap();
        let all = action("{}");
        assert_ne!(all.effect(), action(r#"{"except":["db@*"]}"#).effect());
        assert_ne!(all.effect(), action(r#"{"services":"named","names":["web"]}"#).effect());
        let shown = action(r#"{"except":["db@*"]}"#);
        assert!(shown.summary.contains("except db@*"), "{}", shown.summary);
        assert!(
            shown
                .diff
                .unwrap()
                .starts_with("restart: all that use replaced files\nexcept: db@*\nnever: dbus ")
        );
    }
}
