//! Putting back what others changed: only what was approved, only while the approval stands, and on record as that.

use super::Bench;
use super::site::{AUTHOR, FIRST, NOW, SECOND, approval, approve, key};
use crate::host::fake::{Cut, Node};
use shared::approval::Decision;
use shared::bundle::Bundle;
use shared::finding::{Finding, Presence};
use shared::manifest::Manifest;
use shared::plan::open_plan;
use shared::receipt::{HostOutcome, Receipt};
use shared::statement::Statement;
use shared::time::Timestamp;

const DAY: i64 = 86_400;

fn manifest(version: &str, motd: &str) -> Manifest {
    let text = serde_json::json!({
        "manifest": "base", "version": version, "team": "main", "on_drift": "correct",
        "resources": [
            { "file": { "path": "/etc/motd", "content": motd } },
            { "file": { "path": "/etc/issue", "content": "as before\n" } }
        ]
    });
    Manifest::from_json(text.to_string().as_bytes()).unwrap()
}

/// A host on which the manifest was applied under an approval that stands for ten days. One of its two files was right
/// already when the change was planned.
fn applied() -> Bench {
    let mut bench = Bench::new();
    bench.site.0.borrow_mut().policy.rules[0].require.max_correction_h = 240;
    bench.machine.file("/etc/issue", "as before\n");
    run(&mut bench, 1, manifest("1.0.0", "approved\n"));
    bench
}

fn run(bench: &mut Bench, number: u32, manifest: Manifest) {
    let end = bench.clock.now().plus(30 * DAY);
    let report = bench.through(number, manifest, |change| change.correct_until = Some(end));
    assert_eq!((report.ran.len(), report.faults.len()), (1, 0), "{:?}", report.lines);
}

/// What the server knows after a tick at this moment.
fn after(bench: &mut Bench, at: Timestamp) -> (Vec<Finding>, Vec<Receipt>) {
    bench.at(at);
    bench.site.publish();
    let report = bench.tick();
    assert_eq!(report.faults, Vec::<String>::new(), "{:?}", report.lines);
    bench.site.check_chain();
    (bench.site.findings(), bench.site.receipts())
}

fn text(bench: &Bench, path: &str) -> Option<String> {
    match bench.machine.world.borrow().nodes.get(path) {
        Some(Node::File(_, bytes)) => Some(String::from_utf8(bytes.clone()).unwrap()),
        _ => None,
    }
}

/// The bundle that the site lists for the change.
fn listed(bench: &Bench) -> Bundle {
    let held = bench.site.0.borrow();
    Bundle::parse(held.bundles.values().next().unwrap()).unwrap()
}

#[test]
fn what_somebody_changed_is_told_and_put_back_and_told_as_corrective() {
    let mut bench = applied();
    {
        let held = bench.site.0.borrow();
        let plan = open_plan(&held.plans.values().next().unwrap().to_bytes()).unwrap().body;
        let upholds: Vec<_> = plan.upholds.iter().map(|u| u.resource.as_str().to_owned()).collect();
        assert_eq!((plan.actions.len(), upholds), (1, vec!["file:/etc/issue".to_owned()]));
    }
    bench.machine.file("/etc/motd", "somebody\n");
    bench.machine.world.borrow_mut().nodes.remove("/etc/issue");
    let (findings, receipts) = after(&mut bench, NOW.plus(60));
    assert_eq!(text(&bench, "/etc/motd").as_deref(), Some("approved\n"));
    assert_eq!(text(&bench, "/etc/issue").as_deref(), Some("as before\n"));
    let told: Vec<_> = findings.iter().map(|f| (f.number, f.presence)).collect();
    assert_eq!(told, [(1, Presence::There), (1, Presence::Gone)]);
    let [ran, back] = receipts.as_slice() else { panic!("{receipts:#?}") };
    assert_eq!((ran.corrects, back.corrects), (None, Some(1)));
    assert_eq!((back.outcome, back.results.len()), (HostOutcome::Applied, 2));
    assert_eq!((&back.change, &back.plan, &back.approvals), (&ran.change, &ran.plan, &ran.approvals));
    // Nothing is left to do, and the change still counts as executed once.
    assert_eq!(after(&mut bench, NOW.plus(120)).1.len(), 2);
    let state = bench.state();
    let executed = &state.seen().executed;
    assert_eq!((executed.len(), executed[0].outcome), (1, Some(HostOutcome::Applied)));
}

#[test]
fn a_fight_ends_after_a_few_rounds_a_day_and_says_so() {
    let mut bench = applied();
    for round in 1..=5_i64 {
        bench.machine.file("/etc/motd", &format!("somebody {round}\n"));
        after(&mut bench, NOW.plus(60 * round));
    }
    assert_eq!(text(&bench, "/etc/motd").as_deref(), Some("somebody 5\n"));
    let (findings, receipts) = after(&mut bench, NOW.plus(3_600));
    assert_eq!(receipts.iter().filter(|r| r.corrects == Some(1)).count(), 3);
    let last = findings.last().unwrap();
    assert!(last.note.contains("something else keeps changing it"), "{last:#?}");
    assert!(last.flapping, "{last:#?}");
    let status: Vec<String> = bench.status().split_whitespace().map(str::to_owned).collect();
    assert!(status.join(" ").contains("not put back: it was put back 3 times"), "{}", bench.status());
    let said = findings.len();
    assert_eq!(after(&mut bench, NOW.plus(7_200)).0.len(), said, "said once");
}

/// What is done to the site before somebody changes the host, and what the host says of it then.
type Ending = (&'static str, fn(&mut Bench), &'static str);

#[test]
fn nothing_is_put_back_once_anything_has_ended_it() {
    let endings: [Ending; 7] = [
        (
            "withdrawn",
            |b| {
                let mut bundle = listed(b);
                let mut word = approval(&bundle, "second", NOW);
                (word.decision, word.at) = (Decision::Withdraw, NOW.plus(30));
                bundle.approvals.push(Statement::sign(word, &key(SECOND)));
                b.site.list(&bundle);
            },
            "withdrew",
        ),
        ("not listed any more", |b| b.site.unlist_all(), "stopped listing"),
        (
            "an approver less",
            |b| b.site.0.borrow_mut().policy.persons.retain(|p| p.id.as_str() != "second"),
            "second",
        ),
        (
            "the policy allows none",
            |b| b.site.0.borrow_mut().policy.rules[0].require.max_correction_h = 0,
            "0 of 2",
        ),
        ("halted", |b| b.site.0.borrow_mut().control.halted = vec!["C-1".parse().unwrap()], "halted"),
        ("too few hours", |b| b.site.0.borrow_mut().policy.rules[0].require.max_correction_h = 1, "0 of 2"),
        (
            "a bundle without one approval",
            |b| {
                let mut bundle = listed(b);
                bundle.approvals.pop();
                b.site.list(&bundle);
            },
            "1 of 2",
        ),
    ];
    for (what, end, why) in endings {
        let mut bench = applied();
        end(&mut bench);
        let at = if what == "too few hours" { NOW.plus(3_600) } else { NOW.plus(60) };
        bench.machine.file("/etc/motd", "somebody\n");
        let (findings, receipts) = after(&mut bench, at);
        assert_eq!(text(&bench, "/etc/motd").as_deref(), Some("somebody\n"), "{what}");
        assert_eq!(receipts.len(), 1, "{what}");
        let last = findings.last().unwrap();
        assert_eq!(last.presence, Presence::There, "{what}");
        assert!(!last.note.is_empty() && last.note.contains(why), "{what}: {last:#?}");
        let said = findings.len();
        assert_eq!(after(&mut bench, at.plus(60)).0.len(), said, "{what}: said once");
    }
}

#[test]
fn the_author_the_time_and_the_servers_silence_end_it_too() {
    // The author did not ask for it.
    let mut bench = Bench::new();
    bench.site.0.borrow_mut().policy.rules[0].require.max_correction_h = 240;
    bench.through(1, manifest("1.0.0", "approved\n"), |_| {});
    bench.machine.file("/etc/motd", "somebody\n");
    let (findings, receipts) = after(&mut bench, NOW.plus(60));
    assert_eq!(
        (receipts.len(), findings.last().unwrap().note.as_str()),
        (1, "C-1 does not ask for corrections")
    );

    // Its time is over: approvals that stand longer do not help.
    let mut bench = applied();
    bench.machine.file("/etc/motd", "somebody\n");
    bench.site.0.borrow_mut().policy.rules[0].require.max_correction_h = 2_000;
    let (_, receipts) = after(&mut bench, NOW.plus(31 * DAY));
    assert_eq!((receipts.len(), text(&bench, "/etc/motd").as_deref()), (1, Some("somebody\n")));

    // Nobody has answered for longer than the policy lets a host act without.
    let mut bench = applied();
    bench.site.0.borrow_mut().policy.clock.offline_grace_h = 1;
    after(&mut bench, NOW.plus(60));
    bench.machine.file("/etc/motd", "somebody\n");
    bench.site.0.borrow_mut().online = false;
    bench.at(NOW.plus(60 + 2 * 3_600));
    bench.tick();
    assert_eq!(text(&bench, "/etc/motd").as_deref(), Some("somebody\n"));
    // Within that time what is kept is proof enough.
    let mut bench = applied();
    bench.machine.file("/etc/motd", "somebody\n");
    bench.site.0.borrow_mut().online = false;
    bench.at(NOW.plus(600));
    bench.tick();
    assert_eq!(text(&bench, "/etc/motd").as_deref(), Some("approved\n"));
}

#[test]
fn what_would_become_something_else_than_was_approved_stays_a_finding() {
    let mut bench = applied();
    // The manifest names no owner: what comes of a file of somebody else is not what was approved.
    if let Some(Node::File(attrs, bytes)) = bench.machine.world.borrow_mut().nodes.get_mut("/etc/motd") {
        (attrs.uid, attrs.mode, *bytes) = (33, 0o666, b"somebody\n".to_vec());
    }
    let (findings, receipts) = after(&mut bench, NOW.plus(60));
    assert_eq!((receipts.len(), text(&bench, "/etc/motd").as_deref()), (1, Some("somebody\n")));
    assert!(findings.last().unwrap().note.contains("is not what was approved"), "{findings:#?}");
}

#[test]
fn an_older_approval_that_is_shown_again_brings_nothing_older_back() {
    let mut bench = applied();
    let old = listed(&bench);
    bench.at(NOW.plus(60));
    run(&mut bench, 2, manifest("1.1.0", "newer\n"));
    bench.site.unlist_all();
    after(&mut bench, NOW.plus(120));
    bench.site.list(&old);
    bench.machine.file("/etc/motd", "somebody\n");
    let (_, receipts) = after(&mut bench, NOW.plus(180));
    assert_eq!((receipts.len(), text(&bench, "/etc/motd").as_deref()), (2, Some("somebody\n")));
}

#[test]
fn an_approval_of_corrections_starts_no_change() {
    let mut bench = Bench::new();
    bench.site.0.borrow_mut().policy.rules[0].require.max_correction_h = 240;
    bench.site.0.borrow_mut().policy.rules[0].require.max_validity_h = 1;
    bench.machine.file("/etc/motd", "before\n");
    let named = bench.site.add_manifest(manifest("1.0.0", "approved\n"));
    bench.site.publish();
    let mut change = bench.site.change(1, named);
    change.correct_until = Some(NOW.plus(30 * DAY));
    let change = Statement::sign(change, &key(AUTHOR));
    bench.site.wish(&change);
    bench.tick();
    let mut bundle = bench.site.bundle(&change);
    approve(&mut bundle, &[("first", FIRST), ("second", SECOND)], NOW);
    bench.at(NOW.plus(3_590));
    bench.site.list(&bundle);
    let report = bench.tick();
    assert_eq!((report.ran.len(), text(&bench, "/etc/motd").as_deref()), (0, Some("before\n")));
}

#[test]
fn a_power_cut_at_any_write_of_a_correction_repeats_no_step_and_leaves_one_true_receipt() {
    let mut calm = applied().touched();
    calm.tick();
    let writes = calm.machine.power.writes();
    assert_eq!(text(&calm, "/etc/motd").as_deref(), Some("approved\n"));
    assert!(writes > 15, "{writes}");
    for at in 0..writes {
        for cut in [Cut::Lost, Cut::Kept, Cut::Torn] {
            let what = format!("write {at} {cut:?}");
            let mut bench = applied().touched();
            bench.cut_power((at, cut), &what);
            let (_, receipts) = after(&mut bench, NOW.plus(120));
            let back: Vec<_> = receipts.iter().filter(|r| r.corrects.is_some()).collect();
            assert_eq!(receipts.len() - back.len(), 1, "{what}: the change has one receipt");
            // One that was broken off says so; the next one, if it takes one, brings the file back.
            assert!((1..=2).contains(&back.len()), "{what}: {back:#?}");
            assert!(back.iter().all(|r| r.corrects == Some(1)), "{what}");
            let applied = back.iter().filter(|r| r.outcome == HostOutcome::Applied).count();
            assert_eq!(applied, 1, "{what}: {back:#?}");
            assert_eq!(text(&bench, "/etc/motd").as_deref(), Some("approved\n"), "{what}");
            let (findings, receipts) = after(&mut bench, NOW.plus(180));
            assert_eq!(receipts.len(), 1 + back.len(), "{what}");
            assert!(findings.iter().all(|f| f.number == 1), "{what}: {findings:#?}");
            assert_eq!(findings.last().map(|f| f.presence), Some(Presence::Gone), "{what}");
            assert!(bench.state().running().is_none(), "{what}");
        }
    }
}
