//! The good way, and what must go on when something is missing.

use super::site::{Certifier, FIRST, NOW, approve, host_id};
use super::{Bench, dir};
use crate::disk::Disk;
use crate::state::State;
use crate::tls::CertificateInfo;
use shared::change::ChangeType;
use shared::ids::AgentId;
use shared::receipt::HostOutcome;
use shared::refusal::Code;
use shared::time::{Interval, Timestamp};
use shared::windows::Blackout;

#[test]
fn a_change_is_planned_approved_applied_and_proven() {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |_| {});
    assert_eq!(bench.motd(), None, "planning changes nothing");
    bench.site.list(&bundle);
    let report = bench.tick();
    assert_eq!(report.ran, [("C-1".parse().unwrap(), 1, HostOutcome::Applied)], "{:?}", report.lines);
    assert_eq!(bench.motd().as_deref(), Some("hello"));
    let receipts = bench.site.receipts();
    let receipt = &receipts[0];
    assert_eq!((receipts.len(), receipt.policy_version, receipt.approvals.len()), (1, 5, 2));
    assert!(receipt.header.log_seen.is_some() && !receipt.self_approved);
    bench.site.check_chain();
    let state = State::open(&dir(), Box::new(bench.disk.clone())).unwrap();
    assert_eq!(state.spooled().unwrap(), Vec::<u64>::new(), "everything is proven");
    assert_eq!(state.running(), None);
    // Still listed while other hosts run: no second run, and no complaint about it.
    bench.boot().unwrap();
    let report = bench.tick();
    assert_eq!((report.ran.len(), report.codes()), (0, vec![]), "{:?}", report.lines);
}

#[test]
fn the_agent_waits_for_its_interval_and_wakes_for_it() {
    let mut bench = Bench::new();
    let opens = NOW.plus(30);
    let bundle = bench.approved(1, |change| {
        change.intervals = vec![Interval { from: opens, until: NOW.plus(600) }];
    });
    bench.site.list(&bundle);
    let report = bench.tick();
    assert_eq!((report.codes(), report.next), (vec![Code::TimeWindow], opens));
    let check_ins = bench.site.0.borrow().check_ins;
    bench.at(opens);
    let report = bench.agent.as_mut().unwrap().tick();
    assert_eq!(report.ran.len(), 1, "{:?}", report.lines);
    assert_eq!(bench.site.0.borrow().check_ins, check_ins, "no check-in was due");
}

/// What was measured here counts, and what takes less makes it forgotten by and by.
#[test]
fn a_run_that_would_not_end_in_its_window_waits_for_the_next_one() {
    let took = dir().join("took.json");
    for (measured, left, next, begins) in [
        (None, 10, true, true),
        (Some(600), 899, true, false),
        (Some(600), 899, false, false),
        (Some(600), 900, true, true),
    ] {
        let mut bench = Bench::new();
        let (ends, opens) = (NOW.plus(left), NOW.plus(5_000));
        let bundle = bench.approved(1, |change| {
            change.intervals = vec![Interval { from: NOW.plus(-60), until: ends }];
            if next {
                change.intervals.push(Interval { from: opens, until: opens.plus(2_000) });
            }
            change.not_after = NOW.plus(8_000);
        });
        if let Some(secs) = measured {
            bench
                .disk
                .write(&took, format!(r#"{{"main/web-base":{secs},"main/other":9000}}"#).as_bytes())
                .unwrap();
        }
        bench.site.list(&bundle);
        let report = bench.tick();
        if begins {
            assert_eq!(report.ran.len(), 1, "{measured:?}: {:?}", report.lines);
            let kept = String::from_utf8(bench.disk.read(&took, 1_000).unwrap().unwrap()).unwrap();
            let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
            assert_eq!(kept["main/web-base"], measured.map_or(0, |secs| secs * 3 / 4), "it took no time");
            continue;
        }
        assert_eq!((report.codes(), bench.motd()), (vec![Code::TimeLate], None), "{:?}", report.lines);
        if next {
            bench.at(opens);
            assert_eq!(bench.tick().ran.len(), 1);
        }
    }
    // A damaged measurement is none.
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |_| {});
    bench.disk.write(&took, b"{").unwrap();
    bench.site.list(&bundle);
    assert_eq!(bench.tick().ran.len(), 1);
}

#[test]
fn without_a_server_what_is_stored_runs_and_what_was_said_waits() {
    let mut bench = Bench::new();
    let opens = NOW.plus(600);
    let bundle = bench.approved(1, |change| {
        change.intervals = vec![Interval { from: opens, until: NOW.plus(7_200) }];
    });
    bench.site.list(&bundle);
    bench.tick();
    bench.site.0.borrow_mut().online = false;
    bench.at(opens);
    let report = bench.tick();
    assert_eq!(report.ran.len(), 1, "{:?}", report.lines);
    assert!(!report.went_through() && report.faults.is_empty());
    assert_eq!(bench.site.receipts().len(), 0);
    bench.site.0.borrow_mut().online = true;
    bench.tick();
    assert_eq!(bench.site.receipts().len(), 1);
    bench.site.check_chain();
}

#[test]
fn a_server_that_has_too_much_is_left_alone_for_a_while_and_then_gets_everything() {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |_| {});
    bench.site.list(&bundle);
    bench.site.0.borrow_mut().too_much = Some(600);
    let report = bench.tick();
    assert_eq!((report.ran.len(), bench.motd().as_deref()), (1, Some("hello")), "{:?}", report.lines);
    let (turned_away, check_ins) = (bench.site.0.borrow().turned_away, bench.site.0.borrow().check_ins);
    assert!(turned_away > 0 && bench.site.receipts().is_empty());
    // Check-ins go on, because they bring stop orders; nothing else is sent, whatever is waiting.
    for minutes in 1..=9 {
        bench.at(NOW.plus(60 * minutes));
        bench.tick();
    }
    let held = bench.site.0.borrow();
    assert_eq!((held.turned_away, held.check_ins), (turned_away, check_ins + 9));
    drop(held);
    bench.site.0.borrow_mut().too_much = None;
    bench.at(NOW.plus(601));
    bench.tick();
    assert_eq!(bench.site.receipts().len(), 1);
    bench.site.check_chain();
}

#[test]
fn after_the_offline_grace_nothing_starts() {
    let mut bench = Bench::new();
    bench.site.0.borrow_mut().policy.clock.offline_grace_h = 1;
    let opens = NOW.plus(2 * 3_600);
    let bundle = bench.approved(1, |change| {
        change.intervals = vec![Interval { from: opens, until: NOW.plus(5 * 3_600) }];
    });
    bench.site.list(&bundle);
    bench.tick();
    bench.site.0.borrow_mut().online = false;
    bench.at(opens);
    let report = bench.tick();
    assert_eq!(report.codes(), [Code::TimeOffline], "{:?}", report.lines);
    assert_eq!(bench.motd(), None);
}

#[test]
fn expired_metadata_stops_changes_but_not_the_agent() {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |_| {});
    bench.site.list(&bundle);
    // The server stops signing: its timestamp is a day old.
    bench.at(NOW.plus(86_400));
    let before = bench.site.0.borrow().check_ins;
    let report = bench.tick();
    assert_eq!((report.codes(), bench.motd()), (vec![Code::TufExpired], None));
    assert_eq!(bench.site.0.borrow().check_ins, before + 1);
    assert!(report.went_through());
    assert!(bench.site.refusals().iter().any(|r| r.reason.code == Code::TufExpired), "and it says so");
}

#[test]
fn a_clock_that_went_back_only_reports() {
    let mut bench = Bench::new();
    bench.at(NOW.plus(86_400));
    bench.site.publish();
    bench.tick();
    bench.clock.set(NOW.plus(3_600));
    let report = bench.tick();
    assert_eq!(report.codes(), [Code::TimeSuspect]);
    assert!(report.went_through() && report.contact != Timestamp::default());
}

#[test]
fn a_halt_in_the_repository_stops_a_change_before_it_starts() {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |_| {});
    bench.site.0.borrow_mut().control.halted = vec!["C-1".parse().unwrap()];
    bench.refuses(&bundle, Code::ChangeHalted);
    bench.site.0.borrow_mut().control.halted.clear();
    bench.site.publish();
    assert_eq!(bench.tick().ran.len(), 1);
}

/// Approved and in its window, which is open for three hours; a freeze holds it for one more hour.
fn frozen() -> Bench {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |change| {
        change.intervals = vec![Interval { from: NOW.plus(-60), until: NOW.plus(3 * 3_600) }];
        change.not_after = NOW.plus(3 * 3_600);
    });
    let freeze = Blackout {
        name: "year-end".parse().unwrap(),
        title: "closing of the books".into(),
        agents: None,
        holds: [ChangeType::Normal].into(),
        intervals: vec![Interval { from: NOW.plus(-3_600), until: NOW.plus(3_600) }],
    };
    bench.site.0.borrow_mut().control.blackouts = vec![freeze];
    bench.site.list(&bundle);
    bench
}

#[test]
fn a_blackout_holds_an_open_window_until_it_is_over() {
    let mut bench = frozen();
    let report = bench.tick();
    assert_eq!((report.codes(), report.ran.len()), (vec![Code::TimeBlackout], 0));
    let told = bench.site.refusals().into_iter().find(|r| r.reason.code == Code::TimeBlackout).unwrap();
    assert_eq!(told.reason.retry_at, Some(NOW.plus(3_600)));
    assert!(told.reason.message.contains("closing of the books"), "{}", told.reason.message);
    // Another host's freeze holds nothing here.
    bench.site.0.borrow_mut().control.blackouts[0].agents = Some([AgentId::of_key(&[9; 32])].into());
    bench.site.publish();
    assert_eq!(bench.tick().ran.len(), 1);
}

#[test]
fn a_blackout_is_over_by_itself_and_the_receipt_names_the_whole_window() {
    let mut bench = frozen();
    bench.tick();
    // Nobody has to publish anything for it to end.
    bench.at(NOW.plus(3_600));
    let report = bench.agent.as_mut().unwrap().tick();
    assert_eq!(report.ran.len(), 1, "{:?}", report.lines);
    let receipt = bench.site.receipts().remove(0);
    assert_eq!(receipt.interval.until, NOW.plus(3 * 3_600), "the signed window is what the receipt names");
}

#[test]
fn refusals_are_signed_once_an_hour_not_once_a_tick() {
    let mut bench = Bench::new();
    let mut bundle = bench.approved(1, |_| {});
    bundle.approvals.clear();
    bench.site.list(&bundle);
    for minute in 0..59 {
        bench.at(NOW.plus(minute * 60));
        assert_eq!(bench.tick().codes(), [Code::ApprovalMissing]);
    }
    assert_eq!(bench.site.refusals().len(), 1);
    bench.at(NOW.plus(3_600 - 60));
    bench.tick();
    assert_eq!(bench.site.refusals().len(), 1);
}

/// Accounts make the whole long enough for a change of them to be shorter.
fn accounts(bench: &Bench, count: u32) {
    let lines: Vec<String> =
        (0..count).map(|n| format!("user{n}:x:{n}:100::/home/user{n}:/bin/sh")).collect();
    bench.machine.file("/etc/passwd", &lines.join("\n"));
}

#[test]
fn only_what_changed_of_the_facts_goes_out_and_the_whole_when_the_server_holds_others() {
    let mut bench = Bench::new();
    accounts(&bench, 30);
    bench.tick();
    let sent = |bench: &Bench| {
        let held = bench.site.0.borrow();
        (held.whole, held.facts.len(), held.facts.last().unwrap().users.len())
    };
    assert_eq!(sent(&bench), (1, 1, 30));
    accounts(&bench, 31);
    bench.tick();
    assert_eq!(sent(&bench), (1, 2, 31), "a change of one account is a delta");
    bench.boot().unwrap();
    accounts(&bench, 32);
    bench.tick();
    assert_eq!(sent(&bench), (1, 3, 32), "also after a restart");
    // Restored from a backup: the server names older facts at the check-in.
    bench.site.0.borrow_mut().facts.truncate(1);
    bench.tick();
    assert_eq!(sent(&bench), (2, 2, 32));
    // Another node that is behind, and told nothing at the check-in.
    bench.disk.remove(&dir().join("facts-sent.json")).unwrap();
    accounts(&bench, 33);
    bench.tick();
    assert_eq!(sent(&bench), (3, 3, 33), "who lost what was sent sends the whole");
    let facts = bench.site.0.borrow().facts.clone();
    bench.site.0.borrow_mut().stale_facts = true;
    accounts(&bench, 34);
    bench.tick();
    assert_eq!(sent(&bench), (4, 4, 34), "a refused delta is followed by the whole at once");
    assert_eq!(facts.len(), 3);
    bench.tick();
    assert_eq!(sent(&bench), (4, 4, 34));
}

#[test]
fn facts_are_looked_at_at_their_own_pace() {
    let mut bench = Bench::new();
    bench.tick();
    bench.machine.file("/etc/hostname", "renamed\n");
    let names = |bench: &Bench| bench.site.0.borrow().facts.last().unwrap().hostname.clone();
    for minute in 1..15 {
        bench.at(NOW.plus(minute * 60));
        bench.agent.as_mut().unwrap().tick();
        assert_ne!(names(&bench), "renamed", "after {minute} minutes");
    }
    bench.at(NOW.plus(17 * 60));
    bench.agent.as_mut().unwrap().tick();
    assert_eq!(names(&bench), "renamed");
}

#[test]
fn facts_go_out_when_they_change_and_only_then() {
    let mut bench = Bench::new();
    bench.tick();
    bench.tick();
    assert_eq!(bench.site.0.borrow().facts.len(), 1);
    bench.machine.file("/etc/hostname", "renamed\n");
    bench.tick();
    assert_eq!(bench.site.0.borrow().facts.last().unwrap().hostname, "renamed");
    assert_eq!(bench.site.0.borrow().facts.len(), 2);
    // People approve plans of the name that they know.
    bench.approved(1, |_| {});
    let plans: Vec<_> = bench.site.0.borrow().plans.values().map(|e| e.to_bytes()).collect();
    assert!(!plans.is_empty());
    for plan in plans {
        assert_eq!(shared::plan::open_plan(&plan).unwrap().body.hostname, "web1");
    }
}

#[test]
fn a_server_that_lost_statements_gets_them_again() {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |_| {});
    bench.site.list(&bundle);
    bench.tick();
    let all = bench.site.0.borrow().statements.clone();
    bench.site.forget_statements(1);
    // The ledger went on: only the server's own record is restored from an older state.
    let report = bench.tick();
    assert_eq!(bench.site.0.borrow().statements, all, "{:?}", report.lines);
}

#[test]
fn a_server_from_a_backup_gets_all_lost_statements_before_its_ledger_is_judged() {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |_| {});
    let before = bench.site.0.borrow().statements.len();
    let mut early = bundle.clone();
    early.approvals.clear();
    bench.site.list(&early);
    bench.tick();
    bench.site.list(&bundle);
    bench.tick();
    let all = bench.site.0.borrow().statements.clone();
    assert!(all.len() >= before + 2, "a refusal and a receipt");
    bench.site.restore(before, before);
    for _ in 0..2 {
        bench.tick();
    }
    assert_eq!(bench.site.0.borrow().statements, all);
    let state = State::open(&dir(), Box::new(bench.disk.clone())).unwrap();
    assert_eq!(state.spooled().unwrap(), Vec::<u64>::new(), "and everything is proven again");
}

#[test]
fn a_second_copy_of_this_host_is_noticed_and_held() {
    let mut bench = Bench::new();
    let mut copy = Bench::new();
    super::copies::copy_state(&bench, &mut copy);
    let bundle = bench.approved(1, |_| {});
    bench.site.list(&bundle);
    bench.tick();
    copy.site = bench.site.clone();
    let report = copy.tick();
    assert!(report.faults.iter().any(|f| f.contains("old copy")), "{:?}", report.lines);
    assert_eq!((report.ran.len(), copy.motd()), (0, None));
}

#[test]
fn a_forked_ledger_is_refused_and_the_statement_kept() {
    let mut bench = Bench::new();
    bench.tick();
    bench.site.fork_ledger();
    let mut bundle = bench.approved(1, |_| {});
    bundle.approvals.clear();
    approve(&mut bundle, &[("first", FIRST)], NOW);
    bench.site.list(&bundle);
    let report = bench.tick();
    assert!(report.codes().contains(&Code::LogFork), "{:?}", report.lines);
    let state = State::open(&dir(), Box::new(bench.disk.clone())).unwrap();
    assert!(!state.spooled().unwrap().is_empty());
}

/// Gives the bench a certificate of `authority` that ended years ago.
fn with_old_certificate(bench: &mut Bench, authority: &Certifier) {
    let request = crate::tls::new_key_request().unwrap();
    let old = authority.certify(&request.csr, host_id(), (2020, 2021));
    for (name, text) in [("tls.key", request.key.as_str()), ("tls.crt", &old), ("ca.crt", &authority.pem)] {
        bench.disk.write(&dir().join(name), text.as_bytes()).unwrap();
    }
}

#[test]
fn an_expired_certificate_is_renewed_by_the_hosts_own_key() {
    let mut bench = Bench::new();
    let authority = Certifier::new();
    with_old_certificate(&mut bench, &authority);
    // Nobody answers at first: the agent goes on and asks again after an hour.
    let report = bench.tick();
    assert!(report.troubles.iter().any(|t| t.contains("was not renewed")), "{:?}", report.lines);
    bench.site.0.borrow_mut().authority = Some(authority);
    assert!(bench.tick().went_through(), "not asked again at once");
    bench.at(NOW.plus(3_601));
    let report = bench.tick();
    assert!(report.lines.iter().any(|l| l.contains("new certificate until 2030")), "{:?}", report.lines);
    let now_used = bench.disk.read(&dir().join("tls.crt"), u64::MAX).unwrap().unwrap();
    assert_eq!(CertificateInfo::read(&now_used).unwrap().not_after.to_string(), "2030-01-01T00:00:00Z");
}

#[test]
fn a_new_certificate_authority_is_accepted_only_if_the_policy_pins_it() {
    for pinned in [false, true] {
        let mut bench = Bench::new();
        let (old, new) = (Certifier::new(), Certifier::new());
        let spki = |c: &Certifier| CertificateInfo::read(c.pem.as_bytes()).unwrap().spki;
        let pins = if pinned { vec![spki(&old), spki(&new)] } else { vec![spki(&old)] };
        bench.site.0.borrow_mut().policy.ca_spki = pins;
        bench.site.publish();
        with_old_certificate(&mut bench, &old);
        bench.tick();
        let new_pem = new.pem.clone();
        bench.site.0.borrow_mut().authority = Some(new);
        bench.at(NOW.plus(3_601));
        bench.tick();
        let ca = bench.disk.read(&dir().join("ca.crt"), u64::MAX).unwrap().unwrap();
        assert_eq!(ca == new_pem.as_bytes(), pinned);
    }
}

#[test]
fn an_authority_that_the_policy_does_not_pin_stops_changes() {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |_| {});
    let mut held = bench.site.0.borrow_mut();
    held.policy.ca_spki = vec![shared::digest::Digest::of(b"another authority")];
    held.policy.version += 1;
    drop(held);
    bench.refuses(&bundle, Code::PolicyInvalid);
}
