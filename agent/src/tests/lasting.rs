//! What outlives a run: a reboot in its middle, software that waits for the next boot, and quarantine.

use super::site::{AUTHOR, FIRST, NOW, SECOND, approve, key};
use super::{Bench, dir};
use crate::host::fake::{Cut, Deb};
use crate::host::{Installed, PackageState};
use crate::run::Report;
use crate::state::State;
use crate::status::Status;
use shared::change::Change;
use shared::manifest::{Manifest, Reboot};
use shared::receipt::{HostOutcome, Receipt};
use shared::refusal::Code;
use shared::risk::ActionClass;
use shared::statement::Statement;
use shared::time::Interval;

const OLD: &str = "6.1.0-9-amd64";
const NEW: &str = "6.1.0-10-amd64";

fn read(text: &serde_json::Value) -> Manifest {
    Manifest::from_json(text.to_string().as_bytes()).unwrap()
}

/// All updates, and a check that runs a program.
fn patch(version: &str) -> Manifest {
    read(&serde_json::json!({
        "manifest": "updates", "version": version, "patch": { "select": "all" },
        "health": [{ "name": "works", "command": { "run": ["/bin/works"] }, "retries": 0 }]
    }))
}

fn file(version: &str, content: &str) -> Manifest {
    read(&serde_json::json!({
        "manifest": "web-base", "version": version,
        "resources": [{ "file": { "path": "/etc/motd", "content": content } }],
        "health": [{ "name": "works", "command": { "run": ["/bin/works"] }, "retries": 0 }]
    }))
}

/// A host whose kernel is about to be upgraded.
fn bench() -> Bench {
    let bench = Bench::new();
    let linux = Installed {
        name: "linux".into(),
        arch: "all".into(),
        version: "1.0".into(),
        source: "linux".into(),
        source_version: "1.0".into(),
        vendor: None,
        held: false,
        state: PackageState::Installed,
    };
    let machine = &bench.machine;
    machine.world.borrow_mut().packages.insert("linux".into(), linux);
    *machine.debs.borrow_mut() =
        vec![Deb::new("linux", "1.0", &[], "Lab:stable"), Deb::new("linux", "1.1", &[], "Lab:stable")];
    *machine.release.borrow_mut() = OLD.into();
    machine.file(&format!("/boot/vmlinuz-{OLD}"), "");
    machine.brings("linux", &format!("/boot/vmlinuz-{NEW}"));
    bench
}

impl Bench {
    /// From request to the tick in which the change runs; the report of that tick, or of the one that planned when
    /// the host refused to.
    pub(super) fn through(
        &mut self,
        number: u32,
        manifest: Manifest,
        bend: impl FnOnce(&mut Change),
    ) -> Report {
        match self.listed(number, manifest, bend) {
            Some(refused) => refused,
            None => self.tick(),
        }
    }

    /// Planned, approved and about to run; the report of planning when the host refused to.
    pub(super) fn listed(
        &mut self,
        number: u32,
        manifest: Manifest,
        bend: impl FnOnce(&mut Change),
    ) -> Option<Report> {
        let named = self.site.add_manifest(manifest);
        self.site.publish();
        let mut change = self.site.change(number, named);
        change.action_classes.extend([ActionClass::Service, ActionClass::Reboot, ActionClass::Command]);
        bend(&mut change);
        let change = Statement::sign(change, &key(AUTHOR));
        self.site.wish(&change);
        let planned = self.tick();
        if planned.refusals.iter().any(|said| said.change_id.as_ref() == Some(&change.body.change_id)) {
            return Some(planned);
        }
        let mut bundle = self.site.bundle(&change);
        approve(&mut bundle, &[("first", FIRST), ("second", SECOND)], self.clock.now());
        self.site.list(&bundle);
        None
    }

    /// The machine is up again, with this kernel and a new process of the agent.
    fn reboots(&mut self, release: &str) {
        *self.machine.release.borrow_mut() = release.into();
        self.machine.boot();
        self.disk.restart();
        self.machine.power.restore();
        self.boot().unwrap();
    }

    pub(super) fn state(&self) -> State {
        State::open(&dir(), Box::new(self.disk.clone())).unwrap()
    }

    pub(super) fn status(&self) -> String {
        Status::load(&self.disk, &dir()).unwrap().unwrap().text(self.clock.now())
    }
}

fn outcomes(receipts: &[Receipt]) -> Vec<HostOutcome> {
    receipts.iter().map(|receipt| receipt.outcome).collect()
}

#[test]
fn a_run_goes_through_the_reboot_and_ends_after_it() {
    let mut bench = bench();
    let report = bench.through(1, patch("1.0.0"), |change| change.reboot = Reboot::IfNeeded);
    assert_eq!((report.ran.len(), report.faults.len()), (0, 0), "{:?}", report.lines);
    assert_eq!(bench.machine.world.borrow().reboots, 1);
    // Services are being stopped; the agent still runs, and neither starts nor ends anything.
    bench.at(NOW.plus(20));
    let report = bench.tick();
    assert_eq!((report.ran.len(), bench.site.receipts().len()), (0, 0), "{:?}", report.lines);
    assert!(report.lines.iter().any(|line| line.contains("is rebooted")), "{:?}", report.lines);
    assert!(bench.state().running().is_some());

    bench.at(NOW.plus(60));
    bench.reboots(NEW);
    let report = bench.tick();
    assert_eq!(report.ran, [("C-1".parse().unwrap(), 1, HostOutcome::Applied)], "{:?}", report.lines);
    let receipts = bench.site.receipts();
    let patched = receipts[0].patched.clone().unwrap();
    assert_eq!(patched.installed, NOW);
    assert_eq!((patched.effective, patched.verified), (Some(NOW.plus(60)), Some(NOW.plus(60))));
    assert_eq!((receipts.len(), bench.state().running(), bench.state().open_runs().len()), (1, None, 0));
    assert_eq!(bench.machine.world.borrow().reboots, 1);
}

/// A machine that loses its power instead of going down in order has booted as well.
#[test]
fn a_power_cut_at_any_write_of_a_run_that_reboots_leaves_one_true_receipt() {
    let ready = || {
        let mut bench = bench();
        let listed = bench.listed(1, patch("1.0.0"), |change| change.reboot = Reboot::Always);
        assert!(listed.is_none());
        bench.machine.power.restore();
        bench
    };
    let mut calm = ready();
    calm.tick();
    let writes = calm.machine.power.writes();
    let mut seen = std::collections::BTreeMap::new();
    for at in 0..writes {
        for cut in [Cut::Lost, Cut::Kept] {
            let what = format!("write {at} {cut:?}");
            let mut bench = ready();
            bench.machine.power.cut(at, cut);
            bench.tick();
            bench.reboots(NEW);
            for minute in 1..4 {
                bench.at(NOW.plus(minute * 60));
                let report = bench.tick();
                assert_eq!(report.faults, Vec::<String>::new(), "{what}");
                if bench.machine.world.borrow().reboots > bench.machine.world.borrow().boots - 1 {
                    bench.reboots(NEW);
                }
            }
            let receipts = bench.site.receipts();
            assert!(!receipts.is_empty(), "{what}");
            let last = receipts.last().unwrap();
            let version = bench.machine.world.borrow().packages["linux"].version.clone();
            let stays = last.outcome != HostOutcome::RolledBack;
            assert_eq!(version, if stays { "1.1" } else { "1.0" }, "{what}: {last:#?}");
            assert_eq!(receipts.iter().filter(|r| r.follows.is_none()).count(), 1, "{what}: {receipts:#?}");
            bench.site.check_chain();
            *seen.entry(last.outcome.as_str()).or_insert(0) += 1;
        }
    }
    assert!(seen["applied"] > 5 && seen["rolled_back"] > 5, "{seen:?}");
}

#[test]
fn what_waits_for_a_boot_is_pending_and_in_effect_once_after_it() {
    let mut bench = bench();
    bench.through(1, patch("1.0.0"), |_| {});
    let receipts = bench.site.receipts();
    assert_eq!(outcomes(&receipts), [HostOutcome::PendingReboot]);
    let first = receipts[0].clone();
    assert_eq!(first.note, format!("kernel {NEW} is installed and {OLD} runs"));
    assert_eq!(first.patched.as_ref().unwrap().effective, None);
    assert!(bench.status().contains("pending       C-1 revision 1 is installed since"), "{}", bench.status());
    // An agent that is only restarted, and a boot of the old kernel, change nothing.
    bench.boot().unwrap();
    bench.at(NOW.plus(600));
    bench.tick();
    bench.reboots(OLD);
    bench.at(NOW.plus(1_200));
    bench.tick();
    assert_eq!(bench.site.receipts().len(), 1);

    bench.reboots(NEW);
    bench.at(NOW.plus(1_800));
    let report = bench.tick();
    assert_eq!(report.ran, [("C-1".parse().unwrap(), 1, HostOutcome::Applied)], "{:?}", report.lines);
    bench.at(NOW.plus(2_400));
    bench.tick();
    let receipts = bench.site.receipts();
    assert_eq!(outcomes(&receipts), [HostOutcome::PendingReboot, HostOutcome::Applied]);
    let second = &receipts[1];
    assert!(second.follows.is_some() && second.results.is_empty() && second.health.len() == 1);
    let patched = second.patched.clone().unwrap();
    assert_eq!((patched.installed, patched.effective), (NOW, Some(NOW.plus(1_800))));
    assert_eq!((&second.change, second.revision, second.started), (&first.change, 1, first.started));
    assert!(!bench.status().contains("pending"), "{}", bench.status());
    bench.site.check_chain();
}

#[test]
fn a_reboot_that_others_made_necessary_is_told_to_whoever_looks_at_the_host() {
    let mut bench = bench();
    bench.tick();
    assert!(!bench.status().contains("reboot"), "{}", bench.status());
    bench.machine.file("/run/reboot-required", "");
    bench.machine.file("/run/reboot-required.pkgs", "libc6\n");
    bench.at(NOW.plus(7_200));
    bench.tick();
    assert!(
        bench.status().contains("\nreboot        is due: libc6 asks for a reboot\n"),
        "{}",
        bench.status()
    );
}

#[test]
fn a_power_cut_at_any_write_of_the_second_receipt_makes_no_third_one() {
    let ready = || {
        let mut bench = bench();
        bench.through(1, patch("1.0.0"), |_| {});
        bench.reboots(NEW);
        bench.at(NOW.plus(600));
        bench
    };
    let mut calm = ready();
    calm.tick();
    assert_eq!(calm.site.receipts().len(), 2);
    for at in 0..calm.machine.power.writes() {
        for cut in [Cut::Lost, Cut::Kept, Cut::Torn] {
            let what = format!("write {at} {cut:?}");
            let mut bench = ready();
            bench.machine.power.cut(at, cut);
            bench.tick();
            bench.reboots(NEW);
            for minute in 11..14 {
                bench.at(NOW.plus(minute * 60));
                bench.tick();
            }
            let receipts = bench.site.receipts();
            assert_eq!(outcomes(&receipts), [HostOutcome::PendingReboot, HostOutcome::Applied], "{what}");
            assert_eq!(bench.state().open_runs().len(), 0, "{what}");
            bench.site.check_chain();
        }
    }
}

#[test]
fn a_boot_after_which_the_host_does_not_work_is_told_as_failed() {
    let mut bench = bench();
    bench.through(1, patch("1.0.0"), |_| {});
    bench.machine.exits.borrow_mut().insert("/bin/works".into(), 2);
    bench.reboots(NEW);
    bench.at(NOW.plus(600));
    bench.tick();
    let receipts = bench.site.receipts();
    assert_eq!(outcomes(&receipts), [HostOutcome::PendingReboot, HostOutcome::Failed]);
    let patched = receipts[1].patched.clone().unwrap();
    assert_eq!((patched.effective.is_some(), patched.verified), (true, None));
    assert!(receipts[1].note.starts_with("health check works failed"), "{}", receipts[1].note);
}

#[test]
fn what_failed_and_was_undone_comes_back_only_when_a_change_lifts_it() {
    let mut bench = Bench::new();
    bench.machine.file("/etc/motd", "before");
    bench.machine.exits.borrow_mut().insert("/bin/works".into(), 2);
    bench.through(1, file("1.0.0", "bad"), |_| {});
    assert_eq!(outcomes(&bench.site.receipts()), [HostOutcome::RolledBack]);
    assert!(bench.status().contains("quarantine    file:/etc/motd of C-1 revision 1"), "{}", bench.status());
    bench.machine.exits.borrow_mut().clear();

    // In another version of the manifest, after a restart of the agent: it is the content that counts.
    bench.boot().unwrap();
    let report = bench.through(2, file("1.0.1", "bad"), |_| {});
    assert_eq!(report.codes(), [Code::PlanQuarantined], "{:?}", report.lines);
    let told = &bench.site.refusals()[0].reason.message;
    assert!(told.contains("file:/etc/motd as in C-1 revision 1 failed here"), "{told}");
    assert_eq!(bench.motd().as_deref(), Some("before"));

    let report = bench.through(3, file("1.1.0", "good"), |_| {});
    assert_eq!(report.ran.len(), 1, "other content is another matter: {:?}", report.lines);
    assert_eq!(bench.motd().as_deref(), Some("good"));

    let report = bench.through(4, file("1.2.0", "bad"), |change| change.lift_quarantine = true);
    assert_eq!(report.ran.len(), 1, "{:?}", report.lines);
    assert_eq!((bench.motd().as_deref(), bench.state().quarantine().len()), (Some("bad"), 0));
}

#[test]
fn a_lifted_quarantine_is_back_when_it_fails_again() {
    let mut bench = Bench::new();
    bench.machine.file("/etc/motd", "before");
    bench.machine.exits.borrow_mut().insert("/bin/works".into(), 2);
    bench.through(1, file("1.0.0", "bad"), |_| {});
    bench.through(2, file("1.0.1", "bad"), |change| change.lift_quarantine = true);
    assert_eq!(outcomes(&bench.site.receipts()), [HostOutcome::RolledBack, HostOutcome::RolledBack]);
    assert_eq!(bench.state().quarantine().len(), 1);
    assert_eq!(bench.state().quarantine()[0].change_id.as_str(), "C-2");
    let report = bench.through(3, file("1.0.2", "bad"), |_| {});
    assert_eq!(report.codes(), [Code::PlanQuarantined]);
}

/// A version that broke the host stays away, whatever else the next patch brings.
#[test]
fn a_package_version_that_failed_is_quarantined_until_another_one_is_offered() {
    let mut bench = bench();
    bench.machine.exits.borrow_mut().insert("/bin/works".into(), 2);
    bench.through(1, patch("1.0.0"), |_| {});
    assert_eq!(outcomes(&bench.site.receipts()), [HostOutcome::RolledBack]);
    assert_eq!(bench.machine.world.borrow().packages["linux"].version, "1.0");
    bench.machine.exits.borrow_mut().clear();
    let report = bench.through(2, patch("1.0.1"), |_| {});
    assert_eq!(report.codes(), [Code::PlanQuarantined], "{:?}", report.lines);
    bench.machine.debs.borrow_mut().push(Deb::new("linux", "1.2", &[], "Lab:stable"));
    let report = bench.through(3, patch("1.0.2"), |_| {});
    assert_eq!(report.ran.len(), 1, "{:?}", report.lines);
    assert_eq!(bench.machine.world.borrow().packages["linux"].version, "1.2");
}

/// An approved change that waited meanwhile is stopped as well.
#[test]
fn quarantine_also_holds_for_what_was_approved_before() {
    let mut bench = Bench::new();
    bench.machine.file("/etc/motd", "before");
    let later = NOW.plus(900);
    let window = |change: &mut Change| {
        change.intervals = vec![Interval { from: later, until: NOW.plus(3_600) }];
    };
    assert!(bench.listed(2, file("1.0.1", "bad"), window).is_none());
    bench.machine.exits.borrow_mut().insert("/bin/works".into(), 2);
    bench.through(1, file("1.0.0", "bad"), |_| {});
    bench.machine.exits.borrow_mut().clear();
    bench.at(later);
    let report = bench.tick();
    assert_eq!((report.codes(), report.ran.len()), (vec![Code::PlanQuarantined], 0), "{:?}", report.lines);
    assert_eq!(bench.motd().as_deref(), Some("before"));
}
