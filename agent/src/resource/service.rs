//! systemd units: running or not, started at boot or not, restarted when something they read has changed.

use super::{refuse, state};
use crate::host::{Fault, Host, Unit, UnitVerb};
use shared::digest::Digest;
use shared::ids::ResourceId;
use shared::manifest::{Resource, Service, ServiceName, ServiceState};
use shared::plan::{Action, Reversibility, UndoContract, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;

/// What was found is the unit's state.
pub type Found = Unit;

/// The unit that a resource id `service:<name>` names.
pub fn unit_of(resource: &ResourceId) -> Option<String> {
    let name = resource.as_str().strip_prefix("service:")?;
    name.parse::<ServiceName>().ok().map(|name| name.unit())
}

pub fn inspect(unit: &str, host: &impl Host) -> Result<Found, Fault> {
    host.unit(unit)
}

fn runs(active: bool) -> Digest {
    state(&("service", if active { "running" } else { "stopped" }))
}

fn boots(enabled: bool) -> Digest {
    state(&("service", if enabled { "enabled" } else { "disabled" }))
}

/// The digest that plans and receipts name for the side of the unit that `verb` changes.
pub fn digest(found: &Found, verb: Verb) -> Digest {
    match verb {
        Verb::Enable | Verb::Disable => boots(found.is_enabled()),
        _ => runs(found.is_active()),
    }
}

/// At most two actions: boot first, then run.
///
/// # Errors
/// There is no such unit and the change does not bring one (`comes` says whether it may).
pub fn diff(want: &Service, found: &Found, comes: bool) -> Result<Vec<Action>, Refused> {
    let name = &want.name;
    if !found.loaded && !comes {
        return Err(refuse(format!(
            "the host has no unit {}; bring its package or unit file first",
            name.unit()
        )));
    }
    let mut actions = Vec::new();
    let mut push = |verb: Verb, before, after, what: &str| {
        actions.push(Action {
            resource: Resource::Service(want.clone()).id(),
            verb,
            class: ActionClass::Service,
            before: Some(before),
            after,
            summary: format!("{} {name}{what}", verb.as_str()),
            diff: None,
            undo: Reversibility { undo: UndoContract::Yes, why: String::new() },
            package: None,
        });
    };
    if let Some(enabled) = want.enabled.filter(|wanted| *wanted != found.is_enabled()) {
        let verb = if enabled { Verb::Enable } else { Verb::Disable };
        let what = if found.enabled.is_empty() { String::new() } else { format!(" (is {})", found.enabled) };
        push(verb, boots(found.is_enabled()), boots(enabled), &what);
    }
    if let Some(wanted) = want.state {
        let wanted = wanted == ServiceState::Running;
        if wanted != found.is_active() {
            let verb = if wanted { Verb::Start } else { Verb::Stop };
            push(verb, runs(found.is_active()), runs(wanted), &format!(" (is {})", found.active));
        }
    }
    Ok(actions)
}

/// The restart that follows if one of `causes` is really changed.
pub fn restart(resource: &ResourceId, causes: &[ResourceId]) -> Action {
    let name = resource.as_str().strip_prefix("service:").unwrap_or(resource.as_str());
    let mut summary = format!("restart {name} if it runs and {} is changed", causes[0]);
    if causes.len() > 1 {
        summary = format!("restart {name} if it runs and one of {} resources is changed", causes.len());
    }
    Action {
        resource: resource.clone(),
        verb: Verb::Restart,
        class: ActionClass::Service,
        before: None,
        after: state(&("service", "restarted", name)),
        summary,
        diff: None,
        undo: Reversibility { undo: UndoContract::Yes, why: String::new() },
        package: None,
    }
}

/// Carries out one verb and checks that it lasted.
///
/// # Errors
/// systemd's, or the unit is not in the wanted state afterwards.
pub fn apply(unit: &str, verb: Verb, host: &mut impl Host) -> Result<(), Fault> {
    let act = match verb {
        Verb::Start => UnitVerb::Start,
        Verb::Stop => UnitVerb::Stop,
        Verb::Restart => UnitVerb::Restart,
        Verb::Enable => UnitVerb::Enable,
        Verb::Disable => UnitVerb::Disable,
        other => return Err(Fault::Refused(format!("{} is nothing a unit can do", other.as_str()))),
    };
    host.set_unit(act, unit)?;
    let found = host.unit(unit)?;
    let ok = match verb {
        Verb::Start | Verb::Restart => found.is_active(),
        Verb::Stop => !found.is_active(),
        Verb::Enable => found.is_enabled(),
        _ => !found.is_enabled(),
    };
    if ok {
        return Ok(());
    }
    Err(Fault::Refused(format!("{unit} is {} and {} after {}", found.active, found.enabled, verb.as_str())))
}

/// Puts back how the unit was found.
pub fn undo(unit: &str, before: &Found, host: &mut impl Host) -> Result<(), Fault> {
    let now = host.unit(unit)?;
    if now.is_enabled() != before.is_enabled() && now.loaded {
        host.set_unit(if before.is_enabled() { UnitVerb::Enable } else { UnitVerb::Disable }, unit)?;
    }
    if now.is_active() != before.is_active() && now.loaded {
        host.set_unit(if before.is_active() { UnitVerb::Start } else { UnitVerb::Stop }, unit)?;
    }
    Ok(())
}
