//! Policies that let a host begin only what the ledger is proven to hold.

use super::Bench;
use super::site::{NOW, key};
use shared::bundle::Bundle;
use shared::ledger::{LeafKind, VerifierKey};
use shared::refusal::Code;
use shared::time::Interval;

fn demanding() -> Bench {
    let bench = Bench::new();
    bench.site.0.borrow_mut().policy.log.proof_before_start = true;
    bench
}

/// Records what a start rests on, as the server does.
fn log(bench: &Bench, bundle: &Bundle) {
    bench.site.log(LeafKind::Change, bundle.change.digest);
    for approval in &bundle.approvals {
        bench.site.log(LeafKind::Approval, approval.digest);
    }
}

#[test]
fn a_host_waits_until_the_ledger_holds_change_and_approvals() {
    let mut bench = demanding();
    let bundle = bench.approved(1, |_| {});
    bench.refuses(&bundle, Code::LogUnproven);
    bench.site.log(LeafKind::Change, bundle.change.digest);
    bench.site.log(LeafKind::Approval, bundle.approvals[0].digest);
    bench.at(NOW.plus(60));
    assert!(bench.tick().ran.is_empty(), "one approval is left out");
    bench.site.log(LeafKind::Approval, bundle.approvals[1].digest);
    bench.at(NOW.plus(120));
    let report = bench.tick();
    assert_eq!(report.ran.len(), 1, "{:?}", report.lines);
    assert_eq!(bench.motd().as_deref(), Some("hello"));
    let seen = bench.site.receipts()[0].header.log_seen.clone().unwrap();
    assert!(seen.size >= 4, "the receipt shows that the host had seen them: {seen:?}");
    bench.site.check_chain();
}

#[test]
fn what_was_proven_begins_while_the_server_is_away_also_after_a_restart() {
    let mut bench = demanding();
    let opens = NOW.plus(600);
    let bundle = bench.approved(1, |change| {
        change.intervals = vec![Interval { from: opens, until: NOW.plus(7_200) }];
    });
    log(&bench, &bundle);
    bench.site.list(&bundle);
    assert_eq!(bench.tick().codes(), [Code::TimeWindow], "the proofs are there before the window opens");
    bench.site.0.borrow_mut().online = false;
    bench.boot().unwrap();
    bench.at(opens);
    let report = bench.tick();
    assert_eq!(report.ran.len(), 1, "{:?}", report.lines);
}

#[test]
fn proofs_from_a_forked_ledger_start_nothing() {
    let mut bench = demanding();
    let bundle = bench.approved(1, |_| {});
    bench.tick();
    bench.site.fork_ledger();
    log(&bench, &bundle);
    bench.site.list(&bundle);
    let report = bench.tick();
    assert!(report.codes().contains(&Code::LogFork), "{:?}", report.lines);
    assert_eq!((report.ran.len(), bench.motd()), (0, None));
}

#[test]
fn after_a_restore_the_new_ledger_proves_it_anew() {
    let mut bench = demanding();
    let opens = NOW.plus(600);
    let bundle = bench.approved(1, |change| {
        change.intervals = vec![Interval { from: opens, until: NOW.plus(7_200) }];
    });
    log(&bench, &bundle);
    bench.site.list(&bundle);
    assert_eq!(bench.tick().codes(), [Code::TimeWindow]);
    // Governance names a ledger that the server does not show yet; then the server goes on with it.
    let new = VerifierKey::new("assent.test/new".parse().unwrap(), key(13).public()).to_string();
    bench.site.0.borrow_mut().policy.log.vkeys.insert(0, new);
    bench.site.0.borrow_mut().policy.version += 1;
    bench.site.publish();
    bench.at(opens);
    let report = bench.tick();
    assert!(report.ran.is_empty() && report.codes().contains(&Code::LogFork), "{:?}", report.lines);
    bench.site.0.borrow_mut().ledger.go_on_as("assent.test/new", key(13));
    bench.at(opens.plus(60));
    let report = bench.tick();
    assert_eq!(report.ran.len(), 1, "{:?}", report.lines);
    assert_eq!(bench.site.receipts()[0].header.log_seen.as_ref().unwrap().origin, "assent.test/new");
}

/// 52: a server that was put back shows another ledger. Only the ledger that governance names first is one to go on with;
/// everything else is refused with its code, and the refusal is signed and waits for the ledger that counts.
#[test]
fn a_ledger_that_begins_anew_counts_only_when_governance_names_it_first() {
    const NEW: &str = "assent.test/new";
    let vkey = |name: &str, n: u8| VerifierKey::new(name.parse().unwrap(), key(n).public()).to_string();
    type Bend<'a> = Box<dyn Fn(&mut Vec<String>) + 'a>;
    let cases: [(&str, Bend<'_>); 4] = [
        ("nobody named it", Box::new(|_| ())),
        ("named after the old one", Box::new(|keys| keys.push(vkey(NEW, 13)))),
        ("its name with another key", Box::new(|keys| keys.insert(0, vkey(NEW, 14)))),
        ("its key under another name", Box::new(|keys| keys.insert(0, vkey("assent.test/other", 13)))),
    ];
    for (what, bend) in cases {
        let mut bench = Bench::new();
        let bundle = bench.approved(1, |_| {});
        bench.tick();
        let old = bench.site.0.borrow().policy.log.vkeys.clone();
        {
            let mut held = bench.site.0.borrow_mut();
            held.ledger.go_on_as(NEW, key(13));
            held.policy.version += 1;
            bend(&mut held.policy.log.vkeys);
        }
        bench.site.list(&bundle);
        let report = bench.tick();
        bench.at(NOW.plus(60));
        let again = bench.tick();
        let told = [report.codes(), again.codes()].concat();
        assert!(told.contains(&Code::LogFork), "{what}: {:?}", report.lines);
        let state = crate::state::State::open(&super::dir(), Box::new(bench.disk.clone())).unwrap();
        assert!(!state.spooled().unwrap().is_empty(), "{what}: what is not proven is kept");
        // Governance names it as the restore does, and the host goes on with everything that it has to say.
        {
            let mut held = bench.site.0.borrow_mut();
            held.policy.version += 1;
            held.policy.log.vkeys = old;
            held.policy.log.vkeys.insert(0, vkey(NEW, 13));
        }
        bench.site.publish();
        for minute in 2..5 {
            bench.at(NOW.plus(60 * minute));
            bench.tick();
        }
        let state = crate::state::State::open(&super::dir(), Box::new(bench.disk.clone())).unwrap();
        assert_eq!(state.spooled().unwrap(), Vec::<u64>::new(), "{what}");
        let codes: Vec<_> = bench.site.refusals().iter().map(|r| r.reason.code).collect();
        assert!(codes.contains(&Code::LogFork), "{what}: {codes:?}");
        bench.site.check_chain();
    }
}
