//! Hosts that are there twice, or that were put back to an older state: nothing of them runs a second time.

use super::{Bench, dir};
use crate::disk::Disk as _;
use crate::state::State;
use shared::receipt::Refusal;
use shared::refusal::Code;

/// Everything that is in the state directory of one, put into that of another.
pub fn copy_state(from: &Bench, to: &mut Bench) {
    for sub in ["", "tuf", "plans", "spool", "sent", "cache"] {
        for name in from.disk.list(&dir().join(sub)).unwrap() {
            let path = dir().join(sub).join(name);
            // Directories have a turn of their own.
            if let Some(bytes) = from.disk.read(&path, u64::MAX).unwrap() {
                to.disk.write(&path, &bytes).unwrap();
            }
        }
    }
}

/// A host that has applied a change, and an older copy of it that may do the same by everything that it knows.
fn two() -> (Bench, Bench) {
    let (mut bench, mut copy) = (Bench::new(), Bench::new());
    bench.site.0.borrow_mut().etags = true;
    let bundle = bench.approved(1, |_| {});
    copy_state(&bench, &mut copy);
    copy.site = bench.site.clone();
    bench.site.list(&bundle);
    assert_eq!(bench.tick().ran.len(), 1);
    // The original goes on; the copy is behind by more than one statement.
    bench.machine.file("/etc/motd", "by hand");
    bench.at(super::NOW.plus(10));
    bench.tick();
    (bench, copy)
}

#[test]
fn a_host_whose_chain_is_behind_stays_held_tick_after_tick_and_says_so_once() {
    let (bench, mut copy) = two();
    copy.boot().unwrap();
    for tick in 0..4 {
        let report = copy.agent.as_mut().unwrap().once();
        assert_eq!((report.ran.len(), copy.motd()), (0, None), "tick {tick}: {:?}", report.lines);
        let way_out =
            |fault: &String| fault.contains("move the directory away") && fault.contains("join again");
        assert!(report.faults.iter().any(way_out), "tick {tick}: {:?}", report.lines);
    }
    let state = State::open(&dir(), Box::new(copy.disk.clone())).unwrap();
    let spooled: Vec<_> = state.spooled().unwrap();
    let codes: Vec<_> = spooled
        .iter()
        .filter_map(|seq| state.read_file(&format!("spool/{seq}.json")).unwrap())
        .filter_map(|bytes| shared::receipt::open_chained::<Refusal>(&bytes, &super::site_id()).ok())
        .map(|refusal| refusal.body.reason.code)
        .collect();
    assert_eq!(codes, [Code::AgentCopy], "said once, and kept");
    bench.site.check_chain();
}

/// The server's answer to a check-in was wrong, or came from a node that mixed hosts up.
#[test]
fn a_hold_ends_when_server_and_host_agree_again() {
    let mut bench = Bench::new();
    bench.site.0.borrow_mut().etags = true;
    let bundle = bench.approved(1, |_| {});
    let missing = bench.site.0.borrow().statements.last().unwrap().clone();
    bench.site.0.borrow_mut().statements.extend([missing.clone(), missing]);
    bench.site.list(&bundle);
    let report = bench.tick();
    assert!(report.ran.is_empty() && !report.faults.is_empty(), "{:?}", report.lines);
    let right = bench.site.0.borrow().statements.len() - 2;
    bench.site.0.borrow_mut().statements.truncate(right);
    bench.tick();
    let report = bench.tick();
    assert_eq!(bench.motd().as_deref(), Some("hello"), "{:?}", report.lines);
    bench.site.check_chain();
}
