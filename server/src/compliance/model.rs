//! What may be asked for, and the key that seals it.

use crate::kernel::error::Refusal;
use crate::ledger::Log;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::ids::{ChangeId, SiteId};
use shared::time::Timestamp;

/// The longest period of one bundle: a year and the days of a late audit.
const LONGEST_SECS: i64 = 400 * 86_400;

/// One change, or all changes that were created or reported on in a period.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExportWish")]
pub struct Wish {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_id: Option<ChangeId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Exclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
}

/// A wish that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    Change(ChangeId),
    Period(Timestamp, Timestamp),
}

impl Wish {
    pub(super) fn scope(&self) -> Result<Scope, Refusal> {
        match (&self.change_id, self.from, self.to) {
            (Some(id), None, None) => Ok(Scope::Change(id.clone())),
            (None, Some(from), Some(to)) if from < to && to.since(from) <= LONGEST_SECS => {
                Ok(Scope::Period(from, to))
            }
            _ => Err(Refusal::unprocessable("export.bad_scope").with("days", LONGEST_SECS / 86_400)),
        }
    }
}

/// The ledger, whose key also seals bundles. Cheap to clone; handlers get it as `Data<Exporter>`.
#[derive(Clone)]
pub struct Exporter {
    pub(super) site: SiteId,
    pub(super) log: Log,
}

impl Exporter {
    pub fn new(site: SiteId, log: Log) -> Self {
        Self { site, log }
    }
}
