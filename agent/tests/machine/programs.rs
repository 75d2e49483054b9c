//! What a command or a health check runs is bound to its bytes: planned, approved, and looked at again each time.

use super::files::Bench;
use super::support::site::{Site, from_json};
use agent::apply::Stopped;
use serde_json::{Value, json};
use shared::receipt::{HostOutcome, StepStatus};
use shared::refusal::Code;
use std::fs;

fn script(bench: &Bench, name: &str, text: &str) {
    fs::write(bench.path(&format!("srv/{name}")), text).unwrap();
}

/// A change with all four places in which a program can be named; each script leaves a file behind.
fn site(bench: &Bench, more: &[Value]) -> Site {
    for name in ["run", "guard", "back", "check"] {
        script(bench, name, &format!("touch srv/{name}-ran; test {name} != guard"));
    }
    let command = json!({ "command": { "name": "work", "run": ["/bin/sh", "srv/run"],
        "needed": { "unless": ["/bin/sh", "-e", "srv/guard"] }, "undo": ["/usr/bin/env", "sh", "srv/back"] } });
    let resources: Vec<Value> = std::iter::once(command).chain(more.iter().cloned()).collect();
    let manifest = json!({ "manifest": "m", "version": "1.0.0", "resources": resources,
        "health": [{ "name": "well", "command": { "run": ["/bin/sh", "srv/check"] }, "retries": 0 }] });
    Site::new(vec![from_json(&manifest)])
}

fn ran(bench: &Bench) -> Vec<&'static str> {
    let names = ["run", "guard", "back", "check"];
    names.into_iter().filter(|name| bench.path(&format!("srv/{name}-ran")).exists()).collect()
}

#[test]
fn a_program_that_was_exchanged_after_the_approval_is_refused_wherever_it_is_named() {
    for name in ["run", "guard", "back", "check"] {
        let mut bench = Bench::new();
        let site = site(&bench, &[]);
        let approved = site.planned(&mut bench.machine).unwrap();
        let bound: Vec<&String> = approved
            .actions
            .iter()
            .flat_map(|a| a.programs.keys())
            .chain(approved.health[0].programs.keys())
            .collect();
        assert_eq!(bound, ["/srv/back", "/srv/guard", "/srv/run", "/srv/check"]);
        script(&bench, name, "touch srv/evil");
        match site.apply_planned(approved, &mut bench.machine, &mut bench.journal) {
            Err(Stopped::Refused(refused)) => {
                assert_eq!(refused.code, Code::PlanProgram, "{refused}");
                assert!(refused.message.contains(&format!("/srv/{name}, which")), "{refused}");
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(ran(&bench), [""; 0]);
        assert!(!bench.path("srv/evil").exists());
    }
    let mut bench = Bench::new();
    let site = site(&bench, &[]);
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    assert_eq!(ran(&bench), ["run", "guard", "check"]);
}

/// Between the start of the run and the program's turn.
#[test]
fn a_program_that_is_exchanged_during_the_run_is_not_run() {
    let meddle = |name: &str, then: &str| {
        let text = format!("echo 'touch srv/evil' > srv/{name}; {then}");
        json!({ "command": { "name": "meddle", "run": ["/bin/sh", "-c", text], "needed": "always",
                             "undo": ["/bin/true"] } })
    };
    // Its own step; the undo of a step that failed runs.
    let mut bench = Bench::new();
    let mut changed = site(&bench, &[meddle("run", "true")]);
    changed.manifests[0] = {
        let mut text = serde_json::to_value(&changed.manifests[0]).unwrap();
        text["resources"].as_array_mut().unwrap().reverse();
        from_json(&text)
    };
    let outcome = changed.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert!(outcome.note.contains("/srv/run, which command:work runs, has sha256"), "{}", outcome.note);
    assert_eq!((ran(&bench), bench.path("srv/evil").exists()), (vec!["back"], false));
    // Its undo.
    let mut bench = Bench::new();
    let changed = site(&bench, &[meddle("back", "false")]);
    let outcome = changed.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Failed);
    assert_eq!(outcome.results[0].status, StepStatus::UndoFailed, "{outcome:#?}");
    assert!(outcome.results[0].note.contains("/srv/back, which the undo command runs"), "{outcome:#?}");
    assert_eq!((ran(&bench), bench.path("srv/evil").exists()), (vec!["run", "guard"], false));
    // The health check.
    let mut bench = Bench::new();
    let changed = site(&bench, &[meddle("check", "true")]);
    let outcome = changed.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
    assert!(outcome.health[0].output.contains("/srv/check, which the check runs"), "{outcome:#?}");
    assert_eq!((ran(&bench), bench.path("srv/evil").exists()), (vec!["run", "guard", "back"], false));
}

/// What the change itself brings is bound by what it brings, in all four places.
#[test]
fn programs_that_the_change_brings_are_bound_to_the_bytes_of_the_manifest() {
    let mut bench = Bench::new();
    let files = ["run", "guard", "back", "check"].map(|name| {
        let text = format!("touch srv/{name}-ran; test {name} != guard");
        json!({ "file": { "path": format!("/srv/{name}"), "content": text } })
    });
    let mut all = site(&bench, &files);
    for name in ["run", "guard", "back", "check"] {
        fs::remove_file(bench.path(&format!("srv/{name}"))).unwrap();
    }
    all.manifests[0] = {
        let mut text = serde_json::to_value(&all.manifests[0]).unwrap();
        text["resources"].as_array_mut().unwrap().rotate_left(1);
        from_json(&text)
    };
    let approved = all.planned(&mut bench.machine).unwrap();
    assert_eq!((approved.actions[4].programs.len(), approved.health[0].programs.len()), (3, 1));
    let outcome = all.apply_planned(approved, &mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    assert_eq!(ran(&bench), ["run", "guard", "check"]);
}

/// A file that a program only reads is bound, too, when the change brings it, and is no obstacle afterwards.
#[test]
fn programs_may_read_what_the_change_brings() {
    for exchange in [false, true] {
        let mut bench = Bench::new();
        let read = "/srv/read";
        let spoil = format!("! {exchange} || echo other >srv/read");
        let resources = json!([
            { "file": { "path": read, "content": "text\n" } },
            { "command": { "name": "look", "run": ["/bin/echo", read], "needed": "always" } },
            { "command": { "name": "spoil", "run": ["/bin/sh", "-c", spoil], "needed": "always" } }
        ]);
        let check = json!({ "name": "well", "command": { "run": ["/bin/echo", read] }, "retries": 0 });
        let manifest =
            json!({ "manifest": "m", "version": "1.0.0", "resources": resources, "health": [check] });
        let site = Site::new(vec![from_json(&manifest)]);
        let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
        let good = outcome.outcome == HostOutcome::Applied;
        assert_eq!(good, !exchange, "{outcome:#?}");
        assert!(good || outcome.health[0].output.contains("has sha256"), "{outcome:#?}");
    }
}
