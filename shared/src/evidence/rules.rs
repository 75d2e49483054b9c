//! Rules of benchmarks by host: what each resource satisfies as its publisher says, and how the host's run ended for it.
//!
//! Results are words of XCCDF: `pass` (already as wanted when it was planned), `fixed` (brought about), `fail` (not, or
//! taken back), `unknown`. A scan with the benchmark itself is another witness.

use super::tables::{application_health, index, text};
use super::{Contents, derived};
use crate::manifest::Resource;
use crate::receipt::{Receipt, StepResult, StepStatus};
use crate::statement::Statement;

/// One row for each rule, resource and run.
pub(super) fn rows(contents: &Contents) -> Vec<Vec<String>> {
    // What follows a receipt tells only when software came into effect, and a correction is about few resources.
    let mut receipts: Vec<_> = contents
        .receipts
        .values()
        .filter(|r| r.body.follows.is_none() && r.body.corrects.is_none())
        .collect();
    receipts.sort_by_key(|r| (r.body.started, r.body.header.agent_id, r.body.header.seq));
    receipts.into_iter().flat_map(|receipt| rows_of(contents, receipt)).collect()
}

fn rows_of(contents: &Contents, receipt: &Statement<Receipt>) -> Vec<Vec<String>> {
    let Some(change) = contents.changes.get(&receipt.body.change) else { return Vec::new() };
    let mut rows = Vec::new();
    for named in &change.body.manifests {
        let Some((.., published)) = contents.manifests.get(&named.sha256) else { continue };
        let manifest = format!("{}/{}", named.team, published.body.manifest.id());
        for resource in published.body.manifest.resources() {
            let rules = resource.satisfies();
            let cells = (!rules.is_empty()).then(|| cells(contents, receipt, resource));
            for (rule, cells) in rules.iter().zip(cells.iter().cycle()) {
                let head =
                    [rule.to_string(), resource.id().to_string(), manifest.clone(), named.sha256.to_string()];
                rows.push(head.into_iter().chain(cells.iter().cloned()).collect());
            }
        }
    }
    rows
}

/// Everything of a row that follows the rule, its resource and its manifest.
fn cells(contents: &Contents, receipt: &Statement<Receipt>, resource: &Resource) -> Vec<String> {
    let body = &receipt.body;
    let id = resource.id();
    let steps: Vec<&StepResult> = body.results.iter().filter(|step| step.resource == id).collect();
    vec![
        body.change_id.to_string(),
        body.revision.to_string(),
        text(contents.server.received.get(&receipt.digest).map(|r| r.ci.clone())),
        text(contents.plans.get(&body.plan).map(|p| p.body.hostname.clone())),
        body.header.agent_id.to_string(),
        result(&steps).into(),
        body.outcome.as_str().into(),
        application_health(body).into(),
        body.finished.to_string(),
        derived::signers(contents, body, id.as_str()).0,
        index(contents, &receipt.digest),
        receipt.digest.to_string(),
    ]
}

/// The worst of the steps counts; a resource without one was as wanted.
fn result(steps: &[&StepResult]) -> &'static str {
    let rank = |status| match status {
        StepStatus::Unneeded => (0, "pass"),
        StepStatus::Done => (1, "fixed"),
        StepStatus::Unknown => (2, "unknown"),
        StepStatus::Failed | StepStatus::NotStarted | StepStatus::Undone | StepStatus::UndoFailed => {
            (3, "fail")
        }
    };
    steps.iter().map(|step| rank(step.status)).max().map_or("pass", |(_, word)| word)
}
