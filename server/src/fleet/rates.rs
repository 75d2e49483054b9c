//! What one host may send: a joined host that was taken over must not fill the disk or keep others from being
//! served.
//!
//! In the memory of each node; a restart begins anew. Never a reason to lose anything: hosts keep what is not
//! proven and send it again after the time that the refusal names.

use crate::kernel::error::{Error, Refusal};
use crate::kernel::limiter::Limiter;
use actix_web::http::StatusCode;
use shared::ids::AgentId;
use std::time::{Duration, Instant};

/// A host that was away answers the wishes of many changes at once.
const PLAN_BURST: u32 = 300;
const PLANS_PER_MINUTE: u32 = 30;
/// Facts go out when they differ, at check-ins.
const FACTS_BURST: u32 = 30;
const FACTS_PER_MINUTE: u32 = 2;
/// Statements: a long absence is sent at once, a host that floods is slowed down.
const STATEMENT_BURST: u32 = 500;
const STATEMENTS_PER_MINUTE: u32 = 120;
/// Proofs: a host asks once for each change and approval that it may begin, and again while they are not there.
const PROOFS_BURST: u32 = 300;
const PROOFS_PER_MINUTE: u32 = 60;
/// Health reports go out when a check says something else, at most with each look.
const HEALTH_BURST: u32 = 30;
const HEALTH_PER_MINUTE: u32 = 4;
/// What is told while a change runs; each host's share of it is bounded where it is kept.
const PROGRESS_BURST: u32 = 300;
const PROGRESS_PER_MINUTE: u32 = 240;
/// Questions for slots: one when a change may begin, one a minute while it runs or waits for others.
const SLOTS_BURST: u32 = 120;
const SLOTS_PER_MINUTE: u32 = 30;
/// Everything that stays stored, in KiB: sixteen of the longest plans with their receipts at once, then 46 MiB a day.
const KEPT_BURST_KIB: u32 = 64 << 10;
const KEPT_KIB_PER_MINUTE: u32 = 32;

/// Rates of all hosts; one for all worker threads.
pub struct Rates {
    plans: Limiter<AgentId>,
    facts: Limiter<AgentId>,
    statements: Limiter<AgentId>,
    proofs: Limiter<AgentId>,
    health: Limiter<AgentId>,
    progress: Limiter<AgentId>,
    slots: Limiter<AgentId>,
    kept: Limiter<AgentId>,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            plans: Limiter::new(PLAN_BURST, PLANS_PER_MINUTE),
            facts: Limiter::new(FACTS_BURST, FACTS_PER_MINUTE),
            statements: Limiter::new(STATEMENT_BURST, STATEMENTS_PER_MINUTE),
            proofs: Limiter::new(PROOFS_BURST, PROOFS_PER_MINUTE),
            health: Limiter::new(HEALTH_BURST, HEALTH_PER_MINUTE),
            progress: Limiter::new(PROGRESS_BURST, PROGRESS_PER_MINUTE),
            slots: Limiter::new(SLOTS_BURST, SLOTS_PER_MINUTE),
            kept: Limiter::new(KEPT_BURST_KIB, KEPT_KIB_PER_MINUTE),
        }
    }
}

impl Rates {
    /// # Errors
    /// Too many or too much; with the time after which it will do.
    pub fn plan(&self, host: AgentId, bytes: usize) -> Result<(), Error> {
        take(&self.plans, host, 1)?;
        self.keep(host, bytes)
    }

    /// # Errors
    /// Too many.
    pub fn facts(&self, host: AgentId) -> Result<(), Error> {
        take(&self.facts, host, 1)
    }

    /// # Errors
    /// Too many or too much.
    pub fn statement(&self, host: AgentId, bytes: usize) -> Result<(), Error> {
        take(&self.statements, host, 1)?;
        self.keep(host, bytes)
    }

    /// # Errors
    /// Too many.
    pub fn proofs(&self, host: AgentId) -> Result<(), Error> {
        take(&self.proofs, host, 1)
    }

    /// # Errors
    /// Too many.
    pub fn health(&self, host: AgentId) -> Result<(), Error> {
        take(&self.health, host, 1)
    }

    /// # Errors
    /// Too many.
    pub fn progress(&self, host: AgentId) -> Result<(), Error> {
        take(&self.progress, host, 1)
    }

    /// # Errors
    /// Too many.
    pub fn slots(&self, host: AgentId) -> Result<(), Error> {
        take(&self.slots, host, 1)
    }

    /// Rows and leaves around a document take about a KiB more.
    fn keep(&self, host: AgentId, bytes: usize) -> Result<(), Error> {
        take(&self.kept, host, u32::try_from(bytes >> 10).unwrap_or(u32::MAX).saturating_add(2))
    }
}

pub(super) fn take(limiter: &Limiter<AgentId>, host: AgentId, cost: u32) -> Result<(), Error> {
    let refused = |wait: Duration| {
        let secs = wait.as_secs().saturating_add(1);
        let refusal = Refusal::new("agent.too_much", StatusCode::TOO_MANY_REQUESTS);
        refusal.with("secs", secs).retry_after(secs)
    };
    Ok(limiter.take(host, cost, Instant::now()).map_err(refused)?)
}
