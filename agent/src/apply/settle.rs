//! The end of a run, whether it ran through, failed or broke off: what became of each step, health checks,
//! and the outcome. Works from the journal alone.

use super::run::is_about_reboot;
use super::{effect, is_about_units};
use crate::disk::Disk;
use crate::health;
use crate::host::{Fault, Host};
use crate::journal::{Effect, Journal, Log, Outcome, Record, Step, StepLog};
use crate::resource::{Found, agent, hook, outdated, package, parts, reboot};
use crate::undo;
use shared::plan::{Action, Verb};
use shared::receipt::{HostOutcome, StepResult, StepStatus};
use shared::time::Timestamp;

/// A machine that stops slow services takes minutes to go down; later it does not go down at all.
const DOWN_SECS: i64 = 900;

fn log<D: Disk>(journal: &Journal<D>) -> Result<&Log, Fault> {
    journal.log().ok_or_else(|| Fault::Refused("the journal holds no run".into()))
}

/// Whether a reboot was asked for so short a while ago that the machine may still be on its way down.
pub fn goes_down(run: &Log, now: Timestamp, host: &impl Host) -> Result<bool, Fault> {
    let Some(step) = effect::reboots(run).map(|n| &run.steps[n]) else { return Ok(false) };
    let (Some(Found::Reboot(found)), None) = (&step.before, &step.after) else { return Ok(false) };
    Ok(found.boot_id == host.boot_id()? && (0..DOWN_SECS).contains(&now.since(found.at)))
}

/// Whether a program of the agent is on trial that only another process brings to its end.
pub fn is_on_trial(run: &Log, host: &impl Host) -> Result<bool, Fault> {
    let open = |step: &&StepLog| matches!(step.before, Some(Found::Agent(_))) && step.after.is_none();
    if run.steps.iter().any(|step| open(&step)) { agent::must_leave(host) } else { Ok(false) }
}

/// Judges the steps that may have been under way when the agent was stopped; answers why the run failed.
pub fn settle<H: Host, D: Disk>(host: &mut H, journal: &mut Journal<D>) -> Result<Option<String>, Fault> {
    let run = log(journal)?.clone();
    let open = |s: &StepLog| s.before.is_some() && s.after.is_none();
    if run.steps.iter().any(|s| open(s) && matches!(s.before, Some(Found::Package(_)))) {
        // An apt that outlived the agent must not be looked at half way.
        host.settle_packages()?;
    }
    let mut records = Vec::new();
    let mut unfinished = None;
    for (n, step) in run.steps.iter().enumerate() {
        let after = match &step.before {
            // It took the place and could not keep it: the step is judged anew.
            Some(Found::Agent(_)) if agent::is_worn_out(host)? => &None,
            _ => &step.after,
        };
        let status = match (&step.before, after) {
            (_, Some((status, ..))) => *status,
            (None, None) => StepStatus::NotStarted,
            (Some(before), None) => {
                sweep(&run.start.actions[n], before, host)?;
                let (status, note) = judge(&run.start.actions[n], before, host)?;
                records.push(Record::After(Step(n), status, 0, note));
                status
            }
        };
        if !matches!(status, StepStatus::Done | StepStatus::Unneeded) {
            unfinished.get_or_insert(n);
        }
    }
    let stands = unfinished.is_some_and(|n| is_about_reboot(&run.start.actions[n]));
    if stands {
        // Without the reboot everything before it still stands; it is only not in effect.
        unfinished = None;
        records.push(Record::Deferred("the machine was not rebooted".into()));
    }
    journal.write(records)?;
    let about_units =
        |(step, action): (&StepLog, &Action)| step.before.as_ref().is_some_and(|b| is_about_units(action, b));
    if unfinished.is_none() && run.steps.iter().zip(&run.start.actions).any(about_units) {
        // Nothing tells whether the run came to that.
        host.reload_units()?;
    }
    let stopped = |n: usize| {
        let resource = &run.start.actions[n].resource;
        match journal.log().and_then(|log| log.steps[n].after.as_ref()) {
            Some((StepStatus::Failed, _, why)) => format!("step {} ({resource}) failed: {why}", n + 1),
            Some((_, _, why)) if matches!(run.steps[n].before, Some(Found::Agent(_))) && !why.is_empty() => {
                format!("step {} unfinished ({resource}): {why}", n + 1)
            }
            _ => format!("step {} unfinished ({resource}): the agent was stopped in the run", n + 1),
        }
    };
    Ok(run.failure.or_else(|| unfinished.map(stopped)))
}

/// Removes what an unfinished step has left beside the files that it was about.
fn sweep(action: &Action, before: &Found, host: &mut impl Host) -> Result<(), Fault> {
    match before {
        Found::File(_) | Found::Secret(..) => {
            action.resource.as_str().strip_prefix("file:").map_or(Ok(()), |path| host.sweep(path))
        }
        Found::Check(path) => host.sweep(path),
        // The one that has passed its trial takes the place before anything is said about it.
        Found::Agent(_) => agent::take(host).and_then(|()| agent::sweep(host)),
        Found::Parts(all) => {
            let files = all.iter().filter_map(|part| match part {
                parts::Found::File { path, .. } => Some(path),
                _ => None,
            });
            files.map(String::as_str).try_for_each(|path| host.sweep(path))?;
            parts::tidy(all, host)
        }
        _ => Ok(()),
    }
}

/// Looks whether a step that may have begun is done, not done, or neither.
fn judge(action: &Action, before: &Found, host: &impl Host) -> Result<(StepStatus, String), Fault> {
    if let Found::Agent(_) = before {
        return agent::judge(action, host);
    }
    looked_at(action, before, host).map(|(status, note)| (status, note.to_owned()))
}

fn looked_at(action: &Action, before: &Found, host: &impl Host) -> Result<(StepStatus, &'static str), Fault> {
    match before {
        Found::Outdated(found) => return restarts(found, host),
        Found::Reboot(found) => return boot(found, host),
        _ => {}
    }
    if matches!(before, Found::Command(_) | Found::Hook(_)) || action.verb == Verb::Restart {
        return Ok((
            StepStatus::Unknown,
            "the agent was stopped while it ran; nothing tells whether it ended",
        ));
    }
    if matches!(before, Found::Check(_)) {
        return Ok((StepStatus::NotStarted, ""));
    }
    let old = undo::state(action, before, host)?;
    let now_found = undo::look(action, before, host)?;
    let now = undo::state(action, &now_found, host)?;
    let done = match (&action.package, &now_found) {
        (Some(pin), Found::Package(found)) => package::is_at(pin, found),
        _ => now == action.after,
    };
    let was = match (&action.package, before) {
        (Some(pin), Found::Package(found)) => package::is_at(pin, found),
        _ => old == action.after,
    };
    Ok(match (was, done, old == now) {
        (true, true, _) => (StepStatus::Unneeded, ""),
        (false, true, _) => (StepStatus::Done, "the agent was stopped right after it"),
        (_, false, true) => (StepStatus::NotStarted, ""),
        (_, false, false) => (StepStatus::Unknown, "the agent was stopped in the middle of it"),
    })
}

/// Restarts have no state of their own, but what is up to date now was restarted.
fn restarts(found: &outdated::Found, host: &impl Host) -> Result<(StepStatus, &'static str), Fault> {
    let all = host.outdated()?;
    let open = found.units.iter().any(|(unit, _)| all.iter().any(|o| o.unit.as_ref() == Some(unit)));
    Ok(match open {
        false => (StepStatus::Done, "the agent was stopped right after it"),
        true => (StepStatus::Done, "the agent was stopped in the middle of it; not all were restarted"),
    })
}

fn boot(found: &reboot::Found, host: &impl Host) -> Result<(StepStatus, &'static str), Fault> {
    Ok(match found.boot_id == host.boot_id()? {
        false => (StepStatus::Done, ""),
        true => (StepStatus::Failed, "the machine did not go down"),
    })
}

/// Runs the health checks; answers why the run failed. A run that is already failing is not checked.
pub fn check<H: Host, D: Disk>(host: &mut H, journal: &mut Journal<D>) -> Result<Option<String>, Fault> {
    let start = &log(journal)?.start;
    let results = health::run(start, host);
    let bad = results.iter().find(|r| !r.ok).map(|r| format!("health check {} failed: {}", r.name, r.output));
    if !results.is_empty() {
        journal.write(vec![Record::Health(results)])?;
    }
    Ok(bad)
}

/// Records the failure and takes everything back, if the change says so.
pub fn fail<H: Host, D: Disk>(why: String, host: &mut H, journal: &mut Journal<D>) -> Result<(), Fault> {
    if log(journal)?.failure.is_none() {
        journal.write(vec![Record::Failure(why)])?;
    }
    if log(journal)?.start.automatic_undo {
        undo::unwind(host, journal)?;
    }
    Ok(())
}

/// Tells the outcome and makes it durable.
pub fn end<H: Host, D: Disk>(
    now: Timestamp,
    host: &mut H,
    journal: &mut Journal<D>,
) -> Result<Outcome, Fault> {
    let run = log(journal)?.clone();
    let results: Vec<StepResult> =
        run.start.actions.iter().zip(&run.steps).map(|(a, s)| result(a, s)).collect();
    let mut remains = Vec::new();
    for (n, result) in results.iter().enumerate() {
        if run.failure.is_some() && leaves_something(&run, n, result, host)? {
            remains.push(result.resource.to_string());
        }
    }
    let did = |wanted| results.iter().any(|r| r.status == wanted);
    let end = if run.failure.is_none() { effect::end(&run, now, host) } else { None };
    let outcome = match &run.failure {
        None if end.as_ref().is_some_and(|end| end.waits) => HostOutcome::PendingReboot,
        None if did(StepStatus::Done) => HostOutcome::Applied,
        None => HostOutcome::Unchanged,
        // Without a step that was begun there was nothing to roll back.
        Some(_) if remains.is_empty() && (did(StepStatus::Undone) || run.health.iter().all(|h| h.ok)) => {
            HostOutcome::RolledBack
        }
        Some(_) => HostOutcome::Failed,
    };
    let mut note = run.failure.clone().or_else(|| run.deferred.clone()).unwrap_or_default();
    if outcome == HostOutcome::PendingReboot && note.is_empty() {
        note = end.as_ref().map(|end| end.patched.reboot.join("; ")).unwrap_or_default();
    }
    if !remains.is_empty() {
        let more = if remains.len() > 3 { format!(" and {} more", remains.len() - 3) } else { String::new() };
        remains.truncate(3);
        note = format!("{note}; not as before: {}{more}", remains.join(", "));
    }
    let quarantine = quarantined(&run, &results);
    let (patched, lasting) = end.map_or((None, None), |end| (Some(end.patched), end.lasting));
    let outcome = Outcome { results, health: run.health, outcome, note, patched, lasting, quarantine };
    journal.write(vec![Record::Finished(Box::new(outcome.clone()))])?;
    Ok(outcome)
}

/// What failed and is undone: the steps that failed or, when only a health check did, everything together. What the
/// window, an operator or a power cut has ended proves nothing about its contents.
fn quarantined(run: &Log, results: &[StepResult]) -> Vec<Effect> {
    if run.failure.is_none() || !run.start.automatic_undo {
        return Vec::new();
    }
    let failed = |step: &StepLog| matches!(step.after, Some((StepStatus::Failed, ..)));
    let is_content = |action: &Action| {
        !matches!(action.verb, Verb::Restart | Verb::Reboot | Verb::Repair)
            && hook::point_of(&action.resource).is_none()
    };
    let step_failed = run.steps.iter().any(failed);
    if !step_failed && run.health.iter().all(|check| check.ok) {
        return Vec::new();
    }
    let all = run.start.actions.iter().zip(&run.steps).zip(results);
    let counts = |step: &StepLog, result: &StepResult| match step_failed {
        true => failed(step) && result.status != StepStatus::UndoFailed,
        false => matches!(result.status, StepStatus::Undone | StepStatus::Done),
    };
    let chosen = all.filter(|((action, step), result)| is_content(action) && counts(step, result));
    chosen.map(|((action, _), _)| Effect::of(action)).collect()
}

fn result(action: &Action, step: &StepLog) -> StepResult {
    let (mut status, ms, mut note) = match (&step.before, &step.after) {
        (_, Some((status, ms, note))) => (*status, *ms, note.clone()),
        (None, None) => (StepStatus::NotStarted, 0, String::new()),
        (Some(_), None) => (StepStatus::Unknown, 0, String::new()),
    };
    match &step.undone {
        Some(None) => status = StepStatus::Undone,
        Some(Some(why)) => {
            status = StepStatus::UndoFailed;
            note = if note.is_empty() { why.clone() } else { format!("{note}; not undone: {why}") };
        }
        None => {}
    }
    StepResult {
        resource: action.resource.clone(),
        verb: action.verb,
        before: action.before,
        after: action.after,
        status,
        ms,
        note,
    }
}

/// Whether each part is as this step found it, or, where earlier steps have changed the same thing and are undone,
/// as the first of them found it.
fn as_before_or_at_first(run: &Log, before: &[parts::Found], host: &impl Host) -> Result<bool, Fault> {
    let accounts = host.accounts()?;
    let of_run = || {
        let found = run.steps.iter().filter_map(|step| step.before.as_ref());
        found.filter_map(|found| if let Found::Parts(all) = found { Some(all) } else { None }).flatten()
    };
    for (part, now) in before.iter().zip(parts::look(before, host)?) {
        let digest = |found: &parts::Found| parts::digest(std::slice::from_ref(found), &accounts);
        let first = of_run().find(|other| other.place() == part.place()).unwrap_or(part);
        if digest(&now) != digest(part) && digest(&now) != digest(first) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a step of a failed run has left the host other than it was.
fn leaves_something(run: &Log, n: usize, result: &StepResult, host: &impl Host) -> Result<bool, Fault> {
    if result.verb == Verb::Repair && result.status == StepStatus::Done {
        // Whole again is what everybody wants it to be.
        return Ok(false);
    }
    // Hooks and boots are no state, unless an undo was promised.
    let stateless = matches!(run.steps[n].before, Some(Found::Hook(_) | Found::Reboot(_)));
    if stateless && result.status != StepStatus::UndoFailed {
        return Ok(false);
    }
    Ok(match result.status {
        StepStatus::Unneeded | StepStatus::NotStarted | StepStatus::Undone => false,
        StepStatus::Done | StepStatus::UndoFailed | StepStatus::Unknown => true,
        StepStatus::Failed => match &run.steps[n].before {
            None => false,
            Some(Found::Parts(before)) => !as_before_or_at_first(run, before, host)?,
            Some(before) => !undo::is_as_before(&run.start.actions[n], before, host)?,
        },
    })
}
