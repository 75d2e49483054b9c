//! Which program of the agent does the work: chosen when one is started, and judged while one is on trial.
//!
//! The packaged program is always started first and gives its process to the slot that does the work. That one, when a
//! run has left a program on trial, starts it beside itself and waits for its report. Never: what is a good release
//! (`shared::release`), or the end of the run (`apply`).

use crate::clock::OFFSET;
use crate::host::{Exec, Fault, Host, Machine, process};
use crate::slots::{self, Next, Place, Stage};
use rustix::process::Signal;
use shared::time::Timestamp;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Path of the packaged program, for those in slots.
const BASE: &str = "ASSENT_AGENT_BASE";
/// Why this program does the work and not the one that should, if so.
const TROUBLE: &str = "ASSENT_AGENT_TROUBLE";
/// Such a program reports `healthy VERSION`.
const HEALTHY: &str = "healthy";

/// What the program that does the work knows of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The packaged program.
    base: PathBuf,
    /// Why another program should run.
    pub trouble: Option<String>,
}

/// Gives this process to the slot that does the work; answers when that is this program itself. Whether it `works`
/// or only answers a question: a new program that never comes to the end of its work is not started for ever.
///
/// # Errors
/// A program in a slot was not started by the packaged one.
pub fn choose(host: &mut Machine, works: bool) -> Result<Standing, String> {
    let own = host.own();
    if own.place != Place::Packaged {
        let base = std::env::var_os(BASE).ok_or(
            "this is a program in a slot; start the packaged one, such as /usr/bin/assent-agent, which starts it",
        )?;
        return Ok(Standing { base: base.into(), trouble: std::env::var(TROUBLE).ok() });
    }
    let base = process::own_path().map_err(|fault| fault.text())?;
    let mut standing = Standing { base, trouble: None };
    let mut slots = match slots::read(host) {
        Ok(slots) => slots,
        Err(fault) => {
            standing.trouble = Some(format!("{}; the packaged program {} runs", fault.text(), own.version));
            return Ok(standing);
        }
    };
    let mut damaged: Vec<String> = slots.worn_out().into_iter().collect();
    for place in slots.before_packaged(&own.version) {
        let why = match slots::check(&slots, place, host) {
            Ok(()) => {
                standing.trouble = trouble(&damaged, &format!("the program in {}", place.as_str()));
                if works {
                    slots::count_start(&mut slots, place, host);
                }
                give_way(place, &standing, host)
            }
            Err(fault) => fault,
        };
        damaged.push(why.text());
    }
    standing.trouble = trouble(&damaged, &format!("the packaged program {}", own.version));
    Ok(standing)
}

fn trouble(damaged: &[String], instead: &str) -> Option<String> {
    (!damaged.is_empty()).then(|| format!("{}; {instead} runs instead", damaged.join("; ")))
}

/// Gives this process to the program in the slot; answers only when that fails.
pub fn give_way(place: Place, standing: &Standing, host: &Machine) -> Fault {
    let path = host.outside(&place.path().unwrap_or_default());
    let trouble = standing.trouble.as_ref().map(OsString::from);
    let packaged = OsString::from(host.own().packaged.to_string());
    let base = standing.base.clone().into_os_string();
    let env = [(BASE, Some(base)), (slots::PACKAGED, Some(packaged)), (TROUBLE, trouble)];
    process::replace(Path::new(&path), std::env::args_os().skip(1), env)
}

/// Gives this process to the packaged program, which chooses anew; answers only when that fails.
pub fn hand_over(standing: &Standing) -> Fault {
    process::replace(
        &standing.base,
        std::env::args_os().skip(1),
        [(BASE, None), (slots::PACKAGED, None), (TROUBLE, None)],
    )
}

/// Whether a run has left a program to be tried, or its trial to be told.
pub fn is_on_trial(host: &Machine) -> bool {
    // A file that cannot be read is told by `choose`.
    slots::read(host).is_ok_and(|slots| slots.trial.is_some())
}

/// Brings a trial that a run has left forward: `try_out` starts a program and waits for its report. One that fails is
/// judged by what the program that does the work now, tried in the same way, can do at this moment. Answers the place
/// that this process is to be given to, if any.
///
/// # Errors
/// The machine's; the next start goes on.
pub fn settle<H: Host>(
    host: &mut H,
    now: Timestamp,
    try_out: &mut dyn FnMut(&H, Place) -> Result<(), String>,
) -> Result<Option<Place>, Fault> {
    loop {
        let mut slots = slots::read(host)?;
        let next = slots.next(&host.own(), now);
        let Some(trial) = slots.trial.clone() else { return Ok(None) };
        match next {
            Next::Work => return Ok(None),
            Next::End(stage) => slots::set_trial(&mut slots, trial.tries, stage, host)?,
            Next::Try(place) => {
                slots::set_trial(&mut slots, trial.tries + 1, Stage::Trying, host)?;
                let stage = match slots::check(&slots, place, host) {
                    Ok(()) => judge(host, place, try_out),
                    Err(fault) => Stage::Failed(fault.text()),
                };
                slots::set_trial(&mut slots, 0, stage, host)?;
            }
            Next::GiveWay(place) => {
                slots::set_trial(&mut slots, trial.tries + 1, Stage::Passed, host)?;
                match slots::check(&slots, place, host) {
                    Ok(()) => return Ok(Some(place)),
                    Err(fault) => {
                        slots::set_trial(&mut slots, trial.tries, Stage::Failed(fault.text()), host)?;
                    }
                }
            }
        }
    }
}

/// Tries the program. A server that is away, or a disk from which nothing may be executed, fails any program: that one
/// fails says something about it only where the one from before does not.
fn judge<H: Host>(host: &H, place: Place, try_out: &mut dyn FnMut(&H, Place) -> Result<(), String>) -> Stage {
    let Err(why) = try_out(host, place) else { return Stage::Passed };
    let own = host.own();
    match try_out(host, own.place) {
        Ok(()) => Stage::Failed(why),
        Err(same) => {
            Stage::GivenUp(format!("{why}; {}, which does the work now, cannot either: {same}", own.version))
        }
    }
}

/// The same on the real machine: each trial has so much time.
///
/// # Errors
/// The machine's.
pub fn bring_forward(
    standing: &Standing,
    root: &Path,
    now: Timestamp,
    within: Duration,
    host: &mut Machine,
) -> Result<(), Fault> {
    let mut try_out = |host: &Machine, place: Place| try_out(place, standing, root, within, host);
    loop {
        // Whoever stops the service meanwhile is heard when the trial has its end.
        let deaf = process::Deaf::new()?;
        let next = settle(host, now, &mut try_out)?;
        drop(deaf);
        let Some(place) = next else { return Ok(()) };
        let why = give_way(place, standing, host);
        let mut slots = slots::read(host)?;
        slots::set_trial(&mut slots, 0, Stage::Failed(why.text()), host)?;
    }
}

/// Starts the program beside this one and waits for its report; afterwards it is gone.
fn try_out(
    place: Place,
    standing: &Standing,
    root: &Path,
    within: Duration,
    host: &Machine,
) -> Result<(), String> {
    let slots = slots::read(host).map_err(|fault| fault.text())?;
    let own = host.own();
    let version = match slots.program(place) {
        Some(program) if place != own.place => program.version.to_string(),
        _ => own.version.to_string(),
    };
    let path = match place.path() {
        Some(path) => host.outside(&path),
        None => standing.base.display().to_string(),
    };
    let root = std::path::absolute(root).map_err(|e| format!("cannot find {}: {e}", root.display()))?;
    let root = root.display().to_string();
    let parent = rustix::process::getpid().as_raw_nonzero().to_string();
    // First this program itself, which binds the life of the new one to that of this process.
    let arguments =
        ["try-out", "--program", path.as_str(), "--parent", parent.as_str(), "--root", root.as_str()];
    let mut exec = Exec::new("/proc/self/exe", arguments).timeout(within);
    exec = exec.env(BASE, standing.base.display().to_string());
    exec = exec.env(slots::PACKAGED, host.own().packaged.to_string());
    if let Ok(offset) = std::env::var(OFFSET) {
        exec = exec.env(OFFSET, offset);
    }
    tracing::info!("{version} in {} is tried for at most {} s", place.as_str(), within.as_secs());
    let ran = process::run(&exec).map_err(|fault| fault.text())?;
    let report = String::from_utf8_lossy(&ran.stdout);
    if ran.code == Some(0) && report.lines().last() == Some(&format!("{HEALTHY} {version}")) {
        return Ok(());
    }
    let said = ran.tail();
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    Err(match ran.code {
        Some(0) => format!("{version} did not report as itself{said}"),
        _ => format!("{version} {} without having reported healthy{said}", ran.how),
    })
}

/// The report of a program on trial.
pub fn report(version: &semver::Version) -> String {
    format!("{HEALTHY} {version}")
}

/// Becomes the program on trial, which then does not outlive `parent`.
///
/// # Errors
/// That process is gone, or the program cannot be started.
pub fn become_trial(program: &Path, parent: i32, root: &Path) -> Result<std::convert::Infallible, String> {
    let bound = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    bound.map_err(|e| format!("the program cannot be bound to this one: {e}"))?;
    if rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(parent) {
        return Err("the program that started this one is gone".into());
    }
    let arguments = [OsString::from("trial"), "--root".into(), root.into()];
    Err(process::replace(program, arguments, []).text())
}
