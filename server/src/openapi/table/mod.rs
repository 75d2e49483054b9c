//! Every route of all listeners. A new route is described here or a test fails.

mod changes;
mod entries;
mod findings;
mod hosts;
mod site;
mod times;
mod webhooks;

use super::route::{Answer, Content, Route, answer, json};
use shared::wire;

const DONE: &[Answer] = &[answer(204, "done", Content::Nothing)];
const LINE: &[Answer] = &[answer(200, "the change afterwards", json::<wire::ChangeLine>())];
/// Of requests that make something new.
const ONCE: &[(&str, &str)] = &[(
    crate::kernel::http::once::HEADER,
    "a word of the client's: the same request with the same one, within a day, is done once and answered the same",
)];
/// Of requests that write what somebody has looked at.
const MATCH: &[(&str, &str)] =
    &[("If-Match", "the `ETag` of what was looked at: done only if it is still so")];
/// The same, of those that may make it as well.
const MATCH_OR_NEW: &[(&str, &str)] =
    &[MATCH[0], ("If-None-Match", "`*`: done only if there is none of this name yet")];
const NAMED: &[&str] = &["host.not_found", "ci.ambiguous"];

/// By the part of the server that answers.
pub const ROUTES: &[(&str, &[Route])] = &[
    ("server", site::SERVER),
    ("fleet", hosts::FLEET),
    ("cmdb", entries::CMDB),
    ("declarations", entries::DECLARED),
    ("people", site::PEOPLE),
    ("repository", site::REPOSITORY),
    ("artifacts", site::ARTIFACTS),
    ("calendars", times::CALENDARS),
    ("budgets", times::BUDGETS),
    ("changes", changes::CHANGES),
    ("schedule", times::SCHEDULE),
    ("progress", hosts::PROGRESS),
    ("receipts", hosts::RECEIPTS),
    ("findings", findings::FINDINGS),
    ("kpis", changes::KPIS),
    ("ledger", site::LEDGER),
    ("audit", site::AUDIT),
    ("compliance", site::COMPLIANCE),
    ("webhooks", webhooks::WEBHOOKS),
];
