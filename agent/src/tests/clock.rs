//! A clock that is wrong, for a while: by a year ahead, by a day behind, between runs and during one.

use super::{Bench, NOW};
use crate::host::fake::Cut;
use serde_json::json;
use shared::budgets::BudgetNotice;
use shared::receipt::HostOutcome;
use shared::refusal::Code;
use shared::time::Interval;

const YEAR: i64 = 365 * 86_400;

#[test]
fn after_a_clock_that_was_ahead_nothing_waits_for_its_times() {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |_| {});
    bench.clock.set(NOW.plus(YEAR));
    let report = bench.agent.as_mut().unwrap().tick();
    assert_eq!((report.codes(), bench.motd()), (vec![Code::TimeSuspect], None), "{:?}", report.lines);
    bench.site.list(&bundle);
    bench.at(NOW.plus(120));
    // As the daemon does it: no tick is asked for that is not due.
    let before = bench.site.0.borrow().check_ins;
    let report = bench.agent.as_mut().unwrap().tick();
    assert_eq!(bench.site.0.borrow().check_ins, before + 1, "the host is heard at once: {:?}", report.lines);
    assert_eq!(report.ran.len(), 1, "{:?}", report.lines);
    bench.site.check_chain();
}

/// The server forgets what a host said of itself as a whole when the host says that it judges again.
#[test]
fn a_check_in_says_whether_changes_are_judged() {
    let mut bench = Bench::new();
    let judged = |bench: &mut Bench| {
        bench.tick();
        bench.tick();
        bench.site.0.borrow().judges
    };
    assert!(judged(&mut bench), "with nothing to judge as well");
    bench.clock.set(NOW.plus(-86_400));
    assert!(!judged(&mut bench), "not by a clock that cannot be right");
    bench.at(NOW.plus(60));
    assert!(judged(&mut bench));
    bench.at(NOW.plus(86_400));
    assert!(!judged(&mut bench), "not by a repository that has expired");
    bench.site.publish();
    assert!(judged(&mut bench));
}

#[test]
fn after_a_clock_that_was_ahead_new_facts_are_told_at_once() {
    const ROOT: &str = "root:x:0:0::/root:/bin/sh\n";
    let mut bench = Bench::new();
    bench.machine.file("/etc/passwd", ROOT);
    bench.clock.set(NOW.plus(YEAR));
    bench.tick();
    bench.machine.file("/etc/passwd", &format!("{ROOT}ann:x:1000:100::/home/ann:/bin/sh\n"));
    bench.at(NOW.plus(120));
    let report = bench.agent.as_mut().unwrap().tick();
    let users = bench.site.0.borrow().facts.last().map(|facts| facts.users.len());
    assert_eq!(users, Some(2), "{:?}", report.lines);
}

/// Its metadata and approvals are still good by both clocks; only the window is not open by the server's.
#[test]
fn a_clock_that_is_ahead_opens_no_window() {
    let mut bench = Bench::new();
    bench.site.0.borrow_mut().etags = true;
    let opens = NOW.plus(3_600);
    let bundle = bench.approved(1, |change| {
        change.intervals = vec![Interval { from: opens, until: NOW.plus(7_200) }];
    });
    bench.site.list(&bundle);
    bench.tick();
    bench.clock.set(opens.plus(60));
    for _ in 0..2 {
        let report = bench.agent.as_mut().unwrap().tick();
        assert_eq!((report.ran.len(), bench.motd()), (0, None), "{:?}", report.lines);
    }
    let told = bench.site.refusals().into_iter().filter(|r| r.reason.code == Code::TimeSuspect).count();
    assert_eq!(told, 1, "said once");
    // The server's clock has come there as well.
    bench.at(opens.plus(120));
    bench.site.publish();
    let report = bench.agent.as_mut().unwrap().once();
    assert_eq!(report.ran.len(), 1, "{:?}", report.lines);
}

/// 39: by the server's clock the window is open all the time, so it is the host's own clock alone that holds it back.
#[test]
fn a_clock_that_differs_from_the_server_s_starts_nothing_until_it_is_set_right() {
    // Up to five minutes are allowed by the policy.
    for (off, started) in [(0, true), (240, true), (-240, true), (900, false), (3_000, false), (-900, false)]
    {
        let mut bench = Bench::new();
        let bundle = bench.approved(1, |change| {
            change.intervals = vec![Interval { from: NOW.plus(-7_200), until: NOW.plus(7_200) }];
        });
        bench.site.list(&bundle);
        bench.clock.set(NOW.plus(off));
        let report = bench.agent.as_mut().unwrap().once();
        assert_eq!(report.ran.len(), usize::from(started), "{off}: {:?}", report.lines);
        if started {
            continue;
        }
        let codes: Vec<_> = bench.site.refusals().iter().map(|r| r.reason.code).collect();
        assert_eq!((codes, bench.motd()), (vec![Code::TimeSuspect], None), "{off}");
        bench.at(NOW.plus(60));
        let report = bench.agent.as_mut().unwrap().once();
        assert_eq!(report.ran.len(), 1, "{off}: {:?}", report.lines);
        bench.site.check_chain();
    }
}

/// 39: the window has room for a step of 40 seconds and none for one of 60, whatever the clock is made to say.
#[test]
fn a_clock_that_is_set_back_between_admission_and_first_step_gives_no_more_time() {
    for (back, limit) in [0, 15, 3_600, YEAR].into_iter().flat_map(|back| [(back, 40), (back, 60)]) {
        let mut bench = Bench::new();
        bench.machine.file("/bin/works", "");
        let command = json!([{ "command": { "name": "a", "run": ["/bin/works"], "needed": "always", "timeout_s": limit } }]);
        let listed = bench.listed(1, super::drift::manifest("timed", "1.0.0", &command), |change| {
            change.intervals = vec![Interval { from: NOW.plus(-2 * YEAR), until: NOW.plus(50) }];
        });
        assert!(listed.is_none());
        {
            let mut held = bench.site.0.borrow_mut();
            held.control.budgets = vec![BudgetNotice { name: "db".parse().unwrap(), agents: None }];
            held.sets_clock = Some((bench.clock.clone(), NOW.plus(-back)));
        }
        bench.site.publish();
        let report = bench.tick();
        let receipt = bench.site.receipts().remove(0);
        let expected = if limit == 40 { HostOutcome::Applied } else { HostOutcome::RolledBack };
        assert_eq!((receipt.outcome, receipt.started), (expected, NOW), "{back} {limit}: {:?}", report.lines);
        assert_eq!(
            receipt.note.contains("may take 60 s and the window ends"),
            limit == 60,
            "{}",
            receipt.note
        );
    }
}

/// The other way round it takes time away: no step begins that the clock says the window has no room for.
#[test]
fn a_clock_that_is_set_ahead_between_admission_and_first_step_begins_nothing_and_says_so() {
    for by in [15, 3_600, YEAR] {
        let mut bench = Bench::new();
        bench.machine.file("/bin/works", "");
        let command = json!([{ "command": { "name": "a", "run": ["/bin/works"], "needed": "always", "timeout_s": 40 } }]);
        bench.listed(1, super::drift::manifest("timed", "1.0.0", &command), |change| {
            change.intervals = vec![Interval { from: NOW.plus(-7_200), until: NOW.plus(50) }];
        });
        {
            let mut held = bench.site.0.borrow_mut();
            held.control.budgets = vec![BudgetNotice { name: "db".parse().unwrap(), agents: None }];
            held.sets_clock = Some((bench.clock.clone(), NOW.plus(by)));
        }
        bench.site.publish();
        let report = bench.tick();
        let receipts = bench.site.receipts();
        let told: Vec<_> = receipts.iter().map(|r| (r.outcome, r.started)).collect();
        // By a clock that says so, the window was over before the server had answered.
        let run = (by == 15).then_some((HostOutcome::RolledBack, NOW.plus(by)));
        assert_eq!(told, Vec::from_iter(run), "{by}: {:?}", report.lines);
        bench.at(NOW.plus(20));
        bench.tick();
        assert!(bench.state().running().is_none(), "{by}");
        bench.site.check_chain();
    }
}

#[test]
fn plans_survive_an_agent_that_starts_with_a_clock_ahead() {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |change| {
        change.intervals = vec![Interval { from: NOW.plus(600), until: NOW.plus(7_200) }];
    });
    bench.site.list(&bundle);
    bench.tick();
    bench.clock.set(NOW.plus(YEAR));
    bench.boot().unwrap();
    bench.tick();
    // Nobody is there to ask for the plan again.
    bench.site.0.borrow_mut().online = false;
    bench.at(NOW.plus(700));
    bench.boot().unwrap();
    let report = bench.tick();
    assert_eq!(report.ran.len(), 1, "{:?}", report.lines);
}

#[test]
fn a_contact_that_a_clock_ahead_has_noted_is_none_when_it_is_right_again() {
    let mut bench = Bench::new();
    bench.site.0.borrow_mut().policy.clock.offline_grace_h = 1;
    let opens = NOW.plus(2 * 3_600);
    let bundle = bench.approved(1, |change| {
        change.intervals = vec![Interval { from: opens, until: NOW.plus(5 * 3_600) }];
    });
    bench.site.list(&bundle);
    bench.tick();
    bench.clock.set(NOW.plus(YEAR));
    bench.tick();
    bench.site.0.borrow_mut().online = false;
    bench.at(opens);
    let report = bench.tick();
    assert_eq!((report.codes(), bench.motd()), (vec![Code::TimeOffline], None), "{:?}", report.lines);
}

#[test]
fn a_receipt_that_ends_before_it_begins_says_why() {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |_| {});
    bench.site.list(&bundle);
    bench.machine.power.restore();
    bench.machine.power.cut(8, Cut::Kept);
    bench.tick();
    bench.disk.restart();
    bench.machine.power.restore();
    bench.clock.set(NOW.plus(-86_400));
    bench.boot().unwrap();
    bench.tick();
    let receipt = bench.site.receipts().remove(0);
    assert!(receipt.finished < receipt.started);
    assert!(receipt.note.contains("the clock of this host was set back during the run"), "{}", receipt.note);
}
