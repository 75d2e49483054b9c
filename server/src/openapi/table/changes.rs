//! Routes of changes.

use super::{DONE, LINE, MATCH, ONCE};
use crate::kernel::http::person::{Approve, Comment, Operate, Propose, Read};
use crate::openapi::route::{HOST, Route, answer, change, json, may, part, route, text};
use crate::{changes, kpi, rollout};
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::wire;

const KEYED: &[&str] = &["request.bad_key", "request.key_reused"];
const MOVED: &[&str] = &["change.unknown", "change.state", "change.moved"];

pub(super) const CHANGES: &[Route] = &[
    route(("POST", "/v1/changes"), "createChange", may::<Propose>(), "Allots the number of a new change.")
        .headers(ONCE)
        .takes(json::<changes::Nothing>())
        .answers(&[answer(200, "the number", json::<changes::Created>())])
        .refuses(KEYED),
    route(("GET", "/v1/changes"), "listChanges", may::<Read>(), "Lists changes page by page, newest first.")
        .query::<changes::Which>()
        .answers(&[answer(200, "the changes", json::<Vec<wire::ChangeLine>>())])
        .refuses(&["change.unknown", "change.unknown_state", "ci.bad_page", "number.none", "number.unknown"]),
    route(
        ("GET", "/v1/changes/{id}"),
        "showChange",
        may::<Read>(),
        "Gives everything signed about the current revision.",
    )
    .parts(&[change("id")])
    .answers(&[answer(200, "the change, with an `ETag`", json::<wire::ChangeFile>())])
    .refuses(&["change.unknown", "change.no_revision"]),
    route(
        ("GET", "/v1/changes/{id}/course"),
        "showCourse",
        may::<Read>(),
        "Lists the steps of a change so far.",
    )
    .parts(&[change("id")])
    .answers(&[answer(200, "the steps, oldest first", json::<Vec<wire::CourseStep>>())])
    .refuses(&["change.unknown"]),
    route(
        ("PUT", "/v1/changes/{id}/revisions/{revision}"),
        "putRevision",
        may::<Propose>(),
        "Stores a Change that its author signed as the next revision.",
    )
    .parts(&[change("id"), part::<u32>("revision")])
    .headers(MATCH)
    .takes(json::<Envelope>())
    .answers(LINE)
    .refuses(&[
        "change.unknown",
        "change.state",
        "change.moved",
        "change.refused",
        "change.revision_taken",
        "change.not_next",
        "change.other_author",
        "change.over",
        "change.manifest_unknown",
        "change.bad_targets",
        "change.host_taken",
        "change.retroactive",
        "change.series_taken",
        "change.successor",
        "host.followed",
        "host.retired",
    ]),
    route(
        ("POST", "/v1/changes/{id}/submit-later"),
        "submitLater",
        may::<Propose>(),
        "Lets a draft be submitted by itself at a time before it ends.",
    )
    .parts(&[change("id")])
    .headers(MATCH)
    .takes(json::<wire::SubmitLater>())
    .answers(LINE)
    .refuses(&[
        "change.unknown",
        "change.state",
        "change.moved",
        "change.no_revision",
        "change.submit_at",
    ]),
    route(
        ("DELETE", "/v1/changes/{id}/submit-later"),
        "keepDraft",
        may::<Propose>(),
        "The draft is not submitted by itself any more.",
    )
    .parts(&[change("id")])
    .headers(MATCH)
    .answers(LINE)
    .refuses(&["change.unknown", "change.state", "change.moved", "change.no_revision"]),
    route(("GET", "/v1/series"), "listSeries", may::<Read>(), "Lists changes that come again, each series as one.")
        .answers(&[answer(200, "the series, by name", json::<Vec<wire::SeriesLine>>())]),
    route(
        ("POST", "/v1/changes/{id}/submit"),
        "submitChange",
        may::<Propose>(),
        "Asks the hosts for plans; a change that brings them nothing waits for its review.",
    )
    .parts(&[change("id")])
    .headers(MATCH)
    .answers(LINE)
    .refuses(&[
        "change.unknown",
        "change.state",
        "change.moved",
        "change.no_revision",
        "change.over",
    ]),
    route(
        ("POST", "/v1/changes/{id}/approvals"),
        "approveChange",
        may::<Approve>(),
        "Records a signed approval, rejection or withdrawal.",
    )
    .parts(&[change("id")])
    .takes(json::<wire::Approve>())
    .answers(&[answer(200, "what counts now for which hosts", json::<changes::Answer>())])
    .refuses(&[
        "change.unknown",
        "change.no_revision",
        "change.state",
        "change.moved",
        "change.conflict",
        "approval.refused",
        "approval.other_revision",
        "approval.other_plan_set",
        "approval.stale_plans",
        "change.over",
        "change.refused",
        "change.successor",
        "host.followed",
        "host.retired",
    ]),
    route(
        ("POST", "/v1/changes/{id}/halt"),
        "haltChange",
        may::<Operate>(),
        "Stops a change: no host begins it any more.",
    )
    .parts(&[change("id")])
    .headers(MATCH)
    .may_take(json::<changes::Note>())
    .answers(LINE)
    .refuses(MOVED),
    route(
        ("POST", "/v1/changes/{id}/resume"),
        "resumeChange",
        may::<Operate>(),
        "Lets a halted change go on.",
    )
    .parts(&[change("id")])
    .headers(MATCH)
    .may_take(json::<changes::Note>())
    .answers(LINE)
    .refuses(MOVED),
    route(("POST", "/v1/changes/{id}/withdraw"), "withdrawChange", may::<Operate>(), "Ends a change undone.")
        .parts(&[change("id")])
    .headers(MATCH)
        .may_take(json::<changes::Note>())
        .answers(LINE)
        .refuses(MOVED),
    route(
        ("POST", "/v1/changes/{id}/stop-correcting"),
        "stopCorrecting",
        may::<Operate>(),
        "Ends that hosts put back by themselves what the change has brought.",
    )
    .parts(&[change("id")])
    .headers(MATCH)
    .may_take(json::<changes::Note>())
    .answers(LINE)
    .refuses(MOVED),
    route(
        ("POST", "/v1/changes/{id}/close"),
        "closeChange",
        may::<Operate>(),
        "Closes a reviewed change with a person's judgement of how it went.",
    )
    .parts(&[change("id")])
    .headers(MATCH)
    .takes(json::<changes::Close>())
    .answers(LINE)
    .refuses(&[
        "change.unknown",
        "change.state",
        "change.moved",
        "change.not_a_judgement",
        "change.not_successful",
        "change.review_note",
        "change.review_own",
        "change.waived_needlessly",
        "note.own_link",
        "note.text",
        "note.too_many",
    ]),
    route(
        ("GET", "/v1/changes/{id}/revisions/{revision}"),
        "showRevision",
        may::<Read>(),
        "Gives one revision as its author signed it.",
    )
    .parts(&[change("id"), part::<u32>("revision")])
    .answers(&[answer(200, "the signed Change", json::<Envelope>())])
    .refuses(&["change.unknown", "change.unknown_revision"]),
    route(
        ("GET", "/v1/changes/{id}/notes"),
        "listNotes",
        may::<Read>(),
        "Lists what people said of a change: comments, objections, links, attached files, reviews.",
    )
    .parts(&[change("id")])
    .answers(&[answer(200, "the notes", json::<wire::ChangeNotes>())])
    .refuses(&["change.unknown"]),
    route(
        ("POST", "/v1/changes/{id}/comments"),
        "comment",
        may::<Comment>(),
        "Comments on a change, objects to it, or answers an objection. Nothing starts or stops by it.",
    )
    .parts(&[change("id")])
    .headers(ONCE)
    .takes(json::<wire::Remark>())
    .answers(&[answer(200, "the note", json::<shared::note::ChangeNote>())])
    .refuses(&[
        "change.unknown",
        "ci.ambiguous",
        "note.not_concerned",
        "note.settled",
        "note.text",
        "note.too_many",
        "note.unknown",
        "request.bad_key",
        "request.key_reused",
    ]),
    route(
        ("POST", "/v1/changes/{id}/notes"),
        "addNote",
        may::<Propose>(),
        "Links a change, ends a link, or attaches an uploaded file. What is there already is answered as it is.",
    )
    .parts(&[change("id")])
    .headers(ONCE)
    .takes(json::<wire::Addition>())
    .answers(&[answer(200, "the note", json::<shared::note::ChangeNote>())])
    .refuses(&[
        "change.unknown",
        "note.attachment_too_large",
        "note.own_link",
        "note.settled",
        "note.text",
        "note.too_many",
        "note.unknown",
        "object.not_found",
        "request.bad_key",
        "request.key_reused",
    ]),
    route(
        ("GET", "/v1/why/{host}/{change}"),
        "explain",
        may::<Read>(),
        "Says why a host is not changing yet, for one change.",
    )
    .parts(&[text("host"), change("change")])
    .answers(&[answer(200, "the first thing in the way", json::<wire::Why>())])
    .refuses(&["host.not_found", "ci.ambiguous", "change.unknown"]),
    route(
        ("GET", "/v1/waiting"),
        "countWaiting",
        may::<Read>(),
        "Counts what hosts wait for, of one change or of all that are open.",
    )
    .query::<rollout::Of>()
    .answers(&[answer(200, "hosts that wait for the same, most first", json::<Vec<wire::Waiting>>())])
    .refuses(&["change.unknown", "number.none", "number.unknown"]),
    route(
        ("GET", "/v1/changes/{change}/waves"),
        "countWaves",
        may::<Read>(),
        "Counts where the hosts of each wave of a change stand, and says when its gate opens.",
    )
    .parts(&[change("change")])
    .answers(&[answer(200, "the waves in their order", json::<Vec<wire::WaveLine>>())])
    .refuses(&["change.unknown"]),
    route(("POST", "/agent/v1/plans"), "sendPlan", HOST, "Takes in a Plan that its host signed.")
        .takes(json::<Envelope>())
        .answers(DONE)
        .refuses(&[
            "agent.too_much",
            "plan.no_target",
            "plan.not_wanted",
            "plan.other_agent",
            "plan.other_change",
            "plan.too_many",
            "plan.unknown_change",
        ]),
    route(
        ("POST", "/agent/v1/words"),
        "bringWord",
        HOST,
        "Takes in a word that breaks the glass and was carried to the host by hand.",
    )
    .takes(json::<wire::Approve>())
    .answers(DONE)
    .refuses(&["agent.too_much", "approval.other_revision", "approval.refused", "change.unknown"]),
    route(("GET", "/agent/v1/plans/{digest}"), "fetchPlan", HOST, "Gives a host a plan of its own again.")
        .parts(&[part::<Digest>("digest")])
        .answers(&[answer(200, "a signed Plan", json::<Envelope>())])
        .refuses(&["plan.unknown"]),
];

pub(super) const KPIS: &[Route] = &[route(
    ("GET", "/v1/kpis"),
    "showKpis",
    may::<Read>(),
    "Gives the key figures of a period, each with its definition, what it is made of and what was left out.",
)
.query::<kpi::Period>()
.answers(&[answer(200, "the figures", json::<wire::Kpis>())])];
