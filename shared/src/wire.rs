//! Messages between agent, command line and server. JSON, strict; pinned by golden files.

mod assessment;
mod budgets;
mod calendars;
mod cmdb;
mod entries;
mod findings;
mod inbox;
mod kpis;
mod mismatches;
mod notes;
mod problem;
mod schedule;
mod webhooks;

pub use assessment::Assessment;
pub use budgets::{Budget, BudgetFile, BudgetLine, BudgetStep, PutBudget};
pub use calendars::{
    AcceptCalendar, Calendar, CalendarFile, CalendarLine, CalendarMode, CalendarStep, PutCalendar,
    PutSubscription, Subscription, WaitingCalendar,
};
pub use cmdb::{
    CiClass, CiPackage, CiRef, CiThen, Criticality, Declare, DeclareDone, DeclareItem, Declared,
    DeclaredFile, DeclaredPage, Impact, ImpactLine, Item, ItemDiff, Lifecycle, Need, NotACiRef, PutSearch,
    Relation, RelationKind, RelationLine, SavedSearch,
};
pub use entries::{CiEvent, CiFile, CiHealth, CiLine, CiState, HealthPoint};
pub use findings::{
    Dispose, Disposition, FindingFile, FindingLine, FindingPage, FindingStep, IgnoreRule, NewIgnoreRule,
    Proposed, SeenFinding,
};
pub use inbox::{InboxItem, InboxKind, MailLine};
pub use kpis::{Excluded, Figure, Kpi, Kpis};
pub use mismatches::{DisposeMismatches, MismatchKind, MismatchLine, MismatchPage, SeenMismatch};
pub use notes::{Addition, ChangeNotes, Remark};
pub use problem::Problem;
pub use schedule::{FreeTimes, ShortBudget, Waiting, WaveLine};
pub use webhooks::{DeliveryLine, DeliveryPage, NewWebhook, WebhookLine, WebhookMade, WebhookTried};

use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::facts::Facts;
use crate::ids::{AgentId, ChangeId, SiteId};
use crate::ledger::{ConsistencyProof, InclusionProof, Witnessed};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What a host says of itself when it checks in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AskWork {
    /// It judged changes in its last tick: its clock can be right, and its repository is good. This clears what it said
    /// before about itself as a whole.
    #[serde(default)]
    pub judges: bool,
}

/// Answer to a check-in that has news (`200`); nothing new is `304` with the same `ETag`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Work {
    pub server_time: Timestamp,
    /// Version of `timestamp.json`; the host refreshes when it is newer than its own.
    pub timestamp_version: u64,
    /// Changes that want a plan from this host: the author-signed revisions.
    pub plan_wishes: Vec<Envelope>,
    /// The place in the host's chain that the server expects next; the host sends again from there.
    pub next_seq: u64,
    /// Digest of the facts that the server holds, if any; other facts are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<crate::digest::Digest>,
    /// Seconds until the next check-in.
    pub poll_s: u32,
}

/// A host's facts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FactsReport {
    pub at: Timestamp,
    pub facts: Facts,
}

/// What changed in a host's facts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FactsChange {
    pub at: Timestamp,
    pub delta: crate::facts::Delta,
}

/// The server has made a statement durable and proves it: the host may drop it from its spool.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Recorded {
    pub inclusion: InclusionProof,
    /// Signed note of the checkpoint that the proof leads to.
    pub checkpoint: String,
    /// From the checkpoint that the host named, when it named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<ConsistencyProof>,
}

/// A statement to be recorded, with what a receipt says to gates; `log_size` is the checkpoint that the host holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Record {
    pub statement: Envelope,
    /// Of a receipt: its `Summary`, signed by the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Envelope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_size: Option<u64>,
}

/// A host asks for proofs that statements about a change are in the ledger; `log_size` is the checkpoint that it holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AskProofs {
    /// Digests of statements, at most 65.
    pub statements: Vec<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_size: Option<u64>,
}

/// One checkpoint, and a proof of each wanted statement that the ledger holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Proofs {
    /// Signed note of the checkpoint that all proofs lead to.
    pub checkpoint: String,
    pub inclusion: Vec<InclusionProof>,
    /// From the checkpoint that the host named, when it named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<ConsistencyProof>,
    /// What witnesses have seen of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witnessed: Vec<Witnessed>,
}

/// A witness has looked at the ledger: the signed note of the checkpoint, with its line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cosigned {
    pub checkpoint: String,
}

/// How far one witness of the policy has seen the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WitnessSeen {
    /// Name and key (C2SP signed-note, type 4).
    pub witness: String,
    /// Its largest checkpoint of the ledger as it is now, with the proof that the ledger went on from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Witnessed>,
    /// When the server took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Timestamp>,
}

/// The newest checkpoint, and what witnesses have seen of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WitnessList {
    pub checkpoint: String,
    pub witnesses: Vec<WitnessSeen>,
}

/// A host joins (no client certificate yet; the server's key is pinned by the join command).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Join {
    pub enrolment: Envelope,
    /// The one-time secret of the join command.
    pub token: String,
}

/// The answer to a join or a renewal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Joined {
    pub site: SiteId,
    pub agent: AgentId,
    /// Client certificate, PEM.
    pub certificate: String,
    /// The site's certificate authority, PEM; hosts accept it only if the policy pins its key.
    pub ca: String,
    /// Where agents connect, `host:port`.
    pub agent_address: String,
    /// `1.root.json`; its digest must be the one in the join command.
    pub root: String,
    /// Proof of the enrolment in the ledger; absent in the answer to a renewal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Recorded>,
}

/// Records of the audit trail, newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditPage {
    pub records: Vec<crate::audit::AuditRecord>,
    /// There are older ones.
    pub more: bool,
}

/// What the labels of a host shall be, in place of those before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PutLabels {
    /// Why; kept in the history of the host.
    pub reason: String,
    pub labels: crate::strict::Map<String, String>,
}

/// Why a host is shut out, or let in again; kept in its history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Because {
    pub reason: String,
}

/// A managed host as the server lists it. `agent_key` can be checked against `agent` by anybody.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HostLine {
    pub ci: String,
    pub hostname: String,
    pub agent: AgentId,
    pub agent_key: crate::keys::PublicKey,
    pub host_class: crate::ids::HostClass,
    pub labels: crate::strict::Map<String, String>,
    pub enabled: bool,
    /// Why the host gets no new work although it is enabled, as when two machines use its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// The change with which it left for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_by: Option<ChangeId>,
}

/// One step of a change's course.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CourseStep {
    pub at: Timestamp,
    pub event: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

/// An evidence bundle that left the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExportLine {
    pub id: String,
    pub person: crate::ids::PersonId,
    pub at: Timestamp,
}

/// A change in lists.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChangeLine {
    pub change_id: ChangeId,
    pub revision: u32,
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    pub title: String,
    pub author: crate::ids::PersonId,
    pub targets: u32,
    pub plans: u32,
    /// Hosts of each plan class, the largest class first: how many different plans there are to look at.
    pub plan_classes: Vec<u32>,
    pub reported: u32,
    /// It accepts findings; hosts never get it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retroactive: bool,
    /// It takes hosts out of the register; hosts never get it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retires: bool,
    /// It was an emergency, a host failed, or somebody broke the glass: until then people look at what was done, and the
    /// change is not closed without a review.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_due: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_interval: Option<crate::time::Interval>,
    /// Its number of the year, such as `N-2026-0014`, once it was submitted: gap-free for each kind (standard, normal,
    /// emergency, retroactive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub register: Option<String>,
    /// Objections of people that nobody has answered.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub objections: u32,
    /// It is one occurrence of this series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<crate::ids::SeriesName>,
    /// A draft that is submitted by itself then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submit_at: Option<Timestamp>,
}

/// Changes that come again, as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SeriesLine {
    pub name: crate::ids::SeriesName,
    /// Of its latest occurrence.
    pub title: String,
    /// Occurrences that are not closed.
    pub open: u32,
    /// All occurrences.
    pub all: u32,
    /// When the last occurrence ends that there is: whoever wants more makes them before.
    pub last_end: Timestamp,
}

/// When a draft is submitted by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubmitLater {
    pub at: Timestamp,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Everything the server holds about one change; whoever needs certainty verifies the statements in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChangeFile {
    pub line: ChangeLine,
    pub change: Envelope,
    /// The plans of the hosts, as signed by them.
    pub plans: Vec<Envelope>,
    /// Refusals of hosts about this revision (planning or running).
    pub refusals: Vec<Envelope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_set: Option<crate::plan::PlanSet>,
    pub approvals: Vec<Envelope>,
    pub receipts: Vec<Envelope>,
    /// Of a retroactive change: the findings that it accepts, as their hosts signed them, in the change's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Envelope>,
    /// Of a change that retires hosts: how each of them and of their successors joined, in the change's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enrolments: Vec<Envelope>,
    /// Six words for the revision and its plan set (the proposed one, or else all plans), to compare with what `assent change
    /// show` makes of the signed documents.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub words: String,
}

/// An approval with the plan set that its person saw.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Approve {
    pub plan_set: crate::plan::PlanSet,
    pub approval: Envelope,
}

/// Why a host is not changing yet, for one change.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Why {
    pub hostname: String,
    pub agent: AgentId,
    pub change_id: ChangeId,
    /// `waiting`, `refused`, `running`, `reported` or `not_targeted`.
    pub standing: String,
    pub code: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// The host's signed refusal, when it sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Envelope>,
}

/// What hosts tell of a change while it runs, from a place on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProgressPage {
    /// In the order in which they arrived; the oldest ones may not be kept any more.
    pub messages: Vec<ProgressLine>,
    /// Every host of the change.
    pub hosts: Vec<ProgressHost>,
    pub revision: u32,
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// There are more messages than these.
    pub more: bool,
}

/// One message, as its host signed it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProgressLine {
    /// To ask for what comes after it.
    pub place: u64,
    /// A signed `Progress`.
    pub statement: Envelope,
}

/// Where a host stands with a change, in the server's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProgressHost {
    pub agent: AgentId,
    /// Digest of its receipt, once it has reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<crate::digest::Digest>,
    /// Whether it succeeded; absent while that is not decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<bool>,
}

/// Asks for a join token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Invite {
    pub host_class: crate::ids::HostClass,
    #[serde(default)]
    pub labels: crate::strict::Map<String, String>,
    /// 1 to 60.
    pub minutes: u32,
}

/// Everything that the join command of one host needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Invitation {
    /// The one-time secret; it is in this answer only.
    pub token: String,
    pub expires: Timestamp,
    pub host_class: crate::ids::HostClass,
    pub site: SiteId,
    pub root_sha256: crate::digest::Digest,
    /// Address of the people port, where hosts join.
    pub server: String,
    /// SHA-256 of the SubjectPublicKeyInfo of the server's certificate on that port.
    pub pin: crate::digest::Digest,
    /// Address of the proxy that ends TLS for hosts which cannot reach the server itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
}

/// A host asks for a new certificate.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Renew {
    /// A signed `Renewal`.
    pub envelope: Envelope,
}
