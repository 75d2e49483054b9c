//! Plans: what one host would do for one revision, signed by the host; plan sets and plan classes.

use crate::change::PlanBinding;
use crate::digest::Digest;
use crate::ids::{AgentId, ChangeId, HostClass, ResourceId, SiteId};
use crate::keys::PublicKey;
use crate::limits;
use crate::manifest::{Argv, Conffiles, RuleId, Undo};
use crate::refusal::{Code, Refused};
use crate::risk::{ActionClass, Risk};
use crate::statement::{Predicate, Statement, Subject};
use crate::strict::{self, Map, ReadError};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Verb {
    Create,
    Update,
    Remove,
    Install,
    Upgrade,
    Downgrade,
    Hold,
    Unhold,
    /// An earlier run of the package manager broke off; it is brought to its end first.
    Repair,
    Start,
    Stop,
    Restart,
    Enable,
    Disable,
    Run,
    Reboot,
}

impl Verb {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Remove => "remove",
            Self::Install => "install",
            Self::Upgrade => "upgrade",
            Self::Downgrade => "downgrade",
            Self::Hold => "hold",
            Self::Unhold => "unhold",
            Self::Repair => "repair",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Run => "run",
            Self::Reboot => "reboot",
        }
    }
}

/// How a difference ends that is longer than what is shown.
pub const CUT: &str = "\n(the difference is longer and is cut here)\n";

/// The exact software that a package action ends with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackagePin {
    pub name: String,
    pub arch: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Digest of the package file as the signed repository names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// `Label:suite` of the repository it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Which configuration files win where people and the package both have changed one.
    #[serde(default, skip_serializing_if = "Conffiles::is_old")]
    pub conffiles: Conffiles,
}

/// Whether a step can be taken back; shown before approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reversibility {
    pub undo: UndoContract,
    /// Why not, or under which condition; empty for `yes`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoContract {
    Yes,
    Partly,
    No,
}

impl UndoContract {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Partly => "partly",
            Self::No => "no",
        }
    }
}

impl From<Undo> for Reversibility {
    fn from(undo: Undo) -> Self {
        let (undo, why) = match undo {
            Undo::Yes => (UndoContract::Yes, ""),
            Undo::Partly(why) => (UndoContract::Partly, why),
            Undo::No(why) => (UndoContract::No, why),
        };
        Self { undo, why: why.to_owned() }
    }
}

/// One step that would change the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    pub resource: ResourceId,
    pub verb: Verb,
    pub class: ActionClass,
    /// Digest of the state that was found; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
    /// Digest of the state after the step (content, mode and owner; name and version; program and arguments).
    pub after: Digest,
    /// One line for people.
    pub summary: String,
    /// Readable difference; absent for secrets and where there is nothing to read. One that contains [`CUT`]
    /// is not whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// SHA-256 of the bytes that a file gets, when they change and are no secret: who sees the diff cut can
    /// still be shown exactly these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Digest>,
    pub undo: Reversibility,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackagePin>,
    /// Files of the host that the step runs, its guard and its undo included, with the digest of each.
    #[serde(default, skip_serializing_if = "none")]
    pub programs: Map<String, Digest>,
    /// Rules of benchmarks that the host follows by it, as its author says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub satisfies: Vec<RuleId>,
}

/// A health check that runs a program after the last step. It is no step, but has the power of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthProgram {
    /// Name of the check.
    pub check: String,
    pub run: Argv,
    /// As in [`Action::programs`].
    #[serde(default, skip_serializing_if = "none")]
    pub programs: Map<String, Digest>,
}

/// A resource that is as the change wants it already, of a manifest that corrects: whoever approves the plan also
/// approves that the host puts it back later. What the plan itself brings is approved with its action.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uphold {
    pub resource: ResourceId,
    /// As in [`Action::after`].
    pub after: Digest,
    pub class: ActionClass,
}

fn none(programs: &Map<String, Digest>) -> bool {
    programs.is_empty()
}

impl Action {
    /// What an approval binds: the same resource, the same verb, the same end.
    pub fn effect(&self) -> (&ResourceId, Verb, Digest) {
        (&self.resource, self.verb, self.after)
    }

    /// The effect with its kind: where a path leads may have changed since the approval.
    fn bound(&self) -> (&ResourceId, Verb, Digest, ActionClass) {
        (&self.resource, self.verb, self.after, self.class)
    }
}

/// What one host would do for one revision. Making it changes nothing on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub site: SiteId,
    pub agent_id: AgentId,
    pub key: PublicKey,
    pub hostname: String,
    pub host_class: HostClass,
    pub change_id: ChangeId,
    pub revision: u32,
    /// Digest of the change's statement.
    pub change: Digest,
    pub at: Timestamp,
    pub actions: Vec<Action>,
    /// Health checks that run programs, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<HealthProgram>,
    /// What is to stay as it is, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upholds: Vec<Uphold>,
    /// What an approver should know besides, one line each: updates that a hold mark or an exclusion leaves out,
    /// what can only be planned afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    pub agent_version: semver::Version,
}

impl Predicate for Plan {
    const TYPE: &'static str = "urn:assent:plan:v1";

    fn subjects(&self) -> Vec<Subject> {
        vec![Subject::new(format!("change:{}.{}", self.change_id, self.revision), self.change)]
    }
}

impl Plan {
    pub fn risk(&self) -> Risk {
        self.classes().into_iter().map(ActionClass::risk).max().unwrap_or(Risk::Low)
    }

    pub fn classes(&self) -> BTreeSet<ActionClass> {
        self.actions.iter().map(|a| a.class).chain(self.upholds.iter().map(|u| u.class)).collect()
    }

    /// Equal for hosts that would do the same: everything but identity, name and time.
    pub fn class_digest(&self) -> Digest {
        let (class, actions, health) = (&self.host_class, &self.actions, &self.health);
        if !self.upholds.is_empty() {
            return Digest::of(&strict::to_json(&(class, actions, health, &self.notes, &self.upholds)));
        }
        if self.notes.is_empty() {
            return Digest::of(&strict::to_json(&(class, actions, health)));
        }
        Digest::of(&strict::to_json(&(class, actions, health, &self.notes)))
    }

    /// Checks that this plan, made at run time, does no more than the `approved` one.
    ///
    /// # Errors
    /// `plan.program` naming a program whose bytes nobody approved; `plan.drift` naming the first actions that
    /// nobody approved (or, for `exact`, that are missing).
    pub fn keeps_to(&self, approved: &Plan, binding: PlanBinding) -> Result<(), Refused> {
        self.runs_only(approved)?;
        let allowed: BTreeSet<_> = approved.actions.iter().map(Action::bound).collect();
        let now: BTreeSet<_> = self.actions.iter().map(Action::bound).collect();
        let mut extra = self.actions.iter().filter(|a| !allowed.contains(&a.bound()));
        if let Some(first) = extra.next() {
            let more = extra.count();
            let message = format!(
                "the host would now also {} ({more} more); that is not in the approved plan",
                first.summary
            );
            return Err(Refused::new(Code::PlanDrift, message));
        }
        if binding == PlanBinding::Exact
            && let Some(missing) = approved.actions.iter().find(|a| !now.contains(&a.bound()))
        {
            let message = format!(
                "{} is no longer needed, and the change demands exactly the approved plan",
                missing.summary
            );
            return Err(Refused::new(Code::PlanDrift, message));
        }
        Ok(())
    }

    /// Whether an action only brings back what this approved plan has brought or found: the same resource with the
    /// same end, in a place of no higher class, running no other program. The verb may be another one: a file that
    /// was changed then may have to be created now.
    pub fn covers_return(&self, action: &Action) -> bool {
        let same = |resource: &ResourceId, after: Digest, class: ActionClass| {
            *resource == action.resource && after == action.after && action.class <= class
        };
        let moves =
            !matches!(action.verb, Verb::Run | Verb::Reboot | Verb::Repair) && action.package.is_none();
        let brought = self.actions.iter().any(|a| {
            let verb = moves || a.verb == action.verb && a.verb == Verb::Run;
            verb && same(&a.resource, a.after, a.class) && a.programs == action.programs
        });
        let found = moves && action.programs.is_empty();
        brought || found && self.upholds.iter().any(|u| same(&u.resource, u.after, u.class))
    }

    /// Checks that a correction only brings back what the `approved` plan covers.
    ///
    /// # Errors
    /// `plan.drift` naming the first action that goes beyond it.
    pub fn returns_to(&self, approved: &Plan) -> Result<(), Refused> {
        self.runs_only(approved)?;
        match self.actions.iter().find(|action| !approved.covers_return(action)) {
            None => Ok(()),
            Some(action) => {
                let message = format!("{}: what would come of it is not what was approved", action.resource);
                Err(Refused::new(Code::PlanDrift, message))
            }
        }
    }

    /// Checks that every program file is, byte for byte, the one that was approved.
    fn runs_only(&self, approved: &Plan) -> Result<(), Refused> {
        for now in &self.actions {
            let same = |a: &&Action| a.resource == now.resource && a.verb == now.verb;
            if let Some(then) = approved.actions.iter().find(same) {
                same_programs(now.resource.as_str(), &now.programs, &then.programs)?;
            }
        }
        for now in &self.health {
            let what = format!("health check {:?}", strict::shorten(&now.check));
            let same = |h: &&HealthProgram| h.check == now.check && h.run == now.run;
            let then = approved.health.iter().find(same).ok_or_else(|| {
                Refused::new(Code::PlanProgram, format!("{what} was not in the approved plan"))
            })?;
            same_programs(&what, &now.programs, &then.programs)?;
        }
        Ok(())
    }
}

/// # Errors
/// `plan.program` with the first file that differs.
pub fn same_programs(
    what: &str,
    now: &Map<String, Digest>,
    approved: &Map<String, Digest>,
) -> Result<(), Refused> {
    let paths: BTreeSet<&String> = now.keys().chain(approved.keys()).collect();
    let Some(path) = paths.into_iter().find(|path| now.get(*path) != approved.get(*path)) else {
        return Ok(());
    };
    let (found, wanted) = (now.get(path), approved.get(path));
    let text = match (found, wanted) {
        (Some(found), Some(wanted)) => format!("has sha256 {found}, approved was {wanted}"),
        (Some(_), None) => "was not there to be approved".to_owned(),
        (None, _) => "is not there any more".to_owned(),
    };
    let message = format!("{path}, which {what} runs, {text}; plan and approve again");
    Err(Refused::new(Code::PlanProgram, message))
}

/// Reads a plan and checks that the host itself signed it.
///
/// # Errors
/// A text that says what is wrong: not readable, key and id differ, or not signed by that key.
pub fn open_plan(bytes: &[u8]) -> Result<Statement<Plan>, ReadError> {
    let plan = Statement::<Plan>::parse(bytes)?;
    let invalid = |why: &str| ReadError::Invalid { what: "the plan", why: why.into() };
    if plan.body.key.agent_id() != plan.body.agent_id {
        return Err(invalid("its key does not belong to its agent id"));
    }
    if !plan.is_signed_by(&plan.body.key) {
        return Err(invalid("it is not signed by the host's key"));
    }
    if plan.body.actions.len() > limits::PLAN_ACTIONS {
        return Err(invalid("it has too many actions"));
    }
    if plan.body.upholds.len() > limits::PLAN_ACTIONS {
        return Err(invalid("it upholds too many resources"));
    }
    if plan.body.notes.len() > limits::PLAN_NOTES {
        return Err(invalid("it has too many notes"));
    }
    if plan.body.notes.iter().any(|note| note.len() > limits::TEXT_BYTES) {
        return Err(invalid("one of its notes is too long"));
    }
    Ok(plan)
}

/// What goes where: for each host the digest of its plan. Approvals sign the digest of these bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlanSet {
    /// Digest of the change's statement.
    pub change: Digest,
    pub plans: Map<AgentId, Digest>,
}

impl PlanSet {
    /// The set of a change that nothing is planned for.
    pub fn empty(change: Digest) -> Self {
        Self { change, plans: Map::default() }
    }

    /// The exact bytes whose digest is signed: one JSON object, keys in order, no white space.
    pub fn to_bytes(&self) -> Vec<u8> {
        strict::to_json(self)
    }

    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }
}
