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

/// 47: whichever of the two comes second is the one that is held, however the copy was made; it says so with its code,
/// and the one that was first goes on.
#[test]
fn whoever_speaks_second_with_one_identity_is_held_and_the_other_goes_on() {
    type Between = fn(&mut Bench, &mut Bench);
    let ways: [(&str, Between); 4] = [
        ("the copy comes back when the change is done", |_, _| ()),
        ("the copy was started again", |_, copy| copy.boot().unwrap()),
        ("the original has told more since", |original, _| {
            original.machine.file("/etc/motd", "by hand");
            original.at(super::NOW.plus(10));
            original.tick();
        }),
        ("the original is off", |original, _| original.agent = None),
    ];
    for (what, between) in ways {
        let (mut original, mut copy) = (Bench::new(), Bench::new());
        original.site.0.borrow_mut().etags = true;
        let bundle = original.approved(1, |_| {});
        copy_state(&original, &mut copy);
        copy.site = original.site.clone();
        original.site.list(&bundle);
        assert_eq!(original.tick().ran.len(), 1, "{what}");
        between(&mut original, &mut copy);
        let recorded = original.site.0.borrow().statements.clone();
        for _ in 0..2 {
            let report = copy.tick();
            assert_eq!((report.ran.len(), copy.motd()), (0, None), "{what}: {:?}", report.lines);
        }
        assert_eq!(original.site.0.borrow().statements, recorded, "{what}: nothing of it is recorded");
        let state = State::open(&dir(), Box::new(copy.disk.clone())).unwrap();
        let own = state.spooled().unwrap().into_iter().filter_map(|seq| {
            let bytes = state.read_file(&format!("spool/{seq}.json")).unwrap()?;
            shared::receipt::open_chained::<Refusal>(&bytes, &super::site_id()).ok()
        });
        let codes: Vec<_> = own.map(|refusal| refusal.body.reason.code).collect();
        assert_eq!(codes, [Code::AgentCopy], "{what}");
        original.at(super::NOW.plus(100));
        let report = original.tick();
        assert_eq!(report.faults, Vec::<String>::new(), "{what}");
        original.site.check_chain();
    }
}
