//! Programs that a manifest runs. Nothing tells what a program did, so a broken-off run stays unknown.

use super::programs::{self, Coming};
use super::{refuse, state};
use crate::host::{Entry, Exec, Fault, Host};
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::limits;
use shared::manifest::{Argv, Command, EnvName, Needed, Resource};
use shared::plan::{Action, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;
use shared::strict::Map;
use std::time::Duration;

/// What undoing needs: the program that takes it back, if the manifest gives one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    pub undo: Option<Argv>,
    pub env: Map<EnvName, String>,
    pub timeout_s: u32,
    /// What the undo program was made of when the command was about to run.
    #[serde(default)]
    pub programs: Map<String, Digest>,
    /// Standard input of the undo program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
}

impl Found {
    /// With the files bound that the undo program is made of now.
    ///
    /// # Errors
    /// The machine's.
    pub fn of(
        undo: Option<Argv>,
        env: Map<EnvName, String>,
        timeout_s: u32,
        input: Option<String>,
        host: &impl Host,
    ) -> Result<Self, Fault> {
        let lines: Vec<&Argv> = undo.iter().collect();
        let programs = programs::bound(&lines, Coming::done(&[]), host)?;
        Ok(Self { undo, env, timeout_s, programs, input })
    }
}

/// Every line that the command may run: itself, its guard, its undo.
pub fn lines(want: &Command) -> Vec<&Argv> {
    let guard = if let Needed::Unless(guard) = &want.needed { Some(guard) } else { None };
    std::iter::once(&want.run).chain(guard).chain(&want.undo).collect()
}

/// What an approval of the command binds: program, arguments, environment, program files, time limit, guard, undo.
pub fn digest(want: &Command, programs: &Map<String, Digest>) -> Digest {
    state(&("command", &want.run, &want.env, programs, want.timeout_s, &want.needed, &want.undo))
}

/// Whether looking says that it is needed. `changed` tells whether a resource is changed in this run. A guard
/// program counts as needed: only apply may run it.
pub fn is_needed(
    want: &Command,
    host: &impl Host,
    changed: &dyn Fn(&shared::ids::ResourceId) -> bool,
) -> Result<bool, Fault> {
    Ok(match &want.needed {
        Needed::Always | Needed::Unless(_) => true,
        Needed::Missing(path) => host.look(path.as_str())? == Entry::Absent,
        Needed::Changed(ids) => ids.iter().any(changed),
    })
}

/// Everything that an approval of the command binds, whole, for whoever approves it: what is cut in the summary
/// may be what counts.
///
/// # Errors
/// It is longer than people can be shown.
fn listing(want: &Command, programs: &Map<String, Digest>) -> Result<String, Refused> {
    let words = |argv: &Argv| {
        let quoted = argv.as_slice().iter().map(|item| format!("{:?}", item.as_str()));
        quoted.collect::<Vec<_>>().join(" ")
    };
    let mut text = format!("run {}\n", words(&want.run));
    if let Needed::Unless(guard) = &want.needed {
        text.push_str(&format!("unless {}\n", words(guard)));
    }
    if let Some(undo) = &want.undo {
        text.push_str(&format!("undo {}\n", words(undo)));
    }
    want.env.iter().for_each(|(name, value)| text.push_str(&format!("env {name}={value:?}\n")));
    text.push_str(&files(programs));
    text.push_str(&format!("timeout {} s\n", want.timeout_s));
    if text.len() > limits::DIFF_BYTES {
        let name = &want.name;
        return Err(refuse(format!(
            "command {name} is too long to be shown to whoever approves it; put its text into a file of the manifest"
        )));
    }
    Ok(text)
}

/// The action of a command that is needed as far as looking tells.
///
/// # Errors
/// The command is too long to be shown.
pub fn action(want: &Command, programs: Map<String, Digest>) -> Result<Action, Refused> {
    let resource = Resource::Command(want.clone());
    let condition = match &want.needed {
        Needed::Always => String::new(),
        Needed::Missing(path) => format!(", because {path} is missing"),
        Needed::Changed(ids) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            format!(", if {} is changed", ids.join(" or "))
        }
        Needed::Unless(guard) => format!(", unless {} succeeds (decided when it is applied)", shown(guard)),
    };
    Ok(Action {
        resource: resource.id(),
        verb: Verb::Run,
        class: ActionClass::Command,
        before: None,
        after: digest(want, &programs),
        summary: format!("run {}{condition}", shown(&want.run)),
        diff: Some(listing(want, &programs)?),
        undo: resource.undo().into(),
        content: None,
        package: None,
        programs,
        satisfies: Vec::new(),
    })
}

/// Program, arguments and bound files, whole, for whoever approves.
pub(super) fn listed(argv: &Argv, programs: &Map<String, Digest>) -> String {
    format!("run {:?}\n{}", argv.as_slice(), files(programs))
}

fn files(programs: &Map<String, Digest>) -> String {
    programs.iter().map(|(path, sha256)| format!("program {path} sha256 {sha256}\n")).collect()
}

pub(super) fn shown(argv: &Argv) -> String {
    argv.as_slice().iter().map(|item| shared::strict::shorten(item)).collect::<Vec<_>>().join(" ")
}

/// # Errors
/// The machine's.
pub fn found(want: &Command, host: &impl Host) -> Result<Found, Fault> {
    Found::of(want.undo.clone(), want.env.clone(), want.timeout_s, None, host)
}

fn exec(argv: &Argv, env: &Map<EnvName, String>, timeout_s: u32) -> Exec {
    let mut exec = Exec::new(argv.program(), argv.arguments().to_vec());
    exec.timeout = Duration::from_secs(u64::from(timeout_s));
    exec.env = env.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    exec
}

/// Runs the guard. True when the command is not needed.
pub fn guard_holds(want: &Command, host: &mut impl Host) -> Result<bool, Fault> {
    let Needed::Unless(guard) = &want.needed else { return Ok(false) };
    Ok(host.run(&exec(guard, &want.env, want.timeout_s))?.code == Some(0))
}

/// # Errors
/// It did not end with exit code 0 within its time.
pub fn apply(want: &Command, host: &mut impl Host) -> Result<(), Fault> {
    host.run(&exec(&want.run, &want.env, want.timeout_s).heard())?.success(want.run.program()).map(drop)
}

/// Runs the undo command of the manifest.
///
/// # Errors
/// There is none, it is not made of what it was made of before the command ran, or it failed.
pub fn undo(before: &Found, host: &mut impl Host) -> Result<(), Fault> {
    let Some(argv) = &before.undo else {
        return Err(Fault::Refused("the manifest gives no undo command".into()));
    };
    programs::check("the undo command", &[argv], Coming::done(&[]), &before.programs, host)?;
    let mut exec = exec(argv, &before.env, before.timeout_s);
    exec.input = before.input.as_ref().map(|text| text.clone().into_bytes());
    host.run(&exec.heard())?.success(argv.program()).map(drop)
}
