//! Kinds of units and of the system as a whole, on real private roots and on a machine in memory whose power goes.

use super::crash::{OTHER_ROOT, ROOT, sweep};
use super::files::Bench;
use super::support::site::{Site, manifest};
use agent::host::Host as _;
use agent::host::fake::FakeDisk;
use agent::journal::Journal;
use serde_json::{Value, json};
use shared::digest::Digest;
use shared::receipt::HostOutcome;
use std::fs;
use std::path::Path;

pub const LEAF: &str = include_str!("../../../shared/src/manifest/golden/leaf.pem");

/// A root with what the kinds look at.
fn prepared() -> Bench {
    let bench = Bench::new();
    for dir in ["etc/systemd/system", "lib/systemd/system"] {
        fs::create_dir_all(bench.path(dir)).unwrap();
    }
    fs::write(bench.path("lib/systemd/system/app.service"), "[Service]\nExecStart=/bin/sleep 60\n").unwrap();
    for dir in ["etc/ssl/certs", "usr/share/ca-certificates", "usr/local/share/ca-certificates"] {
        fs::create_dir_all(bench.path(dir)).unwrap();
    }
    // A bundle of a single certificate would count as one more file of the store.
    fs::write(bench.path("etc/ca-certificates.conf"), "base.crt\n").unwrap();
    fs::write(bench.path("usr/share/ca-certificates/base.crt"), LEAF).unwrap();
    for (name, text) in [("old.timer", "[Timer]\nOnCalendar=daily\n"), ("old.service", "[Service]\n")] {
        fs::write(bench.path("etc/systemd/system").join(name), text).unwrap();
    }
    bench
}

fn units() -> Value {
    json!([
        { "dropin": { "unit": "app", "name": "limits", "template": "[Service]\nEnvironment=HOST={{facts.hostname}}" } },
        { "dropin": { "unit": "app", "name": "more", "content": "[Service]\nNice=5\n" } },
        { "timer": { "name": "backup", "on_calendar": ["Mon..Fri 02:30", "Sat *-*-1..7 04:00"],
                     "run": ["/bin/echo", "a b"], "user": "web", "persistent": true } },
        { "timer": { "name": "other", "on_calendar": ["daily"], "run": ["/bin/true"] } },
        { "timer": { "name": "old", "state": "absent" } },
        { "timer": { "name": "never-was", "state": "absent" } },
    ])
}

/// Everything that holds for every kind: planning changes nothing, a failing run leaves the state before, applying does
/// what was planned, a second run has nothing to do. Gives the plan's lines.
fn brought_about_and_undone(bench: &mut Bench, resources: &Value) -> Vec<String> {
    let before = bench.tree();
    let site = bench.site(resources.clone());
    let plan = site.plan(&mut bench.machine).unwrap();
    assert_eq!(bench.tree(), before, "planning changes nothing");
    let mut failing = resources.clone();
    let fail = json!({ "command": { "name": "fail", "run": ["/bin/false"], "needed": "always", "undo": ["/bin/true"] } });
    failing.as_array_mut().unwrap().push(fail);
    let outcome = bench.site(failing).apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
    assert!(outcome.note.contains("command:fail"), "{outcome:#?}");
    assert_eq!(bench.tree(), before, "undone");
    bench.journal.receipt_made(Digest::of(b"r")).unwrap();
    let outcome = site.apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    bench.journal.receipt_made(Digest::of(b"r")).unwrap();
    assert_eq!(site.plan(&mut bench.machine).unwrap(), [], "a second run has nothing to do");
    plan.iter().map(|a| format!("{} [{}, undo {}]", a.summary, a.class, a.undo.undo.as_str())).collect()
}

/// The outcome's note of a run that must be taken back.
fn taken_back(bench: &mut Bench, resources: Value) -> String {
    let before = bench.tree();
    let outcome = bench.site(resources).apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{outcome:#?}");
    assert_eq!(bench.tree(), before, "nothing is left, not even beside a file");
    bench.journal.receipt_made(Digest::of(b"r")).unwrap();
    outcome.note
}

#[test]
fn dropins_and_timers_are_brought_about_and_undone() {
    let mut bench = prepared();
    let lines = brought_about_and_undone(&mut bench, &units());
    let dir = "/etc/systemd/system";
    let accepted = "root:root 0644, once systemd-analyze accepts it";
    let end = "[sensitive_file, undo yes]";
    assert_eq!(
        lines,
        [
            format!(
                "create the directory {dir}/app.service.d: root:root 0755; create {dir}/app.service.d/limits.conf: 32 bytes, {accepted} {end}"
            ),
            format!("create {dir}/app.service.d/more.conf: 17 bytes, {accepted} {end}"),
            format!(
                "create {dir}/backup.service: 85 bytes, {accepted}; create {dir}/backup.timer: 150 bytes, {accepted}; create the directory {dir}/timers.target.wants: root:root 0755; create the link {dir}/timers.target.wants/backup.timer to {dir}/backup.timer {end}"
            ),
            format!(
                "create {dir}/other.service: 69 bytes, {accepted}; create {dir}/other.timer: 94 bytes, {accepted}; create the link {dir}/timers.target.wants/other.timer to {dir}/other.timer {end}"
            ),
            format!("remove {dir}/old.timer; remove {dir}/old.service {end}"),
        ]
    );
    let read = |name: &str| fs::read_to_string(bench.path("etc/systemd/system").join(name)).unwrap();
    assert_eq!(read("app.service.d/limits.conf"), "[Service]\nEnvironment=HOST=web1\n");
    assert!(read("backup.service").contains("User=web\nExecStart=/bin/echo \"a b\"\n"));
}

#[test]
fn what_systemd_cannot_read_never_goes_live() {
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        return;
    }
    let mut bench = prepared();
    let typo = json!([{ "dropin": { "unit": "app", "name": "x", "content": "[Service]\nMemroyMax=1G\n" } }]);
    let note = taken_back(&mut bench, typo);
    assert!(
        note.contains("app.service.d/x.conf:2: Unknown key") && note.contains("is not changed"),
        "{note}"
    );
    let never = json!([{ "timer": { "name": "x", "on_calendar": ["Feb 30 25:00"], "run": ["/bin/true"] } }]);
    let note = taken_back(&mut bench, never);
    assert!(note.contains("x.timer:5: Failed to parse calendar"), "{note}");
}

#[test]
fn units_are_rolled_back_or_done_whatever_write_the_power_goes_at() {
    let mut all = units();
    all.as_array_mut().unwrap().push(json!({ "service": { "name": "app", "enabled": true } }));
    let (rolled_back, applied, failed) = sweep(all.clone(), None);
    assert!(rolled_back > 50 && applied > 2 && failed == 0, "{rolled_back} {applied} {failed}");
    let (rolled_back, _, failed) = sweep(all, Some(29));
    assert!(rolled_back > 100 && failed == 0, "{rolled_back} {failed}");
}

#[test]
fn the_trust_store_follows_the_certificates_and_goes_back() {
    if !Path::new("/usr/sbin/update-ca-certificates").exists() {
        return;
    }
    let mut bench = prepared();
    // As the host itself would have made its store.
    let old = bench.path("usr/local/share/ca-certificates/old.crt");
    fs::write(&old, OTHER_ROOT).unwrap();
    bench.machine.refresh_trust().unwrap();
    let store = |bench: &Bench| {
        let mut names: Vec<String> =
            bench.tree().into_keys().filter(|p| p.starts_with("/etc/ssl/certs/")).collect();
        names.retain(|name| !name.ends_with("ca-certificates.crt"));
        names
    };
    let one = store(&bench);
    assert_eq!(one.len(), 4, "two links and their hashes: {one:?}");
    let resources = json!([
        { "certificate": { "name": "root", "content": ROOT } },
        { "certificate": { "name": "old", "state": "absent" } },
        { "certificate": { "name": "never-was", "state": "absent" } },
    ]);
    let lines = brought_about_and_undone(&mut bench, &resources);
    let fingerprint = "sha256 1b16a36eedd7b9d85902ea270d0549fac69a1175ade9c645c8c7206cd4004b70";
    assert_eq!(lines.len(), 2);
    assert_eq!(
        lines[0],
        format!(
            "create /usr/local/share/ca-certificates/root.crt: 591 bytes, root:root 0644; trust the authority O=Example, CN=Example Root (valid until 2036-11-17T14:51:52Z, {fingerprint}) [sensitive_file, undo yes]"
        )
    );
    assert!(
        lines[1].contains("; no longer trust the authority O=Example, CN=Example Second Root ("),
        "{}",
        lines[1]
    );
    let bundle = |bench: &Bench| fs::read_to_string(bench.path("etc/ssl/certs/ca-certificates.crt")).unwrap();
    assert_eq!(bundle(&bench), format!("{LEAF}{ROOT}"));
    assert_eq!(store(&bench).len(), 4, "{:?}", store(&bench));

    // Another certificate under the same name: the links of the first one go.
    let other = json!([{ "certificate": { "name": "root", "content": OTHER_ROOT } }]);
    brought_about_and_undone(&mut bench, &other);
    assert_eq!(bundle(&bench), format!("{LEAF}{OTHER_ROOT}"));
    let hashes = |names: Vec<String>| names.into_iter().filter(|n| n.ends_with(".0")).collect::<Vec<_>>();
    assert_eq!(hashes(store(&bench)), hashes(one));

    // Somebody has taken it out of the store alone.
    fs::write(bench.path("etc/ssl/certs/ca-certificates.crt"), format!("{LEAF}{ROOT}")).unwrap();
    let plan = bench.site(other.clone()).plan(&mut bench.machine).unwrap();
    assert!(plan[0].summary.starts_with("trust the authority"), "{plan:#?}");
    assert_eq!(plan[0].undo.undo.as_str(), "partly");
    bench.site(other).apply(&mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(bundle(&bench), format!("{LEAF}{OTHER_ROOT}"));
}

fn kernel() -> Value {
    json!([
        { "mount": { "path": "/srv/cache", "source": "tmpfs", "fstype": "tmpfs", "options": ["nosuid", "size=1M"] } },
        { "mount": { "path": "/srv/tree", "source": "tmpfs", "fstype": "tmpfs", "options": ["nodev"] } },
        { "mount": { "path": "/srv/old", "state": "absent" } },
        { "kernel_module": { "name": "br-netfilter", "options": ["a=1"] } },
        { "kernel_module": { "name": "cramfs", "state": "blocked" } },
        { "kernel_module": { "name": "floppy", "state": "absent" } },
    ])
}

/// Below a private root there is no kernel; the files for the boot are brought about all the same.
#[test]
fn the_table_of_mounts_and_files_of_modules_are_brought_about_and_undone() {
    let mut bench = prepared();
    fs::write(bench.path("etc/fstab"), "# mine\ntmpfs /srv/old tmpfs defaults 0 0\n").unwrap();
    fs::create_dir(bench.path("etc/modules-load.d")).unwrap();
    fs::create_dir(bench.path("srv/tree")).unwrap();
    let lines = brought_about_and_undone(&mut bench, &kernel());
    assert_eq!(
        lines,
        [
            "create the directory /srv/cache: root:root 0755; update /etc/fstab: contents [sensitive_file, undo partly]",
            "update /etc/fstab: contents [sensitive_file, undo partly]",
            "update /etc/fstab: contents [sensitive_file, undo partly]",
            "create /etc/modules-load.d/assent-br_netfilter.conf: 13 bytes, root:root 0644; create the directory /etc/modprobe.d: root:root 0755; create /etc/modprobe.d/assent-br_netfilter.conf: 25 bytes, root:root 0644 [sensitive_file, undo partly]",
            "create /etc/modprobe.d/assent-cramfs.conf: 43 bytes, root:root 0644 [sensitive_file, undo partly]",
        ]
    );
    assert_eq!(
        fs::read_to_string(bench.path("etc/fstab")).unwrap(),
        "# mine\ntmpfs /srv/cache tmpfs nosuid,size=1M 0 0\ntmpfs /srv/tree tmpfs nodev 0 0\n"
    );
}

#[test]
fn mounts_and_modules_are_rolled_back_or_done_whatever_write_the_power_goes_at() {
    let (rolled_back, applied, failed) = sweep(kernel(), None);
    assert!(rolled_back > 50 && applied > 2 && failed == 0, "{rolled_back} {applied} {failed}");
    let (rolled_back, _, failed) = sweep(kernel(), Some(23));
    assert!(rolled_back > 50 && failed == 0, "{rolled_back} {failed}");
}

/// A container has the kernel of its host and none of its modules.
#[test]
fn modules_that_the_host_cannot_load_are_refused_when_planning() {
    let site = Site::new(vec![manifest("app", json!([{ "kernel_module": { "name": "dummy" } }]))]);
    let mut host = super::crash::machine();
    assert!(site.plan(&mut host).unwrap()[0].summary.ends_with("load the kernel module dummy"));
    host.world.borrow_mut().nodes.remove("/lib/modules/6.1.0");
    let refused = site.plan(&mut host).unwrap_err();
    assert!(refused.message.contains("cannot load or unload dummy (a container"), "{refused}");
}

fn ruleset(port: u16) -> String {
    format!("flush ruleset\ntable inet f {{ chain i {{ tcp dport {port} accept; }}\n}}\n")
}

/// Below a private root there is no packet filter; the file for the boot is brought about all the same.
#[test]
fn a_ruleset_is_checked_before_its_file_goes_live() {
    if !Path::new("/usr/sbin/nft").exists() {
        return;
    }
    let mut bench = prepared();
    let lines = brought_about_and_undone(&mut bench, &json!([{ "firewall": { "content": ruleset(22) } }]));
    assert_eq!(
        lines,
        [
            "create /etc/nftables.conf: 64 bytes, root:root 0644, once /usr/sbin/nft accepts it [sensitive_file, undo yes]"
        ]
    );
    let broken = ruleset(22).replace("accept", "accpet");
    let note = taken_back(&mut bench, json!([{ "firewall": { "content": broken } }]));
    assert!(note.contains("/etc/nftables.conf is not changed") && note.contains("accpet"), "{note}");
    let late = json!([{ "firewall": { "template": "table inet f {}\n" } }]);
    let refused = bench.site(late).plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("does not begin with `flush ruleset`"), "{refused}");
}

#[test]
fn rules_are_rolled_back_or_done_whatever_write_the_power_goes_at() {
    let all = json!([{ "firewall": { "content": ruleset(22) } }, { "file": { "path": "/srv/after", "content": "x" } }]);
    let (rolled_back, applied, failed) = sweep(all.clone(), None);
    assert!(rolled_back > 20 && applied > 2 && failed == 0, "{rolled_back} {applied} {failed}");
    let (rolled_back, _, failed) = sweep(all, Some(5));
    assert!(rolled_back > 20 && failed == 0, "{rolled_back} {failed}");
}

/// Rules that nobody approved are what is undone to, and what is found when they drift.
#[test]
fn rules_that_others_load_are_seen_and_put_back() {
    let site = Site::new(vec![manifest("app", json!([{ "firewall": { "content": ruleset(22) } }]))]);
    let mut host = super::crash::machine();
    host.world.borrow_mut().rules = "table ip other {\n}\n".into();
    let disk = FakeDisk::new(host.power.clone());
    let mut journal = Journal::open(disk, Path::new("/journal")).unwrap();
    let plan = site.plan(&mut host).unwrap();
    assert!(plan[0].summary.starts_with("load the ruleset of nftables, which is taken back unless the server is reached within 60 s; create /etc/nftables.conf"), "{}", plan[0].summary);
    assert_eq!(site.apply(&mut host, &mut journal).unwrap().outcome, HostOutcome::Applied);
    journal.receipt_made(Digest::of(b"r")).unwrap();
    assert!(host.world.borrow().rules.starts_with("table inet f"));
    assert_eq!(site.plan(&mut host).unwrap(), []);
    host.world.borrow_mut().rules.push_str("table ip other {\n}\n");
    let plan = site.plan(&mut host).unwrap();
    assert!(plan[0].summary.ends_with("; /etc/nftables.conf stays as it is"), "{}", plan[0].summary);
    assert_eq!(site.apply(&mut host, &mut journal).unwrap().outcome, HostOutcome::Applied);
    assert!(!host.world.borrow().rules.contains("other"));
    assert_eq!(host.world.borrow().armed, None);
}

#[test]
fn authorities_are_rolled_back_or_done_whatever_write_the_power_goes_at() {
    let all = json!([
        { "certificate": { "name": "root", "content": ROOT } },
        { "certificate": { "name": "old", "state": "absent" } },
    ]);
    let (rolled_back, applied, failed) = sweep(all.clone(), None);
    assert!(rolled_back > 20 && applied > 2 && failed == 0, "{rolled_back} {applied} {failed}");
    let (rolled_back, _, failed) = sweep(all, Some(11));
    assert!(rolled_back > 20 && failed == 0, "{rolled_back} {failed}");
}
