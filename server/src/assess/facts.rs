//! Gathers what is known of a change from the slices below.

use crate::changes;
use crate::cmdb;
use crate::fleet;
use crate::kernel::db::Conn;
use crate::kernel::error::Error;
use crate::manifests;
use shared::assessment::{RiskFacts, assess as judge, defaults};
use shared::conflict::ConflictKind;
use shared::ids::{AgentId, ChangeId};
use shared::manifest::Reboot;
use shared::time::Timestamp;
use shared::wire::Assessment;
use std::collections::BTreeSet;

/// How far back failures of the same manifests count, in seconds.
const HALF_A_YEAR: i64 = 183 * 86_400;

pub(super) fn assess(tx: &mut Conn, id: &ChangeId, now: Timestamp) -> Result<Assessment, Error> {
    let row = changes::get(tx, id)?;
    let change = changes::revision(tx, &row)?;
    let body = &change.body;
    let targets: BTreeSet<AgentId> = body.targets.iter().map(|target| target.agent).collect();
    let hosts = fleet::list(tx)?.into_iter().filter(|host| targets.contains(&host.agent));
    let reached = cmdb::reached(tx, &hosts.map(|host| host.ci).collect::<Vec<_>>())?;
    let planned = changes::effects(tx, &change.digest)?;
    let conflicts = changes::conflicts(tx, id, now)?;
    let has = |kind| conflicts.iter().any(|found| found.kind == kind);
    let facts = RiskFacts {
        targets: u32::try_from(targets.len()).unwrap_or(u32::MAX),
        undone_by_itself: body.undo.automatic && !planned.for_good,
        classes: if planned.classes.is_empty() { body.action_classes.clone() } else { planned.classes },
        criticality: reached.criticality,
        affected: u32::try_from(reached.affects.len()).unwrap_or(u32::MAX),
        reboot: body.reboot != Reboot::Never,
        past_failures: changes::count_failures(tx, body, now.plus(-HALF_A_YEAR))?,
        warned: has(ConflictKind::Warning),
        outside_window: has(ConflictKind::OutsideWindow),
    };
    let own = manifests::policy(tx)?.policy.risk_rules;
    let told = if own.is_empty() { judge(&defaults(), &facts) } else { judge(&own, &facts) };
    let owners = reached.affects.iter().filter_map(|line| line.owner.clone()).chain(reached.owners);
    let owners: BTreeSet<String> = owners.collect();
    Ok(Assessment {
        told,
        facts,
        affects: reached.affects,
        cut: reached.cut,
        owners: owners.into_iter().collect(),
    })
}
