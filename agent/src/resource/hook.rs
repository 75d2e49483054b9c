//! Hooks: programs of a manifest at fixed points of a run. They are bound like commands and shown like them, but
//! they are no state: only what their `undo` takes back is taken back.

use super::programs::{self, Coming};
use super::{command, refuse};
use crate::host::{Fault, Host};
use shared::digest::Digest;
use shared::ids::ResourceId;
use shared::manifest::{Argv, Command, Hook, HookPoint, Manifest};
use shared::plan::{Action, same_programs};
use shared::refusal::Refused;
use shared::strict::Map;
use std::path::Path;

/// Beginning of the ids of hooks; point, manifest and name follow.
const KIND: &str = "hook:";

/// `hook:before:team/manifest:name`.
///
/// # Errors
/// The names are too long together.
pub fn id(manifest: &Manifest, point: HookPoint, hook: &Hook) -> Result<ResourceId, Refused> {
    let text = format!("{KIND}{}:{}/{}:{}", point.as_str(), manifest.team, manifest.name, hook.name);
    text.parse().map_err(|_| refuse(format!("the names of hook {} are too long together", hook.name)))
}

/// The point of a run to which a resource id of a hook belongs.
pub fn point_of(resource: &ResourceId) -> Option<HookPoint> {
    let (point, _) = resource.as_str().strip_prefix(KIND)?.split_once(':')?;
    HookPoint::ALL.into_iter().find(|known| known.as_str() == point)
}

/// The files that bind a hook: its own script, and those of the host that it runs.
fn bound(hook: &Hook, coming: Coming<'_>, host: &impl Host) -> Result<Map<String, Digest>, Fault> {
    let mut programs = programs::bound(&command::lines(&hook.command()), coming, host)?;
    if let Some(script) = hook.script {
        programs.insert(Hook::SCRIPT.to_owned(), script.sha256);
    }
    Ok(programs)
}

/// Checks right before running that the hook is the approved one, down to the bytes of its files.
///
/// # Errors
/// What differs.
pub fn check(hook: &Hook, action: &Action, coming: Coming<'_>, host: &impl Host) -> Result<(), Fault> {
    let now = bound(hook, coming, host)?;
    let same = same_programs(action.resource.as_str(), &now, &action.programs);
    same.map_err(|refused| Fault::Refused(refused.message))?;
    if command::digest(&hook.command(), &action.programs) != action.after {
        return Err(Fault::Refused("the hook is not the approved one; plan again".into()));
    }
    Ok(())
}

/// # Errors
/// A script cannot be read, or the hook is too long to be shown.
pub fn action(
    manifest: &Manifest,
    point: HookPoint,
    hook: &Hook,
    coming: Coming<'_>,
    host: &impl Host,
) -> Result<Action, Refused> {
    let programs = bound(hook, coming, host).map_err(|fault| refuse(fault.text()))?;
    let when = match point {
        HookPoint::Before => "before the first step",
        HookPoint::After => "after the last step",
        HookPoint::BeforeReboot => "before the reboot",
    };
    let action = command::action(&hook.command(), programs)?;
    let summary = format!("{} {when} (hook {} of {})", action.summary, hook.name, manifest.id());
    Ok(Action { resource: id(manifest, point, hook)?, summary, ..action })
}

/// The program to run, with its script at its place on this host.
pub fn program(hook: &Hook, artifacts: &Path) -> Command {
    let Some(script) = hook.script else { return hook.command() };
    let path = artifacts.join(script.sha256.hex()).display().to_string();
    let placed = |argv: &Argv| argv.with(Hook::SCRIPT, &path);
    Command { run: placed(&hook.run), undo: hook.undo.as_ref().map(placed), ..hook.command() }
}
