//! Applying: the approved plan, step by step, with the journal before and after each one; then health checks,
//! and taking everything back when something failed.
//!
//! Never: without all proofs, and nothing outside the plan that was just computed and kept to the approved one.

mod effect;
mod run;
mod settle;

use crate::disk::Disk;
use crate::health;
use crate::host::{Fault, Host};
use crate::journal::{Journal, Outcome, Standing, Start};
use crate::plan::{self, Ask};
use crate::resource::{file, reboot};
use crate::vault::Vault;
pub use effect::{Followed, follow};
use run::Run;
pub(crate) use run::is_about_units;
use shared::admit::{Approved, InWindow, Logged, Turn, Verified};
use shared::digest::{Digest, Hasher};
use shared::facts::TemplateFacts;
use shared::ids::ResourceId;
use shared::manifest::{HealthCheck, HookPoint, Manifest};
use shared::plan::Plan;
use shared::policy::Purpose;
use shared::refusal::{Code, Refused};
use shared::release::Vendor;
use shared::statement::Statement;
use shared::time::Timestamp;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// Every proof that a start needs. Only the checks of `shared::admit` make them.
pub struct Warrant {
    pub manifests: Vec<Verified<Manifest>>,
    pub change: Approved,
    pub logged: Logged,
    pub window: InWindow,
    pub turn: Turn,
}

/// What is carried out.
pub struct Job<'a> {
    /// The plan computed now, on this host.
    pub plan: &'a Plan,
    /// The plan that was approved.
    pub approved: &'a Statement<Plan>,
    pub facts: &'a TemplateFacts,
    pub vault: &'a Vault,
    /// Whose releases may take the agent's place.
    pub vendor: Option<&'a Vendor>,
    /// Directory of downloaded artifacts, each named by its sha256.
    pub artifacts: &'a Path,
    /// The number of a correction: only what the change brought before is put back.
    pub correction: Option<u64>,
}

/// What a run asks outside: what may end it between two steps, and whether the server is there.
pub struct Watch<'a> {
    /// Never behind what has passed since the admission, however the clock is set.
    pub now: &'a dyn Fn() -> Timestamp,
    /// True when an operator has halted the change.
    pub halted: &'a dyn Fn() -> bool,
    /// Asks the server on a new connection, within a time: whether this host still reaches it.
    pub reach: &'a dyn Fn(Duration) -> Result<(), String>,
}

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// Nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The journal could not be written: [`resume`] brings the run to its end when the disk works again.
    #[error("the run stopped: {}", .0.text())]
    Fault(Fault),
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    Ended(Box<Outcome>),
    /// The machine goes down as the last step; [`resume`] brings the run to its end after the next boot.
    Rebooting,
    /// A program of the agent is to be tried; [`resume`] brings the run to its end in the process that follows.
    Leaving,
}

/// How the steps went, forward.
enum Forward {
    Done,
    Failed(String),
    Rebooting,
    Leaving,
}

/// Carries the change out and brings it to an end that can be told, or to the reboot of the machine.
///
/// # Errors
/// [`Stopped::Refused`] before the first change; [`Stopped::Fault`] when the journal fails.
pub fn apply<H: Host, D: Disk>(
    warrant: Warrant,
    job: &Job<'_>,
    watch: &Watch<'_>,
    host: &mut H,
    journal: &mut Journal<D>,
) -> Result<Progress, Stopped> {
    // The turn is proved by having it; its wave is the receipt's matter.
    let Warrant { manifests, change, logged: _, window, turn: _ } = warrant;
    if (change.purpose() == Purpose::Correction) != job.correction.is_some() {
        return Err(Refused::new(Code::PolicyRule, "its approvals were counted for something else").into());
    }
    let change = change.change();
    let named = change.body.manifests.iter().map(|used| {
        let verified = manifests.iter().find(|m| m.digest() == used.sha256);
        let unknown = || Refused::new(Code::ManifestUnknown, format!("{} was not verified", used.label()));
        verified.map(|m| (m.get(), used)).ok_or_else(unknown)
    });
    let ask = Ask::new(named.collect::<Result<Vec<_>, _>>()?, job.facts, job.vault, change.body.downgrade)?
        .rebooting(change.body.reboot)
        .vendor(job.vendor);
    if job.plan.change != change.digest || job.approved.body.change != change.digest {
        return Err(Refused::new(Code::PlanMissing, "the plan was made for another revision").into());
    }
    match job.correction {
        None => job.plan.keeps_to(&job.approved.body, change.body.plan_binding)?,
        Some(_) => job.plan.returns_to(&job.approved.body)?,
    }
    check_artifacts(&ask, job)?;
    let start = Start {
        change: change.digest,
        plan: job.approved.digest,
        correction: job.correction,
        actions: job.plan.actions.clone(),
        interval: window.open(),
        automatic_undo: change.body.undo.automatic,
        health: checks(&ask)?,
        health_programs: job.plan.health.clone(),
        started: (watch.now)(),
        reboot_reasons: reboot::reasons(host).map_err(plan::refused)?,
    };
    let items = ask.resources()?;
    let run = Run::new(&ask, &items, job, watch, host, journal)?;
    let failure = match run.begin(start)? {
        Forward::Done => None,
        Forward::Failed(why) => Some(why),
        Forward::Rebooting => return Ok(Progress::Rebooting),
        Forward::Leaving => return Ok(Progress::Leaving),
    };
    let outcome = finish(failure, (watch.now)(), host, journal)?;
    Ok(Progress::Ended(Box::new(outcome)))
}

/// All health checks of the change, ready to run.
fn checks(ask: &Ask<'_>) -> Result<Vec<HealthCheck>, Refused> {
    let all = ask.manifests.iter().flat_map(|(m, params)| m.health.iter().map(move |check| (check, params)));
    all.map(|(check, params)| health::render(check, params, ask.facts)).collect()
}

/// Every artifact that the plan puts somewhere is there and is what the manifest names, before anything begins.
fn check_artifacts(ask: &Ask<'_>, job: &Job<'_>) -> Result<(), Refused> {
    let planned: BTreeSet<&ResourceId> = job.plan.actions.iter().map(|a| &a.resource).collect();
    for item in ask.resources()? {
        let id = item.id();
        if !planned.contains(&id) {
            continue;
        }
        for artifact in item.resource.artifacts() {
            check_artifact(job.artifacts, artifact.sha256)
                .map_err(|fault| Refused::new(artifact_code(&fault), format!("{id}: {}", fault.text())))?;
        }
    }
    for point in HookPoint::ALL {
        for (id, hook) in plan::hooks(ask, point)?.into_iter().filter(|(id, _)| planned.contains(id)) {
            let Some(script) = hook.script else { continue };
            check_artifact(job.artifacts, script.sha256).map_err(|fault| {
                Refused::new(artifact_code(&fault), format!("the script of {id}: {}", fault.text()))
            })?;
        }
    }
    Ok(())
}

fn artifact_code(fault: &Fault) -> Code {
    if matches!(fault, Fault::Digest { .. }) { Code::ArtifactDigest } else { Code::ArtifactMissing }
}

/// An artifact is there and is what it is named.
fn check_artifact(dir: &Path, sha256: Digest) -> Result<(), Fault> {
    let fail = || Fault::io(format!("read the artifact {sha256}"));
    let mut file = File::open(dir.join(sha256.hex())).map_err(fail())?;
    let found = hash(&mut file).map_err(fail())?;
    if found != sha256 {
        return Err(Fault::Digest { what: format!("the artifact {sha256}"), expected: sha256, found });
    }
    Ok(())
}

fn hash(file: &mut File) -> io::Result<Digest> {
    let mut hasher = Hasher::default();
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&piece[..n]),
        }
    }
}

/// Brings a run that broke off to its end: looks at each step that may have been under way, goes on to the
/// health checks when all are done, and otherwise takes everything back as the change says. Nothing of the
/// plan is started here, so no proof is needed.
///
/// `None` when the journal knows no run of this change: nothing was changed. A reboot that was asked for a short
/// while before `now` is waited for.
///
/// # Errors
/// The journal cannot be written, or the host cannot be looked at; to be tried again.
pub fn resume<H: Host, D: Disk>(
    (change, correction): (Digest, Option<u64>),
    now: Timestamp,
    host: &mut H,
    journal: &mut Journal<D>,
) -> Result<Option<Progress>, Fault> {
    let known = journal.log().filter(|log| (log.start.change, log.start.correction) == (change, correction));
    let Some(log) = known else {
        return match journal.standing() {
            Standing::Running(other) => {
                let other = other.start.change;
                Err(Fault::Refused(format!(
                    "the journal holds an unfinished run of the change with digest {other}"
                )))
            }
            Standing::Idle | Standing::Ended(..) => Ok(None),
        };
    };
    if let Some(outcome) = &log.outcome {
        return Ok(Some(Progress::Ended(Box::new(outcome.clone()))));
    }
    if settle::goes_down(log, now, host)? {
        return Ok(Some(Progress::Rebooting));
    }
    if settle::is_on_trial(log, host)? {
        return Ok(Some(Progress::Leaving));
    }
    journal.say_resumed();
    let failure = settle::settle(host, journal)?;
    finish(failure, now, host, journal).map(|outcome| Some(Progress::Ended(Box::new(outcome))))
}

/// Health checks, undo and the end of the run.
fn finish<H: Host, D: Disk>(
    mut failure: Option<String>,
    now: Timestamp,
    host: &mut H,
    journal: &mut Journal<D>,
) -> Result<Outcome, Fault> {
    if failure.is_none() {
        failure = settle::check(host, journal)?;
    }
    if let Some(why) = failure {
        settle::fail(why, host, journal)?;
    }
    settle::end(now, host, journal)
}

/// Opens the bytes of an artifact; they are hashed on their way into place.
fn artifact(dir: &Path, sha256: Digest) -> Result<Box<dyn Read>, Fault> {
    let path = dir.join(sha256.hex());
    let file = File::open(&path).map_err(Fault::io(format!("open the artifact {sha256}")))?;
    Ok(Box::new(file))
}

/// The wanted contents of a file, as in planning.
fn resolved<'a>(
    item: &plan::Item<'a>,
    file: &'a shared::manifest::File,
    facts: &TemplateFacts,
) -> Result<file::Want<'a>, Fault> {
    file::resolve(file, item.params, facts, item.opener).map_err(|refused| Fault::Refused(refused.message))
}
