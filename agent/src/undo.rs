//! Taking a run back: the steps in reverse order, each to what was found before it, from the journal alone.
//!
//! States are put back as often as needed. A command that undoes is never run twice.

use crate::disk::Disk;
use crate::host::{Fault, Host, UnitVerb};
use crate::journal::{Journal, Log, Record, Step, StepLog};
use crate::resource::{Found, account, agent, command, directory, file, package, parts, service};
use shared::digest::Digest;
use shared::plan::{Action, Verb};
use shared::receipt::StepStatus;
use std::collections::BTreeMap;

/// Steps whose undoing becomes durable together.
const GROUP: usize = 64;

/// What is there now, in the terms of the action's resource and of what was found before.
pub fn look(action: &Action, before: &Found, host: &impl Host) -> Result<Found, Fault> {
    let id = action.resource.as_str();
    match before {
        Found::Parts(found) => return parts::look(found, host).map(Found::Parts),
        Found::Account(found) => return account::look(found, host).map(Found::Account),
        Found::Agent(found) => return agent::look(found, host).map(Found::Agent),
        Found::Check(path) => return Ok(Found::Check(path.clone())),
        Found::Secret(seal, _) => {
            let path = id.strip_prefix("file:").unwrap_or_default();
            return file::inspect(path, host).map(|found| Found::Secret(seal.clone(), found));
        }
        _ => {}
    }
    match id.split_once(':') {
        Some(("file", path)) => file::inspect(path, host).map(Found::File),
        Some(("directory", path)) => directory::inspect(path, host).map(Found::Directory),
        Some(("package", name)) => Ok(Found::Package(package::inspect(name, &package::inventory(host)?))),
        Some(("service", _)) => {
            let unit = service::unit_of(&action.resource);
            let unit = unit.ok_or_else(|| Fault::Refused(format!("{id} names no unit")))?;
            service::inspect(&unit, host).map(Found::Service)
        }
        _ => Err(Fault::Refused(format!("{id} has no state that can be looked at"))),
    }
}

/// The digest of a found state, as the action counts it.
pub fn state(action: &Action, found: &Found, host: &impl Host) -> Result<Digest, Fault> {
    Ok(match found {
        Found::File(found) => file::digest(found, &host.accounts()?),
        Found::Secret(seal, found) => file::digest_under(Some(seal), found, &host.accounts()?),
        Found::Directory(found) => directory::digest(found, &host.accounts()?),
        Found::Package(found) => {
            let name = action.resource.as_str().strip_prefix("package:").unwrap_or_default();
            match action.verb {
                Verb::Hold | Verb::Unhold => package::hold_digest(name, found.held()),
                _ => package::digest(name, found),
            }
        }
        Found::Service(found) => service::digest(found, action.verb),
        Found::Parts(found) => parts::digest(found, &host.accounts()?),
        Found::Account(found) => account::digest(found),
        Found::Agent(found) => agent::digest(found),
        Found::Command(_) | Found::Check(_) | Found::Hook(_) | Found::Outdated(_) | Found::Reboot(_) => {
            action.after
        }
    })
}

/// Whether the host is, for this action, as it was found before.
pub fn is_as_before(action: &Action, before: &Found, host: &impl Host) -> Result<bool, Fault> {
    if matches!(before, Found::Command(_) | Found::Hook(_)) || action.verb == Verb::Restart {
        return Ok(false);
    }
    let now = look(action, before, host)?;
    if let (Found::Service(before), Found::Service(now)) = (before, &now) {
        return Ok(service::is_as_before(before, now, action.verb));
    }
    Ok(state(action, &now, host)? == state(action, before, host)?)
}

/// Undoes every step that was begun and not yet undone. What cannot be undone is recorded with the reason.
///
/// # Errors
/// Only the journal's.
pub fn unwind<H: Host, D: Disk>(host: &mut H, journal: &mut Journal<D>) -> Result<(), Fault> {
    let Some(run) = journal.log().cloned() else { return Ok(()) };
    let mut next = run.steps.len();
    // Not yet durable ends of states: putting a state back again is harmless, a sync for each is not.
    let mut ends = Vec::new();
    while next > 0 {
        let n = next - 1;
        next = n;
        // A repaired package stays repaired.
        let verb = run.start.actions[n].verb;
        if !is_open(&run.steps[n]) || matches!(verb, Verb::Restart | Verb::Reboot | Verb::Repair) {
            continue;
        }
        if is_package(&run, n) {
            journal.write(std::mem::take(&mut ends))?;
            let first = (0..=n).rev().take_while(|i| is_package(&run, *i)).last().unwrap_or(n);
            packages(&run, first..n + 1, host, journal)?;
            next = first;
        } else {
            one(&run, n, host, journal, &mut ends)?;
        }
        // A state between two edits of one file is not to be put back once what is before it is back.
        if ends.len() >= GROUP || continues(&run, n) {
            journal.write(std::mem::take(&mut ends))?;
        }
    }
    journal.write(ends)?;
    restarts(&run, host, journal)
}

/// Whether an earlier step of the run was about the same file.
fn continues(run: &Log, n: usize) -> bool {
    let Some(Found::Parts(all)) = &run.steps[n].before else { return false };
    let is_earlier = |other: &parts::Found| all.iter().any(|part| part.place() == other.place());
    run.steps[..n].iter().any(|step| match &step.before {
        Some(Found::Parts(others)) => others.iter().any(is_earlier),
        _ => false,
    })
}

/// Begun, perhaps with an effect, and not undone.
fn is_open(step: &StepLog) -> bool {
    let begun =
        matches!(step.after, Some((StepStatus::Done | StepStatus::Failed | StepStatus::Unknown, ..)) | None);
    step.before.is_some() && begun && step.undone.is_none()
}

fn is_package(run: &Log, n: usize) -> bool {
    matches!(run.steps[n].before, Some(Found::Package(_))) && run.start.actions[n].verb != Verb::Repair
}

fn one<H: Host, D: Disk>(
    run: &Log,
    n: usize,
    host: &mut H,
    journal: &mut Journal<D>,
    ends: &mut Vec<Record>,
) -> Result<(), Fault> {
    let (action, step) = (&run.start.actions[n], &run.steps[n]);
    let Some(before) = &step.before else { return Ok(()) };
    if let Found::Command(found) | Found::Hook(found) = before {
        return command(n, found, step, host, journal);
    }
    if is_as_before(action, before, host).unwrap_or(false) {
        // An undoing that broke off may have left what it used.
        let left = if let Found::Parts(all) = before { parts::tidy(all, host).err() } else { None };
        // A failed step without a lasting effect keeps the status that tells what happened.
        if let Some(fault) = left {
            ends.push(Record::UndoAfter(Step(n), Some(fault.text())));
        } else if step.undoing || !matches!(step.after, Some((StepStatus::Failed, ..))) {
            ends.push(Record::UndoAfter(Step(n), None));
        }
        return Ok(());
    }
    let undone = put_back(action, before, host, journal).and_then(|()| verify(action, before, host));
    ends.push(Record::UndoAfter(Step(n), undone.err().map(|fault| fault.text())));
    Ok(())
}

/// Without an undo command nothing can be undone: the step keeps its status, and the outcome counts it as
/// remaining.
fn command<H: Host, D: Disk>(
    n: usize,
    found: &command::Found,
    step: &StepLog,
    host: &mut H,
    journal: &mut Journal<D>,
) -> Result<(), Fault> {
    if found.undo.is_none() {
        return Ok(());
    }
    if step.undoing {
        let why = "the agent was stopped while the undo command ran; it is not run twice".to_owned();
        return journal.write(vec![Record::UndoAfter(Step(n), Some(why))]);
    }
    journal.write(vec![Record::UndoBefore(Step(n))])?;
    let undone = command::undo(found, host);
    journal.write(vec![Record::UndoAfter(Step(n), undone.err().map(|fault| fault.text()))])
}

fn put_back<H: Host, D: Disk>(
    action: &Action,
    before: &Found,
    host: &mut H,
    journal: &Journal<D>,
) -> Result<(), Fault> {
    // For parts of a file: path and name, which begins with the path all the same.
    let what = action.resource.as_str().split_once(':').map_or("", |(_, what)| what);
    match before {
        Found::File(found) | Found::Secret(_, found) => file::undo(what, found, host, journal)?,
        Found::Directory(found) => directory::undo(what, found, host)?,
        Found::Service(found) => {
            service::undo(&service::unit_of(&action.resource).unwrap_or_default(), found, host)?
        }
        Found::Package(_) => return Err(Fault::Refused("packages are undone together".into())),
        Found::Parts(found) => parts::undo(found, host, journal)?,
        Found::Account(found) => account::undo(found, host, journal)?,
        Found::Agent(found) => agent::undo(found, host)?,
        // Nothing is left behind, so it is always as before.
        Found::Check(_) => {}
        Found::Command(_) | Found::Hook(_) => {
            return Err(Fault::Refused("commands are undone by themselves".into()));
        }
        Found::Outdated(_) | Found::Reboot(_) => {
            return Err(Fault::Refused("restarts are undone at the end".into()));
        }
    }
    if crate::apply::is_about_units(action, before) {
        host.reload_units()?;
    }
    Ok(())
}

fn verify(action: &Action, before: &Found, host: &impl Host) -> Result<(), Fault> {
    if matches!(before, Found::Command(_)) || is_as_before(action, before, host)? {
        return Ok(());
    }
    Err(Fault::Refused("it is still not as it was before".into()))
}

/// All packages of adjacent steps in one transaction.
fn packages<H: Host, D: Disk>(
    run: &Log,
    range: std::ops::Range<usize>,
    host: &mut H,
    journal: &mut Journal<D>,
) -> Result<(), Fault> {
    let name = |n: usize| run.start.actions[n].resource.as_str().strip_prefix("package:").unwrap_or_default();
    let open: Vec<usize> = range.filter(|n| is_open(&run.steps[*n])).collect();
    let (mut versions, mut holds) = (BTreeMap::new(), BTreeMap::new());
    for n in &open {
        let Some(Found::Package(found)) = &run.steps[*n].before else { continue };
        // The first step of a package saw it as it was before the run. A hold step changes no version.
        holds.entry(name(*n)).or_insert(found.held());
        if run.start.actions[*n].package.is_some() {
            versions.entry(name(*n)).or_insert(found);
        }
    }
    journal.write(open.iter().map(|n| Record::UndoBefore(Step(*n))).collect())?;
    let undone = package::undo(&versions, &holds, host);
    let mut records = Vec::new();
    for n in open {
        let Some(before) = &run.steps[n].before else { continue };
        let still = verify(&run.start.actions[n], before, host).err();
        let why = still.map(|fault| undone.as_ref().err().unwrap_or(&fault).text());
        records.push(Record::UndoAfter(Step(n), why));
    }
    journal.write(records)
}

/// Services that were restarted for the new state are restarted for the old one.
fn restarts<H: Host, D: Disk>(run: &Log, host: &mut H, journal: &mut Journal<D>) -> Result<(), Fault> {
    for (n, action) in run.start.actions.iter().enumerate() {
        let units = match &run.steps[n].before {
            Some(Found::Service(before)) => {
                vec![(service::unit_of(&action.resource).unwrap_or_default(), before)]
            }
            Some(Found::Outdated(found)) => {
                found.units.iter().map(|(unit, was)| (unit.clone(), was)).collect()
            }
            _ => continue,
        };
        if action.verb != Verb::Restart || !is_open(&run.steps[n]) {
            continue;
        }
        journal.write(vec![Record::UndoBefore(Step(n))])?;
        let mut undone = Ok(());
        for (unit, before) in &units {
            let again = match before.is_active() {
                true => host.set_unit(UnitVerb::Restart, unit),
                // Its package started it in this run, and is gone or has stopped it again.
                false => service::forget_failure(unit, before, host),
            };
            undone = undone.and(again);
        }
        journal.write(vec![Record::UndoAfter(Step(n), undone.err().map(|fault| fault.text()))])?;
    }
    Ok(())
}
