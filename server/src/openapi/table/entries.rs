//! Routes of the CMDB.

use super::{DONE, MATCH, MATCH_OR_NEW};
use crate::cmdb;
use crate::kernel::http::person::{Operate, Read};
use crate::openapi::route::{Route, answer, json, may, part, route, text};
use shared::wire;

const SEARCH: &[&str] = &[
    "ci.bad_page",
    "ci.bad_search",
    "ci.not_found",
    "ci.search_circle",
    "ci.search_unknown",
    "ci.search_wide",
    "number.none",
    "number.unknown",
];

pub(super) const CMDB: &[Route] = &[
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
    route(("GET", "/v1/searches/{name}"), "showSearch", may::<Read>(), "Shows a saved search.")
        .parts(&[text("name")])
        .answers(&[answer(200, "the search, with an `ETag`", json::<wire::SavedSearch>())])
        .refuses(&["ci.search_unknown"]),
    route(
        ("PUT", "/v1/searches/{name}"),
        "saveSearch",
        may::<Operate>(),
        "Saves a search under a name, for `saved:NAME` in others.",
    )
    .parts(&[text("name")])
    .headers(MATCH_OR_NEW)
    .takes(json::<wire::PutSearch>())
    .answers(DONE)
    .refuses(&["ci.bad_saved", "ci.bad_search", "ci.search_circle", "ci.search_unknown", "number.none", "number.unknown"]),
    route(
        ("DELETE", "/v1/searches/{name}"),
        "forgetSearch",
        may::<Operate>(),
        "Removes a saved search that no other one uses.",
    )
    .parts(&[text("name")])
    .headers(MATCH)
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
    route(
        ("GET", "/v1/cis/{name}/health/{check}"),
        "showHealthCourse",
        may::<Read>(),
        "Shows what one health check of an entry has said and counted within the last week, the oldest first.",
    )
    .parts(&[text("name"), text("check")])
    .answers(&[answer(200, "the course", json::<Vec<wire::HealthPoint>>())])
    .refuses(&["ci.not_found", "ci.ambiguous", "ci.check_unknown"]),
];

pub(super) const DECLARED: &[Route] = &[
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
        ("GET", "/v1/declarations/{item}"),
        "showDeclaration",
        may::<Read>(),
        "Shows what is declared of one entry, and how it belongs to others.",
    )
    .parts(&[part::<wire::CiRef>("item")])
    .answers(&[answer(200, "the entry, with an `ETag`", json::<wire::Item>())])
    .refuses(&["ci.ambiguous", "ci.not_found"]),
    route(
        ("PUT", "/v1/declarations/{item}"),
        "declareItem",
        may::<Operate>(),
        "Brings one entry to what is said of it, or only says what would change.",
    )
    .parts(&[part::<wire::CiRef>("item")])
    .headers(MATCH_OR_NEW)
    .takes(json::<wire::DeclareItem>())
    .answers(&[answer(200, "what changed, or would", json::<wire::DeclareDone>())])
    .refuses(&["ci.ambiguous", "ci.bad_declaration", "ci.circle", "ci.unknown_item"]),
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
