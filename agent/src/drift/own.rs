//! What runs of the agent do to packages: it stands in the record of the package manager like everybody's doings.

use super::Brought;
use crate::journal::Outcome;
use serde::{Deserialize, Serialize};
use shared::plan::Action;
use shared::receipt::StepStatus;
use shared::strict::Map;
use shared::time::Timestamp;

/// A package that a run of the agent brought to a version, or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// What a run that began at `started` may have done to packages, with what it put back, and the versions that are
/// approved from now on.
pub fn done_to_packages(
    actions: &[Action],
    ended: &Outcome,
    started: Timestamp,
) -> (Vec<Own>, Map<String, Brought>) {
    let succeeded = ended.outcome.succeeded() != Some(false);
    let (mut own, mut brought) = (Vec::new(), Map::default());
    for result in &ended.results {
        let is = |action: &&Action| (&action.resource, action.verb) == (&result.resource, result.verb);
        let Some(pin) = actions.iter().find(is).and_then(|action| action.package.clone()) else {
            continue;
        };
        let back = match result.status {
            StepStatus::Unneeded | StepStatus::NotStarted => continue,
            StepStatus::Done => false,
            StepStatus::Failed | StepStatus::Undone | StepStatus::UndoFailed | StepStatus::Unknown => true,
        };
        if succeeded && !back {
            brought.insert(pin.name.clone(), Brought { to: pin.to.clone(), since: started });
        }
        own.push(Own { name: pin.name.clone(), to: pin.to });
        if back {
            own.push(Own { name: pin.name, to: pin.from });
        }
    }
    (own, brought)
}
