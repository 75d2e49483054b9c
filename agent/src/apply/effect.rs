//! Whether new software is in effect: nothing runs replaced files or an older kernel any more. Told at the end of a
//! run, and later, once, when what was pending is over.

use crate::health;
use crate::host::{Fault, Host};
use crate::journal::{Lasting, Log, Start};
use crate::resource::{Found, outdated, package, reboot};
use shared::health::HealthResult;
use shared::manifest::Restart;
use shared::plan::{Action, PackagePin, Verb};
use shared::receipt::{HostOutcome, Patched, StepStatus};
use shared::time::Timestamp;

/// How many units and reasons a receipt names.
const NAMED: usize = 64;

/// The end of the wait for a reboot or for the last old process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    pub patched: Patched,
    pub health: Vec<HealthResult>,
    pub outcome: HostOutcome,
    pub note: String,
}

/// What a run that went well says about its software, and what is to be looked at again.
pub(super) struct End {
    pub patched: Patched,
    pub lasting: Option<Lasting>,
    /// A part of the run only works after the next boot.
    pub waits: bool,
}

fn pins(start: &Start) -> Vec<PackagePin> {
    start.actions.iter().filter_map(|action| action.package.clone()).collect()
}

/// The status of a step with this verb and resource, when the plan has one.
fn status(run: &Log, resource: &str) -> Option<StepStatus> {
    let n = run.start.actions.iter().position(|action| action.resource.as_str() == resource)?;
    Some(run.steps[n].after.as_ref().map_or(StepStatus::NotStarted, |(status, ..)| *status))
}

/// The rules by which the run chose what to restart; none when it restarts nothing.
fn rules(run: &Log) -> &[Restart] {
    let rules = run.steps.iter().find_map(|step| match &step.before {
        Some(Found::Outdated(found)) => Some(found.rules.as_slice()),
        _ => None,
    });
    rules.unwrap_or_default()
}

/// What still runs with replaced files. A host that cannot be looked at is not in effect.
fn still_outdated(rules: &[Restart], host: &impl Host) -> Vec<String> {
    let rules: Vec<&Restart> = rules.iter().collect();
    let sorted = host.outdated().and_then(|all| outdated::sort(&rules, &all, host));
    let mut lines = match sorted {
        Ok(sorted) => {
            let again = sorted.restart.iter().map(|unit| format!("{unit} uses replaced files again"));
            again.chain(sorted.left).collect()
        }
        Err(fault) => vec![format!("the processes could not be looked at: {}", fault.text())],
    };
    shorten(&mut lines);
    lines
}

fn reasons(host: &impl Host) -> Vec<String> {
    let mut reasons = reboot::reasons(host).unwrap_or_else(|fault| {
        vec![format!("whether it is needed could not be found out: {}", fault.text())]
    });
    shorten(&mut reasons);
    reasons
}

fn shorten(lines: &mut Vec<String>) {
    if lines.len() > NAMED {
        let more = lines.len() - NAMED;
        lines.truncate(NAMED);
        lines.push(format!("and {more} more"));
    }
}

/// True when the packages are as they were brought.
fn is_installed(pins: &[PackagePin], host: &impl Host) -> Result<bool, Fault> {
    let inventory = package::inventory(host)?;
    Ok(pins.iter().all(|pin| package::is_at(pin, &package::inspect(&pin.name, &inventory))))
}

/// `None` for a run that is about no software and no reboot.
pub(super) fn end(run: &Log, now: Timestamp, host: &impl Host) -> Option<End> {
    let pins = pins(&run.start);
    let restart = status(run, outdated::ID);
    let step = status(run, reboot::ID);
    if pins.is_empty() && restart.is_none() && step.is_none() {
        return None;
    }
    let (outdated, reasons) = (still_outdated(rules(run), host), reasons(host));
    let waits = match step {
        // It was booted, or nothing needed it: what asks for a boot now is as if there had been no such step.
        Some(StepStatus::Done | StepStatus::Unneeded) => !reasons.is_empty(),
        Some(_) => true,
        None => reasons.iter().any(|why| !run.start.reboot_reasons.contains(why)),
    };
    let over = !waits && outdated.is_empty() && reasons.is_empty();
    let intact = is_installed(&pins, host).unwrap_or(false);
    let patched = Patched {
        installed: run.installed.unwrap_or(run.start.started),
        effective: over.then_some(now),
        verified: (over && intact).then_some(now),
        restarted: run.restarted.clone(),
        outdated,
        reboot: reasons,
    };
    let lasting = || {
        let packages = run.start.actions.iter().filter(|action| action.package.is_some());
        let actions = packages.map(|action| Action { diff: None, ..action.clone() }).collect();
        let start = Start { actions, ..run.start.clone() };
        Lasting { start, boot_id: host.boot_id().unwrap_or_default() }
    };
    let lasting = (!over).then(lasting);
    Some(End { patched, lasting, waits })
}

/// Looks whether what was pending is over; then checks once more whether everything is as it was brought.
///
/// # Errors
/// The host cannot be looked at; to be tried again.
pub fn follow(
    was: (&Patched, HostOutcome),
    lasting: &Lasting,
    now: Timestamp,
    host: &mut impl Host,
) -> Result<Option<Followed>, Fault> {
    let (before, outcome) = was;
    let same_boot = host.boot_id()? == lasting.boot_id;
    if outcome == HostOutcome::PendingReboot && same_boot {
        return Ok(None);
    }
    let outdated = host.outdated()?;
    if !reboot::reasons(host)?.is_empty() || !outdated.is_empty() {
        return Ok(None);
    }
    let health = health::run(&lasting.start, host);
    let intact = is_installed(&pins(&lasting.start), host)?;
    let bad = health.iter().find(|check| !check.ok);
    let note = match (bad, intact) {
        (Some(bad), _) => format!("health check {} failed: {}", bad.name, bad.output),
        (None, false) => "the packages are not at the approved versions any more".to_owned(),
        (None, true) => String::new(),
    };
    let good = note.is_empty();
    let patched = Patched {
        effective: Some(now),
        verified: good.then_some(now),
        outdated: Vec::new(),
        reboot: Vec::new(),
        ..before.clone()
    };
    let outcome = if good { HostOutcome::Applied } else { HostOutcome::Failed };
    Ok(Some(Followed { patched, health, outcome, note }))
}

/// Whether the run has a step that reboots.
pub(super) fn reboots(run: &Log) -> Option<usize> {
    run.start.actions.iter().position(|action| action.verb == Verb::Reboot)
}
