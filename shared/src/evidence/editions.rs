//! Editions of the policy in a bundle, each for its own time: what was signed or begun last year is judged by what governance
//! had said then, whoever has come, gone or changed a key since.

use super::{Contents, Flaw, Report};
use crate::admit;
use crate::approval::Approval;
use crate::change::Change;
use crate::limits::CLOCK_SKEW_SECS;
use crate::policy::{Policy, verify_approval};
use crate::receipt::Receipt;
use crate::refusal::Refused;
use crate::statement::Statement;
use crate::time::Timestamp;
use crate::tuf::history::{ProvenRoot, ProvenTargets};
use crate::tuf::names::{Role, TargetName};
use std::collections::BTreeMap;

/// All editions by their numbers.
fn in_order(contents: &Contents) -> BTreeMap<u64, &Policy> {
    contents.policies.values().map(|policy| (policy.version, policy)).collect()
}

/// The edition that was in force at `at`: the newest one issued before, or else the first.
pub(super) fn policy_at(contents: &Contents, at: Timestamp) -> Option<&Policy> {
    let editions = in_order(contents);
    let before = editions.values().rev().find(|policy| policy.issued <= at).copied();
    before.or_else(|| editions.values().next().copied())
}

/// The edition in force at `at` and those after it. An earlier one says nothing any more of what is dated after its end.
pub(super) fn from_then_on(contents: &Contents, at: Timestamp) -> impl Iterator<Item = &Policy> {
    let first = policy_at(contents, at).map_or(0, |policy| policy.version);
    in_order(contents).into_values().filter(move |policy| policy.version >= first)
}

/// Editions that may speak for something signed at `at`: those from then on, and those by which hosts whose receipts fit
/// have started, for an edition is issued some time before hosts get to know it.
fn speaking<'a>(
    contents: &'a Contents,
    at: Timestamp,
    fits: impl Fn(&Receipt) -> bool + 'a,
) -> impl Iterator<Item = &'a Policy> {
    from_then_on(contents, at).chain(begun_by(contents, fits))
}

/// The editions by which hosts have started whose receipts fit.
fn begun_by<'a>(
    contents: &'a Contents,
    fits: impl Fn(&Receipt) -> bool + 'a,
) -> impl Iterator<Item = &'a Policy> {
    let fitting = contents.receipts.values().filter(move |receipt| fits(&receipt.body));
    fitting.filter_map(|receipt| contents.policies.get(&receipt.body.policy))
}

/// Whether an edition accepts the statement as its person's word at the time of signing.
pub(super) fn is_accepted(contents: &Contents, approval: &Statement<Approval>) -> bool {
    let Some(change) = contents.changes.get(&approval.body.change) else { return false };
    let at = approval.body.at;
    let digest = approval.digest;
    speaking(contents, at, move |receipt| receipt.approvals.contains(&digest))
        .any(|policy| verify_approval(policy, change, approval, at).is_ok())
}

/// Whether the edition in force accepts the change as its author's word, or one by which a host has started it.
///
/// # Errors
/// Why the edition in force does not.
pub(super) fn check_author(contents: &Contents, change: &Statement<Change>) -> Result<(), Refused> {
    let at = change.body.created;
    let Some(then) = policy_at(contents, at) else { return Ok(()) };
    let digest = change.digest;
    admit::check_author(then, change, at).or_else(|refused| {
        let mut of_hosts = begun_by(contents, move |receipt| receipt.change == digest);
        let accepts = of_hosts.any(|policy| admit::check_author(policy, change, at).is_ok());
        if accepts { Ok(()) } else { Err(refused) }
    })
}

/// The edition by which a host says that it started.
///
/// # Errors
/// It is not in the bundle, has another number, or did not exist when the host started.
pub(super) fn named<'a>(contents: &'a Contents, receipt: &Receipt) -> Result<&'a Policy, String> {
    let policy =
        contents.policies.get(&receipt.policy).ok_or("the policy that it names is not in the bundle")?;
    let Policy { version, issued, .. } = policy;
    if *version != receipt.policy_version {
        return Err(format!(
            "it names policy edition {}, and the policy with that digest is edition {version}",
            receipt.policy_version
        ));
    }
    if *issued > receipt.started.plus(CLOCK_SKEW_SECS) {
        return Err(format!("it started at {}, before policy edition {version} was issued", receipt.started));
    }
    Ok(policy)
}

/// A newer edition had been issued when the host started, and the host had not heard of it: worth knowing.
pub(super) fn outdated(contents: &Contents, receipt: &Receipt) -> Option<String> {
    let newer = policy_at(contents, receipt.started.plus(-CLOCK_SKEW_SECS))?;
    (newer.version > receipt.policy_version).then(|| {
        format!(
            "{} on {} started at {} by policy edition {}; edition {} was issued at {}",
            receipt.change_id,
            receipt.header.agent_id,
            receipt.started,
            receipt.policy_version,
            newer.version,
            newer.issued
        )
    })
}

/// Each edition is listed by targets that governance signed, and whoever lost the power to sign got it back for none of them.
pub(super) fn check(contents: &Contents, roots: &[ProvenRoot], report: &mut Report) -> Vec<ProvenTargets> {
    let proven = check_targets(contents, roots, report);
    for (digest, policy) in &contents.policies {
        let listed = |t: &ProvenTargets| {
            t.targets().targets.get(&TargetName::Policy).is_some_and(|f| f.hashes.sha256 == *digest)
        };
        let path = format!("policy/{}.json", policy.version);
        if !proven.iter().any(listed) {
            report.flaws.push(Flaw::at(path.clone(), "no targets file signed by governance lists it"));
        }
        if policy.site != contents.query.site {
            report.flaws.push(Flaw::at(path.clone(), "belongs to another site"));
        }
        if contents.policies.values().filter(|other| other.version == policy.version).count() > 1 {
            report.flaws.push(Flaw::at(path, "there are several editions with this number"));
        }
    }
    report.checked.push((contents.policies.len(), "policy editions signed by governance"));
    proven
}

/// The targets files that roots of the chain vouch for, each under its own number, in the order of numbers: once a file needs
/// a later root, no file after it may rest on an earlier one.
fn check_targets(contents: &Contents, roots: &[ProvenRoot], report: &mut Report) -> Vec<ProvenTargets> {
    let all = contents.keys.iter().filter_map(|(name, bytes)| {
        let (number, role) = name.split_once('.')?;
        (role == "targets.json").then(|| (number.parse::<u64>().ok(), name, bytes))
    });
    let mut files: Vec<_> = all.collect();
    files.sort();
    let mut proven = Vec::new();
    let mut reached = 0;
    for (_, name, bytes) in files {
        let vouched: Vec<_> =
            roots.iter().enumerate().filter_map(|(n, root)| Some((n, root.targets(bytes).ok()?))).collect();
        let last = vouched.last().map(|(n, _)| *n);
        let fit = vouched.into_iter().find(|(n, _)| *n >= reached);
        let why = match (fit, last) {
            (None, None) => "no root of the chain vouches for it",
            (None, Some(_)) => "is signed with keys that governance had already replaced",
            (Some((_, targets)), _) if *name != Role::Targets.file(targets.targets().version) => {
                "is filed under another number than its own"
            }
            (Some((n, targets)), _) => {
                reached = n;
                proven.push(targets);
                continue;
            }
        };
        report.flaws.push(Flaw::at(format!("keys/{name}"), why));
    }
    proven
}
