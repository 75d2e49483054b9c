//! The policy: who and what counts at a site. Signed by governance keys that the server does not hold.
//!
//! Owns the document and its checks (here) and the judgement of approvals against it (`judge`).
//! Never: a default that allows; no rule, no approver, no policy means no change.

mod judge;

pub use judge::{
    Case, Judgement, Purpose, Verdict, VerifiedApproval, corrections_until, judge, required, verify_approval,
};

use crate::change::ChangeType;
use crate::digest::Digest;
use crate::ids::{HostClass, PersonId, SiteId};
use crate::keys::PublicKey;
use crate::limits;
use crate::release::Vendor;
use crate::risk::{ActionClass, Risk};
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
    pub public: PublicKey,
    pub roles: BTreeSet<Role>,
    pub assurance: Assurance,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
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
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_zero(hours: &u32) -> bool {
    *hours == 0
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogRules {
    /// Verifier keys of the ledger (signed-note form); the first is the current one.
    pub vkeys: Vec<String>,
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
        if let Some(vendor) = &self.vendor {
            problems.extend(vendor.problems());
            if vendor.keys.iter().any(|key| keys.contains(key)) {
                problems.push("vendor.keys names the key of a person; one key has one purpose".into());
            }
        }
        if self.log.vkeys.is_empty() {
            problems.push("log.vkeys is empty: nobody could check the ledger".into());
        }
        problems
    }

    pub fn person(&self, id: &PersonId) -> Option<&Person> {
        self.persons.iter().find(|p| p.id == *id)
    }

    /// The keys of a person that may be used for `role` at `now`.
    pub fn keys_for(&self, id: &PersonId, role: Role, now: Timestamp) -> Vec<&PersonKey> {
        let fits = |k: &&PersonKey| k.roles.contains(&role) && k.not_after.is_none_or(|end| now < end);
        self.person(id).map(|p| p.keys.iter().filter(fits).collect()).unwrap_or_default()
    }

    /// Who holds `key`, whatever it may be used for.
    pub fn holder(&self, key: &PublicKey) -> Option<(&Person, &PersonKey)> {
        self.persons.iter().find_map(|p| p.keys.iter().find(|k| k.public == *key).map(|k| (p, k)))
    }
}
