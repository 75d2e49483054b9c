//! Days on which packages and disks go wrong: what the host does, what stays behind, and that the receipt says so.

use super::{Site, outcome, status};
use shared::receipt::StepStatus;
use tests::machine::{Disk, on_own_ground};

/// Another one's package: its script holds the package manager until somebody lets it go on.
const HOLDS: &str = "touch /var/tmp/held; while [ ! -e /var/tmp/go ]; do sleep 0.1; done";

fn package(name: &str, version: &str) -> String {
    format!("resources:\n  - package: {{name: {name}, version: \"{version}\"}}\n")
}

impl Site {
    /// No package is left in between, by dpkg's own judgement.
    fn packages_are_sound(&self) {
        assert_eq!(self.machine.ask(&["dpkg", "--audit"]), "");
        self.machine.exec(&["apt-get", "-qq", "check"]).ok();
    }
}

#[test]
fn locks_full_disks_and_broken_scripts_are_told_and_leave_nothing_behind() {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, Disk::Volatile, &[]);
        let settings = "mkdir -p /etc/assent; echo 'package_lock_secs = 3' >>/etc/assent/agent.toml";
        site.machine.exec(&["sh", "-c", settings]).ok();
        locked(&mut site);
        full(&mut site);
        broken(&mut site);
        site.is_sound();
    });
}

fn locked(site: &mut Site) {
    site.lab.add_script("other", "1.0", HOLDS);
    site.lab.add_script("own", "1.0", "true");
    let id = site.request("own@1.0.0", &package("own", "1.0"));
    site.machine.exec(&["apt-get", "-qq", "update"]).ok();
    let install = ["systemd-run", "-q", "--unit=other-apt", "apt-get", "-qq", "-y", "install", "other"];
    site.machine.exec(&install).ok();
    site.until_there("/var/tmp/held");
    site.approve(&id);
    let why = || site.world.assent(&["why", "m1", &id]).ok().out;
    site.until("the reason", || why().contains("in use by process") && why().contains("(apt-get)"));
    assert_eq!(site.package("own"), "");
    assert!(site.own_receipt(&id).is_none(), "nothing was begun");

    // As soon as the other one is done, it is the turn of what was approved.
    site.machine.exec(&["touch", "/var/tmp/go"]).ok();
    site.until("the other one's end", || site.package("other") == "installed 1.0");
    site.machine.nudge();
    let receipt = site.receipt(&id);
    assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
    assert_eq!(site.package("own"), "installed 1.0");
}

/// File systems of their own that are as good as full: for a file, and for what dpkg unpacks.
fn full(site: &mut Site) {
    let small = "mkdir -p /srv/small; mount -t tmpfs -o size=16k tmpfs /srv/small; echo old >/srv/small/file;
        mount -t tmpfs -o size=4k tmpfs /usr/share/lab; head -c 4096 /dev/zero >/usr/share/lab/filled";
    site.machine.exec(&["sh", "-c", small]).ok();
    let large = "x".repeat(100_000);
    let body = format!(
        "resources:\n  - file: {{path: /etc/before, content: new}}\n  - file: {{path: /srv/small/file, content: {large}, requires: [\"file:/etc/before\"]}}\n"
    );
    let receipt = site.change("large@1.0.0", &body);
    assert_eq!(outcome(&receipt), "rolled_back", "{:#?}", receipt.body);
    assert!(receipt.body.note.contains("No space left on device"), "{}", receipt.body.note);
    assert_eq!(site.machine.ask(&["sh", "-c", "cat /srv/small/file; ls /srv/small"]), "old\nfile");
    assert!(!site.has("/etc/before"));

    site.lab.add_script("big", "1.0", "true");
    let receipt = site.change("big@1.0.0", &package("big", "1.0"));
    assert_eq!(outcome(&receipt), "rolled_back", "{:#?}", receipt.body);
    assert!(receipt.body.note.contains("No space left on device"), "{}", receipt.body.note);
    assert_eq!(site.package("big"), "not-installed ");
    site.packages_are_sound();
    site.machine.exec(&["umount", "/usr/share/lab", "/srv/small"]).ok();
    let receipt = site.change("big@1.0.1", &package("big", "1.0"));
    assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
}

fn broken(site: &mut Site) {
    site.lab.add_script("tool", "1.0", "true");
    let receipt = site.change("tool@1.0.0", &package("tool", "1.0"));
    assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
    site.lab.add_script("tool", "1.1", "echo 'this script is broken' >&2; exit 3");
    let receipt = site.change("tool@1.1.0", &package("tool", "1.1"));
    assert_eq!(outcome(&receipt), "rolled_back", "{:#?}", receipt.body);
    assert!(receipt.body.note.contains("returned error exit status 3"), "{}", receipt.body.note);
    assert_eq!(status(&receipt, "package:tool", "upgrade"), Some(StepStatus::Undone), "{:#?}", receipt.body);
    assert_eq!(site.package("tool"), "installed 1.0");
    site.packages_are_sound();
}

/// Nothing else than the approved version, or the one before, whatever the archive offers by then.
#[test]
fn a_machine_that_loses_power_in_the_middle_of_dpkg_heals_with_exact_versions() {
    on_own_ground(|ground| {
        let mut site = Site::new(ground, Disk::Own, &[]);
        site.lab.add_script("deep", "1.0", "true");
        let receipt = site.change("deep@1.0.0", &package("deep", "1.0"));
        assert_eq!(outcome(&receipt), "applied", "{:#?}", receipt.body);
        site.lab.add_script("deep", "1.1", "echo run >>/var/tmp/deep; sync /var/tmp/deep; sleep 3");
        let id = site.request("deep@1.1.0", &package("deep", "1.1"));
        site.machine.exec(&["sync"]).ok();
        site.approve(&id);
        site.until_there("/var/tmp/deep");
        site.lab.add_script("deep", "1.2", "true");
        site.machine.cut_power();
        site.machine.power_on();
        let receipt = site.receipt(&id);
        let expected = match outcome(&receipt) {
            "applied" => "installed 1.1",
            "rolled_back" => "installed 1.0",
            other => panic!("{other}: {:#?}", receipt.body),
        };
        assert_eq!(site.package("deep"), expected, "{:#?}", receipt.body);
        site.packages_are_sound();
        site.is_sound();
    });
}
