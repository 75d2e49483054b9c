//! The set of governance keys: who holds which, and which next set leaves a site that can still be governed.

use crate::ids::PersonId;
use crate::keys::PublicKey;
use crate::tuf::writer::KeySet;
use serde::{Deserialize, Serialize};

/// Where a governance key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keeper {
    /// On paper, away from every computer: a recovery key.
    Paper,
    /// In a sealed file of this person.
    Person(PersonId),
}

/// Who holds a governance key. It is a note for people: which keys govern, and how many must sign, is in the root alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    pub public: PublicKey,
    pub keeper: Keeper,
}

/// How the set of governance keys shall change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    pub add: Vec<Holder>,
    pub remove: Vec<PublicKey>,
    /// As many as now when absent.
    pub threshold: Option<u32>,
    /// The site may be left without a way back: no key on paper, or no key to spare.
    pub without_recovery: bool,
}

/// Why a set is not proposed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSet {
    #[error("the keys and their threshold would be as they are")]
    Same,
    #[error("the key {0} governs already; one key has one vote, whatever it is called")]
    Already(Box<PublicKey>),
    #[error("the key {0} does not govern this site")]
    Stranger(Box<PublicKey>),
    #[error("at least one signature must be asked for")]
    Zero,
    #[error(
        "{threshold} signatures would be asked for and {keys} keys would be left: nobody could sign a root or policy again"
    )]
    Unreachable { threshold: u32, keys: usize },
    #[error("no key on paper would be left, so a lost or stolen machine could not be made up for")]
    NoPaper,
    #[error("all {0} keys would have to sign, so the loss of one would end the site")]
    NoSpare(u32),
}

/// The next set of keys and its holders, if a site with it can still be governed.
///
/// # Errors
/// Nothing would change; a key is there twice or not at all; the threshold cannot be reached; or a way back would be lost
/// that nobody has said to give up.
pub fn next_set(now: &KeySet, holders: &[Holder], wish: &Wish) -> Result<(KeySet, Vec<Holder>), NoSet> {
    let mut next = now.clone();
    let mut held = holders.to_vec();
    for key in &wish.remove {
        if !next.keys.contains(key) {
            return Err(NoSet::Stranger(Box::new(*key)));
        }
        next.keys.retain(|other| other != key);
        held.retain(|holder| holder.public != *key);
    }
    for holder in &wish.add {
        if next.keys.contains(&holder.public) {
            return Err(NoSet::Already(Box::new(holder.public)));
        }
        next.keys.push(holder.public);
        held.retain(|other| other.public != holder.public);
        held.push(holder.clone());
    }
    next.threshold = wish.threshold.unwrap_or(now.threshold);
    if next == *now {
        return Err(NoSet::Same);
    }
    can_be_governed(&next)?;
    if !wish.without_recovery {
        has_a_way_back(&next, holders, &held)?;
    }
    Ok((next, held))
}

fn can_be_governed(set: &KeySet) -> Result<(), NoSet> {
    let (threshold, keys) = (set.threshold, set.keys.len());
    if threshold == 0 {
        return Err(NoSet::Zero);
    }
    if threshold as usize > keys {
        return Err(NoSet::Unreachable { threshold, keys });
    }
    Ok(())
}

fn has_a_way_back(set: &KeySet, before: &[Holder], after: &[Holder]) -> Result<(), NoSet> {
    let on_paper = |holders: &[Holder]| holders.iter().any(|holder| holder.keeper == Keeper::Paper);
    if on_paper(before) && !on_paper(after) {
        return Err(NoSet::NoPaper);
    }
    if set.threshold as usize == set.keys.len() {
        return Err(NoSet::NoSpare(set.threshold));
    }
    Ok(())
}
