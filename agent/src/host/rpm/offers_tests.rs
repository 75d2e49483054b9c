//! Candidates, fixes and effects, without any package manager.

use super::super::database::Row;
use super::*;

fn listed(name: &str, evr: &str, repo: &str, priority: i32) -> Listed {
    let text = |t: &str| t.to_owned();
    Listed {
        name: text(name),
        arch: text("x86_64"),
        evr: text(evr),
        repo: text(repo),
        priority,
        vendor: text("Lab"),
        sha256: Some(Digest::of(format!("{name}{evr}").as_bytes())),
        bytes: 1,
        unpacked: 1,
    }
}

fn entry(called: &str, name: &str, evr: &str) -> Entry {
    let text = |t: &str| t.to_owned();
    let row = Row {
        name: text(name),
        arch: text("x86_64"),
        evr: text(evr),
        source: text(""),
        installed_at: 0,
        bytes: 0,
        vendor: text(""),
    };
    Entry { called: text(called), row, older: called != name, doubles: Vec::new() }
}

fn advisory(id: &str, security: bool, evr: &str) -> Advisory {
    let fixed = Fixed { name: "app".into(), arch: "x86_64".into(), evr: evr.into() };
    Advisory { id: id.into(), security, packages: vec![fixed] }
}

#[test]
fn the_repository_that_goes_first_has_the_candidate_and_advisories_the_fixes() {
    let catalogue = Catalogue {
        packages: vec![
            listed("app", "1.9-1", "base", 99),
            listed("app", "1.10-1", "base", 99),
            listed("app", "2.0-1", "extra", 120),
            listed("app", "1.10-1", "mirror", 99),
        ],
        advisories: vec![
            advisory("LAB-1", true, "1.9-1"),
            advisory("LAB-2", false, "2.0-1"),
            advisory("LAB-3", true, "1.0-1"),
            advisory("LAB-4", true, "1.9.5-1"),
        ],
    };
    let installed = entry("app", "app", "1.0-1");
    let groups = catalogue.grouped("x86_64");
    let offer = groups["app"].offer("app", Some(&installed), None);
    assert_eq!(offer.candidate.as_deref(), Some("1.10-1"), "2.0 is of a repository that goes last");
    let shown: Vec<String> = offer
        .versions
        .iter()
        .map(|v| format!("{} {} {}", v.version, v.origins.join("+"), v.security))
        .collect();
    assert_eq!(
        shown,
        ["2.0-1 extra false", "1.10-1 base+mirror+LAB-4 true", "1.9-1 base+LAB-1 true"],
        "what 1.9.5 fixed is in 1.10, too"
    );
    let other = groups["app"].offer("app", Some(&installed), Some("Other"));
    assert_eq!(other.candidate, None, "of another vendor");
    assert_eq!(Group::default().offer("none", None, None).versions, []);
    let origins = ["2.0-1", "1.10-1", "9-9"].map(|evr| groups["app"].origin(evr));
    assert_eq!(origins, ["extra", "base, mirror", "base, extra, mirror"]);
    assert_eq!(Group::default().origin("1-1"), "");
}

#[test]
fn two_files_under_one_version_are_refused() {
    let mut catalogue = Catalogue {
        packages: vec![listed("app", "1-1", "a", 99), listed("app", "1-1", "b", 99)],
        ..Catalogue::default()
    };
    assert!(catalogue.file("app", "0:1-1", "x86_64").unwrap().is_some());
    catalogue.packages[1].sha256 = None;
    assert!(catalogue.file("app", "1-1", "x86_64").unwrap_err().contains("two sources"));
    assert_eq!(catalogue.file("app:i686", "1-1", "x86_64"), Ok(None));
}

#[test]
fn items_of_a_solver_become_changes_of_what_is_installed() {
    let mut installed = [
        entry("app", "app", "1-1"),
        entry("kernel", "kernel", "6-2"),
        entry("kernel-6-1", "kernel", "6-1"),
        entry("twice", "twice", "2-1"),
    ];
    installed[3].doubles = vec![entry("twice", "twice", "1-1").row];
    let item = |name: &str, evr: &str, removed: bool| Item {
        name: name.into(),
        arch: "x86_64".into(),
        evr: evr.into(),
        removed,
        ..Item::default()
    };
    let items = [
        item("app", "0:2-1", false),
        item("app", "1-1", true),
        item("kernel", "6-3", false),
        item("kernel", "6-1", true),
        item("twice", "1-1", true),
        item("old", "1-1", true),
    ];
    let shown: Vec<String> = changes(&items, &installed, "x86_64")
        .iter()
        .map(|c| format!("{} {:?} {:?}", c.name, c.from.as_deref(), c.to.as_deref()))
        .collect();
    assert_eq!(
        shown,
        [
            "app Some(\"1-1\") Some(\"2-1\")",
            "kernel None Some(\"6-3\")",
            "kernel-6-1 Some(\"6-1\") None",
            "old Some(\"1-1\") None",
        ]
    );
}
