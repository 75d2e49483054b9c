use super::*;
use crate::manifest::{Body, Properties, Undo, order};
use std::path::PathBuf;

mod bad_inputs;

const EVERY_KIND: &str = include_str!("../golden/every-kind.yaml");
const EDITS: &str = include_str!("../golden/edits.yaml");
const SYSTEM: &str = include_str!("../golden/system.yaml");
const PATCH: &str = include_str!("../golden/patch.yaml");
const EXTERNAL: &str = include_str!("../golden/external.yaml");
const AGENT: &str = include_str!("../golden/agent.yaml");
const ACL: &str = include_str!("../golden/acl.yaml");
const SECRETS: &str = include_str!("../golden/secrets.yaml");
const PACKAGES: &str = include_str!("../golden/packages.yaml");
const SOURCES: &str = include_str!("../golden/sources.yaml");
const RPM_SOURCES: &str = include_str!("../golden/rpm-sources.yaml");
const GROUPS: &str = include_str!("../golden/groups.yaml");
const UPKEEP: &str = include_str!("../golden/upkeep.yaml");
const LEAST: &str = include_str!("../golden/least.yaml");

/// Compares with a pinned file; `UPDATE_GOLDEN=1` writes it.
fn golden(path: &str, actual: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, actual).unwrap();
    }
    let pinned = std::fs::read(&path).unwrap_or_default();
    assert_eq!(
        String::from_utf8_lossy(&pinned),
        String::from_utf8_lossy(actual),
        "{} differs; UPDATE_GOLDEN=1 writes it",
        path.display()
    );
}

fn problems(yaml: impl AsRef<[u8]>) -> Vec<Problem> {
    compile(yaml.as_ref()).err().unwrap_or_default()
}

#[test]
fn samples_compile_to_the_pinned_bytes_and_are_read_back() {
    let samples = [
        ("every-kind", EVERY_KIND),
        ("edits", EDITS),
        ("system", SYSTEM),
        ("patch", PATCH),
        ("secrets", SECRETS),
        ("external", EXTERNAL),
        ("acl", ACL),
        ("agent", AGENT),
        ("packages", PACKAGES),
        ("groups", GROUPS),
        ("sources", SOURCES),
        ("rpm-sources", RPM_SOURCES),
        ("upkeep", UPKEEP),
        ("least", LEAST),
    ];
    for (name, yaml) in samples {
        let manifest = compile(yaml.as_bytes()).unwrap_or_else(|p| panic!("{name}: {p:#?}"));
        let mut json = manifest.to_json();
        assert_eq!(Manifest::from_json(&json).as_ref(), Ok(&manifest), "{name}");
        json.push(b'\n');
        golden(&format!("src/manifest/golden/{name}.json"), &json);
    }
}

#[test]
fn properties_of_external_kinds_are_strict_as_well() {
    let bent = |from: &str, to: &str| {
        assert!(EXTERNAL.contains(from), "{from}");
        problems(EXTERNAL.replace(from, to))
    };
    for (from, to, place) in [
        ("level: 2", "level: 2.5", "resources[0].external.properties.level"),
        ("level: 2", "level: no", "resources[0].external.properties.level"),
        ("level: 2", "level:", "resources[0].external.properties.level"),
        ("level: 2", "name: again", "resources[0].external.properties.name"),
        ("{b: \"no\"}", "{b: 0644}", "resources[0].external.properties.list[2].b"),
        ("Contoso.App/Feature", "Feature", "resources[0].external.type"),
        ("timeout_s: 60", "timeout_s: 0", "resources[0].external.timeout_s"),
        ("restore: true", "restore: yes", "resources[0].external.restore"),
    ] {
        let found = bent(from, to);
        assert!(found.iter().any(|p| p.place == place), "{to}: {found:#?}");
    }
    let long = format!("level: {}", "x".repeat(Properties::BYTES));
    assert!(bent("level: 2", &long).iter().any(|p| p.message.contains("too long")));
    let null = r#"{"manifest":"a","version":"1.0.0","resources":[{"external":{"name":"a","type":"A/B","manifest":{"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","length":1},"program":{"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","length":1},"properties":{"a":VALUE}}}]}"#;
    assert!(Manifest::from_json(null.replace("VALUE", "[1]").as_bytes()).is_ok());
    for bad in ["null", "1.5", "[null]", "18446744073709551615", r#"{"b":1,"b":2}"#] {
        assert!(Manifest::from_json(null.replace("VALUE", bad).as_bytes()).is_err(), "{bad}");
    }
}

/// Where one program takes the place of another nothing else has a place.
#[test]
fn a_program_of_the_agent_comes_alone_and_with_a_whole_release() {
    let bent = |from: &str, to: &str| {
        assert!(AGENT.contains(from), "{from}");
        problems(AGENT.replace(from, to))
    };
    let more = "resources:\n  - file: {path: /etc/motd, content: x}\n";
    let hook = "hooks:\n  before:\n    - {name: first, run: [/bin/true]}\nhealth:\n";
    for (from, to, place, message) in [
        ("resources:\n", more, "resources[1].agent", "brings nothing else"),
        ("health:\n", hook, "resources[0].agent", "brings nothing else"),
        ("\"payload\":\"", "\"payload\":\"x", "resources[0].agent.release", "not valid"),
        ("application/vnd.in-toto+json", "text/plain", "resources[0].agent.release", "payloadType"),
        ("      release: '", "      relase: '", "resources[0].agent", "release"),
    ] {
        let found = bent(from, to);
        let fits = |p: &Problem| p.place.starts_with(place) && format!("{p}").contains(message);
        assert!(found.iter().any(fits), "{to:.80}: {found:#?}");
    }
    let manifest = compile(AGENT.as_bytes()).unwrap();
    assert_eq!(manifest.artifacts().map(|a| a.length).collect::<Vec<_>>(), [7]);
    assert_eq!(manifest.classes(), [crate::risk::ActionClass::Trust].into());
}

/// Secrets only stand where they can be kept, and what is no ciphertext is not taken for one.
#[test]
fn secrets_in_the_wrong_place_are_refused() {
    let bent = |from: &str, to: &str| {
        assert!(SECRETS.contains(from), "{from}");
        problems(SECRETS.replace(from, to))
    };
    for (from, to, place, message) in [
        ("mode: \"0600\"", "mode: \"0644\"", "resources[0].file.mode", "holds a secret, and its mode"),
        (", mode: \"0640\"", "", "resources[1].file.mode", "holds a secret, and its mode"),
        ("\"password=", "\"#!/bin/sh\\npassword=", "resources[1].file.template", "a script must not hold"),
        ("{type: secret}", "{type: secret, default: hunter2}", "parameters.key.default", "of type string"),
        (
            "{type: secret}",
            "{type: string, default: {secret: x}}",
            "parameters.key.default.secret",
            "not an encrypted",
        ),
        ("{type: secret}", "{type: secret, enum: [x]}", "parameters.key.enum", "no choices"),
        ("-----END AGE", "-----END PGP", "parameters.password.default.secret", "not an encrypted value"),
        (
            "  - file: {path: /etc/app/app.conf, mode: \"0640\", ",
            "  - block: {path: /etc/x, name: b, ",
            "resources[1].block.template",
            "is a secret",
        ),
    ] {
        let found = bent(from, to);
        assert!(found.iter().any(|p| p.place == place && p.message.contains(message)), "{to}: {found:#?}");
        assert!(!format!("{found:?}").contains("sample"), "{found:?}");
    }
    let health = format!("{SECRETS}health: [{{name: a, http: {{url: 'http://x/{{{{params.key}}}}'}}}}]\n");
    assert!(problems(health).iter().any(|p| p.message.contains("is a secret")));
}

#[test]
fn the_sample_means_what_it_says() {
    let manifest = compile(EVERY_KIND.as_bytes()).unwrap();
    assert_eq!(manifest.id(), "every-kind@1.2.0");
    assert!(matches!(&manifest.body, Body::Resources(all) if all.len() == 13));
    let ids: Vec<String> =
        order(&manifest).unwrap().into_iter().map(|i| manifest.resources()[i].id().to_string()).collect();
    let at = |id: &str| ids.iter().position(|other| other == id).unwrap_or_else(|| panic!("{id} in {ids:?}"));
    for (earlier, later) in [
        ("directory:/etc/app", "file:/etc/app/app.conf"),
        ("package:app", "file:/etc/app/app.conf"),
        ("file:/etc/app/app.conf", "service:app"),
        ("file:/etc/app/app.conf", "command:reload-rules"),
        ("file:/etc/motd", "file:/opt/tool"),
    ] {
        assert!(at(earlier) < at(later), "{earlier} before {later}: {ids:?}");
    }
    let undo: Vec<Undo> = manifest.resources().iter().map(|r| r.undo()).collect();
    assert!(matches!(
        (&undo[0], &undo[5], &undo[9], &undo[12]),
        (Undo::Yes, Undo::Partly(_), Undo::Partly(_), Undo::No(_))
    ));
}

#[test]
fn kinds_that_edit_have_ids_paths_and_classes() {
    for (name, yaml) in
        [("edits", EDITS), ("system", SYSTEM), ("sources", SOURCES), ("rpm-sources", RPM_SOURCES)]
    {
        let mut told = String::new();
        for r in compile(yaml.as_bytes()).unwrap().resources() {
            let classes: Vec<&str> = r.classes().iter().map(|c| c.as_str()).collect();
            let own: String = r.paths().map(|p| format!(" owns {p}")).collect();
            let part = r.edits().map(|p| format!(" edits {p}")).unwrap_or_default();
            told.push_str(&format!("{}{own}{part} {}\n", r.id(), classes.join("+")));
        }
        golden(&format!("src/manifest/golden/{name}.txt"), told.as_bytes());
    }
    let manifest = compile(EDITS.as_bytes()).unwrap();
    let ids: Vec<String> =
        order(&manifest).unwrap().into_iter().map(|i| manifest.resources()[i].id().to_string()).collect();
    let at = |id: &str| ids.iter().position(|other| other == id).unwrap_or_else(|| panic!("{id} in {ids:?}"));
    for (earlier, later) in [
        ("directory:/etc/app", "symlink:/etc/app/old"),
        ("directory:/etc/app", "block:/etc/app/rules:base"),
        ("block:/etc/app/rules:base", "block:/etc/app/rules:gone"),
        ("user:web", "authorized_keys:web"),
    ] {
        assert!(at(earlier) < at(later), "{earlier} before {later}: {ids:?}");
    }
}

#[test]
fn packages_come_after_the_repositories_that_they_may_come_from() {
    let manifest = compile(SOURCES.as_bytes()).unwrap();
    let ids: Vec<String> =
        order(&manifest).unwrap().into_iter().map(|i| manifest.resources()[i].id().to_string()).collect();
    assert_eq!(
        ids,
        [
            "package:ca-certificates",
            "package_repository:vendor",
            "package_repository:old-vendor",
            "package:vendor-agent",
            "service:vendor-agent"
        ]
    );
}

#[test]
fn the_schema_is_pinned_and_accepts_what_compiles() {
    let schema = schema::schema();
    let mut text = serde_json::to_vec_pretty(&schema).unwrap();
    text.push(b'\n');
    golden("../manifests/schema/manifest.schema.json", &text);
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let samples = [
        ("every-kind", EVERY_KIND),
        ("edits", EDITS),
        ("system", SYSTEM),
        ("patch", PATCH),
        ("packages", PACKAGES),
        ("groups", GROUPS),
        ("sources", SOURCES),
        ("rpm-sources", RPM_SOURCES),
        ("upkeep", UPKEEP),
        ("least", LEAST),
    ];
    for (name, yaml) in samples {
        let json = compile(yaml.as_bytes()).unwrap().to_json();
        let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert!(validator.is_valid(&value), "{name}: {:?}", validator.validate(&value));
    }
    for bad in [
        r#"{"manifest":"a","version":"1.0.0"}"#,
        r#"{"manifest":"a","version":"1.0.0","patch":{"select":"all"},"resources":[]}"#,
        r#"{"manifest":"a","version":"1.0.0","resources":[{"file":{"path":"/a"}}]}"#,
        r#"{"manifest":"a","version":"1.0.0","resources":[{"file":{"path":"/a","content":"","mode":"abc"}}]}"#,
        r#"{"manifest":"a","version":"1.0.0","resources":[{"file":{"path":"/a","content":null}}]}"#,
        r#"{"manifest":"a","version":"1.0.0","resources":[{"file":{"path":"/a","content":""},"x":1}]}"#,
        r#"{"manifest":"a","version":"1.0.0","resources":[{"package":{"name":"a"}}]}"#,
        r#"{"manifest":"a","version":"1.0.0","resources":[{"symlink":{"path":"/a"}}]}"#,
        r#"{"manifest":"a","version":"1.0.0","resources":[{"setting":{"path":"/a","key":"k"}}]}"#,
        r#"{"manifest":"a","version":"1.0.0","resources":[{"user":{"name":"a","uid":70000}}]}"#,
        r#"{"manifest":"a","version":"1.0.0","resources":[{"hostname":{"name":"a","x":1}}]}"#,
        r#"{"manifest":"a","version":"1.0.0","patch":{"select":"some"}}"#,
        r#"{"manifest":"a","version":"1.0.0","patch":{"select":"all"},"health":[{"name":"x"}]}"#,
    ] {
        let value: serde_json::Value = serde_json::from_str(bad).unwrap();
        assert!(!validator.is_valid(&value), "{bad}");
        assert!(compile(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn one_bad_part_does_not_hide_the_next() {
    let yaml = "manifest: A\nversion: 1.0\nteem: x\nresources:\n  - file: {path: a, mode: 0644, contnt: x}\n  - bogus: {}\n  \
                - package: {name: b, version: 2.0, hold: yes}\n  - file: {path: /b, state: absent, mode: \"0600\"}\nhealth:\n  - {name: x, tcp: {port: 0}}\n";
    let found: Vec<(usize, String)> =
        problems(yaml).into_iter().map(|p| (p.line.unwrap_or(0), p.place)).collect();
    let expected = [
        (1, "manifest"),
        (2, "version"),
        (3, "teem"),
        (5, "resources[0].file.path"),
        (5, "resources[0].file.mode"),
        (5, "resources[0].file.contnt"),
        (5, "resources[0].file"),
        (6, "resources[1].bogus"),
        (7, "resources[2].package.version"),
        (7, "resources[2].package.hold"),
        (8, "resources[3].file"),
        (10, "health[0].tcp.port"),
        (10, "health[0].tcp"),
    ];
    assert_eq!(found, expected.map(|(line, place)| (line, place.to_owned())));
}

#[test]
fn hostile_text_is_refused_in_bounded_time() {
    let bomb = format!(
        "a: &a [x]\n{}",
        (0..40).map(|i| format!("b{i}: &b{i} [*a, *a, *a, *a]\n")).collect::<String>()
    );
    for (what, bytes, fragment) in [
        ("empty", Vec::new(), "empty"),
        ("comment only", b"# nothing\n".to_vec(), "empty"),
        ("not UTF-8", b"manifest: a\nversion: \xff\n".to_vec(), "not UTF-8"),
        ("UTF-16", b"\xff\xfem\0a\0".to_vec(), "UTF-16"),
        ("too large", vec![b'#'; limits::MANIFEST_BYTES + 1], "bytes"),
        ("deep flow", "[".repeat(100_000).into_bytes(), ""),
        ("deep maps", "{a: ".repeat(100_000).into_bytes(), ""),
        (
            "deep block",
            (0..2_000).map(|i| format!("{}a:\n", " ".repeat(i % 500))).collect::<String>().into_bytes(),
            "",
        ),
        ("alias bomb", bomb.into_bytes(), "not supported"),
        ("many values", format!("a: [{}]", "1,".repeat(500_000)).into_bytes(), "not known here"),
        (
            "many keys",
            (0..60_000).map(|i| format!("k{i}: 1\n")).collect::<String>().into_bytes(),
            "not known here",
        ),
        ("long key", format!("{}: 1", "k".repeat(900_000)).into_bytes(), ""),
    ] {
        let found = problems(&bytes);
        assert!(found.iter().any(|p| p.message.contains(fragment)), "{what}: {:?}", found.first());
        assert!(found.len() <= 200, "{what}: {}", found.len());
    }
    assert_eq!(problems(b"manifest: a\nversion: \xff\n")[0].line, Some(2));
}

#[test]
fn byte_order_mark_and_windows_line_ends_are_fine() {
    assert_eq!(problems(format!("\u{feff}{LEAST}")), []);
    assert_eq!(problems(EVERY_KIND.replace('\n', "\r\n")), []);
}

proptest::proptest! {
    #[test]
    fn no_mutation_panics(
        which in 0usize..5,
        edits in proptest::collection::vec((0usize..6000, 0usize..4, proptest::sample::select(b":{}[]-\"'|>&*!%#,? \n\t0a\xff~\\".to_vec())), 1..12),
    ) {
        let mut bytes = [EVERY_KIND, EDITS, PATCH, UPKEEP, LEAST][which].as_bytes().to_vec();
        for (at, kind, byte) in edits {
            let at = at % bytes.len();
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        if let Ok(manifest) = compile(&bytes) {
            proptest::prop_assert_eq!(Manifest::from_json(manifest.to_json()), Ok(manifest));
        }
    }
}
