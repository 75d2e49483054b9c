//! The rules of dispositions. Pure.

use crate::kernel::error::Refusal;
use shared::finding::{Finding, Presence};
use shared::ids::ResourceId;
use shared::limits;
use shared::time::Timestamp;
use shared::wire::{Dispose, Disposition, NewIgnoreRule};

/// What is ignored is looked at again within this time.
const LONGEST_SECS: i64 = 366 * 86_400;

/// Whether the request says what its disposition needs.
pub(super) fn check(dispose: &Dispose, now: Timestamp) -> Result<(), Refusal> {
    let Dispose { findings, disposition, reason, change, until } = dispose;
    check_judgement((findings.len(), *disposition, reason, *until), now)?;
    let takes_change =
        matches!(disposition, Disposition::Accepted | Disposition::Reverted | Disposition::Confirmed);
    match disposition {
        Disposition::Accepted if change.is_none() => Err(lacks(*disposition, "change")),
        _ if change.is_some() && !takes_change => Err(lacks(*disposition, "no change")),
        _ => Ok(()),
    }
}

fn lacks(disposition: Disposition, what: &'static str) -> Refusal {
    Refusal::unprocessable("finding.incomplete").with("disposition", disposition.as_str()).with("what", what)
}

/// What holds for every judgement: how many there are, its reason and its end.
pub(super) fn check_judgement(
    (count, disposition, reason, until): (usize, Disposition, &str, Option<Timestamp>),
    now: Timestamp,
) -> Result<(), Refusal> {
    if count == 0 || count > Dispose::MOST {
        return Err(Refusal::unprocessable("finding.count")
            .with("count", count)
            .with("limit", Dispose::MOST));
    }
    check_reason(reason)?;
    match disposition {
        Disposition::Ignored if until.is_none() => Err(lacks(disposition, "until")),
        Disposition::Ignored => check_end(until, now),
        _ if until.is_some() => Err(lacks(disposition, "no end")),
        _ => Ok(()),
    }
}

pub(super) fn check_rule(rule: &NewIgnoreRule, now: Timestamp) -> Result<(), Refusal> {
    check_reason(&rule.reason)?;
    check_end(Some(rule.until), now)?;
    let pattern = rule.resource.strip_suffix('*').unwrap_or(&rule.resource);
    let whole = rule.resource.len() > pattern.len() || pattern.parse::<ResourceId>().is_ok();
    let known = pattern.split_once(':').is_some_and(|(kind, what)| !kind.is_empty() && !what.is_empty());
    if whole && known && pattern.len() <= 300 && !pattern.contains('*') && !pattern.contains(char::is_control)
    {
        Ok(())
    } else {
        let shown = shared::strict::shorten(&rule.resource);
        Err(Refusal::unprocessable("finding.bad_pattern").with("pattern", shown))
    }
}

fn check_reason(reason: &str) -> Result<(), Refusal> {
    if !limits::is_text(reason) {
        return Err(Refusal::unprocessable("finding.reason").with("limit", limits::TEXT_BYTES));
    }
    Ok(())
}

fn check_end(until: Option<Timestamp>, now: Timestamp) -> Result<(), Refusal> {
    match until {
        Some(until) if until > now && until.since(now) <= LONGEST_SECS => Ok(()),
        _ => Err(Refusal::unprocessable("finding.end").with("days", LONGEST_SECS / 86_400)),
    }
}

/// Whether a rule covers a finding: its manifest, and all of its resources.
pub(super) fn covers(
    rule: &NewIgnoreRule,
    manifest: Option<&str>,
    resources: &[String],
    whole: bool,
) -> bool {
    let fits = |resource: &String| match rule.resource.strip_suffix('*') {
        Some(beginning) => resource.starts_with(beginning),
        None => *resource == rule.resource,
    };
    // Of a finding with more differences than are shown nobody knows whether the others fit.
    whole && rule.manifest.as_deref().is_none_or(|of| Some(of) == manifest) && resources.iter().all(fits)
}

/// What a new word of the host makes of what people said before; `None` leaves it.
///
/// `before` is the disposition with the fingerprint and presence that it was made for.
pub(super) fn reopens(before: (Disposition, bool, Presence), now: &Finding) -> Option<&'static str> {
    let (disposition, same, presence) = before;
    match (disposition, now.presence) {
        (Disposition::Open, _) | (_, Presence::Gone) => None,
        _ if !same => Some("it looks otherwise than when this was said"),
        (Disposition::Reverted, Presence::There) if presence == Presence::Gone => {
            Some("it was gone and is there again")
        }
        _ => None,
    }
}
