//! Units of systemd, through systemctl(1).

use super::Fault;
use super::process::{Exec, run};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// systemd's own default for start and stop is 90 s; a unit may set more.
const TIMEOUT: Duration = Duration::from_secs(600);
const LIST_BYTES: usize = 4 << 20;

/// SubState of a unit that ended by itself and waits for its next try. systemd counts it as `activating`, but it
/// is neither up nor stopped.
pub const FALLING: &str = "auto-restart";

/// Run and boot state of one unit in systemd's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// False when no unit file is there.
    pub loaded: bool,
    /// ActiveState, such as `active`, `inactive` or `failed`; [`FALLING`] between two tries of a unit that does
    /// not stay up.
    pub active: String,
    /// UnitFileState, such as `enabled`, `disabled`, `static` or `masked`; empty when it has none.
    pub enabled: String,
}

impl Unit {
    pub fn is_active(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "activating")
    }

    /// It does not stay up and waits for its next try.
    pub fn is_falling(&self) -> bool {
        self.active == FALLING
    }

    pub fn has_failed(&self) -> bool {
        self.active == "failed"
    }

    pub fn is_enabled(&self) -> bool {
        matches!(self.enabled.as_str(), "enabled" | "enabled-runtime" | "alias")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitVerb {
    Start,
    Stop,
    Restart,
    Enable,
    Disable,
    /// Forgets that it failed, so that it is as one that was never started.
    ResetFailed,
}

impl UnitVerb {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::ResetFailed => "reset-failed",
        }
    }
}

/// True when systemd is the running init of this machine (sd_booted(3)).
pub fn is_running() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn systemctl<const N: usize>(arguments: [&str; N]) -> Exec {
    Exec::new("systemctl", arguments).timeout(TIMEOUT).env("LC_ALL", "C").output_bytes(LIST_BYTES)
}

pub fn show(unit: &str) -> Result<Unit, Fault> {
    let text = properties(unit, "--property=LoadState,ActiveState,SubState,UnitFileState")?;
    Ok(parse(&text))
}

fn properties(unit: &str, which: &str) -> Result<String, Fault> {
    let ran = run(&systemctl(["show", "--no-pager", which, "--", unit]))?.success("systemctl show")?;
    Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
}

fn value(text: &str, name: &str) -> String {
    let find = |line: &str| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
    text.lines().find_map(find).unwrap_or_default()
}

pub(crate) fn parse(text: &str) -> Unit {
    let (load, sub) = (value(text, "LoadState"), value(text, "SubState"));
    let active = if sub == FALLING { sub } else { value(text, "ActiveState") };
    Unit { loaded: load == "loaded" || load == "masked", active, enabled: value(text, "UnitFileState") }
}

/// InvocationID: another one each time the unit is started; empty when it never was (systemd.exec(5)).
pub fn invocation(unit: &str) -> Result<String, Fault> {
    Ok(value(&properties(unit, "--property=InvocationID")?, "InvocationID"))
}

pub fn set(verb: UnitVerb, unit: &str) -> Result<(), Fault> {
    run(&systemctl(["--no-pager", "--no-ask-password", verb.as_str(), "--", unit]))?
        .success(&format!("systemctl {}", verb.as_str()))?;
    Ok(())
}

pub fn reload() -> Result<(), Fault> {
    run(&systemctl(["daemon-reload"]))?.success("systemctl daemon-reload")?;
    Ok(())
}

/// Enqueues the reboot; the answer comes at once.
pub fn reboot() -> Result<(), Fault> {
    run(&systemctl(["--no-ask-password", "--no-wall", "reboot"]))?.success("systemctl reboot")?;
    Ok(())
}

/// All service units with their states, by name.
pub fn list() -> Result<Vec<(String, Unit)>, Fault> {
    let files = ["list-unit-files", "--type=service", "--no-legend", "--no-pager", "--plain"];
    let units = ["list-units", "--type=service", "--all", "--no-legend", "--no-pager", "--plain"];
    let files = run(&systemctl(files))?.success("systemctl list-unit-files")?;
    let units = run(&systemctl(units))?.success("systemctl list-units")?;
    Ok(join(&String::from_utf8_lossy(&files.stdout), &String::from_utf8_lossy(&units.stdout)))
}

pub(crate) fn join(files: &str, units: &str) -> Vec<(String, Unit)> {
    let mut known = std::collections::BTreeMap::new();
    for line in files.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(enabled)) = (words.next(), words.next()) {
            let unit = Unit { loaded: true, active: "inactive".into(), enabled: enabled.to_owned() };
            known.insert(name.to_owned(), unit);
        }
    }
    for line in units.lines() {
        // UNIT LOAD ACTIVE SUB DESCRIPTION
        let words: Vec<&str> = line.split_whitespace().take(3).collect();
        let [name, load, active] = words[..] else { continue };
        if load == "not-found" {
            continue;
        }
        let empty = || Unit { loaded: true, active: String::new(), enabled: String::new() };
        known.entry(name.to_owned()).or_insert_with(empty).active = active.to_owned();
    }
    known.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_between_two_tries_is_neither_up_nor_stopped() {
        let text = |active: &str, sub: &str| {
            format!("LoadState=loaded\nActiveState={active}\nSubState={sub}\nUnitFileState=enabled\n")
        };
        let falling = parse(&text("activating", "auto-restart"));
        assert_eq!(
            (falling.active.as_str(), falling.is_active(), falling.is_enabled()),
            (FALLING, false, true)
        );
        assert!(parse(&text("activating", "start")).is_active());
        let gone = parse("LoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\n");
        assert_eq!((gone.loaded, gone.active.as_str(), gone.enabled.as_str()), (false, "inactive", ""));
    }

    #[test]
    fn unit_files_and_loaded_units_are_joined() {
        let files = "cron.service enabled enabled\ngetty@.service static -\n";
        let units = "cron.service loaded active running Regular jobs\nrun-x.service loaded failed failed X\nplymouth.service not-found inactive dead p\n";
        let text: Vec<String> =
            join(files, units).into_iter().map(|(n, u)| format!("{n} {} {}", u.active, u.enabled)).collect();
        assert_eq!(
            text,
            ["cron.service active enabled", "getty@.service inactive static", "run-x.service failed "]
        );
    }
}
