//! The power goes at every write, once with the write lost, once kept, once torn. Afterwards the outcome is
//! true, nothing has run twice unnoticed, and the next run can start.

use super::support::secret::{OWN, sealed};
use super::support::site::{Site, from_json, manifest};
use agent::apply::Stopped;
use agent::host::fake::{Cut, Deb, Fake, FakeDisk, Node, World};
use agent::host::{Installed, Mounted, PackageState, Unit};
use agent::journal::{Journal, Outcome, Standing};
use serde_json::json;
use shared::digest::Digest;
use shared::manifest::{OpenPgpKey, SourceFormat};
use shared::receipt::{HostOutcome, StepStatus};
use std::path::Path;

pub fn machine() -> Fake {
    let mut fake = Fake::default();
    fake.file("/etc/app.conf", "old\n");
    fake.file("/etc/gone", "remove me\n");
    let old = Installed {
        name: "app".into(),
        arch: "all".into(),
        version: "1.0".into(),
        source: "app".into(),
        source_version: "1.0".into(),
        vendor: None,
        held: false,
        state: PackageState::Installed,
    };
    let unit = |active: &str| Unit { loaded: true, active: active.into(), enabled: "disabled".into() };
    fake.file("/etc/hosts", "localhost");
    fake.file("/etc/hostname", "old\n");
    fake.file("/etc/timezone", "Etc/UTC\n");
    fake.file("/zone", "");
    fake.file("/etc/fstab", "tmpfs /srv/old tmpfs defaults 0 0\n");
    fake.file("/usr/local/share/ca-certificates/old.crt", OTHER_ROOT);
    fake.file("/etc/systemd/system/old.timer", "[Timer]\nOnCalendar=daily\n");
    fake.file("/etc/systemd/system/old.service", "[Service]\nExecStart=/bin/old\n");
    fake.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv:/bin/false\n");
    fake.file("/etc/group", "root:x:0:\nadm:x:4:web\nweb:x:33:\n");
    fake.file("/etc/shadow", "root:*:1::::::\nweb:$y$secret:1::::::\n");
    fake.file("/etc/gshadow", "root:*::\nadm:*:web:web\nweb:!::\n");
    {
        let mut world = fake.world.borrow_mut();
        let zone = world.nodes.remove("/zone").unwrap();
        let directory = world.nodes["/srv"].clone();
        for path in [
            "/srv/tree",
            "/srv/tree/sub",
            "/srv/tree/gone",
            "/etc/systemd/system",
            "/etc/ssl/certs",
            "/usr/local/share/ca-certificates",
            "/etc/apt",
            "/etc/apt/keyrings",
            "/etc/apt/sources.list.d",
            "/var/lib/assent",
            "/etc/modules-load.d",
            "/lib/modules/6.1.0",
        ] {
            world.nodes.insert(path.into(), directory.clone());
        }
        for path in ["/srv/tree/sub/mine", "/srv/tree/sub/other", "/srv/tree/gone/file"] {
            world.nodes.insert(path.into(), zone.clone());
        }
        world.nodes.insert("/usr/share/zoneinfo/Europe/Berlin".into(), zone);
        for (key, value) in
            [("net/ipv4/ip_forward", "1"), ("kernel/sysrq", "438"), ("kernel/hostname", "old")]
        {
            world.kernel.insert(format!("/proc/sys/{key}"), value.into());
        }
        world.packages.insert("app".into(), old);
        world.units.insert("app.service".into(), unit("active"));
        world.modules.insert("cramfs".into());
        let old = |options: &[&str]| Mounted {
            source: "tmpfs".into(),
            fstype: "tmpfs".into(),
            options: options.iter().map(|&o| o.into()).collect(),
        };
        world.mounts.insert("/srv/old".into(), old(&["rw"]));
        world.mounts.insert("/srv/tree".into(), old(&["rw", "noexec"]));
        world.units.insert("job.service".into(), unit("inactive"));
        world.units.insert("old.timer".into(), Unit { enabled: "enabled".into(), ..unit("active") });
    }
    *fake.debs.borrow_mut() = vec![
        Deb::new("app", "1.0", &[], "Lab:stable"),
        Deb::new("app", "1.1", &["lib"], "Lab:stable"),
        Deb::new("lib", "2.0", &[], "Lab:stable"),
    ];
    agent::host::Host::refresh_trust(&mut fake).unwrap();
    fake.power.restore();
    fake
}

/// Authorities that nobody has to trust.
pub const ROOT: &str = include_str!("../../../shared/src/manifest/golden/root.pem");
pub const OTHER_ROOT: &str = include_str!("../../../shared/src/manifest/golden/other-root.pem");

fn states() -> serde_json::Value {
    json!([
        { "directory": { "path": "/srv/app", "mode": "0750", "owner": "web" } },
        { "file": { "path": "/srv/app/index", "content": "hello\n" } },
        { "file": { "path": "/etc/app.conf", "content": "new\n", "mode": "0600", "on_change": ["service:app"] } },
        { "file": { "path": "/etc/gone", "state": "absent" } },
        { "package": { "name": "app", "version": "1.1", "hold": true, "on_change": ["service:app"] } },
        { "service": { "name": "app", "enabled": true } },
        { "service": { "name": "job", "state": "running" } },
    ])
}

/// Files with secrets, which are compared by keyed digests.
fn secrets() -> serde_json::Value {
    let secret = |value| json!({ "secret": sealed(&[OWN], "app", value) });
    json!([
        { "file": { "path": "/etc/app.conf", "mode": "0600", "content": secret(b"new"), "on_change": ["service:app"] } },
        { "file": { "path": "/srv/key", "mode": "0640", "owner": "web", "content": secret(b"key") } },
        { "service": { "name": "app", "enabled": true } },
    ])
}

/// Kinds of several parts, several edits of one file, and checks.
fn edits() -> serde_json::Value {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6eR4sCRB0gVZgzy8nW0+8mDqnnFhzuLGJ4ZKoWMHgQ";
    json!([
        { "directory": { "path": "/srv/tree", "purge": true, "recurse": { "owner": "web", "file_mode": "0600" } } },
        { "file": { "path": "/srv/tree/sub/mine", "content": "mine" } },
        { "symlink": { "path": "/srv/link", "target": "x" } },
        { "symlink": { "path": "/etc/gone", "target": "hosts" } },
        { "line": { "path": "/etc/hosts", "name": "one", "line": "1" } },
        { "block": { "path": "/etc/hosts", "name": "two", "content": "2", "validate": ["/bin/check", "{file}"] } },
        { "setting": { "path": "/etc/hosts", "key": "three", "value": "3", "on_change": ["service:app"] } },
        { "service": { "name": "app", "enabled": true } },
        { "directory": { "path": "/etc/sysctl.d" } },
        { "sysctl": { "key": "net.ipv4.ip_forward", "value": "0" } },
        { "sysctl": { "key": "kernel.sysrq", "value": "0" } },
        { "directory": { "path": "/etc/sudoers.d" } },
        { "sudoers": { "name": "web", "content": "x\n" } },
        { "group": { "name": "ops" } },
        { "user": { "name": "deploy", "groups": ["adm", "ops"], "home": "/srv" } },
        { "authorized_keys": { "user": "deploy", "keys": [key], "requires": ["user:deploy"] } },
        { "user": { "name": "web", "state": "absent", "requires": ["authorized_keys:deploy"] } },
        { "acl": { "path": "/srv/tree", "access": ["user:deploy:r-x", "group:ops:rwx"], "default": ["group:adm:r--"], "requires": ["user:deploy"] } },
        { "acl": { "path": "/srv/tree/sub/mine", "access": ["user:deploy:r--", "mask::r--"] } },
        { "hostname": { "name": "web1" } },
        { "timezone": { "zone": "Europe/Berlin" } },
    ])
}

fn with_command(undo: bool) -> serde_json::Value {
    let mut command = json!({ "name": "load", "run": ["/bin/load", "x"], "needed": "always" });
    if undo {
        command["undo"] = json!(["/bin/unload"]);
    }
    let mut all = states();
    all.as_array_mut().unwrap().push(json!({ "command": command }));
    all.as_array_mut().unwrap().push(json!({ "file": { "path": "/srv/last", "content": "last" } }));
    all
}

fn journal(disk: &FakeDisk) -> Journal<FakeDisk> {
    Journal::open(disk.clone(), Path::new("/journal")).unwrap()
}

/// What counts as the state of the machine; what ran and was restarted are events.
fn still(world: &World) -> World {
    World { ran: vec![], restarts: vec![], ..world.clone() }
}

struct Case<'a> {
    site: &'a Site,
    before: World,
    applied: World,
}

impl Case<'_> {
    /// The outcome must fit what the machine looks like.
    fn check(&self, what: &str, host: &Fake, outcome: Option<&Outcome>) {
        let world = host.world.borrow().clone();
        for program in ["/bin/load x", "/bin/unload"] {
            let times = world.ran.iter().filter(|r| *r == program).count();
            assert!(times <= 1, "{what}: {program} ran {times} times");
        }
        let Some(outcome) = outcome else {
            assert_eq!(world, self.before, "{what}: no run is known, so nothing may have changed");
            return;
        };
        match outcome.outcome {
            HostOutcome::Applied => assert_eq!(still(&world), still(&self.applied), "{what}: {outcome:#?}"),
            HostOutcome::RolledBack => {
                assert_eq!(still(&world), still(&self.before), "{what}: {outcome:#?}");
                assert!(!outcome.note.is_empty(), "{what}");
                let left = |s| matches!(s, StepStatus::Done | StepStatus::Unknown | StepStatus::UndoFailed);
                assert!(!outcome.results.iter().any(|r| left(r.status)), "{what}: {outcome:#?}");
                let ran = |p: &str| world.ran.iter().any(|r| r == p);
                assert_eq!(ran("/bin/load x"), ran("/bin/unload") && ran("/bin/load x"), "{what}");
            }
            HostOutcome::Failed => {
                // Only a command can leave something behind here, and the receipt names it.
                assert!(outcome.note.contains("not as before: command:load"), "{what}: {outcome:#?}");
                assert_eq!(still(&world), still(&self.before), "{what}: {outcome:#?}");
            }
            HostOutcome::Unchanged | HostOutcome::PendingReboot => panic!("{what}: {outcome:#?}"),
        }
    }

    /// Restarts the agent until the run has an end.
    fn recover(
        &self,
        what: &str,
        host: &mut Fake,
        disk: &FakeDisk,
        again: Option<(u64, Cut)>,
    ) -> Option<Outcome> {
        disk.restart();
        host.power.restore();
        if let Some((at, cut)) = again {
            host.power.cut(at, cut);
            if let Ok(mut second) = Journal::open(disk.clone(), Path::new("/journal")) {
                let resumed = self.site.resume(host, &mut second);
                assert!(host.power.is_off() || resumed.is_ok(), "{what}");
            }
            disk.restart();
            host.power.restore();
        }
        let mut journal = journal(disk);
        let outcome = self.site.resume(host, &mut journal).unwrap();
        journal.receipt_made(Digest::of(b"receipt")).unwrap();
        assert!(matches!(journal.standing(), Standing::Idle), "{what}");
        outcome
    }
}

/// Sweeps all writes of a run, or every so many of them with a second cut after the first; answers how many outcomes of each kind there were.
pub fn sweep(resources: serde_json::Value, again: Option<usize>) -> (usize, usize, usize) {
    sweep_site(&Site::new(vec![manifest("app", resources)]), again)
}

pub fn sweep_site(site: &Site, again: Option<usize>) -> (usize, usize, usize) {
    sweep_on(machine, site, again)
}

fn sweep_on(machine: fn() -> Fake, site: &Site, again: Option<usize>) -> (usize, usize, usize) {
    let mut calm = machine();
    let before = calm.world.borrow().clone();
    let disk = FakeDisk::new(calm.power.clone());
    let outcome = site.apply(&mut calm, &mut journal(&disk)).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    let writes = calm.power.writes();
    let applied = calm.world.borrow().clone();
    let case = Case { site, before, applied };
    let (mut counted, seconds) = ((0, 0, 0), if again.is_some() { 40 } else { 1 });
    for at in (0..writes).step_by(again.unwrap_or(1)) {
        for cut in [Cut::Lost, Cut::Kept, Cut::Torn] {
            for second in 0..seconds {
                let what = format!("write {at} {cut:?}, then {second}");
                let mut host = machine();
                let disk = FakeDisk::new(host.power.clone());
                host.power.cut(at, cut);
                let stopped = site.apply(&mut host, &mut journal(&disk));
                assert!(matches!(stopped, Err(Stopped::Fault(_))), "{what}: {stopped:?}");
                let again = again.map(|_| (second, cut));
                let outcome = case.recover(&what, &mut host, &disk, again);
                case.check(&what, &host, outcome.as_ref());
                match outcome.map(|o| o.outcome) {
                    Some(HostOutcome::RolledBack) => counted.0 += 1,
                    Some(HostOutcome::Applied) => counted.1 += 1,
                    Some(HostOutcome::Failed) => counted.2 += 1,
                    _ => {}
                }
            }
        }
    }
    counted
}

#[test]
fn states_are_rolled_back_or_done_whatever_write_the_power_goes_at() {
    let (rolled_back, applied, failed) = sweep(states(), None);
    assert!(rolled_back > 50 && applied > 2 && failed == 0, "{rolled_back} {applied} {failed}");
}

#[test]
fn secrets_are_rolled_back_or_done_whatever_write_the_power_goes_at() {
    let (rolled_back, applied, failed) = sweep(secrets(), None);
    assert!(rolled_back > 15 && applied > 2 && failed == 0, "{rolled_back} {applied} {failed}");
    let (rolled_back, applied, failed) = sweep(secrets(), Some(11));
    assert!(rolled_back > 100 && failed == 0, "{rolled_back} {applied} {failed}");
}

#[test]
fn edits_and_parts_are_rolled_back_or_done_whatever_write_the_power_goes_at() {
    let (rolled_back, applied, failed) = sweep(edits(), None);
    assert!(rolled_back > 100 && applied > 2 && failed == 0, "{rolled_back} {applied} {failed}");
}

#[test]
fn a_second_power_cut_while_undoing_edits_changes_nothing_about_that() {
    let (rolled_back, applied, failed) = sweep(edits(), Some(17));
    assert!(rolled_back > 500 && failed == 0, "{rolled_back} {applied} {failed}");
}

#[test]
fn a_second_power_cut_while_undoing_changes_nothing_about_that() {
    let (rolled_back, applied, failed) = sweep(states(), Some(3));
    assert!(rolled_back > 500 && applied > 2 && failed == 0, "{rolled_back} {applied} {failed}");
}

#[test]
fn a_command_without_undo_makes_the_run_failed_and_is_named() {
    let (rolled_back, applied, failed) = sweep(with_command(false), None);
    assert!(rolled_back > 50 && applied > 2 && failed > 5, "{rolled_back} {applied} {failed}");
}

#[test]
fn a_command_with_undo_is_undone_once() {
    let (rolled_back, applied, failed) = sweep(with_command(true), None);
    assert!(rolled_back > 50 && applied > 2 && failed == 0, "{rolled_back} {applied} {failed}");
}

#[test]
fn the_broken_off_step_is_named() {
    let site = Site::new(vec![manifest("app", states())]);
    for at in 0.. {
        let mut host = machine();
        let disk = FakeDisk::new(host.power.clone());
        host.power.cut(at, Cut::Lost);
        assert!(site.apply(&mut host, &mut journal(&disk)).is_err());
        let reached = host.world.borrow().nodes.contains_key("/srv/app/index");
        disk.restart();
        host.power.restore();
        let Some(outcome) = site.resume(&mut host, &mut journal(&disk)).unwrap() else { continue };
        if !reached {
            continue;
        }
        // The first two files are there and the third write was lost.
        assert_eq!(outcome.outcome, HostOutcome::RolledBack);
        assert!(outcome.note.starts_with("step 3 unfinished (file:/etc/app.conf)"), "{}", outcome.note);
        return;
    }
}

#[test]
fn a_full_disk_at_any_write_is_told_and_undone() {
    for resources in [states(), edits()] {
        full_disk(&Site::new(vec![manifest("app", resources)]));
    }
}

/// Fails each write of a run; afterwards nothing lies beside its place.
pub fn full_disk(site: &Site) {
    let mut calm = machine();
    let disk = FakeDisk::new(calm.power.clone());
    site.apply(&mut calm, &mut journal(&disk)).unwrap();
    let (mut stopped, mut rolled_back) = (0, 0);
    for at in 0..calm.power.writes() {
        let mut host = machine();
        let before = host.world.borrow().clone();
        let disk = FakeDisk::new(host.power.clone());
        host.power.fail(at, std::io::ErrorKind::StorageFull);
        let outcome = match site.apply(&mut host, &mut journal(&disk)) {
            Ok(outcome) => Some(outcome),
            Err(Stopped::Fault(_)) => {
                stopped += 1;
                site.resume(&mut host, &mut journal(&disk)).unwrap()
            }
            Err(Stopped::Refused(refused)) => panic!("{refused}"),
        };
        assert_eq!(host.left_staged(), [""; 0], "write {at}");
        match outcome.map(|o| (o.outcome, o.note)) {
            None => assert_eq!(*host.world.borrow(), before),
            Some((HostOutcome::Applied, _)) => {}
            Some((HostOutcome::RolledBack, note)) => {
                rolled_back += 1;
                assert!(!note.is_empty());
                assert_eq!(still(&host.world.borrow()), still(&before), "write {at}: {note}");
            }
            Some(other) => panic!("write {at}: {other:?}"),
        }
    }
    assert!(stopped > 3 && rolled_back > 5, "{stopped} {rolled_back}");
}

#[test]
fn a_failed_health_check_undoes_everything() {
    let text = json!({
        "manifest": "app", "version": "1.0.0", "resources": states(),
        "health": [{ "name": "answers", "command": { "run": ["/bin/check"] }, "retries": 0 }],
    });
    let site = Site::new(vec![from_json(&text)]);
    for (code, expected) in
        [(0, HostOutcome::Applied), (1, HostOutcome::Applied), (2, HostOutcome::RolledBack)]
    {
        let mut host = machine();
        let before = still(&host.world.borrow());
        host.exits.borrow_mut().insert("/bin/check".into(), code);
        let disk = FakeDisk::new(host.power.clone());
        let outcome = site.apply(&mut host, &mut journal(&disk)).unwrap();
        assert_eq!((outcome.outcome, outcome.health[0].ok), (expected, code < 2), "{outcome:#?}");
        let restarts = host.world.borrow().restarts.clone();
        if code == 2 {
            assert_eq!(still(&host.world.borrow()), before);
            assert_eq!(restarts, ["app.service", "app.service"], "for the new state and for the old one");
            assert!(outcome.note.starts_with("health check answers failed"), "{}", outcome.note);
        } else {
            assert_eq!(restarts, ["app.service"]);
        }
    }
}

#[test]
fn the_end_of_the_window_and_a_halt_stop_before_the_next_step() {
    for (automatic, expected) in [(true, HostOutcome::RolledBack), (false, HostOutcome::Failed)] {
        let mut site = Site::new(vec![manifest("app", states())]);
        site.automatic_undo = automatic;
        site.halt_after.set(Some(3));
        let mut host = machine();
        let disk = FakeDisk::new(host.power.clone());
        let outcome = site.apply(&mut host, &mut journal(&disk)).unwrap();
        assert_eq!(outcome.outcome, expected, "{outcome:#?}");
        assert!(outcome.note.starts_with("halted by an operator"), "{}", outcome.note);
        assert_eq!(outcome.results.last().unwrap().status, StepStatus::NotStarted);
        site.halt_after.set(None);
        site.tick_secs.set(1_000);
        let mut host = machine();
        let disk = FakeDisk::new(host.power.clone());
        let outcome = site.apply(&mut host, &mut journal(&disk)).unwrap();
        assert_eq!(outcome.outcome, expected);
        assert!(outcome.note.starts_with("the window ended at"), "{}", outcome.note);
    }
}

/// The package brings the file in reality; here the edit makes it. Only what is wanted can be bound before.
#[test]
fn an_edit_of_a_file_that_a_package_brings_is_planned_by_its_wish() {
    let resources = |value: &str| {
        json!([
            { "package": { "name": "lib", "version": "2.0" } },
            { "setting": { "path": "/etc/lib.conf", "key": "k", "value": value, "create": true,
                           "requires": ["package:lib"] } },
            { "setting": { "path": "/etc/other.conf", "key": "k", "value": "v", "create": true } },
        ])
    };
    let site = Site::new(vec![manifest("app", resources("v"))]);
    let mut host = machine();
    let disk = FakeDisk::new(host.power.clone());
    let plan = site.plan(&mut host).unwrap();
    assert_eq!(
        plan[1].summary,
        "edit /etc/lib.conf when its package has brought it (setting:/etc/lib.conf:k)"
    );
    assert!(plan[1].diff.as_deref().unwrap().contains(r#""value":"v""#), "{:?}", plan[1].diff);
    assert!(plan[2].summary.starts_with("create /etc/other.conf"), "{}", plan[2].summary);
    let other = Site::new(vec![manifest("app", resources("w"))]).plan(&mut host).unwrap();
    assert_ne!(other[1].after, plan[1].after, "another wish is another effect");
    let outcome = site.apply(&mut host, &mut journal(&disk)).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    assert!(matches!(&host.world.borrow().nodes["/etc/lib.conf"], Node::File(_, bytes) if bytes == b"k=v\n"));
    assert_eq!(site.plan(&mut host).unwrap(), []);
    let (rolled_back, applied, failed) = sweep(resources("v"), None);
    assert!(rolled_back > 10 && applied > 2 && failed == 0, "{rolled_back} {applied} {failed}");
}

#[test]
fn a_source_of_packages_and_its_key_go_back_whatever_write_the_power_goes_at() {
    let key = include_str!("../../../shared/src/manifest/golden/repository.asc");
    let resources = json!([
        { "package_repository": { "name": "vendor", "uris": ["https://packages.example.org"], "suites": ["stable"], "components": ["main"], "key": key } },
        { "package": { "name": "app", "version": "1.1" } },
    ]);
    let (rolled_back, applied, failed) = sweep(resources, None);
    assert!(rolled_back > 5 && applied > 2 && failed == 0, "{rolled_back} {applied} {failed}");
}

/// A host with zypper that has the source with another key.
fn zypper() -> Fake {
    let fake = machine();
    fake.sources.set(SourceFormat::Zypper);
    let old = "/etc/pki/rpm-gpg/assent-vendor-0000000000000000.asc";
    for path in ["/etc/pki", "/etc/pki/rpm-gpg", "/etc/zypp", "/etc/zypp/repos.d"] {
        let directory = fake.world.borrow().nodes["/srv"].clone();
        fake.world.borrow_mut().nodes.insert(path.into(), directory);
    }
    let key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxgIBAg==\n-----END PGP PUBLIC KEY BLOCK-----\n";
    fake.file(old, key);
    fake.file("/etc/zypp/repos.d/assent-vendor.repo", &format!("[vendor]\ngpgkey=file://{old}\n"));
    fake.world.borrow_mut().keys = OpenPgpKey::primaries_of(key);
    fake
}

#[test]
fn the_key_of_an_rpm_source_and_the_one_before_go_back_whatever_write_the_power_goes_at() {
    let key = include_str!("../../../shared/src/manifest/golden/repository.asc");
    let site = Site::new(vec![manifest(
        "app",
        json!([{ "package_repository": { "name": "vendor", "uris": ["https://packages.example.org"], "key": key } }]),
    )]);
    let mut host = zypper();
    let plan = site.plan(&mut host).unwrap();
    assert!(
        plan[0].summary.contains("let rpm believe the key of /etc/pki/rpm-gpg/assent-vendor-aad6"),
        "{plan:#?}"
    );
    assert!(
        plan[0].summary.contains("let rpm no longer believe the key of /etc/pki/rpm-gpg/assent-vendor-0000")
    );
    let disk = FakeDisk::new(host.power.clone());
    site.apply(&mut host, &mut journal(&disk)).unwrap();
    assert_eq!(host.world.borrow().keys, OpenPgpKey::primaries_of(key));
    let (rolled_back, applied, failed) = sweep_on(zypper, &site, None);
    assert!(rolled_back > 5 && applied > 2 && failed == 0, "{rolled_back} {applied} {failed}");
    let (rolled_back, _, failed) = sweep_on(zypper, &site, Some(11));
    assert!(rolled_back > 50 && failed == 0, "{rolled_back} {failed}");
}

#[test]
fn conditional_steps_run_only_for_their_reason() {
    let resources = json!([
        { "file": { "path": "/etc/app.conf", "content": "new\n", "on_change": ["service:app"] } },
        { "service": { "name": "app" , "state": "running" } },
        { "command": { "name": "once", "run": ["/bin/once"], "needed": { "missing": "/etc/app.conf" } } },
        { "command": { "name": "reload", "run": ["/bin/reload"], "needed": { "changed": ["file:/etc/app.conf"] } } },
        { "command": { "name": "guarded", "run": ["/bin/guarded"], "needed": { "unless": ["/bin/guard"] } } },
    ]);
    let site = Site::new(vec![manifest("app", resources)]);
    let mut host = machine();
    let disk = FakeDisk::new(host.power.clone());
    let plan = site.plan(&mut host).unwrap();
    let shown: Vec<_> = plan.iter().map(|a| a.summary.as_str()).collect();
    assert_eq!(
        shown,
        [
            "update /etc/app.conf: contents",
            "run /bin/reload, if file:/etc/app.conf is changed",
            "run /bin/guarded, unless /bin/guard succeeds (decided when it is applied)",
            "restart app if it runs and file:/etc/app.conf is changed",
        ]
    );
    assert_eq!(host.world.borrow().ran, Vec::<String>::new(), "planning runs nothing");
    // Between planning and applying somebody has made the file right: nothing is changed, nothing restarts.
    host.file("/etc/app.conf", "new\n");
    let mut log = journal(&disk);
    let outcome = site.apply_approved(plan, &mut host, &mut log).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Unchanged, "{outcome:#?}");
    assert_eq!(host.world.borrow().ran, ["/bin/guard"]);
    assert!(host.world.borrow().restarts.is_empty());
    log.receipt_made(Digest::of(b"r")).unwrap();
    host.file("/etc/app.conf", "other\n");
    host.exits.borrow_mut().insert("/bin/guard".into(), 1);
    let outcome = site.apply(&mut host, &mut log).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied);
    assert_eq!(host.world.borrow().ran, ["/bin/guard", "/bin/reload", "/bin/guard", "/bin/guarded"]);
    assert_eq!(host.world.borrow().restarts, ["app.service"]);
}
