//! The policy: who and what counts at a site. Signed by governance keys that the server does not hold.
//!
//! Owns the document and its checks (here), whose word a signature is (`hearing`, `delegation`), what a rule counts
//! (`tally`), whom and in which order (`groups`), what starts without an approval (`model`), who stands for quorum and window alone (`glass`), the judgement of
//! all that (`judge`), and what counts as proof of the ledger (`log`).
//! Never: a default that allows; no rule, no approver, no policy means no change.

mod asked;
mod delegation;
mod glass;
mod groups;
mod hearing;
mod judge;
mod log;
mod model;
mod tally;
#[cfg(test)]
mod tests;
mod witnesses;

pub use asked::asked;
pub use delegation::Delegation;
pub use glass::{GlassRules, REVIEW_SECS, is_carried};
pub use groups::Group;
pub use hearing::{Hearing, VerifiedApproval, verify_approval};
pub use judge::{Case, Judgement, Purpose, Verdict, corrections_until, judge, required};
pub use log::{Doubt, Held, LogRules};
pub use model::{DAY_SECS, Model};
pub use tally::Voice;
pub use witnesses::Look;

use crate::assessment::RiskRule;
use crate::change::ChangeType;
use crate::conflict::{ConflictKind, ConflictRules};
use crate::digest::Digest;
use crate::governance::{Holder, Keeper};
use crate::ids::{GroupName, HostClass, ModelName, PersonId, SiteId};
use crate::keys::{AnyKey, PublicKey};
use crate::limits;
use crate::release::Vendor;
use crate::risk::{ActionClass, Risk};
use crate::signature::{KeyKind, Verifier};
use crate::strict::{self, ReadError};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a key may be used for. A role of a person is: having a key for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Author,
    Publisher,
    Approver,
    BreakGlass,
    Auditor,
}

/// How independent of the server a person was when signing; ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assurance {
    /// The server rendered what was signed: protects against outsiders, not against a taken-over server.
    ServerRendered,
    /// Own tool fetched, verified and rendered the host-signed plans.
    Independent,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonKey {
    pub public: AnyKey,
    #[serde(default, skip_serializing_if = "KeyKind::is_file")]
    pub kind: KeyKind,
    pub roles: BTreeSet<Role>,
    pub assurance: Assurance,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}

impl PersonKey {
    /// A key file that this person opens with an own tool, without an end.
    pub fn file(public: PublicKey, roles: &[Role]) -> Self {
        Self {
            public: public.into(),
            kind: KeyKind::File,
            roles: roles.iter().copied().collect(),
            assurance: Assurance::Independent,
            not_after: None,
        }
    }

    /// For holding signatures against it.
    pub fn verifier(&self) -> Verifier<'_> {
        Verifier { key: &self.public, kind: &self.kind }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    pub id: PersonId,
    pub name: String,
    pub keys: Vec<PersonKey>,
}

/// Which cases a rule is about. An absent field matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_types: Option<BTreeSet<ChangeType>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_classes: Option<BTreeSet<ActionClass>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_classes: Option<BTreeSet<HostClass>>,
    /// The plan's risk is at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_risk: Option<Risk>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DistinctFrom {
    Author,
    Publisher,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Require {
    /// Distinct persons, at least 1.
    pub approvals: u32,
    #[serde(default)]
    pub distinct_from: BTreeSet<DistinctFrom>,
    pub min_assurance: Assurance,
    /// An approval is good for at most so many hours after it was signed.
    pub max_validity_h: u32,
    /// An approval also covers, for so many hours after it was signed, that hosts put back what the change brought.
    /// 0: not at all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_correction_h: u32,
    /// Only the words of these persons count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<GroupName>,
    /// Each person of the group is needed whom nothing else bars, and at least `approvals`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everyone: bool,
    /// Names of rules that come first: where they match too, only words count that were signed when those were satisfied.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<String>,
}

impl Require {
    /// The words of so many approvers, given with an own tool, each good for so many hours; nothing else.
    pub fn of(approvals: u32, max_validity_h: u32) -> Self {
        Self {
            approvals,
            distinct_from: BTreeSet::new(),
            min_assurance: Assurance::Independent,
            max_validity_h,
            max_correction_h: 0,
            from: None,
            everyone: false,
            after: BTreeSet::new(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// All rules that match a case must be satisfied, and each action class needs at least one that matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: String,
    #[serde(rename = "match", default)]
    pub matches: Match,
    pub require: Require,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockRules {
    /// Seconds by which a signed time may differ from the host's clock.
    pub max_skew_s: u32,
    /// Hours without contact to the server after which a host starts no change.
    pub offline_grace_h: u32,
}

/// The policy document (repository target `policy.json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Always `assent-policy/1`.
    pub schema: String,
    pub site: SiteId,
    /// Grows with each edition; hosts refuse an older one.
    pub version: u64,
    pub issued: Timestamp,
    /// One person holds every role: approvals are self-approvals and are marked as such everywhere.
    pub one_person: bool,
    pub persons: Vec<Person>,
    pub rules: Vec<Rule>,
    pub clock: ClockRules,
    pub log: LogRules,
    /// SHA-256 of the SubjectPublicKeyInfo of each certificate authority that hosts accept.
    pub ca_spki: Vec<Digest>,
    pub server_urls: Vec<String>,
    /// Whose releases may take the agent's place; absent: nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Vendor>,
    /// Who may approve in whose place, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delegations: Vec<Delegation>,
    /// Persons whom rules name together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
    /// How the risk of changes as a whole is shown to people; absent: by the rules that come with the program. No host
    /// reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risk_rules: Vec<RiskRule>,
    /// Which conflicts keep a change from being approved; absent: none. No host reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<ConflictRules>,
    /// What standard changes may bring without an approval of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Model>,
    /// What whoever breaks the glass is held to; absent: to the longest that there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breakglass: Option<GlassRules>,
    /// Who holds which governance key, for people; which keys govern is in the root alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub governance: Vec<Holder>,
}

/// A change lives 90 days, and so does what stands on its approvals.
const LONGEST_CORRECTION_H: u32 = 90 * 24;

/// The schema name that this version reads and writes.
pub const SCHEMA: &str = "assent-policy/1";

impl Policy {
    /// Reads and checks a policy document.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        let policy: Self = strict::from_json("the policy", bytes, limits::POLICY_BYTES)?;
        match policy.problems().first() {
            None => Ok(policy),
            Some(problem) => Err(ReadError::Invalid { what: "the policy", why: problem.clone() }),
        }
    }

    /// Everything that is wrong with the document itself.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.schema != SCHEMA {
            problems
                .push(format!("schema is {:?}, this version reads {SCHEMA}", strict::shorten(&self.schema)));
        }
        if self.persons.len() > limits::POLICY_PERSONS {
            problems.push(format!("{} persons; at most {}", self.persons.len(), limits::POLICY_PERSONS));
        }
        let mut ids = BTreeSet::new();
        let mut keys = BTreeSet::new();
        for person in &self.persons {
            if !ids.insert(&person.id) {
                problems.push(format!("person {} is listed twice", person.id));
            }
            for key in &person.keys {
                if !keys.insert(key.public) {
                    problems.push(format!(
                        "a key of {} is listed twice; one key belongs to one person",
                        person.id
                    ));
                }
                if let Some(problem) = key.kind.problem(&key.public) {
                    problems.push(format!("the key {} of {}: {problem}", key.public, person.id));
                }
            }
        }
        for rule in &self.rules {
            if rule.require.approvals == 0 {
                problems.push(format!("rule {:?} asks for no approval; at least 1 is needed", rule.name));
            }
            if rule.require.max_correction_h > LONGEST_CORRECTION_H {
                problems.push(format!(
                    "rule {:?} lets corrections stand for {} hours; at most {LONGEST_CORRECTION_H}",
                    rule.name, rule.require.max_correction_h
                ));
            }
        }
        problems.extend(self.step_problems());
        problems.extend(self.risk_rules.iter().filter_map(RiskRule::problem));
        if self.risk_rules.len() > limits::POLICY_RISK_RULES {
            let (count, most) = (self.risk_rules.len(), limits::POLICY_RISK_RULES);
            problems.push(format!("{count} risk rules; at most {most}"));
        }
        problems.extend(self.standing_problems());
        if let Some(vendor) = &self.vendor {
            problems.extend(vendor.problems());
            if vendor.keys.iter().any(|key| keys.contains(&AnyKey::from(*key))) {
                problems.push("vendor.keys names the key of a person; one key has one purpose".into());
            }
        }
        problems.extend(self.holder_problems(&keys));
        problems.extend(self.log.problems());
        if self.log.witnesses.iter().any(|witness| keys.contains(&AnyKey::from(*witness.public()))) {
            problems.push("log.witnesses names the key of a person; one key has one purpose".into());
        }
        problems
    }

    /// What is wrong with the notes about governance keys; `keys` are those of persons.
    fn holder_problems(&self, keys: &BTreeSet<AnyKey>) -> Vec<String> {
        let mut problems = Vec::new();
        let mut known = BTreeSet::new();
        for Holder { public, keeper } in &self.governance {
            if !known.insert(public) {
                problems.push(format!("governance names the key {public} twice"));
            }
            if keys.contains(&AnyKey::from(*public)) {
                problems
                    .push(format!("governance names {public}, the key of a person; one key has one purpose"));
            }
            if let Keeper::Person(id) = keeper
                && self.person(id).is_none()
            {
                problems.push(format!("governance names {id}, who is not a person of the policy"));
            }
        }
        if known.len() > limits::TUF_KEYS {
            problems.push(format!("governance names more than {} keys", limits::TUF_KEYS));
        }
        problems
    }

    /// What is wrong with authority that lasts: delegations and models.
    fn standing_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (what, count, most) in [
            ("delegations", self.delegations.len(), limits::POLICY_DELEGATIONS),
            ("models", self.models.len(), limits::POLICY_MODELS),
        ] {
            if count > most {
                problems.push(format!("{count} {what}; at most {most}"));
            }
        }
        problems.extend(self.delegations.iter().flat_map(|delegation| delegation.problems(self)));
        let mut names = BTreeSet::new();
        for model in &self.models {
            if !names.insert(&model.name) {
                problems.push(format!("model {} is listed twice", model.name));
            }
            problems.extend(model.problems(self.issued));
        }
        problems.extend(self.breakglass.iter().filter_map(GlassRules::problem));
        problems
    }

    /// Rules that no change could satisfy at `now`, whoever its author is: too few persons may approve.
    pub fn rules_out_of_reach(&self, now: Timestamp) -> Vec<&Rule> {
        let with = |role| {
            let has = move |person: &&Person| !self.keys_for(&person.id, role, now).is_empty();
            self.persons.iter().filter(has).map(|person| &person.id).collect::<BTreeSet<_>>()
        };
        let (authors, approvers) = (with(Role::Author), with(Role::Approver));
        let reached = |rule: &&Rule| {
            let group = rule.require.from.as_ref().map(|name| self.members(name));
            let left = |author: &PersonId| {
                let apart = rule.require.distinct_from.contains(&DistinctFrom::Author);
                let able = approvers.iter().filter(|id| group.is_none_or(|group| group.contains(**id)));
                able.filter(|id| !apart || ***id != *author).count()
            };
            let most = authors.iter().map(|author| left(author)).max();
            most.is_some_and(|most| most >= rule.require.approvals as usize)
        };
        self.rules.iter().filter(|rule| !reached(rule)).collect()
    }

    /// Whether a change of this type is not approved while it has such a conflict.
    pub fn blocks(&self, of: ChangeType, kind: ConflictKind) -> bool {
        self.conflicts.as_ref().is_some_and(|rules| rules.blocks(of, kind))
    }

    pub fn model(&self, name: &ModelName) -> Option<&Model> {
        self.models.iter().find(|model| model.name == *name)
    }

    pub fn person(&self, id: &PersonId) -> Option<&Person> {
        self.persons.iter().find(|p| p.id == *id)
    }

    /// The keys of a person that may be used for `role` at `now`.
    pub fn keys_for(&self, id: &PersonId, role: Role, now: Timestamp) -> Vec<&PersonKey> {
        self.current_keys(id, now).filter(|key| key.roles.contains(&role)).collect()
    }

    /// The keys of a person that are in use at `now`, whatever for.
    fn current_keys(&self, id: &PersonId, now: Timestamp) -> impl Iterator<Item = &PersonKey> {
        let keys = self.person(id).into_iter().flat_map(|person| &person.keys);
        keys.filter(move |key| key.not_after.is_none_or(|end| now < end))
    }
}
