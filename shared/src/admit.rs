//! Admission: the checks that stand between a pulled change and the first step, in their binding order.
//!
//! Each check gives a token that only this module can make; `apply` on the host takes all of them by value,
//! so leaving one out does not compile. Pure: the host's state and `now` are arguments.

mod gate;
mod window;

pub use gate::{GateOpen, Tally, Turn, budgets_of, correction_gate, open_gate, take_turn};
pub use window::{InWindow, ends_in_time, in_correction_window, in_time, in_window};

use crate::approval::Reach;
use crate::bundle::Bundle;
use crate::change::Change;
use crate::digest::Digest;
use crate::ids::{AgentId, HostClass, PersonId};
use crate::keys::PublicKey;
use crate::ledger::LeafKind;
use crate::manifest::{HealthCheck, Manifest};
use crate::plan::Plan;
use crate::policy::{Case, Hearing, Held, Policy, Purpose, Role, Verdict, Voice, judge};
use crate::publication::Publication;
use crate::refusal::{Code, Refused};
use crate::risk::{ActionClass, risk_of};
use crate::statement::Statement;
use crate::time::{Interval, Timestamp};
use std::collections::BTreeSet;

/// A manifest that the repository lists now and that a current publisher signed.
#[derive(Clone, Debug)]
pub struct Verified<T> {
    value: T,
    publisher: PersonId,
    digest: Digest,
}

impl<T> Verified<T> {
    pub fn get(&self) -> &T {
        &self.value
    }

    pub fn publisher(&self) -> &PersonId {
        &self.publisher
    }

    /// Digest of the signed statement.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// What the manifests of a change bring to its judgement besides the actions of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    publishers: BTreeSet<PersonId>,
    classes: BTreeSet<ActionClass>,
}

impl Sources {
    pub fn of<'m>(manifests: impl IntoIterator<Item = &'m Verified<Manifest>>) -> Self {
        let mut sources = Self::default();
        for manifest in manifests {
            sources.publishers.insert(manifest.publisher().clone());
            sources.classes.extend(manifest.get().health.iter().filter_map(HealthCheck::class));
        }
        sources
    }

    pub fn publishers(&self) -> &BTreeSet<PersonId> {
        &self.publishers
    }

    /// The classes of everything that runs for these manifests: the actions of the plan, and programs of
    /// health checks, which are no actions but run with the same power.
    pub fn classes_with(&self, plan: impl IntoIterator<Item = ActionClass>) -> BTreeSet<ActionClass> {
        self.classes.iter().copied().chain(plan).collect()
    }
}

/// A change for this host, signed by an author of the policy; not yet approved.
#[derive(Clone, Debug)]
pub struct Addressed {
    change: Statement<Change>,
}

impl Addressed {
    pub fn change(&self) -> &Statement<Change> {
        &self.change
    }
}

/// A change that counts as approved for this host and this plan.
#[derive(Clone, Debug)]
pub struct Approved {
    change: Statement<Change>,
    plan_set: Digest,
    voices: BTreeSet<Voice>,
    approvals: Vec<Digest>,
    purpose: Purpose,
    glass: Option<Interval>,
    reach: Reach,
}

impl Approved {
    /// What the approvals were counted for: one that only covers corrections starts nothing.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    pub fn change(&self) -> &Statement<Change> {
        &self.change
    }

    pub fn plan_set(&self) -> Digest {
        self.plan_set
    }

    /// When it may start because one person has broken the glass; that one stands for quorum and window.
    pub fn glass(&self) -> Option<Interval> {
        self.glass
    }

    pub fn approvals(&self) -> &[Digest] {
        &self.approvals
    }

    /// The hosts that whoever counted has approved.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// The statements that a start rests on, with the kind of their leaves in the ledger.
    pub fn logged_as(&self) -> impl Iterator<Item = (Digest, LeafKind)> {
        let approvals = self.approvals.iter().map(|digest| (*digest, LeafKind::Approval));
        std::iter::once((self.change.digest, LeafKind::Change)).chain(approvals)
    }

    /// True when the author, or whoever stands in for the author, is the only one who approved. Where a model allowed it
    /// nobody did.
    pub fn self_approved(&self) -> bool {
        let author = &self.change.body.author;
        let own = |voice: &Voice| voice.person == *author || voice.stands_for == *author;
        !self.voices.is_empty() && self.voices.iter().all(own)
    }
}

/// Proof that the ledger holds the change and the approvals that count, where the policy asks for that.
#[derive(Clone, Copy, Debug)]
pub struct Logged(());

/// Who the host is, as the host itself knows it.
#[derive(Clone, Debug)]
pub struct Me<'a> {
    pub key: PublicKey,
    pub host_class: &'a HostClass,
}

impl Me<'_> {
    pub fn id(&self) -> AgentId {
        self.key.agent_id()
    }
}

/// Reads the policy that the repository serves: right site, not older than the one last used.
pub fn admit_policy(bytes: &[u8], site: &crate::ids::SiteId, last_version: u64) -> Result<Policy, Refused> {
    let policy = Policy::parse(bytes).map_err(|e| Refused::new(Code::PolicyInvalid, e.to_string()))?;
    if policy.site != *site {
        let message = format!("the policy is for site {}, this host belongs to {site}", policy.site);
        return Err(Refused::new(Code::PolicySite, message));
    }
    if policy.version < last_version {
        let message = format!(
            "policy version {} is older than {last_version}, which this host has used",
            policy.version
        );
        return Err(Refused::new(Code::PolicyRollback, message));
    }
    Ok(policy)
}

/// Steps 5 to 7: nothing that only puts on record, well-formed, this site, author of the policy, names this host by its key.
pub fn address(
    policy: &Policy,
    change: Statement<Change>,
    me: &Me<'_>,
    now: Timestamp,
) -> Result<Addressed, Refused> {
    let body = &change.body;
    // Before anything else, and whoever approved it: what only puts on record is no way to apply something.
    if body.is_record() {
        let what = match body.is_retirement() {
            true => "takes hosts out of the register",
            false => "is retroactive: it accepts what was found",
        };
        let message = format!("{} {what}, and no host runs it", body.change_id);
        return Err(Refused::new(Code::ChangeRetroactive, message));
    }
    check_author(policy, &change, now)?;
    let named = body.targets.iter().any(|t| t.agent == me.id() && t.key == me.key.digest());
    if !named {
        let message = format!("{} revision {} does not name this host", body.change_id, body.revision);
        return Err(Refused::new(Code::ChangeNotForMe, message));
    }
    Ok(Addressed { change })
}

/// The part of [`address`] that does not depend on the host; server and command line use it alone.
pub fn check_author(policy: &Policy, change: &Statement<Change>, now: Timestamp) -> Result<(), Refused> {
    let body = &change.body;
    if body.site != policy.site {
        return Err(Refused::new(Code::ChangeSite, format!("the change belongs to site {}", body.site)));
    }
    if let Some(problem) = body.problems().first() {
        return Err(Refused::new(Code::ChangeInvalid, problem.clone()));
    }
    let keys = policy.keys_for(&body.author, Role::Author, now);
    if !keys.iter().any(|k| change.is_signed_with(k.verifier())) {
        let message = format!(
            "no current author key of {} in policy version {} signed it",
            body.author, policy.version
        );
        return Err(Refused::new(Code::ChangeAuthor, message));
    }
    Ok(())
}

/// Step 8: the statement that the repository served is the one that the change names, made by a publisher.
///
/// `listed` is the file as verified against the current repository metadata.
pub fn verify_manifest(
    policy: &Policy,
    listed: &[u8],
    named: &crate::change::ManifestUse,
    now: Timestamp,
) -> Result<Verified<Manifest>, Refused> {
    let verified = verify_publication(policy, listed, now)?;
    let manifest = verified.get();
    let same = verified.digest == named.sha256
        && manifest.name == named.name
        && manifest.team == named.team
        && manifest.version == named.version;
    if !same {
        let message = format!("the repository's {} is not the one that the change names", named.label());
        return Err(Refused::new(Code::ManifestUnknown, message));
    }
    Ok(verified)
}

/// Reads a published manifest and checks its publisher's signature against the policy.
pub fn verify_publication(
    policy: &Policy,
    bytes: &[u8],
    now: Timestamp,
) -> Result<Verified<Manifest>, Refused> {
    let statement = Statement::<Publication>::parse(bytes)
        .map_err(|e| Refused::new(Code::ManifestInvalid, e.to_string()))?;
    let body = &statement.body;
    let keys = policy.keys_for(&body.publisher, Role::Publisher, now);
    if body.site != policy.site || !keys.iter().any(|k| statement.is_signed_with(k.verifier())) {
        let message = format!(
            "no current publisher key of {} in policy version {} signed it",
            body.publisher, policy.version
        );
        return Err(Refused::new(Code::ManifestPublisher, message));
    }
    if let Some(problem) = crate::manifest::validate(&body.manifest).first() {
        return Err(Refused::new(Code::ManifestInvalid, problem.to_string()));
    }
    let Publication { publisher, manifest, .. } = statement.body;
    Ok(Verified { value: manifest, publisher, digest: statement.digest })
}

/// Steps 9 to 12: enough distinct persons approved this revision, this plan set and this host's plan; or the model that it
/// names covers it.
///
/// `own_plan` is the host's stored plan; classes and risk are taken from it and from `sources`, which are of
/// the verified manifests of the change. A refusal says in words who counted and who did not.
pub fn approve(
    policy: &Policy,
    addressed: &Addressed,
    bundle: &Bundle,
    own_plan: &Statement<Plan>,
    sources: &Sources,
    me: &Me<'_>,
    now: Timestamp,
) -> Result<Approved, Refused> {
    approve_for(Purpose::Start, policy, addressed, bundle, (own_plan, sources), me, now)
}

/// The same for putting back what the change has brought: as long as its author asked for, and as the approvals stand.
///
/// # Errors
/// As [`approve`]; `time.over` when the change asks for no corrections, or for none any more.
pub fn stand(
    policy: &Policy,
    addressed: &Addressed,
    bundle: &Bundle,
    own_plan: &Statement<Plan>,
    sources: &Sources,
    me: &Me<'_>,
    now: Timestamp,
) -> Result<Approved, Refused> {
    let body = &addressed.change.body;
    let over = |message: String| Err(Refused::new(Code::TimeOver, message));
    match body.correct_until {
        None => return over(format!("{} does not ask for corrections", body.change_id)),
        Some(end) if now >= end => return over(format!("corrections of {} ended at {end}", body.change_id)),
        Some(_) => {}
    }
    approve_for(Purpose::Correction, policy, addressed, bundle, (own_plan, sources), me, now)
}

fn approve_for(
    purpose: Purpose,
    policy: &Policy,
    addressed: &Addressed,
    bundle: &Bundle,
    (own_plan, sources): (&Statement<Plan>, &Sources),
    me: &Me<'_>,
    now: Timestamp,
) -> Result<Approved, Refused> {
    let change = &addressed.change;
    if bundle.plan_set.change != change.digest {
        return Err(Refused::new(Code::PlanMissing, "the plan set belongs to another change"));
    }
    if bundle.plan_set.plans.get(&me.id()) != Some(&own_plan.digest) {
        return Err(Refused::new(
            Code::PlanMissing,
            "the approved plan set does not contain this host's plan",
        ));
    }
    if own_plan.body.change != change.digest {
        return Err(Refused::new(Code::PlanMissing, "this host's plan was made for another revision"));
    }
    let classes = sources.classes_with(own_plan.body.classes());
    if let Some(class) = classes.iter().find(|c| !change.body.action_classes.contains(c)) {
        let message = format!("the change would run {class}, which its author did not allow");
        return Err(Refused::new(Code::PlanClass, message));
    }
    let hearing = Hearing::of(policy, change, &bundle.approvals, now);
    let case = Case {
        purpose,
        change: &change.body,
        publishers: sources.publishers(),
        agent: me.id(),
        host_class: me.host_class,
        classes: &classes,
        risk: risk_of(&classes),
        plan_set: bundle.plan_set.digest(),
    };
    match judge(policy, &case, &hearing, now).verdict {
        Verdict::Denied(refused) => Err(refused),
        Verdict::Allowed { voices, approvals, glass } => {
            let counted = bundle.approvals.iter().filter(|word| approvals.contains(&word.digest));
            // Whoever breaks the glass speaks of a few hosts and leaves nobody out.
            let counted = counted.filter(|_| glass.is_none()).map(|word| &word.body);
            let (reach, change) = (Reach::of(counted), change.clone());
            Ok(Approved { change, plan_set: case.plan_set, voices, approvals, purpose, glass, reach })
        }
    }
}

/// Step 18, taken here, so that a host has its proofs before its window opens: the ledger holds what is to be begun and
/// whoever approved it, where the policy asks for that.
///
/// # Errors
/// `log.unproven`: something is not proven yet; the host waits.
pub fn logged(policy: &Policy, approved: &Approved, held: &Held) -> Result<Logged, Refused> {
    if !policy.log.proof_before_start {
        return Ok(Logged(()));
    }
    let body = &approved.change.body;
    let what = match approved.logged_as().find(|(digest, kind)| !held.has(&policy.log, digest, *kind)) {
        None => return Ok(Logged(())),
        Some((_, LeafKind::Change)) => format!("revision {} of {}", body.revision, body.change_id),
        Some((digest, _)) => format!("the approval {digest} of {}", body.change_id),
    };
    let seen = match policy.log.quorum {
        0 => String::new(),
        quorum => format!(" and {quorum} of its witnesses have seen it there"),
    };
    let message = format!(
        "the server has not proven that the ledger holds {what}{seen}; policy version {} asks for that",
        policy.version
    );
    Err(Refused::new(Code::LogUnproven, message))
}
