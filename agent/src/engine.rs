//! The machine-changing half on one host: plan, apply, resume through the door to the machine and the journal.
//!
//! Never: the network, or the agent's chain of statements.

use crate::apply::{self, Followed, Job, Progress, Stopped, Warrant, Watch};
use crate::disk::Disk;
use crate::drift::{self, ApprovedState, Depth, Deviation, Surroundings, Upheld};
use crate::facts;
use crate::hands::{Correction, Hands, Order};
use crate::health;
use crate::host::{Fault, Host, PackageEvent, Place, process};
use crate::journal::{Journal, Outcome};
use crate::plan::{self, Ask, Planned};
use crate::program;
use crate::progress::Ear;
use crate::resource::package;
use crate::slots::{self, Own};
use crate::state::Open;
use crate::vault::Vault;
use shared::change::Change;
use shared::digest::Digest;
use shared::facts::{Facts, TemplateFacts};
use shared::health::HealthResult;
use shared::ids::{HostClass, ResourceId};
use shared::manifest::{Manifest, resolve_params};
use shared::plan::Plan;
use shared::receipt::HostOutcome;
use shared::refusal::{Code, Refused};
use shared::release::Vendor;
use shared::strict::Map;
use shared::time::Timestamp;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A machine with the journal of what is done to it.
pub struct Engine<H, D> {
    host: H,
    journal: Journal<D>,
    vault: Vault,
    class: HostClass,
    artifacts: PathBuf,
    checked: drift::Memory,
    reports: facts::Settings,
    reported: facts::Memory,
    /// The last run made another program the one that does the work.
    leaves: bool,
}

impl<H: Host, D: Disk> Engine<H, D> {
    /// Opens the journal in `state/journal`.
    ///
    /// # Errors
    /// A journal that cannot be read: nothing may start then.
    pub fn open(host: H, disk: D, state: &Path, vault: Vault, class: HostClass) -> Result<Self, Refused> {
        let journal = Journal::open(disk, &state.join("journal")).map_err(storage)?;
        Ok(Self {
            host,
            journal,
            vault,
            class,
            artifacts: state.join("artifacts"),
            checked: drift::Memory::default(),
            reports: facts::Settings::default(),
            reported: facts::Memory::default(),
            leaves: false,
        })
    }

    /// What is told of the host.
    #[must_use]
    pub fn reporting(mut self, settings: facts::Settings) -> Self {
        self.reports = settings;
        self
    }

    /// The machine, for tests that look at it.
    pub fn host(&mut self) -> &mut H {
        &mut self.host
    }

    /// What templates see.
    fn view(&self) -> Result<TemplateFacts, Refused> {
        let facts = facts::basic(&self.host, &self.class, program::version()).map_err(plan::refused)?;
        Ok(facts.view(self.vault.agent()))
    }
}

/// The journal's failures are the disk's.
fn storage(fault: Fault) -> Refused {
    Refused::new(Code::AgentStorage, fault.text())
}

impl<H: Host, D: Disk> Hands for Engine<H, D> {
    fn facts(&mut self) -> Result<Facts, Refused> {
        let Self { host, class, reports, reported, .. } = self;
        facts::collect(host, class, program::version(), reports, reported).map_err(plan::refused)
    }

    fn own(&self) -> Own {
        self.host.own()
    }

    fn leaves(&self) -> bool {
        self.leaves
    }

    fn prove(&mut self) -> Result<(), Refused> {
        slots::prove(&mut self.host).map_err(storage)
    }

    fn boot_id(&self) -> String {
        // A host without one is told apart by nothing; its statements stay valid.
        self.host.boot_id().unwrap_or_else(|_| "unknown".into())
    }

    fn plan(
        &mut self,
        manifests: &[&Manifest],
        change: &Change,
        approved: Option<&Plan>,
        vendor: Option<&Vendor>,
    ) -> Result<Planned, Refused> {
        let facts = self.view()?;
        let pairs = manifests.iter().copied().zip(&change.manifests);
        let ask = Ask::new(pairs, &facts, &self.vault, change.downgrade)?.rebooting(change.reboot);
        let ask = ask.approved(approved.map(|plan| plan.actions.as_slice())).vendor(vendor);
        let mut planned = plan::compute(&ask, &mut self.host)?;
        if change.correct_until.is_some() {
            planned.upholds = plan::upholds(&ask, &planned.actions, &self.host)?;
        }
        Ok(planned)
    }

    fn plan_back(
        &mut self,
        manifests: &[&Manifest],
        change: &Change,
        facts: &TemplateFacts,
        resources: &BTreeSet<ResourceId>,
        approved: &Plan,
    ) -> Result<Planned, Refused> {
        let pairs = manifests.iter().copied().zip(&change.manifests);
        let ask = Ask::new(pairs, facts, &self.vault, change.downgrade)?;
        plan::back(&ask, resources, approved, &mut self.host)
    }

    fn prefetch(&mut self, approved: &Plan) -> Result<(), Refused> {
        package::prefetch(&approved.actions, &self.host).map_err(plan::refused)
    }

    fn listen(&mut self, ear: Option<Ear>) {
        process::listen(ear.clone());
        self.journal.listen(ear);
    }

    fn apply(&mut self, order: Order, watch: &Watch<'_>) -> Result<Progress, Refused> {
        let Order { manifests, approved, logged, window, turn, vendor, own_plan, plan, time: _, correction } =
            order;
        let (facts, correction) = match correction {
            Some(Correction { number, facts }) => (facts, Some(number)),
            None => (self.view()?, None),
        };
        let warrant = Warrant { manifests, change: approved, logged, window, turn };
        let (facts, vault, artifacts) = (&facts, &self.vault, &self.artifacts);
        let (approved, vendor) = (&own_plan, vendor.as_ref());
        let job = Job { plan: &plan, approved, facts, vault, vendor, artifacts, correction };
        match apply::apply(warrant, &job, watch, &mut self.host, &mut self.journal) {
            Ok(progress) => Ok(progress),
            Err(Stopped::Refused(refused)) => {
                Ok(Progress::Ended(Box::new(nothing_done(&refused.to_string()))))
            }
            Err(Stopped::Fault(fault)) => Err(storage(fault)),
        }
    }

    fn resume(
        &mut self,
        change: Digest,
        correction: Option<u64>,
        now: Timestamp,
    ) -> Result<Option<Progress>, Refused> {
        apply::resume((change, correction), now, &mut self.host, &mut self.journal).map_err(storage)
    }

    fn follow(&mut self, open: &Open, now: Timestamp) -> Result<Option<Followed>, Refused> {
        apply::follow((&open.patched, open.outcome), &open.lasting, now, &mut self.host)
            .map_err(plan::refused)
    }

    fn check(&mut self, upheld: &Upheld, depth: Depth, now: Timestamp) -> Result<Vec<Deviation>, Refused> {
        drift::check(upheld, &self.vault, depth, &mut self.checked, now, &mut self.host)
    }

    fn look_at_health(&mut self, states: &[ApprovedState]) -> Vec<HealthResult> {
        health::look(states, &mut self.host)
    }

    fn history(&mut self, since: Option<&Place>) -> Result<Option<(Vec<PackageEvent>, Place)>, Refused> {
        self.host.packager().history(since).map_err(plan::refused)
    }

    fn surroundings(&mut self) -> Result<Surroundings, Refused> {
        drift::look(&self.host).map_err(plan::refused)
    }

    fn receipt_made(&mut self, receipt: Digest) -> Result<(), Refused> {
        let actions = self.journal.log().map(|log| log.start.actions.clone()).unwrap_or_default();
        if let Err(fault) = package::forget(&actions, &self.host) {
            // Files that stay are let go of with a later run.
            tracing::warn!("{}", fault.text());
        }
        self.journal.receipt_made(receipt).map_err(storage)?;
        if actions.iter().any(|action| action.resource.as_str().starts_with("agent:")) {
            let slots = slots::read(&self.host).map_err(storage)?;
            self.leaves = slots.current != self.host.own().place;
        }
        Ok(())
    }
}

/// A run that ended before its first step.
pub fn nothing_done(why: &str) -> Outcome {
    Outcome::bare(HostOutcome::RolledBack, format!("nothing was changed: {why}"))
}

/// What a manifest with the defaults of its parameters would do here. Changes nothing.
///
/// # Errors
/// `plan.failed` with the reason.
pub fn plan_locally(
    host: &mut impl Host,
    manifest: &Manifest,
    vault: &Vault,
    class: HostClass,
    vendor: Option<&Vendor>,
) -> Result<Planned, Refused> {
    let facts = facts::basic(host, &class, program::version()).map_err(plan::refused)?.view(vault.agent());
    let params = resolve_params(&manifest.parameters, &Map::default()).map_err(|problems| {
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Refused::new(Code::PlanFailed, all.join("; "))
    })?;
    let reboot = manifest.patch().map(|patch| patch.reboot).unwrap_or_default();
    let manifests = vec![(manifest, params)];
    let ask = Ask { manifests, facts: &facts, vault, downgrade: true, approved: None, reboot, vendor };
    plan::compute(&ask, host)
}
