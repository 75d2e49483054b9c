//! Hearing: which statements about a change are accepted as their person's word, and why the others are not.

use super::{Assurance, Policy, glass};
use crate::approval::{Approval, Decision, last_words};
use crate::change::Change;
use crate::digest::Digest;
use crate::ids::PersonId;
use crate::limits;
use crate::refusal::{Code, Refused};
use crate::statement::Statement;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// An approval whose signature, key, person, times and object were checked. Made only by [`verify_approval`].
#[derive(Clone, Debug)]
pub struct VerifiedApproval {
    digest: Digest,
    body: Approval,
    assurance: Assurance,
    stood_for: BTreeSet<PersonId>,
}

impl VerifiedApproval {
    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub fn body(&self) -> &Approval {
        &self.body
    }

    pub(super) fn assurance(&self) -> Assurance {
        self.assurance
    }

    /// The signer, if an approver, and those whose word the signer may give.
    pub(super) fn stood_for(&self) -> &BTreeSet<PersonId> {
        &self.stood_for
    }
}

/// Checks one approval for the change with `digest` at `now` (seconds UTC).
///
/// # Errors
/// `approval.*` with the reason, to be read after the person's name; the approval then counts for nothing.
pub fn verify_approval(
    policy: &Policy,
    change: &Statement<Change>,
    approval: &Statement<Approval>,
    now: Timestamp,
) -> Result<VerifiedApproval, Refused> {
    let body = &approval.body;
    let no = |code, message: String| Err(Refused::new(code, message));
    let same = body.change == change.digest
        && body.change_id == change.body.change_id
        && body.revision == change.body.revision
        && body.site == policy.site;
    if !same {
        let (id, revision) = (&body.change_id, body.revision);
        return no(Code::ApprovalOther, format!("signed something else: {id} revision {revision}"));
    }
    let mut keys = policy.current_keys(&body.person, now);
    let Some(key) = keys.find(|key| approval.is_signed_with(key.verifier())) else {
        let message = format!("no current key of policy version {} made the signature", policy.version);
        return no(Code::ApprovalUnknownKey, message);
    };
    let breaks = glass::check(policy, key, body)?;
    let stood_for = match breaks {
        true => BTreeSet::new(),
        false => policy.stood_for(&body.person, key, body.at, now),
    };
    if stood_for.is_empty() && !breaks {
        let message =
            format!("the key approves nothing by policy version {}, and no delegation holds", policy.version);
        return no(Code::ApprovalUnknownKey, message);
    }
    let skew = i64::from(policy.clock.max_skew_s).min(limits::CLOCK_SKEW_SECS);
    if body.at > now.plus(skew) || body.at.plus(skew) < change.body.created {
        let message = format!("signed at {}, in the future or before the change", body.at);
        return no(Code::ApprovalInvalid, message);
    }
    if body.decision == Decision::Approve && body.expires <= now {
        return no(Code::ApprovalExpired, format!("the approval expired at {}", body.expires));
    }
    Ok(VerifiedApproval { digest: approval.digest, body: body.clone(), assurance: key.assurance, stood_for })
}

/// What was said about a change.
#[derive(Clone, Debug, Default)]
pub struct Hearing {
    words: BTreeMap<PersonId, VerifiedApproval>,
    /// Of persons without an accepted word: why.
    unheard: BTreeMap<PersonId, Refused>,
}

impl Hearing {
    /// Hears all statements; their order does not matter.
    pub fn of<'a>(
        policy: &Policy,
        change: &Statement<Change>,
        approvals: impl IntoIterator<Item = &'a Statement<Approval>>,
        now: Timestamp,
    ) -> Self {
        let (mut good, mut unheard) = (Vec::new(), BTreeMap::new());
        for approval in approvals {
            match verify_approval(policy, change, approval, now) {
                Ok(word) => good.push(word),
                Err(why) => {
                    let slot = unheard.entry(approval.body.person.clone()).or_insert_with(|| why.clone());
                    if (why.code, &why.message) < (slot.code, &slot.message) {
                        *slot = why;
                    }
                }
            }
        }
        let read = |w: &VerifiedApproval| (w.body.person.clone(), w.body.at, w.body.decision, w.digest);
        let words: BTreeMap<_, _> =
            last_words(&good, read).into_iter().map(|(person, word)| (person, word.clone())).collect();
        unheard.retain(|person, _| !words.contains_key(person));
        Self { words, unheard }
    }

    /// The last accepted word of each person.
    pub fn words(&self) -> impl Iterator<Item = &VerifiedApproval> {
        self.words.values()
    }

    pub(super) fn unheard(&self) -> &BTreeMap<PersonId, Refused> {
        &self.unheard
    }

    /// A rejection stands until its person approves later; a withdrawal ends that person's approval.
    pub(super) fn stopped(&self) -> Option<Refused> {
        let stop = self.words().find(|word| word.body.decision != Decision::Approve)?;
        let what = match stop.body.decision {
            Decision::Withdraw => "withdrew the approval",
            Decision::Reject | Decision::Approve => "rejected the change",
        };
        let message = format!("person {} {what} at {}", stop.body.person, stop.body.at);
        Some(Refused::new(Code::ApprovalWithdrawn, message))
    }
}
