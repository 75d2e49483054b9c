use super::*;
use serde_json::{Value, json};

const NOW: &str = "2027-01-15T08:00:00Z";

fn file(version: &str, packages: Value, states: Value) -> CiFile {
    let file = json!({
        "line": { "ci": "CI-1", "kind": "host", "name": "web1", "created": NOW, "os": "debian", "os_version": version },
        "states": states,
        "history": [],
        "declared": { "declared": { "owner": "web", "lifecycle": "in_use", "labels": {} }, "at": NOW, "by": "lead", "reason": "x" },
        "relations": [{ "kind": "part_of", "inward": false, "other": "service:shop" }],
        "then": { "at": NOW, "packages": packages, "services": ["ssh"], "labels": { "role": "web" } },
    });
    serde_json::from_value(file).unwrap()
}

fn state(resource: &str, manifests: &[&str], known: bool) -> Value {
    let digest = shared::digest::Digest::of(resource.as_bytes());
    let mut state = json!({
        "resource": resource, "verb": "create", "outcome": if known { "done" } else { "failed" }, "summary": "x",
        "change_id": "C-7", "revision": 1, "manifests": manifests, "approved_by": ["ann"], "applied_at": NOW,
        "receipt": digest, "ledger_index": 3,
    });
    if known {
        state["state"] = json!(digest);
    }
    state
}

fn lines(differences: &[Difference]) -> Vec<String> {
    let side = |value: &Option<String>| value.clone().unwrap_or("-".into());
    differences
        .iter()
        .map(|d| format!("{} {}: {} | {}", d.section, d.what, side(&d.left), side(&d.right)))
        .collect()
}

fn package(name: &str, version: &str) -> Value {
    json!({ "name": name, "version": version })
}

#[test]
fn what_differs_is_told_and_the_rest_is_counted() {
    let left = file(
        "12",
        json!([package("curl", "7.88"), package("kernel", "6.1"), package("kernel", "6.5")]),
        json!([state("file:/etc/motd", &["web/base@1.0.0"], true)]),
    );
    let mut right = file("13", json!([package("kernel", "6.5"), package("openssl", "3")]), json!([]));
    assert_eq!(differences(&sheet(&left), &sheet(&left)), (vec![], 10));
    right.declared = None;
    let (differences, same) = differences(&sheet(&left), &sheet(&right));
    let digest = shared::digest::Digest::of(b"file:/etc/motd").hex();
    assert_eq!(
        lines(&differences),
        [
            "declared lifecycle: in_use | -".to_owned(),
            "declared owner: web | -".to_owned(),
            "package curl: 7.88 | -".to_owned(),
            "package kernel: 6.1, 6.5 | 6.5".to_owned(),
            "package openssl: - | 3".to_owned(),
            format!("state file:/etc/motd: web/base@1.0.0 {} | -", &digest[..12]),
            "system os version: 12 | 13".to_owned(),
        ]
    );
    assert_eq!(same, 4, "os, relation, label, service");
    let compared = Compared { left: "web1".into(), right: "web2".into(), differences, same };
    let told = told(&compared, Lang::De);
    assert!(told.contains("  WAS") && told.contains("package curl") && told.contains("gleich: 4"), "{told}");
}

fn manifest(version: &str) -> Manifest {
    let text = json!({
        "manifest": "base", "version": version,
        "resources": [
            { "file": { "path": "/etc/motd", "content": "a", "mode": "0644" } },
            { "file": { "path": "/etc/issue", "content": "a", "mode": "0644" } },
            { "file": { "path": "/etc/hosts", "content": "a", "mode": "0644" } },
            { "package": { "name": "curl", "version": "7.88" } },
        ],
    });
    shared::manifest::yaml::compile(text.to_string().as_bytes()).unwrap()
}

#[test]
fn a_manifest_is_compared_with_what_is_on_record() {
    let states = json!([
        state("file:/etc/motd", &["web/base@1.0.0"], true),
        state("file:/etc/issue", &["web/base@1.1.0", "web/tls@1.0.0"], true),
        state("file:/etc/gone", &["web/base@1.0.0"], true),
        state("file:/etc/other", &["web/tls@1.0.0"], true),
        state("package:curl", &["web/base@1.1.0"], false),
    ]);
    let of = file("12", json!([package("curl", "7.80")]), states);
    let (differences, same) = against(&of, ("web/base", "1.1.0"), &manifest("1.1.0"), Lang::En).unwrap();
    assert_eq!(
        lines(&differences),
        [
            "package curl: 7.80 | 7.88",
            "state file:/etc/gone: web/base@1.0.0 (C-7) | not in the manifest",
            "state file:/etc/hosts: not on record | web/base@1.1.0",
            "state file:/etc/motd: web/base@1.0.0 (C-7) | web/base@1.1.0",
            "state package:curl: not known (failed) | web/base@1.1.0",
        ]
    );
    assert_eq!(same, 1, "/etc/issue");
}
