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
mod tests {
    use super::*;
    use crate::host::fake::Fake;

    fn program(version: &str) -> Option<Program> {
        Some(Program { version: version.parse().unwrap(), sha256: Digest::of(version.as_bytes()), length: 5 })
    }

    fn own(place: Place, version: &str) -> Own {
        let target = "x86_64-linux-gnu".parse().unwrap();
        Own { place, version: version.parse().unwrap(), target, packaged: Version::new(0, 1, 0) }
    }

    fn trial(tries: u32, stage: Stage) -> Slots {
        let trial = Trial { place: Place::A, until: Timestamp(100), tries, stage };
        Slots { a: program("0.2.0"), trial: Some(trial), ..Slots::default() }
    }

    #[test]
    fn a_packaged_program_wins_over_slots_that_are_not_newer() {
        let slots = Slots { current: Place::B, a: program("0.2.0"), b: program("0.3.0"), ..Slots::default() };
        for (packaged, first) in
            [("0.1.0", &[Place::B, Place::A][..]), ("0.2.0", &[Place::B]), ("0.3.0", &[]), ("0.4.0", &[])]
        {
            assert_eq!(slots.before_packaged(&packaged.parse().unwrap()), first, "{packaged}");
        }
        let trial = Trial { place: Place::A, until: Timestamp(0), tries: 0, stage: Stage::Trying };
        let tried = Slots { trial: Some(trial), ..slots };
        assert_eq!(tried.before_packaged(&"0.1.0".parse().unwrap()), [Place::B], "nothing untried stands in");
        assert!(Slots::default().before_packaged(&"0.1.0".parse().unwrap()).is_empty());
    }

    #[test]
    fn a_program_that_ends_within_its_first_tick_is_not_started_for_ever() {
        let mut host = Fake::default();
        for dir in ["/var", "/var/lib", "/var/lib/assent"] {
            let attrs = attrs(0o755, &host);
            host.make_dir(dir, attrs).unwrap();
        }
        let mut slots =
            Slots { current: Place::B, a: program("0.2.0"), b: program("0.3.0"), ..Slots::default() };
        slots.unproven = Some(0);
        let packaged = Version::new(0, 1, 0);
        for starts in 1..=TRIES {
            assert_eq!((slots.before_packaged(&packaged)[0], slots.worn_out()), (Place::B, None));
            count_start(&mut slots, Place::A, &mut host);
            count_start(&mut slots, Place::B, &mut host);
            assert_eq!((slots.unproven, read(&host).unwrap()), (Some(starts), slots.clone()));
        }
        assert_eq!(slots.before_packaged(&packaged), [Place::A]);
        assert!(slots.worn_out().unwrap().starts_with("0.3.0 in slot b took the place"));
        // A tick that came to its end counts for all that follow.
        slots.unproven = None;
        count_start(&mut slots, Place::B, &mut host);
        assert_eq!((slots.unproven, slots.before_packaged(&packaged)[0]), (None, Place::B));
    }

    #[test]
    fn a_trial_ends_however_often_it_is_broken_off() {
        let old = own(Place::Packaged, "0.1.0");
        let early = Timestamp(50);
        let next = |tries, stage, now: i64| trial(tries, stage).next(&old, Timestamp(now));
        assert_eq!(next(0, Stage::Trying, 50), Next::Try(Place::A));
        assert_eq!(next(0, Stage::Trying, 200), Next::Try(Place::A), "its step began within the window");
        assert_eq!(next(2, Stage::Trying, 50), Next::Try(Place::A));
        assert!(matches!(next(1, Stage::Trying, 100), Next::End(Stage::GivenUp(_))));
        assert!(matches!(next(TRIES, Stage::Trying, 50), Next::End(Stage::Failed(_))));
        assert_eq!(next(0, Stage::Passed, 200), Next::GiveWay(Place::A));
        assert!(matches!(next(TRIES, Stage::Passed, 50), Next::End(Stage::Failed(_))));
        for over in [Stage::Failed("no".into()), Stage::GivenUp("no".into())] {
            assert_eq!(next(9, over, 50), Next::Work);
        }
        let passed = trial(1, Stage::Passed);
        assert_eq!(passed.next(&own(Place::A, "0.2.0"), early), Next::Work, "the new one itself");
        for packaged in ["0.2.0", "0.3.0"] {
            let next = passed.next(&own(Place::Packaged, packaged), early);
            assert!(matches!(next, Next::End(Stage::GivenUp(_))), "{packaged}");
        }
        assert_eq!(Slots::default().next(&old, early), Next::Work);
    }

    #[test]
    fn the_file_has_one_form_and_damage_is_told() {
        let mut host = Fake::default();
        for dir in ["/var", "/var/lib", "/var/lib/assent"] {
            let attrs = attrs(0o755, &host);
            host.make_dir(dir, attrs).unwrap();
        }
        assert_eq!(read(&host).unwrap(), Slots::default());
        let slots = trial(1, Stage::Failed("it crashed".into()));
        write(&slots, &mut host).unwrap();
        assert_eq!(read(&host).unwrap(), slots);
        let text = String::from_utf8(host.read(FILE, FILE_BYTES).unwrap().unwrap()).unwrap();
        assert_eq!(
            text,
            format!(
                r#"{{"format":1,"current":"packaged","a":{{"version":"0.2.0","sha256":"{}","length":5}},"trial":{{"place":"a","until":"1970-01-01T00:01:40Z","tries":1,"stage":{{"failed":"it crashed"}}}}}}"#,
                Digest::of(b"0.2.0")
            )
        );
        for bad in ["", "{", &text.replace("\"format\":1", "\"format\":2"), &text.replace("tries", "trys")] {
            host.file(FILE, bad);
            let why = read(&host).unwrap_err().text();
            assert!(why.contains("is damaged") && why.contains("remove it"), "{why}");
        }
        assert!(check(&slots, Place::A, &host).unwrap_err().text().contains("is damaged"));
        host.file(&Place::A.path().unwrap(), "0.2.0");
        check(&slots, Place::A, &host).unwrap();
        assert!(check(&slots, Place::B, &host).is_err());
    }
}
