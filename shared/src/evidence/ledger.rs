//! What a bundle proves of the ledger: that it holds everything, that hosts and witnesses saw beginnings of it, and that it goes
//! on from the one of an earlier bundle.

use super::{Contents, Files, Flaw, Report};
use crate::admit;
use crate::digest::Digest;
use crate::ledger::{Checkpoint, Proven, VerifierKey};
use crate::policy::{LogRules, Look, Policy};
use crate::receipt::Receipt;
use std::collections::{BTreeMap, BTreeSet};

/// Checks that the ledger of `after` goes on from the one of an earlier bundle `before` of the same site.
///
/// Both must have been verified by themselves. Returns the two sizes.
pub fn follows(before: &Files, after: &Files) -> Result<(u64, u64), Flaw> {
    let contents = Contents::read(after)?;
    let key = log_key(&contents)?;
    let open = |text: &str, whose: &str| {
        Checkpoint::open(text, &key)
            .map_err(|e| Flaw::at("proofs/checkpoint", format!("of the {whose} bundle: {e}")))
    };
    let note = before.get("proofs/checkpoint").map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let old = open(
        &note.ok_or_else(|| Flaw::at("proofs/checkpoint", "is missing in the earlier bundle"))?,
        "earlier",
    )?;
    let now = open(&contents.proofs.checkpoint, "later")?;
    if old == now {
        return Ok((old.size, now.size));
    }
    let path = format!("proofs/consistency/{}.json", old.size);
    let proof = contents.proofs.consistency.iter().find(|p| p.old_size == old.size).ok_or_else(|| {
        let last = contents.query.previous_log_size.map_or("none".to_owned(), |size| size.to_string());
        let why = format!(
            "is missing: this bundle follows the one at size {last}; verify those between, one by one"
        );
        Flaw::at(path.clone(), why)
    })?;
    proof.check(&old, &now).map_err(|e| Flaw::at(path, format!("the ledger was rewritten since: {e}")))?;
    Ok((old.size, now.size))
}

pub(super) fn log_key(contents: &Contents) -> Result<VerifierKey, Flaw> {
    let keys = newest_rules(contents).map(|rules| rules.vkeys.as_slice()).unwrap_or_default();
    let parsed = keys.iter().filter_map(|text| text.parse::<VerifierKey>().ok());
    let fits = |key: &VerifierKey| Checkpoint::open(&contents.proofs.checkpoint, key).is_ok();
    let flaw = || Flaw::at("proofs/checkpoint", "is not signed by a log key that the policy names");
    parsed.into_iter().find(fits).ok_or_else(flaw)
}

pub(super) fn check_ledger(contents: &Contents, key: &VerifierKey, report: &mut Report) {
    let Ok(now) = Checkpoint::open(&contents.proofs.checkpoint, key) else { return };
    let logged = contents.changes.keys().chain(contents.approvals.keys()).chain(contents.enrolments.keys());
    let logged = logged.chain(contents.receipts.keys()).chain(contents.refusals.keys());
    let logged = logged.chain(contents.findings.keys()).chain(contents.departures.keys());
    let logged = logged.chain(contents.events.keys()).chain(contents.notes.keys());
    let logged = logged.chain(contents.audit.keys());
    let logged: Vec<_> = logged.chain(contents.manifests.keys()).chain(contents.plan_sets.keys()).collect();
    for digest in &logged {
        let path = format!("proofs/{digest}.tlog-proof");
        match contents.proofs.inclusion.get(digest) {
            None => report
                .flaws
                .push(Flaw::at(path, "is missing: the statement is not proven to be in the ledger")),
            Some(proof) if proof.checkpoint != contents.proofs.checkpoint => {
                report.flaws.push(Flaw::at(path, "leads to another checkpoint"));
            }
            Some(proof) => {
                if let Err(e) = Proven::check(&proof.proof, &proof.checkpoint, key, digest) {
                    report.flaws.push(Flaw::at(path, e));
                }
            }
        }
    }
    let known: BTreeSet<_> = logged.iter().copied().collect();
    for digest in contents.proofs.inclusion.keys().filter(|d| !known.contains(d)) {
        let path = format!("proofs/{digest}.tlog-proof");
        report.flaws.push(Flaw::at(path, "proves a statement that is not in the bundle"));
    }
    report.checked.push((logged.len(), "statements proven to be in the ledger"));
    if now.size != contents.query.log_size {
        report.flaws.push(Flaw::at("query.json", "log_size is not the size of the checkpoint"));
    }
    check_hosts(contents, &now, report);
    check_witnesses(contents, &now, report);
}

/// What hosts saw of the ledger earlier must be a beginning of the ledger as it is now.
fn check_hosts(contents: &Contents, now: &Checkpoint, report: &mut Report) {
    let mut seen: BTreeMap<u64, BTreeSet<Digest>> = BTreeMap::new();
    let mut earlier: BTreeMap<&str, usize> = BTreeMap::new();
    for (header, _) in contents.chain() {
        match &header.log_seen {
            Some(log) if log.origin == now.origin.as_str() => {
                seen.entry(log.size).or_default().insert(log.root);
            }
            Some(log) => *earlier.entry(&log.origin).or_default() += 1,
            None => {}
        }
    }
    // After a restore the site goes on with a new ledger, which the policy names; the old one proves nothing here.
    for (origin, count) in earlier {
        let origin = crate::strict::shorten(origin);
        report.remarks.push(format!(
            "the hosts of {count} statements saw an earlier ledger, {origin}; whether it was a beginning of {} is not checked",
            now.origin
        ));
    }
    for (size, roots) in &seen {
        let path = format!("proofs/consistency/{size}.json");
        let proof = contents.proofs.consistency.iter().find(|p| p.old_size == *size);
        for root in roots {
            let old = Checkpoint { origin: now.origin.clone(), size: *size, root: *root };
            match proof {
                None if *size == now.size && *root == now.root => {}
                None => report
                    .flaws
                    .push(Flaw::at(path.clone(), "is missing: a host saw the ledger at this size")),
                Some(proof) => {
                    if let Err(e) = proof.check(&old, now) {
                        report.flaws.push(Flaw::at(path.clone(), format!("a host saw another ledger: {e}")));
                    }
                }
            }
        }
    }
    report.checked.push((seen.len(), "checkpoints seen by hosts, consistent with the ledger"));
}

/// The rules of the newest policy: whoever is a witness by now has seen the ledger from its beginning.
fn newest_rules(contents: &Contents) -> Option<&LogRules> {
    contents.policies.values().max_by_key(|policy| policy.version).map(|policy| &policy.log)
}

fn looks(rules: &LogRules, contents: &Contents, now: &Checkpoint) -> Result<Vec<Look>, Flaw> {
    let looks = rules.witnessed(now, &contents.proofs.witnessed);
    looks.map_err(|doubt| Flaw::at("proofs/witnessed.json", doubt))
}

/// What witnesses of the policy have signed must be beginnings of the ledger. What is newer than their last look is told: it
/// is no flaw, for a bundle may be made before they look again.
fn check_witnesses(contents: &Contents, now: &Checkpoint, report: &mut Report) {
    let Some(rules) = newest_rules(contents).filter(|rules| !rules.witnesses.is_empty()) else { return };
    let looks = match looks(rules, contents, now) {
        Ok(looks) => looks,
        Err(flaw) => return report.flaws.push(flaw),
    };
    let signed = looks.iter().filter(|look| look.size > 0).count();
    report.checked.push((signed, "witnesses who signed a beginning of the ledger"));
    for look in &looks {
        report.remarks.push(match look.at {
            Some(at) => format!(
                "the witness {} saw {} of the ledger's {} statements at {at}",
                look.witness, look.size, now.size
            ),
            None => format!("the witness {} has not seen the ledger {}", look.witness, now.origin),
        });
    }
    let reach = rules.reach(&looks);
    let newer = contents.proofs.inclusion.values().filter(|proof| proof.proof.index >= reach).count();
    if newer > 0 {
        report.remarks.push(format!(
            "{newer} statements are newer than what {} witnesses have seen of the ledger",
            rules.quorum
        ));
    }
}

/// Where the policy asks for proofs before a start, the host has seen a ledger that holds what it began: one that is so
/// large that the leaves of change and approvals are in it. Of a ledger before a restore nobody can tell any more.
pub(super) fn logged_before(
    contents: &Contents,
    policy: &Policy,
    approved: &admit::Approved,
    receipt: &Receipt,
) -> Result<(), String> {
    if !policy.log.proof_before_start {
        return Ok(());
    }
    let Some(seen) = &receipt.header.log_seen else {
        return Err("the policy asks for proofs of the ledger, and the host had seen no ledger".into());
    };
    let key = log_key(contents).map_err(|flaw| flaw.to_string())?;
    let now = Checkpoint::open(&contents.proofs.checkpoint, &key).map_err(|e| e.to_string())?;
    if seen.origin != now.origin.as_str() {
        return Ok(());
    }
    let reach = match newest_rules(contents) {
        Some(rules) if policy.log.quorum > 0 => {
            rules.reach(&looks(rules, contents, &now).map_err(|flaw| flaw.to_string())?)
        }
        _ => u64::MAX,
    };
    for (digest, kind) in approved.logged_as() {
        let proof = contents.proofs.inclusion.get(&digest);
        let proven = proof.and_then(|proof| Proven::within(&proof.proof, &now).ok());
        match proven.filter(|proven| proven.leaf().kind == kind && proven.index() < seen.size) {
            None => return Err(format!("it started before the host had seen {digest} in the ledger")),
            Some(proven) if proven.index() >= reach => {
                return Err(format!("it started before witnesses had seen {digest} in the ledger"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
