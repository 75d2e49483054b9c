//! Admission: the checks that stand between a pulled change and the first step, in their binding order.
//!
//! Each check gives a token that only this module can make; `apply` on the host takes all of them by value,
//! so leaving one out does not compile. Pure: the host's state and `now` are arguments.

use crate::approval::Reach;
use crate::budgets::Slots;
use crate::bundle::{Bundle, Control};
use crate::change::Change;
use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::ids::{AgentId, BudgetName, HostClass, PersonId};
use crate::keys::PublicKey;
use crate::ledger::LeafKind;
use crate::limits;
use crate::manifest::{HealthCheck, Manifest};
use crate::plan::Plan;
use crate::policy::{Case, Hearing, Held, Policy, Purpose, Role, Verdict, Voice, judge};
use crate::publication::Publication;
use crate::receipt::{Receipt, open_chained};
use crate::refusal::{Code, Refused};
use crate::risk::{ActionClass, risk_of};
use crate::statement::Statement;
use crate::time::{Interval, Timestamp};
use crate::windows::Closed;
use std::collections::{BTreeMap, BTreeSet};

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

/// Proof that a start falls into a signed interval.
#[derive(Clone, Copy, Debug)]
pub struct InWindow {
    interval: Interval,
    open: Interval,
}

impl InWindow {
    /// The signed interval, whole.
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// What is left of it before a blackout begins: no step starts after its end.
    pub fn open(&self) -> Interval {
        self.open
    }

    fn of(interval: Interval, change: &Change, closed: Closed<'_>, now: Timestamp) -> Result<Self, Refused> {
        Ok(Self { interval, open: closed.leaves(change.change_type, interval, now)? })
    }
}

/// Proof that the gate of the host's wave holds and nothing halts the change.
#[derive(Clone, Copy, Debug)]
pub struct GateOpen {
    wave: usize,
    slowest_s: i64,
}

impl GateOpen {
    pub fn wave(&self) -> usize {
        self.wave
    }

    /// Seconds that the slowest host of earlier waves took that succeeded, as they tell; 0 where none has told.
    pub fn slowest_s(&self) -> i64 {
        self.slowest_s
    }
}

/// Proof that it is this host's turn: the gate holds, and the host has a slot of each budget that covers it.
#[derive(Clone, Debug)]
pub struct Turn {
    wave: usize,
    slots: BTreeSet<BudgetName>,
}

impl Turn {
    pub fn wave(&self) -> usize {
        self.wave
    }

    /// The budgets of which the host has a slot for this run.
    pub fn slots(&self) -> &BTreeSet<BudgetName> {
        &self.slots
    }
}

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

/// Steps 5 to 7: nothing retroactive, well-formed, this site, author of the policy, names this host by its key.
pub fn address(
    policy: &Policy,
    change: Statement<Change>,
    me: &Me<'_>,
    now: Timestamp,
) -> Result<Addressed, Refused> {
    let body = &change.body;
    // Before anything else, and whoever approved it: what is accepted afterwards is no way to apply something.
    if body.is_retroactive() {
        let message =
            format!("{} is retroactive: it accepts what was found, and no host runs it", body.change_id);
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

/// Step 13: a start at `now` falls into a signed interval and into no blackout; `last_contact` is when the server last
/// answered.
///
/// # Errors
/// `time.*`.
pub fn in_window(
    policy: &Policy,
    change: &Change,
    closed: Closed<'_>,
    now: Timestamp,
    last_contact: Timestamp,
) -> Result<InWindow, Refused> {
    in_contact(policy, now, last_contact)?;
    InWindow::of(change.interval_at(now)?, change, closed, now)
}

/// A run that would not end in what is left of its interval does not begin: half as much time again is kept free as the
/// slowest one took that was measured.
///
/// # Errors
/// `time.late`, until the next interval that counts.
pub fn ends_in_time(
    window: &InWindow,
    change: &Change,
    slowest_s: i64,
    now: Timestamp,
) -> Result<(), Refused> {
    let needed = slowest_s.saturating_add(slowest_s / 2);
    let left = window.open.until.since(now);
    if needed <= left {
        return Ok(());
    }
    let message = format!(
        "the slowest run so far took {slowest_s} s, so that {needed} s are kept free, and there are {left} s until {}",
        window.open.until
    );
    let next = change.usable().find(|interval| interval.from >= window.interval.until);
    Err(Refused { retry_at: next.map(|interval| interval.from), ..Refused::new(Code::TimeLate, message) })
}

/// The same for what is approved: where somebody has broken the glass, that person's hours are the window, no blackout
/// holds it, and whether the server can be reached is not asked.
///
/// # Errors
/// `time.*`.
pub fn in_time(
    policy: &Policy,
    approved: &Approved,
    closed: Closed<'_>,
    now: Timestamp,
    last_contact: Timestamp,
) -> Result<InWindow, Refused> {
    let change = &approved.change.body;
    let Some(interval) = approved.glass else {
        return in_window(policy, change, closed, now, last_contact);
    };
    if now >= change.not_after {
        return Err(Refused::new(Code::TimeOver, format!("the change ended at {}", change.not_after)));
    }
    if now >= interval.until {
        let message = format!("the glass was broken until {}", interval.until);
        return Err(Refused::new(Code::ApprovalExpired, message));
    }
    Ok(InWindow { interval, open: interval })
}

/// The same for corrections: from the first interval, in which the change came, until they end.
///
/// # Errors
/// `time.*`.
pub fn in_correction_window(
    policy: &Policy,
    change: &Change,
    closed: Closed<'_>,
    now: Timestamp,
    last_contact: Timestamp,
) -> Result<InWindow, Refused> {
    in_contact(policy, now, last_contact)?;
    let interval = change.correction_interval();
    match interval.filter(|interval| interval.contains(now)) {
        Some(interval) => InWindow::of(interval, change, closed, now),
        None => Err(Refused::new(Code::TimeOver, "it is not the time for corrections of this change")),
    }
}

fn in_contact(policy: &Policy, now: Timestamp, last_contact: Timestamp) -> Result<(), Refused> {
    let grace = i64::from(policy.clock.offline_grace_h) * 3_600;
    if now.since(last_contact) <= grace {
        return Ok(());
    }
    let message = format!(
        "no contact to the server since {last_contact}; after {} hours nothing starts",
        grace / 3_600
    );
    Err(Refused::new(Code::TimeOffline, message))
}

fn not_halted(change: &Change, control: &Control) -> Result<(), Refused> {
    if !control.halted.contains(&change.change_id) {
        return Ok(());
    }
    Err(Refused::new(Code::ChangeHalted, format!("{} is halted by an operator", change.change_id)))
}

/// Step 14 for a correction: the host had its turn; only a halt stops it.
///
/// # Errors
/// `change.halted`, `change.not_for_me`.
pub fn correction_gate(change: &Change, control: &Control, me: AgentId) -> Result<GateOpen, Refused> {
    not_halted(change, control)?;
    let nowhere = || Refused::new(Code::ChangeNotForMe, "this host is in no wave");
    change.wave_of(me).map(|wave| GateOpen { wave, slowest_s: 0 }).ok_or_else(nowhere)
}

/// Step 14: nothing halts the change and the gate of the host's wave holds.
///
/// Hosts that `reach` leaves out need not succeed: the gate is as if they were not there, but one success it always needs.
pub fn open_gate(
    statement: &Statement<Change>,
    control: &Control,
    gate_receipts: &[Envelope],
    reach: &Reach,
    me: AgentId,
    now: Timestamp,
) -> Result<GateOpen, Refused> {
    let change = &statement.body;
    not_halted(change, control)?;
    let Some(wave) = change.wave_of(me) else {
        return Err(Refused::new(Code::ChangeNotForMe, "this host is in no wave"));
    };
    let Some(gate) = change.waves.get(wave).and_then(|w| w.gate) else {
        return Ok(GateOpen { wave, slowest_s: 0 });
    };
    let earlier: BTreeSet<AgentId> =
        change.waves.iter().take(wave).flat_map(|w| w.agents.iter().copied()).collect();
    // A host that told two ends counts as failed: the server chooses what it shows, and in which order. One that
    // waits for its reboot is neither; it tells its end later.
    let mut ends: BTreeMap<AgentId, bool> = BTreeMap::new();
    let (mut last, mut slowest_s) = (Timestamp::default(), 0);
    for envelope in gate_receipts {
        let Ok(receipt) = open_chained::<Receipt>(&envelope.to_bytes(), &change.site) else { continue };
        let body = &receipt.body;
        // That a host has put something back says nothing about how the change went there.
        let other = body.change != statement.digest || body.corrects.is_some();
        if other || !earlier.contains(&body.header.agent_id) {
            continue;
        }
        // An end in the future would put off everybody else for as long as one host likes.
        let possible = body.finished <= now.plus(limits::CLOCK_SKEW_SECS);
        let Some(good) = body.outcome.succeeded() else { continue };
        *ends.entry(body.header.agent_id).or_insert(true) &= good && possible;
        if possible {
            last = last.max(body.finished);
        }
        if possible && good {
            slowest_s = slowest_s.max(body.finished.since(body.started));
        }
    }
    let count =
        |good: bool| u32::try_from(ends.values().filter(|end| **end == good).count()).unwrap_or(u32::MAX);
    let (good, bad) = (count(true), count(false));
    if bad > gate.max_fail {
        let message = format!("{bad} hosts of earlier waves failed; at most {} may", gate.max_fail);
        return Err(Refused::new(Code::WaveGate, message));
    }
    let absent = |host: &&AgentId| reach.leaves_out(**host) && ends.get(host) != Some(&true);
    let absent = u32::try_from(earlier.iter().filter(absent).count()).unwrap_or(u32::MAX);
    let needed = gate.min_success.saturating_sub(absent).max(1);
    if good < needed {
        let message = format!("{good} of {needed} hosts of earlier waves have succeeded");
        return Err(Refused::new(Code::WaveGate, message));
    }
    let soaked = last.plus(i64::from(gate.soak_s));
    if now < soaked {
        return Err(Refused::until(
            Code::WaveGate,
            format!("earlier waves are watched until {soaked}"),
            soaked,
        ));
    }
    Ok(GateOpen { wave, slowest_s })
}

/// The budgets of which `me` needs a slot. None where somebody has broken the glass: that works without the server.
pub fn budgets_of(approved: &Approved, control: &Control, me: AgentId) -> BTreeSet<BudgetName> {
    let covering = control.budgets.iter().filter(|budget| approved.glass.is_none() && budget.covers(me));
    covering.map(|budget| budget.name.clone()).collect()
}

/// The last step before a start: the server has leased this host a slot of each budget in `needed`, for longer than `now`.
///
/// # Errors
/// `lock.held` with who has the slots, `lock.unanswered`.
pub fn take_turn(
    gate: GateOpen,
    needed: &BTreeSet<BudgetName>,
    answer: Option<&Slots>,
    now: Timestamp,
) -> Result<Turn, Refused> {
    let GateOpen { wave, .. } = gate;
    let unanswered = |budget: &BudgetName| {
        let message = format!("the server has not given this host a slot of the budget {budget}");
        Err(Refused::new(Code::LockUnanswered, message))
    };
    match answer {
        Some(Slots::Held(used)) => Err(used.refused()),
        Some(Slots::Granted(lease)) if now < lease.until => match needed.difference(&lease.budgets).next() {
            Some(missing) => unanswered(missing),
            None => Ok(Turn { wave, slots: lease.budgets.clone() }),
        },
        Some(Slots::Granted(_) | Slots::Free | Slots::Returned) | None => match needed.first() {
            Some(missing) => unanswered(missing),
            None => Ok(Turn { wave, slots: BTreeSet::new() }),
        },
    }
}
