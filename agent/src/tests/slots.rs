//! Slots of disruption budgets: taken last, once, and never guessed.

use super::site::{NOW, host_id};
use super::{Bench, dir};
use crate::host::fake::Cut;
use crate::state::State;
use shared::budgets::{BudgetNotice, Holder, SlotWish, UsedUp};
use shared::ids::AgentId;
use shared::refusal::Code;
use shared::time::Interval;
use std::collections::BTreeSet;

fn notice(agents: Option<BTreeSet<AgentId>>) -> BudgetNotice {
    BudgetNotice { name: "db".parse().unwrap(), agents }
}

fn used_up() -> UsedUp {
    let holders = vec![Holder { who: "web2".into(), since: NOW, until: NOW.plus(1_800) }];
    UsedUp { budget: "db".parse().unwrap(), title: "one database at a time".into(), slots: 1, holders }
}

/// A change that may begin, on a host that a budget covers.
fn covered() -> Bench {
    let mut bench = Bench::new();
    let bundle = bench.approved(1, |change| {
        change.intervals = vec![Interval { from: NOW.plus(-60), until: NOW.plus(3 * 3_600) }];
        change.not_after = NOW.plus(3 * 3_600);
    });
    bench.site.0.borrow_mut().control.budgets = vec![notice(None)];
    bench.site.list(&bundle);
    bench
}

fn wishes(bench: &Bench) -> Vec<SlotWish> {
    bench.site.0.borrow().asked.iter().map(|ask| ask.wish).collect()
}

#[test]
fn a_host_takes_its_slot_last_and_its_run_is_noted_with_it() {
    let mut bench = covered();
    // While anything else is in the way, no slot is asked for.
    bench.site.0.borrow_mut().control.halted = vec!["C-1".parse().unwrap()];
    bench.site.publish();
    assert_eq!((bench.tick().codes(), wishes(&bench)), (vec![Code::ChangeHalted], vec![]));
    bench.site.0.borrow_mut().control.halted.clear();
    bench.site.publish();
    let report = bench.tick();
    assert_eq!(report.ran.len(), 1, "{:?}", report.lines);
    assert_eq!(wishes(&bench), [SlotWish::Look, SlotWish::Take]);
    let change = bench.site.receipts()[0].change;
    assert!(bench.site.0.borrow().asked.iter().all(|ask| ask.change == change));
}

#[test]
fn a_host_waits_for_its_slot_prepares_meanwhile_and_says_who_has_it() {
    let mut bench = covered();
    bench.site.0.borrow_mut().used_up = Some(used_up());
    let report = bench.tick();
    assert_eq!((report.codes(), report.ran.len()), (vec![Code::LockHeld], 0), "{:?}", report.lines);
    assert_eq!(wishes(&bench), [SlotWish::Look], "it looks before it plans, and takes nothing");
    assert!(
        report.lines.iter().any(|line| line.contains("everything it needs is here")),
        "{:?}",
        report.lines
    );
    let told = bench.site.refusals().into_iter().find(|r| r.reason.code == Code::LockHeld).unwrap();
    assert!(told.reason.message.contains("web2 since"), "{}", told.reason.message);
    assert_eq!(told.reason.retry_at, Some(NOW.plus(1_800)));
    assert_eq!(bench.tick().ran.len(), 0);
    let said = bench.site.refusals().iter().filter(|r| r.reason.code == Code::LockHeld).count();
    assert_eq!(said, 1, "the same holder is told once");
    bench.site.0.borrow_mut().used_up = None;
    assert_eq!(bench.tick().ran.len(), 1);
}

#[test]
fn without_the_servers_word_nothing_starts_on_a_host_that_a_budget_covers() {
    let mut bench = covered();
    bench.site.0.borrow_mut().used_up = Some(used_up());
    bench.tick();
    bench.site.0.borrow_mut().online = false;
    let refused = bench.site.refusals().len();
    for _ in 0..2 {
        let report = bench.tick();
        assert_eq!((report.ran.len(), bench.motd()), (0, None), "{:?}", report.lines);
        assert!(report.codes().iter().all(|code| *code == Code::LockUnanswered), "{:?}", report.codes());
    }
    bench.site.0.borrow_mut().online = true;
    bench.site.0.borrow_mut().used_up = None;
    assert_eq!(bench.tick().ran.len(), 1);
    assert_eq!(bench.site.refusals().len(), refused, "that nobody answered is no judgement");
}

#[test]
fn a_host_that_no_budget_covers_asks_nobody() {
    let mut bench = covered();
    bench.site.0.borrow_mut().control.budgets = vec![notice(Some([AgentId::of_key(&[9; 32])].into()))];
    bench.site.0.borrow_mut().used_up = Some(used_up());
    bench.site.publish();
    let report = bench.tick();
    assert_eq!((report.ran.len(), wishes(&bench)), (1, vec![]), "{:?}", report.lines);
    let mut bench = covered();
    bench.site.0.borrow_mut().control.budgets = vec![notice(Some([host_id()].into()))];
    bench.site.publish();
    bench.tick();
    assert_eq!(wishes(&bench), [SlotWish::Look, SlotWish::Take]);
}

#[test]
fn after_a_power_cut_a_host_asks_again_for_the_same_change_or_ends_the_run_that_has_the_slot() {
    let (mut asked_again, mut ended) = (0, 0);
    let mut whole = covered();
    whole.machine.power.restore();
    whole.tick();
    for at in 0..whole.machine.power.writes() {
        let mut bench = covered();
        bench.machine.power.restore();
        bench.machine.power.cut(at, Cut::Kept);
        bench.tick();
        bench.agent = None;
        bench.disk.restart();
        let first = bench.site.0.borrow().asked.clone();
        bench.machine.power.restore();
        let state = State::open(&dir(), Box::new(bench.disk.clone())).unwrap();
        let running = state.running().map(|running| running.slots.clone());
        drop(state);
        bench.tick();
        let again: Vec<_> = bench.site.0.borrow().asked.iter().skip(first.len()).copied().collect();
        match running {
            // A run that has begun is brought to its end without asking anybody.
            Some(slots) => {
                assert_eq!((slots, &again[..]), (["db".parse().unwrap()].into(), &[][..]), "write {at}");
                ended += 1;
            }
            None => {
                asked_again += usize::from(again.iter().any(|ask| first.contains(ask)));
            }
        }
        assert_eq!(bench.site.receipts().len(), 1, "write {at}");
    }
    assert!(asked_again > 0 && ended > 0, "{asked_again} {ended}");
}
