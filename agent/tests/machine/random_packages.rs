//! Random packages from a real repository on random roots: planning leaves no trace, what is installed is what the plan
//! pins, a second run has nothing to do, and undo brings back what was installed.

use super::kinds::runner;
use super::packages::{bench, lab, site};
use super::support::aptrepo::Repo;
use super::support::tree::untouched;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};
use shared::plan::Verb;
use shared::receipt::HostOutcome;

const VERSIONS: [(&str, &[&str]); 3] =
    [("alpha", &["1.0", "1.0+deb1", "1.1"]), ("beta", &["1.0", "2.0"]), ("libalpha", &["1:1.5-2"])];

fn packages(most: usize) -> impl Strategy<Value = Vec<Value>> {
    let one = (0..VERSIONS.len(), any::<proptest::sample::Index>(), 0..6, any::<bool>());
    let package = one.prop_map(|(which, version, state, hold)| {
        let (name, versions) = VERSIONS[which];
        let wish = match state {
            0 => json!({ "name": name, "state": "absent" }),
            1 => json!({ "name": name, "state": "latest" }),
            _ => json!({ "name": name, "version": version.get(versions), "hold": hold }),
        };
        json!({ "package": wish })
    });
    proptest::collection::vec(package, 0..most).prop_map(|mut all| {
        all.sort_by_key(|own| own["package"]["name"].to_string());
        all.dedup_by_key(|own| own["package"]["name"].to_string());
        all
    })
}

fn case(repo: &Repo, before: Vec<Value>, wanted: Vec<Value>, fails: bool) -> Result<bool, TestCaseError> {
    let mut bench = bench(repo, &repo.file_url());
    for own in before {
        // What does not go together is left out.
        let mut own = site(json!([own]));
        own.downgrade = true;
        if own.plan(&mut bench.machine).is_ok() {
            bench.apply(&own);
        }
    }
    let was = bench.installed();
    let mut own = site(Value::from(wanted.clone()));
    own.downgrade = true;
    // The agent's own lists may be fetched anew.
    let trace = || untouched(bench.root.dir(), &["/var/lib/assent"]);
    let whole = trace();
    let plan = own.plan(&mut bench.machine);
    prop_assert!(untouched(bench.root.dir(), &["/var/lib/assent"]) == whole, "planning leaves a trace");
    let Ok(plan) = plan else { return Ok(false) };
    let shown: Vec<&str> = plan.iter().map(|action| action.summary.as_str()).collect();
    if fails {
        let mut failing = wanted;
        failing.push(json!({ "command": { "name": "fail", "run": ["/bin/false"], "needed": "always", "undo": ["/bin/true"] } }));
        let mut failing = site(Value::from(failing));
        failing.downgrade = true;
        let outcome = bench.apply(&failing);
        prop_assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{:?} {}", shown, outcome.note);
        prop_assert_eq!(bench.installed(), was, "{:?}", shown);
        return Ok(!plan.is_empty());
    }
    let outcome = bench.apply(&own);
    let expected = if plan.is_empty() { HostOutcome::Unchanged } else { HostOutcome::Applied };
    prop_assert_eq!(outcome.outcome, expected, "{:?} {}", shown, outcome.note);
    let now = bench.installed();
    let names = |all: &[String]| all.iter().map(|p| p.replace(" held", "")).collect::<Vec<_>>();
    let mut foreseen = names(&was);
    for action in &plan {
        let Some(pin) = &action.package else { continue };
        foreseen.retain(|known| known.split(' ').next() != Some(&pin.name));
        foreseen.extend(pin.to.iter().map(|to| format!("{} {to}", pin.name)));
    }
    foreseen.sort();
    prop_assert_eq!(names(&now), foreseen, "{:?}", shown);
    for held in plan.iter().filter(|action| matches!(action.verb, Verb::Hold | Verb::Unhold)) {
        let name = held.resource.as_str().trim_start_matches("package:");
        let is = now.iter().any(|p| p.split(' ').next() == Some(name) && p.ends_with(" held"));
        prop_assert_eq!(is, held.verb == Verb::Hold, "{} {:?}", name, now);
    }
    prop_assert_eq!(own.plan(&mut bench.machine).map(|plan| plan.len()), Ok(0), "after {:?}", shown);
    Ok(!plan.is_empty())
}

#[test]
fn packages_become_what_their_plan_says_and_go_back() {
    let repo = lab();
    let applied = std::cell::Cell::new(0);
    let run = runner(8, 40).run(&(packages(3), packages(4), any::<bool>()), |(before, wanted, fails)| {
        if !wanted.is_empty() && case(&repo, before, wanted, fails)? {
            applied.set(applied.get() + 1);
        }
        Ok(())
    });
    if let Err(error) = run {
        panic!("{error}");
    }
    assert!(applied.get() > 0, "no plan changed anything");
}
