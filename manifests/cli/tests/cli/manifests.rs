//! Lint with all problems, signing, and what a change of one byte does.

use crate::{expect, new_site};
use shared::admit::verify_publication;
use shared::digest::Digest;
use shared::manifest::Manifest;
use shared::policy::Policy;
use shared::publication::Publication;
use shared::statement::Statement;
use std::fs;
use std::path::Path;

const GOOD: &str = "manifest: web-base\nversion: \"1.2.0\"\ntitle: Base of every web server\n\
parameters:\n  port: { type: integer, default: 80 }\n\
resources:\n- file:\n    path: /etc/motd\n    template: \"port {{params.port}}\\n\"\n    mode: \"0644\"\n";

/// Six mistakes of different kinds.
const BAD: &str = "manifest: Web\nversion: 1.2.0\nresources:\n- file:\n    path: etc/motd\n    content: x\n    mode: 0644\n\
- pakage: { name: alpha, version: \"1.0\" }\n- service: { name: app, stat: running }\n- command: { name: c, run: [] , needed: always }\n";

fn golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, found).unwrap();
    }
    assert_eq!(
        found,
        fs::read_to_string(&path).unwrap_or_default(),
        "{name}: run with UPDATE_GOLDEN=1 if right"
    );
}

#[test]
fn lint_lists_every_problem_with_line_place_and_remedy() {
    let dir = new_site();
    fs::write(dir.path().join("good.yaml"), GOOD).unwrap();
    fs::write(dir.path().join("bad.yaml"), BAD).unwrap();
    let (out, _) = expect(dir.path(), 0, &["lint", "good.yaml"]);
    assert_eq!(out, "good.yaml: web-base@1.2.0 is good\n");
    let (out, err) = expect(dir.path(), 2, &["lint", "good.yaml", "bad.yaml"]);
    golden("lint.txt", &format!("{out}{err}"));
    let problems = out.lines().filter(|line| line.starts_with("bad.yaml:")).count();
    assert!(problems >= 6, "{out}");
    assert_eq!(out.matches("\n  try: ").count(), problems);
    expect(dir.path(), 2, &["lint", "missing.yaml"]);
    let (_, err) = expect(dir.path(), 2, &["lint", "good.yaml", "good.yaml", "--out", "good.json"]);
    assert!(err.contains("--out takes one manifest"), "{err}");
    expect(dir.path(), 0, &["lint", "good.yaml", "--out", "good.json"]);
    let compiled = Manifest::from_json(fs::read(dir.path().join("good.json")).unwrap()).unwrap();
    assert_eq!(compiled.id(), "web-base@1.2.0");
    expect(dir.path(), 2, &["--site", "site", "sign", "bad.yaml"]);
}

/// Each says what it does, needs and undoes, has health checks, and nothing that the linter objects to.
#[test]
fn the_library_is_complete_and_lints() {
    let dir = new_site();
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("library");
    let mut count = 0;
    for entry in fs::read_dir(&library).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let (out, _) = expect(dir.path(), 0, &["lint", path.to_str().unwrap(), "--out", "one.json"]);
        assert!(out.contains(&format!("{name}@1.0.0 is good")), "{out}");
        let manifest = Manifest::from_json(fs::read(dir.path().join("one.json")).unwrap()).unwrap();
        assert!(!manifest.health.is_empty(), "{name} has no health check");
        let undeclared = |(param, declared): (&_, &shared::manifest::Parameter)| {
            let empty = declared.description.is_empty() || declared.default.is_none();
            assert!(!empty, "{name}: {param} has no default or no description");
        };
        manifest.parameters.iter().for_each(undeclared);
        let text = fs::read_to_string(&path).unwrap();
        for head in [
            "# Does ",
            "# Needs ",
            "# Undo ",
            "# yaml-language-server: $schema=../schema/manifest.schema.json",
        ] {
            assert!(text.contains(head), "{name}: {head}");
        }
        count += 1;
    }
    assert!(count >= 13, "{count}");
}

#[test]
fn a_signed_manifest_is_accepted_by_the_policy_until_one_byte_changes() {
    let dir = new_site();
    fs::write(dir.path().join("good.yaml"), GOOD).unwrap();
    let (out, _) = expect(dir.path(), 0, &["--site", "site", "sign", "good.yaml"]);
    let bytes = fs::read(dir.path().join("web-base-1.2.0.manifest.json")).unwrap();
    let policy = Policy::parse(&fs::read(dir.path().join("site/server/site/policy.json")).unwrap()).unwrap();
    let statement = Statement::<Publication>::parse(&bytes).unwrap();
    let verified = verify_publication(&policy, &bytes, policy.issued).unwrap();
    assert_eq!((verified.get().id().as_str(), verified.publisher().as_str()), ("web-base@1.2.0", "lead"));
    assert_eq!(statement.body.source, Digest::of(GOOD.as_bytes()));
    assert!(out.contains(&statement.digest.to_string()), "{out}");

    let mut tampered = statement.envelope.clone();
    let at = tampered.payload.windows(9).position(|w| w == b"/etc/motd").unwrap();
    tampered.payload[at + 5] = b'p';
    let refused = verify_publication(&policy, &tampered.to_bytes(), policy.issued).unwrap_err();
    assert_eq!(refused.code.as_str(), "manifest.publisher");
}

#[test]
fn a_directory_that_is_no_bundle_does_not_verify() {
    let dir = new_site();
    fs::create_dir(dir.path().join("bundle")).unwrap();
    let (out, err) = expect(dir.path(), 1, &["verify", "bundle"]);
    assert!(out.contains("FLAW: ") && err.contains("does not hold"), "{out}{err}");
    fs::write(dir.path().join("b.tar"), b"not a tar").unwrap();
    expect(dir.path(), 2, &["verify", "b.tar"]);
}
