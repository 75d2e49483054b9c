//! Routes of hosts: how they join, are managed, and what they hand in.

use super::{DONE, MATCH, NAMED};
use crate::kernel::http::person::{ManageHosts, Read};
use crate::openapi::route::{Content, HOST, PUBLIC, Route, answer, change, json, may, route, text};
use crate::{progress, receipts};
use schemars::JsonSchema;
use shared::envelope::Envelope;
use shared::ids::AgentId;
use shared::strict::Map;
use shared::wire;

/// Which hosts are listed.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the handler reads pairs, because a query struct cannot hold repeated names")]
struct Hosts {
    /// `name=value`; may be repeated.
    label: Option<Vec<String>>,
    /// Only those behind this one, by name and agent id: the last one of the page before.
    after: Option<AgentId>,
    /// Hosts on the page, 1,000 when absent and at most 5,000. A page with fewer is the last one.
    limit: Option<u16>,
}

pub(super) const FLEET: &[Route] = &[
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
        "host.retired",
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
            "host.retired",
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
    route(("GET", "/v1/hosts"), "listHosts", may::<Read>(), "Lists hosts by name, page by page.")
        .query::<Hosts>()
        .answers(&[answer(200, "the hosts", json::<Vec<wire::HostLine>>())])
        .refuses(&["ci.bad_page", "host.not_found"]),
    route(("GET", "/v1/hosts/{ci}/labels"), "showLabels", may::<Read>(), "Shows the labels of a host.")
        .parts(&[text("ci")])
        .answers(&[answer(200, "the labels, with an `ETag`", json::<Map<String, String>>())])
        .refuses(NAMED),
    route(
        ("PUT", "/v1/hosts/{ci}/labels"),
        "labelHost",
        may::<ManageHosts>(),
        "Replaces the labels of a host.",
    )
    .parts(&[text("ci")])
    .headers(MATCH)
    .takes(json::<wire::PutLabels>())
    .answers(DONE)
    .refuses(&[
        "host.not_found",
        "ci.ambiguous",
        "host.bad_label",
        "host.bad_reason",
        "host.too_many_labels",
    ]),
    route(
        ("POST", "/v1/hosts/{ci}/disable"),
        "disableHost",
        may::<ManageHosts>(),
        "Shuts a host out at once.",
    )
    .parts(&[text("ci")])
    .takes(json::<wire::Because>())
    .answers(DONE)
    .refuses(&["host.not_found", "ci.ambiguous", "host.bad_reason", "host.retired"]),
    route(
        ("POST", "/v1/hosts/{ci}/enable"),
        "enableHost",
        may::<ManageHosts>(),
        "Lets a host in again, and ends a hold.",
    )
    .parts(&[text("ci")])
    .takes(json::<wire::Because>())
    .answers(DONE)
    .refuses(&["host.not_found", "ci.ambiguous", "host.bad_reason", "host.retired"]),
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
        .query::<shared::wire::AskWork>()
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

pub(super) const PROGRESS: &[Route] = &[
    route(
        ("GET", "/v1/changes/{id}/progress"),
        "watchChange",
        may::<Read>(),
        "Gives what hosts told of the current revision while it runs, behind a place.",
    )
    .parts(&[change("id")])
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

pub(super) const RECEIPTS: &[Route] = &[
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
