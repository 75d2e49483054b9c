//! What surrounds a patch: hooks, services that use replaced files, the reboot, the room that is left in the window.

use super::support::site::{NOW, Site, from_json};
use agent::apply::Stopped;
use agent::host::fake::{Cut, Deb, Fake, FakeDisk, World};
use agent::host::{Installed, PackageState, Unit};
use agent::journal::{Journal, Outcome, Standing};
use serde_json::{Value, json};
use shared::digest::Digest;
use shared::manifest::Reboot;
use shared::plan::Verb;
use shared::receipt::{HostOutcome, StepStatus};
use std::path::Path;

/// Two services use a library of which a newer version is offered; one of them is a message bus.
fn machine() -> Fake {
    let fake = Fake::default();
    let installed = |name: &str| Installed {
        name: name.into(),
        arch: "all".into(),
        version: "1.0".into(),
        source: name.into(),
        source_version: "1.0".into(),
        vendor: None,
        held: false,
        state: PackageState::Installed,
    };
    {
        let mut world = fake.world.borrow_mut();
        for name in ["lib", "linux"] {
            world.packages.insert(name.into(), installed(name));
        }
        for name in ["web", "db", "dbus"] {
            let unit = Unit { loaded: true, active: "active".into(), enabled: "enabled".into() };
            world.units.insert(format!("{name}.service"), unit);
        }
    }
    let units = ["web.service", "db.service", "dbus.service"].map(str::to_owned);
    fake.uses.borrow_mut().insert("lib".into(), units.to_vec());
    *fake.debs.borrow_mut() =
        vec![Deb::new("lib", "1.0", &[], "Lab:stable"), Deb::new("lib", "1.1", &[], "Lab:stable")];
    fake
}

fn patch(rest: &Value, hooks: &Value) -> Site {
    let mut patch = json!({ "select": "all" });
    patch.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    Site::new(vec![from_json(
        &json!({ "manifest": "p", "version": "1.0.0", "patch": patch, "hooks": hooks }),
    )])
}

fn journal(disk: &FakeDisk) -> Journal<FakeDisk> {
    Journal::open(disk.clone(), Path::new("/journal")).unwrap()
}

fn apply(site: &Site, host: &mut Fake) -> Outcome {
    let disk = FakeDisk::new(host.power.clone());
    site.apply(host, &mut journal(&disk)).unwrap()
}

/// Resource, verb and status of each step, as a line.
fn steps(outcome: &Outcome) -> Vec<String> {
    let line =
        |r: &shared::receipt::StepResult| format!("{} {} {}", r.resource, r.verb.as_str(), r.status.as_str());
    outcome.results.iter().map(line).collect()
}

fn hooks() -> Value {
    let hook = |name: &str| json!({ "name": name, "run": [format!("/bin/{name}")], "timeout_s": 60 });
    let drain = json!({ "name": "drain", "run": ["/bin/drain"], "undo": ["/bin/undrain"], "timeout_s": 60 });
    json!({ "before": [hook("ask"), drain], "after": [hook("fill")], "before_reboot": [hook("bye")] })
}

#[test]
fn services_that_use_replaced_files_are_restarted_once_and_the_others_are_told() {
    for (rest, restarts, left) in [
        (json!({}), "db.service web.service", 1),
        (json!({ "restart": { "except": ["db*"] } }), "web.service", 2),
        (json!({ "restart": { "services": "named", "names": ["db"] } }), "db.service", 2),
        (json!({ "restart": { "services": "never" } }), "", 3),
    ] {
        let mut host = machine();
        let outcome = apply(&patch(&rest, &json!({})), &mut host);
        assert_eq!(outcome.outcome, HostOutcome::Applied, "{rest}: {outcome:#?}");
        assert_eq!(host.world.borrow().restarts.join(" "), restarts, "{rest}");
        let patched = outcome.patched.unwrap();
        assert_eq!(patched.restarted.join(" "), restarts, "{rest}");
        assert_eq!(patched.outdated.len(), left, "{rest}: {:?}", patched.outdated);
        assert!(
            patched.outdated.iter().any(|line| line.starts_with("dbus.service is never"))
                || restarts.is_empty()
        );
        // The bus goes on with what was replaced, so the patch is installed and no more than that.
        assert_eq!((patched.installed, patched.effective, patched.verified), (NOW, None, None), "{rest}");
        assert!(outcome.lasting.is_some());
    }
    let mut host = machine();
    host.uses.borrow_mut().insert("lib".into(), vec!["web.service".into()]);
    let outcome = apply(&patch(&json!({}), &json!({})), &mut host);
    let patched = outcome.patched.unwrap();
    assert_eq!((patched.effective, patched.verified), (Some(NOW), Some(NOW)));
    assert_eq!(outcome.lasting, None);
}

/// Somebody has upgraded by hand and restarted nothing: the patch finds no update, but has something to do.
#[test]
fn services_that_were_left_outdated_by_others_are_restarted_as_well() {
    let mut host = machine();
    host.debs.borrow_mut().clear();
    let site = patch(&json!({}), &json!({}));
    assert_eq!(site.plan(&mut host).unwrap(), []);
    let by_hand = agent::host::Outdated {
        unit: Some("web.service".into()),
        program: "web".into(),
        file: "/usr/lib/lib.so".into(),
    };
    host.world.borrow_mut().outdated.push(by_hand);
    let outcome = apply(&site, &mut host);
    assert_eq!(steps(&outcome), ["services:outdated restart done"]);
    assert_eq!(host.world.borrow().restarts, ["web.service"]);
}

#[test]
fn a_service_that_does_not_come_back_takes_the_packages_back_and_the_others_are_restarted_again() {
    let mut host = machine();
    // A restart of a unit without a unit file leaves it as it is: down.
    host.world.borrow_mut().units.remove("web.service");
    let down = Unit { loaded: true, active: "active".into(), enabled: String::new() };
    host.world.borrow_mut().units.insert("web.service".into(), down);
    host.refuse_restart("web.service");
    let outcome = apply(&patch(&json!({}), &json!({})), &mut host);
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
    assert_eq!(host.world.borrow().packages["lib"].version, "1.0");
    assert_eq!(outcome.patched, None);
    let failed: Vec<_> = outcome.quarantine.iter().map(|e| e.resource.as_str()).collect();
    assert_eq!(failed, Vec::<&str>::new(), "a restart is no content");
}

#[test]
fn hooks_run_at_their_points_and_only_when_something_changes() {
    let mut host = machine();
    let site = patch(&json!({}), &hooks());
    let outcome = apply(&site, &mut host);
    assert_eq!(
        steps(&outcome),
        [
            "hook:before:main/p:ask run done",
            "hook:before:main/p:drain run done",
            "package:lib upgrade done",
            "services:outdated restart done",
            "hook:after:main/p:fill run done",
        ]
    );
    assert_eq!(host.world.borrow().ran, ["/bin/ask", "/bin/drain", "/bin/fill"]);
    assert_eq!(site.plan(&mut host).unwrap(), [], "the second time there is nothing to do");
}

#[test]
fn a_failing_hook_before_the_first_step_leaves_everything_as_it_was() {
    let mut host = machine();
    host.exits.borrow_mut().insert("/bin/drain".into(), 3);
    let before = host.world.borrow().clone();
    let outcome = apply(&patch(&json!({}), &hooks()), &mut host);
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
    assert!(outcome.note.contains("hook:before:main/p:drain"), "{}", outcome.note);
    let world = World { ran: vec![], ..host.world.borrow().clone() };
    assert_eq!(world, before);
    assert_eq!(host.world.borrow().ran, ["/bin/ask", "/bin/drain", "/bin/undrain"]);
    assert_eq!(outcome.quarantine, [], "a hook is no content");
}

#[test]
fn what_a_hook_promised_to_take_back_is_taken_back_when_the_run_fails_later() {
    let mut host = machine();
    host.exits.borrow_mut().insert("/bin/fill".into(), 1);
    let outcome = apply(&patch(&json!({}), &hooks()), &mut host);
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
    assert_eq!(host.world.borrow().packages["lib"].version, "1.0");
    assert_eq!(host.world.borrow().ran, ["/bin/ask", "/bin/drain", "/bin/fill", "/bin/undrain"]);
    assert_eq!(status(&outcome, Verb::Restart), StepStatus::Undone);
    assert_eq!(host.world.borrow().restarts.len(), 4, "for the new library and for the old one");
}

fn status(outcome: &Outcome, verb: Verb) -> StepStatus {
    outcome.results.iter().find(|r| r.verb == verb).unwrap().status
}

#[test]
fn a_step_whose_time_does_not_fit_into_the_window_is_not_started() {
    // At each look at the clock ten minutes have passed; the hook needs one.
    let mut host = machine();
    let mut site = patch(&json!({}), &hooks());
    site.tick_secs.set(600);
    let outcome = apply(&site, &mut host);
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
    assert!(outcome.note.contains("steps were not started"), "{}", outcome.note);
    assert_eq!(outcome.quarantine, [], "that there was no time proves nothing");

    // Five minutes are left when the hook's turn comes, and it may need an hour.
    let slow = json!({ "after": [{ "name": "slow", "run": ["/bin/slow"], "timeout_s": 3000 }] });
    site = patch(&json!({}), &slow);
    site.tick_secs.set(300);
    let outcome = apply(&site, &mut host);
    assert!(outcome.note.contains("may take 3000 s and the window ends"), "{}", outcome.note);
    assert!(!host.world.borrow().ran.contains(&"/bin/slow".to_owned()));
    assert_eq!(host.world.borrow().packages["lib"].version, "1.0");
}

fn rebooting(reboot: Reboot, hooks: &Value) -> Site {
    let mut site = patch(&json!({}), hooks);
    site.reboot = reboot;
    site
}

fn with_new_kernel() -> Fake {
    let host = machine();
    host.debs.borrow_mut().push(Deb::new("linux", "1.1", &[], "Lab:stable"));
    *host.release.borrow_mut() = "6.1.0-9-amd64".into();
    host.file("/boot/vmlinuz-6.1.0-9-amd64", "");
    host.brings("linux", "/boot/vmlinuz-6.1.0-10-amd64");
    host
}

#[test]
fn the_machine_is_rebooted_as_the_last_step_and_the_run_ends_after_the_boot() {
    for (reboot, new_kernel, goes_down) in [
        (Reboot::IfNeeded, true, true),
        (Reboot::IfNeeded, false, false),
        (Reboot::Always, false, true),
        (Reboot::Never, true, false),
    ] {
        let what = format!("{reboot:?}, new kernel {new_kernel}");
        let mut host = if new_kernel { with_new_kernel() } else { machine() };
        let (site, disk) = (rebooting(reboot, &hooks()), FakeDisk::new(host.power.clone()));
        let ended = site.apply(&mut host, &mut journal(&disk));
        assert_eq!(ended.is_err(), goes_down, "{what}: {ended:?}");
        assert_eq!(host.world.borrow().reboots, u32::from(goes_down), "{what}");
        let said_bye = host.world.borrow().ran.contains(&"/bin/bye".to_owned());
        assert_eq!(said_bye, reboot != Reboot::Never, "{what}");
        if goes_down {
            assert!(matches!(journal(&disk).standing(), Standing::Running(_)), "{what}");
            if new_kernel {
                *host.release.borrow_mut() = "6.1.0-10-amd64".into();
            }
            host.boot();
            let outcome = site.resume(&mut host, &mut journal(&disk)).unwrap().unwrap();
            assert_eq!(outcome.outcome, HostOutcome::Applied, "{what}: {outcome:#?}");
            assert_eq!(status(&outcome, Verb::Reboot), StepStatus::Done, "{what}");
            let patched = outcome.patched.unwrap();
            assert!(patched.effective.unwrap() > patched.installed, "{what}: after the boot");
            assert_eq!(patched.verified, patched.effective, "{what}");
            assert_eq!(outcome.lasting, None, "{what}");
        } else {
            let outcome = ended.unwrap();
            let expected = if new_kernel { HostOutcome::PendingReboot } else { HostOutcome::Applied };
            assert_eq!(outcome.outcome, expected, "{what}: {outcome:#?}");
            assert_eq!(outcome.patched.unwrap().reboot.is_empty(), !new_kernel, "{what}");
        }
    }
}

/// The boot loader was not told, or somebody chose the old entry.
#[test]
fn a_machine_that_boots_the_old_kernel_again_is_still_pending() {
    let mut host = with_new_kernel();
    let (site, disk) = (rebooting(Reboot::IfNeeded, &json!({})), FakeDisk::new(host.power.clone()));
    site.apply(&mut host, &mut journal(&disk)).unwrap_err();
    host.boot();
    let outcome = site.resume(&mut host, &mut journal(&disk)).unwrap().unwrap();
    assert_eq!(outcome.outcome, HostOutcome::PendingReboot, "{outcome:#?}");
    assert_eq!(outcome.note, "kernel 6.1.0-10-amd64 is installed and 6.1.0-9-amd64 runs");
}

#[test]
fn a_machine_that_does_not_go_down_is_pending_and_nothing_is_taken_back() {
    let mut host = with_new_kernel();
    let (site, disk) = (rebooting(Reboot::Always, &json!({})), FakeDisk::new(host.power.clone()));
    site.apply(&mut host, &mut journal(&disk)).unwrap_err();
    let outcome = site.resume(&mut host, &mut journal(&disk)).unwrap().unwrap();
    assert_eq!(outcome.outcome, HostOutcome::PendingReboot, "{outcome:#?}");
    assert_eq!(status(&outcome, Verb::Reboot), StepStatus::Failed);
    assert_eq!(host.world.borrow().packages["lib"].version, "1.1");
}

#[test]
fn a_reboot_that_does_not_fit_into_the_window_is_not_started_and_takes_nothing_back() {
    let mut host = with_new_kernel();
    let site = rebooting(Reboot::IfNeeded, &hooks());
    // Looks at the clock: start, two hooks, packages, their end, restarts, hook, and then the end is near.
    site.tick_secs.set(440);
    let outcome = apply(&site, &mut host);
    assert_eq!(outcome.outcome, HostOutcome::PendingReboot, "{outcome:#?}");
    assert_eq!(host.world.borrow().reboots, 0);
    assert_eq!(host.world.borrow().packages["linux"].version, "1.1");
    assert!(outcome.note.contains("hook:before_reboot:main/p:bye) may take 360 s"), "{}", outcome.note);
    assert!(!host.world.borrow().ran.contains(&"/bin/bye".to_owned()), "nothing prepares what does not come");
    assert_eq!(status(&outcome, Verb::Reboot), StepStatus::NotStarted);
}

#[test]
fn a_failing_hook_before_the_reboot_keeps_the_machine_up() {
    let mut host = with_new_kernel();
    host.exits.borrow_mut().insert("/bin/bye".into(), 1);
    let outcome = apply(&rebooting(Reboot::IfNeeded, &hooks()), &mut host);
    assert_eq!(
        (outcome.outcome, host.world.borrow().reboots),
        (HostOutcome::PendingReboot, 0),
        "{outcome:#?}"
    );
    assert!(outcome.note.contains("bye"), "{}", outcome.note);
}

/// The power goes at every write, lost, kept and torn; each time the machine boots, as it does after that.
#[test]
fn whatever_write_the_power_goes_at_the_end_is_true() {
    let site = rebooting(Reboot::Always, &hooks());
    let ready = || {
        let host = machine();
        let disk = FakeDisk::new(host.power.clone());
        (host, disk)
    };
    let (mut calm, disk) = ready();
    site.apply(&mut calm, &mut journal(&disk)).unwrap_err();
    let (mut applied, mut rolled_back, mut pending) = (0, 0, 0);
    for at in 0..calm.power.writes() {
        for cut in [Cut::Lost, Cut::Kept, Cut::Torn] {
            let what = format!("write {at} {cut:?}");
            let (mut host, disk) = ready();
            host.power.cut(at, cut);
            assert!(matches!(site.apply(&mut host, &mut journal(&disk)), Err(Stopped::Fault(_))), "{what}");
            disk.restart();
            host.power.restore();
            host.boot();
            let mut journal = journal(&disk);
            let Some(outcome) = site.resume(&mut host, &mut journal).unwrap() else {
                assert_eq!(host.world.borrow().packages["lib"].version, "1.0", "{what}");
                continue;
            };
            let version = host.world.borrow().packages["lib"].version.clone();
            match outcome.outcome {
                HostOutcome::Applied => applied += 1,
                HostOutcome::RolledBack => rolled_back += 1,
                HostOutcome::PendingReboot => pending += 1,
                other => panic!("{what}: {other:?} {outcome:#?}"),
            }
            let stays = outcome.outcome != HostOutcome::RolledBack;
            assert_eq!(version, if stays { "1.1" } else { "1.0" }, "{what}: {outcome:#?}");
            for program in ["/bin/drain", "/bin/undrain", "/bin/fill", "/bin/bye"] {
                let times = host.world.borrow().ran.iter().filter(|ran| *ran == program).count();
                assert!(times <= 1, "{what}: {program} ran {times} times");
            }
            assert!(host.world.borrow().reboots <= 1, "{what}");
            journal.receipt_made(Digest::of(b"receipt")).unwrap();
            assert!(matches!(journal.standing(), Standing::Idle), "{what}");
        }
    }
    assert!(applied > 1 && rolled_back > 10 && pending > 3, "{applied} {rolled_back} {pending}");
}
