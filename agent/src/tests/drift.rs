//! What differs from the approved state is told, once, as what it is; and nothing is done about it.

use super::site::NOW;
use super::{Bench, host_id};
use crate::config::Config;
use crate::decide::splay_secs;
use crate::drift::{Depth, Memory};
use crate::host::fake::{Cut, Deb, Node};
use crate::host::systemd::Unit;
use crate::host::{Attrs, Cause, Installed, PackageEvent, PackageState};
use crate::vault::Vault;
use shared::finding::{About, Expected, Finding, Presence};
use shared::manifest::Manifest;

fn read(text: &serde_json::Value) -> Manifest {
    Manifest::from_json(text.to_string().as_bytes()).unwrap()
}

/// A manifest of these resources that runs nothing.
pub(super) fn manifest(name: &str, version: &str, resources: &serde_json::Value) -> Manifest {
    read(
        &serde_json::json!({ "manifest": name, "version": version, "team": "main", "title": "t", "resources": resources }),
    )
}

fn two_files(version: &str) -> Manifest {
    manifest(
        "base",
        version,
        &serde_json::json!([
            { "file": { "path": "/etc/motd", "content": "approved\n" } },
            { "file": { "path": "/etc/issue", "content": "approved {{facts.hostname}}\n" } }
        ]),
    )
}

/// A host on which the manifest was applied.
fn applied(manifest: Manifest) -> Bench {
    let mut bench = Bench::new();
    let report = bench.through(1, manifest, |_| {});
    assert_eq!((report.ran.len(), report.faults.len()), (1, 0), "{:?}", report.lines);
    assert_eq!(bench.site.findings(), [], "a host that was just changed is as approved");
    bench
}

/// What the server knows of findings after a tick so many seconds later.
fn after(bench: &mut Bench, secs: i64) -> Vec<Finding> {
    bench.at(NOW.plus(secs));
    let report = bench.tick();
    assert_eq!(report.faults, Vec::<String>::new(), "{:?}", report.lines);
    bench.site.check_chain();
    bench.site.findings()
}

fn state(finding: &Finding) -> &Expected {
    finding.about.state().unwrap()
}

fn resources(finding: &Finding) -> Vec<&str> {
    finding.differences.iter().map(|d| d.resource.as_str()).collect()
}

#[test]
fn what_somebody_changed_is_told_once_and_again_when_it_is_gone() {
    let mut bench = applied(two_files("1.0.0"));
    let approved = bench.machine.world.borrow().nodes.clone();
    bench.machine.file("/etc/motd", "somebody\n");
    bench.machine.world.borrow_mut().nodes.remove("/etc/issue");
    let found = after(&mut bench, 60);
    assert_eq!(found.len(), 1);
    found[0].check().unwrap();
    assert_eq!(resources(&found[0]), ["file:/etc/issue", "file:/etc/motd"]);
    assert_eq!((found[0].number, found[0].count, found[0].presence), (1, 1, Presence::There));
    assert_eq!(
        (state(&found[0]).manifest.as_str(), state(&found[0]).change_id.as_str()),
        ("main/base", "C-1")
    );
    let diff = found[0].differences[1].diff.as_deref().unwrap();
    assert!(diff.contains("-somebody") && diff.contains("+approved"), "{diff}");
    assert_eq!(found[0].differences[0].observed, None);
    // Nothing is done about it, and nothing said again, also by an agent that was restarted.
    assert_eq!(bench.motd().as_deref(), Some("somebody\n"));
    assert_eq!(after(&mut bench, 120).len(), 1);
    bench.boot().unwrap();
    assert_eq!(after(&mut bench, 180).len(), 1);
    assert!(
        bench.status().contains("finding       1: file:/etc/issue, file:/etc/motd differ"),
        "{}",
        bench.status()
    );

    bench.machine.world.borrow_mut().nodes = approved;
    let found = after(&mut bench, 240);
    assert_eq!((found.len(), found[1].number, found[1].presence), (2, 1, Presence::Gone));
    assert!(!bench.status().contains("finding"), "{}", bench.status());
}

#[test]
fn another_approved_change_takes_the_place_of_the_state() {
    let mut bench = applied(two_files("1.0.0"));
    let other = manifest(
        "motd",
        "1.0.0",
        &serde_json::json!([{ "file": { "path": "/etc/motd", "content": "other\n" } }]),
    );
    bench.at(NOW.plus(60));
    bench.through(2, other, |_| {});
    assert_eq!(after(&mut bench, 120), [], "the later state of a file counts");
    bench.machine.file("/etc/motd", "approved\n");
    let found = after(&mut bench, 180);
    assert_eq!((found.len(), state(&found[0]).manifest.as_str()), (1, "main/motd"));
    // A new version of the manifest does not name the other file any more: it is nobody's.
    let less = manifest("base", "1.1.0", &serde_json::json!([{ "directory": { "path": "/srv/base" } }]));
    bench.through(3, less, |_| {});
    bench.machine.world.borrow_mut().nodes.remove("/etc/issue");
    assert_eq!(after(&mut bench, 240).len(), 1);
}

#[test]
fn a_part_of_a_file_is_over_when_a_later_state_takes_the_whole_and_parts_of_two_states_stay() {
    let line = |name: &str, text: &str| {
        let line = serde_json::json!({ "path": "/etc/conf", "name": name, "line": text, "create": true });
        manifest(name, "1.0.0", &serde_json::json!([{ "line": line }]))
    };
    let mut bench = applied(line("one", "a=1"));
    bench.at(NOW.plus(60));
    bench.through(2, line("two", "b=1"), |_| {});
    assert_eq!(after(&mut bench, 120), []);
    bench.machine.file("/etc/conf", "b=1\n");
    let found = after(&mut bench, 180);
    assert_eq!((found.len(), state(&found[0]).manifest.as_str()), (1, "main/one"));
    let whole = serde_json::json!([{ "file": { "path": "/etc/conf", "content": "c=1\n" } }]);
    bench.through(3, manifest("whole", "1.0.0", &whole), |_| {});
    let found = after(&mut bench, 240);
    assert_eq!((found.len(), found[1].number, found[1].presence), (2, 1, Presence::Gone));
}

#[test]
fn a_clock_that_was_ahead_leaves_findings_that_every_reader_accepts() {
    let mut bench = applied(two_files("1.0.0"));
    bench.machine.file("/etc/motd", "somebody\n");
    assert_eq!(after(&mut bench, 7_200).len(), 1);
    bench.machine.file("/etc/motd", "somebody else\n");
    let found = after(&mut bench, 3_500);
    assert_eq!(found.len(), 2);
    found.iter().for_each(|finding| finding.check().unwrap());
}

#[test]
fn what_was_undone_never_becomes_the_approved_state() {
    let mut bench = applied(two_files("1.0.0"));
    let mut bad = two_files("1.1.0");
    let health = serde_json::json!([{ "name": "works", "command": { "run": ["/bin/works"] }, "retries": 0 }]);
    bad.health = serde_json::from_value(health).unwrap();
    let text = serde_json::to_string(&bad).unwrap().replace("approved", "bad");
    bench.machine.exits.borrow_mut().insert("/bin/works".into(), 2);
    bench.machine.file("/bin/works", "");
    let report = bench.through(2, Manifest::from_json(text.as_bytes()).unwrap(), |change| {
        change.action_classes.insert(shared::risk::ActionClass::Command);
    });
    assert_eq!(report.ran[0].2, shared::receipt::HostOutcome::RolledBack, "{:?}", report.lines);
    assert_eq!(after(&mut bench, 120), []);
    bench.machine.file("/etc/motd", "bad\n");
    let found = after(&mut bench, 180);
    assert_eq!((found.len(), state(&found[0]).change_id.as_str()), (1, "C-1"));
}

#[test]
fn packages_of_another_version_and_missing_ones_are_told_and_newer_offers_are_not() {
    let package = |name: &str, version: &str| Installed {
        name: name.into(),
        arch: "all".into(),
        version: version.into(),
        source: name.into(),
        source_version: version.into(),
        vendor: None,
        held: false,
        state: PackageState::Installed,
    };
    let mut bench = Bench::new();
    *bench.machine.debs.borrow_mut() =
        ["exact", "range", "latest"].map(|name| Deb::new(name, "1.0", &[], "Lab:stable")).to_vec();
    let wanted = manifest(
        "packages",
        "1.0.0",
        &serde_json::json!([
            { "package": { "name": "exact", "version": "1.0" } },
            { "package": { "name": "range", "range": ">= 1.0, < 2" } },
            { "package": { "name": "latest", "state": "latest" } },
            { "package": { "name": "telnetd", "state": "absent" } }
        ]),
    );
    let report = bench.through(1, wanted, |change| {
        change.action_classes.insert(shared::risk::ActionClass::Package);
    });
    assert_eq!(report.ran.len(), 1, "{:?}", report.lines);
    let newer = ["exact", "range", "latest"].map(|name| Deb::new(name, "1.1", &[], "Lab:stable"));
    bench.machine.debs.borrow_mut().extend(newer);
    assert_eq!(after(&mut bench, 60), [], "a newer offer is no change of the host");
    for (name, version) in [("exact", "1.1"), ("range", "1.1"), ("latest", "1.1")] {
        bench.machine.world.borrow_mut().packages.insert(name.into(), package(name, version));
    }
    let found = after(&mut bench, 120);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].differences[0].summary, "exact 1.1 is installed; approved: 1.0");
    assert_eq!(resources(&found[0]), ["package:exact"]);
    bench.machine.world.borrow_mut().packages.insert("telnetd".into(), package("telnetd", "3"));
    bench.machine.world.borrow_mut().packages.remove("latest");
    let found = after(&mut bench, 180);
    assert_eq!(resources(&found[1]), ["package:latest", "package:telnetd"]);
}

#[test]
fn a_version_that_a_later_approved_patch_brought_is_no_difference() {
    let mut bench = Bench::new();
    *bench.machine.debs.borrow_mut() = vec![Deb::new("alpha", "1.0", &[], "Lab:stable")];
    let pinned = manifest(
        "packages",
        "1.0.0",
        &serde_json::json!([{ "package": { "name": "alpha", "version": "1.0" } }]),
    );
    let may = |change: &mut shared::change::Change| {
        change.action_classes.insert(shared::risk::ActionClass::Package);
    };
    bench.through(1, pinned, may);
    bench.machine.debs.borrow_mut().push(Deb::new("alpha", "1.1", &[], "Lab:stable"));
    bench.at(NOW.plus(60));
    let patch =
        serde_json::json!({ "manifest": "updates", "version": "1.0.0", "patch": { "select": "all" } });
    let report = bench.through(2, read(&patch), may);
    assert_eq!(report.ran.len(), 1, "{:?}", report.lines);
    assert_eq!(bench.machine.world.borrow().packages["alpha"].version, "1.1");
    assert_eq!(after(&mut bench, 120), [], "what was approved last counts");
    bench.machine.world.borrow_mut().packages.get_mut("alpha").unwrap().version = "1.0".into();
    bench.boot().unwrap();
    assert_eq!(after(&mut bench, 180), [], "as the manifest wants it");
    bench.machine.world.borrow_mut().packages.get_mut("alpha").unwrap().version = "1.2".into();
    let found = after(&mut bench, 240);
    assert_eq!(found[0].differences[0].summary, "alpha 1.2 is installed; approved: 1.0");
}

#[test]
fn what_others_did_to_packages_is_told_and_what_the_agent_did_is_not() {
    let mut bench = Bench::new();
    bench.machine.file("/bin/works", "");
    *bench.machine.debs.borrow_mut() =
        ["alpha", "beta"].map(|name| Deb::new(name, "1.0", &[], "Lab:stable")).to_vec();
    let wants = |version: &str, of: &str, works: bool| {
        read(&serde_json::json!({
            "manifest": "packages", "version": version, "team": "main", "title": "t",
            "resources": [{ "package": { "name": "alpha", "version": of } }],
            "health": if works { serde_json::json!([]) } else {
                serde_json::json!([{ "name": "works", "command": { "run": ["/bin/works"] }, "retries": 0 }])
            }
        }))
    };
    let may = |change: &mut shared::change::Change| {
        change
            .action_classes
            .extend([shared::risk::ActionClass::Package, shared::risk::ActionClass::Command]);
    };
    bench.through(1, wants("1.0.0", "1.0", true), may);
    // An upgrade that fails its check and is taken back stands in the record twice.
    bench.machine.debs.borrow_mut().push(Deb::new("alpha", "1.1", &[], "Lab:stable"));
    bench.machine.exits.borrow_mut().insert("/bin/works".into(), 2);
    let report = bench.through(2, wants("1.1.0", "1.1", false), may);
    assert_eq!(report.ran[0].2, shared::receipt::HostOutcome::RolledBack, "{:?}", report.lines);
    assert!(bench.machine.record.borrow().len() >= 3);
    assert_eq!(after(&mut bench, 60), []);

    let event = |name: &str, from: Option<&str>, to: Option<&str>| PackageEvent {
        when: "2026-11-21 08:00:00".into(),
        name: name.into(),
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
        cause: None,
    };
    bench
        .machine
        .record
        .borrow_mut()
        .extend([event("beta", None, Some("1.0")), event("gamma", Some("2"), None)]);
    let found = after(&mut bench, 120);
    assert_eq!((found.len(), resources(&found[0])), (1, vec!["package:beta", "package:gamma"]));
    assert!(matches!(&found[0].about, About::Packages(done) if done.when == "2026-11-21 08:00:00"));
    found[0].check().unwrap();
    bench.boot().unwrap();
    assert_eq!(after(&mut bench, 180).len(), 1, "told once, also after a restart");
}

/// A host with a version that is approved, and what else there is.
fn pinned() -> Bench {
    let mut bench = Bench::new();
    *bench.machine.debs.borrow_mut() = vec![Deb::new("alpha", "1.0", &[], "Lab:stable")];
    let wants = manifest(
        "packages",
        "1.0.0",
        &serde_json::json!([{ "package": { "name": "alpha", "version": "1.0" } }]),
    );
    let report = bench.through(1, wants, |change| {
        change.action_classes.insert(shared::risk::ActionClass::Package);
    });
    assert_eq!((report.ran.len(), report.faults.len()), (1, 0), "{:?}", report.lines);
    assert_eq!(after(&mut bench, 30), [], "a host that was just changed is as approved");
    bench
}

/// Others bring alpha from one version to another, and whatever else with the same command.
fn others_bring(bench: &Bench, command: &str, alpha: (&str, &str), beside: &[&str]) {
    bench.machine.world.borrow_mut().packages.get_mut("alpha").unwrap().version = alpha.1.into();
    let cause =
        Cause { began: "2026-11-21 08:00:00".into(), command: command.into(), by: "ada (1000)".into() };
    let event = |name: &str, from: Option<&str>, to: &str| PackageEvent {
        when: "2026-11-21 08:00:01".into(),
        name: name.into(),
        from: from.map(str::to_owned),
        to: Some(to.to_owned()),
        cause: Some(cause.clone()),
    };
    let mut record = bench.machine.record.borrow_mut();
    record.push(event("alpha", Some(alpha.0), alpha.1));
    record.extend(beside.iter().map(|name| event(name, None, "1")));
}

fn command(finding: &Finding) -> Option<&str> {
    finding.cause.as_ref().map(|done| done.command.as_str())
}

#[test]
fn a_foreign_upgrade_of_a_managed_package_is_one_finding_from_its_cause_to_its_end() {
    let mut bench = pinned();
    others_bring(&bench, "apt-get upgrade", ("1.0", "1.1"), &["beta"]);
    // The agent was away meanwhile, and is so again before it can say the next word.
    bench.boot().unwrap();
    let found = after(&mut bench, 60);
    assert_eq!((found.len(), resources(&found[0])), (1, vec!["package:alpha", "package:beta"]), "{found:#?}");
    assert_eq!((state(&found[0]).change_id.as_str(), command(&found[0])), ("C-1", Some("apt-get upgrade")));
    assert_eq!(found[0].differences[0].summary, "alpha 1.1 is installed; approved: 1.0");
    assert_eq!(found[0].differences[1].summary, "beta 1 was installed");
    found[0].check().unwrap();
    bench.boot().unwrap();
    assert_eq!(after(&mut bench, 120).len(), 1, "told once, also after a restart");
    assert!(bench.status().contains("changed by others at 2026-11-21"));
    others_bring(&bench, "apt-get install alpha=1.0", ("1.1", "1.0"), &[]);
    let found = after(&mut bench, 180);
    let end = &found[1];
    assert_eq!((found.len(), end.number, end.presence), (2, found[0].number, Presence::Gone));
    assert_eq!(command(end), Some("apt-get install alpha=1.0"));
    end.check().unwrap();
    assert_eq!(end.fingerprint(), found[0].fingerprint(), "what was said of it holds");
}

#[test]
fn a_difference_that_was_seen_before_its_cause_could_be_read_stays_one_finding() {
    let mut bench = pinned();
    bench.machine.busy.set(true);
    others_bring(&bench, "apt-get upgrade", ("1.0", "1.1"), &[]);
    let found = after(&mut bench, 60);
    assert_eq!((found.len(), command(&found[0])), (1, None));
    bench.boot().unwrap();
    bench.machine.busy.set(false);
    let found = after(&mut bench, 120);
    assert_eq!((found.len(), found[1].number), (2, found[0].number), "{found:#?}");
    assert_eq!(command(&found[1]), Some("apt-get upgrade"));
}

#[test]
fn a_power_cut_at_any_write_leaves_one_finding_of_a_foreign_upgrade() {
    let ready = || {
        let bench = pinned();
        others_bring(&bench, "apt-get upgrade", ("1.0", "1.1"), &["beta"]);
        bench.at(NOW.plus(60));
        bench.machine.power.restore();
        bench
    };
    cut_anywhere(ready, 5, |found| {
        let one = |f: &Finding| {
            let what = (f.number, command(f), resources(f));
            what == (found[0].number, Some("apt-get upgrade"), vec!["package:alpha", "package:beta"])
        };
        found.iter().all(one)
    });
}

/// Cuts the power at each write of a tick, of which there are `least` and more: once or twice it is said then, as `fits` has it.
fn cut_anywhere(ready: impl Fn() -> Bench, least: u64, fits: impl Fn(&[Finding]) -> bool) {
    let mut calm = ready();
    calm.tick();
    let writes = calm.machine.power.writes();
    assert!(writes >= least, "{writes}");
    for at in 0..writes {
        for cut in [Cut::Lost, Cut::Kept, Cut::Torn] {
            let what = format!("write {at} {cut:?}");
            let mut bench = ready();
            bench.cut_power((at, cut), &what);
            after(&mut bench, 120);
            let found = after(&mut bench, 180);
            assert!((1..=2).contains(&found.len()) && fits(&found), "{what}: {found:#?}");
        }
    }
}

#[test]
fn what_a_run_did_stays_its_own_while_somebody_keeps_the_record_from_being_read() {
    let mut bench = Bench::new();
    *bench.machine.debs.borrow_mut() = vec![Deb::new("alpha", "1.0", &[], "Lab:stable")];
    let wants = manifest(
        "packages",
        "1.0.0",
        &serde_json::json!([{ "package": { "name": "alpha", "version": "1.0" } }]),
    );
    after(&mut bench, 1);
    bench.machine.busy.set(true);
    bench.through(1, wants, |change| {
        change.action_classes.insert(shared::risk::ActionClass::Package);
    });
    assert_eq!(bench.machine.world.borrow().packages["alpha"].version, "1.0");
    assert_eq!(after(&mut bench, 60), []);
    bench.boot().unwrap();
    assert_eq!(after(&mut bench, 120), []);
    assert_eq!(after(&mut bench, 180), []);
    bench.machine.busy.set(false);
    let event = |name: &str| PackageEvent {
        when: "2026-11-21 08:00:00".into(),
        name: name.into(),
        from: None,
        to: Some("1.0".into()),
        cause: None,
    };
    bench.machine.record.borrow_mut().push(event("beta"));
    let found = after(&mut bench, 240);
    assert_eq!((found.len(), resources(&found[0])), (1, vec!["package:beta"]));
}

#[test]
fn something_in_the_way_of_a_file_is_a_finding_and_hides_no_other() {
    let mut bench = applied(two_files("1.0.0"));
    {
        let mut world = bench.machine.world.borrow_mut();
        world.nodes.insert("/etc/issue".into(), Node::Dir(Attrs { uid: 0, gid: 0, mode: 0o755 }));
    }
    bench.machine.file("/etc/motd", "somebody\n");
    let found = after(&mut bench, 60);
    assert_eq!(resources(&found[0]), ["file:/etc/issue", "file:/etc/motd"]);
    assert!(found[0].differences[0].summary.contains("/etc/issue"), "{}", found[0].differences[0].summary);
}

#[test]
fn strays_below_a_directory_are_told_unless_another_state_brought_them() {
    let mut bench = applied(manifest(
        "drop",
        "1.0.0",
        &serde_json::json!([{ "directory": { "path": "/etc/drop.d", "purge": true } }]),
    ));
    let own = manifest(
        "own",
        "1.0.0",
        &serde_json::json!([{ "file": { "path": "/etc/drop.d/own", "content": "x" } }]),
    );
    bench.at(NOW.plus(60));
    bench.through(2, own, |_| {});
    assert_eq!(after(&mut bench, 120), []);
    bench.machine.file("/etc/drop.d/stray", "x");
    let found = after(&mut bench, 180);
    assert_eq!((found.len(), resources(&found[0])), (1, vec!["entry:/etc/drop.d/stray"]));
}

#[test]
fn a_power_cut_at_any_write_of_a_finding_loses_it_not_and_says_it_under_one_number() {
    let ready = || applied(two_files("1.0.0")).touched();
    cut_anywhere(ready, 4, |found| found.iter().all(|f| f.number == 1 && resources(f) == ["file:/etc/motd"]));
}

/// A machine of files on which the check is counted.
#[test]
fn files_that_were_not_touched_are_not_read_again_unless_everything_is() {
    let bench = applied(two_files("1.0.0"));
    let upheld = crate::drift::upheld(&bench.state()).unwrap();
    let (vault, mut memory) = (Vault::without_key(host_id()), Memory::default());
    let mut machine = bench.machine.clone();
    let mut reads = |depth: Depth| {
        let before = machine.reads.get();
        let found = crate::drift::check(&upheld, &vault, depth, &mut memory, NOW, &mut machine).unwrap();
        (machine.reads.get() - before, found.len())
    };
    assert_eq!(reads(Depth::Full), (2, 0));
    assert_eq!(reads(Depth::Quick), (0, 0));
    assert_eq!(reads(Depth::Full), (2, 0));
    bench.machine.file("/etc/motd", "somebody\n");
    assert_eq!(reads(Depth::Quick), (1, 1));
    assert_eq!(reads(Depth::Quick), (1, 1), "what differs is looked at each time");
    bench.machine.file("/etc/motd", "approved\n");
    assert_eq!(reads(Depth::Quick), (1, 0));
    // Owners are called otherwise: every answer may be another one.
    bench.machine.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nother:x:7:7::/:/bin/sh\n");
    assert_eq!(reads(Depth::Quick), (2, 0));
}

/// As the daemon does it, with the intervals of the defaults.
#[test]
fn checks_come_at_the_host_s_own_moment_and_everything_is_read_at_the_longer_interval() {
    let config = Config::default();
    let (every, all) = (i64::from(config.check_secs), i64::from(config.full_check_secs));
    let own = every + i64::from(splay_secs(host_id(), config.check_secs));
    assert!(own > every, "this host has a share of its own");
    let mut bench = applied(two_files("1.0.0"));
    let reads = |bench: &mut Bench, secs: i64| {
        bench.at(NOW.plus(secs));
        let before = bench.machine.reads.get();
        bench.agent.as_mut().unwrap().tick();
        (bench.machine.reads.get() - before, bench.site.findings().len())
    };
    bench.machine.file("/etc/motd", "somebody\n");
    assert_eq!(reads(&mut bench, own - 1), (0, 0), "not yet");
    assert_eq!(reads(&mut bench, own), (1, 1), "only what was touched is read");
    bench.machine.file("/etc/motd", "approved\n");
    assert_eq!(reads(&mut bench, 2 * own), (1, 2));
    assert_eq!(reads(&mut bench, 3 * own), (0, 2), "nothing was touched");
    assert_eq!(reads(&mut bench, all - 1), (0, 2));
    assert_eq!(reads(&mut bench, all - 1 + own), (2, 2), "everything is read again");
    assert_eq!(reads(&mut bench, all - 1 + 2 * own), (0, 2));
}

/// What only some may read is told as changed, and by what the approved state puts there.
#[test]
fn what_somebody_wrote_into_a_closed_file_stays_on_the_host() {
    let closed = |path: &str, attrs: &serde_json::Value| {
        let mut file = serde_json::json!({ "path": path, "content": "user = app\n" });
        file.as_object_mut().unwrap().extend(attrs.as_object().unwrap().clone());
        serde_json::json!({ "file": file })
    };
    let files = serde_json::json!([
        closed("/etc/app.conf", &serde_json::json!({ "mode": "0640" })),
        closed("/etc/kept.conf", &serde_json::json!({})),
        closed("/etc/open.conf", &serde_json::json!({ "mode": "0644" })),
    ]);
    let mut bench = applied(manifest("app", "1.0.0", &files));
    for (path, mode) in [("/etc/app.conf", 0o644), ("/etc/kept.conf", 0o600), ("/etc/open.conf", 0o644)] {
        let node = Node::File(Attrs { uid: 0, gid: 0, mode }, b"password = hunter2\n".to_vec());
        bench.machine.world.borrow_mut().nodes.insert(path.into(), node);
    }
    let found = after(&mut bench, 60);
    let shown: Vec<&str> = found[0].differences.iter().map(|d| d.diff.as_deref().unwrap()).collect();
    let [app, kept, open] = shown[..] else { panic!("{found:#?}") };
    for diff in [app, kept] {
        assert!(!diff.contains("hunter2") && diff.contains("+user = app"), "{diff}");
    }
    assert!(open.contains("-password = hunter2"), "everybody on the host may read it: {open}");
}

const PASSWD: &str = "root:x:0:0::/root:/bin/bash\nweb:x:33:33::/:/\n";

#[test]
fn accounts_and_units_that_others_change_are_told_once_also_across_a_restart() {
    let mut bench = applied(two_files("1.0.0"));
    assert_eq!(after(&mut bench, 60), [], "the first look is where the host stands");
    bench.machine.file("/etc/passwd", &format!("{PASSWD}mallory:x:0:0::/m:/bin/sh\n"));
    bench.machine.file("/root/.ssh/authorized_keys", "ssh-ed25519 AAAA m\n");
    bench.machine.file("/etc/systemd/system/m.service", "[Service]\n");
    bench.agent = None;
    let found = after(&mut bench, 120);
    assert_eq!(found.len(), 2, "{found:#?}");
    found.iter().for_each(|finding| finding.check().unwrap());
    let told = |n: usize| (found[n].presence, resources(&found[n]));
    let accounts = vec!["authorized_keys:root", "user:mallory", "user:root", "user:web"];
    assert_eq!(told(0), (Presence::Happened, accounts));
    assert_eq!(told(1), (Presence::Happened, vec!["unit:m.service"]));
    assert!(matches!(&found[0].about, About::Noticed(noticed) if noticed.since < NOW.plus(120)));
    bench.boot().unwrap();
    assert_eq!(after(&mut bench, 180).len(), 2, "told once");
}

#[test]
fn what_a_run_does_to_accounts_and_units_is_its_own() {
    let mut bench = applied(two_files("1.0.0"));
    after(&mut bench, 60);
    let dir = Node::Dir(Attrs { uid: 0, gid: 0, mode: 0o755 });
    bench.machine.world.borrow_mut().nodes.insert("/etc/systemd/system".into(), dir);
    // Somebody was there before the run: that is not the run's.
    bench.machine.file("/etc/systemd/system/m.service", "[Service]\n");
    let unit = manifest(
        "unit",
        "1.0.0",
        &serde_json::json!([{ "file": { "path": "/etc/systemd/system/own.service", "content": "[Service]\n" } }]),
    );
    bench.at(NOW.plus(120));
    let report = bench.through(2, unit, |change| {
        change.action_classes.insert(shared::risk::ActionClass::SensitiveFile);
    });
    assert_eq!(report.ran.len(), 1, "{:?}", report.lines);
    let found = after(&mut bench, 180);
    assert_eq!((found.len(), resources(&found[0])), (1, vec!["unit:m.service"]), "{found:#?}");
}

/// States of units and accounts that resources name are differences, as files are: one finding, gone when they are put back.
#[test]
fn a_managed_service_that_somebody_stopped_and_a_managed_user_that_somebody_changed_are_differences() {
    const WEB: &str = "root:x:0:0::/root:/bin/bash\nweb:x:33:33::/srv:/usr/sbin/nologin\n";
    let mut bench = Bench::new();
    let unit =
        |active: &str, enabled: &str| Unit { loaded: true, active: active.into(), enabled: enabled.into() };
    let set =
        |bench: &Bench, to: Unit| bench.machine.world.borrow_mut().units.insert("web.service".into(), to);
    set(&bench, unit("active", "enabled"));
    let passwd = |bench: &Bench, text: &str| bench.machine.file("/etc/passwd", text);
    passwd(&bench, WEB);
    bench.machine.file("/etc/group", "root:x:0:\nweb:x:33:\n");
    bench.machine.file("/etc/shadow", "root:!:1::::::\nweb:!:1::::::\n");
    let wants = serde_json::json!([
        { "service": { "name": "web", "state": "running", "enabled": true } },
        { "user": { "name": "web", "shell": "/usr/sbin/nologin", "home": "/srv" } },
        { "file": { "path": "/etc/motd", "content": "approved\n" } }
    ]);
    bench.through(1, manifest("web", "1.0.0", &wants), |_| {});
    let states = |all: Vec<Finding>| -> Vec<(Presence, Vec<String>)> {
        let of_state = all.into_iter().filter(|finding| finding.about.state().is_some());
        of_state.map(|f| (f.presence, resources(&f).into_iter().map(str::to_owned).collect())).collect()
    };
    assert_eq!(states(after(&mut bench, 60)), []);
    set(&bench, unit("inactive", "enabled"));
    passwd(&bench, &WEB.replace("/srv:/usr/sbin/nologin", "/srv:/bin/bash"));
    let both = vec!["service:web".to_owned(), "user:web".to_owned()];
    assert_eq!(states(after(&mut bench, 120)), [(Presence::There, both)]);
    passwd(&bench, WEB);
    set(&bench, unit("active", "disabled"));
    let found = states(after(&mut bench, 8_000));
    assert_eq!(found.last().unwrap(), &(Presence::There, vec!["service:web".to_owned()]));
    set(&bench, unit("active", "enabled"));
    let found = states(after(&mut bench, 16_000));
    assert_eq!(found.last().unwrap().0, Presence::Gone);
}

#[test]
fn accounts_that_come_with_packages_of_others_belong_to_that_finding() {
    let mut bench = applied(two_files("1.0.0"));
    after(&mut bench, 60);
    bench.machine.record.borrow_mut().push(PackageEvent {
        when: "2026-11-21 08:00:00".into(),
        name: "postfix".into(),
        from: None,
        to: Some("3.7".into()),
        cause: None,
    });
    bench.machine.file("/etc/passwd", &format!("{PASSWD}postfix:x:110:110::/:/usr/sbin/nologin\n"));
    let found = after(&mut bench, 120);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(resources(&found[0]).contains(&"package:postfix"));
    assert!(resources(&found[0]).contains(&"user:postfix"));
    found[0].check().unwrap();
}

#[test]
fn a_start_of_the_machine_that_no_run_asked_for_is_told_once() {
    let mut bench = applied(two_files("1.0.0"));
    after(&mut bench, 60);
    bench.machine.boot();
    bench.agent = None;
    let found = after(&mut bench, 120);
    assert_eq!((found.len(), resources(&found[0])), (1, vec!["host:boot"]));
    assert!(matches!(&found[0].about, About::Boot(_)));
    found[0].check().unwrap();
    assert_eq!(after(&mut bench, 180).len(), 1, "told once");
}
