//! External kinds on real private roots: a program that speaks the resource protocol of DSC v3 is bound, asked,
//! believed as far as it can be checked, and asked to take back what it did.

use super::crash::machine;
use super::files::Bench;
use super::support::site::{Site, manifest};
use agent::apply::Stopped;
use agent::host::fake::{Cut, Fake, FakeDisk};
use agent::journal::Journal;
use serde_json::{Value, json};
use shared::digest::Digest;
use shared::plan::{UndoContract, Verb};
use shared::receipt::{HostOutcome, StepStatus};
use shared::risk::ActionClass;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Keeps its state in `srv/state.json` below the root and notes what it is asked in `srv/log`.
const PROGRAM: &str = r#"#!/usr/bin/env python3
import json, os, sys, time
root = os.environ["ASSENT_ROOT"]
path = root + "/srv/state.json"
wanted = json.load(sys.stdin)
operation = sys.argv[1] if sys.argv[2:] != ["--what-if"] else "what-if"
open(root + "/srv/log", "a").write(operation + "\n")
mode = wanted.pop("mode", "")
wanted.pop("_inDesiredState", None)
now = json.load(open(path)) if os.path.exists(path) else {"_exist": False}
if operation == "set" and mode == "fails":
    print("a password: 47113"); print("a password: 47113", file=sys.stderr); sys.exit(3)
if operation == "set" and mode == "hangs":
    time.sleep(60)
if operation == "test" and mode == "talks":
    print("x" * 2000000); sys.exit(0)
if operation == "get" and mode == "babbles":
    print("no JSON"); sys.exit(0)
if operation == "what-if":
    announced = dict(wanted, mode=mode) if mode else dict(wanted)
    if mode == "errs":
        announced["level"] = 9
    print(json.dumps(announced)); print(json.dumps(list(wanted) + ["cache"])); sys.exit(4 if mode == "balks" else 0)
if operation == "delete":
    os.remove(path)
    now = {"_exist": False}
if operation == "set" and mode != "lies":
    if wanted.get("_exist", True):
        now = wanted
        json.dump(now, open(path, "w"))
    else:
        os.remove(path)
        now = {"_exist": False}
if operation == "test":
    now["_inDesiredState"] = all(now.get(key) == wanted[key] for key in wanted)
print(json.dumps(now))
"#;

pub fn dsc() -> Value {
    let method = |name: &str| json!({ "executable": "feature", "args": [name], "input": "stdin" });
    json!({
        "$schema": "https://aka.ms/dsc/schemas/v3/bundled/resource/manifest.json",
        "type": "Contoso.App/Feature",
        "version": "1.0.0",
        "description": "A feature",
        "get": method("get"),
        "set": method("set"),
        "test": method("test"),
        "exitCodes": { "0": "Success", "3": "Out of order" },
        "schema": { "embedded": { "type": "object" } },
    })
}

/// Puts a blob where the agent's downloads lie and names it.
fn blob(bench: &Bench, bytes: &[u8]) -> Value {
    let sha256 = Digest::of(bytes);
    let dir = bench.path("var/lib/assent/artifacts");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(sha256.hex()), bytes).unwrap();
    json!({ "sha256": sha256, "length": bytes.len() })
}

pub fn resource(bench: &Bench, dsc: &Value, properties: Value) -> Value {
    json!({
        "name": "feature",
        "type": "Contoso.App/Feature",
        "manifest": blob(bench, dsc.to_string().as_bytes()),
        "program": blob(bench, PROGRAM.as_bytes()),
        "properties": properties,
    })
}

fn site(bench: &Bench, resources: Value) -> Site {
    let mut site = Site::new(vec![manifest("app", resources)]);
    site.artifacts = bench.path("var/lib/assent/artifacts");
    site
}

fn log(bench: &Bench) -> Vec<String> {
    let text = fs::read_to_string(bench.path("srv/log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_plan_runs_nothing_and_shows_what_is_handed_over() {
    let mut bench = Bench::new();
    let own = resource(&bench, &dsc(), json!({ "level": 2, "list": ["a", true] }));
    let before = bench.tree();
    let plan = site(&bench, json!([{ "external": own }])).plan(&mut bench.machine).unwrap();
    assert_eq!((bench.tree(), log(&bench).len()), (before, 0));
    let [action] = plan.as_slice() else { panic!("{plan:#?}") };
    assert_eq!(
        (action.verb, action.class, action.undo.undo),
        (Verb::Run, ActionClass::External, UndoContract::No)
    );
    assert!(
        action.summary.contains("Contoso.App/Feature as root")
            && action.summary.contains("only when it is applied")
    );
    let shown = action.diff.as_deref().unwrap();
    let properties = "properties {\n  \"level\": 2,\n  \"list\": [\n    \"a\",\n    true\n  ]\n}\n";
    for part in [properties, &Digest::of(PROGRAM.as_bytes()).hex(), "restore false"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // Each part is bound.
    for (key, value) in
        [("restore", json!(true)), ("timeout_s", json!(9)), ("properties", json!({ "level": 3 }))]
    {
        let mut other = own.clone();
        other[key] = value;
        let plan = site(&bench, json!([{ "external": other }])).plan(&mut bench.machine).unwrap();
        assert_ne!(plan[0].after, action.after, "{key}");
    }
}

#[test]
fn the_program_is_asked_first_and_set_only_what_differs() {
    let mut bench = Bench::new();
    let own = resource(&bench, &dsc(), json!({ "level": 2 }));
    let site = site(&bench, json!([{ "external": own }]));
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    assert_eq!(log(&bench), ["get", "test", "set", "test"]);
    assert_eq!(outcome.results[0].note, "set level", "names only; values may be nobody's matter");
    assert_eq!(fs::read_to_string(bench.path("srv/state.json")).unwrap(), r#"{"level": 2}"#);
    bench.journal.receipt_made(Digest::of(b"r")).unwrap();
    let again = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!((again.outcome, again.results[0].status), (HostOutcome::Unchanged, StepStatus::Unneeded));
    assert_eq!(log(&bench)[4..], ["get", "test"]);
    let cached = bench.path(&format!("var/lib/assent/external/{}/feature", Digest::of(PROGRAM.as_bytes())));
    assert_eq!(fs::metadata(&cached).unwrap().permissions().mode() & 0o777, 0o700);
    let earlier = bench.path("var/lib/assent/external/earlier");
    fs::create_dir(&earlier).unwrap();
    fs::write(earlier.join("program"), "").unwrap();
    // What somebody made of the program in between is not run.
    bench.journal.receipt_made(Digest::of(b"r")).unwrap();
    fs::write(&cached, "#!/bin/sh\ntouch \"$ASSENT_ROOT/srv/evil\"\n").unwrap();
    site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert!(!bench.path("srv/evil").exists());
    assert!(!earlier.exists(), "programs of earlier changes go");
    assert_eq!(log(&bench).len(), 8);
}

#[test]
fn without_a_test_of_its_own_what_get_tells_is_compared() {
    let mut bench = Bench::new();
    let mut dsc = dsc();
    dsc.as_object_mut().unwrap().remove("test");
    let own = resource(&bench, &dsc, json!({ "level": 2 }));
    let site = site(&bench, json!([{ "external": own }]));
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    assert_eq!(log(&bench), ["get", "get", "set", "get"]);
}

#[test]
fn what_is_not_to_be_there_is_deleted_where_set_cannot_do_that() {
    for handles in [true, false] {
        let mut bench = Bench::new();
        fs::write(bench.path("srv/state.json"), r#"{"level": 1}"#).unwrap();
        let mut dsc = dsc();
        dsc["delete"] = json!({ "executable": "feature", "args": ["delete"], "input": "stdin" });
        dsc["set"]["handlesExist"] = json!(handles);
        dsc["set"]["args"] = json!(["set", { "whatIfArg": "--what-if" }]);
        let own = resource(&bench, &dsc, json!({ "_exist": false }));
        let site = site(&bench, json!([{ "external": own }]));
        let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
        assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
        assert_eq!(log(&bench)[2..4], if handles { ["what-if", "set"] } else { ["delete", "test"] });
        assert!(!bench.path("srv/state.json").exists());
    }
}

/// By an operation of its own, or by an argument of `set`.
#[test]
fn the_program_announces_what_it_would_do_before_it_does_it() {
    for own_operation in [true, false] {
        for (mode, refused) in [
            (None, None),
            (Some("errs"), Some("announces another state than the approved one")),
            (Some("balks"), Some("whatIf of Contoso.App/Feature ended with exit code 4")),
        ] {
            let mut bench = Bench::new();
            let mut dsc = dsc();
            let method = if own_operation {
                dsc["whatIf"] = json!({ "executable": "feature", "args": ["what-if"], "input": "stdin" });
                "whatIf"
            } else {
                dsc["set"]["args"] = json!(["set", { "whatIfArg": "--what-if" }]);
                "set"
            };
            dsc[method]["return"] = json!("stateAndDiff");
            let mut properties = json!({ "level": 2 });
            if let Some(mode) = mode {
                properties["mode"] = json!(mode);
            }
            let own = resource(&bench, &dsc, properties);
            let site = site(&bench, json!([{ "external": own }]));
            let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
            let what = format!("{own_operation} {mode:?}: {outcome:#?}");
            let sets = log(&bench).iter().filter(|operation| *operation == "set").count();
            match refused {
                None => {
                    assert_eq!(log(&bench), ["get", "test", "what-if", "set", "test"], "{what}");
                    assert_eq!(outcome.results[0].note, "set level; announced besides: cache", "{what}");
                }
                Some(why) => {
                    assert_eq!((outcome.results[0].status, sets), (StepStatus::Failed, 0), "{what}");
                    assert!(outcome.note.contains(why), "{what}");
                }
            }
        }
    }
}

#[test]
fn what_was_before_is_set_again_where_the_manifest_says_so() {
    for restore in [true, false] {
        let mut bench = Bench::new();
        fs::write(bench.path("srv/state.json"), r#"{"level": 1}"#).unwrap();
        let mut own = resource(&bench, &dsc(), json!({ "level": 2 }));
        own["restore"] = json!(restore);
        let fail = json!({ "name": "fail", "run": ["/bin/false"], "needed": "always", "requires": ["external:feature"] });
        let site = site(&bench, json!([{ "external": own }, { "command": fail }]));
        let contract = if restore { UndoContract::Partly } else { UndoContract::No };
        assert_eq!(site.plan(&mut bench.machine).unwrap()[0].undo.undo, contract);
        let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
        let level = fs::read_to_string(bench.path("srv/state.json")).unwrap();
        if restore {
            assert_eq!(outcome.results[0].status, StepStatus::Undone, "{outcome:#?}");
            assert_eq!(level, r#"{"level": 1}"#);
        } else {
            assert_eq!(outcome.outcome, HostOutcome::Failed, "{outcome:#?}");
            assert!(outcome.note.contains("not as before: external:feature"), "{}", outcome.note);
            assert_eq!(level, r#"{"level": 2}"#);
        }
    }
}

#[test]
fn programs_that_fail_lie_hang_or_talk_nonsense_are_told_apart() {
    for (mode, why) in [
        ("fails", "set of Contoso.App/Feature ended with exit code 3 (Out of order)"),
        ("lies", "ended well, but the state is still another one"),
        ("hangs", "was ended after 1 s"),
        ("talks", "test of Contoso.App/Feature printed too much"),
        ("babbles", "get of Contoso.App/Feature printed something else than JSON"),
    ] {
        let mut bench = Bench::new();
        let mut own = resource(&bench, &dsc(), json!({ "level": 2, "mode": mode }));
        own["timeout_s"] = json!(if mode == "hangs" { 1 } else { 60 });
        let outcome =
            site(&bench, json!([{ "external": own }])).apply(&mut bench.machine, &mut bench.journal).unwrap();
        assert_eq!(outcome.results[0].status, StepStatus::Failed, "{mode}: {outcome:#?}");
        assert!(outcome.note.contains(why), "{mode}: {}", outcome.note);
        assert!(!format!("{outcome:?}").contains("47113"), "what the program prints stays on the host");
    }
}

#[test]
fn a_resource_manifest_that_does_not_fit_is_refused() {
    let edit = |change: &dyn Fn(&mut Value)| {
        let mut dsc = dsc();
        change(&mut dsc);
        dsc
    };
    for (dsc, why) in [
        (edit(&|d| d["type"] = json!("Contoso.App/Other")), "that type, but of"),
        (edit(&|d| d["$schema"] = json!("https://example.org/x")), "no DSC resource manifest"),
        (edit(&|d| d["test"]["executable"] = json!("/bin/sh")), "names another program"),
        (
            edit(&|d| ["get", "set", "test"].iter().for_each(|m| d[m]["executable"] = json!("../x"))),
            "names another program",
        ),
        (edit(&|d| d["set"]["input"] = json!("env")), "takes its input by env"),
        (edit(&|d| d["kind"] = json!("adapter")), "only single resources"),
        (edit(&|d| d["whatIf"] = json!({ "executable": "other" })), "names another program"),
        (
            edit(&|d| d["delete"] = json!({ "executable": "rm", "args": ["-rf", "/"] })),
            "names another program",
        ),
        (json!({ "resources": [] }), "cannot be read"),
    ] {
        let mut bench = Bench::new();
        let own = resource(&bench, &dsc, json!({ "level": 2 }));
        let outcome =
            site(&bench, json!([{ "external": own }])).apply(&mut bench.machine, &mut bench.journal).unwrap();
        assert_eq!(outcome.results[0].status, StepStatus::Failed, "{outcome:#?}");
        assert!(outcome.note.contains(why), "{why}: {}", outcome.note);
        assert!(!log(&bench).contains(&"set".to_owned()), "{why}");
    }
}

/// The power goes at every write: the program sets at most once, is asked to take that back at most once, and the
/// receipt says what is left.
#[test]
fn a_program_sets_once_and_restores_once_whatever_write_the_power_goes_at() {
    let bench = Bench::new();
    let mut dsc = dsc();
    dsc.as_object_mut().unwrap().remove("test");
    let mut own = resource(&bench, &dsc, json!({ "level": 2 }));
    own["restore"] = json!(true);
    let file = |path: &str| json!({ "file": { "path": path, "content": "new\n" } });
    let site = site(&bench, json!([file("/etc/app.conf"), { "external": own }, file("/etc/hosts")]));
    let host = || {
        let host = machine();
        host.world.borrow_mut().told = r#"{"level":1}"#.into();
        host
    };
    let journal = |disk: &FakeDisk| Journal::open(disk.clone(), Path::new("/journal")).unwrap();
    let sets = |host: &Fake| host.world.borrow().ran.iter().filter(|line| line.ends_with(" set")).count();
    let mut calm = host();
    let disk = FakeDisk::new(calm.power.clone());
    let outcome = site.apply(&mut calm, &mut journal(&disk)).unwrap();
    assert_eq!((outcome.outcome, sets(&calm)), (HostOutcome::Applied, 1), "{outcome:#?}");
    assert_eq!(calm.world.borrow().told, r#"{"level":2}"#);
    let (mut applied, mut rolled_back) = (0, 0);
    for at in 0..calm.power.writes() {
        for cut in [Cut::Lost, Cut::Kept, Cut::Torn] {
            let what = format!("write {at} {cut:?}");
            let mut host = host();
            let disk = FakeDisk::new(host.power.clone());
            host.power.cut(at, cut);
            let stopped = site.apply(&mut host, &mut journal(&disk));
            assert!(matches!(stopped, Err(Stopped::Fault(_))), "{what}: {stopped:?}");
            disk.restart();
            host.power.restore();
            let outcome = site.resume(&mut host, &mut journal(&disk)).unwrap();
            assert!(sets(&host) <= 2, "{what}: {:?}", host.world.borrow().ran);
            let told = host.world.borrow().told.clone();
            match outcome.map(|outcome| (outcome.outcome, outcome.note)) {
                None => assert_eq!((told.as_str(), sets(&host)), (r#"{"level":1}"#, 0), "{what}"),
                Some((HostOutcome::Applied, _)) => {
                    applied += 1;
                    assert_eq!((told.as_str(), sets(&host)), (r#"{"level":2}"#, 1), "{what}");
                }
                Some((HostOutcome::RolledBack, _)) => {
                    rolled_back += 1;
                    assert_eq!(told, r#"{"level":1}"#, "{what}");
                }
                Some(other) => panic!("{what}: {other:?}"),
            }
        }
    }
    assert!(applied > 2 && rolled_back > 10, "{applied} {rolled_back}");
}
