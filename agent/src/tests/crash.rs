//! The power goes at every single write of a whole change, with the write lost, kept and torn; the disk fills
//! up at every write; an answer is lost. Afterwards nothing happened twice and nothing that was said is lost.

use super::Bench;
use super::site::{AUTHOR, FIRST, NOW, SECOND, approve, key, manifest};
use crate::disk::Disk;
use crate::host::fake::Cut;
use shared::bundle::Bundle;
use shared::receipt::HostOutcome;
use shared::refusal::Code;
use shared::statement::Statement;
use std::io::ErrorKind;

/// A bench with an approved change that is about to run, and how many writes running it costs.
fn ready() -> (Bench, Bundle) {
    let mut bench = Bench::new();
    bench.machine.file("/etc/motd", "before");
    let bundle = bench.approved(1, |_| {});
    bench.site.list(&bundle);
    bench.machine.power.restore();
    (bench, bundle)
}

fn writes_of_a_run() -> u64 {
    let (mut bench, _) = ready();
    assert_eq!(bench.tick().ran.len(), 1);
    let writes = bench.machine.power.writes();
    assert!(writes > 15, "{writes}");
    writes
}

/// What must hold however the run was broken off: one receipt, and it tells the truth.
fn check(bench: &mut Bench, what: &str) {
    for minute in 1..4 {
        bench.at(NOW.plus(minute * 60));
        let report = bench.tick();
        assert_eq!(report.faults, Vec::<String>::new(), "{what}: {:?}", report.lines);
    }
    let receipts = bench.site.receipts();
    assert_eq!(receipts.len(), 1, "{what}: exactly one receipt");
    let outcome = receipts[0].outcome;
    let motd = bench.motd();
    match outcome {
        HostOutcome::Applied => assert_eq!(motd.as_deref(), Some("hello"), "{what}"),
        HostOutcome::RolledBack => assert_eq!(motd.as_deref(), Some("before"), "{what}"),
        HostOutcome::Unchanged | HostOutcome::Failed | HostOutcome::PendingReboot => {
            panic!("{what}: {outcome:?} {:?}", receipts[0].note)
        }
    }
    bench.site.check_chain();
    let state = bench.agent.as_ref().unwrap().state();
    assert_eq!((state.spooled().unwrap().len(), state.running()), (0, None), "{what}");
    goes_on(bench, what);
}

/// The next change runs as if nothing had happened.
fn goes_on(bench: &mut Bench, what: &str) {
    let named = bench.site.add_manifest(manifest("1.3.0", "again"));
    let change = Statement::sign(bench.site.change(2, named), &key(AUTHOR));
    bench.site.publish();
    bench.site.wish(&change);
    bench.tick();
    let mut bundle = bench.site.bundle(&change);
    approve(&mut bundle, &[("first", FIRST), ("second", SECOND)], bench.clock.now());
    bench.site.list(&bundle);
    let report = bench.tick();
    let ran: Vec<_> = report.ran.iter().map(|(id, _, outcome)| (id.as_str(), *outcome)).collect();
    assert_eq!(ran, [("C-2", HostOutcome::Applied)], "{what}: {:?}", report.lines);
    assert_eq!(bench.motd().as_deref(), Some("again"), "{what}");
}

#[test]
fn a_power_cut_at_any_write_leaves_one_true_receipt() {
    for at in 0..writes_of_a_run() {
        for cut in [Cut::Lost, Cut::Kept, Cut::Torn] {
            let what = format!("write {at} {cut:?}");
            let (mut bench, _) = ready();
            bench.machine.power.cut(at, cut);
            bench.tick();
            assert!(bench.machine.power.is_off(), "{what}");
            bench.agent = None;
            bench.disk.restart();
            executed_before_the_first_step(&bench, &what);
            bench.machine.power.restore();
            bench.boot().unwrap_or_else(|e| panic!("{what}: {e}"));
            check(&mut bench, &what);
        }
    }
}

/// Where a journal exists, the change counts as executed already.
fn executed_before_the_first_step(bench: &Bench, what: &str) {
    let read = |name: &str| bench.disk.read(&super::dir().join(name), u64::MAX).unwrap();
    let seen = String::from_utf8(read("seen.json").unwrap()).unwrap();
    assert!(
        read("journal/run").is_none() || seen.contains(r#""executed":[{"change_id":"C-1""#),
        "{what}: {seen}"
    );
}

#[test]
fn a_power_cut_while_the_run_is_brought_to_its_end_leaves_one_true_receipt() {
    let middle = writes_of_a_run() / 2;
    for second in 0..12 {
        let what = format!("write {middle}, then {second}");
        let (mut bench, _) = ready();
        bench.machine.power.cut(middle, Cut::Kept);
        bench.tick();
        bench.disk.restart();
        bench.machine.power.restore();
        bench.machine.power.cut(second, Cut::Lost);
        if bench.boot().is_ok() {
            bench.tick();
        }
        bench.disk.restart();
        bench.machine.power.restore();
        bench.boot().unwrap_or_else(|e| panic!("{what}: {e}"));
        check(&mut bench, &what);
    }
}

#[test]
fn a_full_disk_is_a_fault_that_says_so_and_not_a_crash() {
    for at in 0..writes_of_a_run() {
        let what = format!("no space at write {at}");
        let (mut bench, _) = ready();
        let check_ins = bench.site.0.borrow().check_ins;
        bench.machine.power.fail(at, ErrorKind::StorageFull);
        bench.tick();
        assert_eq!(bench.site.0.borrow().check_ins, check_ins + 1, "{what}: the host is still heard");
        bench.machine.power.restore();
        check(&mut bench, &what);
        bench.boot().unwrap_or_else(|e| panic!("{what}: what is on the disk is damaged: {e}"));
    }
}

/// The error comes after the effect, as when the directory of a replaced file cannot be synced.
#[test]
fn a_write_that_failed_and_is_there_all_the_same_leads_nobody_astray() {
    for at in 0..writes_of_a_run() {
        for anew in [false, true] {
            let what = format!("an error behind write {at}, agent anew: {anew}");
            let (mut bench, _) = ready();
            bench.machine.power.fail(at, ErrorKind::Other);
            bench.tick();
            bench.machine.power.restore();
            if anew {
                bench.boot().unwrap_or_else(|e| panic!("{what}: {e}"));
            }
            bench.tick();
            bench.boot().unwrap_or_else(|e| panic!("{what}: {e}"));
            check(&mut bench, &what);
        }
    }
}

/// What was said goes out while the run is not let go of, because another file cannot be written.
#[test]
fn a_disk_that_fails_while_a_run_is_brought_to_its_end_makes_no_second_receipt() {
    let writes = writes_of_a_run();
    for at in writes / 2..writes {
        for second in 0..10 {
            let what = format!("write {at}, then no space at write {second}");
            let (mut bench, _) = ready();
            bench.machine.power.cut(at, Cut::Kept);
            bench.tick();
            bench.disk.restart();
            bench.machine.power.restore();
            bench.boot().unwrap_or_else(|e| panic!("{what}: {e}"));
            bench.machine.power.fail(second, ErrorKind::StorageFull);
            bench.tick();
            bench.machine.power.restore();
            check(&mut bench, &what);
        }
    }
}

#[test]
fn a_lost_answer_makes_no_second_statement() {
    let (mut bench, _) = ready();
    bench.site.0.borrow_mut().lose_answer = true;
    bench.tick();
    check(&mut bench, "lost answer");
}

#[test]
fn damaged_state_holds_the_agent_instead_of_starting_anew() {
    for file in [
        "seen.json",
        "chain.json",
        "site.json",
        "identity.pem",
        "contact.json",
        "tuf/root.json",
        "spool/9.json",
    ] {
        let (bench, _) = ready();
        let mut bench = bench;
        let path = super::dir().join(file);
        bench.disk.write(&path, b"{").unwrap();
        let refused = bench.boot().err();
        let said = match (file, refused) {
            // Damage of trusted metadata shows when it is used: the host is still heard and says why it does nothing.
            ("tuf/root.json", None) => {
                let report = bench.tick();
                assert_eq!(report.codes(), [Code::AgentStorage], "{:?}", report.lines);
                report.refusals[0].reason.to_string()
            }
            (_, refused) => refused.unwrap_or_else(|| panic!("{file} is taken for sound")).to_string(),
        };
        for part in
            [path.display().to_string().as_str(), "damaged", "restore it from a backup", "join this host"]
        {
            assert!(said.contains(part), "{file}: {part}: {said}");
        }
        assert_eq!(bench.motd().as_deref(), Some("before"), "{file}");
    }
}
