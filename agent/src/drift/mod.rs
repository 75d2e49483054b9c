//! Drift: what this host should still be like by approved changes, and where it differs.
//!
//! Owns the approved states that runs leave behind, the check against them, the book of findings, and how often what is
//! put back. Never: a change of the machine (`run` does that, with proofs), or a judgement; differences are told as
//! signed findings and people decide.

mod book;
mod check;
mod corrections;
mod own;
mod surroundings;
mod watched;

pub use book::{Book, ByOthers, Entry, Pace};
pub use check::{Depth, Deviation, Memory, check};
pub use corrections::{A_DAY, Corrections};
pub use own::{Own, done_to_packages};
pub use surroundings::{Named, Surroundings, look};
pub use watched::watched;

use crate::state::{State, StateError};
use serde::{Deserialize, Serialize};
use shared::digest::Digest;
use shared::facts::TemplateFacts;
use shared::finding::Expected;
use shared::manifest::{Body, Manifest, ParamValue};
use shared::plan::HealthProgram;
use shared::strict::{self, Map};
use shared::time::Timestamp;

/// What one manifest of an approved change wants of this host, with everything that it was applied with
/// (`approved/<digest of its name>.json`). It holds until a later version of the manifest is applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovedState {
    pub expected: Expected,
    /// When the run began: of two states that name one thing, the later one counts.
    pub since: Timestamp,
    pub manifest: Manifest,
    pub params: Map<String, ParamValue>,
    /// Templates go on with these: what was approved does not change because the host got another address.
    pub facts: TemplateFacts,
    /// What the programs of its health checks are, as approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health_programs: Vec<HealthProgram>,
}

/// A version that an approved run brought a package to, whatever asked for it (a patch run as well).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brought {
    /// Absent when it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    pub since: Timestamp,
}

/// Everything that this host should still be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upheld {
    /// The oldest first.
    pub states: Vec<ApprovedState>,
    /// By name; where it is younger than a state that names the package, it counts instead.
    pub packages: Map<String, Brought>,
}

/// States of a run that has begun; who finds them with a run's receipt takes them over.
const COMING: &str = "approved.next.json";
const DIR: &str = "approved";
const PACKAGES: &str = "packages.json";
const BOOK: &str = "findings.json";

impl ApprovedState {
    /// Whether the manifest describes a state; a patch run does not.
    pub fn is_one(manifest: &Manifest) -> bool {
        match manifest.body {
            Body::Resources(_) => true,
            Body::Patch(_) => false,
        }
    }
}

/// Keeps what the run is about to bring, before its first step.
///
/// # Errors
/// The disk's.
pub fn announce(state: &mut State, coming: &[ApprovedState]) -> Result<(), StateError> {
    state.put(COMING, &strict::to_json(&coming))
}

/// The run has ended: what it brought counts from now on, or never did.
///
/// # Errors
/// The disk's; to be called again then.
pub fn settle(state: &mut State, change: Digest, succeeded: bool) -> Result<(), StateError> {
    let coming: Vec<ApprovedState> = state.read_own(COMING)?.unwrap_or_default();
    if succeeded {
        for new in coming.iter().filter(|new| new.expected.change == change) {
            let name = Digest::of(new.expected.manifest.as_bytes());
            state.put(&format!("{DIR}/{name}.json"), &strict::to_json(new))?;
        }
    }
    state.remove(COMING)
}

/// All that is approved for this host.
///
/// # Errors
/// Unreadable or damaged.
pub fn upheld(state: &State) -> Result<Upheld, StateError> {
    let mut states = Vec::new();
    for name in state.list(DIR)? {
        if name.ends_with(".json") {
            states.extend(state.read_own::<ApprovedState>(&format!("{DIR}/{name}"))?);
        }
    }
    states.sort_by(|a, b| (a.since, &a.expected.manifest).cmp(&(b.since, &b.expected.manifest)));
    Ok(Upheld { states, packages: state.read_own(PACKAGES)?.unwrap_or_default() })
}

/// Notes what a run that succeeded did to packages.
///
/// # Errors
/// The disk's; to be called again then.
pub fn note_packages(state: &mut State, brought: Map<String, Brought>) -> Result<(), StateError> {
    let mut all: Map<String, Brought> = state.read_own(PACKAGES)?.unwrap_or_default();
    all.extend(brought.0);
    state.put(PACKAGES, &strict::to_json(&all))
}

/// The book of findings as it was kept last.
///
/// # Errors
/// Unreadable or damaged.
pub fn book(state: &State) -> Result<Book, StateError> {
    Ok(state.read_own(BOOK)?.unwrap_or_default())
}

/// # Errors
/// The disk's.
pub fn keep(state: &mut State, book: &Book) -> Result<(), StateError> {
    state.put(BOOK, &strict::to_json(&book.stripped()))
}
