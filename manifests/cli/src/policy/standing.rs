//! Authority that lasts: delegations, groups and models, each edited with one command and signed like any other edition.

use super::args::ModelArgs;
use super::{current, publish_next};
use crate::error::{Done, Failure};
use crate::governance::SignArgs;
use crate::session::Session;
use crate::window;
use shared::ids::{GroupName, ModelName, PersonId};
use shared::policy::{Delegation, Group, Model};

pub fn delegate(
    session: &Session,
    (by, to): (&PersonId, &PersonId),
    (from, until): (Option<&str>, &str),
    sign: &SignArgs,
) -> Done {
    let zone = window::zone(None)?;
    let moment = |text: &str| window::end(text, &zone, session.now);
    let (from, until) = (from.map_or(Ok(session.now), moment)?, moment(until)?);
    let site = current(session)?;
    let mut next = site.policy.clone();
    next.delegations.push(Delegation { by: by.clone(), to: to.clone(), from, until });
    publish_next(session, &site, next, sign)
}

pub fn end_delegation(session: &Session, by: &PersonId, to: &PersonId, sign: &SignArgs) -> Done {
    let site = current(session)?;
    let mut next = site.policy.clone();
    next.delegations.retain(|delegation| (&delegation.by, &delegation.to) != (by, to));
    if next == site.policy {
        return Err(Failure::refused(format!("{by} has delegated nothing to {to}"))
            .remedy("see `assent policy show`"));
    }
    publish_next(session, &site, next, sign)
}

pub fn set_group(session: &Session, name: &GroupName, persons: &[PersonId], sign: &SignArgs) -> Done {
    let group = Group { name: name.clone(), persons: persons.iter().cloned().collect() };
    let site = current(session)?;
    let mut next = site.policy.clone();
    match next.groups.iter_mut().find(|known| known.name == *name) {
        Some(known) => *known = group,
        None => next.groups.push(group),
    }
    publish_next(session, &site, next, sign)
}

pub fn remove_group(session: &Session, name: &GroupName, sign: &SignArgs) -> Done {
    let site = current(session)?;
    let mut next = site.policy.clone();
    next.groups.retain(|group| group.name != *name);
    if next == site.policy {
        return Err(
            Failure::refused(format!("the policy has no group {name}")).remedy("see `assent policy show`")
        );
    }
    publish_next(session, &site, next, sign)
}

pub fn set_model(session: &Session, args: &ModelArgs) -> Done {
    let model = Model {
        name: args.name.clone(),
        team: args.team.clone(),
        manifests: args.manifests.clone(),
        versions: args.versions.clone(),
        action_classes: args.allow.iter().copied().collect(),
        host_classes: args.host_class.iter().cloned().collect(),
        hosts_per_day: args.hosts_per_day,
        expires: window::end(&args.expires, &window::zone(None)?, session.now)?,
    };
    let site = current(session)?;
    let mut next = site.policy.clone();
    match next.models.iter_mut().find(|known| known.name == model.name) {
        Some(known) => *known = model,
        None => next.models.push(model),
    }
    publish_next(session, &site, next, &args.sign)
}

pub fn remove_model(session: &Session, name: &ModelName, sign: &SignArgs) -> Done {
    let site = current(session)?;
    let mut next = site.policy.clone();
    next.models.retain(|model| model.name != *name);
    if next == site.policy {
        return Err(
            Failure::refused(format!("the policy has no model {name}")).remedy("see `assent policy show`")
        );
    }
    publish_next(session, &site, next, sign)
}
