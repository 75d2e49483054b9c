//! Approvals: a person's signed yes, no or withdrawal about one revision and one plan set.

use crate::digest::Digest;
use crate::ids::{AgentId, ChangeId, PersonId, SiteId};
use crate::statement::{Predicate, Subject};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    Approve,
    Reject,
    Withdraw,
}

impl Decision {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Withdraw => "withdraw",
        }
    }
}

/// What the person had before the eyes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saw {
    /// Digest of the plan set's bytes.
    pub plan_set: Digest,
    /// The program that showed it, with its version.
    pub renderer: String,
}

/// Makes an approval stand alone: for the quorum, and for the window (`policy::glass`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// Why nothing else was possible; never empty.
    pub reason: String,
    /// The word is brought to its hosts by a person, and they start without what only the server can tell them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_hand: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    pub site: SiteId,
    pub change_id: ChangeId,
    pub revision: u32,
    /// Digest of the change's statement.
    pub change: Digest,
    pub decision: Decision,
    pub person: PersonId,
    pub at: Timestamp,
    pub expires: Timestamp,
    pub saw: Saw,
    /// When present, the approval holds for these hosts only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<Vec<AgentId>>,
    /// 128 random bits in hex: two approvals never share a digest by accident.
    pub nonce: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Present when the person breaks the glass; such an approval counts in no quorum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breakglass: Option<BreakGlass>,
}

impl Predicate for Approval {
    const TYPE: &'static str = "urn:assent:approval:v1";

    fn subjects(&self) -> Vec<Subject> {
        vec![Subject::new(format!("change:{}.{}", self.change_id, self.revision), self.change)]
    }
}

/// The hosts that approvals name together. Whom all of them leave out does not change, and nobody waits for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach(Option<BTreeSet<AgentId>>);

impl Reach {
    /// Everybody where one of them is for all hosts, or where there is none because no approval is needed.
    pub fn of<'a>(approvals: impl IntoIterator<Item = &'a Approval>) -> Self {
        let mut named: Option<BTreeSet<AgentId>> = None;
        for approval in approvals {
            let Some(agents) = &approval.agents else { return Self::default() };
            named.get_or_insert_default().extend(agents.iter().copied());
        }
        Self(named)
    }

    pub fn leaves_out(&self, agent: AgentId) -> bool {
        self.0.as_ref().is_some_and(|named| !named.contains(&agent))
    }
}

/// The last word of each person, whatever the order in which the statements come: the later one; at equal times the
/// stricter one; then the one with the greater digest. `read` gives the approval and the digest of its statement.
pub fn last_words<T: Copy>(
    all: impl IntoIterator<Item = T>,
    read: impl Fn(T) -> (PersonId, Timestamp, Decision, Digest),
) -> BTreeMap<PersonId, T> {
    let mut last: BTreeMap<PersonId, (_, T)> = BTreeMap::new();
    for item in all {
        let (person, at, decision, digest) = read(item);
        let rank = (at, decision != Decision::Approve, digest);
        match last.get(&person) {
            Some((before, _)) if *before >= rank => {}
            Some(_) | None => {
                last.insert(person, (rank, item));
            }
        }
    }
    last.into_iter().map(|(person, (_, item))| (person, item)).collect()
}
