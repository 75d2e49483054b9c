//! The program of the agent itself: put into the spare slot and tried; the one before is what undoing goes back to.
//!
//! The step stays open while the new program is tried: the old one, or the new one in its place, ends it (`settle`).

use super::{refuse, state};
use crate::host::{Fault, Host};
use crate::slots::{self, Place, Program, Slots, Stage, Trial};
use semver::Version;
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::ids::ResourceId;
use shared::manifest::AgentProgram;
use shared::plan::{Action, Reversibility, UndoContract, Verb};
use shared::receipt::StepStatus;
use shared::refusal::Refused;
use shared::release::{self, Predecessor, Release, Released, Vendor};
use shared::risk::ActionClass;
use shared::strict::Map;
use shared::time::Timestamp;
use std::io::Read;

/// The program that does the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    pub place: Place,
    pub version: Version,
    /// Of a program in a slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
}

/// Where it lies is no part of the state.
pub fn digest(found: &Found) -> Digest {
    described(&found.version, found.sha256)
}

fn described(version: &Version, sha256: Option<Digest>) -> Digest {
    state(&("agent", version, sha256))
}

/// The state that an approval of this release binds.
fn wanted(release: &Release) -> Digest {
    described(&release.version, Some(release.sha256))
}

/// # Errors
/// The machine's; another program is on trial.
pub fn inspect(host: &impl Host) -> Result<Found, Fault> {
    let slots = slots::read(host)?;
    if let Some(trial) = &slots.trial {
        let why = format!("the program in {} is on trial; that ends first", trial.place.as_str());
        return Err(Fault::Refused(why));
    }
    let own = host.own();
    let lies = slots.program(own.place).filter(|program| program.version == own.version);
    Ok(Found { place: own.place, version: own.version.clone(), sha256: lies.map(|program| program.sha256) })
}

/// Whether the host needs no other program for this release: it, or a packaged one of its version, runs.
fn is_there(found: &Found, release: &Release) -> bool {
    found.version == release.version
        && (found.place == Place::Packaged || found.sha256 == Some(release.sha256))
}

/// What a host that is to be as approved lacks; `None` when it runs the release or a newer one, or tries another one,
/// which its run tells of.
///
/// # Errors
/// The machine's.
pub fn differs(want: &AgentProgram, host: &impl Host) -> Result<Option<(Digest, String)>, Fault> {
    if slots::read(host)?.trial.is_some() {
        return Ok(None);
    }
    let (found, release) = (inspect(host)?, want.release.body());
    if is_there(&found, release) || found.version > release.version {
        return Ok(None);
    }
    let text =
        format!("the agent {} runs ({}); approved: {}", found.version, found.place.as_str(), release.version);
    Ok(Some((digest(&found), text)))
}

/// What the release is judged against: the program that runs.
fn predecessor(host: &impl Host) -> Predecessor {
    let own = host.own();
    Predecessor { version: own.version.clone(), target: own.target.clone() }
}

/// # Errors
/// `release.*`, or what stands in the way.
pub fn diff(
    id: &ResourceId,
    want: &AgentProgram,
    (vendor, downgrade): (Option<&Vendor>, bool),
    host: &impl Host,
) -> Result<Option<Action>, Refused> {
    let found = inspect(host).map_err(|fault| refuse(fault.text()))?;
    if is_there(&found, want.release.body()) {
        return Ok(None);
    }
    let released = admit(want, (vendor, downgrade), host)?;
    let Release { version, sha256, length, min_from, target, .. } = released.get();
    let (verb, how) = match *version > found.version {
        true => (Verb::Upgrade, "upgrade"),
        false => (Verb::Downgrade, "bring back an older version of"),
    };
    let keys = match vendor {
        Some(vendor) => format!(
            "{} of {} vendor keys ({} needed)",
            released.signers(),
            vendor.keys.len(),
            vendor.threshold
        ),
        None => String::new(),
    };
    Ok(Some(Action {
        resource: id.clone(),
        verb,
        class: ActionClass::Trust,
        before: Some(digest(&found)),
        after: wanted(released.get()),
        summary: format!(
            "{how} the agent {} -> {version}; the running one tries it first and stays if it does not report healthy in time",
            found.version
        ),
        diff: Some(format!(
            "-version {} ({})\n+version {version}\n+target {target}\n+may follow {min_from} or newer\n+program sha256 {sha256}, {length} bytes\n+signed by {keys}\n",
            found.version,
            found.place.as_str()
        )),
        content: None,
        undo: Reversibility { undo: UndoContract::Yes, why: String::new() },
        package: None,
        programs: Map::default(),
        satisfies: Vec::new(),
    }))
}

/// Judges the release by the program that runs now.
///
/// # Errors
/// `release.*`.
pub fn admit<'a>(
    want: &'a AgentProgram,
    (vendor, downgrade): (Option<&Vendor>, bool),
    host: &impl Host,
) -> Result<Released<'a>, Refused> {
    let released = release::admit(&want.release, vendor, &predecessor(host), downgrade)?;
    let (own, version) = (host.own(), &released.get().version);
    if *version < own.packaged {
        return Err(refuse(format!(
            "the packaged program {} is newer than {version} and would win over it; bring an older package instead",
            own.packaged
        )));
    }
    Ok(released)
}

/// Puts the program into the spare slot and notes that it is to be tried. Nothing runs it here.
///
/// # Errors
/// The machine's; other bytes than those of the release.
pub fn apply(
    released: &Released<'_>,
    action: &Action,
    until: Timestamp,
    bytes: &mut dyn Read,
    host: &mut impl Host,
) -> Result<(), Fault> {
    let Release { version, sha256, length, .. } = released.get();
    if wanted(released.get()) != action.after {
        return Err(Fault::Refused("the program is not the approved one; plan again".into()));
    }
    let mut slots = slots::read(host)?;
    let place = host.own().place.spare();
    let path = place.path().unwrap_or_default();
    slots::make_dir(host)?;
    host.put(&path, bytes, *sha256, slots::attrs(0o700, host))?;
    slots.set_program(place, Some(Program { version: version.clone(), sha256: *sha256, length: *length }));
    slots::check(&slots, place, host)?;
    slots.trial = Some(Trial { place, until, tries: 0, stage: Stage::Trying });
    slots::write(&slots, host)
}

/// Whether the step that found `before` has come so far that another process has to go on with it.
///
/// # Errors
/// The machine's.
pub fn must_leave(host: &impl Host) -> Result<bool, Fault> {
    let slots = slots::read(host)?;
    let trial = slots.trial.filter(|trial| trial.place != host.own().place);
    Ok(trial.is_some_and(|trial| matches!(trial.stage, Stage::Trying | Stage::Passed)))
}

/// The program that has passed its trial, and is this one, takes the place for good. From here on nothing but an undo
/// goes back to the one before.
///
/// # Errors
/// The machine's.
pub fn take(host: &mut impl Host) -> Result<(), Fault> {
    let mut slots = slots::read(host)?;
    let own = host.own().place;
    match &slots.trial {
        Some(Trial { place, stage: Stage::Passed, .. }) if *place == own => {}
        _ => return Ok(()),
    }
    (slots.current, slots.trial, slots.unproven) = (own, None, Some(0));
    slots::write(&slots, host)
}

/// Whether the program that took the place is not started any more, although the step said that it does the work.
///
/// # Errors
/// The machine's.
pub fn is_worn_out(host: &impl Host) -> Result<bool, Fault> {
    Ok(slots::read(host)?.worn_out().is_some())
}

/// How the step ended, as the slots tell it.
///
/// # Errors
/// The machine's.
pub fn judge(action: &Action, host: &impl Host) -> Result<(StepStatus, String), Fault> {
    let slots = slots::read(host)?;
    Ok(match &slots.trial {
        Some(Trial { stage: Stage::Failed(why), .. }) => (StepStatus::Failed, why.clone()),
        Some(Trial { stage: Stage::GivenUp(why), .. }) => (StepStatus::Unknown, why.clone()),
        Some(_) => (StepStatus::Unknown, "its trial was not brought to an end".to_owned()),
        None => match (slots.worn_out(), slots.program(slots.current)) {
            (Some(why), _) => (StepStatus::Failed, why),
            (None, Some(program)) if described(&program.version, Some(program.sha256)) == action.after => {
                (StepStatus::Done, "it reported healthy and does the work".to_owned())
            }
            _ => (StepStatus::NotStarted, String::new()),
        },
    })
}

/// What is set to do the work, or is on trial.
///
/// # Errors
/// The machine's.
pub fn look(before: &Found, host: &impl Host) -> Result<Found, Fault> {
    let slots = slots::read(host)?;
    let place = slots.trial.as_ref().map_or(slots.current, |trial| trial.place);
    if place == before.place && slots.trial.is_none() {
        return Ok(before.clone());
    }
    Ok(match slots.program(place) {
        Some(program) => Found { place, version: program.version.clone(), sha256: Some(program.sha256) },
        None => Found { place, ..before.clone() },
    })
}

/// The program from before does the work again; the other one is removed.
///
/// # Errors
/// The machine's.
pub fn undo(before: &Found, host: &mut impl Host) -> Result<(), Fault> {
    let mut slots: Slots = slots::read(host)?;
    let gone = slots.trial.take().map_or(slots.current, |trial| trial.place);
    (slots.current, slots.unproven) = (before.place, None);
    if gone != before.place {
        slots.set_program(gone, None);
    }
    slots::write(&slots, host)?;
    // The program that runs may be the one that goes: its file is replaced when the next one comes.
    match gone.path().filter(|_| gone != before.place && gone != host.own().place) {
        Some(path) => host.remove(&path),
        None => Ok(()),
    }
}

/// Removes what a step left that had not come to its trial.
///
/// # Errors
/// The machine's.
pub fn sweep(host: &mut impl Host) -> Result<(), Fault> {
    let slots = slots::read(host)?;
    for place in [Place::A, Place::B] {
        let Some(path) = place.path().filter(|_| slots.program(place).is_none()) else { continue };
        host.sweep(&path)?;
        if host.own().place != place && host.look(&path)? != crate::host::Entry::Absent {
            host.remove(&path)?;
        }
    }
    Ok(())
}
