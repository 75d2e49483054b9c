//! The places that a program of the agent can run from: the packaged one, and two slots below the state directory.
//!
//! Owns the file that says which one does the work and which one is on trial, and every choice that follows from it.
//! Its format stays as it is: programs of all versions read it. Never: starting a program (`launch`).

use crate::host::{Attrs, Entry, Fault, Host};
use semver::Version;
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::release::Target;
use shared::strict;
use shared::time::Timestamp;

/// Root's alone, like everything below the state directory.
pub const DIR: &str = "/var/lib/assent/slots";
const FILE: &str = "/var/lib/assent/slots/slots.json";
const FILE_BYTES: u64 = 64 << 10;
const FORMAT: u32 = 1;
/// Starts of a trial, of a program that has passed it, and of one that has taken the place, that end without a result.
pub const TRIES: u32 = 3;
/// Variable in which the packaged program tells its version to the programs in slots.
pub const PACKAGED: &str = "ASSENT_AGENT_PACKAGED";

/// Where a program of the agent lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Where the host's package manager, or a person, has put it.
    #[default]
    Packaged,
    A,
    B,
}

impl Place {
    /// The path of a slot.
    pub fn path(self) -> Option<String> {
        let name = match self {
            Self::Packaged => return None,
            Self::A => "a",
            Self::B => "b",
        };
        Some(format!("{DIR}/{name}"))
    }

    /// The slot that a new program goes to while this one runs.
    pub fn spare(self) -> Self {
        if self == Self::A { Self::B } else { Self::A }
    }

    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Packaged => "packaged",
            Self::A => "slot a",
            Self::B => "slot b",
        }
    }
}

/// The program that runs: this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    pub place: Place,
    pub version: Version,
    pub target: Target,
    /// Version of the packaged program, which may be this one.
    pub packaged: Version,
}

/// What lies in a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    pub version: Version,
    pub sha256: Digest,
    pub length: u64,
}

/// How far a trial is. Each stage says who goes on with it after a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The old program starts the new one beside itself and waits for its report. Resumer: the old program's next
    /// start.
    Trying,
    /// The new one has reported healthy and is to do the work. Resumer: the old program's next start, which gives its
    /// process to the new one; that takes the place for good when it goes on with the run.
    Passed,
    /// It is not healthy, and why. Resumer: the old program, which ends the run.
    Failed(String),
    /// The trial was given up without a result, and why. Resumer: the old program, which ends the run.
    GivenUp(String),
}

/// A program that a run has put into a slot and that does not have the work yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    pub place: Place,
    /// End of the run's interval: later only a trial that was never begun, begins.
    pub until: Timestamp,
    /// Starts in this stage, counted before each.
    pub tries: u32,
    pub stage: Stage,
}

/// `slots.json`, replaced in one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slots {
    pub format: u32,
    /// Which place does the work.
    pub current: Place,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub a: Option<Program>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<Program>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// Starts of a `current` that took the place and has not brought a tick to its end yet; absent when it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven: Option<u32>,
}

impl Default for Slots {
    fn default() -> Self {
        Self { format: FORMAT, current: Place::Packaged, a: None, b: None, trial: None, unproven: None }
    }
}

/// What a program that was started does first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It does the work.
    Work,
    /// It starts the program in this place beside itself and judges it; one more try is noted before.
    Try(Place),
    /// It gives its process to the program in this place; one more try is noted before.
    GiveWay(Place),
    /// The trial is over, and this is its end.
    End(Stage),
}

impl Slots {
    pub fn program(&self, place: Place) -> Option<&Program> {
        match place {
            Place::Packaged => None,
            Place::A => self.a.as_ref(),
            Place::B => self.b.as_ref(),
        }
    }

    pub fn set_program(&mut self, place: Place, program: Option<Program>) {
        match place {
            Place::Packaged => {}
            Place::A => self.a = program,
            Place::B => self.b = program,
        }
    }

    /// The slots whose program goes before the packaged one, best first. A packaged program that is as new or newer
    /// has come after them.
    pub fn before_packaged(&self, packaged: &Version) -> Vec<Place> {
        let (current, trial) = (self.current, self.trial.as_ref().map(|trial| trial.place));
        let newer = |place: &Place| self.program(*place).is_some_and(|p| p.version > *packaged);
        if !newer(&current) {
            return Vec::new();
        }
        let other = current.spare();
        let others = [other].into_iter().filter(|place| newer(place) && trial != Some(*place));
        let first = Some(current).filter(|_| self.worn_out().is_none());
        first.into_iter().chain(others).collect()
    }

    /// Why the program that took the place is not started any more, if so.
    pub fn worn_out(&self) -> Option<String> {
        self.unproven.filter(|starts| *starts >= TRIES)?;
        let version = &self.program(self.current)?.version;
        Some(format!(
            "{version} in {} took the place and was started {TRIES} times, and each time it ended within its first tick",
            self.current.as_str()
        ))
    }

    /// What the program that is to do the work does first, because of a trial.
    pub fn next(&self, own: &Own, now: Timestamp) -> Next {
        let Some(Trial { place, until, tries, stage }) = &self.trial else { return Next::Work };
        let Some(program) = self.program(*place) else {
            return Next::End(Stage::GivenUp(format!("nothing lies in {}", place.as_str())));
        };
        if *place == own.place {
            return Next::Work;
        }
        if own.place == Place::Packaged && own.version >= program.version {
            let why = format!("the packaged program {} has come in its place", own.version);
            return match stage {
                Stage::Failed(_) | Stage::GivenUp(_) => Next::Work,
                Stage::Trying | Stage::Passed => Next::End(Stage::GivenUp(why)),
            };
        }
        let version = &program.version;
        match stage {
            Stage::Failed(_) | Stage::GivenUp(_) => Next::Work,
            Stage::Trying if *tries >= TRIES => Next::End(Stage::Failed(format!(
                "{version} was started {tries} times, and each time everything ended before it had reported healthy"
            ))),
            Stage::Trying if *tries > 0 && now >= *until => Next::End(Stage::GivenUp(
                "the trial was broken off, and the window ended before the next one".into(),
            )),
            Stage::Trying => Next::Try(*place),
            Stage::Passed if *tries >= TRIES => Next::End(Stage::Failed(format!(
                "{version} reported healthy, and then {tries} times did not take over"
            ))),
            Stage::Passed => Next::GiveWay(*place),
        }
    }
}

/// The file; without one the packaged program does the work.
///
/// # Errors
/// Unreadable or damaged.
pub fn read(host: &impl Host) -> Result<Slots, Fault> {
    let Some(bytes) = host.read(FILE, FILE_BYTES)? else { return Ok(Slots::default()) };
    let slots: Result<Slots, _> = strict::from_json("it", &bytes, bytes.len());
    let damaged =
        |why: String| Fault::Refused(format!("{FILE} is damaged ({why}); remove it, then no slot is used"));
    let slots = slots.map_err(|e| damaged(e.to_string()))?;
    if slots.format != FORMAT {
        return Err(damaged(format!("it has the format {}", slots.format)));
    }
    Ok(slots)
}

/// Replaces the file in one step; durable when it returns.
///
/// # Errors
/// The machine's.
pub fn write(slots: &Slots, host: &mut impl Host) -> Result<(), Fault> {
    let bytes = strict::to_json(slots);
    make_dir(host)?;
    host.put(FILE, &mut bytes.as_slice(), Digest::of(&bytes), attrs(0o600, host))
}

pub fn make_dir(host: &mut impl Host) -> Result<(), Fault> {
    if host.look(DIR)? == Entry::Absent { host.make_dir(DIR, attrs(0o700, host)) } else { Ok(()) }
}

pub fn attrs(mode: u32, host: &impl Host) -> Attrs {
    let (uid, gid) = host.default_owner();
    Attrs { uid, gid, mode }
}

/// Looks whether a slot holds what the file says.
///
/// # Errors
/// A whole sentence: nothing there, or other bytes.
pub fn check(slots: &Slots, place: Place, host: &impl Host) -> Result<(), Fault> {
    let (Some(program), Some(path)) = (slots.program(place), place.path()) else {
        return Err(Fault::Refused(format!("nothing lies in {}", place.as_str())));
    };
    let found = host.scan(&path, 0)?;
    let is_program = matches!(found.entry, Entry::File { length, .. } if length == program.length);
    if is_program && found.digest == Some(program.sha256) {
        return Ok(());
    }
    Err(Fault::Refused(format!(
        "{path} is damaged: it is not the program {} with sha256 {}",
        program.version, program.sha256
    )))
}

/// Notes that the program in this place is started, if it has not shown yet that it can do the work.
pub fn count_start(slots: &mut Slots, place: Place, host: &mut impl Host) {
    let Some(starts) = slots.unproven.filter(|_| place == slots.current) else { return };
    slots.unproven = Some(starts + 1);
    // A disk that cannot be written keeps no program from its work.
    drop(write(slots, host));
}

/// Notes that the program that took the place has brought a tick to its end.
///
/// # Errors
/// The machine's.
pub fn prove(host: &mut impl Host) -> Result<(), Fault> {
    let mut slots = read(host)?;
    if slots.current != host.own().place || slots.unproven.take().is_none() {
        return Ok(());
    }
    write(&slots, host)
}

/// Notes the end of a trial, or one more try of it.
///
/// # Errors
/// The machine's.
pub fn set_trial(slots: &mut Slots, tries: u32, stage: Stage, host: &mut impl Host) -> Result<(), Fault> {
    if let Some(trial) = &mut slots.trial {
        (trial.tries, trial.stage) = (tries, stage);
    }
    write(slots, host)
}

#[cfg(test)]
mod tests;
