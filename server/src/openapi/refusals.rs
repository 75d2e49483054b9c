//! The status that goes with each code. A test compares it with every refusal in the source.

/// Codes by status.
const CODES: &[(u16, &[&str])] = &[
    (400, &["change.unknown_state", "request.bad_json", "request.bad_parameter"]),
    (401, &["person.no_token", "person.unknown"]),
    (
        403,
        &[
            "agent.certificate_expired",
            "agent.no_identity",
            "agent.not_enabled",
            "change.other_author",
            "join.token_expired",
            "join.token_unknown",
            "join.token_used",
            "person.not_allowed",
            "plan.no_target",
            "plan.other_agent",
            "renew.unknown_host",
            "statement.other_host",
        ],
    ),
    (
        404,
        &[
            "change.unknown",
            "ci.not_found",
            "host.not_found",
            "ledger.no_tile",
            "ledger.unknown_statement",
            "object.not_found",
            "person.not_found",
            "plan.unknown",
            "plan.unknown_change",
            "request.not_found",
            "site.no_file",
            "upload.unknown",
        ],
    ),
    (
        409,
        &[
            "approval.other_plan_set",
            "approval.other_revision",
            "approval.stale_plans",
            "chain.fork",
            "chain.gap",
            "change.moved",
            "change.no_revision",
            "change.not_carried",
            "change.not_next",
            "change.over",
            "change.revision_taken",
            "change.state",
            "ci.ambiguous",
            "join.known_host",
            "manifest.artifact_missing",
            "manifest.older",
            "manifest.removed",
            "manifest.replaced",
            "object.wrong_offset",
            "person.last_admin",
            "plan.not_wanted",
            "plan.too_many",
            "policy.not_newer",
            "renew.stale",
            "site.not_next",
            "site.online_key",
            "upload.running",
            "upload.too_many",
        ],
    ),
    (413, &["change.bundle_too_large", "object.too_large", "request.too_large"]),
    (416, &["object.bad_range"]),
    (
        422,
        &[
            "approval.refused",
            "change.bad_targets",
            "change.manifest_unknown",
            "change.not_a_judgement",
            "change.refused",
            "export.bad_scope",
            "facts.bad",
            "facts.host_class",
            "host.bad_label",
            "host.too_many_labels",
            "join.bad_csr",
            "join.bad_enrolment",
            "join.bad_hostname",
            "join.bad_minutes",
            "join.host_class",
            "manifest.artifact_length",
            "object.digest_mismatch",
            "person.bad_access",
            "person.bad_days",
            "plan.other_change",
            "renew.bad_request",
            "renew.clock",
            "site.refused",
            "statement.invalid",
            "upload.too_long",
        ],
    ),
    (429, &["agent.too_much", "request.too_many"]),
    (500, &["server.fault"]),
    (503, &["server.busy"]),
];

/// The status of a code; `None` for one that no refusal has.
pub fn status(code: &str) -> Option<u16> {
    CODES.iter().find(|(_, codes)| codes.contains(&code)).map(|(status, _)| *status)
}

/// All codes with their status.
#[cfg(test)]
pub fn all() -> impl Iterator<Item = (&'static str, u16)> {
    CODES.iter().flat_map(|(status, codes)| codes.iter().map(|code| (*code, *status)))
}
