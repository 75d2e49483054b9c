//! systemd units: running or not, started at boot or not, restarted when something they read has changed.

use super::{refuse, state};
use crate::host::{Fault, Host, Unit, UnitVerb};
use shared::digest::Digest;
use shared::ids::ResourceId;
use shared::manifest::{Resource, Service, ServiceName, ServiceState};
use shared::plan::{Action, Reversibility, UndoContract, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;
use shared::strict::Map;

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

fn runs(found: &Found) -> Digest {
    match found.is_active() {
        true => running(),
        // Neither of the two that a manifest can want, so that both of them are something to be done.
        false if found.is_falling() => state(&("service", "falling")),
        false => stopped(),
    }
}

fn running() -> Digest {
    state(&("service", "running"))
}

fn stopped() -> Digest {
    state(&("service", "stopped"))
}

fn boots(enabled: bool) -> Digest {
    state(&("service", if enabled { "enabled" } else { "disabled" }))
}

/// The digest that plans and receipts name for the side of the unit that `verb` changes.
pub fn digest(found: &Found, verb: Verb) -> Digest {
    match verb {
        Verb::Enable | Verb::Disable => boots(found.is_enabled()),
        _ => runs(found),
    }
}

/// Whether a unit is again as it was found before a step with this verb. Having failed is no state to leave
/// behind, although systemd counts it as stopped; one that kept falling is not expected to fall at this moment.
pub fn is_as_before(before: &Found, now: &Found, verb: Verb) -> bool {
    let failed_since = now.has_failed() && !before.has_failed();
    let falls_again = before.is_falling() && now.is_active();
    match verb {
        Verb::Enable | Verb::Disable => digest(before, verb) == digest(now, verb),
        _ => falls_again || (runs(before) == runs(now) && !failed_since),
    }
}

/// At most two actions: boot first, then run.
///
/// # Errors
/// There is no such unit and the change does not bring one (`comes` says whether it may), or it is one that
/// cannot be started or enabled.
pub fn diff(want: &Service, found: &Found, comes: bool) -> Result<Vec<Action>, Refused> {
    let name = &want.name;
    if !found.loaded && !comes {
        return Err(refuse(format!(
            "the host has no unit {}; bring its package or unit file first",
            name.unit()
        )));
    }
    if let Some(why) = bar(want, found) {
        return Err(refuse(format!("{} {why}", name.unit())));
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
            content: None,
            package: None,
            programs: Map::default(),
            satisfies: Vec::new(),
        });
    };
    if let Some(enabled) = want.enabled.filter(|wanted| *wanted != found.is_enabled()) {
        let verb = if enabled { Verb::Enable } else { Verb::Disable };
        let what = if found.enabled.is_empty() { String::new() } else { format!(" (is {})", found.enabled) };
        push(verb, boots(found.is_enabled()), boots(enabled), &what);
    }
    if let Some(wanted) = want.state {
        let (verb, after) = match wanted {
            ServiceState::Running => (Verb::Start, running()),
            ServiceState::Stopped => (Verb::Stop, stopped()),
        };
        if runs(found) != after {
            push(verb, runs(found), after, &format!(" (is {})", found.active));
        }
    }
    Ok(actions)
}

/// Why systemd would refuse what is wanted.
fn bar(want: &Service, found: &Found) -> Option<&'static str> {
    match found.enabled.as_str() {
        "masked" | "masked-runtime" if want.enabled == Some(true) => {
            Some("is masked; unmask it on the host first")
        }
        "masked" | "masked-runtime" if want.state == Some(ServiceState::Running) && !found.is_active() => {
            Some("is masked; unmask it on the host first")
        }
        "static" | "transient" if want.enabled == Some(true) => {
            Some("has no [Install] section, so it cannot be enabled; leave enabled out")
        }
        _ => None,
    }
}

/// What a step has to do now, after everything before it in the run; `caused` says that a resource which
/// restarts this service has really changed. `None`: nothing.
///
/// A package may have started its service before the settings of this run were there; then a start is a restart.
pub fn due(verb: Verb, now: &Found, caused: bool) -> Option<Verb> {
    match verb {
        Verb::Restart => (now.is_active() && caused).then_some(Verb::Restart),
        Verb::Start if now.is_active() => caused.then_some(Verb::Restart),
        Verb::Start => Some(Verb::Start),
        Verb::Stop => (runs(now) != stopped()).then_some(Verb::Stop),
        Verb::Enable => (!now.is_enabled()).then_some(Verb::Enable),
        _ => now.is_enabled().then_some(verb),
    }
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
        content: None,
        package: None,
        programs: Map::default(),
        satisfies: Vec::new(),
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
        Verb::Stop => runs(&found) == stopped(),
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
    if runs(&now) != runs(before) && now.loaded {
        let ran = before.is_active() || before.is_falling();
        host.set_unit(if ran { UnitVerb::Start } else { UnitVerb::Stop }, unit)?;
    }
    forget_failure(unit, before, host)
}

/// A unit that failed only in this run does not stay in the list of failed ones.
pub fn forget_failure(unit: &str, before: &Found, host: &mut impl Host) -> Result<(), Fault> {
    if host.unit(unit)?.has_failed() && !before.has_failed() {
        host.set_unit(UnitVerb::ResetFailed, unit)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::Fake;

    fn unit(active: &str, enabled: &str) -> Found {
        Found { loaded: true, active: active.into(), enabled: enabled.into() }
    }

    fn want(state: Option<ServiceState>, enabled: Option<bool>) -> Service {
        Service {
            name: "x".parse().unwrap(),
            state,
            enabled,
            requires: vec![],
            on_change: vec![],
            satisfies: vec![],
        }
    }

    #[test]
    fn a_falling_unit_is_neither_running_nor_stopped() {
        let found = unit("auto-restart", "enabled");
        for (state, verb) in [(ServiceState::Running, Verb::Start), (ServiceState::Stopped, Verb::Stop)] {
            let actions = diff(&want(Some(state), None), &found, false).unwrap();
            assert_eq!(actions.iter().map(|a| a.verb).collect::<Vec<_>>(), [verb]);
            assert_eq!(actions[0].summary, format!("{} x (is auto-restart)", verb.as_str()));
        }
    }

    #[test]
    fn what_systemd_would_refuse_is_refused_when_planning() {
        for (enabled, wanted, why) in [
            ("masked", want(None, Some(true)), "x.service is masked"),
            ("masked", want(Some(ServiceState::Running), None), "x.service is masked"),
            ("static", want(None, Some(true)), "no [Install] section"),
        ] {
            let refused = diff(&wanted, &unit("inactive", enabled), false).unwrap_err();
            assert!(refused.message.contains(why), "{}", refused.message);
        }
        assert_eq!(diff(&want(None, Some(false)), &unit("inactive", "static"), false).unwrap(), []);
    }

    #[test]
    fn a_start_is_a_restart_when_the_service_runs_without_the_new_settings() {
        let (up, down) = (unit("active", "enabled"), unit("inactive", "disabled"));
        assert_eq!(due(Verb::Start, &up, true), Some(Verb::Restart));
        assert_eq!(due(Verb::Start, &up, false), None);
        assert_eq!(due(Verb::Start, &down, true), Some(Verb::Start));
        assert_eq!(due(Verb::Restart, &down, true), None);
        assert_eq!(due(Verb::Restart, &up, false), None);
        assert_eq!((due(Verb::Enable, &up, true), due(Verb::Disable, &down, true)), (None, None));
    }

    #[test]
    fn undoing_leaves_no_failed_and_no_falling_unit() {
        for (before, now, after) in [
            ("inactive", "failed", "inactive"),
            ("inactive", "auto-restart", "inactive"),
            ("failed", "active", "inactive"),
            ("active", "inactive", "active"),
            ("auto-restart", "inactive", "active"),
        ] {
            let mut host = Fake::default();
            let (before, now) = (unit(before, "disabled"), unit(now, "enabled"));
            assert!(!is_as_before(&before, &now, Verb::Start), "{before:?} {now:?}");
            host.world.borrow_mut().units.insert("x.service".into(), now.clone());
            undo("x.service", &before, &mut host).unwrap();
            let found = host.unit("x.service").unwrap();
            assert_eq!((found.active.as_str(), found.is_enabled()), (after, false), "{before:?} {now:?}");
            assert!(is_as_before(&before, &found, Verb::Start), "{before:?} {found:?}");
        }
    }
}
