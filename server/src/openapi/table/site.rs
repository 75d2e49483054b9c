//! Routes of the site: who uses it, what is published, the ledger, the audit trail, evidence.

use super::DONE;
use crate::kernel::http::person::{Export, ManagePeople, OwnTokens, Publish, Read};
use crate::openapi::route::{Answer, Content, HOST, PUBLIC, Route, answer, json, may, part, route, text};
use crate::{audit, compliance, ledger, manifests, people, reminders};
use shared::digest::Digest;
use shared::ids::PersonId;
use shared::wire;

const BYTES: Content = Content::Bytes("application/octet-stream");
const BLOB: &[Answer] = &[answer(200, "the whole artifact", BYTES), answer(206, "the wanted part", BYTES)];
const RANGE: &[(&str, &str)] = &[("Range", "`bytes=a-` or `bytes=a-b`; other forms are ignored")];

pub(super) const SERVER: &[Route] = &[
    route(("GET", "/healthz"), "health", PUBLIC, "Says whether the server and its database answer.")
        .answers(&[answer(200, "`ok`", Content::Bytes("text/plain"))]),
    route(("GET", "/v1/openapi.json"), "describe", PUBLIC, "Gives this document.").answers(&[answer(
        200,
        "this document",
        Content::Bytes("application/json"),
    )]),
];

pub(super) const PEOPLE: &[Route] = &[
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
    route(("GET", "/v1/inbox"), "showInbox", may::<Read>(), "Lists what waits for the caller, the most urgent first.")
        .answers(&[answer(200, "the list", json::<Vec<wire::InboxItem>>())]),
    route(
        ("GET", "/v1/mail-addresses"),
        "listMailAddresses",
        may::<ManagePeople>(),
        "Lists where reminders go, and why a letter did not.",
    )
    .answers(&[answer(200, "the addresses", json::<Vec<wire::MailLine>>())]),
    route(
        ("PUT", "/v1/people/{person}/mail"),
        "setMailAddress",
        may::<ManagePeople>(),
        "Sets or ends where reminders for a person go.",
    )
    .parts(&[part::<PersonId>("person")])
    .takes(json::<reminders::PutMail>())
    .answers(DONE)
    .refuses(&["mail.bad", "mail.unknown_person"]),
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

pub(super) const REPOSITORY: &[Route] = &[
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

pub(super) const ARTIFACTS: &[Route] = &[
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

pub(super) const LEDGER: &[Route] = &[
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

pub(super) const AUDIT: &[Route] = &[route(
    ("GET", "/v1/audit"),
    "listAudit",
    may::<Read>(),
    "Lists administrative actions, newest first; each has a leaf in the ledger.",
)
.query::<audit::Wanted>()
.answers(&[answer(200, "a page", json::<wire::AuditPage>())])];

pub(super) const COMPLIANCE: &[Route] = &[
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
        .answers(&[answer(200, "the bundles", json::<Vec<wire::ExportLine>>())]),
];
