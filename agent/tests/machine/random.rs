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
            Wanted::Nothing => return None,
            Wanted::File(text, m, owned) => {
                let owner = if *owned { json!("web") } else { Value::Null };
                json!({ "file": { "path": path, "content": text, "mode": mode(m), "owner": owner } })
            }
            Wanted::Gone => json!({ "file": { "path": path, "state": "absent" } }),
            Wanted::Directory(m) => json!({ "directory": { "path": path, "mode": mode(m) } }),
        };
        let inner = resource.as_object_mut()?.values_mut().next()?.as_object_mut()?;
        inner.retain(|_, v| !v.is_null());
        Some(resource)
    };
    Value::Array(paths().iter().zip(all).filter_map(one).collect())
}

/// Paths that differ between two trees.
fn changed(before: &Tree, after: &Tree) -> Vec<String> {
    let all: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    all.into_iter().filter(|p| before.get(*p) != after.get(*p)).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

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
        let Ok(plan) = site.plan(&mut bench.machine) else {
            // Something is in the way; then nothing happens at all.
            prop_assert_eq!(bench.tree(), before);
            return Ok(());
        };
        prop_assert_eq!(&bench.tree(), &before);
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
        let mut planned: Vec<String> =
            plan.iter().map(|a| a.resource.as_str().split_once(':').unwrap().1.to_owned()).collect();
        planned.sort();
        prop_assert_eq!(changed(&before, &after), planned);
        prop_assert_eq!(site.plan(&mut bench.machine).unwrap(), vec![]);
    }
}
