//! Break-glass: one person stands for the quorum and for the window, for a few hours and with a reason.
//!
//! Owns what such a word is held to, whoever judges it. Everything else holds as for any approval: the author, the
//! revision, the plan set, the host, a rule for every class of actions and the assurance that it asks for, a rejection.
//! Never: corrections, models, changes that bring nothing to hosts, or a voice in a quorum.

use super::{
    Case, Hearing, Judgement, PersonKey, Policy, Purpose, Role, Rule, Verdict, VerifiedApproval, Voice,
};
use crate::approval::{Approval, Decision};
use crate::ids::PersonId;
use crate::limits;
use crate::refusal::{Code, Refused};
use crate::time::{Interval, Timestamp};
use serde::{Deserialize, Serialize};

/// Hours for which a broken glass stands at most.
const LONGEST_H: u32 = 4;
/// Seconds after the first start within which somebody else reviews what was done.
pub const REVIEW_SECS: i64 = 3 * 86_400;

/// The policy's own bounds for breaking the glass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlassRules {
    /// From 1 to 4 hours.
    pub max_validity_h: u32,
}

impl GlassRules {
    pub(super) fn problem(&self) -> Option<String> {
        let fits = (1..=LONGEST_H).contains(&self.max_validity_h);
        (!fits).then(|| format!("breakglass.max_validity_h is from 1 to {LONGEST_H}"))
    }
}

impl Policy {
    /// Seconds for which a broken glass stands at this site.
    pub fn glass_secs(&self) -> i64 {
        let hours = self.breakglass.map_or(LONGEST_H, |rules| rules.max_validity_h.min(LONGEST_H));
        i64::from(hours) * 3_600
    }

    /// The keys with which the person can break the glass at `now`.
    pub fn glass_keys(&self, person: &PersonId, now: Timestamp) -> Vec<&PersonKey> {
        self.keys_for(person, Role::BreakGlass, now)
    }
}

/// Whether the word is one of breaking the glass, or takes one back; the key, the reason and the hours are looked at here.
///
/// # Errors
/// `approval.breakglass`, to be read after the person's name.
pub(super) fn check(policy: &Policy, key: &PersonKey, body: &Approval) -> Result<bool, Refused> {
    let no = |why: String| Err(Refused::new(Code::ApprovalBreakGlass, why));
    let holds = key.roles.contains(&Role::BreakGlass);
    let Some(glass) = &body.breakglass else {
        // Whoever may break the glass and approve nothing else takes that back all the same.
        return Ok(body.decision == Decision::Withdraw && holds);
    };
    if body.decision != Decision::Approve {
        return no(format!("the statement says {} and breaks the glass", body.decision.as_str()));
    }
    if !holds {
        return no(format!("the key may not break the glass by policy version {}", policy.version));
    }
    let shown = glass.reason.chars().any(|c| !c.is_whitespace() && !c.is_control());
    if !shown || glass.reason.len() > limits::TEXT_BYTES {
        return no("the glass is broken without a reason that can be read".into());
    }
    let named = body.agents.as_ref().map_or(0, Vec::len);
    if glass.by_hand && !(1..=limits::CARRIED_HOSTS).contains(&named) {
        let most = limits::CARRIED_HOSTS;
        return no(format!("the word is to be carried by hand and does not name 1 to {most} hosts"));
    }
    let longest = policy.glass_secs();
    if body.expires.since(body.at) > longest {
        return no(format!("the glass is broken for more than {} hours", longest / 3_600));
    }
    Ok(true)
}

/// Whether one of the statements that count was given to be carried by hand.
pub fn is_carried<'a>(approvals: impl IntoIterator<Item = &'a Approval>) -> bool {
    approvals.into_iter().any(|body| body.breakglass.as_ref().is_some_and(|glass| glass.by_hand))
}

/// The judgement, if somebody has broken the glass for this case. `rules` are those that match it.
pub(super) fn broken(rules: &[&Rule], case: &Case<'_>, hearing: &Hearing) -> Option<Judgement> {
    let word = hearing.words().find(|word| stands(rules, case, word))?;
    let body = word.body();
    let reason = body.breakglass.as_ref().map(|glass| glass.reason.as_str()).unwrap_or_default();
    let line =
        format!("break-glass: person {} alone, from {} to {}: {reason}", body.person, body.at, body.expires);
    let voice = Voice { person: body.person.clone(), stands_for: body.person.clone() };
    let verdict = Verdict::Allowed {
        voices: [voice].into(),
        approvals: vec![word.digest()],
        glass: Some(Interval { from: body.at, until: body.expires }),
    };
    Some(Judgement { verdict, lines: vec![line] })
}

fn stands(rules: &[&Rule], case: &Case<'_>, word: &VerifiedApproval) -> bool {
    let body = word.body();
    body.breakglass.is_some()
        && case.purpose == Purpose::Start
        && !case.change.is_record()
        && body.saw.plan_set == case.plan_set
        && body.agents.as_ref().is_none_or(|agents| agents.contains(&case.agent))
        && rules.iter().all(|rule| word.assurance() >= rule.require.min_assurance)
}
