//! A clock that is set back while a change runs.

use super::support::site::{Site, manifest};
use agent::disk::RealDisk;
use agent::host::Machine;
use agent::journal::Journal;
use serde_json::json;
use shared::receipt::{HostOutcome, StepStatus};

/// The window is an hour; the last command may take all of it but two seconds.
#[test]
fn a_clock_that_is_set_back_during_a_run_gives_it_no_more_time() {
    let root = tempfile::tempdir().unwrap();
    for dir in ["etc", "var/lib/assent"] {
        std::fs::create_dir_all(root.path().join(dir)).unwrap();
    }
    let command = |name: &str, seconds: &str, limit: u32| json!({ "command": { "name": name, "run": ["/bin/sleep", seconds], "needed": "always", "timeout_s": limit } });
    let site = Site::new(vec![manifest("slow", json!([command("a", "3", 60), command("b", "0", 3_598)]))]);
    // By this clock no time passes at all.
    site.tick_secs.set(0);
    let state = root.path().join("var/lib/assent");
    let mut machine = Machine::open(root.path(), &state).unwrap();
    let mut journal = Journal::open(RealDisk, &state.join("journal")).unwrap();
    let outcome = site.apply(&mut machine, &mut journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Failed, "{outcome:#?}");
    assert_eq!(outcome.results[1].status, StepStatus::NotStarted, "{outcome:#?}");
    assert!(outcome.note.contains("the window ends at"), "{}", outcome.note);
}
