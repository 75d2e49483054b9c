//! Admission of one change on this host: the checks of `shared::admit` in their binding order.
//!
//! Owns the order and what only the host knows: revisions and runs it has seen, versions it has applied, its
//! own plans. Never: fetches, writes or starts anything; what is needed comes in, tokens come out.

use crate::state::Seen;
use shared::admit::{self, Addressed, Approved, GateOpen, InWindow, Logged, Me, Verified};
use shared::bundle::{Bundle, Control};
use shared::change::{Change, ManifestUse};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ids::ChangeId;
use shared::manifest::Manifest;
use shared::plan::Plan;
use shared::policy::{Held, Policy, Purpose};
use shared::refusal::{Code, Refused};
use shared::statement::Statement;
use shared::time::Timestamp;

/// What a change is judged by, at one moment.
#[derive(Clone, Copy)]
pub struct Court<'a> {
    pub policy: &'a Policy,
    pub control: &'a Control,
    pub seen: &'a Seen,
    pub me: &'a Me<'a>,
    pub now: Timestamp,
    pub last_contact: Timestamp,
}

/// What has to be fetched while judging.
pub trait Evidence {
    /// The listed file of a manifest, verified against current metadata.
    fn manifest(&mut self, named: &ManifestUse) -> Result<Vec<u8>, Refused>;
    /// This host's own plan.
    fn own_plan(&mut self, digest: &Digest) -> Result<Option<Statement<Plan>>, Refused>;
    /// What hosts of earlier waves say of their ends, for the gate of one wave.
    fn ends(&mut self, change: &Change, wave: usize) -> Result<Vec<Envelope>, Refused>;
    /// What the ledger is proven to hold, after asking for what is wanted and not proven yet.
    fn held(&mut self, wanted: &Approved) -> Result<Held, Refused>;
}

/// A change with all tokens that its start needs but the turn, which is taken last.
#[derive(Debug)]
pub struct Admitted {
    pub manifests: Vec<Verified<Manifest>>,
    pub approved: Approved,
    pub logged: Logged,
    pub window: InWindow,
    pub gate: GateOpen,
    pub own_plan: Statement<Plan>,
}

/// A change that this host may plan: its author and its manifests are good.
#[derive(Debug)]
pub struct Plannable {
    pub addressed: Addressed,
    pub manifests: Vec<Verified<Manifest>>,
}

/// Step 5: what the file says is what it is named, and nothing newer was seen.
///
/// # Errors
/// `change.invalid`, `change.revision`, `change.halted`.
pub fn open_bundle(court: &Court<'_>, id: &ChangeId, revision: u32, bytes: &[u8]) -> Result<Bundle, Refused> {
    let bundle = Bundle::parse(bytes).map_err(|e| Refused::new(Code::ChangeInvalid, e.to_string()))?;
    let body = &bundle.change.body;
    if body.change_id != *id || body.revision != revision {
        let message = format!(
            "the file of {id} revision {revision} holds {} revision {}",
            body.change_id, body.revision
        );
        return Err(Refused::new(Code::ChangeInvalid, message));
    }
    check_revision(court.seen, body)?;
    if court.control.halted.contains(id) {
        return Err(Refused::new(Code::ChangeHalted, format!("{id} is halted by an operator")));
    }
    Ok(bundle)
}

/// Part of step 5: nothing newer was seen.
///
/// # Errors
/// `change.revision`.
pub fn check_revision(seen: &Seen, change: &Change) -> Result<(), Refused> {
    let Some(known) = seen.revisions.get(&change.change_id) else { return Ok(()) };
    let (id, revision) = (&change.change_id, change.revision);
    if revision < known.revision {
        let message =
            format!("revision {revision} of {id} is older than {}, which this host has seen", known.revision);
        return Err(Refused::new(Code::ChangeRevision, message));
    }
    Ok(())
}

/// After the author's signature: whoever signs one revision twice with different contents is not believed.
fn check_same(seen: &Seen, change: &Statement<Change>) -> Result<(), Refused> {
    let (id, revision) = (&change.body.change_id, change.body.revision);
    let known = seen.revisions.get(id).filter(|known| known.revision == revision);
    match known {
        Some(known) if known.change != change.digest => {
            let message =
                format!("its author has signed two different statements as {id} revision {revision}");
            Err(Refused::new(Code::ChangeRevision, message))
        }
        Some(_) | None => Ok(()),
    }
}

/// Steps 6 to 8, for planning: author, this host, manifests. Nothing is approved by that.
///
/// # Errors
/// `change.*` and `manifest.*`.
pub fn plannable(
    court: &Court<'_>,
    change: Statement<Change>,
    evidence: &mut dyn Evidence,
) -> Result<Plannable, Refused> {
    let addressed = admit::address(court.policy, change, court.me, court.now)?;
    check_same(court.seen, addressed.change())?;
    let manifests = manifests(court, &addressed, evidence)?;
    Ok(Plannable { addressed, manifests })
}

fn manifests(
    court: &Court<'_>,
    addressed: &Addressed,
    evidence: &mut dyn Evidence,
) -> Result<Vec<Verified<Manifest>>, Refused> {
    let change = &addressed.change().body;
    let mut verified = Vec::new();
    for named in &change.manifests {
        let listed = evidence.manifest(named)?;
        verified.push(admit::verify_manifest(court.policy, &listed, named, court.now)?);
        let applied = court.seen.applied.get(&applied_key(named));
        if let Some(applied) = applied.filter(|applied| named.version < **applied && !change.downgrade) {
            let message = format!(
                "{} is older than {applied}, which was applied here, and the change is no downgrade",
                named.label()
            );
            return Err(Refused::new(Code::ManifestDowngrade, message));
        }
    }
    Ok(verified)
}

/// Under which name the last applied version of a manifest is kept.
pub fn applied_key(named: &ManifestUse) -> String {
    format!("{}/{}", named.team, named.name)
}

/// What is approved for this host, whether or not it may begin now.
pub struct Granted {
    pub manifests: Vec<Verified<Manifest>>,
    pub approved: Approved,
    pub logged: Logged,
    pub own_plan: Statement<Plan>,
}

/// Steps 6 to 12 and 18 for a bundle from [`open_bundle`]: everything that does not depend on the moment.
///
/// # Errors
/// The first check that says no, in the binding order.
pub fn granted(court: &Court<'_>, bundle: &Bundle, evidence: &mut dyn Evidence) -> Result<Granted, Refused> {
    granted_for(Purpose::Start, court, bundle, evidence)
}

fn granted_for(
    purpose: Purpose,
    court: &Court<'_>,
    bundle: &Bundle,
    evidence: &mut dyn Evidence,
) -> Result<Granted, Refused> {
    let Court { policy, me, now, .. } = *court;
    let Plannable { addressed, manifests } = plannable(court, bundle.change.clone(), evidence)?;
    let missing = |why: &str| Refused::new(Code::PlanMissing, why);
    let own = bundle.plan_set.plans.get(&me.id());
    let own = own.ok_or_else(|| missing("the approved plan set does not contain a plan of this host"))?;
    let own_plan = evidence.own_plan(own)?;
    let own_plan =
        own_plan.ok_or_else(|| missing("this host's approved plan is neither here nor on the server"))?;
    let sources = admit::Sources::of(&manifests);
    let judge = match purpose {
        Purpose::Start => admit::approve,
        Purpose::Correction => admit::stand,
    };
    let approved = judge(policy, &addressed, bundle, &own_plan, &sources, me, now)?;
    let held = if policy.log.proof_before_start { evidence.held(&approved)? } else { Held::default() };
    let logged = admit::logged(policy, &approved, &held)?;
    Ok(Granted { manifests, approved, logged, own_plan })
}

/// Steps 6 to 15 and 18 for a bundle from [`open_bundle`].
///
/// # Errors
/// The first check that says no, in the binding order.
pub fn admit(court: &Court<'_>, bundle: &Bundle, evidence: &mut dyn Evidence) -> Result<Admitted, Refused> {
    let Court { policy, me, now, .. } = *court;
    let Granted { manifests, approved, logged, own_plan } = granted(court, bundle, evidence)?;
    let change = &bundle.change.body;
    let closed = court.control.closed(me.id());
    let window = admit::in_time(policy, &approved, closed, now, court.last_contact)?;
    let ends = match change.wave_of(me.id()) {
        Some(wave) if change.gate_of(wave).is_some() => evidence.ends(change, wave)?,
        Some(_) | None => Vec::new(),
    };
    let gate = admit::open_gate(&bundle.change, court.control, &ends, approved.reach(), me.id(), now)?;
    not_executed(court.seen, change)?;
    Ok(Admitted { manifests, approved, logged, window, gate, own_plan })
}

/// The same steps for putting back what `change` brought here: it ran, its approvals stand, and nothing has ended it.
///
/// # Errors
/// The first check that says no, in the binding order.
pub fn stands(
    court: &Court<'_>,
    change: Digest,
    bundle: &Bundle,
    evidence: &mut dyn Evidence,
) -> Result<Admitted, Refused> {
    let Court { policy, me, now, .. } = *court;
    let body = &bundle.change.body;
    let ran = court.seen.executed(&body.change_id, body.revision);
    let brought = ran.is_some_and(|run| {
        run.change == change && run.listed && run.outcome.is_some_and(|end| end.succeeded() != Some(false))
    });
    if bundle.change.digest != change || !brought {
        let message = format!("what is listed as {} is not what was applied here", body.change_id);
        return Err(Refused::new(Code::ChangeReplay, message));
    }
    let Granted { manifests, approved, logged, own_plan } =
        granted_for(Purpose::Correction, court, bundle, evidence)?;
    let closed = court.control.closed(me.id());
    let window = admit::in_correction_window(policy, body, closed, now, court.last_contact)?;
    let gate = admit::correction_gate(body, court.control, me.id())?;
    Ok(Admitted { manifests, approved, logged, window, gate, own_plan })
}

/// Step 15: a revision runs once on a host. What failed needs a new revision, not another interval.
///
/// # Errors
/// `change.replay`.
pub fn not_executed(seen: &Seen, change: &Change) -> Result<(), Refused> {
    match seen.executed(&change.change_id, change.revision) {
        None => Ok(()),
        Some(run) => {
            let (id, revision) = (&change.change_id, change.revision);
            let message =
                format!("{id} revision {revision} was started here at {} and runs only once", run.started);
            Err(Refused::new(Code::ChangeReplay, message))
        }
    }
}

/// Step 17: the plan of this moment keeps to the approved one and to the author's bounds.
///
/// # Errors
/// `plan.drift`, `plan.class`.
pub fn keeps_to(fresh: &Plan, approved: &Plan, change: &Change) -> Result<(), Refused> {
    fresh.keeps_to(approved, change.plan_binding)?;
    match fresh.classes().iter().find(|class| !change.action_classes.contains(class)) {
        None => Ok(()),
        Some(class) => {
            let message =
                format!("the plan contains {class}, which the author did not allow for this change");
            Err(Refused::new(Code::PlanClass, message))
        }
    }
}

/// Step 1: whether the clock can be right; `floor` is the latest time that it has certainly passed.
///
/// # Errors
/// `time.suspect`.
pub fn clock(now: Timestamp, floor: Timestamp, max_skew_secs: i64) -> Result<(), Refused> {
    if now < floor.plus(-max_skew_secs) {
        // The minute is left out of the message, so that a standing clock is one refusal and not many.
        let message =
            format!("the clock of this host is behind {floor}, which has certainly passed; set it right");
        return Err(Refused::new(Code::TimeSuspect, message));
    }
    Ok(())
}
