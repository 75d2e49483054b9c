//! The half of the agent that changes the machine, as the loop sees it.
//!
//! Only this door leads from a decision to an effect, and its `apply` takes every token by value. Never: the
//! network, the repository or the agent's chain of statements.

use crate::apply::Watch;
use crate::journal::Outcome;
use crate::plan::Planned;
use shared::admit::{Approved, InWindow, Turn, Verified};
use shared::change::Change;
use shared::digest::Digest;
use shared::facts::Facts;
use shared::manifest::Manifest;
use shared::plan::Plan;
use shared::refusal::Refused;
use shared::statement::Statement;

/// A run with everything that proves it may happen.
pub struct Order {
    pub manifests: Vec<Verified<Manifest>>,
    pub approved: Approved,
    pub window: InWindow,
    pub turn: Turn,
    /// The approved plan, as this host signed it.
    pub own_plan: Statement<Plan>,
    /// What is to be done at this moment; within the approved plan.
    pub plan: Plan,
}

/// The machine-changing half.
pub trait Hands {
    fn facts(&mut self) -> Result<Facts, Refused>;
    /// Changes with each boot of the host.
    fn boot_id(&self) -> String;
    /// What would be done now. Changes nothing. With the `approved` plan packages keep to its versions.
    fn plan(
        &mut self,
        manifests: &[&Manifest],
        change: &Change,
        approved: Option<&Plan>,
    ) -> Result<Planned, Refused>;
    /// Fetches the package files that the approved plan names, and those that taking it back needs. Changes nothing.
    ///
    /// # Errors
    /// No room, or a file cannot be had; the run tries again.
    fn prefetch(&mut self, approved: &Plan) -> Result<(), Refused>;
    /// Runs to the end, whatever happens: done, or undone as far as possible.
    ///
    /// # Errors
    /// The journal cannot be written; the run is then brought to its end by `resume`.
    fn apply(&mut self, order: Order, watch: &Watch<'_>) -> Result<Outcome, Refused>;
    /// Brings a broken-off run to its end; `None` when no step of it had begun.
    ///
    /// # Errors
    /// The journal cannot be read; then nothing else may start.
    fn resume(&mut self, change: Digest) -> Result<Option<Outcome>, Refused>;
    /// Lets go of the run, after its receipt is durable.
    fn receipt_made(&mut self, receipt: Digest) -> Result<(), Refused>;
}
