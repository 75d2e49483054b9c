//! What a standing approval covers: what a plan finds right already, for its signature, and later what it takes to put
//! it back.

use super::places::class_of_places;
use super::{Ask, Item, Planned, Planner, refused};
use crate::host::{Accounts, Host};
use crate::resource::wanted::{Nothing, Wanted, wanted};
use crate::resource::{directory, file, parts, service};
use shared::digest::Digest;
use shared::ids::ResourceId;
use shared::manifest::Resource;
use shared::plan::{Action, Plan, Uphold, Verb};
use shared::refusal::Refused;
use shared::risk::ActionClass;
use std::collections::BTreeSet;

/// Resources of manifests that correct which the plan leaves as they are, with the state that they are in; and the
/// restarts that putting them back needs. Sorted.
///
/// What a checker has to look at first is left out: its program is only bound where a plan runs it.
///
/// # Errors
/// The host cannot be looked at.
pub(crate) fn upholds(ask: &Ask<'_>, actions: &[Action], host: &impl Host) -> Result<Vec<Uphold>, Refused> {
    let accounts = host.accounts().map_err(refused)?;
    let changed: BTreeSet<&ResourceId> = actions.iter().map(|action| &action.resource).collect();
    let correcting = ask.manifests.iter().filter(|(manifest, _)| manifest.corrects());
    let correcting: BTreeSet<ResourceId> =
        correcting.flat_map(|(manifest, _)| manifest.resources()).map(Resource::id).collect();
    let items = ask.resources()?;
    let mut all = BTreeSet::new();
    for item in &items {
        let (resource, id) = (item.resource, item.id());
        let whole = matches!(resource, Resource::Service(_)) || !changed.contains(&id);
        if !correcting.contains(&id) || !whole || !resource.can_be_put_back() || resource.checker().is_some()
        {
            continue;
        }
        for after in states((ask, actions), item, &accounts, host)? {
            let class = class(item, after, host)?;
            all.insert(Uphold { resource: id.clone(), after, class });
        }
        for unit in resource.on_change() {
            let after = service::restart(unit, std::slice::from_ref(&id)).after;
            all.insert(Uphold { resource: unit.clone(), after, class: ActionClass::Service });
        }
    }
    Ok(all.into_iter().collect())
}

/// The states that a resource is in now, as actions would name them as their end.
fn states(
    (ask, actions): (&Ask<'_>, &[Action]),
    item: &Item<'_>,
    accounts: &Accounts,
    host: &impl Host,
) -> Result<Vec<Digest>, Refused> {
    match item.resource {
        Resource::File(own) => {
            let want = file::resolve(own, item.params, ask.facts, item.opener)?;
            let found = file::inspect(own.path.as_str(), host).map_err(refused)?;
            Ok(vec![file::digest_under(want.seal(), &found, accounts)])
        }
        Resource::Directory(own) => {
            let found = directory::inspect(own.path.as_str(), host).map_err(refused)?;
            Ok(vec![directory::digest(&found, accounts)])
        }
        Resource::Service(own) => {
            let (id, found) = (item.id(), service::inspect(&own.name.unit(), host).map_err(refused)?);
            let left = |verbs: [Verb; 2]| {
                !actions.iter().any(|action| action.resource == id && verbs.contains(&action.verb))
            };
            let boots = own.enabled.filter(|_| left([Verb::Enable, Verb::Disable]));
            let boots = boots.map(|_| service::digest(&found, Verb::Enable));
            let runs = own.state.filter(|_| left([Verb::Start, Verb::Stop]));
            let runs = runs.map(|_| service::digest(&found, Verb::Start));
            Ok(boots.into_iter().chain(runs).collect())
        }
        _ => {
            let none = Nothing::default();
            let sight = none.sight(host, accounts);
            let Some(Wanted::Parts(all)) = wanted(item, ask.facts, &sight)? else { return Ok(Vec::new()) };
            let found = parts::inspect(&all, &sight)?;
            Ok(vec![parts::digest(&found, accounts)])
        }
    }
}

/// The class that putting it back has, as planning it would say.
fn class(item: &Item<'_>, after: Digest, host: &impl Host) -> Result<ActionClass, Refused> {
    let own = item.resource.classes().into_iter();
    let own = match item.resource {
        Resource::Service(_) => ActionClass::Service,
        _ => own.filter(|class| *class != ActionClass::Service).max().unwrap_or(ActionClass::File),
    };
    let action = parts::plain(&item.id(), Verb::Update, (after, after), String::new());
    Ok(class_of_places(&action, item.resource, host).map_err(refused)?.max(own))
}

/// What it takes now to put these resources back to what the `approved` plan brought or upholds; what it does not cover
/// is left out as a whole, and so is what cannot be planned. Without packages, commands and reboots.
///
/// # Errors
/// The host cannot be looked at, or a health check cannot be bound.
pub(crate) fn back<H: Host>(
    ask: &Ask<'_>,
    resources: &BTreeSet<ResourceId>,
    approved: &Plan,
    host: &mut H,
) -> Result<Planned, Refused> {
    let items = ask.resources()?;
    let mut planner = Planner::new(ask, &items, host)?;
    for item in items.iter().filter(|item| resources.contains(&item.id()) && item.resource.can_be_put_back())
    {
        let (id, before) = (item.id(), planner.planned.actions.len());
        let done = planner.plan(item);
        let new = planner.planned.actions.get(before..).unwrap_or_default();
        // What lies below a directory stands for itself.
        let own =
            new.iter().filter(|action| action.resource == id).all(|action| approved.covers_return(action));
        if done.is_err() || !own {
            planner.planned.actions.truncate(before);
            planner.causes.values_mut().for_each(|causes| causes.retain(|cause| *cause != id));
        }
    }
    planner.causes.retain(|_, causes| !causes.is_empty());
    planner.restarts(&items);
    planner.planned.actions.retain(|action| approved.covers_return(action));
    planner.health()?;
    planner.keeps_secrets()?;
    planner.rules(&items);
    Ok(planner.planned)
}
