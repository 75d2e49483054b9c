//! Every route of both listeners. A new route is described here or a test fails.

use super::route::{Answer, Content, HOST, PUBLIC, Route, answer, json, may, part, route, text};
use crate::kernel::http::person::{
    Approve, Comment, Export, ManageHosts, ManagePeople, Operate, OwnTokens, Propose, Publish, Read,
};
use crate::{
    audit, budgets, changes, cmdb, compliance, findings, kpi, ledger, manifests, people, progress, receipts,
    rollout, schedule,
};
use schemars::JsonSchema;
use shared::digest::Digest;
use shared::envelope::Envelope;
use shared::ids::{BudgetName, ChangeId, PersonId};
use shared::strict::Map;
use shared::windows::CalendarName;
use shared::wire;

/// An empty object: the status says everything.
#[derive(JsonSchema)]
struct EmptyObject {}

/// Keeps the hosts that have all these labels.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the handler reads pairs, because a query struct cannot hold repeated names")]
struct Hosts {
    /// `name=value`; may be repeated.
    label: Option<Vec<String>>,
}

const DONE: &[Answer] = &[answer(204, "done", Content::Nothing)];
const LINE: &[Answer] = &[answer(200, "the change afterwards", json::<wire::ChangeLine>())];
const BYTES: Content = Content::Bytes("application/octet-stream");
const BLOB: &[Answer] = &[answer(200, "the whole artifact", BYTES), answer(206, "the wanted part", BYTES)];
/// Of requests that make something new.
const ONCE: &[(&str, &str)] = &[(
    crate::kernel::http::once::HEADER,
    "a word of the client's: the same request with the same one, within a day, is done once and answered the same",
)];
/// Of requests that move a change.
const MATCH: &[(&str, &str)] = &[("If-Match", "the `ETag` of the change as it was looked at")];
const RANGE: &[(&str, &str)] = &[("Range", "`bytes=a-` or `bytes=a-b`; other forms are ignored")];
const NAMED: &[&str] = &["host.not_found", "ci.ambiguous"];
const SEARCH: &[&str] = &[
    "ci.bad_page",
    "ci.bad_search",
    "ci.not_found",
    "ci.search_circle",
    "ci.search_unknown",
    "ci.search_wide",
];
const KEYED: &[&str] = &["request.bad_key", "request.key_reused"];
const MOVED: &[&str] = &["change.unknown", "change.state", "change.moved", "change.other_version"];

/// By the part of the server that answers.
pub const ROUTES: &[(&str, &[Route])] = &[
    ("server", SERVER),
    ("fleet", FLEET),
    ("cmdb", CMDB),
    ("declarations", DECLARED),
    ("people", PEOPLE),
    ("repository", REPOSITORY),
    ("artifacts", ARTIFACTS),
    ("calendars", CALENDARS),
    ("budgets", BUDGETS),
    ("changes", CHANGES),
    ("schedule", SCHEDULE),
    ("progress", PROGRESS),
    ("receipts", RECEIPTS),
    ("findings", FINDINGS),
    ("kpis", KPIS),
    ("ledger", LEDGER),
    ("audit", AUDIT),
    ("compliance", COMPLIANCE),
];

const SERVER: &[Route] = &[
    route(("GET", "/healthz"), "health", PUBLIC, "Says whether the server and its database answer.")
        .answers(&[answer(200, "`ok`", Content::Bytes("text/plain"))]),
    route(("GET", "/v1/openapi.json"), "describe", PUBLIC, "Gives this document.").answers(&[answer(
        200,
        "this document",
        Content::Bytes("application/json"),
    )]),
];

const FLEET: &[Route] = &[
    route(
        ("POST", "/v1/join"),
        "joinHost",
        PUBLIC,
        "Lets a host in that signed an enrolment and has a join token.",
    )
    .takes(json::<wire::Join>())
    .answers(&[answer(200, "what the host needs to connect", json::<wire::Joined>())])
    .refuses(&[
        "request.too_many",
        "join.bad_enrolment",
        "join.bad_hostname",
        "join.bad_csr",
        "join.token_unknown",
        "join.token_used",
        "join.token_expired",
        "join.host_class",
        "join.known_host",
    ]),
    route(("POST", "/v1/renew"), "renewHost", PUBLIC, "Gives a host a new certificate, by a signed renewal.")
        .takes(json::<wire::Renew>())
        .answers(&[answer(200, "what the host needs to connect", json::<wire::Joined>())])
        .refuses(&[
            "request.too_many",
            "renew.bad_request",
            "renew.clock",
            "renew.unknown_host",
            "renew.stale",
            "agent.not_enabled",
            "join.bad_csr",
        ]),
    route(
        ("POST", "/v1/join-tokens"),
        "inviteHost",
        may::<ManageHosts>(),
        "Makes a join token for one host.",
    )
    .takes(json::<wire::Invite>())
    .answers(&[answer(200, "a token that the server made, shown once", json::<wire::Invitation>())])
    .refuses(&["join.bad_minutes", "host.bad_label", "host.too_many_labels"]),
    route(("GET", "/v1/hosts"), "listHosts", may::<Read>(), "Lists the hosts by name.")
        .query::<Hosts>()
        .answers(&[answer(200, "the hosts", json::<Vec<wire::HostLine>>())]),
    route(
        ("PUT", "/v1/hosts/{ci}/labels"),
        "labelHost",
        may::<ManageHosts>(),
        "Replaces the labels of a host.",
    )
    .parts(&[text("ci")])
    .takes(json::<Map<String, String>>())
    .answers(DONE)
    .refuses(&["host.not_found", "ci.ambiguous", "host.bad_label", "host.too_many_labels"]),
    route(
        ("POST", "/v1/hosts/{ci}/disable"),
        "disableHost",
        may::<ManageHosts>(),
        "Shuts a host out at once.",
    )
    .parts(&[text("ci")])
    .answers(DONE)
    .refuses(NAMED),
    route(
        ("POST", "/v1/hosts/{ci}/enable"),
        "enableHost",
        may::<ManageHosts>(),
        "Lets a host in again, and ends a hold.",
    )
    .parts(&[text("ci")])
    .answers(DONE)
    .refuses(NAMED),
    route(
        ("GET", "/v1/hosts/{ci}/enrolment"),
        "showEnrolment",
        may::<Read>(),
        "Gives the statement with which a host joined.",
    )
    .parts(&[text("ci")])
    .answers(&[answer(200, "a signed Enrolment", json::<Envelope>())])
    .refuses(NAMED),
    route(
        ("POST", "/agent/v1/health"),
        "reportHealth",
        HOST,
        "Takes in what the health checks of a host say outside of runs, as a signed HealthReport.",
    )
    .takes(json::<Envelope>())
    .answers(DONE)
    .refuses(&["agent.too_much", "statement.invalid", "statement.other_host"]),
    route(("GET", "/agent/v1/work"), "checkIn", HOST, "Tells a host what is new for it.")
        .headers(&[("If-None-Match", "the `ETag` of the last answer")])
        .answers(&[
            answer(200, "news, with an `ETag`", json::<wire::Work>()),
            answer(304, "nothing is new", Content::Nothing),
        ]),
    route(("PUT", "/agent/v1/facts"), "reportFacts", HOST, "Takes in what a host says of itself.")
        .takes(json::<wire::FactsReport>())
        .answers(DONE)
        .refuses(&["agent.too_much", "facts.bad", "facts.host_class"]),
    route(
        ("PATCH", "/agent/v1/facts"),
        "changeFacts",
        HOST,
        "Takes in what changed in what a host says of itself.",
    )
    .takes(json::<wire::FactsChange>())
    .answers(DONE)
    .refuses(&["agent.too_much", "facts.bad", "facts.base", "facts.host_class"]),
];

const CMDB: &[Route] = &[
    route(
        ("GET", "/v1/cis"),
        "listCis",
        may::<Read>(),
        "Lists the entries of the CMDB by name, or those that a search finds.",
    )
    .query::<cmdb::Asked>()
    .answers(&[answer(200, "a page of entries", json::<Vec<wire::CiLine>>())])
    .refuses(SEARCH),
    route(("GET", "/v1/searches"), "listSearches", may::<Read>(), "Lists saved searches by name.")
        .answers(&[answer(200, "the searches", json::<Vec<wire::SavedSearch>>())]),
    route(
        ("PUT", "/v1/searches/{name}"),
        "saveSearch",
        may::<Operate>(),
        "Saves a search under a name, for `saved:NAME` in others.",
    )
    .parts(&[text("name")])
    .takes(json::<wire::PutSearch>())
    .answers(DONE)
    .refuses(&["ci.bad_saved", "ci.bad_search", "ci.search_circle", "ci.search_unknown"]),
    route(
        ("DELETE", "/v1/searches/{name}"),
        "forgetSearch",
        may::<Operate>(),
        "Removes a saved search that no other one uses.",
    )
    .parts(&[text("name")])
    .answers(DONE)
    .refuses(&["ci.search_unknown", "ci.search_used"]),
    route(
        ("GET", "/v1/cis/{name}"),
        "showCi",
        may::<Read>(),
        "Shows one entry, by id or name: facts, recorded state per resource, history; as it is, or as it was.",
    )
    .parts(&[text("name")])
    .query::<cmdb::Then>()
    .answers(&[answer(200, "the entry", json::<wire::CiFile>())])
    .refuses(&["ci.not_found", "ci.ambiguous", "ci.bad_time"]),
];

const PEOPLE: &[Route] = &[
    route(("GET", "/v1/people"), "listPeople", may::<Read>(), "Lists who has access to the server.")
        .answers(&[answer(200, "the persons", json::<Vec<people::PersonLine>>())]),
    route(
        ("POST", "/v1/people/{person}/tokens"),
        "grantAccess",
        may::<ManagePeople>(),
        "Gives a person access and a token.",
    )
    .parts(&[part::<PersonId>("person")])
    .takes(json::<people::Grant>())
    .answers(&[answer(200, "the token, shown once", json::<people::Granted>())])
    .refuses(&["person.bad_access", "person.bad_days", "person.last_admin", "person.token_taken"]),
    route(
        ("DELETE", "/v1/people/{person}"),
        "endAccess",
        may::<ManagePeople>(),
        "Ends all access of a person.",
    )
    .parts(&[part::<PersonId>("person")])
    .answers(DONE)
    .refuses(&["person.not_found", "person.last_admin"]),
    route(("GET", "/v1/tokens"), "listTokens", may::<OwnTokens>(), "Lists the caller's own tokens that are good.")
        .answers(&[answer(200, "the tokens, without their secrets", json::<Vec<people::TokenLine>>())]),
    route(
        ("POST", "/v1/tokens"),
        "newToken",
        may::<OwnTokens>(),
        "Makes a token for a program, with some of what the caller may do (`scopes`: the `x-permission` of operations).",
    )
    .takes(json::<people::NewToken>())
    .answers(&[answer(200, "the token, shown once", json::<people::Granted>())])
    .refuses(&[
        "person.bad_days",
        "person.bad_scope",
        "person.bad_token_name",
        "person.no_scope",
        "person.token_taken",
        "person.too_many_tokens",
    ]),
    route(("DELETE", "/v1/tokens/{sha256}"), "endToken", may::<OwnTokens>(), "Ends one of the caller's own tokens.")
        .parts(&[part::<Digest>("sha256")])
        .answers(DONE)
        .refuses(&["person.no_such_token", "person.last_admin"]),
];

const REPOSITORY: &[Route] = &[
    route(
        ("GET", "/v1/site"),
        "showSite",
        may::<Read>(),
        "Says who the site is, how it is reached, what ends when.",
    )
    .answers(&[answer(200, "the site", json::<manifests::Site>())]),
    route(("GET", "/v1/tuf/{file}"), "fetchTuf", may::<Read>(), "Gives a file of the site's TUF repository.")
        .parts(&[text("file")])
        .answers(&[answer(200, "the file", Content::Bytes("application/json"))])
        .refuses(&["site.no_file"]),
    route(
        ("GET", "/agent/v1/tuf/{file}"),
        "fetchTufAsHost",
        HOST,
        "Gives a file of the site's TUF repository.",
    )
    .parts(&[text("file")])
    .answers(&[answer(200, "the file", Content::Bytes("application/json"))])
    .refuses(&["site.no_file"]),
    route(
        ("POST", "/v1/tuf/publish"),
        "publishManifest",
        may::<Publish>(),
        "Adds a manifest that its publisher signed.",
    )
    .takes(json::<manifests::Publish>())
    .answers(&[answer(200, "the snapshot that contains it", json::<manifests::Accepted>())])
    .refuses(&[
        "manifest.artifact_missing",
        "manifest.artifact_length",
        "manifest.older",
        "manifest.removed",
        "manifest.replaced",
        "site.not_next",
        "site.refused",
    ]),
    route(
        ("POST", "/v1/tuf/policy"),
        "publishPolicy",
        may::<Publish>(),
        "Takes over a policy edition that governance signed.",
    )
    .takes(json::<manifests::Edition>())
    .answers(&[answer(200, "the snapshot that contains it", json::<manifests::Accepted>())])
    .refuses(&["policy.not_newer", "site.log_key", "site.not_next", "site.online_key", "site.refused"]),
];

const ARTIFACTS: &[Route] = &[
    route(
        ("POST", "/v1/uploads"),
        "beginUpload",
        may::<Publish>(),
        "Begins an upload, or says where an earlier one of the same file goes on.",
    )
    .takes(json::<manifests::Announced>())
    .answers(&[answer(200, "where to send, and from which byte", json::<manifests::Begun>())])
    .refuses(&["object.too_large", "object.digest_mismatch", "upload.running", "upload.too_many"]),
    route(
        ("PATCH", "/v1/uploads/{id}"),
        "continueUpload",
        may::<Publish>(),
        "Appends bytes; the last ones make the artifact if the digest is right.",
    )
    .parts(&[text("id")])
    .query::<manifests::At>()
    .takes(BYTES)
    .answers(&[answer(200, "the bytes that are there now", json::<manifests::Continued>())])
    .refuses(&[
        "object.digest_mismatch",
        "object.too_large",
        "object.wrong_offset",
        "upload.too_long",
        "upload.unknown",
    ]),
    route(
        ("GET", "/v1/artifacts/{sha256}"),
        "fetchArtifact",
        may::<Read>(),
        "Gives an artifact or a part of it.",
    )
    .parts(&[part::<Digest>("sha256")])
    .headers(RANGE)
    .answers(BLOB)
    .refuses(&["object.not_found", "object.bad_range"]),
    route(
        ("HEAD", "/v1/artifacts/{sha256}"),
        "findArtifact",
        may::<Read>(),
        "Says whether an artifact is there, and how long it is. Refusals have no body.",
    )
    .parts(&[part::<Digest>("sha256")])
    .answers(&[answer(200, "it is there; its length is in `Content-Length`", Content::Nothing)])
    .refuses(&["object.not_found"]),
    route(
        ("GET", "/agent/v1/artifacts/{sha256}"),
        "fetchArtifactAsHost",
        HOST,
        "Gives an artifact or a part of it.",
    )
    .parts(&[part::<Digest>("sha256")])
    .headers(RANGE)
    .answers(BLOB)
    .refuses(&["object.not_found", "object.bad_range"]),
];

const CHANGES: &[Route] = &[
    route(("POST", "/v1/changes"), "createChange", may::<Propose>(), "Allots the number of a new change.")
        .headers(ONCE)
        .takes(json::<changes::Nothing>())
        .answers(&[answer(200, "the number", json::<changes::Created>())])
        .refuses(KEYED),
    route(("GET", "/v1/changes"), "listChanges", may::<Read>(), "Lists changes, newest first, at most 200.")
        .query::<changes::Which>()
        .answers(&[answer(200, "the changes", json::<Vec<wire::ChangeLine>>())])
        .refuses(&["change.unknown_state"]),
    route(
        ("GET", "/v1/changes/{id}"),
        "showChange",
        may::<Read>(),
        "Gives everything signed about the current revision.",
    )
    .parts(&[part::<ChangeId>("id")])
    .answers(&[answer(200, "the change", json::<wire::ChangeFile>())])
    .refuses(&["change.unknown", "change.no_revision"]),
    route(
        ("GET", "/v1/changes/{id}/course"),
        "showCourse",
        may::<Read>(),
        "Lists the steps of a change so far.",
    )
    .parts(&[part::<ChangeId>("id")])
    .answers(&[answer(200, "the steps, oldest first", json::<Vec<changes::Step>>())])
    .refuses(&["change.unknown"]),
    route(
        ("PUT", "/v1/changes/{id}/revisions/{revision}"),
        "putRevision",
        may::<Propose>(),
        "Stores a Change that its author signed as the next revision.",
    )
    .parts(&[part::<ChangeId>("id"), part::<u32>("revision")])
    .headers(MATCH)
    .takes(json::<Envelope>())
    .answers(LINE)
    .refuses(&[
        "change.other_version",
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
        "change.retroactive",
    ]),
    route(
        ("POST", "/v1/changes/{id}/submit"),
        "submitChange",
        may::<Propose>(),
        "Asks the hosts for plans; a retroactive change waits for its review.",
    )
    .parts(&[part::<ChangeId>("id")])
    .headers(MATCH)
    .answers(LINE)
    .refuses(&[
        "change.unknown",
        "change.state",
        "change.moved",
        "change.no_revision",
        "change.other_version",
        "change.over",
    ]),
    route(
        ("POST", "/v1/changes/{id}/approvals"),
        "approveChange",
        may::<Approve>(),
        "Records a signed approval, rejection or withdrawal.",
    )
    .parts(&[part::<ChangeId>("id")])
    .takes(json::<wire::Approve>())
    .answers(&[answer(200, "what counts now for which hosts", json::<changes::Answer>())])
    .refuses(&[
        "change.unknown",
        "change.no_revision",
        "change.state",
        "change.moved",
        "approval.refused",
        "approval.other_revision",
        "approval.other_plan_set",
        "approval.stale_plans",
    ]),
    route(
        ("POST", "/v1/changes/{id}/halt"),
        "haltChange",
        may::<Operate>(),
        "Stops a change: no host begins it any more.",
    )
    .parts(&[part::<ChangeId>("id")])
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
    .parts(&[part::<ChangeId>("id")])
    .headers(MATCH)
    .may_take(json::<changes::Note>())
    .answers(LINE)
    .refuses(MOVED),
    route(("POST", "/v1/changes/{id}/withdraw"), "withdrawChange", may::<Operate>(), "Ends a change undone.")
        .parts(&[part::<ChangeId>("id")])
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
    .parts(&[part::<ChangeId>("id")])
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
    .parts(&[part::<ChangeId>("id")])
    .headers(MATCH)
    .takes(json::<changes::Close>())
    .answers(LINE)
    .refuses(&[
        "change.other_version",
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
    .parts(&[part::<ChangeId>("id"), part::<u32>("revision")])
    .answers(&[answer(200, "the signed Change", json::<Envelope>())])
    .refuses(&["change.unknown", "change.unknown_revision"]),
    route(
        ("GET", "/v1/changes/{id}/notes"),
        "listNotes",
        may::<Read>(),
        "Lists what people said of a change: comments, objections, links, attached files, reviews.",
    )
    .parts(&[part::<ChangeId>("id")])
    .answers(&[answer(200, "the notes", json::<wire::ChangeNotes>())])
    .refuses(&["change.unknown"]),
    route(
        ("POST", "/v1/changes/{id}/comments"),
        "comment",
        may::<Comment>(),
        "Comments on a change, objects to it, or answers an objection. Nothing starts or stops by it.",
    )
    .parts(&[part::<ChangeId>("id")])
    .headers(ONCE)
    .takes(json::<wire::Remark>())
    .answers(&[answer(200, "the note", json::<shared::note::ChangeNote>())])
    .refuses(&[
        "change.unknown",
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
    .parts(&[part::<ChangeId>("id")])
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
    .parts(&[text("host"), part::<ChangeId>("change")])
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

const PROGRESS: &[Route] = &[
    route(
        ("GET", "/v1/changes/{id}/progress"),
        "watchChange",
        may::<Read>(),
        "Gives what hosts told of the current revision while it runs, behind a place.",
    )
    .parts(&[part::<ChangeId>("id")])
    .query::<progress::Wanted>()
    .answers(&[answer(200, "a page of messages, and where the hosts stand", json::<wire::ProgressPage>())])
    .refuses(&["change.unknown", "host.not_found", "ci.ambiguous"]),
    route(
        ("POST", "/agent/v1/progress"),
        "tellProgress",
        HOST,
        "Keeps for a while what a host tells of a running change, as a signed Progress.",
    )
    .takes(json::<Envelope>())
    .answers(DONE)
    .refuses(&["agent.too_much", "statement.invalid", "statement.other_host", "progress.not_expected"]),
];

const RECEIPTS: &[Route] = &[
    route(
        ("POST", "/agent/v1/statements"),
        "recordStatement",
        HOST,
        "Records a Receipt, Refusal or Finding of the host and proves it.",
    )
    .takes(json::<wire::Record>())
    .answers(&[answer(200, "the proof", json::<wire::Recorded>())])
    .refuses(&["chain.gap", "chain.fork", "statement.invalid", "statement.other_host", "agent.too_much"]),
    route(
        ("POST", "/agent/v1/proofs"),
        "proveStatements",
        HOST,
        "Proves to a host which statements about a change are in the ledger.",
    )
    .takes(json::<wire::AskProofs>())
    .answers(&[answer(200, "one checkpoint, and a proof of each that it holds", json::<wire::Proofs>())])
    .refuses(&["agent.too_much"]),
    route(
        ("GET", "/v1/alarms"),
        "listAlarms",
        may::<Read>(),
        "Lists what someone must look at: forked chains, other ledgers, forged statements.",
    )
    .answers(&[answer(200, "the alarms, newest first", json::<Vec<receipts::Alarm>>())]),
];

const CALENDARS: &[Route] = &[
    route(
        ("GET", "/v1/calendars"),
        "listCalendars",
        may::<Read>(),
        "Lists the calendars of blackouts that have not ended, by name.",
    )
    .answers(&[answer(200, "the calendars", json::<Vec<wire::CalendarLine>>())]),
    route(
        ("GET", "/v1/calendars/{calendar}"),
        "showCalendar",
        may::<Read>(),
        "Shows a calendar with its history and the times that come.",
    )
    .parts(&[part::<CalendarName>("calendar")])
    .answers(&[answer(200, "the calendar", json::<wire::CalendarFile>())])
    .refuses(&["calendar.unknown"]),
    route(
        ("PUT", "/v1/calendars/{calendar}"),
        "storeCalendar",
        may::<Operate>(),
        "Stores the next revision of a calendar, or its end.",
    )
    .parts(&[part::<CalendarName>("calendar")])
    .takes(json::<wire::PutCalendar>())
    .answers(&[answer(200, "the calendar afterwards", json::<wire::CalendarFile>())])
    .refuses(&["calendar.bad", "calendar.moved"]),
];

const FLEET_LOCK: &[&str] = &["fleetlock.bad", "fleetlock.unknown", "fleetlock.group", "fleetlock.full"];

const BUDGETS: &[Route] = &[
    route(
        ("GET", "/v1/budgets"),
        "listBudgets",
        may::<Read>(),
        "Lists the disruption budgets that have not ended, by name.",
    )
    .answers(&[answer(200, "the budgets", json::<Vec<wire::BudgetLine>>())]),
    route(
        ("GET", "/v1/budgets/{budget}"),
        "showBudget",
        may::<Read>(),
        "Shows a disruption budget with its history and whoever has a slot of it.",
    )
    .parts(&[part::<BudgetName>("budget")])
    .answers(&[answer(200, "the budget", json::<wire::BudgetFile>())])
    .refuses(&["budget.unknown"]),
    route(
        ("PUT", "/v1/budgets/{budget}"),
        "storeBudget",
        may::<Operate>(),
        "Stores the next revision of a disruption budget, or its end.",
    )
    .parts(&[part::<BudgetName>("budget")])
    .takes(json::<wire::PutBudget>())
    .answers(&[answer(200, "the budget afterwards", json::<wire::BudgetFile>())])
    .refuses(&["budget.bad", "budget.moved"]),
    route(
        ("POST", "/v1/budgets/{budget}/addresses"),
        "openBudgetAddress",
        may::<Operate>(),
        "Lets machines that have a secret take slots of a budget by the FleetLock protocol.",
    )
    .parts(&[part::<BudgetName>("budget")])
    .takes(json::<budgets::OpenAddress>())
    .answers(DONE)
    .refuses(&["budget.unknown", "budget.address_taken"]),
    route(
        ("DELETE", "/v1/budgets/{budget}/addresses"),
        "endBudgetAddresses",
        may::<Operate>(),
        "Ends all addresses of a budget.",
    )
    .parts(&[part::<BudgetName>("budget")])
    .answers(DONE)
    .refuses(&["budget.unknown"]),
    route(
        ("POST", "/v1/fleet-lock/{secret}/v1/pre-reboot"),
        "lockFleet",
        PUBLIC,
        "Takes a slot for a machine (FleetLock), or says who has them; problems have `kind` and `value` as well.",
    )
    .parts(&[text("secret")])
    .takes(json::<budgets::FleetLock>())
    .answers(&[answer(200, "it has a slot", json::<EmptyObject>())])
    .refuses(FLEET_LOCK),
    route(
        ("POST", "/v1/fleet-lock/{secret}/v1/steady-state"),
        "unlockFleet",
        PUBLIC,
        "Gives a machine's slot back (FleetLock), if it has one.",
    )
    .parts(&[text("secret")])
    .takes(json::<budgets::FleetLock>())
    .answers(&[answer(200, "it has none any more", json::<EmptyObject>())])
    .refuses(FLEET_LOCK),
    route(
        ("POST", "/agent/v1/slots"),
        "askForSlots",
        HOST,
        "Gives a host a slot of each disruption budget that covers it, for a while, or says who has them.",
    )
    .takes(json::<shared::budgets::AskSlots>())
    .answers(&[answer(200, "the slots, or who has them", json::<shared::budgets::Slots>())])
    .refuses(&["agent.too_much"]),
];

const SCHEDULE: &[Route] = &[
    route(
        ("GET", "/v1/changes/{id}/conflicts"),
        "listConflicts",
        may::<Read>(),
        "Lists what gets in the way of a change: blackouts, calendars that warn, other changes on the same hosts.",
    )
    .parts(&[part::<ChangeId>("id")])
    .answers(&[answer(200, "the conflicts, the worst first", json::<Vec<wire::Conflict>>())])
    .refuses(&["change.unknown"]),
    route(
        ("GET", "/v1/changes/{id}/assessment"),
        "assessChange",
        may::<Read>(),
        "Says how much may go wrong with a change and why, what an outage of its hosts would reach, and whom to ask.",
    )
    .parts(&[part::<ChangeId>("id")])
    .answers(&[answer(200, "for people to look at: nothing is decided by it", json::<wire::Assessment>())])
    .refuses(&["change.unknown", "change.no_revision"]),
    route(
        ("GET", "/v1/free-times"),
        "listFreeTimes",
        may::<Read>(),
        "Lists times in which no blackout closes hosts and no open change is planned on them.",
    )
    .query::<schedule::Asked>()
    .answers(&[answer(200, "the times", json::<wire::FreeTimes>())])
    .refuses(NAMED),
    route(
        ("POST", "/v1/feeds"),
        "openFeed",
        may::<Read>(),
        "Lets whoever has a secret read the schedule as a calendar, until its owner ends it or loses the access.",
    )
    .takes(json::<schedule::OpenFeed>())
    .answers(DONE)
    .refuses(&["feed.taken", "feed.too_many"]),
    route(
        ("DELETE", "/v1/feeds"),
        "endFeeds",
        may::<Read>(),
        "Ends all calendar addresses of the person who asks.",
    )
    .answers(DONE),
    route(
        ("GET", "/v1/feeds/{secret}.ics"),
        "readFeed",
        PUBLIC,
        "Gives windows of changes and blackouts as an iCalendar file (RFC 5545), to whoever has the secret.",
    )
    .parts(&[text("secret")])
    .answers(&[
        answer(200, "the calendar", Content::Bytes("text/calendar")),
        answer(304, "it is as the caller knows it", Content::Nothing),
    ])
    .refuses(&["feed.unknown"]),
];

const KPIS: &[Route] = &[route(
    ("GET", "/v1/kpis"),
    "showKpis",
    may::<Read>(),
    "Gives the key figures of a period, each with its definition, what it is made of and what was left out.",
)
.query::<kpi::Period>()
.answers(&[answer(200, "the figures", json::<wire::Kpis>())])];

const DECLARED: &[Route] = &[
    route(
        ("GET", "/v1/declarations"),
        "listDeclarations",
        may::<Read>(),
        "Lists what people declared of the CMDB's entries and how they belong together, by number.",
    )
    .query::<cmdb::Page>()
    .answers(&[answer(200, "a page", json::<wire::DeclaredPage>())])
    .refuses(&["ci.ambiguous"]),
    route(
        ("POST", "/v1/declarations"),
        "declare",
        may::<Operate>(),
        "Brings entries of the CMDB to what is said of them, all or none, or only says what would change.",
    )
    .takes(json::<wire::Declare>())
    .answers(&[answer(200, "what changed, or would", json::<wire::DeclareDone>())])
    .refuses(&["ci.ambiguous", "ci.bad_declaration", "ci.circle", "ci.moved", "ci.unknown_item"]),
    route(
        ("GET", "/v1/cis/{name}/impact"),
        "showImpact",
        may::<Read>(),
        "Shows what an outage of an entry reaches, and what it needs; for people, nothing is decided by it.",
    )
    .parts(&[text("name")])
    .query::<cmdb::Far>()
    .answers(&[answer(200, "both sides, the nearest first", json::<wire::Impact>())])
    .refuses(&["ci.ambiguous", "ci.not_found"]),
];

const FINDINGS: &[Route] = &[
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
    .parts(&[part::<ChangeId>("id"), part::<u32>("revision")])
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

const LEDGER: &[Route] = &[
    route(
        ("GET", "/v1/statements/{digest}"),
        "fetchStatement",
        may::<Read>(),
        "Gives a recorded document byte for byte.",
    )
    .parts(&[part::<Digest>("digest")])
    .answers(&[answer(
        200,
        "an envelope, or a document that is not signed",
        Content::Bytes("application/json"),
    )])
    .refuses(&["ledger.unknown_statement"]),
    route(
        ("GET", "/v1/log/checkpoint"),
        "fetchCheckpoint",
        may::<Read>(),
        "Gives the newest signed checkpoint (C2SP tlog-checkpoint).",
    )
    .answers(&[answer(200, "a signed note", Content::Bytes("text/plain"))]),
    route(
        ("GET", "/v1/log/proof"),
        "prove",
        may::<Read>(),
        "Proves that a document is in the ledger, and that an older checkpoint is of the same one.",
    )
    .query::<ledger::ProofOf>()
    .answers(&[answer(200, "the proof", json::<wire::Recorded>())])
    .refuses(&["ledger.unknown_statement"]),
    route(
        ("GET", "/v1/log/witnesses"),
        "listWitnesses",
        may::<Read>(),
        "Lists how far each witness of the policy has seen the ledger.",
    )
    .answers(&[answer(
        200,
        "the newest checkpoint, and one entry for each witness",
        json::<wire::WitnessList>(),
    )]),
    route(
        ("POST", "/v1/log/cosignatures"),
        "takeCosignature",
        may::<Read>(),
        "Takes a checkpoint with the line of a witness (C2SP tlog-cosignature).",
    )
    .takes(json::<wire::Cosigned>())
    .answers(&[answer(204, "it is kept, unless a larger one is", Content::Nothing)])
    .refuses(&["ledger.bad_cosignature", "ledger.other_log"]),
    route(
        ("GET", "/v1/log/{tile:tile/.+}"),
        "fetchTile",
        may::<Read>(),
        "Gives a tile of the ledger (C2SP tlog-tiles), such as `tile/0/000`; slashes are not escaped.",
    )
    .parts(&[text("tile")])
    .answers(&[answer(200, "the tile", BYTES)])
    .refuses(&["ledger.no_tile"]),
];

const AUDIT: &[Route] = &[route(
    ("GET", "/v1/audit"),
    "listAudit",
    may::<Read>(),
    "Lists administrative actions, newest first; each has a leaf in the ledger.",
)
.query::<audit::Wanted>()
.answers(&[answer(200, "a page", json::<wire::AuditPage>())])];

const COMPLIANCE: &[Route] = &[
    route(
        ("POST", "/v1/exports"),
        "export",
        may::<Export>(),
        "Gives the evidence bundle of one change, or of a period, and records who took it.",
    )
    .takes(json::<compliance::Wish>())
    .answers(&[answer(200, "a tar archive", Content::Bytes("application/x-tar"))])
    .refuses(&["export.bad_scope", "change.unknown"]),
    route(("GET", "/v1/exports"), "listExports", may::<Read>(), "Lists who took which bundle, oldest first.")
        .answers(&[answer(200, "the bundles", json::<Vec<compliance::Line>>())]),
];
