//! How far witnesses of the policy have seen a ledger, and whether that is enough.
//!
//! Witnesses look when they like, so each has seen another size. A leaf counts as seen by all whose checkpoint is larger and
//! is proven to be a beginning of the same ledger.

use super::log::{Doubt, LogRules, fork};
use crate::ledger::{Checkpoint, KeyName, SignedNote, WitnessKey, Witnessed};
use crate::limits;
use crate::time::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;

/// The largest checkpoint that one witness has signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Look {
    pub witness: KeyName,
    /// Number of leaves; 0 when the witness has seen nothing of this ledger.
    pub size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

impl LogRules {
    /// How far each witness has seen the ledger that has reached `now`, in the order of the policy. `now` is accepted already.
    ///
    /// # Errors
    /// A checkpoint that is not of this ledger, or a signature in the name of a witness that is wrong.
    pub fn witnessed(&self, now: &Checkpoint, shown: &[Witnessed]) -> Result<Vec<Look>, Doubt> {
        let look = |key: &WitnessKey| Look { witness: key.name().clone(), size: 0, at: None };
        let mut looks: Vec<Look> = self.witnesses.iter().map(look).collect();
        for Witnessed { checkpoint, consistency } in shown {
            let (seen, _) = self.open(checkpoint)?;
            let differs = |e| fork(format!("witnesses saw a ledger of {} leaves: {e}", seen.size));
            consistency.check(&seen, now).map_err(differs)?;
            let note = SignedNote::parse(checkpoint).map_err(fork)?;
            for (key, look) in self.witnesses.iter().zip(&mut looks) {
                let at = note.cosigned(key).map_err(fork)?;
                if at.is_some() && seen.size > look.size {
                    (look.size, look.at) = (seen.size, at);
                }
            }
        }
        Ok(looks)
    }

    /// The number of leaves that enough witnesses have seen; all, where the policy asks for none.
    pub fn reach(&self, looks: &[Look]) -> u64 {
        let mut sizes: Vec<u64> = looks.iter().map(|look| look.size).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        match (self.quorum as usize).checked_sub(1) {
            None => u64::MAX,
            Some(last) => sizes.get(last).copied().unwrap_or_default(),
        }
    }

    /// What is wrong with the keys of the ledger and its witnesses.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.vkeys.is_empty() {
            problems.push("log.vkeys is empty: nobody could check the ledger".into());
        }
        let (count, most) = (self.witnesses.len(), limits::POLICY_WITNESSES);
        if count > most {
            problems.push(format!("{count} log.witnesses; at most {most}"));
        }
        if self.quorum as usize > count {
            problems.push(format!("log.quorum asks for {} witnesses of {count}", self.quorum));
        }
        let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for key in &self.witnesses {
            if !names.insert(key.name()) || !keys.insert(key.public()) {
                problems.push(format!("log.witnesses names {} or its key twice", key.name()));
            }
        }
        problems
    }
}
