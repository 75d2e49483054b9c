//! Disruption budgets: how many hosts of a group may be changing at once.
//!
//! Whoever starts takes a leased slot of each budget that covers the host, last of all: when everything else holds. The
//! server gives slots out and can only hold hosts back with them, so nobody signs a budget with an own key.

use crate::digest::Digest;
use crate::ids::{AgentId, BudgetName};
use crate::refusal::{Code, Refused};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Holders that a sentence names.
const NAMED: usize = 5;

/// A budget as hosts hear of it: whom it covers. How many slots there are only the server needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetNotice {
    pub name: BudgetName,
    /// The hosts that need a slot of it; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<BTreeSet<AgentId>>,
}

impl BudgetNotice {
    pub fn covers(&self, host: AgentId) -> bool {
        self.agents.as_ref().is_none_or(|agents| agents.contains(&host))
    }
}

/// What a host wants to do with slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SlotWish {
    /// Know whether it could have them now; nothing is taken.
    Look,
    /// Have one of each budget that covers it: all of them, or none.
    Take,
    /// Keep those that a run has.
    Keep,
    GiveBack,
}

/// A host's question; asked again, it gets the same slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AskSlots {
    /// Digest of the change's statement.
    pub change: Digest,
    pub wish: SlotWish,
}

/// The server's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Slots {
    /// The host only looked, and could have them.
    Free,
    Granted(Lease),
    /// A budget is used up; the host got no slot of any other one for it either.
    Held(UsedUp),
    Returned,
}

/// Slots of one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Lease {
    /// One slot of each of these; none where no budget covers the host.
    pub budgets: BTreeSet<BudgetName>,
    /// When they end unless the host asks again.
    pub until: Timestamp,
}

/// A budget without a free slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsedUp {
    pub budget: BudgetName,
    pub title: String,
    pub slots: u32,
    /// By the time they took their slots.
    pub holders: Vec<Holder>,
}

/// Who has a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Holder {
    /// Name of the host; of a machine without an agent, as it calls itself.
    pub who: String,
    pub since: Timestamp,
    /// When the slot is free again if the holder is not heard of until then.
    pub until: Timestamp,
}

impl UsedUp {
    /// Why a host does not start. The end of leases is no part of the sentence: it moves on with each renewal.
    pub fn refused(&self) -> Refused {
        let Self { budget, title, slots, holders } = self;
        let mut message = match holders.is_empty() {
            true => format!("the budget {budget} has no slots: {title}"),
            false => {
                let named = holders.iter().take(NAMED);
                let named = named.map(|holder| format!("{} since {}", holder.who, holder.since));
                let named: Vec<String> = named.collect();
                format!("all slots ({slots}) of the budget {budget} are taken: {}", named.join(", "))
            }
        };
        if let more @ 1.. = holders.len().saturating_sub(NAMED) {
            message.push_str(&format!(" and {more} more"));
        }
        if !holders.is_empty() {
            message.push_str(&format!(" ({title})"));
        }
        let refused = Refused::new(Code::LockHeld, message);
        Refused { retry_at: holders.iter().map(|holder| holder.until).min(), ..refused }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(holders: usize) -> UsedUp {
        let holder = |n: usize| Holder {
            who: format!("web{n}"),
            since: Timestamp(0),
            until: Timestamp(900 - i64::try_from(n).unwrap_or_default()),
        };
        let holders = (1..=holders).map(holder).collect();
        UsedUp { budget: "db".parse().unwrap(), title: "one database at a time".into(), slots: 1, holders }
    }

    #[test]
    fn a_sentence_names_some_holders_and_no_time_that_moves() {
        let one = used(1).refused();
        assert_eq!(
            one.message,
            "all slots (1) of the budget db are taken: web1 since 1970-01-01T00:00:00Z (one database at a time)"
        );
        assert_eq!((one.code, one.retry_at), (Code::LockHeld, Some(Timestamp(899))));
        let mut later = used(1);
        later.holders[0].until = Timestamp(5_000);
        assert_eq!(later.refused().message, one.message);
        let many = used(8).refused();
        assert!(many.message.contains("web5") && !many.message.contains("web6"), "{many}");
        assert!(many.message.contains("and 3 more") && many.retry_at == Some(Timestamp(892)), "{many}");
        let none = UsedUp { slots: 0, ..used(0) }.refused();
        assert_eq!(none.message, "the budget db has no slots: one database at a time");
        assert_eq!(none.retry_at, None);
    }
}
