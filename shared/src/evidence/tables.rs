//! The tables of a bundle (changes, applications, approvals, rules), computed from the signed statements.
//!
//! The verifier computes them again and compares bytes, so a table cannot say what no statement says.
//! Dialect: RFC 4180 (comma, CRLF, UTF-8 without a mark, raw values); times RFC 3339 UTC, whole seconds.

use super::columns::{APPLICATIONS, APPROVALS, CHANGES, RULES};
use super::editions::{is_accepted, policy_at};
use super::notes::Notes;
use super::{Contents, accepted, derived, rules, standing};
use crate::approval::{Approval, Decision};
use crate::change::Change;
use crate::digest::Digest;
use crate::ids::AgentId;
use crate::policy::{is_carried, verify_approval};
use crate::receipt::{HostOutcome, Receipt};
use crate::statement::Statement;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// One table: columns in their fixed order, rows of equal length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub name: &'static str,
    pub columns: &'static [&'static str],
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub fn to_csv(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let header = self.columns.iter().map(|c| (*c).to_owned()).collect();
        for row in std::iter::once(&header).chain(&self.rows) {
            let cells: Vec<String> = row.iter().map(|cell| quote(cell)).collect();
            out.extend_from_slice(cells.join(",").as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    pub fn to_json(&self) -> Vec<u8> {
        let object = |row: &Vec<String>| -> serde_json::Value {
            let pairs = self.columns.iter().zip(row).map(|(c, v)| ((*c).to_owned(), v.clone().into()));
            serde_json::Value::Object(pairs.collect())
        };
        let rows: Vec<_> = self.rows.iter().map(object).collect();
        crate::strict::to_json(
            &serde_json::json!({ "schema": format!("assent-{}/1", self.name), "rows": rows }),
        )
    }
}

fn quote(cell: &str) -> String {
    if cell.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

/// Computes all tables of a bundle, rows in a fixed order.
pub fn tables(contents: &Contents) -> Vec<Table> {
    let table = |name, columns, mut rows: Vec<Vec<String>>| {
        for (n, row) in rows.iter_mut().enumerate() {
            let head = [contents.query.site.to_string(), contents.query.export_id(), (n + 1).to_string()];
            row.splice(0..0, head);
        }
        Table { name, columns, rows }
    };
    vec![
        table(
            "changes",
            CHANGES,
            sorted_changes(contents).into_iter().map(|c| change_row(contents, c)).collect(),
        ),
        table("applications", APPLICATIONS, application_rows(contents)),
        table("approvals", APPROVALS, approval_rows(contents)),
        table("rules", RULES, rules::rows(contents)),
    ]
}

fn sorted_changes(contents: &Contents) -> Vec<&Statement<Change>> {
    let mut changes: Vec<_> = contents.changes.values().collect();
    let number = |c: &&Statement<Change>| {
        let id = c.body.change_id.as_str();
        (id.len(), id.to_owned(), c.body.revision)
    };
    changes.sort_by_key(number);
    changes
}

pub(super) fn text<T: ToString>(value: Option<T>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

/// A column of the export set whose source does not exist yet; which and why: `shared/decisions` on evidence columns.
fn unknown() -> String {
    String::new()
}

fn yes(value: bool) -> String {
    value.to_string()
}

pub(super) fn index(contents: &Contents, digest: &Digest) -> String {
    text(contents.proofs.inclusion.get(digest).map(|p| p.proof.index))
}

fn change_row(contents: &Contents, change: &Statement<Change>) -> Vec<String> {
    let body = &change.body;
    let of_this = contents.approvals.values().filter(|a| a.body.change == change.digest);
    let approvals: Vec<_> = of_this.filter(|a| is_accepted(contents, a)).collect();
    let given: Vec<_> = approvals.iter().filter(|a| a.body.decision == Decision::Approve).collect();
    // How the change went; what hosts have put back since stands with the applications.
    let of_this = contents.receipts.values().filter(|r| r.body.change == change.digest);
    let receipts: Vec<_> = of_this.filter(|r| r.body.corrects.is_none()).collect();
    let plans = contents.plans.values().filter(|p| p.body.change == change.digest);
    let approvers: BTreeSet<_> = given.iter().map(|a| a.body.person.to_string()).collect();
    let hosts: BTreeSet<_> = receipts.iter().map(|r| r.body.header.agent_id).collect();
    let indices = std::iter::once(&change.digest)
        .chain(approvals.iter().map(|a| &a.digest))
        .chain(receipts.iter().map(|r| &r.digest))
        .filter_map(|d| contents.proofs.inclusion.get(d).map(|p| p.proof.index));
    let server = contents.server.changes.get(&body.change_id);
    let halt = derived::last_step(contents, body, "halt");
    let review = derived::review(contents, body);
    let notes = Notes::of(contents, &body.change_id);
    let window: Vec<String> = body.intervals.iter().map(|i| format!("{}/{}", i.from, i.until)).collect();
    let manifests: Vec<String> =
        body.manifests.iter().map(|m| format!("{}:{}", m.label(), m.sha256)).collect();
    vec![
        body.change_id.to_string(),
        body.revision.to_string(),
        word(&body.change_type),
        text(body.model.as_ref()),
        body.title.clone(),
        body.reason.clone(),
        body.author.to_string(),
        body.created.to_string(),
        unknown(),
        text(plans.map(|p| p.body.risk()).max()),
        unknown(),
        unknown(),
        derived::affected_services(contents, change),
        body.targets.len().to_string(),
        pending(body, hosts.len()).to_string(),
        manifests.join(" "),
        text(given.first().map(|a| a.body.saw.plan_set)),
        notes.attachments(),
        derived::approvals_required(contents, change),
        given.len().to_string(),
        approvers.iter().cloned().collect::<Vec<_>>().join(" "),
        text(given.iter().map(|a| a.body.at).max()),
        yes(!approvers.is_empty() && !approvers.contains(body.author.as_str())),
        yes(receipts.iter().any(|r| r.body.self_approved) || accepted::by_author_alone(body, &approvers)),
        unknown(),
        text(body.intervals.first().map(|i| i.from)),
        text(body.intervals.last().map(|i| i.until)),
        window.join(" "),
        unknown(),
        derived::waves(body),
        text(receipts.iter().map(|r| r.body.started).min()),
        text(receipts.iter().map(|r| r.body.finished).max()),
        match body.is_record() {
            true => accepted::result(contents, change).into(),
            false => result_of(&receipts, body.targets.len()).into(),
        },
        body.undo.text.clone(),
        yes(body.undo.automatic),
        receipts.iter().filter(|r| r.body.outcome == HostOutcome::RolledBack).count().to_string(),
        derived::rolled_back_at(&receipts),
        text(halt.map(|step| step.at)),
        text(halt.map(|step| step.note.clone())),
        derived::emergency_reason(body),
        text(derived::review_due(contents, body, &receipts)),
        text(review.and_then(|step| step.person.clone())),
        text(review.map(|step| step.at)),
        unknown(),
        text(server.map(|s| s.state.clone())),
        text(server.and_then(|s| s.outcome.clone())),
        text(indices.clone().min()),
        text(indices.max()),
        change.digest.to_string(),
        body.accepts.iter().map(|a| a.finding.to_string()).collect::<Vec<_>>().join(" "),
        standing::decision(contents, change).join(" | "),
        yes(receipts.iter().any(|r| r.body.breakglass)),
        derived::register(contents, body),
        notes.objections().to_string(),
        notes.objections_open().to_string(),
        notes.links(),
        text(notes.review().map(|r| r.found.clone())),
        text(notes.review().map(|r| r.deviation.clone())),
        text(notes.review().map(|r| r.lessons.clone())),
        notes.waived(),
        accepted::retired(body),
    ]
}

/// Hosts of which no receipt is there; what only puts on record waits for nobody.
fn pending(change: &Change, reported: usize) -> usize {
    if change.is_record() { 0 } else { change.targets.len().saturating_sub(reported) }
}

/// How a change went, judged from the hosts' receipts alone.
fn result_of(receipts: &[&Statement<Receipt>], targets: usize) -> &'static str {
    let ends = last_words(receipts);
    let good = ends.iter().filter(|r| r.body.outcome.is_success()).count();
    let back = ends.iter().filter(|r| r.body.outcome == HostOutcome::RolledBack).count();
    let pending = ends.iter().any(|r| r.body.outcome == HostOutcome::PendingReboot);
    match (ends.len(), good, back) {
        (0, _, _) => "not_started",
        _ if pending && ends.iter().all(|r| r.body.outcome.succeeded() != Some(false)) => "pending_reboot",
        (_, good, _) if good == targets => "success",
        (all, 0, back) if back == all => "rolled_back",
        (_, 0, _) => "failed",
        _ => "partial",
    }
}

/// Of each host the receipt that it made last: one that follows another says how that ended.
fn last_words<'a>(receipts: &[&'a Statement<Receipt>]) -> Vec<&'a Statement<Receipt>> {
    let mut last: BTreeMap<AgentId, &Statement<Receipt>> = BTreeMap::new();
    for receipt in receipts {
        let slot = last.entry(receipt.body.header.agent_id).or_insert(receipt);
        if receipt.body.header.seq > slot.body.header.seq {
            *slot = receipt;
        }
    }
    last.into_values().collect()
}

/// Since when the software of a receipt is installed, in effect and verified; later receipts may tell the rest.
fn times(contents: &Contents, receipt: &Statement<Receipt>) -> [Option<Timestamp>; 3] {
    let Some(own) = &receipt.body.patched else { return [None; 3] };
    let later = contents.receipts.values().filter(|r| r.body.follows == Some(receipt.digest));
    let later: Vec<_> = later.filter_map(|r| r.body.patched.as_ref()).collect();
    let effective = own.effective.or_else(|| later.iter().filter_map(|p| p.effective).min());
    let verified = own.verified.or_else(|| later.iter().filter_map(|p| p.verified).min());
    [Some(own.installed), effective, verified]
}

fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn application_rows(contents: &Contents) -> Vec<Vec<String>> {
    let mut receipts: Vec<_> = contents.receipts.values().collect();
    receipts.sort_by_key(|r| (r.body.started, r.body.header.agent_id, r.body.header.seq));
    receipts.into_iter().flat_map(|r| application_rows_of(contents, r)).collect()
}

/// What the health checks of a run say together.
pub(super) fn application_health(receipt: &Receipt) -> &'static str {
    if receipt.health.is_empty() {
        "none"
    } else if receipt.health.iter().all(|h| h.ok) {
        "ok"
    } else {
        "failed"
    }
}

fn application_rows_of(contents: &Contents, receipt: &Statement<Receipt>) -> Vec<Vec<String>> {
    let body = &receipt.body;
    let received = contents.server.received.get(&receipt.digest);
    let valid = super::verify::receipt_flaw(contents, receipt).is_none();
    let in_window = contents.changes.get(&body.change).is_some_and(|c| match body.corrects {
        None => c.body.interval_at(body.started).is_ok(),
        Some(_) => c.body.correction_interval().is_some_and(|i| i.contains(body.started)),
    });
    let plan = contents.plans.get(&body.plan);
    let health = application_health(body);
    let times = times(contents, receipt);
    let row = |r: &crate::receipt::StepResult| {
        let (verified, signer) = derived::signers(contents, body, r.resource.as_str());
        let (kind, _) = r.resource.as_str().split_once(':').unwrap_or_default();
        let pin = plan
            .and_then(|p| p.body.actions.iter().find(|a| a.resource == r.resource && a.verb == r.verb))
            .and_then(|a| a.package.as_ref());
        vec![
            receipt.digest.to_string(),
            body.change_id.to_string(),
            body.revision.to_string(),
            text(received.map(|r| r.ci.clone())),
            text(plan.map(|p| p.body.hostname.clone())),
            body.header.agent_id.to_string(),
            (body.wave + 1).to_string(),
            r.resource.to_string(),
            kind.to_owned(),
            r.verb.as_str().into(),
            text(r.before),
            r.after.to_string(),
            yes(matches!(r.status, crate::receipt::StepStatus::Done)),
            yes(in_window),
            yes(valid),
            yes(body.self_approved),
            text(pin.and_then(|p| p.sha256)),
            text(pin.and_then(|p| p.origin.clone())),
            verified,
            signer,
            body.finished.to_string(),
            text(received.map(|r| r.at)),
            r.status.as_str().into(),
            r.note.clone(),
            body.outcome.as_str().into(),
            health.into(),
            text(times[0].filter(|_| pin.is_some())),
            text(times[0].filter(|_| pin.is_some()).map(|_| times[1].is_none())),
            text(times[1].filter(|_| pin.is_some())),
            text(times[2].filter(|_| pin.is_some())),
            body.header.agent_version.to_string(),
            body.header.key.digest().to_string(),
            body.policy_version.to_string(),
            index(contents, &receipt.digest),
            receipt.digest.to_string(),
            yes(body.corrects.is_some()),
            text(body.corrects),
            yes(body.breakglass),
        ]
    };
    body.results.iter().map(row).collect()
}

fn approval_rows(contents: &Contents) -> Vec<Vec<String>> {
    let mut approvals: Vec<_> = contents.approvals.values().collect();
    approvals.sort_by_key(|a| (a.body.at, a.digest));
    approvals.into_iter().map(|a| approval_row(contents, a)).collect()
}

fn approval_row(contents: &Contents, approval: &Statement<Approval>) -> Vec<String> {
    let body = &approval.body;
    let policy = policy_at(contents, body.at);
    let key = policy.and_then(|p| {
        let person = p.person(&body.person)?;
        person.keys.iter().find(|k| approval.is_signed_with(k.verifier()))
    });
    let change = contents.changes.get(&body.change);
    let valid = match (policy, change) {
        (Some(policy), Some(change)) => verify_approval(policy, change, approval, body.at).is_ok(),
        _ => false,
    };
    let roles = key.map(|k| k.roles.iter().map(word).collect::<Vec<_>>().join(" "));
    vec![
        approval.digest.to_string(),
        body.change_id.to_string(),
        body.revision.to_string(),
        body.person.to_string(),
        derived::person_ref(contents, body),
        text(roles),
        text(key.map(|k| k.public.digest())),
        text(key.map(|k| word(&k.assurance))),
        body.decision.as_str().into(),
        body.comment.clone(),
        body.saw.plan_set.to_string(),
        body.saw.renderer.clone(),
        body.at.to_string(),
        body.expires.to_string(),
        approval.digest.to_string(),
        yes(valid),
        index(contents, &approval.digest),
        approval.digest.to_string(),
        yes(body.breakglass.is_some()),
        text(body.breakglass.as_ref().map(|glass| &glass.reason)),
        yes(is_carried([body])),
    ]
}
