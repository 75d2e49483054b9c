//! Routes of findings and mismatches.

use super::{DONE, LINE, NAMED, ONCE};
use crate::findings;
use crate::kernel::http::person::{Operate, Propose, Read};
use crate::openapi::route::{Route, answer, change, json, may, part, route};
use shared::envelope::Envelope;
use shared::wire;

pub(super) const FINDINGS: &[Route] = &[
    route(
        ("GET", "/v1/mismatches"),
        "listMismatches",
        may::<Read>(),
        "Lists where what is declared and what is observed do not fit together, newest first.",
    )
    .query::<findings::Wanted>()
    .answers(&[answer(200, "a page", json::<wire::MismatchPage>())])
    .refuses(&["ci.ambiguous", "ci.not_found"]),
    route(
        ("POST", "/v1/mismatch-dispositions"),
        "disposeMismatches",
        may::<Operate>(),
        "Judges mismatches, all or none.",
    )
    .takes(json::<wire::DisposeMismatches>())
    .answers(DONE)
    .refuses(&[
        "finding.count",
        "finding.end",
        "finding.incomplete",
        "finding.reason",
        "mismatch.disposition",
        "mismatch.moved",
        "mismatch.unknown",
    ]),
    route(
        ("GET", "/v1/findings"),
        "listFindings",
        may::<Read>(),
        "Lists where hosts differ from what was approved, newest first.",
    )
    .query::<findings::Filter>()
    .answers(&[answer(200, "a page", json::<wire::FindingPage>())])
    .refuses(NAMED),
    route(
        ("GET", "/v1/findings/{finding}"),
        "showFinding",
        may::<Read>(),
        "Shows a finding with the host's signed words and what was made of it.",
    )
    .parts(&[part::<u64>("finding")])
    .answers(&[answer(200, "the finding", json::<wire::FindingFile>())])
    .refuses(&["finding.unknown"]),
    route(
        ("POST", "/v1/finding-dispositions"),
        "disposeFindings",
        may::<Operate>(),
        "Records what people make of findings, all or none.",
    )
    .takes(json::<wire::Dispose>())
    .answers(DONE)
    .refuses(&[
        "finding.count",
        "finding.end",
        "number.none",
        "number.unknown",
        "finding.in_review",
        "finding.incomplete",
        "finding.moved",
        "finding.reason",
        "finding.unknown",
        "change.unknown",
    ]),
    route(
        ("GET", "/v1/finding-rules"),
        "listIgnoreRules",
        may::<Read>(),
        "Lists the rules by which findings are ignored now, oldest first.",
    )
    .answers(&[answer(200, "the rules", json::<Vec<wire::IgnoreRule>>())]),
    route(
        ("POST", "/v1/finding-rules"),
        "makeIgnoreRule",
        may::<Operate>(),
        "Makes a rule by which findings are ignored, for a reason and until a time.",
    )
    .headers(ONCE)
    .takes(json::<wire::NewIgnoreRule>())
    .answers(&[answer(200, "the rule", json::<wire::IgnoreRule>())])
    .refuses(&["finding.bad_pattern", "finding.end", "finding.reason", "request.bad_key", "request.key_reused"]),
    route(
        ("DELETE", "/v1/finding-rules/{rule}"),
        "withdrawIgnoreRule",
        may::<Operate>(),
        "Ends a rule; what it covered is open again.",
    )
    .parts(&[part::<u64>("rule")])
    .answers(DONE)
    .refuses(&["finding.unknown_rule"]),
    route(
        ("PUT", "/v1/retroactive-changes/{id}/revisions/{revision}"),
        "putRetroactiveRevision",
        may::<Propose>(),
        "Stores a Change of type retroactive, which accepts findings, that its author signed as the next revision.",
    )
    .parts(&[change("id"), part::<u32>("revision")])
    .takes(json::<Envelope>())
    .answers(LINE)
    .refuses(&[
        "change.bad_targets",
        "change.finding_taken",
        "change.moved",
        "change.not_next",
        "change.other_author",
        "change.over",
        "change.refused",
        "change.retroactive",
        "change.revision_taken",
        "change.state",
        "change.unknown",
        "finding.disposed",
        "finding.moved",
        "finding.not_recorded",
        "finding.other_host",
    ]),
];
