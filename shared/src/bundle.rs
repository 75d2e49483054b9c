//! The change bundle: what a host pulls from the repository to run one revision of a change.

use crate::approval::Approval;
use crate::budgets::BudgetNotice;
use crate::change::Change;
use crate::envelope::Envelope;
use crate::ids::{AgentId, ChangeId};
use crate::limits;
use crate::plan::PlanSet;
use crate::statement::Statement;
use crate::strict::{self, ReadError};
use crate::windows::{Blackout, Closed};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wire {
    change: Envelope,
    plan_set: PlanSet,
    approvals: Vec<Envelope>,
}

/// A change with its plan set and everything that was said about it; nothing in it is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    pub change: Statement<Change>,
    pub plan_set: PlanSet,
    pub approvals: Vec<Statement<Approval>>,
}

impl Bundle {
    /// The repository's name for the bundle of one revision.
    pub fn target_name(id: &ChangeId, revision: u32) -> String {
        format!("change.{id}.{revision}.json")
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        Self::opened(strict::from_json("the change bundle", bytes, limits::BUNDLE_BYTES)?)
    }

    pub(crate) fn opened(wire: Wire) -> Result<Self, ReadError> {
        let what = "the change bundle";
        if wire.approvals.len() > limits::BUNDLE_APPROVALS {
            let why =
                format!("it has {} approvals; at most {}", wire.approvals.len(), limits::BUNDLE_APPROVALS);
            return Err(ReadError::Invalid { what, why });
        }
        let approvals = wire.approvals.into_iter().map(Statement::open).collect::<Result<_, _>>()?;
        let change = Statement::open(wire.change)?;
        Ok(Self { change, plan_set: wire.plan_set, approvals })
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        strict::to_json(&self.wire())
    }

    pub(crate) fn wire(&self) -> Wire {
        Wire {
            change: self.change.envelope.clone(),
            plan_set: self.plan_set.clone(),
            approvals: self.approvals.iter().map(|a| a.envelope.clone()).collect(),
        }
    }
}

/// How hosts of earlier waves ended, for the gate of one wave (`gate.<change>.<revision>.<wave>.json`): each as the host has
/// signed it, a summary or the receipt itself. Nothing in it is verified yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateFile {
    pub ends: Vec<Envelope>,
}

impl GateFile {
    /// # Errors
    /// Too large, too many ends, or not of this form.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        let what = "the gate file";
        let file: Self = strict::from_json(what, bytes, limits::GATE_BYTES)?;
        match file.ends.len() {
            0..=limits::GATE_ENDS => Ok(file),
            count => {
                let why = format!("it has {count} ends; at most {}", limits::GATE_ENDS);
                Err(ReadError::Invalid { what, why })
            }
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        strict::to_json(self)
    }
}

/// Which changes are halted, when nothing starts, and who needs a slot to start (`control.json`): it can only stop things.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Changes that must not start and must stop before their next step.
    pub halted: Vec<ChangeId>,
    /// Times in which hosts start nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blackouts: Vec<Blackout>,
    /// Which hosts need a slot before they start something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<BudgetNotice>,
}

impl Control {
    pub const TARGET: &'static str = "control.json";

    /// What it closes for this host.
    pub fn closed(&self, host: AgentId) -> Closed<'_> {
        Closed { blackouts: &self.blackouts, host }
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        strict::from_json("the control file", bytes, limits::ENVELOPE_BYTES)
    }
}
