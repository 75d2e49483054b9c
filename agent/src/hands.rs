//! The half of the agent that changes the machine, as the loop sees it.
//!
//! Only this door leads from a decision to an effect, and its `apply` takes every token by value. Never: the
//! network, the repository or the agent's chain of statements.

use crate::apply::{Followed, Progress, Watch};
use crate::clock::Steady;
use crate::drift::{ApprovedState, Depth, Deviation, Surroundings, Upheld};
use crate::host::{PackageEvent, Place};
use crate::plan::Planned;
use crate::progress::Ear;
use crate::slots::Own;
use crate::state::Open;
use shared::admit::{Approved, InWindow, Logged, Turn, Verified};
use shared::change::Change;
use shared::digest::Digest;
use shared::facts::{Facts, TemplateFacts};
use shared::health::HealthResult;
use shared::ids::ResourceId;
use shared::manifest::Manifest;
use shared::plan::Plan;
use shared::refusal::Refused;
use shared::release::Vendor;
use shared::statement::Statement;
use shared::time::Timestamp;
use std::collections::BTreeSet;

/// A run with everything that proves it may happen.
pub struct Order {
    pub manifests: Vec<Verified<Manifest>>,
    pub approved: Approved,
    pub logged: Logged,
    pub window: InWindow,
    pub turn: Turn,
    /// Whose releases may take the agent's place.
    pub vendor: Option<Vendor>,
    /// The approved plan, as this host signed it.
    pub own_plan: Statement<Plan>,
    /// What is to be done at this moment; within the approved plan.
    pub plan: Plan,
    /// The time since the admission began.
    pub time: Steady,
    /// Present when this only puts back what the change brought before.
    pub correction: Option<Correction>,
}

/// What tells a correction from every other run of its change.
pub struct Correction {
    /// The host's own count of its corrections.
    pub number: u64,
    /// With which the change was applied: what was approved does not change because the host did.
    pub facts: TemplateFacts,
}

/// The machine-changing half.
pub trait Hands {
    fn facts(&mut self) -> Result<Facts, Refused>;
    /// The program of the agent that does the work.
    fn own(&self) -> Own;
    /// Whether another program has to go on in this process's place.
    fn leaves(&self) -> bool;
    /// A tick came to its end: this program can do the work.
    ///
    /// # Errors
    /// It cannot be noted.
    fn prove(&mut self) -> Result<(), Refused>;
    /// Changes with each boot of the host.
    fn boot_id(&self) -> String;
    /// What would be done now. Changes nothing. With the `approved` plan packages keep to its versions.
    fn plan(
        &mut self,
        manifests: &[&Manifest],
        change: &Change,
        approved: Option<&Plan>,
        vendor: Option<&Vendor>,
    ) -> Result<Planned, Refused>;
    /// What it takes now to put these resources back to what the `approved` plan covers. Changes nothing.
    ///
    /// # Errors
    /// The host cannot be looked at.
    fn plan_back(
        &mut self,
        manifests: &[&Manifest],
        change: &Change,
        facts: &TemplateFacts,
        resources: &BTreeSet<ResourceId>,
        approved: &Plan,
    ) -> Result<Planned, Refused>;
    /// Fetches the package files that the approved plan names, and those that taking it back needs. Changes nothing.
    ///
    /// # Errors
    /// No room, or a file cannot be had; the run tries again.
    fn prefetch(&mut self, approved: &Plan) -> Result<(), Refused>;
    /// Who hears what happens in runs from now on, if anybody.
    fn listen(&mut self, ear: Option<Ear>);
    /// Runs to the end, whatever happens: done, undone as far as possible, or on its way into a reboot.
    ///
    /// # Errors
    /// The journal cannot be written; the run is then brought to its end by `resume`.
    fn apply(&mut self, order: Order, watch: &Watch<'_>) -> Result<Progress, Refused>;
    /// Brings a broken-off run to its end, or waits for the machine to go down; `None` when no step had begun.
    ///
    /// # Errors
    /// The journal cannot be read; then nothing else may start.
    fn resume(
        &mut self,
        change: Digest,
        correction: Option<u64>,
        now: Timestamp,
    ) -> Result<Option<Progress>, Refused>;
    /// Looks whether what a run left pending is over; `None` while it is not.
    ///
    /// # Errors
    /// The host cannot be looked at.
    fn follow(&mut self, open: &Open, now: Timestamp) -> Result<Option<Followed>, Refused>;
    /// Where the host differs from what is approved for it. Changes nothing.
    ///
    /// # Errors
    /// The host cannot be looked at.
    fn check(&mut self, upheld: &Upheld, depth: Depth, now: Timestamp) -> Result<Vec<Deviation>, Refused>;
    /// What the health checks of what is approved say now. Programs are run only as they were approved.
    fn look_at_health(&mut self, states: &[ApprovedState]) -> Vec<HealthResult>;
    /// What was done to packages since that place, by whomever, and the place to go on from.
    ///
    /// # Errors
    /// The record cannot be read.
    fn history(&mut self, since: Option<&Place>) -> Result<Option<(Vec<PackageEvent>, Place)>, Refused>;
    /// What is there of accounts, units and boots, whoever brought it. Changes nothing.
    ///
    /// # Errors
    /// The host cannot be looked at.
    fn surroundings(&mut self) -> Result<Surroundings, Refused>;
    /// Lets go of the run, after its receipt is durable.
    fn receipt_made(&mut self, receipt: Digest) -> Result<(), Refused>;
}
