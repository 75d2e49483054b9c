//! Verifies a bundle: the same checks that hosts made, made again by somebody who trusts nobody.

use super::ledger::{check_ledger, log_key, logged_before};
use super::{
    Contents, Files, Flaw, TableFacts, accepted, check_seal, derived, editions, notes, rebuild, standing,
    tables,
};
use crate::admit::{self, Me, Sources};
use crate::approval::Decision;
use crate::digest::Digest;
use crate::plan::{Action, Plan};
use crate::policy::{Policy, REVIEW_SECS, is_carried};
use crate::receipt::{Enrolment, Receipt};
use crate::reset::{self, CameFrom, TrustReset};
use crate::statement::Statement;
use crate::tuf::history::{ProvenRoot, ProvenTargets, verify_root_chain};
use crate::tuf::names::Role;
use crate::windows::Closed;
use std::collections::{BTreeMap, BTreeSet};

/// What the verification found. No flaws means: everything that was checked holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// SHA-256 of the first root in the bundle; compare it with what the site told you.
    pub root_sha256: Option<Digest>,
    pub flaws: Vec<Flaw>,
    /// Things worth knowing that are no flaws: gaps in a host's chain, self-approvals.
    pub remarks: Vec<String>,
    /// What was checked: `(count, what)`.
    pub checked: Vec<(usize, &'static str)>,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.flaws.is_empty()
    }
}

/// Verifies everything in `files`; `root` is the digest of the site's first root, if it is known from elsewhere.
pub fn verify(files: &Files, root: Option<Digest>) -> Report {
    let mut report = Report::default();
    let contents = match Contents::read(files) {
        Ok(contents) => contents,
        Err(flaw) => {
            report.flaws = unreadable(files, flaw);
            return report;
        }
    };
    let roots = match check_roots(&contents, root, &mut report) {
        Ok(roots) => roots,
        Err(flaw) => {
            report.flaws.push(flaw);
            return report;
        }
    };
    let targets = editions::check(&contents, &roots, &mut report);
    check_manifests(&contents, &targets, &mut report);
    match log_key(&contents) {
        Ok(key) => {
            report.flaws.extend(check_seal(files, key.public()));
            report.checked.push((files.len(), "files against the signed checksums"));
            check_ledger(&contents, &key, &mut report);
        }
        Err(flaw) => report.flaws.extend(unreadable(files, flaw)),
    }
    check_statements(&contents, &mut report);
    accepted::check(&contents, &mut report);
    standing::check_models(&contents, &mut report);
    check_chains(&contents, &mut report);
    check_audit(&contents, &mut report);
    check_tables(files, &contents, &mut report);
    report
}

/// A file cannot be read, or nobody knows whose list it is: the list still tells what does not fit it.
fn unreadable(files: &Files, flaw: Flaw) -> Vec<Flaw> {
    let mut flaws = vec![flaw];
    let sums = files.get("SHA256SUMS").map(|s| String::from_utf8_lossy(s).into_owned()).unwrap_or_default();
    for (digest, path) in sums.lines().filter_map(|l| l.split_once("  ")) {
        match files.get(path) {
            None => flaws.push(Flaw::at(path, "is listed in SHA256SUMS but missing")),
            Some(bytes) if Digest::of(bytes).hex() != digest => {
                flaws.push(Flaw::at(path, "its content does not fit its checksum: it was changed"));
            }
            Some(_) => {}
        }
    }
    flaws
}

fn check_roots(
    contents: &Contents,
    wanted: Option<Digest>,
    report: &mut Report,
) -> Result<Vec<ProvenRoot>, Flaw> {
    let chain: Vec<&Vec<u8>> = (1u64..).map_while(|n| contents.keys.get(&Role::Root.file(n))).collect();
    let first = chain.first().ok_or_else(|| Flaw::at("keys/1.root.json", "is missing"))?;
    let digest = Digest::of(first);
    report.root_sha256 = Some(digest);
    if wanted.is_some_and(|wanted| wanted != digest) {
        return Err(Flaw::at(
            "keys/1.root.json",
            format!("is the root of another site: its digest is {digest}"),
        ));
    }
    if crate::digest::hex(&digest.0[..8]) != contents.query.site.as_str() {
        return Err(Flaw::at("keys/1.root.json", "does not belong to the site that query.json names"));
    }
    let roots = verify_root_chain(&chain).map_err(|e| Flaw::at("keys/", e))?;
    report.checked.push((roots.len(), "roots, each signed by its predecessor's keys and its own"));
    Ok(roots)
}

fn check_manifests(contents: &Contents, targets: &[ProvenTargets], report: &mut Report) {
    let mut listed = BTreeSet::new();
    for (name, bytes) in &contents.keys {
        let Some((_, role)) = name.split_once('.') else { continue };
        let Some(Ok(role)) = role.strip_suffix(".json").map(str::parse::<Role>) else { continue };
        if !matches!(role, Role::Content(_)) {
            continue;
        }
        match targets.iter().find_map(|t| t.delegated(&role, bytes).ok()) {
            Some(content) => listed.extend(content.targets.values().map(|f| f.hashes.sha256)),
            None => {
                report.flaws.push(Flaw::at(format!("keys/{name}"), "no targets file delegates to its keys"))
            }
        }
    }
    for (name, bytes, _) in contents.manifests.values() {
        if !listed.contains(&Digest::of(bytes)) {
            report.flaws.push(Flaw::at(format!("manifests/{name}"), "no publisher's metadata lists it"));
        }
    }
    report.checked.push((contents.manifests.len(), "manifests listed by their publishing team"));
}

fn check_statements(contents: &Contents, report: &mut Report) {
    for change in contents.changes.values() {
        if let Err(refused) = editions::check_author(contents, change) {
            report.flaws.push(Flaw::at(format!("statements/{}.json", change.digest), refused));
        }
    }
    report.checked.push((contents.changes.len(), "changes signed by an author of the policy"));
    check_changes_of_sites(contents, report);
    for approval in contents.approvals.values() {
        if !editions::is_accepted(contents, approval) {
            let why = format!("no policy edition accepts it as the word of {}", approval.body.person);
            report.flaws.push(Flaw::at(format!("statements/{}.json", approval.digest), why));
        }
    }
    report
        .checked
        .push((contents.approvals.len(), "approvals, rejections and withdrawals signed by approvers"));
    for receipt in contents.receipts.values() {
        if let Some(why) = receipt_flaw(contents, receipt) {
            report.flaws.push(Flaw::at(format!("statements/{}.json", receipt.digest), why));
        }
        report.remarks.extend(unheard(contents, receipt));
        report.remarks.extend(editions::outdated(contents, &receipt.body));
        if receipt.body.self_approved {
            let host = receipt.body.header.agent_id;
            report
                .remarks
                .push(format!("{} on {host} was approved by its own author", receipt.body.change_id));
        }
        if receipt.body.breakglass {
            report.remarks.push(broken_glass(contents, &receipt.body));
        }
    }
    report.checked.push((contents.receipts.len(), "receipts signed by their hosts and covered by approvals"));
    report.checked.push((contents.refusals.len(), "refusals signed by their hosts"));
    report.checked.push((contents.findings.len(), "findings signed by their hosts"));
    report.checked.push((contents.events.len(), "steps of changes, the server's word fixed in the ledger"));
    notes::check(contents, report);
}

/// Why a receipt is not covered: the same admission as on the host, at the moment at which it started.
pub(super) fn receipt_flaw(contents: &Contents, receipt: &Statement<Receipt>) -> Option<String> {
    covered(contents, &receipt.body).err()
}

/// Hosts that came from another site, and hosts that left for one: the same statement is in the bundles of both.
fn check_changes_of_sites(contents: &Contents, report: &mut Report) {
    for (digest, enrolment) in &contents.enrolments {
        match reset::departure(&enrolment.body, report.root_sha256.as_ref()) {
            Ok(said) => report.remarks.extend(came_from(&enrolment.body, said.as_ref())),
            Err(why) => report.flaws.push(Flaw::at(format!("statements/{digest}.json"), why)),
        }
    }
    for (digest, said) in &contents.departures {
        let TrustReset { header, root, new_site, new_root } = &said.body;
        if report.root_sha256 != Some(*root) {
            let why = "it leaves a site with another first root";
            report.flaws.push(Flaw::at(format!("statements/{digest}.json"), why));
        }
        report.remarks.push(format!(
            "host {} left for site {new_site} (first root {new_root}) at {}; its word here is statement {}, {digest}",
            header.agent_id, header.at, header.seq
        ));
    }
}

/// The chain of such a host goes on from one that another site's bundles prove.
fn came_from(enrolment: &Enrolment, said: Option<&Statement<TrustReset>>) -> Option<String> {
    let CameFrom { site, root, statement, seq, .. } = enrolment.came_from.as_ref()?;
    let enclosed = match said {
        Some(said) => format!("signed by the same host at {}, is enclosed and holds", said.body.header.at),
        None => "is not enclosed".to_owned(),
    };
    Some(format!(
        "{} came from site {site} (first root {root}); its word there, statement {seq} ({statement}), {enclosed}",
        enrolment.hostname
    ))
}

/// Who broke the glass for a run, why, and whether people have looked at it since.
fn broken_glass(contents: &Contents, receipt: &Receipt) -> String {
    let said: Vec<_> = receipt.approvals.iter().filter_map(|digest| contents.approvals.get(digest)).collect();
    let words =
        said.iter().filter_map(|a| a.body.breakglass.as_ref().map(|glass| (&a.body.person, &glass.reason)));
    let words: Vec<String> = words.map(|(person, reason)| format!("{person}: {reason}")).collect();
    let review = contents.changes.get(&receipt.change).and_then(|c| derived::review(contents, &c.body));
    let review = match review {
        Some(step) => {
            format!("reviewed by {} at {}", step.person.as_ref().map_or("?", |p| p.as_str()), step.at)
        }
        None => format!("not reviewed yet, due {}", receipt.started.plus(REVIEW_SECS)),
    };
    let (id, host) = (&receipt.change_id, receipt.header.agent_id);
    let carried = if is_carried(said.iter().map(|a| &a.body)) { ", carried to the host by hand" } else { "" };
    format!("{id} on {host}: the glass was broken ({}){carried}; {review}", words.join(", "))
}

/// Somebody said no before the host started, and the host had not been told: true, and worth knowing.
fn unheard(contents: &Contents, receipt: &Statement<Receipt>) -> Vec<String> {
    let body = &receipt.body;
    let no = contents
        .approvals
        .values()
        .map(|a| &a.body)
        .filter(|a| a.change == body.change && a.decision != Decision::Approve && a.at <= body.started);
    no.map(|a| {
        let (person, at) = (&a.person, a.at);
        format!(
            "{person} said {} to {} at {at}; {} started at {} without having heard of it, or {person} agreed again",
            a.decision.as_str(), body.change_id, body.header.agent_id, body.started
        )
    })
    .collect()
}

fn covered(contents: &Contents, receipt: &Receipt) -> Result<(), String> {
    let now = receipt.started;
    let policy = editions::named(contents, receipt)?;
    let bundle = rebuild(contents, &receipt.change, &receipt.plan_set)
        .ok_or("the change or the plan set that it names is not in the bundle")?;
    let plan = contents.plans.get(&receipt.plan).ok_or("the plan that it names is not in the bundle")?;
    let me = Me { key: receipt.header.key, host_class: &receipt.header.host_class };
    let addressed = admit::address(policy, bundle.change.clone(), &me, now).map_err(|e| e.to_string())?;
    let sources = sources(contents, policy, &bundle.change.body, now)?;
    let mut bundle = bundle;
    bundle.approvals.retain(|a| receipt.approvals.contains(&a.digest));
    let judge = if receipt.corrects.is_some() { admit::stand } else { admit::approve };
    let approved = judge(policy, &addressed, &bundle, plan, &sources, &me, now).map_err(|e| e.to_string())?;
    logged_before(contents, policy, &approved, receipt)?;
    let missing = receipt.approvals.iter().find(|d| !contents.approvals.contains_key(d));
    if let Some(missing) = missing {
        return Err(format!("the approval {missing} that it names is not in the bundle"));
    }
    if approved.self_approved() != receipt.self_approved {
        return Err("self_approved does not fit the approvals".into());
    }
    if approved.glass().is_some() != receipt.breakglass {
        return Err("breakglass does not fit the approvals".into());
    }
    if receipt.corrects.is_some() {
        return corrective(&bundle.change.body, &plan.body, receipt);
    }
    // Blackouts are the server's word and may have been others then: they can only have stopped it.
    let closed = Closed { blackouts: &[], host: receipt.header.agent_id };
    let window = admit::in_time(policy, &approved, closed, now, now).map_err(|e| e.to_string())?;
    let interval = window.interval();
    if interval != receipt.interval {
        return Err("it started in another interval than it names".into());
    }
    let allowed: BTreeSet<_> = plan.body.actions.iter().map(Action::effect).collect();
    match receipt.results.iter().find(|r| !allowed.contains(&(&r.resource, r.verb, r.after))) {
        Some(step) => {
            Err(format!("the step {} {} is not in the approved plan", step.verb.as_str(), step.resource))
        }
        None => Ok(()),
    }
}

/// A correction may come at any time that it was approved for, and only with ends that were.
fn corrective(change: &crate::change::Change, plan: &Plan, receipt: &Receipt) -> Result<(), String> {
    let interval = change.correction_interval().filter(|i| i.contains(receipt.started));
    if interval != Some(receipt.interval) {
        return Err("it is a correction outside the time that was approved for corrections".into());
    }
    let ends = plan.actions.iter().map(|a| (&a.resource, a.after));
    let ends: BTreeSet<_> = ends.chain(plan.upholds.iter().map(|u| (&u.resource, u.after))).collect();
    match receipt.results.iter().find(|r| !ends.contains(&(&r.resource, r.after))) {
        Some(step) => Err(format!(
            "the correction {} {} does not bring back what was approved",
            step.verb.as_str(),
            step.resource
        )),
        None => Ok(()),
    }
}

pub(super) fn sources(
    contents: &Contents,
    policy: &Policy,
    change: &crate::change::Change,
    now: crate::time::Timestamp,
) -> Result<Sources, String> {
    let mut all = Vec::new();
    for named in &change.manifests {
        let (_, bytes, _) = contents
            .manifests
            .get(&named.sha256)
            .ok_or_else(|| format!("{} is not in the bundle", named.label()))?;
        let verified = admit::verify_manifest(policy, bytes, named, now).map_err(|e| e.to_string())?;
        all.push(verified);
    }
    Ok(Sources::of(&all))
}

/// Places in a host's chain are taken once, and each statement names the one before.
fn check_chains(contents: &Contents, report: &mut Report) {
    let chain = contents.chain();
    let mut gaps = BTreeMap::new();
    for pair in chain.windows(2) {
        let [(before, before_digest), (after, after_digest)] = pair else { continue };
        if before.agent_id != after.agent_id {
            continue;
        }
        let path = format!("statements/{after_digest}.json");
        if before.seq == after.seq {
            let why =
                format!("host {} signed two different statements as number {}", after.agent_id, after.seq);
            report.flaws.push(Flaw::at(path, why));
        } else if after.seq == before.seq + 1 && after.prev != Some(*before_digest) {
            report.flaws.push(Flaw::at(path, "does not name its predecessor in the host's chain"));
        } else if after.seq > before.seq + 1 {
            *gaps.entry(after.agent_id).or_insert(0) += after.seq - before.seq - 1;
        }
    }
    for (agent, missing) in gaps {
        report.remarks.push(format!("{missing} statements of host {agent} lie outside this export"));
    }
    report.checked.push((chain.len(), "places in the hosts' own chains"));
}

/// Records of the audit trail are numbered, so that none can be left out of the middle of a period.
fn check_audit(contents: &Contents, report: &mut Report) {
    let mut numbers = BTreeMap::new();
    for (digest, record) in &contents.audit {
        if let Some(other) = numbers.insert(record.number, digest) {
            let why = format!("has the number {} of the record {other}", record.number);
            report.flaws.push(Flaw::at(format!("audit/{digest}.json"), why));
        }
    }
    let between: Vec<u64> = numbers.keys().copied().collect();
    for pair in between.windows(2) {
        if let [before, after] = pair
            && after - before > 1
        {
            let why = format!("records {} to {} are missing", before + 1, after - 1);
            report.flaws.push(Flaw::at("audit/", why));
        }
    }
    report.checked.push((contents.audit.len(), "administrative actions on the server, without a gap"));
}

fn check_tables(files: &Files, contents: &Contents, report: &mut Report) {
    let tables = tables(contents);
    for table in &tables {
        for (ending, bytes) in [("csv", table.to_csv()), ("json", table.to_json())] {
            let path = format!("data/{}.{ending}", table.name);
            if files.get(&path) != Some(&bytes) {
                report.flaws.push(Flaw::at(path, "says something else than the signed statements"));
            }
        }
    }
    if contents.query.tables != TableFacts::of(&tables) {
        report.flaws.push(Flaw::at("query.json", "names other tables than the signed statements give"));
    }
    report.checked.push((tables.len(), "tables computed again from the statements"));
}
