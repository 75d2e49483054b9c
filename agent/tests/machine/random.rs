//! Random files and directories on random roots: the plan is the effect, a second run has nothing to do, and
//! undo leaves the state before.

use super::files::Bench;
use super::support::tree::Tree;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::receipt::{HostOutcome, StepStatus};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// What a path is before the run.
#[derive(Clone, Debug)]
enum Before {
    Nothing,
    File(String, u32),
    Directory(u32),
    Link,
}

/// What is wanted of a path.
#[derive(Clone, Debug)]
enum Wanted {
    Nothing,
    File(String, Option<u32>, bool),
    Gone,
    Directory(Option<u32>),
    Link,
    /// Edits of one file, one after the other.
    Edits(Vec<Edit>),
}

#[derive(Clone, Debug)]
enum Edit {
    Line(String, bool),
    Match(String),
    Block(String, bool),
    Setting(String, bool),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        ("[abc]{1,2}", any::<bool>()).prop_map(|(l, p)| Edit::Line(l, p)),
        "[abc]".prop_map(Edit::Match),
        ("[ab\n]{0,4}", any::<bool>()).prop_map(|(c, p)| Edit::Block(c, p)),
        ("[abc]", any::<bool>()).prop_map(|(k, p)| Edit::Setting(k, p)),
    ]
}

/// The resource of the edit number `n` of a file.
fn edit_of(path: &str, n: usize, edit: &Edit) -> Value {
    let name = format!("n{n}");
    let absent = |present: bool| if present { "present" } else { "absent" };
    let mut resource = match edit {
        Edit::Line(line, p) => {
            json!({ "line": { "path": path, "name": name, "line": line, "state": absent(*p), "create": *p } })
        }
        Edit::Match(c) => json!({ "line": { "path": path, "name": name, "line": format!("{c}!"),
                                            "match": format!("^{c}"), "create": true } }),
        Edit::Block(content, true) => {
            json!({ "block": { "path": path, "name": name, "content": content, "create": true } })
        }
        Edit::Block(_, false) => json!({ "block": { "path": path, "name": name, "state": "absent" } }),
        // Keys differ from edit to edit: two resources for one key would be the same resource.
        Edit::Setting(key, true) => {
            json!({ "setting": { "path": path, "key": format!("{key}{n}"), "value": "v",
                                                         "create": true } })
        }
        Edit::Setting(key, false) => {
            json!({ "setting": { "path": path, "key": format!("{key}{n}"), "state": "absent" } })
        }
    };
    if let Some(inner) = resource.as_object_mut().and_then(|o| o.values_mut().next()?.as_object_mut()) {
        inner.retain(|_, value| *value != json!(false));
    }
    resource
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-c\n]{1,12}", Just("same\n".to_owned())]
}

fn mode() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0o644), Just(0o600), Just(0o755), Just(0o4750), Just(0o1777)]
}

fn before() -> impl Strategy<Value = Before> {
    prop_oneof![
        2 => Just(Before::Nothing),
        4 => (text(), mode()).prop_map(|(t, m)| Before::File(t, m)),
        2 => mode().prop_map(Before::Directory),
        1 => Just(Before::Link),
    ]
}

fn wanted() -> impl Strategy<Value = Wanted> {
    prop_oneof![
        1 => Just(Wanted::Nothing),
        4 => (text(), proptest::option::of(mode()), any::<bool>()).prop_map(|(t, m, o)| Wanted::File(t, m, o)),
        1 => Just(Wanted::Gone),
        2 => proptest::option::of(mode()).prop_map(Wanted::Directory),
        1 => Just(Wanted::Link),
        3 => proptest::collection::vec(edit(), 1..4).prop_map(Wanted::Edits),
    ]
}

fn paths() -> Vec<String> {
    let flat = NAMES.map(|n| format!("/srv/{n}"));
    let deep = NAMES.map(|n| format!("/srv/sub/{n}"));
    flat.into_iter().chain(deep).collect()
}

fn prepare(bench: &Bench, all: &[Before]) {
    fs::create_dir(bench.path("srv/sub")).unwrap();
    for (path, before) in paths().iter().zip(all) {
        let at = bench.path(path.trim_start_matches('/'));
        let set = |mode: u32| fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap();
        match before {
            Before::Nothing => {}
            Before::File(text, mode) => {
                fs::write(&at, text).unwrap();
                set(*mode);
            }
            Before::Directory(mode) => {
                fs::create_dir(&at).unwrap();
                set(*mode);
            }
            Before::Link => symlink("a", &at).unwrap(),
        }
    }
}

fn resources(all: &[Wanted]) -> Value {
    let one = |(path, wanted): (&String, &Wanted)| {
        let mode = |m: &Option<u32>| m.map_or(Value::Null, |m| json!(format!("{m:04o}")));
        let mut resource = match wanted {
            Wanted::Nothing => return Vec::new(),
            Wanted::File(text, m, owned) => {
                let owner = if *owned { json!("web") } else { Value::Null };
                json!({ "file": { "path": path, "content": text, "mode": mode(m), "owner": owner } })
            }
            Wanted::Gone => json!({ "file": { "path": path, "state": "absent" } }),
            Wanted::Directory(m) => json!({ "directory": { "path": path, "mode": mode(m) } }),
            Wanted::Link => json!({ "symlink": { "path": path, "target": "b" } }),
            Wanted::Edits(edits) => {
                let all = edits.iter().enumerate().map(|(n, edit)| edit_of(path, n, edit));
                return all.collect();
            }
        };
        if let Some(inner) = resource.as_object_mut().and_then(|o| o.values_mut().next()?.as_object_mut()) {
            inner.retain(|_, v| !v.is_null());
        }
        vec![resource]
    };
    Value::Array(paths().iter().zip(all).flat_map(one).collect())
}

/// Paths that differ between two trees.
fn changed(before: &Tree, after: &Tree) -> Vec<String> {
    let all: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    all.into_iter().filter(|p| before.get(*p) != after.get(*p)).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_plan_is_the_effect_and_undo_is_its_inverse(
        befores in proptest::collection::vec(before(), 8),
        wanteds in proptest::collection::vec(wanted(), 8),
        fails in any::<bool>(),
    ) {
        let mut bench = Bench::new();
        prepare(&bench, &befores);
        let before = bench.tree();
        let mut all = resources(&wanteds);
        let files = all.as_array().unwrap().len();
        prop_assume!(files > 0);
        if fails {
            all.as_array_mut().unwrap().push(
                json!({ "command": { "name": "fail", "run": ["/bin/false"], "needed": "always", "undo": ["/bin/true"] } })
            );
        }
        let site = bench.site(all);
        let whole = bench.untouched();
        let plan = site.plan(&mut bench.machine);
        prop_assert_eq!(bench.untouched(), whole);
        // Without a plan something is in the way; then nothing happens at all.
        let Ok(plan) = plan else { return Ok(()) };
        let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
        let after = bench.tree();
        if fails {
            prop_assert_eq!(outcome.outcome, HostOutcome::RolledBack);
            prop_assert_eq!(after, before);
            return Ok(());
        }
        let done = plan.iter().all(|_| outcome.results.iter().all(|r| r.status == StepStatus::Done));
        prop_assert!(done, "{:?}", outcome);
        prop_assert_eq!(outcome.outcome == HostOutcome::Unchanged, plan.is_empty());
        // One edit may take back what another brings; what is changed in the end is always planned.
        let planned: std::collections::BTreeSet<String> =
            plan.iter().map(|a| a.resource.as_str().split(':').nth(1).unwrap().to_owned()).collect();
        let changed: std::collections::BTreeSet<String> = changed(&before, &after).into_iter().collect();
        let edited = wanteds.iter().any(|w| matches!(w, Wanted::Edits(all) if all.len() > 1));
        prop_assert!(changed == planned || (edited && changed.is_subset(&planned)), "{changed:?} {planned:?}");
        // Edits that contradict each other never come to rest; that is the author's to see in the plan.
        if !edited {
            prop_assert_eq!(site.plan(&mut bench.machine).unwrap(), vec![]);
        }
    }
}
