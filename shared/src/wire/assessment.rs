//! How much may go wrong with a change, and what it reaches.

use super::ImpactLine;
use crate::assessment::{RiskFacts, RiskTold};
use serde::{Deserialize, Serialize};

/// The server's word, for people to look at: nothing is decided by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Assessment {
    pub told: RiskTold,
    pub facts: RiskFacts,
    /// What an outage of the change's hosts would reach, the nearest first.
    pub affects: Vec<ImpactLine>,
    /// There is more than what is shown.
    pub cut: bool,
    /// Teams that answer for the hosts and for what is reached: whom to ask.
    pub owners: Vec<String>,
}
