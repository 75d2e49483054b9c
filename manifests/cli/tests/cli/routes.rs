//! The command reaches everything that the server offers to people: a new route without a command fails here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Routes that no command needs, and why.
const LEFT_OUT: [(&str, &str); 2] = [
    (
        "GET /v1/log/checkpoint",
        "tools of the ledger read it; the command gets the same with /v1/log/witnesses",
    ),
    ("GET /v1/searches/{name}", "the list of searches has each whole"),
];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Method and path of the routes that take a person's token, and of those that tell whether the server is there and what it offers.
fn offered() -> BTreeSet<(String, String)> {
    let text = std::fs::read_to_string(here("../../server/openapi.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut offered = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let schemes = operation["security"].as_array().into_iter().flatten();
            let of_people =
                schemes.filter_map(|scheme| scheme.as_object()).any(|s| s.contains_key("personToken"));
            if of_people || ["/healthz", "/v1/openapi.json"].contains(&path.as_str()) {
                offered.insert((method.to_uppercase(), path.clone()));
            }
        }
    }
    offered
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { sources(&path, found) } else { found.push(path) }
    }
}

/// One function of the client: its name, the methods it may use, the paths it asks for.
struct Call {
    name: String,
    methods: BTreeSet<&'static str>,
    paths: Vec<String>,
}

/// The functions of a file of the client. They are short: each has its paths and its method in its own text.
fn calls(text: &str) -> Vec<Call> {
    let methods = |body: &str| {
        let found = [
            ("GET", ["Request::get(", ".only_change(", ".pages("].as_slice()),
            ("POST", &["Method::POST", ".post(", ".open("]),
            ("PUT", &["Method::PUT"]),
            ("PATCH", &["Method::PATCH"]),
            ("DELETE", &["Method::DELETE"]),
            ("HEAD", &["Method::HEAD"]),
        ];
        let found = found.into_iter().filter(|(_, words)| words.iter().any(|word| body.contains(word)));
        found.map(|(method, _)| method).collect()
    };
    let pieces =
        text.split("\n    pub fn ").skip(1).map(|piece| piece.split("\n    fn ").next().unwrap_or_default());
    pieces
        .map(|body| Call {
            name: body.split(['(', '<']).next().unwrap_or_default().to_owned(),
            methods: methods(body),
            paths: body
                .split('"')
                .skip(1)
                .step_by(2)
                .filter(|text| text.starts_with('/'))
                .map(|text| text.split('?').next().unwrap_or_default().to_owned())
                .collect(),
        })
        .filter(|call| !call.paths.is_empty())
        .collect()
}

/// Whether a path of the client is one of this route: what is filled in stands where the route has a part.
fn fits(asked: &str, route: &str) -> bool {
    let (asked, route): (Vec<_>, Vec<_>) = (asked.split('/').collect(), route.split('/').collect());
    let part = |part: &str| part.contains('{');
    asked.len() == route.len()
        && asked
            .iter()
            .zip(&route)
            .all(|(asked, route)| if part(route) { part(asked) } else { asked == route })
}

#[test]
fn every_route_for_people_has_a_command() {
    let (client, mut files) = (here("src/net/api"), Vec::new());
    sources(&here("src"), &mut files);
    let (mut of_client, mut of_commands) = (Vec::new(), String::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        if file.starts_with(&client) { of_client.extend(calls(&text)) } else { of_commands.push_str(&text) }
    }
    assert!(of_client.len() > 70, "the client is not read any more: {}", of_client.len());
    // What no command calls reaches nothing.
    of_client.retain(|call| of_commands.contains(&format!(".{}(", call.name)));
    let left_out: BTreeMap<&str, &str> = LEFT_OUT.into();
    let mut missing = Vec::new();
    for (method, path) in offered() {
        let name = format!("{method} {path}");
        let reaches = |call: &Call| {
            call.methods.contains(method.as_str()) && call.paths.iter().any(|asked| fits(asked, &path))
        };
        let reached = of_client.iter().any(reaches);
        assert!(!(reached && left_out.contains_key(name.as_str())), "{name} has a command by now");
        if !reached && !left_out.contains_key(name.as_str()) {
            missing.push(name);
        }
    }
    assert_eq!(
        missing,
        Vec::<String>::new(),
        "no command reaches these; add one, or say above why none is needed"
    );
}

#[test]
fn a_route_that_looks_like_another_one_is_not_covered_by_it() {
    assert!(fits("/v1/changes/{id}/halt", "/v1/changes/{id}/halt"));
    assert!(fits("/v1/hosts/{}/labels", "/v1/hosts/{ci}/labels"));
    assert!(
        !fits("/v1/changes/{id}/{action}", "/v1/changes/{id}/halt"),
        "one text for several routes hides new ones"
    );
    assert!(!fits("/v1/changes/{id}", "/v1/changes/{id}/halt"));
    let text = "impl Client {\n    pub fn a(&self) {\n        self.read(&Request::get(&format!(\"/v1/a/{id}?x={y}\"), 1))\n    }\n\n    pub fn b<T>(&self) {\n        Request::json(Method::DELETE, \"/v1/b\", 1)\n    }\n}\n";
    let found = calls(text);
    let told: Vec<_> =
        found.iter().map(|call| (call.name.as_str(), call.methods.clone(), call.paths.clone())).collect();
    assert_eq!(
        told,
        [
            ("a", ["GET"].into(), vec!["/v1/a/{id}".to_owned()]),
            ("b", ["DELETE"].into(), vec!["/v1/b".to_owned()])
        ]
    );
}
