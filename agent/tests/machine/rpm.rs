//! Packages on private roots of rpm, with the real dnf and zypper and a signed repository. Each test runs with both.

use super::support::aptrepo::Root;
use super::support::rpmrepo::{Family, Repo, Rpm, rpm};
use super::support::site::{Site, from_json, manifest};
use super::support::tree::snapshot;
use agent::apply::Stopped;
use agent::disk::RealDisk;
use agent::drift::{Book, Entry, done_to_packages};
use agent::host::{Cause, Host, Machine, PackageChange, PackageEvent, PackageState, Place, Terms};
use agent::journal::Journal;
use serde_json::{Value, json};
use shared::digest::Digest;
use shared::plan::{Action, UndoContract, Verb};
use shared::receipt::HostOutcome;
use shared::refusal::Code;
use shared::time::Timestamp;
use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

/// Each test with both package managers.
macro_rules! with_both {
    ($($name:ident)*) => {
        mod dnf {
            $(#[test]
            fn $name() {
                if super::Family::Dnf.is_here(stringify!($name)) {
                    super::$name(super::Family::Dnf);
                }
            })*
        }
        mod zypper {
            $(#[test]
            fn $name() {
                if super::Family::Zypper.is_here(stringify!($name)) {
                    super::$name(super::Family::Zypper);
                }
            })*
        }
    };
}

with_both! {
    exact_rpm_versions_with_their_dependencies_are_planned_installed_and_kept
    rpm_packages_are_upgraded_held_downgraded_and_removed
    rpm_patches_take_exactly_what_they_select
    rpm_packages_on_hold_are_left_alone_and_told_with_the_fix_that_they_miss
    ranges_are_in_the_order_of_rpm
    a_failed_run_puts_the_rpm_versions_back
    configuration_files_of_rpm_go_as_the_manifest_says_and_not_as_each_package_does
    approved_rpm_packages_are_installed_with_the_repository_gone
    what_was_approved_is_installed_whatever_rpm_repositories_offer_since
    tampered_rpm_lists_and_packages_are_refused_with_the_reason
    an_rpm_that_its_repository_s_key_has_not_signed_is_not_installed
    the_undo_contract_of_rpm_says_no_when_there_is_no_way_back
    a_kernel_of_rpm_comes_beside_the_one_before
    a_disk_without_room_for_rpm_is_refused_with_figures
    an_interrupted_rpm_transaction_is_repaired_at_its_own_version_first
    an_interrupted_rpm_transaction_is_taken_back
    a_package_that_is_registered_twice_is_repaired
    a_busy_rpm_is_told_with_its_holder
    facts_name_rpm_packages_with_their_sources
    a_program_that_an_rpm_brings_is_known_by_its_package
    what_others_do_to_rpm_packages_is_seen
    what_others_do_with_the_package_manager_is_told_with_their_command
    of_all_that_is_done_to_rpm_packages_what_no_run_did_is_a_finding_once
    damaged_rpm_lists_are_fetched_again
    an_rpm_transaction_goes_on_when_the_agent_is_killed
}

pub struct Bench {
    pub family: Family,
    pub root: Root,
    pub machine: Machine,
    pub journal: Journal<RealDisk>,
}

fn bench(repo: &Repo, family: Family) -> Bench {
    on(repo.root(family), family)
}

pub fn on(root: Root, family: Family) -> Bench {
    let machine = Machine::open(root.dir(), &root.state()).unwrap();
    let journal = Journal::open(RealDisk, &root.state().join("journal")).unwrap();
    Bench { family, root, machine, journal }
}

impl Bench {
    pub fn apply(&mut self, site: &Site) -> agent::journal::Outcome {
        let outcome = site
            .apply(&mut self.machine, &mut self.journal)
            .unwrap_or_else(|e| panic!("{:?}: {e}", self.family));
        self.journal.receipt_made(Digest::of(b"r")).unwrap();
        outcome
    }

    /// Applies, and it has to work out.
    pub fn does(&mut self, site: &Site) {
        let outcome = self.apply(site);
        assert_eq!(outcome.outcome, HostOutcome::Applied, "{:?}: {outcome:#?}", self.family);
    }

    /// `name version` of all packages, with their state when it is not installed whole.
    pub fn installed(&self) -> Vec<String> {
        let show = |p: agent::host::Installed| {
            let held = if p.held { " held" } else { "" };
            match p.state {
                PackageState::Installed => format!("{} {}{held}", p.name, p.version),
                other => format!("{} {}{held} {other:?}", p.name, p.version),
            }
        };
        self.machine.packages().unwrap().into_iter().map(show).collect()
    }

    /// Everything but what belongs to the agent, and what rpm and zypper make when they are only asked.
    pub fn snapshot(&self) -> super::support::tree::Tree {
        let top = self.root.dir().components().nth(1).unwrap().as_os_str().to_str().unwrap();
        let mut all = snapshot(self.root.dir(), &["/var/lib/assent", &format!("/{top}")]);
        all.retain(|path, _| !path.starts_with("/root"));
        all
    }

    fn state(&self, below: &str) -> std::path::PathBuf {
        let dir = match self.family {
            Family::Dnf => "dnf",
            Family::Zypper => "zypp",
        };
        self.root.state().join(dir).join(below)
    }

    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root.path(path)).unwrap_or_default()
    }
}

pub fn package<'a>(name: &'a str, version: &'a str, requires: &'a str) -> Rpm<'a> {
    Rpm { name, version, requires, ..Rpm::default() }
}

/// alpha 1.0-1 and 1.1-1 (needs libalpha), beta 1.0 and 2.0, a security update alpha 1.0-2.
fn lab() -> Repo {
    static LAB: OnceLock<Repo> = OnceLock::new();
    LAB.get_or_init(build_lab).copy()
}

fn build_lab() -> Repo {
    let repo = Repo::new();
    repo.add(&package("alpha", "1.0-1", ""))
        .add(&package("alpha", "1.0-2", ""))
        .add(&package("alpha", "1.1-1", "libalpha >= 1:1"))
        .add(&package("libalpha", "1:1.5-2", ""))
        .add(&package("beta", "1.0-1", ""))
        .add(&package("beta", "2.0-1", ""))
        .advise("LAB-2026:1", "security", "alpha", "1.0-2")
        .advise("LAB-2026:2", "bugfix", "beta", "2.0-1")
        .publish();
    repo
}

pub fn packages(list: &[(&str, &str)]) -> Value {
    Value::Array(list.iter().map(|(n, v)| json!({ "package": { "name": n, "version": v } })).collect())
}

pub fn site(resources: Value) -> Site {
    Site::new(vec![manifest("base", resources)])
}

pub fn patch(select: Value) -> Site {
    Site::new(vec![from_json(&json!({ "manifest": "patch", "version": "1.0.0", "patch": select }))])
}

pub fn summaries(plan: &[Action]) -> Vec<&str> {
    plan.iter().map(|a| a.summary.as_str()).collect()
}

fn exact_rpm_versions_with_their_dependencies_are_planned_installed_and_kept(family: Family) {
    let repo = lab();
    let mut bench = bench(&repo, family);
    let wanted = site(packages(&[("alpha", "1.1-1"), ("beta", "1.0-1")]));
    // The first question makes the directories of a root that has none yet.
    bench.machine.packager().refresh().unwrap();
    let before = bench.snapshot();
    let plan = wanted.plan(&mut bench.machine).unwrap();
    assert_eq!(bench.snapshot(), before, "planning changes nothing");
    assert_eq!(
        summaries(&plan),
        ["install alpha 1.1-1 (lab)", "install beta 1.0-1 (lab)", "install libalpha 1:1.5-2 (lab)"]
    );
    for action in &plan {
        let pin = action.package.as_ref().unwrap();
        let file = fs::read(repo.file(&pin.name, pin.to.as_ref().unwrap())).unwrap();
        assert_eq!(pin.sha256, Some(Digest::of(&file)), "{}", pin.name);
        assert_eq!((pin.arch.as_str(), pin.origin.as_deref()), ("noarch", Some("lab")));
    }
    bench.does(&wanted);
    assert_eq!(bench.installed(), ["alpha 1.1-1", "beta 1.0-1", "libalpha 1:1.5-2"]);
    assert_eq!(wanted.plan(&mut bench.machine).unwrap(), []);
    if family == Family::Zypper {
        let auto = bench.text("var/lib/zypp/AutoInstalled");
        assert!(auto.contains("libalpha\n") && !auto.contains("beta\n"), "{auto}");
    }
}

fn rpm_packages_are_upgraded_held_downgraded_and_removed(family: Family) {
    let repo = lab();
    let mut bench = bench(&repo, family);
    bench.does(&site(packages(&[("alpha", "1.0-1"), ("beta", "1.0-1")])));
    let hold = json!([{ "package": { "name": "beta", "version": "2.0-1", "hold": true } }]);
    bench.does(&site(hold.clone()));
    assert_eq!(bench.installed(), ["alpha 1.0-1", "beta 2.0-1 held"]);
    assert_eq!(site(hold).plan(&mut bench.machine).unwrap(), []);
    let mut down = site(packages(&[("beta", "1.0-1")]));
    let refused = down.plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("does not allow to downgrade beta from 2.0-1 to 1.0-1"), "{refused}");
    down.downgrade = true;
    assert_eq!(down.plan(&mut bench.machine).unwrap()[0].verb, Verb::Downgrade);
    bench.does(&down);
    assert_eq!(bench.installed(), ["alpha 1.0-1", "beta 1.0-1 held"], "a hold that nobody named stays");
    let gone = json!([
        { "package": { "name": "alpha", "state": "absent" } },
        { "package": { "name": "beta", "version": "1.0-1", "hold": false } },
    ]);
    bench.does(&site(gone));
    assert_eq!(bench.installed(), ["beta 1.0-1"]);
    // One transaction takes one away and brings another.
    bench.does(&site(json!([
        { "package": { "name": "beta", "state": "absent" } },
        { "package": { "name": "alpha", "version": "1.0-2" } },
    ])));
    assert_eq!(bench.installed(), ["alpha 1.0-2"]);
}

fn rpm_patches_take_exactly_what_they_select(family: Family) {
    let repo = lab();
    for (select, expected) in [
        (json!({ "select": "security" }), vec!["upgrade alpha from 1.0-1 to 1.0-2 (lab)"]),
        (
            json!({ "select": "all" }),
            vec![
                "upgrade alpha from 1.0-1 to 1.1-1 (lab)",
                "upgrade beta from 1.0-1 to 2.0-1 (lab)",
                "install libalpha 1:1.5-2 (lab)",
            ],
        ),
        (json!({ "select": "all", "exclude": ["al*"] }), vec!["upgrade beta from 1.0-1 to 2.0-1 (lab)"]),
    ] {
        let mut bench = bench(&repo, family);
        bench.does(&site(packages(&[("alpha", "1.0-1"), ("beta", "1.0-1")])));
        let patch = patch(select.clone());
        let planned = patch.planned(&mut bench.machine).unwrap();
        assert_eq!(summaries(&planned.actions), expected, "{family:?} {select}");
        if select["exclude"] != Value::Null {
            let missed = "alpha stays at 1.0-1 because it is excluded; it misses the security fix 1.0-2 (lab, LAB-2026:1)";
            assert_eq!(planned.notes, [missed]);
        }
        bench.does(&patch);
        assert_eq!(patch.plan(&mut bench.machine).unwrap(), [], "{family:?} {select}");
    }
}

fn rpm_packages_on_hold_are_left_alone_and_told_with_the_fix_that_they_miss(family: Family) {
    let repo = lab();
    let mut bench = bench(&repo, family);
    bench.does(&site(json!([
        { "package": { "name": "alpha", "version": "1.0-1", "hold": true } },
        { "package": { "name": "beta", "version": "1.0-1" } },
    ])));
    // One that no repository has.
    let stray = Repo::new();
    stray.add(&Rpm { name: "stray", version: "1-1", vendor: "Somebody", ..Rpm::default() });
    let ran =
        rpm(&bench.root).args(["-U", "--force-debian"]).arg(stray.file("stray", "1-1")).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let vendors: Vec<_> = bench.machine.packages().unwrap().into_iter().map(|p| p.vendor).collect();
    assert_eq!(vendors, [None, None, Some("Somebody".to_owned())]);
    let held = ["etc/dnf/dnf.conf", "etc/zypp/locks"].map(|path| bench.text(path)).concat();
    assert!(held.contains("excludepkgs=alpha") || held.contains("solvable_name: alpha"), "{held}");
    let planned = patch(json!({ "select": "all" })).planned(&mut bench.machine).unwrap();
    assert_eq!(summaries(&planned.actions), ["upgrade beta from 1.0-1 to 2.0-1 (lab)"]);
    assert_eq!(
        planned.notes,
        [
            "alpha stays at 1.0-1 because it is on hold; it misses the security fix 1.0-2 (lab, LAB-2026:1)",
            "no source of this host has any version of stray: they get no updates"
        ]
    );
}

fn ranges_are_in_the_order_of_rpm(family: Family) {
    let repo = lab();
    repo.add(&package("tool", "1.0~rc1-1", "")).add(&package("tool", "1.0^git1-1", "")).publish();
    let mut bench = bench(&repo, family);
    for (body, told) in [
        (json!({ "name": "alpha", "range": ">= 1.0, < 1.1" }), "install alpha 1.0-2 (lab)"),
        (json!({ "name": "tool", "range": "< 1.0" }), "install tool 1.0~rc1-1 (lab)"),
        (json!({ "name": "tool", "range": "> 1.0" }), "install tool 1.0^git1-1 (lab)"),
        (json!({ "name": "beta", "state": "latest" }), "install beta 2.0-1 (lab)"),
    ] {
        let one = site(json!([{ "package": body }]));
        assert_eq!(summaries(&one.plan(&mut bench.machine).unwrap()), [told], "{family:?} {body}");
    }
    let refused = site(packages(&[("alpha", "9.9-1")])).plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("9.9") && refused.code == Code::PlanFailed, "{refused}");
    let refused = site(json!([{ "package": { "name": "gamma", "state": "latest" } }]))
        .plan(&mut bench.machine)
        .unwrap_err();
    assert!(refused.message.contains("no source of this host offers gamma"), "{refused}");
}

fn a_failed_run_puts_the_rpm_versions_back(family: Family) {
    let repo = lab();
    repo.add(&Rpm { name: "bad", version: "1.0-1", pre: "error('no')", ..Rpm::default() })
        .add(&Rpm { name: "worse", version: "1.0-1", post: "error('no')", ..Rpm::default() })
        .publish();
    let mut bench = bench(&repo, family);
    bench.does(&site(packages(&[("alpha", "1.0-1"), ("beta", "2.0-1")])));
    let before = bench.installed();
    for broken in ["bad", "worse"] {
        let mut all = packages(&[("alpha", "1.1-1"), ("beta", "1.0-1"), (broken, "1.0-1")]);
        all.as_array_mut().unwrap().insert(0, json!({ "file": { "path": "/etc/motd", "content": "x" } }));
        let mut failing = site(all);
        failing.downgrade = true;
        let outcome = bench.apply(&failing);
        assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{family:?} {broken}: {outcome:#?}");
        assert_eq!(bench.installed(), before, "{family:?} {broken}: {}", outcome.note);
        assert!(!bench.root.path("etc/motd").exists());
    }
}

fn configuration_files_of_rpm_go_as_the_manifest_says_and_not_as_each_package_does(family: Family) {
    // Where the manifest wants another thing than the package.
    for (noreplace, policy) in [(true, "new"), (false, "old")] {
        let repo = Repo::new();
        for (version, text) in [("1-1", "a=1"), ("2-1", "a=2")] {
            repo.add(&Rpm { name: "app", version, conffile: text, noreplace, ..Rpm::default() });
        }
        repo.publish();
        let mut bench = bench(&repo, family);
        bench.does(&site(packages(&[("app", "1-1")])));
        let wanted = site(json!([{ "package": { "name": "app", "version": "2-1", "conffiles": policy } }]));
        assert_eq!(wanted.plan(&mut bench.machine).unwrap()[0].diff, None, "nobody has changed it");
        fs::write(bench.root.path("etc/app.conf"), "mine\n").unwrap();
        let diff = wanted.plan(&mut bench.machine).unwrap().remove(0).diff.unwrap();
        assert!(diff.starts_with("/etc/app.conf: changed on this host; it "), "{diff}");
        bench.does(&wanted);
        let [live, new, saved] = ["", ".rpmnew", ".rpmsave"].map(|s| bench.text(&format!("etc/app.conf{s}")));
        let expected = match policy {
            "old" => ["mine\n", "a=2\n", ""],
            _ => ["a=2\n", "", "mine\n"],
        };
        assert_eq!([live, new, saved], expected, "{family:?} noreplace {noreplace} {policy}");
    }
}

fn approved_rpm_packages_are_installed_with_the_repository_gone(family: Family) {
    let repo = lab();
    let mut bench = bench(&repo, family);
    bench.does(&site(packages(&[("beta", "1.0-1")])));
    let wanted = site(json!([
        { "package": { "name": "alpha", "state": "latest" } },
        { "package": { "name": "beta", "state": "latest" } },
    ]));
    let approved = wanted.plan(&mut bench.machine).unwrap();
    agent::resource::package::prefetch(&approved, &bench.machine).unwrap();
    fs::rename(repo.path("repo"), repo.path("gone")).unwrap();
    let outcome = wanted.apply_approved(approved, &mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{family:?}: {outcome:#?}");
    assert_eq!(bench.installed(), ["alpha 1.1-1", "beta 2.0-1", "libalpha 1:1.5-2"]);
    bench.journal.receipt_made(Digest::of(b"r")).unwrap();
    assert!(wanted.plan(&mut bench.machine).is_err(), "a source that is gone is not nothing to do");
}

fn what_was_approved_is_installed_whatever_rpm_repositories_offer_since(family: Family) {
    let repo = lab();
    let mut bench = bench(&repo, family);
    let wanted = site(json!([{ "package": { "name": "alpha", "state": "latest" } }]));
    let approved = wanted.plan(&mut bench.machine).unwrap();
    repo.add(&package("alpha", "1.2-1", "beta")).add(&package("libalpha", "1:1.6-1", "beta")).publish();
    let outcome = wanted.apply_approved(approved, &mut bench.machine, &mut bench.journal).unwrap();
    assert_eq!(outcome.outcome, HostOutcome::Applied, "{family:?}: {outcome:#?}");
    assert_eq!(bench.installed(), ["alpha 1.1-1", "libalpha 1:1.5-2"]);
    bench.journal.receipt_made(Digest::of(b"r")).unwrap();
    // The door itself compares: what needs libalpha would go with it, or bars the way.
    let gone = PackageChange { name: "libalpha".into(), from: Some("1:1.5-2".into()), ..Default::default() };
    assert!(bench.machine.packager().transact(&[gone], Terms::default()).is_err());
    assert_eq!(bench.installed(), ["alpha 1.1-1", "libalpha 1:1.5-2"]);
}

fn tampered_rpm_lists_and_packages_are_refused_with_the_reason(family: Family) {
    let repo = lab();
    let beta = site(packages(&[("beta", "1.0-1")]));
    let refused = |machine: &mut Machine, path: &std::path::Path| {
        let good = fs::read(path).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        fs::write(path, &bad).unwrap();
        let refused = beta.plan(machine).unwrap_err();
        assert_eq!(refused.code, Code::PlanFailed, "{family:?} {}: {refused}", path.display());
        assert!(refused.message.to_lowercase().contains("lab"), "{family:?} {}: {refused}", path.display());
        fs::write(path, good).unwrap();
    };
    for path in [repo.index(), repo.primary(), repo.path("repo/repodata/repomd.xml.asc")] {
        let mut fresh = bench(&repo, family);
        refused(&mut fresh.machine, &path);
        assert_eq!(beta.plan(&mut fresh.machine).unwrap().len(), 1, "{family:?} {}", path.display());
    }
    // Also where a good one was there before: it does not pass for nothing new.
    let mut bench = bench(&repo, family);
    bench.does(&site(packages(&[("alpha", "1.0-1")])));
    refused(&mut bench.machine, &repo.index());
    // A package file that differs from its list.
    let file = repo.file("beta", "1.0-1");
    let good = fs::read(&file).unwrap();
    let mut bad = good.clone();
    let at = bad.len() - 10;
    bad[at] ^= 1;
    fs::write(&file, &bad).unwrap();
    let wanted = beta;
    match wanted.apply(&mut bench.machine, &mut bench.journal) {
        Err(Stopped::Refused(refused)) => assert!(refused.message.contains("beta"), "{refused}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.installed(), ["alpha 1.0-1"]);
    // A kept file that the disk has damaged since is thrown away and fetched again. (The digest of a file is
    // remembered with the file by the library that dnf reads it with.)
    fs::remove_file(&file).unwrap();
    fs::write(&file, &good).unwrap();
    let kept = format!("beta_1.0-1_noarch_{}.rpm", Digest::of(&good).hex());
    fs::write(bench.state("store").join(kept), &bad).unwrap();
    bench.does(&wanted);
    assert_eq!(bench.installed(), ["alpha 1.0-1", "beta 1.0-1"]);
}

fn an_rpm_that_its_repository_s_key_has_not_signed_is_not_installed(family: Family) {
    let repo = Repo::new();
    repo.add(&Rpm { name: "app", version: "1-1", unsigned: true, ..Rpm::default() }).publish();
    let mut bench = bench(&repo, family);
    if family == Family::Zypper {
        // zypper believes the packages of a signed list, unless it is told not to.
        let path = bench.root.path("etc/zypp/repos.d/lab.repo");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text + "pkg_gpgcheck=1\n").unwrap();
    }
    match site(packages(&[("app", "1-1")])).apply(&mut bench.machine, &mut bench.journal) {
        Err(Stopped::Refused(refused)) => {
            assert!(refused.message.contains("sign"), "{family:?}: {refused}");
        }
        other => panic!("{family:?}: {other:?}"),
    }
    assert_eq!(bench.installed(), [""; 0]);
}

fn the_undo_contract_of_rpm_says_no_when_there_is_no_way_back(family: Family) {
    let repo = lab();
    let mut bench = bench(&repo, family);
    bench.does(&site(packages(&[("beta", "1.0-1")])));
    let undo = |bench: &mut Bench| {
        let undo = site(packages(&[("beta", "2.0-1")])).plan(&mut bench.machine).unwrap().remove(0).undo;
        format!("{}: {}", undo.undo.as_str(), undo.why)
    };
    assert!(undo(&mut bench).starts_with("partly: 1.0-1 is at hand"));
    fs::remove_file(repo.file("beta", "1.0-1")).unwrap();
    repo.publish();
    assert!(undo(&mut bench).starts_with("partly: 1.0-1 is at hand"), "it is kept here");
    fs::remove_dir_all(bench.state("store")).unwrap();
    assert_eq!(undo(&mut bench), "no: beta 1.0-1 is neither kept here nor offered by a source any more");
}

fn a_kernel_of_rpm_comes_beside_the_one_before(family: Family) {
    let repo = Repo::new();
    let provides = "installonlypkg(kernel) multiversion(kernel)";
    for version in ["6.1-1", "6.1-9", "6.1-10"] {
        repo.add(&Rpm { name: "kernel-core", version, provides, ..Rpm::default() });
    }
    repo.advise("LAB-2026:7", "security", "kernel-core", "6.1-10").publish();
    let mut bench = bench(&repo, family);
    if family == Family::Zypper {
        let conf = "[main]\nmultiversion = provides:multiversion(kernel)\n";
        fs::write(bench.root.path("etc/zypp/zypp.conf"), conf).unwrap();
    }
    bench.does(&site(packages(&[("kernel-core", "6.1-9")])));
    let wanted = patch(json!({ "select": "security" }));
    let plan = wanted.plan(&mut bench.machine).unwrap();
    assert_eq!(summaries(&plan), ["upgrade kernel-core from 6.1-9 to 6.1-10 (lab)"]);
    assert_eq!(plan[0].undo.undo, UndoContract::No, "{:?}", plan[0].undo);
    bench.does(&wanted);
    assert_eq!(bench.installed(), ["kernel-core 6.1-10", "kernel-core-6.1-9 6.1-9"], "{family:?}");
    let all = patch(json!({ "select": "all" })).planned(&mut bench.machine).unwrap();
    assert_eq!((all.actions.len(), all.notes.len()), (0, 0), "{family:?} {:?}", all.notes);
    bench.does(&site(json!([{ "package": { "name": "kernel-core-6.1-9", "state": "absent" } }])));
    assert_eq!(bench.installed(), ["kernel-core 6.1-10"]);
}

fn a_disk_without_room_for_rpm_is_refused_with_figures(family: Family) {
    let repo = Repo::new();
    repo.add(&package("huge", "1-1", ""));
    repo.publish_with(|primary| {
        let at = primary.find("installed=\"").unwrap() + "installed=\"".len();
        let end = primary[at..].find('"').unwrap() + at;
        format!("{}{}{}", &primary[..at], 1_u64 << 50, &primary[end..])
    });
    let mut bench = bench(&repo, family);
    let refused = site(packages(&[("huge", "1-1")])).plan(&mut bench.machine).unwrap_err();
    assert!(refused.message.contains("unpack 2147483648 MiB"), "{family:?}: {refused}");
}

/// A run that was killed while a script of the package ran: rpm's database has it and knows of nothing more.
fn an_interrupted_rpm_transaction_is_repaired_at_its_own_version_first(family: Family) {
    let repo = lab();
    // The first time whoever runs it is killed: dnf itself, or the rpm that zypper has started.
    let post = "if not posix.stat('/gate') then io.open('/gate', 'w'):close() posix.kill(posix.getprocessid('pid'), 9) end io.open('/done', 'w'):close()";
    repo.add(&Rpm { name: "slow", version: "1.0-1", post, ..Rpm::default() })
        .add(&package("slow", "1.1-1", ""))
        .publish();
    let mut bench = bench(&repo, family);
    let mut wanted = site(packages(&[("slow", "1.0-1")]));
    wanted.automatic_undo = false;
    let outcome = bench.apply(&wanted);
    assert_ne!(outcome.outcome, HostOutcome::Applied, "{family:?}: {outcome:#?}");
    assert!(bench.root.path("gate").exists() && !bench.root.path("done").exists());
    assert_eq!(bench.installed(), ["slow 1.0-1 Broken"], "{family:?}");
    let next = site(packages(&[("beta", "1.0-1")]));
    let plan = next.plan(&mut bench.machine).unwrap();
    assert_eq!(
        summaries(&plan),
        [
            "repair slow 1.0-1: install it again, because an earlier run left it half installed",
            "install beta 1.0-1 (lab)"
        ]
    );
    assert_eq!(plan[0].verb, Verb::Repair);
    // Without the repair in the plan nothing is done at all.
    let beta = bench.machine.packager().locate(&[("beta".into(), "1.0-1".into())]).unwrap();
    let fault = bench.machine.packager().transact(&beta, Terms::default()).unwrap_err();
    assert!(fault.text().contains("package slow is half installed"), "{}", fault.text());
    bench.does(&next);
    assert_eq!(bench.installed(), ["beta 1.0-1", "slow 1.0-1"]);
    assert!(bench.root.path("done").exists(), "its script has run to its end");
    assert_eq!(next.plan(&mut bench.machine).unwrap(), []);
}

fn an_interrupted_rpm_transaction_is_taken_back(family: Family) {
    let repo = lab();
    let post = "if not posix.stat('/gate') then io.open('/gate', 'w'):close() posix.kill(posix.getprocessid('pid'), 9) end";
    repo.add(&Rpm { name: "beta", version: "3.0-1", post, ..Rpm::default() }).publish();
    let mut bench = bench(&repo, family);
    bench.does(&site(packages(&[("beta", "1.0-1")])));
    let outcome = bench.apply(&site(packages(&[("alpha", "1.0-1"), ("beta", "3.0-1")])));
    assert!(bench.root.path("gate").exists());
    assert_eq!(outcome.outcome, HostOutcome::RolledBack, "{family:?}: {outcome:#?}");
    assert_eq!(bench.installed(), ["beta 1.0-1"], "{family:?}: {}", outcome.note);
    assert_eq!(bench.text("usr/share/beta/version"), "1.0-1\n");
}

/// Both versions are registered when a run breaks off between bringing the new one and taking the old one away.
fn a_package_that_is_registered_twice_is_repaired(family: Family) {
    let repo = lab();
    let mut bench = bench(&repo, family);
    bench.does(&site(packages(&[("beta", "1.0-1")])));
    let install = ["-i", "--justdb", "--nodeps", "--force", "--force-debian"];
    let ran = rpm(&bench.root).args(install).arg(repo.file("beta", "2.0-1")).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(bench.installed(), ["beta 2.0-1 Broken"]);
    let next = site(packages(&[("alpha", "1.0-1")]));
    let plan = next.plan(&mut bench.machine).unwrap();
    assert_eq!(
        summaries(&plan)[0],
        "repair beta 2.0-1: install it again, because an earlier run left it half installed"
    );
    bench.does(&next);
    assert_eq!(bench.installed(), ["alpha 1.0-1", "beta 2.0-1"], "{family:?}");
    assert_eq!(bench.text("usr/share/beta/version"), "2.0-1\n", "its files are those of that version");
}

/// A process that holds rpm's lock until it is dropped.
struct Holder(std::process::Child);

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().unwrap();
    }
}

fn a_busy_rpm_is_told_with_its_holder(family: Family) {
    let repo = lab();
    let root = repo.root(family);
    let machine = Machine::open(root.dir(), &root.state()).unwrap();
    let machine = machine.waiting_for_packages(Duration::from_millis(300));
    let journal = Journal::open(RealDisk, &root.state().join("journal")).unwrap();
    let mut bench = Bench { family, root, machine, journal };
    bench.does(&site(packages(&[("alpha", "1.0-1")])));
    let dbpath =
        std::process::Command::new("rpm").env("HOME", "/root").args(["--eval", "%{_dbpath}"]).output();
    let dbpath = String::from_utf8(dbpath.unwrap().stdout).unwrap();
    let lock = bench.root.path(dbpath.trim().trim_start_matches('/')).join(".rpm.lock");
    let script = "import fcntl,sys,time\nf=open(sys.argv[1],'w')\nfcntl.lockf(f,fcntl.LOCK_EX)\nprint('held',flush=True)\ntime.sleep(60)\n";
    let mut python = std::process::Command::new("python3");
    python.args(["-c", script]).arg(&lock).stdout(std::process::Stdio::piped());
    let mut holder = Holder(python.spawn().unwrap());
    let mut line = String::new();
    let out = holder.0.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
    assert_eq!(bench.machine.packager().history(None).unwrap(), None, "half done is not told");
    let outcome = bench.apply(&site(packages(&[("beta", "1.0-1")])));
    assert_ne!(outcome.outcome, HostOutcome::Applied, "{outcome:#?}");
    let told = format!("in use by process {} (python3)", holder.0.id());
    assert!(outcome.note.contains(&told), "{}", outcome.note);
    drop(holder);
    bench.does(&site(packages(&[("beta", "1.0-1")])));
}

fn facts_name_rpm_packages_with_their_sources(family: Family) {
    let repo = lab();
    let mut bench = bench(&repo, family);
    bench.does(&site(json!([{ "package": { "name": "alpha", "version": "1.1-1", "hold": true } }])));
    fs::create_dir_all(bench.root.path("usr/lib")).unwrap();
    fs::write(bench.root.path("etc/os-release"), "ID=lab\nVERSION_ID=\"9\"\n").unwrap();
    fs::write(bench.root.path("etc/hostname"), "lab1\n").unwrap();
    let facts = super::support::facts(&bench.machine);
    facts.check().unwrap();
    let show = |p: &shared::facts::Package| {
        let origin = p.origin.as_deref();
        format!("{} {} {} {} {:?} {origin:?}", p.name, p.version, p.source, p.source_version, p.status)
    };
    assert_eq!(
        facts.packages.iter().map(show).collect::<Vec<_>>(),
        [
            "alpha 1.1-1 alpha 1.1-1 Held Some(\"lab\")",
            "libalpha 1:1.5-2 libalpha 1.5-2 Installed Some(\"lab\")"
        ]
    );
    assert_eq!((facts.hostname.as_str(), facts.arch.as_str()), ("lab1", std::env::consts::ARCH));
}

fn a_program_that_an_rpm_brings_is_known_by_its_package(family: Family) {
    let repo = lab();
    let mut bench = bench(&repo, family);
    bench.does(&site(packages(&[("beta", "1.0-1")])));
    assert!(bench.machine.ships("beta", "/usr/share/beta/version").unwrap());
    assert!(!bench.machine.ships("beta", "/usr/share/alpha/version").unwrap());
    assert!(!bench.machine.ships("nothing", "/usr/share/beta/version").unwrap());
}

fn history(bench: &Bench, since: Option<&Place>) -> (Vec<PackageEvent>, Place) {
    bench.machine.packager().history(since).unwrap().expect("nobody uses the package manager")
}

fn what_others_do_to_rpm_packages_is_seen(family: Family) {
    let repo = lab();
    let mut bench = bench(&repo, family);
    bench.does(&site(packages(&[("alpha", "1.0-1"), ("beta", "1.0-1")])));
    let (events, place) = history(&bench, None);
    assert_eq!(events, [], "what was before the first look is nobody's matter");
    assert_eq!(history(&bench, Some(&place)), (vec![], place.clone()));
    let by_hand = |arguments: &[&str]| {
        let ran = rpm(&bench.root).args(arguments).arg("--force-debian").output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
    };
    by_hand(&["-U", repo.file("alpha", "1.0-2").to_str().unwrap()]);
    by_hand(&["-e", "beta"]);
    let (events, next) = history(&bench, Some(&place));
    let shown: Vec<_> =
        events.iter().map(|e| (e.name.as_str(), e.from.as_deref(), e.to.as_deref())).collect();
    let expected = [("alpha", Some("1.0-1"), Some("1.0-2")), ("beta", Some("1.0-1"), None)];
    assert_eq!(shown, expected, "{family:?}");
    let again = history(&bench, Some(&place)).0;
    assert_eq!(again.len(), 2, "asked again before the answer was kept");
    assert_eq!(history(&bench, Some(&next)).0, []);
}

fn by_hand(bench: &Bench, words: &[&str]) {
    bench.family.by_hand(bench.root.dir(), words);
}

/// The package manager's own word for a version of a package.
fn exactly(family: Family, name: &str, version: &str) -> String {
    match family {
        Family::Dnf => format!("{name}-{version}"),
        Family::Zypper => format!("{name}={version}"),
    }
}

fn told(events: &[PackageEvent]) -> Vec<String> {
    let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "-".into());
    let by = |e: &PackageEvent| {
        let cause = e.cause.as_ref().map(|cause| cause.command.replace('\'', ""));
        cause.map_or("rpm".to_owned(), |command| command.rsplit(' ').take(2).collect::<Vec<_>>().join(" "))
    };
    events
        .iter()
        .map(|e| format!("{} {} {} by {}", e.name, version(&e.from), version(&e.to), by(e)))
        .collect()
}

fn what_others_do_with_the_package_manager_is_told_with_their_command(family: Family) {
    let repo = lab();
    let mut bench = bench(&repo, family);
    bench.does(&site(packages(&[("alpha", "1.0-1")])));
    let (_, place) = history(&bench, None);
    let of = |name: &str, version: &str| exactly(family, name, version);
    let (beta, alpha, back) = (of("beta", "1.0-1"), of("alpha", "1.0-2"), of("alpha", "1.0-1"));
    by_hand(&bench, &["install", &beta]);
    by_hand(&bench, &["remove", "beta"]);
    by_hand(&bench, &["install", &alpha]);
    let down =
        if family == Family::Dnf { vec!["downgrade", &back] } else { vec!["install", "--oldpackage", &back] };
    by_hand(&bench, &down);
    by_hand(&bench, &["install", &alpha]);
    let raw = ["-U", "--force-debian", repo.file("beta", "2.0-1").to_str().unwrap()].map(str::to_owned);
    let ran = rpm(&bench.root).args(&raw).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let (events, next) = history(&bench, Some(&place));
    let expected = [
        format!("beta - 1.0-1 by {beta} install"),
        "beta 1.0-1 - by beta remove".to_owned(),
        format!("alpha 1.0-1 1.0-2 by {alpha} install"),
        format!("alpha 1.0-2 1.0-1 by {back} {}", down[down.len() - 2]),
        format!("alpha 1.0-1 1.0-2 by {alpha} install"),
        "beta - 2.0-1 by rpm".to_owned(),
    ];
    assert_eq!(told(&events), expected, "{family:?}");
    let causes: Vec<&Cause> = events.iter().filter_map(|event| event.cause.as_ref()).collect();
    assert!(causes.windows(2).all(|two| two[0] != two[1]), "each command is a transaction: {causes:#?}");
    if family == Family::Zypper {
        assert!(causes[0].by.starts_with("root@"), "{causes:#?}");
    }
    assert_eq!(history(&bench, Some(&next)), (vec![], next.clone()));
    // The look before is lost: what came is told all the same.
    fs::remove_dir_all(bench.state("known")).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    by_hand(&bench, &["remove", "alpha"]);
    by_hand(&bench, &["install", &back]);
    let ran = rpm(&bench.root).args(["-e", "beta"]).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let (events, next) = history(&bench, Some(&next));
    let expected = ["alpha 1.0-2 - by alpha remove".to_owned(), format!("alpha - 1.0-1 by {back} install")];
    assert_eq!(told(&events), expected, "{family:?}");
    // The record is begun anew: nothing of it is told twice, and what is new is.
    let record = if family == Family::Dnf { "var/lib/dnf" } else { "var/log/zypp" };
    fs::remove_dir_all(bench.root.path(record)).unwrap();
    let (events, next) = history(&bench, Some(&next));
    assert_eq!(events, [], "{family:?}");
    by_hand(&bench, &["install", &beta]);
    let (events, next) = history(&bench, Some(&next));
    assert_eq!(told(&events), [format!("beta - 1.0-1 by {beta} install")], "{family:?}");
    // The record is put back to an earlier state, and written on.
    let (record, saved) = (bench.root.path(record), bench.root.path("saved"));
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        fs::remove_dir_all(to).ok();
        let ran = std::process::Command::new("cp").arg("-a").args([from, to]).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
    };
    copy(&record, &saved);
    std::thread::sleep(Duration::from_millis(1_100));
    by_hand(&bench, &["remove", "beta"]);
    let (events, next) = history(&bench, Some(&next));
    assert_eq!(told(&events), ["beta 1.0-1 - by beta remove"], "{family:?}");
    copy(&saved, &record);
    let (events, next) = history(&bench, Some(&next));
    assert_eq!(events, [], "{family:?}");
    std::thread::sleep(Duration::from_millis(1_100));
    by_hand(&bench, &["install", &beta]);
    let (events, _) = history(&bench, Some(&next));
    assert_eq!(told(&events), [format!("beta - 1.0-1 by {beta} install")], "{family:?}");
}

/// The way of `run`: what a run did is expected before the record is read again, and the book is kept in between.
fn of_all_that_is_done_to_rpm_packages_what_no_run_did_is_a_finding_once(family: Family) {
    let repo = lab();
    let mut bench = bench(&repo, family);
    let mut book = Book::default();
    let mut looks = 0;
    let mut look = |bench: &mut Bench, book: &mut Book| -> Vec<Vec<String>> {
        // Stopped and started again.
        bench.machine = Machine::open(bench.root.dir(), &bench.root.state()).unwrap();
        *book = serde_json::from_slice(&serde_json::to_vec(book).unwrap()).unwrap();
        let (events, place) = history(bench, book.place());
        looks += 1;
        book.reconcile(events, place, Timestamp(looks));
        let found = book.entries().to_vec();
        found.iter().for_each(|entry| book.said(entry.number, Timestamp(looks)));
        let names = |e: &Entry| e.differences.iter().map(|d| d.summary.clone()).collect();
        found.iter().map(names).collect()
    };
    let run = |bench: &mut Bench, book: &mut Book, wanted: &Site| {
        let plan = wanted.plan(&mut bench.machine).unwrap();
        let ended = bench.apply(wanted);
        book.expect(done_to_packages(&plan, &ended, Timestamp(0)).0);
        ended.outcome
    };
    assert_eq!(look(&mut bench, &mut book), [[""; 0]; 0]);
    let wanted = site(packages(&[("alpha", "1.1-1"), ("beta", "1.0-1")]));
    assert_eq!(run(&mut bench, &mut book, &wanted), HostOutcome::Applied);
    by_hand(&bench, &["install", &exactly(family, "beta", "2.0-1")]);
    by_hand(&bench, &["remove", "beta"]);
    let found = look(&mut bench, &mut book);
    let expected = [["beta was changed from 1.0-1 to 2.0-1"], ["beta 2.0-1 was removed"]];
    assert_eq!(found, expected, "{family:?}: those of the run are none");
    assert_eq!(look(&mut bench, &mut book), [[""; 0]; 0], "{family:?}: told once");
    // A run that is taken back has been at the packages twice, and somebody else once.
    let mut fails = site(json!([
        { "package": { "name": "beta", "version": "1.0-1" } },
        { "file": { "path": "/etc/beta.conf/x", "content": "x" } },
    ]));
    fails.automatic_undo = true;
    fs::write(bench.root.path("etc/beta.conf"), "").unwrap();
    assert_eq!(run(&mut bench, &mut book, &fails), HostOutcome::RolledBack);
    by_hand(&bench, &["remove", "alpha"]);
    let found = look(&mut bench, &mut book);
    // dnf takes what nothing needs any more along.
    assert_eq!((found.len(), found[0][0].as_str()), (1, "alpha 1.1-1 was removed"), "{family:?}: {found:?}");
    assert_eq!(look(&mut bench, &mut book), [[""; 0]; 0], "{family:?}: told once");
}

/// After a power cut or on a full disk the agent's own copies are empty or cut off.
fn damaged_rpm_lists_are_fetched_again(family: Family) {
    fn files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }
    let repo = lab();
    let mut bench = bench(&repo, family);
    bench.does(&site(packages(&[("alpha", "1.0-1")])));
    let security = patch(json!({ "select": "security" }));
    let cache = bench.state(if family == Family::Dnf { "dnf/cachedir" } else { "zypp/cache" });
    // zypper's copy may be another name of a file of the repository itself.
    let damage = |path: &std::path::Path, bytes: &[u8]| {
        fs::remove_file(path).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let plan = |bench: &mut Bench, what: &str| {
        let plan = security.plan(&mut bench.machine).unwrap_or_else(|e| panic!("{family:?} {what}: {e}"));
        assert_eq!(summaries(&plan), ["upgrade alpha from 1.0-1 to 1.0-2 (lab)"], "{family:?} {what}");
    };
    let all = files(&cache);
    assert!(all.len() >= 4, "{all:?}");
    for path in all.iter().filter(|path| path.is_file()) {
        let bytes = fs::read(path).unwrap();
        damage(path, &bytes[..bytes.len() * 2 / 5]);
    }
    plan(&mut bench, "all files");
    for name in ["repomd.xml", "primary.xml.gz", "solv"] {
        let ends = |path: &&std::path::PathBuf| path.is_file() && path.to_string_lossy().ends_with(name);
        let all = files(&cache);
        let one = all.iter().find(ends).unwrap_or_else(|| panic!("{name} in {all:?}"));
        damage(one, b"");
        plan(&mut bench, name);
    }
}

const CHILD: &str = "ASSENT_TEST_RPM_ROOT";

/// Not a test of its own: the process that `an_rpm_transaction_goes_on_when_the_agent_is_killed` kills.
#[test]
fn child() {
    if let Some(root) = std::env::var_os(CHILD) {
        let state = std::path::Path::new(&root).join("var/lib/assent");
        let mut machine = Machine::open(std::path::Path::new(&root), &state).unwrap();
        let mut journal = Journal::open(RealDisk, &state.join("journal")).unwrap();
        site(packages(&[("slow", "1.0-1")])).apply(&mut machine, &mut journal).unwrap();
    }
}

fn an_rpm_transaction_goes_on_when_the_agent_is_killed(family: Family) {
    let post = "io.open('/began', 'w'):close() while not posix.stat('/go') do posix.sleep(1) end print('x') io.open('/done', 'w'):close()";
    let repo = Repo::new();
    repo.add(&Rpm { name: "slow", version: "1.0-1", post, ..Rpm::default() }).publish();
    let mut bench = bench(&repo, family);
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "rpm::child"])
        .env(CHILD, bench.root.dir())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let began = bench.root.path("began");
    while !began.exists() {
        assert!(child.try_wait().unwrap().is_none(), "{family:?}: it ended before the script ran");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(bench.root.path("go"), "").unwrap();
    // Whoever comes next waits for the package manager, which outlives the agent, and finds nothing in doubt.
    let state = bench.root.state();
    bench.journal = Journal::open(RealDisk, &state.join("journal")).unwrap();
    let wanted = site(packages(&[("slow", "1.0-1")]));
    let outcome = wanted.resume(&mut bench.machine, &mut bench.journal).unwrap().unwrap();
    assert!(bench.root.path("done").exists(), "{family:?}: its script has run to its end");
    let left = match outcome.outcome {
        HostOutcome::Applied => vec!["slow 1.0-1"],
        HostOutcome::RolledBack => vec![],
        other => panic!("{family:?}: {other:?} {outcome:#?}"),
    };
    assert_eq!(bench.installed(), left, "{family:?} {outcome:#?}");
    assert!(!bench.state("transaction.json").exists(), "{family:?}: nothing is in doubt");
}
