//! Retroactive changes: they accept findings, no host ever gets them, and their review is the approval.
//!
//! Owns which change accepts which finding. Never: what a finding is, or what becomes of it. A later slice knows that; it
//! brings the claims of a revision, and hears of what was accepted through [`ACCEPTED`].

use super::store::accepts;
use crate::kernel::db::Conn;
use crate::kernel::error::{Error, Refusal};
use shared::digest::Digest;
use shared::ids::{AgentId, ChangeId};
use shared::lifecycle::State;
use std::collections::HashSet;

/// Hears of retroactive changes whose quorum was reached; the key is the change.
pub const ACCEPTED: &str = "changes.accepted";

/// A finding as a revision accepts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub agent: AgentId,
    /// The host's own count of its findings.
    pub number: u64,
    /// Digest of the statement that is accepted.
    pub finding: Digest,
    /// How it looked then: what looks otherwise was not accepted.
    pub fingerprint: Digest,
}

/// A change that is open or went well, and one finding that it accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    pub claim: Claim,
    pub change: ChangeId,
    pub state: State,
}

impl Claimed {
    /// Nobody has decided yet.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed(_))
    }
}

/// Who accepts these findings of hosts, or is to.
pub fn claims_on(tx: &mut Conn, findings: &HashSet<(AgentId, u64)>) -> Result<Vec<Claimed>, Error> {
    accepts::list_claims(tx, findings)
}

/// What a revision accepts.
pub fn claims_of(tx: &mut Conn, change: &Digest) -> Result<Vec<Claim>, Error> {
    accepts::list(tx, change)
}

/// A finding, as it looks, is accepted by one change only.
pub(super) fn check_free(tx: &mut Conn, id: &ChangeId, claims: &[Claim]) -> Result<(), Error> {
    let places = claims.iter().map(|claim| (claim.agent, claim.number)).collect();
    let taken = accepts::list_claims(tx, &places)?.into_iter().find(|other| {
        let same = |claim: &Claim| {
            let place = (claim.agent, claim.number, claim.fingerprint);
            place == (other.claim.agent, other.claim.number, other.claim.fingerprint)
        };
        other.change != *id && claims.iter().any(same)
    });
    match taken {
        None => Ok(()),
        Some(Claimed { claim, change, state }) => {
            let refusal = Refusal::conflict("change.finding_taken").with("change", change);
            Err(refusal.with("state", state).with("agent", claim.agent).with("digest", claim.finding).into())
        }
    }
}
