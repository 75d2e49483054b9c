//! How a host differs from resources that were brought before. The same looking and comparing as planning, but one
//! resource that cannot be looked at does not hide the others, and nothing is asked of package sources.

use super::{Ask, Item, Planner};
use crate::host::Host;
use shared::ids::ResourceId;
use shared::manifest::Resource;
use shared::plan::Action;
use shared::refusal::Refused;

/// What one resource would need; an error says what stands in its way.
pub(crate) type Deviations<'a> = Vec<(ResourceId, &'a Resource, Result<Vec<Action>, Refused>)>;

/// Looks at the resources that are `wanted`, in their order; those without a difference have no actions.
///
/// # Errors
/// The resources cannot be put in order.
pub(crate) fn deviations<'a, H: Host>(
    ask: &'a Ask<'a>,
    wanted: impl Fn(&Item<'_>) -> bool,
    host: &mut H,
) -> Result<Deviations<'a>, Refused> {
    let items = ask.resources()?;
    let mut planner = Planner::new(ask, &items, host)?;
    let mut all = Vec::new();
    for item in items.iter().filter(|item| wanted(item)) {
        let before = planner.planned.actions.len();
        let done = planner.plan(item);
        let actions = planner.planned.actions.get(before..).unwrap_or_default().to_vec();
        all.push((item.id(), item.resource, done.map(|()| actions)));
    }
    Ok(all)
}
