//! Time that ends while a change runs: by a clock that is set back, or by a blackout that begins.

use super::support::site::{NOW, Site, manifest};
use agent::disk::RealDisk;
use agent::host::Machine;
use agent::journal::{Journal, Outcome};
use serde_json::json;
use shared::change::ChangeType;
use shared::receipt::{HostOutcome, StepStatus};
use shared::time::Interval;
use shared::windows::Blackout;

fn command(name: &str, seconds: &str, limit: u32) -> serde_json::Value {
    json!({ "command": { "name": name, "run": ["/bin/sleep", seconds], "needed": "always", "timeout_s": limit } })
}

fn applied(site: &Site) -> Outcome {
    let root = tempfile::tempdir().unwrap();
    for dir in ["etc", "var/lib/assent"] {
        std::fs::create_dir_all(root.path().join(dir)).unwrap();
    }
    let state = root.path().join("var/lib/assent");
    let mut machine = Machine::open(root.path(), &state).unwrap();
    let mut journal = Journal::open(RealDisk, &state.join("journal")).unwrap();
    site.apply(&mut machine, &mut journal).unwrap()
}

/// The window is an hour; the last command may take all of it but two seconds.
#[test]
fn a_clock_that_is_set_back_during_a_run_gives_it_no_more_time() {
    let site = Site::new(vec![manifest("slow", json!([command("a", "3", 60), command("b", "0", 3_598)]))]);
    // By this clock no time passes at all.
    site.tick_secs.set(0);
    let outcome = applied(&site);
    assert_eq!(outcome.outcome, HostOutcome::Failed, "{outcome:#?}");
    assert_eq!(outcome.results[1].status, StepStatus::NotStarted, "{outcome:#?}");
    assert!(outcome.note.contains("the window ends at"), "{}", outcome.note);
}

/// In the window is room for both commands; before a blackout begins there is room for the first one only.
#[test]
fn no_step_starts_that_a_blackout_would_find_at_work() {
    let both = || vec![manifest("quick", json!([command("a", "0", 60), command("b", "0", 600)]))];
    let mut site = Site::new(both());
    assert_eq!(applied(&site).outcome, HostOutcome::Applied, "without a blackout");
    site.control.blackouts = vec![Blackout {
        name: "year-end".parse().unwrap(),
        title: "closing of the books".into(),
        agents: None,
        holds: [ChangeType::Normal].into(),
        intervals: vec![Interval { from: NOW.plus(300), until: NOW.plus(9_000) }],
    }];
    let outcome = applied(&site);
    assert_eq!(outcome.outcome, HostOutcome::Failed, "{outcome:#?}");
    assert_eq!(outcome.results[1].status, StepStatus::NotStarted, "{outcome:#?}");
    assert!(outcome.note.contains(&format!("the window ends at {}", NOW.plus(300))), "{}", outcome.note);
}
