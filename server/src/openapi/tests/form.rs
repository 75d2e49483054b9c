//! The document's own form, its golden file, and the codes of refusals.

use crate::openapi::document;
use crate::openapi::refusals::{all, status};
use crate::openapi::route::{Route, Who};
use crate::openapi::table::ROUTES;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn routes() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().flat_map(|(_, routes)| *routes)
}

#[test]
fn the_golden_file_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let built = document();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, format!("{built:#}\n")).unwrap();
    }
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    // The whole documents would drown the message.
    assert!(golden == built, "openapi.json is old; run with UPDATE_GOLDEN=1 and look at the difference");
}

/// Every value under `key`, wherever it is.
fn find<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| find(item, key, found)),
        Value::Object(keys) => {
            found.extend(keys.get(key));
            keys.values().for_each(|value| find(value, key, found));
        }
        _ => {}
    }
}

#[test]
fn references_lead_somewhere_and_every_schema_is_used() {
    let document = document();
    let mut references = Vec::new();
    find(&document, "$ref", &mut references);
    let used: BTreeSet<&str> = references.iter().map(|reference| reference.as_str().unwrap()).collect();
    for reference in &used {
        assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(used.contains(format!("#/components/schemas/{name}").as_str()), "{name} is not used");
        assert!(!name.ends_with(|c: char| c.is_ascii_digit()), "two types are called {name}");
        jsonschema::draft202012::meta::validate(schema).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for name in [
        "AgentId",
        "ChangeId",
        "Digest",
        "HostClass",
        "PersonId",
        "PublicKey",
        "ResourceId",
        "SiteId",
        "Team",
    ] {
        assert!(document["components"]["schemas"][name]["pattern"].is_string(), "{name} has no rule");
    }
}

#[test]
fn every_operation_is_whole() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        assert!(path.starts_with('/') && !path.contains(':'), "{path}");
        let parts: Vec<&str> = path.split('{').skip(1).map(|rest| rest.split_once('}').unwrap().0).collect();
        for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "servers") {
            assert!(["get", "head", "post", "put", "patch", "delete"].contains(&method.as_str()), "{path}");
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} is used twice");
            assert!(operation["summary"].as_str().unwrap().ends_with('.'), "{id}");
            let named = |place: &str| {
                let all = operation["parameters"].as_array().into_iter().flatten();
                all.filter(|p| p["in"] == place).map(|p| p["name"].as_str().unwrap()).collect::<Vec<_>>()
            };
            assert_eq!(named("path"), parts, "{id}");
            let responses = operation["responses"].as_object().unwrap();
            let good = responses.keys().filter(|status| status.starts_with(['2', '3'])).count();
            assert!(good > 0 && responses.contains_key("default"), "{id}");
            for (status, response) in responses.iter().filter(|(status, _)| *status != "default") {
                assert!(!response["description"].as_str().unwrap().is_empty(), "{id} {status}");
                if !status.starts_with(['2', '3']) {
                    let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                    assert_eq!(schema, "#/components/schemas/Problem", "{id} {status}");
                }
            }
        }
    }
    assert_eq!(ids.len(), routes().count(), "no operation overwrites another");
}

#[test]
fn query_parameters_are_those_of_the_handlers() {
    let document = document();
    let of = |path: &str, method: &str| {
        let all = document["paths"][path][method]["parameters"].as_array().unwrap().iter();
        let query = all.filter(|parameter| parameter["in"] == "query");
        query.map(|p| (p["name"].as_str().unwrap(), p["required"] == true)).collect::<Vec<_>>()
    };
    assert_eq!(
        of("/v1/changes", "get"),
        [
            ("before", false),
            ("id", false),
            ("limit", false),
            ("number", false),
            ("series", false),
            ("state", false)
        ]
    );
    assert_eq!(of("/v1/log/proof", "get"), [("digest", true), ("since", false)]);
    assert_eq!(of("/v1/uploads/{id}", "patch"), [("offset", true)]);
    assert_eq!(of("/v1/hosts", "get"), [("after", false), ("label", false), ("limit", false)]);
}

#[test]
fn ports_and_authority_agree() {
    for route in routes() {
        assert_eq!(route.path.starts_with("/agent/"), route.who == Who::Host, "{}", route.id);
    }
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        match entry.file_name().to_string_lossy().contains("test") {
            true => {}
            false if path.is_dir() => sources(&path, found),
            false => found.push(path),
        }
    }
}

/// Codes of the refusals that a source file makes, with their status.
fn refusals(source: &str) -> Vec<(String, u16)> {
    let kinds = [
        ("::bad_request(", 400),
        ("::forbidden(", 403),
        ("::not_found(", 404),
        ("::conflict(", 409),
        ("::precondition(", 412),
        ("::too_large(", 413),
        ("::unprocessable(", 422),
    ];
    let quoted = |rest: &str| Some(rest.trim_start().strip_prefix('"')?.split_once('"')?.0.to_owned());
    let mut found: Vec<(String, u16)> = kinds
        .iter()
        .flat_map(|(kind, status)| source.split(kind).skip(1).filter_map(quoted).map(|code| (code, *status)))
        .collect();
    let named = [
        ("StatusCode::UNAUTHORIZED", 401),
        ("StatusCode::REQUEST_TIMEOUT", 408),
        ("StatusCode::RANGE_NOT_SATISFIABLE", 416),
        ("StatusCode::TOO_MANY_REQUESTS", 429),
        ("StatusCode::INTERNAL_SERVER_ERROR", 500),
        ("StatusCode::SERVICE_UNAVAILABLE", 503),
    ];
    let call = concat!("Refusal::", "new(");
    for (at, _) in source.match_indices(call) {
        let (before, after) = source.split_at(at + call.len());
        let Some(code) = quoted(after).filter(|code| code != "request.rejected") else { continue };
        // The status stands in the call, or in a line just above it.
        let rest = after.split_once(')').unwrap().0;
        let above = before.rsplit('\n').take(2).collect::<String>();
        let status = named.iter().find(|(name, _)| rest.contains(name) || above.contains(name));
        found.push((code.clone(), status.unwrap_or_else(|| panic!("{code} has a status unknown here")).1));
    }
    found
}

#[test]
fn codes_and_their_status_are_those_of_the_source() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut made: BTreeMap<String, u16> = BTreeMap::new();
    for file in files {
        made.extend(refusals(&std::fs::read_to_string(file).unwrap()));
    }
    let described: BTreeMap<String, u16> = all().map(|(code, status)| (code.to_owned(), status)).collect();
    assert_eq!(described, made);
}

/// Codes that no route answers, and why.
const NEVER_ANSWERED: [&str; 3] = [
    // Logged while a bundle is put together; the change is then not listed.
    "change.bundle_too_large",
    "change.not_carried",
    // Where no route is.
    "request.not_found",
];

#[test]
fn every_code_belongs_to_a_route() {
    let mut answered = BTreeSet::from(NEVER_ANSWERED);
    for route in routes() {
        let codes = route.codes();
        let different: BTreeSet<_> = codes.iter().collect();
        assert_eq!(different.len(), codes.len(), "{} names a code twice", route.id);
        for code in codes {
            assert!(status(code).is_some(), "{}: {code}", route.id);
            assert!(!NEVER_ANSWERED.contains(&code), "{}: {code}", route.id);
            answered.insert(code);
        }
    }
    let missing: Vec<_> = all().map(|(code, _)| code).filter(|code| !answered.contains(code)).collect();
    assert!(missing.is_empty(), "no route is said to answer {missing:?}");
}
